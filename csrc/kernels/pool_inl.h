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

/* The maximum, or scale times the sum, of some vectors of channels side by side. */
#define window_reduce NAME(window_reduce)
INLINE void window_reduce(const int average, const int vectors, int64_t taps, const real *const *x, int64_t c,
                          real scale, real *y) {
  vec v[4];
  for (int i = 0; i < vectors; i++) v[i] = average ? (vec){0} : load(x[0] + c + i * VL);
  for (int64_t t = average ? 0 : 1; t < taps; t++)
    for (int i = 0; i < vectors; i++) {
      const vec next = load(x[t] + c + i * VL);
      v[i] = average ? v[i] + next : vmax(v[i], next);
    }
  for (int i = 0; i < vectors; i++) store(y + c + i * VL, average ? v[i] * scale : v[i]);
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
  for (; c + 4 * VL <= channels; c += 4 * VL) window_reduce(0, 4, taps, x, c, 1, y);
  for (; c + VL <= channels; c += VL) window_reduce(0, 1, taps, x, c, 1, y);
  if (c < channels && channels >= VL) {
    window_reduce(0, 1, taps, x, channels - VL, 1, y);
  } else if (c < channels) { /* not one by one: comparisons are mispredicted */
    vec best = load_part(x[0], channels);
    for (int64_t t = 1; t < taps; t++) best = vmax(best, load_part(x[t], channels));
    store_part(y, best, channels);
  }
}

static void NAME(pool_avg)(int64_t taps, int64_t channels, const void *const *from, double scale, void *to) {
  const real *const *x = (const real *const *)from;
  real *y = to;
  int64_t c = 0;
  for (; c + 4 * VL <= channels; c += 4 * VL) window_reduce(1, 4, taps, x, c, (real)scale, y);
  for (; c + VL <= channels; c += VL) window_reduce(1, 1, taps, x, c, (real)scale, y);
  for (; c < channels; c++) {
    real total = 0;
    for (int64_t t = 0; t < taps; t++) total += x[t][c];
    y[c] = total * (real)scale;
  }
}

static void NAME(pool_max_grad)(int64_t taps, int64_t channels, const void *const *from, const void *gradient,
                                void *const *to, int alone) {
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
      const vec share = select(which == (lane)t, g, (vec){0});
      store(p, alone ? share : load(p) + share);
    }
  }
  const int64_t rest = channels - c;
  if (rest == 0)
    return;
  ivec which;
  window_max(taps, x, c, rest, &which);
  const vec g = load_part(gy + c, rest);
  for (int64_t t = 0; t < taps; t++) {
    real *p = gx[t] + c;
    const vec share = select(which == (lane)t, g, (vec){0});
    store_part(p, alone ? share : load_part(p, rest) + share, rest);
  }
}

static void NAME(pool_avg_grad)(int64_t taps, int64_t channels, const void *gradient, double scale, void *const *to,
                                int alone) {
  const real *gy = gradient;
  real *const *gx = (real *const *)to;
  for (int64_t t = 0; t < taps; t++) {
    int64_t c = 0;
    for (; c + VL <= channels; c += VL) {
      const vec share = load(gy + c) * (real)scale;
      store(gx[t] + c, alone ? share : load(gx[t] + c) + share);
    }
    for (; c < channels; c++) gx[t][c] = (alone ? 0 : gx[t][c]) + gy[c] * (real)scale;
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

/* Along one row, in vectors where there are some. */
#define run_sum NAME(run_sum)
INLINE real run_sum(int64_t count, const real *x) {
  int64_t i = 0;
  real total = 0;
  if (count >= VL) {
    vec part[4] = {{0}};
    for (; i + 4 * VL <= count; i += 4 * VL) UNROLL(4)
    for (int v = 0; v < 4; v++) part[v] += load(x + i + v * VL);
    for (; i + VL <= count; i += VL) part[0] += load(x + i);
    total = vsum((part[0] + part[1]) + (part[2] + part[3]));
  }
  for (; i < count; i++) total += x[i];
  return total;
}

#define run_max NAME(run_max)
INLINE real run_max(int64_t count, const real *x) {
  int64_t i = 0;
  real best = -(real)INFINITY;
  if (count >= VL) {
    vec most = load(x);
    for (i = VL; i + VL <= count; i += VL) most = vmax(most, load(x + i));
    best = vmax_lanes(most);
  }
  for (; i < count; i++) best = best >= x[i] || best != best ? best : x[i];
  return best;
}

/* Where the first maximum is, or the last NaN; count > 0. */
#define run_argmax NAME(run_argmax)
INLINE int64_t run_argmax(int64_t count, const real *x, real *best) {
  int64_t where = 0, i = 1;
  *best = x[0];
  if (count >= 2 * VL) {
    vec most = load(x);
    ivec turn = {0}; /* in which each lane found its maximum */
    for (i = VL; i + VL <= count; i += VL) {
      const vec v = load(x + i);
      const ivec take = (v > most) | (v != v);
      most = select(take, v, most);
      turn = (turn & ~take) | ((lane)(i / VL) & take);
    }
    where = (int64_t)turn[0] * VL;
    *best = most[0];
    for (int l = 1; l < VL; l++) {
      const int64_t at = (int64_t)turn[l] * VL + l;
      const real v = most[l];
      const int nan = *best != *best, earlier = v == *best && at < where;
      if (v != v ? !nan || at > where : !nan && (v > *best || earlier)) {
        *best = v;
        where = at;
      }
    }
  }
  for (; i < count; i++) { /* without branches: each new maximum of a short run would mispredict one */
    const real v = x[i];
    const int take = (v > *best) | (v != v);
    *best = take ? v : *best;
    where = take ? i : where;
  }
  return where;
}

/* The rows of a window reduced to one, which a row by itself is already. Up to VL - 1 elements behind it are written.
 */
#define reduce_rows NAME(reduce_rows)
INLINE void reduce_rows(const struct fcv_pool_row *row, const int average, real *column) {
  const real *const *x = (const real *const *)row->x;
  const int64_t rows = row->rows, width = row->width;
  if (width < VL && average) {
    for (int64_t i = 0; i < width; i++) {
      column[i] = x[0][i];
      for (int64_t r = 1; r < rows; r++) column[i] += x[r][i];
    }
    return;
  }
  if (width < VL) { /* not one by one: comparisons are mispredicted */
    vec v = load_part(x[0], width);
    for (int64_t r = 1; r < rows; r++) v = vmax(v, load_part(x[r], width));
    store(column, v);
    return;
  }
  for (int64_t i = 0; i < width; i += VL) {
    i = i < width - VL ? i : width - VL; /* the last vector overlaps the one before: one by one elements take longer */
    vec v = load(x[0] + i);
    for (int64_t r = 1; r < rows; r++) v = average ? v + load(x[r] + i) : vmax(v, load(x[r] + i));
    store(column + i, v);
  }
}

/* VL outputs from o on; step 1 or 2. */
#define pool_neighbours NAME(pool_neighbours)
INLINE vec pool_neighbours(const struct fcv_pool_row *row, const int average, const int step, const real *column,
                           int64_t o) {
  const int64_t kw = row->kw, dilation = row->dilation;
  const real *from = column + o * step;
  vec v = step == 1 ? load(from) : even_lanes(load(from), load(from + VL));
  for (int64_t k = 1; k < kw; k++) {
    from += dilation;
    const vec next = step == 1 ? load(from) : even_lanes(load(from), load(from + VL));
    v = average ? v + next : vmax(v, next);
  }
  return average ? v * load((const real *)row->scale + o) : v;
}

#define pool_columns NAME(pool_columns)
INLINE void pool_columns(const struct fcv_pool_row *row, const int average, const int step, const real *column) {
  const int64_t outputs = row->outputs;
  real *y = row->y;
  int64_t o = 0;
  for (; o + VL <= outputs; o += VL) store(y + o, pool_neighbours(row, average, step, column, o));
  if (o < outputs && outputs > VL)
    store(y + outputs - VL, pool_neighbours(row, average, step, column, outputs - VL));
  else if (o < outputs)
    store_part(y, pool_neighbours(row, average, step, column, 0), outputs);
}

#define pool_row NAME(pool_row)
INLINE void pool_row(const struct fcv_pool_row *row, const int average) {
  const real start = average ? 0 : -(real)INFINITY, *scale = row->scale;
  const int64_t step = row->step, kw = row->kw, dilation = row->dilation, pad = row->pad, outputs = row->outputs;
  real *y = row->y, *column = row->column;
  if (row->one_by_one) {
    const real *only = row->rows == 1 ? row->x[0] : column;
    if (row->rows > 1)
      reduce_rows(row, average, column);
    for (int64_t o = 0; o < outputs; o++) {
      const struct fcv_window w = row->window[o];
      y[o] = average ? scale[o] * run_sum(w.count, only + w.first) : run_max(w.count, only + w.first);
    }
    return;
  }
  const int64_t end = (outputs - 1) * step + (kw - 1) * dilation + 1;
  for (int64_t i = 0; i < pad; i++) column[i] = start;
  reduce_rows(row, average, column + pad);
  for (int64_t i = pad + row->width; i < end; i++) column[i] = start;
  if (step == 1)
    pool_columns(row, average, 1, column);
  else if (step == 2)
    pool_columns(row, average, 2, column);
  else
    for (int64_t o = 0; o < outputs; o++) {
      real v = start;
      for (int64_t k = 0; k < kw; k++) {
        const real next = column[o * step + k * dilation];
        v = average ? v + next : v >= next || v != v ? v : next;
      }
      y[o] = average ? v * scale[o] : v;
    }
}

static void NAME(pool_max_row)(const struct fcv_pool_row *row) { pool_row(row, 0); }
static void NAME(pool_avg_row)(const struct fcv_pool_row *row) { pool_row(row, 1); }

#define combine_which NAME(combine_which)
INLINE void combine_which(int64_t count, const real *x, const int64_t step, lane tap, real *best, lane *which) {
  for (int64_t o = 0; o < count; o++) {
    const real v = x[o * step];
    const int take = (v > best[o]) | (v != v) | (which[o] < 0);
    best[o] = take ? v : best[o];
    which[o] = take ? tap : which[o];
  }
}

/* Outputs from .. to - 1, tap by tap over all of them: a loop over one window would mispredict every second element. */
#define find_max_between NAME(find_max_between)
INLINE void find_max_between(const struct fcv_pool_row *row, int64_t from, int64_t to, real *best, lane *which) {
  for (int64_t o = from; o < to; o++) {
    best[o] = -(real)INFINITY;
    which[o] = -1;
  }
  for (int64_t r = 0; r < row->rows; r++)
    for (int64_t k = 0; k < row->kw; k++) {
      int64_t last, first = outputs_of(row, k, &last);
      const int64_t step = row->step;
      first = first > from ? first : from;
      last = last < to ? last : to;
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

/* VL outputs from o on, all of whose taps are inside; step 1 or 2. */
#define find_max_inside NAME(find_max_inside)
INLINE void find_max_inside(const struct fcv_pool_row *row, const int step, int64_t o, real *best, lane *which) {
  vec most = splat(-(real)INFINITY);
  ivec at = {0}; /* also where all are that low */
  lane tap = 0;
  for (int64_t r = 0; r < row->rows; r++) {
    const real *x = (const real *)row->x[r] + o * step - row->pad;
    for (int64_t k = 0; k < row->kw; k++, x += row->dilation, tap++) {
      const vec v = step == 1 ? load(x) : even_lanes(load(x), load(x + VL));
      const ivec take = (v > most) | (v != v);
      most = select(take, v, most);
      at = (at & ~take) | (tap & take);
    }
  }
  store(best + o, most);
  __builtin_memcpy(which + o, &at, sizeof at);
}

/* The maximum of each output and the number r * kw + k of the element that has it first, -1 where there is none. */
#define find_max NAME(find_max)
INLINE void find_max(const struct fcv_pool_row *row, real *best, lane *which) {
  int64_t from = 0, to = row->rows > 0 ? row->outputs : 0; /* whose taps are all inside */
  for (int64_t k = 0; k < row->kw; k++) {
    int64_t last;
    const int64_t first = outputs_of(row, k, &last);
    from = first > from ? first : from;
    to = last < to ? last : to;
  }
  int64_t o = from; /* of two vectors that every second element is taken from, the last element is not read */
  if (row->step == 1)
    for (; o + VL <= to; o += VL) find_max_inside(row, 1, o, best, which);
  else if (row->step == 2)
    for (; o + VL < to; o += VL) find_max_inside(row, 2, o, best, which);
  if (o == from) {
    find_max_between(row, 0, row->outputs, best, which);
    return;
  }
  find_max_between(row, 0, from, best, which);
  find_max_between(row, o, row->outputs, best, which);
}

/* Positions in the channel of what output 0 meets at each tap. */
#define find_taps NAME(find_taps)
INLINE void find_taps(const struct fcv_pool_row *row) {
  for (int64_t r = 0; r < row->rows; r++)
    for (int64_t k = 0; k < row->kw; k++) row->tap[r * row->kw + k] = row->position[r] + k * row->dilation - row->pad;
}

/* The maximum of one window and its position, or minus infinity and -1. */
#define find_one NAME(find_one)
INLINE int64_t find_one(const struct fcv_pool_row *row, const struct fcv_window *window, real *best) {
  int64_t position = -1;
  *best = -(real)INFINITY;
  for (int64_t r = 0; window->count > 0 && r < row->rows; r++) {
    real most;
    const int64_t at = run_argmax(window->count, (const real *)row->x[r] + window->first, &most);
    const int take = (position < 0) | (most > *best) | (most != most);
    *best = take ? most : *best;
    position = take ? row->position[r] + window->first + at : position;
  }
  return position;
}

static void NAME(pool_max_index_row)(const struct fcv_pool_row *row) {
  const lane *which = row->which;
  real *y = row->y;
  if (row->one_by_one) {
    for (int64_t o = 0; o < row->outputs; o++) row->index[o] = find_one(row, &row->window[o], &y[o]);
    return;
  }
  find_taps(row);
  find_max(row, y, row->which);
  for (int64_t o = 0; o < row->outputs; o++) row->index[o] = which[o] < 0 ? -1 : row->tap[which[o]] + o * row->step;
}

static void NAME(pool_max_grad_row)(const struct fcv_pool_row *row) {
  const real *gy = row->gy;
  const lane *which = row->which;
  real *channel = row->gx_channel;
  if (row->one_by_one) {
    for (int64_t o = 0; o < row->outputs; o++) {
      real best;
      const int64_t position = find_one(row, &row->window[o], &best);
      if (position >= 0)
        channel[position] += gy[o];
    }
    return;
  }
  find_taps(row);
  find_max(row, row->column, row->which);
  for (int64_t o = 0; o < row->outputs; o++)
    if (which[o] >= 0)
      channel[row->tap[which[o]] + o * row->step] += gy[o];
}

static void NAME(pool_avg_grad_row)(const struct fcv_pool_row *row) {
  real *const *gx = (real *const *)row->gx;
  const real *gy = row->gy, *scale = row->scale;
  real *column = row->column; /* what each row of the windows gets */
  for (int64_t o = 0; row->one_by_one && o < row->outputs; o++) {
    const struct fcv_window w = row->window[o];
    const real share = scale[o] * gy[o];
    for (int64_t r = 0; r < row->rows; r++)
      for (int64_t k = 0; k < w.count; k++) gx[r][w.first + k] += share;
  }
  if (row->one_by_one)
    return;
  for (int64_t i = 0; i < row->width; i++) column[i] = 0;
  for (int64_t o = 0; o < row->outputs; o++) {
    const struct fcv_window w = row->window[o];
    const real share = scale[o] * gy[o];
    for (int64_t k = 0; k < w.count; k++) column[w.first + k * row->dilation] += share;
  }
  for (int64_t r = 0; r < row->rows; r++) {
    int64_t i = 0;
    for (; i + VL <= row->width; i += VL) store(gx[r] + i, load(gx[r] + i) + load(column + i));
    for (; i < row->width; i++) gx[r][i] += column[i];
  }
}
