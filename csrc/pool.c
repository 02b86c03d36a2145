/* Pooling. The windows' bounds are computed once, axis by axis; adaptive pooling differs in nothing else. Channels
 * last: a window is a list of pixels, vectors run along channels. Channels first: row of outputs by row, each from the
 * rows of inputs that its windows share. */
#include "internal.h"

struct pool {
  const struct fcv_pool *pool;
  struct fcv_geometry geometry; /* the pool's, in the form that the kernels like best */
  int uneven[FCV_AXES];         /* adaptive windows of different sizes or distances */
  const struct fcv_kernels *kernels;
  const struct fcv_window *window[FCV_AXES];
  int64_t in_plane, out_plane;
  int64_t planes; /* channels first: channels of a unit */
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

static int channels_last(const struct pool *p) { return p->pool->layout == FCV_CHANNELS_LAST; }

/* A thread's memory: the pixels of a window or, for channels first, the rows of a window, what a row's kernel needs
 * and a row of scales. */
struct memory {
  int64_t *position, *tap;
  const void **x;
  void **gx;
  char *column, *scale, *which;
};

/* Pixels or rows of a window. */
static int64_t pointers(const struct pool *p) {
  const int64_t *kernel = p->geometry.kernel;
  return kernel[0] * kernel[1] * (channels_last(p) ? kernel[2] : 1);
}

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
  m.scale = m.column + column(p) * p->kernels->size;
  m.which = m.scale + (g->out[2] + p->kernels->vl) * p->kernels->size;
  return m;
}

static int64_t memory_bytes(const struct pool *p) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t list = sizeof(int64_t) + 2 * sizeof(void *), channels_first = !channels_last(p);
  return pointers(p) * list + channels_first * (fcv_product(g->kernel) * (int64_t)sizeof(int64_t) +
                                                (column(p) + 2 * g->out[2] + p->kernels->vl) * p->kernels->size);
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

static void find_windows(const struct pool *p, int axis, struct fcv_window *window) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t in = g->in[axis], dilation = g->dilation[axis];
  if (p->uneven[axis]) {
    find_uneven_windows(in, g->out[axis], window);
    return;
  }
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

/* Channels last: one row of outputs of one image, or part of it. */
static void pool_pixels(const struct pool *p, int64_t unit, int thread, enum pass pass) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t pixel = g->ci * p->kernels->size, rows = g->out[0] * g->out[1];
  const int64_t split = unit % p->splits, row = unit / p->splits % rows, image = unit / p->splits / rows;
  const struct fcv_window *z = &p->window[0][row / g->out[1]], *y = &p->window[1][row % g->out[1]];
  const struct memory m = carve_memory(p, thread);
  const char *x = p->x + image * p->in_plane * pixel;
  for (int64_t o = g->out[2] * split / p->splits; o < g->out[2] * (split + 1) / p->splits; o++) {
    const int64_t out = image * p->out_plane + row * g->out[2] + o;
    const int64_t taps = window_positions(p, z, y, &p->window[2][o], m.position);
    int64_t *index = p->index ? p->index + out * g->ci : NULL;
    for (int64_t i = 0; i < taps; i++) m.x[i] = x + m.position[i] * pixel;
    if (pass == AVG) {
      p->kernels->pool_avg(taps, g->ci, m.x, scale(p, z, y, &p->window[2][o]), p->y + out * pixel);
    } else if (taps > 0) {
      p->kernels->pool_max(taps, g->ci, m.x, m.position, p->y + out * pixel, index);
    } else {
      fill_lowest(p, g->ci, p->y + out * pixel);
      for (int64_t c = 0; index && c < g->ci; c++) index[c] = -1;
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
  for (int64_t o = 0; o < p->out_plane; o++) {
    const struct fcv_window *z = &p->window[0][o / (g->out[1] * g->out[2])];
    const struct fcv_window *y = &p->window[1][o / g->out[2] % g->out[1]], *x = &p->window[2][o % g->out[2]];
    const int64_t taps = window_positions(p, z, y, x, m.position);
    const char *gy = p->gy + (image * p->out_plane + o) * pixel + first * size;
    const int64_t row = o / g->out[2];
    for (int64_t i = 0; i < taps; i++)
      m.gx[i] = passes ? block + (m.position[i] - row * band) * pixel : p->gx + in + m.position[i] * pixel;
    if (pass == AVG_GRAD) {
      p->kernels->pool_avg_grad(taps, channels, gy, scale(p, z, y, x), m.gx, alone);
    } else if (taps > 0) {
      for (int64_t i = 0; i < taps; i++) m.x[i] = p->x + in + m.position[i] * pixel;
      p->kernels->pool_max_grad(taps, channels, m.x, gy, m.gx, alone);
    }
    if (passes && (o + 1) % g->out[2] == 0)
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
  int is = !channels_last(p) && !p->index && g->kernel[0] == 1 && g->in[0] == 1 && g->out[0] == 1;
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
      .which = m.which,
      .scale = m.scale,
  };
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
  if (!channels_last(p))
    return run_planes(p, planes);
  p->splits = fcv_parts(rows, g->out[2]);
  return run(p, rows * p->splits, work(p), pixels);
}

static fcv_status backward(struct pool *p, fcv_unit_fn *pixels, fcv_unit_fn *planes) {
  const struct fcv_geometry *g = &p->geometry;
  if (g->n * g->ci * p->in_plane == 0)
    return FCV_OK;
  if (!channels_last(p))
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
