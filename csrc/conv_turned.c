/* Convolution of channels-first arrays on channels-last copies of them. */
#include "internal.h"

/* Arrays of images between the layouts: channels x pixels of each image, in parts of some rows. */
struct turn {
  const struct fcv_kernels *kernels;
  int64_t rows, columns, parts; /* rows and columns of an image, as it is */
  const char *from;
  char *to;
};

enum { TURNED_ROWS = 32 };

static void turn_part(const void *context, int64_t unit, int thread) {
  const struct turn *t = context;
  const int64_t size = t->kernels->size, image = unit / t->parts * t->rows * t->columns;
  const int64_t blocks = fcv_ceil_div(t->rows, TURNED_ROWS), part = unit % t->parts;
  const int64_t row = blocks * part / t->parts * TURNED_ROWS;
  const int64_t end = fcv_min(t->rows, blocks * (part + 1) / t->parts * TURNED_ROWS);
  (void)thread;
  t->kernels->transpose(end - row, t->columns, t->from + (image + row * t->columns) * size, t->columns,
                        t->to + (image + row) * size, t->rows);
}

static void turn(const struct fcv_kernels *kernels, int64_t images, int64_t rows, int64_t columns, const void *from,
                 void *to) {
  struct turn turn = {.kernels = kernels, .rows = rows, .columns = columns, .from = from, .to = to};
  turn.parts = fcv_parts(images, fcv_ceil_div(rows, TURNED_ROWS));
  fcv_parallel_for(images * turn.parts, fcv_threads_for((double)(images * rows * columns)), turn_part, &turn);
}

/* Weights, [co][ci of a group][tap], to or from [tap][ci of a group][co]. */
#define MOVE_WEIGHTS(type)                                                                                             \
  for (int64_t j = 0; j < g->co; j++)                                                                                  \
    for (int64_t k = 0; k < ci; k++)                                                                                   \
      for (int64_t t = 0; t < taps; t++) {                                                                             \
        const int64_t first = (j * ci + k) * taps + t, last = (t * ci + k) * g->co + j;                                \
        ((type *)to)[to_last ? last : first] = ((const type *)from)[to_last ? first : last];                           \
      }

static void turn_weights(const struct fcv_conv *conv, int to_last, const void *from, void *to) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t taps = fcv_product(g->kernel), ci = g->ci / g->groups;
  if (conv->dtype == FCV_F32) {
    MOVE_WEIGHTS(float)
  } else {
    MOVE_WEIGHTS(double)
  }
}

static fcv_status run_pass(const struct fcv_conv *conv, fcv_pass pass, const struct fcv_arrays *a) {
  if (pass == FCV_FORWARD)
    return fcv_conv_forward(conv, a->x, a->w, a->bias, a->result);
  if (pass == FCV_GRAD_INPUT)
    return fcv_conv_grad_input(conv, a->y, a->w, a->bias, a->result);
  return fcv_conv_grad_weight(conv, a->x, a->y, a->result);
}

fcv_status fcv_conv_turned(const struct fcv_conv *conv, const struct fcv_conv *last, fcv_pass pass,
                           const struct fcv_arrays *a) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t in = fcv_product(g->in), out = fcv_product(g->out), slack = k->vl * k->size;
  const int weights = last->weight_layout != conv->weight_layout;
  int64_t bytes = 0;
  const int64_t x_at = fcv_reserve(&bytes, g->n * g->ci * in * k->size + slack);
  const int64_t y_at = fcv_reserve(&bytes, g->n * g->co * out * k->size + slack);
  const int64_t w_at = fcv_reserve(&bytes, weights ? fcv_weights(g) * k->size : 0);
  if (conv->workspace) {
    FCV_TRY(run_pass(last, pass, a));
    *conv->workspace += bytes;
    return FCV_OK;
  }
  char *memory = fcv_scratch_take((size_t)bytes);
  if (!memory)
    return FCV_NO_MEMORY;
  char *x = memory + x_at, *y = memory + y_at, *w = memory + w_at;
  if (pass != FCV_GRAD_INPUT)
    turn(k, g->n, g->ci, in, a->x, x);
  if (pass != FCV_FORWARD)
    turn(k, g->n, g->co, out, a->y, y);
  if (pass != FCV_GRAD_WEIGHT && weights)
    turn_weights(conv, 1, a->w, w);
  struct fcv_arrays turned = {.x = x, .y = y, .w = weights ? w : a->w, .bias = a->bias};
  turned.result = pass == FCV_FORWARD ? y : pass == FCV_GRAD_INPUT ? x : weights ? w : a->result;
  const fcv_status status = run_pass(last, pass, &turned);
  if (status == FCV_OK && pass == FCV_FORWARD)
    turn(k, g->n, out, g->co, y, a->result);
  else if (status == FCV_OK && pass == FCV_GRAD_INPUT)
    turn(k, g->n, in, g->ci, x, a->result);
  else if (status == FCV_OK && weights)
    turn_weights(conv, 0, w, a->result);
  fcv_scratch_give(memory);
  return status;
}
