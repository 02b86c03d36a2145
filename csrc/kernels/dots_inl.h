/* Products of rows with rows; contract in kernels.h. */

#define DOTS (DA * DB)
#define SUMS ((DOTS + VL - 1) / VL)

/* Lane i of sum[s] becomes the sum of the lanes of acc[s * VL + i]: pairs of vectors are halved until VL are one. */
#define add_lanes NAME(add_lanes)
INLINE void add_lanes(vec *acc, vec *sum, const int sums) {
  int count = sums * VL;
  UNROLL(8)
  for (int width = VL; width > 1; width /= 2) {
    count /= 2;
    UNROLL(32)
    for (int i = 0; i < count; i++)
      acc[i] = even_lanes(acc[2 * i], acc[2 * i + 1]) + odd_lanes(acc[2 * i], acc[2 * i + 1]);
  }
  UNROLL(16)
  for (int s = 0; s < sums; s++) sum[s] = acc[s];
}

#define dots_body NAME(dots_body)
INLINE void dots_body(const struct fcv_dots_tile *tile, const int rows) {
  const real *a[DA], *b[DB];
  const int64_t count = tile->count;
  vec acc[SUMS * VL];
  UNROLL(16)
  for (int i = 0; i < rows; i++) a[i] = tile->a[i];
  UNROLL(4)
  for (int j = 0; j < DB; j++) b[j] = tile->b[j];
  UNROLL(64)
  for (int i = 0; i < SUMS * VL; i++) acc[i] = (vec){0};

  int64_t q = 0;
  for (; q + VL <= count; q += VL) {
    vec y[DB];
    UNROLL(4)
    for (int j = 0; j < DB; j++) y[j] = load(b[j] + q);
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
      const vec x = load(a[i] + q);
      UNROLL(4)
      for (int j = 0; j < DB; j++) acc[i * DB + j] += x * y[j];
    }
  }
  if (q < count) {
    vec y[DB];
    UNROLL(4)
    for (int j = 0; j < DB; j++) y[j] = load_part(b[j] + q, count - q);
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
      const vec x = load_part(a[i] + q, count - q);
      UNROLL(4)
      for (int j = 0; j < DB; j++) acc[i * DB + j] += x * y[j];
    }
  }

  vec sum[SUMS];
  real value[SUMS * VL];
  add_lanes(acc, sum, SUMS);
  UNROLL(16)
  for (int s = 0; s < SUMS; s++) store(value + s * VL, sum[s]);
  for (int i = 0; i < tile->m; i++) {
    real *c = (real *)tile->c + i * tile->c_pitch;
    for (int j = 0; j < tile->n; j++) {
      real *to = c + tile->column[j];
      *to = tile->accumulate ? *to + value[i * DB + j] : value[i * DB + j];
    }
  }
}

static void NAME(dots)(const struct fcv_dots_tile *tile) {
  if (tile->m <= DA / 2)
    dots_body(tile, DA / 2);
  else
    dots_body(tile, DA);
}
#undef DOTS
#undef SUMS
