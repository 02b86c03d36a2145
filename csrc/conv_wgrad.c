/* Weight gradient: gw[tap][k][j] = sum over pixels of x[pixel at tap][k] * gy[pixel][j].
 *
 * Tiles of mi x nr elements of gw are summed over blocks of PIXELS pixels. gy is packed into panels once a box of
 * pixels, x is read in place or staged as in conv_direct.c. A tile belongs to one unit, which adds up the sums of its
 * blocks in their order, and blocks depend on the shape alone: the same bits for every number of threads. */
#include "internal.h"

enum {
  PIXELS = 128,         /* of a block: a panel of gy takes half of a 32 KiB L1 */
  BOX_BYTES = 1 << 19,  /* x and gy of a box stay in L2, and of the next one, which is fetched meanwhile */
  MORE_BYTES = 1 << 20, /* the same where weights take more than BOX_BYTES: they are read and written once a box */
  FEW_BYTES = 16 << 10, /* weights that stay in L1 */
  CONFLICT = 512        /* pixels this many bytes apart: a block of them does not fit into the sets of L1 */
};

struct wgrad {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  struct fcv_panels panels;
  int64_t taps, m, rows; /* taps as the kernel sees them; values of one; tiles over them */
  int64_t channels;      /* over all groups' panels */
  struct fcv_box box;
  struct fcv_source source;
  int64_t pixels, blocks; /* of the box */
  int64_t units, thread_bytes;
  int row_taps, patch_rows; /* the taps of a kernel row are one; patches are made of kernel rows */
  int summed;               /* gw holds the sums of earlier boxes */
  const char *next[2];      /* x and gy of the next box, which is fetched into L2 meanwhile, and their */
  int64_t lines[2];         /* lines of 64 bytes */
  const char *gy;
  char *gw; /* [tap][m][co] */
  char *packed, *thread_memory;
  char *patches; /* im2col: [block][group][pixel][m], else NULL */
};

static char *block_patches(const struct wgrad *d, int64_t block) {
  return d->patches + block * PIXELS * d->walk->groups * d->m * d->kernels->size;
}

/* One block of gy: [group][panel][PIXELS][width], zero past the last channel. */
static void pack_block(const void *context, int64_t block, int thread) {
  const struct wgrad *d = context;
  const int64_t size = d->kernels->size, co = d->walk->groups * d->walk->nc, nc = d->walk->nc;
  const int64_t plane = fcv_product(d->conv->geometry.out);
  const int64_t first = block * PIXELS, count = fcv_min(PIXELS, d->pixels - first);
  int64_t *offset = (int64_t *)(d->thread_memory + thread * d->thread_bytes);
  char *to = d->packed + block * PIXELS * d->channels * size;
  if (d->patches)
    fcv_im2col(d->kernels, d->walk, &d->source, &d->box, first, count, d->patch_rows, (const void **)offset,
               block_patches(d, block));
  fcv_indirect_outputs(d->walk, &d->box, first, count, d->conv->layout, co, offset);
  for (int64_t group = 0; group < d->walk->groups; group++)
    for (int64_t panel = 0; panel < d->panels.per_group; panel++) {
      const int64_t width = fcv_panel_width(&d->panels, panel), j0 = panel * d->panels.width;
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

/* What a call of the kernel fetches of the next box, in turns of FCV_TURN pixels: call number `call` of some. */
static void fetch(const struct wgrad *d, int64_t call, int64_t calls, struct fcv_wgrad_tile *tile) {
  const int64_t lines = d->lines[0] + d->lines[1], first = lines * call / calls, end = lines * (call + 1) / calls;
  const int which = first >= d->lines[0];
  if (first == end)
    return;
  const int64_t share = fcv_ceil_div(end - first, fcv_ceil_div(tile->pixels, FCV_TURN));
  const char *from = d->next[which] + 64 * (first - (which ? d->lines[0] : 0));
  tile->ahead = (struct fcv_ahead){.from = from, .rows = 1, .lines = share, .pitch = 64 * share};
}

/* Tiles from .. to - 1 of a tap, in the order panel, row, over a block. */
static void sum_block(const struct wgrad *d, int64_t tap, int64_t block, int64_t from, int64_t to, const void **a) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t size = k->size, panels = d->walk->groups * d->panels.per_group, co = d->walk->groups * d->walk->nc;
  const int64_t count = fcv_min(PIXELS, d->pixels - block * PIXELS);
  if (d->patches)
    for (int64_t q = 0; q < count; q++) a[q] = block_patches(d, block) + q * d->m * size;
  else
    fcv_indirect_tap(d->walk, &d->source, &d->box, block * PIXELS, count, tap, d->row_taps, a);
  const int64_t group_step = d->patches ? count * d->m : d->walk->kc;
  for (int64_t t = from; t < to; t++) {
    const int64_t panel = t / d->rows, row = t % d->rows, group = panel / d->panels.per_group;
    const int64_t in_group = panel % d->panels.per_group, width = fcv_panel_width(&d->panels, in_group);
    const int64_t j0 = in_group * d->panels.width, before = group * fcv_panels_channels(&d->panels) + j0;
    const int64_t m0 = d->m * row / d->rows;
    struct fcv_wgrad_tile tile = {
        .pixels = count,
        .a = a,
        .a_bytes = (group * group_step + m0) * size,
        .b = d->packed + (block * d->channels + before) * PIXELS * size,
        .b_pitch = width,
        .gw = d->gw + ((tap * d->m + m0) * co + group * d->walk->nc + j0) * size,
        .gw_pitch = co,
        .m = (int)(d->m * (row + 1) / d->rows - m0),
        .n = (int)fcv_min(width, d->walk->nc - j0),
        .accumulate = d->summed || block > 0,
    };
    fetch(d, (tap * d->blocks + block) * panels * d->rows + t, d->taps * d->blocks * panels * d->rows, &tile);
    k->wgrad[width / k->vl - 1](&tile);
  }
}

/* Tiles first .. last - 1 of all, in the order tap, panel, row; over all blocks of the box. Few weights stay in L1, so
 * that a block of gy meets all taps while it is there; of many, those of one tap meet all blocks. */
static void sum_tiles(const struct wgrad *d, int64_t first, int64_t last, const void **a) {
  const int64_t tiles = d->walk->groups * d->panels.per_group * d->rows; /* of a tap */
  const int64_t begin = first / tiles, end = fcv_ceil_div(last, tiles), taps = end - begin;
  const int few = d->taps * d->m * d->walk->groups * d->walk->nc * d->kernels->size <= FEW_BYTES;
  for (int64_t i = 0; i < taps * d->blocks; i++) {
    const int64_t tap = begin + (few ? i % taps : i / d->blocks), block = few ? i / taps : i % d->blocks;
    sum_block(d, tap, block, fcv_max(first - tap * tiles, 0), fcv_min(last - tap * tiles, tiles), a);
  }
}

static void sum_unit(const void *context, int64_t unit, int thread) {
  const struct wgrad *d = context;
  const int64_t tiles = d->taps * d->walk->groups * d->panels.per_group * d->rows;
  sum_tiles(d, tiles * unit / d->units, tiles * (unit + 1) / d->units,
            (const void **)(d->thread_memory + thread * d->thread_bytes));
}

/* Channels last: a box's rows are neighbours in memory, or as good as. */
static void find_next(struct wgrad *d, const struct fcv_stage *stage, int64_t block, const char *x) {
  const struct fcv_axis *axis = d->walk->axis;
  struct fcv_box box;
  fcv_stage_box(stage, d->walk, block, &box);
  int64_t first[2] = {box.lo[0], box.lo[0]}, rows[2] = {box.size[0], box.size[0]};
  for (int i = 0; i < 2; i++) {
    const int64_t from = fcv_max(0, box.lo[i + 1] * axis[i].in_step + axis[i].shift);
    first[0] = first[0] * axis[i].in + fcv_min(from, axis[i].in - 1);
    first[1] = first[1] * axis[i].out + box.lo[i + 1];
    rows[0] *= fcv_min(axis[i].in, box.size[i + 1] * axis[i].in_step);
    rows[1] *= box.size[i + 1];
  }
  const int64_t size = d->kernels->size;
  const int64_t row[2] = {axis[2].in * d->walk->groups * d->walk->kc * size,
                          axis[2].out * d->walk->groups * d->walk->nc * size};
  for (int i = 0; i < 2; i++) {
    d->next[i] = (i ? d->gy : x) + first[i] * row[i];
    d->lines[i] = rows[i] * row[i] / 64;
  }
}

struct turn {
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  const char *last;
  char *gw;
};

enum { TURNED = 8 }; /* output channels of a unit */

static void turn_unit(const void *context, int64_t unit, int thread) {
  const struct turn *t = context;
  const int64_t size = t->kernels->size, kc = t->walk->kc, taps = fcv_walk_taps(t->walk);
  const int64_t co = t->walk->groups * t->walk->nc, j0 = unit * TURNED, count = fcv_min(TURNED, co - j0);
  const char *from = t->last + j0 * size;
  char *to = t->gw + j0 * kc * taps * size;
  (void)thread;
  if (taps == 1)
    t->kernels->transpose(kc, count, from, co, to, kc);
  for (int64_t k = 0; k < kc && taps > 1; k++)
    t->kernels->transpose(taps, count, from + k * co * size, kc * co, to + k * taps * size, kc * taps);
}

void fcv_weights_to_first(const struct fcv_kernels *kernels, const struct fcv_walk *walk, const void *last, void *gw,
                          int threads) {
  const struct turn turn = {.kernels = kernels, .walk = walk, .last = last, .gw = gw};
  const int64_t co = walk->groups * walk->nc;
  const int wanted = fcv_threads_for((double)(fcv_walk_taps(walk) * walk->kc * co));
  fcv_parallel_for(fcv_ceil_div(co, TURNED), threads < wanted ? threads : wanted, turn_unit, &turn);
}

fcv_status fcv_conv_wgrad(const struct fcv_conv *conv, const void *x, const void *gy, void *gw) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct fcv_walk walk;
  fcv_walk_forward(&conv->geometry, &walk);
  const struct fcv_axis *axis = walk.axis;
  const int64_t ci = walk.groups * walk.kc, co = walk.groups * walk.nc;
  if (walk.kc == 0 || walk.nc == 0)
    return FCV_OK;
  if (fcv_small_groups(conv))
    return fcv_conv_wgrad_depthwise(conv, x, gy, gw);
  const int64_t outputs = walk.n * fcv_product(conv->geometry.out), taps = fcv_walk_taps(&walk);
  const int64_t weights = taps * walk.kc * co * k->size;
  if (outputs == 0) {
    if (!conv->workspace)
      memset(gw, 0, (size_t)weights);
    return FCV_OK;
  }
  if (fcv_use_wgrad_planes(conv))
    return fcv_conv_wgrad_planes(conv, &walk, x, gy, gw);

  struct wgrad d = {.conv = conv, .kernels = k, .walk = &walk, .gy = gy};
  const int patches = conv->algorithm == FCV_IM2COL;
  d.row_taps = !patches && fcv_use_row_taps(&walk);
  d.patch_rows = patches && fcv_use_row_taps(&walk);
  const int64_t span = patches ? taps : d.row_taps ? axis[2].taps : 1;
  fcv_panels(k, walk.nc, &d.panels);
  d.channels = walk.groups * fcv_panels_channels(&d.panels);
  d.taps = taps / span;
  d.m = span * walk.kc;
  d.rows = fcv_ceil_div(d.m, k->mi);
  const int64_t tiles = d.taps * walk.groups * d.panels.per_group * d.rows;
  const double products = (double)outputs * (double)tiles * k->mi * (double)d.panels.width;
  const int threads = fcv_threads_for(products);
  d.units = fcv_min(tiles, threads > 1 ? 8 * threads : 1);

  const int64_t pixel = ci * k->size;
  const int64_t zeros = fcv_max(pixel, d.m * k->size) + fcv_max(k->mi, k->vl) * k->size;
  const int conflicts = pixel % CONFLICT == 0;
  const int in_place = patches ? !d.patch_rows : !conflicts && !(d.row_taps && fcv_pads_rows(&walk));
  const int staged = conv->layout == FCV_CHANNELS_FIRST || !in_place;
  const int64_t patch = patches ? walk.groups * d.m * k->size : 0;
  struct fcv_stage stage;
  const int64_t box = weights > BOX_BYTES ? MORE_BYTES : BOX_BYTES;
  const int64_t share = box / (pixel + patch + d.channels * k->size) * pixel;
  fcv_stage_plan(k, &walk, pixel + (conflicts ? 64 : 0), share, 1, &stage);
  fcv_stage_box(&stage, &walk, 0, &d.box);
  d.pixels = fcv_box_pixels(&walk, &d.box);
  const int64_t most = fcv_round_up(d.pixels, PIXELS);
  /* Offsets or pointers of a block; with patches a pointer for each tap. */
  d.thread_bytes = fcv_round_up(PIXELS * (patches ? taps : 1) * (int64_t)sizeof(int64_t), 64);

  const int last = conv->weight_layout == FCV_CHANNELS_LAST;
  int64_t bytes = 0;
  const int64_t last_at = fcv_reserve(&bytes, last ? 0 : weights);
  const int64_t packed_at = fcv_reserve(&bytes, most * d.channels * k->size);
  const int64_t zero_at = fcv_reserve(&bytes, zeros);
  const int64_t stage_at = fcv_reserve(&bytes, staged ? stage.bytes : 0);
  const int64_t patches_at = fcv_reserve(&bytes, patches ? most * patch + k->mi * k->size : 0);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  char *zero = memory + zero_at;
  d.gw = last ? gw : memory + last_at;
  d.packed = memory + packed_at;
  d.thread_memory = memory + threads_at;
  d.patches = patches ? memory + patches_at : NULL;

  memset(zero, 0, (size_t)zeros);
  d.source = fcv_source_in_place(&walk, x, zero, k->size);
  const int64_t boxes = fcv_stage_blocks(&stage, &walk);
  for (int64_t b = 0; b < boxes; b++) {
    fcv_stage_box(&stage, &walk, b, &d.box);
    d.pixels = fcv_box_pixels(&walk, &d.box);
    d.blocks = fcv_ceil_div(d.pixels, PIXELS);
    if (conv->layout == FCV_CHANNELS_LAST && b + 1 < boxes)
      find_next(&d, &stage, b + 1, x);
    else
      d.lines[0] = d.lines[1] = 0;
    if (staged) {
      fcv_stage_fill(k, &stage, &walk, conv->layout, x, &d.box, memory + stage_at, threads, &d.source);
      d.source.zero = zero;
    }
    fcv_parallel_for(d.blocks, (int)fcv_min(threads, fcv_threads_for((double)(d.pixels * co))), pack_block, &d);
    fcv_parallel_for(d.units, threads, sum_unit, &d);
    d.summed = 1;
  }
  if (!last)
    fcv_weights_to_first(k, &walk, d.gw, gw, threads);
  fcv_scratch_give(memory);
  return FCV_OK;
}
