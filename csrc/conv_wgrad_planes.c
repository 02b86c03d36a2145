/* Weight gradient of channels-first arrays, gw[j][term] = sum over pixels of gy[j][pixel] * patches[term][pixel].
 *
 * Both are rows along pixels: gy as it stands in memory, patches by patches.c, and neither is transposed. A unit takes
 * a chunk of the boxes of outputs, a block of input channels and a range of output channels. It goes through its boxes
 * in order, some pixels at a time: it copies the patches of its terms for them, then multiplies tiles of a few rows of
 * gy, which stay in L1, with all of its patches, which stay in L2. Chunks have sums of their own, which are added up in
 * the end. Blocks, boxes and chunks depend on the shape alone, so that every number of threads adds up the same sums.
 */
#include "internal.h"

enum {
  TERMS = 96,              /* of a block of channels, unless one has more: their rows stay in L2 */
  STAGE_BYTES = 128 << 10, /* padded rows of a unit's channels */
  CHUNKS = 16,             /* at most */
  FEW_CHANNELS = 4,
  FEW_PIXELS = 128, /* adding up the lanes of the sums takes as long as so many pixels */
};

struct sums {
  const struct fcv_kernels *kernels;
  struct fcv_patcher patcher;
  struct fcv_weight_view view;
  int64_t blocks, splits; /* of a group's input channels; ranges of its output channels */
  int64_t chunks;         /* of boxes */
  int64_t weights;        /* elements of gw */
  int64_t row, pitch;     /* pixels at a time at most; elements between rows of patches */
  int64_t plane;          /* of gy */
  int64_t thread_bytes;
  const int64_t *column; /* [term of a block]: its element in gw, from that of the block's first */
  const char *gy;
  char *gw, *thread_memory;
  char *sums; /* of the chunks after the first, as gw */
};

struct unit_memory {
  char *stage, *patches;     /* patches: [term][pitch] */
  char *gy;                  /* [da][pitch]: rows of several images */
  struct fcv_patch_run *run; /* of a piece of a row */
  int64_t *out;
};

static int64_t lay_out(const struct sums *d, char *base, struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t size = k->size, most = (int64_t)k->nv * k->vl;
  int64_t bytes = 0;
  const int64_t stage = fcv_reserve(&bytes, d->patcher.stage_bytes);
  const int64_t patches = fcv_reserve(&bytes, d->patcher.channels * d->patcher.taps * d->pitch * size);
  const int64_t gy = fcv_reserve(&bytes, k->da * d->pitch * size);
  const int64_t run = fcv_reserve(&bytes, most * (int64_t)sizeof(struct fcv_patch_run));
  const int64_t out = fcv_reserve(&bytes, most * (int64_t)sizeof(int64_t));
  if (base)
    *memory = (struct unit_memory){
        .stage = base + stage,
        .patches = base + patches,
        .gy = base + gy,
        .run = (struct fcv_patch_run *)(base + run),
        .out = (int64_t *)(base + out),
    };
  return bytes;
}

/* Pixels at a time: part of an image, or some images. */
struct piece {
  int64_t count, images;
  int64_t first; /* the first pixel's element in gy, channel 0 */
  enum fcv_into into;
};

/* The patches of a piece, [term][pitch]. */
static void copy_patches(const struct sums *d, const struct fcv_patch_view *view, int64_t channels,
                         struct fcv_patch_cursor *cursor, const struct unit_memory *memory, struct piece *piece) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t most = (int64_t)k->nv * k->vl;
  for (int64_t q = 0; q < piece->count; q += most) {
    const int64_t count = fcv_min(most, piece->count - q);
    const int64_t runs = fcv_patch_runs(&d->patcher, view, count, cursor, memory->run, memory->out);
    if (q == 0)
      piece->first = memory->out[0];
    fcv_patch_copy(&d->patcher, view, channels, runs, memory->run, memory->patches + q * k->size, d->pitch);
  }
}

/* Output channels first .. last - 1 of all, with the terms of a piece's patches. */
static void multiply(const struct sums *d, int64_t first, int64_t last, int64_t terms, const struct piece *piece,
                     const struct unit_memory *memory, char *gw) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t size = k->size, image = d->patcher.walk.groups * d->patcher.walk.nc * d->plane;
  const int64_t tiles = fcv_ceil_div(terms, k->db), span = piece->count / piece->images;
  const void *a[FCV_MAX_DA], *b[FCV_MAX_DB];
  struct fcv_dots_tile tile = {.count = piece->count, .a = a, .b = b, .c_pitch = d->view.j, .into = piece->into};
  for (int64_t j = first; j < last; j += tile.m) {
    tile.m = (int)fcv_min(last - j, k->da);
    for (int i = 0; i < k->da; i++) {
      const char *gy = d->gy + (piece->first + fcv_min(j + i, last - 1) * d->plane) * size;
      a[i] = gy;
      if (piece->images == 1)
        continue;
      char *row = memory->gy + i * d->pitch * size;
      a[i] = row;
      for (int64_t n = 0; n < piece->images && i < tile.m; n++)
        memcpy(row + n * span * size, gy + n * image * size, (size_t)(span * size));
    }
    for (int64_t t = 0; t < tiles; t++) {
      const int64_t t0 = terms * t / tiles, t1 = terms * (t + 1) / tiles;
      for (int i = 0; i < k->db; i++) b[i] = memory->patches + fcv_min(t0 + i, t1 - 1) * d->pitch * size;
      tile.n = (int)(t1 - t0);
      tile.c = gw + (j - first) * d->view.j * size;
      tile.column = d->column + t0;
      k->dots(&tile);
    }
  }
}

/* The pixels of a box, piece by piece. */
static void add_box(const struct sums *d, int64_t first, int64_t last, int64_t channels, enum fcv_into into,
                    const struct fcv_patch_view *view, const struct unit_memory *memory, char *gw) {
  const int64_t span = view->pixels / view->size[0], vl = d->kernels->vl;
  const int64_t images = fcv_max(1, d->row / span);
  const int64_t part =
      fcv_round_up(fcv_ceil_div(span, fcv_ceil_div(span, d->row)), vl); /* whole vectors but the last */
  struct fcv_patch_cursor cursor = fcv_patch_begin(view);
  for (int64_t n = 0; n < view->size[0]; n += images)
    for (int64_t q = 0; q < span; q += part) {
      struct piece piece = {.images = fcv_min(images, view->size[0] - n), .into = into};
      piece.count = part < span ? fcv_min(part, span - q) : piece.images * span;
      copy_patches(d, view, channels, &cursor, memory, &piece);
      multiply(d, first, last, channels * d->patcher.taps, &piece, memory, gw);
      into = FCV_ADD;
    }
}

static void sum_unit(const void *context, int64_t unit, int thread) {
  const struct sums *d = context;
  const struct fcv_walk *walk = &d->patcher.walk;
  const int64_t split = unit % d->splits, block = unit / d->splits % d->blocks, rest = unit / d->splits / d->blocks;
  const int64_t group = rest % walk->groups, chunk = rest / walk->groups;
  const int64_t first = walk->nc * split / d->splits, last = walk->nc * (split + 1) / d->splits;
  const int64_t channel = block * d->patcher.channels, channels = fcv_min(d->patcher.channels, walk->kc - channel);
  const int64_t boxes = fcv_product(d->patcher.boxes), begin = boxes * chunk / d->chunks;
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  char *gw = chunk == 0 ? d->gw : d->sums + (chunk - 1) * d->weights * d->kernels->size;
  gw += (group * d->view.group + channel * d->view.k + first * d->view.j) * d->kernels->size;
  for (int64_t box = begin; box < boxes * (chunk + 1) / d->chunks; box++) {
    struct fcv_patch_view view;
    fcv_patch_box(&d->patcher, box, &view);
    fcv_patch_read(&d->patcher, group * walk->kc + channel, channels, memory.stage, &view);
    add_box(d, group * walk->nc + first, group * walk->nc + last, channels, box > begin ? FCV_ADD : FCV_REPLACE, &view,
            &memory, gw);
  }
}

static void find_columns(const struct sums *d, int64_t *column) {
  const struct fcv_axis *axis = d->patcher.walk.axis;
  for (int64_t c = 0; c < d->patcher.channels; c++)
    for (int64_t z = 0; z < axis[0].taps; z++)
      for (int64_t y = 0; y < axis[1].taps; y++)
        for (int64_t x = 0; x < axis[2].taps; x++)
          *column++ = c * d->view.k + z * d->view.kernel[0] + y * d->view.kernel[1] + x * d->view.kernel[2];
}

/* With more channels outer products of pixels are better, though x and gy are transposed for them: 64x14x14 6->16 5x5
 * took 0.61 ms here, 0.51 there; 16x14x14 256->256 3x3 76 and 50 ms; 64x28x28 1->32 3x3 0.59 and 1.68 ms. */
int fcv_use_wgrad_planes(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  return conv->layout == FCV_CHANNELS_FIRST && conv->algorithm == FCV_DIRECT && !fcv_small_groups(conv) &&
         g->ci / g->groups <= FEW_CHANNELS && g->n * fcv_product(g->out) >= FEW_PIXELS;
}

fcv_status fcv_conv_wgrad_planes(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                 const void *gy, void *gw) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct sums d = {.kernels = k, .patcher = {.kernels = k, .walk = *walk, .x = x}, .gy = gy, .gw = gw};
  struct fcv_patcher *patcher = &d.patcher;
  fcv_weight_view(conv, 0, &d.view);
  fcv_join_rows(&patcher->walk, 1, k->vl);
  const int64_t taps = fcv_walk_taps(walk);
  d.blocks = fcv_ceil_div(walk->kc, fcv_max(1, TERMS / taps));
  patcher->channels = fcv_ceil_div(walk->kc, d.blocks);
  d.blocks = fcv_ceil_div(walk->kc, patcher->channels);
  d.row = FCV_DOTS_ROW_BYTES / k->size;
  d.pitch = d.row + 64 / k->size; /* room for a vector, and no power of two */
  d.plane = fcv_product(conv->geometry.out);
  fcv_patcher_plan(patcher, STAGE_BYTES, d.row, 1);
  const double products = (double)(walk->n * d.plane) * (double)(taps * walk->kc) * (double)(walk->groups * walk->nc);
  const int threads = fcv_threads_for(products);
  d.weights = walk->groups * walk->nc * walk->kc * taps;
  d.chunks = fcv_chunks_of_boxes(fcv_min(fcv_product(patcher->boxes), CHUNKS), d.weights * k->size);
  const int64_t units = d.chunks * walk->groups * d.blocks, wanted = threads > 1 ? 4 * threads : 1;
  d.splits = fcv_max(1, fcv_min(fcv_ceil_div(wanted, units), walk->nc / k->da));
  d.thread_bytes = lay_out(&d, NULL, NULL);

  int64_t bytes = 0;
  const int64_t patcher_at = fcv_reserve(&bytes, fcv_patcher_bytes(patcher));
  const int64_t column_at = fcv_reserve(&bytes, patcher->channels * taps * (int64_t)sizeof(int64_t));
  const int64_t sums_at = fcv_reserve(&bytes, (d.chunks - 1) * d.weights * k->size);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  fcv_patcher_start(patcher, memory + patcher_at);
  find_columns(&d, (int64_t *)(memory + column_at));
  d.column = (int64_t *)(memory + column_at);
  d.thread_memory = memory + threads_at;
  d.sums = memory + sums_at;
  fcv_parallel_for(units * d.splits, threads, sum_unit, &d);
  k->sum_rows(d.chunks - 1, d.weights, d.sums, d.weights, gw);
  fcv_scratch_give(memory);
  return FCV_OK;
}
