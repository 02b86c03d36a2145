/* Depthwise convolution; contracts in kernels.h. */

/* Lines of a tile: with 5 taps' weights and an input vector they fit into 16 registers. */
#define DEPTHWISE_LINES 4

/* nv vectors of each of some lines. taps > 0: as many, step * x_tap == x_step, so that neighbouring lines have taps in
 * common, and each vector of x is loaded once for all of them. The same order of sums in any case. */
#define depthwise_lines NAME(depthwise_lines)
INLINE void depthwise_lines(const struct fcv_depthwise *d, int64_t i, int64_t j, const int lines, const int nv,
                            const int taps, const int step, const int plane) {
  const int64_t x_step = d->x_step, x_tap = d->x_tap, w_tap = d->w_tap;
  const real *bias = d->bias;
  vec acc[DEPTHWISE_LINES][2];
  UNROLL(8)
  for (int l = 0; l < lines; l++) UNROLL(2)
  for (int v = 0; v < nv; v++) acc[l][v] = !bias ? (vec){0} : plane ? splat(*bias) : load(bias + j + v * VL);
  for (int64_t g = 0; g < d->groups; g++) {
    const real *x = (const real *)d->x[g] + d->x_offset + i * x_step + j;
    const real *w = (const real *)d->w[g] + d->w_offset + (plane ? 0 : j);
    if (taps > 0) {
      vec b[8][2];
      UNROLL(8)
      for (int t = 0; t < taps; t++, w += w_tap) UNROLL(2)
      for (int v = 0; v < nv; v++) b[t][v] = !plane ? load(w + v * VL) : v > 0 ? b[t][0] : splat(*w);
      UNROLL(16)
      for (int at = 0; at < (lines - 1) * step + taps; at++, x += x_tap) UNROLL(2)
      for (int v = 0; v < nv; v++) {
        const vec a = load(x + v * VL);
        UNROLL(8)
        for (int l = 0; l < lines; l++)
          if (at >= l * step && at - l * step < taps)
            acc[l][v] += a * b[at - l * step][v];
      }
    } else {
      for (int64_t t = 0; t < d->taps; t++, x += x_tap, w += w_tap) UNROLL(2)
      for (int v = 0; v < nv; v++) {
        const vec b = plane ? splat(*w) : load(w + v * VL);
        UNROLL(8)
        for (int l = 0; l < lines; l++) acc[l][v] += load(x + l * x_step + v * VL) * b;
      }
    }
  }
  if (d->activation != FCV_LINEAR) {
    const real slope = (real)d->slope;
    UNROLL(8)
    for (int l = 0; l < lines; l++) UNROLL(2)
    for (int v = 0; v < nv; v++) acc[l][v] = d->activation == FCV_RELU ? relu(acc[l][v]) : leaky_relu(acc[l][v], slope);
  }
  real *y = (real *)d->y + i * d->y_step + j;
  UNROLL(8)
  for (int l = 0; l < lines; l++, y += d->y_step) UNROLL(2)
  for (int v = 0; v < nv; v++) /* What a short line writes behind its end is written over by the next ones. */
    if (nv > 1 || d->width >= VL || (d->y_step == d->width && (d->count - i - l) * d->width >= VL))
      store(y + v * VL, acc[l][v]);
    else
      store_part(y, acc[l][v], d->width);
}

#define depthwise_tile NAME(depthwise_tile)
INLINE void depthwise_tile(const struct fcv_depthwise *d, int64_t i, const int lines, const int nv, const int taps,
                           const int step, const int plane) {
  const int64_t last = d->width > VL ? d->width - VL : 0;
  int64_t j = 0;
  if (nv == 2)
    for (; j + 2 * VL <= d->width; j += 2 * VL) depthwise_lines(d, i, j, lines, 2, taps, step, plane);
  for (; j < d->width; j += VL) depthwise_lines(d, i, j < last ? j : last, lines, 1, taps, step, plane);
}

/* Lines that make a tile together; the last tile ends with the last line, as the last vector ends with a line. */
#define depthwise_all NAME(depthwise_all)
INLINE void depthwise_all(const struct fcv_depthwise *lines, const int nv, const int taps, const int step,
                          const int plane) {
  const struct fcv_depthwise d = *lines; /* no store can change it */
  const int64_t last = d.count - DEPTHWISE_LINES;
  if (last >= 0)
    for (int64_t i = 0; i < d.count; i += DEPTHWISE_LINES)
      depthwise_tile(&d, i < last ? i : last, DEPTHWISE_LINES, nv, taps, step, plane);
  else
    for (int64_t i = 0; i < d.count; i++) depthwise_tile(&d, i, 1, 2, 0, 0, plane);
}

#define depthwise_any NAME(depthwise_any)
INLINE void depthwise_any(const struct fcv_depthwise *d, const int plane) {
  const int step = d->x_step == d->x_tap ? 1 : d->x_step == 2 * d->x_tap ? 2 : 0;
  if (d->taps == 3 && step == 1)
    depthwise_all(d, 2, 3, 1, plane);
  else if (d->taps == 3 && step == 2)
    depthwise_all(d, 2, 3, 2, plane);
  else if (d->taps == 5 && step == 1)
    depthwise_all(d, 1, 5, 1, plane);
  else
    depthwise_all(d, 2, 0, 0, plane);
}

static void NAME(depthwise_last)(const struct fcv_depthwise *d) { depthwise_any(d, 0); }
static void NAME(depthwise_first)(const struct fcv_depthwise *d) { depthwise_any(d, 1); }

/* The sums of some taps, as many as there are registers for. */
#define depthwise_sum NAME(depthwise_sum)
INLINE void depthwise_sum(const struct fcv_depthwise_sums *s, int64_t first_tap, int64_t j, const int taps,
                          const int plane) {
  const int64_t width = s->width, rest = width % VL;
  const real *x[FCV_DEPTHWISE_TAPS], *gy = (const real *)s->gy + j;
  vec acc[FCV_DEPTHWISE_TAPS];
  real inside[VL];
  for (int l = 0; l < VL; l++) inside[l] = width < VL ? l < width : l >= VL - rest;
  const ivec mask = load(inside) != (vec){0};
  UNROLL(16)
  for (int t = 0; t < taps; t++) {
    x[t] = (const real *)s->x[first_tap + t] + s->x_offset + j;
    acc[t] = (vec){0};
  }
  for (int64_t r = 0; r < s->rows; r++, gy += s->gy_row) {
    int64_t at = r * s->x_row;
    if (plane) {
      int64_t i = 0;
      for (; i + VL <= width; i += VL) {
        const vec g = load(gy + i);
        UNROLL(16)
        for (int t = 0; t < taps; t++) acc[t] += load(x[t] + at + i) * g;
      }
      if (rest == 0)
        continue;
      i = width < VL ? 0 : width - VL; /* lanes that had their turn are left out */
      const int reads = width >= VL || (s->rows - 1 - r) * s->gy_row + width >= VL;
      const vec g = select(mask, reads ? load(gy + i) : load_part(gy, width), (vec){0});
      UNROLL(16)
      for (int t = 0; t < taps; t++) acc[t] += select(mask, load(x[t] + at + i), (vec){0}) * g;
    } else {
      for (int64_t i = 0; i < s->count; i++, at += s->x_step) {
        const vec g = load(gy + i * s->gy_step);
        UNROLL(16)
        for (int t = 0; t < taps; t++) acc[t] += load(x[t] + at) * g;
      }
    }
  }
  UNROLL(16)
  for (int t = 0; t < taps; t++) {
    real *gw = (real *)s->gw[first_tap + t] + s->gw_offset + j;
    store(gw, load(gw) + acc[t]);
  }
}

#define depthwise_sum_taps NAME(depthwise_sum_taps)
INLINE void depthwise_sum_taps(const struct fcv_depthwise_sums *sums, int64_t j, const int plane) {
  const struct fcv_depthwise_sums s = *sums;
  int64_t t = 0;
  for (; t + FCV_DEPTHWISE_TAPS <= s.taps; t += FCV_DEPTHWISE_TAPS) depthwise_sum(&s, t, j, FCV_DEPTHWISE_TAPS, plane);
  for (; t + 5 <= s.taps; t += 5) depthwise_sum(&s, t, j, 5, plane);
  for (; t + 2 <= s.taps; t += 2) depthwise_sum(&s, t, j, 2, plane);
  for (; t < s.taps; t++) depthwise_sum(&s, t, j, 1, plane);
}

static void NAME(depthwise_sums_last)(const struct fcv_depthwise_sums *sums) {
  for (int64_t j = 0; j < sums->width; j += VL) depthwise_sum_taps(sums, j, 0);
}

static void NAME(depthwise_sums_first)(const struct fcv_depthwise_sums *sums) { depthwise_sum_taps(sums, 0, 1); }
