/* Along the indices of max pooling: its gradient, max unpooling and the gradient of that. Indices come from the user
 * and may be anything: each is compared with the size of the image before it is used. */
#include "pool.h"

#include <stdatomic.h>

struct move {
  fcv_unpool_fn *kernel;
  int64_t pooled, image, channels; /* pixels of both sides; channels of a pixel */
  int64_t images, group, splits;   /* a unit is a group of images, or part of the channels of one */
  int64_t size;
  int to_image;
  const int64_t *indices;
  const char *from;
  char *to;
  atomic_int *invalid;
};

/* One image, or some channels of it; one channel where the layout keeps them apart. */
static void move_image(const struct move *m, int64_t image, int64_t split) {
  const int64_t first = m->channels * split / m->splits, channels = m->channels * (split + 1) / m->splits - first;
  const int64_t pooled = image * m->pooled * m->channels + first, whole = image * m->image * m->channels + first;
  const char *from = m->from + (m->to_image ? pooled : whole) * m->size;
  char *to = m->to + (m->to_image ? whole : pooled) * m->size;
  if (m->to_image)
    fcv_zero_rows(m->image, channels * m->size, to, m->channels * m->size);
  if (!m->kernel(m->pooled, channels, m->channels, m->image, m->indices + pooled, from, to))
    atomic_store(m->invalid, 1);
}

static void move(const void *context, int64_t unit, int thread) {
  const struct move *m = context;
  const int64_t first = unit / m->splits * m->group, last = fcv_min(first + m->group, m->images);
  (void)thread;
  for (int64_t image = first; image < last; image++) move_image(m, image, unit % m->splits);
}

static fcv_status run(const struct fcv_pool *pool, fcv_unpool_fn *kernel, int to_image, const void *from,
                      const int64_t *indices, void *to) {
  const struct fcv_geometry *g = &pool->geometry;
  const struct fcv_kernels *kernels = fcv_kernels(pool->dtype);
  FCV_TRY(fcv_geometry_check(g, 2 * kernels->size)); /* indices may be wider than elements */
  const int last = pool->layout == FCV_CHANNELS_LAST;
  atomic_int invalid = 0;
  struct move m = {.kernel = kernel,
                   .pooled = fcv_product(g->out),
                   .image = fcv_product(g->in),
                   .channels = last ? g->ci : 1,
                   .images = last ? g->n : g->n * g->ci,
                   .size = kernels->size,
                   .to_image = to_image,
                   .indices = indices,
                   .from = from,
                   .to = to,
                   .invalid = &invalid};
  if (g->n * g->ci == 0)
    return FCV_OK;
  m.group = fcv_group(m.images, (m.pooled + m.image) * m.channels);
  m.splits = fcv_parts(fcv_ceil_div(m.images, m.group), m.channels / kernels->vl);
  const double moved = (double)(g->n * g->ci) * ((double)m.pooled + (double)m.image);
  fcv_parallel_for(fcv_ceil_div(m.images, m.group) * m.splits, fcv_threads_for(2 * moved), move, &m);
  return atomic_load(&invalid) ? FCV_INVALID : FCV_OK;
}

fcv_status fcv_max_pool_scatter(const struct fcv_pool *pool, const void *gy, const int64_t *indices, void *gx) {
  return run(pool, fcv_kernels(pool->dtype)->unpool_add, 1, gy, indices, gx);
}

fcv_status fcv_max_unpool_forward(const struct fcv_pool *pool, const void *y, const int64_t *indices, void *x) {
  return run(pool, fcv_kernels(pool->dtype)->unpool_put, 1, y, indices, x);
}

fcv_status fcv_max_unpool_backward(const struct fcv_pool *pool, const void *gx, const int64_t *indices, void *gy) {
  return run(pool, fcv_kernels(pool->dtype)->unpool_get, 0, gx, indices, gy);
}
