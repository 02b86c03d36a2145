/* How fast multiply-adds can be here: the scale that measurements are read against. */
#include "internal.h"

#include <time.h>

enum { RUNS = 20, ROUNDS = 2000 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double fcv_peak_gflops(fcv_dtype dtype) {
  const struct fcv_kernels *k = fcv_kernels(dtype);
  const double operations = 2.0 * ROUNDS * FCV_PEAK_CHAINS * FCV_PEAK_TURNS * k->vl;
  double best = 0;
  volatile double sink;
  for (int run = 0; run < RUNS; run++) {
    const double start = now();
    sink = k->peak(ROUNDS);
    const double rate = 1e-9 * operations / (now() - start);
    best = rate > best ? rate : best;
  }
  (void)sink;
  return best;
}
