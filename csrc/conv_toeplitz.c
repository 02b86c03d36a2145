/* Blocked Toeplitz convolution, for thin layers.
 *
 * A block of neighbouring outputs of a row needs one window of (block - 1) * step + reach columns of input. The weights
 * that lead from the window to all outputs of the block form a banded Toeplitz matrix for each kernel row: column
 * o * step + t of the window meets output o with weight t, and nothing else. With it one igemm call makes a vector of
 * block * nc values where direct convolution makes nc: more products, most of them with the zeros beside the band, but
 * full vectors. A block as long as the row is the row's whole Toeplitz matrix.
 *
 * Zeros are multiplied: a NaN or infinity in the window reaches all outputs of the block. */
#include "internal.h"

enum {
  TILES = 16,             /* pixel tiles of a unit at most, a pixel being a block here */
  STAGE_BYTES = 1 << 20,  /* a staged block of input per thread */
  MATRIX_BYTES = 1 << 19, /* of the Toeplitz matrices, so that they stay in L2 */
  LONGEST = 32,           /* outputs of a block */
  STORES = 180            /* what the values of a block in a panel cost beside their products, see cost.c */
};

struct toeplitz {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  struct fcv_walk blocks; /* over blocks of outputs: a pixel of window columns for a tap, block * nc channels */
  struct fcv_panels panels;
  struct fcv_box box;
  struct fcv_source source;
  int64_t block, taps, kc; /* outputs of a block; as the kernel sees them */
  int64_t most;            /* blocks of a unit: whole rows of outputs */
  int64_t group, pixels;   /* of the box */
  int64_t thread_bytes;
  char *packed, *bias; /* of a group; bias: repeated for all outputs of a block */
  char *y, *thread_memory;
};

int64_t fcv_toeplitz_window(const struct fcv_walk *walk, int64_t block) {
  const struct fcv_axis *x = &walk->axis[2];
  return (block - 1) * x->in_step + (x->taps - 1) * x->shift_step + 1;
}

/* Of one output, in multiply-adds at full speed. */
static double cost_of(const struct fcv_kernels *kernels, const struct fcv_walk *walk, int64_t block) {
  const struct fcv_axis *x = &walk->axis[2];
  struct fcv_panels panels;
  fcv_panels(kernels, block * walk->nc, &panels);
  const int64_t taps = walk->axis[0].taps * walk->axis[1].taps;
  const double rows = (double)(taps * fcv_toeplitz_window(walk, block) * walk->kc);
  const double each = rows * (double)fcv_panels_channels(&panels) + STORES * (double)panels.per_group;
  return each * (double)fcv_ceil_div(x->count, block) / (double)x->count;
}

/* The cheapest that keeps the matrices small, the shortest of equals; or what the caller sets. */
int64_t fcv_toeplitz_block(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const struct fcv_kernels *kernels = fcv_kernels(conv->dtype);
  const struct fcv_axis *x = &walk->axis[2];
  if (conv->block)
    return fcv_min(conv->block, x->count);
  int64_t best = 1;
  double least = cost_of(kernels, walk, 1);
  for (int64_t block = 2; block <= fcv_min(LONGEST, x->count); block++) {
    const int64_t rows = walk->axis[0].taps * walk->axis[1].taps * fcv_toeplitz_window(walk, block) * walk->kc;
    const double cost = cost_of(kernels, walk, block);
    if (rows * block * walk->nc * kernels->size > MATRIX_BYTES)
      break;
    if (cost < least) {
      best = block;
      least = cost;
    }
  }
  return best;
}

int64_t fcv_toeplitz_multiplications(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const struct fcv_axis *axis = walk->axis;
  if (axis[2].count == 0 || fcv_walk_taps(walk) == 0)
    return 0;
  const int64_t block = fcv_toeplitz_block(conv, walk);
  const int64_t matrix = axis[0].taps * axis[1].taps * fcv_toeplitz_window(walk, block) * walk->kc * block * walk->nc;
  return walk->n * axis[0].count * axis[1].count * fcv_ceil_div(axis[2].count, block) * walk->groups * matrix;
}

struct unit_memory {
  const void **a;
  void **c;
  int64_t *offset; /* of a block's first output in y, channel 0 of all groups */
  char *tile;      /* [pixel][width] */
};

static int64_t lay_out(const struct toeplitz *d, char *base, struct unit_memory *memory) {
  const int64_t pixels = fcv_round_up(d->most, d->kernels->mr);
  int64_t bytes = 0;
  const int64_t a = fcv_reserve(&bytes, pixels * d->taps * (int64_t)sizeof(void *));
  const int64_t c = fcv_reserve(&bytes, pixels * (int64_t)sizeof(void *));
  const int64_t offset = fcv_reserve(&bytes, pixels * (int64_t)sizeof(int64_t));
  const int64_t tile = fcv_reserve(&bytes, pixels * d->panels.width * d->kernels->size);
  if (base)
    *memory = (struct unit_memory){
        .a = (const void **)(base + a),
        .c = (void **)(base + c),
        .offset = (int64_t *)(base + offset),
        .tile = base + tile,
    };
  return bytes;
}

/* Values first .. last - 1 of a block's block * nc, from a row of a tile to y. */
static void store_block(const struct toeplitz *d, const char *from, int64_t offset, int64_t first, int64_t last) {
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t size = d->kernels->size, nc = d->walk->nc, channels = d->walk->groups * nc;
  const int64_t plane = axis[0].out * axis[1].out * axis[2].out;
  const int channels_last = d->conv->layout == FCV_CHANNELS_LAST;
  const int64_t pixel_step = axis[2].out_step * (channels_last ? channels : 1);
  const int64_t channel_step = channels_last ? 1 : plane;
  for (int64_t v = first, run; v < last; v += run) {
    const int64_t output = v / nc, channel = v % nc;
    run = fcv_min(last - v, nc - channel);
    char *to = d->y + (offset + output * pixel_step + (d->group * nc + channel) * channel_step) * size;
    if (channels_last)
      memcpy(to, from + (v - first) * size, (size_t)(run * size));
    else
      for (int64_t i = 0; i < run; i++) memcpy(to + i * plane * size, from + (v - first + i) * size, (size_t)size);
  }
}

/* The last block of a row that is no multiple of blocks long moves back until it ends with the row: its first outputs
 * are computed twice, in one unit, to the same values. */
static void move_last_blocks(const struct toeplitz *d, struct unit_memory *memory, int64_t pixels) {
  const struct fcv_axis *x = &d->walk->axis[2];
  const int64_t per_row = d->blocks.axis[2].count, back = per_row * d->block - x->count, mr = d->kernels->mr;
  const int64_t output = x->out_step * (d->conv->layout == FCV_CHANNELS_LAST ? d->walk->groups * d->walk->nc : 1);
  const int64_t bytes = back * x->in_step * d->source.step[2];
  for (int64_t q = per_row - 1; back > 0 && q < pixels; q += per_row) {
    memory->offset[q] -= back * output;
    /* The last pixel of a unit is repeated to the end of its tile. */
    const int64_t end = q + 1 < pixels ? q + 1 : fcv_round_up(pixels, mr);
    for (int64_t i = q; i < end; i++)
      for (int64_t t = 0; t < d->taps; t++) {
        const void **a = &memory->a[(i / mr * d->taps + t) * mr + i % mr];
        if (*a != d->source.zero)
          *a = (const char *)*a - bytes;
      }
  }
}

static void toeplitz_unit(const void *context, int64_t unit, int thread) {
  const struct toeplitz *d = context;
  const struct fcv_kernels *k = d->kernels;
  const int64_t size = k->size, channels = d->walk->groups * d->walk->nc, values = d->block * d->walk->nc;
  const int64_t first = unit * d->most, pixels = fcv_min(d->most, d->pixels - first);
  /* Channels last, one group: a block's values are neighbours in y, the kernel stores them there. Not where another
   * kernel applies the activation to them: the outputs of two blocks would get it twice. */
  const int in_place = d->conv->layout == FCV_CHANNELS_LAST && d->walk->groups == 1 && d->walk->axis[2].out_step == 1 &&
                       fcv_fused(d->conv->activation);
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  fcv_indirect_taps(&d->blocks, &d->source, &d->box, first, pixels, k->mr, 1, memory.a);
  fcv_indirect_outputs(&d->blocks, &d->box, first, pixels, d->conv->layout, channels, memory.offset);
  move_last_blocks(d, &memory, pixels);
  for (int64_t panel = 0; panel < d->panels.per_group; panel++) {
    const int64_t width = fcv_panel_width(&d->panels, panel), j0 = panel * d->panels.width;
    const int64_t valid = fcv_min(width, values - j0);
    struct fcv_igemm_tile tile = {
        .taps = d->taps,
        .kc = d->kc,
        .w = d->packed + j0 * d->taps * d->kc * size,
        .n = (int)valid,
        .bias = d->bias ? d->bias + j0 * size : NULL,
        .activation = fcv_kernel_activation(d->conv),
        .slope = d->conv->slope,
    };
    for (int64_t q = 0; q < pixels; q++)
      memory.c[q] = in_place ? d->y + (memory.offset[q] + j0) * size : memory.tile + q * width * size;
    for (int64_t q = 0; q < pixels; q += k->mr) {
      tile.a = memory.a + q * d->taps;
      tile.c = memory.c + q;
      tile.m = (int)fcv_min(k->mr, pixels - q);
      k->igemm[width / k->vl - 1](&tile);
      fcv_activate_rows(k, d->conv, tile.m, valid, tile.c, 0);
    }
    for (int64_t q = 0; q < pixels && !in_place; q++) store_block(d, memory.c[q], memory.offset[q], j0, j0 + valid);
  }
}

/* The walk over blocks: a tap is a row of the window, which the view of the matrices below takes for a kernel row. */
static void walk_blocks(const struct fcv_walk *walk, int64_t block, struct fcv_walk *blocks) {
  const struct fcv_axis *x = &walk->axis[2];
  *blocks = *walk;
  blocks->groups = 1;
  blocks->nc = block * walk->nc;
  blocks->axis[2].count = fcv_ceil_div(x->count, block);
  blocks->axis[2].out_step = x->out_step * block;
  blocks->axis[2].in_step = x->in_step * block;
  blocks->axis[2].taps = fcv_toeplitz_window(walk, block);
  blocks->axis[2].shift_step = 1;
  for (int i = 0; i < FCV_AXES; i++) {
    blocks->axis[i].kernel_start = 0;
    blocks->axis[i].kernel_step = 1;
  }
}

/* The matrices of one group, dense: [tap z][tap y][column of the window][k][output][j]. */
static void fill_matrices(const struct toeplitz *d, const struct fcv_weight_view *view, const char *w, char *matrix) {
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t size = d->kernels->size, kc = d->walk->kc, nc = d->walk->nc, columns = d->blocks.axis[2].taps;
  memset(matrix, 0, (size_t)(d->taps * columns * kc * d->block * nc * size));
  for (int64_t z = 0; z < axis[0].taps; z++)
    for (int64_t y = 0; y < axis[1].taps; y++)
      for (int64_t t = 0; t < axis[2].taps; t++) {
        const int64_t at[FCV_AXES] = {z, y, t};
        int64_t from = d->group * view->group;
        for (int i = 0; i < FCV_AXES; i++)
          from += (axis[i].kernel_start + at[i] * axis[i].kernel_step) * view->kernel[i];
        for (int64_t o = 0; o < d->block; o++)
          for (int64_t k = 0; k < kc; k++) {
            const int64_t column = o * axis[2].in_step + t * axis[2].shift_step;
            char *to = matrix + ((((z * axis[1].taps + y) * columns + column) * kc + k) * d->block + o) * nc * size;
            if (view->j == 1)
              memcpy(to, w + (from + k * view->k) * size, (size_t)(nc * size));
            else
              for (int64_t j = 0; j < nc; j++)
                memcpy(to + j * size, w + (from + k * view->k + j * view->j) * size, (size_t)size);
          }
      }
}

/* Weights and bias of a group. matrix: scratch for them, dense. */
static void pack_group(const struct toeplitz *d, const struct fcv_weight_view *view, const void *w, const void *bias,
                       char *matrix) {
  const int64_t values = d->blocks.nc, size = d->kernels->size, pixel = d->walk->nc * size;
  const struct fcv_weight_view dense = {
      .kernel = {d->walk->axis[1].taps * d->kc * values, d->kc * values, d->walk->kc * values},
      .k = values,
      .j = 1,
  };
  fill_matrices(d, view, w, matrix);
  fcv_pack_weights(d->kernels, &d->blocks, &dense, matrix, d->packed,
                   fcv_threads_for((double)(d->taps * d->kc * values)));
  if (!bias)
    return;
  memset(d->bias, 0, (size_t)(fcv_panels_channels(&d->panels) * size));
  for (int64_t o = 0; o < d->block; o++)
    memcpy(d->bias + o * pixel, (const char *)bias + d->group * pixel, (size_t)pixel);
}

static void run_box(struct toeplitz *d, int threads) {
  d->pixels = fcv_box_pixels(&d->blocks, &d->box);
  fcv_parallel_for(fcv_ceil_div(d->pixels, d->most), threads, toeplitz_unit, d);
}

/* The stage reads x by the pixels of all groups and copies those of one. */
static void run_staged(struct toeplitz *d, struct fcv_stage *stage, const void *x, char *memory, int threads) {
  const int64_t boxes = fcv_stage_blocks(stage, &d->blocks);
  struct fcv_walk all = d->blocks;
  all.groups = d->walk->groups;
  stage->first = d->group * d->walk->kc;
  stage->channels = d->walk->kc;
  for (int64_t b = 0; b < boxes; b++) {
    fcv_stage_box(stage, &d->blocks, b, &d->box);
    fcv_stage_fill(d->kernels, stage, &all, d->conv->layout, x, &d->box, memory, threads, &d->source);
    run_box(d, threads);
  }
}

fcv_status fcv_conv_toeplitz(const struct fcv_conv *conv, const struct fcv_walk *walk,
                             const struct fcv_weight_view *view, const void *x, const void *w, const void *bias,
                             void *y) {
  const struct fcv_axis *axis = walk->axis;
  const int64_t outputs = walk->n * axis[0].count * axis[1].count * axis[2].count;
  if (outputs == 0 || walk->nc == 0)
    return FCV_OK;
  if (fcv_walk_taps(walk) * walk->kc == 0)
    return fcv_conv_direct(conv, walk, view, x, w, bias, y); /* nothing but the bias */
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct toeplitz d = {.conv = conv, .kernels = k, .walk = walk, .y = y};
  d.block = fcv_toeplitz_block(conv, walk);
  walk_blocks(walk, d.block, &d.blocks);
  fcv_panels(k, d.blocks.nc, &d.panels);
  d.taps = axis[0].taps * axis[1].taps;
  d.kc = d.blocks.axis[2].taps * walk->kc;
  const int64_t per_row = d.blocks.axis[2].count;
  d.most = fcv_max(1, TILES * k->mr / per_row) * per_row;
  d.thread_bytes = lay_out(&d, NULL, NULL);
  const int threads = fcv_threads_for((double)outputs * cost_of(k, walk, d.block));
  const int staged = conv->layout == FCV_CHANNELS_FIRST || walk->groups > 1 || fcv_pads_rows(walk);
  struct fcv_stage stage = {0};
  if (staged)
    fcv_stage_plan(k, &d.blocks, walk->kc * k->size, (int64_t)STAGE_BYTES * threads, 1, &stage);

  const int64_t channels = fcv_panels_channels(&d.panels);
  int64_t bytes = 0;
  const int64_t matrix_at = fcv_reserve(&bytes, d.taps * d.kc * d.blocks.nc * k->size);
  const int64_t packed_at = fcv_reserve(&bytes, d.taps * d.kc * channels * k->size);
  const int64_t bias_at = fcv_reserve(&bytes, channels * k->size);
  const int64_t zero_at = fcv_reserve(&bytes, d.kc * k->size);
  const int64_t stage_at = fcv_reserve(&bytes, stage.bytes);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.packed = memory + packed_at;
  d.bias = bias ? memory + bias_at : NULL;
  d.thread_memory = memory + threads_at;
  memset(memory + zero_at, 0, (size_t)(d.kc * k->size));
  for (d.group = 0; d.group < walk->groups; d.group++) {
    pack_group(&d, view, w, bias, memory + matrix_at);
    if (staged) {
      run_staged(&d, &stage, x, memory + stage_at, threads);
    } else {
      d.source = fcv_source_in_place(walk, x, memory + zero_at, k->size);
      d.box = (struct fcv_box){.size = {walk->n, axis[0].count, axis[1].count}};
      run_box(&d, threads);
    }
  }
  fcv_scratch_give(memory);
  return FCV_OK;
}
