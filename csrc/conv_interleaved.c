/* Direct convolution of channels-last arrays to few output channels, less than a vector.
 *
 * Some images make a set: as many as fill whole vectors with the output channels of a pixel of each. A pixel of one
 * input channel is staged as a row of them all, image by image, each repeated for every output channel; then the sum
 * over taps is a depthwise convolution of such pixels, with the weights repeated for each image. No lane is empty, and
 * each vector of input is loaded once for all outputs of a kernel row that meet it. */
#include "interleaved.h"

enum {
  WEIGHT_BYTES = 16 << 10, /* repeated: they stay in L1 */
  LEAST_TAPS = 5,          /* that a pixel meets: it is copied once for each output channel */
};

struct direct {
  const struct fcv_conv *conv;
  struct fcv_interleaved set;
  int64_t span, groups, terms; /* taps of a group: kernel rows, or one; groups; terms of one */
  int64_t thread_bytes;
  const char *w, *bias; /* [group][term][width], [width] or NULL */
  const char *x;
  char *y, *thread_memory;
};

struct unit_memory {
  char *stage, *line; /* line: a row of outputs, [column][width] */
  const void **x, **w;
  const void **image; /* where each finds a row */
};

static int64_t lay_out(const struct direct *d, char *base, struct unit_memory *memory) {
  const struct fcv_interleaved *s = &d->set;
  const int64_t size = s->kernels->size, slack = s->kernels->vl * size, pointer = (int64_t)sizeof(void *);
  int64_t bytes = 0;
  const int64_t stage = fcv_reserve(&bytes, s->stage_bytes);
  const int64_t line = fcv_reserve(&bytes, s->walk->axis[2].count * s->width * size + slack);
  const int64_t x = fcv_reserve(&bytes, d->groups * pointer);
  const int64_t w = fcv_reserve(&bytes, d->groups * pointer);
  const int64_t image = fcv_reserve(&bytes, s->images * pointer);
  if (base)
    *memory = (struct unit_memory){
        .stage = base + stage,
        .line = base + line,
        .x = (const void **)(base + x),
        .w = (const void **)(base + w),
        .image = (const void **)(base + image),
    };
  return bytes;
}

/* As many as fill whole vectors, or pairs of them where that loses no more than an eighth of the lanes in the last set.
 */
static int64_t images_of(const struct fcv_kernels *k, const struct fcv_walk *walk) {
  const int64_t image = walk->kc * fcv_walk_taps(walk) * walk->nc * k->size; /* of weights */
  int64_t a = k->vl, b = walk->nc;
  for (int64_t rest; b > 0; a = b, b = rest) rest = a % b; /* their greatest common divisor */
  const int64_t least = k->vl / a, pairs = walk->nc / a % 2 ? 2 * least : least;
  return 8 * fcv_round_up(walk->n, pairs) <= 9 * walk->n && pairs * image <= WEIGHT_BYTES ? pairs : least;
}

int fcv_use_interleaved(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const struct fcv_axis *axis = walk->axis;
  if (conv->algorithm != FCV_DIRECT || conv->layout != FCV_CHANNELS_LAST || walk->groups != 1 || walk->nc == 0 ||
      !fcv_leaves_lanes_empty(k->vl, walk->nc) || fcv_small_groups(conv))
    return 0;
  const int64_t images = images_of(k, walk), terms = walk->kc * fcv_walk_taps(walk);
  return walk->n >= images && fcv_walk_taps(walk) >= LEAST_TAPS &&
         terms * images * walk->nc * k->size <= WEIGHT_BYTES && axis[0].count * axis[1].count * axis[2].count > 0;
}

void fcv_interleaved_plan(const struct fcv_kernels *k, const struct fcv_walk *walk, int64_t budget, int64_t row_bytes,
                          struct fcv_interleaved *set) {
  const struct fcv_axis *z = &walk->axis[0], *y = &walk->axis[1], *x = &walk->axis[2];
  *set = (struct fcv_interleaved){.kernels = k, .walk = walk};
  set->images = images_of(k, walk);
  set->width = set->images * walk->nc;
  set->sets = fcv_ceil_div(walk->n, set->images);
  set->columns = (x->count - 1) * x->in_step + (x->taps - 1) * x->shift_step + 1;
  set->pixel = walk->kc * set->width;
  set->row = set->columns * set->pixel;
  const int64_t above = (y->taps - 1) * y->shift_step + 1, each = z->taps * set->row * k->size;
  const int64_t more = fcv_max(0, budget - above * each - row_bytes) / fcv_max(1, y->in_step * each + row_bytes);
  set->bands = fcv_ceil_div(y->count, fcv_min(y->count, 1 + more));
  set->rows = fcv_ceil_div(y->count, set->bands);
  set->slice = ((set->rows - 1) * y->in_step + above) * set->row;
  set->stage_bytes = (z->taps * set->slice + k->vl) * k->size;
}

struct fcv_interleaved_box fcv_interleaved_box(const struct fcv_interleaved *set, int64_t number) {
  const struct fcv_axis *axis = set->walk->axis;
  const int64_t band = number % set->bands, slices = axis[0].count;
  return (struct fcv_interleaved_box){
      .image = number / set->bands / slices * set->images,
      .slice = number / set->bands % slices,
      .first = axis[1].count * band / set->bands,
      .last = axis[1].count * (band + 1) / set->bands,
  };
}

/* A row, at iz, iy of the input. */
static void stage_row(const struct fcv_interleaved *set, const char *x, const struct fcv_interleaved_box *box,
                      int64_t iz, int64_t iy, const void **image, char *to) {
  const struct fcv_kernels *k = set->kernels;
  const struct fcv_walk *walk = set->walk;
  const struct fcv_axis *axis = walk->axis;
  const int64_t pixel = set->pixel * k->size, before = fcv_min(set->columns, fcv_max(0, -axis[2].shift));
  const int64_t after = fcv_max(before, fcv_min(set->columns, axis[2].in - axis[2].shift));
  if (iz < 0 || iz >= axis[0].in || iy < 0 || iy >= axis[1].in || before == after) {
    memset(to, 0, (size_t)(set->columns * pixel));
    return;
  }
  for (int64_t i = 0; i < set->images; i++) { /* past the last one it is repeated */
    const int64_t n = fcv_min(box->image + i, walk->n - 1);
    const int64_t at = ((n * axis[0].in + iz) * axis[1].in + iy) * axis[2].in + axis[2].shift + before;
    image[i] = x + at * walk->kc * k->size;
  }
  memset(to, 0, (size_t)(before * pixel));
  k->repeat(&(struct fcv_interleave){
      .pixels = (after - before) * walk->kc,
      .images = set->images,
      .count = walk->nc,
      .step = 1,
      .image = image,
      .lanes = to + before * pixel,
  });
  memset(to + after * pixel, 0, (size_t)((set->columns - after) * pixel));
}

void fcv_interleaved_stage(const struct fcv_interleaved *set, const void *x, const struct fcv_interleaved_box *box,
                           const void **image, char *stage) {
  const struct fcv_axis *z = &set->walk->axis[0], *y = &set->walk->axis[1];
  const int64_t rows = (box->last - box->first - 1) * y->in_step + (y->taps - 1) * y->shift_step + 1;
  const int64_t iy = box->first * y->in_step + y->shift, size = set->kernels->size;
  for (int64_t t = 0; t < z->taps; t++)
    for (int64_t r = 0; r < rows; r++)
      stage_row(set, x, box, box->slice * z->in_step + z->shift + t * z->shift_step, iy + r, image,
                stage + (t * set->slice + r * set->row) * size);
}

int64_t fcv_interleaved_tap(const struct fcv_interleaved *set, int64_t t) {
  const struct fcv_axis *axis = set->walk->axis;
  const int64_t x = t % axis[2].taps * axis[2].shift_step, y = t / axis[2].taps % axis[1].taps * axis[1].shift_step;
  return t / axis[2].taps / axis[1].taps * set->slice + y * set->row + x * set->pixel;
}

/* A row of outputs to its images. */
static void write_row(const struct direct *d, const struct fcv_interleaved_box *box, int64_t row,
                      struct unit_memory *memory) {
  const struct fcv_kernels *k = d->set.kernels;
  const struct fcv_axis *axis = d->set.walk->axis;
  const int64_t nc = d->set.walk->nc, images = fcv_min(d->set.images, d->set.walk->n - box->image);
  const int64_t oz = axis[0].out_start + box->slice * axis[0].out_step, oy = axis[1].out_start + row * axis[1].out_step;
  fcv_activate(k, d->conv, axis[2].count * d->set.width, memory->line);
  for (int64_t i = 0; i < images; i++) {
    const int64_t at = (((box->image + i) * axis[0].out + oz) * axis[1].out + oy) * axis[2].out + axis[2].out_start;
    memory->image[i] = d->y + at * nc * k->size;
  }
  k->deinterleave(&(struct fcv_interleave){
      .pixels = axis[2].count,
      .images = images,
      .count = nc,
      .step = axis[2].out_step * nc,
      .width = d->set.width,
      .image = memory->image,
      .lanes = memory->line,
  });
}

static void direct_unit(const void *context, int64_t unit, int thread) {
  const struct direct *d = context;
  const struct fcv_interleaved *set = &d->set;
  const struct fcv_kernels *k = set->kernels;
  const struct fcv_axis *axis = set->walk->axis;
  const struct fcv_interleaved_box box = fcv_interleaved_box(set, unit);
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  fcv_interleaved_stage(set, d->x, &box, memory.image, memory.stage);
  for (int64_t g = 0; g < d->groups; g++) {
    memory.x[g] = memory.stage + fcv_interleaved_tap(set, g * d->span) * k->size;
    memory.w[g] = d->w + g * d->terms * set->width * k->size;
  }
  struct fcv_depthwise lines = {
      .groups = d->groups,
      .taps = d->terms,
      .count = axis[2].count,
      .width = set->width,
      .x = memory.x,
      .w = memory.w,
      .x_step = axis[2].in_step * set->pixel,
      .x_tap = set->width,
      .w_tap = set->width,
      .y_step = set->width,
      .bias = d->bias,
      .y = memory.line,
      .activation = fcv_kernel_activation(d->conv),
      .slope = d->conv->slope,
  };
  for (int64_t r = box.first; r < box.last; r++) {
    lines.x_offset = (r - box.first) * axis[1].in_step * set->row;
    k->depthwise_last(&lines);
    write_row(d, &box, r, &memory);
  }
}

/* A row of nc values, repeated for each image. */
static void repeat_row(const struct fcv_interleaved *set, const char *from, int64_t step, char *to) {
  const int64_t size = set->kernels->size, bytes = set->walk->nc * size;
  for (int64_t j = 0; j < set->walk->nc; j++) memcpy(to + j * size, from + j * step * size, (size_t)size);
  for (int64_t i = 1; i < set->images; i++) memcpy(to + i * bytes, to, (size_t)bytes);
}

/* [tap][input channel][width] */
static void repeat_weights(const struct fcv_interleaved *set, const struct fcv_weight_view *view, const char *w,
                           char *to) {
  const int64_t size = set->kernels->size, taps = fcv_walk_taps(set->walk);
  for (int64_t t = 0; t < taps; t++)
    for (int64_t c = 0; c < set->walk->kc; c++, to += set->width * size)
      repeat_row(set, w + (fcv_tap_offset(set->walk, view, t) + c * view->k) * size, view->j, to);
}

fcv_status fcv_conv_interleaved(const struct fcv_conv *conv, const struct fcv_walk *walk,
                                const struct fcv_weight_view *view, const void *x, const void *w, const void *bias,
                                void *y) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const struct fcv_axis *axis = walk->axis;
  struct direct d = {.conv = conv, .x = x, .y = y};
  fcv_interleaved_plan(k, walk, fcv_l2_bytes() / 2, 0, &d.set);
  d.span = axis[2].shift_step == 1 ? axis[2].taps : 1;
  d.groups = fcv_walk_taps(walk) / d.span;
  d.terms = d.span * walk->kc;
  d.thread_bytes = lay_out(&d, NULL, NULL);
  const int64_t weights = d.groups * d.terms * d.set.width;
  const double outputs = (double)(walk->n * axis[0].count * axis[1].count * axis[2].count);
  const int threads = fcv_threads_for(outputs * (double)(walk->nc * walk->kc * fcv_walk_taps(walk)));

  int64_t bytes = 0;
  const int64_t w_at = fcv_reserve(&bytes, weights * k->size);
  const int64_t bias_at = fcv_reserve(&bytes, d.set.width * k->size);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.w = memory + w_at;
  d.bias = bias ? memory + bias_at : NULL;
  d.thread_memory = memory + threads_at;
  repeat_weights(&d.set, view, w, memory + w_at);
  if (bias)
    repeat_row(&d.set, bias, 1, memory + bias_at);
  fcv_parallel_for(fcv_interleaved_boxes(&d.set), threads, direct_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
