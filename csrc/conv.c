/* Convolution: the passes, each as walks or sums over the same geometry. */
#include "internal.h"

/* A pass as it is computed: sizes are checked, layout and algorithm settled. */
struct settled {
  struct fcv_conv conv;
  fcv_pass pass;
  int turned;           /* the arrays are to be turned to conv's layout */
  struct fcv_walk walk; /* the forward pass's, or those of the input gradient one after the other */
  struct fcv_weight_view view;
};

static int is_empty(const struct fcv_geometry *g) {
  return g->ci * fcv_product(g->in) == 0 || g->co * fcv_product(g->out) == 0;
}

/* Whether a linear layer's weights are rows [output][input], of which each is read once for all samples: packed, they
 * would be written too (1x4096 -> 1000 1.3 ms became 0.3). */
static int multiplies_rows(const struct fcv_conv *conv, fcv_pass pass) {
  const struct fcv_geometry *g = &conv->geometry;
  struct fcv_walk walk;
  fcv_walk_forward(g, &walk);
  return pass == FCV_FORWARD && conv->layout != conv->weight_layout && !conv->prepared && g->n > 0 &&
         fcv_product(g->in) * fcv_product(g->out) == 1 && fcv_planes_rest(fcv_kernels(conv->dtype), &walk) == g->n;
}

static fcv_status settle(const struct fcv_conv *conv, fcv_pass pass, struct settled *s) {
  const struct fcv_geometry *g = &conv->geometry;
  fcv_algorithm algorithm;
  FCV_TRY(fcv_geometry_check(g, fcv_kernels(conv->dtype)->size));
  *s = (struct settled){.conv = *conv, .pass = pass};
  if (conv->workspace)
    *conv->workspace = 0;
  if (fcv_layouts_agree(g)) /* the one that needs no transposition */
    s->conv.layout = multiplies_rows(conv, pass) ? FCV_CHANNELS_FIRST : FCV_CHANNELS_LAST;
  if (conv->algorithm == FCV_AUTO)
    s->turned = fcv_choose_layout(conv, pass, &algorithm);
  else
    FCV_TRY(fcv_choose(conv, pass, &algorithm));
  if (s->turned)
    s->conv = fcv_turned(&s->conv, pass);
  const int by_matrix = algorithm == FCV_TOEPLITZ || algorithm == FCV_TOEPLITZ_FULL;
  s->conv.algorithm = by_matrix && is_empty(g) ? FCV_DIRECT : algorithm; /* there is no matrix of nothing */
  if (pass == FCV_GRAD_INPUT)
    fcv_walk_grad_input(g, (const int64_t[FCV_AXES]){0}, &s->walk);
  else
    fcv_walk_forward(g, &s->walk);
  fcv_weight_view(&s->conv, pass == FCV_GRAD_INPUT, &s->view);
  return FCV_OK;
}

/* Toeplitz matrices depend on the size of the input, packing weights of few channels takes no time: what is packed
 * for them is a copy of the weights as they are, and behind it of the bias. */
static int64_t plain_bias(const struct fcv_conv *c) {
  return fcv_round_up(fcv_weights(&c->geometry) * fcv_kernels(c->dtype)->size, 64);
}

static int64_t plain_bytes(const struct fcv_conv *c, const struct fcv_walk *walk) {
  (void)walk;
  return plain_bias(c) + c->geometry.co * fcv_kernels(c->dtype)->size;
}

static void pack_plain(const struct fcv_conv *c, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                       const void *w, const void *bias, char *packed) {
  const int64_t size = fcv_kernels(c->dtype)->size;
  (void)walk, (void)view;
  memcpy(packed, w, (size_t)(fcv_weights(&c->geometry) * size));
  if (bias)
    memcpy(packed + plain_bias(c), bias, (size_t)(c->geometry.co * size));
}

static int64_t depthwise_bytes(const struct fcv_conv *c, const struct fcv_walk *walk) {
  (void)walk;
  return fcv_depthwise_packed_bytes(c);
}

static void pack_depthwise(const struct fcv_conv *c, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                           const void *w, const void *bias, char *packed) {
  (void)walk, (void)view;
  fcv_depthwise_pack(c, 0, w, bias, packed);
}

static int64_t multiplied_bytes(const struct fcv_conv *c, const struct fcv_walk *walk) {
  (void)walk;
  return fcv_multiplied_packed_bytes(c);
}

static void pack_multiplied(const struct fcv_conv *c, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                            const void *w, const void *bias, char *packed) {
  (void)walk;
  (void)view;
  fcv_multiplied_pack(c, w, bias, packed);
}

static int64_t winograd_bytes(const struct fcv_conv *c, const struct fcv_walk *walk) {
  return fcv_winograd_packed_bytes(c, walk, fcv_winograd_size(c));
}

static fcv_status run_winograd(const struct fcv_conv *c, const struct fcv_walk *walk,
                               const struct fcv_weight_view *view, const void *x, const void *w, const void *bias,
                               void *y) {
  return fcv_conv_winograd(c, walk, view, fcv_winograd_size(c), x, w, bias, y);
}

/* What is packed, and how a walk is computed, or all those of a pass at once. */
static const struct way {
  int64_t (*bytes)(const struct fcv_conv *c, const struct fcv_walk *walk);
  void (*pack)(const struct fcv_conv *c, const struct fcv_walk *walk, const struct fcv_weight_view *view, const void *w,
               const void *bias, char *packed);
  fcv_status (*walk)(const struct fcv_conv *c, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                     const void *x, const void *w, const void *bias, void *y);
  fcv_status (*pass)(const struct fcv_conv *c, int transposed, const void *x, const void *w, const void *bias, void *y);
} ways[] = {
    [FCV_BY_WINOGRAD] = {winograd_bytes, NULL /* it may fail */, .walk = run_winograd},
    [FCV_BY_TOEPLITZ] = {plain_bytes, pack_plain, .walk = fcv_conv_toeplitz},
    [FCV_BY_MATRIX] = {plain_bytes, pack_plain, .pass = fcv_conv_toeplitz_full},
    [FCV_BY_DEPTHWISE] = {depthwise_bytes, pack_depthwise, .pass = fcv_conv_depthwise},
    [FCV_BY_MULTIPLIED] = {multiplied_bytes, pack_multiplied, .pass = fcv_conv_multiplied},
    [FCV_BY_LANES] = {plain_bytes, pack_plain, .pass = fcv_conv_lanes},
    [FCV_BY_NARROW] = {fcv_narrow_packed_bytes, fcv_narrow_pack, .walk = fcv_conv_narrow},
    [FCV_BY_DOTS] = {plain_bytes, pack_plain, .walk = fcv_conv_dots},
    [FCV_BY_PLANES] = {fcv_planes_packed_bytes, fcv_planes_pack, .walk = fcv_conv_planes},
    [FCV_BY_DIRECT] = {fcv_direct_packed_bytes, fcv_direct_pack, .walk = fcv_conv_direct},
};

static enum fcv_way way_of(const struct settled *s) { return fcv_way(&s->conv, &s->walk, &s->view); }

static fcv_status run(const struct settled *s, const void *x, const void *w, const void *bias, void *y) {
  const struct fcv_conv *c = &s->conv;
  const struct way *way = &ways[way_of(s)];
  if (c->packed && way->pack == pack_plain) {
    w = c->packed;
    bias = bias ? (const char *)c->packed + plain_bias(c) : NULL;
  }
  return way->pass ? way->pass(c, s->pass == FCV_GRAD_INPUT, x, w, bias, y)
                   : way->walk(c, &s->walk, &s->view, x, w, bias, y);
}

fcv_status fcv_conv_forward(const struct fcv_conv *conv, const void *x, const void *w, const void *bias, void *y) {
  struct settled s;
  FCV_TRY(settle(conv, FCV_FORWARD, &s));
  if (s.turned)
    return fcv_conv_turned(conv, &s.conv, FCV_FORWARD, &(struct fcv_arrays){.x = x, .w = w, .bias = bias, .result = y});
  return run(&s, x, w, bias, y);
}

fcv_status fcv_packed_bytes(const struct fcv_conv *conv, int64_t *bytes) {
  struct settled s;
  FCV_TRY(settle(conv, FCV_FORWARD, &s));
  *bytes = ways[way_of(&s)].bytes(&s.conv, &s.walk);
  return FCV_OK;
}

int fcv_packed_form(const struct fcv_conv *conv) {
  struct settled s;
  if (settle(conv, FCV_FORWARD, &s) != FCV_OK)
    return 0;
  const enum fcv_way way = way_of(&s);
  return 2 * (int)way + (way == FCV_BY_DEPTHWISE && fcv_depthwise_along_channels(&s.conv, 0));
}

fcv_status fcv_pack(const struct fcv_conv *conv, const void *w, const void *bias, void *packed) {
  struct settled s;
  FCV_TRY(settle(conv, FCV_FORWARD, &s));
  const enum fcv_way way = way_of(&s);
  if (way == FCV_BY_WINOGRAD)
    return fcv_winograd_pack(&s.conv, &s.walk, &s.view, fcv_winograd_size(&s.conv), w, bias, packed);
  ways[way].pack(&s.conv, &s.walk, &s.view, w, bias, packed);
  return FCV_OK;
}

/* Whether some residue meets no tap. Then gx is cleared as a whole: element by element, every second one, takes longer.
 */
static int misses_elements(const struct fcv_geometry *g) {
  struct fcv_walk walk;
  int misses = 0;
  FCV_FOR_EACH_RESIDUE(g, walk, misses = misses || fcv_walk_taps(&walk) == 0);
  return misses;
}

static fcv_status grad_input(const struct fcv_conv *conv, struct settled *s, const void *gy, const void *w,
                             const void *bias, void *gx) {
  const struct fcv_conv *c = &s->conv;
  const struct fcv_geometry *g = &c->geometry;
  if (s->turned)
    return fcv_conv_turned(conv, c, s->pass, &(struct fcv_arrays){.y = gy, .w = w, .bias = bias, .result = gx});
  if (c->algorithm == FCV_IM2COL)
    return fcv_conv_col2im(c, &s->view, gy, w, bias, gx);
  if (ways[way_of(s)].pass)
    return run(s, gy, w, bias, gx);
  if (c->algorithm == FCV_DIRECT && fcv_merges_planes(c, &s->view))
    return fcv_conv_planes_merged(c, &s->view, gy, w, bias, gx);
  const int zeros = !bias && c->activation == FCV_LINEAR; /* where no tap meets gx */
  if (zeros && c->algorithm == FCV_DIRECT && fcv_spreads_planes(c, &s->view))
    return fcv_conv_planes_spread(c, &s->view, gy, w, gx);
  const int clears = zeros && !c->workspace && misses_elements(g);
  if (clears)
    fcv_clear(gx, g->n * g->ci * fcv_product(g->in) * fcv_kernels(c->dtype)->size);
  FCV_FOR_EACH_RESIDUE(g, s->walk, {
    if (!clears || fcv_walk_taps(&s->walk) > 0)
      FCV_TRY(run(s, gy, w, bias, gx));
  });
  return FCV_OK;
}

fcv_status fcv_conv_grad_input(const struct fcv_conv *conv, const void *gy, const void *w, const void *bias, void *gx) {
  struct settled s;
  FCV_TRY(settle(conv, FCV_GRAD_INPUT, &s));
  return grad_input(conv, &s, gy, w, bias, gx);
}

static fcv_status run_wgrad_runs(const struct fcv_conv *c, const struct fcv_walk *walk, const void *x, const void *gy,
                                 void *gw) {
  return fcv_conv_wgrad_runs(c, walk, x, gy, gw, NULL, NULL);
}

static fcv_status run_wgrad_strips(const struct fcv_conv *c, const struct fcv_walk *walk, const void *x, const void *gy,
                                   void *gw) {
  return fcv_conv_wgrad_strips(c, walk, x, gy, gw, NULL);
}

static fcv_status (*const wgrad_ways[])(const struct fcv_conv *c, const struct fcv_walk *walk, const void *x,
                                        const void *gy, void *gw) = {
    [FCV_WGRAD_BY_WINOGRAD] = fcv_conv_wgrad_winograd, [FCV_WGRAD_BY_DEPTHWISE] = fcv_conv_wgrad_depthwise,
    [FCV_WGRAD_BY_LANES] = fcv_conv_wgrad_lanes,       [FCV_WGRAD_BY_RUNS] = run_wgrad_runs,
    [FCV_WGRAD_BY_PLANES] = fcv_conv_wgrad_planes,     [FCV_WGRAD_BY_POINTWISE] = fcv_conv_wgrad_pointwise,
    [FCV_WGRAD_BY_STRIPS] = run_wgrad_strips,          [FCV_WGRAD_BY_DIRECT] = fcv_conv_wgrad,
};

static fcv_status grad_weight(const struct fcv_conv *conv, const struct settled *s, const void *x, const void *gy,
                              void *gw) {
  const struct fcv_conv *c = &s->conv;
  const struct fcv_geometry *g = &c->geometry;
  if (s->turned)
    return fcv_conv_turned(conv, c, s->pass, &(struct fcv_arrays){.x = x, .y = gy, .result = gw});
  if (fcv_weights(g) == 0)
    return FCV_OK;
  if (g->n * fcv_product(g->out) == 0) { /* sums of nothing */
    if (!c->workspace)
      memset(gw, 0, (size_t)(fcv_weights(g) * fcv_kernels(c->dtype)->size));
    return FCV_OK;
  }
  return wgrad_ways[fcv_wgrad_way(c, &s->walk)](c, &s->walk, x, gy, gw);
}

fcv_status fcv_conv_grad_weight(const struct fcv_conv *conv, const void *x, const void *gy, void *gw) {
  struct settled s;
  FCV_TRY(settle(conv, FCV_GRAD_WEIGHT, &s));
  return grad_weight(conv, &s, x, gy, gw);
}

/* Whether the weight gradient is computed, and in this way. */
static int sums_by(const struct settled *s, enum fcv_wgrad_way way) {
  const struct fcv_geometry *g = &s->conv.geometry;
  return !s->turned && g->n > 0 && fcv_weights(g) > 0 && !is_empty(g) && fcv_wgrad_way(&s->conv, &s->walk) == way;
}

static fcv_status grad_weight_bias(const struct fcv_conv *conv, const struct settled *s, const void *x, const void *gy,
                                   void *gw, void *gb) {
  if (gb && sums_by(s, FCV_WGRAD_BY_RUNS))
    return fcv_conv_wgrad_runs(&s->conv, &s->walk, x, gy, gw, gb, NULL);
  if (gb && sums_by(s, FCV_WGRAD_BY_STRIPS))
    return fcv_conv_wgrad_strips(&s->conv, &s->walk, x, gy, gw, gb);
  FCV_TRY(grad_weight(conv, s, x, gy, gw));
  return gb ? fcv_conv_grad_bias(conv, gy, gb) : FCV_OK;
}

fcv_status fcv_conv_grad_weight_bias(const struct fcv_conv *conv, const void *x, const void *gy, void *gw, void *gb) {
  struct settled s;
  FCV_TRY(settle(conv, FCV_GRAD_WEIGHT, &s));
  return grad_weight_bias(conv, &s, x, gy, gw, gb);
}

/* Whether conv_col2im_runs.c computes the input gradient. */
static int folds_runs(const struct settled *s) {
  const struct fcv_conv *c = &s->conv;
  return !s->turned && c->algorithm == FCV_IM2COL && c->activation == FCV_LINEAR && fcv_use_col2im_planes(c) &&
         fcv_use_col2im_runs(c);
}

/* Whether both gradients are computed of some images at a time, whose gy is then read once. */
static int shares_gy(const struct settled *input, const struct settled *weight) {
  const struct fcv_conv *c = &weight->conv;
  return folds_runs(input) && sums_by(weight, FCV_WGRAD_BY_RUNS) &&
         fcv_wgrad_runs_by_images(fcv_kernels(c->dtype), &weight->walk) && !c->workspace;
}

fcv_status fcv_conv_gradients(const struct fcv_conv *for_input, const struct fcv_conv *for_weight, const void *x,
                              const void *gy, const void *w, void *gx, void *gw, void *gb) {
  struct settled input, weight;
  FCV_TRY(settle(for_input, FCV_GRAD_INPUT, &input));
  FCV_TRY(settle(for_weight, FCV_GRAD_WEIGHT, &weight));
  if (shares_gy(&input, &weight))
    return fcv_conv_gradients_runs(&weight.conv, &weight.walk, x, gy, w, gx, gw, gb);
  FCV_TRY(grad_input(for_input, &input, gy, w, NULL, gx));
  return grad_weight_bias(for_weight, &weight, x, gy, gw, gb);
}

fcv_status fcv_multiplications_toeplitz(const struct fcv_conv *conv, fcv_pass pass, int64_t *count) {
  struct fcv_walk walk;
  FCV_TRY(fcv_geometry_check(&conv->geometry, fcv_kernels(conv->dtype)->size));
  *count = 0;
  if (pass == FCV_GRAD_INPUT) {
    FCV_FOR_EACH_RESIDUE(&conv->geometry, walk, *count += fcv_toeplitz_multiplications(conv, &walk));
  } else {
    fcv_walk_forward(&conv->geometry, &walk);
    *count = fcv_toeplitz_multiplications(conv, &walk);
  }
  return FCV_OK;
}
