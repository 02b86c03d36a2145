/* What every operation uses: arithmetic, the kernels of this CPU, threads, scratch memory. */
#ifndef FASTCONV_SUPPORT_H
#define FASTCONV_SUPPORT_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fastconv.h"
#include "kernels/kernels.h"

#define FCV_TRY(call)                                                                                                  \
  do {                                                                                                                 \
    const fcv_status fcv_try_status_ = (call);                                                                         \
    if (fcv_try_status_ != FCV_OK)                                                                                     \
      return fcv_try_status_;                                                                                          \
  } while (0)

static inline int64_t fcv_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t fcv_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t fcv_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t fcv_round_up(int64_t a, int64_t b) { return fcv_ceil_div(a, b) * b; }
static inline int64_t fcv_product(const int64_t *a) { return a[0] * a[1] * a[2]; }

/* dispatch.c */
const struct fcv_kernels *fcv_kernels(fcv_dtype dtype);
/* Of the second level of cache; 512 KiB where the system does not say. The order of work may depend on it, no result.
 */
int64_t fcv_l2_bytes(void);
/* Whether AVX-512 is in use on a CPU whose units multiply vectors of half that size. */
int fcv_multiplies_in_halves(void);

/* Whether kernels apply the activation before they store; else the caller does. */
static inline int fcv_fused(fcv_activation activation) {
  return activation == FCV_LINEAR || activation == FCV_RELU || activation == FCV_LEAKY_RELU;
}
/* What kernels are told of it, */
static inline int fcv_kernel_activation(const struct fcv_conv *conv) {
  return fcv_fused(conv->activation) ? (int)conv->activation : FCV_LINEAR;
}
/* and what is left to do to their results. */
static inline void fcv_activate(const struct fcv_kernels *k, const struct fcv_conv *conv, int64_t count, void *y) {
  if (!fcv_fused(conv->activation))
    k->activation((int)conv->activation, conv->slope, INFINITY, count, y, y, 0);
}
/* The same of rows, bytes behind each y[i]; those that are NULL are left out. */
static inline void fcv_activate_rows(const struct fcv_kernels *k, const struct fcv_conv *conv, int64_t rows,
                                     int64_t count, void *const *y, int64_t bytes) {
  for (int64_t i = 0; !fcv_fused(conv->activation) && i < rows; i++)
    if (y[i])
      fcv_activate(k, conv, count, (char *)y[i] + bytes);
}

/* threads.c: the only parallel region. body(context, unit, thread) for every unit < units, thread < threads; which
 * thread takes a unit is left to chance, so a unit's result must not depend on it. Subnormals are flushed inside. */
typedef void fcv_unit_fn(const void *context, int64_t unit, int thread);
void fcv_parallel_for(int64_t units, int threads, fcv_unit_fn *body, const void *context);
/* For the end of a unit whose results went past the caches: another thread may read them after it. */
void fcv_fence(void);
/* Memory set to zero by all threads. */
void fcv_clear(void *memory, int64_t bytes);
/* How many threads an operation of this many multiply-adds, or elements moved, is worth. */
int fcv_threads_for(double work);
/* How many pieces of some elements to take as one unit: handing out units of less than a few microseconds takes two
 * threads longer than one, but each thread must have some. */
static inline int64_t fcv_group(int64_t pieces, int64_t elements) {
  const int64_t enough = ((int64_t)1 << 14) / fcv_max(1, elements);
  return fcv_max(1, fcv_min(enough, pieces / (4 * fcv_get_threads())));
}
/* Into how many parts, at most `most`, to cut each of some units, so that every thread has work. One thread gains
 * nothing by parts: the gradient of max pooling 2x2 on 1x112x112x64 took 4.3 ms in four, each of 16 channels. */
static inline int64_t fcv_parts(int64_t units, int64_t most) {
  const int threads = fcv_get_threads();
  const int64_t wanted = threads > 1 ? 4 * threads : 1;
  return units < wanted ? fcv_max(1, fcv_min(fcv_ceil_div(wanted, units), most)) : 1;
}

/* scratch.c: memory that is kept for the next call. At least bytes, 64-byte aligned, NULL where there is none. */
void *fcv_scratch_take(size_t bytes);
void fcv_scratch_give(void *memory);
/* A pass's workspace of this size. Where conv only asks for the size, it is noted and *memory stays NULL. */
fcv_status fcv_workspace(const struct fcv_conv *conv, int64_t bytes, char **memory);
/* Whether a result is too large to be found in the caches by whoever reads it: it is then written past them, which on a
 * Sapphire Rapids takes 23 GB/s of memory, and 10 where each line is read first. */
static inline int fcv_leaves_caches(int64_t bytes) { return bytes >= (int64_t)8 << 20; }

/* One block for several arrays: reserves bytes in it, 64-byte aligned, and returns where they begin. */
static inline int64_t fcv_reserve(int64_t *total, int64_t bytes) {
  const int64_t begin = *total;
  *total += fcv_round_up(bytes, 64);
  return begin;
}

/* Zero bytes of rows that lie pitch bytes apart. */
static inline void fcv_zero_rows(int64_t rows, int64_t bytes, void *to, int64_t pitch) {
  if (bytes == pitch)
    memset(to, 0, (size_t)(rows * bytes));
  else
    for (int64_t r = 0; r < rows; r++) memset((char *)to + r * pitch, 0, (size_t)bytes);
}

#endif
