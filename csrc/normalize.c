/* Batch, group and layer normalization. The moments of pieces are combined in double precision, in their order, by the
 * formulas of Chan, Golub and LeVeque (1983): one pass over x in memory, two over each piece in cache.
 *
 * Channels first, a piece is a part of a plane; channels last, some rows of pixels, vectors along channels. What has
 * one pixel and statistics over channels is normalized row by row. */
#include "internal.h"

#include <math.h>

enum {
  ROW = 2048,   /* elements of a plane or row that kernels sum at a time */
  ROWS = 128,   /* rows of pixels */
  UNIT = 16384, /* elements of a unit of work, at least */
  TOTALS = 16,  /* channels whose totals are a unit */
  STRIP = 512,  /* channels whose gradients of weights are a unit, and */
  CHUNKS = 64,  /* into how many parts at most their images are cut: their sums need memory */
};

static const double WORK = 8; /* of an element, in multiply-adds: mostly its way from and to memory */

/* Of some elements: how many, their mean, the sum of (x - mean)^2, and the sums of gy and gy * (x - mean). */
struct moments {
  double count, mean, dd, g, gd;
};

/* Combines two sets: the sums about the mean of either move to the common mean. */
static void add(struct moments *t, const struct moments *p) {
  const double count = t->count + p->count, distance = p->mean - t->mean;
  if (t->count == 0) {
    *t = *p;
    return;
  }
  const double part = p->count / count, mean = t->mean + distance * part;
  t->dd += p->dd + distance * distance * t->count * part;
  t->gd += (t->mean - mean) * t->g + p->gd + (p->mean - mean) * p->g;
  t->g += p->g;
  t->mean = mean;
  t->count = count;
}

/* From a kernel's sums about its shift. */
static struct moments about_mean(double count, double shift, double d, double dd, double g, double gd) {
  const double correction = d / count, rest = dd - d * correction;
  return (struct moments){count, shift + correction, rest < 0 ? 0 : rest, g, gd - correction * g}; /* NaN stays */
}

/* Subtracts and multiplies. shift is the mean as T has it, and the offset takes what that leaves. */
struct statistic {
  double mean, scale; /* 1 / sqrt(variance + epsilon) */
};

struct norm {
  const struct fcv_norm *norm;
  const struct fcv_kernels *kernels;
  int last;
  int64_t n, pixels, columns; /* channels last: columns of a row, several pixels where channels are few */
  int64_t piece, pieces;      /* elements or rows of one, and how many an image's channel has */
  int64_t planes;             /* channels first: those of a unit */
  const char *x, *gy, *weight, *bias, *addend;
  char *y; /* or gx */
  void *gw, *gb;
  const double *mean, *variance;
  double *mean_found, *variance_found; /* or NULL */
  struct moments *part;                /* [n][channels][pieces] or [n][pieces][columns] */
  struct moments *total;               /* [n][channels] */
  struct statistic *statistic;
  char *constants; /* [n or 1][CONSTANTS][columns] */
};

enum { SHIFT, SCALE, OFFSET, GY_SCALE, MASK_SCALE, MASK_OFFSET, CONSTANTS };

static double number(const struct norm *s, const void *array, int64_t i, double otherwise) {
  if (!array)
    return otherwise;
  return s->norm->dtype == FCV_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

static void put(const struct norm *s, void *array, int64_t i, double value) {
  if (s->norm->dtype == FCV_F32)
    ((float *)array)[i] = (float)value;
  else
    ((double *)array)[i] = value;
}

static double rounded(const struct norm *s, double value) {
  return s->norm->dtype == FCV_F32 ? (double)(float)value : value;
}

static struct fcv_affine affine_at(const struct norm *s, int64_t image, int64_t column, int64_t element) {
  const int64_t size = s->kernels->size, row = s->columns * size;
  const char *constants = s->constants + (s->norm->groups ? image * CONSTANTS * row : 0) + column * size;
  /* Of constant statistics gx is gy times a number, whatever x is. */
  const int scaled = s->gy && s->norm->statistics == FCV_CONSTANT;
  return (struct fcv_affine){.rectified = s->norm->rectified,
                             .x = (scaled ? s->gy : s->x) + element * size,
                             .gy = s->gy ? s->gy + element * size : NULL,
                             .addend = s->addend ? s->addend + element * size : NULL,
                             .shift = constants + SHIFT * row,
                             .scale = constants + SCALE * row,
                             .offset = constants + OFFSET * row,
                             .gy_scale = constants + GY_SCALE * row,
                             .mask_scale = constants + MASK_SCALE * row,
                             .mask_offset = constants + MASK_OFFSET * row,
                             .y = s->y + element * size};
}

/* Channels first: some planes. */
static void sum_planes(const void *context, int64_t unit, int thread) {
  const struct norm *s = context;
  const int64_t size = s->kernels->size, end = fcv_min((unit + 1) * s->planes, s->n * s->norm->channels);
  (void)thread;
  for (int64_t plane = unit * s->planes; plane < end; plane++)
    for (int64_t piece = 0; piece < s->pieces; piece++) {
      const int64_t first = piece * s->piece, count = fcv_min(s->piece, s->pixels - first);
      const int64_t at = (plane * s->pixels + first) * size;
      struct moments *part = &s->part[plane * s->pieces + piece];
      double sums[FCV_MOMENTS];
      if (s->norm->statistics == FCV_KNOWN) {
        const int64_t c = plane % s->norm->channels;
        struct fcv_affine affine = affine_at(s, plane / s->norm->channels, c, plane * s->pixels + first);
        affine.columns = count;
        s->kernels->graded_plane(&affine, sums);
        *part = (struct moments){(double)count, number(s, affine.shift, 0, 0), 0, sums[FCV_G], sums[FCV_GD]};
        continue;
      }
      s->kernels->moments_row(count, s->x + at, s->gy ? s->gy + at : NULL, NULL, sums);
      *part = about_mean((double)count, sums[FCV_SHIFT], sums[FCV_D], sums[FCV_DD], sums[FCV_G], sums[FCV_GD]);
    }
}

/* Channels last: some rows of one image. */
static void sum_pixels(const void *context, int64_t unit, int thread) {
  const struct norm *s = context;
  const int64_t size = s->kernels->size, image = unit / s->pieces, first = unit % s->pieces * s->piece;
  const int64_t rows = fcv_min(s->piece, s->pixels - first), at = (image * s->pixels + first) * s->columns * size;
  _Alignas(64) char sums[FCV_MOMENTS * FCV_STRIP * sizeof(double)];
  (void)thread;
  for (int64_t j0 = 0; j0 < s->columns; j0 += FCV_STRIP) {
    const int64_t columns = fcv_min(FCV_STRIP, s->columns - j0);
    struct moments *part = s->part + unit * s->columns + j0;
#define SUM(k) number(s, sums, (k) * FCV_STRIP + j, 0)
    if (s->norm->statistics == FCV_KNOWN) {
      struct fcv_affine affine = affine_at(s, image, j0, (image * s->pixels + first) * s->columns + j0);
      affine.rows = rows, affine.columns = columns, affine.pitch = s->columns;
      s->kernels->graded_rows(&affine, sums);
      for (int64_t j = 0; j < columns; j++)
        part[j] = (struct moments){(double)rows, number(s, affine.shift, j, 0), 0, SUM(FCV_G), SUM(FCV_GD)};
      continue;
    }
    s->kernels->moments_columns(rows, columns, s->x + at + j0 * size, s->gy ? s->gy + at + j0 * size : NULL, s->columns,
                                sums);
    for (int64_t j = 0; j < columns; j++)
      part[j] = about_mean((double)rows, SUM(FCV_SHIFT), SUM(FCV_D), SUM(FCV_DD), SUM(FCV_G), SUM(FCV_GD));
#undef SUM
  }
}

/* The pieces of some channels of one image. */
static void add_pieces(const void *context, int64_t unit, int thread) {
  const struct norm *s = context;
  const int64_t channels = s->norm->channels, units = fcv_ceil_div(channels, TOTALS), image = unit / units;
  const int64_t begin = unit % units * TOTALS, end = fcv_min(begin + TOTALS, channels);
  struct moments *total = s->total + image * channels;
  (void)thread;
  for (int64_t c = begin; c < end; c++) total[c] = (struct moments){0};
  for (int64_t piece = 0; piece < s->pieces; piece++)
    for (int64_t c = begin; c < end; c++)
      if (!s->last)
        add(&total[c], &s->part[(image * channels + c) * s->pieces + piece]);
      else
        for (int64_t j = c; j < s->columns; j += channels)
          add(&total[c], &s->part[(image * s->pieces + piece) * s->columns + j]);
}

static struct statistic statistic_of(const struct norm *s, double mean, double variance) {
  return (struct statistic){mean, 1 / sqrt(variance + s->norm->epsilon)};
}

/* What the elements of channel c of an image, or of all, are multiplied with. Forward, or of what a ReLU follows: of
 * the place of zero. t: of their statistic, with weights; NULL before it is known. */
static void set_constants(const struct norm *s, int64_t image, int64_t c, struct statistic statistic,
                          const struct moments *t) {
  const double scale = statistic.scale, shift = rounded(s, statistic.mean), rest = statistic.mean - shift;
  const double forward = scale * number(s, s->weight, c, 1), offset = number(s, s->bias, c, 0) - rest * forward;
  double constant[CONSTANTS] = {[SHIFT] = shift, [MASK_SCALE] = forward, [MASK_OFFSET] = offset};
  if (!s->gy) {
    constant[SCALE] = forward;
    constant[OFFSET] = offset;
  } else if (s->norm->statistics == FCV_CONSTANT) {
    constant[SHIFT] = 0;
    constant[SCALE] = forward;
  } else if (t) {
    constant[GY_SCALE] = forward;
    constant[SCALE] = -scale * scale * scale * t->gd / t->count;
    constant[OFFSET] = -scale * t->g / t->count - rest * constant[SCALE];
  }
  char *to = s->constants + image * CONSTANTS * s->columns * s->kernels->size;
  for (int k = 0; k < CONSTANTS; k++)
    for (int64_t j = c; j < s->columns; j += s->norm->channels) put(s, to, k * s->columns + j, constant[k]);
}

/* Batch normalization: one channel. */
static void settle_channel(const struct norm *s, int64_t c) {
  struct moments t = {0};
  if (s->total)
    for (int64_t image = 0; image < s->n; image++) add(&t, &s->total[image * s->norm->channels + c]);
  double mean = t.mean, variance = t.dd / t.count;
  if (s->norm->statistics != FCV_FOUND) {
    mean = s->mean[c], variance = s->variance[c];
    t.gd += (t.mean - mean) * t.g;
  } else if (s->mean_found) {
    s->mean_found[c] = mean, s->variance_found[c] = variance;
  }
  const struct statistic statistic = statistic_of(s, mean, variance);
  if (s->gy) {
    put(s, s->gw, c, t.gd * statistic.scale);
    put(s, s->gb, c, t.g);
    const double weight = number(s, s->weight, c, 1);
    t.g *= weight, t.gd *= weight;
  }
  set_constants(s, 0, c, statistic, &t);
}

/* Group normalization: one group of one image. */
static void settle_group(const struct norm *s, int64_t group) {
  const int64_t channels = s->norm->channels, width = channels / s->norm->groups, image = group / s->norm->groups;
  const int64_t first = group % s->norm->groups * width;
  struct moments t = {0};
  for (int64_t c = first; c < first + width; c++) {
    struct moments p = s->total[image * channels + c];
    const double weight = number(s, s->weight, c, 1);
    p.g *= weight, p.gd *= weight;
    add(&t, &p);
  }
  s->statistic[group] = statistic_of(s, t.mean, t.dd / t.count);
  for (int64_t c = first; c < first + width; c++) set_constants(s, image, c, s->statistic[group], &t);
}

static void sum_group_weights(const struct norm *s) {
  const int64_t channels = s->norm->channels, groups = s->norm->groups;
  for (int64_t c = 0; c < channels; c++) {
    double gw = 0, gb = 0;
    for (int64_t image = 0; image < s->n; image++) {
      const struct moments *t = &s->total[image * channels + c];
      const struct statistic *statistic = &s->statistic[image * groups + c / (channels / groups)];
      gw += (t->gd + (t->mean - statistic->mean) * t->g) * statistic->scale;
      gb += t->g;
    }
    put(s, s->gw, c, gw);
    put(s, s->gb, c, gb);
  }
}

/* Whether the gradient of x has a part for each of the statistics. */
static int graded(const struct norm *s) { return s->gy && s->norm->statistics != FCV_CONSTANT; }

static void write_planes(const void *context, int64_t unit, int thread) {
  const struct norm *s = context;
  const int64_t channels = s->norm->channels, end = fcv_min((unit + 1) * s->planes, s->n * channels);
  (void)thread;
  for (int64_t plane = unit * s->planes; plane < end; plane++) {
    struct fcv_affine affine = affine_at(s, plane / channels, plane % channels, plane * s->pixels);
    affine.rows = 1, affine.columns = s->pixels;
    if (graded(s))
      s->kernels->affine_grad_plane(&affine);
    else
      s->kernels->affine_plane(&affine);
  }
}

static void write_pixels(const void *context, int64_t unit, int thread) {
  const struct norm *s = context;
  const int64_t image = unit / s->pieces, first = unit % s->pieces * s->piece;
  struct fcv_affine affine = affine_at(s, image, 0, (image * s->pixels + first) * s->columns);
  (void)thread;
  affine.rows = fcv_min(s->piece, s->pixels - first), affine.columns = s->columns;
  if (graded(s))
    s->kernels->affine_grad_rows(&affine);
  else
    s->kernels->affine_rows(&affine);
}

/* Sizes of pieces, from the shape alone: results must not depend on the number of threads. */
static void plan(struct norm *s) {
  const struct fcv_norm *norm = s->norm;
  s->n = norm->n, s->pixels = norm->pixels, s->columns = norm->channels, s->piece = ROW;
  s->last = norm->layout == FCV_CHANNELS_LAST || norm->pixels == 1;
  if (s->last) {
    if (norm->groups == 0)
      s->pixels *= s->n, s->n = 1;
    while (2 * s->columns <= FCV_STRIP && s->pixels % 2 == 0) s->columns *= 2, s->pixels /= 2;
    s->piece = ROWS;
  }
  s->pieces = fcv_ceil_div(s->pixels, s->piece);
  s->planes = fcv_max(1, UNIT / s->pixels);
}

static fcv_status run(struct norm *s) {
  const struct fcv_norm *norm = s->norm;
  plan(s);
  const int64_t channels = norm->channels, size = s->kernels->size, planes = s->n * channels;
  const int64_t width = s->last ? s->columns : channels;
  const int64_t sets = norm->groups ? s->n : 1, parts = s->n * s->pieces;
  const int sums = norm->statistics != FCV_CONSTANT || s->gy;
  int64_t bytes = 0;
  const int64_t part = fcv_reserve(&bytes, sums ? parts * width * (int64_t)sizeof(struct moments) : 0);
  const int64_t total = fcv_reserve(&bytes, sums ? planes * (int64_t)sizeof(struct moments) : 0);
  const int64_t statistic = fcv_reserve(&bytes, s->n * norm->groups * (int64_t)sizeof(struct statistic));
  const int64_t constants = fcv_reserve(&bytes, sets * CONSTANTS * s->columns * size);
  char *memory = fcv_scratch_take((size_t)bytes);
  if (!memory)
    return FCV_NO_MEMORY;
  s->part = (struct moments *)(memory + part);
  s->total = sums ? (struct moments *)(memory + total) : NULL;
  s->statistic = (struct statistic *)(memory + statistic);
  s->constants = memory + constants;
  const int threads = fcv_threads_for(WORK * (double)norm->n * (double)channels * (double)norm->pixels);
  const int64_t units = s->last ? parts : fcv_ceil_div(planes, s->planes);
  if (norm->statistics == FCV_KNOWN)
    for (int64_t c = 0; c < channels; c++) set_constants(s, 0, c, statistic_of(s, s->mean[c], s->variance[c]), NULL);
  if (sums) {
    fcv_parallel_for(units, threads, s->last ? sum_pixels : sum_planes, s);
    fcv_parallel_for(s->n * fcv_ceil_div(channels, TOTALS), threads, add_pieces, s);
  }
  if (norm->groups == 0)
    for (int64_t c = 0; c < channels; c++) settle_channel(s, c);
  else
    for (int64_t group = 0; group < s->n * norm->groups; group++) settle_group(s, group);
  if (norm->groups > 0 && s->gy)
    sum_group_weights(s);
  fcv_parallel_for(units, threads, s->last ? write_pixels : write_planes, s);
  fcv_scratch_give(memory);
  return FCV_OK;
}

/* Row by row: statistics over neighbouring channels of one pixel. Gradients of weights are sums over the rows: of some
 * rows and columns at a time, in T over few rows and in double over these. */
struct rows {
  struct norm s;
  int64_t rows, columns;
  struct fcv_line *line; /* [rows]: (x - mean) * scale, for the gradients of weights */
  int64_t chunk;         /* images of a unit of those */
  double *sums;          /* [chunks][gw, gb][channels] */
};

static struct moments row_moments(const struct rows *r, int64_t at, const char *weight) {
  const struct norm *s = &r->s;
  const int64_t size = s->kernels->size;
  struct moments t = {0};
  for (int64_t first = 0; first < r->columns; first += ROW) {
    const int64_t count = fcv_min(ROW, r->columns - first);
    double sums[FCV_MOMENTS];
    s->kernels->moments_row(count, s->x + at + first * size, s->gy ? s->gy + at + first * size : NULL,
                            weight ? weight + first * size : NULL, sums);
    const struct moments p =
        about_mean((double)count, sums[FCV_SHIFT], sums[FCV_D], sums[FCV_DD], sums[FCV_G], sums[FCV_GD]);
    add(&t, &p);
  }
  return t;
}

/* (x - mean) * scale in a form that keeps a mean's digits beyond those of T. */
static struct fcv_line line_of(const struct norm *s, double mean, double scale) {
  const double shift = rounded(s, mean);
  return (struct fcv_line){shift, scale, -(mean - shift) * scale};
}

static int64_t rows_of_unit(const struct rows *r) { return fcv_ceil_div(UNIT, r->columns); }

static void normalize_rows(const void *context, int64_t unit, int thread) {
  const struct rows *r = context;
  const struct norm *s = &r->s;
  const int64_t size = s->kernels->size, end = fcv_min((unit + 1) * rows_of_unit(r), r->rows);
  (void)thread;
  for (int64_t row = unit * rows_of_unit(r); row < end; row++) {
    const int64_t at = row * r->columns * size, channel = row % s->norm->groups * r->columns * size;
    const char *weight = s->weight ? s->weight + channel : NULL;
    const struct moments t = row_moments(r, at, weight);
    const double scale = statistic_of(s, t.mean, t.dd / t.count).scale;
    const struct fcv_line line = line_of(s, t.mean, scale);
    if (!s->gy) {
      s->kernels->normalize_row(r->columns, &line, s->x + at, weight, s->bias ? s->bias + channel : NULL, s->y + at);
      continue;
    }
    struct fcv_line grad = line_of(s, t.mean, -scale * scale * scale * t.gd / t.count);
    grad.offset -= scale * t.g / t.count;
    s->kernels->normalize_row_grad(r->columns, &grad, scale, s->x + at, s->gy + at, weight, s->y + at);
    r->line[row] = line;
  }
}

/* Adds the sums of a part, [gw, gb][STRIP] of T, to those of its chunk, and clears them. */
static void flush_sums(const struct rows *r, int64_t chunk, int64_t first, int64_t count, char *part) {
  const struct norm *s = &r->s;
  for (int k = 0; k < 2; k++) {
    double *sums = r->sums + (2 * chunk + k) * s->norm->channels + first;
    for (int64_t j = 0; j < count; j++) sums[j] += number(s, part, k * STRIP + j, 0);
  }
  memset(part, 0, (size_t)(2 * STRIP * s->kernels->size));
}

/* Some channels of some images. */
static void sum_weights(const void *context, int64_t unit, int thread) {
  const struct rows *r = context;
  const struct norm *s = &r->s;
  const int64_t size = s->kernels->size, channels = s->norm->channels, strips = fcv_ceil_div(channels, STRIP);
  const int64_t chunk = unit / strips, first = unit % strips * STRIP, end = fcv_min(first + STRIP, channels);
  const int64_t last = fcv_min((chunk + 1) * r->chunk, s->norm->n);
  _Alignas(64) char part[2 * STRIP * sizeof(double)] = {0};
  (void)thread;
  for (int k = 0; k < 2; k++)
    memset(r->sums + (2 * chunk + k) * channels + first, 0, (size_t)(end - first) * sizeof(double));
  for (int64_t image = chunk * r->chunk; image < last; image++) {
    for (int64_t c = first; c < end;) {
      const int64_t group = c / r->columns, count = fcv_min((group + 1) * r->columns, end) - c;
      const int64_t at = (image * channels + c) * size;
      char *gw = part + (c - first) * size;
      s->kernels->normalize_row_weights(count, &r->line[image * s->norm->groups + group], s->x + at, s->gy + at, gw,
                                        gw + STRIP * size);
      c += count;
    }
    if ((image + 1) % ROWS == 0)
      flush_sums(r, chunk, first, end - first, part);
  }
  flush_sums(r, chunk, first, end - first, part);
}

static fcv_status run_rows(const struct norm *s) {
  const int64_t channels = s->norm->channels;
  struct rows r = {.s = *s, .rows = s->norm->n * s->norm->groups, .columns = channels / s->norm->groups};
  const int64_t strips = fcv_ceil_div(channels, STRIP);
  r.chunk = fcv_max(fcv_ceil_div(UNIT, fcv_min(channels, STRIP)), fcv_ceil_div(s->norm->n, CHUNKS));
  const int64_t chunks = fcv_ceil_div(s->norm->n, r.chunk);
  int64_t bytes = 0;
  const int64_t line = fcv_reserve(&bytes, s->gy ? r.rows * (int64_t)sizeof(struct fcv_line) : 0);
  const int64_t sums = fcv_reserve(&bytes, s->gy ? chunks * 2 * channels * (int64_t)sizeof(double) : 0);
  char *memory = fcv_scratch_take((size_t)bytes);
  if (!memory)
    return FCV_NO_MEMORY;
  r.line = (struct fcv_line *)(memory + line);
  r.sums = (double *)(memory + sums);
  const int threads = fcv_threads_for(WORK * (double)r.rows * (double)r.columns);
  fcv_parallel_for(fcv_ceil_div(r.rows, rows_of_unit(&r)), threads, normalize_rows, &r);
  if (s->gy) {
    fcv_parallel_for(chunks * strips, threads, sum_weights, &r);
    for (int64_t c = 0; c < channels; c++) {
      double gw = 0, gb = 0;
      for (int64_t chunk = 0; chunk < chunks; chunk++)
        gw += r.sums[2 * chunk * channels + c], gb += r.sums[(2 * chunk + 1) * channels + c];
      put(s, s->gw, c, gw);
      put(s, s->gb, c, gb);
    }
  }
  fcv_scratch_give(memory);
  return FCV_OK;
}

static fcv_status check_sizes(const struct norm *s) {
  const struct fcv_norm *norm = s->norm;
  int64_t elements = s->kernels->size;
  if (norm->n < 0 || norm->channels < 0 || norm->pixels < 0 || norm->groups < 0)
    return FCV_INVALID;
  if (norm->groups && (norm->statistics != FCV_FOUND || norm->rectified || s->addend))
    return FCV_INVALID;
  if (norm->statistics == FCV_KNOWN ? !s->gy : s->gy && norm->rectified)
    return FCV_INVALID;
  if (norm->groups && norm->channels % norm->groups)
    return FCV_INVALID;
  if (__builtin_mul_overflow(elements, norm->n, &elements) ||
      __builtin_mul_overflow(elements, norm->channels, &elements) ||
      __builtin_mul_overflow(elements, norm->pixels, &elements))
    return FCV_INVALID;
  return FCV_OK;
}

static fcv_status normalize(struct norm *s) {
  const struct fcv_norm *norm = s->norm;
  FCV_TRY(check_sizes(s));
  if (norm->n == 0 || norm->channels == 0 || norm->pixels == 0) {
    for (int64_t c = 0; s->gy && c < norm->channels; c++) put(s, s->gw, c, 0), put(s, s->gb, c, 0);
    return FCV_OK;
  }
  if (norm->groups && norm->pixels == 1)
    return run_rows(s);
  return run(s);
}

fcv_status fcv_norm_forward(const struct fcv_norm *norm, const void *x, const void *weight, const void *bias,
                            const void *addend, double *mean, double *variance, void *y) {
  return normalize(&(struct norm){.norm = norm,
                                  .kernels = fcv_kernels(norm->dtype),
                                  .x = x,
                                  .weight = weight,
                                  .bias = bias,
                                  .addend = addend,
                                  .mean = mean,
                                  .variance = variance,
                                  .mean_found = mean,
                                  .variance_found = variance,
                                  .y = y});
}

fcv_status fcv_norm_backward(const struct fcv_norm *norm, const void *x, const void *gy, const void *weight,
                             const void *bias, const double *mean, const double *variance, void *gx, void *gw,
                             void *gb) {
  return normalize(&(struct norm){.norm = norm,
                                  .kernels = fcv_kernels(norm->dtype),
                                  .x = x,
                                  .gy = gy,
                                  .weight = weight,
                                  .bias = bias,
                                  .mean = mean,
                                  .variance = variance,
                                  .y = gx,
                                  .gw = gw,
                                  .gb = gb});
}
