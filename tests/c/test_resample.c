/* Resampling by random sparse maps against sums over the whole arrays, and maps that must be refused. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM_CASES = 250, THREADS = 3, MOST_TAPS = 5 };

static const int64_t channel_counts[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 33};

/* A map as the operation takes it, and as a dense matrix [images][out][in]. */
struct map {
  int64_t *begin, *index;
  double *weight, *dense;
};

/* Up to MOST_TAPS taps an output, or copies of neighbours from start on. */
static int64_t draw_row(const struct fcv_axis_map *axis, int64_t output, int64_t start, int64_t *index,
                        double *weight) {
  if (start >= 0) {
    index[0] = start + output;
    weight[0] = 1;
    return index[0] < axis->in;
  }
  const int64_t taps = axis->in > 0 ? random_below(MOST_TAPS + 1) : 0;
  const double sign = random_below(2) ? -1 : 1; /* of all: taps of one element must not cancel */
  for (int64_t t = 0; t < taps; t++) {
    index[t] = random_below(axis->in);
    weight[t] = sign * (double)(random_below(8) + 1) / 8;
  }
  return taps;
}

/* Fills axis->taps and map. Of the maps of one kind all rows have as many taps: the runs of kernel calls are long.
 * Those of another gather from neighbours, as those of a resized image do. */
static void draw_map(struct fcv_axis_map *axis, struct map *map) {
  const int64_t rows = axis->images * axis->out, kind = random_below(5);
  map->begin = allocated((size_t)(rows + 1) * sizeof(int64_t));
  map->index = allocated((size_t)(rows * MOST_TAPS) * sizeof(int64_t));
  map->weight = allocated((size_t)(rows * MOST_TAPS) * sizeof(double));
  map->dense = allocated((size_t)(rows * axis->in) * sizeof(double));
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at = map->begin[row], start = kind == 0 ? random_below(2) : -1;
    int64_t taps = draw_row(axis, row % axis->out, start, map->index + at, map->weight + at);
    if (kind == 1 && axis->in > 0)
      for (taps = 0; taps < 2; taps++) map->index[at + taps] = random_below(axis->in), map->weight[at + taps] = 0.5;
    for (int64_t t = at; kind == 2 && t < at + taps; t++)
      map->index[t] = (row % axis->out * axis->in / axis->out + random_below(3)) % axis->in;
    for (int64_t t = at; t < at + taps; t++) map->dense[row * axis->in + map->index[t]] += map->weight[t];
    map->begin[row + 1] = at + taps;
  }
  axis->taps = map->begin[rows];
}

static const int64_t *integers(int64_t count, const int64_t *values) {
  int64_t *array = array_new((size_t)count * sizeof(int64_t));
  memcpy(array, values, (size_t)count * sizeof(int64_t));
  array_protect(array);
  return array;
}

static double entry(const struct fcv_axis_map *axis, const struct map *map, int64_t image, int64_t out, int64_t in) {
  if (!axis->begin)
    return in == out;
  return map->dense[((axis->images > 1 ? image : 0) * axis->out + out) * axis->in + in];
}

static int64_t place(const struct fcv_resampling *r, int outputs, int64_t image, int64_t channel, const int64_t *at) {
  int64_t i = r->layout == FCV_CHANNELS_LAST ? image : image * r->c + channel;
  for (int axis = 0; axis < FCV_AXES; axis++) i = i * (outputs ? r->axis[axis].out : r->axis[axis].in) + at[axis];
  return r->layout == FCV_CHANNELS_LAST ? i * r->c + channel : i;
}

/* y and, at the same places, the sum of absolute products. */
static void naive_resample(const struct fcv_resampling *r, const struct map *map, const double *x, double *y,
                           double *size) {
  const struct fcv_axis_map *a = r->axis;
  int64_t o[FCV_AXES], i[FCV_AXES];
  for (int64_t n = 0; n < r->n; n++)
    for (int64_t c = 0; c < r->c; c++)
      for (o[0] = 0; o[0] < a[0].out; o[0]++)
        for (o[1] = 0; o[1] < a[1].out; o[1]++)
          for (o[2] = 0; o[2] < a[2].out; o[2]++)
            for (i[0] = 0; i[0] < a[0].in; i[0]++)
              for (i[1] = 0; i[1] < a[1].in; i[1]++)
                for (i[2] = 0; i[2] < a[2].in; i[2]++) {
                  const double product = entry(&a[0], &map[0], n, o[0], i[0]) * entry(&a[1], &map[1], n, o[1], i[1]) *
                                         entry(&a[2], &map[2], n, o[2], i[2]) * x[place(r, 0, n, c, i)];
                  y[place(r, 1, n, c, o)] += product;
                  size[place(r, 1, n, c, o)] += fabs(product);
                }
}

static void check_case(struct fcv_resampling *r, const struct map *map) {
  int64_t x_count = r->n * r->c, y_count = r->n * r->c;
  for (int i = 0; i < FCV_AXES; i++) {
    struct fcv_axis_map *axis = &r->axis[i];
    x_count *= axis->in, y_count *= axis->out;
    if (axis->begin) {
      axis->begin = integers(axis->images * axis->out + 1, map[i].begin);
      axis->index = integers(axis->taps, map[i].index);
      axis->weight = array_of(r->dtype, axis->taps, map[i].weight);
    }
  }
  double *x_values = random_values(x_count), *want = allocated((size_t)y_count * sizeof(double));
  double *bound = allocated((size_t)y_count * sizeof(double));
  naive_resample(r, map, x_values, want, bound);
  for (int64_t i = 0; i < y_count; i++)
    bound[i] = bound[i] * epsilon(r->dtype) * 2 * MOST_TAPS * MOST_TAPS + smallest(r->dtype);
  const void *x = array_of(r->dtype, x_count, x_values);
  void *first = NULL;
  for (int threads = 1; threads <= THREADS; threads++) {
    fcv_set_threads(threads);
    if (array_placement == AT_START)
      fcv_scratch_trim();
    void *y = array_for(r->dtype, y_count);
    EXPECT_OK(fcv_resample(r, x, y));
    expect_near("y", r->dtype, y_count, y, NULL, want, bound);
    if (first != NULL && memcmp(first, y, (size_t)y_count * element_size(r->dtype)) != 0)
      fail("%d threads change bits", threads);
    first = y;
  }
  free(x_values), free(want), free(bound);
}

static void check_random(void) {
  for (int number = 0; number < RANDOM_CASES; number++) {
    struct fcv_resampling r = {.n = random_below(4),
                               .c = channel_counts[random_below(sizeof channel_counts / sizeof *channel_counts)],
                               .dtype = random_below(2) ? FCV_F64 : FCV_F32,
                               .layout = random_below(2) ? FCV_CHANNELS_LAST : FCV_CHANNELS_FIRST};
    struct map map[FCV_AXES] = {0};
    /* One axis is long: whole vectors of a row, and of copies. */
    const int64_t limits[] = {3, 5, number % 3 ? 7 : 60};
    const int shared = random_below(2); /* maps by all images */
    for (int i = 0; i < FCV_AXES; i++) {
      struct fcv_axis_map *axis = &r.axis[i];
      axis->in = axis->out = random_below(limits[i] + 1);
      axis->images = !shared && random_below(2) ? r.n : 1;
      if (random_below(4)) {
        axis->out = random_below(limits[i] + 1);
        draw_map(axis, &map[i]);
        axis->begin = map[i].begin;
      }
    }
    case_begin("resample %lld images, %lld channels %s, f%d: %lldx%lldx%lld -> %lldx%lldx%lld", (long long)r.n,
               (long long)r.c, r.layout ? "last" : "first", r.dtype ? 64 : 32, (long long)r.axis[0].in,
               (long long)r.axis[1].in, (long long)r.axis[2].in, (long long)r.axis[0].out, (long long)r.axis[1].out,
               (long long)r.axis[2].out);
    check_case(&r, map);
    for (int i = 0; i < FCV_AXES; i++) free(map[i].begin), free(map[i].index), free(map[i].weight), free(map[i].dense);
    arrays_free();
  }
}

/* 2 images of 1x4x4 by one map each along the last axis. */
static struct fcv_resampling small(const int64_t *begin, const int64_t *index, const float *weight) {
  return (struct fcv_resampling){
      .n = 2,
      .c = 1,
      .axis = {{.in = 1, .out = 1},
               {.in = 4, .out = 4},
               {.in = 4, .out = 2, .images = 2, .taps = 4, .begin = begin, .index = index, .weight = weight}}};
}

/* What would be read or written outside of an array. No array but those of a map may be touched: each is NULL. */
static void check_refused(void) {
  const int64_t begin[] = {0, 1, 2, 3, 4}, index[] = {0, 1, 2, 3};
  const float weight[] = {1, 1, 1, 1};
  const struct fcv_resampling good = small(begin, index, weight);
  const int64_t wrong_begin[][5] = {
      {1, 1, 2, 3, 4}, {0, 2, 1, 3, 4}, {0, 1, 2, 3, 3}, {0, 1, 2, 9, 4}, {0, -1, 2, 3, 4}};
  const int64_t wrong_index[][4] = {{0, 1, 2, 4}, {-1, 1, 2, 3}, {0, INT64_MAX, 2, 3}};
  for (size_t i = 0; i < sizeof wrong_begin / sizeof *wrong_begin; i++) {
    const struct fcv_resampling bad = small(wrong_begin[i], index, weight);
    case_begin("refused beginning of rows %d", (int)i);
    EXPECT(FCV_INVALID, fcv_resample(&bad, NULL, NULL));
  }
  for (size_t i = 0; i < sizeof wrong_index / sizeof *wrong_index; i++) {
    const struct fcv_resampling bad = small(begin, wrong_index[i], weight);
    case_begin("refused index %d", (int)i);
    EXPECT(FCV_INVALID, fcv_resample(&bad, NULL, NULL));
  }
  const struct {
    int64_t n, c, in, out, images;
  } sizes[] = {{-1, 1, 4, 4, 1}, {2, -1, 4, 4, 1},        {2, 1, -4, -4, 1},       {2, 1, 4, 3, 1},
               {2, 1, 4, 4, 3},  {INT64_MAX, 1, 4, 4, 1}, {2, INT64_MAX, 4, 4, 1}, {2, 1, INT64_MAX, INT64_MAX, 1}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    struct fcv_resampling bad = good;
    case_begin("refused sizes %d", (int)i);
    bad.n = sizes[i].n, bad.c = sizes[i].c;
    bad.axis[1].in = sizes[i].in, bad.axis[1].out = sizes[i].out;
    bad.axis[2].images = sizes[i].images == 1 ? 2 : sizes[i].images;
    EXPECT(FCV_INVALID, fcv_resample(&bad, NULL, NULL));
  }
}

static void run(void) {
  check_random();
  check_refused();
}

int main(void) { return run_tests("resample", run); }
