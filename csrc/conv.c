/* Convolution: the passes, each as walks or sums over the same geometry. */
#include "internal.h"

static fcv_status check(const struct fcv_conv *conv) {
  return fcv_geometry_check(&conv->geometry, fcv_kernels(conv->dtype)->size);
}

/* Where both layouts are the same channels last needs no transposition. */
static void prefer_channels_last(struct fcv_conv *conv) {
  if (fcv_layouts_agree(&conv->geometry))
    conv->layout = FCV_CHANNELS_LAST;
}

/* Sizes checked, layout and algorithm settled; turned: the arrays are to be turned to that layout. */
static fcv_status settle(const struct fcv_conv *conv, fcv_pass pass, struct fcv_conv *settled, int *turned) {
  *settled = *conv;
  FCV_TRY(check(conv));
  prefer_channels_last(settled);
  if (conv->workspace)
    *conv->workspace = 0;
  *turned = 0;
  if (conv->algorithm != FCV_AUTO)
    return fcv_choose(conv, pass, &settled->algorithm);
  fcv_algorithm chosen;
  *turned = fcv_choose_layout(conv, pass, &chosen);
  if (*turned)
    *settled = fcv_turned(settled, pass);
  settled->algorithm = chosen;
  return FCV_OK;
}

static int tile_size(const struct fcv_conv *c) {
  return c->algorithm == FCV_WINOGRAD_2X2 ? 2 : c->algorithm == FCV_WINOGRAD_4X4 ? 4 : 0;
}

/* Toeplitz matrices depend on the size of the input, weights that are repeated for images take no time: what is packed
 * for them is a copy of the weights as they are. */
struct plain {
  int64_t w, bias, bytes;
};

static int64_t weights_of(const struct fcv_geometry *g) { return fcv_product(g->kernel) * g->ci / g->groups * g->co; }

static struct plain plain_layout(const struct fcv_conv *c) {
  const struct fcv_geometry *g = &c->geometry;
  const int64_t size = fcv_kernels(c->dtype)->size;
  struct plain plain = {0};
  plain.w = fcv_reserve(&plain.bytes, weights_of(g) * size);
  plain.bias = fcv_reserve(&plain.bytes, g->co * size);
  return plain;
}

static int packs_plain(const struct fcv_conv *c, const struct fcv_walk *walk) {
  return c->algorithm == FCV_TOEPLITZ || c->algorithm == FCV_TOEPLITZ_FULL || fcv_use_interleaved(c, walk);
}

static fcv_status run(const struct fcv_conv *c, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                      const void *x, const void *w, const void *bias, void *y) {
  if (tile_size(c))
    return fcv_conv_winograd(c, walk, view, tile_size(c), x, w, bias, y);
  if (packs_plain(c, walk) && c->packed) {
    w = (const char *)c->packed + plain_layout(c).w;
    bias = bias ? (const char *)c->packed + plain_layout(c).bias : NULL;
  }
  if (c->algorithm == FCV_TOEPLITZ)
    return fcv_conv_toeplitz(c, walk, view, x, w, bias, y);
  if (fcv_use_interleaved(c, walk))
    return fcv_conv_interleaved(c, walk, view, x, w, bias, y);
  if (fcv_use_narrow(c, walk))
    return fcv_conv_narrow(c, walk, view, x, w, bias, y);
  if (fcv_use_planes(c, walk, view))
    return fcv_conv_planes(c, walk, view, x, w, bias, y);
  return fcv_conv_direct(c, walk, view, x, w, bias, y);
}

static int is_empty(const struct fcv_geometry *g) {
  return g->ci * fcv_product(g->in) == 0 || g->co * fcv_product(g->out) == 0;
}

/* The whole matrix: no walk, both passes at once. */
static fcv_status run_full(const struct fcv_conv *c, int transposed, const void *x, const void *w, const void *bias,
                           void *y) {
  if (c->packed) {
    w = (const char *)c->packed + plain_layout(c).w;
    bias = bias ? (const char *)c->packed + plain_layout(c).bias : NULL;
  }
  return fcv_conv_toeplitz_full(c, transposed, x, w, bias, y);
}

/* Arrays of images between the layouts: channels x pixels of each image, in parts of some rows. */
struct turn {
  const struct fcv_kernels *kernels;
  int64_t rows, columns, parts; /* rows and columns of an image, as it is */
  const char *from;
  char *to;
};

enum { TURNED_ROWS = 32 };

static void turn_part(const void *context, int64_t unit, int thread) {
  const struct turn *t = context;
  const int64_t size = t->kernels->size, image = unit / t->parts * t->rows * t->columns;
  const int64_t blocks = fcv_ceil_div(t->rows, TURNED_ROWS), part = unit % t->parts;
  const int64_t row = blocks * part / t->parts * TURNED_ROWS;
  const int64_t end = fcv_min(t->rows, blocks * (part + 1) / t->parts * TURNED_ROWS);
  (void)thread;
  t->kernels->transpose(end - row, t->columns, t->from + (image + row * t->columns) * size, t->columns,
                        t->to + (image + row) * size, t->rows);
}

static void turn(const struct fcv_kernels *kernels, int64_t images, int64_t rows, int64_t columns, const void *from,
                 void *to) {
  struct turn turn = {.kernels = kernels, .rows = rows, .columns = columns, .from = from, .to = to};
  turn.parts = fcv_parts(images, fcv_ceil_div(rows, TURNED_ROWS));
  fcv_parallel_for(images * turn.parts, fcv_threads_for((double)(images * rows * columns)), turn_part, &turn);
}

/* Weights, [co][ci][tap], to or from [tap][ci][co]; of one group. */
#define MOVE_WEIGHTS(type)                                                                                             \
  for (int64_t j = 0; j < g->co; j++)                                                                                  \
    for (int64_t k = 0; k < g->ci; k++)                                                                                \
      for (int64_t t = 0; t < taps; t++) {                                                                             \
        const int64_t first = (j * g->ci + k) * taps + t, last = (t * g->ci + k) * g->co + j;                          \
        ((type *)to)[to_last ? last : first] = ((const type *)from)[to_last ? first : last];                           \
      }

static void turn_weights(const struct fcv_conv *conv, int to_last, const void *from, void *to) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t taps = fcv_product(g->kernel);
  if (conv->dtype == FCV_F32) {
    MOVE_WEIGHTS(float)
  } else {
    MOVE_WEIGHTS(double)
  }
}

/* The arrays of a pass: those of the images' and of the outputs' size, weights and bias, as far as it reads them. */
struct arrays {
  const void *x, *y, *w, *bias;
  void *result;
};

static fcv_status run_pass(const struct fcv_conv *conv, fcv_pass pass, const struct arrays *a) {
  if (pass == FCV_FORWARD)
    return fcv_conv_forward(conv, a->x, a->w, a->bias, a->result);
  if (pass == FCV_GRAD_INPUT)
    return fcv_conv_grad_input(conv, a->y, a->w, a->bias, a->result);
  return fcv_conv_grad_weight(conv, a->x, a->y, a->result);
}

/* A pass whose arrays are turned first, to what last says, and its result back. */
static fcv_status run_turned(const struct fcv_conv *conv, const struct fcv_conv *last, fcv_pass pass,
                             const struct arrays *a) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t in = fcv_product(g->in), out = fcv_product(g->out), slack = k->vl * k->size;
  const int weights = last->weight_layout != conv->weight_layout;
  int64_t bytes = 0;
  const int64_t x_at = fcv_reserve(&bytes, g->n * g->ci * in * k->size + slack);
  const int64_t y_at = fcv_reserve(&bytes, g->n * g->co * out * k->size + slack);
  const int64_t w_at = fcv_reserve(&bytes, weights ? weights_of(g) * k->size : 0);
  if (conv->workspace) {
    FCV_TRY(run_pass(last, pass, a));
    *conv->workspace += bytes;
    return FCV_OK;
  }
  char *memory = fcv_scratch_take((size_t)bytes);
  if (!memory)
    return FCV_NO_MEMORY;
  char *x = memory + x_at, *y = memory + y_at, *w = memory + w_at;
  if (pass != FCV_GRAD_INPUT)
    turn(k, g->n, g->ci, in, a->x, x);
  if (pass != FCV_FORWARD)
    turn(k, g->n, g->co, out, a->y, y);
  if (pass != FCV_GRAD_WEIGHT && weights)
    turn_weights(conv, 1, a->w, w);
  struct arrays turned = {.x = x, .y = y, .w = weights ? w : a->w, .bias = a->bias};
  turned.result = pass == FCV_FORWARD ? y : pass == FCV_GRAD_INPUT ? x : weights ? w : a->result;
  const fcv_status status = run_pass(last, pass, &turned);
  if (status == FCV_OK && pass == FCV_FORWARD)
    turn(k, g->n, out, g->co, y, a->result);
  else if (status == FCV_OK && pass == FCV_GRAD_INPUT)
    turn(k, g->n, in, g->ci, x, a->result);
  else if (status == FCV_OK && weights)
    turn_weights(conv, 0, w, a->result);
  fcv_scratch_give(memory);
  return status;
}

fcv_status fcv_conv_forward(const struct fcv_conv *conv, const void *x, const void *w, const void *bias, void *y) {
  struct fcv_conv c;
  struct fcv_walk walk;
  struct fcv_weight_view view;
  int turned;
  FCV_TRY(settle(conv, FCV_FORWARD, &c, &turned));
  if (turned)
    return run_turned(conv, &c, FCV_FORWARD, &(struct arrays){.x = x, .w = w, .bias = bias, .result = y});
  fcv_walk_forward(&c.geometry, &walk);
  fcv_weight_view(&c, 0, &view);
  if (c.algorithm == FCV_TOEPLITZ_FULL && !is_empty(&c.geometry))
    return run_full(&c, 0, x, w, bias, y);
  if (fcv_small_groups(&c))
    return fcv_conv_depthwise(&c, 0, x, w, bias, y);
  return run(&c, &walk, &view, x, w, bias, y);
}

fcv_status fcv_packed_bytes(const struct fcv_conv *conv, int64_t *bytes) {
  struct fcv_conv c;
  int turned;
  struct fcv_walk walk;
  struct fcv_weight_view view;
  FCV_TRY(settle(conv, FCV_FORWARD, &c, &turned));
  fcv_walk_forward(&c.geometry, &walk);
  fcv_weight_view(&c, 0, &view);
  if (tile_size(&c))
    *bytes = fcv_winograd_packed_bytes(&c, &walk, tile_size(&c));
  else if (packs_plain(&c, &walk))
    *bytes = plain_layout(&c).bytes;
  else if (fcv_small_groups(&c))
    *bytes = fcv_depthwise_packed_bytes(&c);
  else if (fcv_use_narrow(&c, &walk))
    *bytes = fcv_narrow_packed_bytes(&c, &walk);
  else if (fcv_use_planes(&c, &walk, &view))
    *bytes = fcv_planes_packed_bytes(&c, &walk);
  else
    *bytes = fcv_direct_packed_bytes(&c, &walk);
  return FCV_OK;
}

enum { FORM_PANELS, FORM_PLANES, FORM_PLAIN, FORM_NARROW, FORM_DEPTHWISE };

int fcv_packed_form(const struct fcv_conv *conv) {
  struct fcv_conv c;
  int turned;
  struct fcv_walk walk;
  struct fcv_weight_view view;
  if (settle(conv, FCV_FORWARD, &c, &turned) != FCV_OK)
    return 0;
  fcv_walk_forward(&c.geometry, &walk);
  fcv_weight_view(&c, 0, &view);
  if (fcv_small_groups(&c))
    return FORM_DEPTHWISE + fcv_depthwise_along_channels(&c, 0);
  if (packs_plain(&c, &walk))
    return FORM_PLAIN;
  if (fcv_use_narrow(&c, &walk))
    return FORM_NARROW;
  return fcv_use_planes(&c, &walk, &view) ? FORM_PLANES : FORM_PANELS;
}

fcv_status fcv_pack(const struct fcv_conv *conv, const void *w, const void *bias, void *packed) {
  struct fcv_conv c;
  int turned;
  struct fcv_walk walk;
  struct fcv_weight_view view;
  FCV_TRY(settle(conv, FCV_FORWARD, &c, &turned));
  fcv_walk_forward(&c.geometry, &walk);
  fcv_weight_view(&c, 0, &view);
  if (tile_size(&c))
    return fcv_winograd_pack(&c, &walk, &view, tile_size(&c), w, bias, packed);
  if (packs_plain(&c, &walk)) {
    const struct plain plain = plain_layout(&c);
    const int64_t size = fcv_kernels(c.dtype)->size;
    memcpy((char *)packed + plain.w, w, (size_t)(weights_of(&c.geometry) * size));
    if (bias)
      memcpy((char *)packed + plain.bias, bias, (size_t)(c.geometry.co * size));
    return FCV_OK;
  }
  if (fcv_small_groups(&c))
    fcv_depthwise_pack(&c, 0, w, bias, packed);
  else if (fcv_use_narrow(&c, &walk))
    fcv_narrow_pack(&c, &walk, &view, w, bias, packed);
  else if (fcv_use_planes(&c, &walk, &view))
    fcv_planes_pack(&c, &walk, &view, w, bias, packed);
  else
    fcv_direct_pack(&c, &walk, &view, w, bias, packed);
  return FCV_OK;
}

enum { CLEARED = 1 << 20 };

struct clear {
  char *memory;
  int64_t bytes;
};

static void clear_unit(const void *context, int64_t unit, int thread) {
  const struct clear *c = context;
  (void)thread;
  memset(c->memory + unit * CLEARED, 0, (size_t)fcv_min(CLEARED, c->bytes - unit * CLEARED));
}

void fcv_clear(void *memory, int64_t bytes) {
  const struct clear clear = {.memory = memory, .bytes = bytes};
  fcv_parallel_for(fcv_ceil_div(bytes, CLEARED), fcv_threads_for((double)bytes), clear_unit, &clear);
}

/* Whether some residue meets no tap. Then gx is cleared as a whole: element by element, every second one, takes longer.
 */
static int misses_elements(const struct fcv_geometry *g) {
  struct fcv_walk walk;
  int misses = 0;
  FCV_FOR_EACH_RESIDUE(g, walk, misses = misses || fcv_walk_taps(&walk) == 0);
  return misses;
}

fcv_status fcv_conv_grad_input(const struct fcv_conv *conv, const void *gy, const void *w, const void *bias, void *gx) {
  struct fcv_conv c;
  struct fcv_walk walk;
  struct fcv_weight_view view;
  int turned;
  FCV_TRY(settle(conv, FCV_GRAD_INPUT, &c, &turned));
  if (turned)
    return run_turned(conv, &c, FCV_GRAD_INPUT, &(struct arrays){.y = gy, .w = w, .bias = bias, .result = gx});
  fcv_weight_view(&c, 1, &view);
  if (c.algorithm == FCV_TOEPLITZ_FULL && !is_empty(&c.geometry))
    return run_full(&c, 1, gy, w, bias, gx);
  if (c.algorithm == FCV_IM2COL)
    return fcv_conv_col2im(&c, &view, gy, w, bias, gx);
  if (fcv_small_groups(&c))
    return fcv_conv_depthwise(&c, 1, gy, w, bias, gx);
  if (c.algorithm == FCV_DIRECT && fcv_merges_planes(&c, &view))
    return fcv_conv_planes_merged(&c, &view, gy, w, bias, gx);
  const int64_t image = c.geometry.ci * fcv_product(c.geometry.in);
  const int clears = !bias && c.activation == FCV_LINEAR && !c.workspace && misses_elements(&c.geometry);
  if (clears)
    fcv_clear(gx, c.geometry.n * image * fcv_kernels(c.dtype)->size);
  FCV_FOR_EACH_RESIDUE(&c.geometry, walk, {
    if (!clears || fcv_walk_taps(&walk) > 0)
      FCV_TRY(run(&c, &walk, &view, gy, w, bias, gx));
  });
  return FCV_OK;
}

fcv_status fcv_multiplications_toeplitz(const struct fcv_conv *conv, fcv_pass pass, int64_t *count) {
  struct fcv_walk walk;
  FCV_TRY(check(conv));
  *count = 0;
  if (pass == FCV_GRAD_INPUT) {
    FCV_FOR_EACH_RESIDUE(&conv->geometry, walk, *count += fcv_toeplitz_multiplications(conv, &walk));
  } else {
    fcv_walk_forward(&conv->geometry, &walk);
    *count = fcv_toeplitz_multiplications(conv, &walk);
  }
  return FCV_OK;
}

fcv_status fcv_conv_grad_weight(const struct fcv_conv *conv, const void *x, const void *gy, void *gw) {
  struct fcv_conv c;
  int turned;
  FCV_TRY(settle(conv, FCV_GRAD_WEIGHT, &c, &turned));
  if (turned)
    return run_turned(conv, &c, FCV_GRAD_WEIGHT, &(struct arrays){.x = x, .y = gy, .result = gw});
  return tile_size(&c) ? fcv_conv_winograd_wgrad(&c, tile_size(&c), x, gy, gw) : fcv_conv_wgrad(&c, x, gy, gw);
}

/* A chunk of pixels is summed in the element type, chunks in double, in order. */
enum { CHUNK = 1024 };

struct grad_bias {
  const struct fcv_kernels *kernels;
  const struct fcv_conv *conv;
  const char *gy;
  char *sums; /* channels last: [chunk][co]; channels first: [co] doubles */
  int64_t pixels, channels;
};

static void sum_chunk(const void *context, int64_t chunk, int thread) {
  const struct grad_bias *s = context;
  const int64_t size = s->kernels->size, first = chunk * CHUNK;
  char *sum = s->sums + chunk * s->channels * size;
  (void)thread;
  memset(sum, 0, (size_t)(s->channels * size));
  s->kernels->sum_rows(fcv_min(CHUNK, s->pixels - first), s->channels, s->gy + first * s->channels * size, s->channels,
                       sum);
}

static void sum_channel(const void *context, int64_t channel, int thread) {
  const struct grad_bias *s = context;
  const int64_t plane = fcv_product(s->conv->geometry.out), size = s->kernels->size;
  double total = 0;
  (void)thread;
  for (int64_t n = 0; n < s->conv->geometry.n; n++)
    for (int64_t first = 0; first < plane; first += CHUNK)
      total +=
          s->kernels->sum(fcv_min(CHUNK, plane - first), s->gy + ((n * s->channels + channel) * plane + first) * size);
  memcpy(s->sums + channel * (int64_t)sizeof total, &total, sizeof total);
}

static double element(fcv_dtype dtype, const void *array, int64_t i) {
  return dtype == FCV_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

fcv_status fcv_conv_grad_bias(const struct fcv_conv *conv, const void *gy, void *gb) {
  struct fcv_conv c = *conv;
  FCV_TRY(check(&c));
  prefer_channels_last(&c);
  struct grad_bias s = {.kernels = fcv_kernels(c.dtype), .conv = &c, .gy = gy, .channels = c.geometry.co};
  s.pixels = c.geometry.n * fcv_product(c.geometry.out);
  const int last = c.layout == FCV_CHANNELS_LAST;
  const int64_t chunks = fcv_ceil_div(s.pixels, CHUNK);
  const int64_t bytes = last ? chunks * s.channels * s.kernels->size : s.channels * (int64_t)sizeof(double);
  s.sums = fcv_scratch_take((size_t)bytes);
  if (!s.sums)
    return FCV_NO_MEMORY;
  fcv_parallel_for(last ? chunks : s.channels, fcv_threads_for((double)s.pixels * (double)s.channels / 8),
                   last ? sum_chunk : sum_channel, &s);
  for (int64_t j = 0; j < s.channels; j++) {
    double total = last ? 0 : ((const double *)s.sums)[j];
    for (int64_t i = 0; last && i < chunks; i++) total += element(c.dtype, s.sums, i * s.channels + j);
    if (c.dtype == FCV_F32)
      ((float *)gb)[j] = (float)total;
    else
      ((double *)gb)[j] = total;
  }
  fcv_scratch_give(s.sums);
  return FCV_OK;
}

/* Whether conv_wgrad_runs.c computes the weight gradient. */
static int sums_runs(const struct fcv_conv *settled, int turned, const struct fcv_walk *walk) {
  return !turned && fcv_use_wgrad_planes(settled) && fcv_fills_runs(fcv_kernels(settled->dtype), walk);
}

fcv_status fcv_conv_grad_weight_bias(const struct fcv_conv *conv, const void *x, const void *gy, void *gw, void *gb) {
  struct fcv_conv c;
  struct fcv_walk walk;
  int turned;
  FCV_TRY(settle(conv, FCV_GRAD_WEIGHT, &c, &turned));
  fcv_walk_forward(&c.geometry, &walk);
  if (sums_runs(&c, turned, &walk))
    return fcv_conv_wgrad_runs(&c, &walk, x, gy, gw, gb, NULL);
  FCV_TRY(fcv_conv_grad_weight(conv, x, gy, gw));
  return fcv_conv_grad_bias(conv, gy, gb);
}

fcv_status fcv_conv_gradients(const struct fcv_conv *for_input, const struct fcv_conv *for_weight, const void *x,
                              const void *gy, const void *w, void *gx, void *gw, void *gb) {
  struct fcv_conv input, weight;
  struct fcv_walk walk;
  int input_turned, weight_turned;
  FCV_TRY(settle(for_input, FCV_GRAD_INPUT, &input, &input_turned));
  FCV_TRY(settle(for_weight, FCV_GRAD_WEIGHT, &weight, &weight_turned));
  fcv_walk_forward(&weight.geometry, &walk);
  if (!input_turned && input.algorithm == FCV_IM2COL && fcv_use_col2im_planes(&input) && fcv_use_col2im_runs(&input) &&
      sums_runs(&weight, weight_turned, &walk) && fcv_wgrad_runs_by_images(fcv_kernels(weight.dtype), &walk) &&
      !is_empty(&weight.geometry) && !weight.workspace && input.activation == FCV_LINEAR)
    return fcv_conv_gradients_runs(&weight, &walk, x, gy, w, gx, gw, gb);
  FCV_TRY(fcv_conv_grad_input(for_input, gy, w, NULL, gx));
  return gb ? fcv_conv_grad_weight_bias(for_weight, x, gy, gw, gb) : fcv_conv_grad_weight(for_weight, x, gy, gw);
}
