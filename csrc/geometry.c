/* From a geometry to the walks over it. */
#include "internal.h"

/* *product *= factor, or FCV_INVALID where that is negative or leaves a quarter of int64_t (offsets add a few). */
static fcv_status multiply(int64_t *product, int64_t factor) {
  if (factor < 0 || __builtin_mul_overflow(*product, factor, product) || *product > INT64_MAX / 4)
    return FCV_INVALID;
  return FCV_OK;
}

static fcv_status check_axis(const struct fcv_geometry *g, int axis) {
  const int64_t limit = INT64_MAX / 64;
  if (g->in[axis] < 0 || g->out[axis] < 0 || g->kernel[axis] < 1 || g->stride[axis] < 1 || g->dilation[axis] < 1)
    return FCV_INVALID;
  if (g->pad_lo[axis] < 0 || g->pad_lo[axis] > limit || g->pad_hi[axis] < 0 || g->pad_hi[axis] > limit)
    return FCV_INVALID;
  int64_t reach = g->kernel[axis], span = g->out[axis];
  FCV_TRY(multiply(&reach, g->dilation[axis]));
  FCV_TRY(multiply(&span, g->stride[axis]));
  return g->in[axis] > limit || reach > limit || span > limit ? FCV_INVALID : FCV_OK;
}

fcv_status fcv_geometry_check(const struct fcv_geometry *g, int64_t element) {
  if (g->n < 0 || g->groups < 1 || g->ci < 0 || g->co < 0 || g->ci % g->groups || g->co % g->groups)
    return FCV_INVALID;
  int64_t x = g->n, y = g->n, w = g->co;
  FCV_TRY(multiply(&x, g->ci));
  FCV_TRY(multiply(&y, g->co));
  FCV_TRY(multiply(&w, g->ci / g->groups));
  for (int axis = 0; axis < FCV_AXES; axis++) {
    FCV_TRY(check_axis(g, axis));
    FCV_TRY(multiply(&x, g->in[axis]));
    FCV_TRY(multiply(&y, g->out[axis]));
    FCV_TRY(multiply(&w, g->kernel[axis]));
  }
  FCV_TRY(multiply(&x, element));
  FCV_TRY(multiply(&y, element));
  return multiply(&w, 4 * element); /* packing pads channels to a vector */
}

int fcv_layouts_agree(const struct fcv_geometry *g) {
  return (g->ci == 1 || fcv_product(g->in) == 1) && (g->co == 1 || fcv_product(g->out) == 1);
}

void fcv_walk_forward(const struct fcv_geometry *g, struct fcv_walk *walk) {
  walk->n = g->n;
  walk->groups = g->groups;
  walk->kc = g->ci / g->groups;
  walk->nc = g->co / g->groups;
  for (int i = 0; i < FCV_AXES; i++)
    walk->axis[i] = (struct fcv_axis){
        .in = g->in[i],
        .out = g->out[i],
        .count = g->out[i],
        .out_step = 1,
        .in_step = g->stride[i],
        .taps = g->kernel[i],
        .shift = -g->pad_lo[i],
        .shift_step = g->dilation[i],
        .kernel_step = 1,
    };
}

void fcv_walk_grad_output(const struct fcv_geometry *g, struct fcv_walk *walk) {
  *walk = (struct fcv_walk){.n = g->n, .groups = g->groups, .kc = g->co / g->groups, .nc = g->co / g->groups};
  for (int i = 0; i < FCV_AXES; i++)
    walk->axis[i] = (struct fcv_axis){
        .in = g->out[i], .out = g->out[i], .count = g->out[i], .out_step = 1, .in_step = 1, .taps = 1, .shift_step = 1};
}

enum { ROW_TAP_CHANNELS = 16 };

int fcv_use_row_taps(const struct fcv_walk *walk) {
  const struct fcv_axis *x = &walk->axis[2];
  return walk->groups == 1 && walk->kc < ROW_TAP_CHANNELS && x->taps > 1 && x->shift_step == 1;
}

int fcv_pads_rows(const struct fcv_walk *walk) {
  const struct fcv_axis *x = &walk->axis[2];
  return x->shift < 0 || (x->count - 1) * x->in_step + x->shift + (x->taps - 1) * x->shift_step >= x->in;
}

static int64_t gcd(int64_t a, int64_t b) { return b ? gcd(b, a % b) : a; }

/* Element i of gx, i = residue + o * stride, takes gy[j] * w[k] where i + pad = j * stride + k * dilation. Kernel
 * elements that fit the residue are k0 + t * step with step = stride / gcd(stride, dilation), and each step of k moves
 * j by -step * dilation / stride; taken from the last to the first, j rises. */
static struct fcv_axis grad_input_axis(const struct fcv_geometry *g, int i, int64_t residue) {
  const int64_t stride = g->stride[i], dilation = g->dilation[i], step = stride / gcd(stride, dilation);
  const int64_t reach = residue + g->pad_lo[i];
  int64_t k0 = 0;
  while (k0 < step && (reach - k0 * dilation) % stride != 0) k0++;
  const int64_t taps = k0 < step && k0 < g->kernel[i] ? (g->kernel[i] - 1 - k0) / step + 1 : 0;
  const int64_t last = k0 + (taps - 1) * step;
  return (struct fcv_axis){
      .in = g->out[i],
      .out = g->in[i],
      .count = g->in[i] > residue ? (g->in[i] - residue - 1) / stride + 1 : 0,
      .out_start = residue,
      .out_step = stride,
      .in_step = 1,
      .taps = taps,
      .shift = taps ? (reach - last * dilation) / stride : 0,
      .shift_step = step * dilation / stride,
      .kernel_start = last,
      .kernel_step = -step,
  };
}

void fcv_walk_grad_input(const struct fcv_geometry *g, const int64_t *residue, struct fcv_walk *walk) {
  walk->n = g->n;
  walk->groups = g->groups;
  walk->kc = g->co / g->groups;
  walk->nc = g->ci / g->groups;
  for (int i = 0; i < FCV_AXES; i++) walk->axis[i] = grad_input_axis(g, i, residue[i]);
}

void fcv_weight_view(const struct fcv_conv *conv, int swap, struct fcv_weight_view *view) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t taps = fcv_product(g->kernel), ci = g->ci / g->groups, co = g->co / g->groups;
  const int last = conv->weight_layout == FCV_CHANNELS_LAST;
  const int64_t element = last ? ci * g->co : 1; /* between neighbouring kernel elements */
  const int64_t input = last ? g->co : taps, output = last ? 1 : ci * taps;
  *view = (struct fcv_weight_view){
      .kernel = {element * g->kernel[1] * g->kernel[2], element * g->kernel[2], element},
      .k = swap ? output : input,
      .j = swap ? input : output,
      .group = co * output,
  };
}
