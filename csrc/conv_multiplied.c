/* Depthwise convolution with several filters for each channel, channels last: filter j of channel c makes channel
 * c * multiplier + j.
 *
 * Vectors run along the channels of the filters. A unit copies what a box of outputs meets of some channels, padded;
 * forward each value is there once for each filter, so that the kernel of depthwise convolution applies; the input
 * gradient is what that kernel makes of gy, where the neighbours of a channel are added up in the end. */
#include "small_groups.h"

enum {
  STAGE_BYTES = 192 << 10,
  COLUMNS = 2048,
  FILTERS = 64 /* of a unit, about: two to eight vectors */
};

struct multiplied {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  int transposed;
  int64_t multiplier, blocks; /* units over channels */
  struct fcv_axes axes;
  struct fcv_padded stage;
  int64_t thread_bytes;
  const char *x, *w, *bias; /* w: [tap][filter], bias: [filter] */
  char *y, *thread_memory;
};

struct unit_memory {
  const void **x, **w;  /* [groups] */
  char *stage, *single; /* single: each value once, [pixel][channel] */
  char *tile;           /* a row of gx, [pixel][filter] */
};

/* Where a unit is: some channels of a box. */
struct unit {
  int64_t image, z, channel, channels, filters;
  struct fcv_padded_box box;
  struct unit_memory memory;
};

int64_t fcv_channel_multiplier(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  const int several = g->groups > 1 && g->ci == g->groups && g->co > g->ci && g->co >= fcv_kernels(conv->dtype)->vl;
  return conv->algorithm == FCV_DIRECT && conv->layout == FCV_CHANNELS_LAST && several ? g->co / g->ci : 0;
}

static int64_t lay_out(const struct multiplied *d, char *base, struct unit_memory *memory) {
  const int64_t *kernel = d->conv->geometry.kernel, size = d->kernels->size, vl = d->kernels->vl;
  const int64_t filters = fcv_ceil_div(d->conv->geometry.ci, d->blocks) * d->multiplier;
  int64_t bytes = 0;
  const int64_t x = fcv_reserve(&bytes, kernel[0] * kernel[1] * (int64_t)sizeof(void *));
  const int64_t w = fcv_reserve(&bytes, kernel[0] * kernel[1] * (int64_t)sizeof(void *));
  const int64_t stage = fcv_reserve(&bytes, d->stage.bytes);
  const int64_t single = fcv_reserve(&bytes, d->transposed ? 0 : d->stage.bytes / d->multiplier + 2 * vl * size);
  const int64_t columns = d->stage.columns * d->axes.residues[2];
  const int64_t tile = fcv_reserve(&bytes, d->transposed ? (columns * filters + vl) * size : 0);
  if (base)
    *memory = (struct unit_memory){
        .x = (const void **)(base + x),
        .w = (const void **)(base + w),
        .stage = base + stage,
        .single = base + single,
        .tile = base + tile,
    };
  return bytes;
}

static void fill(const struct multiplied *d, const struct unit *u) {
  const struct fcv_geometry *g = &d->conv->geometry;
  const int64_t size = d->kernels->size, m = d->multiplier;
  if (d->transposed) {
    fcv_padded_fill_pixels(d->kernels, &d->stage, &d->axes, d->x + u->channel * m * size, u->image, g->co, u->filters,
                           u->filters, &u->box, u->memory.stage);
    return;
  }
  fcv_padded_fill_pixels(d->kernels, &d->stage, &d->axes, d->x + u->channel * size, u->image, g->ci, u->channels,
                         u->channels, &u->box, u->memory.single);
  const int64_t pixels = (u->box.hi[1] - u->box.lo[1]) * d->stage.row;
  for (int64_t z = 0; z < u->box.slices.hi - u->box.slices.lo; z++) {
    const int64_t at = z * d->stage.slice * u->channels;
    d->kernels->repeat(pixels * u->channels, m, u->memory.single + at * size, u->memory.stage + at * m * size);
  }
}

/* Row y of a box: [pixel][pitch] from its first pixel on. */
static void run_row(const struct multiplied *d, const struct unit *u, int64_t y, char *to, int64_t pitch) {
  const struct fcv_padded_box *box = &u->box;
  const int64_t size = d->kernels->size, co = d->conv->geometry.co, filter = u->channel * d->multiplier;
  struct fcv_depthwise lines = {
      .width = u->filters,
      .x = u->memory.x,
      .w = u->memory.w,
      .bias = d->bias ? d->bias + filter * size : NULL,
      .activation = d->transposed ? FCV_LINEAR : fcv_kernel_activation(d->conv),
      .slope = d->conv->slope,
  };
  const struct fcv_staged_rows rows = {
      &d->stage,           &d->axes, box, d->conv->geometry.kernel, u->filters * size, co * size, u->memory.stage,
      d->w + filter * size};
  lines.groups = fcv_staged_rows(&rows, y, u->memory.x, u->memory.w);
  for (int64_t r = 0; r < d->axes.residues[2]; r++) {
    const struct fcv_axis *ax = &d->axes.axis[2][r];
    lines.count = fcv_min(box->o1[2], ax->count) - box->o0[2];
    if (lines.count <= 0)
      continue;
    lines.taps = ax->taps;
    lines.x_tap = ax->shift_step * u->filters;
    lines.x_step = ax->in_step * u->filters;
    lines.x_offset = (box->o0[2] * ax->in_step + ax->shift - box->lo[2]) * u->filters;
    lines.w_tap = ax->kernel_step * co;
    lines.w_offset = ax->kernel_start * co;
    lines.y_step = ax->out_step * pitch;
    lines.y = to + r * pitch * size;
    d->kernels->depthwise_last(&lines);
  }
}

/* A row of gx from one of filters. */
static void add_filters(const struct multiplied *d, const struct unit *u, int64_t columns, char *y) {
  const int64_t size = d->kernels->size, ci = d->conv->geometry.ci;
  char *tile = u->memory.tile, *sums = u->channels == ci ? y : tile;
  d->kernels->sum_neighbours(columns * u->channels, d->multiplier, tile, sums);
  if (d->conv->activation != FCV_LINEAR)
    d->kernels->activation((int)d->conv->activation, d->conv->slope, INFINITY, columns * u->channels, sums, sums, 0);
  for (int64_t i = 0; i < columns && sums != y; i++)
    memcpy(y + i * ci * size, sums + i * u->channels * size, (size_t)(u->channels * size));
}

static void multiplied_unit(const void *context, int64_t number, int thread) {
  const struct multiplied *d = context;
  const struct fcv_geometry *g = &d->conv->geometry;
  const int64_t *out = d->axes.out, *residues = d->axes.residues, size = d->kernels->size;
  const int64_t part = number % d->blocks, at = number / d->blocks, boxes = d->stage.bands * d->stage.blocks;
  const int64_t slice = at / boxes, pitch = d->transposed ? g->ci : g->co;
  struct unit u = {.image = slice / out[0], .z = slice % out[0], .channel = g->ci * part / d->blocks};
  u.channels = g->ci * (part + 1) / d->blocks - u.channel;
  u.filters = u.channels * d->multiplier;
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &u.memory);
  fcv_padded_box(&d->stage, &d->axes, u.z, at / d->stage.blocks % d->stage.bands, at % d->stage.blocks, &u.box);
  fill(d, &u);
  const int64_t end = fcv_min(out[1], u.box.o1[1] * residues[1]), column = u.box.o0[2] * residues[2];
  const int64_t columns = fcv_min(out[2], u.box.o1[2] * residues[2]) - column;
  const int64_t first = (d->transposed ? u.channel : u.channel * d->multiplier);
  for (int64_t y = u.box.o0[1] * residues[1]; y < end; y++) {
    char *row = d->y + (((slice * out[1] + y) * out[2] + column) * pitch + first) * size;
    if (d->transposed) {
      run_row(d, &u, y, u.memory.tile, u.filters);
      add_filters(d, &u, columns, row);
      continue;
    }
    run_row(d, &u, y, row, pitch);
    for (int64_t i = 0; i < columns && !fcv_fused(d->conv->activation); i++)
      fcv_activate(d->kernels, d->conv, u.filters, row + i * pitch * size);
  }
}

/* Packed weights: [tap][filter], and behind them the bias. */
static int64_t packed_bias(const struct fcv_conv *conv) {
  return fcv_round_up(fcv_weights(&conv->geometry) * fcv_kernels(conv->dtype)->size, 64);
}

int64_t fcv_multiplied_packed_bytes(const struct fcv_conv *conv) {
  return packed_bias(conv) + conv->geometry.co * fcv_kernels(conv->dtype)->size;
}

void fcv_multiplied_pack(const struct fcv_conv *conv, const void *w, const void *bias, char *packed) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t taps = fcv_product(conv->geometry.kernel), co = conv->geometry.co;
  if (conv->weight_layout == FCV_CHANNELS_LAST)
    memcpy(packed, w, (size_t)(taps * co * k->size));
  else
    k->transpose(co, taps, w, taps, packed, co);
  if (bias)
    memcpy(packed + packed_bias(conv), bias, (size_t)(co * k->size));
}

/* The bias of a channel with the first of its filters. */
static void spread_bias(const struct multiplied *d, const char *bias, char *spread) {
  const int64_t size = d->kernels->size, pitch = d->multiplier * size;
  memset(spread, 0, (size_t)(d->conv->geometry.co * size));
  for (int64_t c = 0; c < d->conv->geometry.ci; c++) memcpy(spread + c * pitch, bias + c * size, (size_t)size);
}

static fcv_status run(struct multiplied *d, const void *w, const void *bias) {
  const struct fcv_conv *conv = d->conv;
  const struct fcv_geometry *g = &conv->geometry;
  const int threads = fcv_threads_for((double)fcv_product(g->out) * (double)(g->n * fcv_weights(g)));
  d->blocks = fcv_max(1, fcv_min(g->ci, g->co / FILTERS));
  fcv_padded_plan(d->kernels, &d->axes, threads > 1 ? STAGE_BYTES / 4 : STAGE_BYTES, COLUMNS, 1,
                  fcv_ceil_div(g->ci, d->blocks) * d->multiplier, &d->stage);
  d->thread_bytes = lay_out(d, NULL, NULL);

  const int packs = !conv->packed && conv->weight_layout == FCV_CHANNELS_FIRST;
  int64_t bytes = 0;
  const int64_t packed_at = fcv_reserve(&bytes, packs ? fcv_multiplied_packed_bytes(conv) : 0);
  const int64_t bias_at = fcv_reserve(&bytes, d->transposed && bias ? g->co * d->kernels->size : 0);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d->thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  if (packs)
    fcv_multiplied_pack(conv, w, NULL, memory + packed_at);
  if (d->transposed && bias)
    spread_bias(d, bias, memory + bias_at);
  d->w = packs ? memory + packed_at : conv->packed ? conv->packed : w;
  d->bias = !bias           ? NULL
            : d->transposed ? memory + bias_at
            : conv->packed  ? (const char *)conv->packed + packed_bias(conv)
                            : bias;
  d->thread_memory = memory + threads_at;
  fcv_parallel_for(g->n * d->axes.out[0] * d->stage.bands * d->stage.blocks * d->blocks, threads, multiplied_unit, d);
  fcv_scratch_give(memory);
  return FCV_OK;
}

fcv_status fcv_conv_multiplied(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                               const void *bias, void *y) {
  const struct fcv_geometry *g = &conv->geometry;
  if (g->n * fcv_product(transposed ? g->in : g->out) == 0)
    return FCV_OK;
  struct multiplied d = {
      .conv = conv,
      .kernels = fcv_kernels(conv->dtype),
      .transposed = transposed,
      .multiplier = fcv_channel_multiplier(conv),
      .x = x,
      .y = y,
  };
  char *axes = fcv_scratch_take((size_t)fcv_axes_bytes(g, transposed));
  if (!axes)
    return FCV_NO_MEMORY;
  fcv_axes(g, transposed, axes, &d.axes);
  const fcv_status status = run(&d, w, bias);
  fcv_scratch_give(axes);
  return status;
}
