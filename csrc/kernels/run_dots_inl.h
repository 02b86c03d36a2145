/* Products of rows with rows where they lie; contract in planes.h. After dots_inl.h. */

#define run_dots_body NAME(run_dots_body)
INLINE void run_dots_body(const struct fcv_run_dots *dots, const int m, const int n) {
  const int sums = (m * n + VL - 1) / VL;
  const int64_t count = dots->count, pitch = dots->a_pitch;
  const real *a[DA], *b[RB], *tail[DA];
  const real *ahead = dots->ahead[0], *ahead_too = dots->ahead[1];
  real end[DA * VL];
  vec acc[(RA * RB + VL - 1) / VL * VL], sum[(RA * RB + VL - 1) / VL]; /* da x db are no more */
  ivec number;
  UNROLL(16)
  for (int i = 0; i < VL; i++) number[i] = i;
  UNROLL(16)
  for (int i = 0; i < m; i++) a[i] = (const real *)dots->a + i * pitch;
  UNROLL(8)
  for (int j = 0; j < n; j++) b[j] = (const real *)dots->b + dots->offset[j];
  UNROLL(64)
  for (int i = 0; i < sums * VL; i++) acc[i] = (vec){0};

  for (int64_t image = 0; image < dots->images; image++) {
    const int64_t lead = dots->begins ? 0 : (int64_t)(-((uintptr_t)a[0] / sizeof(real)) % VL);
    int64_t q = lead;
    if (lead > 0) {
      const ivec part = number >= (lane)(VL - lead);
      vec y[RB];
      UNROLL(8)
      for (int j = 0; j < n; j++) y[j] = (vec)((ivec)load(b[j] + lead - VL) & part);
      UNROLL(16)
      for (int i = 0; i < m; i++) {
        const vec x = (vec)((ivec)load(a[i] + lead - VL) & part);
        UNROLL(8)
        for (int j = 0; j < n; j++) acc[i * n + j] += x * y[j];
      }
    }
    for (; q + VL <= count; q += VL) {
      __builtin_prefetch(ahead + q, 0, 2); /* a loop over some rows would cost 10% */
      __builtin_prefetch(ahead_too + q, 0, 2);
      vec y[RB];
      UNROLL(8)
      for (int j = 0; j < n; j++) y[j] = hold(load(b[j] + q));
      UNROLL(16)
      for (int i = 0; i < m; i++) {
        const vec x = hold(load(a[i] + q));
        UNROLL(8)
        for (int j = 0; j < n; j++) acc[i * n + j] += x * y[j];
      }
    }
    if (q < count) {
      const ivec part = number < (lane)(count - q);
      for (int i = 0; i < m; i++) {
        tail[i] = a[i] + q;
        if (dots->ends) {
          copy_part(end + i * VL, tail[i], count - q);
          tail[i] = end + i * VL;
        }
      }
      vec y[RB];
      UNROLL(8)
      for (int j = 0; j < n; j++) y[j] = (vec)((ivec)load(b[j] + q) & part);
      UNROLL(16)
      for (int i = 0; i < m; i++) {
        const vec x = (vec)((ivec)load(tail[i]) & part);
        UNROLL(8)
        for (int j = 0; j < n; j++) acc[i * n + j] += x * y[j];
      }
    }
    UNROLL(16)
    for (int i = 0; i < m; i++) a[i] += dots->a_image;
    UNROLL(8)
    for (int j = 0; j < n; j++) b[j] += dots->b_image;
    ahead += dots->ahead_image[0];
    ahead_too += dots->ahead_image[1];
  }

  add_lanes(acc, sum, sums);
  real *c = dots->c;
  UNROLL(16)
  for (int s = 0; s < sums; s++) store(c + s * VL, dots->into == FCV_ADD ? load(c + s * VL) + sum[s] : sum[s]);
}

#define TILE(m, n)                                                                                                     \
  case m * 8 + n:                                                                                                      \
    run_dots_body(dots, m, n);                                                                                         \
    break;
#if RB == 2
#define ROWS(m) TILE(m, 1) TILE(m, 2)
#elif RB == 3
#define ROWS(m) TILE(m, 2) TILE(m, 3)
#elif RB == 5
#define ROWS(m) TILE(m, 3) TILE(m, 4) TILE(m, 5)
#endif
#if RA == 4
#define EACH_TILE ROWS(1) ROWS(2) ROWS(3) ROWS(4)
#elif RA == 5 && DA == 6 && DB == 4
#define EACH_TILE ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) TILE(6, 3) TILE(6, 4)
#endif
static void NAME(run_dots)(const struct fcv_run_dots *dots) {
  switch (dots->m * 8 + dots->n) { EACH_TILE }
}
#undef EACH_TILE
#undef ROWS
#undef TILE
