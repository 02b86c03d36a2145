/* The input gradient of convolution as matrix product with the patches (conv_im2col.c): the product of gy with the
 * weights gives the gradient of the patches, whose rows are added to the pixels they came from. */
#include "internal.h"

enum {
  COLUMN_BYTES = 256 << 10, /* of the patches' gradient at a time, */
  LEAST_TILES = 2,          /* but each block reads all weights: 14x14 512->512 3x3, float64, 25 ms and 18 */
  BAND_KERNELS = 4,         /* heights of the kernel in a band, since bands share rows of gy */
};

struct col2im {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  struct fcv_walk walk;  /* forward: pixels of gy, and where their taps are in gx */
  struct fcv_walk packs; /* of the weights: k over output channels, j over input channels */
  struct fcv_panels panels;
  int64_t taps;   /* as the kernel sees them: one where those of few channels share panels */
  int64_t splits; /* units of an image, which share out its panels: few images are to keep all threads busy, */
  int64_t bands;  /* or where panels are shared bands of its rows */
  int64_t block;  /* pixels at a time */
  int64_t row;    /* elements of a pixel's patch: [tap][padded channels of all groups], or [padded terms] */
  int64_t thread_bytes;
  const char *packed, *gy, *zero;
  char *gx, *thread_memory;
};

/* Panels first .. last - 1 of all groups, and their input channels. */
struct range {
  int64_t first, last, channel, channels;
};

static struct range range_of(const struct col2im *d, int64_t split) {
  const int64_t all = d->packs.groups * d->panels.per_group, ci = d->packs.groups * d->packs.nc;
  if (d->splits == 1)
    return (struct range){.last = all, .channels = ci};
  struct range range = {.first = all * split / d->splits, .last = all * (split + 1) / d->splits};
  range.channel = range.first * d->panels.width;
  range.channels = fcv_min(ci, range.last * d->panels.width) - range.channel;
  return range;
}

struct unit_memory {
  char *columns, *gy, *gx; /* [pixel][row]; an image of gy and of gx, channels last, where they are not so in memory */
  const void **a;
  void **c;
  const void **taps; /* pointers into gx */
};

static int64_t lay_out(const struct col2im *d, char *base, struct unit_memory *memory) {
  const struct fcv_geometry *g = &d->conv->geometry;
  const int64_t size = d->kernels->size, pixels = fcv_round_up(d->block, d->kernels->mr);
  const int first = d->conv->layout == FCV_CHANNELS_FIRST;
  int64_t bytes = 0;
  const int64_t columns = fcv_reserve(&bytes, pixels * d->row * size);
  const int64_t gy = fcv_reserve(&bytes, first ? g->co * fcv_product(g->out) * size : 0);
  const int64_t gx = fcv_reserve(&bytes, first ? g->ci * fcv_product(g->in) * size : 0);
  const int64_t a = fcv_reserve(&bytes, pixels * (int64_t)sizeof(void *));
  const int64_t c = fcv_reserve(&bytes, pixels * (int64_t)sizeof(void *));
  const int64_t taps = fcv_reserve(&bytes, pixels * fcv_walk_taps(&d->walk) * (int64_t)sizeof(void *));
  if (base)
    *memory = (struct unit_memory){
        .columns = base + columns,
        .gy = base + gy,
        .gx = base + gx,
        .a = (const void **)(base + a),
        .c = (void **)(base + c),
        .taps = (const void **)(base + taps),
    };
  return bytes;
}

/* The gradient of the patches of count pixels of gy, for a range of panels. */
static void multiply(const struct col2im *d, const struct range *range, const char *gy, int64_t count,
                     const struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_geometry *g = &d->conv->geometry;
  const int64_t size = k->size, taps = d->taps, kc = d->packs.kc;
  const int64_t padded = fcv_panels_channels(&d->panels), all = g->groups * padded;
  for (int64_t q = 0; q < fcv_round_up(count, k->mr); q++) {
    memory->a[q] = gy + fcv_min(q, count - 1) * g->co * size;
    memory->c[q] = memory->columns + q * d->row * size;
  }
  for (int64_t p = range->first; p < range->last; p++) {
    const int64_t group = p / d->panels.per_group, j0 = p % d->panels.per_group * d->panels.width;
    const int64_t width = fcv_panel_width(&d->panels, p % d->panels.per_group);
    for (int64_t tap = 0; tap < taps; tap++) {
      struct fcv_igemm_tile tile = {
          .taps = 1,
          .kc = kc,
          .a_bytes = group * kc * size,
          .w = d->packed + ((group * padded + j0) * taps + tap * width) * kc * size,
          .c_bytes = (tap * all + group * padded + j0) * size,
          .n = (int)width,
      };
      for (int64_t q = 0; q < count; q += k->mr) {
        tile.a = memory->a + q;
        tile.c = memory->c + q;
        tile.m = (int)fcv_min(k->mr, count - q);
        k->igemm[width / k->vl - 1](&tile);
      }
    }
  }
}

/* The rows of the patches' gradient added to the pixels of gx, in order. */
static void add_patches(const struct col2im *d, const struct range *range, const struct fcv_source *gx,
                        const struct fcv_box *box, int64_t first, int64_t count, const struct unit_memory *memory) {
  const struct fcv_geometry *g = &d->conv->geometry;
  const int64_t size = d->kernels->size, taps = fcv_walk_taps(&d->walk), ci = d->packs.nc;
  const int64_t padded = fcv_panels_channels(&d->panels);
  fcv_indirect_taps(&d->walk, gx, box, first, count, 1, 0, memory->taps);
  for (int64_t i = 0; i < count * taps; i++) {
    char *to = (char *)memory->taps[i]; /* of this thread's own image */
    const char *from = memory->columns + (i / taps * d->row + i % taps * g->groups * padded) * size;
    if (to == gx->zero)
      continue;
    if (d->splits > 1)
      d->kernels->sum_rows(1, range->channels, from + range->channel * size, ci, to + range->channel * size);
    else
      for (int64_t group = 0; group < g->groups; group++)
        d->kernels->sum_rows(1, ci, from + group * padded * size, ci, to + group * ci * size);
  }
}

/* Rows first .. last - 1 of gx, of any slice, and the rows of gy that meet them. */
struct band {
  int64_t first, last, gy_first, gy_last;
};

static struct fcv_met taps_in_band(const struct fcv_axis *axis, int64_t o, const struct band *band) {
  struct fcv_met met = fcv_taps_inside(axis, o);
  for (; met.lo < met.hi && met.first < band->first; met.lo++) met.first += axis->shift_step;
  while (met.lo < met.hi && met.first + (met.hi - 1 - met.lo) * axis->shift_step >= band->last) met.hi--;
  return met;
}

static struct band find_band(const struct col2im *d, int64_t index) {
  const struct fcv_axis *axis = &d->walk.axis[1];
  struct band band = {.first = axis->in * index / d->bands, .last = axis->in * (index + 1) / d->bands};
  band.gy_last = axis->count;
  if (d->bands == 1)
    return band;
  struct fcv_met met = taps_in_band(axis, band.gy_first, &band);
  while (band.gy_first < axis->count && met.lo >= met.hi) met = taps_in_band(axis, ++band.gy_first, &band);
  met = taps_in_band(axis, band.gy_last - 1, &band);
  while (band.gy_last > band.gy_first && met.lo >= met.hi) met = taps_in_band(axis, --band.gy_last - 1, &band);
  return band;
}

/* The same where the taps of a kernel row are neighbours, in a patch and in gx: a pixel's rows in one call. */
static void add_rows(const struct col2im *d, const struct band *band, int64_t image, int64_t first, int64_t count,
                     const struct unit_memory *memory) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_axis *axis = d->walk.axis;
  const int64_t size = k->size, ci = d->walk.kc, row = axis[2].in * ci, plane = axis[1].in * row;
  const int64_t end = d->bands > 1 ? band->last * row : axis[0].in * plane;
  char *gx = d->gx + image * axis[0].in * plane * size;
  for (int64_t i = 0; i < count; i++) {
    const int64_t q = first + i, oy = q / axis[2].count % axis[1].count;
    const struct fcv_met z = fcv_taps_inside(&axis[0], q / axis[2].count / axis[1].count);
    const struct fcv_met y = taps_in_band(&axis[1], oy, band), x = fcv_taps_inside(&axis[2], q % axis[2].count);
    struct fcv_add_rows add = {
        .rows = y.hi - y.lo,
        .columns = (x.hi - x.lo) * ci,
        .x_pitch = axis[2].taps * ci,
        .y_pitch = axis[1].shift_step * row,
    };
    for (int64_t t = z.lo; t < z.hi && add.columns > 0 && add.rows > 0; t++) {
      const int64_t iz = z.first + (t - z.lo) * axis[0].shift_step;
      const int64_t from = i * d->row + ((t * axis[1].taps + y.lo) * axis[2].taps + x.lo) * ci;
      const int64_t to = ((iz * axis[1].in + y.first) * axis[2].in + x.first) * ci;
      add.x = memory->columns + from * size;
      add.y = gx + to * size;
      if (to + (add.rows - 1) * add.y_pitch + add.columns + k->vl <= end)
        k->add_rows(&add);
      else /* no vector past the end of the image */
        for (int64_t r = 0; r < add.rows; r++)
          k->sum_rows(1, add.columns, (const char *)add.x + r * add.x_pitch * size, 0,
                      (char *)add.y + r * add.y_pitch * size);
    }
  }
}

/* Adds to gx, which is zero. */
static void col2im_unit(const void *context, int64_t unit, int thread) {
  const struct col2im *d = context;
  const int64_t image = unit / d->splits / d->bands;
  const struct range range = range_of(d, unit % d->splits);
  const struct band band = find_band(d, unit / d->splits % d->bands);
  const struct fcv_geometry *g = &d->conv->geometry;
  const int64_t size = d->kernels->size, in = fcv_product(g->in), out = fcv_product(g->out);
  const int first = d->conv->layout == FCV_CHANNELS_FIRST;
  struct unit_memory memory = {0};
  lay_out(d, d->thread_memory + thread * d->thread_bytes, &memory);
  const char *gy = d->gy + image * g->co * out * size;
  char *gx = first ? memory.gx : d->gx + image * g->ci * in * size;
  if (first) {
    d->kernels->transpose(g->co, out, gy, out, memory.gy, g->co);
    gy = memory.gy;
    memset(gx, 0, (size_t)(g->ci * in * size));
  }
  const struct fcv_source source = fcv_source_in_place(&d->walk, gx, d->zero, size);
  const struct fcv_box box = {.size = {1, g->out[0], g->out[1]}};
  const int64_t begin = d->bands > 1 ? band.gy_first * g->out[2] : 0;
  const int64_t end = d->bands > 1 ? band.gy_last * g->out[2] : out;
  for (int64_t q = begin; q < end; q += d->block) {
    const int64_t count = fcv_min(d->block, end - q);
    multiply(d, &range, gy + q * g->co * size, count, &memory);
    if (d->taps < fcv_walk_taps(&d->walk))
      add_rows(d, &band, image, q, count, &memory);
    else
      add_patches(d, &range, &source, &box, q, count, &memory);
  }
  if (first)
    d->kernels->transpose(in, range.channels, gx + range.channel * size, g->ci,
                          d->gx + (image * g->ci + range.channel) * in * size, in);
}

/* Adds bias[channel] to gx and applies the activation, as a transposed convolution wants it. */
struct finish {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  const char *bias;
  char *gx;
};

static void finish_image(const void *context, int64_t image, int thread) {
  const struct finish *f = context;
  const struct fcv_geometry *g = &f->conv->geometry;
  const int64_t in = fcv_product(g->in), count = g->ci * in, size = f->kernels->size;
  const int last = f->conv->layout == FCV_CHANNELS_LAST;
  char *gx = f->gx + image * count * size;
  (void)thread;
  for (int64_t i = 0; f->bias && i < count; i++) {
    const int64_t channel = last ? i % g->ci : i / in;
    f->kernels->sum_rows(1, 1, f->bias + channel * size, 1, gx + i * size);
  }
  f->kernels->activation((int)f->conv->activation, f->conv->slope, INFINITY, count, gx, gx, 0);
}

/* Channels last, fewer channels than a vector has lanes: panels of all terms, [tap][channel], have no empty lanes. */
int fcv_col2im_shares_panels(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  return conv->layout == FCV_CHANNELS_LAST && conv->weight_layout == FCV_CHANNELS_LAST && g->groups == 1 &&
         g->ci < fcv_kernels(conv->dtype)->vl && fcv_product(g->kernel) > 1 &&
         (g->dilation[2] == 1 || g->kernel[2] == 1);
}

static fcv_status add_pixel_by_pixel(const struct fcv_conv *conv, const struct fcv_weight_view *view, const void *gy,
                                     const void *w, void *gx) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  struct col2im d = {.conv = conv, .kernels = k, .gy = gy, .gx = gx};
  fcv_walk_forward(g, &d.walk);
  d.packs = d.walk;
  d.packs.kc = g->co / g->groups;
  d.packs.nc = g->ci / g->groups;
  d.taps = fcv_walk_taps(&d.walk);
  if (d.taps > 1 && fcv_col2im_shares_panels(conv)) {
    d.packs.nc *= d.taps; /* as w has them */
    d.taps = 1;
    for (int i = 0; i < FCV_AXES; i++) d.packs.axis[i].taps = 1;
  }
  fcv_panels(k, d.packs.nc, &d.panels);
  const int64_t taps = d.taps, padded = g->groups * fcv_panels_channels(&d.panels);
  d.row = taps * padded;
  d.block = fcv_min(fcv_max(LEAST_TILES * k->mr, COLUMN_BYTES / (d.row * k->size)), fcv_product(g->out));
  d.thread_bytes = lay_out(&d, NULL, NULL);
  const double work = (double)(g->n * fcv_product(g->out)) * (double)d.row * (double)d.packs.kc;
  const int64_t panels = g->groups == 1 && taps == fcv_walk_taps(&d.walk) ? d.panels.per_group : 1;
  int threads = fcv_threads_for(work);
  d.splits = g->n < 4 * threads && threads > 1 ? fcv_min(panels, fcv_ceil_div(4 * threads, g->n)) : 1;
  const int64_t most = d.taps < fcv_walk_taps(&d.walk) && g->in[0] == 1 ? g->in[1] / (BAND_KERNELS * g->kernel[1]) : 1;
  d.bands = g->n < 2 * threads && threads > 1 ? fcv_max(1, fcv_min(most, fcv_ceil_div(2 * threads, g->n))) : 1;
  threads = (int)fcv_min(threads, g->n * d.splits * d.bands);

  int64_t bytes = 0;
  const int64_t packed_at = fcv_reserve(&bytes, padded * taps * d.packs.kc * k->size);
  const int64_t zero_at = fcv_reserve(&bytes, 1);
  const int64_t threads_at = fcv_reserve(&bytes, threads * d.thread_bytes);
  char *memory;
  FCV_TRY(fcv_workspace(conv, bytes, &memory));
  if (!memory)
    return FCV_OK;
  d.packed = memory + packed_at;
  d.zero = memory + zero_at; /* only an address: padding has no gradient */
  d.thread_memory = memory + threads_at;
  fcv_pack_weights(k, &d.packs, view, w, memory + packed_at, fcv_threads_for((double)(d.row * d.packs.kc)));
  if (conv->layout == FCV_CHANNELS_LAST)
    fcv_clear(gx, g->n * g->ci * fcv_product(g->in) * k->size);
  fcv_parallel_for(g->n * d.splits * d.bands, threads, col2im_unit, &d);
  fcv_scratch_give(memory);
  return FCV_OK;
}

fcv_status fcv_conv_col2im(const struct fcv_conv *conv, const struct fcv_weight_view *view, const void *gy,
                           const void *w, const void *bias, void *gx) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t elements = g->n * g->ci * fcv_product(g->in);
  const struct finish finish = {.conv = conv, .kernels = fcv_kernels(conv->dtype), .bias = bias, .gx = gx};
  if (elements == 0)
    return FCV_OK;
  if (fcv_use_col2im_planes(conv))
    FCV_TRY(fcv_conv_col2im_planes(conv, gy, w, gx));
  else if (fcv_use_col2im_few(conv))
    FCV_TRY(fcv_conv_col2im_few(conv, gy, w, gx));
  else
    FCV_TRY(add_pixel_by_pixel(conv, view, gy, w, gx));
  if ((bias || conv->activation != FCV_LINEAR) && !conv->workspace)
    fcv_parallel_for(g->n, fcv_threads_for((double)elements), finish_image, &finish);
  return FCV_OK;
}
