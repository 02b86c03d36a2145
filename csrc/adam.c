/* Steps of an optimizer: all that is remembered of a weight is read and written once. */
#include "internal.h"

enum { PIECE = 4096 /* weights of a unit */ };

struct step {
  const struct fcv_kernels *kernels;
  const struct fcv_adam *adam;
  int64_t count;
  const char *g;
  char *w, *m, *v, *largest;
};

static void step_piece(const void *context, int64_t unit, int thread) {
  const struct step *s = context;
  const int64_t first = unit * PIECE, at = first * s->kernels->size;
  (void)thread;
  s->kernels->adam(s->adam, fcv_min(PIECE, s->count - first), s->g + at, s->w + at, s->m + at, s->v + at,
                   s->largest ? s->largest + at : NULL);
}

fcv_status fcv_adam_step(fcv_dtype dtype, const struct fcv_adam *adam, int64_t count, const void *g, void *w, void *m,
                         void *v, void *largest) {
  const struct step step = {fcv_kernels(dtype), adam, count, g, w, m, v, largest};
  if (count < 0)
    return FCV_INVALID;
  fcv_parallel_for(fcv_ceil_div(count, PIECE), fcv_threads_for(16.0 * (double)count), step_piece, &step);
  return FCV_OK;
}
