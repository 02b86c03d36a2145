/* Convolution as the textbooks' product with one matrix: y.ravel() = M x.ravel(), M doubly blocked Toeplitz with a row
 * for each output and a column for each input of one image, in the order of the arrays. Mostly zeros, built to be
 * looked at and compared. The input gradient is the product with its transpose. */
#include "internal.h"

int64_t fcv_toeplitz_full_bytes(const struct fcv_geometry *g, int64_t element) {
  int64_t bytes = element;
  if (__builtin_mul_overflow(bytes, g->ci * fcv_product(g->in), &bytes) ||
      __builtin_mul_overflow(bytes, g->co * fcv_product(g->out), &bytes))
    return INT64_MAX;
  return bytes;
}

struct full {
  const struct fcv_conv *conv;
  const struct fcv_weight_view *view; /* k: input channels, j: output channels of a group */
  int64_t size, inputs, outputs;
  const char *w;
  char *matrix; /* M transposed: [input][output] */
};

/* The position of a channel's pixel in one image. */
static int64_t position(const struct fcv_conv *conv, int64_t channel, int64_t channels, int64_t pixel, int64_t pixels) {
  return conv->layout == FCV_CHANNELS_LAST ? pixel * channels + channel : channel * pixels + pixel;
}

/* All weights between one output pixel and one input pixel. */
static void fill_tap(const struct full *f, int64_t tap, int64_t in_pixel, int64_t out_pixel) {
  const struct fcv_geometry *g = &f->conv->geometry;
  const int64_t kc = g->ci / g->groups, nc = g->co / g->groups;
  for (int64_t group = 0; group < g->groups; group++)
    for (int64_t k = 0; k < kc; k++)
      for (int64_t j = 0; j < nc; j++) {
        const int64_t row = position(f->conv, group * kc + k, g->ci, in_pixel, fcv_product(g->in));
        const int64_t column = position(f->conv, group * nc + j, g->co, out_pixel, fcv_product(g->out));
        const char *from = f->w + (tap + group * f->view->group + k * f->view->k + j * f->view->j) * f->size;
        memcpy(f->matrix + (row * f->outputs + column) * f->size, from, (size_t)f->size);
      }
}

static void fill_pixel(const void *context, int64_t out_pixel, int thread) {
  const struct full *f = context;
  const struct fcv_geometry *g = &f->conv->geometry;
  const int64_t out[FCV_AXES] = {out_pixel / (g->out[1] * g->out[2]), out_pixel / g->out[2] % g->out[1],
                                 out_pixel % g->out[2]};
  int64_t k[FCV_AXES];
  (void)thread;
  for (k[0] = 0; k[0] < g->kernel[0]; k[0]++)
    for (k[1] = 0; k[1] < g->kernel[1]; k[1]++)
      for (k[2] = 0; k[2] < g->kernel[2]; k[2]++) {
        int64_t tap = 0, in_pixel = 0;
        int inside = 1;
        for (int i = 0; i < FCV_AXES; i++) {
          const int64_t at = out[i] * g->stride[i] - g->pad_lo[i] + k[i] * g->dilation[i];
          inside = inside && at >= 0 && at < g->in[i];
          tap += k[i] * f->view->kernel[i];
          in_pixel = in_pixel * g->in[i] + at;
        }
        if (inside)
          fill_tap(f, tap, in_pixel, out_pixel);
      }
}

fcv_status fcv_conv_toeplitz_full(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                                  const void *bias, void *y) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t size = fcv_kernels(conv->dtype)->size;
  struct fcv_weight_view view;
  fcv_weight_view(conv, 0, &view);
  struct full f = {.conv = conv, .view = &view, .size = size, .w = w};
  f.inputs = g->ci * fcv_product(g->in);
  f.outputs = g->co * fcv_product(g->out);
  const int64_t kc = transposed ? f.outputs : f.inputs, nc = transposed ? f.inputs : f.outputs;

  int64_t bytes = 0;
  const int64_t matrix_at = fcv_reserve(&bytes, f.inputs * f.outputs * size);
  const int64_t bias_at = fcv_reserve(&bytes, nc * size);
  const struct fcv_axis one = {.in = 1, .out = 1, .count = 1, .out_step = 1, .in_step = 1, .taps = 1, .shift_step = 1};
  const struct fcv_walk walk = {.n = g->n, .groups = 1, .kc = kc, .nc = nc, .axis = {one, one, one}};
  const struct fcv_weight_view matrix_view = {.k = transposed ? 1 : f.outputs, .j = transposed ? f.outputs : 1};
  struct fcv_conv product = *conv;
  product.layout = FCV_CHANNELS_LAST;
  product.packed = NULL;
  if (conv->workspace) {
    FCV_TRY(fcv_conv_direct(&product, &walk, &matrix_view, NULL, NULL, NULL, NULL));
    *conv->workspace += bytes;
    return FCV_OK;
  }
  char *memory = fcv_scratch_take((size_t)bytes);
  if (!memory)
    return FCV_NO_MEMORY;
  f.matrix = memory + matrix_at;
  memset(f.matrix, 0, (size_t)(f.inputs * f.outputs * size));
  fcv_parallel_for(fcv_product(g->out), fcv_threads_for((double)(f.inputs * f.outputs)), fill_pixel, &f);
  const int64_t channels = transposed ? g->ci : g->co, pixels = fcv_product(transposed ? g->in : g->out);
  for (int64_t channel = 0; bias && channel < channels; channel++)
    for (int64_t pixel = 0; pixel < pixels; pixel++)
      memcpy(memory + bias_at + position(conv, channel, channels, pixel, pixels) * size,
             (const char *)bias + channel * size, (size_t)size);
  const fcv_status status =
      fcv_conv_direct(&product, &walk, &matrix_view, x, f.matrix, bias ? memory + bias_at : NULL, y);
  fcv_scratch_give(memory);
  return status;
}
