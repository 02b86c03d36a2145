/* Weight gradient of channels-last arrays with few output channels: as in conv_interleaved.c images of a set stand side
 * by side, input channels repeated, and gy beside them; the sums are those of a depthwise convolution of such pixels,
 * one for each image, input channel and output channel, and are added up in the end.
 *
 * Boxes are dealt out to chunks with sums of their own. Chunks and boxes depend on the shape alone, and are summed in
 * their order: the same bits for every number of threads. */
#include "interleaved.h"

enum {
  BOX_BYTES = 256 << 10, /* of a box of a set, but one row of outputs */
  LANE_BYTES = 32 << 10, /* of one vector of each of its pixels, so many rows at a time: all taps meet them in L1 */
};

struct sums {
  struct fcv_interleaved set;
  struct fcv_weight_view view;
  int64_t taps, elements, chunks; /* elements: of a chunk's sums */
  int64_t thread_bytes;
  const char *x, *gy, *zero;       /* zero: a row of gy */
  char *gw, *sums, *thread_memory; /* sums: [chunk][input channel][tap][width] */
};

struct unit_memory {
  char *stage, *gy; /* gy: [row][column][width] */
  const void **x;   /* of a channel's taps */
  void **gw;
  const void **image;
};

static int64_t row_bytes(const struct fcv_kernels *k, const struct fcv_walk *walk, int64_t width) {
  return walk->axis[2].count * width * k->size;
}

static int64_t lay_out(const struct sums *d, char *base, struct unit_memory *memory) {
  const struct fcv_interleaved *s = &d->set;
  const int64_t slack = s->kernels->vl * s->kernels->size, pointer = (int64_t)sizeof(void *);
  int64_t bytes = 0;
  const int64_t stage = fcv_reserve(&bytes, s->stage_bytes);
  const int64_t gy = fcv_reserve(&bytes, s->rows * row_bytes(s->kernels, s->walk, s->width) + slack);
  const int64_t x = fcv_reserve(&bytes, d->taps * pointer);
  const int64_t gw = fcv_reserve(&bytes, d->taps * pointer);
  const int64_t image = fcv_reserve(&bytes, s->images * pointer);
  if (base)
    *memory = (struct unit_memory){
        .stage = base + stage,
        .gy = base + gy,
        .x = (const void **)(base + x),
        .gw = (void **)(base + gw),
        .image = (const void **)(base + image),
    };
  return bytes;
}

/* Rows of gy to lanes; zero where a set has no more images. */
static void interleave_rows(const struct sums *d, const struct fcv_interleaved_box *box, struct unit_memory *memory) {
  const struct fcv_interleaved *set = &d->set;
  const struct fcv_kernels *k = set->kernels;
  const struct fcv_axis *axis = set->walk->axis;
  const int64_t nc = set->walk->nc, n = set->walk->n, columns = axis[2].count;
  const int64_t image_rows = axis[0].count * axis[1].count, behind = fcv_max(0, n - box->image - set->images);
  for (int64_t r = box->first; r < box->last; r++) {
    const int64_t rows = (axis[0].count - box->slice) * axis[1].count - r; /* to the end of an image, */
    const int64_t all = behind * image_rows + rows;                        /* of all from the set's last one on */
    for (int64_t i = 0; i < set->images; i++) {
      const int64_t at = ((box->image + i + 1) * image_rows - rows) * columns * nc;
      memory->image[i] = box->image + i < n ? d->gy + at * k->size : d->zero;
    }
    k->interleave(&(struct fcv_interleave){
        .pixels = columns,
        .images = set->images,
        .count = nc,
        .step = nc,
        .image = memory->image,
        .lanes = memory->gy + (r - box->first) * row_bytes(k, set->walk, set->width),
        .exact = ((all - 1) * columns + 1) * nc < k->vl,
    });
  }
}

/* Rows of a box, whose sums are made together. */
static int64_t rows_together(const struct sums *d) {
  const struct fcv_axis *y = &d->set.walk->axis[1];
  const int64_t line = d->set.kernels->vl * d->set.kernels->size, x = d->set.columns * line;
  const int64_t above = ((y->taps - 1) * y->shift_step + 1 - y->in_step) * x;
  return fcv_max(1, (LANE_BYTES - above) / (y->in_step * x + d->set.walk->axis[2].count * line));
}

static void sum_box(const struct sums *d, const struct fcv_interleaved_box *box, char *sums,
                    struct unit_memory *memory) {
  const struct fcv_interleaved *set = &d->set;
  const struct fcv_kernels *k = set->kernels;
  const struct fcv_axis *axis = set->walk->axis;
  const int64_t gy_row = axis[2].count * set->width;
  const int64_t rows = box->last - box->first, most = rows_together(d);
  fcv_interleaved_stage(set, d->x, box, memory->image, memory->stage);
  interleave_rows(d, box, memory);
  struct fcv_depthwise_sums add = {
      .taps = d->taps,
      .columns = axis[2].taps,
      .count = axis[2].count,
      .width = set->width,
      .x = memory->x,
      .gw = memory->gw,
      .x_row = axis[1].in_step * set->row,
      .x_step = axis[2].in_step * set->pixel,
      .x_tap = axis[2].shift_step * set->pixel,
      .gy_row = gy_row,
      .gy_step = set->width,
  };
  for (int64_t c = 0; c < set->walk->kc; c++) {
    for (int64_t t = 0; t < d->taps; t++) {
      memory->x[t] = memory->stage + (fcv_interleaved_tap(set, t) + c * set->width) * k->size;
      memory->gw[t] = sums + (c * d->taps + t) * set->width * k->size;
    }
    for (int64_t r = 0; r < rows; r += most) {
      add.rows = fcv_min(most, rows - r);
      add.x_offset = r * add.x_row;
      add.gy = memory->gy + r * gy_row * k->size;
      k->depthwise_sums_last(&add);
    }
  }
}

static void sum_chunk(const void *context, int64_t chunk, int thread) {
  const struct sums *d = context;
  const int64_t boxes = fcv_interleaved_boxes(&d->set), bytes = d->elements * d->set.kernels->size;
  char *sums = d->sums + chunk * bytes;
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  memset(sums, 0, (size_t)bytes);
  for (int64_t b = boxes * chunk / d->chunks; b < boxes * (chunk + 1) / d->chunks; b++) {
    const struct fcv_interleaved_box box = fcv_interleaved_box(&d->set, b);
    sum_box(d, &box, sums, &memory);
  }
}

#define ADD_IMAGES(type)                                                                                               \
  for (int64_t i = 0; i < rows; i++) {                                                                                 \
    const type *from = (const type *)d->sums + i * d->set.width;                                                       \
    type *to = (type *)d->gw + fcv_tap_offset(walk, &d->view, i % d->taps) + i / d->taps * d->view.k;                  \
    for (int64_t j = 0; j < walk->nc; j++) {                                                                           \
      type total = 0;                                                                                                  \
      for (int64_t n = 0; n < d->set.images; n++) total += from[n * walk->nc + j];                                     \
      to[j * d->view.j] = total;                                                                                       \
    }                                                                                                                  \
  }

static void write_sums(const struct sums *d) {
  const struct fcv_kernels *k = d->set.kernels;
  const struct fcv_walk *walk = d->set.walk;
  const int64_t rows = walk->kc * d->taps;
  k->sum_rows(d->chunks - 1, d->elements, d->sums + d->elements * k->size, d->elements, d->sums);
  if (k->size == sizeof(float)) {
    ADD_IMAGES(float)
  } else {
    ADD_IMAGES(double)
  }
}

fcv_status fcv_conv_wgrad_interleaved(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x,
                                      const void *gy, void *gw) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct sums d = {.x = x, .gy = gy, .gw = gw, .taps = fcv_walk_taps(walk)};
  fcv_interleaved_plan(k, walk, BOX_BYTES, row_bytes(k, walk, k->vl * walk->nc), &d.set);
  fcv_weight_view(conv, 0, &d.view);
  d.elements = walk->kc * d.taps * d.set.width;
  d.chunks = fcv_chunks_of_boxes(fcv_interleaved_boxes(&d.set), d.elements * k->size);
  d.thread_bytes = lay_out(&d, NULL, NULL);
  const double outputs = (double)(walk->n * fcv_product(conv->geometry.out));
  const int threads = fcv_threads_for(outputs * (double)(walk->nc * walk->kc * d.taps));
  const int64_t zeros = row_bytes(k, walk, walk->nc) + k->vl * k->size;

  int64_t bytes = 0;
  const int64_t zero_at = fcv_reserve(&bytes, zeros);
  const int64_t sums_at = fcv_reserve(&bytes, d.chunks * d.elements * k->size);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.zero = memory + zero_at;
  d.sums = memory + sums_at;
  d.thread_memory = memory + threads_at;
  memset(memory + zero_at, 0, (size_t)zeros);
  fcv_parallel_for(d.chunks, threads, sum_chunk, &d);
  write_sums(&d);
  fcv_scratch_give(memory);
  return FCV_OK;
}
