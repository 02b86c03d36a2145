/* Weight gradients; contracts in products.h. */

#define wgrad_body NAME(wgrad_body)
INLINE void wgrad_body(const struct fcv_wgrad_tile *tile, const int rows, const int nv) {
  const void *const *a = tile->a;
  const int64_t pixels = tile->pixels, a_bytes = tile->a_bytes, b_pitch = tile->b_pitch;
  const int64_t ahead_rows = tile->ahead.rows;
  const real *b = tile->b;
  vec acc[MI][NV];
  UNROLL(16)
  for (int i = 0; i < rows; i++) {
    UNROLL(4)
    for (int v = 0; v < nv; v++) acc[i][v] = (vec){0};
  }

  const char *ahead = tile->ahead.from;
  for (int64_t q = 0; q < pixels;) {
    for (int64_t row = 0; row < ahead_rows; row++, ahead += tile->ahead.pitch)
      for (int64_t line = 0; line < tile->ahead.lines; line++) __builtin_prefetch(ahead + 64 * line, 0, 2);
    for (const int64_t end = pixels - q < FCV_TURN ? pixels : q + FCV_TURN; q < end; q++, b += b_pitch) {
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
  }

  const int adds = tile->into == FCV_ADD;
  UNROLL(16)
  for (int i = 0; i < rows; i++) {
    real *gw = (real *)tile->gw + i * tile->gw_pitch;
    UNROLL(4)
    for (int v = 0; v < nv; v++) {
      const int64_t left = tile->n - v * VL;
      if (left >= VL)
        store(gw + v * VL, adds ? load(gw + v * VL) + acc[i][v] : acc[i][v]);
      else if (left > 0)
        store_part(gw + v * VL, adds ? load_part(gw + v * VL, left) + acc[i][v] : acc[i][v], left);
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
#elif MI == 14
#define EACH_ROWS(nv)                                                                                                  \
  ROWS(1, nv)                                                                                                          \
  ROWS(2, nv)                                                                                                          \
  ROWS(3, nv)                                                                                                          \
  ROWS(4, nv)                                                                                                          \
  ROWS(5, nv) ROWS(6, nv) ROWS(7, nv) ROWS(8, nv) ROWS(9, nv) ROWS(10, nv) ROWS(11, nv) ROWS(12, nv) ROWS(13, nv)
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
