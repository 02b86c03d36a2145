/* Direct convolution to few output channels; contract in products.h. */

/* Pixels of a tile stay in registers, as many as leave room for a kernel row of weights: of 32 registers, or of 16. */
#define NARROW (MR == 14 ? 14 : 8)

/* Each value of x is read once for all pixels that meet it. pixels is even; of an odd number the last is dropped.
 * kc: a constant in the bodies for images of one and of three channels. */
#define narrow_body NAME(narrow_body)
INLINE void narrow_body(const struct fcv_narrow *tile, const int pixels, const int columns, const int64_t kc) {
  const int64_t y_step = tile->y_step, m = tile->m, n = tile->n;
  const real *w = tile->w;
  vec acc[NARROW];
  UNROLL(16)
  for (int i = 0; i < pixels; i++) acc[i] = tile->bias ? load(tile->bias) : (vec){0};
  for (int64_t t = 0; t < tile->taps; t++) {
    const real *x = (const real *)tile->x[t] + tile->x_offset;
    for (int64_t k = 0; k < kc; k++, w += columns * VL) {
      vec b[5];
      UNROLL(8)
      for (int u = 0; u < columns; u++) b[u] = load(w + u * VL);
      UNROLL(32)
      for (int q = 0; q < pixels + columns - 1; q++) {
        const real s = x[q * kc + k];
        UNROLL(8)
        for (int u = 0; u < columns; u++)
          if (q >= u && q - u < pixels)
            acc[q - u] += s * b[u];
      }
    }
  }
  const real slope = (real)tile->slope;
  real *y = tile->y;
  if (tile->activation == FCV_RELU) {
    UNROLL(16)
    for (int i = 0; i < pixels; i++) acc[i] = relu(acc[i]);
  } else if (tile->activation == FCV_LEAKY_RELU) {
    UNROLL(16)
    for (int i = 0; i < pixels; i++) acc[i] = leaky_relu(acc[i], slope);
  }
  if (m == pixels && n == VL && !tile->past_caches) { /* as nearly always */
    UNROLL(16)
    for (int i = 0; i < pixels; i++) store(y + i * y_step, acc[i]);
    return;
  }
  UNROLL(16)
  for (int i = 0; i < pixels; i++, y += y_step) {
    if (i >= m)
      break;
    if (tile->past_caches)
      stream(y, acc[i]);
    else if (n == VL)
      store(y, acc[i]);
    else
      store_part(y, acc[i], n);
  }
}

#define PAIR(r, columns)                                                                                               \
  case r - 1:                                                                                                          \
  case r:                                                                                                              \
    narrow_body(tile, r, columns, tile->kc);                                                                           \
    break;
#if MR == 14
#define EACH_PAIR(columns)                                                                                             \
  PAIR(2, columns) PAIR(4, columns) PAIR(6, columns) PAIR(8, columns) PAIR(10, columns) PAIR(12, columns)
#else
#define EACH_PAIR(columns) PAIR(2, columns) PAIR(4, columns) PAIR(6, columns)
#endif
static void NAME(narrow)(const struct fcv_narrow *tile) {
  if (tile->columns == 3)
    switch (tile->m) {
      EACH_PAIR(3)
    default:
      if (tile->kc == 1)
        narrow_body(tile, NARROW, 3, 1);
      else if (tile->kc == 3)
        narrow_body(tile, NARROW, 3, 3);
      else
        narrow_body(tile, NARROW, 3, tile->kc);
    }
  else
    switch (tile->m) {
      EACH_PAIR(5)
    default:
      if (tile->kc == 1)
        narrow_body(tile, NARROW, 5, 1);
      else if (tile->kc == 3)
        narrow_body(tile, NARROW, 5, 3);
      else
        narrow_body(tile, NARROW, 5, tile->kc);
    }
}
#undef EACH_PAIR
#undef PAIR
