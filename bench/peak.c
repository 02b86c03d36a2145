/* What one core can do: FMA loops over registers, for each instruction set. Prints "isa dtype GFLOP/s" a line. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum { CHAINS = 12, STEPS = 1 << 16, ROUNDS = 40 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__x86_64__)
#define REGISTER "+x"
#define TARGET(isa) __attribute__((target(isa)))
#else
#define REGISTER "+w"
#define TARGET(isa)
#endif

/* CHAINS independent chains hide the latency of an FMA; the empty asm keeps the compiler from folding them. */
#define PEAK(name, isa, real, bytes)                                                                                   \
  TARGET(isa) __attribute__((noinline)) static void name##_steps(void) {                                               \
    typedef real vec __attribute__((vector_size(bytes)));                                                              \
    vec sum[CHAINS] = {0}, a = {0}, b = {0};                                                                           \
    __asm__ volatile("" : REGISTER(a), REGISTER(b));                                                                   \
    for (int step = 0; step < STEPS; step++) {                                                                         \
      _Pragma("GCC unroll 12") for (int c = 0; c < CHAINS; c++) sum[c] += a * b;                                       \
      _Pragma("GCC unroll 12") for (int c = 0; c < CHAINS; c++) __asm__ volatile("" : REGISTER(sum[c]));               \
    }                                                                                                                  \
  }                                                                                                                    \
  static double name(void) {                                                                                           \
    double best = 1e9;                                                                                                 \
    for (int round = 0; round < ROUNDS; round++) {                                                                     \
      const double start = now();                                                                                      \
      name##_steps();                                                                                                  \
      const double time = now() - start;                                                                               \
      best = time < best ? time : best;                                                                                \
    }                                                                                                                  \
    return 2e-9 * STEPS * CHAINS * (bytes / sizeof(real)) / best;                                                      \
  }

PEAK(baseline_f32, "sse2", float, 16)
PEAK(baseline_f64, "sse2", double, 16)
#if defined(__x86_64__)
PEAK(avx2_f32, "avx2,fma", float, 32)
PEAK(avx2_f64, "avx2,fma", double, 32)
PEAK(avx512_f32, "avx512f", float, 64)
PEAK(avx512_f64, "avx512f", double, 64)
#endif

int main(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    printf("avx512 float32 %.1f\navx512 float64 %.1f\n", avx512_f32(), avx512_f64());
  if (__builtin_cpu_supports("fma"))
    printf("avx2 float32 %.1f\navx2 float64 %.1f\n", avx2_f32(), avx2_f64());
#elif defined(__aarch64__)
  printf("neon float32 %.1f\nneon float64 %.1f\n", baseline_f32(), baseline_f64());
#endif
  printf("baseline float32 %.1f\nbaseline float64 %.1f\n", baseline_f32(), baseline_f64());
  return 0;
}
