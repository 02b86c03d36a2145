/* Which algorithm a pass uses: by its geometry and the width of vectors and tiles alone, never by timing or the number
 * of threads, so that the same call gives the same bits on every run.
 *
 * auto takes the algorithm of least cost, counted in multiply-adds at the kernels' full speed, padding of tiles and
 * vectors included; what is not a multiply-add counts as so many of them. The factors come from one core of a Zen 4
 * (float32, AVX-512): time over that of as many multiply-adds, for 64 and 512 channels. */
#include "internal.h"

#include <stdatomic.h>

static const double PACKING = 12;    /* of one weight: 8 in L2, 26 from memory */
static const double MATRIX = 40;     /* of one element of a Toeplitz matrix, filled and packed */
static const double TOEPLITZ = 1.25; /* of a product with it: its share of staging and stores */
static const double TRANSFORM = 6;   /* of one value of a tile at one point */
static const double TILE = 150;      /* of a tile at one point: calls, pointers */
static const double PART = 300;      /* the same, where its channels do not fill their last vector */
static const double WEIGHTS = 16;    /* of one weight at one point: 14 in L2, 22 from memory */

static atomic_int strict;

void fcv_set_strict(int wanted) { atomic_store(&strict, wanted != 0); }

int fcv_get_strict(void) { return atomic_load(&strict); }

static int winograd_applies(const struct fcv_geometry *g) {
  int applies = g->groups == 1 && g->in[0] == 1 && g->out[0] == 1 && g->kernel[0] == 1;
  for (int i = 1; i < FCV_AXES; i++) applies = applies && g->kernel[i] == 3 && g->stride[i] == 1 && g->dilation[i] == 1;
  return applies;
}

/* A pass as the kernels see it: its walk, and the channels of w with the padding of panels (and of tiles of mi). */
struct shape {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  struct fcv_walk walk;
  double outputs, kc, nc, panels;
  int pass;
};

static struct shape shape_of(const struct fcv_conv *conv, fcv_pass pass) {
  const int64_t residue[FCV_AXES] = {0};
  struct shape s = {.conv = conv, .kernels = fcv_kernels(conv->dtype), .pass = pass};
  struct fcv_panels panels;
  if (pass == FCV_GRAD_INPUT)
    fcv_walk_grad_input(&conv->geometry, residue, &s.walk);
  else
    fcv_walk_forward(&conv->geometry, &s.walk);
  const struct fcv_axis *axis = s.walk.axis;
  fcv_panels(s.kernels, s.walk.nc, &panels);
  s.outputs = (double)(s.walk.n * axis[0].count * axis[1].count * axis[2].count);
  s.kc = (double)s.walk.kc;
  if (pass == FCV_GRAD_WEIGHT)
    s.kc = (double)fcv_round_up(s.walk.kc, s.kernels->mi);
  s.nc = (double)fcv_panels_channels(&panels);
  s.panels = (double)panels.per_group;
  return s;
}

/* rows of igemm tiles come in halves of mr; the weight gradient takes any number of pixels. */
static double tiled(const struct shape *s, double rows) {
  const int64_t half = s->pass == FCV_GRAD_WEIGHT ? 1 : fcv_max(1, s->kernels->mr / 2);
  return (double)fcv_round_up((int64_t)rows, half);
}

static double direct_cost(const struct shape *s) {
  const struct fcv_axis *x = &s->walk.axis[2];
  double kc = s->kc;
  if (s->pass == FCV_GRAD_WEIGHT && fcv_use_row_taps(&s->walk))
    kc = (double)fcv_round_up(x->taps * s->walk.kc, s->kernels->mi) / (double)x->taps;
  const double weights = (double)fcv_walk_taps(&s->walk) * kc * s->nc;
  const double pixels = s->pass == FCV_GRAD_WEIGHT ? 0 : FCV_PIXEL_COST * s->outputs * s->panels;
  return (tiled(s, s->outputs) + PACKING) * weights + pixels;
}

static double toeplitz_cost(const struct shape *s) {
  const int64_t block = fcv_toeplitz_block(s->conv, &s->walk);
  const double products = fcv_toeplitz_cost(s->kernels, &s->walk, block);
  return (TOEPLITZ * s->outputs + MATRIX * (double)block) * products;
}

static double winograd_cost(const struct shape *s, int m) {
  const struct fcv_axis *axis = s->walk.axis;
  const double points = (m + 2) * (m + 2), weights = points * s->kc * s->nc;
  const double tiles = (double)(s->walk.n * fcv_ceil_div(axis[1].count, m) * fcv_ceil_div(axis[2].count, m));
  const double channels = (double)(fcv_round_up(s->walk.kc, s->kernels->vl) + fcv_round_up(s->walk.nc, s->kernels->vl));
  const int parts = (s->walk.kc % s->kernels->vl != 0) + (s->walk.nc % s->kernels->vl != 0);
  const double each = s->pass == FCV_GRAD_WEIGHT ? 2 * WEIGHTS : WEIGHTS; /* sums are cleared and added to as well */
  return (tiled(s, tiles) + each) * weights + (TRANSFORM * channels + TILE + PART * parts) * tiles * points;
}

static fcv_algorithm winograd_tile(const struct shape *s) {
  return winograd_cost(s, 2) < winograd_cost(s, 4) ? FCV_WINOGRAD_2X2 : FCV_WINOGRAD_4X4;
}

static fcv_algorithm best(const struct fcv_conv *conv, fcv_pass pass) {
  if (fcv_get_strict())
    return FCV_DIRECT;
  const struct shape s = shape_of(conv, pass);
  if (s.outputs == 0 || fcv_walk_taps(&s.walk) == 0)
    return FCV_DIRECT;
  fcv_algorithm algorithm = FCV_DIRECT;
  double least = direct_cost(&s);
  if (pass != FCV_GRAD_WEIGHT && conv->geometry.groups == 1 && toeplitz_cost(&s) < least &&
      fcv_toeplitz_block(s.conv, &s.walk) > 1) {
    algorithm = FCV_TOEPLITZ;
    least = toeplitz_cost(&s);
  }
  if (conv->dtype == FCV_F32 && winograd_applies(&conv->geometry)) {
    const fcv_algorithm tile = winograd_tile(&s);
    if (winograd_cost(&s, tile == FCV_WINOGRAD_2X2 ? 2 : 4) < least)
      algorithm = tile;
  }
  return algorithm;
}

fcv_status fcv_choose(const struct fcv_conv *conv, fcv_pass pass, fcv_algorithm *chosen) {
  *chosen = conv->algorithm;
  switch (conv->algorithm) {
  case FCV_AUTO:
    *chosen = best(conv, pass);
    return FCV_OK;
  case FCV_DIRECT:
  case FCV_IM2COL:
    return FCV_OK;
  case FCV_TOEPLITZ:
    *chosen = pass == FCV_GRAD_WEIGHT ? FCV_DIRECT : FCV_TOEPLITZ;
    return FCV_OK;
  case FCV_TOEPLITZ_FULL:
    if (pass == FCV_GRAD_WEIGHT)
      *chosen = FCV_DIRECT;
    else if (fcv_toeplitz_full_bytes(&conv->geometry, fcv_kernels(conv->dtype)->size) > FCV_MATRIX_LIMIT)
      return FCV_INVALID;
    return FCV_OK;
  case FCV_WINOGRAD: {
    const struct shape s = shape_of(conv, pass);
    *chosen = winograd_tile(&s);
  } /* fall through */
  case FCV_WINOGRAD_2X2:
  case FCV_WINOGRAD_4X4:
    return winograd_applies(&conv->geometry) ? FCV_OK : FCV_INVALID;
  default:
    return FCV_INVALID;
  }
}
