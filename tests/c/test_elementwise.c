/* Activations, softmax and their gradients against their formulas. */
#include "check.h"
#include "naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 3 };

static const int64_t counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 100, 1000, 33003};
static const double slopes[] = {0.25, 0, 1.5};
static const double thresholds[] = {20, 0.5, INFINITY};

/* Values over all magnitudes that matter: around zero, where functions saturate, and beyond. */
static double *spread_values(int64_t count) {
  static const double special[] = {0,   -0.0,   1e-20,   -1e-20,   NAN,       30, -30, 88,
                                   -88, 1000.0, -1000.0, INFINITY, -INFINITY, 20, -20, 1};
  double *values = random_values(count);
  for (int64_t i = 0; i < count; i++) {
    const int64_t kind = random_below(8);
    values[i] = kind == 0 ? special[random_below(16)] : (double)(float)ldexp(values[i], (int)random_below(12) - 6);
  }
  return values;
}

/* How far the result may be off, in units of its last place. */
static double roundings(fcv_activation activation, double slope, double x) {
  const double size = fmin(fabs(x), 40);
  switch (activation) {
  case FCV_LINEAR:
  case FCV_RELU:
  case FCV_LEAKY_RELU:
  case FCV_RELU6:
    return 1;
  case FCV_GELU:
    return 8 + size * size; /* that much has erfc of a rounded argument, by which it is judged */
  case FCV_GELU_TANH:
    return 8 + 2 * size * (4 + size * size); /* exp of a rounded argument */
  case FCV_SOFTPLUS:
    return 4 + fabs(slope) * size;
  default:
    return 4;
  }
}

static bool has_slope(fcv_activation activation) {
  return activation == FCV_LEAKY_RELU || activation == FCV_ELU || activation == FCV_ELU_OUTPUT ||
         activation == FCV_SOFTPLUS;
}

/* In place and out of place, for every thread count: the same result each time. */
static void check_forward(fcv_dtype dtype, fcv_activation activation, double slope, double threshold, int64_t count,
                          const double *values) {
  double *want = allocated((size_t)count * sizeof(double)), *bound = allocated((size_t)count * sizeof(double));
  for (int64_t i = 0; i < count; i++) {
    want[i] = naive_activation(activation, slope, threshold, values[i]);
    bound[i] = roundings(activation, slope, values[i]) * epsilon(dtype) * fabs(want[i]) + 16 * smallest(dtype);
  }
  const void *x = array_of(dtype, count, values);
  for (int threads = 1; threads <= THREADS; threads++) {
    fcv_set_threads(threads);
    void *y = array_for(dtype, count), *in_place = array_for(dtype, count);
    EXPECT_OK(fcv_activation_forward(dtype, activation, slope, threshold, count, x, y));
    memcpy(in_place, x, (size_t)count * element_size(dtype));
    EXPECT_OK(fcv_activation_forward(dtype, activation, slope, threshold, count, in_place, in_place));
    expect_near("y", dtype, count, y, NULL, want, bound);
    expect_near("y in place", dtype, count, in_place, NULL, want, bound);
  }
  free(want), free(bound);
}

/* The gradient from what the forward call saved: x, y, or both in turn. */
static void check_backward(fcv_dtype dtype, fcv_activation activation, double slope, double threshold, int64_t count) {
  double *x_values = random_values(count), *y_values = random_values(count), *gy_values = random_values(count);
  double *want = allocated((size_t)count * sizeof(double)), *bound = allocated((size_t)count * sizeof(double));
  for (int64_t i = 0; i < count; i++) {
    x_values[i] *= 4;
    y_values[i] = (float)naive_activation(activation, slope, threshold, x_values[i]);
    const double derivative = naive_derivative(activation, slope, threshold, x_values[i], y_values[i]);
    want[i] = gy_values[i] * derivative;
    /* 1 - y and 1 - y * y cancel: they err by epsilon of 1. */
    bound[i] = 16 * epsilon(dtype) * fabs(gy_values[i]) * (1 + fabs(derivative)) + smallest(dtype);
  }
  const void *x = array_of(dtype, count, x_values), *y = array_of(dtype, count, y_values);
  const void *gy = array_of(dtype, count, gy_values);
  const bool needs_y = activation == FCV_SIGMOID || activation == FCV_TANH || activation == FCV_ELU_OUTPUT;
  const bool needs_x = activation == FCV_ELU || activation > FCV_ELU_OUTPUT;
  for (int threads = 1; threads <= THREADS; threads++) {
    fcv_set_threads(threads);
    void *gx = array_for(dtype, count), *in_place = array_for(dtype, count), *from_y = array_for(dtype, count);
    EXPECT_OK(fcv_activation_backward(dtype, activation, slope, threshold, count, needs_y ? y : x, gy, gx));
    memcpy(in_place, gy, (size_t)count * element_size(dtype));
    EXPECT_OK(fcv_activation_backward(dtype, activation, slope, threshold, count, needs_y ? y : x, in_place, in_place));
    EXPECT_OK(fcv_activation_backward(dtype, activation, slope, threshold, count, needs_x ? x : y, gy, from_y));
    expect_near("gx", dtype, count, gx, NULL, want, bound);
    expect_near("gx in place", dtype, count, in_place, NULL, want, bound);
    expect_near("gx from y", dtype, count, from_y, NULL, want, bound);
  }
  free(x_values), free(y_values), free(gy_values), free(want), free(bound);
}

/* A weight for each channel, in both layouts: forward, where x is saved, and gradient. */
static void check_prelu(fcv_dtype dtype, fcv_layout layout, int64_t n, int64_t channels, int64_t pixels) {
  const int64_t count = n * channels * pixels;
  double *x = random_values(count), *gy = random_values(count), *w = random_values(channels);
  double *want = allocated((size_t)count * sizeof(double)), *want_gx = allocated((size_t)count * sizeof(double));
  double *bound = allocated((size_t)count * sizeof(double));
  for (int64_t i = 0; i < count; i++) {
    const double weight = w[layout == FCV_CHANNELS_LAST ? i % channels : i / pixels % channels];
    want[i] = (x[i] > 0 ? 1 : weight) * x[i];
    want_gx[i] = (x[i] > 0 ? 1 : weight) * gy[i];
    bound[i] = epsilon(dtype) + smallest(dtype);
  }
  const void *xs = array_of(dtype, count, x), *gys = array_of(dtype, count, gy), *ws = array_of(dtype, channels, w);
  for (int threads = 1; threads <= THREADS; threads++) {
    fcv_set_threads(threads);
    void *y = array_for(dtype, count), *gx = array_for(dtype, count);
    EXPECT_OK(fcv_prelu(dtype, layout, n, channels, pixels, ws, xs, xs, y));
    EXPECT_OK(fcv_prelu(dtype, layout, n, channels, pixels, ws, xs, gys, gx));
    expect_near("y", dtype, count, y, NULL, want, bound);
    expect_near("gx", dtype, count, gx, NULL, want_gx, bound);
  }
  free(x), free(gy), free(w), free(want), free(want_gx), free(bound);
}

/* One step with the arrays that the bits of kept name (1: m, 2: v, 4: a), in arrays that end where memory does. */
static void check_step(fcv_dtype dtype, fcv_optimizer optimizer, int kept, int nesterov, int64_t count) {
  const struct fcv_step step = {optimizer, .rate = 0.5, .beta_1 = 0.75, .beta_2 = 0.875, .epsilon = 0.25, nesterov};
  double *g = random_values(count), *start = random_values(4 * count), *want = allocated((size_t)count * 32);
  double *bound = allocated((size_t)count * sizeof(double));
  double *w = want, *m = want + count, *v = want + 2 * count, *a = want + 3 * count;
  /* Squares are larger than that of the mean, as sums of them are. */
  for (int64_t i = 2 * count; i < 4 * count; i++) start[i] = (float)(i < 3 * count ? 2 + start[i] : fabs(start[i]));
  memcpy(want, start, (size_t)count * 32);
  for (int64_t i = 0; i < count; i++) {
    const double moment = kept & 1 ? m[i] : 0;
    bound[i] = 64 * epsilon(dtype); /* values are at most 4, divisors 0.25 at least */
    switch (optimizer) {
    case FCV_SGD:
      m[i] = 0.75 * moment - 0.5 * g[i];
      w[i] += nesterov ? 0.75 * m[i] - 0.5 * g[i] : m[i];
      break;
    case FCV_RMSPROP:
      v[i] = 0.875 * v[i] + 0.125 * g[i] * g[i];
      a[i] = 0.875 * a[i] + 0.125 * g[i];
      m[i] = 0.75 * moment + 0.5 * g[i] / sqrt((kept & 4 ? v[i] - a[i] * a[i] : v[i]) + 0.25);
      w[i] -= m[i];
      break;
    case FCV_ADAGRAD:
      v[i] += g[i] * g[i];
      w[i] -= 0.5 * g[i] / sqrt(v[i] + 0.25);
      break;
    default:
      m[i] = 0.75 * m[i] + 0.25 * g[i];
      v[i] = 0.875 * v[i] + 0.125 * g[i] * g[i];
      a[i] = fmax(v[i], a[i]);
      w[i] -= 0.5 * m[i] / (sqrt(kept & 4 ? a[i] : v[i]) + 0.25);
    }
  }
  const void *gs = array_of(dtype, count, g);
  for (int threads = 1; threads <= THREADS; threads++) {
    void *at[4];
    fcv_set_threads(threads);
    for (int k = 0; k < 4; k++) {
      at[k] = k == 0 || kept & 1 << (k - 1) ? array_for(dtype, count) : NULL;
      if (at[k])
        memcpy(at[k], array_of(dtype, count, start + k * count), (size_t)count * (dtype == FCV_F32 ? 4 : 8));
    }
    EXPECT_OK(fcv_optimizer_step(dtype, &step, count, gs, at[0], at[1], at[2], at[3]));
    for (int k = 0; k < 4; k++)
      if (at[k])
        expect_near("step", dtype, count, at[k], NULL, want + k * count, bound);
  }
  free(g), free(start), free(want), free(bound);
}

/* rows of the axis that is summed over, or with inner columns of it. */
static void check_softmax(fcv_dtype dtype, bool logarithm, int64_t rows, int64_t columns, bool inner) {
  const int64_t count = rows * columns;
  double *x = random_values(count), *gy = random_values(count);
  double *want = allocated((size_t)count * sizeof(double)), *bound = allocated((size_t)count * sizeof(double));
  double *want_gx = allocated((size_t)count * sizeof(double)), *bound_gx = allocated((size_t)count * sizeof(double));
  const double eps = epsilon(dtype);
  for (int64_t r = 0; r < rows; r++) {
    double top = -INFINITY, sum = 0, dot = 0, size = 0;
    const int64_t first = inner ? r : r * columns, step = inner ? rows : 1, last = first + columns * step;
    for (int64_t i = first; i < last; i += step) x[i] = (float)ldexp(x[i], (int)(r % 11)), top = fmax(top, x[i]);
    for (int64_t i = first; i < last; i += step) sum += exp(x[i] - top);
    for (int64_t i = first; i < last; i += step) {
      /* x - top errs by epsilon / 2 of itself, which exp turns into a relative error of that size. */
      const double below = top - x[i], part = exp(-below) / sum;
      want[i] = logarithm ? -below - log(sum) : part;
      const double relative = eps * ((double)columns + 8);
      bound[i] = (logarithm ? relative + eps * (below + log(sum)) : (relative + eps * below) * part) +
                 1.5 * smallest(dtype); /* exp may vanish where 2^n would be half the least normal number */
      want[i] = dtype == FCV_F32 ? (double)(float)want[i] : want[i]; /* also what the gradient is given */
      dot += logarithm ? gy[i] : gy[i] * want[i];
      size += logarithm ? fabs(gy[i]) : fabs(gy[i] * want[i]);
    }
    for (int64_t i = first; i < last; i += step) {
      const double factor = logarithm ? exp(want[i]) : want[i];
      want_gx[i] = logarithm ? gy[i] - factor * dot : factor * (gy[i] - dot);
      const double terms = (double)columns + 8 + (logarithm ? fabs(want[i]) : 0);
      bound_gx[i] = terms * eps * (factor * size + fabs(gy[i])) + smallest(dtype);
    }
  }
  const void *x_array = array_of(dtype, count, x), *gy_array = array_of(dtype, count, gy);
  const void *y_saved = array_of(dtype, count, want);
  void *first_y = NULL, *first_gx = NULL;
  for (int threads = 1; threads <= THREADS; threads++) {
    fcv_set_threads(threads);
    void *y = array_for(dtype, count), *gx = array_for(dtype, count);
    EXPECT_OK(fcv_softmax_forward(dtype, logarithm, inner ? 1 : rows, columns, inner ? rows : 1, x_array, y));
    EXPECT_OK(
        fcv_softmax_backward(dtype, logarithm, inner ? 1 : rows, columns, inner ? rows : 1, y_saved, gy_array, gx));
    expect_near("y", dtype, count, y, NULL, want, bound);
    expect_near("gx", dtype, count, gx, NULL, want_gx, bound_gx);
    const size_t bytes = (size_t)count * element_size(dtype);
    if (first_y != NULL && (memcmp(first_y, y, bytes) != 0 || memcmp(first_gx, gx, bytes) != 0))
      fail("%d threads change bits", threads);
    first_y = y, first_gx = gx;
  }
  free(x), free(gy), free(want), free(bound), free(want_gx), free(bound_gx);
}

static void run(void) {
  for (int type = 0; type < 2; type++) {
    const fcv_dtype dtype = type ? FCV_F64 : FCV_F32;
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
      for (int activation = 0; activation < FCV_ACTIVATIONS; activation++)
        for (int s = 0; s < (has_slope((fcv_activation)activation) ? 3 : 1); s++) {
          const double slope = activation == FCV_SOFTPLUS && slopes[s] == 0 ? -2 : slopes[s], threshold = thresholds[s];
          case_begin("activation %d, slope %g, threshold %g, f%d, count %lld", activation, slope, threshold,
                     type ? 64 : 32, (long long)counts[c]);
          double *values = spread_values(counts[c]);
          check_forward(dtype, (fcv_activation)activation, slope, threshold, counts[c], values);
          check_backward(dtype, (fcv_activation)activation, slope, threshold, counts[c]);
          free(values);
          arrays_free();
        }
    /* Results that are written past the caches, into arrays that begin between two vectors. */
    const int64_t many = (8 << 20) / (int64_t)element_size(dtype) + 13;
    for (fcv_activation activation = FCV_RELU; activation <= FCV_SIGMOID; activation++) {
      case_begin("activation %d, f%d, count %lld", (int)activation, type ? 64 : 32, (long long)many);
      double *values = random_values(many);
      check_forward(dtype, activation, 0.25, INFINITY, many, values);
      check_backward(dtype, activation, 0.25, INFINITY, many);
      free(values);
      arrays_free();
    }
    for (int layout = 0; layout < 2; layout++)
      for (size_t c = 0; c + 1 < sizeof counts / sizeof *counts; c++)
        for (int64_t pixels = 0; pixels < 40; pixels += 13) {
          case_begin("prelu, layout %d, f%d, %lld channels of %lld", layout, type ? 64 : 32, (long long)counts[c],
                     (long long)pixels);
          check_prelu(dtype, (fcv_layout)layout, 3, counts[c], pixels);
          check_prelu(dtype, (fcv_layout)layout, 2, pixels, counts[c]);
          arrays_free();
        }
    static const struct {
      fcv_optimizer optimizer;
      int kept, nesterov;
    } steps[] = {{FCV_SGD, 0, 0},     {FCV_SGD, 1, 0},     {FCV_SGD, 1, 1},  {FCV_RMSPROP, 2, 0},
                 {FCV_RMSPROP, 7, 0}, {FCV_ADAGRAD, 2, 0}, {FCV_ADAM, 3, 0}, {FCV_ADAM, 7, 0}};
    for (size_t o = 0; o < sizeof steps / sizeof *steps; o++)
      for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        case_begin("step of optimizer %d, f%d, %lld weights, arrays %d, nesterov %d", (int)steps[o].optimizer,
                   type ? 64 : 32, (long long)counts[c], steps[o].kept, steps[o].nesterov);
        check_step(dtype, steps[o].optimizer, steps[o].kept, steps[o].nesterov, counts[c]);
        arrays_free();
      }
    for (int logarithm = 0; logarithm < 2; logarithm++)
      for (size_t c = 1; c + 1 < sizeof counts / sizeof *counts; c++) {
        const int64_t rows = counts[c] > 10 && counts[c] < 20 ? 2000 : 13;
        case_begin("%ssoftmax, f%d, %lld rows of %lld", logarithm ? "log-" : "", type ? 64 : 32, (long long)rows,
                   (long long)counts[c]);
        for (int inner = 0; inner < 2; inner++) {
          check_softmax(dtype, logarithm, rows, counts[c], inner);
          arrays_free();
        }
      }
    case_begin("softmax of no row, f%d", type ? 64 : 32);
    check_softmax(dtype, false, 0, 10, false);
    arrays_free();
  }
}

int main(void) { return run_tests("elementwise", run); }
