/* Weight gradients; contracts in kernels.h. */

#define wgrad_body NAME(wgrad_body)
INLINE void wgrad_body(int64_t pixels, const void *const *a, int64_t a_bytes, const real *b, int64_t b_pitch, real *gw,
                       const int nv) {
  vec acc[MI][NV];
  UNROLL(16)
  for (int i = 0; i < MI; i++) {
    UNROLL(4)
    for (int v = 0; v < nv; v++) acc[i][v] = (vec){0};
  }

  for (int64_t q = 0; q < pixels; q++, b += b_pitch) {
    const real *x = (const real *)((const char *)a[q] + a_bytes);
    vec gy[NV];
    UNROLL(4)
    for (int v = 0; v < nv; v++) gy[v] = load(b + v * VL);
    UNROLL(16)
    for (int i = 0; i < MI; i++) {
      const real s = x[i];
      UNROLL(4)
      for (int v = 0; v < nv; v++) acc[i][v] += s * gy[v];
    }
  }

  UNROLL(16)
  for (int i = 0; i < MI; i++) {
    UNROLL(4)
    for (int v = 0; v < nv; v++) store(gw + (i * nv + v) * VL, load(gw + (i * nv + v) * VL) + acc[i][v]);
  }
}

#define WGRAD(nv)                                                                                                      \
  static void NAME(wgrad_##nv)(int64_t pixels, const void *const *a, int64_t a_bytes, const void *b, int64_t b_pitch,  \
                               void *gw) {                                                                             \
    wgrad_body(pixels, a, a_bytes, b, b_pitch, gw, nv);                                                                \
  }
WGRAD(1)
WGRAD(2)
#if NV == 4
WGRAD(3)
WGRAD(4)
#endif
#undef WGRAD
