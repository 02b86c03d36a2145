/* col2im of channels-first arrays: vectors run along pixels, and nothing is transposed.
 *
 * A unit takes an image, some input channels and a band of their rows. Block by block of the pixels of gy that meet the
 * band, the product of the weights, [term][output channel], with gy, [output channel][pixel], gives the gradient of the
 * patches, [term][pixel]: a term is one input channel at one tap. Its rows are added to padded rows of the channel, of
 * which every stride-th column stands side by side, so that the pixels of a term are neighbours; at the end these rows
 * are merged into gx. */
#include "internal.h"

enum {
  COLUMN_BYTES = 128 << 10, /* of the patches' gradient at a time */
  BAND_BYTES = 192 << 10,   /* padded rows of a unit */
  TERMS = 128,              /* of a unit, unless one channel has more */
  FEW_CHANNELS = 8,
  FEW_PLANES = 32, /* of gy that are read where they lie; more, a page each, are copied some runs at a time */
  PANEL_RUNS = 4,
  FEW_UNITS = 8, /* bands are cut to have as many, where they stay high */
};

struct col2im {
  const struct fcv_kernels *kernels;
  struct fcv_walk walk; /* forward: the pixels of gy, and where their taps are in gx */
  struct fcv_weight_view view;
  int64_t taps, channels, blocks;      /* input channels of a unit; units of a group */
  int64_t rows, bands;                 /* of gx */
  int64_t lead, columns, phase, slice; /* padding on the left, of whole strides; elements of a row, phase and slice */
  int64_t block_rows, block_columns;   /* pixels of gy at a time */
  int64_t thread_bytes;
  int copies;            /* gy, to panels */
  const int64_t *offset; /* [output channel]: its plane in gy, or its row of a panel */
  const char *w, *gy;
  char *packed;       /* w as [group][input channel][tap][output channel], */
  char *packed_tiles; /* and unit's channels by unit's channels as runs take them, [tile][output channel][term] */
  char *gx, *thread_memory;
};

struct unit_memory {
  char *panel;          /* [output channel][PANEL_RUNS][vl]: runs of gy */
  char *band, *columns; /* [channel][slice][phase][row][column]; [term][pixel] */
  struct fcv_run *run;  /* of a block */
};

static int64_t block_pixels(const struct col2im *d) { return d->block_rows * d->block_columns; }

static int64_t band_elements(const struct col2im *d) {
  return d->channels * d->walk.axis[0].in * d->slice + d->kernels->vl;
}

static int64_t lay_out(const struct col2im *d, char *base, struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  int64_t bytes = 0;
  const int64_t band = fcv_reserve(&bytes, (band_elements(d) + k->vl) * k->size);
  const int64_t pixels = fcv_max(k->vl, block_pixels(d));
  const int64_t columns = fcv_reserve(&bytes, (d->channels * d->taps * pixels + k->vl) * k->size);
  const int64_t panel = fcv_reserve(&bytes, d->copies ? d->walk.nc * PANEL_RUNS * k->vl * k->size : 0);
  const int64_t run = fcv_reserve(&bytes, fcv_ceil_div(pixels, k->vl) * (int64_t)sizeof(struct fcv_run));
  if (base)
    *memory = (struct unit_memory){
        .panel = base + panel,
        .band = base + band,
        .columns = base + columns,
        .run = (struct fcv_run *)(base + run),
    };
  return bytes;
}

/* Neighbouring pixels of gy: rows of one image's slice, or a part of one row. Fewer than a vector are computed with
 * others of the image: those of the block begin lead elements behind the first of a row of columns. */
struct block {
  int64_t z, y, x, rows, columns;
  int64_t lead, pitch;
};

/* Runs of gy as rows of the panel. */
static void copy_runs(const struct col2im *d, int64_t count, const char *gy, struct fcv_run *run, char *panel) {
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t vl = d->kernels->vl, zero = 0;
  struct fcv_patch_run from[PANEL_RUNS];
  for (int64_t r = 0; r < count; r++) {
    from[r] = (struct fcv_patch_run){run[r].from, r * vl, vl};
    run[r].from = r * vl;
  }
  d->kernels->patches(&(struct fcv_patches){
      .channels = d->walk.nc,
      .taps = 1,
      .plane = axis[0].count * axis[1].count * axis[2].count,
      .runs = count,
      .offset = &zero,
      .run = from,
      .x = gy,
      .to = panel,
      .pitch = PANEL_RUNS * vl,
  });
}

/* Terms first .. first + count - 1 of some runs. */
static void multiply_runs(const struct col2im *d, int64_t first, int64_t count, int64_t runs, const char *gy,
                          struct fcv_run *run, int64_t pitch, const struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t tiles = fcv_run_tiles(k, count);
  if (d->copies)
    copy_runs(d, runs, gy, run, memory->panel);
  struct fcv_runs tile = {
      .terms = d->walk.nc,
      .count = runs,
      .offset = d->offset,
      .run = run,
      .x = d->copies ? memory->panel : gy,
      .y_plane = pitch,
  };
  for (int64_t t = 0; t < tiles; t++) {
    const int64_t t0 = count * t / tiles, t1 = count * (t + 1) / tiles;
    tile.m = (int)(t1 - t0);
    tile.w = d->packed_tiles + (first + t0) * d->walk.nc * k->size;
    tile.y = memory->columns + t0 * pitch * k->size;
    k->runs(&tile);
  }
}

/* The gradient of a block's patches, for terms first .. first + count - 1. gy: the image's group. */
static void multiply(const struct col2im *d, int64_t first, int64_t count, const char *gy, struct block *block,
                     const struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t plane = axis[0].count * axis[1].count * axis[2].count, pixels = block->rows * block->columns;
  const int64_t start = (block->z * axis[1].count + block->y) * axis[2].count + block->x;
  block->pitch = fcv_max(k->vl, pixels);
  block->lead = fcv_max(0, start + block->pitch - plane);
  int64_t runs = 0;
  for (int64_t q = 0; q < block->pitch; q += k->vl) {
    const int64_t at = fcv_min(q, block->pitch - k->vl);
    memory->run[runs++] = (struct fcv_run){at, at};
  }
  const int64_t most = d->copies ? PANEL_RUNS : runs;
  for (int64_t r = 0; r < runs; r += most)
    multiply_runs(d, first, count, fcv_min(most, runs - r), gy + (start - block->lead) * k->size, memory->run + r,
                  block->pitch, memory);
}

/* Adds the rows of a block's columns to the band, rows lo .. hi - 1 of the image. */
static void add_block(const struct col2im *d, int64_t channels, const struct block *block, int64_t lo, int64_t hi,
                      const struct unit_memory *memory) {
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t size = d->kernels->size, step = axis[2].in_step;
  const char *from = memory->columns + block->lead * size;
  for (int64_t c = 0; c < channels; c++)
    for (int64_t z = 0; z < axis[0].taps; z++)
      for (int64_t y = 0; y < axis[1].taps; y++)
        for (int64_t x = 0; x < axis[2].taps; x++, from += block->pitch * size) {
          const int64_t iz = block->z * axis[0].in_step + axis[0].shift + z * axis[0].shift_step;
          const int64_t iy = block->y * axis[1].in_step + axis[1].shift + y * axis[1].shift_step; /* of row 0 */
          if (iz < 0 || iz >= axis[0].in)
            continue;
          const int64_t r0 = fcv_max(0, fcv_ceil_div(fcv_max(0, lo - iy), axis[1].in_step));
          const int64_t r1 = fcv_min(block->rows, fcv_ceil_div(fcv_max(0, hi - iy), axis[1].in_step));
          if (r0 >= r1)
            continue;
          const int64_t column = d->lead + block->x * step + axis[2].shift + x * axis[2].shift_step;
          const int64_t at = (c * axis[0].in + iz) * d->slice + column % step * d->phase +
                             (iy + r0 * axis[1].in_step - lo) * d->columns + column / step;
          d->kernels->add_rows(&(struct fcv_add_rows){
              .rows = r1 - r0,
              .columns = block->columns,
              .x = from + r0 * block->columns * size,
              .y = memory->band + at * size,
              .x_pitch = block->columns,
              .y_pitch = axis[1].in_step * d->columns,
          });
        }
}

/* Outputs lo .. hi - 1 of an axis are those that may meet elements first .. last of gx. */
static void find_met(const struct fcv_axis *axis, int64_t first, int64_t last, int64_t *lo, int64_t *hi) {
  const int64_t reach = (axis->taps - 1) * axis->shift_step;
  *lo = fcv_ceil_div(fcv_max(0, first - axis->shift - reach), axis->in_step);
  *hi = last >= axis->shift ? fcv_min(axis->count, (last - axis->shift) / axis->in_step + 1) : 0;
}

static void col2im_unit(const void *context, int64_t unit, int thread) {
  const struct col2im *d = context;
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t size = d->kernels->size, groups = d->walk.groups, ci = d->walk.kc;
  const int64_t band = unit % d->bands, block = unit / d->bands % d->blocks,
                group = unit / d->bands / d->blocks % groups;
  const int64_t image = unit / d->bands / d->blocks / groups;
  const int64_t first = block * d->channels, channels = fcv_min(d->channels, ci - first);
  const int64_t lo = band * d->rows, hi = fcv_min(axis[1].in, lo + d->rows);
  const int64_t out = axis[0].count * axis[1].count * axis[2].count;
  const char *gy = d->gy + (image * groups + group) * d->walk.nc * out * size;
  struct unit_memory memory = {0};
  int64_t y0, y1;
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  memset(memory.band, 0, (size_t)(band_elements(d) * size));
  find_met(&axis[1], lo, hi - 1, &y0, &y1);
  if (d->walk.nc == 0)
    y1 = y0;
  for (int64_t z = 0; z < axis[0].count; z++)
    for (int64_t y = y0; y < y1; y += d->block_rows)
      for (int64_t x = 0; x < axis[2].count; x += d->block_columns) {
        struct block pixels = {.z = z, .y = y, .x = x};
        pixels.rows = fcv_min(d->block_rows, y1 - y);
        pixels.columns = fcv_min(d->block_columns, axis[2].count - x);
        multiply(d, (group * ci + first) * d->taps, channels * d->taps, gy, &pixels, &memory);
        add_block(d, channels, &pixels, lo, hi, &memory);
      }
  for (int64_t c = 0; c < channels; c++)
    for (int64_t z = 0; z < axis[0].in; z++)
      d->kernels->merge_rows(&(struct fcv_merge_rows){
          .rows = hi - lo,
          .columns = axis[2].in,
          .parts = axis[2].in_step,
          .x = memory.band + ((c * axis[0].in + z) * d->slice + d->lead / axis[2].in_step) * size,
          .y = d->gx +
               ((((image * groups + group) * ci + first + c) * axis[0].in + z) * axis[1].in + lo) * axis[2].in * size,
          .x_part = d->phase,
          .x_pitch = d->columns,
          .y_pitch = axis[2].in,
      });
}

/* The weights of one input channel. */
static void pack_unit(const void *context, int64_t unit, int thread) {
  const struct col2im *d = context;
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t size = d->kernels->size, group = unit / d->walk.kc, c = unit % d->walk.kc;
  const int64_t pitch = d->walk.nc;
  char *to = d->packed + unit * d->taps * pitch * size;
  (void)thread;
  for (int64_t z = 0; z < axis[0].taps; z++)
    for (int64_t y = 0; y < axis[1].taps; y++, to += axis[2].taps * pitch * size) {
      const int64_t from = group * d->view.group + c * d->view.k + z * d->view.kernel[0] + y * d->view.kernel[1];
      const char *w = d->w + from * size;
      if (d->view.kernel[2] == 1)
        d->kernels->transpose(d->walk.nc, axis[2].taps, w, d->view.j, to, pitch);
      else
        for (int64_t x = 0; x < axis[2].taps; x++) /* channels last: output channels are neighbours */
          memcpy(to + x * pitch * size, w + x * d->view.kernel[2] * size, (size_t)(d->walk.nc * size));
    }
}

/* Those of one unit's input channels. */
static void pack_tiles(const void *context, int64_t unit, int thread) {
  const struct col2im *d = context;
  const int64_t group = unit / d->blocks, block = unit % d->blocks, first = block * d->channels;
  const int64_t at = (group * d->walk.kc + first) * d->taps * d->walk.nc * d->kernels->size;
  (void)thread;
  fcv_pack_run_tiles(d->kernels, fcv_min(d->channels, d->walk.kc - first) * d->taps, d->walk.nc, d->packed + at,
                     d->walk.nc, d->packed_tiles + at);
}

/* Channels, rows and pixels at a time: by the shape alone, for the same bits with every number of threads. */
static void cut(struct col2im *d) {
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t size = d->kernels->size, step = axis[2].in_step, width = (int64_t)d->kernels->nv * d->kernels->vl;
  d->blocks = fcv_ceil_div(d->walk.kc, fcv_max(1, TERMS / d->taps));
  d->channels = fcv_ceil_div(d->walk.kc, d->blocks);
  d->blocks = fcv_ceil_div(d->walk.kc, d->channels);
  d->lead = fcv_round_up(fcv_max(0, -axis[2].shift), step);
  const int64_t last = axis[2].shift + (axis[2].count - 1) * step + (axis[2].taps - 1) * axis[2].shift_step;
  d->columns = (d->lead + fcv_max(axis[2].in - 1, last)) / step + 1;
  /* A band computes the rows of gy that it shares with the next one a second time. */
  const int64_t line = d->channels * axis[0].in * step * d->columns * size;
  const int64_t least = 4 * ((axis[1].taps - 1) * axis[1].shift_step + 1);
  const int64_t units = d->walk.n * d->walk.groups * d->blocks;
  const int64_t high = fcv_min(BAND_BYTES / line, fcv_ceil_div(axis[1].in * units, FEW_UNITS));
  d->bands = fcv_ceil_div(axis[1].in, fcv_max(least, high));
  d->rows = fcv_ceil_div(axis[1].in, d->bands);
  d->bands = fcv_ceil_div(axis[1].in, d->rows);
  d->phase = d->rows * d->columns;
  d->slice = step * d->phase;
  const int64_t pixels = fcv_max(width, COLUMN_BYTES / (d->channels * d->taps * size) / width * width);
  d->block_columns = fcv_min(axis[2].count, pixels);
  d->block_rows = fcv_max(1, fcv_min(axis[1].count, pixels / fcv_max(1, axis[2].count)));
}

/* With many channels or small images vectors along channels are better: 16x14x14 256->256 3x3 took 54 ms here, 46 ms
 * there; 1x14x14 1024->256 1x1 2.8 and 1.4 ms; 64x28x28 1->32 3x3 0.8 and 9.5 ms. */
int fcv_use_col2im_planes(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  return conv->layout == FCV_CHANNELS_FIRST && g->ci / g->groups <= FEW_CHANNELS &&
         fcv_product(g->out) >= 2 * fcv_kernels(conv->dtype)->vl;
}

fcv_status fcv_conv_col2im_planes(const struct fcv_conv *conv, const void *gy, const void *w, void *gx) {
  if (fcv_use_col2im_runs(conv))
    return fcv_conv_col2im_runs(conv, gy, w, gx);
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct col2im d = {.kernels = k, .w = w, .gy = gy, .gx = gx};
  fcv_walk_forward(&conv->geometry, &d.walk);
  fcv_weight_view(conv, 0, &d.view);
  d.taps = fcv_walk_taps(&d.walk);
  cut(&d);
  d.copies = d.walk.nc > FEW_PLANES;
  d.thread_bytes = lay_out(&d, NULL, NULL);
  const int64_t channels = d.walk.groups * d.walk.kc, outputs = d.walk.n * fcv_product(conv->geometry.out);
  const int threads = fcv_threads_for((double)outputs * (double)(channels * d.taps) * (double)d.walk.nc);
  int64_t bytes = 0;
  const int64_t packed_at = fcv_reserve(&bytes, channels * d.taps * d.walk.nc * k->size);
  const int64_t tiles_at = fcv_reserve(&bytes, channels * d.taps * d.walk.nc * k->size);
  const int64_t offset_at = fcv_reserve(&bytes, d.walk.nc * (int64_t)sizeof(int64_t));
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.packed = memory + packed_at;
  d.packed_tiles = memory + tiles_at;
  int64_t *offset = (int64_t *)(memory + offset_at);
  for (int64_t j = 0; j < d.walk.nc; j++)
    offset[j] = j * (d.copies ? PANEL_RUNS * k->vl : fcv_product(conv->geometry.out));
  d.offset = offset;
  d.thread_memory = memory + threads_at;
  fcv_parallel_for(channels, fcv_threads_for((double)(channels * d.taps * d.walk.nc)), pack_unit, &d);
  fcv_parallel_for(d.walk.groups * d.blocks, 1, pack_tiles, &d);
  fcv_parallel_for(d.walk.n * d.walk.groups * d.blocks * d.bands, threads, col2im_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
