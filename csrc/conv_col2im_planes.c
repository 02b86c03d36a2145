/* col2im of channels-first arrays: vectors run along pixels, and nothing is transposed.
 *
 * A unit takes an image, some input channels and a band of their rows. Block by block of the pixels of gy that meet the
 * band, the product of the weights, [term][output channel], with gy, [output channel][pixel], gives the gradient of the
 * patches, [term][pixel]: a term is one input channel at one tap. Its rows are added to padded rows of the channel, of
 * which every stride-th column stands side by side, so that the pixels of a term are neighbours; at the end these rows
 * are merged into gx. */
#include "internal.h"

enum {
  TERM_BYTES = 2048,        /* of output channels at a time, as in conv_planes.c */
  COLUMN_BYTES = 128 << 10, /* of the patches' gradient at a time */
  BAND_BYTES = 192 << 10,   /* padded rows of a unit */
  TERMS = 128,              /* of a unit, unless one channel has more */
  FEW_CHANNELS = 8,
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
  int64_t pitch;                       /* of weights: from term to term */
  int64_t thread_bytes;
  const char *w, *gy;
  char *packed; /* w as [group][input channel][tap][pitch] */
  char *gx, *thread_memory;
};

struct unit_memory {
  char *band, *columns, *panel; /* [channel][slice][phase][row][column]; [term][pixel]; a panel of gy */
};

static int64_t block_pixels(const struct col2im *d) { return d->block_rows * d->block_columns; }

static int64_t band_elements(const struct col2im *d) {
  return d->channels * d->walk.axis[0].in * d->slice + d->kernels->vl;
}

static int64_t lay_out(const struct col2im *d, char *base, struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t terms = fcv_min(d->walk.nc, TERM_BYTES / k->size);
  int64_t bytes = 0;
  const int64_t band = fcv_reserve(&bytes, (band_elements(d) + k->vl) * k->size);
  const int64_t columns = fcv_reserve(&bytes, (d->channels * d->taps * block_pixels(d) + k->vl) * k->size);
  const int64_t panel = fcv_reserve(&bytes, (terms * k->nv + 1) * k->vl * k->size);
  if (base)
    *memory = (struct unit_memory){.band = base + band, .columns = base + columns, .panel = base + panel};
  return bytes;
}

/* Neighbouring pixels of gy: rows of one image's slice, or a part of one row. */
struct block {
  int64_t z, y, x, rows, columns;
};

/* The gradient of a block's patches, for terms first .. first + count - 1. gy: the image's group. */
static void multiply(const struct col2im *d, int64_t first, int64_t count, const char *gy, const struct block *block,
                     const struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t size = k->size, plane = axis[0].count * axis[1].count * axis[2].count, width = (int64_t)k->nv * k->vl;
  const int64_t pixels = block->rows * block->columns,
                start = (block->z * axis[1].count + block->y) * axis[2].count + block->x;
  const int64_t most = TERM_BYTES / size, tiles = fcv_ceil_div(count, k->mr), zero = 0;
  const int64_t readable = d->walk.nc * plane - start; /* of gy, in the group */
  const void *a[16];
  void *c[16];
  for (int64_t q = 0; q < pixels; q += width)
    for (int64_t j = 0; j < d->walk.nc; j += most) {
      const int64_t n = fcv_min(width, pixels - q), terms = fcv_min(most, d->walk.nc - j);
      struct fcv_patch_run run[FCV_MAX_NV];
      int64_t runs = 0;
      for (; runs * k->vl < n; runs++)
        run[runs] = (struct fcv_patch_run){q + runs * k->vl, runs * k->vl, fcv_min(k->vl, n - runs * k->vl)};
      k->patches(&(struct fcv_patches){
          .channels = terms,
          .taps = 1,
          .plane = plane,
          .runs = runs,
          .offset = &zero,
          .run = run,
          .exact = (j + terms - 1) * plane + q + runs * k->vl > readable,
          .x = gy + (j * plane + start) * size,
          .to = memory->panel,
          .pitch = runs * k->vl,
      });
      struct fcv_igemm_tile tile = {
          .taps = 1,
          .kc = terms,
          .a = a,
          .w = memory->panel,
          .c = c,
          .c_bytes = q * size,
          .n = (int)n,
          .accumulate = j > 0,
      };
      for (int64_t t = 0; t < tiles; t++) {
        const int64_t t0 = count * t / tiles, t1 = count * (t + 1) / tiles;
        tile.m = (int)(t1 - t0);
        for (int i = 0; i < k->mr; i++) {
          const int64_t term = fcv_min(t0 + i, t1 - 1);
          a[i] = d->packed + ((first + term) * d->pitch + j) * size;
          c[i] = memory->columns + term * pixels * size;
        }
        k->igemm[runs - 1](&tile);
      }
    }
}

/* Adds the rows of a block's columns to the band, rows lo .. hi - 1 of the image. */
static void add_block(const struct col2im *d, int64_t channels, const struct block *block, int64_t lo, int64_t hi,
                      const struct unit_memory *memory) {
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t size = d->kernels->size, step = axis[2].in_step, pixels = block->rows * block->columns;
  const char *from = memory->columns;
  for (int64_t c = 0; c < channels; c++)
    for (int64_t z = 0; z < axis[0].taps; z++)
      for (int64_t y = 0; y < axis[1].taps; y++)
        for (int64_t x = 0; x < axis[2].taps; x++, from += pixels * size) {
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
        const struct block pixels = {z, y, x, fcv_min(d->block_rows, y1 - y),
                                     fcv_min(d->block_columns, axis[2].count - x)};
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
  char *to = d->packed + unit * d->taps * d->pitch * size;
  (void)thread;
  for (int64_t z = 0; z < axis[0].taps; z++)
    for (int64_t y = 0; y < axis[1].taps; y++, to += axis[2].taps * d->pitch * size) {
      const int64_t from = group * d->view.group + c * d->view.k + z * d->view.kernel[0] + y * d->view.kernel[1];
      const char *w = d->w + from * size;
      if (d->view.kernel[2] == 1)
        d->kernels->transpose(d->walk.nc, axis[2].taps, w, d->view.j, to, d->pitch);
      else
        for (int64_t x = 0; x < axis[2].taps; x++) /* channels last: output channels are neighbours */
          memcpy(to + x * d->pitch * size, w + x * d->view.kernel[2] * size, (size_t)(d->walk.nc * size));
    }
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
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct col2im d = {.kernels = k, .w = w, .gy = gy, .gx = gx};
  fcv_walk_forward(&conv->geometry, &d.walk);
  fcv_weight_view(conv, 0, &d.view);
  d.taps = fcv_walk_taps(&d.walk);
  cut(&d);
  d.pitch = d.walk.nc + (d.walk.nc * k->size % 1024 == 0 ? 64 / k->size : 0); /* rows compete for the sets of L1 */
  d.thread_bytes = lay_out(&d, NULL, NULL);
  const int64_t channels = d.walk.groups * d.walk.kc, outputs = d.walk.n * fcv_product(conv->geometry.out);
  const int threads = fcv_threads_for((double)outputs * (double)(channels * d.taps) * (double)d.walk.nc);
  int64_t bytes = 0;
  const int64_t packed_at = fcv_reserve(&bytes, channels * d.taps * d.pitch * k->size);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.packed = memory + packed_at;
  d.thread_memory = memory + threads_at;
  fcv_parallel_for(channels, fcv_threads_for((double)(channels * d.taps * d.walk.nc)), pack_unit, &d);
  fcv_parallel_for(d.walk.n * d.walk.groups * d.blocks * d.bands, threads, col2im_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
