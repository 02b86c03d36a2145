/* Pooling, channels first, of VL channels together: transposed, each is a lane of vectors, so that windows may be any.
 */
#include "pool.h"

enum {
  KEPT = 64 << 10,   /* bytes of a band's rows, transposed, unless one row of outputs needs more */
  LARGEST = 1 << 20, /* which it may not */
};

/* Rows of a channel that are transposed at a time, and the rows of outputs whose windows they hold. */
struct band {
  int64_t outputs, rows;
};

static int64_t row_bytes(const struct fcv_pooling *p) { return p->geometry.in[2] * p->kernels->vl * p->kernels->size; }

/* Whether windows lie in one plane and, row of outputs by row, further down. */
static int descends(const struct fcv_geometry *g) {
  return g->in[0] == 1 && g->out[0] == 1 && g->kernel[0] == 1 && g->pad_lo[0] == 0 && g->dilation[1] == 1;
}

/* Rows that the windows of some neighbouring rows of outputs meet, at most. */
static int64_t rows_met(const struct fcv_pooling *p, int64_t outputs) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t before = outputs - 1;
  const int64_t apart = p->uneven[1] ? before * (g->in[1] / g->out[1]) + before * (g->in[1] % g->out[1]) / g->out[1] + 1
                                     : before * g->stride[1];
  return fcv_min(apart + g->kernel[1], g->in[1]);
}

static struct band plan_band(const struct fcv_pooling *p) {
  const struct fcv_geometry *g = &p->geometry;
  struct band band = {.outputs = g->out[0] * g->out[1], .rows = g->in[0] * g->in[1]};
  const int64_t most = KEPT / row_bytes(p);
  if (band.rows <= most || !descends(g))
    return band;
  band.outputs = 1;
  while (band.outputs < g->out[1] && rows_met(p, band.outputs + 1) <= most) band.outputs++;
  band.rows = rows_met(p, band.outputs);
  return band;
}

/* Two lanes (float64, SSE2) took up to 1.4 times as long. */
int fcv_pool_takes_lanes(const struct fcv_pooling *p) {
  const int64_t vl = p->kernels->vl, planes = p->geometry.n * p->geometry.ci;
  return vl >= 4 && 2 * planes >= vl && p->in_plane > 0 && p->in_plane <= INT32_MAX &&
         plan_band(p).rows * row_bytes(p) <= LARGEST;
}

/* A thread's memory behind the list, by where each begins. */
struct places {
  int64_t rows, column, pooled, which; /* transposed: a band of inputs, a row, a band of outputs and of positions */
  int64_t positions, scale;            /* channel by channel; a row's */
  int64_t bytes;
};

static struct places find_places(const struct fcv_pooling *p, const struct band *band) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t outputs = band->outputs * g->out[2] * p->kernels->vl * p->kernels->size;
  struct places at = {.bytes = 0};
  at.rows = fcv_reserve(&at.bytes, band->rows * row_bytes(p));
  at.column = fcv_reserve(&at.bytes, row_bytes(p));
  at.pooled = fcv_reserve(&at.bytes, outputs);
  at.which = fcv_reserve(&at.bytes, outputs);
  at.positions = fcv_reserve(&at.bytes, outputs);
  at.scale = fcv_reserve(&at.bytes, g->out[2] * p->kernels->size);
  return at;
}

int64_t fcv_pool_lanes_bytes(const struct fcv_pooling *p) {
  const struct band band = plan_band(p);
  return find_places(p, &band).bytes + 64;
}

/* Some channels, and what is kept from one row of outputs to the next. */
struct walk {
  const struct fcv_pooling *p;
  struct band band;
  struct fcv_pool_list list;
  char *rows, *column, *pooled, *which, *positions, *scale;
  int64_t divisor;        /* that of the scales */
  int64_t plane, planes;  /* at most VL */
  int64_t first, end;     /* rows of inputs that are transposed */
  int64_t finished, kept; /* of a gradient: rows that are written, and those behind them that wait for more */
};

/* Elements of each channel to vectors, and back. */
static void to_lanes(const struct walk *w, const char *from, int64_t pitch, int64_t first, int64_t count, char *to) {
  const struct fcv_kernels *k = w->p->kernels;
  k->transpose(w->planes, count, from + (w->plane * pitch + first) * k->size, pitch, to, k->vl);
}

static void from_lanes(const struct walk *w, const char *from, char *to, int64_t pitch, int64_t first, int64_t count) {
  const struct fcv_kernels *k = w->p->kernels;
  k->transpose(count, w->planes, from, k->vl, to + (w->plane * pitch + first) * k->size, pitch);
}

/* The rows that windows of rows r to last - 1 of outputs meet. */
static void find_rows(struct walk *w, int64_t r, int64_t last) {
  const struct fcv_geometry *g = &w->p->geometry;
  w->first = 0;
  w->end = g->in[0] * g->in[1];
  if (!descends(g))
    return;
  while (r < last && w->p->window[1][r].count <= 0) r++;
  while (r < last && w->p->window[1][last - 1].count <= 0) last--;
  w->first = r < last ? w->p->window[1][r].first : 0;
  w->end = r < last ? w->p->window[1][last - 1].first + w->p->window[1][last - 1].count : 0;
}

/* One row of outputs of the band whose first is `start`. */
static void pool_row(struct walk *w, int64_t start, int64_t r) {
  const struct fcv_pooling *p = w->p;
  const struct fcv_geometry *g = &p->geometry;
  const struct fcv_kernels *k = p->kernels;
  const struct fcv_window *z = &p->window[0][r / g->out[1]], *y = &p->window[1][r % g->out[1]];
  const struct fcv_window first_column = {.count = 1};
  fcv_pool_lanes_fn *const kernel[] = {
      [FCV_POOL_MAX] = p->index ? k->pool_max_index_lanes : k->pool_max_lanes,
      [FCV_POOL_AVG] = k->pool_avg_lanes,
      [FCV_POOL_MAX_GRAD] = k->pool_max_index_lanes,
      [FCV_POOL_AVG_GRAD] = k->pool_avg_grad_lanes,
  };
  const int64_t rows = fcv_pool_positions(p, z, y, &first_column, w->list.position);
  const int64_t out = (r - start) * g->out[2] * k->vl * k->size;
  for (int64_t i = 0; i < rows; i++) {
    w->list.gx[i] = w->rows + (w->list.position[i] - w->first * g->in[2]) * k->vl * k->size;
    w->list.x[i] = w->list.gx[i];
  }
  if ((p->pass == FCV_POOL_AVG || p->pass == FCV_POOL_AVG_GRAD) && w->divisor != z->divisor * y->divisor) {
    w->divisor = z->divisor * y->divisor;
    fcv_pool_fill_scales(p, z, y, w->scale);
  }
  kernel[p->pass](&(struct fcv_pool_lanes){
      .rows = rows,
      .width = g->in[2],
      .outputs = g->out[2],
      .dilation = g->dilation[2],
      .window = p->window[2],
      .x = w->list.x,
      .gx = w->list.gx,
      .position = w->list.position,
      .column = w->column,
      .y = w->pooled + out,
      .which = w->which + out,
      .gy = w->pooled + out,
      .scale = w->scale,
  });
}

/* Positions of `count` outputs from the first on, as indices or for the gradient. */
static void place_maxima(const struct walk *w, int64_t first, int64_t count) {
  const struct fcv_pooling *p = w->p;
  const struct fcv_kernels *k = p->kernels;
  k->transpose(count, w->planes, w->which, k->vl, w->positions, count);
  for (int64_t i = 0; i < w->planes; i++) {
    const char *which = w->positions + i * count * k->size;
    const int64_t out = (w->plane + i) * p->out_plane + first;
    if (p->index)
      k->pool_widen(count, which, p->index + out);
    else
      k->pool_scatter(count, which, p->gy + out * k->size, p->gx + (w->plane + i) * p->in_plane * k->size);
  }
}

static void pool_band(struct walk *w, int64_t r, int64_t last) {
  const struct fcv_pooling *p = w->p;
  const int64_t width = p->geometry.in[2], first = r * p->geometry.out[2], count = (last - r) * p->geometry.out[2];
  find_rows(w, r, last);
  to_lanes(w, p->x, p->in_plane, w->first * width, (w->end - w->first) * width, w->rows);
  for (int64_t row = r; row < last; row++) pool_row(w, r, row);
  if (p->y)
    from_lanes(w, w->pooled, p->y, p->out_plane, first, count);
  if (p->index || p->gx)
    place_maxima(w, first, count);
}

/* Zero rows that no window meets, up to `end`. */
static void clear_rows(const struct walk *w, int64_t end) {
  const struct fcv_pooling *p = w->p;
  const int64_t row = p->geometry.in[2] * p->kernels->size, plane = p->in_plane * p->kernels->size;
  if (w->finished < end)
    fcv_zero_rows(w->planes, (end - w->finished) * row, p->gx + w->plane * plane + w->finished * row, plane);
}

/* Of the average's gradient. Rows that the next band's windows meet as well are kept. */
static void give_band(struct walk *w, int64_t r, int64_t last) {
  const struct fcv_pooling *p = w->p;
  const struct fcv_geometry *g = &p->geometry;
  const int64_t width = g->in[2], bytes = row_bytes(p), outputs = g->out[0] * g->out[1];
  find_rows(w, last, outputs);
  const int64_t next = w->first < w->end && last < outputs ? w->first : g->in[0] * g->in[1];
  find_rows(w, r, last);
  const int64_t met = w->end - w->first, done = fcv_min(met, next - w->first);
  if (met <= 0)
    return;
  to_lanes(w, p->gy, p->out_plane, r * g->out[2], (last - r) * g->out[2], w->pooled);
  memset(w->rows + w->kept * bytes, 0, (size_t)((met - w->kept) * bytes));
  for (int64_t row = r; row < last; row++) pool_row(w, r, row);
  clear_rows(w, w->first);
  from_lanes(w, w->rows, p->gx, p->in_plane, w->first * width, done * width);
  w->finished = w->first + done;
  w->kept = met - done;
  memmove(w->rows, w->rows + done * bytes, (size_t)(w->kept * bytes));
}

static void pool_channels(struct walk *w) {
  const struct fcv_pooling *p = w->p;
  const int64_t outputs = p->geometry.out[0] * p->geometry.out[1], rows = p->geometry.in[0] * p->geometry.in[1];
  const int average_grad = p->pass == FCV_POOL_AVG_GRAD;
  w->finished = w->kept = 0;
  if (p->pass == FCV_POOL_MAX_GRAD)
    clear_rows(w, rows);
  for (int64_t r = 0, last; r < outputs; r = last) {
    last = fcv_min(r + w->band.outputs, outputs);
    if (average_grad)
      give_band(w, r, last);
    else
      pool_band(w, r, last);
  }
  if (average_grad)
    clear_rows(w, rows);
}

void fcv_pool_lanes(const struct fcv_pooling *p, int64_t unit, int thread) {
  const int64_t first = unit * p->planes, last = fcv_min(first + p->planes, p->geometry.n * p->geometry.ci);
  const struct band band = plan_band(p);
  const struct places at = find_places(p, &band);
  const struct fcv_pool_list list = fcv_pool_list(p, thread);
  char *memory = (char *)list.rest + (-(uintptr_t)list.rest & 63);
  struct walk w = {
      .p = p,
      .band = band,
      .list = list,
      .rows = memory + at.rows,
      .column = memory + at.column,
      .pooled = memory + at.pooled,
      .which = memory + at.which,
      .positions = memory + at.positions,
      .scale = memory + at.scale,
      .divisor = -1,
  };
  for (w.plane = first; w.plane < last; w.plane += w.planes) {
    w.planes = fcv_min(p->kernels->vl, last - w.plane);
    pool_channels(&w);
  }
}
