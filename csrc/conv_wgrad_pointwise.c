/* Weight gradient of pointwise (1x1) convolution: gw[j][k] = sum over pixels of gy[pixel][j] * x[pixel][k], a product
 * of two matrices over pixels, in the blocks of Goto and van de Geijn (2008): of some pixels one matrix is packed to
 * panels that stay in L2, [pixel][channel], the other is taken a band of channels at a time and meets them all.
 *
 * Channels first, matrices lie along pixels: igemm reads the band where it lies, as rows of its tile (or gathered,
 * where a stride parts its pixels), so that only the panels are transposed; the matrix of fewer channels makes them.
 * Channels last, a band is packed as well, to the tiles of the kernel of weight gradients. Pixels are dealt out to
 * chunks with sums of their own, which are added up in the end; blocks and chunks depend on the shape alone, and a unit
 * sums whole elements of a chunk in their order: the same bits for every number of threads. */
#include "internal.h"

enum {
  BLOCK_PIXELS = 512,    /* at most: a block's sums are running sums */
  PANEL_BYTES = 1 << 19, /* of a block, */
  MORE_BYTES = 1 << 20,  /* or where weights take more than that, which are read and written once a block */
  BAND_TILES = 8,        /* of a band, channels last */
  CHUNK_PIXELS = 128,    /* of a chunk at least, times the number of chunks */
  CONFLICT = 2048,       /* rows a multiple of this apart: those of a tile do not fit into the sets of L1 */
  FEW_CHANNELS = 16,     /* so few make no panels that are worth it */
  MANY_BYTES = 1 << 20,  /* of weights, channels last */
  TURNED = 32            /* rows of sums that are transposed as one unit */
};

/* A matrix: channels of a group, elements from one channel, pixel and image to the next. */
struct side {
  const char *data;
  int64_t channels, channel, pixel, image;
  int strided; /* its pixels are not neighbours */
};

struct pointwise {
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  int last; /* channels last */
  struct side rows, columns;
  struct fcv_panels panels;       /* of the columns */
  int64_t bands;                  /* of the rows */
  int64_t pixels;                 /* of an image's outputs */
  int64_t images, part;           /* of a block: some images, or one and so many of its pixels */
  int64_t blocks, chunks, splits; /* splits: parts of the bands, units of a chunk and group */
  int copied;                     /* channels first: rows are copied, or gathered, tile by tile */
  int in_place;                   /* the first chunk's sums are gw */
  char *sums, *more;              /* of the first chunk, and of the others */
  int64_t group, pitch;           /* of sums, in elements: from one group, and row, to the next */
  int64_t weights;                /* bytes of all sums */
  char *thread_memory;
  int64_t thread_bytes;
};

struct unit_memory {
  char *panels;   /* [panel][image][pixel][width] */
  char *stage;    /* [channel][pixel]: a panel of strided columns, channels first */
  char *band;     /* copied rows, or [tile][pixel][lane] */
  const void **a; /* [image][mr], or of each pixel in the band's first tile */
};

/* Bytes of a tile of the band, or of a copied row. */
static int64_t band_pitch(const struct pointwise *d) {
  const int64_t pixels = d->images * d->part, size = d->kernels->size;
  return d->last ? pixels * fcv_split_lanes(d->kernels) * size : fcv_round_up(pixels * size, 64) + 64;
}

static int64_t lay_out(const struct pointwise *d, char *base, struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t pixels = d->images * d->part, stages = d->columns.strided && !d->last;
  const int64_t pitches = d->last ? BAND_TILES : d->copied ? k->mr : 0, pointers = d->last ? pixels : d->images * k->mr;
  int64_t bytes = 0;
  const int64_t panels = fcv_reserve(&bytes, pixels * fcv_panels_channels(&d->panels) * k->size);
  const int64_t stage = fcv_reserve(&bytes, stages ? (d->panels.width * d->part + k->vl) * k->size : 0);
  const int64_t band = fcv_reserve(&bytes, pitches * band_pitch(d));
  const int64_t a = fcv_reserve(&bytes, pointers * (int64_t)sizeof(void *));
  if (base)
    *memory = (struct unit_memory){base + panels, base + stage, base + band, (const void **)(base + a)};
  return bytes;
}

/* A block of pixels: some images, or a part of one. */
struct block {
  int64_t image, images, first, count;
};

static struct block find_block(const struct pointwise *d, int64_t number) {
  const int64_t parts = fcv_ceil_div(d->pixels, d->part);
  if (parts > 1) {
    const int64_t first = number % parts * d->part;
    return (struct block){number / parts, 1, first, fcv_min(d->part, d->pixels - first)};
  }
  const int64_t image = d->walk->n * number / d->blocks;
  return (struct block){image, d->walk->n * (number + 1) / d->blocks - image, 0, d->pixels};
}

/* Rows of an image's outputs that lie in one slice, from one on, and the pixel that the first of them meets. */
static int64_t rows_of_slice(const struct pointwise *d, int64_t row, int64_t end, int64_t *met) {
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t z = row / axis[1].count, y = row % axis[1].count;
  *met = (z * axis[0].in_step * axis[1].in + y * axis[1].in_step) * axis[2].in;
  return fcv_min(end - row, axis[1].count - y);
}

/* Strided pixels of a plane that a part of an image meets, side by side. Parts are whole rows of outputs. */
static void gather(const struct pointwise *d, const char *x, const struct block *block, char *to) {
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t size = d->kernels->size, row = axis[2].count, end = (block->first + block->count) / row;
  for (int64_t r = block->first / row, rows, met; r < end; r += rows, to += rows * row * size) {
    rows = rows_of_slice(d, r, end, &met);
    d->kernels->pad_rows(&(struct fcv_pad_rows){
        .rows = rows,
        .count = row,
        .step = axis[2].in_step,
        .x = x + met * size,
        .x_pitch = axis[1].in_step * axis[2].in,
        .y = to,
        .y_pitch = row,
    });
  }
}

/* Channels last: pixels of a block, from one on, that lie evenly in a matrix, and the element of the first. */
static int64_t find_run(const struct pointwise *d, const struct side *side, const struct block *block, int64_t pixel,
                        int64_t *element) {
  const int64_t row = d->walk->axis[2].count, image = block->image + pixel / block->count;
  const int64_t in_image = block->first + pixel % block->count;
  int64_t met = in_image;
  if (side->strided)
    rows_of_slice(d, in_image / row, in_image / row + 1, &met);
  *element = image * side->image + met * side->pixel;
  return side->strided ? row : block->images * block->count - pixel;
}

static int64_t run_step(const struct pointwise *d, const struct side *side) {
  return (side->strided ? d->walk->axis[2].in_step : 1) * side->pixel;
}

/* Channels j0 .. j0 + valid - 1 of the columns, pixel by pixel. */
static void copy_panel(const struct pointwise *d, const struct block *block, int64_t j0, int64_t valid, int64_t width,
                       char *to) {
  const int64_t size = d->kernels->size, pixels = block->images * block->count, step = run_step(d, &d->columns);
  for (int64_t pixel = 0, run, element; pixel < pixels; pixel += run) {
    run = find_run(d, &d->columns, block, pixel, &element);
    const char *from = d->columns.data + (element + j0) * size;
    for (int64_t i = 0; i < run; i++, to += width * size) memcpy(to, from + i * step * size, (size_t)(valid * size));
  }
}

static void transpose_panel(const struct pointwise *d, const struct block *block, int64_t j0, int64_t valid,
                            int64_t width, const struct unit_memory *memory, char *to) {
  const struct fcv_kernels *k = d->kernels;
  const struct side *columns = &d->columns;
  for (int64_t i = 0; i < block->images; i++, to += block->count * width * k->size) {
    const char *from = columns->data + ((block->image + i) * columns->image + j0 * columns->channel) * k->size;
    int64_t pitch = columns->channel;
    if (columns->strided) {
      for (int64_t j = 0; j < valid; j++)
        gather(d, from + j * pitch * k->size, block, memory->stage + j * block->count * k->size);
      from = memory->stage;
      pitch = block->count;
    } else {
      from += block->first * k->size;
    }
    k->transpose(valid, block->count, from, pitch, to, width);
  }
}

static void make_panels(const struct pointwise *d, int64_t group, const struct block *block,
                        const struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  char *to = memory->panels;
  for (int64_t panel = 0; panel < d->panels.per_group; panel++) {
    const int64_t width = fcv_panel_width(&d->panels, panel), first = panel * d->panels.width;
    const int64_t valid = fcv_min(width, d->columns.channels - first), j0 = group * d->columns.channels + first;
    const int64_t bytes = block->images * block->count * width * k->size;
    if (valid < width)
      memset(to, 0, (size_t)bytes);
    if (d->last)
      copy_panel(d, block, j0, valid, width, to);
    else
      transpose_panel(d, block, j0, valid, width, memory, to);
    to += bytes;
  }
}

/* Channels first: where igemm finds rows r0 .. r0 + m - 1. */
static void find_rows(const struct pointwise *d, int64_t group, int64_t r0, int64_t m, const struct block *block,
                      const struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t bytes = block->count * k->size;
  for (int64_t i = 0; i < block->images; i++)
    for (int r = 0; r < k->mr; r++) {
      const int64_t used = fcv_min(r, m - 1), row = group * d->rows.channels + r0 + used;
      const char *plane = d->rows.data + ((block->image + i) * d->rows.image + row * d->rows.channel) * k->size;
      const char *from = plane + block->first * k->size;
      char *copy = memory->band + used * band_pitch(d) + i * bytes;
      if (d->rows.strided && r < m)
        gather(d, plane, block, copy);
      else if (d->copied && r < m)
        memcpy(copy, from, (size_t)bytes);
      memory->a[i * k->mr + r] = d->copied ? copy : from;
    }
}

/* Channels last: rows r0 .. r0 + m - 1 to tiles. */
static void split_rows(const struct pointwise *d, int64_t group, int64_t r0, int64_t m, const struct block *block,
                       const struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t pixels = block->images * block->count;
  for (int64_t pixel = 0, run, element; pixel < pixels; pixel += run) {
    run = find_run(d, &d->rows, block, pixel, &element);
    k->split(&(struct fcv_split){
        .pixels = run,
        .channels = m,
        .blocks = fcv_ceil_div(m, k->mi),
        .x_step = run_step(d, &d->rows),
        .y_block = band_pitch(d) / k->size,
        .x = d->rows.data + (element + group * d->rows.channels + r0) * k->size,
        .y = memory->band + pixel * fcv_split_lanes(k) * k->size,
    });
  }
  for (int64_t q = 0; q < pixels; q++) memory->a[q] = memory->band + q * fcv_split_lanes(k) * k->size;
}

/* What is multiplied next, and fetched meanwhile: a band of rows, and for each band a part of the next panels. */
struct next {
  struct block block; /* of the band */
  int64_t r0, m;      /* channels of all groups', m = 0 for none */
  struct block panels;
  int64_t j0, channels, band, bands;
};

/* Where row number row lies of those that some channels of a block take: pixels, or channels first planes, or images
 * of whole planes; and how many there are, their lines and pitch. */
struct region {
  int64_t rows, lines, pitch;
};

/* Elements of a plane, roughly, that meet some of an image's outputs. */
static int64_t part_of(const struct pointwise *d, const struct side *side, int64_t outputs) {
  return outputs * side->channel / d->pixels;
}

static struct region find_region(const struct pointwise *d, const struct side *side, const struct block *block,
                                 int64_t channels) {
  const int64_t size = d->kernels->size;
  if (d->last)
    return (struct region){block->images * block->count, fcv_ceil_div(channels * size, 64), run_step(d, side) * size};
  if (block->images == 1)
    return (struct region){channels, fcv_ceil_div(part_of(d, side, block->count) * size, 64), side->channel * size};
  return (struct region){block->images, fcv_ceil_div(channels * side->channel * size, 64), side->image * size};
}

static const char *find_row(const struct pointwise *d, const struct side *side, const struct block *block,
                            int64_t channel, int64_t row, const struct region *region) {
  int64_t element = block->image * side->image + part_of(d, side, block->first);
  if (d->last)
    find_run(d, side, block, row, &element);
  return side->data + (element + channel * side->channel) * d->kernels->size + (d->last ? 0 : row * region->pitch);
}

/* A call's share of them, in turns of FCV_TURN pixels: some rows, or of one some lines. */
static struct fcv_ahead fetch_share(const struct pointwise *d, const struct side *side, const struct block *block,
                                    int64_t channel, int64_t channels, int64_t call, int64_t calls, int64_t turns) {
  const struct region r = find_region(d, side, block, channels);
  const int64_t row = r.rows * call / calls;
  const char *from = find_row(d, side, block, channel, row, &r);
  if (r.rows >= calls)
    return (struct fcv_ahead){from, fcv_ceil_div(r.rows * (call + 1) / calls - row, turns), r.lines, r.pitch};
  const int64_t first = fcv_ceil_div(row * calls, r.rows), parts = fcv_ceil_div((row + 1) * calls, r.rows) - first;
  const int64_t lines = fcv_ceil_div(fcv_ceil_div(r.lines, parts), turns);
  return (struct fcv_ahead){from + 64 * (r.lines * (call - first) / parts), 1, lines, 64 * lines};
}

/* Of the calls for a band the first half fetch rows, the others columns. */
static struct fcv_ahead fetch(const struct pointwise *d, const struct next *next, int64_t call, int64_t calls,
                              int64_t turns) {
  const int64_t half = fcv_ceil_div(calls, 2), others = calls - half;
  if (call < half && next->m > 0)
    return fetch_share(d, &d->rows, &next->block, next->r0, next->m, call, half, turns);
  if (call >= half && next->channels > 0)
    return fetch_share(d, &d->columns, &next->panels, next->j0, next->channels, next->band * others + call - half,
                       next->bands * others, turns);
  return (struct fcv_ahead){0};
}

/* Products of m rows with all panels. */
static void multiply_first(const struct pointwise *d, int64_t m, const struct block *block, enum fcv_into into,
                           const struct unit_memory *memory, const struct next *next, char *sums) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t turns = block->images * fcv_ceil_div(block->count, FCV_TURN);
  void *c[16];
  struct fcv_igemm_tile tile = {.taps = block->images, .kc = block->count, .a = memory->a, .c = c, .into = into};
  const char *w = memory->panels;
  tile.m = (int)m;
  for (int i = 0; i < tile.m; i++) c[i] = sums + i * d->pitch * k->size;
  for (int64_t panel = 0; panel < d->panels.per_group; panel++) {
    const int64_t width = fcv_panel_width(&d->panels, panel), j0 = panel * d->panels.width;
    tile.w = w;
    tile.n = (int)fcv_min(width, d->columns.channels - j0);
    tile.c_bytes = j0 * k->size;
    tile.ahead = fetch(d, next, panel, d->panels.per_group, turns);
    tile.ahead.from = tile.ahead.from ? tile.ahead.from : w; /* c is fetched too */
    k->igemm[width / k->vl - 1](&tile);
    w += block->images * block->count * width * k->size;
  }
}

static void multiply_last(const struct pointwise *d, int64_t m, const struct block *block, enum fcv_into into,
                          const struct unit_memory *memory, const struct next *next, char *sums) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t pixels = block->images * block->count, tiles = fcv_ceil_div(m, k->mi);
  const char *b = memory->panels;
  for (int64_t panel = 0; panel < d->panels.per_group; panel++) {
    const int64_t width = fcv_panel_width(&d->panels, panel), j0 = panel * d->panels.width;
    for (int64_t t = 0; t < tiles; t++) {
      const int64_t first = m * t / tiles;
      k->wgrad[width / k->vl - 1](&(struct fcv_wgrad_tile){
          .pixels = pixels,
          .a = memory->a,
          .a_bytes = t * band_pitch(d),
          .b = b,
          .b_pitch = width,
          .gw = sums + (first * d->pitch + j0) * k->size,
          .gw_pitch = d->pitch,
          .m = (int)(m * (t + 1) / tiles - first),
          .n = (int)fcv_min(width, d->columns.channels - j0),
          .into = into,
          .ahead = fetch(d, next, panel * tiles + t, d->panels.per_group * tiles, fcv_ceil_div(pixels, FCV_TURN)),
      });
    }
    b += pixels * width * k->size;
  }
}

static void sum_unit(const void *context, int64_t unit, int thread) {
  const struct pointwise *d = context;
  const int64_t split = unit % d->splits, group = unit / d->splits % d->walk->groups;
  const int64_t chunk = unit / d->splits / d->walk->groups, rows = d->rows.channels;
  const int64_t begin = d->blocks * chunk / d->chunks, end = d->blocks * (chunk + 1) / d->chunks;
  const int64_t band0 = d->bands * split / d->splits, band1 = d->bands * (split + 1) / d->splits;
  struct unit_memory memory;
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  char *sums = chunk > 0 ? d->more + (chunk - 1) * d->weights : d->sums;
  struct next next = {.j0 = group * d->columns.channels, .bands = band1 - band0};
  for (int64_t b = begin; b < end; b++) {
    const struct block block = find_block(d, b), then = find_block(d, fcv_min(b + 1, end - 1));
    next.panels = then;
    next.channels = b + 1 < end ? d->columns.channels : 0;
    make_panels(d, group, &block, &memory);
    for (int64_t band = band0; band < band1; band++) {
      const int64_t r0 = rows * band / d->bands, m = rows * (band + 1) / d->bands - r0;
      const int64_t after = band + 1 < band1 ? band + 1 : band0, first = rows * after / d->bands;
      next.block = after > band ? block : then;
      next.band = band - band0;
      next.r0 = group * rows + first;
      next.m = after > band || b + 1 < end ? rows * (after + 1) / d->bands - first : 0;
      (d->last ? split_rows : find_rows)(d, group, r0, m, &block, &memory);
      (d->last ? multiply_last : multiply_first)(d, m, &block, b > begin ? FCV_ADD : FCV_REPLACE, &memory, &next,
                                                 sums + (group * d->group + r0 * d->pitch) * d->kernels->size);
    }
  }
}

/* Sums, a group's rows, to gw, where those are columns. */
struct turn {
  const struct pointwise *d;
  char *gw;
  int64_t blocks, group, pitch; /* blocks of rows of a group; of gw */
};

static void turn_unit(const void *context, int64_t unit, int thread) {
  const struct turn *t = context;
  const struct pointwise *d = t->d;
  const int64_t size = d->kernels->size, group = unit / t->blocks, first = unit % t->blocks * TURNED;
  (void)thread;
  d->kernels->transpose(fcv_min(TURNED, d->rows.channels - first), d->columns.channels,
                        d->sums + (group * d->group + first * d->pitch) * size, d->pitch,
                        t->gw + (group * t->group + first) * size, t->pitch);
}

/* Blocks of even size: images, or whole vectors of pixels, or whole rows of outputs where a stride parts them. */
static void cut_pixels(struct pointwise *d) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t bytes = d->weights > MORE_BYTES ? MORE_BYTES : PANEL_BYTES;
  const int64_t most = fcv_max(k->vl, fcv_min(BLOCK_PIXELS, bytes / (fcv_panels_channels(&d->panels) * k->size)));
  const int64_t unit = d->rows.strided || d->columns.strided ? d->walk->axis[2].count : k->vl;
  d->part = d->pixels;
  d->images = 1;
  if (d->pixels > most) {
    d->part = fcv_min(d->pixels, fcv_round_up(fcv_ceil_div(d->pixels, fcv_ceil_div(d->pixels, most)), unit));
    d->blocks = d->walk->n * fcv_ceil_div(d->pixels, d->part);
  }
  if (d->part == d->pixels) {
    d->blocks = fcv_ceil_div(d->walk->n, fcv_max(1, most / d->pixels));
    d->images = fcv_ceil_div(d->walk->n, d->blocks);
  }
}

static int is_strided(const struct fcv_geometry *g) { return fcv_product(g->in) != fcv_product(g->out); }

/* Channels last, few weights are summed as fast where pixels are not copied. */
int fcv_use_wgrad_pointwise(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t weights = g->ci / g->groups * g->co * fcv_kernels(conv->dtype)->size;
  int pointwise = conv->algorithm == FCV_DIRECT && fcv_min(g->ci, g->co) / g->groups >= FEW_CHANNELS;
  for (int i = 0; i < FCV_AXES; i++) pointwise = pointwise && g->kernel[i] == 1 && !g->pad_lo[i] && !g->pad_hi[i];
  return pointwise && (conv->layout == FCV_CHANNELS_FIRST || weights >= MANY_BYTES || is_strided(g));
}

/* Which matrix makes rows, and which columns; and where sums go, in gw if its columns are theirs. */
static void choose_sides(struct pointwise *d, const struct fcv_conv *conv, const void *x, const void *gy) {
  const int64_t kc = d->walk->kc, nc = d->walk->nc, groups = d->walk->groups, in = fcv_product(conv->geometry.in);
  const int weights_last = conv->weight_layout == FCV_CHANNELS_LAST;
  const struct side images = {
      .data = x,
      .channels = kc,
      .channel = d->last ? 1 : in,
      .pixel = d->last ? groups * kc : 1,
      .image = groups * kc * in,
      .strided = is_strided(&conv->geometry),
  };
  const struct side gradients = {
      .data = gy,
      .channels = nc,
      .channel = d->last ? 1 : d->pixels,
      .pixel = d->last ? groups * nc : 1,
      .image = groups * nc * d->pixels,
  };
  /* What channels first transposes: panels, and the sums where columns are not those of gw. */
  const int64_t outputs = d->walk->n * d->pixels;
  const int64_t turns_x = outputs * kc + weights_last * kc * nc, turns_gy = outputs * nc + !weights_last * kc * nc;
  /* Channels last, fewer columns are larger blocks, but sums of one block are best left in gw. */
  const int narrow = outputs > BLOCK_PIXELS ? kc < nc : !weights_last;
  const int along_x = d->last ? narrow : turns_x <= turns_gy; /* columns */
  d->rows = along_x ? gradients : images;
  d->columns = along_x ? images : gradients;
  d->copied = !d->last && (d->rows.strided || d->rows.channel * d->kernels->size % CONFLICT == 0);
  d->in_place = along_x != weights_last;
  d->pitch = along_x ? kc : d->in_place ? groups * nc : nc;
  d->group = d->in_place && weights_last ? nc : kc * nc;
}

fcv_status fcv_conv_wgrad_pointwise(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                    const void *gy, void *gw) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t kc = walk->kc, nc = walk->nc, groups = walk->groups;
  struct pointwise d = {.kernels = k, .walk = walk, .pixels = fcv_product(conv->geometry.out)};
  d.last = conv->layout == FCV_CHANNELS_LAST;
  d.weights = groups * kc * nc * k->size;
  choose_sides(&d, conv, x, gy);
  fcv_panels(k, d.columns.channels, &d.panels);
  cut_pixels(&d);
  d.chunks = fcv_min(fcv_chunks(walk->n * d.pixels, CHUNK_PIXELS, d.weights), d.blocks);
  const int threads = fcv_threads_for((double)(walk->n * d.pixels) * (double)groups * (double)(kc * nc));
  d.splits = fcv_min(fcv_ceil_div(d.rows.channels, d.last ? k->mi : k->mr), fcv_ceil_div(threads, d.chunks * groups));
  d.bands = fcv_max(d.splits, fcv_ceil_div(d.rows.channels, d.last ? BAND_TILES * k->mi : k->mr));
  d.thread_bytes = lay_out(&d, NULL, NULL);

  int64_t bytes = 0;
  const int64_t sums_at = fcv_reserve(&bytes, d.in_place ? 0 : d.weights);
  const int64_t more_at = fcv_reserve(&bytes, (d.chunks - 1) * d.weights);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.sums = d.in_place ? gw : memory + sums_at;
  d.more = memory + more_at;
  d.thread_memory = memory + threads_at;
  fcv_parallel_for(d.chunks * groups * d.splits, threads, sum_unit, &d);
  fcv_add_chunks(k, d.chunks - 1, d.weights / k->size, d.more, d.sums, threads);
  if (!d.in_place) {
    const int weights_last = conv->weight_layout == FCV_CHANNELS_LAST;
    const struct turn turn = {
        .d = &d,
        .gw = gw,
        .blocks = fcv_ceil_div(d.rows.channels, TURNED),
        .group = weights_last ? nc : kc * nc,
        .pitch = weights_last ? groups * nc : kc,
    };
    fcv_parallel_for(groups * turn.blocks, threads, turn_unit, &turn);
  }
  fcv_scratch_give(memory);
  return FCV_OK;
}
