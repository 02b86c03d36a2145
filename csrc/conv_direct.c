/* Direct convolution as indirect GEMM: forward, input gradient and transposed convolution are walks of the same form.
 *
 * Work is cut into units of a few pixel tiles x a range of weight panels. A unit writes the pointers of its pixels
 * once, then runs panel by panel over its tiles, or where all weights stay in L2 over a few of them at a time: the
 * panel comes from L2, the tiles' input stays in L1 or L2, and what the next ones read is fetched meanwhile. x is read
 * in place where it is channels last; else, and where kernel rows are to be taps across padding, it is staged, box by
 * box: by all threads together where there are few boxes, else a thread has boxes to itself. */
#include "internal.h"

enum {
  TILES = 16,                /* pixel tiles of a unit at most */
  POINTER_BYTES = 128 << 10, /* and as many as keep its pointers in L2 */
  PATCH_BYTES = 256 << 10,   /* as many as keep its patches there */
  STAGE_BYTES = 1 << 20,     /* a staged block per thread, */
  LEAST_TILES = 6,           /* of as many pixel tiles at least, where threads have blocks to themselves */
  PIECE_BYTES = 128 << 10,   /* weights that a unit packs at a time, */
  PIECE_PANELS = 8,          /* of as many panels at most, so that their rows are read in long pieces */
  PIECE_CHANNELS = 64,       /* and of as many input channels at least */
  TILES_IN_PLACE = 8,        /* that read weights where they lie, which for more are packed */
  PACKED_ROW = 128,          /* bytes of a panel's row that a tile packs: with 64, AVX2, 1x7x7 512->2048 lost 5% */
  GROUP_BYTES = 20 << 10,    /* of x: tiles that all panels pass over before the next */
  CONFLICT = 4096,           /* pixels this many bytes apart fall into the same few sets of L1 */
};

struct direct {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  struct fcv_weight_view view;
  struct fcv_panels panels;
  struct fcv_stage stage;
  struct fcv_box box;
  struct fcv_source source;
  int staged, apart; /* apart: a thread has boxes to itself */
  int64_t boxes;
  int row_taps, patches;                 /* patches: im2col, one tap that is copied */
  int64_t piece;                         /* input channels that a unit takes at a time; 0: weights packed for all */
  int in_place;                          /* whose weights lie as a panel's, beside those of the others */
  int64_t taps, kc;                      /* as the kernel sees them */
  int64_t pixels, tiles, blocks, splits; /* of the box; tiles of a unit; units over pixels and over panels */
  int trims;                             /* taps at the edges that meet padding alone are left out */
  int past_caches;                       /* results are written so */
  int64_t group;                         /* tiles that all panels of a unit pass over before the next ones */
  int64_t thread_bytes;
  const char *x, *packed, *w, *bias; /* packed: where no unit packs its panels from w; bias padded to panels, or NULL */
  char *y, *thread_memory, *stage_memory;
};

struct tap_range {
  int64_t first, last;
};

/* A thread's memory, for the pixels of one unit. */
struct unit_memory {
  const void **a;        /* [tile][tap][mr] */
  struct tap_range *met; /* [tile] */
  int64_t *offset;       /* in y */
  void **c;
  char *tile;      /* channels first only: [pixel][width] of a panel before the transposed store, or of all in pieces */
  char *panel;     /* of weights, where a unit packs them, */
  char *own_panel; /* or the first tile of one */
  const void **pointers;
  char *patches; /* im2col only: [group][pixel][kc], and what they are copied from */
};

static int64_t lay_out(const struct direct *d, char *base, struct unit_memory *memory) {
  const int64_t pixels = d->tiles * d->kernels->mr;
  const int first = d->conv->layout == FCV_CHANNELS_FIRST;
  int64_t bytes = 0;
  const int64_t a = fcv_reserve(&bytes, pixels * d->taps * (int64_t)sizeof(void *));
  const int64_t met = fcv_reserve(&bytes, d->tiles * (int64_t)sizeof(struct tap_range));
  const int64_t offset = fcv_reserve(&bytes, pixels * (int64_t)sizeof(int64_t));
  const int64_t c = fcv_reserve(&bytes, pixels * (int64_t)sizeof(void *));
  const int64_t panels = d->piece > 0 ? fcv_ceil_div(d->walk->groups * d->panels.per_group, d->splits) : 1;
  const int64_t tile = fcv_reserve(&bytes, first ? panels * pixels * d->panels.width * d->kernels->size : 0);
  const int64_t panel = fcv_reserve(&bytes, d->piece > 0 ? PIECE_BYTES : 0);
  const int64_t own_panel = fcv_reserve(&bytes, d->piece * d->panels.width * d->kernels->size);
  const int64_t taps = d->patches ? fcv_walk_taps(d->walk) : 0;
  const int64_t pointers = fcv_reserve(&bytes, pixels * taps * (int64_t)sizeof(void *));
  const int64_t patches = fcv_reserve(&bytes, d->patches ? d->walk->groups * pixels * d->kc * d->kernels->size : 0);
  if (base)
    *memory = (struct unit_memory){
        .a = (const void **)(base + a),
        .met = (struct tap_range *)(base + met),
        .offset = (int64_t *)(base + offset),
        .c = (void **)(base + c),
        .tile = base + tile,
        .panel = base + panel,
        .own_panel = base + own_panel,
        .pointers = (const void **)(base + pointers),
        .patches = base + patches,
    };
  return bytes;
}

/* A panel's results, [pixels][width], to channels first: runs of neighbouring pixels are transposed. */
static void store_channels_first(const struct direct *d, const char *tile, int64_t width, const int64_t *offset,
                                 int64_t pixels, int64_t channel, int64_t channels) {
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t size = d->kernels->size, plane = axis[0].out * axis[1].out * axis[2].out;
  for (int64_t q = 0; q < pixels;) {
    int64_t run = 1;
    while (q + run < pixels && offset[q + run] == offset[q] + run) run++;
    d->kernels->transpose(run, channels, tile + q * width * size, width, d->y + (offset[q] + channel * plane) * size,
                          plane);
    q += run;
  }
}

/* One panel of output channels, p of all groups' panels, over the pixels of a unit. */
struct job {
  struct fcv_igemm_tile tile;
  fcv_igemm_fn *kernel;
  int64_t width, channel; /* of all groups, the first */
  int64_t ahead;          /* pixels from a tile to the one that it fetches */
  int64_t part, parts;    /* of that tile; none without parts */
};

static struct job job_of(const struct direct *d, int64_t p, int64_t pixels) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t size = k->size, nc = d->walk->nc;
  const int64_t group = p / d->panels.per_group, panel = p % d->panels.per_group;
  const int64_t width = fcv_panel_width(&d->panels, panel), j0 = panel * d->panels.width, channel = group * nc + j0;
  const int64_t padded = group * fcv_panels_channels(&d->panels) + j0;
  const int64_t first_input = group * (d->patches ? pixels * d->kc : d->walk->kc);
  const int in_place = d->in_place && d->piece == 0;
  return (struct job){
      .kernel = (in_place ? k->igemm_rows : k->igemm)[width / k->vl - 1],
      .width = width,
      .channel = channel,
      .tile = {.taps = d->taps,
               .kc = d->kc,
               .a_bytes = first_input * size,
               .w = in_place ? d->w + j0 * size : d->packed + padded * d->taps * d->kc * size,
               .w_pitch = d->view.k,
               .c_bytes = d->conv->layout == FCV_CHANNELS_FIRST ? 0 : channel * size,
               .n = (int)fcv_min(width, nc - j0),
               .bias = d->bias ? d->bias + padded * size : NULL,
               .activation = fcv_kernel_activation(d->conv),
               .slope = d->conv->slope,
               .past_caches = d->past_caches},
  };
}

/* Pixels from q on are fetched into the cache while a tile is computed: their last tap, since the others met earlier
 * rows of outputs, and only where they are neighbours in memory. */
static void fetch(const struct direct *d, struct job *job, const struct unit_memory *memory, int64_t q,
                  int64_t pixels) {
  struct fcv_igemm_tile *tile = &job->tile;
  const int mr = d->kernels->mr;
  tile->ahead = (struct fcv_ahead){.from = tile->w};
  if (job->parts == 0 || q >= pixels || d->taps * d->kc == 0)
    return;
  const void *const *a = memory->a + q * d->taps + (d->taps - 1) * mr;
  const int64_t bytes = d->walk->groups * d->walk->kc * d->kernels->size;
  const int64_t span = (const char *)a[mr - 1] - (const char *)a[0] + bytes;
  if (span <= 0 || span > 2 * mr * bytes)
    return;
  const int64_t turns = d->taps * fcv_ceil_div(d->kc, FCV_TURN), lines = fcv_ceil_div(span, 64);
  const int64_t share = fcv_ceil_div(lines, turns * job->parts);
  const char *from = (const char *)a[0] + 64 * share * turns * job->part;
  tile->ahead = (struct fcv_ahead){.from = from, .rows = 1, .lines = share, .pitch = 64 * share};
}

/* Whether some output has a tap outside. */
static int pads(const struct fcv_walk *walk) {
  for (int i = 0; i < FCV_AXES; i++) {
    const struct fcv_axis *axis = &walk->axis[i];
    const int64_t last = axis->shift + (axis->count - 1) * axis->in_step + (axis->taps - 1) * axis->shift_step;
    if (axis->shift < 0 || last >= axis->in)
      return 1;
  }
  return 0;
}

/* Whether a tap of a tile meets padding alone. */
static int is_outside(const struct direct *d, const void *const *a) {
  for (int i = 0; i < d->kernels->mr; i++)
    if (a[i] != d->source.zero)
      return 0;
  return 1;
}

/* The taps of each tile but the first and last ones that meet padding alone, in rows at the edge of an image; dilation
 * has many: 28x28 512->512 3x3 dilation 4 34.2 ms became 31.1. */
static void find_taps(const struct direct *d, int64_t pixels, const struct unit_memory *memory) {
  const int64_t mr = d->kernels->mr;
  for (int64_t t = 0; t * mr < pixels; t++) {
    const void *const *a = memory->a + t * d->taps * mr;
    struct tap_range *met = &memory->met[t];
    *met = (struct tap_range){0, d->taps};
    while (met->first < met->last && is_outside(d, a + met->first * mr)) met->first++;
    while (met->first < met->last && is_outside(d, a + (met->last - 1) * mr)) met->last--;
  }
}

/* Pixels first .. last - 1, from tap on; ends: the sums are complete. */
static void run_tiles(const struct direct *d, struct job *job, const struct unit_memory *memory, int64_t first,
                      int64_t last, int64_t pixels, int64_t tap, int ends) {
  const struct fcv_kernels *k = d->kernels;
  struct fcv_igemm_tile *tile = &job->tile;
  const char *w = tile->w;
  for (int64_t q = first; q < last; q += k->mr) {
    tile->a = memory->a + q * d->taps + tap * k->mr;
    if (d->trims) {
      const struct tap_range *met = &memory->met[q / k->mr];
      tile->a += met->first * k->mr;
      tile->taps = met->last - met->first;
      tile->w = w + met->first * d->kc * k->size * (d->in_place ? tile->w_pitch : job->width);
    }
    tile->c = memory->c + q;
    tile->m = (int)fcv_min(k->mr, last - q);
    fetch(d, job, memory, q + job->ahead, pixels);
    job->kernel(tile);
    fcv_activate_rows(k, d->conv, ends ? tile->m : 0, tile->n, tile->c, tile->c_bytes);
  }
}

/* Panels begin .. end - 1 over pixels first .. last - 1 of a unit's, and meanwhile what is read next, in equal shares:
 * the same number of pixels after them; where these are all, the next tile in the first panel. */
static void run_panels(const struct direct *d, int64_t begin, int64_t end, const struct unit_memory *memory,
                       int64_t first, int64_t last, int64_t pixels) {
  const int channels_first = d->conv->layout == FCV_CHANNELS_FIRST, mr = d->kernels->mr, all = last - first == pixels;
  for (int64_t p = begin; p < end; p++) {
    struct job job = job_of(d, p, pixels);
    job.ahead = all ? mr : last - first;
    job.part = all ? 0 : p - begin;
    job.parts = all ? p == begin : end - begin;
    if (channels_first)
      for (int64_t q = 0; q < pixels; q++) memory->c[q] = memory->tile + q * job.width * d->kernels->size;
    run_tiles(d, &job, memory, first, last, pixels, 0, 1);
    if (channels_first)
      store_channels_first(d, memory->tile, job.width, memory->offset, pixels, job.channel, job.tile.n);
  }
}

/* Some input channels of one tap. */
struct piece {
  int64_t tap, begin, end;
};

/* A piece of panels first .. last - 1, whose products are added to what y holds. Where w has a panel's rows, they are
 * read there, or packed by the first tile that reads them; panels that reach past the rows are packed beforehand. */
static void run_piece(const struct direct *d, const struct piece *piece, int64_t first, int64_t last,
                      const struct unit_memory *memory, int64_t pixels) {
  const int64_t size = d->kernels->size, channels = piece->end - piece->begin, mr = d->kernels->mr;
  const int channels_first = d->conv->layout == FCV_CHANNELS_FIRST;
  const int begins = piece->tap == 0 && piece->begin == 0;
  const int ends = piece->tap == d->taps - 1 && piece->end == d->walk->kc;
  const int64_t full = d->walk->nc / d->panels.width;
  int64_t whole = 0;
  if (d->in_place)
    whole = d->walk->nc % d->kernels->vl == 0 ? last : full;
  else if (d->view.j == 1 && d->panels.width * size >= PACKED_ROW)
    whole = full;
  const int64_t rows = fcv_max(first, fcv_min(last, whole)); /* panels that w has */
  const int64_t offset = fcv_tap_offset(d->walk, &d->view, piece->tap) + piece->begin * d->view.k;
  if (rows < last)
    fcv_pack_piece(d->kernels, d->walk, &d->view, d->w, piece->tap, piece->begin, piece->end, rows, last,
                   memory->panel);
  for (int64_t p = first; p < last; p++) {
    struct job job = job_of(d, p, pixels);
    job.tile.taps = 1;
    job.tile.kc = channels;
    job.tile.a_bytes += piece->begin * size;
    job.tile.w = p < rows ? d->w + (offset + p * d->panels.width) * size
                          : memory->panel + (p - rows) * channels * d->panels.width * size;
    job.tile.pack = memory->own_panel;
    if (p < rows)
      job.kernel = d->in_place ? d->kernels->igemm_rows[job.width / d->kernels->vl - 1] : d->kernels->igemm_packing;
    job.tile.into = begins ? FCV_REPLACE : FCV_CONTINUE;
    job.tile.bias = begins ? job.tile.bias : NULL;
    job.tile.activation = ends ? job.tile.activation : FCV_LINEAR;
    char *results = memory->tile + (p - first) * pixels * d->panels.width * size;
    for (int64_t q = 0; q < pixels && channels_first; q++) memory->c[q] = results + q * job.width * size;
    const int64_t packs = p < rows && !d->in_place ? fcv_min(mr, pixels) : 0;
    run_tiles(d, &job, memory, 0, packs, pixels, piece->tap, ends);
    if (packs > 0) {
      job.kernel = d->kernels->igemm[job.width / d->kernels->vl - 1];
      job.tile.w = memory->own_panel;
    }
    run_tiles(d, &job, memory, packs, pixels, pixels, piece->tap, ends);
    if (channels_first && ends)
      store_channels_first(d, results, job.width, memory->offset, pixels, job.channel, job.tile.n);
  }
}

static void run_pieces(const struct direct *d, int64_t first, int64_t last, const struct unit_memory *memory,
                       int64_t pixels) {
  for (int64_t tap = 0; tap < d->taps; tap++)
    for (int64_t k = 0; k < d->walk->kc; k += d->piece) {
      const struct piece piece = {tap, k, fcv_min(d->walk->kc, k + d->piece)};
      run_piece(d, &piece, first, last, memory, pixels);
    }
}

static void copy_patches(const struct direct *d, int64_t first, int64_t pixels, const struct unit_memory *memory) {
  fcv_im2col(d->kernels, d->walk, &d->source, &d->box, first, pixels, 0, memory->pointers, memory->patches);
  for (int64_t q = 0; q < fcv_round_up(pixels, d->kernels->mr); q++)
    memory->a[q] = memory->patches + fcv_min(q, pixels - 1) * d->kc * d->kernels->size;
}

static void direct_unit(const void *context, int64_t unit, int thread) {
  const struct direct *d = context;
  const struct fcv_walk *walk = d->walk;
  const int64_t most = d->tiles * d->kernels->mr, first = unit / d->splits * most;
  const int64_t pixels = fcv_min(most, d->pixels - first);
  const int64_t panels = d->walk->groups * d->panels.per_group, split = unit % d->splits;
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  if (d->patches)
    copy_patches(d, first, pixels, &memory);
  else
    fcv_indirect_taps(walk, &d->source, &d->box, first, pixels, d->kernels->mr, d->row_taps, memory.a);
  if (d->trims)
    find_taps(d, pixels, &memory);
  fcv_indirect_outputs(walk, &d->box, first, pixels, d->conv->layout, walk->groups * walk->nc, memory.offset);
  const int64_t begin = panels * split / d->splits, end = panels * (split + 1) / d->splits;
  for (int64_t q = 0; q < pixels; q++) memory.c[q] = d->y + memory.offset[q] * d->kernels->size;
  const int64_t group = d->group * d->kernels->mr;
  if (d->piece > 0)
    run_pieces(d, begin, end, &memory, pixels);
  else
    for (int64_t q = 0; q < pixels; q += group)
      run_panels(d, begin, end, &memory, q, fcv_min(pixels, q + group), pixels);
  if (d->past_caches)
    fcv_fence();
}

/* Then packing all of them beforehand takes as long as the products: AVX2, one thread, 1x7x7 512->2048 1x1 2.9 ms
 * and 1.8 in pieces, 512->512 3x3 6.8 and 5.9. */
int fcv_fits_pieces(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view) {
  const struct fcv_axis *axis = walk->axis;
  const int64_t pixels = walk->n * axis[0].count * axis[1].count * axis[2].count, mr = fcv_kernels(conv->dtype)->mr;
  const int64_t pointers = fcv_walk_taps(walk) * mr * (int64_t)sizeof(void *);
  return (conv->layout == FCV_CHANNELS_LAST || view->j == 1) && conv->algorithm != FCV_IM2COL && walk->groups == 1 &&
         walk->kc >= PIECE_CHANNELS && pointers > 0 && pixels <= mr * fcv_min(TILES, POINTER_BYTES / pointers);
}

int64_t fcv_im2col_tiles(const struct fcv_kernels *kernels, int64_t values) {
  return fcv_max(1, fcv_min(TILES, PATCH_BYTES / fcv_max(1, kernels->mr * values * kernels->size)));
}

/* Into boxes that are staged. */
static void cut_boxes(struct direct *d, int64_t pitch, int threads) {
  const struct fcv_walk *walk = d->walk;
  d->boxes = 1;
  d->box = (struct fcv_box){.size = {walk->n, walk->axis[0].count, walk->axis[1].count}};
  d->pixels = fcv_box_pixels(walk, &d->box);
  if (!d->staged)
    return;
  const int64_t least = LEAST_TILES * d->kernels->mr, most = fcv_min(4 * threads, d->pixels / least);
  const int in_pieces = !d->conv->packed && fcv_fits_pieces(d->conv, walk, &d->view);
  const int64_t wanted = threads > 1 && !in_pieces ? most : 1;
  int64_t budget = STAGE_BYTES;
  do {
    fcv_stage_plan(d->kernels, walk, pitch, budget, 1, &d->stage);
    d->boxes = fcv_stage_blocks(&d->stage, walk);
    budget /= 2;
  } while (d->boxes < wanted && budget >= pitch);
  d->apart = threads > 1 && (d->boxes >= 4 * threads || d->boxes % threads == 0);
  if (!d->apart) {
    fcv_stage_plan(d->kernels, walk, pitch, (int64_t)STAGE_BYTES * threads, 1, &d->stage);
    d->boxes = fcv_stage_blocks(&d->stage, walk);
  }
  fcv_stage_box(&d->stage, walk, 0, &d->box);
  d->pixels = fcv_box_pixels(walk, &d->box);
}

/* Whether few tiles read weights where they lie: from L1 or L2 if they fit, rows of whole pages excepted, which fall
 * into the same sets. One tile reads nothing twice: a dense layer of one image, 1600 to 128, took 34 us with packing,
 * 13 without. Fetching the next piece meanwhile gained 1% where packing is left. */
static int reads_in_place(const struct direct *d, int64_t tiles) {
  const int64_t row = d->view.k * d->kernels->size, bytes = fcv_walk_taps(d->walk) * d->walk->kc * row;
  const int fits = tiles <= TILES_IN_PLACE && bytes <= fcv_l2_bytes() && row % CONFLICT != 0;
  return d->view.j == 1 && (tiles == 1 || fits);
}

/* Whether taps follow each other in w, and panels are whole vectors: one call of the kernel reads all of them. */
static int taps_follow(const struct direct *d) {
  int64_t span = d->walk->kc * d->view.k;
  for (int i = FCV_AXES - 1; i >= 0; i--) {
    const struct fcv_axis *axis = &d->walk->axis[i];
    if (axis->kernel_start != 0 || (axis->taps > 1 && axis->kernel_step * d->view.kernel[i] != span))
      return 0;
    span *= axis->taps;
  }
  return d->walk->groups == 1 && d->walk->nc % d->kernels->vl == 0;
}

/* How the box is cut into units. Few pixels: the panels are split too, so that every thread finds work. */
static void cut(struct direct *d, int threads) {
  const int mr = d->kernels->mr;
  const int64_t tiles = fcv_ceil_div(d->pixels, mr), all = d->walk->groups * d->panels.per_group;
  const int64_t pointers = fcv_max(1, d->taps * mr * (int64_t)sizeof(void *));
  int64_t most = fcv_min(TILES, POINTER_BYTES / pointers);
  if (d->patches)
    most = fcv_im2col_tiles(d->kernels, d->walk->groups * d->kc);
  d->tiles = fcv_max(1, fcv_min(most, tiles));
  if (d->boxes == 1 && all >= threads && !d->conv->packed && fcv_fits_pieces(d->conv, d->walk, &d->view)) {
    d->blocks = 1;
    d->splits = fcv_min(all, fcv_max(threads > 1 ? 2 * threads : 1, fcv_ceil_div(all, PIECE_PANELS)));
    const int64_t bytes = fcv_ceil_div(all, d->splits) * d->panels.width * d->kernels->size;
    d->piece = fcv_min(d->walk->kc, PIECE_BYTES / bytes);
    d->in_place = reads_in_place(d, tiles);
    return;
  }
  if (threads > 1 && fcv_ceil_div(tiles, d->tiles) < 4 * threads)
    d->tiles = fcv_max(fcv_min(4, d->tiles), fcv_ceil_div(tiles, 4 * threads));
  d->blocks = fcv_ceil_div(tiles, d->tiles);
  d->splits = d->blocks < 4 * threads && threads > 1 ? fcv_min(all, fcv_ceil_div(4 * threads, d->blocks)) : 1;
  d->in_place = !d->conv->packed && d->boxes == 1 && reads_in_place(d, tiles) && taps_follow(d);
}

/* Where all weights stay in L2, few tiles at a time, whose pixels stay in L1: what comes next can be fetched from
 * memory all the while. */
static int64_t group_tiles(const struct direct *d) {
  const int64_t size = d->kernels->size, term = d->taps * d->kc * size;
  const int64_t weights = d->panels.per_group * d->panels.width * term;
  if (d->conv->layout == FCV_CHANNELS_FIRST || d->patches || weights > fcv_l2_bytes() / 2)
    return d->tiles;
  return fcv_max(1, fcv_min(d->tiles, GROUP_BYTES / fcv_max(1, d->kernels->mr * term)));
}

static int leaves_caches(const struct direct *d) {
  const struct fcv_axis *axis = d->walk->axis;
  const int64_t size = d->kernels->size, vl = d->kernels->vl, channels = d->walk->groups * d->walk->nc;
  const int64_t bytes = d->walk->n * axis[0].out * axis[1].out * axis[2].out * channels * size;
  const int aligned = (uintptr_t)d->y % (size_t)(vl * size) == 0 && d->walk->nc % vl == 0;
  return fcv_leaves_caches(bytes) && aligned && d->conv->layout == FCV_CHANNELS_LAST && d->piece == 0 &&
         fcv_fused(d->conv->activation);
}

static void run_box(struct direct *d, int64_t box, int threads) {
  if (d->staged) {
    const char *zero = d->source.zero;
    const int copying = fcv_threads_for((double)(d->stage.bytes / d->kernels->size));
    fcv_stage_box(&d->stage, d->walk, box, &d->box);
    fcv_stage_fill(d->kernels, &d->stage, d->walk, d->conv->layout, d->x, &d->box, d->stage_memory,
                   threads < copying ? threads : copying, &d->source);
    d->source.zero = zero;
  }
  d->pixels = fcv_box_pixels(d->walk, &d->box);
  d->blocks = fcv_ceil_div(d->pixels, d->tiles * d->kernels->mr);
  fcv_parallel_for(d->blocks * d->splits, threads, direct_unit, d);
}

static void run_apart(const void *context, int64_t box, int thread) {
  struct direct own = *(const struct direct *)context;
  own.stage_memory += thread * fcv_round_up(own.stage.bytes, 64);
  own.thread_memory += thread * own.thread_bytes;
  run_box(&own, box, 1);
}

/* Where the pieces of packed weights begin: panels, then bias a panel after the other as the weights are. */
struct layout {
  int64_t weights, bias, bytes;
};

static struct layout packed_layout(const struct fcv_kernels *k, const struct fcv_walk *walk) {
  struct fcv_panels panels;
  struct layout layout = {0};
  fcv_panels(k, walk->nc, &panels);
  const int64_t channels = walk->groups * fcv_panels_channels(&panels);
  layout.weights = fcv_reserve(&layout.bytes, channels * fcv_walk_taps(walk) * walk->kc * k->size);
  layout.bias = fcv_reserve(&layout.bytes, channels * k->size);
  return layout;
}

int64_t fcv_direct_packed_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  return packed_layout(fcv_kernels(conv->dtype), walk).bytes;
}

static void pack_bias(const struct fcv_kernels *k, const struct fcv_walk *packs, const void *bias, char *to) {
  struct fcv_panels panels;
  fcv_panels(k, packs->nc, &panels);
  const int64_t used = packs->nc * k->size, padded = fcv_panels_channels(&panels) * k->size;
  for (int64_t g = 0; bias && g < packs->groups; g++) {
    memcpy(to + g * padded, (const char *)bias + g * used, (size_t)used);
    memset(to + g * padded + used, 0, (size_t)(padded - used));
  }
}

void fcv_direct_pack(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                     const void *w, const void *bias, char *packed) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const struct layout layout = packed_layout(k, walk);
  fcv_pack_weights(k, walk, view, w, packed + layout.weights,
                   fcv_threads_for((double)(layout.bias - layout.weights) / (double)k->size));
  pack_bias(k, walk, bias, packed + layout.bias);
}

fcv_status fcv_conv_direct(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                           const void *x, const void *w, const void *bias, void *y) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const struct fcv_axis *axis = walk->axis;
  const int64_t channels = walk->groups * walk->kc, pixel = channels * k->size;
  const int64_t outputs = walk->n * axis[0].count * axis[1].count * axis[2].count;
  if (outputs == 0 || walk->nc == 0)
    return FCV_OK;
  if (fcv_use_few_samples(conv, walk, view))
    return fcv_conv_few_samples(conv, walk, x, w, bias, y);

  struct direct d = {.conv = conv, .kernels = k, .walk = walk, .view = *view, .x = x, .w = w, .y = y};
  fcv_panels(k, walk->nc, &d.panels);
  const int64_t weights = fcv_panels_channels(&d.panels) * fcv_walk_taps(walk) * walk->kc;
  const int threads = fcv_threads_for((double)outputs * (double)weights);

  d.patches = conv->algorithm == FCV_IM2COL && fcv_walk_taps(walk) > 0;
  d.row_taps = !d.patches && fcv_use_row_taps(walk);
  const int64_t span = d.patches ? fcv_walk_taps(walk) : d.row_taps ? axis[2].taps : 1;
  d.taps = d.patches ? 1 : fcv_walk_taps(walk) / span;
  d.kc = span * walk->kc;
  const int64_t zeros = fcv_max(pixel, d.kc * k->size) + k->vl * k->size;
  const int conflicts = pixel % CONFLICT == 0;
  d.staged = fcv_walk_taps(walk) * channels > 0 &&
             (conv->layout == FCV_CHANNELS_FIRST || conflicts || (d.row_taps && fcv_pads_rows(walk)));
  cut_boxes(&d, pixel + (conflicts ? 64 : 0), threads);
  cut(&d, d.apart ? 1 : threads);
  d.group = group_tiles(&d);
  d.trims = d.piece == 0 && d.taps > 1 && pads(walk);
  d.past_caches = leaves_caches(&d);
  d.thread_bytes = lay_out(&d, NULL, NULL);

  int64_t bytes = 0;
  const struct layout layout = packed_layout(k, walk);
  const int64_t packed_at = fcv_reserve(&bytes, conv->packed || d.piece > 0 || d.in_place ? 0 : layout.bias);
  const int64_t bias_at = fcv_reserve(&bytes, conv->packed ? 0 : layout.bytes - layout.bias);
  const int64_t zero_at = fcv_reserve(&bytes, zeros);
  const int64_t stage_at = fcv_reserve(&bytes, (d.apart ? threads : 1) * fcv_round_up(d.stage.bytes, 64));
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  char *zero = memory + zero_at;
  d.stage_memory = memory + stage_at;
  d.thread_memory = memory + threads_at;

  const char *packed = conv->packed;
  d.packed = packed ? packed + layout.weights : memory + packed_at;
  d.bias = !bias ? NULL : packed ? packed + layout.bias : memory + bias_at;
  if (!packed && d.piece == 0 && !d.in_place)
    fcv_pack_weights(k, walk, &d.view, w, memory + packed_at, fcv_threads_for((double)layout.bias / (double)k->size));
  if (!packed)
    pack_bias(k, walk, bias, memory + bias_at);
  memset(zero, 0, (size_t)zeros);
  d.source = fcv_source_in_place(walk, x, zero, k->size);
  if (d.apart)
    fcv_parallel_for(d.boxes, threads, run_apart, &d);
  for (int64_t box = 0; !d.apart && box < d.boxes; box++) run_box(&d, box, threads);
  fcv_scratch_give(memory);
  return FCV_OK;
}
