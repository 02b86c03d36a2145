/* Normalization and its gradients against their formulas. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 3 };

/* n, channels, pixels, groups (0: over the batch): vectors' widths and beyond, several pieces, enough for threads. */
static const int64_t shapes[][4] = {
    {3, 1, 1, 0},  {2, 5, 1, 0},    {7, 17, 1, 0},   {2, 3, 7, 0},     {1, 4, 16, 0},
    {3, 70, 9, 0}, {2, 2, 5001, 0}, {400, 65, 3, 0}, {2, 6, 1, 2},     {3, 66, 1, 1},
    {5, 2, 1, 2},  {2, 3000, 1, 1}, {300, 8, 1, 1},  {200, 600, 1, 3}, {2, 6, 9, 3},
    {2, 70, 5, 2}, {3, 8, 4, 1},    {2, 4, 5001, 2}, {40, 33, 60, 3},  {0, 3, 4, 0},
    {0, 4, 1, 2},  {2, 0, 3, 0},    {2, 3, 0, 0},    {40, 64, 16, 0},  {1, 2, 70000, 0},
};

struct arrays {
  double *x, *gy, *weight, *bias, *addend, *mean, *variance;
};

static int64_t position(const struct fcv_norm *norm, int64_t n, int64_t c, int64_t p) {
  return norm->layout == FCV_CHANNELS_LAST ? (n * norm->pixels + p) * norm->channels + c
                                           : (n * norm->channels + c) * norm->pixels + p;
}

/* One statistic: that of all images' channel (groups 0), or of one image's group. */
struct set {
  int64_t n0, n1, c0, c1;
};

static struct set set_of(const struct fcv_norm *norm, int64_t index) {
  if (norm->groups == 0)
    return (struct set){0, norm->n, index, index + 1};
  const int64_t n = index / norm->groups, width = norm->channels / norm->groups, c = index % norm->groups * width;
  return (struct set){n, n + 1, c, c + width};
}

#define FOR_EACH(norm, set, i, c)                                                                                      \
  for (int64_t n_ = (set).n0; n_ < (set).n1; n_++)                                                                     \
    for (int64_t c = (set).c0; c < (set).c1; c++)                                                                      \
      for (int64_t p_ = 0, i = 0; p_ < (norm)->pixels && ((i = position(norm, n_, c, p_)), 1); p_++)

/* Whether the backward pass has a ReLU behind it. */
static int masked(const struct fcv_norm *norm, const struct arrays *a) { return norm->rectified && !a->addend; }

static void naive(const struct fcv_norm *norm, const struct arrays *a, double *y, double *gx, double *gw, double *gb,
                  double *mean_found, double *variance_found) {
  const int64_t sets = norm->groups ? norm->n * norm->groups : norm->channels;
  for (int64_t index = 0; index < sets; index++) {
    const struct set set = set_of(norm, index);
    double count = 0, mean = 0, variance = 0, g = 0, gd = 0;
    FOR_EACH(norm, set, i, c) count++, mean += a->x[i];
    mean /= count;
    FOR_EACH(norm, set, i, c) variance += (a->x[i] - mean) * (a->x[i] - mean) / count;
    if (norm->statistics == FCV_CONSTANT)
      mean = a->mean[index], variance = a->variance[index];
    else if (norm->groups == 0)
      mean_found[index] = mean, variance_found[index] = variance;
    const double scale = 1 / sqrt(variance + norm->epsilon);
    FOR_EACH(norm, set, i, c) {
      const double hat = (a->x[i] - mean) * scale, line = hat * a->weight[c] + a->bias[c];
      const double total = line + (a->addend ? a->addend[i] : 0);
      y[i] = norm->rectified && total < 0 ? 0 : total;
      if (masked(norm, a) && fabs(line) < 1e-4) /* rounding may move it across */
        a->gy[i] = 0;
      const double gy = masked(norm, a) && line < 0 ? 0 : a->gy[i];
      gw[c] += gy * hat, gb[c] += gy;
      g += gy * a->weight[c], gd += gy * a->weight[c] * hat;
    }
    FOR_EACH(norm, set, i, c) {
      const double hat = (a->x[i] - mean) * scale, line = hat * a->weight[c] + a->bias[c];
      const double gy = masked(norm, a) && line < 0 ? 0 : a->gy[i];
      gx[i] = scale * (gy * a->weight[c] - (norm->statistics == FCV_CONSTANT ? 0 : g / count + hat * gd / count));
    }
  }
}

static double largest(int64_t count, const double *values) {
  double most = 1;
  for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(values[i]));
  return most;
}

static void expect(const char *what, fcv_dtype dtype, int64_t count, const void *data, const double *want,
                   double factor) {
  double *bound = allocated((size_t)count * sizeof(double));
  const double size = largest(count, want);
  for (int64_t i = 0; i < count; i++) bound[i] = factor * epsilon(dtype) * size;
  expect_near(what, dtype, count, data, NULL, want, bound);
  free(bound);
}

/* norm: of the backward pass, but for what is added. */
static void check(const struct fcv_norm *norm, int added) {
  const int64_t channels = norm->channels, count = norm->n * channels * norm->pixels;
  struct arrays a = {random_values(count),
                     random_values(count),
                     random_values(channels),
                     random_values(channels),
                     added ? random_values(count) : NULL,
                     random_values(channels),
                     random_values(channels)};
  for (int64_t i = 0; i < count; i++) a.x[i] = (float)(3 + a.x[i]);
  for (int64_t c = 0; c < channels; c++) a.variance[c] = 1 + fabs(a.variance[c]);
  double *y_want = allocated((size_t)count * sizeof(double)), *gx_want = allocated((size_t)count * sizeof(double));
  double *want[4];
  for (int k = 0; k < 4; k++) want[k] = allocated((size_t)channels * sizeof(double));
  naive(norm, &a, y_want, gx_want, want[0], want[1], want[2], want[3]);
  const fcv_dtype dtype = norm->dtype;
  const void *x = array_of(dtype, count, a.x), *gy = array_of(dtype, count, a.gy);
  const void *weight = array_of(dtype, channels, a.weight), *bias = array_of(dtype, channels, a.bias);
  const void *addend = added ? array_of(dtype, count, a.addend) : NULL;
  struct fcv_norm forward = *norm, backward = *norm;
  if (norm->statistics == FCV_KNOWN)
    forward.statistics = FCV_FOUND;
  if (added)
    backward.rectified = 0;
  void *first[4] = {NULL};
  for (int threads = 1; threads <= THREADS; threads++) {
    fcv_set_threads(threads);
    double *mean = array_for(FCV_F64, channels), *variance = array_for(FCV_F64, channels);
    memcpy(mean, a.mean, (size_t)channels * sizeof(double));
    memcpy(variance, a.variance, (size_t)channels * sizeof(double));
    void *result[4] = {array_for(dtype, count), array_for(dtype, count), array_for(dtype, channels),
                       array_for(dtype, channels)};
    EXPECT_OK(fcv_norm_forward(&forward, x, weight, bias, addend, norm->groups ? NULL : mean,
                               norm->groups ? NULL : variance, result[0]));
    if (norm->groups == 0 && norm->statistics != FCV_CONSTANT && norm->n * norm->pixels > 0) {
      expect("mean", FCV_F64, channels, mean, want[2], dtype == FCV_F32 ? 0x1p30 : 16);
      expect("variance", FCV_F64, channels, variance, want[3], dtype == FCV_F32 ? 0x1p33 : 64);
    }
    EXPECT_OK(fcv_norm_backward(&backward, x, gy, weight, bias, mean, variance, result[1], result[2], result[3]));
    expect("y", dtype, count, result[0], y_want, 64);
    expect("gx", dtype, count, result[1], gx_want, 256);
    expect("gw", dtype, channels, result[2], want[0], 512);
    expect("gb", dtype, channels, result[3], want[1], 512);
    for (int k = 0; k < 4; k++) {
      const size_t bytes = (size_t)(k < 2 ? count : channels) * element_size(dtype);
      if (first[k] != NULL && memcmp(first[k], result[k], bytes) != 0)
        fail("%d threads change bits of result %d", threads, k);
      first[k] = result[k];
    }
  }
  free(a.x), free(a.gy), free(a.weight), free(a.bias), free(a.addend), free(a.mean), free(a.variance), free(y_want),
      free(gx_want);
  for (int k = 0; k < 4; k++) free(want[k]);
}

static void check_refusals(void) {
  double one[1] = {1};
  const struct {
    struct fcv_norm norm;
    int forward, backward, added;
  } cases[] = {
      {{.n = -1, .channels = 1, .pixels = 1}, 1, 1, 0},
      {{.n = 1, .channels = 3, .pixels = 1, .groups = 2}, 1, 1, 0},
      {{.n = 1, .channels = 2, .pixels = 1, .groups = 2, .statistics = FCV_CONSTANT}, 1, 1, 0},
      {{.n = 1, .channels = 2, .pixels = 1, .groups = 2, .statistics = FCV_KNOWN}, 1, 1, 0},
      {{.n = 1, .channels = 2, .pixels = 1, .groups = 2, .rectified = 1}, 1, 1, 0},
      {{.n = 1, .channels = 2, .pixels = 1, .groups = 2}, 1, 0, 1},
      {{.n = 1, .channels = 1, .pixels = 1, .statistics = FCV_KNOWN}, 1, 0, 0},
      {{.n = 1, .channels = 1, .pixels = 1, .rectified = 1}, 0, 1, 0},
      {{.n = 1, .channels = 1, .pixels = 1, .rectified = 1, .statistics = FCV_CONSTANT}, 0, 1, 0},
      {{.n = INT64_MAX / 2, .channels = 2, .pixels = 2}, 1, 1, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    case_begin("refusal %zu", i);
    if (cases[i].forward)
      EXPECT(FCV_INVALID,
             fcv_norm_forward(&cases[i].norm, one, NULL, NULL, cases[i].added ? one : NULL, one, one, one));
    if (cases[i].backward)
      EXPECT(FCV_INVALID, fcv_norm_backward(&cases[i].norm, one, one, NULL, NULL, one, one, one, one, one));
  }
}

static const struct {
  fcv_statistics statistics; /* of the backward pass */
  int rectified, added;
  const char *name;
} modes[] = {{FCV_FOUND, 0, 0, "found"},
             {FCV_CONSTANT, 0, 0, "constant"},
             {FCV_KNOWN, 0, 0, "known"},
             {FCV_KNOWN, 1, 0, "known, rectified"},
             {FCV_KNOWN, 0, 1, "known, added"},
             {FCV_KNOWN, 1, 1, "known, added, rectified"},
             {FCV_CONSTANT, 1, 1, "constant, added, rectified"}};

static void run(void) {
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++)
      for (int variant = 0; variant < 4; variant++) {
        const struct fcv_norm norm = {.n = shapes[s][0],
                                      .channels = shapes[s][1],
                                      .pixels = shapes[s][2],
                                      .groups = shapes[s][3],
                                      .dtype = variant & 1 ? FCV_F64 : FCV_F32,
                                      .layout = variant & 2 ? FCV_CHANNELS_LAST : FCV_CHANNELS_FIRST,
                                      .epsilon = 0.125,
                                      .statistics = modes[m].statistics,
                                      .rectified = modes[m].rectified};
        if (m > 0 && norm.groups)
          continue;
        case_begin("f%d, %s, n %lld, channels %lld, pixels %lld, groups %lld, %s", variant & 1 ? 64 : 32,
                   variant & 2 ? "last" : "first", (long long)norm.n, (long long)norm.channels, (long long)norm.pixels,
                   (long long)norm.groups, modes[m].name);
        check(&norm, modes[m].added);
        arrays_free();
      }
  check_refusals();
}

int main(void) { return run_tests("normalize", run); }
