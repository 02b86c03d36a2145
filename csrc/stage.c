/* Blocks of input, padded and channels last. */
#include "internal.h"

/* Elements of the input that count outputs of an axis meet, from the first to the last. */
static int64_t reach(const struct fcv_axis *axis, int64_t count) {
  return count > 0 && axis->taps > 0 ? (count - 1) * axis->in_step + (axis->taps - 1) * axis->shift_step + 1 : 0;
}

void fcv_stage_plan(const struct fcv_kernels *kernels, const struct fcv_walk *walk, int64_t pitch, int64_t budget,
                    int64_t multiple, struct fcv_stage *stage) {
  const struct fcv_axis *z = &walk->axis[0], *y = &walk->axis[1], *x = &walk->axis[2];
  const int64_t lines = fcv_max(1, budget / fcv_max(1, reach(x, x->count) * pitch));
  int64_t rows = y->count, slices = 1, images = 1;
  while (rows > multiple && reach(y, rows) * reach(z, 1) > lines) rows = fcv_round_up((rows + 1) / 2, multiple);
  if (rows == y->count) {
    while (slices < z->count && reach(y, rows) * reach(z, slices + 1) <= lines) slices++;
    if (slices == z->count)
      images = fcv_min(fcv_max(1, walk->n), fcv_max(1, lines / fcv_max(1, reach(y, rows) * reach(z, slices))));
  }
  stage->out[0] = images;
  stage->out[1] = slices;
  stage->out[2] = fcv_max(1, rows);
  fcv_stage_like(stage, kernels, walk, pitch, stage);
}

void fcv_stage_like(const struct fcv_stage *other, const struct fcv_kernels *kernels, const struct fcv_walk *walk,
                    int64_t pitch, struct fcv_stage *stage) {
  *stage = *other;
  stage->first = stage->blocks = 0;
  stage->channels = walk->groups * walk->kc;
  stage->pitch = pitch;
  stage->columns = reach(&walk->axis[2], walk->axis[2].count);
  stage->in[0] = stage->out[0];
  stage->in[1] = reach(&walk->axis[0], stage->out[1]);
  stage->in[2] = reach(&walk->axis[1], stage->out[2]);
  stage->bytes = fcv_product(stage->in) * stage->columns * pitch + kernels->vl * kernels->size;
}

static int64_t lane_bytes(const struct fcv_kernels *kernels) { return fcv_split_lanes(kernels) * kernels->size; }

int64_t fcv_split_pixel(const struct fcv_kernels *kernels, const struct fcv_walk *walk, int64_t blocks) {
  return walk->groups * blocks * lane_bytes(kernels);
}

void fcv_stage_split(const struct fcv_kernels *kernels, int64_t blocks, struct fcv_stage *stage) {
  stage->blocks = blocks;
  stage->pitch = lane_bytes(kernels);
  stage->block = fcv_product(stage->in) * stage->columns * stage->pitch;
}

static void box_counts(const struct fcv_stage *stage, const struct fcv_walk *walk, int64_t *total, int64_t *blocks) {
  total[0] = walk->n;
  total[1] = walk->axis[0].count;
  total[2] = walk->axis[1].count;
  for (int i = 0; i < FCV_AXES; i++) blocks[i] = fcv_ceil_div(total[i], stage->out[i]);
}

int64_t fcv_stage_blocks(const struct fcv_stage *stage, const struct fcv_walk *walk) {
  int64_t total[FCV_AXES], blocks[FCV_AXES];
  box_counts(stage, walk, total, blocks);
  return fcv_product(blocks);
}

void fcv_stage_box(const struct fcv_stage *stage, const struct fcv_walk *walk, int64_t block, struct fcv_box *box) {
  int64_t total[FCV_AXES], blocks[FCV_AXES];
  box_counts(stage, walk, total, blocks);
  for (int i = FCV_AXES - 1; i >= 0; i--) {
    box->lo[i] = block % blocks[i] * stage->out[i];
    box->size[i] = fcv_min(stage->out[i], total[i] - box->lo[i]);
    block /= blocks[i];
  }
}

struct fill {
  const struct fcv_kernels *kernels;
  const struct fcv_stage *stage;
  const struct fcv_walk *walk;
  fcv_layout layout;
  const char *x;
  char *memory;
  const struct fcv_box *box;
  int64_t slices, rows;     /* of the box's input */
  int64_t before, after;    /* columns before .. after - 1 of a row are inside, the others padding */
  int64_t unit_rows, units; /* rows of a unit, units of a slice */
};

enum { UNIT_BYTES = 16 << 10 };

static void copy_pixels(const struct fill *f, int64_t image, int64_t row, int64_t ix, int64_t pixels, char *to) {
  const struct fcv_axis *axis = f->walk->axis;
  const int64_t size = f->kernels->size, pitch = f->stage->pitch, all = f->walk->groups * f->walk->kc;
  const int64_t first = f->stage->first, channels = f->stage->channels;
  const int64_t plane = axis[0].in * axis[1].in * axis[2].in, pixel = row * axis[2].in + ix;
  if (f->layout == FCV_CHANNELS_FIRST) {
    const char *from = f->x + ((image * all + first) * plane + pixel) * size;
    f->kernels->transpose(channels, pixels, from, plane, to, pitch / size);
    return;
  }
  const char *from = f->x + ((image * plane + pixel) * all + first) * size;
  if (channels == all && pitch == all * size) {
    memcpy(to, from, (size_t)(pixels * pitch));
    return;
  }
  for (int64_t p = 0; p < pixels; p++) memcpy(to + p * pitch, from + p * all * size, (size_t)(channels * size));
}

/* The same in blocks of channels. */
static void split_pixels(const struct fill *f, int64_t image, int64_t row, int64_t ix, int64_t pixels, char *to) {
  const struct fcv_axis *axis = f->walk->axis;
  const int64_t size = f->kernels->size, kc = f->walk->kc, groups = f->walk->groups, blocks = f->stage->blocks;
  const int64_t plane = axis[0].in * axis[1].in * axis[2].in, pixel = row * axis[2].in + ix;
  for (int64_t group = 0; group < groups; group++, to += blocks * f->stage->block) {
    if (f->layout == FCV_CHANNELS_LAST) {
      f->kernels->split(&(struct fcv_split){
          .pixels = pixels,
          .channels = kc,
          .blocks = blocks,
          .x_step = groups * kc,
          .y_block = f->stage->block / size,
          .x = f->x + ((image * plane + pixel) * groups * kc + group * kc) * size,
          .y = to,
      });
      continue;
    }
    for (int64_t b = 0; b < blocks; b++) {
      const int64_t first = group * kc + kc * b / blocks, lanes = f->stage->pitch / size;
      const char *from = f->x + ((image * groups * kc + first) * plane + pixel) * size;
      f->kernels->transpose(fcv_min(lanes, groups * kc - first), pixels, from, plane, to + b * f->stage->block, lanes);
    }
  }
}

/* Pixels of padding. */
static void zero_pixels(const struct fill *f, int64_t pixels, char *to) {
  const int64_t blocks = fcv_max(1, f->walk->groups * f->stage->blocks);
  for (int64_t b = 0; b < blocks; b++) memset(to + b * f->stage->block, 0, (size_t)(pixels * f->stage->pitch));
}

/* Some rows of one slice of one image. */
static void fill_rows(const void *context, int64_t unit, int thread) {
  const struct fill *f = context;
  const struct fcv_axis *axis = f->walk->axis;
  const int64_t first = unit % f->units * f->unit_rows, slice = unit / f->units % f->slices;
  const int64_t image = unit / f->units / f->slices, end = fcv_min(first + f->unit_rows, f->rows);
  const int64_t iz = f->box->lo[1] * axis[0].in_step + axis[0].shift + slice;
  const int64_t iy = f->box->lo[2] * axis[1].in_step + axis[1].shift;
  const int64_t columns = f->stage->columns, pitch = f->stage->pitch, row_bytes = columns * pitch;
  char *to = f->memory + ((image * f->slices + slice) * f->rows + first) * row_bytes;
  (void)thread;
  for (int64_t row = first; row < end; row++, to += row_bytes) {
    const int inside = iz >= 0 && iz < axis[0].in && iy + row >= 0 && iy + row < axis[1].in;
    if (!inside || f->after <= f->before) {
      zero_pixels(f, columns, to);
      continue;
    }
    if (f->before > 0)
      zero_pixels(f, f->before, to);
    (f->stage->blocks ? split_pixels : copy_pixels)(f, f->box->lo[0] + image, iz * axis[1].in + iy + row,
                                                    axis[2].shift + f->before, f->after - f->before,
                                                    to + f->before * pitch);
    if (f->after < columns)
      zero_pixels(f, columns - f->after, to + f->after * pitch);
  }
}

void fcv_stage_fill(const struct fcv_kernels *kernels, const struct fcv_stage *stage, const struct fcv_walk *walk,
                    fcv_layout layout, const void *x, const struct fcv_box *box, void *memory, int threads,
                    struct fcv_source *source) {
  const struct fcv_axis *axis = walk->axis;
  struct fill fill = {
      .kernels = kernels,
      .stage = stage,
      .walk = walk,
      .layout = layout,
      .x = x,
      .memory = memory,
      .box = box,
      .slices = reach(&axis[0], box->size[1]),
      .rows = reach(&axis[1], box->size[2]),
  };
  fill.before = fcv_min(stage->columns, fcv_max(0, -axis[2].shift));
  fill.after = fcv_max(fill.before, fcv_min(stage->columns, axis[2].in - axis[2].shift));
  fill.unit_rows = UNIT_BYTES / (stage->columns * stage->pitch * fcv_max(1, walk->groups * stage->blocks));
  fill.unit_rows = fcv_max(1, fill.unit_rows);
  fill.units = fcv_ceil_div(fill.rows, fill.unit_rows);
  fcv_parallel_for(box->size[0] * fill.slices * fill.units, threads, fill_rows, &fill);
  const int64_t row = stage->columns * stage->pitch, slice = fill.rows * row;
  const int64_t z = box->lo[1] * axis[0].in_step + axis[0].shift, y = box->lo[2] * axis[1].in_step + axis[1].shift;
  *source = (struct fcv_source){
      .data = memory,
      .first_image = box->lo[0],
      .lo = {z, y, axis[2].shift},
      .hi = {z + fill.slices, y + fill.rows, axis[2].shift + stage->columns},
      .image = fill.slices * slice,
      .step = {slice, row, stage->pitch},
  };
}
