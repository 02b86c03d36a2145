/* Sums of weighted rows and elements; contracts in elements.h. The first product of a sum is held: of two the compiler
 * would choose which one it rounds, here another than there, and formats and places would differ in their last bits. */

/* Two vectors at a time, for one conversion and broadcast of a weight. Tried 4: 80% slower with AVX-512 where rows come
 * from memory, 64-byte aligned (gradient of nearest 56x56 -> 112x112). */
#define weighted_block NAME(weighted_block)
INLINE void weighted_block(const int vectors, int64_t rows, int64_t at, const real *const *x, const double *weight,
                           real *y) {
  vec total[2];
  for (int v = 0; v < vectors; v++) total[v] = hold((real)weight[0] * load(x[0] + at + v * VL));
  for (int64_t r = 1; r < rows; r++) {
    const vec w = splat((real)weight[r]);
    for (int v = 0; v < vectors; v++) total[v] += w * load(x[r] + at + v * VL);
  }
  for (int v = 0; v < vectors; v++) store(y + at + v * VL, total[v]);
}

static void NAME(weighted_sum)(int64_t rows, int64_t count, const void *const *from, const double *weight, void *to) {
  const real *const *x = (const real *const *)from;
  real *y = to;
  int64_t i = 0;
  for (; i + 2 * VL <= count; i += 2 * VL) weighted_block(2, rows, i, x, weight, y);
  for (; i + VL <= count; i += VL) weighted_block(1, rows, i, x, weight, y);
  for (; i < count; i++) {
    real total = hold_one((real)weight[0] * x[0][i]);
    for (int64_t r = 1; r < rows; r++) total += (real)weight[r] * x[r][i];
    y[i] = total;
  }
}

/* taps is constant where it is inlined: the loop over it disappears. */
#define gather_elements NAME(gather_elements)
INLINE void gather_elements(int64_t count, const int64_t taps, const int64_t *index, const real *weight, const real *x,
                            real *y) {
  for (int64_t o = 0; o < count; o++, index += taps, weight += taps) {
    real total = hold_one(weight[0] * x[index[0]]);
    for (int64_t t = 1; t < taps; t++) total += weight[t] * x[index[t]];
    y[o] = total;
  }
}

#define gather_pixels NAME(gather_pixels)
INLINE void gather_pixels(int64_t count, const int64_t taps, int64_t channels, const int64_t *index, const real *weight,
                          const real *x, real *y) {
  for (int64_t o = 0; o < count; o++, index += taps, weight += taps, y += channels) {
    int64_t c = 0;
    for (; c + VL <= channels; c += VL) {
      vec total = hold(weight[0] * load(x + index[0] * channels + c));
      for (int64_t t = 1; t < taps; t++) total += weight[t] * load(x + index[t] * channels + c);
      store(y + c, total);
    }
    for (; c < channels; c++) {
      real total = hold_one(weight[0] * x[index[0] * channels + c]);
      for (int64_t t = 1; t < taps; t++) total += weight[t] * x[index[t] * channels + c];
      y[c] = total;
    }
  }
}

static void NAME(gather)(int64_t count, int64_t taps, int64_t channels, const int64_t *index, const void *weight,
                         const void *x, void *y) {
  if (channels > 1 && taps == 2)
    gather_pixels(count, 2, channels, index, weight, x, y);
  else if (channels > 1)
    gather_pixels(count, taps, channels, index, weight, x, y);
  else if (taps == 1)
    gather_elements(count, 1, index, weight, x, y);
  else if (taps == 2)
    gather_elements(count, 2, index, weight, x, y);
  else
    gather_elements(count, taps, index, weight, x, y);
}
