/* A few samples of a linear layer whose weights are [input][output]: the forward pass of a layer of Keras's form, the
 * input gradient of torch's.
 *
 * Weights are read where they lie and in their order, some rows at a time for all samples, whose results stay in L1.
 * Packed, weights would be written and read again; panel by panel, a line or two of every page would be read in turn
 * (Zen 4: 1x4096 -> 1000 1.0 ms, 8 samples 3.7). A unit is a range of columns. */
#include "internal.h"

enum {
  LEAST_BYTES = 1 << 20, /* of weights: fewer are read as fast panel by panel */
  FAR_BYTES = 12 << 20,  /* these for as many samples as panels are read by at once */
  ROWS = 64,             /* of weights at a time, which groups of samples share */
  UNIT_BYTES = 512       /* of columns at least */
};

struct few {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  int64_t units;
  const char *x, *w, *bias;
  char *y;
};

int fcv_use_few_samples(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t bytes = walk->kc * walk->nc * k->size;
  const int few = walk->n <= FCV_ROW_UPDATES ? bytes >= LEAST_BYTES : walk->n <= k->mr && bytes >= FAR_BYTES;
  int one = walk->groups == 1 && !conv->packed && conv->algorithm == FCV_DIRECT;
  for (int i = 0; i < FCV_AXES; i++)
    one = one && walk->axis[i].in * walk->axis[i].out == 1 && walk->axis[i].count == 1 && walk->axis[i].taps == 1;
  return few && one && view->j == 1 && view->k == walk->nc && walk->nc >= k->vl;
}

static void few_unit(const void *context, int64_t unit, int thread) {
  const struct few *d = context;
  const struct fcv_kernels *k = d->kernels;
  const int64_t n = d->walk->n, kc = d->walk->kc, nc = d->walk->nc, size = k->size;
  const int64_t first = nc * unit / d->units, width = nc * (unit + 1) / d->units - first;
  const void *x[FCV_MAX_MR];
  void *y[FCV_MAX_MR];
  (void)thread;
  for (int64_t i = 0; i < n; i++) {
    y[i] = d->y + (i * nc + first) * size;
    if (d->bias)
      memcpy(y[i], d->bias + first * size, (size_t)(width * size));
    else
      memset(y[i], 0, (size_t)(width * size));
  }
  for (int64_t row = 0; row < kc; row += ROWS) {
    for (int64_t i = 0; i < n; i++) x[i] = d->x + (i * kc + row) * size;
    for (int64_t i = 0; i < n; i += FCV_ROW_UPDATES)
      k->row_updates(&(struct fcv_row_updates){
          .rows = fcv_min(ROWS, kc - row),
          .width = width,
          .w_pitch = nc,
          .m = (int)fcv_min(FCV_ROW_UPDATES, n - i),
          .x = x + i,
          .w = d->w + (row * nc + first) * size,
          .y = y + i,
      });
  }
  for (int64_t i = 0; i < n && d->conv->activation != FCV_LINEAR; i++)
    k->activation((int)d->conv->activation, d->conv->slope, INFINITY, width, y[i], y[i], 0);
}

fcv_status fcv_conv_few_samples(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x, const void *w,
                                const void *bias, void *y) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct few d = {.conv = conv, .kernels = k, .walk = walk, .x = x, .w = w, .bias = bias, .y = y};
  const int threads = fcv_threads_for((double)walk->n * (double)walk->kc * (double)walk->nc);
  d.units = fcv_max(1, fcv_min(threads, walk->nc * k->size / UNIT_BYTES));
  if (conv->workspace)
    return FCV_OK;
  fcv_parallel_for(d.units, threads, few_unit, &d);
  return FCV_OK;
}
