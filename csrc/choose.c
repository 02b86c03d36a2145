/* Which algorithm a pass uses: by its geometry alone, so that the same call gives the same bits everywhere. */
#include "internal.h"

#include <stdatomic.h>

static atomic_int strict;

void fcv_set_strict(int wanted) { atomic_store(&strict, wanted != 0); }

int fcv_get_strict(void) { return atomic_load(&strict); }

static int winograd_applies(const struct fcv_geometry *g) {
  int applies = g->groups == 1 && g->in[0] == 1 && g->out[0] == 1 && g->kernel[0] == 1;
  for (int i = 1; i < FCV_AXES; i++) applies = applies && g->kernel[i] == 3 && g->stride[i] == 1 && g->dilation[i] == 1;
  return applies;
}

/* Tiles of 4 x 4 do 36 products for 16 outputs, tiles of 2 x 2 do 16 for 4. Where the output is at most 2 pixels high
 * and wide, three quarters of a 4 x 4 tile are not wanted. */
static fcv_algorithm winograd_tile(const struct fcv_geometry *g, fcv_pass pass) {
  const int64_t *out = pass == FCV_GRAD_INPUT ? g->in : g->out;
  return out[1] <= 2 && out[2] <= 2 ? FCV_WINOGRAD_2X2 : FCV_WINOGRAD_4X4;
}

/* Below 16 channels on a side the transforms outweigh the products. */
enum { WINOGRAD_CHANNELS = 16 };

static fcv_algorithm best(const struct fcv_conv *conv, fcv_pass pass) {
  const struct fcv_geometry *g = &conv->geometry;
  if (conv->dtype == FCV_F32 && !fcv_get_strict() && winograd_applies(g) && g->ci >= WINOGRAD_CHANNELS &&
      g->co >= WINOGRAD_CHANNELS)
    return winograd_tile(g, pass);
  return FCV_DIRECT;
}

fcv_status fcv_choose(const struct fcv_conv *conv, fcv_pass pass, fcv_algorithm *chosen) {
  *chosen = conv->algorithm;
  switch (conv->algorithm) {
  case FCV_AUTO:
    *chosen = best(conv, pass);
    return FCV_OK;
  case FCV_DIRECT:
    return FCV_OK;
  case FCV_WINOGRAD:
    *chosen = winograd_tile(&conv->geometry, pass); /* fall through */
  case FCV_WINOGRAD_2X2:
  case FCV_WINOGRAD_4X4:
    return winograd_applies(&conv->geometry) ? FCV_OK : FCV_INVALID;
  default:
    return FCV_INVALID;
  }
}
