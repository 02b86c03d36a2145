/* Every allocation of every operation fails once: the operation says so, and the next call works.
 *
 * Linked with --wrap for the allocators below, so that csrc/ needs no hook. */
#include "check.h"
#include "geometries.h"
#include "naive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM_CASES = 12, MOST_ALLOCATIONS = 64 };

static int until_failure = -1; /* allocations that still succeed; negative: all do */
static int64_t failures;

static bool fails(void) {
  if (until_failure < 0)
    return false;
  if (until_failure-- > 0)
    return false;
  until_failure = -1;
  failures++;
  errno = ENOMEM;
  return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
int __real_posix_memalign(void **memory, size_t align, size_t size);
void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }
void *__wrap_realloc(void *old, size_t size) { return fails() ? NULL : __real_realloc(old, size); }
int __wrap_posix_memalign(void **memory, size_t align, size_t size) {
  return fails() ? ENOMEM : __real_posix_memalign(memory, align, size);
}

struct operands {
  struct fcv_conv conv;
  struct fcv_pool pool;
  void *x, *w, *packed, *y, *gx, *gw, *gb;
  int64_t *index;
};

typedef fcv_status operation(struct operands *o);
static fcv_status forward(struct operands *o) { return fcv_conv_forward(&o->conv, o->x, o->w, NULL, o->y); }
static fcv_status grad_input(struct operands *o) { return fcv_conv_grad_input(&o->conv, o->y, o->w, NULL, o->gx); }
static fcv_status grad_weight(struct operands *o) { return fcv_conv_grad_weight(&o->conv, o->x, o->y, o->gw); }
static fcv_status pack(struct operands *o) { return fcv_pack(&o->conv, o->w, NULL, o->packed); }
static fcv_status grad_bias(struct operands *o) { return fcv_conv_grad_bias(&o->conv, o->y, o->gb); }
static fcv_status max_pool(struct operands *o) { return fcv_max_pool_forward(&o->pool, o->x, o->y, o->index); }
static fcv_status max_pool_grad(struct operands *o) {
  return fcv_max_pool_backward(&o->pool, o->x, o->y, o->index, o->gx);
}
static fcv_status avg_pool(struct operands *o) { return fcv_avg_pool_forward(&o->pool, o->x, o->y); }
static fcv_status avg_pool_grad(struct operands *o) { return fcv_avg_pool_backward(&o->pool, o->y, o->gx); }
static fcv_status resample(struct operands *o) {
  const struct fcv_geometry *g = &o->pool.geometry;
  struct fcv_resampling maps = {.n = g->n, .c = g->ci, .layout = o->pool.layout};
  for (int i = 0; i < FCV_AXES; i++) maps.axis[i] = (struct fcv_axis_map){.in = g->in[i], .out = g->in[i]};
  return fcv_resample(&maps, o->x, o->gx);
}

enum { OPERATIONS = 5 };
static operation *const convolutions[OPERATIONS] = {forward, grad_input, grad_weight, grad_bias, pack};
static operation *const pools[OPERATIONS] = {max_pool, max_pool_grad, avg_pool, avg_pool_grad, resample};

static void run_operation(operation *op, struct operands *o) {
  for (int n = 0;; n++) {
    fcv_scratch_trim();
    until_failure = n;
    const fcv_status status = op(o);
    const bool failed = until_failure < 0;
    until_failure = -1;
    if (status != (failed ? FCV_NO_MEMORY : FCV_OK))
      fail("status %d when allocation %d %s", (int)status, n + 1, failed ? "fails" : "is not made");
    if (!failed)
      return;
    if (n > MOST_ALLOCATIONS)
      fail("more than %d allocations", MOST_ALLOCATIONS);
    EXPECT_OK(op(o));
  }
}

static void run_combination(const struct fcv_geometry *g, operation *const *operations, struct operands *o) {
  double *values = random_values(x_count(g) + w_count(g));
  o->x = array_of(FCV_F32, x_count(g), values), o->w = array_of(FCV_F32, w_count(g), values);
  free(values);
  o->y = array_for(FCV_F32, y_count(g)), o->gx = array_for(FCV_F32, x_count(g));
  o->gw = array_for(FCV_F32, w_count(g)), o->gb = array_for(FCV_F32, g->co);
  o->index = array_new((size_t)y_count(g) * sizeof(int64_t));
  int64_t packed = 0;
  if (operations == convolutions)
    EXPECT_OK(fcv_packed_bytes(&o->conv, &packed));
  o->packed = array_new((size_t)packed);
  for (int i = 0; i < OPERATIONS && operations[i] != NULL; i++) run_operation(operations[i], o);
  arrays_free();
}

static void run_geometry(const struct fcv_geometry *g, operation *const *operations, const char *name) {
  for (int combination = 0; combination < 4; combination++) {
    const fcv_layout layout = combination & 1 ? FCV_CHANNELS_LAST : FCV_CHANNELS_FIRST;
    struct operands o = {.conv = {.geometry = *g, .layout = layout, .weight_layout = layout},
                         .pool = {.geometry = *g, .layout = layout, .count_include_pad = 1}};
    fcv_set_threads(combination & 2 ? 2 : 1);
    for (fcv_algorithm algorithm = FCV_DIRECT; algorithm < FCV_ALGORITHMS; algorithm++) {
      if (operations == convolutions ? !runs_with(g, algorithm) : algorithm != FCV_DIRECT)
        continue;
      o.conv.algorithm = algorithm;
      case_begin("%s with failing allocations, %s, channels %s, algorithm %d", name, describe(g),
                 layout ? "last" : "first", (int)algorithm);
      run_combination(g, operations, &o);
    }
  }
}

static void run_conv(const struct fcv_geometry *g) { run_geometry(g, convolutions, "convolution"); }
static void run_pool(const struct fcv_geometry *g) { run_geometry(g, pools, "pooling"); }

static void run(void) {
  for_conv_geometries(RANDOM_CASES, run_conv);
  for_pool_geometries(RANDOM_CASES, run_pool);
  if (failures == 0)
    fail("no allocation failed: csrc/ uses an allocator that is not wrapped");
}

int main(void) { return run_tests("memory", run); }
