/* Resampling: a sparse linear map along each axis. Resizing, padding with what is at the borders and shifting are such
 * maps, and with the maps transposed so are their gradients: each element of the result gathers what it needs, so that
 * no two threads write the same one. A row of results is combined from rows of x, in vectors along the row, and then
 * mapped along it. */
#include "resample_rows.h"

enum {
  PIECE = 16384, /* elements of a unit's results: several KiB, in L1 and L2 */
  COPY = 16      /* neighbours that are worth a run of their own */
};

/* Outputs first .. first + count - 1 of axis 2, which have as many taps each, or are a copy of neighbours in x. */
struct run {
  int64_t first, count, taps;
  int copy;
};

struct resampling {
  const struct fcv_resampling *maps;
  const struct fcv_kernels *kernels;
  int64_t planes, channels; /* of an image; elements that lie together: one of them is 1 */
  int64_t rows, unit_rows;  /* of y */
  int64_t row_taps;         /* rows of x that a row of y is combined of, at most */
  const int64_t *image_runs;
  const struct run *runs; /* of image i: image_runs[i] .. image_runs[i + 1] - 1 */
  const char *x;
  char *y, *thread_memory;
  int64_t sum_bytes, thread_bytes;
};

/* A thread's memory: the sum of some rows of x, and those rows with their weights. */
struct memory {
  char *sum;
  const void **x;
  double *weight;
};

static struct memory carve_memory(const struct resampling *r, int thread) {
  struct memory m;
  m.sum = r->thread_memory + thread * r->thread_bytes;
  m.x = (const void **)(m.sum + r->sum_bytes);
  m.weight = (double *)(m.x + r->row_taps);
  return m;
}

/* Where the taps of an output begin; those of the next output begin at their end. */
static const int64_t *taps_of(const struct fcv_axis_map *axis, int64_t image, int64_t output) {
  return axis->begin + (axis->images > 1 ? image : 0) * axis->out + output;
}

static double weight_of(const struct resampling *r, const struct fcv_axis_map *axis, int64_t tap) {
  return r->maps->dtype == FCV_F32 ? ((const float *)axis->weight)[tap] : ((const double *)axis->weight)[tap];
}

/* The taps of one output on axis 0 or 1 as (element, weight); an axis without a map has one. */
struct line {
  const struct fcv_axis_map *axis;
  int64_t first, last;
};

static struct line line_of(const struct fcv_axis_map *axis, int64_t image, int64_t output) {
  if (!axis->begin)
    return (struct line){.axis = axis, .first = output, .last = output + 1};
  const int64_t *begin = taps_of(axis, image, output);
  return (struct line){.axis = axis, .first = begin[0], .last = begin[1]};
}

static int64_t element_at(const struct line *line, int64_t tap) {
  return line->axis->begin ? line->axis->index[tap] : tap;
}

static double weight_at(const struct resampling *r, const struct line *line, int64_t tap) {
  return line->axis->begin ? weight_of(r, line->axis, tap) : 1.0;
}

static void output_row(const struct resampling *r, int64_t row, struct memory m) {
  const struct fcv_axis_map *axis = r->maps->axis;
  const int64_t plane = row / (axis[0].out * axis[1].out), image = plane / r->planes;
  const int64_t pixel = r->channels * r->kernels->size;
  const struct line slices = line_of(&axis[0], image, row / axis[1].out % axis[0].out);
  const struct line lines = line_of(&axis[1], image, row % axis[1].out);
  const char *x = r->x + plane * axis[0].in * axis[1].in * axis[2].in * pixel;
  char *y = r->y + row * axis[2].out * pixel;
  int64_t rows = 0;
  for (int64_t i = slices.first; i < slices.last; i++)
    for (int64_t j = lines.first; j < lines.last; j++) {
      m.x[rows] = x + (element_at(&slices, i) * axis[1].in + element_at(&lines, j)) * axis[2].in * pixel;
      m.weight[rows++] = weight_at(r, &slices, i) * weight_at(r, &lines, j);
    }
  if (rows == 0) {
    memset(y, 0, (size_t)(axis[2].out * pixel));
    return;
  }

  const int one = rows == 1 && m.weight[0] == 1; /* which is read where it lies */
  if (!axis[2].begin) {
    if (one)
      memcpy(y, m.x[0], (size_t)(axis[2].out * pixel));
    else
      r->kernels->weighted_sum(rows, axis[2].in * r->channels, m.x, m.weight, y);
    return;
  }
  if (!one)
    r->kernels->weighted_sum(rows, axis[2].in * r->channels, m.x, m.weight, m.sum);
  const int64_t map = axis[2].images > 1 ? image : 0, *begin = taps_of(&axis[2], image, 0);
  for (int64_t i = r->image_runs[map]; i < r->image_runs[map + 1]; i++) {
    const struct run *run = &r->runs[i];
    const int64_t tap = begin[run->first], *index = axis[2].index + tap;
    const char *weight = (const char *)axis[2].weight + tap * r->kernels->size, *from = one ? m.x[0] : m.sum;
    char *to = y + run->first * pixel;
    if (run->copy)
      memcpy(to, from + index[0] * pixel, (size_t)(run->count * pixel));
    else if (run->taps > 0)
      r->kernels->gather(run->count, run->taps, r->channels, index, weight, from, to);
    else
      memset(to, 0, (size_t)(run->count * pixel));
  }
}

static void output_rows(const void *context, int64_t unit, int thread) {
  const struct resampling *r = context;
  const struct memory m = carve_memory(r, thread);
  const int64_t end = fcv_min(r->rows, (unit + 1) * r->unit_rows);
  for (int64_t row = unit * r->unit_rows; row < end; row++) output_row(r, row, m);
}

/* Most taps of one output. */
static int64_t most_taps(const struct fcv_axis_map *axis) {
  int64_t most = 1;
  for (int64_t i = 0; axis->begin && i < axis->images * axis->out; i++)
    most = fcv_max(most, axis->begin[i + 1] - axis->begin[i]);
  return most;
}

/* How many outputs from the first one on are copies of neighbours. */
static int64_t copies(const struct resampling *r, const struct fcv_axis_map *axis, const int64_t *begin,
                      int64_t first) {
  int64_t o = first;
  while (o < axis->out && begin[o + 1] - begin[o] == 1 && weight_of(r, axis, begin[o]) == 1 &&
         axis->index[begin[o]] == axis->index[begin[first]] + o - first)
    o++;
  return o - first;
}

static void find_runs(const struct resampling *r, const struct fcv_axis_map *axis, int64_t *image_runs,
                      struct run *runs) {
  int64_t count = 0;
  for (int64_t image = 0; image < axis->images; image++) {
    const int64_t *begin = axis->begin + image * axis->out;
    image_runs[image] = count;
    for (int64_t o = 0; o < axis->out;) {
      const int64_t taps = begin[o + 1] - begin[o], copied = copies(r, axis, begin, o);
      if (copied >= COPY) {
        runs[count++] = (struct run){.first = o, .count = copied, .taps = 1, .copy = 1};
        o += copied;
        continue;
      }
      if (o > 0 && runs[count - 1].taps == taps && !runs[count - 1].copy)
        runs[count - 1].count++;
      else
        runs[count++] = (struct run){.first = o, .count = 1, .taps = taps};
      o++;
    }
  }
  image_runs[axis->images] = count;
}

/* What is read through a map lies in x and in the map's arrays. */
static fcv_status check_map(const struct fcv_axis_map *axis, int64_t n) {
  if (!axis->begin)
    return axis->in == axis->out ? FCV_OK : FCV_INVALID;
  if (axis->images != 1 && axis->images != n)
    return FCV_INVALID;
  const int64_t rows = axis->images * axis->out;
  if (axis->begin[0] != 0 || axis->begin[rows] != axis->taps)
    return FCV_INVALID;
  for (int64_t i = 0; i < rows; i++)
    if (axis->begin[i] > axis->begin[i + 1])
      return FCV_INVALID;
  for (int64_t i = 0; i < axis->taps; i++)
    if (axis->index[i] < 0 || axis->index[i] >= axis->in)
      return FCV_INVALID;
  return FCV_OK;
}

/* Whether the bytes of an array of these sizes, zeros aside, stay within a quarter of int64_t. */
static int fits(int64_t bytes, const int64_t *sizes, int count) {
  for (int i = 0; i < count; i++)
    if (sizes[i] < 0 || __builtin_mul_overflow(bytes, fcv_max(1, sizes[i]), &bytes))
      return 0;
  return bytes <= INT64_MAX / 4;
}

static fcv_status check(const struct fcv_resampling *maps, int64_t size) {
  const struct fcv_axis_map *axis = maps->axis;
  const int64_t in[] = {maps->n, maps->c, axis[0].in, axis[1].in, axis[2].in};
  const int64_t out[] = {maps->n, maps->c, axis[0].out, axis[1].out, axis[2].out};
  if (!fits(size, in, 5) || !fits(size, out, 5))
    return FCV_INVALID;
  for (int i = 0; i < FCV_AXES; i++) FCV_TRY(check_map(&axis[i], maps->n));
  return FCV_OK;
}

/* The threads' memory and the runs in one block of scratch, then all rows of results. */
static fcv_status run(struct resampling *r) {
  const struct fcv_axis_map *axis = r->maps->axis;
  const int64_t size = r->kernels->size, row = axis[2].out * r->channels;
  const int64_t maps = axis[2].begin ? axis[2].images : 0;
  if (__builtin_mul_overflow(most_taps(&axis[0]), most_taps(&axis[1]), &r->row_taps) || r->row_taps > INT64_MAX / 4096)
    return FCV_INVALID;
  const int threads = fcv_threads_for(2.0 * (double)(r->rows * row) * (double)(r->row_taps + most_taps(&axis[2])));
  r->unit_rows = fcv_max(1, PIECE / row);
  r->sum_bytes = fcv_round_up(axis[2].in * r->channels * size, 64);
  r->thread_bytes = fcv_round_up(r->sum_bytes + r->row_taps * (int64_t)(sizeof(void *) + sizeof(double)), 64);

  int64_t bytes = 0;
  const int64_t thread_memory = fcv_reserve(&bytes, threads * r->thread_bytes);
  const int64_t image_runs = fcv_reserve(&bytes, (maps + 1) * (int64_t)sizeof(int64_t));
  const int64_t runs = fcv_reserve(&bytes, maps * axis[2].out * (int64_t)sizeof(struct run));
  char *memory = fcv_scratch_take((size_t)bytes);
  if (!memory)
    return FCV_NO_MEMORY;
  r->thread_memory = memory + thread_memory;
  if (axis[2].begin)
    find_runs(r, &axis[2], (int64_t *)(memory + image_runs), (struct run *)(memory + runs));
  r->image_runs = (const int64_t *)(memory + image_runs);
  r->runs = (const struct run *)(memory + runs);
  fcv_parallel_for(fcv_ceil_div(r->rows, r->unit_rows), threads, output_rows, r);
  fcv_scratch_give(memory);
  return FCV_OK;
}

fcv_status fcv_resample(const struct fcv_resampling *maps, const void *x, void *y) {
  const int last = maps->layout == FCV_CHANNELS_LAST;
  struct resampling r = {.maps = maps, .kernels = fcv_kernels(maps->dtype), .x = x, .y = y};
  FCV_TRY(check(maps, r.kernels->size));
  r.planes = last ? 1 : maps->c;
  r.channels = last ? maps->c : 1;
  r.rows = maps->n * r.planes * maps->axis[0].out * maps->axis[1].out;
  if (r.rows * maps->axis[2].out * r.channels == 0)
    return FCV_OK;
  return fcv_resample_rows_suits(maps) ? fcv_resample_rows(maps, x, y) : run(&r);
}
