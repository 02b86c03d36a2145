/* Which algorithm a pass uses: by its geometry, the instruction set in use and, with AVX-512, the kind of CPU, never by
 * timing or the number of threads, so that the same call gives the same bits on every run. auto takes the algorithm of
 * least cost. */
#include "internal.h"

#include <stdatomic.h>

/* Of two that cost about the same direct is taken: it keeps NaN in place and takes the least memory. */
static const double GAIN = 0.95;

/* Arrays of channels first are turned to channels last, and back: their bytes at most, and the price of an element,
 * which is half of it where a multiply-add takes twice as long;
 * weights of gradients too, where they are few, else packing them costs more than channels last. */
enum { TURN_BYTES = 12 << 20, TURN_PRICE = 32, TURN_WEIGHTS = 1 << 15 };

static atomic_int strict;

void fcv_set_strict(int wanted) { atomic_store(&strict, wanted != 0); }

int fcv_get_strict(void) { return atomic_load(&strict); }

static int winograd_applies(const struct fcv_geometry *g) {
  int applies = g->groups == 1 && g->in[0] == 1 && g->out[0] == 1 && g->kernel[0] == 1;
  for (int i = 1; i < FCV_AXES; i++) applies = applies && g->kernel[i] == 3 && g->stride[i] == 1 && g->dilation[i] == 1;
  return applies;
}

static fcv_algorithm winograd_tile(const struct fcv_conv *conv, fcv_pass pass) {
  const double two = fcv_pass_cost(conv, pass, FCV_WINOGRAD_2X2), four = fcv_pass_cost(conv, pass, FCV_WINOGRAD_4X4);
  return two < four ? FCV_WINOGRAD_2X2 : FCV_WINOGRAD_4X4;
}

static int can_estimate(const struct fcv_geometry *g) {
  return g->groups == 1 && g->n * g->ci * g->co * fcv_product(g->out) * fcv_product(g->kernel) > 0;
}

/* Groups run one after the other, by every algorithm as well as by direct: layouts alone are compared, where a group
 * has channels for some vectors. */
static int can_estimate_groups(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t least = 2 * fcv_kernels(conv->dtype)->vl;
  return g->groups > 1 && g->ci / g->groups >= least && g->co / g->groups >= least &&
         g->n * fcv_product(g->out) * fcv_product(g->kernel) > 0;
}

/* The algorithm of least cost, and this. */
static fcv_algorithm best(const struct fcv_conv *conv, fcv_pass pass, double *cost_of_it) {
  const struct fcv_geometry *g = &conv->geometry;
  *cost_of_it = can_estimate_groups(conv) ? (double)g->groups * fcv_pass_cost(conv, pass, FCV_DIRECT) : 0;
  if (fcv_get_strict() || !can_estimate(g))
    return FCV_DIRECT;
  const int able[FCV_ALGORITHMS] = {
      [FCV_DIRECT] = 1,
      [FCV_IM2COL] = pass == FCV_GRAD_INPUT || fcv_product(g->kernel) > 1, /* else a copy of x for nothing */
      [FCV_TOEPLITZ] = pass != FCV_GRAD_WEIGHT && g->stride[2] <= (g->kernel[2] - 1) * g->dilation[2] + 1, /* or a
      window would hold pixels that no output meets, and their NaN */
      [FCV_WINOGRAD_2X2] = conv->dtype == FCV_F32 && winograd_applies(g),
      [FCV_WINOGRAD_4X4] = conv->dtype == FCV_F32 && winograd_applies(g),
  };
  fcv_algorithm algorithm = FCV_DIRECT;
  *cost_of_it = fcv_pass_cost(conv, pass, FCV_DIRECT);
  double least = GAIN * *cost_of_it;
  for (fcv_algorithm other = FCV_IM2COL; other < FCV_ALGORITHMS; other++) {
    const double cost = able[other] ? fcv_pass_cost(conv, pass, other) : least;
    if (cost < least) {
      algorithm = other;
      *cost_of_it = least = cost;
    }
  }
  return algorithm;
}

static double images_elements(const struct fcv_geometry *g) {
  return (double)g->n * (double)(g->ci * fcv_product(g->in) + g->co * fcv_product(g->out));
}

struct fcv_conv fcv_turned(const struct fcv_conv *conv, fcv_pass pass) {
  const struct fcv_geometry *g = &conv->geometry;
  struct fcv_conv last = *conv;
  last.layout = FCV_CHANNELS_LAST;
  if (pass != FCV_FORWARD && fcv_weights(g) <= TURN_WEIGHTS)
    last.weight_layout = FCV_CHANNELS_LAST;
  return last;
}

/* Where a pass's arrays of images are few bytes, they differ by the layout, and prices are those of the type: 64x14x14
 * 32->64 3x3 took 3.1 ms by planes, 2.5 there and back, its gradients 3.2 and 3.8, 2.5 and 3.1. */
static int can_turn(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  return conv->layout == FCV_CHANNELS_FIRST && conv->dtype == FCV_F32 && !fcv_get_strict() &&
         (can_estimate(g) || can_estimate_groups(conv)) && !fcv_layouts_agree(g) &&
         images_elements(g) * (double)fcv_kernels(conv->dtype)->size <= TURN_BYTES;
}

int fcv_choose_layout(const struct fcv_conv *conv, fcv_pass pass, fcv_algorithm *chosen) {
  double here, there;
  *chosen = best(conv, pass, &here);
  if (!can_turn(conv))
    return 0;
  const struct fcv_conv last = fcv_turned(conv, pass);
  const fcv_algorithm other = best(&last, pass, &there);
  const struct fcv_geometry *g = &conv->geometry;
  const int given = conv->prepared || last.weight_layout == FCV_CHANNELS_LAST;
  const double weights = given ? 0 : (double)fcv_weights(g);
  there += (fcv_multiplies_in_halves() ? TURN_PRICE / 2 : TURN_PRICE) * (images_elements(g) + weights);
  if (there >= GAIN * here)
    return 0;
  *chosen = other;
  return 1;
}

int fcv_turns(const struct fcv_conv *conv, fcv_pass pass) {
  fcv_algorithm chosen;
  return conv->algorithm == FCV_AUTO && fcv_choose_layout(conv, pass, &chosen);
}

/* Of the matrices of one group for a block that the caller set. */
static double toeplitz_bytes(const struct fcv_conv *conv, fcv_pass pass) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t residue[FCV_AXES] = {0};
  struct fcv_walk walk;
  if (pass == FCV_GRAD_INPUT)
    fcv_walk_grad_input(g, residue, &walk);
  else
    fcv_walk_forward(g, &walk);
  const int64_t block = fcv_toeplitz_block(conv, &walk);
  return (double)fcv_product(g->kernel) / (double)g->kernel[2] * (double)fcv_toeplitz_window(&walk, block) *
         (double)(walk.kc * walk.nc) * (double)block * (double)fcv_kernels(conv->dtype)->size;
}

double fcv_expected_cost(const struct fcv_conv *conv, fcv_pass pass) {
  struct fcv_conv by = *conv;
  fcv_algorithm algorithm;
  if (fcv_turns(conv, pass))
    by = fcv_turned(conv, pass);
  if (fcv_choose(&by, pass, &algorithm) != FCV_OK || !can_estimate(&conv->geometry) || algorithm == FCV_TOEPLITZ_FULL)
    return 0;
  return fcv_pass_cost(&by, pass, algorithm);
}

fcv_status fcv_choose(const struct fcv_conv *conv, fcv_pass pass, fcv_algorithm *chosen) {
  *chosen = conv->algorithm;
  switch (conv->algorithm) {
  case FCV_AUTO:
    fcv_choose_layout(conv, pass, chosen);
    return FCV_OK;
  case FCV_DIRECT:
  case FCV_IM2COL:
    return FCV_OK;
  case FCV_TOEPLITZ:
    if (pass == FCV_GRAD_WEIGHT)
      *chosen = FCV_DIRECT;
    else if (conv->block && toeplitz_bytes(conv, pass) > FCV_MATRIX_LIMIT)
      return FCV_INVALID;
    return FCV_OK;
  case FCV_TOEPLITZ_FULL:
    if (pass == FCV_GRAD_WEIGHT)
      *chosen = FCV_DIRECT;
    else if (fcv_toeplitz_full_bytes(&conv->geometry, fcv_kernels(conv->dtype)->size) > FCV_MATRIX_LIMIT)
      return FCV_INVALID;
    return FCV_OK;
  case FCV_WINOGRAD:
    if (winograd_applies(&conv->geometry))
      *chosen = winograd_tile(conv, pass); /* fall through */
  case FCV_WINOGRAD_2X2:
  case FCV_WINOGRAD_4X4:
    return winograd_applies(&conv->geometry) ? FCV_OK : FCV_INVALID;
  default:
    return FCV_INVALID;
  }
}

enum fcv_way fcv_way(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view) {
  return fcv_winograd_size(conv)                ? FCV_BY_WINOGRAD
         : conv->algorithm == FCV_TOEPLITZ      ? FCV_BY_TOEPLITZ
         : conv->algorithm == FCV_TOEPLITZ_FULL ? FCV_BY_MATRIX
         : fcv_small_groups(conv)               ? FCV_BY_DEPTHWISE
         : fcv_channel_multiplier(conv)         ? FCV_BY_MULTIPLIED
         : fcv_use_lanes(conv, walk)            ? FCV_BY_LANES
         : fcv_use_narrow(conv, walk)           ? FCV_BY_NARROW
         : fcv_use_dots(conv, walk)             ? FCV_BY_DOTS
         : fcv_use_planes(conv, walk, view)     ? FCV_BY_PLANES
                                                : FCV_BY_DIRECT;
}

enum fcv_wgrad_way fcv_wgrad_way(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  return fcv_winograd_size(conv)            ? FCV_WGRAD_BY_WINOGRAD
         : fcv_small_groups(conv)           ? FCV_WGRAD_BY_DEPTHWISE
         : fcv_channel_multiplier(conv)     ? FCV_WGRAD_BY_DEPTHWISE
         : fcv_use_wgrad_runs(conv, walk)   ? FCV_WGRAD_BY_RUNS
         : fcv_use_wgrad_lanes(conv, walk)  ? FCV_WGRAD_BY_LANES
         : fcv_use_wgrad_planes(conv)       ? FCV_WGRAD_BY_PLANES
         : fcv_use_wgrad_pointwise(conv)    ? FCV_WGRAD_BY_POINTWISE
         : fcv_use_wgrad_strips(conv, walk) ? FCV_WGRAD_BY_STRIPS
                                            : FCV_WGRAD_BY_DIRECT;
}
