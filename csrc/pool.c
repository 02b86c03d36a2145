/* Pooling. The windows' bounds are computed once, axis by axis; adaptive pooling differs in nothing else. */
#include "pool.h"

enum { LISTED_BYTES = sizeof(int64_t) + 2 * sizeof(void *) };

struct fcv_pool_list fcv_pool_list(const struct fcv_pooling *p, int thread) {
  const int64_t count = fcv_pool_listed(p);
  struct fcv_pool_list list;
  list.position = (int64_t *)(p->thread_memory + thread * p->thread_bytes);
  list.x = (const void **)(list.position + count);
  list.gx = (void **)(list.x + count);
  list.rest = list.gx + count;
  return list;
}

void fcv_pool_fill_lowest(const struct fcv_pooling *p, int64_t count, char *y) {
  const double lowest = -__builtin_inf();
  for (int64_t i = 0; i < count; i++)
    if (p->pool->dtype == FCV_F32)
      ((float *)y)[i] = (float)lowest;
    else
      ((double *)y)[i] = lowest;
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

static void find_even_windows(const struct fcv_pooling *p, int axis, struct fcv_window *window) {
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

static void find_windows(const struct fcv_pooling *p, int axis, struct fcv_window *window) {
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

/* Elements read, as work for fcv_threads_for: moving one costs about two multiply-adds. */
static double work(const struct fcv_pooling *p) {
  const struct fcv_geometry *g = &p->geometry;
  return 2.0 * (double)(g->n * g->ci) * (double)p->out_plane * (double)fcv_product(g->kernel);
}

/* Windows and thread memory in one block of scratch, then body over units. */
static fcv_status run(struct fcv_pooling *p, int64_t units, fcv_unit_fn *body) {
  const struct fcv_geometry *g = &p->geometry;
  const int threads = fcv_threads_for(work(p));
  int64_t bytes = 0;
  p->thread_bytes = fcv_round_up(fcv_pool_listed(p) * LISTED_BYTES + (p->last ? 0 : fcv_pool_first_bytes(p)), 64);
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
static void adapt(struct fcv_pooling *p) {
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

static fcv_status start(const struct fcv_pool *pool, enum fcv_pool_pass pass, struct fcv_pooling *p) {
  struct fcv_geometry *g = &p->geometry;
  *p = (struct fcv_pooling){
      .pool = pool, .pass = pass, .geometry = pool->geometry, .kernels = fcv_kernels(pool->dtype), .splits = 1};
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

static fcv_status run_first(struct fcv_pooling *p) {
  const int64_t all = p->geometry.n * p->geometry.ci, vl = p->kernels->vl, elements = p->in_plane + p->out_plane;
  if (fcv_pool_first_lanes(p))
    p->planes = vl * fcv_group(fcv_ceil_div(all, vl), vl * elements);
  else
    p->planes = fcv_group(all, elements);
  return run(p, fcv_ceil_div(all, p->planes), fcv_pool_first);
}

static fcv_status forward(struct fcv_pooling *p) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t rows = g->n * g->out[0] * g->out[1];
  if (p->out_plane * g->n * g->ci == 0)
    return FCV_OK;
  if (!p->last)
    return run_first(p);
  p->splits = fcv_parts(rows, g->out[2]);
  p->rows = fcv_group(rows, p->in_plane * g->n * g->ci / rows + g->out[2] * g->ci);
  return run(p, fcv_ceil_div(rows, p->rows) * p->splits, fcv_pool_last);
}

static fcv_status backward(struct fcv_pooling *p) {
  const struct fcv_geometry *g = &p->geometry;
  if (g->n * g->ci * p->in_plane == 0)
    return FCV_OK;
  if (!p->last)
    return run_first(p);
  p->splits = fcv_parts(g->n, g->ci / p->kernels->vl);
  return run(p, g->n * p->splits, fcv_pool_last_grad);
}

fcv_status fcv_max_pool_forward(const struct fcv_pool *pool, const void *x, void *y, int64_t *indices) {
  struct fcv_pooling p;
  FCV_TRY(start(pool, FCV_POOL_MAX, &p));
  p.x = x;
  p.y = y;
  p.index = indices;
  /* One channel lies as channels first does. Not for values alone, which are found by columns there: of -0.0 and 0.0 in
   * a window it would be another. */
  p.last = p.last && (p.geometry.ci > 1 || !indices);
  return forward(&p);
}

fcv_status fcv_max_pool_backward(const struct fcv_pool *pool, const void *x, const void *gy, const int64_t *indices,
                                 void *gx) {
  struct fcv_pooling p;
  if (indices)
    return fcv_max_pool_scatter(pool, gy, indices, gx);
  FCV_TRY(start(pool, FCV_POOL_MAX_GRAD, &p));
  p.x = x;
  p.gy = gy;
  p.gx = gx;
  p.last = p.last && p.geometry.ci > 1;
  return backward(&p);
}

fcv_status fcv_avg_pool_forward(const struct fcv_pool *pool, const void *x, void *y) {
  struct fcv_pooling p;
  FCV_TRY(start(pool, FCV_POOL_AVG, &p));
  p.x = x;
  p.y = y;
  return forward(&p);
}

fcv_status fcv_avg_pool_backward(const struct fcv_pool *pool, const void *gy, void *gx) {
  struct fcv_pooling p;
  FCV_TRY(start(pool, FCV_POOL_AVG_GRAD, &p));
  p.gy = gy;
  p.gx = gx;
  return backward(&p);
}
