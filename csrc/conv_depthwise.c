/* Depthwise convolution, forward and input gradient: every channel meets itself only. Channels last also groups of so
 * few channels that a vector holds several of them.
 *
 * There are few products for each element, so what counts is that each is loaded once. The kernel gets lines of outputs
 * that lie a step apart, and loads a vector of the input once for all lines of a tile that it meets. Channels last,
 * lines are the pixels of a row, and vectors run along channels; taps outside of the image are left out. An input
 * gradient with stride s is s walks an axis: all of them write a row before the next one. Channels first, planes whose
 * rows would not fill a vector are transposed, some channels of an image at a time. */
#include "small_groups.h"

enum { STAGE_BYTES = 32 << 10, COLUMNS = 2048, TURNED_BYTES = 256 << 10 };

struct depthwise {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  struct fcv_axes axes;
  int64_t n, channels;
  int64_t inputs;         /* channels of a group */
  int64_t parts, splits;  /* units: parts of the rows, and of the channels */
  int64_t w_tap, w_input; /* elements from one tap, and input channel, to the next */
  int64_t merged;         /* less channels than a vector: so many pixels of a row count as one; else 0 */
  struct fcv_padded stage;
  int64_t turned; /* channels of a transposed pixel, or 0 */
  int past_caches;
  int64_t thread_bytes;
  const char *x, *w, *bias;
  char *y, *thread_memory;
};

struct unit_memory {
  const void **x, **w; /* [groups] */
  char *stage;
  char *turned_x, *turned_y; /* [pixel][turned] */
};

static int64_t lay_out(const struct depthwise *d, char *base, struct unit_memory *memory) {
  const int64_t groups = d->conv->geometry.kernel[0] * d->conv->geometry.kernel[1];
  int64_t bytes = 0;
  const int64_t x = fcv_reserve(&bytes, groups * (int64_t)sizeof(void *));
  const int64_t w = fcv_reserve(&bytes, groups * (int64_t)sizeof(void *));
  const int64_t stage = fcv_reserve(&bytes, d->merged ? d->stage.bytes + d->kernels->vl * d->kernels->size : 0);
  const int64_t turned = d->turned * d->kernels->size, slack = d->turned ? d->kernels->vl * d->kernels->size : 0;
  const int64_t turned_x = fcv_reserve(&bytes, fcv_product(d->axes.in) * turned + slack);
  const int64_t turned_y = fcv_reserve(&bytes, fcv_product(d->axes.out) * turned);
  if (base)
    *memory = (struct unit_memory){
        .x = (const void **)(base + x),
        .w = (const void **)(base + w),
        .stage = base + stage,
        .turned_x = base + turned_x,
        .turned_y = base + turned_y,
    };
  return bytes;
}

/* Channels last. Outputs o0 .. o1 - 1 of one residue, which meet the same taps. */
static void run_columns(const struct depthwise *d, const struct fcv_axis *axis, int64_t o0, int64_t o1,
                        struct fcv_depthwise *lines, char *row) {
  const struct fcv_met met = fcv_taps_inside(axis, o0);
  lines->taps = met.hi - met.lo;
  lines->x_offset = met.first * d->channels;
  lines->w_offset = (axis->kernel_start + met.lo * axis->kernel_step) * d->w_tap;
  lines->y = row + (axis->out_start + o0 * axis->out_step) * d->channels * d->kernels->size;
  lines->count = o1 - o0;
  (d->inputs > 1 ? d->kernels->grouped_last : d->kernels->depthwise_last)(lines);
}

/* All outputs of a residue of a row, or of them those that are a dilation apart. */
static void run_neighbours(const struct depthwise *d, const struct fcv_axis *axis, struct fcv_depthwise *lines,
                           char *row) {
  lines->x_step = axis->in_step * d->channels;
  lines->x_tap = axis->shift_step * d->channels;
  lines->w_tap = axis->kernel_step * d->w_tap;
  lines->y_step = axis->out_step * d->channels;
  lines->taps = axis->taps;
  lines->count = axis->count;
  lines->begin = lines->end = 0;
  if (d->inputs == 1 && axis->shift_step > 0 && axis->in > axis->shift && fcv_depthwise_has_edges(lines)) {
    lines->begin = fcv_ceil_div(fcv_max(0, -axis->shift), axis->shift_step);
    lines->end = fcv_ceil_div(fcv_max(0, axis->in - axis->shift), axis->shift_step);
    lines->x_offset = axis->shift * d->channels;
    lines->w_offset = axis->kernel_start * d->w_tap;
    lines->y = row + axis->out_start * d->channels * d->kernels->size;
    d->kernels->depthwise_last(lines);
    return;
  }
  /* Outputs from first to last - 1 have all taps inside. */
  const int64_t room = axis->in - axis->shift - (axis->taps - 1) * axis->shift_step;
  const int64_t first = fcv_min(axis->count, fcv_ceil_div(fcv_max(0, -axis->shift), axis->in_step));
  const int64_t last = fcv_max(first, fcv_min(axis->count, fcv_ceil_div(fcv_max(0, room), axis->in_step)));
  for (int64_t o = 0; o < first; o++) run_columns(d, axis, o, o + 1, lines, row);
  if (last > first)
    run_columns(d, axis, first, last, lines, row);
  for (int64_t o = last; o < axis->count; o++) run_columns(d, axis, o, o + 1, lines, row);
}

/* Outputs that are a dilation apart have taps in common, as neighbours have without one. */
static void run_residue(const struct depthwise *d, const struct fcv_axis *axis, struct fcv_depthwise *lines,
                        char *row) {
  const int64_t apart = d->inputs == 1 && axis->in_step == 1 ? axis->shift_step : 1;
  for (int64_t r = 0; r < fcv_min(apart, axis->count); r++) {
    struct fcv_axis every = *axis;
    every.count = fcv_ceil_div(axis->count - r, apart);
    every.out_start += r * axis->out_step;
    every.out_step *= apart;
    every.in_step *= apart;
    every.shift += r * axis->in_step;
    run_neighbours(d, &every, lines, row);
  }
}

/* A row of outputs, for channels c0 .. c1 - 1. */
static void run_row(const struct depthwise *d, int64_t n, int64_t z, int64_t y, int64_t c0, int64_t c1,
                    const struct unit_memory *memory) {
  const struct fcv_axis *az = &d->axes.axis[0][z % d->axes.residues[0]],
                        *ay = &d->axes.axis[1][y % d->axes.residues[1]];
  const struct fcv_met in_z = fcv_taps_inside(az, z / d->axes.residues[0]),
                       in_y = fcv_taps_inside(ay, y / d->axes.residues[1]);
  const int64_t size = d->kernels->size;
  struct fcv_depthwise lines = {
      .inputs = d->inputs,
      .width = c1 - c0,
      .x = memory->x,
      .w = memory->w,
      .w_input = d->w_input,
      .bias = d->bias ? d->bias + c0 * size : NULL,
      .past_caches = d->past_caches,
      .fresh = d->turned || ay->out_step > 1 ? 0 : ay->in_step,
      .ahead = ay->in_step * d->axes.in[2] * d->channels,
      .activation = fcv_kernel_activation(d->conv),
      .slope = d->conv->slope,
  };
  for (int64_t tz = in_z.lo; tz < in_z.hi; tz++)
    for (int64_t ty = in_y.lo; ty < in_y.hi; ty++, lines.groups++) {
      const int64_t iz = in_z.first + (tz - in_z.lo) * az->shift_step,
                    iy = in_y.first + (ty - in_y.lo) * ay->shift_step;
      const int64_t kz = az->kernel_start + tz * az->kernel_step, ky = ay->kernel_start + ty * ay->kernel_step;
      memory->x[lines.groups] =
          d->x + (((n * d->axes.in[0] + iz) * d->axes.in[1] + iy) * d->axes.in[2] * d->channels + c0) * size;
      memory->w[lines.groups] =
          d->w + ((kz * d->conv->geometry.kernel[1] + ky) * d->conv->geometry.kernel[2] * d->w_tap + c0) * size;
    }
  char *row = d->y + (((n * d->axes.out[0] + z) * d->axes.out[1] + y) * d->axes.out[2] * d->channels + c0) * size;
  for (int64_t r = 0; r < d->axes.residues[2]; r++) run_residue(d, &d->axes.axis[2][r], &lines, row);
  const int64_t whole = c1 - c0 == d->channels, count = whole ? d->axes.out[2] * d->channels : c1 - c0;
  for (int64_t o = 0; o < (whole ? 1 : d->axes.out[2]); o++, row += d->channels * size)
    fcv_activate(d->kernels, d->conv, count, row);
}

/* The first channel of a split: but for the last they are whole vectors. */
static int64_t split_channel(const struct depthwise *d, int64_t split) {
  return split < d->splits ? d->channels / d->kernels->vl * split / d->splits * d->kernels->vl : d->channels;
}

static void rows_unit(const void *context, int64_t unit, int thread) {
  const struct depthwise *d = context;
  const int64_t rows = d->n * d->axes.out[0] * d->axes.out[1];
  const int64_t part = unit / d->splits, split = unit % d->splits;
  const int64_t c0 = split_channel(d, split), c1 = split_channel(d, split + 1);
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  for (int64_t row = rows * part / d->parts; row < rows * (part + 1) / d->parts; row++)
    run_row(d, row / d->axes.out[1] / d->axes.out[0], row / d->axes.out[1] % d->axes.out[0], row % d->axes.out[1], c0,
            c1, &memory);
  if (d->past_caches)
    fcv_fence();
}

/* Channels first: some channels of an image, there and back. */
static void turned_unit(const void *context, int64_t unit, int thread) {
  const struct depthwise *d = context;
  const int64_t size = d->kernels->size, in = fcv_product(d->axes.in), out = fcv_product(d->axes.out);
  const int64_t image = unit / d->splits, c0 = split_channel(d, unit % d->splits);
  const int64_t channels = split_channel(d, unit % d->splits + 1) - c0, plane = image * d->channels + c0;
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  struct depthwise last = *d;
  last.channels = d->turned;
  last.x = memory.turned_x;
  last.y = memory.turned_y;
  last.w += c0 * size;
  last.bias = d->bias ? d->bias + c0 * size : NULL;
  d->kernels->transpose(channels, in, d->x + plane * in * size, in, memory.turned_x, d->turned);
  for (int64_t row = 0; row < d->axes.out[0] * d->axes.out[1]; row++)
    run_row(&last, 0, row / d->axes.out[1], row % d->axes.out[1], 0, channels, &memory);
  d->kernels->transpose(out, channels, memory.turned_y, d->turned, d->y + plane * out * size, out);
}

int64_t fcv_staged_rows(const struct fcv_staged_rows *rows, int64_t y, const void **x, const void **w) {
  const struct fcv_padded_box *box = rows->box;
  const int64_t residues = rows->axes->residues[1];
  const struct fcv_axis *az = box->axis_z, *ay = &rows->axes->axis[1][y % residues];
  const int64_t first = y / residues * ay->in_step + ay->shift - box->lo[1];
  int64_t count = 0;
  for (int64_t tz = box->slices.lo; tz < box->slices.hi; tz++)
    for (int64_t ty = 0; ty < ay->taps; ty++, count++) {
      const int64_t at = (tz - box->slices.lo) * rows->stage->slice + (first + ty * ay->shift_step) * rows->stage->row;
      const int64_t kz = az->kernel_start + tz * az->kernel_step, ky = ay->kernel_start + ty * ay->kernel_step;
      x[count] = rows->staged + at * rows->pixel;
      w[count] = rows->w + (kz * rows->kernel[1] + ky) * rows->kernel[2] * rows->w_tap;
    }
  return count;
}

/* Less channels than a vector: a row of outputs of a box that is staged. The channels of merged neighbours are one
 * vector after the other, where neighbours read neighbours. */
static void run_merged_row(const struct depthwise *d, const struct fcv_padded_box *box, int64_t y, char *row,
                           const struct unit_memory *memory) {
  const int64_t size = d->kernels->size;
  struct fcv_depthwise lines = {
      .x = memory->x,
      .w = memory->w,
      .bias = d->bias,
      .activation = fcv_kernel_activation(d->conv),
      .slope = d->conv->slope,
  };
  const struct fcv_staged_rows rows = {&d->stage,          &d->axes,        box,           d->conv->geometry.kernel,
                                       d->channels * size, d->w_tap * size, memory->stage, d->w};
  lines.groups = fcv_staged_rows(&rows, y, memory->x, memory->w);
  for (int64_t r = 0; r < d->axes.residues[2]; r++) {
    const struct fcv_axis *ax = &d->axes.axis[2][r];
    const int64_t outputs = fcv_min(box->o1[2], ax->count) - box->o0[2];
    const int64_t merged = ax->in_step == 1 && ax->out_step == 1 ? d->merged : 1;
    lines.taps = ax->taps;
    lines.x_tap = ax->shift_step * d->channels;
    lines.w_tap = ax->kernel_step * d->w_tap;
    lines.w_offset = ax->kernel_start * d->w_tap;
    lines.x_step = merged * ax->in_step * d->channels;
    lines.y_step = merged * ax->out_step * d->channels;
    for (int64_t o = 0; o < outputs; o += lines.count * (lines.width / d->channels)) {
      const int64_t left = outputs - o;
      lines.count = fcv_max(1, left / merged);
      lines.width = fcv_min(merged, left) * d->channels;
      lines.x_offset = ((box->o0[2] + o) * ax->in_step + ax->shift - box->lo[2]) * d->channels;
      lines.y = row + (ax->out_start + (box->o0[2] + o) * ax->out_step) * d->channels * size;
      d->kernels->depthwise_last(&lines);
    }
  }
  const int64_t from = box->o0[2] * d->axes.residues[2], to = fcv_min(d->axes.out[2], box->o1[2] * d->axes.residues[2]);
  fcv_activate(d->kernels, d->conv, (to - from) * d->channels, row + from * d->channels * size);
}

static void merged_unit(const void *context, int64_t unit, int thread) {
  const struct depthwise *d = context;
  const int64_t block = unit % d->stage.blocks, band = unit / d->stage.blocks % d->stage.bands;
  const int64_t slice = unit / d->stage.blocks / d->stage.bands, *out = d->axes.out;
  struct unit_memory memory = {0};
  struct fcv_padded_box box;
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  fcv_padded_box(&d->stage, &d->axes, slice % out[0], band, block, &box);
  fcv_padded_fill_pixels(d->kernels, &d->stage, &d->axes, d->x, slice / out[0], d->channels, d->channels, d->channels,
                         &box, memory.stage);
  const int64_t end = fcv_min(out[1], box.o1[1] * d->axes.residues[1]);
  for (int64_t y = box.o0[1] * d->axes.residues[1]; y < end; y++)
    run_merged_row(d, &box, y, d->y + (slice * out[1] + y) * out[2] * d->channels * d->kernels->size, &memory);
}

/* Weights and bias of merged pixels: rows of channels, again and again. */
static void repeat(const struct depthwise *d, int64_t rows, const char *from, int64_t pitch, char *to) {
  const int64_t size = d->kernels->size;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t j = 0; j < d->w_tap; j++)
      memcpy(to + (r * d->w_tap + j) * size, from + (r * pitch + j % d->channels) * size, (size_t)size);
}

int64_t fcv_small_groups(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t width = g->ci / g->groups, vl = fcv_kernels(conv->dtype)->vl;
  if (conv->algorithm != FCV_DIRECT || g->groups == 1 || g->ci != g->co)
    return 0;
  const int fits = conv->layout == FCV_CHANNELS_LAST && g->ci >= vl && width < vl;
  return width == 1 || (fits && (width == 2 || width == 4 || width == 8)) ? width : 0;
}

/* Where the pieces of packed weights begin: [tap][input][padded], a bias. */
struct layout {
  int64_t padded, weights, bias, bytes;
};

static struct layout packed_layout(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct layout layout = {.padded = fcv_round_up(g->ci, k->vl)};
  const int64_t rows = fcv_product(g->kernel) * g->ci / g->groups;
  layout.weights = fcv_reserve(&layout.bytes, rows * layout.padded * k->size);
  layout.bias = fcv_reserve(&layout.bytes, layout.padded * k->size);
  return layout;
}

int fcv_depthwise_is_small(const struct fcv_conv *conv, int64_t columns) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t pixels = fcv_product(g->in) + fcv_product(g->out);
  return g->groups >= k->vl && g->out[2] <= columns && pixels * 2 * k->vl * k->size <= TURNED_BYTES;
}

/* Where padded rows would be short: 16x28x28x256 with stride 2, input gradient, took 3.0 ms along rows, 1.4 along
 * channels; 16x14x14x512 1.2 and 1.3. */
int fcv_depthwise_along_channels(const struct fcv_conv *conv, int transposed) {
  const int64_t vl = fcv_kernels(conv->dtype)->vl, columns = conv->geometry.stride[2] > 1 ? vl : vl / 2;
  return conv->layout == FCV_CHANNELS_LAST ||
         (fcv_depthwise_is_small(conv, columns) && !fcv_depthwise_in_place(conv, transposed));
}

int64_t fcv_depthwise_packed_bytes(const struct fcv_conv *conv) {
  return fcv_depthwise_along_channels(conv, 0) ? packed_layout(conv).bytes : fcv_depthwise_first_packed_bytes(conv);
}

/* own: in weights as they are; row: in rows. */
#define MOVE_WEIGHTS(type, target, origin)                                                                             \
  for (int64_t t = 0; t < taps; t++)                                                                                   \
    for (int64_t k = 0; k < width; k++)                                                                                \
      for (int64_t i = 0; i < groups; i++)                                                                             \
        for (int64_t j = 0; j < width; j++) {                                                                          \
          const int64_t own = t * view.kernel[2] + k * view.k + (first + i) * view.group + j * view.j;                 \
          const int64_t row = (t * width + k) * pitch + i * width + j;                                                 \
          ((type *)to)[target] = ((const type *)from)[origin];                                                         \
        }

void fcv_group_weights(const struct fcv_conv *conv, int swap, int64_t first, int64_t groups, int64_t pitch, int to_rows,
                       const void *from, void *to) {
  const int64_t taps = fcv_product(conv->geometry.kernel), width = fcv_small_groups(conv);
  struct fcv_weight_view view;
  fcv_weight_view(conv, swap, &view);
  if (conv->dtype == FCV_F32 && to_rows) {
    MOVE_WEIGHTS(float, row, own)
  } else if (conv->dtype == FCV_F32) {
    MOVE_WEIGHTS(float, own, row)
  } else if (to_rows) {
    MOVE_WEIGHTS(double, row, own)
  } else {
    MOVE_WEIGHTS(double, own, row)
  }
}

void fcv_depthwise_pack(const struct fcv_conv *conv, int transposed, const void *w, const void *bias, char *packed) {
  if (!fcv_depthwise_along_channels(conv, transposed)) {
    fcv_depthwise_first_pack(conv, w, bias, packed);
    return;
  }
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const struct layout layout = packed_layout(conv);
  const int64_t taps = fcv_product(conv->geometry.kernel), channels = conv->geometry.ci;
  memset(packed, 0, (size_t)layout.bytes);
  if (fcv_small_groups(conv) > 1)
    fcv_group_weights(conv, transposed, 0, conv->geometry.groups, layout.padded, 1, w, packed + layout.weights);
  else if (conv->weight_layout == FCV_CHANNELS_LAST)
    for (int64_t t = 0; t < taps; t++)
      memcpy(packed + (layout.weights + t * layout.padded * k->size), (const char *)w + t * channels * k->size,
             (size_t)(channels * k->size));
  else
    k->transpose(channels, taps, w, taps, packed + layout.weights, layout.padded);
  if (bias)
    memcpy(packed + layout.bias, bias, (size_t)(channels * k->size));
}

/* Units, and the way that they go: pixels of less channels than a vector are merged, planes of few columns turned. */
static void plan(struct depthwise *d, int threads) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t *out = d->axes.out, rows = d->n * out[0] * out[1], wanted = threads > 1 ? 8 * threads : 1;
  const int64_t vector = k->vl * k->size, vectors = d->channels / k->vl, rest = d->channels % k->vl;
  d->parts = fcv_min(rows, wanted);
  d->splits = fcv_max(1, fcv_min(fcv_ceil_div(wanted, d->parts), d->channels / (4 * k->vl)));
  if (d->conv->layout == FCV_CHANNELS_FIRST) {
    d->splits = fcv_max(1, vectors / 2);
    d->turned = fcv_round_up(fcv_ceil_div(vectors, d->splits) * k->vl + rest, k->vl);
  } else if (d->channels < k->vl) {
    d->merged = 2 * k->vl / (d->channels & -d->channels);
    fcv_padded_plan(k, &d->axes, STAGE_BYTES, COLUMNS, 1, d->channels, &d->stage);
  }
  d->past_caches = !d->turned && rest == 0 && (uintptr_t)d->y % (size_t)vector == 0 && fcv_fused(d->conv->activation) &&
                   fcv_leaves_caches(rows * out[2] * d->channels * k->size);
  d->thread_bytes = lay_out(d, NULL, NULL);
}

/* Elements of a row of repeated weights: with a vector behind them that the kernel may read. */
static int64_t repeated_row(const struct depthwise *d) {
  return fcv_round_up(d->merged * d->channels, d->kernels->vl) + d->kernels->vl;
}

/* Weights and bias as the kernels read them: as they are, packed here or by the caller, for merged pixels repeated. */
static void find_weights(struct depthwise *d, int transposed, const void *w, const void *bias, char *packed_here,
                         char *repeated) {
  const struct layout layout = packed_layout(d->conv);
  const int64_t taps = fcv_product(d->conv->geometry.kernel), row = repeated_row(d);
  if (packed_here)
    fcv_depthwise_pack(d->conv, transposed, w, bias, packed_here);
  const char *packed = packed_here ? packed_here : d->conv->packed;
  d->w = packed ? packed + layout.weights : w;
  d->w_input = packed ? layout.padded : d->channels;
  d->w_tap = d->inputs * d->w_input;
  d->bias = bias && packed ? packed + layout.bias : bias;
  if (!d->merged)
    return;
  char *repeated_bias = repeated + taps * row * d->kernels->size;
  d->w_tap = row;
  repeat(d, taps, d->w, layout.padded, repeated);
  if (bias)
    repeat(d, 1, d->bias, layout.padded, repeated_bias);
  d->w = repeated;
  d->bias = bias ? repeated_bias : NULL;
}

static fcv_status run(struct depthwise *d, int transposed, const void *w, const void *bias) {
  const struct fcv_conv *conv = d->conv;
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t taps = fcv_product(g->kernel), size = d->kernels->size;
  const int threads = fcv_threads_for((double)fcv_product(g->out) * (double)(g->n * taps * d->inputs * d->channels));
  plan(d, threads);

  const int packs =
      !conv->packed && (conv->weight_layout == FCV_CHANNELS_FIRST || d->merged || (transposed && d->inputs > 1));
  int64_t bytes = 0;
  const int64_t packed_at = fcv_reserve(&bytes, packs ? packed_layout(conv).bytes : 0);
  const int64_t repeated_at = fcv_reserve(&bytes, d->merged ? (taps + 1) * repeated_row(d) * size : 0);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d->thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d->thread_memory = memory + threads_at;
  find_weights(d, transposed, w, bias, packs ? memory + packed_at : NULL, memory + repeated_at);
  if (d->merged)
    fcv_parallel_for(d->n * d->axes.out[0] * d->stage.bands * d->stage.blocks, threads, merged_unit, d);
  else if (d->turned)
    fcv_parallel_for(d->n * d->splits, threads, turned_unit, d);
  else
    fcv_parallel_for(d->parts * d->splits, threads, rows_unit, d);
  fcv_scratch_give(memory);
  return FCV_OK;
}

fcv_status fcv_conv_depthwise(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                              const void *bias, void *y) {
  const struct fcv_geometry *g = &conv->geometry;
  if (g->n * fcv_product(transposed ? g->in : g->out) == 0)
    return FCV_OK;
  if (!fcv_depthwise_along_channels(conv, transposed))
    return (fcv_depthwise_in_place(conv, transposed) ? fcv_conv_depthwise_planes
                                                     : fcv_conv_depthwise_first)(conv, transposed, x, w, bias, y);
  struct depthwise d = {
      .conv = conv,
      .kernels = fcv_kernels(conv->dtype),
      .n = g->n,
      .channels = g->ci,
      .inputs = fcv_small_groups(conv),
      .x = x,
      .y = y,
  };
  char *axes = fcv_scratch_take((size_t)fcv_axes_bytes(g, transposed));
  if (!axes)
    return FCV_NO_MEMORY;
  fcv_axes(g, transposed, axes, &d.axes);
  const fcv_status status = run(&d, transposed, w, bias);
  fcv_scratch_give(axes);
  return status;
}
