/* Products of weights with pixels of channels-first images where they lie; contract in planes.h. */

/* m x at_once vectors stay in registers. With fewer rows than runs their weights do meanwhile, else the pixels. */
#define runs_body NAME(runs_body)
INLINE void runs_body(const struct fcv_runs *runs, const int m, const int at_once) {
  const real *bias = runs->bias, slope = (real)runs->slope;
  const int activation = runs->activation; /* for all that the compiler sees y may lie there, and so below */
  const int64_t terms = runs->terms, count = runs->count, plane = runs->y_plane;
  for (int64_t first = 0; first < count; first += at_once) {
    const struct fcv_run *run = runs->run + first;
    const int last = count - first < at_once ? (int)(count - first) - 1 : at_once - 1;
    const int64_t *offset = runs->offset;
    const real *x[8], *w = runs->w;
    int64_t to[8];
    vec acc[MR][8];
    UNROLL(8)
    for (int r = 0; r < at_once; r++) {
      x[r] = (const real *)runs->x + run[r < last ? r : last].from;
      to[r] = run[r < last ? r : last].to;
    }
    real *y = runs->y;
    UNROLL(16)
    for (int i = 0; i < m; i++) {
      UNROLL(8)
      for (int r = 0; r < at_once; r++) acc[i][r] = bias ? splat(bias[i]) : (vec){0};
    }
    const real *line = y;
    for (int i = 0; i < m; i++, line += plane) {
      UNROLL(8)
      for (int r = 0; r < at_once; r++) __builtin_prefetch(line + to[r], 1);
    }
    for (int64_t t = 0; t < terms; t++, w += m) {
      const int64_t at = offset[t];
      if (m < at_once) {
        vec s[MR];
        UNROLL(16)
        for (int i = 0; i < m; i++) s[i] = hold(splat(w[i]));
        UNROLL(8)
        for (int r = 0; r < at_once; r++) {
          const vec b = hold(load(x[r] + at));
          UNROLL(16)
          for (int i = 0; i < m; i++) acc[i][r] += s[i] * b;
        }
      } else {
        vec b[8];
        UNROLL(8)
        for (int r = 0; r < at_once; r++) b[r] = hold(load(x[r] + at));
        UNROLL(16)
        for (int i = 0; i < m; i++) {
          const real s = w[i];
          UNROLL(8)
          for (int r = 0; r < at_once; r++) acc[i][r] += s * b[r];
        }
      }
    }
    if (activation != FCV_LINEAR) {
      UNROLL(16)
      for (int i = 0; i < m; i++) {
        UNROLL(8)
        for (int r = 0; r < at_once; r++)
          acc[i][r] = activation == FCV_RELU ? relu(acc[i][r]) : leaky_relu(acc[i][r], slope);
      }
    }
    UNROLL(16)
    for (int i = 0; i < m; i++, y += plane) {
      UNROLL(8)
      for (int r = 0; r < at_once; r++) store(y + to[r], acc[i][r]);
    }
  }
}

#define RUNS(m, at_once)                                                                                               \
  case m:                                                                                                              \
    runs_body(runs, m, at_once);                                                                                       \
    break;
#if MR == 4
#define EACH_TILE RUNS(1, 8) RUNS(2, 4) RUNS(3, 3) RUNS(4, 2)
#elif MR == 5
#define EACH_TILE RUNS(1, 8) RUNS(2, 8) RUNS(3, 6) RUNS(4, 5) RUNS(5, 4)
#elif MR == 6
#define EACH_TILE RUNS(1, 8) RUNS(2, 6) RUNS(3, 4) RUNS(4, 3) RUNS(5, 2) RUNS(6, 2)
#elif MR == 14
#define EACH_TILE                                                                                                      \
  RUNS(1, 8)                                                                                                           \
  RUNS(2, 8)                                                                                                           \
  RUNS(3, 8)                                                                                                           \
  RUNS(4, 6)                                                                                                           \
  RUNS(5, 5)                                                                                                           \
  RUNS(6, 4)                                                                                                           \
  RUNS(7, 3)                                                                                                           \
  RUNS(8, 3) RUNS(9, 3) RUNS(10, 2) RUNS(11, 2) RUNS(12, 2) RUNS(13, 2) RUNS(14, 2)
#endif
static void NAME(runs)(const struct fcv_runs *runs) {
  switch (runs->m) { EACH_TILE }
}
#undef EACH_TILE
#undef RUNS
