/* Pooling windows and their gradients; contracts in kernels.h. */

/* The maximum of one window over a vector of channels; which gets the number of the first tap that holds it (the last
 * NaN, as torch has it). */
#define window_max NAME(window_max)
INLINE vec window_max(int64_t taps, const real *const *x, int64_t c, int64_t count, ivec *which) {
  vec best = count < VL ? load_part(x[0] + c, count) : load(x[0] + c);
  *which = (ivec){0};
  for (int64_t t = 1; t < taps; t++) {
    const vec v = count < VL ? load_part(x[t] + c, count) : load(x[t] + c);
    const ivec take = (v > best) | (v != v);
    best = select(take, v, best);
    *which = (*which & ~take) | ((lane)t & take);
  }
  return best;
}

static void NAME(pool_max)(int64_t taps, int64_t channels, const void *const *from, const int64_t *position, void *to,
                           int64_t *index) {
  const real *const *x = (const real *const *)from;
  real *y = to;
  if (index) {
    for (int64_t c = 0; c < channels; c += VL) {
      const int64_t count = channels - c < VL ? channels - c : VL;
      ivec which;
      store_upto(y, c, channels, window_max(taps, x, c, count, &which));
      for (int64_t l = 0; l < count; l++) index[c + l] = position[which[l]];
    }
    return;
  }
  int64_t c = 0;
  for (; c + VL <= channels; c += VL) {
    vec best = load(x[0] + c);
    for (int64_t t = 1; t < taps; t++) best = vmax(best, load(x[t] + c));
    store(y + c, best);
  }
  for (; c < channels; c++) {
    real best = x[0][c];
    for (int64_t t = 1; t < taps; t++) best = best >= x[t][c] || best != best ? best : x[t][c];
    y[c] = best;
  }
}

static void NAME(pool_avg)(int64_t taps, int64_t channels, const void *const *from, double scale, void *to) {
  const real *const *x = (const real *const *)from;
  real *y = to;
  int64_t c = 0;
  for (; c + VL <= channels; c += VL) {
    vec total = {0};
    for (int64_t t = 0; t < taps; t++) total += load(x[t] + c);
    store(y + c, total * (real)scale);
  }
  for (; c < channels; c++) {
    real total = 0;
    for (int64_t t = 0; t < taps; t++) total += x[t][c];
    y[c] = total * (real)scale;
  }
}

static void NAME(pool_max_grad)(int64_t taps, int64_t channels, const void *const *from, const void *gradient,
                                void *const *to) {
  const real *const *x = (const real *const *)from;
  const real *gy = gradient;
  real *const *gx = (real *const *)to;
  int64_t c = 0;
  for (; c + VL <= channels; c += VL) {
    ivec which;
    window_max(taps, x, c, VL, &which);
    const vec g = load(gy + c);
    for (int64_t t = 0; t < taps; t++) {
      real *p = gx[t] + c;
      store(p, load(p) + select(which == (lane)t, g, (vec){0}));
    }
  }
  for (; c < channels; c++) {
    int64_t which = 0;
    for (int64_t t = 1; t < taps; t++)
      if (x[t][c] > x[which][c] || x[t][c] != x[t][c])
        which = t;
    gx[which][c] += gy[c];
  }
}

static void NAME(pool_avg_grad)(int64_t taps, int64_t channels, const void *gradient, double scale, void *const *to) {
  const real *gy = gradient;
  real *const *gx = (real *const *)to;
  for (int64_t t = 0; t < taps; t++) {
    int64_t c = 0;
    for (; c + VL <= channels; c += VL) store(gx[t] + c, load(gx[t] + c) + load(gy + c) * (real)scale);
    for (; c < channels; c++) gx[t][c] += gy[c] * (real)scale;
  }
}

/* The outputs whose column k * dilation - pad + o * step is inside: first .. last - 1. */
#define outputs_of NAME(outputs_of)
INLINE int64_t outputs_of(const struct fcv_pool_row *row, int64_t k, int64_t *last) {
  const int64_t shift = k * row->dilation - row->pad, step = row->step;
  *last = row->width > shift ? (row->width - 1 - shift) / step + 1 : 0;
  if (*last > row->outputs)
    *last = row->outputs;
  return shift < 0 ? (-shift + step - 1) / step : 0;
}

/* y[o] with column[o * step]; step is constant where it is inlined, so that
 * the compiler makes vectors of strided loads. */
#define combine NAME(combine)
INLINE void combine(const int average, int64_t count, const real *column, const int64_t step, real *y) {
  for (int64_t o = 0; o < count; o++) {
    const real v = column[o * step];
    if (average)
      y[o] += v;
    else
      y[o] = ((y[o] >= v) | (y[o] != y[o])) ? y[o] : v;
  }
}

#define pool_row NAME(pool_row)
INLINE void pool_row(const struct fcv_pool_row *row, const int average) {
  const real *const *x = (const real *const *)row->x;
  real *column = row->column, *y = row->y;
  int64_t i = 0;
  for (; i + VL <= row->width; i += VL) {
    vec v = load(x[0] + i);
    for (int64_t r = 1; r < row->rows; r++) v = average ? v + load(x[r] + i) : vmax(v, load(x[r] + i));
    store(column + i, v);
  }
  for (; i < row->width; i++) {
    real v = x[0][i];
    for (int64_t r = 1; r < row->rows; r++) v = average ? v + x[r][i] : v >= x[r][i] || v != v ? v : x[r][i];
    column[i] = v;
  }

  const real start = average ? 0 : -(real)INFINITY;
  for (int64_t o = 0; o < row->outputs; o++) y[o] = start;
  for (int64_t k = 0; k < row->kw; k++) {
    int64_t last;
    const int64_t first = outputs_of(row, k, &last), step = row->step;
    if (first >= last)
      continue;
    const real *from = column + first * step + k * row->dilation - row->pad;
    if (step == 1)
      combine(average, last - first, from, 1, y + first);
    else if (step == 2)
      combine(average, last - first, from, 2, y + first);
    else
      combine(average, last - first, from, step, y + first);
  }
  if (average) {
    const real *scale = row->scale;
    for (int64_t o = 0; o < row->outputs; o++) y[o] *= scale[o];
  }
}

static void NAME(pool_max_row)(const struct fcv_pool_row *row) { pool_row(row, 0); }
static void NAME(pool_avg_row)(const struct fcv_pool_row *row) { pool_row(row, 1); }

/* The columns of output o: from first, count of them. Divides only at the borders. */
#define columns_of NAME(columns_of)
INLINE int64_t columns_of(const struct fcv_pool_row *row, int64_t o, int64_t *first) {
  const int64_t start = o * row->step - row->pad, dilation = row->dilation, width = row->width;
  int64_t end = row->kw, skip = 0;
  if (start < 0)
    skip = (-start + dilation - 1) / dilation;
  if (start + (end - 1) * dilation >= width)
    end = width > start ? (width - 1 - start) / dilation + 1 : 0;
  *first = start + skip * dilation;
  return end - skip;
}

#define combine_which NAME(combine_which)
INLINE void combine_which(int64_t count, const real *x, const int64_t step, lane tap, real *best, lane *which) {
  for (int64_t o = 0; o < count; o++) {
    const real v = x[o * step];
    const int take = (v > best[o]) | (v != v) | (which[o] < 0);
    best[o] = take ? v : best[o];
    which[o] = take ? tap : which[o];
  }
}

/* The maximum of each output and the number r * kw + k of the element that has it first, -1 where there is none. Tap by
 * tap over all outputs: vectors, where a loop over one window would mispredict every second element. */
#define find_max NAME(find_max)
INLINE void find_max(const struct fcv_pool_row *row, real *best, lane *which) {
  for (int64_t o = 0; o < row->outputs; o++) {
    best[o] = -(real)INFINITY;
    which[o] = -1;
  }
  for (int64_t r = 0; r < row->rows; r++)
    for (int64_t k = 0; k < row->kw; k++) {
      int64_t last;
      const int64_t first = outputs_of(row, k, &last), step = row->step;
      if (first >= last)
        continue;
      const real *x = (const real *)row->x[r] + first * step + k * row->dilation - row->pad;
      const lane tap = (lane)(r * row->kw + k);
      if (step == 1)
        combine_which(last - first, x, 1, tap, best + first, which + first);
      else if (step == 2)
        combine_which(last - first, x, 2, tap, best + first, which + first);
      else
        combine_which(last - first, x, step, tap, best + first, which + first);
    }
}

static void NAME(pool_max_index_row)(const struct fcv_pool_row *row) {
  const lane *which = row->which;
  find_max(row, row->y, row->which);
  for (int64_t o = 0; o < row->outputs; o++)
    row->index[o] = which[o] < 0 ? -1 : row->position[which[o]] + o * row->step;
}

static void NAME(pool_max_grad_row)(const struct fcv_pool_row *row) {
  const real *gy = row->gy;
  const lane *which = row->which;
  real *channel = row->gx_channel;
  find_max(row, row->column, row->which);
  for (int64_t o = 0; o < row->outputs; o++)
    if (which[o] >= 0)
      channel[row->position[which[o]] + o * row->step] += gy[o];
}

static void NAME(pool_avg_grad_row)(const struct fcv_pool_row *row) {
  real *const *gx = (real *const *)row->gx;
  const real *gy = row->gy, *scale = row->scale;
  for (int64_t o = 0; o < row->outputs; o++) {
    int64_t first;
    const int64_t count = columns_of(row, o, &first);
    for (int64_t r = 0; r < row->rows; r++)
      for (int64_t k = 0; k < count; k++) gx[r][first + k * row->dilation] += scale[o] * gy[o];
  }
}
