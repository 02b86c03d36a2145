/* Depthwise convolution, forward and input gradient: every channel meets itself only.
 *
 * There are few products for each element, so what counts is that each is loaded once. The kernel gets lines of outputs
 * that lie a step apart, and loads a vector of the input once for all lines of a tile that it meets. Channels last, lines
 * are the pixels of a row, and vectors run along channels; taps outside of the image are left out. An input gradient
 * with stride s is s walks an axis: all of them write a row before the next one.  */
#include "internal.h"

struct depthwise {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  struct fcv_axes axes;
  int64_t n, channels;
  int64_t parts, splits; /* units: parts of the rows, and of the channels */
  int64_t merged, width; /* pixels that count as one, and its channels */
  int64_t w_pitch;       /* elements from one tap to the next */
  int64_t row, columns;  /* elements of a staged row, pixels of it; 0: in place */
  int64_t thread_bytes;
  const char *x, *w, *bias;
  char *y, *thread_memory;
};

struct unit_memory {
  const void **x, **w; /* [groups] */
};

static int64_t lay_out(const struct depthwise *d, char *base, struct unit_memory *memory) {
  const int64_t groups = d->conv->geometry.kernel[0] * d->conv->geometry.kernel[1];
  int64_t bytes = 0;
  const int64_t x = fcv_reserve(&bytes, groups * (int64_t)sizeof(void *));
  const int64_t w = fcv_reserve(&bytes, groups * (int64_t)sizeof(void *));
  if (base)
    *memory = (struct unit_memory){.x = (const void **)(base + x), .w = (const void **)(base + w)};
  return bytes;
}

/* Channels last. Outputs o0 .. o1 - 1 of one residue, which meet the same taps. */
static void run_columns(const struct depthwise *d, const struct fcv_axis *axis, int64_t o0, int64_t o1,
                        struct fcv_depthwise *lines, char *row) {
  const struct fcv_met met = fcv_taps_inside(axis, o0);
  lines->taps = met.hi - met.lo;
  lines->x_offset = met.first * d->channels;
  lines->w_offset = (axis->kernel_start + met.lo * axis->kernel_step) * d->w_pitch;
  lines->y = row + (axis->out_start + o0 * axis->out_step) * d->channels * d->kernels->size;
  lines->count = o1 - o0;
  d->kernels->depthwise_last(lines);
}

static void run_row(const struct depthwise *d, int64_t n, int64_t z, int64_t y, int64_t c0, int64_t c1,
                    const struct unit_memory *memory) {
  const struct fcv_axis *az = &d->axes.axis[0][z % d->axes.residues[0]], *ay = &d->axes.axis[1][y % d->axes.residues[1]];
  const struct fcv_met in_z = fcv_taps_inside(az, z / d->axes.residues[0]), in_y = fcv_taps_inside(ay, y / d->axes.residues[1]);
  const int64_t size = d->kernels->size;
  struct fcv_depthwise lines = {
      .width = c1 - c0,
      .x = memory->x,
      .w = memory->w,
      .bias = d->bias ? d->bias + c0 * size : NULL,
      .activation = fcv_fused(d->conv->activation) ? (int)d->conv->activation : FCV_LINEAR,
      .slope = d->conv->slope,
  };
  for (int64_t tz = in_z.lo; tz < in_z.hi; tz++)
    for (int64_t ty = in_y.lo; ty < in_y.hi; ty++, lines.groups++) {
      const int64_t iz = in_z.first + (tz - in_z.lo) * az->shift_step, iy = in_y.first + (ty - in_y.lo) * ay->shift_step;
      const int64_t kz = az->kernel_start + tz * az->kernel_step, ky = ay->kernel_start + ty * ay->kernel_step;
      memory->x[lines.groups] = d->x + (((n * d->axes.in[0] + iz) * d->axes.in[1] + iy) * d->axes.in[2] * d->channels + c0) * size;
      memory->w[lines.groups] = d->w + ((kz * d->conv->geometry.kernel[1] + ky) * d->conv->geometry.kernel[2] * d->w_pitch + c0) * size;
    }
  char *row = d->y + (((n * d->axes.out[0] + z) * d->axes.out[1] + y) * d->axes.out[2] * d->channels + c0) * size;
  for (int64_t r = 0; r < d->axes.residues[2]; r++) {
    const struct fcv_axis *ax = &d->axes.axis[2][r];
    lines.x_step = ax->in_step * d->channels;
    lines.x_tap = ax->shift_step * d->channels;
    lines.w_tap = ax->kernel_step * d->w_pitch;
    lines.y_step = ax->out_step * d->channels;
    /* Outputs from first to last - 1 have all taps inside. */
    const int64_t room = ax->in - ax->shift - (ax->taps - 1) * ax->shift_step;
    const int64_t first = fcv_min(ax->count, fcv_ceil_div(fcv_max(0, -ax->shift), ax->in_step));
    const int64_t last = fcv_max(first, fcv_min(ax->count, fcv_ceil_div(fcv_max(0, room), ax->in_step)));
    for (int64_t o = 0; o < first; o++) run_columns(d, ax, o, o + 1, &lines, row);
    if (last > first)
      run_columns(d, ax, first, last, &lines, row);
    for (int64_t o = last; o < ax->count; o++) run_columns(d, ax, o, o + 1, &lines, row);
  }
  if (fcv_fused(d->conv->activation))
    return;
  const int64_t whole = c1 - c0 == d->channels, count = whole ? d->axes.out[2] * d->channels : c1 - c0;
  for (int64_t o = 0; o < (whole ? 1 : d->axes.out[2]); o++, row += d->channels * size)
    d->kernels->activation((int)d->conv->activation, d->conv->slope, INFINITY, count, row, row);
}

static void rows_unit(const void *context, int64_t unit, int thread) {
  const struct depthwise *d = context;
  const int64_t rows = d->n * d->axes.out[0] * d->axes.out[1], vl = d->kernels->vl, vectors = d->channels / vl;
  const int64_t part = unit / d->splits, split = unit % d->splits;
  const int64_t c0 = vectors * split / d->splits * vl;
  const int64_t c1 = split + 1 < d->splits ? vectors * (split + 1) / d->splits * vl : d->channels;
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  for (int64_t row = rows * part / d->parts; row < rows * (part + 1) / d->parts; row++)
    run_row(d, row / d->axes.out[1] / d->axes.out[0], row / d->axes.out[1] % d->axes.out[0], row % d->axes.out[1], c0, c1, &memory);
}

/* Where the pieces of packed weights begin: [tap][padded], a bias. */
struct layout {
  int64_t padded, weights, bias, bytes;
};

static struct layout packed_layout(const struct fcv_conv *conv) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct layout layout = {.padded = fcv_round_up(conv->geometry.groups, k->vl)};
  layout.weights = fcv_reserve(&layout.bytes, fcv_product(conv->geometry.kernel) * layout.padded * k->size);
  layout.bias = fcv_reserve(&layout.bytes, layout.padded * k->size);
  return layout;
}

int64_t fcv_depthwise_packed_bytes(const struct fcv_conv *conv) {
  return conv->layout == FCV_CHANNELS_FIRST ? fcv_depthwise_first_packed_bytes(conv) : packed_layout(conv).bytes;
}

void fcv_depthwise_pack(const struct fcv_conv *conv, const void *w, const void *bias, char *packed) {
  if (conv->layout == FCV_CHANNELS_FIRST) {
    fcv_depthwise_first_pack(conv, w, bias, packed);
    return;
  }
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const struct layout layout = packed_layout(conv);
  const int64_t taps = fcv_product(conv->geometry.kernel), channels = conv->geometry.groups;
  memset(packed, 0, (size_t)layout.bytes);
  if (conv->weight_layout == FCV_CHANNELS_LAST)
    for (int64_t t = 0; t < taps; t++)
      memcpy(packed + (layout.weights + t * layout.padded * k->size), (const char *)w + t * channels * k->size,
             (size_t)(channels * k->size));
  else
    k->transpose(channels, taps, w, taps, packed + layout.weights, layout.padded);
  if (bias)
    memcpy(packed + layout.bias, bias, (size_t)(channels * k->size));
}

int fcv_use_depthwise(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  return conv->algorithm == FCV_DIRECT && g->groups > 1 && g->ci == g->groups && g->co == g->groups &&
         (conv->layout == FCV_CHANNELS_FIRST || g->ci >= fcv_kernels(conv->dtype)->vl);
}

fcv_status fcv_conv_depthwise(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                              const void *bias, void *y) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct depthwise d = {.conv = conv, .kernels = k, .n = g->n, .channels = g->groups, .x = x, .y = y};
  const int64_t *out = transposed ? g->in : g->out;
  if (conv->layout == FCV_CHANNELS_FIRST && fcv_product(out) > 0)
    return fcv_conv_depthwise_first(conv, transposed, x, w, bias, y);
  const int64_t rows = d.n * out[0] * out[1];
  if (rows * out[2] == 0)
    return FCV_OK;
  const int64_t taps = fcv_product(g->kernel);
  const int threads = fcv_threads_for((double)fcv_product(g->out) * (double)(g->n * taps * d.channels));
  const int64_t wanted = threads > 1 ? 8 * threads : 1;
  d.parts = fcv_min(rows, wanted);
  d.splits = fcv_max(1, fcv_min(fcv_ceil_div(wanted, d.parts), d.channels / (4 * k->vl)));
  d.thread_bytes = lay_out(&d, NULL, NULL);

  int64_t bytes = 0;
  const struct layout layout = packed_layout(conv);
  const int packs = !conv->packed && conv->weight_layout == FCV_CHANNELS_FIRST;
  const int64_t packed_at = fcv_reserve(&bytes, packs ? layout.bytes : 0);
  const int64_t axes_at = fcv_reserve(&bytes, fcv_axes_bytes(g, transposed));
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  fcv_axes(g, transposed, memory + axes_at, &d.axes);
  d.thread_memory = memory + threads_at;
  if (packs)
    fcv_depthwise_pack(conv, w, bias, memory + packed_at);
  const char *packed = packs ? memory + packed_at : conv->packed;
  d.w = packed ? packed + layout.weights : w;
  d.w_pitch = packed ? layout.padded : d.channels;
  d.bias = bias && packed ? packed + layout.bias : bias;
  fcv_parallel_for(d.parts * d.splits, threads, rows_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
