/* Convolution and its three gradients against their formulas, for every layout, type and thread count. */
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
  double *x, *w, *bias, *gy;
  double *y, *gx, *gw, *gb;                     /* expected */
  double *y_size, *gx_size, *gw_size, *gb_size; /* sums of absolute values of the terms */
};

static void problem_make(struct problem *p, const struct fcv_geometry *g) {
  p->geometry = *g;
  const int64_t x = x_count(g), w = w_count(g), y = y_count(g);
  p->x = random_values(x), p->w = random_values(w), p->bias = random_values(g->co), p->gy = random_values(y);
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
  double *all[] = {p->x,  p->w,  p->bias,   p->gy,      p->y,       p->gx,
                   p->gw, p->gb, p->y_size, p->gx_size, p->gw_size, p->gb_size};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* What rounding allows of each sum of `terms` terms, in any order, of which both sides made an error: each of the
 * terms + 1 operations errs by epsilon / 2 of what it adds at most. A product that is flushed to zero errs by smallest.
 */
static double *bounds(fcv_dtype dtype, int64_t count, int64_t terms, const double *size) {
  double *bound = allocated((size_t)count * sizeof(double));
  for (int64_t i = 0; i < count; i++) bound[i] = (double)(terms + 1) * (epsilon(dtype) * size[i] + smallest(dtype));
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

static void check_forward(const struct problem *p, struct fcv_conv *conv, const int64_t *y_order, const void *x,
                          const void *w, bool with_bias) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t count = y_count(g), terms = w_count(g) / g->co + 1;
  const double eps = epsilon(conv->dtype);
  void *bias = with_bias ? array_of(conv->dtype, g->co, p->bias) : NULL, *y = NULL;
  double *size = allocated((size_t)count * sizeof(double)), *want = allocated((size_t)count * sizeof(double));
  for (int64_t i = 0; i < count; i++) size[i] = p->y_size[i] + (with_bias ? fabs(p->bias[i % g->co]) : 0);
  double *bound = bounds(conv->dtype, count, terms, size);
  for (int64_t i = 0; i < count; i++) {
    const double sum = p->y[i] + (with_bias ? p->bias[i % g->co] : 0);
    want[i] = naive_activation(conv->activation, conv->slope, sum);
    /* No activation is steeper than 1; its own value errs by 4 units in the last place at most. */
    if (conv->activation != FCV_LINEAR)
      bound[i] += 4 * eps * fabs(want[i]) + smallest(conv->dtype);
  }
  FOR_THREADS(y, (size_t)count * element_size(conv->dtype), fcv_conv_forward(conv, x, w, bias, y));
  expect_near("y", conv->dtype, count, y, y_order, want, bound);
  free(size), free(want), free(bound);
}

static void check_gradients(const struct problem *p, const struct fcv_conv *conv, const int64_t *x_order,
                            const int64_t *w_order, const int64_t *y_order, const void *x, const void *w) {
  const struct fcv_geometry *g = &p->geometry;
  const fcv_dtype dtype = conv->dtype;
  const size_t size = element_size(dtype);
  const int64_t taps = volume(g->kernel), pixels = g->n * volume(g->out);
  const void *gy = array_in(dtype, y_count(g), y_order, p->gy);
  void *gx = NULL, *gw = NULL, *gb = NULL;

  double *bound = bounds(dtype, x_count(g), taps * g->co / g->groups, p->gx_size);
  FOR_THREADS(gx, (size_t)x_count(g) * size, fcv_conv_grad_input(conv, gy, w, gx));
  expect_near("gx", dtype, x_count(g), gx, x_order, p->gx, bound);
  free(bound);

  bound = bounds(dtype, w_count(g), pixels, p->gw_size);
  FOR_THREADS(gw, (size_t)w_count(g) * size, fcv_conv_grad_weight(conv, x, gy, gw));
  expect_near("gw", dtype, w_count(g), gw, w_order, p->gw, bound);
  free(bound);

  bound = bounds(dtype, g->co, pixels, p->gb_size);
  FOR_THREADS(gb, (size_t)g->co * size, fcv_conv_grad_bias(conv, gy, gb));
  expect_near("gb", dtype, g->co, gb, NULL, p->gb, bound);
  free(bound);
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
    const bool with_bias = random_below(2);
    case_begin("conv %s, f%d, channels %s, weights %s, activation %d, %s bias", describe(g), conv.dtype ? 64 : 32,
               conv.layout ? "last" : "first", conv.weight_layout ? "last" : "first", (int)conv.activation,
               with_bias ? "with" : "no");
    int64_t *x_order = pixel_order(conv.layout, g->n, g->in, g->ci);
    int64_t *y_order = pixel_order(conv.layout, g->n, g->out, g->co);
    int64_t *w_order = weight_order(conv.weight_layout, g);
    const void *x = array_in(conv.dtype, x_count(g), x_order, p.x);
    const void *w = array_in(conv.dtype, w_count(g), w_order, p.w);
    check_forward(&p, &conv, y_order, x, w, with_bias);
    check_gradients(&p, &conv, x_order, w_order, y_order, x, w);
    free(x_order), free(y_order), free(w_order);
    arrays_free();
  }
  problem_free(&p);
}

static void run(void) { for_conv_geometries(RANDOM_CASES, run_geometry); }

int main(void) { return run_tests("conv", run); }
