/* Weight gradient: gw[tap][k][j] = sum over pixels of x[pixel at tap][k] * gy[pixel][j].
 *
 * Tiles of mi x nr elements of gw are summed over blocks of PIXELS pixels. gy is packed into panels once a box of
 * pixels, x is read in place or staged as in conv_direct.c. Sums stand in gw, or if its order is [j][k][tap] and there
 * is more than one box in memory that is transposed in the end; with one box those of a few tiles and all taps stand in
 * L1, and are transposed from there.
 *
 * Boxes are dealt out to chunks with sums of their own, which are added up in the end. A thread that has chunks to
 * itself finds what it packs and sums in its own caches; where chunks are few, all threads share the phases of a box,
 * and a tile belongs to one unit. Blocks, boxes and chunks depend on the shape alone, and are summed in their order:
 * the same bits for every number of threads. */
#include "internal.h"

enum {
  PIXELS = 128,          /* of a block: a panel of gy takes half of a 32 KiB L1 */
  BOX_BYTES = 1 << 19,   /* x and gy of a box stay in L2, and of the next one, which is fetched meanwhile */
  MORE_BYTES = 1 << 20,  /* the same where weights take more than BOX_BYTES: they are read and written once a box, */
  ONE_BYTES = 12 << 20,  /* or not at all, if there is only one */
  FEW_BYTES = 16 << 10,  /* weights that stay in L1 */
  UNIT_BYTES = 16 << 10, /* of a unit's transposed sums, but one tile of all taps, */
  TAPS_BYTES = 64 << 10, /* or of as many taps as fit */
  CHUNK_PIXELS = 32,     /* of a chunk at least, times the number of chunks */
  CHUNK_MORE = 128,      /* the same where weights take more than BOX_BYTES */
  CONFLICT = 512,        /* pixels this many bytes apart: a block of them does not fit into the sets of L1 */
  SPLIT = 2048,          /* pixels this large are staged tile by tile: 28x28 512->512 3x3, dilation 2, 26 ms became 22;
                            with a stride, where every second pixel is read, 16x14x14 512->512 took 38 ms in place of 31 */
};

struct wgrad {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  struct fcv_panels panels;
  int64_t taps, m, rows; /* taps as the kernel sees them; values of one; tiles over them */
  int64_t splits, parts; /* parts of a panel's tiles, or 0, all tiles of all panels; and of the taps */
  int64_t channels;      /* over all groups' panels */
  struct fcv_stage stage;
  int64_t boxes, chunks;
  int apart; /* a thread has chunks to itself */
  struct fcv_box box;
  struct fcv_source source;
  int64_t pixels, blocks; /* of the box */
  int64_t all, units;     /* parts; units, of one each, or where sums are transposed of several */
  int64_t thread_bytes;
  int staged;               /* x is */
  int row_taps, patch_rows; /* the taps of a kernel row are one; patches are made of kernel rows */
  int summed;               /* gw holds the sums of earlier boxes */
  const char *next[2];      /* x and gy of the next box, which is fetched into L2 meanwhile, and their */
  int64_t lines[2];         /* lines of 64 bytes */
  const char *x, *gy, *zero;
  char *gw;          /* [tap][m][co], or if sums are transposed [co][m][tap] */
  int transposes;    /* tiles of sums, on their way to gw */
  char *sums;        /* of the chunks after the first, as gw */
  char *team_memory; /* of threads that share the phases of a box: see lay_out */
  int64_t team_bytes;
  char *packed, *staged_x, *thread_memory;
  const void **a; /* where sums are transposed: [block][tap][PIXELS] */
  int patches;    /* are made: im2col */
  char *patch;    /* [block][group][pixel][m] */
};

static char *block_patches(const struct wgrad *d, int64_t block) {
  return d->patch + block * PIXELS * d->walk->groups * d->m * d->kernels->size;
}

/* Where the kernel finds the pixels of a block at a tap. */
static void point(const struct wgrad *d, int64_t block, int64_t tap, int64_t count, const void **a) {
  if (!d->patches)
    fcv_indirect_tap(d->walk, &d->source, &d->box, block * PIXELS, count, tap, d->row_taps, a);
  for (int64_t q = 0; d->patches && q < count; q++) a[q] = block_patches(d, block) + q * d->m * d->kernels->size;
}

/* One block of gy: [group][panel][PIXELS][width], zero past the last channel. */
static void pack_block(const void *context, int64_t block, int thread) {
  const struct wgrad *d = context;
  const int64_t size = d->kernels->size, co = d->walk->groups * d->walk->nc, nc = d->walk->nc;
  const int64_t plane = fcv_product(d->conv->geometry.out);
  const int64_t first = block * PIXELS, count = fcv_min(PIXELS, d->pixels - first);
  int64_t *offset = (int64_t *)(d->thread_memory + thread * d->thread_bytes);
  char *to = d->packed + block * PIXELS * d->channels * size;
  if (d->patches)
    fcv_im2col(d->kernels, d->walk, &d->source, &d->box, first, count, d->patch_rows, (const void **)offset,
               block_patches(d, block));
  fcv_indirect_outputs(d->walk, &d->box, first, count, d->conv->layout, co, offset);
  for (int64_t tap = 0; d->transposes && tap < d->taps; tap++)
    point(d, block, tap, count, d->a + (block * d->taps + tap) * PIXELS);
  for (int64_t group = 0; group < d->walk->groups; group++)
    for (int64_t panel = 0; panel < d->panels.per_group; panel++) {
      const int64_t width = fcv_panel_width(&d->panels, panel), j0 = panel * d->panels.width;
      const int64_t valid = fcv_min(width, nc - j0), channel = group * nc + j0;
      if (valid < width)
        memset(to, 0, (size_t)(count * width * size));
      if (d->conv->layout == FCV_CHANNELS_LAST) {
        for (int64_t q = 0; q < count; q++)
          memcpy(to + q * width * size, d->gy + (offset[q] + channel) * size, (size_t)(valid * size));
      } else {
        for (int64_t q = 0, run; q < count; q += run) {
          for (run = 1; q + run < count && offset[q + run] == offset[q] + run;) run++;
          d->kernels->transpose(valid, run, d->gy + (offset[q] + channel * plane) * size, plane, to + q * width * size,
                                width);
        }
      }
      to += PIXELS * width * size;
    }
}

/* What a call of the kernel fetches of the next box, in turns of FCV_TURN pixels: call number `call` of some. */
static void fetch(const struct wgrad *d, int64_t call, int64_t calls, struct fcv_wgrad_tile *tile) {
  const int64_t lines = d->lines[0] + d->lines[1], first = lines * call / calls, end = lines * (call + 1) / calls;
  const int which = first >= d->lines[0];
  if (first == end)
    return;
  const int64_t share = fcv_ceil_div(end - first, fcv_ceil_div(tile->pixels, FCV_TURN));
  const char *from = d->next[which] + 64 * (first - (which ? d->lines[0] : 0));
  tile->ahead = (struct fcv_ahead){.from = from, .rows = 1, .lines = share, .pitch = 64 * share};
}

/* What is summed together: some tiles of each of some panels, over some taps. */
struct part {
  int64_t panel0, panel1, row0, row1, tap0, tap1;
  int64_t m0; /* of the first tile */
};

/* Parts that follow each other have neighbours in gw. */
static struct part find_part(const struct wgrad *d, int64_t number) {
  const int64_t panels = d->walk->groups * d->panels.per_group, tiles = fcv_max(1, panels * d->splits);
  const int64_t index = d->transposes ? number / d->parts : number % tiles,
                part = d->transposes ? number % d->parts : number / tiles;
  struct part p = {.panel1 = panels, .row1 = d->rows};
  if (d->splits > 0) {
    p.panel0 = index / d->splits;
    p.panel1 = p.panel0 + 1;
    p.row0 = d->rows * (index % d->splits) / d->splits;
    p.row1 = d->rows * (index % d->splits + 1) / d->splits;
  }
  p.m0 = d->m * p.row0 / d->rows;
  p.tap0 = d->taps * part / d->parts;
  p.tap1 = d->taps * (part + 1) / d->parts;
  return p;
}

/* Where a panel lies among the channels. */
struct place {
  int64_t group, channel, before; /* the first in the group, and in all panels */
  int64_t width, n;               /* channels with padding and without */
};

static struct place find_place(const struct wgrad *d, int64_t panel) {
  const int64_t group = panel / d->panels.per_group, in_group = panel % d->panels.per_group;
  const int64_t channel = in_group * d->panels.width, width = fcv_panel_width(&d->panels, in_group);
  return (struct place){
      .group = group,
      .channel = channel,
      .before = group * fcv_panels_channels(&d->panels) + channel,
      .width = width,
      .n = fcv_min(width, d->walk->nc - channel),
  };
}

/* A part's tiles of a panel, at a tap, over a block whose pixels are a. call: counts the calls of the kernel. */
static void sum_block(const struct wgrad *d, const struct part *part, int64_t panel, int64_t tap, int64_t block,
                      const void **a, char *sums, int64_t call) {
  const struct fcv_kernels *k = d->kernels;
  const struct place p = find_place(d, panel);
  const int64_t size = k->size, count = fcv_min(PIXELS, d->pixels - block * PIXELS), taps = part->tap1 - part->tap0;
  const int64_t blocks = d->stage.blocks;
  const int64_t co = d->walk->groups * d->walk->nc, group = p.group * (d->patches ? count * d->m : d->walk->kc);
  const int64_t gw_pitch = d->transposes ? taps * p.width : co, calls = d->all * d->blocks * taps;
  char *gw = d->transposes ? sums + (tap - part->tap0) * p.width * size
                           : d->gw + ((tap * d->m + part->m0) * co + p.group * d->walk->nc + p.channel) * size;
  for (int64_t row = part->row0, m = part->m0, end; row < part->row1; row++, m = end) {
    end = d->m * (row + 1) / d->rows;
    struct fcv_wgrad_tile tile = {
        .pixels = count,
        .a = a,
        .a_bytes = blocks ? (p.group * blocks + row) * d->stage.block : (group + m) * size,
        .b = d->packed + (block * d->channels + p.before) * PIXELS * size,
        .b_pitch = p.width,
        .gw = gw + (m - part->m0) * gw_pitch * size,
        .gw_pitch = gw_pitch,
        .m = (int)(end - m),
        .n = (int)(d->transposes ? p.width : p.n),
        .into = d->summed || block > 0 ? FCV_ADD : FCV_REPLACE,
    };
    fetch(d, call++, calls * (part->panel1 - part->panel0) * (part->row1 - part->row0), &tile);
    k->wgrad[p.width / k->vl - 1](&tile);
  }
}

/* Sums, [m][tap][width], to gw. */
static void put(const struct wgrad *d, const struct part *part, const char *sums) {
  const struct place p = find_place(d, part->panel0);
  const int64_t size = d->kernels->size, taps = part->tap1 - part->tap0, pitch = d->m * d->taps;
  const int64_t m1 = d->m * part->row1 / d->rows;
  const int64_t whole = taps == d->taps ? m1 - part->m0 : 1; /* values that are neighbours with their taps */
  char *gw = d->gw + ((p.group * d->walk->nc + p.channel) * pitch + part->tap0) * size;
  for (int64_t m = part->m0; m < m1; m += whole, sums += whole * taps * p.width * size)
    d->kernels->transpose(whole * taps, p.n, sums, p.width, gw + m * d->taps * size, pitch);
}

static void sum_part(const struct wgrad *d, int64_t index, char *memory) {
  const struct part part = find_part(d, index);
  const int64_t taps = part.tap1 - part.tap0, rows = part.row1 - part.row0;
  int64_t call = index * d->blocks * taps * (part.panel1 - part.panel0) * rows;
  for (int64_t block = 0; block < d->blocks; block++)
    for (int64_t tap = part.tap0; tap < part.tap1; tap++) {
      const void **a = d->transposes ? d->a + (block * d->taps + tap) * PIXELS : (const void **)memory;
      if (!d->transposes)
        point(d, block, tap, fcv_min(PIXELS, d->pixels - block * PIXELS), a);
      for (int64_t panel = part.panel0; panel < part.panel1; panel++, call += rows)
        sum_block(d, &part, panel, tap, block, a, memory, call);
    }
  if (d->transposes)
    put(d, &part, memory);
}

static void sum_unit(const void *context, int64_t unit, int thread) {
  const struct wgrad *d = context;
  for (int64_t part = d->all * unit / d->units; part < d->all * (unit + 1) / d->units; part++)
    sum_part(d, part, d->thread_memory + thread * d->thread_bytes);
}

/* Channels last: a box's rows are neighbours in memory, or as good as. */
static void find_next(struct wgrad *d, int64_t block) {
  const struct fcv_axis *axis = d->walk->axis;
  struct fcv_box box;
  fcv_stage_box(&d->stage, d->walk, block, &box);
  int64_t first[2] = {box.lo[0], box.lo[0]}, rows[2] = {box.size[0], box.size[0]};
  for (int i = 0; i < 2; i++) {
    const int64_t from = fcv_max(0, box.lo[i + 1] * axis[i].in_step + axis[i].shift);
    first[0] = first[0] * axis[i].in + fcv_min(from, axis[i].in - 1);
    first[1] = first[1] * axis[i].out + box.lo[i + 1];
    rows[0] *= fcv_min(axis[i].in, box.size[i + 1] * axis[i].in_step);
    rows[1] *= box.size[i + 1];
  }
  const int64_t size = d->kernels->size;
  const int64_t row[2] = {axis[2].in * d->walk->groups * d->walk->kc * size,
                          axis[2].out * d->walk->groups * d->walk->nc * size};
  for (int i = 0; i < 2; i++) {
    d->next[i] = (i ? d->gy : d->x) + first[i] * row[i];
    d->lines[i] = rows[i] * row[i] / 64;
  }
}

struct turn {
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  const char *last;
  char *gw;
};

enum { TURNED = 8 }; /* output channels of a unit */

static void turn_unit(const void *context, int64_t unit, int thread) {
  const struct turn *t = context;
  const int64_t size = t->kernels->size, kc = t->walk->kc, taps = fcv_walk_taps(t->walk);
  const int64_t co = t->walk->groups * t->walk->nc, j0 = unit * TURNED, count = fcv_min(TURNED, co - j0);
  const char *from = t->last + j0 * size;
  char *to = t->gw + j0 * kc * taps * size;
  (void)thread;
  if (taps == 1)
    t->kernels->transpose(kc, count, from, co, to, kc);
  for (int64_t k = 0; k < kc && taps > 1; k++)
    t->kernels->transpose(taps, count, from + k * co * size, kc * co, to + k * taps * size, kc * taps);
}

/* A weight gradient in channels-last order, [tap][k][co], to gw in channels-first order, [co][k][tap]. */
static void weights_to_first(const struct fcv_kernels *kernels, const struct fcv_walk *walk, const void *last, void *gw,
                             int threads) {
  const struct turn turn = {.kernels = kernels, .walk = walk, .last = last, .gw = gw};
  const int64_t co = walk->groups * walk->nc;
  const int wanted = fcv_threads_for((double)(fcv_walk_taps(walk) * walk->kc * co));
  fcv_parallel_for(fcv_ceil_div(co, TURNED), threads < wanted ? threads : wanted, turn_unit, &turn);
}

static int64_t weights_bytes(const struct fcv_kernels *kernels, const struct fcv_walk *walk) {
  return fcv_walk_taps(walk) * walk->kc * walk->groups * walk->nc * kernels->size;
}

int fcv_wgrad_transposes(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  int64_t met = walk->n, outputs = walk->n;
  for (int i = 0; i < FCV_AXES; i++) {
    const struct fcv_axis *axis = &walk->axis[i];
    met *= (axis->count - 1) * axis->in_step + (axis->taps - 1) * axis->shift_step + 1;
    outputs *= axis->count;
  }
  const int64_t channels = met * walk->groups * walk->kc + outputs * walk->groups * fcv_round_up(walk->nc, k->vl);
  return conv->weight_layout == FCV_CHANNELS_FIRST && conv->algorithm != FCV_IM2COL && !fcv_use_row_taps(walk) &&
         channels * k->size <= fcv_max(BOX_BYTES, fcv_min(weights_bytes(k, walk), ONE_BYTES));
}

static int64_t count_chunks(const struct wgrad *d, int64_t outputs) {
  const int64_t weights = weights_bytes(d->kernels, d->walk), least = weights > BOX_BYTES ? CHUNK_MORE : CHUNK_PIXELS;
  return d->transposes ? 1 : fcv_chunks(outputs, least, weights);
}

/* Into boxes. */
static void cut_pixels(struct wgrad *d, int64_t outputs) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t pixel = d->walk->groups * d->walk->kc * k->size, patch = d->patches ? d->walk->groups * d->m : 0;
  const int conflicts = pixel % CONFLICT == 0;
  const int in_place = d->patches ? !d->patch_rows : !conflicts && !(d->row_taps && fcv_pads_rows(d->walk));
  const int64_t box = weights_bytes(k, d->walk) > BOX_BYTES ? MORE_BYTES : BOX_BYTES;
  const int64_t pixels = d->transposes ? INT64_MAX / 2 / pixel : box / (pixel + (patch + d->channels) * k->size);
  const struct fcv_axis *y = &d->walk->axis[1], *x = &d->walk->axis[2];
  /* Rows that a dilated kernel passes over are on top, or a box would have one row of outputs: 1x28x28 512->512 3x3,
   * dilation 4, took 32 ms, 23 since. */
  const int64_t above = (y->taps - 1) * (y->shift_step - 1) * x->in * pixel;
  d->staged = d->conv->layout == FCV_CHANNELS_FIRST || !in_place;
  d->chunks = count_chunks(d, outputs);
  const int64_t most = d->chunks > 1 ? outputs / d->chunks : pixels;
  const int splits = d->staged && !d->patches && !d->row_taps && d->taps > 1 && x->in_step == 1 && y->in_step == 1 &&
                     d->walk->kc * k->size >= SPLIT;
  fcv_stage_plan(k, d->walk, splits ? fcv_split_pixel(k, d->walk, d->rows) : pixel + (conflicts ? 64 : 0),
                 fcv_min(pixels, most) * pixel + fcv_min(above, 2 * box), 1, &d->stage);
  if (splits)
    fcv_stage_split(k, d->rows, &d->stage);
  d->boxes = fcv_stage_blocks(&d->stage, d->walk);
  d->chunks = fcv_min(d->chunks, d->boxes);
}

/* Into units, so that every thread has some. In gw few sums stay in L1 while a block of gy meets all taps; of many,
 * those of one tap meet all blocks. Transposed sums of a panel are written by one thread, if that leaves work for all:
 * parts are short pieces of gw's rows, and share lines. Returns the bytes that a part's sums take elsewhere. */
static int64_t cut_sums(struct wgrad *d, int threads) {
  const int64_t tile = d->kernels->mi * d->panels.width * d->kernels->size, wanted = threads > 1 ? 8 * threads : 1;
  const int64_t panels = d->walk->groups * d->panels.per_group;
  if (d->transposes) {
    const int64_t together = fcv_min(UNIT_BYTES / (tile * d->taps), d->rows * panels / wanted);
    d->splits = fcv_ceil_div(d->rows, fcv_max(1, together));
    d->parts = fcv_ceil_div(d->taps, fcv_max(1, TAPS_BYTES / tile));
    d->parts = fcv_max(d->parts, fcv_min(d->taps, fcv_ceil_div(wanted, panels * d->splits)));
  } else {
    d->parts = weights_bytes(d->kernels, d->walk) <= FEW_BYTES && threads == 1 ? 1 : d->taps;
    d->splits = d->parts >= wanted ? 0 : fcv_min(d->rows, fcv_ceil_div(wanted, d->parts * panels));
  }
  d->all = d->units = fcv_max(1, panels * d->splits) * d->parts;
  if (d->transposes && (panels >= 4 * threads || panels % threads == 0))
    d->units = panels;
  return d->transposes ? fcv_ceil_div(d->rows, d->splits) * tile * fcv_ceil_div(d->taps, d->parts) : 0;
}

/* The memory of a team, or without base its size. */
static int64_t lay_out(struct wgrad *d, int threads, char *base) {
  const int64_t size = d->kernels->size, taps = fcv_walk_taps(d->walk);
  struct fcv_box box;
  fcv_stage_box(&d->stage, d->walk, 0, &box);
  const int64_t most = fcv_round_up(fcv_box_pixels(d->walk, &box), PIXELS);
  const int64_t patch = d->patches ? d->walk->groups * d->m * size : 0, sums = cut_sums(d, threads);
  const int64_t pointers = PIXELS * (d->patches ? taps : 1) * (int64_t)sizeof(void *);
  int64_t bytes = 0;
  d->thread_bytes = fcv_round_up(fcv_max(sums, pointers), 64);
  const int64_t a = fcv_reserve(&bytes, d->transposes ? most * d->taps * (int64_t)sizeof(void *) : 0);
  const int64_t packed = fcv_reserve(&bytes, most * d->channels * size);
  const int64_t staged_x = fcv_reserve(&bytes, d->staged ? d->stage.bytes : 0);
  const int64_t patches = fcv_reserve(&bytes, d->patches ? most * patch + d->kernels->mi * size : 0);
  const int64_t thread_memory = fcv_reserve(&bytes, threads * d->thread_bytes);
  if (base) {
    d->a = (const void **)(base + a);
    d->packed = base + packed;
    d->staged_x = base + staged_x;
    d->patch = base + patches;
    d->thread_memory = base + thread_memory;
  }
  return bytes;
}

/* A chunk's boxes, one after the other, to gw. */
static void sum_chunk(struct wgrad *d, int64_t chunk, int threads) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t first = d->boxes * chunk / d->chunks, last = d->boxes * (chunk + 1) / d->chunks;
  for (int64_t b = first; b < last; b++) {
    fcv_stage_box(&d->stage, d->walk, b, &d->box);
    d->pixels = fcv_box_pixels(d->walk, &d->box);
    d->blocks = fcv_ceil_div(d->pixels, PIXELS);
    d->summed = b > first;
    if (d->conv->layout == FCV_CHANNELS_LAST && b + 1 < (d->apart ? last : d->boxes))
      find_next(d, b + 1);
    else
      d->lines[0] = d->lines[1] = 0;
    if (d->staged) {
      fcv_stage_fill(k, &d->stage, d->walk, d->conv->layout, d->x, &d->box, d->staged_x, threads, &d->source);
      d->source.zero = d->zero;
    }
    const double elements = (double)(d->pixels * d->walk->groups * d->walk->nc);
    fcv_parallel_for(d->blocks, (int)fcv_min(threads, fcv_threads_for(elements)), pack_block, d);
    fcv_parallel_for(d->units, threads, sum_unit, d);
  }
}

/* By one thread. */
static void sum_apart(const void *context, int64_t chunk, int thread) {
  struct wgrad own = *(const struct wgrad *)context;
  lay_out(&own, 1, own.team_memory + thread * own.team_bytes);
  if (chunk > 0)
    own.gw = own.sums + (chunk - 1) * weights_bytes(own.kernels, own.walk);
  sum_chunk(&own, chunk, 1);
}

/* Sums of some chunks to those of the first. */
static void add_chunks(const struct wgrad *d, int64_t chunks, int threads) {
  fcv_add_chunks(d->kernels, chunks, weights_bytes(d->kernels, d->walk) / d->kernels->size, d->sums, d->gw, threads);
}

/* By all threads; a chunk's sums are added as soon as they are there. */
static void sum_together(const struct wgrad *d, int threads) {
  struct wgrad own = *d;
  lay_out(&own, threads, own.team_memory);
  for (int64_t chunk = 0; chunk < d->chunks; chunk++) {
    own.gw = chunk > 0 ? own.sums : d->gw;
    sum_chunk(&own, chunk, threads);
    if (chunk > 0)
      add_chunks(d, 1, threads);
  }
}

/* How sums are made; returns how many threads they are worth. */
static int plan(struct wgrad *d, int64_t outputs) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_walk *walk = d->walk;
  const int64_t taps = fcv_walk_taps(walk);
  d->patches = d->conv->algorithm == FCV_IM2COL;
  d->row_taps = !d->patches && fcv_use_row_taps(walk);
  d->patch_rows = d->patches && fcv_use_row_taps(walk);
  d->transposes = fcv_wgrad_transposes(d->conv, walk);
  const int64_t span = d->patches ? taps : d->row_taps ? walk->axis[2].taps : 1;
  fcv_panels(k, walk->nc, &d->panels);
  d->channels = walk->groups * fcv_panels_channels(&d->panels);
  d->taps = taps / span;
  d->m = span * walk->kc;
  d->rows = fcv_ceil_div(d->m, k->mi);
  cut_pixels(d, outputs);
  const int64_t panels = walk->groups * d->panels.per_group, tile = k->mi * d->panels.width;
  return fcv_threads_for((double)outputs * (double)(d->taps * panels * d->rows * tile));
}

fcv_status fcv_conv_wgrad(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x, const void *gy,
                          void *gw) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t outputs = walk->n * fcv_product(conv->geometry.out), weights = weights_bytes(k, walk);
  struct wgrad d = {.conv = conv, .kernels = k, .walk = walk, .x = x, .gy = gy};
  const int threads = plan(&d, outputs);
  d.apart = threads > 1 && (d.chunks >= 2 * threads || d.chunks == threads);
  const int of_team = d.apart ? 1 : threads, teams = d.apart ? threads : 1;
  const int in_place = conv->weight_layout == FCV_CHANNELS_LAST || d.transposes;
  const int64_t zeros = fcv_max(walk->groups * walk->kc, d.m) * k->size + fcv_max(k->mi, k->vl) * k->size;
  d.team_bytes = lay_out(&d, of_team, NULL);
  int64_t bytes = 0;
  const int64_t last_at = fcv_reserve(&bytes, in_place ? 0 : weights);
  const int64_t sums_at = fcv_reserve(&bytes, (d.apart ? d.chunks - 1 : d.chunks > 1) * weights);
  const int64_t zero_at = fcv_reserve(&bytes, zeros);
  const int64_t teams_at = fcv_reserve(&bytes, teams * d.team_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.gw = in_place ? gw : memory + last_at;
  d.sums = memory + sums_at;
  d.zero = memory + zero_at;
  d.team_memory = memory + teams_at;
  memset(memory + zero_at, 0, (size_t)zeros);
  d.source = fcv_source_in_place(walk, x, d.zero, k->size);

  if (d.apart) {
    fcv_parallel_for(d.chunks, threads, sum_apart, &d);
    add_chunks(&d, d.chunks - 1, threads);
  } else {
    sum_together(&d, threads);
  }
  if (!in_place)
    weights_to_first(k, walk, d.gw, gw, threads);
  fcv_scratch_give(memory);
  return FCV_OK;
}
