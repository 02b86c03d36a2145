/* The weight gradient by Winograd's algorithm stays in its domain: dU[e] = V[e]^T (A gy A^T)[e], summed over all tiles,
 * then gw = G^T dU G. Tiles are dealt out to chunks with sums of their own, which are added up before the last step. A
 * unit of work is a chunk; where threads are more, or its sums take too much memory, some input channels x some output
 * channels of a chunk, and a block of tiles is transformed for each unit that meets it. So what a thread transforms and
 * sums stays in its caches. */
#include "winograd.h"

enum {
  BLOCK_BYTES = 1 << 20, /* V and M of a block: in L2, as far as the least tiles allow; dU is added to once a block */
  LEAST_TILES = 64,      /* of a block */
  TRANSFORMED = 12,      /* multiply-adds of a vector that take as long as transforming one of a tile's channels */
  CHUNK_TILES = 128,     /* of a chunk at least, times the number of chunks */
  SUMS_BYTES = 6 << 20,  /* of a unit, where there is one chunk */
  ROWS = 8,
  COLUMNS = 64, /* input and output channels that are transposed together */
};

struct wgrad {
  struct fcv_winograd w;
  struct fcv_walk gy_walk;
  struct fcv_stage stage, gy_stage;
  int staged;
  int64_t boxes, most;            /* tiles of a block */
  int64_t chunks;                 /* units: chunks of the tiles, or boxes, */
  int64_t row_parts, panel_parts; /* x parts of the input channels x parts of the panels */
  struct fcv_source source, gy_source;
  const char *x, *gy;
  char *sums, *gw;                /* sums: of the units, where there are several chunks */
  int64_t sums_point, sums_bytes; /* of a unit: bytes from one point to the next, and of all */
  char *thread_memory;
  int64_t thread_bytes;
};

/* Some channels over a block of tiles. */
struct block {
  struct fcv_tiles tiles;
  struct fcv_source source, gy_source;
  struct fcv_windows input, grad_output;
  int64_t k0, k1, j0, j1; /* input and output channels */
  int64_t first, last;    /* panels */
  struct fcv_factor v, m;
  const void **a;
  char *sums;                    /* dU: [point][k - k0][j - j0] */
  char *stage, *gy_stage, *taps; /* taps: [ROWS][tap][COLUMNS] */
  int summed;                    /* sums holds those of earlier blocks */
};

static int64_t lay_out(const struct wgrad *d, char *base, struct block *b) {
  const struct fcv_kernels *k = d->w.kernels;
  const int64_t rows = fcv_ceil_div(d->w.walk->kc, d->row_parts);
  const int64_t columns = fcv_ceil_div(d->w.panels.per_group, d->panel_parts) * d->w.panels.width;
  struct fcv_factor v = fcv_factor(k, rows, d->most), m = fcv_factor(k, columns, d->most);
  int64_t bytes = 0;
  const int64_t v_at = fcv_reserve(&bytes, d->w.points * v.point);
  const int64_t m_at = fcv_reserve(&bytes, d->w.points * m.point);
  const int64_t a = fcv_reserve(&bytes, d->most * (int64_t)sizeof(void *));
  const int64_t stage = fcv_reserve(&bytes, d->staged ? d->stage.bytes : 0);
  const int64_t gy_stage = fcv_reserve(&bytes, d->staged ? d->gy_stage.bytes : 0);
  const int64_t taps = fcv_reserve(&bytes, ROWS * 9 * COLUMNS * k->size);
  const int64_t sums = fcv_reserve(&bytes, d->chunks == 1 ? d->sums_bytes : 0);
  if (base) {
    v.data = base + v_at;
    m.data = base + m_at;
    *b = (struct block){
        .v = v,
        .m = m,
        .a = (const void **)(base + a),
        .stage = base + stage,
        .gy_stage = base + gy_stage,
        .taps = base + taps,
        .sums = base + sums,
    };
  }
  return bytes;
}

/* dU[e] += V[e]^T M[e] for one point and panel. */
static void sum_point(const struct wgrad *d, const struct block *b, int64_t point, int64_t panel) {
  const struct fcv_kernels *k = d->w.kernels;
  const int64_t width = fcv_panel_width(&d->w.panels, panel), j0 = panel * d->w.panels.width;
  const int64_t kc = b->k1 - b->k0, columns = b->j1 - b->j0, rows = fcv_ceil_div(kc, k->wide_mi);
  for (int64_t t = 0; t < b->tiles.count; t++) b->a[t] = b->v.data + point * b->v.point + t * b->v.pitch;
  struct fcv_wgrad_tile tile = {
      .pixels = b->tiles.count,
      .a = b->a,
      .b = b->m.data + point * b->m.point + (j0 - b->j0) * k->size,
      .b_pitch = b->m.pitch / k->size,
      .gw_pitch = columns,
      .n = (int)fcv_min(width, b->j1 - j0),
      .into = b->summed ? FCV_ADD : FCV_REPLACE,
  };
  for (int64_t row = 0; row < rows; row++) {
    const int64_t first = kc * row / rows;
    tile.m = (int)(kc * (row + 1) / rows - first);
    tile.a_bytes = first * k->size;
    tile.gw = b->sums + point * d->sums_point + (first * columns + j0 - b->j0) * k->size;
    k->wgrad[width / k->vl - 1](&tile);
  }
}

/* Tiles first .. last - 1 of a box, block by block. */
static void sum_tiles(const struct wgrad *d, int64_t first, int64_t last, struct block *b) {
  for (b->tiles.first = first; b->tiles.first < last; b->tiles.first += d->most) {
    b->tiles.count = fcv_min(d->most, last - b->tiles.first);
    fcv_winograd_transform(&d->w, &b->tiles, &b->input, &b->v);
    fcv_winograd_transform(&d->w, &b->tiles, &b->grad_output, &b->m);
    for (int64_t point = 0; point < d->w.points; point++)
      for (int64_t panel = b->first; panel < b->last; panel++) sum_point(d, b, point, panel);
    b->summed = 1;
  }
}

/* gw = G^T dU G for columns j .. j + count - 1 of row k, to taps. */
static void transform_sums(const struct wgrad *d, const struct block *b, int64_t k, int64_t j, int64_t count,
                           void *const *taps, int64_t taps_bytes) {
  void *u[FCV_POINTS];
  fcv_point_rows(b->sums, d->w.points, d->sums_point, u);
  d->w.kernels->winograd_grad_weight[d->w.which](&(struct fcv_winograd_tile){
      .channels = count,
      .from = (const void *const *)u,
      .from_bytes = ((k - b->k0) * (b->j1 - b->j0) + j - b->j0) * d->w.kernels->size,
      .to = taps,
      .to_bytes = taps_bytes,
  });
}

/* Rows k0 .. k1 - 1 to [tap][k][co]. */
static void put_last(const struct wgrad *d, const struct block *b, int64_t k0, int64_t k1) {
  const int64_t size = d->w.kernels->size, co = d->w.walk->nc;
  void *tap[9];
  fcv_point_rows(d->gw, 9, d->w.walk->kc * co * size, tap);
  for (int64_t k = k0; k < k1; k++) transform_sums(d, b, k, b->j0, b->j1 - b->j0, tap, (k * co + b->j0) * size);
}

/* The same to [co][k][tap], by way of [k][tap][COLUMNS]. */
static void put_first(const struct wgrad *d, const struct block *b, int64_t k0, int64_t k1) {
  const int64_t size = d->w.kernels->size, kc = d->w.walk->kc;
  void *tap[9];
  fcv_point_rows(b->taps, 9, COLUMNS * size, tap);
  for (int64_t j = b->j0; j < b->j1; j += COLUMNS)
    for (int64_t k = k0; k < k1; k += ROWS) {
      const int64_t columns = fcv_min(COLUMNS, b->j1 - j), rows = fcv_min(ROWS, k1 - k);
      for (int64_t row = 0; row < rows; row++) transform_sums(d, b, k + row, j, columns, tap, row * 9 * COLUMNS * size);
      d->w.kernels->transpose(rows * 9, columns, b->taps, COLUMNS, d->gw + (j * kc + k) * 9 * size, kc * 9);
    }
}

static void put(const struct wgrad *d, const struct block *b, int64_t k0, int64_t k1) {
  (d->w.conv->weight_layout == FCV_CHANNELS_LAST ? put_last : put_first)(d, b, k0, k1);
}

/* A stage of some of the channels. */
static struct fcv_stage some_channels(const struct wgrad *d, const struct fcv_walk *walk, int64_t first, int64_t last) {
  struct fcv_stage stage;
  fcv_stage_like(&d->stage, d->w.kernels, walk, (last - first) * d->w.kernels->size, &stage);
  stage.first = first;
  stage.channels = last - first;
  return stage;
}

/* A unit's channels, and where it finds them. */
static void find_channels(const struct wgrad *d, int64_t row_part, int64_t panel_part, struct block *b) {
  const struct fcv_walk *walk = d->w.walk;
  const int64_t size = d->w.kernels->size, panels = d->w.panels.per_group;
  b->k0 = walk->kc * row_part / d->row_parts;
  b->k1 = walk->kc * (row_part + 1) / d->row_parts;
  b->first = panels * panel_part / d->panel_parts;
  b->last = panels * (panel_part + 1) / d->panel_parts;
  b->j0 = b->first * d->w.panels.width;
  b->j1 = fcv_min(b->last * d->w.panels.width, walk->nc);
  b->source = d->source;
  b->gy_source = d->gy_source;
  b->input = fcv_input_windows(&d->w, &b->source);
  b->input.channels = b->k1 - b->k0;
  b->input.first = d->staged ? 0 : b->k0 * size;
  b->grad_output = fcv_grad_output_windows(&d->w, &b->gy_source);
  b->grad_output.channels = b->j1 - b->j0;
  b->grad_output.first = d->staged ? 0 : b->j0 * size;
}

/* The memory of a part of the channels, and the sums of the first chunk. */
static void find_part(const struct wgrad *d, int64_t part, int thread, struct block *b) {
  lay_out(d, d->thread_memory + thread * d->thread_bytes, b);
  find_channels(d, part / d->panel_parts, part % d->panel_parts, b);
  if (d->chunks > 1)
    b->sums = d->sums + part * d->sums_bytes;
}

static int64_t count_parts(const struct wgrad *d) { return d->row_parts * d->panel_parts; }

/* Rows of a part that are put as one unit. */
static int64_t part_rows(const struct wgrad *d) {
  return fcv_ceil_div(fcv_ceil_div(d->w.walk->kc, d->row_parts), ROWS);
}

/* The chunks' sums for some rows of a part, added up in order and put. */
static void put_unit(const void *context, int64_t unit, int thread) {
  const struct wgrad *d = context;
  const int64_t size = d->w.kernels->size, chunk = count_parts(d) * d->sums_bytes;
  struct block b;
  find_part(d, unit / part_rows(d), thread, &b);
  const int64_t k0 = fcv_min(b.k1, b.k0 + unit % part_rows(d) * ROWS), k1 = fcv_min(b.k1, k0 + ROWS);
  const int64_t columns = b.j1 - b.j0;
  for (int64_t point = 0; point < d->w.points; point++) {
    char *sums = b.sums + point * d->sums_point + (k0 - b.k0) * columns * size;
    d->w.kernels->sum_rows(d->chunks - 1, (k1 - k0) * columns, sums + chunk, chunk / size, sums);
  }
  put(d, &b, k0, k1);
}

/* Boxes first .. last - 1, staged. */
static void sum_boxes(const struct wgrad *d, int64_t first, int64_t last, struct block *b) {
  const struct fcv_kernels *k = d->w.kernels;
  const struct fcv_walk *walk = d->w.walk;
  const fcv_layout layout = d->w.conv->layout;
  const struct fcv_stage stage = some_channels(d, walk, b->k0, b->k1);
  const struct fcv_stage gy_stage = some_channels(d, &d->gy_walk, b->j0, b->j1);
  for (int64_t i = first; i < last; i++) {
    struct fcv_box box;
    fcv_stage_box(&stage, walk, i, &box);
    fcv_stage_fill(k, &stage, walk, layout, d->x, &box, b->stage, 1, &b->source);
    fcv_stage_fill(k, &gy_stage, &d->gy_walk, layout, d->gy, &box, b->gy_stage, 1, &b->gy_source);
    b->source.zero = d->source.zero;
    b->gy_source.zero = d->source.zero;
    b->tiles = fcv_tiles(&d->w, &box);
    sum_tiles(d, 0, b->tiles.all, b);
  }
}

static void sum_unit(const void *context, int64_t unit, int thread) {
  const struct wgrad *d = context;
  const int64_t parts = count_parts(d), chunk = unit / parts;
  struct block b;
  find_part(d, unit % parts, thread, &b);
  b.sums += d->chunks > 1 ? chunk * parts * d->sums_bytes : 0;
  if (d->staged) {
    sum_boxes(d, d->boxes * chunk / d->chunks, d->boxes * (chunk + 1) / d->chunks, &b);
  } else {
    const struct fcv_box box = {.size = {d->w.walk->n, 1, d->w.walk->axis[1].count}};
    b.tiles = fcv_tiles(&d->w, &box);
    sum_tiles(d, b.tiles.all * chunk / d->chunks, b.tiles.all * (chunk + 1) / d->chunks, &b);
  }
  if (d->chunks == 1)
    put(d, &b, b.k0, b.k1);
}

/* Bytes of a point's sums of a part. */
static int64_t point_bytes(const struct wgrad *d, int64_t row_parts, int64_t panel_parts) {
  const int64_t columns = fcv_ceil_div(d->w.panels.per_group, panel_parts) * d->w.panels.width;
  return fcv_point_bytes(fcv_ceil_div(d->w.walk->kc, row_parts) * fcv_min(d->w.walk->nc, columns) * d->w.kernels->size);
}

/* Into parts of the channels: as many as threads, or more where their sums take too much, whose products and
 * transformed tiles take least. */
static void cut_channels(struct wgrad *d, int threads) {
  const struct fcv_kernels *k = d->w.kernels;
  const int64_t rows = fcv_ceil_div(d->w.walk->kc, k->wide_mi), panels = d->w.panels.per_group;
  double least = INFINITY;
  for (int64_t panel_parts = 1; panel_parts <= panels; panel_parts++)
    for (int64_t row_parts = 1; row_parts <= rows; row_parts++) {
      const double turns = (double)fcv_ceil_div(row_parts * panel_parts, threads);
      const double height = (double)(fcv_ceil_div(rows, row_parts) * k->wide_mi);
      const double width = (double)(fcv_ceil_div(panels, panel_parts) * d->w.panels.width);
      const double sums = (double)(d->w.points * point_bytes(d, row_parts, panel_parts));
      const double cost = turns * (height * width + TRANSFORMED * (height + width)) * fmax(1, sums / SUMS_BYTES);
      if (cost < least) {
        least = cost;
        d->row_parts = row_parts;
        d->panel_parts = panel_parts;
      }
    }
  d->sums_point = point_bytes(d, d->row_parts, d->panel_parts);
  d->sums_bytes = d->w.points * d->sums_point;
}

/* Boxes, chunks and blocks depend on the shape alone: the same bits for every number of threads. */
static void cut_tiles(struct wgrad *d) {
  const struct fcv_kernels *k = d->w.kernels;
  const struct fcv_walk *walk = d->w.walk;
  struct fcv_box box = {.size = {walk->n, 1, walk->axis[1].count}};
  d->boxes = 1;
  d->chunks = fcv_chunks(fcv_tiles(&d->w, &box).all, CHUNK_TILES, d->w.points * point_bytes(d, 1, 1));
  d->staged = d->w.conv->layout == FCV_CHANNELS_FIRST;
  if (d->staged) {
    d->boxes = fcv_winograd_boxes(&d->w, walk->kc * k->size, d->chunks, &d->stage);
    d->chunks = fcv_min(d->chunks, d->boxes);
    fcv_stage_like(&d->stage, k, &d->gy_walk, walk->nc * k->size, &d->gy_stage);
    fcv_stage_box(&d->stage, walk, 0, &box);
  }
  const int64_t channels = walk->kc + fcv_panels_channels(&d->w.panels);
  d->most = fcv_min(fcv_tiles(&d->w, &box).all, fcv_max(BLOCK_BYTES / (d->w.points * channels * k->size), LEAST_TILES));
}

fcv_status fcv_conv_wgrad_winograd(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                   const void *gy, void *gw) {
  const int m = fcv_winograd_size(conv);
  struct wgrad d = {.w = fcv_winograd(conv, walk, m), .x = x, .gy = gy, .gw = gw};
  const struct fcv_kernels *k = d.w.kernels;
  fcv_wide_panels(k, walk->nc, &d.w.panels);
  fcv_walk_grad_output(&conv->geometry, &d.gy_walk);
  const int64_t outputs = walk->n * walk->axis[1].count * walk->axis[2].count;
  const int threads = fcv_threads_for((double)outputs * (double)(walk->kc * walk->nc) * d.w.points / (m * m));
  cut_tiles(&d);
  cut_channels(&d, (int)fcv_ceil_div(threads, d.chunks));
  d.thread_bytes = lay_out(&d, NULL, NULL);

  const int64_t pixel = fcv_max(walk->kc, walk->nc) * k->size;
  int64_t bytes = 0;
  const int64_t sums_at = fcv_reserve(&bytes, d.chunks > 1 ? d.chunks * count_parts(&d) * d.sums_bytes : 0);
  const int64_t zero_at = fcv_reserve(&bytes, pixel);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.sums = memory + sums_at;
  d.thread_memory = memory + threads_at;
  memset(memory + zero_at, 0, (size_t)pixel);
  d.source = fcv_source_in_place(walk, x, memory + zero_at, k->size);
  d.gy_source = fcv_source_in_place(&d.gy_walk, gy, memory + zero_at, k->size);
  fcv_parallel_for(d.chunks * count_parts(&d), threads, sum_unit, &d);
  if (d.chunks > 1)
    fcv_parallel_for(count_parts(&d) * part_rows(&d), threads, put_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
