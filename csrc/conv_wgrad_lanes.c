/* Weight gradient of VL images at a time, or pieces of them, one for each lane, where channels are few.
 *
 * As lanes are added up in the end, a lane may be any rows of outputs, with the rows of x that they meet: images are
 * cut into as many pieces as leave the least work to sets of VL lanes, and small batches, or one image, fill vectors
 * too.
 *
 * x and gy of a set of lanes are staged, every element a vector. For some rows of outputs at a time, which stay in L1,
 * products are summed tile by tile of output channels and terms, a term being an input channel at a tap, each in a
 * vector: one sum for each lane. Sets are dealt out to chunks with sums of their own. Those of the chunks, then of the
 * lanes, are added up in the end, in order. Chunks depend on the shape alone: the same bits for every number of
 * threads. */
#include "lanes.h"

enum {
  BAND_BYTES = 512 << 10, /* of the rows of a set that are staged together: each band may be a thread's */
  ROWS_BYTES = 24 << 10,  /* of the rows that are summed at a time, so that they stay in L1 */
  LEAST_PIXELS = 8,       /* of them, or loading and storing sums would show */
  MOST_SUMS = 1500,       /* of a lane: more are moved for too few products each */
};

struct sums {
  const struct fcv_kernels *kernels;
  struct fcv_walk walk;
  struct fcv_weight_view view;
  struct fcv_lanes x, gy;
  int64_t outputs;                          /* rows of a lane */
  int64_t bands, rows;                      /* of them: staged at a time, and summed at a time */
  int64_t terms, channel_tiles, term_tiles; /* of a group; the tiles of one, */
  int64_t height, width;                    /* at most so many channels and terms each */
  int64_t vectors, chunks;                  /* of a chunk's sums */
  int64_t thread_bytes;
  const int64_t *offset; /* [term tile][width] elements */
  const char *from_x, *from_gy;
  char *sums, *thread_memory; /* sums: [chunk][group][channel tile][term tile][height][width] vectors */
};

struct unit_memory {
  char *x, *gy, *rest;
};

/* By as many outputs of an axis, padding included. */
static int64_t met_rows(const struct fcv_axis *y, int64_t rows) {
  return (rows - 1) * y->in_step + (y->taps - 1) * y->shift_step + 1;
}

static int64_t lay_out(const struct sums *d, char *base, struct unit_memory *memory) {
  int64_t bytes = 0;
  const int64_t x = fcv_reserve(&bytes, fcv_lanes_bytes(&d->x));
  const int64_t gy = fcv_reserve(&bytes, fcv_lanes_bytes(&d->gy));
  const int64_t rest = fcv_reserve(&bytes, fcv_max(fcv_lanes_bytes(&d->x), fcv_lanes_bytes(&d->gy)));
  if (base)
    *memory = (struct unit_memory){.x = base + x, .gy = base + gy, .rest = base + rest};
  return bytes;
}

/* Rows of outputs, first .. first + rows - 1 of a band. */
static void sum_rows(const struct sums *d, const struct unit_memory *memory, int64_t first, int64_t rows, char *sums) {
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t vl = d->kernels->vl, vector = vl * d->kernels->size, nc = d->walk.nc;
  const int64_t x_at = first * axis[1].in_step * d->x.row, gy_at = first * d->gy.row;
  struct fcv_lane_sums tile = {
      .rows = rows,
      .count = axis[2].count,
      .gy_plane = d->gy.channel * vl,
      .gy_row = d->gy.row * vl,
      .gy_step = d->gy.pixel * vl,
      .x_row = axis[1].in_step * d->x.row * vl,
      .x_step = axis[2].in_step * d->x.pixel * vl,
      .sums_pitch = d->width,
  };
  for (int64_t g = 0; g < d->walk.groups; g++)
    for (int64_t i = 0; i < d->channel_tiles; i++) {
      const int64_t j0 = nc * i / d->channel_tiles, j1 = nc * (i + 1) / d->channel_tiles;
      tile.m = (int)(j1 - j0);
      tile.gy = memory->gy + (gy_at + (g * nc + j0) * d->gy.channel) * vector;
      tile.x = memory->x + (x_at + g * d->walk.kc * d->x.channel) * vector;
      for (int64_t t = 0; t < d->term_tiles; t++, sums += d->height * d->width * vector) {
        tile.n =
            (int)fcv_max(d->terms * (t + 1) / d->term_tiles - d->terms * t / d->term_tiles, (d->kernels->rb + 1) / 2);
        tile.offset = d->offset + t * d->width;
        tile.sums = sums;
        d->kernels->lane_sums(&tile);
      }
    }
}

static void sum_chunk(const void *context, int64_t chunk, int thread) {
  const struct sums *d = context;
  const struct fcv_axis *y = &d->walk.axis[1];
  const int64_t boxes = fcv_lanes_sets(&d->gy) * d->bands, bytes = d->vectors * d->kernels->vl * d->kernels->size;
  char *sums = d->sums + chunk * bytes;
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  memset(sums, 0, (size_t)bytes);
  for (int64_t box = boxes * chunk / d->chunks; box < boxes * (chunk + 1) / d->chunks; box++) {
    const int64_t set = box / d->bands, band = box % d->bands;
    const int64_t first = d->outputs * band / d->bands, last = d->outputs * (band + 1) / d->bands;
    fcv_lanes_fill(&d->x, d->from_x, set, first * y->in_step + y->shift, met_rows(y, last - first), memory.rest,
                   memory.x);
    fcv_lanes_fill(&d->gy, d->from_gy, set, first, last - first, memory.rest, memory.gy);
    for (int64_t r = first; r < last; r += d->rows) sum_rows(d, &memory, r - first, fcv_min(d->rows, last - r), sums);
  }
}

/* Where terms find their pixels; where a tile has less than the kernel takes, the last one again. */
static void find_terms(const struct sums *d, int64_t *offset) {
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t taps = fcv_walk_taps(&d->walk);
  for (int64_t t = 0; t < d->term_tiles; t++) {
    const int64_t first = d->terms * t / d->term_tiles, last = d->terms * (t + 1) / d->term_tiles - 1;
    for (int64_t j = 0; j < d->width; j++, offset++) {
      const int64_t term = fcv_min(first + j, last);
      const int64_t row = term % taps / axis[2].taps, column = term % axis[2].taps;
      const int64_t at = row * axis[1].shift_step * d->x.row + column * axis[2].shift_step * d->x.pixel;
      *offset = (at + term / taps * d->x.channel) * d->kernels->vl;
    }
  }
}

/* Sums of all lanes, [group][channel tile][term tile][height][width], to gw. */
static void spread(const struct sums *d, const char *sums, char *gw) {
  const int64_t size = d->kernels->size, nc = d->walk.nc, taps = fcv_walk_taps(&d->walk);
  for (int64_t g = 0; g < d->walk.groups; g++)
    for (int64_t i = 0; i < d->channel_tiles; i++)
      for (int64_t t = 0; t < d->term_tiles; t++, sums += d->height * d->width * size) {
        const int64_t j0 = nc * i / d->channel_tiles, j1 = nc * (i + 1) / d->channel_tiles;
        const int64_t t0 = d->terms * t / d->term_tiles, t1 = d->terms * (t + 1) / d->term_tiles;
        for (int64_t term = t0; term < t1; term++) {
          const int64_t at =
              g * d->view.group + fcv_tap_offset(&d->walk, &d->view, term % taps) + term / taps * d->view.k;
          for (int64_t j = j0; j < j1; j++)
            memcpy(gw + (at + j * d->view.j) * size, sums + ((j - j0) * d->width + term - t0) * size, (size_t)size);
        }
      }
}

/* [vector][lane] to [lane][vector], and those added up. */
static void add_lanes(const struct sums *d, char *turned, char *total) {
  const struct fcv_kernels *k = d->kernels;
  memset(total, 0, (size_t)(d->vectors * k->size));
  k->transpose(d->vectors, k->vl, d->sums, k->vl, turned, d->vectors);
  k->sum_rows(k->vl, d->vectors, turned, d->vectors, total);
}

/* Rows of outputs that stay in L1 with what they meet. margins: columns of padding. */
static int64_t rows_together(const struct fcv_kernels *k, const struct fcv_walk *walk, int64_t outputs,
                             int64_t margins) {
  const struct fcv_axis *y = &walk->axis[1], *x = &walk->axis[2];
  const int64_t vector = k->vl * k->size, gy_row = x->count * walk->groups * walk->nc * vector;
  const int64_t x_row = (margins + x->in) * walk->groups * walk->kc * vector;
  const int64_t above = ((y->taps - 1) * y->shift_step + 1 - y->in_step) * x_row;
  return fcv_max(1, fcv_min(outputs, (ROWS_BYTES - above) / (y->in_step * x_row + gy_row)));
}

static int64_t sets_of(const struct fcv_kernels *k, const struct fcv_walk *walk, int64_t pieces) {
  return fcv_ceil_div(walk->n * pieces, k->vl);
}

/* Of an image: those with the fewest rows, of outputs, which are multiplied, and of x, overlaps included. Pieces gain
 * nothing where output channels fill a vector (6x28x28 8->16 3x3 took 1.4 times as long as by direct convolution), or
 * channels first, where planes are multiplied as they lie (8x112x112 3->8 3x3 s2: 3 times). */
static int64_t count_pieces(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const struct fcv_axis *y = &walk->axis[1];
  int64_t best = 1, least = INT64_MAX;
  const int cuts = conv->layout == FCV_CHANNELS_LAST && fcv_leaves_lanes_empty(k->vl, walk->nc);
  const int64_t most = cuts ? fcv_min(k->vl, y->count) : 1;
  for (int64_t pieces = 1; pieces <= most; pieces++) {
    const int64_t outputs = fcv_ceil_div(y->count, pieces);
    const int64_t rows = sets_of(k, walk, pieces) * (2 * outputs + met_rows(y, outputs));
    if (rows < least) {
      least = rows;
      best = pieces;
    }
  }
  return best;
}

/* Two thirds of the lanes at least are in use. */
int fcv_use_wgrad_lanes(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  if (!fcv_fits_lanes(conv) || walk->nc > k->vl || fcv_weights(&conv->geometry) > MOST_SUMS)
    return 0;
  const int64_t pieces = count_pieces(conv, walk), outputs = fcv_ceil_div(walk->axis[1].count, pieces);
  return 3 * walk->n * walk->axis[1].count >= 2 * sets_of(k, walk, pieces) * k->vl * outputs &&
         rows_together(k, walk, outputs, 0) * walk->axis[2].count >= LEAST_PIXELS;
}

static void plan(struct sums *d, const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_axis *y = &d->walk.axis[1], *x = &d->walk.axis[2];
  const int64_t met = (x->count - 1) * x->in_step + x->shift + (x->taps - 1) * x->shift_step; /* the last column */
  const int64_t before = fcv_max(0, -x->shift), after = fcv_max(0, met - (x->in - 1));
  const int64_t vector = k->vl * k->size, gy_row = x->count * g->co * vector;
  const int64_t x_row = (before + x->in + after) * g->ci * vector;
  const int64_t pieces = count_pieces(conv, &d->walk);
  d->outputs = fcv_ceil_div(y->count, pieces);
  d->bands = 1;
  while (d->bands < d->outputs &&
         met_rows(y, fcv_ceil_div(d->outputs, d->bands)) * x_row + fcv_ceil_div(d->outputs, d->bands) * gy_row >
             BAND_BYTES)
    d->bands++;
  const int64_t rows = fcv_ceil_div(d->outputs, d->bands);
  fcv_lanes_plan(conv, g->ci, g->in, before, after, met_rows(y, rows), &d->x);
  fcv_lanes_plan(conv, g->co, g->out, 0, 0, rows, &d->gy);
  d->x.pieces = d->gy.pieces = pieces;
  d->x.outputs = d->gy.outputs = y->count;
  d->x.step = y->in_step;
  d->gy.step = 1;
  d->gy.apart = 1;
  d->terms = d->walk.kc * fcv_walk_taps(&d->walk);
  d->channel_tiles = fcv_ceil_div(d->walk.nc, k->ra);
  d->term_tiles = fcv_ceil_div(d->terms, k->rb);
  d->height = fcv_ceil_div(d->walk.nc, d->channel_tiles);
  d->width = fcv_max(fcv_ceil_div(d->terms, d->term_tiles), (k->rb + 1) / 2);
  d->vectors = d->walk.groups * d->channel_tiles * d->term_tiles * d->height * d->width;
  d->chunks = fcv_chunks_of_boxes(fcv_lanes_sets(&d->gy) * d->bands, d->vectors * k->vl * k->size);
  d->rows = rows_together(k, &d->walk, d->outputs, before + after);
  d->thread_bytes = lay_out(d, NULL, NULL);
}

fcv_status fcv_conv_wgrad_lanes(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x, const void *gy,
                                void *gw) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct sums d = {.kernels = k, .walk = *walk, .from_x = x, .from_gy = gy};
  fcv_weight_view(conv, 0, &d.view);
  plan(&d, conv);
  const int threads =
      fcv_threads_for((double)walk->n * (double)fcv_weights(&conv->geometry) * (double)fcv_product(conv->geometry.out));
  const int64_t sums_bytes = d.vectors * k->vl * k->size;
  int64_t bytes = 0;
  const int64_t offset_at = fcv_reserve(&bytes, d.term_tiles * d.width * (int64_t)sizeof(int64_t));
  const int64_t sums_at = fcv_reserve(&bytes, d.chunks * sums_bytes);
  const int64_t turned_at = fcv_reserve(&bytes, sums_bytes);
  const int64_t total_at = fcv_reserve(&bytes, d.vectors * k->size);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.offset = (int64_t *)(memory + offset_at);
  d.sums = memory + sums_at;
  d.thread_memory = memory + threads_at;
  find_terms(&d, (int64_t *)(memory + offset_at));
  fcv_parallel_for(d.chunks, threads, sum_chunk, &d);
  fcv_add_chunks(k, d.chunks - 1, d.vectors * k->vl, d.sums + sums_bytes, d.sums, 1);
  add_lanes(&d, memory + turned_at, memory + total_at);
  spread(&d, memory + total_at, gw);
  fcv_scratch_give(memory);
  return FCV_OK;
}
