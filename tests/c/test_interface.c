/* Instruction sets, refused geometries and algorithms, subnormal numbers, concurrent callers and forked children. */
#include "check.h"
#include "geometries.h"
#include "naive.h"

#include <float.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLERS = 4, ROUNDS = 8 };

/* 2x20x20x16 -> 24, 3x3: enough work for two threads. */
static const struct fcv_conv example = {.geometry = {.n = 2,
                                                     .ci = 16,
                                                     .co = 24,
                                                     .groups = 1,
                                                     .in = {1, 20, 20},
                                                     .out = {1, 20, 20},
                                                     .kernel = {1, 3, 3},
                                                     .stride = {1, 1, 1},
                                                     .dilation = {1, 1, 1},
                                                     .pad_lo = {0, 1, 1},
                                                     .pad_hi = {0, 1, 1}},
                                        .layout = FCV_CHANNELS_FIRST,
                                        .weight_layout = FCV_CHANNELS_FIRST,
                                        .algorithm = FCV_DIRECT};

static float *floats(int64_t count) {
  double *values = random_values(count);
  float *result = allocated((size_t)count * sizeof(float));
  for (int64_t i = 0; i < count; i++) result[i] = (float)values[i];
  free(values);
  return result;
}

static void check_isas(void) {
  case_begin("instruction sets");
  const char *used = fcv_isa();
  EXPECT(FCV_NO_ISA, fcv_select_isa("mmx"));
  EXPECT(FCV_NO_ISA, fcv_select_isa(""));
  if (strcmp(fcv_isa(), used) != 0)
    fail("a refused name changed the instruction set to %s", fcv_isa());
  if (fcv_isa_name(-1) != NULL || fcv_isa_name(100) != NULL)
    fail("a name beyond the last");
  if (fcv_isa_available(-1) || fcv_isa_available(100))
    fail("available beyond the last");
  char id[64];
  int kernels = 0;
  while (fcv_kernel_id(kernels, id, sizeof id)) {
    if (strstr(id, used) == NULL)
      fail("kernel %d is %s, not of %s", kernels, id, used);
    kernels++;
  }
  if (kernels < 4 || kernels > 200)
    fail("%d kernels", kernels);
  EXPECT_OK(fcv_select_isa(NULL));
  if (!fcv_isa_available(0) == !strcmp(fcv_isa(), fcv_isa_name(0)))
    fail("NULL selects %s", fcv_isa());
  EXPECT_OK(fcv_select_isa(used));
}

/* Each change of one field makes the example contradict itself, or leave int64_t. */
static const struct {
  size_t field;
  int64_t value;
} refused[] = {
#define FIELD(name) offsetof(struct fcv_geometry, name)
    {FIELD(n), -1},
    {FIELD(n), INT64_MAX / 2},
    {FIELD(ci), -16},
    {FIELD(ci), INT64_MAX},
    {FIELD(co), -16},
    {FIELD(co), INT64_MAX},
    {FIELD(groups), 0},
    {FIELD(groups), 3},
    {FIELD(groups), -1},
    {FIELD(in[1]), -1},
    {FIELD(in[1]), INT64_MAX / 2},

    {FIELD(kernel[1]), 0},
    {FIELD(kernel[1]), INT64_MAX / 2},
    {FIELD(stride[1]), 0},
    {FIELD(stride[2]), -1},
    {FIELD(dilation[1]), 0},
    {FIELD(dilation[2]), INT64_MAX / 2},
    {FIELD(pad_lo[1]), -1},
    {FIELD(pad_lo[1]), INT64_MAX / 2},
    {FIELD(pad_hi[2]), -1},
#undef FIELD
};

/* No array may be touched: each is NULL. */
static void check_refused(void) {
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    struct fcv_conv conv = example;
    struct fcv_pool pool = {.geometry = example.geometry, .layout = FCV_CHANNELS_LAST};
    pool.geometry.co = pool.geometry.groups = pool.geometry.ci;
    memcpy((char *)&conv.geometry + refused[i].field, &refused[i].value, sizeof refused[i].value);
    memcpy((char *)&pool.geometry + refused[i].field, &refused[i].value, sizeof refused[i].value);
    case_begin("refused convolution: %s", describe(&conv.geometry));
    EXPECT(FCV_INVALID, fcv_conv_forward(&conv, NULL, NULL, NULL, NULL));
    EXPECT(FCV_INVALID, fcv_conv_grad_input(&conv, NULL, NULL, NULL, NULL));
    EXPECT(FCV_INVALID, fcv_conv_grad_weight(&conv, NULL, NULL, NULL));
    EXPECT(FCV_INVALID, fcv_conv_grad_bias(&conv, NULL, NULL));
    int64_t packed;
    EXPECT(FCV_INVALID, fcv_packed_bytes(&conv, &packed));
    EXPECT(FCV_INVALID, fcv_pack(&conv, NULL, NULL, NULL));
    case_begin("refused pooling: %s", describe(&pool.geometry));
    EXPECT(FCV_INVALID, fcv_max_pool_forward(&pool, NULL, NULL, NULL));
    EXPECT(FCV_INVALID, fcv_max_pool_backward(&pool, NULL, NULL, NULL, NULL));
    EXPECT(FCV_INVALID, fcv_avg_pool_forward(&pool, NULL, NULL));
    EXPECT(FCV_INVALID, fcv_avg_pool_backward(&pool, NULL, NULL));
    EXPECT(FCV_INVALID, fcv_max_unpool_forward(&pool, NULL, NULL, NULL));
    EXPECT(FCV_INVALID, fcv_max_unpool_backward(&pool, NULL, NULL, NULL));
  }
}

/* Winograd's algorithm outside of its conditions, and numbers that are none of an algorithm. */
static void check_refused_algorithms(void) {
  static const struct {
    size_t field;
    int64_t value;
  } changes[] = {{offsetof(struct fcv_geometry, groups), 2},
                 {offsetof(struct fcv_geometry, kernel[1]), 5},
                 {offsetof(struct fcv_geometry, kernel[2]), 1},
                 {offsetof(struct fcv_geometry, stride[1]), 2},
                 {offsetof(struct fcv_geometry, dilation[2]), 2}};
  const fcv_algorithm numbers[] = {FCV_WINOGRAD, FCV_WINOGRAD_2X2, FCV_WINOGRAD_4X4, FCV_ALGORITHMS};
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
      struct fcv_conv conv = example;
      struct fcv_geometry *g = &conv.geometry;
      conv.algorithm = numbers[k];
      memcpy((char *)g + changes[i].field, &changes[i].value, sizeof changes[i].value);
      for (int axis = 1; axis < FCV_AXES; axis++)
        g->out[axis] = (g->in[axis] + 2 - g->dilation[axis] * (g->kernel[axis] - 1) - 1) / g->stride[axis] + 1;
      case_begin("refused algorithm %d: %s", (int)conv.algorithm, describe(g));
      fcv_algorithm chosen;
      int64_t packed;
      for (fcv_pass pass = FCV_FORWARD; pass < FCV_PASSES; pass++)
        EXPECT(FCV_INVALID, fcv_choose(&conv, pass, &chosen));
      EXPECT(FCV_INVALID, fcv_conv_forward(&conv, NULL, NULL, NULL, NULL));
      EXPECT(FCV_INVALID, fcv_conv_grad_input(&conv, NULL, NULL, NULL, NULL));
      EXPECT(FCV_INVALID, fcv_conv_grad_weight(&conv, NULL, NULL, NULL));
      EXPECT(FCV_INVALID, fcv_packed_bytes(&conv, &packed));
      EXPECT(FCV_INVALID, fcv_pack(&conv, NULL, NULL, NULL));
    }
}

/* Strict: an algorithm that rounds more than direct convolution is not chosen, but used where it is asked for. */
static void check_strict(void) {
  case_begin("strict choice");
  struct fcv_conv conv = example;
  conv.geometry.ci = conv.geometry.co = 64;
  for (int strict = 0; strict <= 1; strict++)
    for (conv.dtype = FCV_F32; conv.dtype <= FCV_F64; conv.dtype++)
      for (fcv_pass pass = FCV_FORWARD; pass < FCV_PASSES; pass++) {
        fcv_algorithm chosen;
        fcv_set_strict(strict);
        if (fcv_get_strict() != strict)
          fail("strict is %d after it was set to %d", fcv_get_strict(), strict);
        conv.algorithm = FCV_AUTO;
        EXPECT_OK(fcv_choose(&conv, pass, &chosen));
        const bool winograd = chosen == FCV_WINOGRAD_2X2 || chosen == FCV_WINOGRAD_4X4;
        if (chosen == FCV_AUTO || chosen == FCV_WINOGRAD || (winograd && (strict || conv.dtype == FCV_F64)))
          fail("pass %d, f%d, strict %d: %d is chosen", (int)pass, conv.dtype ? 64 : 32, strict, (int)chosen);
        conv.algorithm = FCV_WINOGRAD_4X4;
        EXPECT_OK(fcv_choose(&conv, pass, &chosen));
        if (chosen != FCV_WINOGRAD_4X4)
          fail("%d is chosen for %d", (int)chosen, (int)conv.algorithm);
      }
  fcv_set_strict(0);
}

/* Subnormal numbers are zero inside an operation, whatever the thread, and what they were for the caller. */
static void check_subnormals(void) {
  case_begin("subnormal weights");
  const struct fcv_geometry *g = &example.geometry;
  float *x = floats(x_count(g)), *w = allocated((size_t)w_count(g) * sizeof(float));
  float *y = allocated((size_t)y_count(g) * sizeof(float));
  for (int64_t i = 0; i < w_count(g); i++) w[i] = FLT_MIN / 4;
  for (int threads = 1; threads <= 2; threads++) {
    fcv_set_threads(threads);
    memset(y, 0xFF, (size_t)y_count(g) * sizeof(float));
    EXPECT_OK(fcv_conv_forward(&example, x, w, NULL, y));
    for (int64_t i = 0; i < y_count(g); i++)
      if (y[i] != 0)
        fail("y[%lld] is %g with %d threads", (long long)i, (double)y[i], threads);
    volatile float tiny = FLT_MIN;
    if (tiny / 4 == 0)
      fail("the caller's subnormal numbers are lost");
  }
  free(x), free(w), free(y);
}

struct caller {
  pthread_t thread;
  float *x, *w, *y, *want;
};

static void *call(void *argument) {
  struct caller *c = argument;
  for (int round = 0; round < ROUNDS; round++)
    if (fcv_conv_forward(&example, c->x, c->w, NULL, c->y) != FCV_OK)
      return "a status";
  return memcmp(c->y, c->want, (size_t)y_count(&example.geometry) * sizeof(float)) == 0 ? NULL : "other bits";
}

static void check_callers_and_forks(void) {
  const struct fcv_geometry *g = &example.geometry;
  struct caller callers[CALLERS];
  fcv_set_threads(2);
  for (int i = 0; i < CALLERS; i++) {
    struct caller *c = &callers[i];
    c->x = floats(x_count(g)), c->w = floats(w_count(g));
    c->y = allocated((size_t)y_count(g) * sizeof(float)), c->want = allocated((size_t)y_count(g) * sizeof(float));
    EXPECT_OK(fcv_conv_forward(&example, c->x, c->w, NULL, c->want));
  }

  case_begin("%d callers at once", CALLERS);
  for (int i = 0; i < CALLERS; i++)
    if (pthread_create(&callers[i].thread, NULL, call, &callers[i]) != 0)
      fail("no thread");
  for (int i = 0; i < CALLERS; i++) {
    void *trouble;
    pthread_join(callers[i].thread, &trouble);
    if (trouble != NULL)
      fail("caller %d got %s", i, (const char *)trouble);
  }

  case_begin("a forked child");
  const pid_t child = fork();
  if (child < 0)
    fail("fork failed");
  if (child == 0) {
    alarm(60); /* a child that waits for the parent's threads waits forever */
    if (fcv_get_threads() != 1)
      _exit(2);
    _exit(call(&callers[0]) == NULL ? 0 : 3);
  }
  int status;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status))
    fail("the child ended by signal %d", WTERMSIG(status));
  const int code = WEXITSTATUS(status);
  if (code != 0 && !(code == 2 && !fcv_has_openmp()))
    fail("the child returned %d", code);
  for (int i = 0; i < CALLERS; i++) free(callers[i].x), free(callers[i].w), free(callers[i].y), free(callers[i].want);
}

/* Memory of results: whole, aligned, one for each taker, and taken again within a quarter of its size. */
static void check_arrays(void) {
  enum { ARRAYS = 70 };
  unsigned char *array[ARRAYS];
  case_begin("memory of results");
  for (int i = 0; i < ARRAYS; i++) {
    const size_t bytes = (size_t)1 << (i % 23);
    array[i] = fcv_array_take(bytes);
    if (array[i] == NULL || (uintptr_t)array[i] % 64 != 0)
      fail("array of %zu bytes is at %p", bytes, (void *)array[i]);
    memset(array[i], i, bytes);
  }
  for (int i = 0; i < ARRAYS; i++) {
    const size_t bytes = (size_t)1 << (i % 23);
    if (array[i][0] != i || array[i][bytes - 1] != i)
      fail("array %d was written by another", i);
    fcv_array_give(array[i]);
  }
  void *large = fcv_array_take(1000);
  fcv_array_trim();
  fcv_array_give(large);
  void *small = fcv_array_take(700), *fitting = fcv_array_take(900);
  if (small == large || fitting != large)
    fail("1000 bytes were%s taken for 700 and %s for 900", small == large ? "" : " not", fitting == large ? "" : "not");
  fcv_array_give(small), fcv_array_give(fitting), fcv_array_give(NULL);
  if (fcv_array_take(SIZE_MAX) != NULL)
    fail("there are SIZE_MAX bytes");
  fcv_array_trim();
  if (fcv_array_bytes() != 0)
    fail("%zu bytes are kept after trimming", fcv_array_bytes());
}

static void run(void) {
  check_isas();
  check_refused();
  check_refused_algorithms();
  check_strict();
  check_subnormals();
  check_callers_and_forks();
  case_begin("thread counts");
  fcv_set_threads(0);
  if (fcv_get_threads() != 1)
    fail("0 threads become %d", fcv_get_threads());
  fcv_scratch_trim();
  if (fcv_scratch_bytes() != 0)
    fail("%zu bytes are kept after trimming", fcv_scratch_bytes());
  check_arrays();
}

int main(void) { return run_tests("interface", run); }
