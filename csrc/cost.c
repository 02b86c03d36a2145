/* What a pass costs by an algorithm: its work of a few kinds, each with a price in multiply-adds at the kernels' full
 * speed. Prices are a fit (least squares without negative prices, of relative errors) to random layers, by
 * bench/fit_auto.py, which prints the tables below. */
#include "internal.h"

enum kind {
  PRODUCTS, /* of the kernels, with the padding of vectors */
  NARROW,   /* those of them in panels of one vector */
  STORES,   /* of a pixel's or a tile's values in a panel; for the weight gradient panels of gy that are packed */
  POINTERS, /* written: one for a pixel and tap, or the calls of a tile and point; pieces of patches */
  WEIGHTS,  /* packed or transformed; for the weight gradient summed and written */
  VALUES,   /* staged, copied to patches, added from them, or transformed */
  PARTIAL,  /* tiles at one point whose channels fill half a vector at most; blocks' outputs stored one by one;
               weights that are packed where they are used, or of an input gradient by planes; pixels whose patches
               are added in one call; vectors of kernel rows that are copied to patches; weights' sums that are
               transposed in the end; weights that every unit of im2col reads from beyond L2 */
  CALLS,
  KINDS
};

struct work {
  double of[KINDS];
};
_Static_assert(sizeof(struct work) == FCV_WORK_KINDS * sizeof(double), "fastconv.h names the kinds");

enum method {
  DIRECT,
  PLANES,
  IM2COL,
  COL2IM,
  COL2IM_PLANES,
  TOEPLITZ,
  WINOGRAD,
  SUM_DIRECT,
  SUM_PLANES,
  SUM_IM2COL,
  SUM_WINOGRAD,
  LANES,
  SUM_LANES,
  NARROW_ROWS,
  METHODS
};

/* A Sapphire Rapids with AVX-512, one core, float32, 300 layers a pass, Winograd's of 160 since its blocks stay in L2.
 * Here too the prices of Winograd's weights are set by hand, 1x7x7 512->512 3x3, weight gradient, took 4.9 ms,
 * direct 2.1, and those of few channels. A call of direct and of planes costs nothing, so that they are taken for tiny
 * layers. */
static const struct work price_avx512[2][METHODS] =
    {
        [FCV_CHANNELS_FIRST] =
            {
                [DIRECT] = {{1.35, 0.356, 656, 81.6, 28.4, 35, 26.7, 0}},
                [PLANES] = {{1.3, 0, 56.3, 200, 1.82, 42.1, 96, 0}},
                [IM2COL] = {{1.3, 0, 1830, 231, 56.3, 25.7, 3, 213000}},
                [COL2IM] = {{1.42, 0.736, 0, 922, 42.7, 24.3, 0, 463000}},
                [COL2IM_PLANES] = {{1.46, 0, 201, 255, 0, 17.1, 666, 478000}},
                [TOEPLITZ] = {{1.45, 0.261, 6590, 0, 194, 33, 231, 38400}},
                [WINOGRAD] = {{1.83, 0.895, 609, 0, 45, 26.4, 357, 0}},
                [SUM_DIRECT] = {{1.59, 0.864, 802, 38.8, 15.5, 35.3, 63, 19800}},
                [SUM_PLANES] = {{2.3, 0, 8760, 45.9, 0, 66.2, 0, 149000}},
                [SUM_IM2COL] = {{1.62, 0.258, 1270, 195, 91.8, 47.8, 300, 0}},
                [SUM_WINOGRAD] = {{1.01, 0.892, 412, 1060, 52.6, 25.7, 0, 0}},
                [LANES] = {{1.35, 2.1, 0, 0, 170, 28, 0, 0}},
                [SUM_LANES] = {{1.7, 0, 0, 0, 400, 28, 0, 0}},
            },
        [FCV_CHANNELS_LAST] =
            {
                [DIRECT] = {{1.35, 0.356, 656, 81.6, 28.4, 0, 26.7, 0}},
                [IM2COL] = {{1.22, 0, 1150, 250, 28.3, 20.6, 3, 0}},
                [COL2IM] = {{1.36, 0.788, 0, 956, 33, 18.2, 3410, 50400}},
                [TOEPLITZ] = {{1.35, 0.54, 725, 49, 71.8, 1.42, 972, 91200}},
                [WINOGRAD] = {{1.67, 0.548, 292, 0, 35, 15, 583, 0}},
                [SUM_DIRECT] = {{1.54, 0.767, 771, 97.4, 15.5, 0, 0, 18200}},
                [SUM_IM2COL] = {{1.53, 0.43, 1020, 205, 14.2, 36.8, 300, 0}},
                [SUM_WINOGRAD] = {{1.03, 0.508, 433, 0, 40, 15.1, 548, 0}},
                [LANES] = {{1.35, 2.1, 0, 0, 170, 28, 0, 0}},
                [SUM_LANES] = {{1.7, 0, 0, 0, 400, 28, 0, 0}},
                [NARROW_ROWS] = {{1.3, 0, 200, 0, 0, 0, 0, 0}},
            },
};

/* A Zen 4, whose AVX-512 multiplies in two halves: a multiply-add takes twice as long, so that all else costs half as
 * many. One core, float32, 220 layers a pass; planes since they fetch what comes next. With channels first, direct has
 * the prices of channels last, since few of those layers take it. Set by hand: calls, at half of the above; the weights
 * of Winograd (1x7x7 512->512 3x3: 4.2 ms, direct 3.2) and col2im, which cost more where they leave the caches;
 * Winograd's values, channels first, and lanes (256x4x4 16->32 3x3, 256x11x11 8->16 5x5 s2). */
static const struct work price_avx512_halves[2][METHODS] =
    {
        [FCV_CHANNELS_FIRST] =
            {
                [DIRECT] = {{0.98, 0.153, 370, 41.9, 10.1, 15, 19.4, 0}},
                [PLANES] = {{1.09, 0, 30.9, 97.3, 1.22, 13.8, 39.1, 0}},
                [IM2COL] = {{0.976, 0, 885, 176, 24.1, 8.73, 2.47, 1e5}},
                [COL2IM] = {{1.09, 0.234, 0, 469, 30, 9.18, 0, 2.6e5}},
                [COL2IM_PLANES] = {{1.41, 0, 0, 214, 0, 6.09, 0, 2e5}},
                [TOEPLITZ] = {{1.11, 0.00776, 3360, 0, 109, 13.7, 0, 2e4}},
                [WINOGRAD] = {{1.05, 0.133, 99.6, 0, 16, 12.4, 316, 0}},
                [SUM_DIRECT] = {{1.09, 0.418, 269, 32, 13.6, 13.9, 50.2, 1e4}},
                [SUM_PLANES] = {{1.37, 0, 3930, 0, 23.6, 70.5, 0, 2e4}},
                [SUM_IM2COL] = {{1.17, 0.216, 484, 161, 40.2, 15.6, 132, 5e4}},
                [SUM_WINOGRAD] = {{1.27, 0.479, 0, 68.1, 15.9, 16.7, 185, 0}},
                [LANES] = {{1.16, 0.3, 0, 0, 90, 18, 0, 0}},
                [SUM_LANES] = {{0.828, 0.261, 0, 0, 2470, 24.6, 0, 0}},
            },
        [FCV_CHANNELS_LAST] =
            {
                [DIRECT] = {{0.98, 0.153, 370, 41.9, 10.1, 1.45, 19.4, 0}},
                [IM2COL] = {{0.934, 0, 513, 210, 15.9, 6.59, 2.71, 0}},
                [COL2IM] = {{1.05, 0.256, 0, 450, 30, 7.52, 1650, 2.5e4}},
                [TOEPLITZ] = {{1.05, 0.192, 268, 40.5, 38.1, 0.0674, 425, 4.5e4}},
                [WINOGRAD] = {{1.02, 0.202, 71.4, 36.4, 14, 8.51, 380, 0}},
                [SUM_DIRECT] = {{1.03, 0.403, 309, 84, 0, 29.1, 0, 1e4}},
                [SUM_IM2COL] = {{1.07, 0.256, 401, 191, 8.56, 12.5, 146, 0}},
                [SUM_WINOGRAD] = {{1.07, 0.387, 71.3, 0, 11.8, 9.3, 283, 0}},
                [LANES] = {{1.35, 0.185, 0, 0, 89.5, 18, 0, 1e5}},
                [SUM_LANES] = {{1.09, 0.477, 0, 0, 1110, 21, 0, 0}},
                [NARROW_ROWS] = {{1.18, 0, 74.9, 0, 0, 0, 0, 5e4}},
            },
};

/* Kernels of AVX2, on the same Zen 4, one core, float32, 220 layers a pass; for other instruction sets too. By hand:
 * calls, of which every algorithm has one; direct with channels first, as above; Winograd's weights, and its products
 * of the weight gradient, whose share few of those layers show. */
static const struct work price[2][METHODS] =
    {
        [FCV_CHANNELS_FIRST] =
            {
                [DIRECT] = {{0.917, 0.377, 230, 53.6, 6.43, 15, 18.3, 0}},
                [PLANES] = {{0.948, 0, 55.9, 49.8, 7.53, 11.5, 33.9, 0}},
                [IM2COL] = {{0.942, 0.23, 437, 176, 17.9, 6.68, 2.25, 5e4}},
                [COL2IM] = {{1.08, 0.404, 0, 356, 15, 11.8, 0, 1.4e5}},
                [COL2IM_PLANES] = {{1.28, 0, 0, 115, 8.66, 8.08, 0, 6e4}},
                [TOEPLITZ] = {{1.03, 0.275, 1860, 0, 140, 13.5, 0, 0}},
                [WINOGRAD] = {{0.933, 0.981, 106, 243, 26, 14.7, 214, 0}},
                [SUM_DIRECT] = {{1.13, 0.747, 102, 83.6, 15.6, 12.2, 50.1, 0}},
                [SUM_PLANES] = {{1.27, 0, 603, 31.3, 0, 78.4, 0, 1e4}},
                [SUM_IM2COL] = {{1.17, 0, 270, 149, 34.6, 19.9, 118, 0}},
                [SUM_WINOGRAD] = {{0.95, 0, 71.8, 143, 15.8, 19.3, 155, 0}},
                [LANES] = {{0.936, 0.57, 0, 0, 367, 10.6, 0, 1e5}},
                [SUM_LANES] = {{0.986, 1.19, 0, 0, 1670, 16.8, 0, 0}},
            },
        [FCV_CHANNELS_LAST] =
            {
                [DIRECT] = {{0.917, 0.377, 230, 53.6, 6.43, 6.39, 18.3, 0}},
                [IM2COL] = {{0.916, 0.235, 278, 196, 14.1, 4.49, 2.54, 0}},
                [COL2IM] = {{1, 0.613, 0, 409, 15.5, 9.4, 1540, 0}},
                [TOEPLITZ] = {{1, 0.461, 210, 48.9, 36.8, 1.01, 444, 2e4}},
                [WINOGRAD] = {{0.949, 1.13, 138, 282, 22, 7.43, 213, 0}},
                [SUM_DIRECT] = {{1.13, 0.833, 193, 88.6, 0, 25.3, 0, 0}},
                [SUM_IM2COL] = {{1.11, 0, 254, 162, 10.3, 16.9, 119, 0}},
                [SUM_WINOGRAD] = {{0.95, 0, 95.5, 209, 11.8, 13, 146, 0}},
                [LANES] = {{0.957, 0.353, 0, 0, 530, 12.4, 0, 0}},
                [SUM_LANES] = {{0.986, 0.665, 0, 0, 1230, 17.3, 0, 0}},
                [NARROW_ROWS] = {{1.29, 0, 48.7, 0, 0, 0, 0, 1e5}},
            },
};

/* Weights that are packed already are read, at so much of their price on a Zen 4: with it 1x13x13 256->384 3x3,
 * channels first, 2.8 ms became 1.4, 1x7x7 512->512 2.9 and 1.3. Of the Sapphire Rapids that was not measured. */
static const double PREPARED = 0.25;

/* A walk as the kernels see it. */
struct shape {
  const struct fcv_conv *conv;
  fcv_pass pass;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  struct fcv_weight_view view;
  double outputs, inputs, taps, kc;
};

static struct shape shape_of(const struct fcv_conv *conv, fcv_pass pass, const struct fcv_walk *walk) {
  const struct fcv_axis *axis = walk->axis;
  struct fcv_weight_view view;
  fcv_weight_view(conv, pass == FCV_GRAD_INPUT, &view);
  return (struct shape){
      .conv = conv,
      .pass = pass,
      .kernels = fcv_kernels(conv->dtype),
      .walk = walk,
      .view = view,
      .outputs = (double)(walk->n * axis[0].count * axis[1].count * axis[2].count),
      .inputs = (double)(walk->n * axis[0].in * axis[1].in * axis[2].in),
      .taps = (double)fcv_walk_taps(walk),
      .kc = (double)walk->kc,
  };
}

/* Panels of nc channels: how many, their channels with padding, and those of a panel of one vector. */
struct width {
  double panels, channels, narrow;
};

static struct width width_of(const struct fcv_kernels *k, int64_t nc) {
  struct fcv_panels panels;
  fcv_panels(k, nc, &panels);
  const int64_t channels = fcv_panels_channels(&panels), last = channels - (panels.per_group - 1) * panels.width;
  return (struct width){(double)panels.per_group, (double)channels, last == k->vl ? (double)last : 0};
}

/* rows: pixels or tiles; terms: products of an output; w: of its channels. */
static void count_products(struct work *work, double rows, double terms, const struct width *w) {
  work->of[PRODUCTS] = rows * terms * w->channels;
  work->of[NARROW] = rows * terms * w->narrow;
  work->of[WEIGHTS] = terms * w->channels;
}

static void count_direct(const struct shape *s, struct work *work) {
  const struct width w = width_of(s->kernels, s->walk->nc);
  const int row_taps = fcv_use_row_taps(s->walk);
  if (fcv_use_dots(s->conv, s->walk)) { /* some lanes more for the sum of a vector */
    work->of[PRODUCTS] = s->outputs * (double)s->walk->nc * (s->kc + 3 * (double)s->kernels->vl);
    return;
  }
  count_products(work, s->outputs, s->taps * s->kc, &w);
  work->of[STORES] = s->outputs * w.panels;
  work->of[POINTERS] = s->outputs * s->taps / (row_taps ? (double)s->walk->axis[2].taps : 1);
  work->of[VALUES] = row_taps || s->conv->layout == FCV_CHANNELS_FIRST ? s->inputs * s->kc : 0;
  if (fcv_fits_pieces(s->conv, s->walk, &s->view)) {
    work->of[PARTIAL] = work->of[WEIGHTS];
    work->of[WEIGHTS] = 0;
  }
}

static void count_planes(const struct shape *s, struct work *work) {
  const int64_t vl = s->kernels->vl;
  struct fcv_walk joined = *s->walk;
  fcv_join_rows(&joined, 1, (int)vl);
  const struct fcv_axis *x = &joined.axis[2];
  const int64_t run = fcv_max(1, fcv_min(vl, x->count));
  const double nc = (double)s->walk->nc, terms = s->taps * s->kc;
  const int rest = fcv_planes_rest(s->kernels, s->walk);
  const double lanes = rest ? s->outputs - rest + 0.3 * (double)vl : (double)fcv_round_up((int64_t)s->outputs, vl);
  work->of[PRODUCTS] = lanes * terms * nc;
  work->of[WEIGHTS] = terms * nc;
  const int merged = x->out_step > 1 && (fcv_merges_planes(s->conv, &s->view) || fcv_spreads_planes(s->conv, &s->view));
  work->of[STORES] = s->outputs / (double)run * nc * (merged ? 2 : x->out_step > 1 ? (double)vl : 1);
  work->of[POINTERS] = s->outputs / (double)run * terms;
  work->of[VALUES] = s->taps > 1 ? s->inputs * s->kc : 0;
  work->of[PARTIAL] = s->pass == FCV_GRAD_INPUT ? terms * nc : 0;
  if (fcv_use_runs(s->kernels, s->walk)) { /* no patches, but rows of whole vectors */
    work->of[PRODUCTS] *= (double)fcv_round_up(x->count, vl) / (double)x->count;
    work->of[POINTERS] = 0;
  }
}

enum { FAR_BYTES = 2 << 20 }; /* weights that do not stay in L2 */

static void count_im2col(const struct shape *s, struct work *work) {
  const struct width w = width_of(s->kernels, s->walk->nc);
  count_products(work, s->outputs, s->taps * s->kc, &w);
  work->of[STORES] = s->outputs * w.panels;
  work->of[POINTERS] = s->outputs * s->taps;
  work->of[VALUES] = s->outputs * s->taps * s->kc;
  const double unit = (double)(s->kernels->mr * fcv_im2col_tiles(s->kernels, (int64_t)(s->taps * s->kc)));
  if (work->of[WEIGHTS] * (double)s->kernels->size > FAR_BYTES)
    work->of[PARTIAL] = work->of[WEIGHTS] * s->outputs / unit;
}

/* The gradient's walks share what is transposed of gy. */
static void count_lanes(const struct shape *s, struct work *work) {
  const int gradient = s->pass == FCV_GRAD_WEIGHT;
  const double walks = s->pass == FCV_GRAD_INPUT ? (double)fcv_product(s->conv->geometry.stride) : 1;
  work->of[PRODUCTS] =
      gradient ? s->outputs * s->taps * s->kc * (double)s->walk->nc : fcv_lanes_products(s->conv, s->walk);
  if (s->walk->nc <= 2) /* a load of x for each product, or for two */
    work->of[NARROW] = work->of[PRODUCTS];
  work->of[VALUES] = s->inputs * s->kc / walks + s->outputs * (double)s->walk->nc;
  work->of[WEIGHTS] = s->taps * s->kc * (double)s->walk->nc;
}

/* By the walk of the forward pass: from gy to patches of x. */
static void count_col2im(const struct shape *s, struct work *work) {
  if (fcv_use_col2im_few(s->conv)) {
    const double lanes = (double)fcv_round_up((int64_t)s->outputs, s->kernels->vl);
    work->of[PRODUCTS] = lanes * s->taps * s->kc * (double)s->walk->nc;
    work->of[VALUES] = s->outputs * s->taps * s->kc + s->inputs * s->kc;
    return;
  }
  const double together = fcv_col2im_shares_panels(s->conv) ? s->taps : 1; /* taps */
  const struct width w = width_of(s->kernels, (int64_t)together * s->walk->kc);
  count_products(work, s->outputs, s->taps / together * (double)s->walk->nc, &w);
  work->of[together > 1 ? PARTIAL : POINTERS] = s->outputs * s->taps / together;
  work->of[VALUES] = s->outputs * s->taps * s->kc + s->inputs * s->kc;
}

static void count_col2im_planes(const struct shape *s, struct work *work) {
  const int64_t vl = s->kernels->vl, width = vl * s->kernels->nv;
  const double nc = (double)s->walk->nc, terms = s->taps * s->kc;
  const double rows = s->outputs / (double)s->walk->n / (double)s->walk->axis[2].count; /* of an image */
  const double panels = (double)(s->walk->n * fcv_ceil_div((int64_t)rows * s->walk->axis[2].count, width));
  work->of[PRODUCTS] = panels * (double)width * terms * nc;
  work->of[WEIGHTS] = terms * nc;
  work->of[STORES] = panels * terms;
  if (fcv_use_col2im_runs(s->conv)) { /* rows of gx for each tap along a row alone */
    work->of[VALUES] = s->inputs * s->kc * (double)s->walk->axis[2].taps;
    return;
  }
  work->of[POINTERS] = (double)s->walk->n * rows * terms;
  work->of[VALUES] = s->outputs * terms + s->inputs * s->kc;
}

static void count_toeplitz(const struct shape *s, struct work *work) {
  const struct fcv_axis *axis = s->walk->axis;
  const int64_t block = fcv_toeplitz_block(s->conv, s->walk);
  const struct width w = width_of(s->kernels, block * s->walk->nc);
  const double blocks = s->outputs / (double)axis[2].count * (double)fcv_ceil_div(axis[2].count, block);
  const double rows = (double)(axis[0].taps * axis[1].taps);
  count_products(work, blocks, rows * (double)fcv_toeplitz_window(s->walk, block) * s->kc, &w);
  work->of[STORES] = blocks * w.panels;
  work->of[POINTERS] = blocks * rows;
  work->of[VALUES] = s->inputs * s->kc;
  work->of[PARTIAL] = axis[2].out_step > 1 || s->conv->layout == FCV_CHANNELS_FIRST ? s->outputs : 0;
}

/* The weight gradient sums tiles of some rows, those of some taps together. */
static void count_sums(struct work *work, const struct shape *s, double pixels, double taps, double rows) {
  const struct width w = width_of(s->kernels, s->walk->nc);
  work->of[PRODUCTS] = pixels * taps * rows * w.channels;
  work->of[NARROW] = pixels * taps * rows * w.narrow;
  work->of[WEIGHTS] = taps * rows * w.channels;
  work->of[STORES] = pixels * w.panels;
}

static void count_sum_direct(const struct shape *s, struct work *work) {
  const double span = fcv_use_row_taps(s->walk) ? (double)s->walk->axis[2].taps : 1;
  if (fcv_use_wgrad_strips(s->conv, s->walk)) {
    count_sums(work, s, s->outputs, 1, s->taps * s->kc);
    work->of[STORES] = 0; /* gy is read where it lies */
    return;
  }
  count_sums(work, s, s->outputs, s->taps / span, span * s->kc);
  work->of[POINTERS] = s->outputs * s->taps / span;
  work->of[VALUES] = span > 1 || s->conv->layout == FCV_CHANNELS_FIRST ? s->inputs * s->kc : 0;
  if (s->conv->weight_layout == FCV_CHANNELS_FIRST && !fcv_wgrad_transposes(s->conv, s->walk))
    work->of[PARTIAL] = work->of[WEIGHTS];
}

static void count_sum_planes(const struct shape *s, struct work *work) {
  const struct fcv_kernels *k = s->kernels;
  const int64_t run = fcv_max(1, fcv_min(k->vl, s->walk->axis[2].count));
  const double terms = s->taps * s->kc, nc = (double)s->walk->nc;
  work->of[WEIGHTS] = terms * nc;
  if (fcv_fills_runs(k, s->walk)) { /* planes where they lie, in tiles of all sizes: a third of the price, by hand */
    work->of[PRODUCTS] = s->outputs * terms * nc;
    work->of[VALUES] = s->inputs * s->kc / 3;
    return;
  }
  const double tile_rows = (double)fcv_round_up((int64_t)terms, k->db);
  const double tiles = tile_rows / k->db * (double)fcv_ceil_div(s->walk->nc, k->da);
  work->of[PRODUCTS] = s->outputs * tiles * k->da * k->db;
  work->of[STORES] = tiles * (1 + s->outputs * (double)k->size / FCV_DOTS_ROW_BYTES);
  work->of[POINTERS] = s->outputs / (double)run * terms;
  work->of[VALUES] = s->inputs * s->kc;
}

static void count_sum_im2col(const struct shape *s, struct work *work) {
  count_sums(work, s, s->outputs, 1, s->taps * s->kc);
  if (fcv_use_row_taps(s->walk)) {
    const int64_t run = s->walk->axis[2].taps * s->walk->kc;
    work->of[PARTIAL] = s->outputs * s->taps * s->kc / (double)run * (double)fcv_ceil_div(run, s->kernels->vl);
    return;
  }
  work->of[POINTERS] = s->outputs * s->taps;
  work->of[VALUES] = s->outputs * s->taps * s->kc;
}

static void count_winograd(const struct shape *s, struct work *work) {
  const int m = fcv_winograd_size(s->conv);
  const struct fcv_axis *axis = s->walk->axis;
  const int64_t vl = s->kernels->vl, kc = s->walk->kc, nc = s->walk->nc;
  const double points = (m + 2) * (m + 2);
  const double tiles = (double)(s->walk->n * fcv_ceil_div(axis[1].count, m) * fcv_ceil_div(axis[2].count, m));
  if (s->pass == FCV_GRAD_WEIGHT) {
    count_sums(work, s, tiles, points, s->kc);
    work->of[STORES] *= points * (double)fcv_ceil_div(kc, s->kernels->mi);
  } else {
    const struct width w = width_of(s->kernels, nc);
    count_products(work, tiles, points * s->kc, &w);
    work->of[STORES] = points * tiles * w.panels;
  }
  work->of[POINTERS] = points * tiles;
  work->of[VALUES] = points * tiles * (double)(fcv_round_up(kc, vl) + fcv_round_up(nc, vl));
  work->of[PARTIAL] = points * tiles * ((2 * kc <= vl) + (2 * nc <= vl));
}

static void count_narrow(const struct shape *s, struct work *work) {
  const int64_t panels = fcv_ceil_div(s->walk->nc, s->kernels->vl);
  work->of[PRODUCTS] = s->outputs * s->taps * s->kc * (double)(panels * s->kernels->vl);
  work->of[STORES] = s->outputs * (double)panels;
}

/* How the work of a way is counted, and which prices it has. */
static const enum method methods[] = {
    [FCV_BY_WINOGRAD] = WINOGRAD, [FCV_BY_TOEPLITZ] = TOEPLITZ, [FCV_BY_MATRIX] = DIRECT,
    [FCV_BY_DEPTHWISE] = DIRECT,  [FCV_BY_LANES] = LANES,       [FCV_BY_NARROW] = NARROW_ROWS,
    [FCV_BY_DOTS] = DIRECT,       [FCV_BY_PLANES] = PLANES,     [FCV_BY_DIRECT] = DIRECT,
};

static const enum method wgrad_methods[] = {
    [FCV_WGRAD_BY_WINOGRAD] = SUM_WINOGRAD, [FCV_WGRAD_BY_DEPTHWISE] = SUM_DIRECT, [FCV_WGRAD_BY_RUNS] = SUM_PLANES,
    [FCV_WGRAD_BY_PLANES] = SUM_PLANES,     [FCV_WGRAD_BY_POINTWISE] = SUM_DIRECT, [FCV_WGRAD_BY_LANES] = SUM_LANES,
    [FCV_WGRAD_BY_STRIPS] = SUM_DIRECT,     [FCV_WGRAD_BY_DIRECT] = SUM_DIRECT,
};

static enum method method_of(const struct shape *s) {
  const struct fcv_conv *conv = s->conv;
  const int by_im2col = conv->algorithm == FCV_IM2COL;
  if (s->pass == FCV_GRAD_WEIGHT)
    return by_im2col ? SUM_IM2COL : wgrad_methods[fcv_wgrad_way(conv, s->walk)];
  if (!by_im2col)
    return methods[fcv_way(conv, s->walk, &s->view)];
  return s->pass == FCV_FORWARD ? IM2COL : fcv_use_col2im_planes(conv) ? COL2IM_PLANES : COL2IM;
}

static void (*const count[METHODS])(const struct shape *s, struct work *work) = {
    [DIRECT] = count_direct,
    [PLANES] = count_planes,
    [IM2COL] = count_im2col,
    [COL2IM] = count_col2im,
    [COL2IM_PLANES] = count_col2im_planes,
    [TOEPLITZ] = count_toeplitz,
    [WINOGRAD] = count_winograd,
    [SUM_DIRECT] = count_sum_direct,
    [SUM_PLANES] = count_sum_planes,
    [SUM_IM2COL] = count_sum_im2col,
    [SUM_WINOGRAD] = count_winograd,
    [LANES] = count_lanes,
    [SUM_LANES] = count_lanes,
    [NARROW_ROWS] = count_narrow,
};

/* Adds the work of a walk, and says by which method. */
static enum method count_walk(const struct shape *s, struct work *sum) {
  struct work work = {.of[CALLS] = 1};
  const enum method method = method_of(s);
  count[method](s, &work);
  for (int i = 0; i < KINDS; i++) sum->of[i] += work.of[i];
  return method;
}

/* The sum over its walks. A walk without taps leaves zeros. */
static enum method count_pass(const struct fcv_conv *conv, fcv_pass pass, fcv_algorithm algorithm, struct work *work) {
  struct fcv_conv by = *conv;
  struct fcv_walk walk;
  enum method method = DIRECT;
  by.algorithm = algorithm;
  by.packed = NULL; /* the choice is the same with weights that are packed already */
  *work = (struct work){0};
  if (pass == FCV_GRAD_INPUT && algorithm != FCV_IM2COL) {
    FCV_FOR_EACH_RESIDUE(&conv->geometry, walk, {
      const struct shape s = shape_of(&by, pass, &walk);
      if (s.outputs * s.taps > 0)
        method = count_walk(&s, work);
    });
  } else {
    fcv_walk_forward(&conv->geometry, &walk);
    const struct shape s = shape_of(&by, pass, &walk);
    method = count_walk(&s, work);
  }
  return method;
}

double fcv_pass_cost(const struct fcv_conv *conv, fcv_pass pass, fcv_algorithm algorithm) {
  struct work work;
  const enum method method = count_pass(conv, pass, algorithm, &work);
  const int wide = !strcmp(fcv_isa(), "avx512"), halves = fcv_multiplies_in_halves();
  const struct work *prices = &(halves ? price_avx512_halves : wide ? price_avx512 : price)[conv->layout][method];
  double sum = 0;
  if (conv->prepared && (halves || !wide)) {
    work.of[WEIGHTS] *= PREPARED;
    if (method == DIRECT)
      work.of[PARTIAL] *= PREPARED; /* weights of pieces */
  }
  for (int i = 0; i < KINDS; i++) sum += prices->of[i] * work.of[i];
  return sum;
}

int fcv_expected_work(const struct fcv_conv *conv, fcv_pass pass, double *work) {
  struct work counted;
  const enum method method = count_pass(conv, pass, conv->algorithm, &counted);
  memcpy(work, counted.of, sizeof counted.of);
  return (int)method;
}
