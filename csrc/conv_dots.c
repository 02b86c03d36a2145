/* Channels-last convolution with one tap to a few output channels: the last layer of a network that marks pixels, or a
 * dense layer of one output.
 *
 * A pixel is a row of channels, and so are an output channel's weights: an output is their product, summed along
 * vectors, where panels of output channels would be nearly empty (Zen 4: 4x64x64 64->1 0.54 ms became 0.13). */
#include "internal.h"

enum { UNIT_PIXELS = 256 };

struct dots {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  int64_t pixels, pitch; /* pitch: elements from a row of weights to the next */
  const char *x, *rows, *bias;
  char *y;
};

int fcv_use_dots(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  int one = conv->layout == FCV_CHANNELS_LAST && conv->algorithm == FCV_DIRECT && walk->groups == 1;
  for (int i = 0; i < FCV_AXES; i++) {
    const struct fcv_axis *axis = &walk->axis[i];
    one = one && axis->taps == 1 && axis->shift == 0 && axis->in_step == 1 && axis->out_step == 1 &&
          axis->in == axis->out && axis->count == axis->out;
  }
  return one && walk->nc > 0 && walk->nc <= 2 && walk->kc >= 2 * k->vl;
}

static void dots_unit(const void *context, int64_t unit, int thread) {
  const struct dots *d = context;
  const struct fcv_kernels *k = d->kernels;
  const int64_t kc = d->walk->kc, nc = d->walk->nc, size = k->size, column[] = {0, 1};
  const int64_t first = unit * UNIT_PIXELS, last = fcv_min(first + UNIT_PIXELS, d->pixels);
  const void *a[FCV_MAX_DA], *b[FCV_MAX_DB];
  struct fcv_dots_tile tile = {.count = kc, .a = a, .b = b, .c_pitch = nc, .column = column, .n = (int)nc};
  (void)thread;
  for (int j = 0; j < k->db; j++) b[j] = d->rows + fcv_min(j, nc - 1) * d->pitch * size;
  for (int64_t pixel = first; pixel < last; pixel += tile.m) {
    tile.m = (int)fcv_min(k->da, last - pixel);
    tile.c = d->y + pixel * nc * size;
    for (int i = 0; i < k->da; i++) a[i] = d->x + (pixel + fcv_min(i, tile.m - 1)) * kc * size;
    if (d->bias) {
      tile.into = FCV_ADD;
      for (int i = 0; i < tile.m; i++) memcpy((char *)tile.c + i * nc * size, d->bias, (size_t)(nc * size));
    }
    k->dots(&tile);
  }
  char *y = d->y + first * nc * size;
  if (d->conv->activation != FCV_LINEAR)
    k->activation((int)d->conv->activation, d->conv->slope, INFINITY, (last - first) * nc, y, y, 0);
}

fcv_status fcv_conv_dots(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                         const void *x, const void *w, const void *bias, void *y) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const struct fcv_axis *axis = walk->axis;
  struct dots d = {.conv = conv, .kernels = k, .walk = walk, .x = x, .bias = bias, .y = y};
  d.pixels = walk->n * axis[0].count * axis[1].count * axis[2].count;
  d.pitch = fcv_round_up(walk->kc, k->vl);
  const int threads = fcv_threads_for((double)d.pixels * (double)walk->kc * (double)walk->nc);
  char *memory;
  FCV_TRY(fcv_workspace(conv, walk->nc * d.pitch * k->size, &memory));
  if (!memory)
    return FCV_OK;
  for (int64_t j = 0; j < walk->nc; j++)
    for (int64_t i = 0; i < walk->kc; i++)
      memcpy(memory + (j * d.pitch + i) * k->size, (const char *)w + (j * view->j + i * view->k) * k->size,
             (size_t)k->size);
  d.rows = memory;
  fcv_parallel_for(fcv_ceil_div(d.pixels, UNIT_PIXELS), threads, dots_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
