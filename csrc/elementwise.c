/* Activations: arrays cut into pieces for the threads. */
#include "internal.h"

enum {
  PIECE = 16384,      /* elements of a unit: several KiB, in L1 and L2 */
  BLOCK_BYTES = 8192, /* that are computed before they are written past the caches */
};

struct elementwise {
  const struct fcv_kernels *kernels;
  int activation;
  double slope, threshold;
  int64_t count;
  const char *saved, *x;
  char *y;
};

/* Elements first .. first + count - 1 of the arrays. */
static void activate(const struct elementwise *e, int64_t first, int64_t count, char *y, int past_caches) {
  const int64_t at = first * e->kernels->size;
  if (e->saved)
    e->kernels->activation_grad(e->activation, e->slope, e->threshold, count, e->saved + at, e->x + at, y, past_caches);
  else
    e->kernels->activation(e->activation, e->slope, e->threshold, count, e->x + at, y, past_caches);
}

/* By way of a block in L1: long functions whose loop itself wrote past the caches took 3 times as long on Zen 4. */
static void activate_blocks(const struct elementwise *e, int64_t first, int64_t end) {
  const int64_t size = e->kernels->size, most = BLOCK_BYTES / size;
  _Alignas(64) char block[BLOCK_BYTES];
  for (int64_t count; first < end; first += count) {
    count = fcv_min(most, end - first);
    activate(e, first, count, block, 0);
    e->kernels->copy_past_caches(count, block, e->y + first * size, block);
    fcv_fence();
  }
}

static void activation_piece(const void *context, int64_t unit, int thread) {
  const struct elementwise *e = context;
  const int64_t first = unit * PIECE, count = fcv_min(PIECE, e->count - first);
  char *y = e->y + first * e->kernels->size;
  const int in_place = e->y == e->x || e->y == e->saved;
  (void)thread;
  if (in_place || !fcv_leaves_caches(e->count * e->kernels->size)) {
    activate(e, first, count, y, 0);
    return;
  }
  if (fcv_is_comparison(e->activation))
    activate(e, first, count, y, 1);
  else
    activate_blocks(e, first, first + count);
  fcv_fence();
}

static fcv_status run_activation(const struct elementwise *e) {
  if (e->count < 0 || e->activation < FCV_LINEAR || e->activation >= FCV_ACTIVATIONS)
    return FCV_INVALID;
  fcv_parallel_for(fcv_ceil_div(e->count, PIECE), fcv_threads_for(4.0 * (double)e->count), activation_piece, e);
  return FCV_OK;
}

fcv_status fcv_activation_forward(fcv_dtype dtype, fcv_activation activation, double slope, double threshold,
                                  int64_t count, const void *x, void *y) {
  return run_activation(&(struct elementwise){.kernels = fcv_kernels(dtype),
                                              .activation = (int)activation,
                                              .slope = slope,
                                              .threshold = threshold,
                                              .count = count,
                                              .x = x,
                                              .y = y});
}

fcv_status fcv_activation_backward(fcv_dtype dtype, fcv_activation activation, double slope, double threshold,
                                   int64_t count, const void *saved, const void *gy, void *gx) {
  return run_activation(&(struct elementwise){.kernels = fcv_kernels(dtype),
                                              .activation = (int)activation,
                                              .slope = slope,
                                              .threshold = threshold,
                                              .count = count,
                                              .saved = saved,
                                              .x = gy,
                                              .y = gx});
}

struct prelu {
  const struct fcv_kernels *kernels;
  fcv_dtype dtype;
  int64_t rows, columns; /* of one weight each: columns, or rows */
  int64_t channels;
  const char *weight, *saved, *x;
  char *y;
};

static int64_t units_of_row(const struct prelu *p) { return fcv_ceil_div(p->columns, PIECE); }

/* Channels first: a piece of one channel's row, which is a leaky ReLU. */
static void prelu_piece(const void *context, int64_t unit, int thread) {
  const struct prelu *p = context;
  const int64_t row = unit / units_of_row(p), first = unit % units_of_row(p) * PIECE;
  const int64_t at = (row * p->columns + first) * p->kernels->size;
  const char *w = p->weight + row % p->channels * p->kernels->size;
  const double slope = p->dtype == FCV_F32 ? (double)*(const float *)w : *(const double *)w;
  (void)thread;
  p->kernels->activation_grad(FCV_LEAKY_RELU, slope, INFINITY, fcv_min(PIECE, p->columns - first), p->saved + at,
                              p->x + at, p->y + at, 0);
}

/* Channels last: as many rows as make a piece. */
static void prelu_rows(const void *context, int64_t unit, int thread) {
  const struct prelu *p = context;
  const int64_t rows = fcv_max(1, PIECE / p->columns), first = unit * rows;
  const int64_t at = first * p->columns * p->kernels->size;
  (void)thread;
  p->kernels->prelu(fcv_min(rows, p->rows - first), p->columns, p->weight, p->saved + at, p->x + at, p->y + at);
}

fcv_status fcv_prelu(fcv_dtype dtype, fcv_layout layout, int64_t n, int64_t channels, int64_t pixels,
                     const void *weight, const void *saved, const void *x, void *y) {
  const int last = layout == FCV_CHANNELS_LAST && channels > 1;
  const struct prelu p = {.kernels = fcv_kernels(dtype),
                          .dtype = dtype,
                          .rows = n * (last ? pixels : channels),
                          .columns = last ? channels : pixels,
                          .channels = channels,
                          .weight = weight,
                          .saved = saved,
                          .x = x,
                          .y = y};
  if (n < 0 || channels < 0 || pixels < 0)
    return FCV_INVALID;
  if (n * channels * pixels == 0)
    return FCV_OK;
  const int64_t units = last ? fcv_ceil_div(p.rows, fcv_max(1, PIECE / p.columns)) : p.rows * units_of_row(&p);
  fcv_parallel_for(units, fcv_threads_for(4.0 * (double)(p.rows * p.columns)), last ? prelu_rows : prelu_piece, &p);
  return FCV_OK;
}
