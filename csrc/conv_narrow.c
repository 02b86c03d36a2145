/* Direct convolution of channels-last arrays to at most a vector of output channels, or of few input channels, with
 * stride 1 along rows.
 *
 * igemm would load a value of x for each pixel and tap; with one vector of channels that is a load for each
 * multiply-add, as many as there can be. Here a tile is some pixels of a row of outputs, a kernel row's weights of an
 * input channel stay in registers, and each value of x is loaded once for all taps of the row that meet it. More output
 * channels take a vector at a time: where sums are short, what igemm does for a tile beside its products is what costs
 * (1x224x224 3->64 3x3: 1.89 ms, 1.33 here; AVX-512). From 12 input channels on the two are level. x is read in place,
 * or where rows are padded from a stage, box by box. Fetching the lines that are written next lost 5%. */
#include "internal.h"

enum { STAGE_BYTES = 128 << 10, FEW_CHANNELS = 8 };

struct direct {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  struct fcv_stage stage;
  struct fcv_source source;
  int staged, past_caches;
  int64_t rows, tiles; /* kernel rows; tiles of a row */
  int64_t thread_bytes;
  const char *x, *w, *bias; /* w: [panel][kernel row][input channel][tap][VL]; bias: [panel][VL], or NULL */
  char *y, *thread_memory;
};

struct unit_memory {
  const void **x; /* of a row of outputs: where the kernel rows begin */
  char *stage;
};

/* Whether several vectors of output channels are taken. With 16 registers there is little to win, but for short rows of
 * float32: AVX2, 64x28x28 1->32 3x3 0.91 ms and 0.62, but 5x5, 8->64, 3.4 and 3.9, and 1x224x224 3->64 in float64 4.6
 * and 5.9. */
static int takes_panels(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const int many_registers = fcv_kernels(conv->dtype)->mr > 8;
  return walk->kc <= FEW_CHANNELS && (many_registers || (conv->dtype == FCV_F32 && walk->axis[2].taps == 3));
}

/* Whether images of a batch large enough are lanes, see fcv_use_lanes. */
static int are_lanes_in_batches(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const int64_t vl = fcv_kernels(conv->dtype)->vl;
  return walk->nc <= vl &&
         (fcv_leaves_lanes_empty(vl, walk->nc) || (fcv_product(conv->geometry.stride) > 1 && fcv_fits_lanes(conv)));
}

/* Sums of images as lanes have another order where input channels are several; an image must have the same bits by
 * itself. */
int fcv_use_narrow(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const struct fcv_axis *axis = walk->axis, *x = &axis[2];
  const int64_t vl = fcv_kernels(conv->dtype)->vl;
  return conv->algorithm == FCV_DIRECT && conv->layout == FCV_CHANNELS_LAST && walk->groups == 1 && walk->kc > 0 &&
         (walk->nc <= vl || takes_panels(conv, walk)) && (walk->kc == 1 || !are_lanes_in_batches(conv, walk)) &&
         (x->taps == 3 || x->taps == 5) && x->shift_step == 1 && x->in_step == 1 && axis[0].taps * axis[1].taps > 0 &&
         !fcv_small_groups(conv);
}

static int64_t lay_out(const struct direct *d, char *base, struct unit_memory *memory) {
  const int64_t pixel = d->walk->kc * d->kernels->size; /* an odd tile reads one more */
  int64_t bytes = 0;
  const int64_t x = fcv_reserve(&bytes, d->rows * (int64_t)sizeof(void *));
  const int64_t stage = fcv_reserve(&bytes, d->staged ? d->stage.bytes + pixel : 0);
  if (base)
    *memory = (struct unit_memory){.x = (const void **)(base + x), .stage = base + stage};
  return bytes;
}

/* Where the kernel rows of a row of outputs begin. */
static void find_rows(const struct direct *d, const struct fcv_source *source, int64_t n, int64_t oz, int64_t oy,
                      const void **x) {
  const struct fcv_axis *axis = d->walk->axis;
  for (int64_t t = 0; t < d->rows; t++) {
    const int64_t iz = oz * axis[0].in_step + axis[0].shift + t / axis[1].taps * axis[0].shift_step;
    const int64_t iy = oy * axis[1].in_step + axis[1].shift + t % axis[1].taps * axis[1].shift_step;
    const int inside = iz >= source->lo[0] && iz < source->hi[0] && iy >= source->lo[1] && iy < source->hi[1];
    x[t] = inside ? source->data + (n - source->first_image) * source->image + (iz - source->lo[0]) * source->step[0] +
                        (iy - source->lo[1]) * source->step[1] + (axis[2].shift - source->lo[2]) * source->step[2]
                  : source->zero;
  }
}

static int64_t panel_terms(const struct fcv_walk *walk) { return fcv_walk_taps(walk) * walk->kc; }

/* A row of outputs: panel by panel of each tile, whose x stays in L1. */
static void run_row(const struct direct *d, const void **x, char *y) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_axis *axis = &d->walk->axis[2];
  const int64_t size = k->size, nc = d->walk->nc, y_step = axis->out_step * nc, panel = k->vl * size;
  struct fcv_narrow tile = {
      .taps = d->rows,
      .columns = axis->taps,
      .kc = d->walk->kc,
      .x = x,
      .y_step = y_step,
      .activation = fcv_kernel_activation(d->conv),
      .slope = d->conv->slope,
      .past_caches = d->past_caches,
  };
  for (int64_t t = 0; t < d->tiles; t++) {
    const int64_t first = axis->count * t / d->tiles, next = axis->count * (t + 1) / d->tiles;
    tile.m = next - first;
    tile.x_offset = first * d->walk->kc;
    for (int64_t j = 0, p = 0; j < nc; j += k->vl, p++) {
      tile.n = fcv_min(k->vl, nc - j);
      tile.w = d->w + p * panel_terms(d->walk) * panel;
      tile.bias = d->bias ? d->bias + p * panel : NULL;
      tile.y = y + (first * y_step + j) * size;
      k->narrow(&tile);
    }
  }
  for (int64_t q = 0; q < axis->count; q++) fcv_activate(k, d->conv, nc, y + q * y_step * size);
}

static void run_box(const void *context, int64_t number, int thread) {
  const struct direct *d = context;
  const struct fcv_axis *axis = d->walk->axis;
  struct fcv_source source = d->source;
  struct fcv_box box;
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  fcv_stage_box(&d->stage, d->walk, number, &box);
  if (d->staged) {
    fcv_stage_fill(d->kernels, &d->stage, d->walk, FCV_CHANNELS_LAST, d->x, &box, memory.stage, 1, &source);
    source.zero = d->source.zero;
  }
  for (int64_t n = box.lo[0]; n < box.lo[0] + box.size[0]; n++)
    for (int64_t z = box.lo[1]; z < box.lo[1] + box.size[1]; z++)
      for (int64_t r = box.lo[2]; r < box.lo[2] + box.size[2]; r++) {
        const int64_t oz = axis[0].out_start + z * axis[0].out_step, oy = axis[1].out_start + r * axis[1].out_step;
        const int64_t at = ((n * axis[0].out + oz) * axis[1].out + oy) * axis[2].out + axis[2].out_start;
        find_rows(d, &source, n, z, r, memory.x);
        run_row(d, memory.x, d->y + at * d->walk->nc * d->kernels->size);
      }
  if (d->past_caches)
    fcv_fence();
}

/* What is packed: weights, then bias. */
struct layout {
  int64_t weights, bias, bytes;
};

static struct layout packed_layout(const struct fcv_kernels *k, const struct fcv_walk *walk) {
  struct layout layout = {0};
  const int64_t channels = fcv_round_up(walk->nc, k->vl);
  layout.weights = fcv_reserve(&layout.bytes, panel_terms(walk) * channels * k->size);
  layout.bias = fcv_reserve(&layout.bytes, channels * k->size);
  return layout;
}

int64_t fcv_narrow_packed_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  return packed_layout(fcv_kernels(conv->dtype), walk).bytes;
}

void fcv_narrow_pack(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                     const void *w, const void *bias, char *packed) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const struct layout layout = packed_layout(k, walk);
  const int64_t size = k->size, columns = walk->axis[2].taps, rows = fcv_walk_taps(walk) / columns;
  char *to = packed + layout.weights;
  memset(packed, 0, (size_t)layout.bytes);
  for (int64_t first = 0; first < walk->nc; first += k->vl)
    for (int64_t t = 0; t < rows; t++)
      for (int64_t c = 0; c < walk->kc; c++)
        for (int64_t u = 0; u < columns; u++, to += k->vl * size) {
          const int64_t offset = fcv_tap_offset(walk, view, t * columns + u) + c * view->k + first * view->j;
          const int64_t channels = fcv_min(k->vl, walk->nc - first);
          const char *from = (const char *)w + offset * size;
          if (view->j == 1)
            memcpy(to, from, (size_t)(channels * size));
          else
            for (int64_t j = 0; j < channels; j++) memcpy(to + j * size, from + j * view->j * size, (size_t)size);
        }
  if (bias)
    memcpy(packed + layout.bias, bias, (size_t)(walk->nc * size));
}

fcv_status fcv_conv_narrow(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                           const void *x, const void *w, const void *bias, void *y) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const struct fcv_axis *axis = walk->axis;
  const int64_t pixel = walk->kc * k->size, outputs = walk->n * axis[0].count * axis[1].count * axis[2].count;
  if (outputs == 0)
    return FCV_OK;
  struct direct d = {.conv = conv, .kernels = k, .walk = walk, .x = x, .y = y};
  const int threads = fcv_threads_for((double)outputs * (double)(fcv_walk_taps(walk) * walk->kc * k->vl));
  d.rows = axis[0].taps * axis[1].taps;
  d.tiles = fcv_ceil_div(axis[2].count, k->narrow_pixels);
  d.staged = fcv_pads_rows(walk) || axis[2].count % d.tiles != 0 || axis[2].count / d.tiles % 2 != 0;
  const int64_t budget = fcv_min(STAGE_BYTES, outputs * pixel / (4 * threads));
  fcv_stage_plan(k, walk, pixel, threads > 1 ? budget : STAGE_BYTES, 1, &d.stage);
  d.past_caches = fcv_leaves_caches(outputs * walk->nc * k->size) && walk->nc % k->vl == 0 &&
                  (uintptr_t)y % (size_t)(k->vl * k->size) == 0;
  d.thread_bytes = lay_out(&d, NULL, NULL);

  const struct layout layout = packed_layout(k, walk);
  const int64_t zeros = d.stage.columns * pixel + pixel;
  int64_t bytes = 0;
  const int64_t packed_at = fcv_reserve(&bytes, conv->packed ? 0 : layout.bytes);
  const int64_t zero_at = fcv_reserve(&bytes, zeros);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  const char *packed = conv->packed ? conv->packed : memory + packed_at;
  if (!conv->packed)
    fcv_narrow_pack(conv, walk, view, w, bias, memory + packed_at);
  memset(memory + zero_at, 0, (size_t)zeros);
  d.source = fcv_source_in_place(walk, x, memory + zero_at, k->size);
  d.w = packed + layout.weights;
  d.bias = bias ? packed + layout.bias : NULL;
  d.thread_memory = memory + threads_at;
  fcv_parallel_for(fcv_stage_blocks(&d.stage, walk), threads, run_box, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
