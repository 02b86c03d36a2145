/* Weight gradients; contracts in kernels.h. */

#define wgrad_body NAME(wgrad_body)
INLINE void wgrad_body(const struct fcv_wgrad_tile *tile, const int rows, const int nv) {
  const void *const *a = tile->a;
  const int64_t pixels = tile->pixels, a_bytes = tile->a_bytes, b_pitch = tile->b_pitch;
  const real *b = tile->b;
  vec acc[MI][NV];
  UNROLL(16)
  for (int i = 0; i < rows; i++) {
    UNROLL(4)
    for (int v = 0; v < nv; v++) acc[i][v] = (vec){0};
  }

  for (int64_t q = 0; q < pixels; q++, b += b_pitch) {
    const real *x = (const real *)((const char *)a[q] + a_bytes);
    vec gy[NV];
    UNROLL(4)
    for (int v = 0; v < nv; v++) gy[v] = load(b + v * VL);
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
      const real s = x[i];
      UNROLL(4)
      for (int v = 0; v < nv; v++) acc[i][v] += s * gy[v];
    }
  }

  const int accumulate = tile->accumulate;
  UNROLL(16)
  for (int i = 0; i < rows; i++) {
    real *gw = (real *)tile->gw + i * tile->gw_pitch;
    UNROLL(4)
    for (int v = 0; v < nv; v++) {
      const int64_t left = tile->n - v * VL;
      if (left >= VL)
        store(gw + v * VL, accumulate ? load(gw + v * VL) + acc[i][v] : acc[i][v]);
      else if (left > 0)
        store_part(gw + v * VL, accumulate ? load_part(gw + v * VL, left) + acc[i][v] : acc[i][v], left);
    }
  }
}

#define ROWS(r, nv)                                                                                                    \
  case r:                                                                                                              \
    wgrad_body(tile, r, nv);                                                                                           \
    break;
#if MI == 4
#define EACH_ROWS(nv) ROWS(1, nv) ROWS(2, nv) ROWS(3, nv)
#elif MI == 6
#define EACH_ROWS(nv) ROWS(1, nv) ROWS(2, nv) ROWS(3, nv) ROWS(4, nv) ROWS(5, nv)
#elif MI == 8
#define EACH_ROWS(nv) ROWS(1, nv) ROWS(2, nv) ROWS(3, nv) ROWS(4, nv) ROWS(5, nv) ROWS(6, nv) ROWS(7, nv)
#endif
#define WGRAD(nv)                                                                                                      \
  static void NAME(wgrad_##nv)(const struct fcv_wgrad_tile *tile) {                                                    \
    switch (tile->m) {                                                                                                 \
      EACH_ROWS(nv)                                                                                                    \
    default:                                                                                                           \
      wgrad_body(tile, MI, nv);                                                                                        \
    }                                                                                                                  \
  }
WGRAD(1)
WGRAD(2)
#if NV == 4
WGRAD(3)
WGRAD(4)
#endif
#undef WGRAD
#undef EACH_ROWS
#undef ROWS

/* As many taps at a time as there are registers for, with nv vectors of channels: 9 x 2 of 32, 6 x 2 of 16. */
#define depthwise_wgrad_body NAME(depthwise_wgrad_body)
INLINE void depthwise_wgrad_body(int64_t pixels, const void *const *a, int64_t pitch, const void *const *b,
                                 int64_t bytes, real *gw, int64_t gw_pitch, const int taps, const int nv) {
  vec acc[FCV_DEPTHWISE_TAPS][2];
  UNROLL(16)
  for (int t = 0; t < taps; t++) {
    UNROLL(2)
    for (int v = 0; v < nv; v++) acc[t][v] = (vec){0};
  }
  for (int64_t q = 0; q < pixels; q++) {
    const real *gy = (const real *)((const char *)b[q] + bytes);
    vec g[2];
    UNROLL(2)
    for (int v = 0; v < nv; v++) g[v] = load(gy + v * VL);
    UNROLL(16)
    for (int t = 0; t < taps; t++) {
      const real *x = (const real *)((const char *)a[t * pitch + q] + bytes);
      UNROLL(2)
      for (int v = 0; v < nv; v++) acc[t][v] += load(x + v * VL) * g[v];
    }
  }
  UNROLL(16)
  for (int t = 0; t < taps; t++) {
    UNROLL(2)
    for (int v = 0; v < nv; v++) store(gw + t * gw_pitch + v * VL, load(gw + t * gw_pitch + v * VL) + acc[t][v]);
  }
}

#define depthwise_wgrad_taps NAME(depthwise_wgrad_taps)
INLINE void depthwise_wgrad_taps(int64_t taps, int64_t pixels, const void *const *a, int64_t pitch,
                                 const void *const *b, int64_t bytes, real *gw, int64_t gw_pitch, const int nv) {
  const int most = MR * NV > 16 ? FCV_DEPTHWISE_TAPS : 6;
  int64_t t = 0;
  for (; t + most <= taps; t += most)
    depthwise_wgrad_body(pixels, a + t * pitch, pitch, b, bytes, gw + t * gw_pitch, gw_pitch, most, nv);
  for (; t + 3 <= taps; t += 3)
    depthwise_wgrad_body(pixels, a + t * pitch, pitch, b, bytes, gw + t * gw_pitch, gw_pitch, 3, nv);
  for (; t < taps; t++)
    depthwise_wgrad_body(pixels, a + t * pitch, pitch, b, bytes, gw + t * gw_pitch, gw_pitch, 1, nv);
}

static void NAME(depthwise_wgrad)(int64_t taps, int64_t channels, int64_t pixels, const void *const *a, int64_t pitch,
                                  const void *const *b, void *gw) {
  for (int64_t j = 0; j < channels; j += 2 * VL) {
    real *to = (real *)gw + j;
    if (channels - j > VL)
      depthwise_wgrad_taps(taps, pixels, a, pitch, b, j * (int64_t)sizeof(real), to, channels, 2);
    else
      depthwise_wgrad_taps(taps, pixels, a, pitch, b, j * (int64_t)sizeof(real), to, channels, 1);
  }
}
