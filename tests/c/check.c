#include "check.h"

#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_ARRAYS = 32, SLACK = 0xC3 };

placement array_placement;

static struct array {
  unsigned char *pages; /* guard page, inner pages, guard page */
  size_t inner_bytes, bytes;
  unsigned char *data;
} arrays[MAX_ARRAYS];
static int array_count;

static char current[512] = "before the first case";
static int64_t case_count;
static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE};
enum { FAULTS = sizeof faults / sizeof *faults };
static struct sigaction previous_faults[FAULTS];

void *array_new(size_t bytes) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  struct array *a = &arrays[array_count++];
  if (array_count > MAX_ARRAYS)
    fail("more than %d arrays", MAX_ARRAYS);
  a->bytes = bytes;
  a->inner_bytes = (bytes + page - 1) / page * page;
  a->pages = mmap(NULL, a->inner_bytes + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (a->pages == MAP_FAILED)
    fail("mmap of %zu bytes failed", bytes);
  unsigned char *inner = a->pages + page;
  if (a->inner_bytes > 0 && mprotect(inner, a->inner_bytes, PROT_READ | PROT_WRITE) != 0)
    fail("mprotect failed");
  a->data = array_placement == AT_END ? inner + a->inner_bytes - bytes : inner;
  memset(inner, SLACK, a->inner_bytes);
  memset(a->data, 0xFF, bytes);
  return a->data;
}

static struct array *array_find(const void *data) {
  for (int i = 0; i < array_count; i++)
    if (arrays[i].data == data)
      return &arrays[i];
  fail("not an array");
}

void array_protect(const void *data) {
  struct array *a = array_find(data);
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  if (a->inner_bytes > 0 && mprotect(a->pages + page, a->inner_bytes, PROT_READ) != 0)
    fail("mprotect failed");
}

void arrays_free(void) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  for (int i = 0; i < array_count; i++) {
    struct array *a = &arrays[i];
    for (unsigned char *p = a->pages + page; p < a->pages + page + a->inner_bytes; p++)
      if ((p < a->data || p >= a->data + a->bytes) && *p != SLACK)
        fail("array %d of %zu bytes: byte %td was written", i, a->bytes, p - a->data);
    munmap(a->pages, a->inner_bytes + 2 * page);
  }
  array_count = 0;
}

size_t element_size(fcv_dtype dtype) { return dtype == FCV_F32 ? sizeof(float) : sizeof(double); }
double epsilon(fcv_dtype dtype) { return dtype == FCV_F32 ? FLT_EPSILON : DBL_EPSILON; }
double smallest(fcv_dtype dtype) { return dtype == FCV_F32 ? FLT_MIN : DBL_MIN; }

void *array_for(fcv_dtype dtype, int64_t count) { return array_new((size_t)count * element_size(dtype)); }

void *array_of(fcv_dtype dtype, int64_t count, const double *values) {
  void *data = array_for(dtype, count);
  for (int64_t i = 0; i < count; i++)
    if (dtype == FCV_F32)
      ((float *)data)[i] = (float)values[i];
    else
      ((double *)data)[i] = values[i];
  array_protect(data);
  return data;
}

double element(fcv_dtype dtype, const void *data, int64_t i) {
  return dtype == FCV_F32 ? ((const float *)data)[i] : ((const double *)data)[i];
}

static uint64_t random_state = 1;

void random_seed(uint64_t seed) { random_state = seed * 2 + 1; }

/* PCG-XSH-RR 64/32 (O'Neill 2014). */
static uint32_t random_bits(void) {
  uint64_t old = random_state;
  random_state = old * 6364136223846793005u + 1442695040888963407u;
  uint32_t mixed = (uint32_t)(((old >> 18) ^ old) >> 27), turn = (uint32_t)(old >> 59);
  return (mixed >> turn) | (mixed << (-turn & 31));
}

int64_t random_below(int64_t limit) { return random_bits() % limit; }

void *allocated(size_t bytes) {
  void *p = calloc(bytes + 1, 1);
  if (p == NULL)
    fail("calloc of %zu bytes failed", bytes);
  return p;
}

double *random_values(int64_t count) {
  double *values = allocated((size_t)count * sizeof(double));
  for (int64_t i = 0; i < count; i++) values[i] = (float)(random_bits() / 2147483648.0 - 1);
  return values;
}

void case_begin(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(current, sizeof current, format, args);
  va_end(args);
  case_count++;
}

static void print_case(void) {
  const char *parts[] = {"case: ", fcv_isa(), array_placement == AT_END ? ", guard behind, " : ", guard before, ",
                         current, "\n"};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0)
      return;
}

void fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "FAILED: ");
  vfprintf(stderr, format, args);
  fprintf(stderr, "\n");
  va_end(args);
  print_case();
  _exit(1);
}

/* Returns into the faulting instruction under the previous handler: the default one, or a sanitizer's. */
static void on_fault(int signal) {
  print_case();
  for (int i = 0; i < FAULTS; i++)
    if (faults[i] == signal)
      sigaction(signal, &previous_faults[i], NULL);
}

void expect_status(fcv_status status, fcv_status expected, const char *call) {
  if (status != expected)
    fail("%s returned %d instead of %d", call, (int)status, (int)expected);
}

void expect_near(const char *what, fcv_dtype dtype, int64_t count, const void *data, const int64_t *order,
                 const double *want, const double *bound) {
  for (int64_t i = 0; i < count; i++) {
    int64_t k = order == NULL ? i : order[i];
    double got = element(dtype, data, i);
    bool same = got == want[k] || (isnan(got) && isnan(want[k]));
    if (!same && !(fabs(got - want[k]) <= bound[k]))
      fail("%s[%lld] is %.17g instead of %.17g, off by %.3g where %.3g is allowed", what, (long long)i, got, want[k],
           fabs(got - want[k]), bound[k]);
  }
}

/* Defined where a sanitizer is linked in. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

int run_tests(const char *name, void (*run)(void)) {
  for (int i = 0; i < FAULTS; i++)
    sigaction(faults[i], &(struct sigaction){.sa_handler = on_fault}, &previous_faults[i]);
  if (__sanitizer_set_death_callback)
    __sanitizer_set_death_callback(print_case);
  for (int i = 0; fcv_isa_name(i) != NULL; i++) {
    if (!fcv_isa_available(i)) {
      printf("%s: this CPU has no %s\n", name, fcv_isa_name(i));
      continue;
    }
    EXPECT_OK(fcv_select_isa(fcv_isa_name(i)));
    int64_t before = case_count;
    for (array_placement = 0; array_placement < PLACEMENTS; array_placement++) {
      random_seed((uint64_t)(i * PLACEMENTS) + array_placement); /* other cases each time, the same in every run */
      run();
    }
    printf("%s: %lld cases passed with %s\n", name, (long long)(case_count - before), fcv_isa());
  }
  return 0;
}
