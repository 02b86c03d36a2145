/* Pooling. The windows' bounds are computed once, axis by axis. Channels last: a window is a list of pixels, vectors
 * run along channels. Channels first: whole rows of outputs where only values are wanted, else a window is a list of
 * single elements. */
#include "internal.h"

#include <stdatomic.h>

/* What of one output's window lies inside on one axis: elements first, first + dilation, ... */
struct window {
  int64_t first, count;
  int64_t divisor; /* elements that an average counts */
};

struct pool {
  const struct fcv_pool *pool;
  const struct fcv_kernels *kernels;
  const struct window *window[FCV_AXES];
  int64_t in_plane, out_plane, taps;
  int64_t splits; /* backward, channels last: parts of the channels */
  const char *x, *gy;
  const int64_t *indices; /* given */
  char *y, *gx;
  int64_t *index; /* wanted */
  char *thread_memory;
  int64_t thread_bytes;
  atomic_int *invalid;
};

enum pass { MAX, AVG, MAX_GRAD, AVG_GRAD };

/* A thread's memory: the elements of a window, and for channels first a row of inputs and one of scales. */
struct memory {
  int64_t *position;
  const void **x;
  void **gx;
  char *column, *scale, *which;
};

static struct memory carve_memory(const struct pool *p, int thread) {
  const struct fcv_geometry *g = &p->pool->geometry;
  struct memory m;
  m.position = (int64_t *)(p->thread_memory + thread * p->thread_bytes);
  m.x = (const void **)(m.position + p->taps);
  m.gx = (void **)(m.x + p->taps);
  m.column = (char *)(m.gx + p->taps);
  m.scale = m.column + fcv_max(g->in[2], g->out[2]) * p->kernels->size;
  m.which = m.scale + g->out[2] * p->kernels->size;
  return m;
}

static void find_windows(const struct fcv_pool *pool, int axis, struct window *window) {
  const struct fcv_geometry *g = &pool->geometry;
  const int64_t in = g->in[axis], dilation = g->dilation[axis];
  for (int64_t o = 0; o < g->out[axis]; o++) {
    const int64_t start = o * g->stride[axis] - g->pad_lo[axis];
    const int64_t skip = start < 0 ? fcv_ceil_div(-start, dilation) : 0;
    const int64_t end = in > start ? fcv_min(g->kernel[axis], (in - 1 - start) / dilation + 1) : 0;
    window[o].first = start + skip * dilation;
    window[o].count = fcv_max(0, end - skip);
    window[o].divisor =
        pool->count_include_pad ? fcv_min(start + g->kernel[axis], in + g->pad_hi[axis]) - start : window[o].count;
  }
}

static double scale(const struct pool *p, const struct window *z, const struct window *y, const struct window *x) {
  const int64_t override = p->pool->divisor_override, divisor = z->divisor * y->divisor * x->divisor;
  return 1.0 / (double)(override ? override : fcv_max(1, divisor));
}

/* Positions of the window's elements within a channel; returns how many. */
static int64_t window_positions(const struct pool *p, const struct window *z, const struct window *y,
                                const struct window *x, int64_t *position) {
  const struct fcv_geometry *g = &p->pool->geometry;
  int64_t taps = 0;
  for (int64_t i = 0; i < z->count; i++)
    for (int64_t j = 0; j < y->count; j++) {
      const int64_t row = ((z->first + i * g->dilation[0]) * g->in[1] + y->first + j * g->dilation[1]) * g->in[2];
      for (int64_t k = 0; k < x->count; k++) position[taps++] = row + x->first + k * g->dilation[2];
    }
  return taps;
}

static int channels_last(const struct pool *p) { return p->pool->layout == FCV_CHANNELS_LAST; }

static void fill_lowest(const struct pool *p, int64_t count, char *y) {
  const double lowest = -__builtin_inf();
  for (int64_t i = 0; i < count; i++)
    if (p->pool->dtype == FCV_F32)
      ((float *)y)[i] = (float)lowest;
    else
      ((double *)y)[i] = lowest;
}

/* Channels last: one row of outputs of one image. */
static void pool_pixels(const struct pool *p, int64_t unit, int thread, enum pass pass) {
  const struct fcv_geometry *g = &p->pool->geometry;
  const int64_t pixel = g->ci * p->kernels->size;
  const int64_t row = unit % (g->out[0] * g->out[1]), image = unit / (g->out[0] * g->out[1]);
  const struct window *z = &p->window[0][row / g->out[1]], *y = &p->window[1][row % g->out[1]];
  const struct memory m = carve_memory(p, thread);
  const char *x = p->x + image * p->in_plane * pixel;
  for (int64_t o = 0; o < g->out[2]; o++) {
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

/* Channels last: gx of one image and part of its channels. Windows may overlap, so one unit writes all they share. */
static void pool_pixels_grad(const struct pool *p, int64_t unit, int thread, enum pass pass) {
  const struct fcv_geometry *g = &p->pool->geometry;
  const int64_t size = p->kernels->size, pixel = g->ci * size, image = unit / p->splits, split = unit % p->splits;
  const int64_t first = g->ci * split / p->splits, channels = g->ci * (split + 1) / p->splits - first;
  const struct memory m = carve_memory(p, thread);
  const int64_t in = image * p->in_plane * pixel + first * size;
  if (channels == g->ci)
    memset(p->gx + in, 0, (size_t)(p->in_plane * pixel));
  else
    for (int64_t i = 0; i < p->in_plane; i++) memset(p->gx + in + i * pixel, 0, (size_t)(channels * size));
  for (int64_t o = 0; o < p->out_plane; o++) {
    const struct window *z = &p->window[0][o / (g->out[1] * g->out[2])];
    const struct window *y = &p->window[1][o / g->out[2] % g->out[1]], *x = &p->window[2][o % g->out[2]];
    const int64_t taps = window_positions(p, z, y, x, m.position);
    const char *gy = p->gy + (image * p->out_plane + o) * pixel + first * size;
    for (int64_t i = 0; i < taps; i++) m.gx[i] = p->gx + in + m.position[i] * pixel;
    if (pass == AVG_GRAD) {
      p->kernels->pool_avg_grad(taps, channels, gy, scale(p, z, y, x), m.gx);
    } else if (taps > 0) {
      for (int64_t i = 0; i < taps; i++) m.x[i] = p->x + in + m.position[i] * pixel;
      p->kernels->pool_max_grad(taps, channels, m.x, gy, m.gx);
    }
  }
}

static void max_pixels_grad(const void *context, int64_t unit, int thread) {
  pool_pixels_grad(context, unit, thread, MAX_GRAD);
}
static void avg_pixels_grad(const void *context, int64_t unit, int thread) {
  pool_pixels_grad(context, unit, thread, AVG_GRAD);
}

/* 1 / divisor of each output of a row, in the element type. */
static void fill_scales(const struct pool *p, const struct window *z, const struct window *y, char *scales) {
  for (int64_t o = 0; o < p->pool->geometry.out[2]; o++) {
    const double factor = scale(p, z, y, &p->window[2][o]);
    if (p->pool->dtype == FCV_F32)
      ((float *)scales)[o] = (float)factor;
    else
      ((double *)scales)[o] = factor;
  }
}

/* Channels first: one channel, row of outputs by row. */
static void pool_plane(const struct pool *p, int64_t plane, int thread, enum pass pass) {
  const struct fcv_geometry *g = &p->pool->geometry;
  const struct window taps = {.first = -g->pad_lo[2], .count = g->kernel[2]};
  const int64_t size = p->kernels->size, in = plane * p->in_plane * size;
  const struct memory m = carve_memory(p, thread);
  fcv_pool_row_fn *const kernel[] = {
      [MAX] = p->index ? p->kernels->pool_max_index_row : p->kernels->pool_max_row,
      [AVG] = p->kernels->pool_avg_row,
      [MAX_GRAD] = p->kernels->pool_max_grad_row,
      [AVG_GRAD] = p->kernels->pool_avg_grad_row,
  };
  struct fcv_pool_row row = {
      .width = g->in[2],
      .outputs = g->out[2],
      .kw = g->kernel[2],
      .step = g->stride[2],
      .dilation = g->dilation[2],
      .pad = g->pad_lo[2],
      .x = m.x,
      .gx = m.gx,
      .position = m.position,
      .column = m.column,
      .which = m.which,
      .scale = m.scale,
  };
  int64_t divisor = -1;
  if (p->gx)
    row.gx_channel = memset(p->gx + in, 0, (size_t)(p->in_plane * size));
  for (int64_t r = 0; r < g->out[0] * g->out[1]; r++) {
    const struct window *z = &p->window[0][r / g->out[1]], *y = &p->window[1][r % g->out[1]];
    const int64_t out = plane * p->out_plane + r * g->out[2];
    row.rows = window_positions(p, z, y, &taps, m.position) / taps.count;
    row.y = p->y ? p->y + out * size : NULL;
    row.gy = p->gy ? p->gy + out * size : NULL;
    row.index = p->index ? p->index + out : NULL;
    for (int64_t i = 0; i < row.rows; i++) {
      const int64_t at = in + (m.position[i * taps.count] - taps.first) * size;
      if (p->x)
        m.x[i] = p->x + at;
      if (p->gx)
        m.gx[i] = p->gx + at;
    }
    if ((pass == AVG || pass == AVG_GRAD) && divisor != z->divisor * y->divisor) {
      divisor = z->divisor * y->divisor;
      fill_scales(p, z, y, m.scale);
    }
    if (row.rows > 0 || row.index)
      kernel[pass](&row);
    else if (pass == MAX)
      fill_lowest(p, g->out[2], row.y);
    else if (pass == AVG)
      memset(row.y, 0, (size_t)(g->out[2] * size));
  }
}

static void max_plane(const void *context, int64_t plane, int thread) { pool_plane(context, plane, thread, MAX); }
static void avg_plane(const void *context, int64_t plane, int thread) { pool_plane(context, plane, thread, AVG); }
static void max_plane_grad(const void *context, int64_t plane, int thread) {
  pool_plane(context, plane, thread, MAX_GRAD);
}
static void avg_plane_grad(const void *context, int64_t plane, int thread) {
  pool_plane(context, plane, thread, AVG_GRAD);
}

/* The same from given indices, which may be anything: -1 is no element, others outside are refused. */
static void scatter(const void *context, int64_t plane, int thread) {
  const struct pool *p = context;
  const int64_t all = channels_last(p) ? p->pool->geometry.ci : 1, size = p->kernels->size;
  const int64_t in = plane * p->in_plane * all, out = plane * p->out_plane * all;
  (void)thread;
  memset(p->gx + in * size, 0, (size_t)(p->in_plane * all * size));
  for (int64_t i = 0; i < p->out_plane * all; i++) {
    const int64_t index = p->indices[out + i];
    if (index == -1)
      continue;
    if (index < -1 || index >= p->in_plane) {
      atomic_store(p->invalid, 1);
      return;
    }
    if (p->pool->dtype == FCV_F32)
      ((float *)p->gx)[in + index * all + i % all] += ((const float *)p->gy)[out + i];
    else
      ((double *)p->gx)[in + index * all + i % all] += ((const double *)p->gy)[out + i];
  }
}

/* Windows and thread memory in one block of scratch, then body over units. */
static fcv_status run(struct pool *p, int64_t units, double work, fcv_unit_fn *body) {
  const struct fcv_geometry *g = &p->pool->geometry;
  const int threads = fcv_threads_for(work);
  int64_t bytes = 0;
  p->taps = fcv_product(g->kernel);
  p->thread_bytes = fcv_round_up(
      p->taps * (int64_t)(sizeof(int64_t) + 2 * sizeof(void *)) + (g->in[2] + 3 * g->out[2]) * p->kernels->size, 64);
  const int64_t windows = fcv_reserve(&bytes, (g->out[0] + g->out[1] + g->out[2]) * (int64_t)sizeof(struct window));
  const int64_t threads_memory = fcv_reserve(&bytes, threads * p->thread_bytes);
  char *memory = fcv_scratch_take((size_t)bytes);
  if (!memory)
    return FCV_NO_MEMORY;
  p->thread_memory = memory + threads_memory;
  struct window *window = (struct window *)(memory + windows);
  for (int axis = 0; axis < FCV_AXES; axis++) {
    find_windows(p->pool, axis, window);
    p->window[axis] = window;
    window += g->out[axis];
  }
  fcv_parallel_for(units, threads, body, p);
  fcv_scratch_give(memory);
  return FCV_OK;
}

static fcv_status start(const struct fcv_pool *pool, struct pool *p) {
  const struct fcv_geometry *g = &pool->geometry;
  *p = (struct pool){.pool = pool, .kernels = fcv_kernels(pool->dtype), .splits = 1};
  FCV_TRY(fcv_geometry_check(g, 2 * p->kernels->size)); /* indices may be wider than elements */
  int64_t taps = (int64_t)(sizeof(int64_t) + 2 * sizeof(void *));
  for (int i = 0; i < FCV_AXES; i++)
    if (__builtin_mul_overflow(taps, g->kernel[i], &taps) || taps > INT64_MAX / 4096)
      return FCV_INVALID;
  p->in_plane = fcv_product(g->in);
  p->out_plane = fcv_product(g->out);
  return g->ci == g->co ? FCV_OK : FCV_INVALID;
}

/* Elements read, as work for fcv_threads_for: moving one costs about two multiply-adds. */
static double work(const struct pool *p) {
  const struct fcv_geometry *g = &p->pool->geometry;
  return 2.0 * (double)(g->n * g->ci) * (double)p->out_plane * (double)fcv_product(g->kernel);
}

static fcv_status forward(struct pool *p, fcv_unit_fn *pixels, fcv_unit_fn *plane) {
  const struct fcv_geometry *g = &p->pool->geometry;
  if (p->out_plane * g->n * g->ci == 0)
    return FCV_OK;
  if (channels_last(p))
    return run(p, g->n * g->out[0] * g->out[1], work(p), pixels);
  return run(p, g->n * g->ci, work(p), plane);
}

static fcv_status backward(struct pool *p, fcv_unit_fn *pixels, fcv_unit_fn *plane) {
  const struct fcv_geometry *g = &p->pool->geometry;
  if (g->n * g->ci * p->in_plane == 0)
    return FCV_OK;
  if (p->indices)
    return run(p, channels_last(p) ? g->n : g->n * g->ci, work(p), scatter);
  if (!channels_last(p))
    return run(p, g->n * g->ci, work(p), plane);
  if (g->n < 4 * fcv_get_threads())
    p->splits = fcv_max(1, fcv_min(fcv_ceil_div(4 * fcv_get_threads(), g->n), g->ci / p->kernels->vl));
  return run(p, g->n * p->splits, work(p), pixels);
}

fcv_status fcv_max_pool_forward(const struct fcv_pool *pool, const void *x, void *y, int64_t *indices) {
  struct pool p;
  FCV_TRY(start(pool, &p));
  p.x = x;
  p.y = y;
  p.index = indices;
  return forward(&p, max_pixels, max_plane);
}

fcv_status fcv_max_pool_backward(const struct fcv_pool *pool, const void *x, const void *gy, const int64_t *indices,
                                 void *gx) {
  struct pool p;
  atomic_int invalid = 0;
  FCV_TRY(start(pool, &p));
  p.x = x;
  p.gy = gy;
  p.gx = gx;
  p.indices = indices;
  p.invalid = &invalid;
  FCV_TRY(backward(&p, max_pixels_grad, max_plane_grad));
  return atomic_load(&invalid) ? FCV_INVALID : FCV_OK;
}

fcv_status fcv_avg_pool_forward(const struct fcv_pool *pool, const void *x, void *y) {
  struct pool p;
  FCV_TRY(start(pool, &p));
  p.x = x;
  p.y = y;
  return forward(&p, avg_pixels, avg_plane);
}

fcv_status fcv_avg_pool_backward(const struct fcv_pool *pool, const void *gy, void *gx) {
  struct pool p;
  FCV_TRY(start(pool, &p));
  p.gy = gy;
  p.gx = gx;
  return backward(&p, avg_pixels_grad, avg_plane_grad);
}
