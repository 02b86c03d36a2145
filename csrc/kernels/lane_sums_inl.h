/* Sums of products of vectors, an image for each lane; contract in planes.h. */

#define lane_sums_body NAME(lane_sums_body)
INLINE void lane_sums_body(const struct fcv_lane_sums *sums, const int m, const int n) {
  const int64_t rows = sums->rows, count = sums->count, plane = sums->gy_plane;
  const int64_t gy_step = sums->gy_step, x_step = sums->x_step;
  vec acc[RA][RB];
  UNROLL(8)
  for (int i = 0; i < m; i++) {
    UNROLL(8)
    for (int j = 0; j < n; j++) acc[i][j] = (vec){0};
  }
  for (int64_t r = 0; r < rows; r++) {
    const real *gy = (const real *)sums->gy + r * sums->gy_row;
    const real *x[RB];
    UNROLL(8)
    for (int j = 0; j < n; j++) x[j] = (const real *)sums->x + sums->offset[j] + r * sums->x_row;
    for (int64_t q = 0, at = 0; q < count; q++, gy += gy_step, at += x_step) {
      vec b[RB];
      UNROLL(8)
      for (int j = 0; j < n; j++) b[j] = hold(load(x[j] + at));
      UNROLL(8)
      for (int i = 0; i < m; i++) {
        const vec a = hold(load(gy + i * plane));
        UNROLL(8)
        for (int j = 0; j < n; j++) acc[i][j] += a * b[j];
      }
    }
  }
  real *to = sums->sums;
  UNROLL(8)
  for (int i = 0; i < m; i++, to += sums->sums_pitch * VL) {
    UNROLL(8)
    for (int j = 0; j < n; j++) store(to + j * VL, load(to + j * VL) + acc[i][j]);
  }
}

#define TILE(m, n)                                                                                                     \
  case m * 8 + n:                                                                                                      \
    lane_sums_body(sums, m, n);                                                                                        \
    break;
#if RB == 2
#define COLUMNS(m) TILE(m, 1) TILE(m, 2)
#elif RB == 3
#define COLUMNS(m) TILE(m, 2) TILE(m, 3)
#elif RB == 5
#define COLUMNS(m) TILE(m, 3) TILE(m, 4) TILE(m, 5)
#endif
static void NAME(lane_sums)(const struct fcv_lane_sums *sums) {
  switch (sums->m * 8 + sums->n) {
    COLUMNS(1)
    COLUMNS(2)
    COLUMNS(3)
    COLUMNS(4)
#if RA == 5
    COLUMNS(5)
#endif
  }
}
#undef COLUMNS
#undef TILE
