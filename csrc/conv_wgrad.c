/* Weight gradient: gw[tap][k][j] = sum over pixels of x[pixel at tap][k] * gy[pixel][j].
 *
 * Tiles of mi x nr elements of gw are summed over blocks of FCV_WGRAD_PIXELS pixels. gy is packed into panels once a
 * box of pixels, x is read in place or staged as in conv_direct.c. Sums stand in gw, or if its order is [j][k][tap] and
 * there is more than one box in memory that is transposed in the end; with one box those of a few tiles and all taps
 * stand in L1, and are transposed from there.
 *
 * Boxes are dealt out to chunks with sums of their own, which are added up in the end. A thread that has chunks to
 * itself finds what it packs and sums in its own caches; where chunks are few, all threads share the phases of a box,
 * and a tile belongs to one unit. Blocks, boxes and chunks depend on the shape alone, and are summed in their order:
 * the same bits for every number of threads. */
#include "wgrad.h"

/* Channels last: a box's rows are neighbours in memory, or as good as. */
static void find_next(struct fcv_wgrad *d, int64_t block) {
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

/* A chunk's boxes, one after the other, to gw. */
static void sum_chunk(struct fcv_wgrad *d, int64_t chunk, int threads) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t first = d->boxes * chunk / d->chunks, last = d->boxes * (chunk + 1) / d->chunks;
  for (int64_t b = first; b < last; b++) {
    fcv_stage_box(&d->stage, d->walk, b, &d->box);
    d->pixels = fcv_box_pixels(d->walk, &d->box);
    d->blocks = fcv_ceil_div(d->pixels, FCV_WGRAD_PIXELS);
    d->summed = b > first;
    if (d->conv->layout == FCV_CHANNELS_LAST && b + 1 < (d->apart ? last : d->boxes))
      find_next(d, b + 1);
    else
      d->lines[0] = d->lines[1] = 0;
    if (d->staged) {
      fcv_stage_fill(k, &d->stage, d->walk, d->conv->layout, d->x, &d->box, d->staged_x, threads, &d->source);
      d->source.zero = d->zero;
    }
    fcv_wgrad_sum_box(d, threads);
  }
}

/* By one thread. */
static void sum_apart(const void *context, int64_t chunk, int thread) {
  struct fcv_wgrad own = *(const struct fcv_wgrad *)context;
  fcv_wgrad_lay_out(&own, 1, own.team_memory + thread * own.team_bytes);
  if (chunk > 0)
    own.gw = own.sums + (chunk - 1) * own.weights;
  sum_chunk(&own, chunk, 1);
}

/* Sums of some chunks to those of the first. */
static void add_chunks(const struct fcv_wgrad *d, int64_t chunks, int threads) {
  fcv_add_chunks(d->kernels, chunks, d->weights / d->kernels->size, d->sums, d->gw, threads);
}

/* By all threads; a chunk's sums are added as soon as they are there. */
static void sum_together(const struct fcv_wgrad *d, int threads) {
  struct fcv_wgrad own = *d;
  fcv_wgrad_lay_out(&own, threads, own.team_memory);
  for (int64_t chunk = 0; chunk < d->chunks; chunk++) {
    own.gw = chunk > 0 ? own.sums : d->gw;
    sum_chunk(&own, chunk, threads);
    if (chunk > 0)
      add_chunks(d, 1, threads);
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

fcv_status fcv_conv_wgrad(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x, const void *gy,
                          void *gw) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const int64_t weights = fcv_weights(&conv->geometry) * k->size;
  struct fcv_wgrad d = {.conv = conv, .kernels = k, .walk = walk, .x = x, .gy = gy, .weights = weights};
  const int threads = fcv_wgrad_plan(&d);
  d.apart = threads > 1 && (d.chunks >= 2 * threads || d.chunks == threads);
  const int of_team = d.apart ? 1 : threads, teams = d.apart ? threads : 1;
  const int in_place = conv->weight_layout == FCV_CHANNELS_LAST || d.transposes;
  const int64_t zeros = fcv_max(walk->groups * walk->kc, d.m) * k->size + fcv_max(k->wide_mi, k->vl) * k->size;
  d.team_bytes = fcv_wgrad_lay_out(&d, of_team, NULL);
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
