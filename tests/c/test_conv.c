/* Convolution and its three gradients against their formulas, for every algorithm, layout, type and thread count. */
#include "check.h"
#include "geometries.h"
#include "naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM_CASES = 60, THREADS = 3 };

/* One geometry: data and expected results, channels last. */
struct problem {
  struct fcv_geometry geometry;
  double *x, *w, *bias, *x_bias, *gy;           /* x_bias: of the input gradient as a transposed convolution */
  double *y, *gx, *gw, *gb;                     /* expected */
  double *y_size, *gx_size, *gw_size, *gb_size; /* sums of absolute values of the terms */
};

static void problem_make(struct problem *p, const struct fcv_geometry *g) {
  p->geometry = *g;
  const int64_t x = x_count(g), w = w_count(g), y = y_count(g);
  p->x = random_values(x), p->w = random_values(w), p->bias = random_values(g->co), p->gy = random_values(y);
  p->x_bias = random_values(g->ci);
  p->y = allocated((size_t)y * sizeof(double)), p->y_size = allocated((size_t)y * sizeof(double));
  p->gx = allocated((size_t)x * sizeof(double)), p->gx_size = allocated((size_t)x * sizeof(double));
  p->gw = allocated((size_t)w * sizeof(double)), p->gw_size = allocated((size_t)w * sizeof(double));
  p->gb = allocated((size_t)g->co * sizeof(double)), p->gb_size = allocated((size_t)g->co * sizeof(double));
  naive_conv(FORWARD, g, p->x, p->w, p->y, p->y_size);
  naive_conv(GRAD_INPUT, g, p->gx, p->w, p->gy, p->gx_size);
  naive_conv(GRAD_WEIGHT, g, p->x, p->gw, p->gy, p->gw_size);
  for (int64_t i = 0; i < y; i++) p->gb[i % g->co] += p->gy[i], p->gb_size[i % g->co] += fabs(p->gy[i]);
}

static void problem_free(struct problem *p) {
  double *all[] = {p->x,  p->w,  p->bias,   p->x_bias,  p->gy,      p->y,      p->gx,
                   p->gw, p->gb, p->y_size, p->gx_size, p->gw_size, p->gb_size};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* What rounding allows of each sum of `terms` terms, in any order, of which both sides made an error: each of the
 * terms + 1 operations errs by epsilon / 2 of what it adds at most. A product that is flushed to zero errs by smallest.
 *
 * Winograd's algorithm mixes the inputs of a tile, so that all of them, at most 1 here, count in each sum; its factor
 * is a few times what was measured. */
static double *bounds(const struct fcv_conv *conv, fcv_pass pass, int64_t count, int64_t terms, const double *size) {
  enum { WINOGRAD_FACTOR = 24 };
  double *bound = allocated((size_t)count * sizeof(double));
  fcv_algorithm used;
  EXPECT_OK(fcv_choose(conv, pass, &used));
  const bool winograd = used == FCV_WINOGRAD_2X2 || used == FCV_WINOGRAD_4X4;
  const double eps = epsilon(conv->dtype), least = smallest(conv->dtype);
  for (int64_t i = 0; i < count; i++) {
    const double sum = winograd ? (double)WINOGRAD_FACTOR * (double)(terms + 1) : size[i];
    bound[i] = (double)(terms + 1) * (eps * sum + least);
  }
  return bound;
}

static double *permuted(int64_t count, const int64_t *order, const double *values) {
  double *result = allocated((size_t)count * sizeof(double));
  for (int64_t i = 0; i < count; i++) result[i] = values[order[i]];
  return result;
}

static void *array_in(fcv_dtype dtype, int64_t count, const int64_t *order, const double *values) {
  double *stored = permuted(count, order, values);
  void *array = array_of(dtype, count, stored);
  free(stored);
  return array;
}

/* Runs call for every thread count into a new array each; fails unless each holds the same bits. */
#define FOR_THREADS(result, bytes, call)                                                                               \
  do {                                                                                                                 \
    void *first = NULL;                                                                                                \
    for (int threads = 1; threads <= THREADS; threads++) {                                                             \
      fcv_set_threads(threads);                                                                                        \
      if (array_placement == AT_START)                                                                                 \
        fcv_scratch_trim(); /* scratch of exactly the size asked for */                                                \
      result = array_new(bytes);                                                                                       \
      EXPECT_OK(call);                                                                                                 \
      if (first != NULL && memcmp(first, result, bytes) != 0)                                                          \
        fail("%d threads change bits: %s", threads, #call);                                                            \
      first = result;                                                                                                  \
    }                                                                                                                  \
  } while (0)

/* Expected sums and their bounds become those of sums + bias (which may be NULL), then of the activation. No activation
 * is steeper than 1.2; its own value errs by 4 units in the last place at most, beside what an error of x makes. */
static void expect_activation(const struct fcv_conv *conv, int64_t count, int64_t channels, const double *bias,
                              double *want, double *bound) {
  for (int64_t i = 0; i < count; i++) {
    const double b = bias == NULL ? 0 : bias[i % channels];
    want[i] = naive_activation(conv->activation, conv->slope, INFINITY, want[i] + b);
    bound[i] += epsilon(conv->dtype) * fabs(b);
    if (conv->activation != FCV_LINEAR)
      bound[i] = 1.2 * bound[i] + 4 * epsilon(conv->dtype) * fabs(want[i]) + smallest(conv->dtype);
  }
}

static double *copied(int64_t count, const double *values) {
  double *copy = allocated((size_t)count * sizeof(double));
  memcpy(copy, values, (size_t)count * sizeof(double));
  return copy;
}

/* With weights packed beforehand no weight is read, and the bits are the same. */
static void check_packed(const struct fcv_conv *conv, const void *x, const void *w, const void *bias, const void *y) {
  struct fcv_conv with_packed = *conv;
  int64_t bytes;
  const size_t y_bytes = (size_t)y_count(&conv->geometry) * element_size(conv->dtype);
  EXPECT_OK(fcv_packed_bytes(conv, &bytes));
  void *packed = array_new((size_t)bytes), *again = array_new(y_bytes);
  EXPECT_OK(fcv_pack(conv, w, bias, packed));
  array_protect(packed);
  with_packed.packed = packed;
  EXPECT_OK(fcv_conv_forward(&with_packed, x, NULL, bias, again));
  if (memcmp(y, again, y_bytes) != 0)
    fail("packed weights change bits");
}

/* Asked for its workspace, a pass touches no array: each is NULL. */
static void check_workspace(const struct fcv_conv *conv) {
  struct fcv_conv asks = *conv;
  int64_t bytes[FCV_PASSES] = {-1, -1, -1};
  asks.workspace = &bytes[FCV_FORWARD];
  EXPECT_OK(fcv_conv_forward(&asks, NULL, NULL, NULL, NULL));
  asks.workspace = &bytes[FCV_GRAD_INPUT];
  EXPECT_OK(fcv_conv_grad_input(&asks, NULL, NULL, NULL, NULL));
  asks.workspace = &bytes[FCV_GRAD_WEIGHT];
  EXPECT_OK(fcv_conv_grad_weight(&asks, NULL, NULL, NULL));
  for (fcv_pass pass = FCV_FORWARD; pass < FCV_PASSES; pass++)
    if (bytes[pass] < 0)
      fail("pass %d has a workspace of %lld bytes", (int)pass, (long long)bytes[pass]);
}

static void check_forward(const struct problem *p, const struct fcv_conv *conv, const int64_t *y_order, const void *x,
                          const void *w, bool with_bias) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t count = y_count(g);
  void *bias = with_bias ? array_of(conv->dtype, g->co, p->bias) : NULL, *y = NULL;
  double *want = copied(count, p->y), *bound = bounds(conv, FCV_FORWARD, count, w_count(g) / g->co, p->y_size);
  expect_activation(conv, count, g->co, with_bias ? p->bias : NULL, want, bound);
  FOR_THREADS(y, (size_t)count * element_size(conv->dtype), fcv_conv_forward(conv, x, w, bias, y));
  expect_near("y", conv->dtype, count, y, y_order, want, bound);
  check_packed(conv, x, w, bias, y);
  free(want), free(bound);
}

static void check_gradients(const struct problem *p, const struct fcv_conv *conv, const int64_t *x_order,
                            const int64_t *w_order, const int64_t *y_order, const void *x, const void *w,
                            bool with_bias) {
  const struct fcv_geometry *g = &p->geometry;
  const fcv_dtype dtype = conv->dtype;
  const size_t size = element_size(dtype);
  const int64_t taps = volume(g->kernel), pixels = g->n * volume(g->out);
  const void *gy = array_in(dtype, y_count(g), y_order, p->gy);
  void *gx = NULL, *gw = NULL, *gb = NULL;

  /* With the bias and the activation, a transposed convolution. */
  void *bias = with_bias ? array_of(dtype, g->ci, p->x_bias) : NULL;
  double *want = copied(x_count(g), p->gx);
  double *bound = bounds(conv, FCV_GRAD_INPUT, x_count(g), taps * g->co / g->groups, p->gx_size);
  expect_activation(conv, x_count(g), g->ci, with_bias ? p->x_bias : NULL, want, bound);
  FOR_THREADS(gx, (size_t)x_count(g) * size, fcv_conv_grad_input(conv, gy, w, bias, gx));
  expect_near("gx", dtype, x_count(g), gx, x_order, want, bound);
  free(want), free(bound);

  bound = bounds(conv, FCV_GRAD_WEIGHT, w_count(g), pixels, p->gw_size);
  FOR_THREADS(gw, (size_t)w_count(g) * size, fcv_conv_grad_weight(conv, x, gy, gw));
  expect_near("gw", dtype, w_count(g), gw, w_order, p->gw, bound);
  free(bound);

  const struct fcv_conv direct = {.geometry = *g, .dtype = dtype, .layout = conv->layout, .algorithm = FCV_DIRECT};
  bound = bounds(&direct, FCV_GRAD_WEIGHT, g->co, pixels, p->gb_size);
  FOR_THREADS(gb, (size_t)g->co * size, fcv_conv_grad_bias(conv, gy, gb));
  expect_near("gb", dtype, g->co, gb, NULL, p->gb, bound);

  /* Together. */
  FOR_THREADS(gb, (size_t)g->co * size, fcv_conv_grad_weight_bias(conv, x, gy, gw, gb));
  expect_near("gb with gw", dtype, g->co, gb, NULL, p->gb, bound);
  free(bound);
  bound = bounds(conv, FCV_GRAD_WEIGHT, w_count(g), pixels, p->gw_size);
  expect_near("gw with gb", dtype, w_count(g), gw, w_order, p->gw, bound);
  struct fcv_conv linear = *conv;
  linear.activation = FCV_LINEAR;
  FOR_THREADS(gx, (size_t)x_count(g) * size, fcv_conv_gradients(&linear, conv, x, gy, w, gx, gw, gb));
  expect_near("gw of all", dtype, w_count(g), gw, w_order, p->gw, bound);
  free(bound);
  bound = bounds(&direct, FCV_GRAD_WEIGHT, g->co, pixels, p->gb_size);
  expect_near("gb of all", dtype, g->co, gb, NULL, p->gb, bound);
  free(bound);
  bound = bounds(&linear, FCV_GRAD_INPUT, x_count(g), taps * g->co / g->groups, p->gx_size);
  expect_near("gx of all", dtype, x_count(g), gx, x_order, p->gx, bound);
  free(bound);
}

static void run_layouts(const struct problem *p, struct fcv_conv *conv, bool with_bias) {
  const struct fcv_geometry *g = &p->geometry;
  int64_t *x_order = pixel_order(conv->layout, g->n, g->in, g->ci);
  int64_t *y_order = pixel_order(conv->layout, g->n, g->out, g->co);
  int64_t *w_order = weight_order(conv->weight_layout, g);
  for (conv->algorithm = FCV_AUTO; conv->algorithm < FCV_ALGORITHMS; conv->algorithm++) {
    if (!runs_with(g, conv->algorithm))
      continue;
    case_begin("conv %s, f%d, channels %s, weights %s, algorithm %d, activation %d, %s bias", describe(g),
               conv->dtype ? 64 : 32, conv->layout ? "last" : "first", conv->weight_layout ? "last" : "first",
               (int)conv->algorithm, (int)conv->activation, with_bias ? "with" : "no");
    const void *x = array_in(conv->dtype, x_count(g), x_order, p->x);
    const void *w = array_in(conv->dtype, w_count(g), w_order, p->w);
    check_workspace(conv);
    check_forward(p, conv, y_order, x, w, with_bias);
    check_gradients(p, conv, x_order, w_order, y_order, x, w, with_bias);
    arrays_free();
  }
  free(x_order), free(y_order), free(w_order);
}

static void run_geometry(const struct fcv_geometry *g) {
  struct problem p;
  problem_make(&p, g);
  for (int combination = 0; combination < 8; combination++) {
    struct fcv_conv conv = {.geometry = *g,
                            .dtype = combination & 1 ? FCV_F64 : FCV_F32,
                            .layout = combination & 2 ? FCV_CHANNELS_LAST : FCV_CHANNELS_FIRST,
                            .weight_layout = combination & 4 ? FCV_CHANNELS_LAST : FCV_CHANNELS_FIRST,
                            .activation = (fcv_activation)random_below(FCV_ACTIVATIONS),
                            .slope = 0.25};
    run_layouts(&p, &conv, random_below(2));
  }
  problem_free(&p);
}

static void run(void) { for_conv_geometries(RANDOM_CASES, run_geometry); }

int main(void) { return run_tests("conv", run); }
