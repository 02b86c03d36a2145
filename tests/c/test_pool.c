/* Max and average pooling, adaptive or not, max unpooling, and their gradients against their definitions. */
#include "check.h"
#include "geometries.h"
#include "naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM_CASES = 60, ADAPTIVE_CASES = 24, THREADS = 3 };

/* The arrays of one case, in the layout of the case. */
struct arrays {
  fcv_dtype dtype;
  int64_t x_count, y_count, *x_order, *y_order; /* order: layout to channels last */
};

static void *stored(const struct arrays *a, int64_t count, const int64_t *order, const double *values) {
  double *permuted = allocated((size_t)count * sizeof(double));
  for (int64_t i = 0; i < count; i++) permuted[i] = values[order[i]];
  void *array = array_of(a->dtype, count, permuted);
  free(permuted);
  return array;
}

static bool same_bits(const struct arrays *a, int64_t count, const void *p, const void *q) {
  return memcmp(p, q, (size_t)count * element_size(a->dtype)) == 0;
}

/* As many as a sum may have. */
static double terms(const struct fcv_pool *pool) {
  const struct fcv_geometry *g = &pool->geometry;
  return (double)(pool->adaptive ? volume(g->in) + volume(g->out) : volume(g->kernel));
}

/* Few different values, so that windows have ties; some windows with NaN or infinities. */
static double *tied_values(int64_t count) {
  static const double special[] = {NAN, INFINITY, -INFINITY, -0.0};
  double *values = allocated((size_t)count * sizeof(double));
  for (int64_t i = 0; i < count; i++)
    values[i] = random_below(16) == 0 ? special[random_below(4)] : (double)(random_below(5) - 2);
  return values;
}

static void check_max(const struct fcv_pool *pool, const struct arrays *a, const double *gy_values) {
  const struct fcv_geometry *g = &pool->geometry;
  double *x_values = tied_values(a->x_count), *want = allocated((size_t)a->y_count * sizeof(double));
  int64_t *want_index = allocated((size_t)a->y_count * sizeof(int64_t));
  naive_max_pool(pool, x_values, want, want_index);

  double *want_gx = allocated((size_t)a->x_count * sizeof(double)),
         *bound = allocated((size_t)a->x_count * sizeof(double));
  double *exact = allocated((size_t)a->y_count * sizeof(double));
  for (int64_t i = 0; i < a->y_count; i++) {
    if (want_index[i] < 0)
      continue;
    const int64_t n = i / (volume(g->out) * g->ci);
    const int64_t k = (n * volume(g->in) + want_index[i]) * g->ci + i % g->ci;
    want_gx[k] += gy_values[i];
    bound[k] += fabs(gy_values[i]) * epsilon(a->dtype) * terms(pool);
  }

  const void *x = stored(a, a->x_count, a->x_order, x_values), *gy = stored(a, a->y_count, a->y_order, gy_values);
  for (int threads = 1; threads <= THREADS; threads++) {
    fcv_set_threads(threads);
    if (array_placement == AT_START)
      fcv_scratch_trim();
    void *y = array_for(a->dtype, a->y_count), *y_alone = array_for(a->dtype, a->y_count);
    int64_t *index = array_new((size_t)a->y_count * sizeof(int64_t));
    memset(index, 0x5A, (size_t)a->y_count * sizeof(int64_t));
    void *gx = array_for(a->dtype, a->x_count), *gx_searched = array_for(a->dtype, a->x_count);
    EXPECT_OK(fcv_max_pool_forward(pool, x, y, index));
    EXPECT_OK(fcv_max_pool_forward(pool, x, y_alone, NULL));
    array_protect(index);
    EXPECT_OK(fcv_max_pool_backward(pool, x, gy, index, gx));
    EXPECT_OK(fcv_max_pool_backward(pool, x, gy, NULL, gx_searched));
    for (int64_t i = 0; i < a->y_count; i++)
      if (index[i] != want_index[a->y_order[i]])
        fail("%d threads: indices[%lld] is %lld instead of %lld", threads, (long long)i, (long long)index[i],
             (long long)want_index[a->y_order[i]]);
    expect_near("y", a->dtype, a->y_count, y, a->y_order, want, exact);
    expect_near("y without indices", a->dtype, a->y_count, y_alone, a->y_order, want, exact);
    expect_near("gx", a->dtype, a->x_count, gx, a->x_order, want_gx, bound);
    expect_near("gx without indices", a->dtype, a->x_count, gx_searched, a->x_order, want_gx, bound);
  }
  free(x_values), free(want), free(want_index), free(want_gx), free(bound), free(exact);
}

static void check_average(const struct fcv_pool *pool, const struct arrays *a, double *x_values, double *gy_values) {
  const double eps = epsilon(a->dtype) * (terms(pool) + 3);
  double *want = allocated((size_t)a->y_count * sizeof(double)),
         *bound = allocated((size_t)a->y_count * sizeof(double));
  double *want_gx = allocated((size_t)a->x_count * sizeof(double)),
         *bound_gx = allocated((size_t)a->x_count * sizeof(double));
  naive_avg_pool(false, pool, x_values, want, bound);
  naive_avg_pool(true, pool, want_gx, gy_values, bound_gx);
  for (int64_t i = 0; i < a->y_count; i++) bound[i] *= eps;
  for (int64_t i = 0; i < a->x_count; i++) bound_gx[i] *= eps;

  const void *x = stored(a, a->x_count, a->x_order, x_values), *gy = stored(a, a->y_count, a->y_order, gy_values);
  void *first_y = NULL, *first_gx = NULL;
  for (int threads = 1; threads <= THREADS; threads++) {
    fcv_set_threads(threads);
    if (array_placement == AT_START)
      fcv_scratch_trim();
    void *y = array_for(a->dtype, a->y_count), *gx = array_for(a->dtype, a->x_count);
    EXPECT_OK(fcv_avg_pool_forward(pool, x, y));
    EXPECT_OK(fcv_avg_pool_backward(pool, gy, gx));
    expect_near("y", a->dtype, a->y_count, y, a->y_order, want, bound);
    expect_near("gx", a->dtype, a->x_count, gx, a->x_order, want_gx, bound_gx);
    if (first_y != NULL && !(same_bits(a, a->y_count, first_y, y) && same_bits(a, a->x_count, first_gx, gx)))
      fail("%d threads change bits", threads);
    first_y = y, first_gx = gx;
  }
  free(want), free(bound), free(want_gx), free(bound_gx);
}

static void check_unpool(const struct fcv_pool *pool, const struct arrays *a, double *gx_values, double *y_values) {
  const struct fcv_geometry *g = &pool->geometry;
  double *want = allocated((size_t)a->x_count * sizeof(double)),
         *want_gy = allocated((size_t)a->y_count * sizeof(double));
  double *exact = allocated((size_t)(a->x_count + a->y_count) * sizeof(double));
  int64_t *index_values = allocated((size_t)a->y_count * sizeof(int64_t));
  for (int64_t i = 0; i < a->y_count; i++) index_values[i] = random_below(volume(g->in));
  naive_unpool(false, g, index_values, want, y_values);
  naive_unpool(true, g, index_values, gx_values, want_gy);

  const void *gx = stored(a, a->x_count, a->x_order, gx_values), *y = stored(a, a->y_count, a->y_order, y_values);
  int64_t *index = array_new((size_t)a->y_count * sizeof(int64_t));
  for (int64_t i = 0; i < a->y_count; i++) index[i] = index_values[a->y_order[i]];
  for (int threads = 1; threads <= THREADS; threads++) {
    fcv_set_threads(threads);
    void *x = array_for(a->dtype, a->x_count), *gy = array_for(a->dtype, a->y_count);
    EXPECT_OK(fcv_max_unpool_forward(pool, y, index, x));
    EXPECT_OK(fcv_max_unpool_backward(pool, gx, index, gy));
    expect_near("unpooled", a->dtype, a->x_count, x, a->x_order, want, exact);
    expect_near("gradient of unpooling", a->dtype, a->y_count, gy, a->y_order, want_gy, exact);
    /* Whoever follows one of these leaves the arrays. */
    const int64_t outside[] = {volume(g->in), -2, INT64_MIN, INT64_MAX, INT64_MAX / 8 + 1, -1};
    for (size_t k = 0; k < sizeof outside / sizeof *outside && a->y_count > 0; k++) {
      const int64_t place = random_below(a->y_count), valid = index[place];
      index[place] = outside[k];
      EXPECT(FCV_INVALID, fcv_max_unpool_forward(pool, y, index, x));
      EXPECT(FCV_INVALID, fcv_max_unpool_backward(pool, gx, index, gy));
      if (outside[k] != -1)
        EXPECT(FCV_INVALID, fcv_max_pool_backward(pool, NULL, y, index, x));
      index[place] = valid;
    }
  }
  free(want), free(want_gy), free(exact), free(index_values);
}

/* Average pooling has no dilation, and no window without elements. */
static bool is_average(const struct fcv_geometry *g) {
  for (int axis = 0; axis < FCV_AXES; axis++)
    if (g->dilation[axis] > 1 || 2 * g->pad_lo[axis] > g->kernel[axis] || 2 * g->pad_hi[axis] > g->kernel[axis])
      return false;
  return true;
}

static void run_geometry(const struct fcv_geometry *g, bool adaptive) {
  double *x_values = random_values(x_count(g)), *gy_values = random_values(y_count(g));
  for (int combination = 0; combination < 4; combination++) {
    struct fcv_pool pool = {.geometry = *g,
                            .dtype = combination & 1 ? FCV_F64 : FCV_F32,
                            .layout = combination & 2 ? FCV_CHANNELS_LAST : FCV_CHANNELS_FIRST,
                            .adaptive = adaptive};
    struct arrays a = {.dtype = pool.dtype,
                       .x_count = x_count(g),
                       .y_count = y_count(g),
                       .x_order = pixel_order(pool.layout, g->n, g->in, g->ci),
                       .y_order = pixel_order(pool.layout, g->n, g->out, g->ci)};
    const char *layout = pool.layout ? "last" : "first";
    const char *kind = adaptive ? "adaptive " : "";
    case_begin("%smax pool %s, f%d, channels %s", kind, describe(g), pool.dtype ? 64 : 32, layout);
    check_max(&pool, &a, gy_values);
    arrays_free();
    case_begin("unpool %s, f%d, channels %s", describe(g), pool.dtype ? 64 : 32, layout);
    check_unpool(&pool, &a, x_values, gy_values);
    arrays_free();
    for (int divisor = 0; divisor < 3 && (adaptive || is_average(g)); divisor++) {
      pool.count_include_pad = divisor == 1;
      pool.divisor_override = divisor == 2 ? 7 : 0;
      case_begin("%saverage pool %s, f%d, channels %s, count_include_pad %d, divisor_override %d", kind, describe(g),
                 pool.dtype ? 64 : 32, layout, pool.count_include_pad, (int)pool.divisor_override);
      check_average(&pool, &a, x_values, gy_values);
      arrays_free();
    }
    free(a.x_order), free(a.y_order);
  }
  free(x_values), free(gy_values);
}

static void run_sliding(const struct fcv_geometry *g) { run_geometry(g, false); }
static void run_adaptive(const struct fcv_geometry *g) { run_geometry(g, true); }

static void run(void) {
  for_pool_geometries(RANDOM_CASES, run_sliding);
  for_adaptive_geometries(ADAPTIVE_CASES, run_adaptive);
}

int main(void) { return run_tests("pool", run); }
