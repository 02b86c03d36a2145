/* The bias gradient: sums over pixels. */
#include "internal.h"

/* A chunk of pixels is summed in the element type, chunks in double, in order. */
enum { CHUNK = 1024 };

struct grad_bias {
  const struct fcv_kernels *kernels;
  const struct fcv_conv *conv;
  const char *gy;
  char *sums; /* channels last: [chunk][co]; channels first: [co] doubles */
  int64_t pixels, channels;
};

static void sum_chunk(const void *context, int64_t chunk, int thread) {
  const struct grad_bias *s = context;
  const int64_t size = s->kernels->size, first = chunk * CHUNK;
  char *sum = s->sums + chunk * s->channels * size;
  (void)thread;
  memset(sum, 0, (size_t)(s->channels * size));
  s->kernels->sum_rows(fcv_min(CHUNK, s->pixels - first), s->channels, s->gy + first * s->channels * size, s->channels,
                       sum);
}

static void sum_channel(const void *context, int64_t channel, int thread) {
  const struct grad_bias *s = context;
  const int64_t plane = fcv_product(s->conv->geometry.out), size = s->kernels->size;
  double total = 0;
  (void)thread;
  for (int64_t n = 0; n < s->conv->geometry.n; n++)
    for (int64_t first = 0; first < plane; first += CHUNK)
      total +=
          s->kernels->sum(fcv_min(CHUNK, plane - first), s->gy + ((n * s->channels + channel) * plane + first) * size);
  memcpy(s->sums + channel * (int64_t)sizeof total, &total, sizeof total);
}

static double element(fcv_dtype dtype, const void *array, int64_t i) {
  return dtype == FCV_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

fcv_status fcv_conv_grad_bias(const struct fcv_conv *conv, const void *gy, void *gb) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  FCV_TRY(fcv_geometry_check(g, k->size));
  struct grad_bias s = {.kernels = k, .conv = conv, .gy = gy, .channels = g->co};
  s.pixels = g->n * fcv_product(g->out);
  const int last = conv->layout == FCV_CHANNELS_LAST || fcv_layouts_agree(g);
  const int64_t chunks = fcv_ceil_div(s.pixels, CHUNK);
  const int64_t bytes = last ? chunks * s.channels * k->size : s.channels * (int64_t)sizeof(double);
  s.sums = fcv_scratch_take((size_t)bytes);
  if (!s.sums)
    return FCV_NO_MEMORY;
  fcv_parallel_for(last ? chunks : s.channels, fcv_threads_for((double)s.pixels * (double)s.channels / 8),
                   last ? sum_chunk : sum_channel, &s);
  for (int64_t j = 0; j < s.channels; j++) {
    double total = last ? 0 : ((const double *)s.sums)[j];
    for (int64_t i = 0; last && i < chunks; i++) total += element(conv->dtype, s.sums, i * s.channels + j);
    if (conv->dtype == FCV_F32)
      ((float *)gb)[j] = (float)total;
    else
      ((double *)gb)[j] = total;
  }
  fcv_scratch_give(s.sums);
  return FCV_OK;
}
