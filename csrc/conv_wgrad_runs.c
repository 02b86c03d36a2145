/* Weight gradient of channels-first arrays without patches: gw[j][term] = sum over pixels of
 * gy[j][pixel] * x[term's pixel].
 *
 * As in conv_runs.c both are read where they lie, x in place or from padded rows, run by run. A unit takes a chunk of
 * the boxes of outputs, and a range of output channels of a group: it goes through the boxes in order, some rows at a
 * time, whose pixels stay in L1, and tile by tile of output channels and terms adds to sums of its own. Those of the
 * chunks are added up in the end. Chunks, boxes and tiles depend on the shape alone, so that every number of threads
 * adds up the same sums. */
#include "internal.h"

enum {
  STAGE_BYTES = 64 << 10, /* padded rows of a box */
  PIXELS = 2048,          /* of a box where there are none */
  ROW_BYTES = 4096,       /* of pixels of a channel at a time */
  SPAN = 1024,            /* pixels that are summed in the element type for the bias, spans in double, as in conv.c */
  CHUNKS = 32,            /* at most, */
  CHUNK_BYTES = 1 << 20,  /* and all their sums */
};

struct sums {
  const struct fcv_kernels *kernels;
  struct fcv_patcher patcher;
  struct fcv_weight_view view;
  int64_t terms, row_runs, skip;
  int64_t tiles, term_tiles, tile; /* of a group; elements of a tile's sums */
  int64_t chunks, splits;          /* units of a group: chunks of boxes, ranges of tiles */
  int64_t plane;                   /* of gy */
  int64_t thread_bytes;
  const int64_t *offset; /* [term], up to whole tiles */
  const char *gy;
  char *gw, *gb, *thread_memory; /* gb: or NULL */
  char *sums;                    /* [group][chunk][tile][term tile][tile] */
  double *bias;                  /* [group][chunk][output channel] */
};

struct unit_memory {
  char *stage;
  struct fcv_run *run;
  char *sums; /* those of the unit */
  double *bias;
};

static int64_t lay_out(const struct sums *d, char *base, struct unit_memory *memory) {
  int64_t bytes = 0;
  const int64_t stage = fcv_reserve(&bytes, d->patcher.stage_bytes);
  const int64_t runs = fcv_product(d->patcher.box) * d->row_runs;
  const int64_t run = fcv_reserve(&bytes, runs * (int64_t)sizeof(struct fcv_run));
  if (base)
    *memory = (struct unit_memory){.stage = base + stage, .run = (struct fcv_run *)(base + run)};
  return bytes;
}

/* The first output channel of a tile in its group. */
static int64_t channel_of(const struct sums *d, int64_t tile) { return d->patcher.walk.nc * tile / d->tiles; }

/* Rows of gy's tile t, from row i on, for the kernel to fetch. */
static const char *rows_of(const struct sums *d, int64_t group, int64_t t, int64_t i) {
  return d->gy + (group * d->patcher.walk.nc + channel_of(d, t) + i) * d->plane * d->kernels->size;
}

/* The pixels of some rows of one channel: of rows that are neighbours as many at once as a span has. */
static double sum_rows(const struct sums *d, int64_t rows, const struct fcv_run *run, const char *gy) {
  const int64_t columns = d->patcher.walk.axis[2].count;
  double total = 0;
  for (int64_t r = 0, end; r < rows; r = end) {
    const int64_t to = run[r * d->row_runs].to;
    for (end = r + 1;
         end < rows && (end - r + 1) * columns <= SPAN && run[end * d->row_runs].to == to + (end - r) * columns;)
      end++;
    for (int64_t q = 0, count = (end - r) * columns; q < count; q += SPAN)
      total += d->kernels->sum(fcv_min(SPAN, count - q), gy + (to + q) * d->kernels->size);
  }
  return total;
}

/* Tiles first .. last - 1 of a group, for the pixels of a box. next: how far on those of the next box are. */
static void add_box(const struct sums *d, int64_t group, int64_t first, int64_t last, const struct fcv_patch_view *view,
                    int64_t next, int accumulate, const struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t rows = fcv_patch_lines(&d->patcher, view, memory->run) / d->row_runs;
  const int64_t most = fcv_max(1, ROW_BYTES / k->size / (d->row_runs * k->vl));
  const int64_t parts = fcv_ceil_div(rows, most);
  struct fcv_run_dots dots = {.skip = d->skip, .b = view->x, .a_pitch = d->plane, .accumulate = accumulate};
  for (int64_t p = 0; p < parts; p++, dots.accumulate = 1) {
    const int64_t r0 = rows * p / parts, r1 = rows * (p + 1) / parts;
    const int64_t on = p + 1 < parts ? memory->run[r1 * d->row_runs].to - memory->run[r0 * d->row_runs].to
                                     : memory->run[0].to - memory->run[r0 * d->row_runs].to + next;
    dots.run = memory->run + r0 * d->row_runs;
    dots.rows = d->skip ? r1 - r0 : 1;
    dots.row_runs = d->skip ? d->row_runs : (r1 - r0) * d->row_runs;
    for (int64_t t = first; t < last; t++) {
      const int64_t then = t + 1 < last ? t + 1 : first, fetched = channel_of(d, then + 1) - channel_of(d, then);
      dots.m = (int)(channel_of(d, t + 1) - channel_of(d, t));
      dots.a = rows_of(d, group, t, 0);
      for (int64_t s = 0; s < d->term_tiles; s++) {
        const int64_t i0 = fetched * s / d->term_tiles;
        dots.offset = d->offset + s * k->db;
        dots.c = memory->sums + ((t - first) * d->term_tiles + s) * d->tile * k->size;
        dots.ahead = rows_of(d, group, then, i0) + (t + 1 < last ? 0 : on * k->size);
        dots.ahead_rows = fetched * (s + 1) / d->term_tiles - i0;
        k->run_dots(&dots);
      }
      for (int i = 0; d->gb && i < dots.m; i++)
        memory->bias[channel_of(d, t) - channel_of(d, first) + i] +=
            sum_rows(d, r1 - r0, memory->run + r0 * d->row_runs, rows_of(d, group, t, i));
    }
  }
}

#define WRITE_SUMS(type)                                                                                               \
  for (int64_t i = 0; i < rows; i++, gw += d->view.j * k->size)                                                        \
    for (int64_t c = 0, term = 0; c < d->patcher.walk.kc; c++)                                                         \
      for (int64_t z = 0; z < axis[0].taps; z++)                                                                       \
        for (int64_t y = 0; y < axis[1].taps; y++)                                                                     \
          for (int64_t x = 0; x < axis[2].taps; x++, term++)                                                           \
            ((type *)gw)[c * d->view.k + z * d->view.kernel[0] + y * d->view.kernel[1] + x * d->view.kernel[2]] =      \
                ((const type *)sums)[term / k->db * d->tile + i * k->db + term % k->db];

/* The sums of a tile's output channels. gw: of the first. */
static void write_sums(const struct sums *d, int64_t rows, const char *sums, char *gw) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_axis *axis = d->patcher.walk.axis;
  if (k->size == sizeof(float)) {
    WRITE_SUMS(float)
  } else {
    WRITE_SUMS(double)
  }
}

/* Where a box's first pixel is in gy, channel 0. */
static int64_t output_of(const struct sums *d, int64_t box) {
  struct fcv_patch_view view;
  struct fcv_patch_run run;
  int64_t out;
  fcv_patch_box(&d->patcher, box, &view);
  struct fcv_patch_cursor cursor = fcv_patch_begin(&view);
  fcv_patch_runs(&d->patcher, &view, 1, &cursor, &run, &out);
  return out;
}

/* Bytes of the sums of a chunk of a group. */
static int64_t sums_bytes(const struct sums *d) { return d->tiles * d->term_tiles * d->tile * d->kernels->size; }

static void sum_unit(const void *context, int64_t unit, int thread) {
  const struct sums *d = context;
  const struct fcv_walk *walk = &d->patcher.walk;
  const int64_t split = unit % d->splits, part = unit / d->splits; /* of all groups' chunks */
  const int64_t group = part / d->chunks, chunk = part % d->chunks, boxes = fcv_product(d->patcher.boxes);
  const int64_t first = d->tiles * split / d->splits, last = d->tiles * (split + 1) / d->splits;
  const int64_t begin = boxes * chunk / d->chunks, end = boxes * (chunk + 1) / d->chunks;
  const int64_t channel = channel_of(d, first), channels = channel_of(d, last) - channel;
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  memory.sums = d->sums + part * sums_bytes(d) + first * d->term_tiles * d->tile * d->kernels->size;
  memory.bias = d->bias + part * walk->nc + channel;
  memset(memory.bias, 0, (size_t)channels * sizeof(double));
  int64_t at = output_of(d, begin);
  for (int64_t box = begin; box < end; box++) {
    const int64_t next = output_of(d, fcv_min(box + 1, boxes - 1));
    struct fcv_patch_view view;
    fcv_patch_box(&d->patcher, box, &view);
    fcv_patch_read(&d->patcher, group * walk->kc, walk->kc, memory.stage, &view);
    add_box(d, group, first, last, &view, next - at, box > begin, &memory);
    at = next;
  }
}

/* A group's sums to gw and gb. */
static void write_group(const struct sums *d, int64_t group) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t nc = d->patcher.walk.nc, elements = sums_bytes(d) / k->size;
  char *sums = d->sums + group * d->chunks * sums_bytes(d);
  k->sum_rows(d->chunks - 1, elements, sums + sums_bytes(d), elements, sums);
  for (int64_t t = 0; t < d->tiles; t++)
    write_sums(d, channel_of(d, t + 1) - channel_of(d, t), sums + t * d->term_tiles * d->tile * k->size,
               d->gw + (group * d->view.group + channel_of(d, t) * d->view.j) * k->size);
  for (int64_t j = 0; d->gb && j < nc; j++) {
    double total = 0;
    for (int64_t chunk = 0; chunk < d->chunks; chunk++) total += d->bias[(group * d->chunks + chunk) * nc + j];
    if (k->size == sizeof(float))
      ((float *)d->gb)[group * nc + j] = (float)total;
    else
      ((double *)d->gb)[group * nc + j] = total;
  }
}

fcv_status fcv_conv_wgrad_runs(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x, const void *gy,
                               void *gw, void *gb) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct sums d = {.kernels = k, .patcher = {.kernels = k, .walk = *walk, .x = x}, .gy = gy, .gw = gw, .gb = gb};
  struct fcv_patcher *patcher = &d.patcher;
  fcv_weight_view(conv, 0, &d.view);
  fcv_join_rows(&patcher->walk, 1, k->vl);
  patcher->channels = walk->kc;
  fcv_patcher_plan(patcher, STAGE_BYTES, PIXELS, 1);
  const int64_t columns = patcher->walk.axis[2].count;
  d.terms = walk->kc * patcher->taps;
  d.row_runs = fcv_ceil_div(columns, k->vl);
  d.skip = d.row_runs * k->vl - columns;
  d.tiles = fcv_ceil_div(walk->nc, k->da);
  d.term_tiles = fcv_ceil_div(d.terms, k->db);
  d.tile = fcv_round_up(k->da * k->db, k->vl);
  d.plane = fcv_product(conv->geometry.out);
  const double products = (double)(walk->n * d.plane) * (double)d.terms * (double)(walk->groups * walk->nc);
  const int threads = fcv_threads_for(products);
  const int64_t wanted = threads > 1 ? 4 * threads : 1;
  d.chunks = fcv_chunks(fcv_min(fcv_product(patcher->boxes), CHUNKS), walk->groups * sums_bytes(&d), CHUNK_BYTES);
  d.splits = fcv_max(1, fcv_min(fcv_ceil_div(wanted, walk->groups * d.chunks), d.tiles));
  d.thread_bytes = lay_out(&d, NULL, NULL);

  int64_t bytes = 0;
  const int64_t patcher_at = fcv_reserve(&bytes, fcv_patcher_bytes(patcher));
  const int64_t offset_at = fcv_reserve(&bytes, d.term_tiles * k->db * (int64_t)sizeof(int64_t));
  const int64_t sums_at = fcv_reserve(&bytes, walk->groups * d.chunks * sums_bytes(&d));
  const int64_t bias_at = fcv_reserve(&bytes, walk->groups * d.chunks * walk->nc * (int64_t)sizeof(double));
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  fcv_patcher_start(patcher, memory + patcher_at);
  int64_t *offset = (int64_t *)(memory + offset_at);
  fcv_patch_offsets(patcher, d.terms, offset);
  for (int64_t t = d.terms; t < d.term_tiles * k->db; t++) offset[t] = offset[d.terms - 1];
  d.offset = offset;
  d.thread_memory = memory + threads_at;
  d.sums = memory + sums_at;
  d.bias = (double *)(memory + bias_at);
  fcv_parallel_for(walk->groups * d.chunks * d.splits, threads, sum_unit, &d);
  for (int64_t group = 0; group < walk->groups; group++) write_group(&d, group);
  fcv_scratch_give(memory);
  return FCV_OK;
}
