/* Pooling of rows, channels first, and its gradients; contracts in pooling.h. */

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
    for (i = VL; i + VL <= count; i += VL) keep_larger(load(x + i), every(i / VL), &most, &turn);
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

/* Rows reduced to one, which a row by itself is already. Up to VL - 1 elements behind it are written. */
#define reduce_rows NAME(reduce_rows)
INLINE void reduce_rows(const int average, int64_t rows, const real *const *x, int64_t width, real *column) {
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

/* The same between elements that stand for padding, as far as windows reach. */
#define pad_rows_of NAME(pad_rows_of)
INLINE void pad_rows_of(const struct fcv_pool_row *row, const int average, int64_t rows, const real *const *x,
                        real *column) {
  const real padding = average ? 0 : -(real)INFINITY;
  const int64_t pad = row->pad, end = (row->outputs - 1) * row->step + (row->kw - 1) * row->dilation + 1;
  for (int64_t i = 0; i < pad; i++) column[i] = padding;
  reduce_rows(average, rows, x, row->width, column + pad);
  for (int64_t i = pad + row->width; i < end; i++) column[i] = padding;
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
  const int64_t step = row->step, kw = row->kw, dilation = row->dilation, outputs = row->outputs;
  real *y = row->y, *column = row->column;
  if (row->one_by_one) {
    const real *only = row->rows == 1 ? row->x[0] : column;
    if (row->rows > 1)
      reduce_rows(average, row->rows, (const real *const *)row->x, row->width, column);
    for (int64_t o = 0; o < outputs; o++) {
      const struct fcv_window w = row->window[o];
      y[o] = average ? scale[o] * run_sum(w.count, only + w.first) : run_max(w.count, only + w.first);
    }
    return;
  }
  pad_rows_of(row, average, row->rows, (const real *const *)row->x, column);
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

/* count rows of an image, pitch elements apart, reduced to one; of each a vector may be read, but not where it ends. */
#define reduce_window NAME(reduce_window)
INLINE void reduce_window(const int average, const real *x, const int64_t count, int64_t pitch, int64_t width, int ends,
                          real *column) {
  if (width < VL) {
    vec v = ends ? load_part(x, width) : load(x);
    for (int64_t r = 1; r < count; r++) {
      const vec next = ends ? load_part(x + r * pitch, width) : load(x + r * pitch);
      v = average ? v + next : vmax(v, next);
    }
    store(column, v);
    return;
  }
  for (int64_t i = 0; i < width; i += VL) {
    i = i < width - VL ? i : width - VL;
    vec v = load(x + i);
    UNROLL_ANY(3)
    for (int64_t r = 1; r < count; r++) v = average ? v + load(x + r * pitch + i) : vmax(v, load(x + r * pitch + i));
    store(column + i, v);
  }
}

/* VL outputs from their columns; scale: of an average. */
#define finish_columns NAME(finish_columns)
INLINE vec finish_columns(const int average, const real *from, const int64_t kw, const int step, int64_t dilation,
                          const real *scale) {
  vec v = step == 1 ? load(from) : even_lanes(load(from), load(from + VL));
  UNROLL_ANY(3)
  for (int64_t k = 1; k < kw; k++) {
    from += dilation;
    const vec next = step == 1 ? load(from) : even_lanes(load(from), load(from + VL));
    v = average ? v + next : vmax(v, next);
  }
  return average ? v * load(scale) : v;
}

/* Some rows of outputs, the first of which is `first`, from the rows that were reduced for them. Behind a short one, up
 * to end, the next is written. */
#define finish_rows NAME(finish_rows)
INLINE void finish_rows(const struct fcv_pool_planes *p, const int average, int64_t first, int64_t rows,
                        const int64_t kw, const int step, real *y, const real *end) {
  const int64_t outputs = p->outputs, dilation = p->dilation;
  const real *column = p->column;
  for (int64_t r = 0; r < rows; r++, y += outputs, column += p->pitch) {
    const real *scale = average ? p->scale[first + r] : column; /* or anything */
    if (outputs < VL && end - y >= VL)
      store(y, finish_columns(average, column, kw, step, dilation, scale));
    else if (outputs < VL)
      store_part(y, finish_columns(average, column, kw, step, dilation, scale), outputs);
    for (int64_t o = 0; outputs >= VL && o < outputs; o += VL) {
      o = o < outputs - VL ? o : outputs - VL;
      store(y + o, finish_columns(average, column + o * step, kw, step, dilation, scale + o));
    }
  }
}

#define reduce_image NAME(reduce_image)
INLINE void reduce_image(const struct fcv_pool_planes *p, const int average, int64_t plane, int64_t first,
                         int64_t rows) {
  const real none = average ? 0 : -(real)INFINITY;
  const int64_t width = p->width, pitch = p->row_dilation * width, pad = p->pad;
  const int64_t behind = width < VL ? VL : 0; /* elements that were written over */
  const real *end = (const real *)p->x + p->planes * p->x_plane;
  real *column = p->column;
  for (int64_t r = 0; r < rows; r++, column += p->pitch) {
    const struct fcv_window w = p->window[first + r];
    const real *x = (const real *)p->x + plane * p->x_plane + w.first * width;
    const int ends = end - x - (w.count - 1) * pitch < VL;
    if (w.count == 3)
      reduce_window(average, x, 3, pitch, width, ends, column + pad);
    else if (w.count > 0)
      reduce_window(average, x, w.count, pitch, width, ends, column + pad);
    for (int64_t i = pad; w.count <= 0 && i < pad + width; i++) column[i] = none;
    for (int64_t i = pad + width; i < pad + width + behind; i++) column[i] = none;
  }
}

#define pool_planes NAME(pool_planes)
INLINE void pool_planes(const struct fcv_pool_planes *planes, const int average) {
  const struct fcv_pool_planes p = *planes;
  const int64_t end = (p.outputs - 1) * p.step + (p.kw - 1) * p.dilation + 1;
  real *column = p.column, *y = p.y, *last = y + p.planes * p.rows * p.outputs;
  for (int64_t r = 0; r < FCV_POOL_ROWS; r++)
    for (int64_t i = 0; i < end; i++)
      if (i < p.pad || i >= p.pad + p.width)
        column[r * p.pitch + i] = average ? 0 : -(real)INFINITY;
  for (int64_t plane = 0; plane < p.planes; plane++)
    for (int64_t r = 0, rows; r < p.rows; r += rows, y += rows * p.outputs) {
      rows = p.rows - r < FCV_POOL_ROWS ? p.rows - r : FCV_POOL_ROWS;
      reduce_image(&p, average, plane, r, rows);
      if (p.step == 2 && p.kw == 3)
        finish_rows(&p, average, r, rows, 3, 2, y, last);
      else if (p.step == 2)
        finish_rows(&p, average, r, rows, p.kw, 2, y, last);
      else if (p.kw == 3)
        finish_rows(&p, average, r, rows, 3, 1, y, last);
      else
        finish_rows(&p, average, r, rows, p.kw, 1, y, last);
    }
}

static void NAME(pool_max_planes)(const struct fcv_pool_planes *planes) { pool_planes(planes, 0); }
static void NAME(pool_avg_planes)(const struct fcv_pool_planes *planes) { pool_planes(planes, 1); }

/* Every step-th element, for VL outputs or as many as there are. */
#define strided NAME(strided)
INLINE vec strided(const real *x, const int64_t step, int64_t outputs) {
  if (step == 1)
    return load(x);
  if (step == 2)
    return even_lanes(load(x), load(x + VL));
  vec v = {0};
  for (int64_t l = 0; l < VL && l < outputs; l++) v[l] = x[l * step];
  return v;
}

/* VL outputs from o on: the maxima of `rows` padded rows, of which the first is row r, and of those before. */
#define combine_maxima NAME(combine_maxima)
INLINE void combine_maxima(const struct fcv_pool_row *row, const int64_t kw, const int64_t step, int64_t r,
                           int64_t rows, int64_t o) {
  const int64_t dilation = row->dilation;
  real *best = (real *)row->best + o;
  lane *which = (lane *)row->which + o, tap = (lane)(r * kw);
  vec most = r > 0 ? load(best) : splat(-(real)INFINITY);
  ivec at; /* also where all are that low */
  __builtin_memcpy(&at, r > 0 ? which : (const lane *)row->first + o, sizeof at);
  for (int64_t i = 0; i < rows; i++) {
    const real *x = (const real *)row->column + i * row->pitch + o * step;
    UNROLL_ANY(3)
    for (int64_t k = 0; k < kw; k++, x += dilation, tap++)
      keep_larger(strided(x, step, row->outputs), every(tap), &most, &at);
  }
  store(best, most);
  __builtin_memcpy(which, &at, sizeof at);
}

/* The maximum of each output, to best, and the number r * kw + k of the element that has it first, -1 where there is
 * none, to which. In vectors: a loop over one window would mispredict every second element. */
#define find_maxima NAME(find_maxima)
INLINE void find_maxima(const struct fcv_pool_row *row) {
  const int64_t outputs = row->outputs, step = row->step;
  for (int64_t o = 0; row->rows == 0 && o < outputs; o++) {
    ((real *)row->best)[o] = -(real)INFINITY;
    ((lane *)row->which)[o] = -1;
  }
  for (int64_t r = 0, rows; r < row->rows; r += rows) {
    rows = row->rows - r < FCV_POOL_ROWS ? row->rows - r : FCV_POOL_ROWS;
    for (int64_t i = 0; i < rows; i++) /* all before any is read, which would wait for what was just stored */
      pad_rows_of(row, 0, 1, (const real *const *)row->x + r + i, (real *)row->column + i * row->pitch);
    for (int64_t o = 0; o < outputs; o += VL) {
      o = o + VL <= outputs || outputs < VL ? o : outputs - VL; /* what is combined twice stays */
      if (step == 1)
        combine_maxima(row, row->kw, 1, r, rows, o);
      else if (step == 2 && row->kw == 3)
        combine_maxima(row, 3, 2, r, rows, o);
      else if (step == 2)
        combine_maxima(row, row->kw, 2, r, rows, o);
      else
        combine_maxima(row, row->kw, step, r, rows, o);
    }
  }
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
  const int64_t outputs = row->outputs, step = row->step, *tap = row->tap;
  const lane *which = row->which;
  real *y = row->y;
  if (row->one_by_one) {
    for (int64_t o = 0; o < row->outputs; o++) row->index[o] = find_one(row, &row->window[o], &y[o]);
    return;
  }
  find_taps(row);
  find_maxima(row);
  __builtin_memcpy(y, row->best, (size_t)row->outputs * sizeof(real));
  int64_t *index = row->index;
  for (int64_t o = 0; o < outputs; o++) index[o] = which[o] < 0 ? -1 : tap[which[o]] + o * step;
}

static void NAME(pool_max_grad_row)(const struct fcv_pool_row *row) {
  const int64_t outputs = row->outputs, step = row->step, *tap = row->tap;
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
  find_maxima(row);
  for (int64_t o = 0; o < outputs; o++)
    if (which[o] >= 0)
      channel[tap[which[o]] + o * step] += gy[o];
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
