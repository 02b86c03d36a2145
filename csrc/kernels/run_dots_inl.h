/* Products of rows with rows where they lie; contract in kernels.h. After dots_inl.h. */

#define run_dots_body NAME(run_dots_body)
INLINE void run_dots_body(const struct fcv_run_dots *dots, const int m) {
  const int sums = (m * DB + VL - 1) / VL;
  const int64_t rows = dots->rows, whole = dots->row_runs - (dots->skip > 0);
  const int64_t ahead_rows = dots->ahead_rows, pitch = dots->a_pitch;
  const struct fcv_run *run = dots->run;
  const real *ahead = dots->ahead;
  const real *a[DA], *b[DB];
  vec acc[(DA * DB + VL - 1) / VL * VL], sum[(DA * DB + VL - 1) / VL];
  ivec lane_number;
  UNROLL(16)
  for (int i = 0; i < VL; i++) lane_number[i] = i;
  const ivec part = lane_number >= (lane)dots->skip;
  UNROLL(16)
  for (int i = 0; i < m; i++) a[i] = (const real *)dots->a + i * pitch;
  UNROLL(4)
  for (int j = 0; j < DB; j++) b[j] = (const real *)dots->b + dots->offset[j];
  UNROLL(64)
  for (int i = 0; i < sums * VL; i++) acc[i] = (vec){0};

  for (int64_t r = 0; r < rows; r++) {
    for (const struct fcv_run *end = run + whole; run < end; run++) {
      for (int64_t i = 0; i < ahead_rows; i++) __builtin_prefetch(ahead + i * pitch + run->to, 0, 2);
      vec y[DB];
      UNROLL(4)
      for (int j = 0; j < DB; j++) y[j] = hold(load(b[j] + run->from));
      UNROLL(16)
      for (int i = 0; i < m; i++) {
        const vec x = hold(load(a[i] + run->to));
        UNROLL(4)
        for (int j = 0; j < DB; j++) acc[i * DB + j] += x * y[j];
      }
    }
    if (dots->skip) {
      vec y[DB];
      UNROLL(4)
      for (int j = 0; j < DB; j++) y[j] = (vec)((ivec)load(b[j] + run->from) & part);
      UNROLL(16)
      for (int i = 0; i < m; i++) {
        const vec x = (vec)((ivec)load(a[i] + run->to) & part);
        UNROLL(4)
        for (int j = 0; j < DB; j++) acc[i * DB + j] += x * y[j];
      }
      run++;
    }
  }

  add_lanes(acc, sum, sums);
  real *c = dots->c;
  UNROLL(16)
  for (int s = 0; s < sums; s++) store(c + s * VL, dots->accumulate ? load(c + s * VL) + sum[s] : sum[s]);
}

#define ROWS(m)                                                                                                        \
  case m:                                                                                                              \
    run_dots_body(dots, m);                                                                                            \
    break;
#if DA == 4
#define EACH_ROWS ROWS(1) ROWS(2) ROWS(3) ROWS(4)
#elif DA == 6
#define EACH_ROWS ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6)
#endif
static void NAME(run_dots)(const struct fcv_run_dots *dots) {
  switch (dots->m) { EACH_ROWS }
}
#undef EACH_ROWS
#undef ROWS
