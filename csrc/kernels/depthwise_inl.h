/* Depthwise convolution; contracts in kernels.h. */

/* Lines of a tile: with 5 taps' weights and an input vector they fit into 16 registers. */
#define DEPTHWISE_LINES 4
/* Sums of a weight gradient that are held, beside gy spread for 4 channels. */
#define DEPTHWISE_SUMS (VECTOR_BYTES == 64 ? 24 : 12)

/* nv vectors of each of some lines. taps > 0: as many, step * x_tap == x_step, so that neighbouring lines have taps in
 * common, and each vector of x is loaded, and spread over its groups, once for all of them. The same order of sums in
 * any case. */
#define depthwise_lines NAME(depthwise_lines)
INLINE void depthwise_lines(const struct fcv_depthwise *d, int64_t i, int64_t j, const int lines, const int nv,
                            const int inputs, const int taps, const int step, const int plane) {
  const int64_t x_step = d->x_step, x_tap = d->x_tap, w_tap = d->w_tap;
  const real *bias = d->bias;
  vec acc[2 * DEPTHWISE_LINES][4];
  UNROLL(8)
  for (int l = 0; l < lines; l++) UNROLL(4)
  for (int v = 0; v < nv; v++) acc[l][v] = !bias ? (vec){0} : plane ? splat(*bias) : load(bias + j + v * VL);
  for (int64_t g = 0; g < d->groups; g++) {
    const real *w = (const real *)d->w[g] + d->w_offset + (plane ? 0 : j);
    UNROLL(8)
    for (int k = 0; k < inputs; k++, w += d->w_input) {
      const real *x = (const real *)d->x[g] + d->x_offset + i * x_step + j, *w_at = w;
      if (taps > 0) {
        vec b[8][2];
        UNROLL(8)
        for (int t = 0; t < taps; t++, w_at += w_tap) UNROLL(2)
        for (int v = 0; v < nv; v++) b[t][v] = !plane ? load(w_at + v * VL) : v > 0 ? b[t][0] : splat(*w_at);
        UNROLL(32)
        for (int at = 0; at < (lines - 1) * step + taps; at++, x += x_tap) UNROLL(2)
        for (int v = 0; v < nv; v++) {
          if (inputs > 1 && k == 0) /* for the next tile */
            __builtin_prefetch(x + lines * x_step + v * VL);
          const vec a = spread(load(x + v * VL), inputs, k);
          UNROLL(8)
          for (int l = 0; l < lines; l++)
            if (at >= l * step && at - l * step < taps)
              acc[l][v] += a * b[at - l * step][v];
        }
      } else {
        for (int64_t t = 0; t < d->taps; t++, x += x_tap, w_at += w_tap) UNROLL(4)
        for (int v = 0; v < nv; v++) {
          const vec b = plane ? splat(*w_at) : load(w_at + v * VL);
          UNROLL(8)
          for (int l = 0; l < lines; l++) acc[l][v] += spread(load(x + l * x_step + v * VL), inputs, k) * b;
        }
      }
    }
  }
  if (d->activation != FCV_LINEAR) {
    const real slope = (real)d->slope;
    UNROLL(8)
    for (int l = 0; l < lines; l++) UNROLL(4)
    for (int v = 0; v < nv; v++) acc[l][v] = d->activation == FCV_RELU ? relu(acc[l][v]) : leaky_relu(acc[l][v], slope);
  }
  real *y = (real *)d->y + i * d->y_step + j;
  UNROLL(8)
  for (int l = 0; l < lines; l++, y += d->y_step) UNROLL(4)
  for (int v = 0; v < nv; v++) /* What a short line writes behind its end is written over by the next ones. */
    if (nv > 1 || inputs > 1 || d->width >= VL || (d->y_step == d->width && (d->count - i - l) * d->width >= VL))
      store(y + v * VL, acc[l][v]);
    else
      store_part(y, acc[l][v], d->width);
}

#define depthwise_tile NAME(depthwise_tile)
INLINE void depthwise_tile(const struct fcv_depthwise *d, int64_t i, const int lines, const int nv, const int inputs,
                           const int taps, const int step, const int plane) {
  const int64_t last = d->width > VL ? d->width - VL : 0;
  int64_t j = 0;
  if (nv > 1)
    for (; j + nv * VL <= d->width; j += nv * VL) depthwise_lines(d, i, j, lines, nv, inputs, taps, step, plane);
  for (; j < d->width; j += VL) depthwise_lines(d, i, j < last ? j : last, lines, 1, inputs, taps, step, plane);
}

/* Lines that make a tile together; the last tile ends with the last line, as the last vector ends with a line. */
#define depthwise_all NAME(depthwise_all)
INLINE void depthwise_all(const struct fcv_depthwise *lines, const int nv, const int inputs, const int taps,
                          const int step, const int plane) {
  const struct fcv_depthwise d = *lines; /* no store can change it */
  const int64_t few = d.count - DEPTHWISE_LINES, many = few - DEPTHWISE_LINES;
  int64_t i = 0;
  if (inputs > 1 && many >= 0)
    for (; i < few; i += 2 * DEPTHWISE_LINES)
      depthwise_tile(&d, i < many ? i : many, 2 * DEPTHWISE_LINES, 1, inputs, taps, step, plane);
  if (few >= 0)
    for (; i < d.count; i += DEPTHWISE_LINES)
      depthwise_tile(&d, i < few ? i : few, DEPTHWISE_LINES, nv, inputs, taps, step, plane);
  else
    for (; i < d.count; i++) depthwise_tile(&d, i, 1, inputs > 1 ? 4 : 2, inputs, 0, 0, plane);
}

#define depthwise_any NAME(depthwise_any)
INLINE void depthwise_any(const struct fcv_depthwise *d, const int inputs, const int plane) {
  const int step = d->x_step == d->x_tap ? 1 : d->x_step == 2 * d->x_tap ? 2 : 0;
  if (d->taps == 3 && step == 1)
    depthwise_all(d, 2, inputs, 3, 1, plane);
  else if (d->taps == 3 && step == 2)
    depthwise_all(d, 2, inputs, 3, 2, plane);
  else if (inputs == 1 && d->taps == 5 && step == 1)
    depthwise_all(d, 1, inputs, 5, 1, plane);
  else
    depthwise_all(d, 2, inputs, 0, 0, plane);
}

static void NAME(depthwise_last)(const struct fcv_depthwise *d) {
  if (d->inputs == 1)
    depthwise_any(d, 1, 0);
  else if (VL > 2 && d->inputs == 2)
    depthwise_any(d, 2, 0);
  else if (VL > 4 && d->inputs == 4)
    depthwise_any(d, 4, 0);
  else if (VL > 8)
    depthwise_any(d, 8, 0);
}

static void NAME(depthwise_first)(const struct fcv_depthwise *d) { depthwise_any(d, 1, 1); }

/* The sums of some taps and input channels of a group, as many as there are registers for. */
#define depthwise_sum NAME(depthwise_sum)
INLINE void depthwise_sum(const struct fcv_depthwise_sums *s, int64_t first_tap, int64_t j, const int taps,
                          const int outputs, const int first, const int some, const int plane) {
  const int64_t width = s->width, rest = width % VL;
  const real *x[FCV_DEPTHWISE_TAPS], *gy = (const real *)s->gy + j;
  vec acc[FCV_DEPTHWISE_TAPS][8];
  real inside[VL];
  for (int l = 0; l < VL; l++) inside[l] = width < VL ? l < width : l >= VL - rest;
  const ivec mask = load(inside) != (vec){0};
  UNROLL(16)
  for (int t = 0; t < taps; t++) {
    x[t] = (const real *)s->x[first_tap + t] + s->x_offset + j;
    UNROLL(8)
    for (int k = 0; k < some; k++) acc[t][k] = (vec){0};
  }
  for (int64_t r = 0; r < s->rows; r++, gy += s->gy_row) {
    int64_t at = r * s->x_row;
    if (plane) {
      int64_t i = 0;
      for (; i + VL <= width; i += VL) {
        const vec g = load(gy + i);
        UNROLL(16)
        for (int t = 0; t < taps; t++) acc[t][0] += load(x[t] + at + i) * g;
      }
      if (rest == 0)
        continue;
      i = width < VL ? 0 : width - VL; /* lanes that had their turn are left out */
      const int reads = width >= VL || (s->rows - 1 - r) * s->gy_row + width >= VL;
      const vec g = select(mask, reads ? load(gy + i) : load_part(gy, width), (vec){0});
      UNROLL(16)
      for (int t = 0; t < taps; t++) acc[t][0] += select(mask, load(x[t] + at + i), (vec){0}) * g;
    } else {
      for (int64_t i = 0; i < s->count; i++, at += s->x_step) {
        vec g[8];
        if (outputs > 1 && first == 0) { /* for the next row */
          __builtin_prefetch(x[taps - 1] + at + s->x_row, 0, 2);
          __builtin_prefetch(gy + i * s->gy_step + s->gy_row, 0, 2);
        }
        UNROLL(8)
        for (int k = 0; k < some; k++) g[k] = spread(load(gy + i * s->gy_step), outputs, first + k);
        UNROLL(16)
        for (int t = 0; t < taps; t++) UNROLL(8)
        for (int k = 0; k < some; k++) acc[t][k] += load(x[t] + at) * g[k];
      }
    }
  }
  UNROLL(16)
  for (int t = 0; t < taps; t++) UNROLL(8)
  for (int k = 0; k < some; k++) {
    real *gw = (real *)s->gw[first_tap + t] + s->gw_offset + (first + k) * s->gw_output + j;
    store(gw, load(gw) + acc[t][k]);
  }
}

/* All output channels of a group, as many at a time as the registers hold sums for. */
#define depthwise_sum_group NAME(depthwise_sum_group)
INLINE void depthwise_sum_group(const struct fcv_depthwise_sums *s, int64_t first_tap, int64_t j, const int taps,
                                const int outputs, const int plane) {
  const int some = taps * outputs > DEPTHWISE_SUMS ? outputs / 2 : outputs;
  UNROLL(2)
  for (int k = 0; k < outputs; k += some) depthwise_sum(s, first_tap, j, taps, outputs, k, some, plane);
}

#define depthwise_sum_taps NAME(depthwise_sum_taps)
INLINE void depthwise_sum_taps(const struct fcv_depthwise_sums *sums, int64_t j, const int outputs, const int plane) {
  const struct fcv_depthwise_sums s = *sums;
  const int rows = DEPTHWISE_SUMS / outputs / 3, many = rows < 2 ? 3 : rows < 3 ? 6 : 9; /* taps of kernel rows of 3 */
  const int some = outputs == 1 ? 5 : 3;
  int64_t t = 0;
  for (; t + many <= s.taps; t += many) depthwise_sum_group(&s, t, j, many, outputs, plane);
  for (; t + some <= s.taps; t += some) depthwise_sum_group(&s, t, j, some, outputs, plane);
  for (; t + 2 <= s.taps; t += 2) depthwise_sum_group(&s, t, j, 2, outputs, plane);
  for (; t < s.taps; t++) depthwise_sum_group(&s, t, j, 1, outputs, plane);
}

static void NAME(depthwise_sums_last)(const struct fcv_depthwise_sums *sums) {
  for (int64_t j = 0; j < sums->width; j += VL)
    if (sums->outputs == 1)
      depthwise_sum_taps(sums, j, 1, 0);
    else if (VL > 2 && sums->outputs == 2)
      depthwise_sum_taps(sums, j, 2, 0);
    else if (VL > 4 && sums->outputs == 4)
      depthwise_sum_taps(sums, j, 4, 0);
    else if (VL > 8)
      depthwise_sum_taps(sums, j, 8, 0);
}

static void NAME(depthwise_sums_first)(const struct fcv_depthwise_sums *sums) { depthwise_sum_taps(sums, 0, 1, 1); }
