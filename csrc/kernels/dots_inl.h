/* Products of rows with rows; contract in planes.h. */

#define SUMS(dots) (((dots) + VL - 1) / VL)

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
INLINE void dots_body(const struct fcv_dots_tile *tile, const int rows, const int columns) {
  const real *a[DA], *b[DB];
  const int64_t count = tile->count;
  vec acc[SUMS(DA * DB) * VL];
  UNROLL(16)
  for (int i = 0; i < rows; i++) a[i] = tile->a[i];
  UNROLL(4)
  for (int j = 0; j < columns; j++) b[j] = tile->b[j];
  UNROLL(64)
  for (int i = 0; i < SUMS(rows * columns) * VL; i++) acc[i] = (vec){0};

  int64_t q = 0;
  for (; q + VL <= count; q += VL) {
    vec y[DB];
    UNROLL(4)
    for (int j = 0; j < columns; j++) y[j] = load(b[j] + q);
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
      const vec x = load(a[i] + q);
      UNROLL(4)
      for (int j = 0; j < columns; j++) acc[i * columns + j] += x * y[j];
    }
  }
  if (q < count) {
    vec y[DB];
    UNROLL(4)
    for (int j = 0; j < columns; j++) y[j] = load_part(b[j] + q, count - q);
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
      const vec x = load_part(a[i] + q, count - q);
      UNROLL(4)
      for (int j = 0; j < columns; j++) acc[i * columns + j] += x * y[j];
    }
  }

  vec sum[SUMS(DA * DB)];
  real value[SUMS(DA * DB) * VL] = {0};
  add_lanes(acc, sum, SUMS(rows * columns));
  UNROLL(16)
  for (int s = 0; s < SUMS(rows * columns); s++) store(value + s * VL, sum[s]);
  for (int i = 0; i < tile->m; i++) {
    real *c = (real *)tile->c + i * tile->c_pitch;
    for (int j = 0; j < tile->n && j < columns; j++) {
      real *to = c + tile->column[j];
      *to = tile->into == FCV_ADD ? *to + value[i * columns + j] : value[i * columns + j];
    }
  }
}

static void NAME(dots)(const struct fcv_dots_tile *tile) {
  if (tile->n == 1)
    dots_body(tile, DA, 1);
  else if (tile->m <= DA / 2)
    dots_body(tile, DA / 2, DB);
  else
    dots_body(tile, DA, DB);
}
#undef SUMS
