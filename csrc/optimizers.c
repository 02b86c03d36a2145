/* Steps of optimizers: all that is remembered of a weight is read and written once. */
#include "internal.h"

enum { PIECE = 4096 /* weights of a unit */ };

struct weights {
  const struct fcv_kernels *kernels;
  const struct fcv_step *step;
  int64_t count;
  const char *g;
  char *w, *m, *v, *a;
};

static char *at(char *array, int64_t bytes) { return array ? array + bytes : NULL; }

static void step_piece(const void *context, int64_t unit, int thread) {
  const struct weights *s = context;
  const int64_t first = unit * PIECE, bytes = first * s->kernels->size;
  (void)thread;
  s->kernels->step[s->step->optimizer](s->step, fcv_min(PIECE, s->count - first), s->g + bytes, s->w + bytes,
                                       at(s->m, bytes), at(s->v, bytes), at(s->a, bytes));
}

/* Whether the arrays are there without which an optimizer has no step. */
static int is_complete(fcv_optimizer optimizer, const void *m, const void *v) {
  return (m || optimizer != FCV_ADAM) && (v || optimizer == FCV_SGD);
}

fcv_status fcv_optimizer_step(fcv_dtype dtype, const struct fcv_step *step, int64_t count, const void *g, void *w,
                              void *m, void *v, void *a) {
  const struct weights weights = {fcv_kernels(dtype), step, count, g, w, m, v, a};
  if (count < 0 || step->optimizer < FCV_SGD || step->optimizer >= FCV_OPTIMIZERS ||
      (count > 0 && !is_complete(step->optimizer, m, v)))
    return FCV_INVALID;
  fcv_parallel_for(fcv_ceil_div(count, PIECE), fcv_threads_for(16.0 * (double)count), step_piece, &weights);
  return FCV_OK;
}
