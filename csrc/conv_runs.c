/* Direct convolution of channels-first arrays without patches, for few terms (conv_planes.c says what a term is).
 *
 * The pixels of a row, or of a plane that is one row, are cut into runs of a vector; the last one of a row is moved
 * back until it ends with the row. Each term finds the pixels of a run as neighbours at an offset of its own: in x, or
 * in padded rows, of which every stride-th column stands side by side. A kernel multiplies them where they lie with the
 * weights of some output channels, and writes rows of y from registers. */
#include "internal.h"

enum {
  FEW_CHANNELS = 8,
  MOST_TERMS = 512,
  PIXELS = 2048,          /* of a box */
  STAGE_BYTES = 64 << 10, /* its padded rows */
};

struct direct {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  struct fcv_patcher patcher;
  int64_t terms, tiles, row_runs;
  int64_t thread_bytes;
  const int64_t *offset; /* [terms] */
  const char *w, *bias;  /* [group][tile][term][row] */
  char *y, *thread_memory;
};

struct unit_memory {
  char *stage;
  struct fcv_run *run;
};

static int64_t lay_out(const struct direct *d, char *base, struct unit_memory *memory) {
  int64_t bytes = 0;
  const int64_t stage = fcv_reserve(&bytes, d->patcher.stage_bytes);
  const int64_t runs = fcv_product(d->patcher.box) * d->row_runs;
  const int64_t run = fcv_reserve(&bytes, runs * (int64_t)sizeof(struct fcv_run));
  if (base)
    *memory = (struct unit_memory){.stage = base + stage, .run = (struct fcv_run *)(base + run)};
  return bytes;
}

static void multiply(const struct direct *d, int64_t group, const struct fcv_patch_view *view, int64_t count,
                     const struct fcv_run *run) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_axis *axis = d->patcher.walk.axis;
  const int64_t nc = d->patcher.walk.nc, plane = axis[0].out * axis[1].out * axis[2].out, first = group * nc;
  const int fused = fcv_fused(d->conv->activation);
  struct fcv_runs runs = {
      .terms = d->terms,
      .count = count,
      .offset = d->offset,
      .run = run,
      .x = view->x,
      .y_plane = plane,
      .activation = fcv_kernel_activation(d->conv),
      .slope = d->conv->slope,
  };
  for (int64_t t = 0; t < d->tiles; t++) {
    const int64_t j0 = first + nc * t / d->tiles, j1 = first + nc * (t + 1) / d->tiles;
    runs.m = (int)(j1 - j0);
    runs.w = d->w + j0 * d->terms * k->size;
    runs.bias = d->bias ? d->bias + j0 * k->size : NULL;
    runs.y = d->y + j0 * plane * k->size;
    k->runs(&runs);
    for (int64_t j = 0; j < j1 - j0 && !fused; j++)
      for (int64_t r = 0; r < count; r += d->row_runs) {
        char *y = (char *)runs.y + (j * plane + run[r].to) * k->size;
        fcv_activate(k, d->conv, axis[2].count, y);
      }
  }
}

static void direct_unit(const void *context, int64_t unit, int thread) {
  const struct direct *d = context;
  const int64_t groups = d->patcher.walk.groups, kc = d->patcher.walk.kc, group = unit % groups;
  struct unit_memory memory = {0};
  struct fcv_patch_view view;
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  fcv_patch_box(&d->patcher, unit / groups, &view);
  fcv_patch_read(&d->patcher, group * kc, kc, memory.stage, &view);
  multiply(d, group, &view, fcv_patch_lines(&d->patcher, &view, memory.run), memory.run);
}

void fcv_pack_run_tiles(const struct fcv_kernels *k, int64_t rows, int64_t terms, const char *w, int64_t pitch,
                        char *to) {
  const int64_t tiles = fcv_run_tiles(k, rows);
  for (int64_t t = 0; t < tiles; t++) {
    const int64_t first = rows * t / tiles, count = rows * (t + 1) / tiles - first;
    k->transpose(count, terms, w + first * pitch * k->size, pitch, to + first * terms * k->size, count);
  }
}

/* With more channels, each in pages of its own, copies are better: 16x28x28 512->128 1x1 took 13.9 ms, 34.6 here. */
int fcv_use_runs(const struct fcv_kernels *k, const struct fcv_walk *walk) {
  return walk->kc <= FEW_CHANNELS && walk->kc * fcv_walk_taps(walk) <= MOST_TERMS && fcv_fills_runs(k, walk);
}

fcv_status fcv_conv_runs(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                         const void *x, const void *w, const void *bias, void *y) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct direct d = {.conv = conv, .kernels = k, .patcher = {.kernels = k, .walk = *walk, .x = x}, .y = y};
  struct fcv_patcher *patcher = &d.patcher;
  d.terms = walk->kc * fcv_walk_taps(walk);
  d.tiles = fcv_run_tiles(k, walk->nc);
  const double outputs = (double)(walk->n * walk->axis[0].count * walk->axis[1].count * walk->axis[2].count);
  const int threads = fcv_threads_for(outputs * (double)d.terms * (double)(walk->groups * walk->nc));
  fcv_join_rows(&patcher->walk, threads, k->vl);
  patcher->channels = walk->kc;
  d.row_runs = fcv_ceil_div(patcher->walk.axis[2].count, k->vl);
  fcv_patcher_plan(patcher, STAGE_BYTES, PIXELS, threads);
  d.thread_bytes = lay_out(&d, NULL, NULL);

  int64_t bytes = 0;
  const int64_t rows_at = fcv_reserve(&bytes, fcv_weight_rows_bytes(conv, walk, view));
  const int64_t w_at = fcv_reserve(&bytes, walk->groups * walk->nc * d.terms * k->size);
  const int64_t offset_at = fcv_reserve(&bytes, d.terms * (int64_t)sizeof(int64_t));
  const int64_t patcher_at = fcv_reserve(&bytes, fcv_patcher_bytes(patcher));
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.thread_memory = memory + threads_at;
  fcv_patcher_start(patcher, memory + patcher_at);
  const struct fcv_weight_rows rows = fcv_weight_rows(conv, walk, view, w, bias, memory + rows_at);
  d.w = memory + w_at;
  d.bias = rows.bias;
  for (int64_t g = 0; g < walk->groups; g++) {
    const int64_t row = g * walk->nc;
    fcv_pack_run_tiles(k, walk->nc, d.terms, rows.w + row * rows.pitch * k->size, rows.pitch,
                       memory + w_at + row * d.terms * k->size);
  }
  d.offset = (int64_t *)(memory + offset_at);
  fcv_patch_offsets(patcher, d.terms, (int64_t *)(memory + offset_at));
  fcv_parallel_for(fcv_product(patcher->boxes) * walk->groups, threads, direct_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
