/* Along the indices of max pooling: its gradient, max unpooling and the gradient of that. Indices come from the user
 * and may be anything: each is compared with the size of the image before it is used. */
#include "internal.h"

#include <stdatomic.h>

enum { BLOCK_BYTES = 64 << 10 }; /* of an image, before it is written past the caches: at most */

struct move {
  fcv_unpool_fn *kernel;
  int64_t pooled, image, channels; /* pixels of both sides; channels of a pixel */
  int64_t images, group, splits;   /* a unit is a group of images, or part of the channels of one */
  int64_t bands, together;         /* of an image: rows of windows that share nothing; how many make a block, or 0 */
  const struct fcv_kernels *kernels;
  int to_image;
  const int64_t *indices;
  const char *from;
  char *to;
  atomic_int *invalid;
};

/* One image, whose indices should be those of pooling: each in its window, hence in its band. */
static int move_past_caches(const struct move *m, const int64_t *indices, const char *from, char *to) {
  const int64_t pixel = m->channels * m->kernels->size, band = m->image / m->bands, pooled = m->pooled / m->bands;
  _Alignas(64) char block[BLOCK_BYTES];
  for (int64_t b = 0, count; b < m->bands; b += count) {
    count = fcv_min(m->together, m->bands - b);
    memset(block, 0, (size_t)(count * band * pixel));
    if (!m->kernel(count * pooled, m->channels, m->channels, b * band, (b + count) * band,
                   indices + b * pooled * m->channels, from + b * pooled * pixel, block))
      return 0;
    m->kernels->copy_past_caches(count * band * m->channels, block, to + b * band * pixel);
  }
  return 1;
}

/* One image, or some channels of it; one channel where the layout keeps them apart. */
static void move_image(const struct move *m, int64_t image, int64_t split) {
  const int64_t first = m->channels * split / m->splits, channels = m->channels * (split + 1) / m->splits - first;
  const int64_t pooled = image * m->pooled * m->channels + first, whole = image * m->image * m->channels + first;
  const char *from = m->from + (m->to_image ? pooled : whole) * m->kernels->size;
  char *to = m->to + (m->to_image ? whole : pooled) * m->kernels->size;
  if (m->together > 0 && move_past_caches(m, m->indices + pooled, from, to))
    return;
  if (m->to_image)
    fcv_zero_rows(m->image, channels * m->kernels->size, to, m->channels * m->kernels->size);
  if (!m->kernel(m->pooled, channels, m->channels, 0, m->image, m->indices + pooled, from, to))
    atomic_store(m->invalid, 1);
}

static void move(const void *context, int64_t unit, int thread) {
  const struct move *m = context;
  const int64_t first = unit / m->splits * m->group, last = fcv_min(first + m->group, m->images);
  (void)thread;
  for (int64_t image = first; image < last; image++) move_image(m, image, unit % m->splits);
}

/* Whether each row of windows has some rows of an image for itself. */
static int rows_share_nothing(const struct fcv_pool *pool) {
  const struct fcv_geometry *g = &pool->geometry;
  return !pool->adaptive && g->in[0] == 1 && g->out[0] == 1 && g->out[1] > 0 && g->in[1] % g->out[1] == 0 &&
         g->kernel[1] == g->in[1] / g->out[1] && g->stride[1] == g->kernel[1] && g->dilation[1] == 1 &&
         g->pad_lo[1] == 0;
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
                   .bands = 1,
                   .kernels = kernels,
                   .to_image = to_image,
                   .indices = indices,
                   .from = from,
                   .to = to,
                   .invalid = &invalid};
  if (g->n * g->ci == 0)
    return FCV_OK;
  m.group = fcv_group(m.images, (m.pooled + m.image) * m.channels);
  m.splits = fcv_parts(fcv_ceil_div(m.images, m.group), m.channels / kernels->vl);
  if (rows_share_nothing(pool))
    m.bands = g->out[1];
  if (to_image && m.splits == 1 && fcv_leaves_caches(g->n * g->ci * m.image * kernels->size))
    m.together = BLOCK_BYTES / (m.image / m.bands * m.channels * kernels->size);
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
