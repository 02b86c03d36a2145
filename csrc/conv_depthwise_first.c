/* Depthwise convolution of channels-first arrays: vectors run along the pixels of a row, and nothing is transposed.
 *
 * A unit takes some rows of a few planes (a channel of an image). It copies the rows of the input that they meet,
 * padded, into a stage that stays in L1, where every in_step-th pixel is the neighbour of the next one; a tile is some
 * rows of outputs, so that a vector of a row is loaded once for all of them. */
#include "small_groups.h"

enum {
  STAGE_BYTES = 32 << 10,
  COLUMNS = 2048, /* of a block at most */
  UNIT_WORK = 1 << 16
};

struct planes {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  struct fcv_axes axes;
  struct fcv_weight_view view;
  struct fcv_padded stage;
  int64_t planes, parts;  /* channels of all images; units over them */
  int64_t bands, blocks;  /* of rows and of columns */
  int64_t tile_row, tile; /* elements of a row of results of one residue, and of all rows of a plane */
  int64_t thread_bytes;
  const char *x, *w, *bias;
  char *y, *thread_memory;
  int64_t past; /* elements of a band of a plane of results that is put together, then written past the caches; or 0 */
};

struct unit_memory {
  const void **x, **w; /* [groups] */
  char *stage, *tile;  /* tile: [plane][residue][row][tile_row], where a row of outputs has several residues */
  char *band;          /* [plane][past] */
};

static int64_t lay_out(const struct planes *d, char *base, struct unit_memory *memory) {
  const int64_t *kernel = d->conv->geometry.kernel, groups = kernel[0] * kernel[2];
  int64_t bytes = 0;
  const int64_t x = fcv_reserve(&bytes, groups * (int64_t)sizeof(void *));
  const int64_t w = fcv_reserve(&bytes, groups * (int64_t)sizeof(void *));
  const int64_t stage = fcv_reserve(&bytes, d->stage.bytes);
  const int64_t residues = d->axes.residues[2];
  const int64_t tile = fcv_reserve(
      &bytes, residues > 1 ? (d->stage.planes * residues * d->tile + d->kernels->vl) * d->kernels->size : 0);
  const int64_t band =
      fcv_reserve(&bytes, d->past ? (d->stage.planes * d->past + d->kernels->vl) * d->kernels->size : 0);
  if (base)
    *memory = (struct unit_memory){
        .x = (const void **)(base + x),
        .w = (const void **)(base + w),
        .stage = base + stage,
        .tile = base + tile,
        .band = base + band,
    };
  return bytes;
}

/* The rows of one residue and the columns of another, of the planes in the stage. */
static void run_residues(const struct planes *d, int64_t plane, int64_t planes, const struct fcv_padded_box *box,
                         const struct fcv_axis *ay, const struct fcv_axis *ax, char *y, int64_t y_plane, int64_t y_step,
                         const struct unit_memory *memory) {
  const struct fcv_axis *az = box->axis_z;
  const int64_t size = d->kernels->size, channels = d->conv->geometry.groups;
  struct fcv_depthwise lines = {
      .taps = ay->taps,
      .count = fcv_min(box->o1[1], ay->count) - box->o0[1],
      .width = fcv_min(box->o1[2], ax->count) - box->o0[2],
      .x = memory->x,
      .w = memory->w,
      .x_step = ay->in_step * d->stage.row,
      .x_tap = ay->shift_step * d->stage.row,
      .w_tap = ay->kernel_step * d->view.kernel[1],
      .y_step = y_step,
      .activation = fcv_kernel_activation(d->conv),
      .slope = d->conv->slope,
  };
  if (lines.count <= 0 || lines.width <= 0)
    return;
  for (int64_t tz = box->slices.lo; tz < box->slices.hi; tz++)
    for (int64_t tx = 0; tx < ax->taps; tx++, lines.groups++) {
      const int64_t kz = az->kernel_start + tz * az->kernel_step, kx = ax->kernel_start + tx * ax->kernel_step;
      const int64_t from = fcv_padded_offset(&d->stage, box, tz - box->slices.lo, ay, ax, tx);
      memory->x[lines.groups] = memory->stage + from * size;
      memory->w[lines.groups] =
          d->w + (kz * d->view.kernel[0] + ay->kernel_start * d->view.kernel[1] + kx * d->view.kernel[2]) * size;
    }
  for (int64_t p = 0; p < planes; p++, lines.x_offset += d->stage.plane, y += y_plane * size) {
    const int64_t channel = (plane + p) % channels;
    lines.w_offset = channel * d->view.group;
    lines.bias = d->bias ? d->bias + channel * size : NULL;
    lines.y = y;
    d->kernels->depthwise_first(&lines);
  }
}

/* The rows of one residue: of several residues of columns, each gets a tile, and they take turns in a row. */
static void run_rows(const struct planes *d, int64_t plane, int64_t planes, const struct fcv_padded_box *box,
                     const struct fcv_axis *ay, char *y, int64_t y_plane, const struct unit_memory *memory) {
  const int64_t size = d->kernels->size, parts = d->axes.residues[2], width = d->axes.out[2];
  const int64_t rows = fcv_min(box->o1[1], ay->count) - box->o0[1], step = ay->out_step * width;
  const int64_t columns = fcv_min(width, box->o1[2] * parts) - box->o0[2] * parts;
  for (int64_t r = 0; r < parts && parts > 1; r++)
    run_residues(d, plane, planes, box, ay, &d->axes.axis[2][r], memory->tile + r * d->tile * size, parts * d->tile,
                 d->tile_row, memory);
  if (parts == 1)
    run_residues(d, plane, planes, box, ay, d->axes.axis[2], y, y_plane, step, memory);
  for (int64_t p = 0; p < planes; p++, y += y_plane * size) {
    if (parts > 1)
      d->kernels->merge_rows(&(struct fcv_merge_rows){
          .rows = rows,
          .columns = columns,
          .parts = parts,
          .x = memory->tile + p * parts * d->tile * size,
          .x_part = d->tile,
          .x_pitch = d->tile_row,
          .y = y,
          .y_pitch = step,
      });
    for (int64_t r = 0; r < rows; r++) fcv_activate(d->kernels, d->conv, columns, y + r * step * size);
  }
}

static void planes_unit(const void *context, int64_t unit, int thread) {
  const struct planes *d = context;
  const int64_t block = unit % d->blocks, band = unit / d->blocks % d->bands;
  const int64_t z = unit / d->blocks / d->bands % d->axes.out[0], part = unit / d->blocks / d->bands / d->axes.out[0];
  struct unit_memory memory = {0};
  struct fcv_padded_box box;
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  fcv_padded_box(&d->stage, &d->axes, z, band, block, &box);
  const int64_t size = d->kernels->size, *out = d->axes.out, *residues = d->axes.residues;
  const int64_t last = d->planes * (part + 1) / d->parts;
  for (int64_t p = d->planes * part / d->parts, planes; p < last; p += planes) {
    planes = fcv_min(d->stage.planes, last - p);
    fcv_padded_fill(d->kernels, &d->stage, &d->axes, d->x, p, planes, &box, memory.stage);
    const int64_t row = (p * out[0] + z) * out[1] + box.o0[1] * residues[1];
    const int64_t rows = fcv_min(out[1], box.o1[1] * residues[1]) - box.o0[1] * residues[1];
    char *y = d->y + (row * out[2] + box.o0[2] * residues[2]) * size, *to = d->past ? memory.band : y;
    for (int64_t r = 0; r < residues[1]; r++)
      run_rows(d, p, planes, &box, &d->axes.axis[1][r], to + r * out[2] * size, d->past ? d->past : fcv_product(out),
               &memory);
    for (int64_t i = 0; i < planes && d->past; i++)
      d->kernels->copy_past_caches(rows * out[2], to + i * d->past * size, y + i * fcv_product(out) * size,
                                   to + i * d->past * size);
  }
  if (d->past)
    fcv_fence();
}

/* Where the pieces of packed weights begin: copies of w and bias as they are. */
struct layout {
  int64_t weights, bias, bytes;
};

static struct layout packed_layout(const struct fcv_conv *conv) {
  const int64_t size = fcv_kernels(conv->dtype)->size;
  struct layout layout = {0};
  layout.weights = fcv_reserve(&layout.bytes, fcv_product(conv->geometry.kernel) * conv->geometry.groups * size);
  layout.bias = fcv_reserve(&layout.bytes, conv->geometry.groups * size);
  return layout;
}

int64_t fcv_depthwise_first_packed_bytes(const struct fcv_conv *conv) { return packed_layout(conv).bytes; }

void fcv_depthwise_first_pack(const struct fcv_conv *conv, const void *w, const void *bias, char *packed) {
  const struct layout layout = packed_layout(conv);
  const int64_t channels = conv->geometry.groups, size = fcv_kernels(conv->dtype)->size;
  memcpy(packed + layout.weights, w, (size_t)(fcv_product(conv->geometry.kernel) * channels * size));
  if (bias)
    memcpy(packed + layout.bias, bias, (size_t)(channels * size));
}

void fcv_depthwise_first_packed(const struct fcv_conv *conv, const void **w, const void **bias) {
  const struct layout layout = packed_layout(conv);
  if (!conv->packed)
    return;
  *w = (const char *)conv->packed + layout.weights;
  if (*bias)
    *bias = (const char *)conv->packed + layout.bias;
}

fcv_status fcv_conv_depthwise_first(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                                    const void *bias, void *y) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  fcv_depthwise_first_packed(conv, &w, &bias);
  const int64_t axes_bytes = fcv_axes_bytes(g, transposed);
  char *axes = fcv_scratch_take((size_t)axes_bytes);
  if (!axes)
    return FCV_NO_MEMORY;
  struct planes d = {.conv = conv, .kernels = k, .planes = g->n * g->groups, .x = x, .y = y};
  fcv_axes(g, transposed, axes, &d.axes);
  fcv_weight_view(conv, transposed, &d.view);
  fcv_padded_plan(k, &d.axes, STAGE_BYTES, COLUMNS, 4, 0, &d.stage);
  d.bands = d.stage.bands;
  d.blocks = d.stage.blocks;
  d.tile_row = fcv_round_up(d.stage.columns, k->vl);
  d.tile = d.stage.rows * d.tile_row;
  /* Rows that are merged are in memory of the thread anyway: 16x112x112x64 3x3 s2, input gradient, 10.5 ms became 6.9;
   * else the copy costs more: 16x56x56x128 4.8 and 5.8. */
  if (d.blocks == 1 && d.axes.residues[2] > 1 && fcv_leaves_caches(d.planes * fcv_product(d.axes.out) * k->size))
    d.past = d.stage.rows * d.axes.residues[1] * d.axes.out[2];
  const double work = (double)fcv_product(g->out) * (double)(d.planes * fcv_product(g->kernel));
  const int threads = fcv_threads_for(work);
  d.parts = (int64_t)fmax(1, fmin((double)d.planes, work / UNIT_WORK));
  d.thread_bytes = lay_out(&d, NULL, NULL);
  char *memory;
  const fcv_status status = fcv_workspace(conv, threads * d.thread_bytes, &memory);
  if (status == FCV_OK && memory) {
    d.thread_memory = memory;
    d.w = w;
    d.bias = bias;
    fcv_parallel_for(d.parts * d.axes.out[0] * d.bands * d.blocks, threads, planes_unit, &d);
    fcv_scratch_give(memory);
  }
  fcv_scratch_give(axes);
  return status;
}
