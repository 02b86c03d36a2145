/* Products of rows with rows; contract in planes.h. */

#define DOTS (DA * DB)
#define SUMS ((DOTS + VL - 1) / VL)

#define IN_LOW(i, n, k) (i) / (n) * 2 * (n) + (i) % (n)
#define IN_HIGH(i, n, k) (i) / (n) * 2 * (n) + (n) + (i) % (n)
#define HALVES(n)                                                                                                      \
  case n:                                                                                                              \
    return __builtin_shufflevector(a, b, LANES(IN_LOW, n, 0)) + __builtin_shufflevector(a, b, LANES(IN_HIGH, n, 0));
/* Of each 2 * n neighbours in a, then in b, the first n and the others. */
#define add_halves NAME(add_halves)
INLINE vec add_halves(vec a, vec b, const int n) {
  switch (n) {
#if VECTOR_BYTES * 8 >= DTYPE_BITS * 16
    HALVES(8)
#endif
#if VECTOR_BYTES * 8 >= DTYPE_BITS * 8
    HALVES(4)
#endif
#if VECTOR_BYTES * 8 >= DTYPE_BITS * 4
    HALVES(2)
#endif
  default:
    HALVES(1)
  }
}
#undef HALVES
#undef IN_LOW
#undef IN_HIGH
#undef LANES

/* Lane i of sum[s] becomes the sum of the lanes of acc[s * VL + i]: lanes VL / 2 apart are added, then VL / 4, and so
 * on, until VL vectors are one. A vector whose lanes are rotated has the same sum, bit by bit. */
#define add_lanes NAME(add_lanes)
INLINE void add_lanes(vec *acc, vec *sum, const int sums) {
  int count = sums * VL;
  UNROLL(8)
  for (int width = VL; width > 1; width /= 2) {
    count /= 2;
    UNROLL(32)
    for (int i = 0; i < count; i++) acc[i] = add_halves(acc[2 * i], acc[2 * i + 1], width / 2);
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
      *to = tile->into == FCV_ADD ? *to + value[i * DB + j] : value[i * DB + j];
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
