/* Chunks of the pixels of a weight gradient: a thread has one to itself, with sums of its own, which are added up in
 * the end. Their number is by the shape alone, or bits would depend on that of threads. */
#include "internal.h"

enum {
  CHUNKS = 32,          /* at most */
  SUMS_BYTES = 8 << 20, /* of all chunks, each as large as the weights: they are written, and read again */
  FEW_BYTES = 1 << 20,  /* the same where one thread adds them up */
  ADDED = 4096          /* sums that are added up as one unit */
};

/* A power of two, so that threads get equal numbers. */
static int64_t count_chunks(int64_t most, int64_t sums_bytes, int64_t all_bytes) {
  int64_t chunks = 1;
  while (2 * chunks <= most && 2 * chunks * sums_bytes <= all_bytes) chunks *= 2;
  return chunks;
}

int64_t fcv_chunks(int64_t pixels, int64_t least, int64_t sums_bytes) {
  return count_chunks((int64_t)fmin(CHUNKS, sqrt((double)pixels / (double)least)), sums_bytes, SUMS_BYTES);
}

int64_t fcv_chunks_of_boxes(int64_t boxes, int64_t sums_bytes) {
  return count_chunks(fcv_min(boxes, CHUNKS), sums_bytes, FEW_BYTES);
}

struct added {
  const struct fcv_kernels *kernels;
  int64_t chunks, elements;
  const char *sums;
  char *to;
};

static void add_unit(const void *context, int64_t unit, int thread) {
  const struct added *added = context;
  const int64_t size = added->kernels->size, first = unit * ADDED;
  const int64_t count = fcv_min(ADDED, added->elements - first);
  (void)thread;
  added->kernels->sum_rows(added->chunks, count, added->sums + first * size, added->elements, added->to + first * size);
}

void fcv_add_chunks(const struct fcv_kernels *kernels, int64_t chunks, int64_t elements, const char *sums, char *to,
                    int threads) {
  const struct added added = {kernels, chunks, elements, sums, to};
  const int worth = fcv_threads_for((double)(chunks * elements));
  if (chunks > 0)
    fcv_parallel_for(fcv_ceil_div(elements, ADDED), threads < worth ? threads : worth, add_unit, &added);
}
