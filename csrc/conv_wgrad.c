/* Weight gradient: gw[tap][k][j] = sum over pixels of x[pixel at tap][k] * gy[pixel][j].
 *
 * Tiles of mi x nr elements of gw are summed over blocks of PIXELS pixels. gy is packed into panels once a box of
 * pixels, x is read in place or staged as in conv_direct.c. A tile belongs to one unit, which adds up the sums of its
 * blocks in their order, and blocks depend on the shape alone: the same bits for every number of threads. */
#include "internal.h"

enum {
  PIXELS = 128,        /* of a block: a panel of gy takes half of a 32 KiB L1 */
  BOX_BYTES = 1 << 20, /* x and gy of a box stay in L2 */
  CONFLICT = 512       /* pixels this many bytes apart: a block of them does not fit into the sets of L1 */
};

struct wgrad {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  struct fcv_sums sums;
  struct fcv_box box;
  struct fcv_source source;
  int64_t pixels, blocks; /* of the box */
  int64_t units, thread_bytes;
  int row_taps;
  const char *gy;
  char *packed, *thread_memory;
  char *patches; /* im2col: [block][group][pixel][m], else NULL */
};

static char *block_patches(const struct wgrad *d, int64_t block) {
  return d->patches + block * PIXELS * d->walk->groups * d->sums.m * d->kernels->size;
}

/* One block of gy: [group][panel][PIXELS][width], zero past the last channel. */
static void pack_block(const void *context, int64_t block, int thread) {
  const struct wgrad *d = context;
  const int64_t size = d->kernels->size, co = d->walk->groups * d->walk->nc, nc = d->walk->nc;
  const int64_t plane = fcv_product(d->conv->geometry.out);
  const int64_t first = block * PIXELS, count = fcv_min(PIXELS, d->pixels - first);
  int64_t *offset = (int64_t *)(d->thread_memory + thread * d->thread_bytes);
  char *to = d->packed + block * PIXELS * d->sums.channels * size;
  if (d->patches)
    fcv_im2col(d->kernels, d->walk, &d->source, &d->box, first, count, (const void **)offset, block_patches(d, block));
  fcv_indirect_outputs(d->walk, &d->box, first, count, d->conv->layout, co, offset);
  for (int64_t group = 0; group < d->walk->groups; group++)
    for (int64_t panel = 0; panel < d->sums.panels.per_group; panel++) {
      const int64_t width = fcv_panel_width(&d->sums.panels, panel), j0 = panel * d->sums.panels.width;
      const int64_t valid = fcv_min(width, nc - j0), channel = group * nc + j0;
      if (valid < width)
        memset(to, 0, (size_t)(count * width * size));
      if (d->conv->layout == FCV_CHANNELS_LAST) {
        for (int64_t q = 0; q < count; q++)
          memcpy(to + q * width * size, d->gy + (offset[q] + channel) * size, (size_t)(valid * size));
      } else {
        for (int64_t q = 0, run; q < count; q += run) {
          for (run = 1; q + run < count && offset[q + run] == offset[q] + run;) run++;
          d->kernels->transpose(valid, run, d->gy + (offset[q] + channel * plane) * size, plane, to + q * width * size,
                                width);
        }
      }
      to += PIXELS * width * size;
    }
}

/* Tiles first .. last - 1 of all, in the order tap, panel, row; over all blocks of the box. */
static void sum_tiles(const struct wgrad *d, int64_t first, int64_t last, const void **a) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t size = k->size, panels = d->walk->groups * d->sums.panels.per_group;
  for (int64_t tap = first / (panels * d->sums.rows); tap * panels * d->sums.rows < last; tap++) {
    const int64_t from = fcv_max(first - tap * panels * d->sums.rows, 0);
    const int64_t to = fcv_min(last - tap * panels * d->sums.rows, panels * d->sums.rows);
    for (int64_t block = 0; block < d->blocks; block++) {
      const int64_t count = fcv_min(PIXELS, d->pixels - block * PIXELS);
      if (d->patches)
        for (int64_t q = 0; q < count; q++) a[q] = block_patches(d, block) + q * d->sums.m * size;
      else
        fcv_indirect_tap(d->walk, &d->source, &d->box, block * PIXELS, count, tap, d->row_taps, a);
      const int64_t group_step = d->patches ? count * d->sums.m : d->walk->kc;
      for (int64_t t = from; t < to; t++) {
        const int64_t panel = t / d->sums.rows, row = t % d->sums.rows, group = panel / d->sums.panels.per_group;
        const int64_t in_group = panel % d->sums.panels.per_group, width = fcv_panel_width(&d->sums.panels, in_group);
        const int64_t before = group * fcv_panels_channels(&d->sums.panels) + in_group * d->sums.panels.width;
        const char *gy = d->packed + (block * d->sums.channels + before) * PIXELS * size;
        k->wgrad[width / k->vl - 1](count, a, (group * group_step + row * k->mi) * size, gy, width,
                                    fcv_sums_tile(&d->sums, tap, panel, row));
      }
    }
  }
}

static void sum_unit(const void *context, int64_t unit, int thread) {
  const struct wgrad *d = context;
  const int64_t tiles = d->sums.taps * d->walk->groups * d->sums.panels.per_group * d->sums.rows;
  sum_tiles(d, tiles * unit / d->units, tiles * (unit + 1) / d->units,
            (const void **)(d->thread_memory + thread * d->thread_bytes));
}

fcv_status fcv_conv_wgrad(const struct fcv_conv *conv, const void *x, const void *gy, void *gw) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct fcv_walk walk;
  struct fcv_weight_view view;
  fcv_walk_forward(&conv->geometry, &walk);
  fcv_weight_view(conv, 0, &view);
  const struct fcv_axis *axis = walk.axis;
  const int64_t ci = walk.groups * walk.kc, co = walk.groups * walk.nc;
  if (walk.kc == 0 || walk.nc == 0)
    return FCV_OK;
  if (fcv_is_depthwise(conv))
    return fcv_conv_wgrad_depthwise(conv, x, gy, gw);

  struct wgrad d = {.conv = conv, .kernels = k, .walk = &walk, .gy = gy};
  const int64_t taps = fcv_walk_taps(&walk);
  const int patches = conv->algorithm == FCV_IM2COL;
  d.row_taps = !patches && fcv_use_row_taps(&walk);
  const int64_t span = patches ? taps : d.row_taps ? axis[2].taps : 1;
  fcv_sums_plan(k, &walk, &view, taps / span, span, &d.sums);
  const int64_t outputs = walk.n * fcv_product(conv->geometry.out);
  const double products = (double)outputs * (double)d.sums.tiles * k->mi * (double)d.sums.panels.width;
  const int threads = fcv_threads_for(products);
  d.units = fcv_min(d.sums.tiles, threads > 1 ? 8 * threads : 1);

  /* A tile reads mi channels behind each pixel, also where there are fewer: in place only if it ends with a pixel. */
  const int64_t pixel = ci * k->size;
  const int64_t zeros = fcv_max(pixel, d.sums.m * k->size) + k->mi * k->size;
  const int conflicts = pixel % CONFLICT == 0;
  const int in_place = patches || (d.sums.m % k->mi == 0 && !conflicts && !(d.row_taps && fcv_pads_rows(&walk)));
  const int staged = conv->layout == FCV_CHANNELS_FIRST || !in_place;
  const int64_t patch = patches ? walk.groups * d.sums.m * k->size : 0;
  struct fcv_stage stage;
  const int64_t share = BOX_BYTES / (pixel + patch + d.sums.channels * k->size) * pixel;
  fcv_stage_plan(k, &walk, pixel + (conflicts ? 64 : 0), share, 1, &stage);
  if (outputs > 0) {
    fcv_stage_box(&stage, &walk, 0, &d.box);
    d.pixels = fcv_box_pixels(&walk, &d.box);
  }
  const int64_t most = fcv_round_up(d.pixels, PIXELS);
  /* Offsets or pointers of a block; with patches a pointer for each tap. */
  d.thread_bytes = fcv_round_up(PIXELS * (patches ? taps : 1) * (int64_t)sizeof(int64_t), 64);

  const int64_t sums = d.sums.taps * d.sums.tap_bytes;
  int64_t bytes = 0;
  const int64_t sums_at = fcv_reserve(&bytes, sums);
  const int64_t packed_at = fcv_reserve(&bytes, most * d.sums.channels * k->size);
  const int64_t zero_at = fcv_reserve(&bytes, zeros);
  const int64_t stage_at = fcv_reserve(&bytes, staged ? stage.bytes : 0);
  const int64_t patches_at = fcv_reserve(&bytes, patches ? most * patch + k->mi * k->size : 0);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  char *zero = memory + zero_at;
  d.sums.data = memory + sums_at;
  d.sums.gw = gw;
  d.packed = memory + packed_at;
  d.thread_memory = memory + threads_at;
  d.patches = patches ? memory + patches_at : NULL;

  memset(d.sums.data, 0, (size_t)sums);
  memset(zero, 0, (size_t)zeros);
  d.source = fcv_source_in_place(&walk, x, zero, k->size);
  const int64_t boxes = outputs > 0 ? fcv_stage_blocks(&stage, &walk) : 0;
  for (int64_t b = 0; b < boxes; b++) {
    fcv_stage_box(&stage, &walk, b, &d.box);
    d.pixels = fcv_box_pixels(&walk, &d.box);
    d.blocks = fcv_ceil_div(d.pixels, PIXELS);
    if (staged) {
      fcv_stage_fill(k, &stage, &walk, conv->layout, x, &d.box, memory + stage_at, threads, &d.source);
      d.source.zero = zero;
    }
    fcv_parallel_for(d.blocks, (int)fcv_min(threads, fcv_threads_for((double)(d.pixels * co))), pack_block, &d);
    fcv_parallel_for(d.units, threads, sum_unit, &d);
  }
  fcv_sums_write(&d.sums, threads);
  fcv_scratch_give(memory);
  return FCV_OK;
}
