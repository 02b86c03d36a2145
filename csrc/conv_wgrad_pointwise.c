/* Weight gradient of pointwise (1x1) convolution, channels first: gw[j][k] = sum over pixels of gy[j][pixel] *
 * x[k][pixel], a product of two matrices that lie along pixels.
 *
 * igemm reads one of them where it lies: its rows are rows of the tile. The other is transposed to panels, [pixel][
 * channel], some pixels at a time: that of fewer channels, unless it is x whose pixels a stride parts. Pixels are dealt
 * out to chunks with sums of their own, which are added up in the end; blocks and chunks depend on the shape alone, and
 * a unit sums whole elements of a chunk in their order: the same bits for every number of threads. */
#include "internal.h"

enum {
  BLOCK_PIXELS = 512,     /* at most: a block's sums are running sums */
  PANEL_BYTES = 1 << 19,  /* of a block: its panels stay in L2, */
  MORE_BYTES = 1 << 20,   /* or where weights take more than that, which are read and written once a block, */
  CHUNKS = 32,            /* at most, */
  CHUNK_PIXELS = 128,     /* times their number: of as many pixels at least, or adding sums up would show, */
  CHUNK_BYTES = 8 << 20,  /* and all their sums */
  CONFLICT = 2048,        /* rows a multiple of this apart: those of a tile do not fit into the sets of L1 */
  FEW_CHANNELS = 16,      /* so few make no panels that are worth it */
  TURNED = 32             /* rows of sums that are transposed as one unit */
};

/* A matrix of a group: channels, each a plane of pixels. */
struct side {
  const char *data;
  int64_t channels, plane, image; /* elements from one channel, and image, to the next */
};

struct pointwise {
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  struct side rows, columns;
  struct fcv_panels panels; /* of the columns */
  int64_t tiles;            /* of the rows */
  int64_t pixels;           /* of an image's outputs */
  int64_t images, part;     /* of a block: some images, or one and so many of its pixels */
  int64_t blocks, chunks, splits; /* splits: parts of the rows, units of a chunk and group */
  int strided;              /* the columns' pixels are not neighbours */
  int copied;               /* rows are copied, tile by tile */
  char *sums, *more;        /* of the first chunk, and of the others */
  int64_t group, pitch;     /* of sums, in elements: from one group, and row, to the next */
  int64_t weights;          /* bytes of all sums */
  char *thread_memory;
  int64_t thread_bytes;
};

struct unit_memory {
  char *panels;   /* [panel][image][pixel][width] */
  char *stage;    /* [channel][pixel]: a panel of strided columns */
  char *tile;     /* copied rows */
  const void **a; /* [image][mr] */
};

static int64_t row_bytes(const struct pointwise *d) {
  return fcv_round_up(d->images * d->part * d->kernels->size, 64) + 64;
}

static int64_t lay_out(const struct pointwise *d, char *base, struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t pixels = d->images * d->part;
  int64_t bytes = 0;
  const int64_t panels = fcv_reserve(&bytes, pixels * fcv_panels_channels(&d->panels) * k->size);
  const int64_t stage = fcv_reserve(&bytes, d->strided ? (d->panels.width * d->part + k->vl) * k->size : 0);
  const int64_t tile = fcv_reserve(&bytes, d->copied ? k->mr * row_bytes(d) : 0);
  const int64_t a = fcv_reserve(&bytes, d->images * k->mr * (int64_t)sizeof(void *));
  if (base)
    *memory = (struct unit_memory){base + panels, base + stage, base + tile, (const void **)(base + a)};
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

/* Strided pixels of some channels of an image, side by side: [channel][pixel]. Parts are whole rows of outputs. */
static void gather(const struct pointwise *d, const char *x, int64_t channels, const struct block *block, char *stage) {
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t size = d->kernels->size, row = axis[2].count, end = (block->first + block->count) / row;
  for (int64_t channel = 0; channel < channels; channel++)
    for (int64_t r = block->first / row, rows; r < end; r += rows) {
      const int64_t z = r / axis[1].count, y = r % axis[1].count;
      rows = fcv_min(end - r, axis[1].count - y);
      const int64_t from = (z * axis[0].in_step * axis[1].in + y * axis[1].in_step) * axis[2].in;
      d->kernels->pad_rows(&(struct fcv_pad_rows){
          .rows = rows,
          .count = row,
          .step = axis[2].in_step,
          .x = x + (channel * d->columns.plane + from) * size,
          .x_pitch = axis[1].in_step * axis[2].in,
          .y = stage + (channel * block->count + r * row - block->first) * size,
          .y_pitch = row,
      });
    }
}

/* A block's panels. */
static void make_panels(const struct pointwise *d, int64_t group, const struct block *block,
                        const struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const struct side *columns = &d->columns;
  char *to = memory->panels;
  for (int64_t panel = 0; panel < d->panels.per_group; panel++) {
    const int64_t width = fcv_panel_width(&d->panels, panel), j0 = panel * d->panels.width;
    const int64_t valid = fcv_min(width, columns->channels - j0);
    if (valid < width)
      memset(to, 0, (size_t)(block->images * block->count * width * k->size));
    for (int64_t i = 0; i < block->images; i++, to += block->count * width * k->size) {
      const int64_t at = (block->image + i) * columns->image + (group * columns->channels + j0) * columns->plane;
      const char *from = columns->data + (d->strided ? at : at + block->first) * k->size;
      if (d->strided)
        gather(d, from, valid, block, memory->stage);
      k->transpose(valid, block->count, d->strided ? memory->stage : from,
                   d->strided ? block->count : columns->plane, to, width);
    }
  }
}

/* Where the kernel finds rows first .. first + m - 1. */
static void find_rows(const struct pointwise *d, int64_t group, int64_t first, int m, const struct block *block,
                      const struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t bytes = block->count * k->size;
  for (int64_t i = 0; i < block->images; i++)
    for (int r = 0; r < k->mr; r++) {
      const int64_t row = group * d->rows.channels + first + fcv_min(r, m - 1);
      const int64_t at = (block->image + i) * d->rows.image + row * d->rows.plane + block->first;
      const char *from = d->rows.data + at * k->size;
      char *copy = memory->tile + fcv_min(r, m - 1) * row_bytes(d) + i * bytes;
      if (d->copied && r < m)
        memcpy(copy, from, (size_t)bytes);
      memory->a[i * k->mr + r] = d->copied ? copy : from;
    }
}

/* A block's products for tiles first .. last - 1 of a group's rows, to sums. */
static void multiply(const struct pointwise *d, int64_t group, int64_t first, int64_t last, const struct block *block,
                     int adds, const struct unit_memory *memory, char *sums) {
  const struct fcv_kernels *k = d->kernels;
  void *c[16];
  struct fcv_igemm_tile tile = {.taps = block->images, .kc = block->count, .a = memory->a, .c = c, .adds = adds};
  for (int64_t t = first; t < last; t++) {
    const int64_t r0 = d->rows.channels * t / d->tiles;
    tile.m = (int)(d->rows.channels * (t + 1) / d->tiles - r0);
    find_rows(d, group, r0, tile.m, block, memory);
    for (int i = 0; i < tile.m; i++) c[i] = sums + (group * d->group + (r0 + i) * d->pitch) * k->size;
    const char *w = memory->panels;
    for (int64_t panel = 0; panel < d->panels.per_group; panel++) {
      const int64_t width = fcv_panel_width(&d->panels, panel), j0 = panel * d->panels.width;
      tile.w = tile.ahead.from = w;
      tile.n = (int)fcv_min(width, d->columns.channels - j0);
      tile.c_bytes = j0 * k->size;
      k->igemm[width / k->vl - 1](&tile);
      w += block->images * block->count * width * k->size;
    }
  }
}

static void sum_unit(const void *context, int64_t unit, int thread) {
  const struct pointwise *d = context;
  const int64_t split = unit % d->splits, group = unit / d->splits % d->walk->groups;
  const int64_t chunk = unit / d->splits / d->walk->groups;
  const int64_t begin = d->blocks * chunk / d->chunks, end = d->blocks * (chunk + 1) / d->chunks;
  struct unit_memory memory;
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  char *sums = chunk > 0 ? d->more + (chunk - 1) * d->weights : d->sums;
  for (int64_t b = begin; b < end; b++) {
    const struct block block = find_block(d, b);
    make_panels(d, group, &block, &memory);
    multiply(d, group, d->tiles * split / d->splits, d->tiles * (split + 1) / d->splits, &block, b > begin, &memory,
             sums);
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
  const int64_t unit = d->strided ? d->walk->axis[2].count : k->vl;
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

int fcv_use_wgrad_pointwise(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  int pointwise = conv->layout == FCV_CHANNELS_FIRST && conv->algorithm == FCV_DIRECT &&
                  fcv_min(g->ci, g->co) / g->groups >= FEW_CHANNELS;
  for (int i = 0; i < FCV_AXES; i++) pointwise = pointwise && g->kernel[i] == 1 && !g->pad_lo[i] && !g->pad_hi[i];
  return pointwise;
}

fcv_status fcv_conv_wgrad_pointwise(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                    const void *gy, void *gw) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t kc = walk->kc, nc = walk->nc, groups = walk->groups, in = fcv_product(conv->geometry.in);
  const int last = conv->weight_layout == FCV_CHANNELS_LAST;
  struct pointwise d = {.kernels = k, .walk = walk, .pixels = fcv_product(conv->geometry.out)};
  const struct side images = {.data = x, .channels = kc, .plane = in, .image = groups * kc * in};
  const struct side gradients = {.data = gy, .channels = nc, .plane = d.pixels, .image = groups * nc * d.pixels};
  const int64_t outputs = walk->n * d.pixels;
  for (int i = 0; i < FCV_AXES; i++) d.strided = d.strided || (walk->axis[i].in_step > 1 && walk->axis[i].count > 1);
  d.strided = d.strided || in != d.pixels;
  /* What is transposed: panels, and the sums where rows are not those of gw. */
  const int64_t turns_x = outputs * kc + last * kc * nc, turns_gy = outputs * nc + !last * kc * nc;
  const int along_x = d.strided || turns_x <= turns_gy; /* columns */
  d.rows = along_x ? gradients : images;
  d.columns = along_x ? images : gradients;
  fcv_panels(k, d.columns.channels, &d.panels);
  d.tiles = fcv_ceil_div(d.rows.channels, k->mr);
  d.weights = groups * kc * nc * k->size;
  d.copied = d.rows.plane * k->size % CONFLICT == 0;
  const int in_place = along_x != last;
  d.pitch = along_x ? kc : in_place ? groups * nc : nc;
  d.group = in_place && last ? nc : kc * nc;
  cut_pixels(&d);
  d.chunks = fcv_chunks((int64_t)fmin(CHUNKS, sqrt((double)outputs / CHUNK_PIXELS)), d.weights, CHUNK_BYTES);
  d.chunks = fcv_min(d.chunks, d.blocks);
  const int threads = fcv_threads_for((double)outputs * (double)groups * (double)(kc * nc));
  d.splits = fcv_min(d.tiles, fcv_ceil_div(threads, d.chunks * groups));
  d.thread_bytes = lay_out(&d, NULL, NULL);

  int64_t bytes = 0;
  const int64_t sums_at = fcv_reserve(&bytes, in_place ? 0 : d.weights);
  const int64_t more_at = fcv_reserve(&bytes, (d.chunks - 1) * d.weights);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.sums = in_place ? gw : memory + sums_at;
  d.more = memory + more_at;
  d.thread_memory = memory + threads_at;
  fcv_parallel_for(d.chunks * groups * d.splits, threads, sum_unit, &d);
  fcv_add_sums(k, d.chunks - 1, d.weights / k->size, d.more, d.sums, threads);
  if (!in_place) {
    const struct turn turn = {
        .d = &d,
        .gw = gw,
        .blocks = fcv_ceil_div(d.rows.channels, TURNED),
        .group = last ? nc : kc * nc,
        .pitch = last ? groups * nc : kc,
    };
    fcv_parallel_for(groups * turn.blocks, threads, turn_unit, &turn);
  }
  fcv_scratch_give(memory);
  return FCV_OK;
}
