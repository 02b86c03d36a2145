/* Direct convolution of channels-first arrays: vectors run along pixels, and nothing is transposed.
 *
 * It is the product of the weights, [channel][term] as they stand in memory, with patches, [term][pixel]: a term is one
 * input channel at one tap, and a row of patches is a row of an image, moved. igemm gets rows of weights as its pixels
 * and patches as its weights. A unit takes a box of outputs and a range of output channels: it copies the rows that the
 * box meets, padded (where x cannot be read in place), then pixel by pixel panels of patches, and multiplies them while
 * they are in L2. Sums of many terms are cut into blocks of channels, whose results are added up in the output. */
#include "internal.h"

enum {
  TERM_BYTES = 2048,       /* of the terms of a block: a panel of patches stays in L1 or close to it */
  PATCH_BYTES = 128 << 10, /* panels of a unit at a time */
  STAGE_BYTES = 192 << 10, /* its padded rows */
};

struct planes {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  struct fcv_walk walk;
  int64_t taps, pitch;                              /* of w: elements of an output channel's row */
  int64_t channels;                                 /* of a block */
  int64_t width, chunk;                             /* pixels of a panel, and at a time */
  int64_t box[FCV_AXES], boxes[FCV_AXES];           /* outputs of a box, boxes: images, slices, rows */
  int64_t splits;                                   /* units of a box and group: ranges of output channels */
  int staged;                                       /* else x is read in place */
  const struct phase *phase;                        /* [in_step of a row] */
  int64_t row, slice, plane, image, bytes_of_a_box; /* element pitches of the input as it is read */
  int64_t phase_rows;                               /* from one phase of a slice's rows to the next */
  int64_t thread_bytes;
  const char *x, *w, *bias; /* w: [group][channel][pitch]; bias: [group][channel], or NULL */
  char *y, *thread_memory;
};

/* The elements of a row at phase, phase + in_step, ...: columns before .. end - 1 of them are inside. */
struct phase {
  int met; /* by some tap */
  int64_t before, end;
};

struct unit_memory {
  char *stage, *patches, *tile;
  int64_t *offset; /* [taps] */
  struct fcv_patch_run *run;
  int64_t *out; /* [run]: element of y, channel 0 of the group */
};

static int64_t lay_out(const struct planes *d, char *base, struct unit_memory *memory) {
  const int64_t size = d->kernels->size, slack = d->kernels->vl * size;
  int64_t bytes = 0;
  const int64_t stage = fcv_reserve(&bytes, d->staged ? d->bytes_of_a_box + slack : 0);
  const int64_t patches = fcv_reserve(&bytes, d->chunk * d->channels * d->taps * size + slack);
  const int64_t tile = fcv_reserve(&bytes, d->kernels->mr * d->width * size);
  const int64_t offset = fcv_reserve(&bytes, d->taps * (int64_t)sizeof(int64_t));
  const int64_t run = fcv_reserve(&bytes, d->chunk * (int64_t)sizeof(struct fcv_patch_run));
  const int64_t out = fcv_reserve(&bytes, d->chunk * (int64_t)sizeof(int64_t));
  if (base)
    *memory = (struct unit_memory){
        .stage = base + stage,
        .patches = base + patches,
        .tile = base + tile,
        .offset = (int64_t *)(base + offset),
        .run = (struct fcv_patch_run *)(base + run),
        .out = (int64_t *)(base + out),
    };
  return bytes;
}

/* What of the input a unit reads: its box of outputs, and where the input begins. */
struct view {
  int64_t lo[FCV_AXES], size[FCV_AXES]; /* outputs: images, slices, rows */
  int64_t pixels;
  const char *x;            /* of the first channel of the block */
  int64_t first[FCV_AXES];  /* coordinates at x: slice, row, column */
  int64_t first_image, end; /* image at x; elements behind x that may be read */
};

/* Elements of the input that count outputs of an axis meet, from the first to the last. */
static int64_t reach(const struct fcv_axis *axis, int64_t count) {
  return (count - 1) * axis->in_step + (axis->taps - 1) * axis->shift_step + 1;
}

/* Whether some output has a tap at the element of this distance from tap 0 of the first. */
static int is_met(const struct fcv_axis *axis, int64_t distance) {
  for (int64_t t = 0; t < axis->taps; t++)
    if ((distance - t * axis->shift_step) % axis->in_step == 0)
      return 1;
  return 0;
}

static void find_phases(const struct planes *d, struct phase *phase) {
  const struct fcv_axis *axis = &d->walk.axis[2];
  for (int64_t i = 0; i < axis->in_step; i++, phase++) {
    const int64_t first = axis->shift + i; /* column first + j * in_step, j < row, of 0 .. in - 1 */
    phase->met = is_met(axis, i);
    phase->before = fcv_min(d->row, fcv_ceil_div(fcv_max(0, -first), axis->in_step));
    phase->end = fcv_min(d->row, fcv_ceil_div(fcv_max(0, axis->in - first), axis->in_step));
    phase->end = fcv_max(phase->before, phase->end);
  }
}

/* The distance of rows that are met: with one tap those in between are not. */
static int64_t rows_step(const struct fcv_walk *walk) { return walk->axis[1].taps == 1 ? walk->axis[1].in_step : 1; }

/* Rows of one slice of a channel, above and below of them outside: every in_step-th column of all rows first, then the
 * columns that follow them, and so on, so that the pixels of a tap are neighbours. x: the first row inside. */
static void stage_rows(const struct planes *d, const char *x, int64_t rows, int64_t above, int64_t below, char *to) {
  const struct fcv_axis *axis = &d->walk.axis[2];
  const int64_t size = d->kernels->size, step = axis->in_step, row = d->row * size;
  const int64_t every = rows_step(&d->walk);
  for (int64_t i = 0; i < step; i++, to += d->phase_rows * size) {
    const struct phase *phase = &d->phase[i];
    if (!phase->met)
      continue;
    memset(to, 0, (size_t)(above * row));
    if (below > above)
      d->kernels->pad_rows(&(struct fcv_pad_rows){
          .rows = fcv_ceil_div(below - above, every),
          .before = phase->before,
          .count = phase->end - phase->before,
          .after = d->row - phase->end,
          .step = step,
          .x = x + (axis->shift + i + phase->before * step) * size,
          .y = to + above * row,
          .x_pitch = every * axis->in,
          .y_pitch = every * d->row,
      });
    memset(to + below * row, 0, (size_t)((rows - below) * row));
  }
}

/* A block of channels of what the box meets, into the thread's stage. */
static void fill_stage(const struct planes *d, int64_t channel, int64_t channels, char *stage, struct view *view) {
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t size = d->kernels->size, all = d->walk.groups * d->walk.kc;
  const int64_t slices = reach(&axis[0], view->size[1]), rows = reach(&axis[1], view->size[2]);
  view->first[0] = view->lo[1] * axis[0].in_step + axis[0].shift;
  view->first[1] = view->lo[2] * axis[1].in_step + axis[1].shift;
  view->first[2] = axis[2].shift;
  view->first_image = view->lo[0];
  view->x = stage;
  view->end = d->bytes_of_a_box / size + d->kernels->vl;
  int64_t above = fcv_min(rows, fcv_max(0, -view->first[1])); /* rows above the image, then those inside */
  above = fcv_min(rows, fcv_round_up(above, rows_step(&d->walk)));
  const int64_t below = fcv_max(above, fcv_min(rows, axis[1].in - view->first[1]));
  for (int64_t n = 0; n < view->size[0]; n++)
    for (int64_t c = 0; c < channels; c++)
      for (int64_t z = 0; z < slices; z++) {
        char *to = stage + (n * d->image + c * d->plane + z * d->slice) * size;
        const int64_t iz = view->first[0] + z;
        if (iz < 0 || iz >= axis[0].in) {
          memset(to, 0, (size_t)(d->slice * size));
          continue;
        }
        const int64_t row = (((view->lo[0] + n) * all + channel + c) * axis[0].in + iz) * axis[1].in + view->first[1];
        stage_rows(d, d->x + (row + above) * axis[2].in * size, rows, above, below, to);
      }
}

static void read_in_place(const struct planes *d, int64_t channel, struct view *view) {
  const int64_t size = d->kernels->size;
  memset(view->first, 0, sizeof view->first);
  view->first_image = 0;
  view->x = d->x + channel * d->plane * size;
  view->end = d->walk.n * d->image - channel * d->plane;
}

/* Where the taps of a pixel lie, from its tap 0. */
static void find_offsets(const struct planes *d, int64_t *offset) {
  const struct fcv_axis *axis = d->walk.axis;
  for (int64_t z = 0; z < axis[0].taps; z++)
    for (int64_t y = 0; y < axis[1].taps; y++)
      for (int64_t x = 0; x < axis[2].taps; x++) {
        const int64_t distance = x * axis[2].shift_step, step = axis[2].in_step;
        *offset++ = z * axis[0].shift_step * d->slice + y * axis[1].shift_step * d->row +
                    distance % step * d->phase_rows + distance / step;
      }
}

/* A pixel of a box: image, slice, row, column. */
struct cursor {
  int64_t at[FCV_AXES + 1];
};

/* The next count pixels of the box, at most a panel's, as runs; returns how many. */
static int64_t find_runs(const struct planes *d, const struct view *view, int64_t count, struct cursor *cursor,
                         struct fcv_patch_run *run, int64_t *out) {
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t out_plane = axis[0].out * axis[1].out * axis[2].out, all = d->walk.groups * d->walk.nc;
  int64_t runs = 0;
  for (int64_t start = 0; start < count; runs++) {
    const int64_t n = cursor->at[0], z = cursor->at[1], y = cursor->at[2], x = cursor->at[3];
    const int64_t length = fcv_min(fcv_min(count - start, d->kernels->vl), axis[2].count - x);
    run[runs] = (struct fcv_patch_run){
        .from = (n - view->first_image) * d->image + (z * axis[0].in_step + axis[0].shift - view->first[0]) * d->slice +
                (y * axis[1].in_step + axis[1].shift - view->first[1]) * d->row + x + axis[2].shift - view->first[2],
        .start = start,
        .count = length,
    };
    out[runs] = n * all * out_plane +
                ((axis[0].out_start + z * axis[0].out_step) * axis[1].out + axis[1].out_start + y * axis[1].out_step) *
                    axis[2].out +
                axis[2].out_start + x * axis[2].out_step;
    start += length;
    cursor->at[3] += length;
    if (cursor->at[3] < axis[2].count)
      continue;
    cursor->at[3] = 0;
    int i = 2;
    while (++cursor->at[i] == view->lo[i] + view->size[i] && i > 0) {
      cursor->at[i] = view->lo[i];
      i--;
    }
  }
  return runs;
}

/* A panel of patches: its pixels, their runs. */
struct panel {
  int64_t count, runs;
  int in_place; /* its pixels are neighbours in the output */
  const struct fcv_patch_run *run;
  const int64_t *out;
  const char *patches;
};

/* A few elements: for less than a vector or two a call takes longer than the copy. */
static inline void copy_few(char *to, const char *from, int64_t bytes) {
  for (; bytes >= 16; bytes -= 16, to += 16, from += 16) memcpy(to, from, 16);
  if (bytes & 8)
    memcpy(to, from, 8), to += 8, from += 8;
  if (bytes & 4)
    memcpy(to, from, 4);
}

/* Between rows of a tile and the output. */
static void move_tile(const struct planes *d, const struct panel *panel, int64_t channel, int m, int to_y, char *tile) {
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t size = d->kernels->size, plane = axis[0].out * axis[1].out * axis[2].out, step = axis[2].out_step;
  for (int i = 0; i < m; i++)
    for (int64_t r = 0; r < panel->runs; r++) {
      char *y = d->y + ((channel + i) * plane + panel->out[r]) * size;
      char *t = tile + (i * d->width + panel->run[r].start) * size;
      if (step == 1)
        copy_few(to_y ? y : t, to_y ? t : y, panel->run[r].count * size);
      else if (size == 4)
        for (int64_t j = 0; j < panel->run[r].count; j++)
          *((to_y ? (float *)y + j * step : (float *)t + j)) = *((to_y ? (float *)t + j : (float *)y + j * step));
      else
        for (int64_t j = 0; j < panel->run[r].count; j++)
          *((to_y ? (double *)y + j * step : (double *)t + j)) = *((to_y ? (double *)t + j : (double *)y + j * step));
    }
}

/* Output channels first .. last - 1 of a group, over some panels, with the terms of a block of channels. */
static void multiply(const struct planes *d, int64_t group, int64_t first, int64_t last, int64_t channel,
                     int64_t channels, const struct panel *panel, int64_t panels, char *memory) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t size = k->size, plane = axis[0].out * axis[1].out * axis[2].out;
  const int64_t tiles = fcv_ceil_div(last - first, k->mr);
  const int ends = channel + channels == d->walk.kc, fused = fcv_fused(d->conv->activation);
  const void *a[16];
  void *c[16], *own[16];
  struct fcv_igemm_tile tile = {
      .taps = 1,
      .kc = channels * d->taps,
      .a = a,
      .activation = ends && fused ? (int)d->conv->activation : FCV_LINEAR,
      .slope = d->conv->slope,
      .accumulate = channel > 0,
  };
  for (int t = 0; t < k->mr; t++) own[t] = memory + t * d->width * size;
  for (int64_t t = 0; t < tiles; t++) {
    const int64_t j0 = group * d->walk.nc + first + (last - first) * t / tiles;
    const int64_t j1 = group * d->walk.nc + first + (last - first) * (t + 1) / tiles;
    tile.m = (int)(j1 - j0);
    tile.row_bias = d->bias && channel == 0 ? d->bias + j0 * size : NULL;
    for (int i = 0; i < k->mr; i++) {
      const int64_t j = fcv_min(j0 + i, j1 - 1);
      a[i] = d->w + (j * d->pitch + channel * d->taps) * size;
      c[i] = d->y + j * plane * size;
    }
    for (int64_t p = 0; p < panels; p++) {
      const int in_place = panel[p].in_place;
      tile.w = panel[p].patches;
      tile.n = (int)panel[p].count;
      tile.c = in_place ? c : own;
      tile.c_bytes = in_place ? panel[p].out[0] * size : 0;
      if (!in_place && tile.accumulate)
        move_tile(d, &panel[p], j0, tile.m, 0, memory);
      k->igemm[fcv_ceil_div(panel[p].count, k->vl) - 1](&tile);
      for (int i = 0; ends && !fused && i < tile.m; i++) {
        char *y = (char *)tile.c[i] + tile.c_bytes;
        k->activation((int)d->conv->activation, tile.slope, INFINITY, panel[p].count, y, y);
      }
      if (!in_place)
        move_tile(d, &panel[p], j0, tile.m, 1, memory);
    }
  }
}

/* Panels of patches for the next count pixels of the box; returns how many. */
static int64_t make_panels(const struct planes *d, const struct view *view, int64_t count, struct cursor *cursor,
                           int64_t channels, const struct unit_memory *memory, struct panel *panel) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t panels = fcv_ceil_div(count, d->width);
  int64_t most = 0; /* of the offsets: phases are not in order */
  for (int64_t t = 0; t < d->taps; t++) most = fcv_max(most, memory->offset[t]);
  for (int64_t p = 0; p < panels; p++) {
    struct fcv_patch_run *run = memory->run + p * d->width;
    int64_t *out = memory->out + p * d->width;
    char *patches = memory->patches + p * d->width * channels * d->taps * k->size;
    panel[p] = (struct panel){.count = fcv_min(d->width, count - p * d->width), .run = run, .out = out};
    panel[p].patches = patches;
    panel[p].runs = find_runs(d, view, panel[p].count, cursor, run, out);
    const int64_t last = panel[p].runs - 1;
    const struct fcv_patch_run *end = &run[last];
    panel[p].in_place = d->walk.axis[2].out_step == 1 && out[last] - out[0] == end->start;
    const struct fcv_patches job = {
        .channels = channels,
        .taps = d->taps,
        .plane = d->plane,
        .runs = panel[p].runs,
        .offset = memory->offset,
        .run = run,
        .exact = end->from + (channels - 1) * d->plane + most + end->count + k->vl > view->end,
        .x = view->x,
        .to = patches,
    };
    k->patches[fcv_ceil_div(panel[p].count, k->vl) - 1](&job);
  }
  return panels;
}

static void planes_unit(const void *context, int64_t unit, int thread) {
  const struct planes *d = context;
  const int64_t split = unit % d->splits, group = unit / d->splits % d->walk.groups;
  int64_t rest = unit / d->splits / d->walk.groups;
  const int64_t totals[FCV_AXES] = {d->walk.n, d->walk.axis[0].count, d->walk.axis[1].count};
  struct unit_memory memory = {0};
  struct view view;
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  for (int i = FCV_AXES - 1; i >= 0; i--) {
    view.lo[i] = rest % d->boxes[i] * d->box[i];
    view.size[i] = fcv_min(d->box[i], totals[i] - view.lo[i]);
    rest /= d->boxes[i];
  }
  view.pixels = fcv_product(view.size) * d->walk.axis[2].count;
  find_offsets(d, memory.offset);
  const int64_t first = d->walk.nc * split / d->splits, last = d->walk.nc * (split + 1) / d->splits;
  for (int64_t c = 0; c < d->walk.kc; c += d->channels) {
    const int64_t channels = fcv_min(d->channels, d->walk.kc - c), channel = group * d->walk.kc + c;
    if (d->staged)
      fill_stage(d, channel, channels, memory.stage, &view);
    else
      read_in_place(d, channel, &view);
    struct cursor cursor = {{view.lo[0], view.lo[1], view.lo[2], 0}};
    for (int64_t q = 0; q < view.pixels; q += d->chunk) {
      struct panel panel[64];
      const int64_t panels =
          make_panels(d, &view, fcv_min(d->chunk, view.pixels - q), &cursor, channels, &memory, panel);
      multiply(d, group, first, last, c, channels, panel, panels, memory.tile);
    }
  }
}

/* Whether all taps of all outputs lie inside, and pixels of a tap are neighbours. */
static int fits_in_place(const struct fcv_walk *walk) {
  for (int i = 0; i < FCV_AXES; i++) {
    const struct fcv_axis *axis = &walk->axis[i];
    if (axis->shift < 0 || axis->shift + reach(axis, axis->count) > axis->in)
      return 0;
  }
  return walk->axis[2].in_step == 1;
}

/* A walk that maps images to images of the same size, pixel by pixel, has one row. */
static void join_rows(struct fcv_walk *walk) {
  int64_t pixels = 1;
  for (int i = 0; i < FCV_AXES; i++) {
    const struct fcv_axis *axis = &walk->axis[i];
    if (axis->taps != 1 || axis->shift != 0 || axis->in_step != 1 || axis->out_step != 1 || axis->out_start != 0 ||
        axis->in != axis->count || axis->out != axis->count)
      return;
    pixels *= axis->count;
  }
  walk->axis[0].in = walk->axis[0].out = walk->axis[0].count = 1;
  walk->axis[1].in = walk->axis[1].out = walk->axis[1].count = 1;
  walk->axis[2].in = walk->axis[2].out = walk->axis[2].count = pixels;
}

/* Boxes of outputs: as many rows as fit into the stage, but some for each thread. */
static void cut(struct planes *d, int threads) {
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t size = d->kernels->size, totals[FCV_AXES] = {d->walk.n, axis[0].count, axis[1].count};
  d->row = fcv_ceil_div(reach(&axis[2], axis[2].count), axis[2].in_step);
  const int64_t line = d->row * axis[2].in_step * d->channels * size;
  const int64_t budget = d->staged ? STAGE_BYTES / fcv_max(1, line) : INT64_MAX / 4;
  const int64_t row_pixels = fcv_max(1, axis[2].count);
  const int64_t pixels = d->staged ? INT64_MAX / 4 : fcv_max(1, 4 * d->chunk / row_pixels);
  int64_t *box = d->box;
  box[0] = box[1] = 1;
  box[2] = fcv_min(totals[2], pixels);
  while (box[2] > 1 && reach(&axis[1], box[2]) * reach(&axis[0], 1) > budget) box[2]--;
  if (box[2] == totals[2])
    while (box[1] < totals[1] && box[2] * (box[1] + 1) <= pixels &&
           reach(&axis[1], box[2]) * reach(&axis[0], box[1] + 1) <= budget)
      box[1]++;
  const int64_t lines = reach(&axis[1], box[2]) * reach(&axis[0], box[1]);
  if (box[2] == totals[2] && box[1] == totals[1])
    box[0] = fcv_max(1, fcv_min(totals[0], fcv_min(budget / lines, pixels / (box[1] * box[2]))));
  for (int i = 0; i < FCV_AXES; i++) d->boxes[i] = fcv_ceil_div(totals[i], box[i]);
  const int64_t wanted = threads > 1 ? 4 * threads : 1;
  for (int i = 0; i < FCV_AXES && fcv_product(d->boxes) * d->walk.groups < wanted; i++)
    while (box[i] > 1 && fcv_product(d->boxes) * d->walk.groups < wanted &&
           fcv_product(box) * row_pixels > 2 * d->width) {
      box[i] = fcv_ceil_div(box[i], 2);
      d->boxes[i] = fcv_ceil_div(totals[i], box[i]);
    }
  for (int i = 0; i < FCV_AXES; i++) box[i] = fcv_ceil_div(totals[i], d->boxes[i]); /* of about the same size */
  const int64_t units = fcv_product(d->boxes) * d->walk.groups;
  d->splits =
      units < 2 * threads ? fcv_max(1, fcv_min(fcv_ceil_div(2 * threads, units), d->walk.nc / d->kernels->mr)) : 1;
  if (threads == 1)
    d->splits = 1;
  if (d->staged) {
    d->phase_rows = reach(&axis[1], box[2]) * d->row;
    d->slice = axis[2].in_step * d->phase_rows;
    d->plane = reach(&axis[0], box[1]) * d->slice;
    d->image = d->channels * d->plane;
    d->bytes_of_a_box = box[0] * d->image * size;
  } else {
    d->phase_rows = 0; /* there is one phase */
    d->row = axis[2].in;
    d->slice = axis[1].in * d->row;
    d->plane = axis[0].in * d->slice;
    d->image = d->walk.groups * d->walk.kc * d->plane;
  }
}

int fcv_use_planes(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const struct fcv_axis *axis = walk->axis;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t pixels = walk->n * axis[0].count * axis[1].count * axis[2].count;
  return conv->layout == FCV_CHANNELS_FIRST && conv->algorithm == FCV_DIRECT && fcv_walk_taps(walk) > 0 &&
         walk->kc > 0 && pixels >= 2 * k->vl;
}

/* Whether w is [group][channel][term] as it stands. */
static int is_packed(const struct fcv_walk *walk, const struct fcv_weight_view *view) {
  const struct fcv_axis *axis = walk->axis;
  int64_t pitch = 1;
  for (int i = FCV_AXES - 1; i >= 0; i--) {
    if (axis[i].kernel_start != 0 || (axis[i].taps > 1 && axis[i].kernel_step * view->kernel[i] != pitch))
      return 0;
    pitch *= axis[i].taps;
  }
  return (walk->kc == 1 || view->k == pitch) && (walk->nc == 1 || view->j == walk->kc * pitch) &&
         (walk->groups == 1 || view->group == walk->nc * walk->kc * pitch);
}

/* Where the pieces of packed weights begin, and the elements from one output channel's row to the next: a row is a
 * stream of its own, and streams a large power of two apart compete for the same few lines of L1. */
struct layout {
  int64_t pitch, weights, bias, bytes;
};

static struct layout packed_layout(const struct fcv_kernels *k, const struct fcv_walk *walk) {
  struct layout layout = {0};
  const int64_t channels = walk->groups * walk->nc, terms = walk->kc * fcv_walk_taps(walk);
  layout.pitch = terms + (terms * k->size % 1024 == 0 ? 64 / k->size : 0);
  layout.weights = fcv_reserve(&layout.bytes, channels * layout.pitch * k->size);
  layout.bias = fcv_reserve(&layout.bytes, channels * k->size);
  return layout;
}

int64_t fcv_planes_packed_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  return packed_layout(fcv_kernels(conv->dtype), walk).bytes;
}

struct pack {
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  const struct fcv_weight_view *view;
  int64_t pitch, blocks;
  const char *w;
  char *packed;
};

enum { BLOCK = 8 }; /* output channels of a unit: what lies together in w is read together */

/* The taps of one input and one output channel. */
#define PACK_TAPS(type)                                                                                                \
  for (int64_t z = 0; z < axis[0].taps; z++)                                                                           \
    for (int64_t y = 0; y < axis[1].taps; y++) {                                                                       \
      const type *from = (const type *)w + z * step[0] + y * step[1];                                                  \
      for (int64_t x = 0; x < axis[2].taps; x++) *to++ = from[x * step[2]];                                            \
    }

/* Some output channels of a group. */
static void pack_unit(const void *context, int64_t unit, int thread) {
  const struct pack *p = context;
  const struct fcv_axis *axis = p->walk->axis;
  const struct fcv_weight_view *view = p->view;
  const int64_t group = unit / p->blocks, j0 = unit % p->blocks * BLOCK, j1 = fcv_min(p->walk->nc, j0 + BLOCK);
  const int64_t taps = fcv_walk_taps(p->walk), size = p->kernels->size;
  int64_t step[FCV_AXES], first = group * view->group;
  for (int i = 0; i < FCV_AXES; i++) {
    step[i] = axis[i].kernel_step * view->kernel[i];
    first += axis[i].kernel_start * view->kernel[i];
  }
  char *rows = p->packed + (group * p->walk->nc + j0) * p->pitch * size;
  (void)thread;
  if (taps == 1 && view->j == 1) {
    p->kernels->transpose(p->walk->kc, j1 - j0, p->w + (first + j0) * size, view->k, rows, p->pitch);
    return;
  }
  for (int64_t k = 0; k < p->walk->kc; k++)
    for (int64_t j = j0; j < j1; j++) {
      const char *w = p->w + (first + j * view->j + k * view->k) * size;
      char *row = rows + ((j - j0) * p->pitch + k * taps) * size;
      if (size == sizeof(float)) {
        float *to = (float *)row;
        PACK_TAPS(float)
      } else {
        double *to = (double *)row;
        PACK_TAPS(double)
      }
    }
}

void fcv_planes_pack(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                     const void *w, const void *bias, char *packed) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const struct layout layout = packed_layout(k, walk);
  struct pack pack = {.kernels = k, .walk = walk, .view = view, .w = w, .packed = packed + layout.weights};
  pack.pitch = layout.pitch;
  pack.blocks = fcv_ceil_div(walk->nc, BLOCK);
  const double work = (double)(walk->groups * walk->nc * walk->kc * fcv_walk_taps(walk));
  fcv_parallel_for(walk->groups * pack.blocks, fcv_threads_for(work), pack_unit, &pack);
  if (bias)
    memcpy(packed + layout.bias, bias, (size_t)(walk->groups * walk->nc * k->size));
}

fcv_status fcv_conv_planes(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                           const void *x, const void *w, const void *bias, void *y) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct planes d = {.conv = conv, .kernels = k, .walk = *walk, .x = x, .y = y};
  join_rows(&d.walk);
  const struct fcv_axis *axis = d.walk.axis;
  const int64_t outputs = walk->n * axis[0].count * axis[1].count * axis[2].count;
  if (outputs == 0 || walk->nc == 0)
    return FCV_OK;
  d.taps = fcv_walk_taps(walk);
  const int64_t most = fcv_max(1, TERM_BYTES / k->size / d.taps);
  d.channels = fcv_ceil_div(walk->kc, fcv_ceil_div(walk->kc, most));
  d.width = (int64_t)k->nv * k->vl;
  d.chunk = d.width * fcv_max(1, fcv_min(64, PATCH_BYTES / (d.channels * d.taps * d.width * k->size)));
  d.staged = !fits_in_place(&d.walk);
  const int threads = fcv_threads_for((double)outputs * (double)(d.taps * walk->kc) * (double)walk->nc);
  cut(&d, threads);
  d.thread_bytes = lay_out(&d, NULL, NULL);

  const int packs = !conv->packed && !is_packed(walk, view);
  const struct layout layout = packed_layout(k, walk);
  int64_t bytes = 0;
  const int64_t packed_at = fcv_reserve(&bytes, packs ? layout.bytes : 0);
  const int64_t phases_at = fcv_reserve(&bytes, d.staged ? axis[2].in_step * (int64_t)sizeof(struct phase) : 0);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.thread_memory = memory + threads_at;
  d.phase = (struct phase *)(memory + phases_at);
  if (d.staged)
    find_phases(&d, (struct phase *)(memory + phases_at));
  if (packs)
    fcv_planes_pack(conv, walk, view, w, NULL, memory + packed_at);
  const char *packed = packs ? memory + packed_at : conv->packed;
  d.w = packed ? packed + layout.weights : w;
  d.pitch = packed ? layout.pitch : d.taps * walk->kc;
  d.bias = bias && conv->packed ? packed + layout.bias : bias;
  fcv_parallel_for(fcv_product(d.boxes) * walk->groups * d.splits, threads, planes_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
