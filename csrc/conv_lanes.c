/* Direct convolution of VL images at a time, an image for each lane: for layers with few channels, whose vectors are
 * neither full of channels nor, in short rows, of pixels.
 *
 * A set of images is staged, every element a vector (lanes.h; the layout that cuda-convnet calls CHWN). A weight is
 * then one number for all lanes, whatever the stride: the kernel multiplies vectors where they lie with the weights of
 * some output channels, some outputs at a time (struct fcv_runs). The results, vectors too, are transposed back. No
 * lane is empty but those of the last set. The input gradient takes all its walks on the same stage. */
#include "lanes.h"

enum {
  BAND_BYTES = 1 << 20, /* of the rows of a set that are computed together, both arrays: they stay in L2 */
  LEAST_ROWS = 4,       /* of a band that is cut for the sake of threads */
  MOST_WALKS = 16,
};

/* Outputs of an axis that meet taps lo .. hi - 1, no other. */
struct segment {
  int64_t first, count, lo, hi;
};

/* A walk. Columns that meet the same taps of a kernel row have weights of their own: channels last, terms are rows
 * of the kernel, then their taps, then channels, so that outputs which meet some of the rows need some of them. */
struct part {
  struct fcv_walk walk;
  int64_t columns; /* segments */
  int64_t terms;   /* for columns that meet all taps */
  struct segment *column;
  int64_t *offset; /* [column segment][terms] elements, from the first one that is met */
  char *w;         /* [column segment][terms * all output channels]: [group][tile][term][channel of the tile] */
};

/* Rows of the result, and what they meet. */
struct band {
  int64_t y_first, y_rows, x_first, x_rows;
};

/* Those of a band's rows that are a part's. */
struct rows {
  int64_t segments;
  struct segment *row;
  struct fcv_run *run; /* [row segment][column segment][output] */
};

struct direct {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  struct fcv_weight_view view;
  struct fcv_lanes x, y;
  int64_t parts, tiles, bands;
  int64_t thread_bytes;
  const char *from, *w, *bias;
  char *to, *thread_memory;
  struct band *band;
  struct rows *rows; /* [band][part] */
  struct part part[MOST_WALKS];
};

struct unit_memory {
  char *x, *y, *rest;
};

static int64_t lay_out(const struct direct *d, char *base, struct unit_memory *memory) {
  int64_t bytes = 0;
  const int64_t x = fcv_reserve(&bytes, fcv_lanes_bytes(&d->x));
  const int64_t y = fcv_reserve(&bytes, fcv_lanes_bytes(&d->y));
  const int64_t rest = fcv_reserve(&bytes, fcv_max(fcv_lanes_bytes(&d->x), fcv_lanes_bytes(&d->y)));
  if (base)
    *memory = (struct unit_memory){.x = base + x, .y = base + y, .rest = base + rest};
  return bytes;
}

/* What an output of a column meets. Channels first, where terms are channel by channel, all rows of the kernel: those
 * outside are staged as zeros. So an image has the bits that it has by itself, in both layouts. */
static struct fcv_met rows_met(fcv_layout layout, const struct fcv_axis *y, int64_t o) {
  if (layout == FCV_CHANNELS_LAST)
    return fcv_taps_inside(y, o);
  return (struct fcv_met){0, y->taps, o * y->in_step + y->shift};
}

/* Of outputs first .. last - 1 of a row, or as rows_met says of a column. segment: or NULL, to count them. */
static int64_t find_segments(const struct direct *d, const struct fcv_walk *walk, int i, int64_t first, int64_t last,
                             struct segment *segment) {
  const struct fcv_axis *axis = &walk->axis[i];
  int64_t count = 0;
  struct fcv_met before = {-1, -1, 0};
  for (int64_t o = first; o < last; o++) {
    const struct fcv_met met = i == 1 ? rows_met(d->conv->layout, axis, o) : fcv_taps_inside(axis, o);
    if (met.lo != before.lo || met.hi != before.hi) {
      if (segment)
        segment[count] = (struct segment){.first = o, .lo = met.lo, .hi = met.hi};
      before = met;
      count++;
    }
    if (segment)
      segment[count - 1].count++;
  }
  return count;
}

/* A walk's outputs in rows of the result. */
static void outputs_of(const struct fcv_axis *y, const struct band *band, int64_t *first, int64_t *last) {
  const int64_t lo = fcv_max(0, band->y_first - y->out_start);
  const int64_t hi = fcv_max(0, band->y_first + band->y_rows - y->out_start);
  *first = fcv_min(y->count, fcv_ceil_div(lo, y->out_step));
  *last = fcv_min(y->count, fcv_ceil_div(hi, y->out_step));
}

static void find_met_rows(const struct direct *d, struct band *band) {
  int64_t lo = INT64_MAX, hi = INT64_MIN, first, last;
  for (const struct part *part = d->part; part < d->part + d->parts; part++) {
    const struct fcv_axis *y = &part->walk.axis[1];
    outputs_of(y, band, &first, &last);
    for (int64_t o = first; o < last && part->terms > 0; o++) {
      const struct fcv_met met = rows_met(d->conv->layout, y, o);
      if (met.lo == met.hi)
        continue;
      lo = fcv_min(lo, met.first);
      hi = fcv_max(hi, met.first + (met.hi - met.lo - 1) * y->shift_step + 1);
    }
  }
  band->x_first = lo < hi ? lo : 0;
  band->x_rows = lo < hi ? hi - lo : 0;
}

#define PACK(type)                                                                                                     \
  for (int64_t i = 0; i < count; i++) ((type *)to)[i] = ((const type *)from)[i * view->j];

/* Of one term: channels of a tile. */
static void pack_term(const struct fcv_weight_view *view, int64_t size, const char *from, int64_t count, char *to) {
  if (size == sizeof(float)) {
    PACK(float)
  } else {
    PACK(double)
  }
}

/* The element of w, and of the stage from the first one that is met, of each term of some columns: channels last row by
 * row of the kernel, tap by tap, else channel by channel, as other ways of direct convolution have them. */
static void find_terms(const struct direct *d, const struct part *part, const struct segment *columns, int64_t *weight,
                       int64_t *offset) {
  const struct fcv_walk *walk = &part->walk;
  const struct fcv_axis *y = &walk->axis[1], *x = &walk->axis[2];
  const int64_t span = columns->hi - columns->lo, taps = y->taps * span, terms = taps * walk->kc;
  for (int64_t term = 0; term < terms; term++) {
    const int last = d->conv->layout == FCV_CHANNELS_LAST;
    const int64_t tap = last ? term / walk->kc : term % taps, k = last ? term % walk->kc : term / taps;
    const int64_t row = tap / span, column = tap % span;
    const int64_t at = row * y->shift_step * d->x.row + column * x->shift_step * d->x.pixel + k * d->x.channel;
    weight[term] = fcv_tap_offset(walk, &d->view, row * x->taps + columns->lo + column) + k * d->view.k;
    offset[term] = at * d->kernels->vl;
  }
}

static void pack_weights(const struct direct *d, const struct part *part, int64_t terms, const int64_t *weight,
                         char *to) {
  const struct fcv_walk *walk = &part->walk;
  const int64_t size = d->kernels->size;
  for (int64_t g = 0; g < walk->groups; g++)
    for (int64_t tile = 0; tile < d->tiles; tile++) {
      const int64_t first = walk->nc * tile / d->tiles, count = walk->nc * (tile + 1) / d->tiles - first;
      const char *w = d->w + (g * d->view.group + first * d->view.j) * size;
      for (int64_t term = 0; term < terms; term++, to += count * size)
        pack_term(&d->view, size, w + weight[term] * size, count, to);
    }
}

/* Where the outputs of some rows and columns find the first tap that they meet, and where they go. */
static struct fcv_run *find_runs(const struct direct *d, const struct band *band, const struct fcv_walk *walk,
                                 const struct segment *rows, const struct segment *columns, struct fcv_run *run) {
  const struct fcv_axis *y = &walk->axis[1], *x = &walk->axis[2];
  const int64_t vl = d->kernels->vl;
  const int meets = rows->lo < rows->hi && columns->lo < columns->hi;
  for (int64_t r = rows->first; r < rows->first + rows->count; r++)
    for (int64_t c = columns->first; c < columns->first + columns->count; c++) {
      const int64_t to =
          (y->out_start + r * y->out_step - band->y_first) * d->y.row + (x->out_start + c * x->out_step) * d->y.pixel;
      const int64_t from =
          (rows_met(d->conv->layout, y, r).first - band->x_first) * d->x.row + fcv_taps_inside(x, c).first * d->x.pixel;
      *run++ = (struct fcv_run){.from = meets ? from * vl : 0, .to = to * vl};
    }
  return run;
}

/* Outputs that meet the same taps, all channels of a set. */
static void multiply(const struct direct *d, const struct part *part, const struct segment *rows, int64_t column,
                     const struct fcv_run *run, const struct unit_memory *memory) {
  const struct fcv_walk *walk = &part->walk;
  const struct segment *columns = &part->column[column];
  const int64_t size = d->kernels->size, vl = d->kernels->vl, nc = walk->nc;
  const int64_t span = (columns->hi - columns->lo) * walk->kc, terms = walk->axis[1].taps * span;
  const char *w = part->w + column * part->terms * walk->groups * nc * size;
  struct fcv_runs runs = {
      .terms = (rows->hi - rows->lo) * span,
      .count = rows->count * columns->count,
      .offset = part->offset + column * part->terms,
      .run = run,
      .y_plane = d->y.channel * vl,
      .activation = fcv_kernel_activation(d->conv),
      .slope = d->conv->slope,
  };
  for (int64_t g = 0; g < walk->groups; g++)
    for (int64_t tile = 0; tile < d->tiles; tile++) {
      const int64_t first = nc * tile / d->tiles, j = g * nc + first;
      runs.m = (int)(nc * (tile + 1) / d->tiles - first);
      runs.x = memory->x + g * walk->kc * d->x.channel * vl * size;
      runs.w = w + (j * terms + rows->lo * span * runs.m) * size;
      runs.bias = d->bias ? d->bias + j * size : NULL;
      runs.y = memory->y + j * d->y.channel * vl * size;
      d->kernels->runs(&runs);
    }
}

static void direct_unit(const void *context, int64_t unit, int thread) {
  const struct direct *d = context;
  const int64_t set = unit / d->bands;
  const struct band *band = &d->band[unit % d->bands];
  const struct rows *rows = d->rows + unit % d->bands * d->parts;
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  fcv_lanes_fill(&d->x, d->from, set, band->x_first, band->x_rows, memory.rest, memory.x);
  for (const struct part *part = d->part; part < d->part + d->parts; part++, rows++) {
    const struct fcv_run *run = rows->run;
    for (int64_t r = 0; r < rows->segments; r++)
      for (int64_t c = 0; c < part->columns; c++) {
        multiply(d, part, &rows->row[r], c, run, &memory);
        run += rows->row[r].count * part->column[c].count;
      }
  }
  fcv_activate(d->kernels, d->conv, d->y.vectors * d->kernels->vl, memory.y);
  fcv_lanes_write(&d->y, memory.y, set, band->y_first, band->y_rows, memory.rest, d->to);
}

static int64_t reach(const struct fcv_geometry *g) { return (g->kernel[1] - 1) * g->dilation[1] + 1; }

/* Of a set, with as many rows of outputs and what they meet; or as many of the input gradient. */
static int64_t band_bytes(const struct fcv_conv *conv, int64_t rows) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t met = fcv_min(g->in[1], (rows - 1) * g->stride[1] + reach(g));
  return (met * g->in[2] * g->ci + rows * g->out[2] * g->co) * k->vl * k->size;
}

/* Bands are so high that few rows are staged for two of them: input gradients of 16x224x224 3->64 3x3 took 1.3 times as
 * long. */
int fcv_fits_lanes(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t least = fcv_min(g->out[1], 2 * fcv_ceil_div(reach(g), g->stride[1]));
  return conv->algorithm == FCV_DIRECT && g->in[0] == 1 && g->kernel[0] == 1 && g->out[0] == 1 &&
         fcv_product(g->kernel) > 1 && fcv_small_groups(conv) == 0 && fcv_product(g->stride) <= MOST_WALKS &&
         g->n * fcv_weights(g) * fcv_product(g->out) > 0 && band_bytes(conv, least) <= BAND_BYTES;
}

/* For all walks of a pass alike. Two thirds of the lanes at least have an image. Channels last: where output channels
 * fill one vector at most. Channels first: where vectors of pixels would not be full, or would be written element by
 * element, and channels are few. */
int fcv_use_lanes(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const struct fcv_axis *x = &walk->axis[2];
  const int64_t vl = fcv_kernels(conv->dtype)->vl, width = fcv_ceil_div(x->out, x->out_step);
  if (!fcv_fits_lanes(conv) || 3 * walk->n < 2 * fcv_round_up(walk->n, vl))
    return 0;
  if (conv->layout == FCV_CHANNELS_LAST)
    return walk->nc <= vl && (fcv_product(conv->geometry.stride) > 1 || fcv_leaves_lanes_empty(vl, walk->nc) ||
                              !fcv_use_narrow(conv, walk));
  const int is_short = 8 * width < 7 * fcv_round_up(width, vl);
  return (is_short || x->out_step > 1) && walk->kc <= 2 * vl && walk->nc <= 2 * vl;
}

/* Multiply-adds of sets, the last one's empty lanes included. */
double fcv_lanes_products(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  double taps[FCV_AXES] = {1, 0, 0};
  for (int i = 1; i < FCV_AXES; i++)
    for (int64_t o = 0; o < walk->axis[i].count; o++) {
      const struct fcv_axis *axis = &walk->axis[i];
      const struct fcv_met met = i == 1 ? rows_met(conv->layout, axis, o) : fcv_taps_inside(axis, o);
      taps[i] += (double)(met.hi - met.lo);
    }
  const int64_t lanes = fcv_round_up(walk->n, fcv_kernels(conv->dtype)->vl);
  return (double)(lanes * walk->groups * walk->kc * walk->nc) * taps[1] * taps[2];
}

/* Bands of the result, of about the same number of rows. */
static int64_t count_bands(const struct fcv_conv *conv, int64_t result_rows, int threads) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t sets = fcv_ceil_div(g->n, fcv_kernels(conv->dtype)->vl);
  int64_t bands = 1;
  while (bands < fcv_min(g->out[1], result_rows) && band_bytes(conv, fcv_ceil_div(g->out[1], bands)) > BAND_BYTES)
    bands++;
  const int64_t wanted = threads > 1 ? fcv_min(fcv_ceil_div(4 * threads, sets), result_rows / LEAST_ROWS) : 1;
  return fcv_max(bands, wanted);
}

static void find_parts(struct direct *d, int transposed) {
  const struct fcv_geometry *g = &d->conv->geometry;
  if (transposed) {
    FCV_FOR_EACH_RESIDUE(g, d->part[d->parts].walk, d->parts++);
  } else {
    fcv_walk_forward(g, &d->part[0].walk);
    d->parts = 1;
  }
  for (struct part *part = d->part; part < d->part + d->parts; part++) {
    part->columns = find_segments(d, &part->walk, 2, 0, part->walk.axis[2].count, NULL);
    part->terms = part->walk.kc * fcv_walk_taps(&part->walk);
  }
  d->tiles = fcv_run_tiles(d->kernels, d->part[0].walk.nc);
}

/* A part's arrays, from at on; returns where they end. base: or NULL, to count bytes. */
static int64_t lay_out_part(const struct direct *d, struct part *part, char *base, int64_t at) {
  const struct fcv_axis *x = &part->walk.axis[2];
  const int64_t weights = part->terms * part->walk.groups * part->walk.nc * d->kernels->size;
  const int64_t column = fcv_reserve(&at, part->columns * (int64_t)sizeof(struct segment));
  const int64_t offset = fcv_reserve(&at, part->columns * part->terms * (int64_t)sizeof(int64_t));
  const int64_t w = fcv_reserve(&at, part->columns * weights);
  const int64_t weight = fcv_reserve(&at, part->terms * (int64_t)sizeof(int64_t));
  if (!base)
    return at;
  part->column = (struct segment *)(base + column);
  part->offset = (int64_t *)(base + offset);
  part->w = base + w;
  find_segments(d, &part->walk, 2, 0, x->count, part->column);
  for (int64_t c = 0; c < part->columns; c++) {
    const int64_t terms = (part->column[c].hi - part->column[c].lo) * part->walk.axis[1].taps * part->walk.kc;
    find_terms(d, part, &part->column[c], (int64_t *)(base + weight), part->offset + c * part->terms);
    pack_weights(d, part, terms, (const int64_t *)(base + weight), part->w + c * weights);
  }
  return at;
}

/* The same of a band's rows of a part. */
static int64_t lay_out_rows(const struct direct *d, const struct band *band, const struct part *part, struct rows *rows,
                            char *base, int64_t at) {
  const struct fcv_axis *y = &part->walk.axis[1];
  int64_t first, last;
  outputs_of(y, band, &first, &last);
  const int64_t segments = find_segments(d, &part->walk, 1, first, last, NULL);
  const int64_t row = fcv_reserve(&at, segments * (int64_t)sizeof(struct segment));
  const int64_t run = fcv_reserve(&at, (last - first) * part->walk.axis[2].count * (int64_t)sizeof(struct fcv_run));
  if (!base)
    return at;
  *rows = (struct rows){segments, (struct segment *)(base + row), (struct fcv_run *)(base + run)};
  find_segments(d, &part->walk, 1, first, last, rows->row);
  struct fcv_run *next = rows->run;
  for (int64_t r = 0; r < segments; r++)
    for (int64_t c = 0; c < part->columns; c++)
      next = find_runs(d, band, &part->walk, &rows->row[r], &part->column[c], next);
  return at;
}

/* All arrays that threads share. */
static int64_t lay_out_shared(struct direct *d, int64_t result_rows, char *base) {
  int64_t at = 0;
  const int64_t band = fcv_reserve(&at, d->bands * (int64_t)sizeof(struct band));
  const int64_t rows = fcv_reserve(&at, d->bands * d->parts * (int64_t)sizeof(struct rows));
  if (base) {
    d->band = (struct band *)(base + band);
    d->rows = (struct rows *)(base + rows);
  }
  for (int64_t p = 0; p < d->parts; p++) at = lay_out_part(d, &d->part[p], base, at);
  for (int64_t b = 0; b < d->bands; b++) {
    const int64_t first = result_rows * b / d->bands, last = result_rows * (b + 1) / d->bands;
    struct band found = {.y_first = first, .y_rows = last - first};
    find_met_rows(d, &found);
    d->x.window = fcv_max(d->x.window, found.x_rows);
    d->y.window = fcv_max(d->y.window, found.y_rows);
    if (base)
      d->band[b] = found;
    for (int64_t p = 0; p < d->parts; p++)
      at = lay_out_rows(d, &found, &d->part[p], base ? &d->rows[b * d->parts + p] : NULL, base, at);
  }
  return at;
}

fcv_status fcv_conv_lanes(const struct fcv_conv *conv, int transposed, const void *x, const void *w, const void *bias,
                          void *y) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t *from = transposed ? g->out : g->in, *to = transposed ? g->in : g->out;
  struct direct d = {.conv = conv, .kernels = fcv_kernels(conv->dtype), .from = x, .w = w, .bias = bias, .to = y};
  const int threads = fcv_threads_for((double)g->n * (double)fcv_weights(g) * (double)fcv_product(g->out));
  fcv_weight_view(conv, transposed, &d.view);
  find_parts(&d, transposed);
  d.bands = count_bands(conv, to[1], threads);
  int64_t bytes = lay_out_shared(&d, to[1], NULL);
  fcv_lanes_plan(conv, transposed ? g->co : g->ci, from, 0, 0, d.x.window, &d.x);
  fcv_lanes_plan(conv, transposed ? g->ci : g->co, to, 0, 0, d.y.window, &d.y);
  d.thread_bytes = lay_out(&d, NULL, NULL);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.thread_memory = memory + threads_at;
  lay_out_shared(&d, to[1], memory);
  fcv_parallel_for(fcv_lanes_sets(&d.x) * d.bands, threads, direct_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
