/* Weight gradient of channels-first arrays without patches: gw[j][term] = sum over pixels of
 * gy[j][pixel] * x[term's pixel].
 *
 * x is copied, padded, once for each tap along a row: the pixels that the outputs meet at it, rows as long as those of
 * gy. So the pixels of some rows, or of a plane, are one piece of memory in gy and at each term, and as aligned there
 * as in gy. A unit takes a chunk of the boxes of outputs, and a range of output channels of a group: it goes through
 * the boxes in order, whose pixels stay in L1, and tile by tile of output channels and terms adds to sums of its own.
 * Those of the chunks are added up in the end. Chunks, boxes and tiles depend on the shape alone, so that every number
 * of threads adds up the same sums. */
#include "internal.h"

enum {
  BOX_BYTES = 5120, /* of pixels of a channel: those of a tile of channels stay in L1 */
  SPAN = 1024, /* pixels that are summed in the element type for the bias, spans in double, as in conv_grad_bias.c */
};

struct sums {
  const struct fcv_kernels *kernels;
  struct fcv_walk walk;
  struct fcv_weight_view view;
  int64_t images, bands;          /* of a box; of a slice */
  int64_t phase, tap_rows, image; /* elements of a copy: of its rows a stride apart, of all, of all taps' copies */
  int64_t terms;
  int64_t tiles, term_tiles, tile; /* of a group; elements of a tile's sums */
  int64_t chunks, splits;          /* units of a group: chunks of boxes, ranges of tiles */
  int64_t plane, x_image;          /* of gy; bytes of an image of x */
  const int *tile_terms;           /* [term tile]: how many, or more where the kernel takes no less, */
  const int64_t *first_term;       /* and the first */
  int64_t thread_bytes;
  const int64_t *offset; /* [term] in the copies, at least of the smallest tile */
  const char *x, *gy;
  char *gw, *gb, *thread_memory; /* gb: or NULL */
  char *sums;                    /* [group][chunk][tile][term tile][tile] */
  double *bias;                  /* [group][chunk][output channel] */
  const struct fcv_after *after;
};

struct unit_memory {
  char *copies; /* a vector, then [image][input channel][tap z][tap x][row modulo stride][row][column] */
  char *sums;   /* those of the unit */
  double *bias;
};

/* A box's outputs: slices of as many images, or rows of one slice. */
struct box {
  int64_t image, images, slice, row, rows;
  int64_t at, count; /* of its pixels in gy, channel 0 of all groups; in an image */
};

static struct box box_of(const struct sums *d, int64_t index) {
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t band = index % d->bands, slice = index / d->bands % axis[0].count;
  struct box box = {.image = index / d->bands / axis[0].count * d->images, .slice = slice};
  box.images = fcv_min(d->images, d->walk.n - box.image);
  box.row = axis[1].count * band / d->bands;
  box.rows = axis[1].count * (band + 1) / d->bands - box.row;
  box.at = box.image * d->walk.groups * d->walk.nc * d->plane + (slice * axis[1].count + box.row) * axis[2].count;
  box.count = box.rows * axis[2].count;
  return box;
}

/* Outputs lo .. hi - 1 of an axis, of the first count, have this tap inside of the input. first: where output 0 has it.
 */
static void find_inside(const struct fcv_axis *axis, int64_t first, int64_t count, int64_t *lo, int64_t *hi) {
  *lo = fcv_min(count, fcv_ceil_div(fcv_max(0, -first), axis->in_step));
  *hi = fcv_max(*lo, fcv_min(count, fcv_ceil_div(fcv_max(0, axis->in - first), axis->in_step)));
}

/* One channel of an image's slice as the outputs of a box meet it at one tap of a row; or zeros. */
static void copy_tap(const struct sums *d, const struct box *box, int64_t tap, int inside, const char *x, char *to) {
  const struct fcv_axis *y = &d->walk.axis[1], *column = &d->walk.axis[2];
  const int64_t size = d->kernels->size, left = column->shift + tap * column->shift_step;
  const int64_t reach = (y->taps - 1) * y->shift_step; /* from the first tap to the last */
  int64_t before, end;
  find_inside(column, left, column->count, &before, &end);
  for (int64_t i = 0; i < fcv_min(y->in_step, reach + 1); i++, to += d->phase * size) {
    const int64_t top = box->row * y->in_step + y->shift + i, rows = box->rows + (reach - i) / y->in_step;
    int64_t above, below;
    find_inside(y, top, rows, &above, &below);
    if (!inside)
      above = below = rows;
    d->kernels->pad_rows(&(struct fcv_pad_rows){
        .above = above,
        .rows = below - above,
        .below = rows - below,
        .before = before,
        .count = end - before,
        .after = column->count - end,
        .step = column->in_step,
        .x = x + ((top + above * y->in_step) * column->in + left + before * column->in_step) * size,
        .y = to,
        .x_pitch = y->in_step * column->in,
        .y_pitch = column->count,
    });
  }
}

static void copy_box(const struct sums *d, int64_t group, const struct box *box, char *to) {
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t kc = d->walk.kc, slice = axis[1].in * axis[2].in;
  for (int64_t n = 0; n < box->images; n++)
    for (int64_t c = 0; c < kc; c++)
      for (int64_t z = 0; z < axis[0].taps; z++) {
        const int64_t iz = box->slice * axis[0].in_step + axis[0].shift + z * axis[0].shift_step;
        const int64_t from = ((((box->image + n) * d->walk.groups + group) * kc + c) * axis[0].in + iz) * slice;
        for (int64_t tap = 0; tap < axis[2].taps; tap++, to += d->tap_rows * d->kernels->size)
          copy_tap(d, box, tap, iz >= 0 && iz < axis[0].in, d->x + from * d->kernels->size, to);
      }
}

/* The first output channel of a tile in its group. */
static int64_t channel_of(const struct sums *d, int64_t tile) { return d->walk.nc * tile / d->tiles; }

/* The first of a tile of terms. */
static int64_t term_of(const struct sums *d, int64_t tile) { return d->terms * tile / d->term_tiles; }

/* A box's pixels in row i of a group's tile. */
static const char *rows_of(const struct sums *d, int64_t group, const struct box *box, int64_t tile, int64_t i) {
  return d->gy + ((group * d->walk.nc + channel_of(d, tile) + i) * d->plane + box->at) * d->kernels->size;
}

static double sum_pixels(const struct sums *d, int64_t count, const char *gy) {
  double total = 0;
  for (int64_t q = 0; q < count; q += SPAN)
    total += d->kernels->sum(fcv_min(SPAN, count - q), gy + q * d->kernels->size);
  return total;
}

/* Tiles first .. last - 1 of a group, for the pixels of a box. next: the one after it. */
static void add_box(const struct sums *d, int64_t group, int64_t first, int64_t last, const struct box *box,
                    const struct box *next, enum fcv_into into, const struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t image = d->walk.groups * d->walk.nc * d->plane, vector = k->vl * k->size;
  const char *end = d->gy + d->walk.n * image * k->size;
  char *copies = memory->copies + vector + (int64_t)((uintptr_t)rows_of(d, group, box, first, 0) % (size_t)vector);
  copy_box(d, group, box, copies);
  struct fcv_run_dots dots = {
      .images = box->images,
      .count = box->count,
      .b = copies,
      .a_pitch = d->plane,
      .a_image = image,
      .b_image = d->image,
      .into = into,
  };
  const char *x = d->bands == 1 && d->walk.groups == 1 ? d->x + next->image * d->x_image : NULL;
  const char *x_end = x ? x + next->images * d->x_image : NULL;
  for (int64_t t = first; t < last; t++) {
    const int64_t channel = channel_of(d, t), then = t + 1 < last ? t + 1 : first;
    const int64_t fetched = channel_of(d, then + 1) - channel_of(d, then);
    const char *ahead = rows_of(d, group, t + 1 < last ? box : next, then, 0);
    dots.m = (int)(channel_of(d, t + 1) - channel);
    dots.a = rows_of(d, group, box, t, 0);
    dots.begins = (const char *)dots.a - d->gy < vector;
    const int64_t read = ((box->images - 1) * image + (dots.m - 1) * d->plane + box->count) * k->size;
    dots.ends = end - (const char *)dots.a - read < vector;
    for (int64_t s = 0; s < d->term_tiles; s++) {
      dots.n = d->tile_terms[s];
      dots.offset = d->offset + d->first_term[s];
      dots.c = memory->sums + ((t - first) * d->term_tiles + s) * d->tile * k->size;
      for (int i = 0; i < 2; i++) { /* of more than two rows of gy the others are left to the hardware */
        const int64_t row = s + i * d->term_tiles;
        const int fetches = row >= fetched && x < x_end;
        dots.ahead[i] = fetches ? x : ahead + fcv_min(row, fetched - 1) * d->plane * k->size;
        dots.ahead_image[i] = fetches ? box->count : image;
        x += fetches ? box->images * box->count * k->size : 0;
      }
      k->run_dots(&dots);
    }
    for (int64_t i = 0; d->gb && i < dots.m; i++) /* which are in L1 */
      for (int64_t n = 0; n < box->images; n++)
        memory->bias[channel_of(d, t) - channel_of(d, first) + i] +=
            sum_pixels(d, box->count, rows_of(d, group, box, t, i) + n * image * k->size);
  }
}

#define WRITE_SUMS(type)                                                                                               \
  for (int64_t i = 0; i < rows; i++, gw += d->view.j * k->size) {                                                      \
    int64_t term = 0, tile = -1, first = 0, end = 0;                                                                   \
    for (int64_t c = 0; c < d->walk.kc; c++)                                                                           \
      for (int64_t z = 0; z < axis[0].taps; z++)                                                                       \
        for (int64_t x = 0; x < axis[2].taps; x++)                                                                     \
          for (int64_t y = 0; y < axis[1].taps; y++, term++) {                                                         \
            if (term == end) {                                                                                         \
              first = end;                                                                                             \
              end = term_of(d, ++tile + 1);                                                                            \
            }                                                                                                          \
            ((type *)gw)[c * d->view.k + z * d->view.kernel[0] + y * d->view.kernel[1] + x * d->view.kernel[2]] =      \
                ((const type *)sums)[tile * d->tile + i * d->tile_terms[tile] + term - first];                         \
          }                                                                                                            \
  }

/* The sums of a tile's output channels. gw: of the first. */
static void write_sums(const struct sums *d, int64_t rows, const char *sums, char *gw) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_axis *axis = d->walk.axis;
  if (k->size == sizeof(float)) {
    WRITE_SUMS(float)
  } else {
    WRITE_SUMS(double)
  }
}

/* Bytes of the sums of a chunk of a group. */
static int64_t sums_bytes(const struct sums *d) { return d->tiles * d->term_tiles * d->tile * d->kernels->size; }

static int64_t count_boxes(const struct sums *d) {
  return fcv_ceil_div(d->walk.n, d->images) * d->walk.axis[0].count * d->bands;
}

static void sum_unit(const void *context, int64_t unit, int thread) {
  const struct sums *d = context;
  const int64_t split = unit % d->splits, part = unit / d->splits; /* of all groups' chunks */
  const int64_t group = part / d->chunks, chunk = part % d->chunks, boxes = count_boxes(d);
  const int64_t first = d->tiles * split / d->splits, last = d->tiles * (split + 1) / d->splits;
  const int64_t begin = boxes * chunk / d->chunks, end = boxes * (chunk + 1) / d->chunks;
  const int64_t channel = channel_of(d, first), channels = channel_of(d, last) - channel;
  const struct unit_memory memory = {
      .copies = d->thread_memory + thread * d->thread_bytes,
      .sums = d->sums + part * sums_bytes(d) + first * d->term_tiles * d->tile * d->kernels->size,
      .bias = d->bias + part * d->walk.nc + channel,
  };
  const int64_t gy_image = d->walk.groups * d->walk.nc * d->plane * d->kernels->size;
  const int64_t together = d->after ? fcv_min(d->after->images, fcv_l2_bytes() / 4 / gy_image) : 0; /* images */
  memset(memory.bias, 0, (size_t)channels * sizeof(double));
  struct box box = box_of(d, begin);
  int64_t done = box.image;
  for (int64_t index = begin; index < end; index++) {
    const struct box next = box_of(d, fcv_min(index + 1, boxes - 1));
    add_box(d, group, first, last, &box, &next, index > begin ? FCV_ADD : FCV_REPLACE, &memory);
    const int64_t images = box.image + box.images - done;
    if (d->after && split == 0 && (index + 1 == end || images + box.images > together)) {
      d->after->body(d->after->context, done, images, thread);
      done += images;
    }
    box = next;
  }
}

/* A group's sums to gw and gb. */
static void write_group(const struct sums *d, int64_t group) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t nc = d->walk.nc, elements = sums_bytes(d) / k->size;
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

/* Of the two kinds of tiles those that are fewer; both are cut evenly. */
static void cut_tiles(struct sums *d) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t nc = d->walk.nc;
  const int tall =
      fcv_ceil_div(nc, k->da) * fcv_ceil_div(d->terms, k->db) < fcv_ceil_div(nc, k->ra) * fcv_ceil_div(d->terms, k->rb);
  d->tiles = fcv_ceil_div(nc, tall ? k->da : k->ra);
  d->term_tiles = fcv_ceil_div(d->terms, tall ? k->db : k->rb);
  d->tile = fcv_round_up(fcv_max(k->da * k->db, k->ra * k->rb), k->vl);
}

static void cut_boxes(struct sums *d) {
  const struct fcv_axis *axis = d->walk.axis, *y = &axis[1];
  const int64_t slice = y->count * axis[2].count * d->kernels->size, reach = (y->taps - 1) * y->shift_step;
  d->bands = fcv_min(y->count, fcv_ceil_div(slice, BOX_BYTES));
  d->images = d->bands > 1 || axis[0].count > 1 ? 1 : fcv_max(1, fcv_min(d->walk.n, BOX_BYTES / slice));
  d->phase = (fcv_ceil_div(y->count, d->bands) + reach / y->in_step) * axis[2].count;
  d->phase = fcv_round_up(d->phase, d->kernels->vl);
  d->tap_rows = fcv_min(y->in_step, reach + 1) * d->phase;
  d->image = d->walk.kc * axis[0].taps * axis[2].taps * d->tap_rows;
}

/* Where terms lie in the copies. */
static void find_offsets(const struct sums *d, int64_t offsets, int64_t *offset) {
  const struct fcv_axis *y = &d->walk.axis[1];
  for (int64_t t = 0; t < d->terms; t++) {
    const int64_t distance = t % y->taps * y->shift_step;
    offset[t] =
        t / y->taps * d->tap_rows + distance % y->in_step * d->phase + distance / y->in_step * d->walk.axis[2].count;
  }
  for (int64_t t = d->terms; t < offsets; t++) offset[t] = offset[d->terms - 1];
}

int fcv_use_wgrad_runs(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  return fcv_use_wgrad_planes(conv) && fcv_fills_runs(fcv_kernels(conv->dtype), walk);
}

int fcv_wgrad_runs_by_images(const struct fcv_kernels *k, const struct fcv_walk *walk) {
  const struct fcv_axis *axis = walk->axis;
  return walk->groups == 1 && axis[0].count == 1 && axis[1].count * axis[2].count * k->size <= BOX_BYTES &&
         walk->n >= 4 * fcv_get_threads(); /* else bands of images are needed to keep them busy */
}

fcv_status fcv_conv_wgrad_runs(const struct fcv_conv *conv, const struct fcv_walk *walk, const void *x, const void *gy,
                               void *gw, void *gb, const struct fcv_after *after) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct sums d = {.kernels = k, .walk = *walk, .x = x, .gy = gy, .gw = gw, .gb = gb, .after = after};
  if (walk->axis[1].count * walk->axis[2].count < k->vl) /* slices of 1x1x1: all of an image are a row */
    fcv_join_rows(&d.walk, 1, k->vl);
  fcv_weight_view(conv, 0, &d.view);
  d.terms = walk->kc * fcv_walk_taps(walk);
  d.plane = fcv_product(conv->geometry.out);
  d.x_image = conv->geometry.ci * fcv_product(conv->geometry.in) * k->size;
  cut_tiles(&d);
  cut_boxes(&d);
  const double products = (double)(walk->n * d.plane) * (double)d.terms * (double)(walk->groups * walk->nc);
  const int threads = fcv_threads_for(products);
  const int64_t wanted = threads > 1 ? 4 * threads : 1;
  d.chunks = fcv_chunks_of_boxes(count_boxes(&d), walk->groups * sums_bytes(&d));
  d.splits = fcv_max(1, fcv_min(fcv_ceil_div(wanted, walk->groups * d.chunks), d.tiles));
  d.thread_bytes = fcv_round_up((d.images * d.image + 3 * k->vl) * k->size, 64);

  int64_t bytes = 0;
  const int64_t offsets = fcv_max(d.terms, (k->rb + 1) / 2);
  const int64_t first_at = fcv_reserve(&bytes, d.term_tiles * (int64_t)sizeof(int64_t));
  const int64_t terms_at = fcv_reserve(&bytes, d.term_tiles * (int64_t)sizeof(int));
  const int64_t offset_at = fcv_reserve(&bytes, offsets * (int64_t)sizeof(int64_t));
  const int64_t sums_at = fcv_reserve(&bytes, walk->groups * d.chunks * sums_bytes(&d));
  const int64_t bias_at = fcv_reserve(&bytes, walk->groups * d.chunks * walk->nc * (int64_t)sizeof(double));
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  find_offsets(&d, offsets, (int64_t *)(memory + offset_at));
  for (int64_t s = 0; s < d.term_tiles; s++) {
    ((int64_t *)(memory + first_at))[s] = term_of(&d, s);
    ((int *)(memory + terms_at))[s] = (int)fcv_max((k->rb + 1) / 2, term_of(&d, s + 1) - term_of(&d, s));
  }
  d.first_term = (int64_t *)(memory + first_at);
  d.tile_terms = (int *)(memory + terms_at);
  d.offset = (int64_t *)(memory + offset_at);
  d.thread_memory = memory + threads_at;
  d.sums = memory + sums_at;
  d.bias = (double *)(memory + bias_at);
  fcv_parallel_for(walk->groups * d.chunks * d.splits, threads, sum_unit, &d);
  for (int64_t group = 0; group < walk->groups; group++) write_group(&d, group);
  fcv_scratch_give(memory);
  return FCV_OK;
}
