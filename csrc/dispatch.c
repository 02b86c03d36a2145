/* Which instruction sets are built in, which of them this CPU has, and which one is in use. */
#include "internal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static int has_baseline(void) { return 1; }

#if defined(__x86_64__)
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#ifdef FCV_LOWERED /* a test build: the compiler makes instructions of AVX2 of 64-byte vectors */
static int has_avx512(void) { return has_avx2(); }
#else
static int has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif
#endif

/* Best first. */
static const struct {
  const char *name;
  int (*available)(void);
  const struct fcv_kernels *kernels[2]; /* [fcv_dtype] */
} isas[] = {
#if defined(__x86_64__)
    {"avx512", has_avx512, {&fcv_f32_avx512, &fcv_f64_avx512}},
    {"avx2", has_avx2, {&fcv_f32_avx2, &fcv_f64_avx2}},
#elif defined(__aarch64__)
    {"neon", has_baseline, {&fcv_f32_neon, &fcv_f64_neon}},
#endif
    {"baseline", has_baseline, {&fcv_f32_baseline, &fcv_f64_baseline}},
};
enum { ISAS = sizeof isas / sizeof *isas };

static int in_use = -1;

static int current(void) {
  if (in_use < 0)
    for (in_use = 0; !isas[in_use].available();) in_use++;
  return in_use;
}

const struct fcv_kernels *fcv_kernels(fcv_dtype dtype) { return isas[current()].kernels[dtype]; }

fcv_status fcv_select_isa(const char *name) {
  for (int i = 0; i < ISAS; i++)
    if (isas[i].available() && (!name || !strcmp(name, isas[i].name))) {
      in_use = i;
      return FCV_OK;
    }
  return FCV_NO_ISA;
}

/* AMD's family 19h with AVX-512, Zen 4; 1Ah, Zen 5, has whole units, at least in servers. */
int fcv_multiplies_in_halves(void) {
#if defined(__x86_64__)
  return __builtin_cpu_is("amdfam19h") && !strcmp(fcv_isa(), "avx512");
#else
  return 0;
#endif
}

int64_t fcv_l2_bytes(void) {
  static atomic_llong known;
  int64_t bytes = atomic_load(&known);
#ifdef _SC_LEVEL2_CACHE_SIZE
  if (bytes == 0)
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
  if (bytes <= 0)
    bytes = 512 << 10;
  atomic_store(&known, bytes);
  return bytes;
}

const char *fcv_isa(void) { return isas[current()].name; }

const char *fcv_isa_name(int index) { return index >= 0 && index < ISAS ? isas[index].name : NULL; }

int fcv_isa_available(int index) { return fcv_isa_name(index) && isas[index].available(); }

int fcv_kernel_id(int index, char *id, size_t size) {
  for (int dtype = 0; dtype < 2; dtype++) {
    const struct fcv_kernels *k = fcv_kernels((fcv_dtype)dtype);
    for (int v = k->nv; v > 0; v--, index -= 2) {
      if (index == 0)
        return snprintf(id, size, "%s-igemm-%dx%d-%s", k->dtype, k->mr, v * k->vl, k->isa);
      if (index == 1)
        return snprintf(id, size, "%s-wgrad-%dx%d-%s", k->dtype, k->mi, v * k->vl, k->isa);
    }
    for (int v = k->wide_nv; v > k->nv; v--, index--)
      if (index == 0)
        return snprintf(id, size, "%s-igemm-%dx%d-%s", k->dtype, k->wide, v * k->vl, k->isa);
    static const char *const vector_kernels[] = {"depthwise", "transpose", "sum", "pool", "activation", "softmax"};
    for (int i = 0; i < 6; i++, index--)
      if (index == 0)
        return snprintf(id, size, "%s-%s-%d-%s", k->dtype, vector_kernels[i], k->vl, k->isa);
  }
  return 0;
}
