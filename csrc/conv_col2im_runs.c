/* col2im of channels-first images, stride 1 or 2 along rows, whose rows of outputs are a vector long.
 *
 * As in conv_col2im_planes.c vectors run along pixels of gy, but only the taps along a row become rows of their own:
 *
 *     q[c][tap x][row of gx][column of gy] = sum over output channels j and taps y of gy[j][row's at tap y][column] *
 *                                                                                    w[j][c][tap y][tap x]
 *
 * Rows of gx that meet the same taps y take neighbouring rows of gy, so that all their pixels are runs of a vector, and
 * the sum stays in registers. Then each row of gx is the sum of its rows of q, shifted. A unit takes a band of rows of
 * an image, or some images. */
#include "internal.h"

enum {
  SUM_BYTES = 128 << 10, /* of q */
  MOST_IMAGES = 4,
  FEW_PLANES = 32, /* as in conv_col2im_planes.c */
  MANY_RUNS = 8,   /* of an image: one more costs less than reading across lines */
  LONG_SUM = 32,
  BLOCK_RUNS = 24, /* that all tiles of terms take before the next ones; a multiple of most tiles' width */
};

struct col2im {
  const struct fcv_kernels *kernels;
  int64_t n, groups, kc, nc; /* kc: input channels of a group, nc: output channels */
  int64_t terms, tiles;      /* of a group: input channels x taps along a row */
  struct fcv_axes axes;      /* from gx to gy, */
  struct fcv_axis columns;   /* and back */
  int64_t images, bands;     /* of a unit; of an image */
  int64_t pitch;             /* from one term of q to the next */
  int64_t in, out;           /* planes of gx and gy */
  int64_t q_bytes, thread_bytes;
  const int64_t *offset; /* [tap y][output channel] of gy, from the row of the first tap */
  const int64_t *term;   /* [term] of q */
  const int64_t *shift;  /* [tap x]: the output that element 0 of its part of gx meets, */
  const int *part;       /* [tap x]: its column modulo the stride */
  const char *gy, *w;    /* w: [group][residue of rows][tile][tap y][output channel][term of the tile] */
  char *gx, *thread_memory;
};

/* Rows of gx of one residue: o0 .. o1 - 1 of those, which are rows of q from at on. */
struct rows {
  int64_t residue, o0, o1, at;
};

/* What a unit takes: images, rows lo .. hi - 1 of a group. */
struct part {
  int64_t group, image, images, lo, hi;
  char *q; /* [term][image][row][column] */
  struct fcv_run *run;
};

/* The pixels of gy that rows meet at their first tap, as runs: where they are many, all but the first and the last of
 * an image begin where vectors are aligned. Returns how many. */
static int64_t find_runs(const struct col2im *d, const struct part *part, const struct rows *rows, int64_t first) {
  const int64_t ow = d->columns.count, vl = d->kernels->vl, count = (rows->o1 - rows->o0) * ow;
  const int64_t image = d->groups * d->nc * d->out;
  int64_t runs = 0;
  for (int64_t n = 0; n < part->images; n++) {
    const int64_t from = n * image + first * ow, to = (n * (part->hi - part->lo) + rows->at) * ow;
    const char *gy = d->gy + ((part->image * d->groups + part->group) * d->nc * d->out + from) * d->kernels->size;
    const int64_t past = count < MANY_RUNS * vl ? 0 : (int64_t)((uintptr_t)gy / (size_t)d->kernels->size % (size_t)vl);
    for (int64_t q = -past; q < count; q += vl) {
      const int64_t at = fcv_max(0, fcv_min(q, count - vl));
      part->run[runs++] = (struct fcv_run){from + at, to + at};
    }
  }
  return runs;
}

/* Weights of a residue and group, of all tiles. */
static const char *weights(const struct col2im *d, int64_t group, int64_t residue) {
  int64_t taps = 0, before = 0;
  for (int64_t r = 0; r < d->axes.residues[1]; r++) {
    before += r < residue ? d->axes.axis[1][r].taps : 0;
    taps += d->axes.axis[1][r].taps;
  }
  return d->w + (group * taps + before) * d->nc * d->terms * d->kernels->size;
}

/* All terms of rows that meet the same taps. */
static void sum_rows(const struct col2im *d, const struct part *part, const struct rows *rows,
                     const struct fcv_met *met) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t ow = d->columns.count, taps = d->axes.axis[1][rows->residue].taps;
  if (met->lo == met->hi) {
    for (int64_t t = 0; t < d->terms; t++)
      for (int64_t n = 0; n < part->images; n++)
        memset(part->q + (d->term[t] + (n * (part->hi - part->lo) + rows->at) * ow) * k->size, 0,
               (size_t)((rows->o1 - rows->o0) * ow * k->size));
    return;
  }
  const int64_t runs = find_runs(d, part, rows, met->first), most = d->tiles > 1 ? BLOCK_RUNS : runs;
  const char *w = weights(d, part->group, rows->residue);
  struct fcv_runs tile = {
      .terms = (met->hi - met->lo) * d->nc,
      .offset = d->offset,
      .x = d->gy + (part->image * d->groups + part->group) * d->nc * d->out * k->size,
      .y_plane = d->pitch,
  };
  for (int64_t r = 0; r < runs; r += most)
    for (int64_t t = 0; t < d->tiles; t++) {
      const int64_t t0 = d->terms * t / d->tiles, t1 = d->terms * (t + 1) / d->tiles;
      tile.m = (int)(t1 - t0);
      tile.count = fcv_min(most, runs - r);
      tile.run = part->run + r;
      tile.w = w + (t0 * taps + met->lo * tile.m) * d->nc * k->size;
      tile.y = part->q + d->term[t0] * k->size;
      k->runs(&tile);
    }
}

/* Rows of gx from those of q. */
static void fold(const struct col2im *d, const struct part *part, const struct rows *rows) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t ow = d->columns.count, iw = d->columns.in, taps = d->columns.taps;
  for (int64_t n = 0; n < part->images; n++)
    for (int64_t c = 0; c < d->kc; c++) {
      const int64_t plane = ((part->image + n) * d->groups + part->group) * d->kc + c;
      const int64_t stride = d->axes.residues[1];
      k->fold_rows(&(struct fcv_fold_rows){
          .rows = rows->o1 - rows->o0,
          .columns = iw,
          .width = ow,
          .terms = taps,
          .offset = d->term + c * taps,
          .shift = d->shift,
          .part = d->part,
          .parts = (int)d->columns.in_step,
          .x = part->q + (n * (part->hi - part->lo) + rows->at) * ow * k->size,
          .y = d->gx + (plane * d->in + (rows->residue + rows->o0 * stride) * iw) * k->size,
          .y_pitch = stride * iw,
      });
    }
}

/* A band of rows of some images. */
static void take(const struct col2im *d, int64_t group, int64_t image, int64_t images, int64_t band, int thread) {
  const int64_t ih = d->axes.out[1], stride = d->axes.residues[1];
  char *memory = d->thread_memory + thread * d->thread_bytes;
  const struct part part = {
      .group = group,
      .image = image,
      .images = images,
      .lo = ih * band / d->bands,
      .hi = ih * (band + 1) / d->bands,
      .q = memory + d->kernels->vl * d->kernels->size,
      .run = (struct fcv_run *)(memory + d->q_bytes),
  };
  int64_t at = 0;
  for (int64_t r = 0; r < stride; r++) {
    const struct fcv_axis *axis = &d->axes.axis[1][r];
    const int64_t first = fcv_ceil_div(fcv_max(0, part.lo - r), stride);
    const int64_t end = fcv_ceil_div(fcv_max(0, part.hi - r), stride);
    const struct rows all = {.residue = r, .o0 = first, .o1 = end, .at = at};
    struct rows rows = all;
    for (; rows.o0 < end; rows.o0 = rows.o1) {
      const struct fcv_met met = fcv_taps_inside(axis, rows.o0);
      struct fcv_met next = met;
      rows.o1 = rows.o0;
      while (rows.o1 < end && next.lo == met.lo && next.hi == met.hi) next = fcv_taps_inside(axis, ++rows.o1);
      rows.at = all.at + rows.o0 - first;
      sum_rows(d, &part, &rows, &met);
    }
    at += end - first;
    fold(d, &part, &all);
  }
}

static void col2im_unit(const void *context, int64_t unit, int thread) {
  const struct col2im *d = context;
  const int64_t band = unit % d->bands, group = unit / d->bands % d->groups;
  const int64_t image = unit / d->bands / d->groups * d->images;
  take(d, group, image, fcv_min(d->images, d->n - image), band, thread);
}

static void take_images(const void *context, int64_t image, int64_t images, int thread) {
  const struct col2im *d = context;
  const int64_t end = image + images;
  for (; image < end; image += d->images)
    for (int64_t band = 0; band < d->bands; band++) take(d, 0, image, fcv_min(d->images, end - image), band, thread);
}

#define PACK(type)                                                                                                     \
  for (int64_t t = 0, e = 0; t < d->tiles; t++)                                                                        \
    for (int64_t tap = 0; tap < axis->taps; tap++)                                                                     \
      for (int64_t j = 0; j < d->nc; j++)                                                                              \
        for (int64_t i = d->terms * t / d->tiles; i < d->terms * (t + 1) / d->tiles; i++)                              \
          ((type *)to)[e++] =                                                                                          \
              ((const type *)w)[(axis->kernel_start + tap * axis->kernel_step) * view->kernel[1] + j * view->j +       \
                                i / d->columns.taps * view->k + i % d->columns.taps * view->kernel[2]];

/* Those of a group that rows of a residue meet. */
static void pack(const struct col2im *d, const struct fcv_weight_view *view, const struct fcv_axis *axis, const char *w,
                 char *to) {
  if (d->kernels->size == sizeof(float)) {
    PACK(float)
  } else {
    PACK(double)
  }
}

/* Images and bands of a unit: for one thread as q fits, for several so that all have some. */
static void cut(struct col2im *d, int threads) {
  const int64_t ih = d->axes.out[1], wanted = threads > 1 ? 4 * threads : 1;
  const int64_t image = d->terms * ih * d->columns.count * d->kernels->size; /* bytes of q */
  d->images = fcv_max(1, fcv_min(fcv_min(d->n, MOST_IMAGES), SUM_BYTES / image));
  while (d->images > 1 && fcv_ceil_div(d->n, d->images) * d->groups < wanted) d->images--;
  d->bands = fcv_min(ih, fcv_max(fcv_ceil_div(image, SUM_BYTES), fcv_ceil_div(wanted, d->n * d->groups)));
  d->pitch = d->images * fcv_ceil_div(ih, d->bands) * d->columns.count;
  const int64_t runs = d->pitch / d->kernels->vl + 2 * d->images;
  d->q_bytes = fcv_round_up((d->terms * d->pitch + 2 * d->kernels->vl) * d->kernels->size, 64);
  d->thread_bytes = fcv_round_up(d->q_bytes + runs * (int64_t)sizeof(struct fcv_run), 64);
}

static void find_terms(const struct col2im *d, int64_t *offset, int64_t *term, int64_t *shift, int *part) {
  const struct fcv_axis *x = &d->columns, *y = &d->axes.axis[1][0];
  int64_t most = 0;
  for (int64_t r = 0; r < d->axes.residues[1]; r++) most = fcv_max(most, d->axes.axis[1][r].taps);
  for (int64_t tap = 0; tap < most; tap++)
    for (int64_t j = 0; j < d->nc; j++) *offset++ = tap * y->shift_step * x->count + j * d->out;
  for (int64_t t = 0; t < d->terms; t++) term[t] = t * d->pitch;
  for (int64_t t = 0; t < x->taps; t++) {
    const int64_t at = x->shift + t * x->shift_step, step = x->in_step; /* column of gx that output 0 meets */
    part[t] = (int)((at % step + step) % step);
    shift[t] = (part[t] - at) / step;
  }
}

/* Rows of fewer pixels than a vector, and more channels, a page each, are left to conv_col2im_planes.c; so are short
 * sums, whose products take less time than the rows: 64x32x32 1->6 5x5 took 0.39 ms there, 0.41 here. */
int fcv_use_col2im_runs(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t vl = fcv_kernels(conv->dtype)->vl;
  return g->in[0] == 1 && g->out[0] == 1 && g->kernel[0] == 1 && g->pad_lo[0] == 0 && g->stride[2] <= 2 &&
         g->out[2] >= vl && g->in[2] >= vl && g->kernel[2] <= FCV_FOLD_TERMS && g->co / g->groups <= FEW_PLANES &&
         g->co / g->groups * g->kernel[1] >= LONG_SUM && g->n > 0;
}

/* Everything but the work; memory: to be given back, or NULL where only its size is asked for. */
static fcv_status prepare(const struct fcv_conv *conv, const void *gy, const void *w, void *gx, int *threads,
                          struct col2im *d, char **memory) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct fcv_walk walk;
  struct fcv_weight_view view;
  fcv_walk_forward(g, &walk);
  fcv_weight_view(conv, 0, &view);
  *d = (struct col2im){.kernels = k, .n = g->n, .groups = g->groups, .kc = walk.kc, .nc = walk.nc, .gy = gy, .gx = gx};
  d->columns = walk.axis[2];
  d->terms = d->kc * d->columns.taps;
  d->tiles = fcv_run_tiles(k, d->terms);
  d->in = fcv_product(g->in);
  d->out = fcv_product(g->out);
  d->axes.out[1] = g->in[1];
  *threads = fcv_threads_for((double)(g->n * d->out) * (double)(g->ci * fcv_walk_taps(&walk)) * (double)d->nc);
  cut(d, *threads);

  int64_t bytes = 0;
  const int64_t axes_at = fcv_reserve(&bytes, fcv_axes_bytes(g, 1));
  const int64_t w_at = fcv_reserve(&bytes, d->groups * g->kernel[1] * d->nc * d->terms * k->size);
  const int64_t offset_at = fcv_reserve(&bytes, g->kernel[1] * d->nc * (int64_t)sizeof(int64_t));
  const int64_t term_at = fcv_reserve(&bytes, d->terms * (int64_t)sizeof(int64_t));
  const int64_t shift_at = fcv_reserve(&bytes, d->columns.taps * (int64_t)sizeof(int64_t));
  const int64_t part_at = fcv_reserve(&bytes, d->columns.taps * (int64_t)sizeof(int));
  const int64_t threads_at = fcv_reserve(&bytes, *threads * d->thread_bytes);
  FCV_TRY(fcv_workspace(conv, bytes, memory));
  if (!*memory)
    return FCV_OK;
  char *base = *memory;
  fcv_axes(g, 1, base + axes_at, &d->axes);
  d->w = base + w_at;
  d->offset = (int64_t *)(base + offset_at);
  d->term = (int64_t *)(base + term_at);
  d->shift = (int64_t *)(base + shift_at);
  d->part = (int *)(base + part_at);
  d->thread_memory = base + threads_at;
  find_terms(d, (int64_t *)(base + offset_at), (int64_t *)(base + term_at), (int64_t *)(base + shift_at),
             (int *)(base + part_at));
  for (int64_t group = 0; group < d->groups; group++)
    for (int64_t r = 0; r < d->axes.residues[1]; r++)
      pack(d, &view, &d->axes.axis[1][r], (const char *)w + group * view.group * k->size,
           base + w_at + (weights(d, group, r) - d->w));
  return FCV_OK;
}

fcv_status fcv_conv_col2im_runs(const struct fcv_conv *conv, const void *gy, const void *w, void *gx) {
  struct col2im d;
  char *memory;
  int threads;
  FCV_TRY(prepare(conv, gy, w, gx, &threads, &d, &memory));
  if (!memory)
    return FCV_OK;
  fcv_parallel_for(fcv_ceil_div(d.n, d.images) * d.groups * d.bands, threads, col2im_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}

fcv_status fcv_conv_gradients_runs(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                   const void *gy, const void *w, void *gx, void *gw, void *gb) {
  struct col2im d;
  char *memory;
  int threads;
  FCV_TRY(prepare(conv, gy, w, gx, &threads, &d, &memory));
  if (!memory)
    return FCV_OK;
  const struct fcv_after after = {take_images, d.images, &d};
  const fcv_status status = fcv_conv_wgrad_runs(conv, walk, x, gy, gw, gb, &after);
  fcv_scratch_give(memory);
  return status;
}
