/* Input gradient of channels-first arrays with a stride along rows, and transposed convolution.
 *
 * Each residue of a column modulo the stride is a walk of its own, whose outputs are every stride-th element of a row:
 * stored where they belong, one by one, they would take every line of gx from memory once for each. So the walks of
 * the same rows, some images at a time, write arrays of their own, which stay in L2, and these are merged into gx. */
#include "internal.h"

enum { PARTS_BYTES = 1 << 20 };

struct merged {
  const struct fcv_conv *conv; /* of a walk: with packed weights */
  const struct fcv_kernels *kernels;
  const struct fcv_weight_view *view;
  int64_t parts, columns;     /* residues along rows; elements of a row of one */
  int64_t first, images;      /* at a time */
  int64_t slices, rows, part; /* of the residues on the other axes; elements of a part */
  int64_t group;              /* planes of a unit */
  char *memory;               /* [part][image][channel][slice][row][columns] */
  const char *packed, *gy, *bias;
  int64_t packed_bytes; /* of a walk */
  char *gx;             /* at the first row of the residues */
};

static void merge_unit(const void *context, int64_t unit, int thread) {
  const struct merged *d = context;
  const struct fcv_geometry *g = &d->conv->geometry;
  const int64_t size = d->kernels->size, end = fcv_min(d->images * g->ci, (unit + 1) * d->group);
  (void)thread;
  for (int64_t plane = unit * d->group; plane < end; plane++)
    for (int64_t z = 0; z < d->slices; z++)
      d->kernels->merge_rows(&(struct fcv_merge_rows){
          .rows = d->rows,
          .columns = g->in[2],
          .parts = d->parts,
          .x = d->memory + (plane * d->slices + z) * d->rows * d->columns * size,
          .y = d->gx + ((d->first * g->ci + plane) * g->in[0] + z * g->stride[0]) * g->in[1] * g->in[2] * size,
          .x_part = d->part,
          .x_pitch = d->columns,
          .y_pitch = g->stride[1] * g->in[2],
      });
}

/* One part: the walk, with an output of its own. */
static fcv_status compute_part(struct merged *d, struct fcv_walk *walk, int64_t part, const char *packed) {
  const struct fcv_geometry *g = &d->conv->geometry;
  struct fcv_conv conv = *d->conv;
  conv.packed = packed;
  walk->n = d->images;
  for (int i = 0; i < FCV_AXES; i++) {
    walk->axis[i].out = i < FCV_AXES - 1 ? walk->axis[i].count : d->columns;
    walk->axis[i].out_start = 0;
    walk->axis[i].out_step = 1;
  }
  d->slices = walk->axis[0].count;
  d->rows = walk->axis[1].count;
  d->part = d->images * g->ci * d->slices * d->rows * d->columns;
  return fcv_conv_planes(&conv, walk, d->view, d->gy + d->first * g->co * fcv_product(g->out) * d->kernels->size, NULL,
                         d->bias, d->memory + part * d->part * d->kernels->size);
}

static void merge(struct merged *d, const int64_t *residue, char *gx) {
  const struct fcv_geometry *g = &d->conv->geometry;
  const int64_t planes = d->images * g->ci, elements = d->slices * d->rows * g->in[2];
  struct merged rows = *d;
  rows.gx = gx + (residue[0] * g->in[1] + residue[1]) * g->in[2] * d->kernels->size;
  rows.group = fcv_group(planes, elements);
  fcv_parallel_for(fcv_ceil_div(planes, rows.group), fcv_threads_for((double)(planes * elements)), merge_unit, &rows);
}

/* The next images of all. */
static fcv_status run_images(struct merged *d, char *gx) {
  struct fcv_walk walk;
  const char *packed = d->packed;
  FCV_FOR_EACH_RESIDUE(&d->conv->geometry, walk, {
    FCV_TRY(compute_part(d, &walk, residue[2], packed));
    packed += d->packed_bytes;
    if (residue[2] + 1 == d->parts)
      merge(d, residue, gx);
  });
  return FCV_OK;
}

int fcv_merges_planes(const struct fcv_conv *conv, const struct fcv_weight_view *view) {
  const struct fcv_geometry *g = &conv->geometry;
  struct fcv_walk walk;
  int planes = g->stride[2] == 2 && g->in[2] > 1; /* three rows and more are merged element by element */
  FCV_FOR_EACH_RESIDUE(g, walk, planes = planes && fcv_use_planes(conv, &walk, view));
  return planes;
}

fcv_status fcv_conv_planes_merged(const struct fcv_conv *conv, const struct fcv_weight_view *view, const void *gy,
                                  const void *w, const void *bias, void *gx) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct merged d = {.conv = conv, .kernels = k, .view = view, .gy = gy, .bias = bias};
  struct fcv_walk walk;
  int64_t walks = 0, bytes = 0;
  FCV_FOR_EACH_RESIDUE(g, walk, {
    d.packed_bytes = fcv_max(d.packed_bytes, fcv_planes_packed_bytes(conv, &walk));
    walks++;
  });
  d.parts = fcv_min(g->stride[2], g->in[2]);
  d.columns = fcv_ceil_div(g->in[2], g->stride[2]);
  const int64_t rows = fcv_ceil_div(g->in[0], g->stride[0]) * fcv_ceil_div(g->in[1], g->stride[1]);
  const int64_t image = d.parts * g->ci * rows * d.columns * k->size; /* bytes */
  const int64_t images = fcv_max(1, fcv_min(g->n, PARTS_BYTES / image));
  const int64_t packed_at = fcv_reserve(&bytes, walks * d.packed_bytes);
  const int64_t memory_at = fcv_reserve(&bytes, images * image + k->vl * k->size);
  int64_t inner = 0;
  if (conv->workspace) { /* a walk needs some of its own besides, but packs nothing */
    struct fcv_conv asks = *conv;
    asks.workspace = &inner;
    asks.packed = conv;
    FCV_FOR_EACH_RESIDUE(g, walk, {
      for (int last = 0; last < 2; last++) {
        walk.n = last ? g->n % images : images;
        FCV_TRY(fcv_conv_planes(&asks, &walk, view, gy, w, bias, gx));
      }
    });
  }
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes + inner, &memory));
  if (!memory)
    return FCV_OK;
  d.packed = memory + packed_at;
  d.memory = memory + memory_at;
  char *packed = memory + packed_at;
  FCV_FOR_EACH_RESIDUE(g, walk, {
    fcv_planes_pack(conv, &walk, view, w, bias, packed);
    packed += d.packed_bytes;
  });
  fcv_status status = FCV_OK;
  for (; d.first < g->n && status == FCV_OK; d.first += images) {
    d.images = fcv_min(images, g->n - d.first);
    status = run_images(&d, gx);
  }
  fcv_scratch_give(memory);
  return status;
}
