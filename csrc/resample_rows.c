/* Planes resampled in three steps of which each is planned once for all of them: what a row of y is the sum of, how a
 * vector of its elements is put together of the row of sums, and how many rows a unit has: of some small planes, or of
 * a piece of a large one. */
#include "resample_rows.h"

enum {
  PIECE = 16384, /* elements of a unit's results */
  CALL = 8192    /* bytes of a kernel's call, which writes them a column of vectors after the other */
};

struct plan {
  const struct fcv_resampling *maps;
  const struct fcv_kernels *kernels;
  const char *x;
  char *y;
  int64_t planes, plane_rows, plane_in; /* planes; rows of y and elements of x of one */
  int64_t unit_planes, unit_rows, pieces;
  int64_t call_rows, sum_pitch, reach; /* of x, from a row on, elements that are read */
  int copies;                          /* each row of y is made of one of x */
  int64_t *begin, *offset;             /* rows of unit_planes planes as fcv_row_sums has them */
  double *weight;
  int64_t *sum_offset;
  struct fcv_row_map map;
  char *sums;
};

/* The number of outputs of group g, and the first of them. */
static int64_t group_outputs(const struct fcv_axis_map *axis, int vl, int64_t g, int64_t *first) {
  *first = fcv_max(0, fcv_min(g * vl, axis->out - vl));
  return fcv_min(vl, axis->out);
}

/* Where the taps of number t of some outputs lie: elements *low .. *high, and whether some output has no such tap.
 * Returns whether one has. */
static int span_of(const struct fcv_axis_map *axis, int64_t first, int64_t count, int64_t t, int64_t *low,
                   int64_t *high, int *partial) {
  *low = INT64_MAX, *high = -1;
  for (int64_t o = first; o < first + count; o++) {
    const int64_t tap = axis->begin[o] + t;
    if (tap < axis->begin[o + 1]) {
      *low = fcv_min(*low, axis->index[tap]);
      *high = fcv_max(*high, axis->index[tap]);
    } else {
      *partial = 1;
    }
  }
  return *high >= 0;
}

/* Taps, windows and partial of the group of outputs from first on; windows are 3 where there are more than 2. */
static struct fcv_row_group measure(const struct fcv_axis_map *axis, int vl, int64_t first, int64_t count) {
  struct fcv_row_group group = {.first = first, .windows = 1};
  int64_t low, high;
  for (int partial = 0; span_of(axis, first, count, group.taps, &low, &high, &partial); group.taps++) {
    group.partial |= partial;
    group.windows = fcv_max(group.windows, fcv_min(3, fcv_ceil_div(high - low + 1, vl)));
  }
  if (group.taps == 0)
    group.taps = group.partial = 1;
  return group;
}

int fcv_resample_rows_suits(const struct fcv_resampling *maps) {
  const struct fcv_axis_map *axis = maps->axis, *last = &axis[2];
  if (maps->layout != FCV_CHANNELS_FIRST || !last->begin)
    return 0;
  for (int i = 0; i < FCV_AXES; i++)
    if (axis[i].begin && axis[i].images != 1)
      return 0;
  const int vl = fcv_kernels(maps->dtype)->vl;
  for (int64_t g = 0; g < fcv_ceil_div(last->out, vl); g++) {
    int64_t first;
    const int64_t count = group_outputs(last, vl, g, &first);
    if (measure(last, vl, first, count).windows > 2)
      return 0;
  }
  return 1;
}

static void set_lane(const struct plan *p, void *lanes, int64_t lane, int64_t value) {
  if (p->kernels->size == sizeof(int32_t))
    ((int32_t *)lanes)[lane] = (int32_t)value;
  else
    ((int64_t *)lanes)[lane] = value;
}

static void set_weight(const struct plan *p, void *lanes, int64_t lane, double value) {
  if (p->maps->dtype == FCV_F32)
    ((float *)lanes)[lane] = (float)value;
  else
    ((double *)lanes)[lane] = value;
}

static double weight_of(const struct plan *p, const struct fcv_axis_map *axis, int64_t tap) {
  if (!axis->begin)
    return 1;
  return p->maps->dtype == FCV_F32 ? ((const float *)axis->weight)[tap] : ((const double *)axis->weight)[tap];
}

static void plan_groups(struct plan *p, struct fcv_row_group *groups, int64_t *base, void *index, void *weight) {
  const struct fcv_axis_map *axis = &p->maps->axis[2];
  const int vl = p->kernels->vl;
  int64_t tap = 0;
  p->reach = 0;
  for (int64_t g = 0; g < p->map.groups; g++) {
    int64_t first, low, high;
    const int64_t count = group_outputs(axis, vl, g, &first);
    groups[g] = measure(axis, vl, first, count);
    groups[g].tap = tap;
    p->reach = fcv_max(p->reach, groups[g].windows * vl);
    for (int64_t t = 0; t < groups[g].taps; t++, tap++) {
      int partial;
      span_of(axis, first, count, t, &low, &high, &partial);
      base[tap] = fcv_max(0, fcv_min(low, axis->in - groups[g].windows * vl));
      for (int64_t l = 0; l < vl; l++) {
        const int64_t from = l < count ? axis->begin[first + l] + t : 0;
        const int is = l < count && from < axis->begin[first + l + 1];
        set_lane(p, index, tap * vl + l, is ? axis->index[from] - base[tap] : groups[g].partial ? -1 : 0);
        set_weight(p, weight, tap * vl + l, is ? weight_of(p, axis, from) : t > 0 ? -0.0 : 0.0);
      }
    }
  }
  p->map.group = groups;
  p->map.base = base;
  p->map.index = index;
  p->map.weight = weight;
}

static int64_t all_taps(const struct fcv_axis_map *axis) { return axis->begin ? axis->taps : axis->out; }
static int64_t first_tap(const struct fcv_axis_map *axis, int64_t o) { return axis->begin ? axis->begin[o] : o; }
static int64_t tap_index(const struct fcv_axis_map *axis, int64_t tap) { return axis->begin ? axis->index[tap] : tap; }

static void plan_rows(struct plan *p) {
  const struct fcv_axis_map *axis = p->maps->axis;
  int64_t row = 0, tap = 0;
  p->copies = 1;
  for (int64_t plane = 0; plane < p->unit_planes; plane++)
    for (int64_t a = 0; a < axis[0].out; a++)
      for (int64_t b = 0; b < axis[1].out; b++) {
        p->begin[row++] = tap;
        for (int64_t i = first_tap(&axis[0], a); i < first_tap(&axis[0], a + 1); i++)
          for (int64_t j = first_tap(&axis[1], b); j < first_tap(&axis[1], b + 1); j++) {
            p->offset[tap] =
                plane * p->plane_in + (tap_index(&axis[0], i) * axis[1].in + tap_index(&axis[1], j)) * axis[2].in;
            p->weight[tap++] = weight_of(p, &axis[0], i) * weight_of(p, &axis[1], j);
          }
        p->copies &= tap - p->begin[row - 1] == 1 && p->weight[tap - 1] == 1;
      }
  p->begin[row] = tap;
  for (int64_t r = 0; r < p->call_rows; r++) p->sum_offset[r] = r * p->sum_pitch;
}

static void resample_unit(const void *context, int64_t unit, int thread) {
  const struct plan *p = context;
  const struct fcv_kernels *kernels = p->kernels;
  const int64_t plane = unit / p->pieces * p->unit_planes, planes = fcv_min(p->unit_planes, p->planes - plane);
  const int64_t first = unit % p->pieces * p->unit_rows, last = fcv_min(first + p->unit_rows, planes * p->plane_rows);
  const int64_t behind = (p->planes - plane - planes) * p->plane_in; /* elements of x */
  const char *x = p->x + plane * p->plane_in * kernels->size;
  char *y = p->y + (plane * p->plane_rows + first) * p->map.out * kernels->size;
  const int direct = p->copies && (p->maps->axis[2].in >= p->reach || behind >= p->reach);
  struct fcv_row_sums sums = {.count = p->maps->axis[2].in,
                              .offset = p->offset,
                              .weight = p->weight,
                              .exact = behind < kernels->vl,
                              .x = x,
                              .y = p->sums + thread * p->call_rows * p->sum_pitch * kernels->size,
                              .y_pitch = p->sum_pitch};
  for (int64_t r = first; r < last; r += sums.rows, y += sums.rows * p->map.out * kernels->size) {
    sums.rows = fcv_min(p->call_rows, last - r);
    sums.begin = p->begin + r;
    if (!direct)
      kernels->row_sums(&sums);
    kernels->map_rows(&p->map, sums.rows, direct ? x : sums.y, direct ? p->offset + r : p->sum_offset, y);
  }
}

static int64_t most_taps(const struct fcv_axis_map *axis) {
  int64_t most = 1;
  for (int64_t o = 0; axis->begin && o < axis->out; o++) most = fcv_max(most, axis->begin[o + 1] - axis->begin[o]);
  return most;
}

fcv_status fcv_resample_rows(const struct fcv_resampling *maps, const void *x, void *y) {
  const struct fcv_axis_map *axis = maps->axis;
  struct plan p = {.maps = maps, .kernels = fcv_kernels(maps->dtype), .x = x, .y = y};
  const int64_t size = p.kernels->size, vl = p.kernels->vl, word = sizeof(int64_t);
  p.planes = maps->n * maps->c;
  p.plane_rows = axis[0].out * axis[1].out;
  p.plane_in = axis[0].in * axis[1].in * axis[2].in;
  p.map.out = axis[2].out;
  p.map.groups = fcv_ceil_div(p.map.out, vl);
  p.unit_planes = fcv_max(1, fcv_min(p.planes, PIECE / (p.plane_rows * p.map.out)));
  p.unit_rows = p.unit_planes > 1 ? p.unit_planes * p.plane_rows : fcv_max(1, PIECE / p.map.out);
  p.pieces = p.unit_planes > 1 ? 1 : fcv_ceil_div(p.plane_rows, p.unit_rows);
  p.sum_pitch = fcv_round_up(fcv_max(axis[2].in, 2 * vl), 64 / size);
  p.call_rows = fcv_max(1, fcv_min(p.unit_rows, CALL / (fcv_max(p.sum_pitch, p.map.out) * size)));

  int64_t taps, lanes = p.map.groups * most_taps(&axis[2]);
  if (__builtin_mul_overflow(all_taps(&axis[0]), all_taps(&axis[1]), &taps) ||
      __builtin_mul_overflow(taps, p.unit_planes, &taps) || taps > INT64_MAX / 64)
    return FCV_INVALID;
  const double work = (double)taps / (double)p.unit_planes * (double)axis[2].in + (double)p.plane_rows * axis[2].taps;
  const int threads = fcv_threads_for(2.0 * (double)p.planes * work);

  int64_t bytes = 0;
  const int64_t groups = fcv_reserve(&bytes, p.map.groups * (int64_t)sizeof(struct fcv_row_group));
  const int64_t base = fcv_reserve(&bytes, lanes * word);
  const int64_t index = fcv_reserve(&bytes, lanes * vl * size), weight = fcv_reserve(&bytes, lanes * vl * size);
  const int64_t begin = fcv_reserve(&bytes, (p.unit_planes * p.plane_rows + 1) * word);
  const int64_t offset = fcv_reserve(&bytes, taps * word), row_weight = fcv_reserve(&bytes, taps * word);
  const int64_t sum_offset = fcv_reserve(&bytes, p.call_rows * word);
  const int64_t sums = fcv_reserve(&bytes, threads * p.call_rows * p.sum_pitch * size);
  char *memory = fcv_scratch_take((size_t)bytes);
  if (!memory)
    return FCV_NO_MEMORY;
  p.begin = (int64_t *)(memory + begin);
  p.offset = (int64_t *)(memory + offset);
  p.weight = (double *)(memory + row_weight);
  p.sum_offset = (int64_t *)(memory + sum_offset);
  p.sums = memory + sums;
  plan_groups(&p, (struct fcv_row_group *)(memory + groups), (int64_t *)(memory + base), memory + index,
              memory + weight);
  plan_rows(&p);
  fcv_parallel_for(fcv_ceil_div(p.planes, p.unit_planes) * p.pieces, threads, resample_unit, &p);
  fcv_scratch_give(memory);
  return FCV_OK;
}
