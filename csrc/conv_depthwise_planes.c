/* Depthwise convolution of channels-first arrays that are read where they lie: vectors run along the pixels of a row,
 * and what reaches past a plane's ends is masked. Of the first and the last planes, around which a vector could leave
 * the array, there are copies.
 *
 * A unit takes some planes (a channel of an image), or a band of rows of large ones. With dilation, rows that are as
 * far apart meet rows of the input that are as well: a call for each such set. */
#include "small_groups.h"

enum {
  BAND = 32 << 10,   /* outputs, */
  DILATED = 8 << 10, /* of planes with dilation that are taken together */
  AHEAD = 4 << 10,   /* bytes */
  UNIT_WORK = 1 << 16
};

struct planes {
  const struct fcv_conv *conv;
  const struct fcv_kernels *kernels;
  struct fcv_axis rows, columns;
  int spread; /* input gradient with stride 2: of the second residues, */
  struct fcv_axis odd_rows, odd_columns;
  struct fcv_weight_view view;
  int64_t planes, parts; /* channels of all images; units over them */
  int64_t bands, band;   /* of a plane; rows of one */
  int64_t slack, edge;   /* elements that are read around a plane; planes that are copied at either end */
  int64_t thread_bytes;
  const char *x, *w, *bias;
  char *y, *thread_memory;
};

/* The walk of an axis, and whether the kernel takes it. */
static int find_axis(const struct fcv_conv *conv, int transposed, int axis, struct fcv_axis *walk) {
  struct fcv_walk walks;
  if (transposed)
    fcv_walk_grad_input(&conv->geometry, (const int64_t[FCV_AXES]){0}, &walks);
  else
    fcv_walk_forward(&conv->geometry, &walks);
  *walk = walks.axis[axis];
  return fcv_has_own_taps(walk->taps) && walk->out_step == 1 &&
         (walk->in_step == 1 || (walk->in_step == 2 && walk->taps < 7 && walk->shift_step == 1));
}

/* The same for residue 1 of an input gradient with stride 2. */
static int find_spread(const struct fcv_conv *conv, int axis, struct fcv_axis walk[2]) {
  const struct fcv_geometry *g = &conv->geometry;
  int taken = g->stride[axis] == 2 && g->dilation[axis] == 1 && g->in[axis] > 1;
  for (int64_t r = 0; r < 2 && taken; r++) {
    struct fcv_walk walks;
    fcv_walk_grad_input(g, (const int64_t[FCV_AXES]){axis == 0 ? r : 0, axis == 1 ? r : 0, axis == 2 ? r : 0}, &walks);
    walk[r] = walks.axis[axis];
    taken &= walk[r].taps > 0 && walk[r].taps <= FCV_SPREAD_TAPS;
  }
  return taken;
}

static int takes_spread(const struct fcv_conv *conv) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t vl = fcv_kernels(conv->dtype)->vl;
  struct fcv_axis y[2], x[2];
  if (!find_spread(conv, 1, y) || !find_spread(conv, 2, x) || 3 * x->count < vl)
    return 0;
  for (int r = 0; r < 2; r++)
    if (x[r].shift > vl || x[r].shift < -vl || x->count + x[r].shift + x[r].taps - x->in > vl)
      return 0;
  return g->n > 0 && fcv_product(g->out) > 0 && g->in[0] * g->out[0] * g->kernel[0] == 1 && g->pad_lo[0] == 0;
}

/* Rows shorter than a third of a vector are better transposed. */
int fcv_depthwise_in_place(const struct fcv_conv *conv, int transposed) {
  const struct fcv_geometry *g = &conv->geometry;
  const int64_t vl = fcv_kernels(conv->dtype)->vl;
  struct fcv_axis z, y, x;
  if (transposed && takes_spread(conv))
    return 1;
  find_axis(conv, transposed, 0, &z);
  const int taken = find_axis(conv, transposed, 1, &y) & find_axis(conv, transposed, 2, &x);
  if (!taken || z.in * z.out * z.taps != 1 || z.shift != 0 || y.taps != x.taps || y.in_step != x.in_step)
    return 0;
  const int64_t behind = (x.count - 1) * x.in_step + x.shift + (x.taps - 1) * x.shift_step + 1 - x.in;
  const int64_t below = (y.count - 1) * y.in_step + y.shift + (y.taps - 1) * y.shift_step + 1 - y.in;
  const int64_t height = y.taps * y.shift_step;
  const int merged = y.shift_step * x.shift_step * x.in_step == 1 && x.in == x.out && 2 * x.out <= vl;
  return g->n > 0 && fcv_product(g->in) > 0 && x.shift <= vl && x.shift >= -vl && behind <= vl && y.shift >= -height &&
         below <= height && 3 * x.out * (1 + merged) >= vl;
}

int64_t fcv_planes_rows(const struct fcv_axis *rows, const struct fcv_axis *columns, int64_t r0, int64_t r1,
                        struct fcv_depthwise_planes *planes) {
  const int64_t every = rows->shift_step, meets = r0 * rows->in_step + rows->shift;
  const int64_t phase = (meets % every + every) % every, first = (meets - phase) / every;
  const int64_t in = fcv_max(0, fcv_ceil_div(rows->in - phase, every)), count = fcv_ceil_div(r1 - r0, every);
  const int64_t lo = fcv_max(0, fcv_min(first, in));
  const int64_t hi = fcv_max(lo, fcv_min(first + (count - 1) * rows->in_step + rows->taps, in));
  planes->taps = rows->taps;
  planes->step = rows->in_step;
  planes->apart = columns->shift_step;
  planes->in_rows = hi - lo;
  planes->in_width = columns->in;
  planes->rows = count;
  planes->width = columns->out;
  planes->above = lo - first;
  planes->before = -columns->shift;
  planes->x_row = every * columns->in;
  planes->y_row = every * columns->out;
  planes->x_plane = rows->in * columns->in;
  planes->y_plane = rows->out * columns->out;
  return phase + lo * every;
}

int64_t fcv_planes_extent(const struct fcv_depthwise_planes *planes) {
  return planes->in_rows > 0 ? (planes->in_rows - 1) * planes->x_row + planes->in_width : 0;
}

static struct fcv_spread spread_of(const struct fcv_axis *axis, int64_t shift, int64_t kernel) {
  return (struct fcv_spread){axis->taps, axis->shift + shift, axis->kernel_start * kernel, axis->kernel_step * kernel};
}

/* Rows r0 .. r1 - 1 of some planes, of an input gradient with stride 2; r0 is even. stage: of one, which is copied. */
static void run_spread(const struct planes *d, int64_t plane, int64_t planes, int64_t r0, int64_t r1, char *stage) {
  const struct fcv_axis *even = &d->rows, *odd = &d->odd_rows;
  const struct fcv_conv *conv = d->conv;
  const int64_t size = d->kernels->size, channel = plane % conv->geometry.groups, out = even->out * d->columns.out;
  const int64_t first = r0 / 2 + fcv_min(even->shift, odd->shift);
  const int64_t end = (r1 - 1) / 2 + fcv_max(even->shift + even->taps, odd->shift + odd->taps);
  const int64_t lo = fcv_max(0, fcv_min(first, even->in)), hi = fcv_max(lo, fcv_min(end, even->in));
  const int64_t down = r0 / 2 - lo;
  const char *x = d->x + (plane * even->in + lo) * d->columns.in * size;
  if (stage)
    x = memcpy(stage + d->slack * size, x, (size_t)((hi - lo) * d->columns.in * size));
  d->kernels->depthwise_spread(&(struct fcv_depthwise_spread){
      .planes = planes,
      .in_rows = hi - lo,
      .in_width = d->columns.in,
      .rows = r1 - r0,
      .width = d->columns.out,
      .row = {spread_of(even, down, d->view.kernel[1]), spread_of(odd, down, d->view.kernel[1])},
      .column = {spread_of(&d->columns, 0, d->view.kernel[2]), spread_of(&d->odd_columns, 0, d->view.kernel[2])},
      .x_plane = even->in * d->columns.in,
      .y_plane = out,
      .w_plane = d->view.group,
      .x = x,
      .w = d->w + channel * d->view.group * size,
      .bias = d->bias ? d->bias + channel * size : NULL,
      .y = d->y + (plane * out + r0 * d->columns.out) * size,
      .ahead = AHEAD / size,
      .y_ahead = AHEAD / size,
      .activation = fcv_kernel_activation(conv),
      .slope = conv->slope,
  });
}

/* The same of other walks, of rows r0, r0 + shift_step ... < r1. */
static void run_planes(const struct planes *d, int64_t plane, int64_t planes, int64_t r0, int64_t r1, char *stage) {
  const struct fcv_axis *rows = &d->rows, *columns = &d->columns;
  const struct fcv_conv *conv = d->conv;
  const int64_t size = d->kernels->size, channel = plane % conv->geometry.groups, out = rows->out * columns->out;
  struct fcv_depthwise_planes p = {
      .planes = planes,
      .w_plane = d->view.group,
      .w_row = rows->kernel_step * d->view.kernel[1],
      .w_column = columns->kernel_step * d->view.kernel[2],
      .w = d->w + (channel * d->view.group + rows->kernel_start * d->view.kernel[1] +
                   columns->kernel_start * d->view.kernel[2]) *
                      size,
      .bias = d->bias ? d->bias + channel * size : NULL,
      .y = d->y + (plane * out + r0 * columns->out) * size,
      .ahead = AHEAD / size,
      .y_ahead = AHEAD / size,
      .activation = fcv_kernel_activation(conv),
      .slope = conv->slope,
  };
  const int64_t row = fcv_planes_rows(rows, columns, r0, r1, &p);
  p.x = d->x + (plane * rows->in + row) * columns->in * size;
  if (stage)
    p.x = memcpy(stage + d->slack * size, p.x, (size_t)(fcv_planes_extent(&p) * size));
  d->kernels->depthwise_planes(&p);
}

static void planes_unit(const void *context, int64_t unit, int thread) {
  const struct planes *d = context;
  const int64_t part = unit / d->bands, r0 = unit % d->bands * d->band, r1 = fcv_min(d->rows.out, r0 + d->band);
  const int64_t end = d->planes * (part + 1) / d->parts, channels = d->conv->geometry.groups;
  const int64_t out = d->rows.out * d->columns.out;
  for (int64_t p = d->planes * part / d->parts, planes; p < end; p += planes) {
    const int copied = p < d->edge || p >= d->planes - d->edge;
    planes = 1;
    if (!copied && d->bands == 1)
      planes = fcv_min(fcv_min(end, d->planes - d->edge) - p, channels - p % channels);
    if (d->rows.shift_step > 1) /* each is passed several times */
      planes = fcv_min(planes, fcv_max(1, DILATED / out));
    char *stage = copied ? d->thread_memory + thread * d->thread_bytes : NULL;
    if (d->spread)
      run_spread(d, p, planes, r0, r1, stage);
    for (int64_t r = r0; r < fcv_min(r0 + d->rows.shift_step, r1) && !d->spread; r++)
      run_planes(d, p, planes, r, r1, stage);
    fcv_activate(d->kernels, d->conv, (planes - 1) * out + (r1 - r0) * d->columns.out,
                 d->y + (p * out + r0 * d->columns.out) * d->kernels->size);
  }
}

fcv_status fcv_conv_depthwise_planes(const struct fcv_conv *conv, int transposed, const void *x, const void *w,
                                     const void *bias, void *y) {
  const struct fcv_geometry *g = &conv->geometry;
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  fcv_depthwise_first_packed(conv, &w, &bias);
  struct planes d = {.conv = conv, .kernels = k, .planes = g->n * g->groups, .x = x, .bias = bias, .y = y};
  struct fcv_axis z;
  find_axis(conv, transposed, 0, &z);
  find_axis(conv, transposed, 1, &d.rows);
  find_axis(conv, transposed, 2, &d.columns);
  struct fcv_axis walk[2];
  d.spread = transposed && takes_spread(conv);
  if (d.spread && find_spread(conv, 1, walk))
    d.odd_rows = walk[1];
  if (d.spread && find_spread(conv, 2, walk))
    d.odd_columns = walk[1];
  fcv_weight_view(conv, transposed, &d.view);
  d.w = (const char *)w + z.kernel_start * d.view.kernel[0] * k->size; /* its one tap may be any of a deeper kernel */
  d.bands = fcv_min(d.rows.out, fcv_ceil_div(d.rows.out * d.columns.out, BAND));
  d.band = fcv_round_up(fcv_ceil_div(d.rows.out, d.bands), 2);
  d.bands = fcv_ceil_div(d.rows.out, d.band);
  d.slack = FCV_PLANE_SLACK * k->vl;
  d.edge = fcv_ceil_div(d.slack, d.rows.in * d.columns.in);
  const double work = (double)fcv_product(g->out) * (double)(d.planes * fcv_product(g->kernel));
  const int threads = fcv_threads_for(work);
  d.parts = (int64_t)fmax(1, fmin((double)d.planes, work / UNIT_WORK));
  const int64_t reach = fcv_min(d.rows.in, d.band * d.rows.in_step + d.rows.taps * d.rows.shift_step + FCV_SPREAD_TAPS);
  d.thread_bytes = fcv_round_up((reach * d.columns.in + 2 * d.slack) * k->size, 64);
  char *memory;
  const fcv_status status = fcv_workspace(conv, threads * d.thread_bytes, &memory);
  if (status == FCV_OK && memory) {
    d.thread_memory = memory;
    fcv_parallel_for(d.parts * d.bands, threads, planes_unit, &d);
    fcv_scratch_give(memory);
  }
  return status;
}
