/* Weight gradients; contracts in products.h. */

/* The next pixels of the sums. */
#define wgrad_pixels NAME(wgrad_pixels)
INLINE void wgrad_pixels(const void *const *a, int64_t a_bytes, const real *b, int64_t b_pitch, vec acc[MI][WIDE_NV],
                         const int rows, const int nv, const int pixels) {
  UNROLL(4)
  for (int q = 0; q < pixels; q++) {
    const real *x = (const real *)((const char *)a[q] + a_bytes);
    vec gy[WIDE_NV];
    UNROLL(4)
    for (int v = 0; v < nv; v++) gy[v] = load(b + q * b_pitch + v * VL);
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
      const real s = x[i];
      UNROLL(4)
      for (int v = 0; v < nv; v++) acc[i][v] += s * gy[v];
    }
  }
}

#define wgrad_body NAME(wgrad_body)
INLINE void wgrad_body(const struct fcv_wgrad_tile *tile, int first, const int rows, const int nv) {
  const int together = nv > NV ? 4 : 1;
  const void *const *a = tile->a;
  const int64_t pixels = tile->pixels, a_bytes = tile->a_bytes + first * (int64_t)sizeof(real), b_pitch = tile->b_pitch;
  const int64_t ahead_rows = first > 0 ? 0 : tile->ahead.rows, turn = ahead_rows > 0 ? FCV_TURN : pixels;
  const real *b = tile->b;
  vec acc[MI][WIDE_NV];
  UNROLL(16)
  for (int i = 0; i < rows; i++) {
    UNROLL(4)
    for (int v = 0; v < nv; v++) acc[i][v] = (vec){0};
  }

  const char *ahead = tile->ahead.from;
  for (int64_t q = 0; q < pixels;) {
    for (int64_t row = 0; row < ahead_rows; row++, ahead += tile->ahead.pitch)
      for (int64_t line = 0; line < tile->ahead.lines; line++) __builtin_prefetch(ahead + 64 * line, 0, 2);
    const int64_t end = pixels - q < turn ? pixels : q + turn;
    for (; together > 1 && q + together <= end; q += together, b += together * b_pitch)
      wgrad_pixels(a + q, a_bytes, b, b_pitch, acc, rows, nv, together);
    for (; q < end; q++, b += b_pitch) wgrad_pixels(a + q, a_bytes, b, b_pitch, acc, rows, nv, 1);
  }

  const int adds = tile->into == FCV_ADD;
  UNROLL(16)
  for (int i = 0; i < rows; i++) {
    real *gw = (real *)tile->gw + (first + i) * tile->gw_pitch;
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
    wgrad_body(tile, 0, r, nv);                                                                                        \
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
      wgrad_body(tile, 0, MI, nv);                                                                                     \
    }                                                                                                                  \
  }
WGRAD(1)
WGRAD(2)
#if NV == 4
WGRAD(3)
WGRAD(4)
#endif
#if WIDE_NV > NV
#define BODY(r, nv) wgrad_body(tile, first, r, nv)
IN_HALVES(wgrad_3, fcv_wgrad_tile, WIDE_MI, 3)
IN_HALVES(wgrad_4, fcv_wgrad_tile, WIDE_MI, 4)
#undef BODY
#endif
#undef WGRAD
#undef EACH_ROWS
#undef ROWS
