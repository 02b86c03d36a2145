/* Convolution in groups of 2, 4 or 8 channels, a vector of whole groups at a time; contracts in depthwise.h. */

/* Lines of a tile. One of nv vectors of half as many lines holds as many sums. */
#define GROUPED_LINES 8
/* Sums of a weight gradient that are held, beside gy spread for 4 channels. */
#define GROUPED_SUMS (VECTOR_BYTES == 64 ? 24 : 12)

/* nv vectors of each of some lines. taps > 0: as many, step * x_tap == x_step, so that neighbouring lines have taps in
 * common, and each vector of x is loaded, and spread over its groups, once for all of them. The same order of sums in
 * any case. */
#define grouped_lines NAME(grouped_lines)
INLINE void grouped_lines(const struct fcv_depthwise *d, int64_t i, int64_t j, const int lines, const int nv,
                          const int inputs, const int taps, const int step) {
  const int64_t x_step = d->x_step, x_tap = d->x_tap, w_tap = d->w_tap;
  const real *bias = d->bias;
  vec acc[GROUPED_LINES][4];
  UNROLL(8)
  for (int l = 0; l < lines; l++) UNROLL(4)
  for (int v = 0; v < nv; v++) acc[l][v] = bias ? load(bias + j + v * VL) : (vec){0};
  for (int64_t g = 0; g < d->groups; g++) {
    const real *w = (const real *)d->w[g] + d->w_offset + j;
    UNROLL(8)
    for (int k = 0; k < inputs; k++, w += d->w_input) {
      const real *x = (const real *)d->x[g] + d->x_offset + i * x_step + j, *w_at = w;
      if (taps > 0) {
        vec b[8][2];
        UNROLL(8)
        for (int t = 0; t < taps; t++, w_at += w_tap) UNROLL(2)
        for (int v = 0; v < nv; v++) b[t][v] = load(w_at + v * VL);
        UNROLL(32)
        for (int at = 0; at < (lines - 1) * step + taps; at++, x += x_tap) UNROLL(2)
        for (int v = 0; v < nv; v++) {
          if (k == 0) /* for the next tile */
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
          const vec b = load(w_at + v * VL);
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
  for (int v = 0; v < nv; v++) store(y + v * VL, acc[l][v]);
}

#define grouped_tile NAME(grouped_tile)
INLINE void grouped_tile(const struct fcv_depthwise *d, int64_t i, const int lines, const int nv, const int inputs,
                         const int taps, const int step) {
  const int64_t last = d->width - VL;
  int64_t j = 0;
  if (nv > 1)
    for (; j + nv * VL <= d->width; j += nv * VL) grouped_lines(d, i, j, lines, nv, inputs, taps, step);
  for (; j < d->width; j += VL) grouped_lines(d, i, j < last ? j : last, lines, 1, inputs, taps, step);
}

/* Lines that make a tile together; the last tile ends with the last line, as the last vector ends with a line. */
#define grouped_all NAME(grouped_all)
INLINE void grouped_all(const struct fcv_depthwise *lines, const int inputs, const int taps, const int step) {
  const struct fcv_depthwise d = *lines; /* no store can change it */
  const int64_t many = d.count - GROUPED_LINES, few = d.count - GROUPED_LINES / 2;
  int64_t i = 0;
  if (many >= 0)
    for (; i < few; i += GROUPED_LINES) grouped_tile(&d, i < many ? i : many, GROUPED_LINES, 1, inputs, taps, step);
  if (few >= 0)
    for (; i < d.count; i += GROUPED_LINES / 2)
      grouped_tile(&d, i < few ? i : few, GROUPED_LINES / 2, 2, inputs, taps, step);
  else
    for (; i < d.count; i++) grouped_tile(&d, i, 1, 4, inputs, 0, 0);
}

#define grouped_any NAME(grouped_any)
INLINE void grouped_any(const struct fcv_depthwise *d, const int inputs) {
  const int step = d->x_step == d->x_tap ? 1 : d->x_step == 2 * d->x_tap ? 2 : 0;
  if (d->taps == 3 && step == 1)
    grouped_all(d, inputs, 3, 1);
  else if (d->taps == 3 && step == 2)
    grouped_all(d, inputs, 3, 2);
  else
    grouped_all(d, inputs, 0, 0);
}

static void NAME(grouped_last)(const struct fcv_depthwise *d) {
  if (VL > 2 && d->inputs == 2)
    grouped_any(d, 2);
  else if (VL > 4 && d->inputs == 4)
    grouped_any(d, 4);
  else if (VL > 8)
    grouped_any(d, 8);
}

/* The sums of some taps and output channels of a group, as many as there are registers for. */
#define grouped_sum NAME(grouped_sum)
INLINE void grouped_sum(const struct fcv_depthwise_sums *s, int64_t first_tap, int64_t j, const int taps,
                        const int outputs, const int first, const int some) {
  const real *x[FCV_DEPTHWISE_TAPS], *gy = (const real *)s->gy + j;
  vec acc[FCV_DEPTHWISE_TAPS][8];
  UNROLL(16)
  for (int t = 0; t < taps; t++) {
    x[t] = (const real *)s->x[first_tap + t] + s->x_offset + j;
    UNROLL(8)
    for (int k = 0; k < some; k++) acc[t][k] = (vec){0};
  }
  for (int64_t r = 0; r < s->rows; r++, gy += s->gy_row) {
    int64_t at = r * s->x_row;
    for (int64_t i = 0; i < s->count; i++, at += s->x_step) {
      vec g[8];
      if (first == 0) { /* for the next row */
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
  UNROLL(16)
  for (int t = 0; t < taps; t++) UNROLL(8)
  for (int k = 0; k < some; k++) {
    real *gw = (real *)s->gw[first_tap + t] + s->gw_offset + (first + k) * s->gw_output + j;
    store(gw, load(gw) + acc[t][k]);
  }
}

/* All output channels of a group, as many at a time as the registers hold sums for. */
#define grouped_sum_group NAME(grouped_sum_group)
INLINE void grouped_sum_group(const struct fcv_depthwise_sums *s, int64_t first_tap, int64_t j, const int taps,
                              const int outputs) {
  const int some = taps * outputs > GROUPED_SUMS ? outputs / 2 : outputs;
  UNROLL(2)
  for (int k = 0; k < outputs; k += some) grouped_sum(s, first_tap, j, taps, outputs, k, some);
}

/* Rows of a 3x3 kernel together, up to three: 1x56x56x128, groups of 4, all 9 taps of two outputs 0.5 ms, 6 and 3 taps
 * of four 0.35. */
#define grouped_sum_taps NAME(grouped_sum_taps)
INLINE void grouped_sum_taps(const struct fcv_depthwise_sums *sums, const int outputs) {
  const struct fcv_depthwise_sums s = *sums;
  const int rows = GROUPED_SUMS / outputs / 3, many = rows < 2 ? 3 : rows < 3 ? 6 : 9;
  for (int64_t j = 0; j < s.width; j += VL) {
    int64_t t = 0;
    for (; t + many <= s.taps; t += many) grouped_sum_group(&s, t, j, many, outputs);
    for (; t + 3 <= s.taps; t += 3) grouped_sum_group(&s, t, j, 3, outputs);
    for (; t < s.taps; t++) grouped_sum_group(&s, t, j, 1, outputs);
  }
}

static void NAME(grouped_sums_last)(const struct fcv_depthwise_sums *s) {
  if (VL > 2 && s->outputs == 2)
    grouped_sum_taps(s, 2);
  else if (VL > 4 && s->outputs == 4)
    grouped_sum_taps(s, 4);
  else if (VL > 8)
    grouped_sum_taps(s, 8);
}
