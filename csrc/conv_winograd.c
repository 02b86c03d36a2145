/* Winograd convolution, F(2 x 2, 3 x 3) and F(4 x 4, 3 x 3): Lavin and Gray 2015, arXiv:1509.09308.
 *
 * The output is cut into tiles of m x m pixels, each from (m + 2)^2 pixels of input. A block of tiles is transformed,
 * V = B^T d B, multiplied point by point, M[e] = V[e] U[e] over channels for each of the (m + 2)^2 points e, by the
 * igemm kernel, and transformed back, Y = A^T M A. A unit of work is a piece, some tiles or with channels first a box
 * of them, that one thread takes through all three steps; where tiles are few, a unit is a piece and some of its output
 * channels. The input gradient is the same walk with turned weights. */
#include "winograd.h"

enum {
  BLOCK_BYTES = 2 << 20, /* V and M of a block, */
  MOST_TILES = 56,       /* and its tiles: all of U is read once a block, */
  FEW_TILES = 28,        /* from L2 if it fits there beside V and M; */
  FAR_BYTES = 16 << 20,  /* U, that is read from memory each time: then as many tiles as are */
  FAR_BLOCK_BYTES = 11 << 20,
  SHORT_TILE = 6, /* rows at most: it reads U faster than hardware fetches it from behind L2 */
  RUN = 8,        /* neighbouring tiles that are stored to channels first together, */
  SHORT_ROW = 16, /* or a row of as many */
  PIXELS = 16,    /* of an output tile at most */
};

struct winograd {
  struct fcv_winograd w;
  struct fcv_stage stage;
  int staged;
  int64_t pieces, splits;     /* units: pieces of all tiles, ranges of the panels */
  int64_t tiles, piece, most; /* all; those of a piece that is not staged; of a block */
  int64_t run;                /* neighbouring tiles that are stored together */
  int fetches;                /* the next panel of U while one is multiplied */
  struct fcv_source source;
  struct fcv_weight_view view;
  const char *x, *weights, *u, *bias;
  int own_u; /* each unit transforms the weights of a panel and multiplies with them; else u has all of them */
  char *y;
  int past_caches; /* results are written so */
  char *thread_memory;
  int64_t thread_bytes;
};

/* What a thread works on: a block of tiles, and panels first .. last - 1. */
struct block {
  struct fcv_tiles tiles;
  struct fcv_source source;
  int64_t first, last;
  int64_t channel, channels; /* those of the panels */
  struct fcv_factor v, m;
  char *own_u, *taps;   /* of a panel that is transformed */
  char *stage, *pixels; /* pixels: [m][run * m][channels], before they are stored to channels first */
};

/* A tile's share of the next panel, of so many bytes: it lies behind this one, or a little further for the next point.
 */
static struct fcv_ahead next_panel(const struct fcv_igemm_tile *tile, int64_t number, int64_t tiles, int64_t bytes) {
  const int64_t turns = fcv_ceil_div(tile->kc, FCV_TURN), lines = fcv_ceil_div(bytes, 64 * tiles * turns);
  const char *next = (const char *)tile->w + bytes;
  return (struct fcv_ahead){.from = next + number * turns * lines * 64, .rows = 1, .lines = lines, .pitch = lines * 64};
}

/* M[e] = V[e] U[e] for one point and panel, whose weights are u. */
static void multiply_point(const struct winograd *d, const struct block *b, int64_t point, int64_t panel,
                           const char *u) {
  const struct fcv_kernels *k = d->w.kernels;
  const int64_t kc = d->w.walk->kc, width = fcv_panel_width(&d->w.panels, panel), j0 = panel * d->w.panels.width;
  const char *v = b->v.data + point * b->v.point;
  char *m = b->m.data + point * b->m.point + (j0 - b->channel) * k->size;
  const void *a[FCV_MAX_MR];
  void *c[FCV_MAX_MR];
  struct fcv_igemm_tile tile = {
      .taps = 1,
      .kc = kc,
      .a = a,
      .w = u,
      .c = c,
      .n = (int)width,
  };
  const int64_t tiles = fcv_ceil_div(b->tiles.count, k->mr);
  for (int64_t t = 0; t < b->tiles.count; t += k->mr) {
    if (d->fetches && tiles > 1)
      tile.ahead = next_panel(&tile, t / k->mr, tiles, kc * width * k->size);
    tile.m = (int)fcv_min(k->mr, b->tiles.count - t);
    for (int i = 0; i < k->mr; i++) {
      const int64_t row = t + fcv_min(i, tile.m - 1);
      a[i] = v + row * b->v.pitch;
      c[i] = m + row * b->m.pitch;
    }
    k->igemm[width / k->vl - 1](&tile);
  }
}

/* The m * m pixels of a tile in y, channels last, from the block's first channel on; NULL outside. */
static void output_pixels(const struct winograd *d, const struct block *b, struct fcv_tile at, void **pixel) {
  const struct fcv_axis *axis = d->w.walk->axis;
  const int64_t nc = d->w.walk->nc, size = d->w.kernels->size;
  for (int64_t i = at.y; i < at.y + d->w.m; i++)
    for (int64_t j = at.x; j < at.x + d->w.m; j++) {
      const int in = i < axis[1].count && j < axis[2].count;
      const int64_t offset = ((at.image * axis[1].out + i) * axis[2].out + j) * nc + b->channel;
      *pixel++ = in ? d->y + offset * size : NULL;
    }
}

/* The m rows of pixels of a run of neighbouring tiles to channels first. */
static void store_run(const struct winograd *d, const struct block *b, struct fcv_tile at, int64_t run) {
  const struct fcv_axis *axis = d->w.walk->axis;
  const int64_t size = d->w.kernels->size, plane = axis[1].out * axis[2].out, row = run * d->w.m;
  const int64_t pixels = fcv_min(row, axis[2].count - at.x), first = at.image * d->w.walk->nc + b->channel;
  for (int64_t i = 0; i < d->w.m && at.y + i < axis[1].count; i++)
    d->w.kernels->transpose(pixels, b->channels, b->pixels + i * row * b->channels * size, b->channels,
                            d->y + (first * plane + (at.y + i) * axis[2].out + at.x) * size, plane);
}

/* Fetches where store_run will write channels first .. last - 1 of the block's: lines of as many pages, for which
 * stores would wait. GCC takes a function that only fetches for one without effect, and leaves calls of it out. */
static inline __attribute__((always_inline)) void fetch_run(const struct winograd *d, const struct block *b,
                                                            struct fcv_tile at, int64_t run, int64_t first,
                                                            int64_t last) {
  const struct fcv_axis *axis = d->w.walk->axis;
  const int64_t size = d->w.kernels->size, plane = axis[1].out * axis[2].out;
  const int64_t bytes = fcv_min(run * d->w.m, axis[2].count - at.x) * size;
  for (int64_t c = b->channel + first; c < b->channel + last; c++)
    for (int64_t i = 0; i < d->w.m && at.y + i < axis[1].count; i++) {
      const int64_t row = (at.image * d->w.walk->nc + c) * plane + (at.y + i) * axis[2].out + at.x;
      for (int64_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(d->y + row * size + byte, 1);
    }
}

static inline __attribute__((always_inline)) void fetch_pixels(const struct winograd *d, const struct block *b,
                                                               void *const *pixel) {
  for (int64_t i = 0; i < d->w.m * d->w.m; i++)
    for (int64_t byte = 0; byte < b->channels * d->w.kernels->size && pixel[i]; byte += 64)
      __builtin_prefetch((char *)pixel[i] + byte, 1);
}

/* Y = A^T M A */
static void transform_output(const struct winograd *d, const struct block *b) {
  const struct fcv_kernels *k = d->w.kernels;
  const struct fcv_conv *conv = d->w.conv;
  const int64_t channels = b->channels, mm = d->w.m * d->w.m;
  const int channels_first = conv->layout == FCV_CHANNELS_FIRST;
  void *m[FCV_POINTS], *pixel[PIXELS];
  fcv_point_rows(b->m.data, d->w.points, b->m.point, m);
  struct fcv_winograd_tile tile = {
      .channels = channels,
      .from = (const void *const *)m,
      .to = pixel,
      .bias = d->bias ? d->bias + b->channel * k->size : NULL,
      .activation = fcv_kernel_activation(conv),
      .slope = conv->slope,
      .past_caches = d->past_caches,
  };
  for (int64_t t = 0, run; t < b->tiles.count; t += run) {
    const struct fcv_tile at = fcv_tile(&d->w, &b->tiles, t);
    run = 1;
    if (channels_first)
      run = fcv_min(fcv_min(d->run, b->tiles.count - t), b->tiles.columns - at.x / d->w.m);
    for (int64_t r = 0; r < run; r++) {
      if (!channels_first) {
        output_pixels(d, b, at, pixel);
        if (!d->past_caches)
          fetch_pixels(d, b, pixel);
      } else {
        for (int64_t i = 0; i < mm; i++)
          pixel[i] = b->pixels + ((i / d->w.m * run + r) * d->w.m + i % d->w.m) * channels * k->size;
        fetch_run(d, b, at, run, channels * r / run, channels * (r + 1) / run);
      }
      tile.from_bytes = (t + r) * b->m.pitch;
      k->winograd_output[d->w.which](&tile);
      fcv_activate_rows(k, conv, mm, channels, pixel, 0);
    }
    if (channels_first)
      store_run(d, b, at, run);
  }
  if (d->past_caches)
    fcv_fence();
}

/* Of a panel's weights at one point, [k][width]. */
static int64_t panel_bytes(const struct winograd *d) { return d->w.walk->kc * d->w.panels.width * d->w.kernels->size; }

/* Of those that are packed before they are transformed. */
static int64_t taps_bytes(const struct winograd *d) {
  return fcv_round_up(9 * fcv_min(d->w.walk->kc, FCV_PACK_BLOCK) * d->w.panels.width * d->w.kernels->size, 64);
}

/* From one point of some channels' transformed weights to the next. */
static int64_t u_point(const struct winograd *d, int64_t channels) {
  return fcv_point_bytes(fcv_round_up(channels, d->w.kernels->vl) * d->w.walk->kc * d->w.kernels->size);
}

static int64_t lay_out(const struct winograd *d, char *base, struct block *b) {
  const int64_t panels = fcv_ceil_div(d->w.panels.per_group, d->splits), size = d->w.kernels->size;
  const int64_t channels = fcv_min(panels * d->w.panels.width, fcv_panels_channels(&d->w.panels));
  struct fcv_factor v = fcv_factor(d->w.kernels, d->w.walk->kc, d->most);
  struct fcv_factor m = fcv_factor(d->w.kernels, channels, d->most);
  int64_t bytes = 0;
  const int64_t v_at = fcv_reserve(&bytes, d->w.points * v.point);
  const int64_t m_at = fcv_reserve(&bytes, d->w.points * m.point);
  const int64_t u = fcv_reserve(&bytes, d->own_u ? d->w.points * u_point(d, d->w.panels.width) : 0);
  const int64_t taps = fcv_reserve(&bytes, d->own_u ? taps_bytes(d) : 0);
  const int64_t stage = fcv_reserve(&bytes, d->staged ? d->stage.bytes : 0);
  const int64_t pixels = fcv_reserve(&bytes, d->w.m * d->w.m * d->run * channels * size);
  if (base) {
    v.data = base + v_at;
    m.data = base + m_at;
    *b = (struct block){
        .v = v,
        .m = m,
        .own_u = base + u,
        .taps = base + taps,
        .stage = base + stage,
        .pixels = base + pixels,
    };
  }
  return bytes;
}

/* U = G g G^T of a panel, to u, by way of taps, which stay in the caches: some k at once, they are neighbours. */
static void transform_panel(const struct winograd *d, int64_t panel, char *taps, char *to, int64_t point) {
  const struct fcv_kernels *k = d->w.kernels;
  const int64_t kc = d->w.walk->kc, width = fcv_panel_width(&d->w.panels, panel);
  void *tap[9], *u[FCV_POINTS];
  fcv_point_rows(to, d->w.points, point, u);
  for (int64_t k0 = 0, k1; k0 < kc; k0 = k1) {
    k1 = fcv_min(k0 + FCV_PACK_BLOCK, kc);
    fcv_pack_panel(k, d->w.walk, &d->view, d->weights, panel, k0, k1, taps);
    fcv_point_rows(taps, 9, (k1 - k0) * width * k->size, tap);
    k->winograd_weight[d->w.which](&(struct fcv_winograd_tile){
        .channels = (k1 - k0) * width,
        .from = (const void *const *)tap,
        .to = u,
        .to_bytes = k0 * width * k->size,
    });
  }
}

/* Of all points and panels. Own weights are multiplied while they are in the caches: 1x14x14 512->512, 16 tiles, would
 * else write and read 37 MB of them. */
static void multiply(const struct winograd *d, const struct block *b) {
  const int64_t panel = panel_bytes(d), own = u_point(d, d->w.panels.width), point = u_point(d, d->w.walk->nc);
  for (int64_t p = b->first; d->own_u && p < b->last; p++) {
    transform_panel(d, p, b->taps, b->own_u, own);
    for (int64_t e = 0; e < d->w.points; e++) multiply_point(d, b, e, p, b->own_u + e * own);
  }
  for (int64_t e = 0; !d->own_u && e < d->w.points; e++)
    for (int64_t p = b->first; p < b->last; p++) multiply_point(d, b, e, p, d->u + e * point + p * panel);
}

static void convolve_unit(const void *context, int64_t unit, int thread) {
  const struct winograd *d = context;
  const struct fcv_walk *walk = d->w.walk;
  const int64_t piece = unit / d->splits, split = unit % d->splits, panels = d->w.panels.per_group;
  struct fcv_box box = {.size = {walk->n, 1, walk->axis[1].count}};
  struct block b = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &b);
  b.first = panels * split / d->splits;
  b.last = panels * (split + 1) / d->splits;
  b.channel = b.first * d->w.panels.width;
  b.channels = fcv_min(b.last * d->w.panels.width, walk->nc) - b.channel;
  b.source = d->source;
  if (d->staged) {
    fcv_stage_box(&d->stage, walk, piece, &box);
    fcv_stage_fill(d->w.kernels, &d->stage, walk, d->w.conv->layout, d->x, &box, b.stage, 1, &b.source);
    b.source.zero = d->source.zero;
  }
  b.tiles = fcv_tiles(&d->w, &box);
  const int64_t begin = d->staged ? 0 : piece * d->piece;
  const int64_t end = d->staged ? b.tiles.all : fcv_min(b.tiles.all, begin + d->piece);
  const struct fcv_windows windows = fcv_input_windows(&d->w, &b.source);
  for (b.tiles.first = begin; b.tiles.first < end; b.tiles.first += d->most) {
    b.tiles.count = fcv_min(d->most, end - b.tiles.first);
    fcv_winograd_transform(&d->w, &b.tiles, &windows, &b.v);
    multiply(d, &b);
    transform_output(d, &b);
  }
}

/* A vector is a line, since those of a pixel are not written one after the other. */
static int leaves_caches(const struct winograd *d) {
  const struct fcv_kernels *k = d->w.kernels;
  const struct fcv_axis *axis = d->w.walk->axis;
  const int64_t nc = d->w.walk->nc, line = k->vl * k->size;
  return fcv_leaves_caches(d->w.walk->n * axis[1].count * axis[2].count * nc * k->size) && line == 64 &&
         (uintptr_t)d->y % 64 == 0 && nc % k->vl == 0 && fcv_fused(d->w.conv->activation) &&
         d->w.conv->layout == FCV_CHANNELS_LAST;
}

/* Where the pieces of packed weights begin. */
struct layout {
  int64_t u, bias, bytes;
};

static struct layout packed_layout(const struct winograd *d) {
  struct layout layout = {0};
  layout.u = fcv_reserve(&layout.bytes, d->w.points * u_point(d, d->w.walk->nc));
  layout.bias = fcv_reserve(&layout.bytes, d->w.walk->nc * d->w.kernels->size);
  return layout;
}

int64_t fcv_winograd_packed_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk, int m) {
  const struct winograd d = {.w = fcv_winograd(conv, walk, m)};
  return packed_layout(&d).bytes;
}

struct packing {
  const struct winograd *d;
  char *u, *taps; /* taps: of each thread */
};

static void pack_unit(const void *context, int64_t panel, int thread) {
  const struct packing *p = context;
  const struct winograd *d = p->d;
  transform_panel(d, panel, p->taps + thread * taps_bytes(d), p->u + panel * panel_bytes(d), u_point(d, d->w.walk->nc));
}

/* taps: scratch of taps_bytes for each thread. */
static void pack_u(const struct winograd *d, int threads, char *taps, char *u) {
  fcv_parallel_for(d->w.panels.per_group, threads, pack_unit, &(struct packing){.d = d, .u = u, .taps = taps});
}

static int pack_threads(const struct winograd *d) {
  return fcv_threads_for((double)(d->w.points * fcv_panels_channels(&d->w.panels) * d->w.walk->kc));
}

fcv_status fcv_winograd_pack(const struct fcv_conv *conv, const struct fcv_walk *walk,
                             const struct fcv_weight_view *view, int m, const void *w, const void *bias, char *packed) {
  const struct winograd d = {.w = fcv_winograd(conv, walk, m), .view = *view, .weights = w};
  const struct layout layout = packed_layout(&d);
  const int threads = pack_threads(&d);
  char *taps = fcv_scratch_take((size_t)(threads * taps_bytes(&d)));
  if (!taps)
    return FCV_NO_MEMORY;
  pack_u(&d, threads, taps, packed + layout.u);
  if (bias)
    memcpy(packed + layout.bias, bias, (size_t)(walk->nc * d.w.kernels->size));
  fcv_scratch_give(taps);
  return FCV_OK;
}

/* Into units: as many pieces as keep threads busy, unless products of so few tiles would leave rows of the kernel's
 * tiles unused; then panels are divided, and each part of them transforms the same tiles. */
static void cut(struct winograd *d, int threads) {
  const struct fcv_kernels *k = d->w.kernels;
  const struct fcv_walk *walk = d->w.walk;
  const struct fcv_box box = {.size = {walk->n, 1, walk->axis[1].count}};
  const struct fcv_tiles tiles = fcv_tiles(&d->w, &box);
  const int64_t least = 2 * k->mr, channels = walk->kc + fcv_panels_channels(&d->w.panels);
  const int64_t u = d->w.points * walk->kc * fcv_panels_channels(&d->w.panels) * k->size;
  const int64_t tile = d->w.points * channels * k->size;
  const int64_t most = u + FEW_TILES * tile <= fcv_l2_bytes() ? FEW_TILES : MOST_TILES;
  const int64_t fit = u > FAR_BYTES ? FAR_BLOCK_BYTES / tile / k->mr * k->mr : fcv_min(most, BLOCK_BYTES / tile);
  d->most = fcv_min(tiles.all, fcv_round_up(fcv_max(fit, least), k->mr));
  d->tiles = tiles.all;
  d->fetches = u > (k->mr <= SHORT_TILE ? fcv_l2_bytes() : FAR_BYTES);
  int64_t wanted = fcv_ceil_div(tiles.all, d->most);
  if (wanted < 4 * threads && threads > 1)
    wanted = fcv_max(1, fcv_min(fcv_round_up(wanted, threads), tiles.all / least));
  const int channels_first = d->w.conv->layout == FCV_CHANNELS_FIRST;
  if (channels_first)
    d->run = tiles.columns <= SHORT_ROW ? tiles.columns : RUN;
  d->staged = channels_first && walk->kc > 0;
  if (d->staged) {
    d->pieces =
        fcv_winograd_boxes(&d->w, walk->kc * k->size, threads > 1 ? fcv_min(wanted, 4 * threads) : 1, &d->stage);
    d->most = fcv_min(tiles.all, fcv_round_up(d->most, d->run));
  } else {
    d->piece = fcv_ceil_div(tiles.all, wanted);
    d->pieces = fcv_ceil_div(tiles.all, d->piece);
    d->most = fcv_min(d->most, d->piece);
  }
  const int64_t uneven = d->pieces < 4 * threads && d->pieces % threads != 0;
  d->splits = uneven ? fcv_min(d->w.panels.per_group, fcv_ceil_div(threads, d->pieces)) : 1;
}

fcv_status fcv_conv_winograd(const struct fcv_conv *conv, const struct fcv_walk *walk,
                             const struct fcv_weight_view *view, int m, const void *x, const void *w, const void *bias,
                             void *y) {
  const struct fcv_axis *axis = walk->axis;
  struct winograd d = {.w = fcv_winograd(conv, walk, m), .view = *view, .x = x, .weights = w, .y = y};
  const struct fcv_kernels *k = d.w.kernels;
  const int64_t outputs = walk->n * axis[1].count * axis[2].count, pixel = walk->kc * k->size;
  if (outputs == 0 || walk->nc == 0)
    return FCV_OK;
  const int64_t channels = fcv_panels_channels(&d.w.panels);
  const int threads = fcv_threads_for((double)outputs * (double)walk->kc * (double)channels * d.w.points / (m * m));
  cut(&d, threads);
  d.past_caches = leaves_caches(&d);

  d.own_u = !conv->packed && d.pieces == 1 && d.most >= d.tiles;
  d.thread_bytes = lay_out(&d, NULL, NULL);

  const struct layout layout = packed_layout(&d);
  const int packs = !conv->packed && !d.own_u, packing = pack_threads(&d);
  int64_t bytes = 0;
  const int64_t u_at = fcv_reserve(&bytes, packs ? layout.bytes : 0);
  const int64_t taps_at = fcv_reserve(&bytes, packs ? packing * taps_bytes(&d) : 0);
  const int64_t zero_at = fcv_reserve(&bytes, pixel);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.thread_memory = memory + threads_at;
  if (packs)
    pack_u(&d, packing, memory + taps_at, memory + u_at);
  const char *packed = conv->packed;
  d.u = packed ? packed + layout.u : memory + u_at;
  d.bias = bias && packed ? packed + layout.bias : bias;
  memset(memory + zero_at, 0, (size_t)pixel);
  d.source = fcv_source_in_place(walk, x, memory + zero_at, k->size);
  fcv_parallel_for(d.pieces * d.splits, threads, convolve_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
