/* Threads: how many, and the one parallel region of the library. */
#include "internal.h"

#include <pthread.h>
#include <stdatomic.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(__x86_64__)
#include <immintrin.h>
enum { FLUSH = 0x8040 }; /* MXCSR: flush to zero, denormals are zero */
static unsigned fp_mode(void) { return _mm_getcsr(); }
static void fp_set(unsigned mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
enum { FLUSH = 1 << 24 }; /* FPCR: FZ */
static unsigned fp_mode(void) {
  uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  return (unsigned)mode;
}
static void fp_set(unsigned mode) { __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)mode)); }
#else
enum { FLUSH = 0 };
static unsigned fp_mode(void) { return 0; }
static void fp_set(unsigned mode) { (void)mode; }
#endif

/* Multiply-adds that a thread must have to do: 10 us and more. An undisturbed region costs 1.5 us, but on a machine
 * that others use too, each region waits now and then for a worker that is not running: with 2e5 a small network took
 * 0.45 s an epoch on two busy cores that it does in 0.13 s on one. */
static const double WORK_OF_A_THREAD = 1e6;

static atomic_int threads_wanted = 1;
static atomic_int pool_started;
static atomic_int serial; /* a forked child: libgomp's threads stayed with the parent, waiting for them would hang */

static void after_fork(void) {
  if (atomic_load(&pool_started))
    atomic_store(&serial, 1);
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, after_fork); }

void fcv_set_threads(int threads) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  atomic_store(&threads_wanted, threads < 1 ? 1 : threads);
}

int fcv_get_threads(void) { return atomic_load(&serial) || !fcv_has_openmp() ? 1 : atomic_load(&threads_wanted); }

int fcv_has_openmp(void) {
#ifdef _OPENMP
  return 1;
#else
  return 0;
#endif
}

int fcv_threads_for(double work) {
  const int threads = fcv_get_threads();
  return work < threads * WORK_OF_A_THREAD ? (int)fcv_max(1, (int64_t)(work / WORK_OF_A_THREAD)) : threads;
}

void fcv_parallel_for(int64_t units, int threads, fcv_unit_fn *body, const void *context) {
  if (threads > units)
    threads = (int)units;
  if (threads <= 1) {
    const unsigned mode = fp_mode();
    fp_set(mode | FLUSH);
    for (int64_t unit = 0; unit < units; unit++) body(context, unit, 0);
    fp_set(mode);
    return;
  }
#ifdef _OPENMP
  atomic_store(&pool_started, 1);
#pragma omp parallel num_threads(threads)
  {
    const unsigned mode = fp_mode();
    const int thread = omp_get_thread_num();
    fp_set(mode | FLUSH);
#pragma omp for schedule(dynamic, 1)
    for (int64_t unit = 0; unit < units; unit++) body(context, unit, thread);
    fp_set(mode);
  }
#endif
}

void fcv_fence(void) {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

enum { CLEARED = 1 << 20 };

struct clear {
  char *memory;
  int64_t bytes;
};

static void clear_unit(const void *context, int64_t unit, int thread) {
  const struct clear *c = context;
  (void)thread;
  memset(c->memory + unit * CLEARED, 0, (size_t)fcv_min(CLEARED, c->bytes - unit * CLEARED));
}

void fcv_clear(void *memory, int64_t bytes) {
  const struct clear clear = {.memory = memory, .bytes = bytes};
  fcv_parallel_for(fcv_ceil_div(bytes, CLEARED), fcv_threads_for((double)bytes), clear_unit, &clear);
}
