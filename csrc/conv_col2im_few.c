/* The input gradient where all pixels of gy fit into a few vectors, and weights are many: the first layers of a network
 * that makes images, 4x4 pixels of 512 channels.
 *
 * Packing the weights would take longer than multiplying by them. Here pixels are lanes, [output channel][pixel], and
 * weights the numbers that they are multiplied by, read once and where they lie. The product is that of im2col, the
 * gradient of the patches, [input channel and tap][pixel]; turned round tap by tap, its rows are added to the pixels
 * that they came from. 1x4x4 512->256 4x4, stride 2, transposed: first 2.9 ms, 0.92 here, last 0.95 and 0.66; AVX-512.
 * Fetching the next block of weights made that 1.06. */
#include "internal.h"

enum {
  COLUMN_BYTES = 64 << 10,       /* of the patches' gradient at a time */
  SUM = 16,                      /* output channels at a time where each is a row of weights: as many streams */
  LEAST_WEIGHT_BYTES = 128 << 10 /* less are packed in no time */
};

struct few {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  struct fcv_walk walk;        /* forward */
  int64_t taps, pixels, width; /* of gy, all images; in whole vectors */
  int64_t channels;            /* of a unit */
  int64_t thread_bytes;
  const int64_t *place; /* [tap][pixel]: pixel of gx, or -1 */
  const char *gy, *w;   /* gy: [output channel][width] */
  char *gx, *thread_memory;
};

/* Input channels first .. first + count - 1. */
struct part {
  int64_t first, count;
};

struct unit_memory {
  char *columns, *rows, *gx; /* [..][width]; a tap's, [pixel][channels]; channels first: [pixel of gx][channels] */
};

int fcv_use_col2im_few(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t pixels = g->n * fcv_product(g->out), weights = fcv_product(g->kernel) * g->ci * g->co * k->size;
  return g->groups == 1 && pixels > 0 && pixels <= k->nv * k->vl && weights >= LEAST_WEIGHT_BYTES &&
         fcv_product(g->kernel) > 1;
}

static int64_t lay_out(const struct few *d, char *base, struct unit_memory *memory) {
  const struct fcv_geometry *g = &d->conv->geometry;
  const int64_t size = d->kernels->size, first = d->conv->layout == FCV_CHANNELS_FIRST;
  int64_t bytes = 0;
  const int64_t columns = fcv_reserve(&bytes, d->channels * d->taps * d->width * size);
  const int64_t rows = fcv_reserve(&bytes, d->pixels * d->channels * size);
  const int64_t gx = fcv_reserve(&bytes, first ? g->n * fcv_product(g->in) * d->channels * size : 0);
  if (base)
    *memory = (struct unit_memory){.columns = base + columns, .rows = base + rows, .gx = base + gx};
  return bytes;
}

/* A row of weights is one input channel's at a tap: columns [tap][channel][width]. */
static void multiply_rows(const struct few *d, const struct part *part, char *columns) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_geometry *g = &d->conv->geometry;
  const int64_t size = k->size;
  const void *a[FCV_MAX_MR];
  void *c[FCV_MAX_MR];
  for (int64_t tap = 0; tap < d->taps; tap++)
    for (int64_t i0 = 0; i0 < part->count; i0 += k->mr) {
      const int64_t m = fcv_min(k->mr, part->count - i0);
      for (int64_t i = 0; i < k->mr; i++) {
        const int64_t channel = i0 + fcv_min(i, m - 1);
        a[i] = d->w + (tap * g->ci + part->first + channel) * g->co * size;
        c[i] = columns + (tap * part->count + channel) * d->width * size;
      }
      const struct fcv_igemm_tile tile = {
          .taps = 1, .kc = g->co, .a = a, .w = d->gy, .c = c, .m = (int)m, .n = (int)d->width};
      k->igemm[d->width / k->vl - 1](&tile);
    }
}

/* A row of weights is all of an output channel's: columns [channel][tap][width]. */
static void multiply_columns(const struct few *d, const struct part *part, char *columns) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_geometry *g = &d->conv->geometry;
  const int64_t size = k->size, count = part->count * d->taps;
  const void *a[SUM];
  for (int64_t first = 0; first < g->co; first += SUM) {
    struct fcv_wgrad_tile tile = {
        .pixels = fcv_min(SUM, g->co - first),
        .a = a,
        .b = d->gy + first * d->width * size,
        .b_pitch = d->width,
        .gw_pitch = d->width,
        .n = (int)d->width,
        .into = first == 0 ? FCV_REPLACE : FCV_ADD,
    };
    for (int64_t q = 0; q < tile.pixels; q++) a[q] = d->w + ((first + q) * g->ci + part->first) * d->taps * size;
    for (int64_t j = 0; j < count; j += k->mi) {
      tile.a_bytes = j * size;
      tile.gw = columns + j * d->width * size;
      tile.m = (int)fcv_min(k->mi, count - j);
      k->wgrad[d->width / k->vl - 1](&tile);
    }
  }
}

/* What all taps give to the unit's channels, pixels pitch apart. */
static void add_taps(const struct few *d, const struct part *part, const struct unit_memory *memory, char *gx,
                     int64_t pitch) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t size = k->size, in_rows = d->conv->weight_layout == FCV_CHANNELS_LAST;
  for (int64_t tap = 0; tap < d->taps; tap++) {
    const char *columns = memory->columns + tap * (in_rows ? part->count : 1) * d->width * size;
    k->transpose(part->count, d->pixels, columns, (in_rows ? 1 : d->taps) * d->width, memory->rows, part->count);
    for (int64_t q = 0; q < d->pixels; q++) {
      const int64_t place = d->place[tap * d->pixels + q];
      if (place >= 0)
        k->sum_rows(1, part->count, memory->rows + q * part->count * size, 0, gx + place * pitch * size);
    }
  }
}

static void few_unit(const void *context, int64_t unit, int thread) {
  const struct few *d = context;
  const struct fcv_geometry *g = &d->conv->geometry;
  const int64_t size = d->kernels->size, in = fcv_product(g->in), first = unit * d->channels;
  const struct part part = {first, fcv_min(d->channels, g->ci - first)};
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  if (d->conv->weight_layout == FCV_CHANNELS_LAST)
    multiply_rows(d, &part, memory.columns);
  else
    multiply_columns(d, &part, memory.columns);
  if (d->conv->layout == FCV_CHANNELS_LAST) {
    char *gx = d->gx + first * size;
    for (int64_t i = 0; i < g->n * in; i++) memset(gx + i * g->ci * size, 0, (size_t)(part.count * size));
    add_taps(d, &part, &memory, gx, g->ci);
    return;
  }
  memset(memory.gx, 0, (size_t)(g->n * in * part.count * size));
  add_taps(d, &part, &memory, memory.gx, part.count);
  for (int64_t n = 0; n < g->n; n++)
    d->kernels->transpose(in, part.count, memory.gx + n * in * part.count * size, part.count,
                          d->gx + (n * g->ci + first) * in * size, in);
}

/* Where a tap of a pixel of gy is in gx, of all images. */
static void find_places(const struct few *d, int64_t *place) {
  const struct fcv_axis *axis = d->walk.axis;
  for (int64_t tap = 0; tap < d->taps; tap++)
    for (int64_t q = 0; q < d->pixels; q++) {
      int64_t outer = q, t = tap, in = 1, at = 0;
      for (int i = FCV_AXES - 1; i >= 0 && at >= 0; i--) {
        const int64_t position =
            outer % axis[i].count * axis[i].in_step + axis[i].shift + t % axis[i].taps * axis[i].shift_step;
        at = position >= 0 && position < axis[i].in ? at + position * in : -1;
        outer /= axis[i].count, t /= axis[i].taps, in *= axis[i].in;
      }
      place[tap * d->pixels + q] = at < 0 ? -1 : at + outer * in;
    }
}

/* gy as [output channel][width], zeros past the last pixel. */
static void turn(const struct few *d, const char *gy, char *to) {
  const struct fcv_geometry *g = &d->conv->geometry;
  const int64_t size = d->kernels->size, out = fcv_product(g->out);
  memset(to, 0, (size_t)(g->co * d->width * size));
  if (d->conv->layout == FCV_CHANNELS_LAST)
    d->kernels->transpose(d->pixels, g->co, gy, g->co, to, d->width);
  else
    for (int64_t i = 0; i < g->n * g->co; i++)
      memcpy(to + (i % g->co * d->width + i / g->co * out) * size, gy + i * out * size, (size_t)(out * size));
}

fcv_status fcv_conv_col2im_few(const struct fcv_conv *conv, const void *gy, const void *w, void *gx) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct few d = {.conv = conv, .kernels = k, .w = w, .gx = gx};
  fcv_walk_forward(g, &d.walk);
  d.taps = fcv_walk_taps(&d.walk);
  d.pixels = g->n * fcv_product(g->out);
  d.width = fcv_round_up(d.pixels, k->vl);
  const int64_t most = fcv_max(1, COLUMN_BYTES / (d.taps * d.width * k->size));
  d.channels = fcv_min(g->ci, most > k->vl ? most / k->vl * k->vl : most);
  d.thread_bytes = lay_out(&d, NULL, NULL);
  const int threads = fcv_threads_for((double)d.width * (double)d.taps * (double)g->ci * (double)g->co);
  int64_t bytes = 0;
  const int64_t gy_at = fcv_reserve(&bytes, g->co * d.width * k->size);
  const int64_t place_at = fcv_reserve(&bytes, d.taps * d.pixels * (int64_t)sizeof(int64_t));
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  find_places(&d, (int64_t *)(memory + place_at));
  d.place = (const int64_t *)(memory + place_at);
  turn(&d, gy, memory + gy_at);
  d.gy = memory + gy_at;
  d.thread_memory = memory + threads_at;
  fcv_parallel_for(fcv_ceil_div(g->ci, d.channels), threads, few_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
