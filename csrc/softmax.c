/* Softmax over the middle axis of x[outer][columns][inner].
 *
 * Vectors run along inner. Where that is 1, a long row, or one of whole vectors, is taken by itself, with vectors along
 * it; short rows, which would leave most of a vector empty, are transposed as many at a time as a vector has lanes. */
#include "internal.h"

enum {
  PIECE = 16384,     /* elements of a unit: several KiB, in L1 and L2 */
  SHORT_ROW = 4,     /* vectors of a short row at most */
  APART = 1024,      /* bytes between columns, or a multiple, that leave them few sets of L1 */
  BLOCK_BYTES = 8192 /* vl short rows: 4 * vl vectors of 64 bytes, vl being at most 16, twice */
};

struct softmax {
  const struct fcv_kernels *kernels;
  int logarithm;
  int64_t outer, columns, inner;
  int64_t step;          /* rows, or elements of inner, of a unit */
  const char *saved, *x; /* gradient: y and gy */
  char *y;
};

static void run_columns(const struct softmax *s, int64_t count, int64_t pitch, const char *saved, const char *x,
                        char *y) {
  if (s->saved)
    s->kernels->softmax_columns_grad(s->logarithm, s->columns, count, pitch, saved, x, y);
  else
    s->kernels->softmax_columns(s->logarithm, s->columns, count, pitch, x, y);
}

/* count neighbours of each column from one array into another. */
static void copy_columns(const struct softmax *s, int64_t count, const char *from, int64_t from_pitch, char *to,
                         int64_t to_pitch) {
  const int64_t size = s->kernels->size;
  for (int64_t c = 0; c < s->columns; c++)
    memcpy(to + c * to_pitch * size, from + c * from_pitch * size, (size_t)(count * size));
}

/* Columns that lie a power of two apart fall into the same set of L1: few of them are copied out of its way, up to
 * four vectors of each at a time. (8, 21, 128, 128) over 21: 15 ms became 3. Others lost by it: the gradient of (64,
 * 21, 100) 0.068 ms became 0.045. */
static void along_inner(const void *context, int64_t unit, int thread) {
  const struct softmax *s = context;
  const struct fcv_kernels *k = s->kernels;
  const int64_t pieces = fcv_ceil_div(s->inner, s->step), first = unit % pieces * s->step;
  const int64_t end = fcv_min(first + s->step, s->inner),
                copied = s->columns <= SHORT_ROW * k->vl && s->inner * k->size % APART == 0;
  const int64_t width = copied ? fcv_min(4, BLOCK_BYTES / (s->columns * k->vl * k->size)) * k->vl : s->step;
  _Alignas(64) char x[BLOCK_BYTES], y[BLOCK_BYTES], saved[BLOCK_BYTES];
  (void)thread;
  for (int64_t i = first; i < end; i += width) {
    const int64_t count = fcv_min(width, end - i), at = (unit / pieces * s->columns * s->inner + i) * k->size;
    if (copied) {
      copy_columns(s, count, s->x + at, s->inner, x, width);
      if (s->saved)
        copy_columns(s, count, s->saved + at, s->inner, saved, width);
      run_columns(s, count, width, saved, x, y);
      copy_columns(s, count, y, width, s->y + at, s->inner);
    } else {
      run_columns(s, count, s->inner, s->saved ? s->saved + at : NULL, s->x + at, s->y + at);
    }
  }
}

static void long_rows(const void *context, int64_t unit, int thread) {
  const struct softmax *s = context;
  const int64_t end = fcv_min((unit + 1) * s->step, s->outer);
  (void)thread;
  for (int64_t row = unit * s->step; row < end; row++) {
    const int64_t at = row * s->columns * s->kernels->size;
    if (s->saved)
      s->kernels->softmax_grad(s->logarithm, s->columns, s->saved + at, s->x + at, s->y + at);
    else
      s->kernels->softmax(s->logarithm, s->columns, s->x + at, s->y + at);
  }
}

static void short_rows(const void *context, int64_t unit, int thread) {
  const struct softmax *s = context;
  const struct fcv_kernels *k = s->kernels;
  const int64_t end = fcv_min((unit + 1) * s->step, s->outer), columns = s->columns;
  _Alignas(64) char x[BLOCK_BYTES], y[BLOCK_BYTES], saved[BLOCK_BYTES];
  (void)thread;
  for (int64_t row = unit * s->step; row < end; row += k->vl) {
    const int64_t rows = fcv_min(k->vl, end - row), at = row * columns * k->size;
    k->transpose(rows, columns, s->x + at, columns, x, k->vl);
    if (s->saved)
      k->transpose(rows, columns, s->saved + at, columns, saved, k->vl);
    run_columns(s, rows, k->vl, saved, x, y);
    k->transpose(columns, rows, y, k->vl, s->y + at, columns);
  }
}

static fcv_status run(struct softmax *s) {
  if (s->outer < 0 || s->columns < 0 || s->inner < 0)
    return FCV_INVALID;
  if (s->outer * s->columns * s->inner == 0)
    return FCV_OK;
  const struct fcv_kernels *k = s->kernels;
  const int threads = fcv_threads_for(16.0 * (double)(s->outer * s->columns * s->inner));
  s->step = fcv_round_up(fcv_max(1, PIECE / s->columns), k->vl);
  if (s->inner > 1)
    fcv_parallel_for(s->outer * fcv_ceil_div(s->inner, s->step), threads, along_inner, s);
  else if (s->columns <= SHORT_ROW * k->vl && s->columns % k->vl != 0)
    fcv_parallel_for(fcv_ceil_div(s->outer, s->step), threads, short_rows, s);
  else
    fcv_parallel_for(fcv_ceil_div(s->outer, s->step), threads, long_rows, s);
  return FCV_OK;
}

fcv_status fcv_softmax_forward(fcv_dtype dtype, int logarithm, int64_t outer, int64_t columns, int64_t inner,
                               const void *x, void *y) {
  return run(&(struct softmax){.kernels = fcv_kernels(dtype),
                               .logarithm = logarithm,
                               .outer = outer,
                               .columns = columns,
                               .inner = inner,
                               .x = x,
                               .y = y});
}

fcv_status fcv_softmax_backward(fcv_dtype dtype, int logarithm, int64_t outer, int64_t columns, int64_t inner,
                                const void *y, const void *gy, void *gx) {
  return run(&(struct softmax){.kernels = fcv_kernels(dtype),
                               .logarithm = logarithm,
                               .outer = outer,
                               .columns = columns,
                               .inner = inner,
                               .saved = y,
                               .x = gy,
                               .y = gx});
}
