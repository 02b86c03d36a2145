/* Weight gradient of channels-last arrays with few input channels and whole vectors of output channels.
 *
 * The kernel sums 14 terms, values of x, against 2 vectors of gy, but a pixel's values at the taps of a kernel row are
 * few, 3 of one channel: three passes over gy, of 6 products for 5 loads. Here the rows of x that a row of outputs
 * meets are staged side by side, [column][kernel row][input channel], so that all terms of a pixel are neighbours, and
 * the next pixel's begin a column further: what im2col would make, but each value is copied once for a kernel's height,
 * not for its area. gy is read where it lies, once for 14 terms, and for the bias gradient while it is in L1; a block's
 * calls fetch the next block's. 128x28x28 1->32 3x3: 1.64 ms, 0.91 here; 1x224x224 3->64 3x3 2.0 and 1.5 (AVX-512). */
#include "internal.h"

enum {
  PIXELS = 128,    /* at a time: their gy, two vectors of each, stays in L1 */
  MOST_TERMS = 64, /* of a pixel; with more, rows of the kernel alone fill tiles */
  LONG_TILE = 14,
  CHUNK_PIXELS = 1024, /* see fcv_chunks */
};

struct strips {
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  struct fcv_panels panels;
  int64_t kernel_rows, column, terms; /* elements of a column; of a pixel */
  int64_t rows, columns;              /* of outputs: of a block. columns: of a row, less than all only of one row */
  int64_t width, parts;               /* columns of a strip; blocks beside each other in a row */
  int64_t blocks, chunks, pitch;      /* elements of a chunk's sums: weights, then bias */
  int64_t thread_bytes;
  const char *x, *gy;
  char *sums, *thread_memory; /* sums: [chunk][terms and 1][co] */
};

struct unit_memory {
  const void **a, **ones; /* [pixel of a block] */
  char *strip;            /* [row][width][column], and a one behind */
};

/* With a stride, or short tiles, rows of several channels gain less than their strips cost: 32x32x32 3->32 3x3, stride
 * 2 0.19 ms and 0.22; AVX2, 16x224x224 3->64 88 and 115. */
int fcv_use_wgrad_strips(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const struct fcv_axis *x = &walk->axis[2];
  const int64_t taps = fcv_walk_taps(walk);
  if (walk->kc > 1 && (x->in_step > 1 || fcv_kernels(conv->dtype)->mi < LONG_TILE))
    return 0;
  return conv->algorithm == FCV_DIRECT && conv->layout == FCV_CHANNELS_LAST &&
         conv->weight_layout == FCV_CHANNELS_LAST && walk->groups == 1 && walk->kc > 0 &&
         taps * walk->kc <= MOST_TERMS && taps > x->taps && x->taps > 1 && x->shift_step == 1 &&
         walk->nc % fcv_kernels(conv->dtype)->vl == 0;
}

static int64_t lay_out(const struct strips *d, char *base, struct unit_memory *memory) {
  const int64_t pixels = d->rows * d->columns, size = d->kernels->size;
  int64_t bytes = 0;
  const int64_t a = fcv_reserve(&bytes, pixels * (int64_t)sizeof(void *));
  const int64_t ones = fcv_reserve(&bytes, pixels * (int64_t)sizeof(void *));
  const int64_t strip = fcv_reserve(&bytes, (d->rows * d->width * d->column + 1) * size);
  if (base)
    *memory = (struct unit_memory){
        .a = (const void **)(base + a), .ones = (const void **)(base + ones), .strip = base + strip};
  return bytes;
}

/* count pixels of kc values each to places step values apart. */
#define COPY(T)                                                                                                        \
  static void copy_##T(int64_t count, int64_t kc, int64_t step, const T *from, T *to) {                                \
    if (kc == 1)                                                                                                       \
      for (int64_t i = 0; i < count; i++) to[i * step] = from[i];                                                      \
    else                                                                                                               \
      for (int64_t i = 0; i < count; i++)                                                                              \
        for (int64_t c = 0; c < kc; c++) to[i * step + c] = from[i * kc + c];                                          \
  }
COPY(uint32_t)
COPY(uint64_t)
#undef COPY

/* The strip of a row of outputs, those from `first` on. row: of all images and slices. */
static void fill(const struct strips *d, int64_t row, int64_t first, char *strip) {
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t size = d->kernels->size, kc = d->walk->kc, image = row / (axis[0].count * axis[1].count);
  const int64_t oz = row / axis[1].count % axis[0].count, oy = row % axis[1].count;
  const int64_t ix = first * axis[2].in_step + axis[2].shift;
  const int64_t lo = fcv_min(d->width, fcv_max(0, -ix)), hi = fcv_max(lo, fcv_min(d->width, axis[2].in - ix));
  memset(strip, 0, (size_t)(d->width * d->column * size));
  for (int64_t r = 0; r < d->kernel_rows; r++) {
    const int64_t iz = oz * axis[0].in_step + axis[0].shift + r / axis[1].taps * axis[0].shift_step;
    const int64_t iy = oy * axis[1].in_step + axis[1].shift + r % axis[1].taps * axis[1].shift_step;
    if (iz < 0 || iz >= axis[0].in || iy < 0 || iy >= axis[1].in)
      continue;
    const int64_t at = ((image * axis[0].in + iz) * axis[1].in + iy) * axis[2].in + ix + lo;
    const char *from = d->x + at * kc * size;
    char *to = strip + (lo * d->column + r * kc) * size;
    if (size == sizeof(uint32_t))
      copy_uint32_t(hi - lo, kc, d->column, (const uint32_t *)from, (uint32_t *)to);
    else
      copy_uint64_t(hi - lo, kc, d->column, (const uint64_t *)from, (uint64_t *)to);
  }
}

/* Some terms against all of gy's channels, or for the bias ones. Call number `call` and on of the block's, of which
 * each fetches its share of the next block's gy. */
static void sum_tile(const struct strips *d, const void *const *a, int64_t pixels, const char *gy, int64_t term,
                     int64_t terms, enum fcv_into into, char *sums, int64_t call, int64_t calls) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t size = k->size, co = d->walk->nc, turns = fcv_ceil_div(pixels, FCV_TURN);
  const int64_t lines = fcv_ceil_div(pixels * co * size, 64 * calls * turns);
  for (int64_t p = 0; p < d->panels.per_group; p++) {
    const int64_t channel = p * d->panels.width * size, width = fcv_panel_width(&d->panels, p);
    const char *ahead = gy + pixels * co * size + (call + p) * turns * lines * 64;
    const struct fcv_wgrad_tile tile = {
        .pixels = pixels,
        .a = a,
        .a_bytes = term * size,
        .b = gy + channel,
        .b_pitch = co,
        .gw = sums + channel,
        .gw_pitch = co,
        .m = (int)terms,
        .n = (int)width,
        .into = into,
        .ahead = {.from = ahead, .rows = 1, .lines = lines, .pitch = 64 * lines},
    };
    k->wgrad[width / k->vl - 1](&tile);
  }
}

static void sum_chunk(const void *context, int64_t chunk, int thread) {
  const struct strips *d = context;
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t size = d->kernels->size, co = d->walk->nc, strip = d->width * d->column * size;
  const int64_t all = d->walk->n * axis[0].count * axis[1].count, tiles = fcv_ceil_div(d->terms, d->kernels->mi);
  const int64_t begin = d->blocks * chunk / d->chunks, end = d->blocks * (chunk + 1) / d->chunks;
  const int64_t panels = d->panels.per_group, calls = panels * (tiles + 1);
  char *sums = d->sums + chunk * d->pitch * size;
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  char *one = memory.strip + d->rows * strip;
  if (size == sizeof(float))
    *(float *)one = 1;
  else
    *(double *)one = 1;
  for (int64_t q = 0; q < d->rows * d->columns; q++) {
    memory.ones[q] = one;
    memory.a[q] = memory.strip + q / d->columns * strip + q % d->columns * axis[2].in_step * d->column * size;
  }
  for (int64_t block = begin; block < end; block++) {
    const int64_t first = block / d->parts * d->rows, rows = fcv_min(d->rows, all - first);
    const int64_t column = block % d->parts * d->columns, columns = fcv_min(d->columns, axis[2].count - column);
    for (int64_t r = 0; r < rows; r++) fill(d, first + r, column, memory.strip + r * strip);
    const char *gy = d->gy + (first * axis[2].count + column) * co * size;
    const enum fcv_into into = block == begin ? FCV_REPLACE : FCV_ADD;
    for (int64_t t = 0; t < tiles; t++) {
      const int64_t term = d->terms * t / tiles, terms = d->terms * (t + 1) / tiles - term;
      sum_tile(d, memory.a, rows * columns, gy, term, terms, into, sums + term * co * size, panels * t, calls);
    }
    sum_tile(d, memory.ones, rows * columns, gy, 0, 1, into, sums + d->terms * co * size, panels * tiles, calls);
  }
}

fcv_status fcv_conv_wgrad_strips(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                 const void *gy, void *gw, void *gb) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const struct fcv_axis *axis = walk->axis;
  const int64_t size = k->size, co = walk->nc, all = walk->n * axis[0].count * axis[1].count;
  struct strips d = {.kernels = k, .walk = walk, .x = x, .gy = gy};
  fcv_panels(k, co, &d.panels);
  d.kernel_rows = axis[0].taps * axis[1].taps;
  d.column = d.kernel_rows * walk->kc;
  d.terms = axis[2].taps * d.column;
  d.parts = fcv_ceil_div(axis[2].count, PIXELS);
  d.columns = fcv_ceil_div(axis[2].count, d.parts);
  d.rows = d.parts > 1 ? 1 : fcv_min(all, fcv_max(1, PIXELS / d.columns));
  d.width = (d.columns - 1) * axis[2].in_step + axis[2].taps;
  d.blocks = fcv_ceil_div(all, d.rows) * d.parts;
  d.pitch = (d.terms + 1) * co;
  d.chunks = fcv_min(d.blocks, fcv_chunks(all * axis[2].count, CHUNK_PIXELS, d.pitch * size));
  d.thread_bytes = lay_out(&d, NULL, NULL);
  const int threads = fcv_threads_for((double)(all * axis[2].count) * (double)d.pitch);
  int64_t bytes = 0;
  const int64_t sums_at = fcv_reserve(&bytes, d.chunks * d.pitch * size);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.sums = memory + sums_at;
  d.thread_memory = memory + threads_at;
  fcv_parallel_for(d.chunks, threads, sum_chunk, &d);
  fcv_add_chunks(k, d.chunks - 1, d.pitch, d.sums + d.pitch * size, d.sums, threads);
  for (int64_t t = 0; t < axis[2].taps; t++) /* [column][kernel row] to [kernel row][column] */
    for (int64_t r = 0; r < d.kernel_rows; r++)
      memcpy((char *)gw + (r * axis[2].taps + t) * walk->kc * co * size,
             d.sums + (t * d.kernel_rows + r) * walk->kc * co * size, (size_t)(walk->kc * co * size));
  if (gb)
    memcpy(gb, d.sums + d.terms * co * size, (size_t)(co * size));
  fcv_scratch_give(memory);
  return FCV_OK;
}
