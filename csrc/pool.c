/* Pooling. The windows' bounds are computed once, axis by axis; adaptive pooling differs in nothing else. Channels
 * last: a window is a list of pixels, vectors run along channels. Channels first: row of outputs by row, each from the
 * rows of inputs that its windows share. */
#include "internal.h"

struct pool {
  const struct fcv_pool *pool;
  struct fcv_geometry geometry; /* the pool's, in the form that the kernels like best */
  int uneven[FCV_AXES];         /* adaptive windows of different sizes or distances */
  int last;                     /* channels are */
  const struct fcv_kernels *kernels;
  const struct fcv_window *window[FCV_AXES];
  int64_t in_plane, out_plane;
  int64_t planes; /* channels first: channels of a unit */
  int64_t rows;   /* channels last, forward: rows of outputs of a unit */
  int64_t splits; /* channels last: parts of a row of outputs (forward), of the channels (backward) */
  const char *x, *gy;
  char *y, *gx;
  int64_t *index; /* wanted */
  char *thread_memory;
  int64_t thread_bytes;
};

enum pass { MAX, AVG, MAX_GRAD, AVG_GRAD };

enum { BAND_BYTES = 64 << 10 }; /* of a gradient, before it is written past the caches: at most */

/* Whether gx is written past the caches, in bands of so many bytes. */
static int passes_caches(const struct pool *p, int64_t band) {
  return band <= BAND_BYTES && fcv_leaves_caches(p->geometry.n * p->geometry.ci * p->in_plane * p->kernels->size);
}

/* A thread's memory: the pixels of a window or, for channels first, the rows of a window, what a row's kernel needs
 * and a row of scales. */
struct memory {
  int64_t *position, *tap;
  const void **x;
  void **gx;
  char *column, *scale, *first, *best, *which;
};

/* Pixels or rows of a window. */
static int64_t pointers(const struct pool *p) {
  const int64_t *kernel = p->geometry.kernel;
  return kernel[0] * kernel[1] * (p->last ? kernel[2] : 1);
}

/* Padded rows that are kept at a time. */
static int64_t columns(const struct pool *p) { return fcv_min(pointers(p), FCV_POOL_ROWS); }

/* Elements of a padded row, and what vectors read behind it. */
static int64_t column(const struct pool *p) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t met = p->uneven[2] ? 0 : (g->out[2] - 1) * g->stride[2] + (g->kernel[2] - 1) * g->dilation[2] + 1;
  return fcv_max(g->pad_lo[2] + g->in[2], fcv_max(met, g->out[2])) + 2 * p->kernels->vl;
}

static struct memory carve_memory(const struct pool *p, int thread) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t count = pointers(p);
  struct memory m;
  m.position = (int64_t *)(p->thread_memory + thread * p->thread_bytes);
  m.x = (const void **)(m.position + count);
  m.gx = (void **)(m.x + count);
  m.tap = (int64_t *)(m.gx + count);
  m.column = (char *)(m.tap + fcv_product(g->kernel));
  m.scale = m.column + columns(p) * column(p) * p->kernels->size;
  m.first = m.scale; /* an average has the one, a maximum the other */
  m.best = m.first + (g->out[2] + p->kernels->vl) * p->kernels->size;
  m.which = m.best + (g->out[2] + p->kernels->vl) * p->kernels->size;
  return m;
}

static int64_t memory_bytes(const struct pool *p) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t list = sizeof(int64_t) + 2 * sizeof(void *), channels_first = !p->last;
  return pointers(p) * list +
         channels_first * (fcv_product(g->kernel) * (int64_t)sizeof(int64_t) +
                           (columns(p) * column(p) + 3 * (g->out[2] + p->kernels->vl)) * p->kernels->size);
}

/* From floor(o * in / out) to the ceiling of the same for o + 1. */
static void find_uneven_windows(int64_t in, int64_t out, struct fcv_window *window) {
  int64_t start = 0, remainder = 0; /* of o * in / out, which by itself could leave int64_t */
  for (int64_t o = 0; o < out; o++) {
    window[o].first = start;
    start += in / out;
    remainder += in % out;
    if (remainder >= out) {
      start++;
      remainder -= out;
    }
    window[o].count = window[o].divisor = start + (remainder > 0) - window[o].first;
  }
}

static void find_even_windows(const struct pool *p, int axis, struct fcv_window *window) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t in = g->in[axis], dilation = g->dilation[axis];
  for (int64_t o = 0; o < g->out[axis]; o++) {
    const int64_t start = o * g->stride[axis] - g->pad_lo[axis];
    const int64_t skip = start < 0 ? fcv_ceil_div(-start, dilation) : 0;
    const int64_t end = in > start ? fcv_min(g->kernel[axis], (in - 1 - start) / dilation + 1) : 0;
    window[o].first = start + skip * dilation;
    window[o].count = fcv_max(0, end - skip);
    window[o].divisor =
        p->pool->count_include_pad ? fcv_min(start + g->kernel[axis], in + g->pad_hi[axis]) - start : window[o].count;
  }
}

static void find_windows(const struct pool *p, int axis, struct fcv_window *window) {
  const struct fcv_geometry *g = &p->geometry;
  if (p->uneven[axis])
    find_uneven_windows(g->in[axis], g->out[axis], window);
  else
    find_even_windows(p, axis, window);
  for (int64_t o = g->out[axis] - 1; o >= 0; o--) {
    const struct fcv_window *w = &window[o], *next = w + 1;
    const int alike = o + 1 < g->out[axis] && !p->uneven[axis] && next->first - w->first == g->stride[axis] &&
                      next->count == w->count && next->divisor == w->divisor;
    window[o].alike = alike ? next->alike + 1 : 1;
  }
}

static double scale(const struct pool *p, const struct fcv_window *z, const struct fcv_window *y,
                    const struct fcv_window *x) {
  const int64_t override = p->pool->divisor_override, divisor = z->divisor * y->divisor * x->divisor;
  return 1.0 / (double)(override ? override : fcv_max(1, divisor));
}

/* Positions of the window's elements within a channel; returns how many. */
static int64_t window_positions(const struct pool *p, const struct fcv_window *z, const struct fcv_window *y,
                                const struct fcv_window *x, int64_t *position) {
  const struct fcv_geometry *g = &p->geometry;
  int64_t taps = 0;
  for (int64_t i = 0; i < z->count; i++)
    for (int64_t j = 0; j < y->count; j++) {
      const int64_t row = ((z->first + i * g->dilation[0]) * g->in[1] + y->first + j * g->dilation[1]) * g->in[2];
      for (int64_t k = 0; k < x->count; k++) position[taps++] = row + x->first + k * g->dilation[2];
    }
  return taps;
}

static void fill_lowest(const struct pool *p, int64_t count, char *y) {
  const double lowest = -__builtin_inf();
  for (int64_t i = 0; i < count; i++)
    if (p->pool->dtype == FCV_F32)
      ((float *)y)[i] = (float)lowest;
    else
      ((double *)y)[i] = lowest;
}

/* Of some windows a step apart, those whose vectors at `first` and so on end before `end`. */
static int64_t fitting(const struct pool *p, int64_t windows, int64_t step, int64_t first, int64_t end) {
  const int64_t room = end - p->kernels->vl - first;
  return room < 0 ? 0 : room < (windows - 1) * step ? room / step + 1 : windows;
}

/* The windows of a row that begin with o and are alike, at most up to `last`; their pixels go to m->position. Of evenly
 * spaced ones, where the pass allows it, the first alone: a list of a whole image takes time of its own. */
static struct fcv_pool_windows find_alike(const struct pool *p, const struct fcv_window *z, const struct fcv_window *y,
                                          int64_t o, int64_t last, const struct memory *m) {
  const struct fcv_geometry *g = &p->geometry;
  const struct fcv_window *x = &p->window[2][o];
  const int even = p->y && !p->index && z->count == 1 && y->count == 1 && x->count > 1;
  const struct fcv_window first = {.first = x->first, .count = 1};
  const int64_t listed = window_positions(p, z, y, even ? &first : x, m->position);
  const int64_t windows = fcv_min(x->alike, last - o), stride = windows > 1 ? g->stride[2] : 0; /* may be any for one */
  return (struct fcv_pool_windows){
      .taps = even ? x->count : listed,
      .apart = even ? g->dilation[2] * g->ci : 0,
      .windows = windows,
      .step = stride * g->ci,
      .stride = stride,
      .pitch = g->ci,
      .x = m->x,
      .gx = m->gx,
      .position = m->position,
      .scale = scale(p, z, y, x),
  };
}

/* Channels last: some rows of outputs, or part of one. */
static void pool_pixels(const struct pool *p, int64_t unit, int thread, enum pass pass) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t size = p->kernels->size, rows = g->out[0] * g->out[1];
  const int64_t split = unit % p->splits, first = unit / p->splits * p->rows;
  const int64_t last = fcv_min(first + p->rows, g->n * rows);
  const int64_t from = g->out[2] * split / p->splits, to = g->out[2] * (split + 1) / p->splits;
  const int64_t x_end = g->n * p->in_plane * g->ci, y_end = ((last - 1) * g->out[2] + to) * g->ci;
  const struct memory m = carve_memory(p, thread);
  for (int64_t row = first; row < last; row++) {
    const struct fcv_window *z = &p->window[0][row % rows / g->out[1]], *y = &p->window[1][row % g->out[1]];
    const int64_t image = row / rows * p->in_plane * g->ci;
    struct fcv_pool_windows w;
    for (int64_t o = from; o < to; o += w.windows) {
      const int64_t out = (row * g->out[2] + o) * g->ci;
      w = find_alike(p, z, y, o, to, &m);
      w.channels = g->ci;
      w.y = p->y + out * size;
      w.index = p->index ? p->index + out : NULL;
      const int64_t listed = w.apart ? 1 : w.taps;
      for (int64_t i = 0; i < listed; i++) m.x[i] = p->x + (image + m.position[i] * g->ci) * size;
      if (w.taps > 0) {
        const int64_t last_tap = image + m.position[listed - 1] * g->ci + (w.taps - listed) * w.apart;
        w.whole = fcv_min(fitting(p, w.windows, w.step, last_tap, x_end), fitting(p, w.windows, w.pitch, out, y_end));
      }
      if (pass == AVG) {
        p->kernels->pool_avg(&w);
      } else if (w.taps > 0) {
        p->kernels->pool_max(&w);
      } else {
        fill_lowest(p, w.windows * g->ci, w.y);
        for (int64_t i = 0; w.index && i < w.windows * g->ci; i++) w.index[i] = -1;
      }
    }
  }
}

static void max_pixels(const void *context, int64_t unit, int thread) { pool_pixels(context, unit, thread, MAX); }
static void avg_pixels(const void *context, int64_t unit, int thread) { pool_pixels(context, unit, thread, AVG); }

/* Whether each element of an image is in one window. */
static int shares_nothing(const struct pool *p) {
  const struct fcv_geometry *g = &p->geometry;
  int is = 1;
  for (int i = 0; i < FCV_AXES; i++)
    is = is && !p->uneven[i] && g->dilation[i] == 1 && g->pad_lo[i] == 0 && g->kernel[i] * g->out[i] == g->in[i] &&
         (g->stride[i] == g->kernel[i] || g->out[i] == 1);
  return is;
}

/* Channels last: gx of one image and part of its channels. Windows may overlap, so one unit writes all they share. */
static void pool_pixels_grad(const struct pool *p, int64_t unit, int thread, enum pass pass) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t size = p->kernels->size, pixel = g->ci * size, image = unit / p->splits, split = unit % p->splits;
  const int64_t first = g->ci * split / p->splits, channels = g->ci * (split + 1) / p->splits - first;
  const struct memory m = carve_memory(p, thread);
  const int64_t in = image * p->in_plane * pixel + first * size;
  const int64_t band = g->kernel[1] * g->in[2]; /* pixels of a row of windows */
  const int alone = shares_nothing(p), banded = alone && g->in[0] == 1 && p->splits == 1;
  const int passes = banded && passes_caches(p, band * pixel);
  _Alignas(64) char block[BAND_BYTES];
  if (!alone)
    fcv_zero_rows(p->in_plane, channels * size, p->gx + in, pixel);
  for (int64_t row = 0; row < g->out[0] * g->out[1]; row++) {
    const struct fcv_window *z = &p->window[0][row / g->out[1]], *y = &p->window[1][row % g->out[1]];
    struct fcv_pool_windows w;
    for (int64_t o = 0; o < g->out[2]; o += w.windows) {
      const struct fcv_window *x = &p->window[2][o];
      const int64_t out = (image * p->out_plane + row * g->out[2] + o) * g->ci + first;
      w = find_alike(p, z, y, o, g->out[2], &m);
      w.channels = channels;
      w.alone = alone;
      w.gy = p->gy + out * size;
      for (int64_t i = 0; i < w.taps; i++) {
        m.x[i] = p->x ? p->x + in + m.position[i] * pixel : NULL;
        m.gx[i] = passes ? block + (m.position[i] - row * band) * pixel : p->gx + in + m.position[i] * pixel;
      }
      if (w.taps > 0 && channels == g->ci) /* not behind a row: the next one may be written already */
        w.whole = fcv_min(fitting(p, w.windows, w.step, (x->first + x->count - 1) * g->ci, g->in[2] * g->ci),
                          fitting(p, w.windows, w.pitch, out, g->n * p->out_plane * g->ci));
      if (pass == AVG_GRAD)
        p->kernels->pool_avg_grad(&w);
      else if (w.taps > 0)
        p->kernels->pool_max_grad(&w);
    }
    if (passes)
      p->kernels->copy_past_caches(band * g->ci, block, p->gx + in + row * band * pixel);
  }
}

static void max_pixels_grad(const void *context, int64_t unit, int thread) {
  pool_pixels_grad(context, unit, thread, MAX_GRAD);
}
static void avg_pixels_grad(const void *context, int64_t unit, int thread) {
  pool_pixels_grad(context, unit, thread, AVG_GRAD);
}

/* 1 / divisor of each output of a row, in the element type. */
static void fill_scales(const struct pool *p, const struct fcv_window *z, const struct fcv_window *y, char *scales) {
  for (int64_t o = 0; o < p->geometry.out[2]; o++) {
    const double factor = scale(p, z, y, &p->window[2][o]);
    if (p->pool->dtype == FCV_F32)
      ((float *)scales)[o] = (float)factor;
    else
      ((double *)scales)[o] = factor;
  }
}

/* The first tap of each output of a row that is inside, in the integer of the element's size. */
static void fill_first_taps(const struct pool *p, char *first) {
  const struct fcv_geometry *g = &p->geometry;
  for (int64_t o = 0; o < g->out[2]; o++) {
    const struct fcv_window *w = &p->window[2][o];
    const int64_t tap = w->count > 0 ? (w->first + g->pad_lo[2] - o * g->stride[2]) / g->dilation[2] : -1;
    if (p->pool->dtype == FCV_F32)
      ((int32_t *)first)[o] = (int32_t)tap;
    else
      ((int64_t *)first)[o] = tap;
  }
}

/* Channels first: one channel, row of outputs by row. divisor: that of the scales which the row holds. */
static void pool_plane(const struct pool *p, int64_t plane, enum pass pass, const struct memory *m,
                       struct fcv_pool_row *row, int64_t *divisor) {
  const struct fcv_geometry *g = &p->geometry;
  const struct fcv_window first_column = {.count = 1};
  const int64_t size = p->kernels->size, in = plane * p->in_plane * size;
  fcv_pool_row_fn *const kernel[] = {
      [MAX] = p->index ? p->kernels->pool_max_index_row : p->kernels->pool_max_row,
      [AVG] = p->kernels->pool_avg_row,
      [MAX_GRAD] = p->kernels->pool_max_grad_row,
      [AVG_GRAD] = p->kernels->pool_avg_grad_row,
  };
  if (p->gx)
    row->gx_channel = memset(p->gx + in, 0, (size_t)(p->in_plane * size));
  for (int64_t r = 0; r < g->out[0] * g->out[1]; r++) {
    const struct fcv_window *z = &p->window[0][r / g->out[1]], *y = &p->window[1][r % g->out[1]];
    const int64_t out = plane * p->out_plane + r * g->out[2];
    row->rows = window_positions(p, z, y, &first_column, m->position);
    row->y = p->y ? p->y + out * size : NULL;
    row->gy = p->gy ? p->gy + out * size : NULL;
    row->index = p->index ? p->index + out : NULL;
    for (int64_t i = 0; i < row->rows; i++) {
      if (p->x)
        m->x[i] = p->x + in + m->position[i] * size;
      if (p->gx)
        m->gx[i] = p->gx + in + m->position[i] * size;
    }
    if ((pass == AVG || pass == AVG_GRAD) && *divisor != z->divisor * y->divisor) {
      *divisor = z->divisor * y->divisor;
      fill_scales(p, z, y, m->scale);
    }
    if (row->rows > 0 || row->index)
      kernel[pass](row);
    else if (pass == MAX)
      fill_lowest(p, g->out[2], row->y);
    else if (pass == AVG)
      memset(row->y, 0, (size_t)(g->out[2] * size));
  }
}

/* Channels first, and windows of 2x2 that share nothing: rows of all channels are one array. */
static int is_2x2(const struct pool *p) {
  const struct fcv_geometry *g = &p->geometry;
  int is = !p->last && !p->index && g->kernel[0] == 1 && g->in[0] == 1 && g->out[0] == 1;
  for (int i = 1; i < FCV_AXES; i++)
    is = is && !p->uneven[i] && g->kernel[i] == 2 && g->stride[i] == 2 && g->dilation[i] == 1 && g->pad_lo[i] == 0 &&
         2 * g->out[i] <= g->in[i];
  return is;
}

static void pool_2x2(const struct pool *p, int64_t unit, enum pass pass) {
  const struct fcv_geometry *g = &p->geometry;
  const struct fcv_kernels *k = p->kernels;
  fcv_pool_2x2_fn *const kernel[] = {k->pool_max_2x2, k->pool_avg_2x2, k->pool_max_2x2_grad, k->pool_avg_2x2_grad};
  const int64_t first = unit * p->planes, last = fcv_min(first + p->planes, g->n * g->ci);
  const int64_t met = 2 * g->out[1] * g->in[2], rest = (g->in[1] - 2 * g->out[1]) * g->in[2] * k->size;
  const int passes = p->gx && passes_caches(p, met * k->size);
  const int64_t together = g->in[1] == 2 * g->out[1] && !passes ? last - first : 1;
  _Alignas(64) char block[BAND_BYTES];
  struct fcv_pool_2x2 rows = {.rows = together * g->out[1], .outputs = g->out[2], .width = g->in[2]};
  rows.scale = scale(p, &p->window[0][0], &p->window[1][0], &p->window[2][0]);
  for (int64_t plane = first; plane < last; plane += together) {
    const int64_t in = plane * p->in_plane * k->size, out = plane * p->out_plane * k->size;
    rows.x = p->x ? p->x + in : NULL;
    rows.y = p->y ? p->y + out : NULL;
    rows.gy = p->gy ? p->gy + out : NULL;
    rows.gx = passes ? block : p->gx ? p->gx + in : NULL;
    kernel[pass](&rows);
    if (passes)
      k->copy_past_caches(met, block, p->gx + in);
    if (p->gx)
      memset(p->gx + in + together * p->in_plane * k->size - rest, 0, (size_t)rest);
  }
}

/* Some channels, so that small ones share what a unit costs: planes of 7x7 took 33 ns each by themselves, 18
 * together. */
static void pool_planes(const struct pool *p, int64_t unit, int thread, enum pass pass) {
  const struct fcv_geometry *g = &p->geometry;
  if (is_2x2(p)) {
    pool_2x2(p, unit, pass);
    return;
  }
  const struct memory m = carve_memory(p, thread);
  struct fcv_pool_row row = {
      .width = g->in[2],
      .outputs = g->out[2],
      .kw = g->kernel[2],
      .step = g->stride[2],
      .dilation = g->dilation[2],
      .pad = g->pad_lo[2],
      .window = p->window[2],
      .one_by_one = g->dilation[2] == 1 && (p->uneven[2] || g->out[2] == 1),
      .x = m.x,
      .gx = m.gx,
      .position = m.position,
      .tap = m.tap,
      .column = m.column,
      .pitch = column(p),
      .first = m.first,
      .best = m.best,
      .which = m.which,
      .scale = m.scale,
  };
  if (p->x && (p->index || p->gx) && !row.one_by_one)
    fill_first_taps(p, m.first);
  int64_t divisor = -1;
  const int64_t last = fcv_min((unit + 1) * p->planes, g->n * g->ci);
  for (int64_t plane = unit * p->planes; plane < last; plane++) pool_plane(p, plane, pass, &m, &row, &divisor);
}

static void max_planes(const void *context, int64_t unit, int thread) { pool_planes(context, unit, thread, MAX); }
static void avg_planes(const void *context, int64_t unit, int thread) { pool_planes(context, unit, thread, AVG); }
static void max_planes_grad(const void *context, int64_t unit, int thread) {
  pool_planes(context, unit, thread, MAX_GRAD);
}
static void avg_planes_grad(const void *context, int64_t unit, int thread) {
  pool_planes(context, unit, thread, AVG_GRAD);
}

/* Windows and thread memory in one block of scratch, then body over units. */
static fcv_status run(struct pool *p, int64_t units, double work, fcv_unit_fn *body) {
  const struct fcv_geometry *g = &p->geometry;
  const int threads = fcv_threads_for(work);
  int64_t bytes = 0;
  p->thread_bytes = fcv_round_up(memory_bytes(p), 64);
  const int64_t windows = fcv_reserve(&bytes, (g->out[0] + g->out[1] + g->out[2]) * (int64_t)sizeof(struct fcv_window));
  const int64_t threads_memory = fcv_reserve(&bytes, threads * p->thread_bytes);
  char *memory = fcv_scratch_take((size_t)bytes);
  if (!memory)
    return FCV_NO_MEMORY;
  p->thread_memory = memory + threads_memory;
  struct fcv_window *window = (struct fcv_window *)(memory + windows);
  for (int axis = 0; axis < FCV_AXES; axis++) {
    find_windows(p, axis, window);
    p->window[axis] = window;
    window += g->out[axis];
  }
  fcv_parallel_for(units, threads, body, p);
  fcv_scratch_give(memory);
  return FCV_OK;
}

/* Adaptive windows that are all alike are as those of any other pooling. */
static void adapt(struct pool *p) {
  struct fcv_geometry *g = &p->geometry;
  for (int i = 0; i < FCV_AXES; i++) {
    g->dilation[i] = 1;
    g->pad_lo[i] = g->pad_hi[i] = 0;
    p->uneven[i] = g->out[i] > 0 && g->in[i] % g->out[i] != 0;
    if (p->uneven[i])
      g->kernel[i] = fcv_ceil_div(g->in[i] - 1, g->out[i]) + 1; /* the largest */
    else
      g->kernel[i] = g->stride[i] = g->out[i] > 0 ? fcv_max(1, g->in[i] / g->out[i]) : 1;
  }
}

/* Whether one window holds all of an axis. */
static int is_whole(const struct fcv_geometry *g, int axis) {
  return g->out[axis] == 1 && g->kernel[axis] == g->in[axis] && g->pad_lo[axis] == 0 && g->dilation[axis] == 1;
}

/* A window that holds whole rows is one row: with 7x7 pixels, every vector along a row would be a part of one. */
static void join_rows(struct fcv_geometry *g) {
  for (int axis = FCV_AXES - 2; axis >= 0 && is_whole(g, axis) && is_whole(g, FCV_AXES - 1); axis--) {
    g->in[FCV_AXES - 1] *= g->in[axis];
    g->kernel[FCV_AXES - 1] = g->in[FCV_AXES - 1];
    g->in[axis] = g->kernel[axis] = 1;
  }
}

static fcv_status start(const struct fcv_pool *pool, struct pool *p) {
  struct fcv_geometry *g = &p->geometry;
  *p = (struct pool){.pool = pool, .geometry = pool->geometry, .kernels = fcv_kernels(pool->dtype), .splits = 1};
  p->last = pool->layout == FCV_CHANNELS_LAST;
  FCV_TRY(fcv_geometry_check(g, 2 * p->kernels->size)); /* indices may be wider than elements */
  if (pool->adaptive)
    adapt(p);
  int64_t taps = 4 * (int64_t)sizeof(int64_t); /* what a thread keeps for each at most */
  for (int i = 0; i < FCV_AXES; i++)
    if (__builtin_mul_overflow(taps, g->kernel[i], &taps) || taps > INT64_MAX / 4096)
      return FCV_INVALID;
  p->in_plane = fcv_product(g->in);
  p->out_plane = fcv_product(g->out);
  join_rows(g);
  return g->ci == g->co ? FCV_OK : FCV_INVALID;
}

/* Elements read, as work for fcv_threads_for: moving one costs about two multiply-adds. */
static double work(const struct pool *p) {
  const struct fcv_geometry *g = &p->geometry;
  return 2.0 * (double)(g->n * g->ci) * (double)p->out_plane * (double)fcv_product(g->kernel);
}

static fcv_status run_planes(struct pool *p, fcv_unit_fn *planes) {
  const int64_t all = p->geometry.n * p->geometry.ci;
  p->planes = fcv_group(all, p->in_plane + p->out_plane);
  return run(p, fcv_ceil_div(all, p->planes), work(p), planes);
}

static fcv_status forward(struct pool *p, fcv_unit_fn *pixels, fcv_unit_fn *planes) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t rows = g->n * g->out[0] * g->out[1];
  if (p->out_plane * g->n * g->ci == 0)
    return FCV_OK;
  if (!p->last)
    return run_planes(p, planes);
  p->splits = fcv_parts(rows, g->out[2]);
  p->rows = fcv_group(rows, p->in_plane * g->n * g->ci / rows + g->out[2] * g->ci);
  return run(p, fcv_ceil_div(rows, p->rows) * p->splits, work(p), pixels);
}

static fcv_status backward(struct pool *p, fcv_unit_fn *pixels, fcv_unit_fn *planes) {
  const struct fcv_geometry *g = &p->geometry;
  if (g->n * g->ci * p->in_plane == 0)
    return FCV_OK;
  if (!p->last)
    return run_planes(p, planes);
  p->splits = fcv_parts(g->n, g->ci / p->kernels->vl);
  return run(p, g->n * p->splits, work(p), pixels);
}

fcv_status fcv_max_pool_forward(const struct fcv_pool *pool, const void *x, void *y, int64_t *indices) {
  struct pool p;
  FCV_TRY(start(pool, &p));
  p.x = x;
  p.y = y;
  p.index = indices;
  /* One channel lies as channels first does. Not for values alone, which are found by columns there: of -0.0 and 0.0 in
   * a window it would be another. */
  p.last = p.last && (p.geometry.ci > 1 || !indices);
  return forward(&p, max_pixels, max_planes);
}

fcv_status fcv_max_pool_backward(const struct fcv_pool *pool, const void *x, const void *gy, const int64_t *indices,
                                 void *gx) {
  struct pool p;
  if (indices)
    return fcv_max_pool_scatter(pool, gy, indices, gx);
  FCV_TRY(start(pool, &p));
  p.x = x;
  p.gy = gy;
  p.gx = gx;
  p.last = p.last && p.geometry.ci > 1;
  return backward(&p, max_pixels_grad, max_planes_grad);
}

fcv_status fcv_avg_pool_forward(const struct fcv_pool *pool, const void *x, void *y) {
  struct pool p;
  FCV_TRY(start(pool, &p));
  p.x = x;
  p.y = y;
  return forward(&p, avg_pixels, avg_planes);
}

fcv_status fcv_avg_pool_backward(const struct fcv_pool *pool, const void *gy, void *gx) {
  struct pool p;
  FCV_TRY(start(pool, &p));
  p.gy = gy;
  p.gx = gx;
  return backward(&p, avg_pixels_grad, avg_planes_grad);
}
