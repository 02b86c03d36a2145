/* Winograd convolution, F(2 x 2, 3 x 3) and F(4 x 4, 3 x 3): Lavin and Gray 2015, arXiv:1509.09308.
 *
 * The output is cut into tiles of m x m pixels, each from (m + 2)^2 pixels of input. A block of tiles is transformed,
 * V = B^T d B, multiplied point by point, M[e] = V[e] U[e] over channels for each of the (m + 2)^2 points e, by the
 * igemm kernel, and transformed back, Y = A^T M A. The input gradient is the same walk with turned weights; the weight
 * gradient stays in the domain: dU[e] = V[e]^T (A gy A^T)[e], gw = G^T dU G. */
#include "internal.h"

enum {
  POINTS = 36,                 /* at most */
  BLOCK_BYTES = 2 << 20,       /* V and M of a block */
  WGRAD_BLOCK_BYTES = 8 << 20, /* the same; dU is added to once a block */
  STAGE_BYTES = 4 << 20,       /* of channels-first input */
  TILES_OF_UNIT = 8,           /* that a unit transforms, or whole rows of them */
  TILES_OF_ROW = 16,           /* at most, then */
  PIXELS = 16,                 /* of an output tile at most */
};

struct winograd {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  struct fcv_panels panels;
  struct fcv_box box;
  struct fcv_source source, gy_source;
  char *sums, *gw;              /* of the weight gradient: dU, [point][k][co], and gw */
  int summed;                   /* sums holds those of earlier blocks */
  int m, alpha, points, which;  /* which: 0 for m = 2, 1 for m = 4 */
  int64_t rows, columns, tiles; /* of tiles in an image of the box; tiles in the box */
  int64_t first, count, most;   /* the block: tiles first .. first + count - 1 of the box, count <= most */
  int64_t unit;                 /* tiles of a unit of the output transform */
  int64_t v_pitch, m_pitch;     /* elements of a tile's row */
  int64_t v_point, m_point, u_point, sums_point; /* bytes from one point, or tap, to the next */
  char *v, *mm;                                  /* [point][most][v_pitch], [point][most][m_pitch] */
  const char *u;                                 /* [point][panel][k][width] */
  const char *bias;
  char *y;
  int past_caches; /* results are written so */
  char *thread_memory;
  int64_t thread_bytes;
};

struct tile {
  int64_t image, y, x; /* of the tile's first output pixel */
};

static struct tile tile_of(const struct winograd *d, int64_t number) {
  const int64_t t = d->first + number;
  return (struct tile){
      .image = d->box.lo[0] + t / (d->rows * d->columns),
      .y = d->box.lo[2] + t / d->columns % d->rows * d->m,
      .x = t % d->columns * d->m,
  };
}

/* Pointers to size x size pixels of a source from (y, x) on, with zeros outside. */
static void window(const struct fcv_source *s, int64_t image, int64_t y, int64_t x, int size, const void **pixel) {
  const int64_t base = (image - s->first_image) * s->image;
  for (int64_t i = y; i < y + size; i++)
    for (int64_t j = x; j < x + size; j++) {
      const int in = i >= s->lo[1] && i < s->hi[1] && j >= s->lo[2] && j < s->hi[2];
      *pixel++ = in ? s->data + base + (i - s->lo[1]) * s->step[1] + (j - s->lo[2]) * s->step[2] : s->zero;
    }
}

/* From one point to the next, as many lines as no power of two divides: a transform writes one vector for each of 36
 * points, which in the same few sets of a cache push each other out before their lines are full. */
static int64_t point_bytes(int64_t bytes) { return fcv_round_up(bytes, 64) | 64; }

static void point_rows(char *base, int points, int64_t point_bytes, void **row) {
  for (int e = 0; e < points; e++) row[e] = base + e * point_bytes;
}

/* One side of the products: windows of a source, transformed to rows of a point's matrix, [point][most][pitch]. */
struct side {
  const struct winograd *d;
  const struct fcv_source *source;
  int64_t y_shift, x_shift, channels, pitch, point;
  int size; /* of a window */
  char *to;
  fcv_winograd_fn *transform;
};

static void transform_tiles(const void *context, int64_t unit, int thread) {
  const struct side *s = context;
  const struct winograd *d = s->d;
  const int64_t row = s->pitch * d->kernels->size;
  const void *pixel[POINTS];
  void *to[POINTS];
  (void)thread;
  point_rows(s->to, d->points, s->point, to);
  struct fcv_winograd_tile tile = {.channels = s->channels, .from = pixel, .to = to};
  for (int64_t t = unit * TILES_OF_UNIT; t < fcv_min(d->count, (unit + 1) * TILES_OF_UNIT); t++) {
    const struct tile at = tile_of(d, t);
    window(s->source, at.image, at.y + s->y_shift, at.x + s->x_shift, s->size, pixel);
    tile.to_bytes = t * row;
    s->transform(&tile);
  }
}

/* V = B^T d B */
static struct side input_side(const struct winograd *d) {
  return (struct side){
      .d = d,
      .source = &d->source,
      .y_shift = d->walk->axis[1].shift,
      .x_shift = d->walk->axis[2].shift,
      .channels = d->walk->kc,
      .pitch = d->v_pitch,
      .point = d->v_point,
      .size = d->alpha,
      .to = d->v,
      .transform = d->kernels->winograd_input[d->which],
  };
}

/* The weight gradient's: M = A gy A^T in place of V U */
static struct side grad_output_side(const struct winograd *d) {
  return (struct side){
      .d = d,
      .source = &d->gy_source,
      .channels = d->walk->nc,
      .pitch = d->m_pitch,
      .point = d->m_point,
      .size = d->m,
      .to = d->mm,
      .transform = d->kernels->winograd_grad_output[d->which],
  };
}

/* M[e] = V[e] U[e] for one point and panel. */
static void multiply(const void *context, int64_t unit, int thread) {
  const struct winograd *d = context;
  const struct fcv_kernels *k = d->kernels;
  const int64_t point = unit / d->panels.per_group, panel = unit % d->panels.per_group, kc = d->walk->kc;
  const int64_t width = fcv_panel_width(&d->panels, panel), j0 = panel * d->panels.width;
  const char *v = d->v + point * d->v_point;
  char *m = d->mm + point * d->m_point + j0 * k->size;
  const void *a[16];
  void *c[16];
  (void)thread;
  struct fcv_igemm_tile tile = {
      .taps = 1,
      .kc = kc,
      .a = a,
      .w = d->u + point * d->u_point + j0 * kc * k->size,
      .c = c,
      .n = (int)width,
  };
  for (int64_t t = 0; t < d->count; t += k->mr) {
    tile.m = (int)fcv_min(k->mr, d->count - t);
    for (int i = 0; i < k->mr; i++) {
      const int64_t row = t + fcv_min(i, tile.m - 1);
      a[i] = v + row * d->v_pitch * k->size;
      c[i] = m + row * d->m_pitch * k->size;
    }
    k->igemm[width / k->vl - 1](&tile);
  }
}

/* The m * m pixels of a tile in y, channels last; NULL outside. */
static void output_pixels(const struct winograd *d, struct tile at, void **pixel) {
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t bytes = d->walk->nc * d->kernels->size;
  for (int64_t i = at.y; i < at.y + d->m; i++)
    for (int64_t j = at.x; j < at.x + d->m; j++) {
      const int in = i < axis[1].count && j < axis[2].count;
      *pixel++ = in ? d->y + ((at.image * axis[1].out + i) * axis[2].out + j) * bytes : NULL;
    }
}

/* The m rows of pixels of a run of neighbouring tiles, [m][run * m][nc] in scratch, to channels first. */
static void store_run(const struct winograd *d, const char *scratch, struct tile at, int64_t run) {
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t size = d->kernels->size, nc = d->walk->nc, plane = axis[1].out * axis[2].out;
  const int64_t pixels = fcv_min(run * d->m, axis[2].count - at.x);
  for (int64_t i = 0; i < d->m && at.y + i < axis[1].count; i++)
    d->kernels->transpose(pixels, nc, scratch + i * run * d->m * nc * size, nc,
                          d->y + (at.image * nc * plane + (at.y + i) * axis[2].out + at.x) * size, plane);
}

/* Fetches where store_run will write channels first .. last - 1: lines of as many pages, for which stores would wait.
 * GCC takes a function that only fetches for one without effect, and leaves calls of it out. */
static inline __attribute__((always_inline)) void fetch_run(const struct winograd *d, struct tile at, int64_t run,
                                                            int64_t first, int64_t last) {
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t size = d->kernels->size, plane = axis[1].out * axis[2].out;
  const int64_t bytes = fcv_min(run * d->m, axis[2].count - at.x) * size;
  for (int64_t c = first; c < last; c++)
    for (int64_t i = 0; i < d->m && at.y + i < axis[1].count; i++) {
      const char *row = d->y + (((at.image * d->walk->nc + c) * plane) + (at.y + i) * axis[2].out + at.x) * size;
      for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(row + b, 1);
    }
}

static inline __attribute__((always_inline)) void fetch_pixels(const struct winograd *d, void *const *pixel) {
  const int64_t bytes = d->walk->nc * d->kernels->size;
  for (int64_t i = 0; i < d->m * d->m; i++)
    for (int64_t b = 0; b < bytes && pixel[i]; b += 64) __builtin_prefetch((char *)pixel[i] + b, 1);
}

static void transform_output(const void *context, int64_t unit, int thread) {
  const struct winograd *d = context;
  const struct fcv_kernels *k = d->kernels;
  const int64_t nc = d->walk->nc, size = k->size, end = fcv_min(d->count, (unit + 1) * d->unit);
  char *scratch = d->thread_memory + thread * d->thread_bytes;
  void *m[POINTS], *pixel[PIXELS];
  point_rows(d->mm, d->points, d->m_point, m);
  struct fcv_winograd_tile tile = {
      .channels = nc,
      .from = (const void *const *)m,
      .to = pixel,
      .bias = d->bias,
      .activation = d->conv->activation,
      .slope = d->conv->slope,
      .past_caches = d->past_caches,
  };
  for (int64_t t = unit * d->unit, run; t < end; t += run) {
    const struct tile at = tile_of(d, t);
    run = 1;
    if (d->conv->layout == FCV_CHANNELS_FIRST)
      run = fcv_min(end - t, d->columns - at.x / d->m);
    for (int64_t r = 0; r < run; r++) {
      if (d->conv->layout == FCV_CHANNELS_LAST) {
        output_pixels(d, at, pixel);
        if (!d->past_caches)
          fetch_pixels(d, pixel);
      } else {
        for (int64_t i = 0; i < d->m * d->m; i++)
          pixel[i] = scratch + ((i / d->m * run + r) * d->m + i % d->m) * nc * size;
        fetch_run(d, at, run, nc * r / run, nc * (r + 1) / run);
      }
      tile.from_bytes = (t + r) * d->m_pitch * size;
      k->winograd_output[d->which](&tile);
      for (int64_t i = 0; !fcv_fused(d->conv->activation) && i < d->m * d->m; i++)
        if (pixel[i])
          k->activation(d->conv->activation, d->conv->slope, INFINITY, nc, pixel[i], pixel[i]);
    }
    if (d->conv->layout == FCV_CHANNELS_FIRST)
      store_run(d, scratch, at, run);
  }
  if (d->past_caches)
    fcv_fence();
}

/* A vector is a line, since those of a pixel are not written one after the other. */
static int leaves_caches(const struct winograd *d) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t nc = d->walk->nc, line = k->vl * k->size;
  return fcv_leaves_caches(d->walk->n * axis[1].count * axis[2].count * nc * k->size) && line == 64 &&
         (uintptr_t)d->y % 64 == 0 && nc % k->vl == 0 && fcv_fused(d->conv->activation) &&
         d->conv->layout == FCV_CHANNELS_LAST;
}

/* U = G g G^T of one panel, from weights packed [panel][tap][k][width]: all k at once, they are neighbours. */
struct weights {
  const struct winograd *d;
  char *packed, *u;
};

static void transform_weights(const void *context, int64_t panel, int thread) {
  const struct weights *weights = context;
  const struct winograd *d = weights->d;
  const int64_t size = d->kernels->size, kc = d->walk->kc, j0 = panel * d->panels.width;
  const int64_t elements = kc * fcv_panel_width(&d->panels, panel);
  void *tap[9], *u[POINTS];
  (void)thread;
  point_rows(weights->packed + j0 * 9 * kc * size, 9, elements * size, tap);
  point_rows(weights->u + j0 * kc * size, d->points, d->u_point, u);
  const struct fcv_winograd_tile tile = {.channels = elements, .from = (const void *const *)tap, .to = u};
  d->kernels->winograd_weight[d->which](&tile);
}

static void start(struct winograd *d, const struct fcv_conv *conv, const struct fcv_walk *walk, int m) {
  *d = (struct winograd){.conv = conv, .kernels = fcv_kernels(conv->dtype), .walk = walk, .m = m};
  d->alpha = m + 2;
  d->points = d->alpha * d->alpha;
  d->which = m == 4;
  fcv_panels(d->kernels, walk->nc, &d->panels);
  /* A line more than whole vectors: tiles do not fall into the same sets of a cache. */
  d->v_pitch = fcv_round_up(walk->kc, d->kernels->vl) + 64 / d->kernels->size;
  d->m_pitch = fcv_panels_channels(&d->panels) + 64 / d->kernels->size;
  d->u_point = point_bytes(fcv_panels_channels(&d->panels) * walk->kc * d->kernels->size);
}

/* Tiles of a block. */
static void set_most(struct winograd *d, int64_t most) {
  d->most = most;
  d->v_point = point_bytes(most * d->v_pitch * d->kernels->size);
  d->m_point = point_bytes(most * d->m_pitch * d->kernels->size);
}

/* Where the pieces of packed weights begin. */
struct layout {
  int64_t u, bias, bytes;
};

static void set_box(struct winograd *d) {
  d->rows = fcv_ceil_div(d->box.size[2], d->m);
  d->columns = fcv_ceil_div(d->walk->axis[2].count, d->m);
  d->tiles = d->box.size[0] * d->rows * d->columns;
}

/* Boxes of whole tile rows, so that the grid of tiles is the same whatever the boxes. */
static int64_t plan_boxes(const struct winograd *d, int staged, int64_t pitch, struct fcv_stage *stage) {
  *stage = (struct fcv_stage){0};
  if (!staged)
    return 1;
  fcv_stage_plan(d->kernels, d->walk, pitch, STAGE_BYTES, d->m, stage);
  return fcv_stage_blocks(stage, d->walk);
}

static struct layout packed_layout(const struct winograd *d) {
  const int64_t size = d->kernels->size;
  struct layout layout = {0};
  layout.u = fcv_reserve(&layout.bytes, d->points * d->u_point);
  layout.bias = fcv_reserve(&layout.bytes, d->walk->nc * size);
  return layout;
}

/* The weights before their transformation, in panels. */
static int64_t taps_bytes(const struct winograd *d) {
  return 9 * fcv_panels_channels(&d->panels) * d->walk->kc * d->kernels->size;
}

int64_t fcv_winograd_packed_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk, int m) {
  struct winograd d;
  start(&d, conv, walk, m);
  return packed_layout(&d).bytes;
}

/* taps: scratch of taps_bytes. */
static void pack_into(const struct winograd *d, const struct fcv_weight_view *view, const void *w, const void *bias,
                      char *taps, char *packed) {
  const struct layout layout = packed_layout(d);
  const int threads = fcv_threads_for((double)(d->points * fcv_panels_channels(&d->panels) * d->walk->kc));
  fcv_pack_weights(d->kernels, d->walk, view, w, taps, threads);
  fcv_parallel_for(d->panels.per_group, threads, transform_weights,
                   &(struct weights){.d = d, .packed = taps, .u = packed + layout.u});
  if (bias)
    memcpy(packed + layout.bias, bias, (size_t)(d->walk->nc * d->kernels->size));
}

fcv_status fcv_winograd_pack(const struct fcv_conv *conv, const struct fcv_walk *walk,
                             const struct fcv_weight_view *view, int m, const void *w, const void *bias, char *packed) {
  struct winograd d;
  start(&d, conv, walk, m);
  char *taps = fcv_scratch_take((size_t)taps_bytes(&d));
  if (!taps)
    return FCV_NO_MEMORY;
  pack_into(&d, view, w, bias, taps, packed);
  fcv_scratch_give(taps);
  return FCV_OK;
}

fcv_status fcv_conv_winograd(const struct fcv_conv *conv, const struct fcv_walk *walk,
                             const struct fcv_weight_view *view, int m, const void *x, const void *w, const void *bias,
                             void *y) {
  const struct fcv_axis *axis = walk->axis;
  struct winograd d;
  start(&d, conv, walk, m);
  const struct fcv_kernels *k = d.kernels;
  const int64_t outputs = walk->n * axis[1].count * axis[2].count, pixel = walk->kc * k->size;
  if (outputs == 0 || walk->nc == 0)
    return FCV_OK;
  d.y = y;
  d.past_caches = leaves_caches(&d);
  const int64_t channels = fcv_panels_channels(&d.panels);
  const int threads = fcv_threads_for((double)outputs * (double)walk->kc * (double)channels * d.points / (m * m));

  const int staged = conv->layout == FCV_CHANNELS_FIRST && walk->kc > 0;
  struct fcv_stage stage;
  const int64_t boxes = plan_boxes(&d, staged, pixel, &stage);
  d.box = (struct fcv_box){.size = {walk->n, 1, axis[1].count}};
  if (staged)
    fcv_stage_box(&stage, walk, 0, &d.box);
  set_box(&d);
  const int64_t tile_bytes = d.points * (d.v_pitch + d.m_pitch) * k->size;
  int64_t most = fcv_round_up(fcv_max(BLOCK_BYTES / tile_bytes, 2 * k->mr), k->mr);
  d.unit = TILES_OF_UNIT;
  if (conv->layout == FCV_CHANNELS_FIRST) { /* long runs of neighbouring pixels are transposed fastest */
    if (d.columns <= TILES_OF_ROW)
      d.unit = d.columns * fcv_max(1, TILES_OF_UNIT / d.columns);
    most = fcv_round_up(most, d.unit);
    d.thread_bytes = fcv_round_up(m * m * d.unit * walk->nc * k->size, 64);
  }
  set_most(&d, fcv_min(d.tiles, most));

  int64_t bytes = 0;
  const struct layout layout = packed_layout(&d);
  const int64_t packed_at = fcv_reserve(&bytes, conv->packed ? 0 : layout.bytes);
  const int64_t taps_at = fcv_reserve(&bytes, conv->packed ? 0 : taps_bytes(&d));
  const int64_t v_at = fcv_reserve(&bytes, d.points * d.v_point);
  const int64_t m_at = fcv_reserve(&bytes, d.points * d.m_point);
  const int64_t zero_at = fcv_reserve(&bytes, pixel);
  const int64_t stage_at = fcv_reserve(&bytes, stage.bytes);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.v = memory + v_at;
  d.mm = memory + m_at;
  d.thread_memory = memory + threads_at;

  if (!conv->packed)
    pack_into(&d, view, w, bias, memory + taps_at, memory + packed_at);
  const char *packed = conv->packed ? conv->packed : memory + packed_at;
  d.u = packed + layout.u;
  d.bias = bias ? packed + layout.bias : NULL;
  memset(memory + zero_at, 0, (size_t)pixel);
  d.source = fcv_source_in_place(walk, x, memory + zero_at, k->size);
  const struct side input = input_side(&d);
  for (int64_t b = 0; b < boxes; b++) {
    if (staged) {
      fcv_stage_box(&stage, walk, b, &d.box);
      fcv_stage_fill(k, &stage, walk, conv->layout, x, &d.box, memory + stage_at, threads, &d.source);
      d.source.zero = memory + zero_at;
      set_box(&d);
    }
    for (d.first = 0; d.first < d.tiles; d.first += d.most) {
      d.count = fcv_min(d.most, d.tiles - d.first);
      fcv_parallel_for(fcv_ceil_div(d.count, TILES_OF_UNIT), threads, transform_tiles, &input);
      fcv_parallel_for(d.points * d.panels.per_group, threads, multiply, &d);
      fcv_parallel_for(fcv_ceil_div(d.count, d.unit), threads, transform_output, &d);
    }
  }
  fcv_scratch_give(memory);
  return FCV_OK;
}

/* dU[e] += V[e]^T M[e] for one point and panel. */
static void sum_point(const void *context, int64_t unit, int thread) {
  const struct winograd *d = context;
  const struct fcv_kernels *k = d->kernels;
  const int64_t point = unit / d->panels.per_group, panel = unit % d->panels.per_group;
  const int64_t width = fcv_panel_width(&d->panels, panel), j0 = panel * d->panels.width;
  const int64_t kc = d->walk->kc, co = d->walk->nc, rows = fcv_ceil_div(kc, k->mi);
  const void **a = (const void **)(d->thread_memory + thread * d->thread_bytes);
  for (int64_t t = 0; t < d->count; t++) a[t] = d->v + point * d->v_point + t * d->v_pitch * k->size;
  struct fcv_wgrad_tile tile = {
      .pixels = d->count,
      .a = a,
      .b = d->mm + point * d->m_point + j0 * k->size,
      .b_pitch = d->m_pitch,
      .gw_pitch = co,
      .n = (int)fcv_min(width, co - j0),
      .accumulate = d->summed,
  };
  for (int64_t row = 0; row < rows; row++) {
    const int64_t first = kc * row / rows;
    tile.m = (int)(kc * (row + 1) / rows - first);
    tile.a_bytes = first * k->size;
    tile.gw = d->sums + point * d->sums_point + (first * co + j0) * k->size;
    k->wgrad[width / k->vl - 1](&tile);
  }
}

/* gw = G^T dU G for some elements: [points][...] to rows[9]. */
static void transform_sums(const struct winograd *d, int64_t first, int64_t count, void *const *rows,
                           int64_t rows_bytes) {
  void *u[POINTS];
  point_rows(d->sums, d->points, d->sums_point, u);
  d->kernels->winograd_grad_weight[d->which](&(struct fcv_winograd_tile){
      .channels = count,
      .from = (const void *const *)u,
      .from_bytes = first * d->kernels->size,
      .to = rows,
      .to_bytes = rows_bytes,
  });
}

enum { PIECE = 4096 }; /* elements of a unit */

/* To [tap][k][co]. */
static void put_piece(const void *context, int64_t unit, int thread) {
  const struct winograd *d = context;
  const int64_t size = d->kernels->size, elements = d->walk->kc * d->walk->nc, first = unit * PIECE;
  void *tap[9];
  (void)thread;
  point_rows(d->gw, 9, elements * size, tap);
  transform_sums(d, first, fcv_min(PIECE, elements - first), tap, first * size);
}

enum { TURNED_ROWS = 8, TURNED_COLUMNS = 64 }; /* input and output channels of a unit */

/* To [co][k][tap], by way of [k][tap][TURNED_COLUMNS]. */
static void put_turned(const void *context, int64_t unit, int thread) {
  const struct winograd *d = context;
  const int64_t size = d->kernels->size, kc = d->walk->kc, nc = d->walk->nc, blocks = fcv_ceil_div(kc, TURNED_ROWS);
  const int64_t k0 = unit % blocks * TURNED_ROWS, j0 = unit / blocks * TURNED_COLUMNS;
  const int64_t rows = fcv_min(TURNED_ROWS, kc - k0), columns = fcv_min(TURNED_COLUMNS, nc - j0);
  char *memory = d->thread_memory + thread * d->thread_bytes;
  void *tap[9];
  point_rows(memory, 9, TURNED_COLUMNS * size, tap);
  for (int64_t k = 0; k < rows; k++) transform_sums(d, (k0 + k) * nc + j0, columns, tap, k * 9 * TURNED_COLUMNS * size);
  d->kernels->transpose(rows * 9, columns, memory, TURNED_COLUMNS, d->gw + (j0 * kc + k0) * 9 * size, kc * 9);
}

fcv_status fcv_conv_winograd_wgrad(const struct fcv_conv *conv, int m, const void *x, const void *gy, void *gw) {
  struct fcv_walk walk, gy_walk;
  struct winograd d;
  fcv_walk_forward(&conv->geometry, &walk);
  fcv_walk_grad_output(&conv->geometry, &gy_walk);
  start(&d, conv, &walk, m);
  const struct fcv_kernels *k = d.kernels;
  const struct fcv_axis *axis = walk.axis;
  if (walk.kc == 0 || walk.nc == 0)
    return FCV_OK;
  const int64_t outputs = walk.n * axis[1].count * axis[2].count, weights = walk.kc * walk.nc * k->size;
  const int threads = fcv_threads_for((double)outputs * (double)(walk.kc * walk.nc) * d.points / (m * m));
  const int last = conv->weight_layout == FCV_CHANNELS_LAST;
  if (outputs == 0) {
    if (!conv->workspace)
      memset(gw, 0, (size_t)(9 * weights));
    return FCV_OK;
  }

  const int staged = conv->layout == FCV_CHANNELS_FIRST;
  const int64_t pixel = walk.kc * k->size, gy_pixel = walk.nc * k->size;
  struct fcv_stage stage, gy_stage = {0};
  const int64_t boxes = plan_boxes(&d, staged, pixel, &stage);
  d.box = (struct fcv_box){.size = {walk.n, 1, axis[1].count}};
  if (staged) {
    fcv_stage_like(&stage, k, &gy_walk, gy_pixel, &gy_stage);
    fcv_stage_box(&stage, &walk, 0, &d.box);
  }
  set_box(&d);
  const int64_t tile_bytes = d.points * (d.v_pitch + d.m_pitch) * k->size;
  d.sums_point = point_bytes(weights);
  set_most(&d, fcv_min(d.tiles, fcv_max(WGRAD_BLOCK_BYTES / tile_bytes, 64)));
  const int64_t turned = last ? 0 : TURNED_ROWS * 9 * TURNED_COLUMNS * k->size;
  d.thread_bytes = fcv_round_up(fcv_max(turned, d.most * (int64_t)sizeof(void *)), 64);

  int64_t bytes = 0;
  const int64_t sums_at = fcv_reserve(&bytes, d.points * d.sums_point);
  const int64_t v_at = fcv_reserve(&bytes, d.points * d.v_point);
  const int64_t m_at = fcv_reserve(&bytes, d.points * d.m_point);
  const int64_t zero_at = fcv_reserve(&bytes, fcv_max(pixel, gy_pixel));
  const int64_t stage_at = fcv_reserve(&bytes, stage.bytes);
  const int64_t gy_stage_at = fcv_reserve(&bytes, gy_stage.bytes);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.sums = memory + sums_at;
  d.gw = gw;
  d.v = memory + v_at;
  d.mm = memory + m_at;
  d.thread_memory = memory + threads_at;

  memset(memory + zero_at, 0, (size_t)fcv_max(pixel, gy_pixel));
  d.source = fcv_source_in_place(&walk, x, memory + zero_at, k->size);
  d.gy_source = fcv_source_in_place(&gy_walk, gy, memory + zero_at, k->size);
  const struct side input = input_side(&d), grad_output = grad_output_side(&d);
  for (int64_t b = 0; b < boxes; b++) {
    if (staged) {
      fcv_stage_box(&stage, &walk, b, &d.box);
      fcv_stage_fill(k, &stage, &walk, conv->layout, x, &d.box, memory + stage_at, threads, &d.source);
      fcv_stage_fill(k, &gy_stage, &gy_walk, conv->layout, gy, &d.box, memory + gy_stage_at, threads, &d.gy_source);
      d.source.zero = d.gy_source.zero = memory + zero_at;
      set_box(&d);
    }
    for (d.first = 0; d.first < d.tiles; d.first += d.most) {
      d.count = fcv_min(d.most, d.tiles - d.first);
      fcv_parallel_for(fcv_ceil_div(d.count, TILES_OF_UNIT), threads, transform_tiles, &input);
      fcv_parallel_for(fcv_ceil_div(d.count, TILES_OF_UNIT), threads, transform_tiles, &grad_output);
      fcv_parallel_for(d.points * d.panels.per_group, threads, sum_point, &d);
      d.summed = 1;
    }
  }
  if (last)
    fcv_parallel_for(fcv_ceil_div(walk.kc * walk.nc, PIECE), threads, put_piece, &d);
  else
    fcv_parallel_for(fcv_ceil_div(walk.kc, TURNED_ROWS) * fcv_ceil_div(walk.nc, TURNED_COLUMNS), threads, put_turned,
                     &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
