/* Weight gradient of depthwise convolution: gw[tap][c] = sum over pixels of x[pixel at tap][c] * gy[pixel][c]. Channels
 * last also of small groups: a sum for each output channel of the group.
 *
 * A unit sums some channels over a part of the boxes of pixels. It copies what a box meets of x into a stage, padded,
 * so that all taps of all pixels lie at the same distances: channels first some planes, channels last where there are
 * less channels than a vector, else it reads x where it lies; small planes are transposed, x and gy. Which boxes make a
 * part depends on the shape alone, and parts are added up in order: the same bits for every number of threads, and
 * units enough for all of them where there are few channels. */
#include "small_groups.h"

enum {
  PARTS = 64, /* units at least, where there are as many boxes */
  FIRST_BYTES = 32 << 10,
  LAST_BYTES = 96 << 10, /* a stage */
  COLUMNS = 2048,
  CHANNELS = 256,     /* of a unit that reads them where they lie, */
  COPIED_VECTORS = 4, /* or copies them */
  EDGES = 4,          /* outputs of a row for each tap but one, */
  SHORT_ROW = 16,     /* or where pixels are a multiple of */
  CONFLICT = 2048     /* bytes apart */
};

/* How a unit finds x and gy. */
enum form {
  PIXELS,         /* channels last, where they lie */
  COPIED,         /* channels last, less than a vector of them or short rows: x is padded */
  TURNED,         /* channels first: some channels of an image, transposed */
  PLANES,         /* channels first, vectors along rows: x is copied, padded */
  PLANES_IN_PLACE /* the same where they lie, but for the first and last ones */
};

struct depthwise {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  struct fcv_axes axes;
  struct fcv_padded stage;
  int64_t taps, channels;
  int64_t multiplier;    /* filters of a channel of x; channels are those of gy */
  int64_t outputs;       /* channels of a group */
  int64_t sums;          /* of a channel: taps * outputs */
  int64_t block, blocks; /* channels of a unit, units over them; the last block ends with the last channel */
  int64_t boxes, parts;  /* of all images */
  int64_t thread_bytes;
  enum form form;
  int64_t slack; /* elements that are read around planes in place */
  const char *x, *gy;
  char *sum, *thread_memory; /* [block][part][block of channels][tap], channels last [tap][output][channel] */
};

struct unit_memory {
  const void **x;                             /* [taps] */
  void **gw;                                  /* [taps] */
  char *stage, *single, *gy, *lanes, *turned; /* single: with a multiplier, each value of x once */
  char *pixels_x, *pixels_gy;                 /* [pixel][block] */
};

static int along_rows(const struct depthwise *d) { return d->form == PLANES || d->form == PLANES_IN_PLACE; }

static int64_t lay_out(const struct depthwise *d, char *base, struct unit_memory *memory) {
  const int64_t size = d->kernels->size, vl = d->kernels->vl;
  const int64_t lanes = along_rows(d) ? d->block * d->taps * vl * size : 0;
  const int64_t pixel = d->form == TURNED ? d->block * size : 0;
  int64_t bytes = 0;
  const int64_t x = fcv_reserve(&bytes, d->taps * (int64_t)sizeof(void *));
  const int64_t gw = fcv_reserve(&bytes, d->taps * (int64_t)sizeof(void *));
  const struct fcv_axis *rows = d->axes.axis[1];
  const int64_t reach = fcv_min(rows->in, d->stage.rows * rows->in_step + rows->taps * rows->shift_step);
  const int64_t copy = (reach * d->axes.in[2] + 2 * d->slack) * size; /* of one plane */
  const int padded = d->form == COPIED || d->form == PLANES;
  const int64_t stage = fcv_reserve(&bytes, d->form == PLANES_IN_PLACE ? copy : padded ? d->stage.bytes : 0);
  const int64_t single = fcv_reserve(&bytes, d->multiplier > 1 ? d->stage.bytes / d->multiplier + 2 * vl * size : 0);
  const int64_t gy_pixel = d->form == COPIED ? d->block * size : d->form == PLANES_IN_PLACE ? size : 0;
  const int64_t gy = fcv_reserve(&bytes, (d->stage.rows * d->stage.columns + vl) * gy_pixel);
  const int64_t lanes_at = fcv_reserve(&bytes, lanes);
  const int64_t turned = fcv_reserve(&bytes, lanes);
  const int64_t pixels_x = fcv_reserve(&bytes, fcv_product(d->axes.in) * pixel);
  const int64_t pixels_gy = fcv_reserve(&bytes, fcv_product(d->axes.out) * pixel);
  if (base)
    *memory = (struct unit_memory){
        .x = (const void **)(base + x),
        .gw = (void **)(base + gw),
        .stage = base + stage,
        .single = base + single,
        .gy = base + gy,
        .lanes = base + lanes_at,
        .turned = base + turned,
        .pixels_x = base + pixels_x,
        .pixels_gy = base + pixels_gy,
    };
  return bytes;
}

static int64_t first_channel(const struct depthwise *d, int64_t block) {
  return fcv_max(0, fcv_min(block * d->block, d->channels - d->block));
}

/* A box of outputs: of an image, a slice. */
struct box {
  int64_t n, z;
  struct fcv_padded_box at;
};

static void find_box(const struct depthwise *d, int64_t number, struct box *box) {
  const int64_t block = number % d->stage.blocks, band = number / d->stage.blocks % d->stage.bands;
  const int64_t slice = number / d->stage.blocks / d->stage.bands;
  box->n = slice / d->axes.out[0];
  box->z = slice % d->axes.out[0];
  fcv_padded_box(&d->stage, &d->axes, box->z, band, block, &box->at);
}

/* Channels last: bytes from gy to an output of a box's slice. */
static int64_t output_of(const struct depthwise *d, const struct box *box, int64_t y, int64_t x) {
  const int64_t *out = d->axes.out;
  return (((box->n * out[0] + box->z) * out[1] + y) * out[2] + x) * d->channels * d->kernels->size;
}

/* Where the taps that lie inside on axis 0 begin in the stage, and their sums; of pixels that are pitch elements wide,
 * sums gw_tap elements. */
static int64_t find_taps(const struct depthwise *d, const struct fcv_padded_box *box, int64_t pitch, char *gw,
                         int64_t gw_tap, const struct unit_memory *memory) {
  const struct fcv_axis *y = d->axes.axis[1], *x = d->axes.axis[2];
  const int64_t size = d->kernels->size;
  int64_t taps = 0;
  gw += box->slices.lo * y->taps * x->taps * gw_tap * size;
  for (int64_t tz = 0; tz < box->slices.hi - box->slices.lo; tz++)
    for (int64_t ty = 0; ty < y->taps; ty++)
      for (int64_t tx = 0; tx < x->taps; tx++, taps++) {
        const int64_t at = fcv_padded_offset(&d->stage, box, tz, y, x, tx) + ty * y->shift_step * d->stage.row;
        memory->x[taps] = memory->stage + at * pitch * size;
        memory->gw[taps] = gw + taps * gw_tap * size;
      }
  return taps;
}

static void sum_planes(const struct depthwise *d, int64_t first, const struct box *box,
                       const struct unit_memory *memory) {
  const int64_t size = d->kernels->size, vl = d->kernels->vl, *out = d->axes.out;
  const int64_t *o0 = box->at.o0, *o1 = box->at.o1;
  struct fcv_depthwise_sums sums = {
      .taps = find_taps(d, &box->at, 1, memory->lanes, vl, memory),
      .rows = o1[1] - o0[1],
      .width = o1[2] - o0[2],
      .x = memory->x,
      .x_row = d->axes.axis[1]->in_step * d->stage.row,
      .gw = memory->gw,
      .gy_row = out[2],
  };
  for (int64_t c = 0, planes; c < d->block; c += planes) {
    planes = fcv_min(d->stage.planes, d->block - c);
    const int64_t plane = box->n * d->channels + first + c;
    fcv_padded_fill(d->kernels, &d->stage, &d->axes, d->x, plane, planes, &box->at, memory->stage);
    for (int64_t p = 0; p < planes; p++) {
      sums.x_offset = p * d->stage.plane;
      sums.gy = d->gy + ((((plane + p) * out[0] + box->z) * out[1] + o0[1]) * out[2] + o0[2]) * size;
      sums.gw_offset = (c + p) * d->taps * vl;
      d->kernels->depthwise_sums_first(&sums);
    }
  }
}

/* Rows r0, r0 + shift_step ... of a box. */
static void sum_rows_in_place(const struct depthwise *d, int64_t first, const struct box *box, int64_t r0,
                              const struct unit_memory *memory) {
  const struct fcv_axis *rows = d->axes.axis[1], *columns = d->axes.axis[2];
  const int64_t size = d->kernels->size, planes = d->conv->geometry.n * d->channels;
  struct fcv_depthwise_planes p;
  const int64_t row = fcv_planes_rows(rows, columns, r0, box->at.o1[1], &p);
  const int64_t edge = fcv_ceil_div(d->slack, fcv_min(p.x_plane, p.y_plane));
  p.ahead = d->channels * p.x_plane; /* the next image */
  p.y_ahead = d->channels * p.y_plane;
  for (int64_t c = 0; c < d->block; c += p.planes) {
    const int64_t plane = box->n * d->channels + first + c;
    const int copied = plane < edge || plane >= planes - edge;
    const char *gy = d->gy + (plane * p.y_plane + r0 * columns->out) * size;
    p.x = d->x + (plane * p.x_plane + row * columns->in) * size;
    p.planes = copied ? 1 : fcv_min(d->block - c, planes - edge - plane);
    if (copied) {
      p.x = memcpy(memory->stage + d->slack * size, p.x, (size_t)(fcv_planes_extent(&p) * size));
      gy = memcpy(memory->gy, gy, (size_t)(((p.rows - 1) * p.y_row + p.width) * size));
    }
    d->kernels->depthwise_plane_sums(&p, gy, memory->lanes + c * d->taps * d->kernels->vl * size);
  }
}

static void sum_planes_in_place(const struct depthwise *d, int64_t first, const struct box *box,
                                const struct unit_memory *memory) {
  const int64_t r0 = box->at.o0[1];
  for (int64_t r = r0; r < fcv_min(r0 + d->axes.axis[1]->shift_step, box->at.o1[1]); r++)
    sum_rows_in_place(d, first, box, r, memory);
}

static fcv_depthwise_sums_fn *sums_kernel(const struct depthwise *d) {
  return d->outputs > 1 ? d->kernels->grouped_sums_last : d->kernels->depthwise_sums_last;
}

/* x of a box, padded; with a multiplier each value as often as filters meet it. */
static void copy_pixels(const struct depthwise *d, int64_t first, int64_t channels, const struct box *box,
                        const struct unit_memory *memory) {
  const int64_t size = d->kernels->size, m = d->multiplier, block = d->block / m;
  char *to = m > 1 ? memory->single : memory->stage;
  fcv_padded_fill_pixels(d->kernels, &d->stage, &d->axes, d->x + first / m * size, box->n, d->channels / m,
                         channels / m, block, &box->at, to);
  const int64_t pixels = (box->at.hi[1] - box->at.lo[1]) * d->stage.row;
  for (int64_t z = 0; z < box->at.slices.hi - box->at.slices.lo && m > 1; z++) {
    const int64_t at = z * d->stage.slice * block * size;
    d->kernels->repeat(pixels * block, m, to + at, memory->stage + at * m);
  }
}

static void sum_copied(const struct depthwise *d, int64_t first, const struct box *box, char *gw,
                       const struct unit_memory *memory) {
  const int64_t size = d->kernels->size, channels = fcv_min(d->block, d->channels);
  const int64_t *o0 = box->at.o0, rows = box->at.o1[1] - o0[1], columns = box->at.o1[2] - o0[2];
  const char *gy = d->gy + output_of(d, box, o0[1], o0[2]) + first * size;
  copy_pixels(d, first, channels, box, memory);
  for (int64_t r = 0; r < rows; r++)
    d->kernels->pad_rows(&(struct fcv_pad_rows){
        .rows = columns,
        .count = channels,
        .after = d->block - channels,
        .step = 1,
        .x = gy + r * d->axes.out[2] * d->channels * size,
        .y = memory->gy + r * columns * d->block * size,
        .x_pitch = d->channels,
        .y_pitch = d->block,
    });
  sums_kernel(d)(&(struct fcv_depthwise_sums){
      .taps = find_taps(d, &box->at, d->block, gw, d->outputs * d->block, memory),
      .columns = d->axes.axis[2]->taps,
      .outputs = d->outputs,
      .rows = rows,
      .count = columns,
      .width = d->block,
      .x = memory->x,
      .gy = memory->gy,
      .x_row = d->axes.axis[1]->in_step * d->stage.row * d->block,
      .x_step = d->axes.axis[2]->in_step * d->block,
      .x_tap = d->axes.axis[2]->shift_step * d->block,
      .gy_row = columns * d->block,
      .gy_step = d->block,
      .gw = memory->gw,
      .gw_output = d->block,
  });
}

/* The outputs from o on that meet the same taps: one, or all that have all of them inside. */
static int64_t run_end(const struct fcv_axis *axis, int64_t o, int64_t end, struct fcv_met *met) {
  *met = fcv_taps_inside(axis, o);
  if (met->hi - met->lo < axis->taps)
    return o + 1;
  const int64_t room = axis->in - axis->shift - (axis->taps - 1) * axis->shift_step;
  return fcv_min(end, fcv_ceil_div(room, axis->in_step));
}

/* Outputs of a box that meet the same taps. */
struct run {
  int64_t y0, y1, x0, x1;
  struct fcv_met in_y, in_x;
};

/* Channels last. */
static void sum_run(const struct depthwise *d, int64_t first, const struct box *box, const struct run *run, char *gw,
                    const struct unit_memory *memory) {
  const struct fcv_axis *z = box->at.axis_z, *y = d->axes.axis[1], *x = d->axes.axis[2];
  const struct fcv_met *in_z = &box->at.slices, *in_y = &run->in_y, *in_x = &run->in_x;
  const int64_t size = d->kernels->size, *in = d->axes.in, *out = d->axes.out;
  int64_t taps = 0;
  for (int64_t tz = in_z->lo; tz < in_z->hi; tz++)
    for (int64_t ty = in_y->lo; ty < in_y->hi; ty++)
      for (int64_t tx = in_x->lo; tx < in_x->hi; tx++) {
        const int64_t iz = in_z->first + (tz - in_z->lo) * z->shift_step;
        const int64_t iy = in_y->first + (ty - in_y->lo) * y->shift_step;
        const int64_t ix = in_x->first + (tx - in_x->lo) * x->shift_step;
        memory->x[taps] = d->x + ((((box->n * in[0] + iz) * in[1] + iy) * in[2] + ix) * d->channels + first) * size;
        memory->gw[taps++] = gw + ((tz * y->taps + ty) * x->taps + tx) * d->outputs * d->block * size;
      }
  struct fcv_depthwise_sums sums = {
      .taps = taps,
      .columns = in_x->hi - in_x->lo,
      .outputs = d->outputs,
      .rows = run->y1 - run->y0,
      .count = run->x1 - run->x0,
      .width = d->block,
      .x = memory->x,
      .gy = d->gy + output_of(d, box, run->y0, run->x0) + first * size,
      .gw = memory->gw,
      .gw_output = d->block,
      .x_row = y->in_step * in[2] * d->channels,
      .x_step = x->in_step * d->channels,
      .x_tap = x->shift_step * d->channels,
      .gy_row = out[2] * d->channels,
      .gy_step = d->channels,
  };
  if (d->form == PIXELS && sums.count > 1) { /* the rows below */
    const int64_t iz = in_z->first + (in_z->hi - 1 - in_z->lo) * z->shift_step;
    const int64_t iy = in_y->first + (in_y->hi - 1 - in_y->lo) * y->shift_step + (sums.rows - 1) * y->in_step + 1;
    sums.x_ahead = d->x + (((box->n * in[0] + iz) * in[1] + iy) * in[2] * d->channels + first) * size;
    sums.gy_ahead = d->gy + output_of(d, box, run->y1, 0) + first * size;
    sums.x_fetches = y->in_step * x->in_step;
  }
  sums_kernel(d)(&sums);
}

static void sum_pixels(const struct depthwise *d, int64_t first, const struct box *box, char *gw,
                       const struct unit_memory *memory) {
  struct run run;
  for (run.y0 = box->at.o0[1]; run.y0 < box->at.o1[1]; run.y0 = run.y1) {
    run.y1 = run_end(d->axes.axis[1], run.y0, box->at.o1[1], &run.in_y);
    for (run.x0 = box->at.o0[2]; run.x0 < box->at.o1[2]; run.x0 = run.x1) {
      run.x1 = run_end(d->axes.axis[2], run.x0, box->at.o1[2], &run.in_x);
      sum_run(d, first, box, &run, gw, memory);
    }
  }
}

/* A box is an image. */
static void sum_turned(const struct depthwise *d, int64_t first, const struct box *box, char *gw,
                       const struct unit_memory *memory) {
  const int64_t size = d->kernels->size, in = fcv_product(d->axes.in), out = fcv_product(d->axes.out);
  const int64_t plane = box->n * d->channels + first;
  struct depthwise last = *d;
  last.channels = d->block;
  last.x = memory->pixels_x;
  last.gy = memory->pixels_gy;
  d->kernels->transpose(d->block, in, d->x + plane * in * size, in, memory->pixels_x, d->block);
  d->kernels->transpose(d->block, out, d->gy + plane * out * size, out, memory->pixels_gy, d->block);
  sum_pixels(&last, 0, &(struct box){.at = box->at}, gw, memory);
}

static void sum_box(const struct depthwise *d, int64_t first, const struct box *box, char *gw,
                    const struct unit_memory *memory) {
  switch (d->form) {
  case PIXELS:
    sum_pixels(d, first, box, gw, memory);
    break;
  case COPIED:
    sum_copied(d, first, box, gw, memory);
    break;
  case TURNED:
    sum_turned(d, first, box, gw, memory);
    break;
  case PLANES:
    sum_planes(d, first, box, memory);
    break;
  case PLANES_IN_PLACE:
    sum_planes_in_place(d, first, box, memory);
    break;
  }
}

static void sum_unit(const void *context, int64_t unit, int thread) {
  const struct depthwise *d = context;
  const int64_t size = d->kernels->size, vl = d->kernels->vl, sums = d->block * d->sums;
  const int64_t part = unit % d->parts, first = first_channel(d, unit / d->parts);
  const int planes = along_rows(d);
  char *gw = d->sum + unit * sums * size;
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  memset(planes ? memory.lanes : gw, 0, (size_t)(sums * (planes ? vl : 1) * size));
  for (int64_t b = d->boxes * part / d->parts; b < d->boxes * (part + 1) / d->parts; b++) {
    struct box box;
    find_box(d, b, &box);
    sum_box(d, first, &box, gw, &memory);
  }
  if (!planes)
    return;
  memset(gw, 0, (size_t)(sums * size));
  d->kernels->transpose(sums, vl, memory.lanes, vl, memory.turned, sums);
  d->kernels->sum_rows(vl, sums, memory.turned, sums, gw);
}

/* The parts of a block, added up in order and written to gw. */
static void write_block(const struct depthwise *d, const struct fcv_weight_view *view, int64_t block, char *gw) {
  const int64_t size = d->kernels->size, sums = d->block * d->sums, channels = fcv_min(d->block, d->channels);
  const int64_t first = first_channel(d, block), *kernel = d->conv->geometry.kernel;
  char *sum = d->sum + block * d->parts * sums * size;
  const int planes = along_rows(d);
  d->kernels->sum_rows(d->parts - 1, sums, sum + sums * size, sums, sum);
  if (d->outputs > 1) {
    fcv_group_weights(d->conv, 1, first / d->outputs, channels / d->outputs, d->block, 0, sum, gw);
    return;
  }
  if (planes && view->kernel[2] == 1 && view->j == d->taps) {
    memcpy(gw + first * view->j * size, sum, (size_t)(channels * d->taps * size));
    return;
  }
  for (int64_t t = 0; t < d->taps; t++) {
    const int64_t z = t / kernel[2] / kernel[1], y = t / kernel[2] % kernel[1], x = t % kernel[2];
    const int64_t element = z * view->kernel[0] + y * view->kernel[1] + x * view->kernel[2] + first * view->j;
    if (!planes && view->j == 1) {
      memcpy(gw + element * size, sum + t * d->block * size, (size_t)(channels * size));
      continue;
    }
    for (int64_t c = 0; c < channels; c++)
      memcpy(gw + (element + c * view->j) * size, sum + (planes ? c * d->taps + t : t * d->block + c) * size,
             (size_t)size);
  }
}

/* Many pixels are at an edge, where each number of taps inside takes a call, or compete for the same few lines of L1:
 * 16x7x7x1024 3x3 0.95 ms became 0.47, 1x14x14x512 0.080 and 0.055 (Zen 4). 14x14x480 lost a tenth, strides more. */
static int is_short(const struct depthwise *d) {
  const struct fcv_axis *row = d->axes.axis[2];
  const int conflicts = d->channels * d->kernels->size % CONFLICT == 0 && row->in_step == 1;
  return d->outputs == 1 && row->count <= fcv_max(EDGES * (row->taps - 1), conflicts ? SHORT_ROW : 0);
}

static enum form form_of(const struct depthwise *d) {
  const int64_t vl = d->kernels->vl;
  if (d->conv->layout == FCV_CHANNELS_LAST)
    return d->channels < vl || d->multiplier > 1 || is_short(d) ? COPIED : PIXELS;
  if (fcv_depthwise_in_place(d->conv, 0) && d->axes.out[2] <= COLUMNS)
    return PLANES_IN_PLACE;
  return d->axes.in[0] == 1 && d->axes.out[0] == 1 && fcv_depthwise_is_small(d->conv, vl) ? TURNED : PLANES;
}

/* Channels of a unit that reads pixels where they lie: whole vectors, as few channels twice as can be. */
static int64_t block_of_pixels(const struct depthwise *d) {
  const int64_t vl = d->kernels->vl, most = d->channels / vl * vl, blocks = fcv_ceil_div(d->channels, CHANNELS);
  int64_t best = vl, least = INT64_MAX;
  for (int64_t b = blocks; b < blocks + 4; b++) {
    const int64_t block = fcv_min(most, fcv_round_up(fcv_ceil_div(d->channels, b), vl));
    const int64_t all = fcv_ceil_div(d->channels, block) * block;
    if (all < least) {
      least = all;
      best = block;
    }
  }
  return best;
}

/* How channels and boxes are cut. */
static void cut(struct depthwise *d) {
  const struct fcv_kernels *k = d->kernels;
  d->slack = FCV_PLANE_SLACK * k->vl;
  d->form = form_of(d);
  switch (d->form) {
  case PIXELS:
    d->block = block_of_pixels(d);
    fcv_padded_plan(k, &d->axes, LAST_BYTES, COLUMNS, 1, d->channels, &d->stage);
    break;
  case COPIED:
    d->block = fcv_max(1, fcv_min(COPIED_VECTORS, d->channels / k->vl)) * k->vl;
    while (d->block % d->multiplier) d->block += k->vl;
    fcv_padded_plan(k, &d->axes, LAST_BYTES, COLUMNS, 1, d->block, &d->stage);
    break;
  case TURNED:
    d->block = fcv_min(2 * k->vl, d->channels / k->vl * k->vl);
    fcv_padded_plan(k, &d->axes, INT64_MAX / 4, COLUMNS, 1, d->block, &d->stage);
    break;
  case PLANES:
  case PLANES_IN_PLACE:
    fcv_padded_plan(k, &d->axes, FIRST_BYTES, COLUMNS, 1, 0, &d->stage);
    d->block = fcv_min(fcv_max(1, d->channels / PARTS), d->stage.planes);
  }
  d->blocks = fcv_ceil_div(d->channels, d->block);
  d->boxes = d->conv->geometry.n * d->axes.out[0] * d->stage.bands * d->stage.blocks;
  d->parts = fcv_max(1, fcv_min(d->boxes, fcv_ceil_div(PARTS, d->blocks)));
}

fcv_status fcv_conv_wgrad_depthwise(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                    const void *gy, void *gw) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct fcv_weight_view view;
  struct depthwise d = {.conv = conv, .kernels = k, .x = x, .gy = gy};
  struct fcv_axis axes[FCV_AXES];
  fcv_axes(g, 0, axes, &d.axes);
  fcv_weight_view(conv, 0, &view);
  d.taps = fcv_product(g->kernel);
  d.channels = g->co;
  d.multiplier = fcv_max(1, fcv_channel_multiplier(conv));
  d.outputs = fcv_max(1, fcv_small_groups(conv));
  d.sums = d.taps * d.outputs;
  (void)walk;
  cut(&d);
  d.thread_bytes = lay_out(&d, NULL, NULL);
  const int threads = fcv_threads_for((double)(g->n * d.sums * d.channels) * (double)fcv_product(g->out));

  int64_t bytes = 0;
  const int64_t sums_at = fcv_reserve(&bytes, d.blocks * d.parts * d.block * d.sums * k->size);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.sum = memory + sums_at;
  d.thread_memory = memory + threads_at;
  fcv_parallel_for(d.blocks * d.parts, threads, sum_unit, &d);
  for (int64_t b = 0; b < d.blocks; b++) write_block(&d, &view, b, gw);
  fcv_scratch_give(memory);
  return FCV_OK;
}
