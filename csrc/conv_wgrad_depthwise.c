/* Weight gradient of depthwise convolution: gw[tap][c] = sum over pixels of x[pixel at tap][c] * gy[pixel][c].
 *
 * Blocks of PIXELS pixels are summed in registers, tap by tap for some vectors of channels, and added to one of at most
 * SUMS sums, which are added up in the end: which block goes where depends on the shape alone. The same bits for every
 * number of threads, and units enough for all of them where there are few channels. */
#include "internal.h"

enum {
  PIXELS = 128,        /* of a block */
  SUMS = 64,           /* partial sums at most */
  BOX_BYTES = 1 << 20, /* x of a box stays in L2 */
  CONFLICT = 2048      /* pixels this many bytes apart fall into the same few sets of L1 */
};

struct depthwise {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  const struct fcv_weight_view *view;
  struct fcv_box box;
  struct fcv_source source;
  int64_t taps, channels, padded; /* padded: to whole vectors */
  int64_t pixels, blocks, before; /* of the box; blocks of the boxes before it */
  int64_t sums, thread_bytes;
  int copies; /* of gy, to pixels of padded channels */
  const char *gy;
  char *sum, *thread_memory, *gw;
};

struct unit_memory {
  const void **a, **b; /* [tap][PIXELS], [PIXELS] */
  int64_t *offset;
  char *gy; /* [PIXELS][padded] */
};

static int64_t lay_out(const struct depthwise *d, char *base, struct unit_memory *memory) {
  int64_t bytes = 0;
  const int64_t a = fcv_reserve(&bytes, d->taps * PIXELS * (int64_t)sizeof(void *));
  const int64_t b = fcv_reserve(&bytes, PIXELS * (int64_t)sizeof(void *));
  const int64_t offset = fcv_reserve(&bytes, PIXELS * (int64_t)sizeof(int64_t));
  const int64_t gy = fcv_reserve(&bytes, d->copies ? PIXELS * d->padded * d->kernels->size : 0);
  if (base)
    *memory = (struct unit_memory){
        .a = (const void **)(base + a),
        .b = (const void **)(base + b),
        .offset = (int64_t *)(base + offset),
        .gy = base + gy,
    };
  return bytes;
}

static char *sum_of(const struct depthwise *d, int64_t number) {
  return d->sum + number * d->taps * d->padded * d->kernels->size;
}

static void copy_gy(const struct depthwise *d, const struct unit_memory *memory, int64_t count) {
  const int64_t size = d->kernels->size, plane = fcv_product(d->conv->geometry.out);
  const int64_t *offset = memory->offset;
  memset(memory->gy, 0, (size_t)(count * d->padded * size));
  for (int64_t q = 0, run; q < count; q += run) {
    run = 1;
    char *to = memory->gy + q * d->padded * size;
    if (d->conv->layout == FCV_CHANNELS_LAST) {
      memcpy(to, d->gy + offset[q] * size, (size_t)(d->channels * size));
      continue;
    }
    while (q + run < count && offset[q + run] == offset[q] + run) run++;
    d->kernels->transpose(d->channels, run, d->gy + offset[q] * size, plane, to, d->padded);
  }
}

/* The blocks of the box that belong to one sum, in order. */
static void sum_unit(const void *context, int64_t unit, int thread) {
  const struct depthwise *d = context;
  const int64_t size = d->kernels->size, skipped = (unit - d->before % d->sums + d->sums) % d->sums;
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  for (int64_t block = skipped; block < d->blocks; block += d->sums) {
    const int64_t first = block * PIXELS, count = fcv_min(PIXELS, d->pixels - first);
    fcv_indirect_taps(d->walk, &d->source, &d->box, first, count, PIXELS, 0, memory.a);
    fcv_indirect_outputs(d->walk, &d->box, first, count, d->conv->layout, d->channels, memory.offset);
    if (d->copies)
      copy_gy(d, &memory, count);
    for (int64_t q = 0; q < count; q++)
      memory.b[q] = d->copies ? memory.gy + q * d->padded * size : d->gy + memory.offset[q] * size;
    d->kernels->depthwise_wgrad(d->taps, d->padded, count, memory.a, PIXELS, memory.b, sum_of(d, unit));
  }
}

/* All sums of one tap, added up in order and written to gw. */
static void write_tap(const void *context, int64_t tap, int thread) {
  const struct depthwise *d = context;
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t size = d->kernels->size, row = tap * d->padded * size;
  const int64_t z = tap / axis[2].taps / axis[1].taps, y = tap / axis[2].taps % axis[1].taps, x = tap % axis[2].taps;
  const int64_t element = z * d->view->kernel[0] + y * d->view->kernel[1] + x * d->view->kernel[2];
  (void)thread;
  for (int64_t i = 1; i < d->sums; i++)
    d->kernels->sum_rows(1, d->channels, sum_of(d, i) + row, d->padded, sum_of(d, 0) + row);
  for (int64_t c = 0; c < d->channels; c++)
    memcpy(d->gw + (element + c * d->view->group) * size, sum_of(d, 0) + row + c * size, (size_t)size);
}

fcv_status fcv_conv_wgrad_depthwise(const struct fcv_conv *conv, const struct fcv_walk *walk,
                                    const struct fcv_weight_view *view, const void *x, const void *gy, void *gw) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t outputs = walk->n * fcv_product(conv->geometry.out);
  struct depthwise d = {.conv = conv, .kernels = k, .walk = walk, .view = view, .gy = gy, .gw = gw};
  d.taps = fcv_walk_taps(walk);
  d.channels = walk->groups;
  d.padded = fcv_round_up(d.channels, k->vl);
  d.sums = fcv_max(1, fcv_min(SUMS, fcv_ceil_div(outputs, PIXELS)));
  d.copies = conv->layout == FCV_CHANNELS_FIRST || d.padded != d.channels;
  d.thread_bytes = lay_out(&d, NULL, NULL);
  const int threads = fcv_threads_for((double)(outputs * d.taps) * (double)d.padded);

  const int64_t pixel = d.channels * k->size;
  const int conflicts = pixel % CONFLICT == 0;
  const int staged = conv->layout == FCV_CHANNELS_FIRST || d.padded != d.channels || conflicts;
  struct fcv_stage stage;
  fcv_stage_plan(k, walk, pixel + (conflicts ? 64 : 0), BOX_BYTES, 1, &stage);

  int64_t bytes = 0;
  const int64_t sums_bytes = d.sums * d.taps * d.padded * k->size;
  const int64_t sums_at = fcv_reserve(&bytes, sums_bytes);
  const int64_t zero_at = fcv_reserve(&bytes, d.padded * k->size);
  const int64_t stage_at = fcv_reserve(&bytes, staged ? stage.bytes : 0);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  char *zero = memory + zero_at;
  d.sum = memory + sums_at;
  d.thread_memory = memory + threads_at;
  memset(d.sum, 0, (size_t)sums_bytes);
  memset(zero, 0, (size_t)(d.padded * k->size));
  d.source = fcv_source_in_place(walk, x, zero, k->size);
  const int64_t boxes = outputs > 0 ? fcv_stage_blocks(&stage, walk) : 0;
  for (int64_t b = 0; b < boxes; b++, d.before += d.blocks) {
    fcv_stage_box(&stage, walk, b, &d.box);
    d.pixels = fcv_box_pixels(walk, &d.box);
    d.blocks = fcv_ceil_div(d.pixels, PIXELS);
    if (staged) {
      fcv_stage_fill(k, &stage, walk, conv->layout, x, &d.box, memory + stage_at, threads, &d.source);
      d.source.zero = zero;
    }
    fcv_parallel_for(d.sums, threads, sum_unit, &d);
  }
  fcv_parallel_for(d.taps, fcv_threads_for((double)(d.sums * d.taps * d.padded)), write_tap, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
