#include "naive.h"
#include "check.h"

#include <math.h>

int64_t volume(const int64_t size[FCV_AXES]) { return size[0] * size[1] * size[2]; }
int64_t x_count(const struct fcv_geometry *g) { return g->n * volume(g->in) * g->ci; }
int64_t w_count(const struct fcv_geometry *g) { return volume(g->kernel) * (g->ci / g->groups) * g->co; }
int64_t y_count(const struct fcv_geometry *g) { return g->n * volume(g->out) * g->co; }

/* order of [blocks][rows][columns] stored as [blocks][columns][rows]. */
static int64_t *transposed_order(int64_t blocks, int64_t rows, int64_t columns) {
  int64_t *order = allocated((size_t)(blocks * rows * columns) * sizeof(int64_t)), *next = order;
  for (int64_t b = 0; b < blocks; b++)
    for (int64_t c = 0; c < columns; c++)
      for (int64_t r = 0; r < rows; r++) *next++ = (b * rows + r) * columns + c;
  return order;
}

int64_t *pixel_order(fcv_layout layout, int64_t n, const int64_t size[FCV_AXES], int64_t channels) {
  if (layout == FCV_CHANNELS_LAST)
    return transposed_order(1, 1, n * volume(size) * channels);
  return transposed_order(n, volume(size), channels);
}

int64_t *weight_order(fcv_layout layout, const struct fcv_geometry *g) {
  if (layout == FCV_CHANNELS_LAST)
    return transposed_order(1, 1, w_count(g));
  /* [taps][ci/g][co] stored as [co][ci/g][taps] */
  int64_t taps = volume(g->kernel), kc = g->ci / g->groups;
  int64_t *order = allocated((size_t)w_count(g) * sizeof(int64_t)), *next = order;
  for (int64_t co = 0; co < g->co; co++)
    for (int64_t ci = 0; ci < kc; ci++)
      for (int64_t t = 0; t < taps; t++) *next++ = (t * kc + ci) * g->co + co;
  return order;
}

/* The coordinate of element i of an array of this size along one axis. */
static int64_t coordinate(int64_t i, const int64_t size[FCV_AXES], int axis) {
  for (int inner = FCV_AXES - 1; inner > axis; inner--) i /= size[inner];
  return i % size[axis];
}

/* Where the window of output pixel o starts along one axis; negative in the padding. */
static int64_t window_start(const struct fcv_geometry *g, int64_t o, int axis) {
  return coordinate(o, g->out, axis) * g->stride[axis] - g->pad_lo[axis];
}

/* The pixel of the input under tap t of output pixel o, counted within an image; -1 in the padding. */
static int64_t input_pixel(const struct fcv_geometry *g, int64_t o, int64_t t) {
  int64_t pixel = 0;
  for (int axis = 0; axis < FCV_AXES; axis++) {
    int64_t i = window_start(g, o, axis) + coordinate(t, g->kernel, axis) * g->dilation[axis];
    if (i < 0 || i >= g->in[axis])
      return -1;
    pixel = pixel * g->in[axis] + i;
  }
  return pixel;
}

void naive_conv(conv_pass pass, const struct fcv_geometry *g, double *x, double *w, double *y, double *size) {
  const int64_t taps = volume(g->kernel), kc = g->ci / g->groups, co_group = g->co / g->groups;
  for (int64_t n = 0; n < g->n; n++)
    for (int64_t o = 0; o < volume(g->out); o++)
      for (int64_t t = 0; t < taps; t++) {
        const int64_t pixel = input_pixel(g, o, t);
        for (int64_t co = 0; pixel >= 0 && co < g->co; co++)
          for (int64_t ci = 0; ci < kc; ci++) {
            const int64_t xi = (n * volume(g->in) + pixel) * g->ci + co / co_group * kc + ci;
            const int64_t wi = (t * kc + ci) * g->co + co, yi = (n * volume(g->out) + o) * g->co + co;
            switch (pass) {
            case FORWARD:
              y[yi] += x[xi] * w[wi], size[yi] += fabs(x[xi] * w[wi]);
              break;
            case GRAD_INPUT:
              x[xi] += y[yi] * w[wi], size[xi] += fabs(y[yi] * w[wi]);
              break;
            case GRAD_WEIGHT:
              w[wi] += x[xi] * y[yi], size[wi] += fabs(x[xi] * y[yi]);
              break;
            }
          }
      }
}

static const double pi = 3.14159265358979323846;

static double gelu_inner(double x) { return sqrt(8 / pi) * (x + 0.044715 * x * x * x); }

double naive_activation(fcv_activation activation, double slope, double threshold, double x) {
  switch (activation) {
  case FCV_RELU:
    return x > 0 || isnan(x) ? x : 0;
  case FCV_LEAKY_RELU:
    return x > 0 ? x : slope * x;
  case FCV_SIGMOID:
    return 1 / (1 + exp(-x));
  case FCV_TANH:
    return tanh(x);
  case FCV_RELU6:
    return x < 0 ? 0 : x > 6 ? 6 : x;
  case FCV_ELU:
  case FCV_ELU_OUTPUT:
    return x > 0 ? x : slope * expm1(x);
  case FCV_GELU:
    return x == -INFINITY ? 0 : x * erfc(-x / sqrt(2)) / 2;
  case FCV_GELU_TANH:
    return x == -INFINITY ? 0 : x / (1 + exp(-gelu_inner(x)));
  case FCV_SILU:
    return x == -INFINITY ? 0 : x / (1 + exp(-x));
  case FCV_SOFTPLUS:
    return slope * x > threshold ? x : (fmax(slope * x, 0) + log1p(exp(-fabs(slope * x)))) / slope;
  default:
    return x;
  }
}

double naive_derivative(fcv_activation activation, double slope, double threshold, double x, double y) {
  double s;
  switch (activation) {
  case FCV_RELU:
    return x > 0;
  case FCV_LEAKY_RELU:
    return x > 0 ? 1 : slope;
  case FCV_SIGMOID:
    return y * (1 - y);
  case FCV_TANH:
    return 1 - y * y;
  case FCV_RELU6:
    return x > 0 && x < 6;
  case FCV_ELU:
    return x > 0 ? 1 : slope * exp(x);
  case FCV_ELU_OUTPUT:
    return x > 0 ? 1 : slope + y;
  case FCV_GELU:
    return erfc(-x / sqrt(2)) / 2 + x * exp(-x * x / 2) / sqrt(2 * pi);
  case FCV_GELU_TANH:
    s = 1 / (1 + exp(-gelu_inner(x)));
    return s + x * s * (1 - s) * sqrt(8 / pi) * (1 + 3 * 0.044715 * x * x);
  case FCV_SILU:
    s = 1 / (1 + exp(-x));
    return s * (1 + x * (1 - s));
  case FCV_SOFTPLUS:
    return slope * x > threshold ? 1 : 1 / (1 + exp(-slope * x));
  default:
    return 1;
  }
}

/* Where window o of an adaptive pooling begins and ends. */
static int64_t adaptive_begin(int64_t o, int64_t in, int64_t out) { return o * in / out; }
static int64_t adaptive_end(int64_t o, int64_t in, int64_t out) { return ((o + 1) * in + out - 1) / out; }

static int64_t pool_taps(const struct fcv_pool *pool) {
  return volume(pool->adaptive ? pool->geometry.in : pool->geometry.kernel);
}

/* As input_pixel; tap t of an adaptive pooling is pixel t of the image. */
static int64_t pooled_pixel(const struct fcv_pool *pool, int64_t o, int64_t t) {
  const struct fcv_geometry *g = &pool->geometry;
  if (!pool->adaptive)
    return input_pixel(g, o, t);
  for (int axis = 0; axis < FCV_AXES; axis++) {
    const int64_t i = coordinate(t, g->in, axis), window = coordinate(o, g->out, axis);
    if (i < adaptive_begin(window, g->in[axis], g->out[axis]) || i >= adaptive_end(window, g->in[axis], g->out[axis]))
      return -1;
  }
  return t;
}

void naive_max_pool(const struct fcv_pool *pool, const double *x, double *y, int64_t *index) {
  const struct fcv_geometry *g = &pool->geometry;
  for (int64_t n = 0; n < g->n; n++)
    for (int64_t o = 0; o < volume(g->out); o++)
      for (int64_t c = 0; c < g->ci; c++, y++, index++) {
        *y = -INFINITY, *index = -1;
        for (int64_t t = 0; t < pool_taps(pool); t++) {
          const int64_t pixel = pooled_pixel(pool, o, t);
          if (pixel < 0)
            continue;
          const double value = x[(n * volume(g->in) + pixel) * g->ci + c];
          if (*index < 0 || value > *y || isnan(value))
            *y = value, *index = pixel;
        }
      }
}

static double divisor(const struct fcv_pool *pool, int64_t o) {
  if (pool->divisor_override != 0)
    return (double)pool->divisor_override;
  const struct fcv_geometry *g = &pool->geometry;
  double count = 1;
  for (int axis = 0; axis < FCV_AXES; axis++) {
    if (pool->adaptive) {
      const int64_t window = coordinate(o, g->out, axis), in = g->in[axis], out = g->out[axis];
      count *= (double)(adaptive_end(window, in, out) - adaptive_begin(window, in, out));
      continue;
    }
    int64_t first = window_start(g, o, axis), last = first + g->kernel[axis];
    const int64_t low = pool->count_include_pad ? first : 0;
    const int64_t high = g->in[axis] + (pool->count_include_pad ? g->pad_hi[axis] : 0);
    first = first < low ? low : first;
    last = last > high ? high : last;
    count *= (double)(last - first);
  }
  return count;
}

void naive_avg_pool(bool gradient, const struct fcv_pool *pool, double *x, double *y, double *size) {
  const struct fcv_geometry *g = &pool->geometry;
  for (int64_t n = 0; n < g->n; n++)
    for (int64_t o = 0; o < volume(g->out); o++)
      for (int64_t t = 0; t < pool_taps(pool); t++) {
        const int64_t pixel = pooled_pixel(pool, o, t);
        for (int64_t c = 0; pixel >= 0 && c < g->ci; c++) {
          const int64_t xi = (n * volume(g->in) + pixel) * g->ci + c, yi = (n * volume(g->out) + o) * g->ci + c;
          const double share = (gradient ? y[yi] : x[xi]) / divisor(pool, o);
          (gradient ? x : y)[gradient ? xi : yi] += share;
          size[gradient ? xi : yi] += fabs(share);
        }
      }
}

void naive_unpool(bool gradient, const struct fcv_geometry *g, const int64_t *index, double *x, double *y) {
  for (int64_t n = 0; n < g->n; n++)
    for (int64_t o = 0; o < volume(g->out); o++)
      for (int64_t c = 0; c < g->ci; c++) {
        const int64_t yi = (n * volume(g->out) + o) * g->ci + c, xi = (n * volume(g->in) + index[yi]) * g->ci + c;
        if (gradient)
          y[yi] = x[xi];
        else
          x[xi] = y[yi];
      }
}
