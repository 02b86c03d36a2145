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
  stage->first = 0;
  stage->channels = walk->groups * walk->kc;
  stage->pitch = pitch;
  stage->columns = reach(&walk->axis[2], walk->axis[2].count);
  stage->in[0] = stage->out[0];
  stage->in[1] = reach(&walk->axis[0], stage->out[1]);
  stage->in[2] = reach(&walk->axis[1], stage->out[2]);
  stage->bytes = fcv_product(stage->in) * stage->columns * pitch + kernels->vl * kernels->size;
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
  int64_t slices, rows; /* of the box's input */
};

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

/* One row of one slice of one image. */
static void fill_row(const void *context, int64_t unit, int thread) {
  const struct fill *f = context;
  const struct fcv_axis *axis = f->walk->axis;
  const int64_t row = unit % f->rows, slice = unit / f->rows % f->slices, image = unit / f->rows / f->slices;
  const int64_t iz = f->box->lo[1] * axis[0].in_step + axis[0].shift + slice;
  const int64_t iy = f->box->lo[2] * axis[1].in_step + axis[1].shift + row;
  const int64_t columns = f->stage->columns, pitch = f->stage->pitch, width = axis[2].in;
  char *to = f->memory + unit * columns * pitch;
  (void)thread;
  if (iz < 0 || iz >= axis[0].in || iy < 0 || iy >= axis[1].in) {
    memset(to, 0, (size_t)(columns * pitch));
    return;
  }
  const int64_t before = fcv_min(columns, fcv_max(0, -axis[2].shift));
  const int64_t after = fcv_max(before, fcv_min(columns, width - axis[2].shift));
  memset(to, 0, (size_t)(before * pitch));
  if (after > before)
    copy_pixels(f, f->box->lo[0] + image, iz * axis[1].in + iy, axis[2].shift + before, after - before,
                to + before * pitch);
  memset(to + after * pitch, 0, (size_t)((columns - after) * pitch));
}

void fcv_stage_fill(const struct fcv_kernels *kernels, const struct fcv_stage *stage, const struct fcv_walk *walk,
                    fcv_layout layout, const void *x, const struct fcv_box *box, void *memory, int threads,
                    struct fcv_source *source) {
  const struct fcv_axis *axis = walk->axis;
  const struct fill fill = {
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
  fcv_parallel_for(box->size[0] * fill.slices * fill.rows, threads, fill_row, &fill);
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
