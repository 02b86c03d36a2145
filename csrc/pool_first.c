/* Pooling, channels first: row of outputs by row, each from the rows of inputs that its windows share. */
#include "pool.h"

enum {
  WIDE = 1 << 12, /* elements of a row, of which so many are not kept */
  INDICES = 64,   /* of planes' maxima, that are found before they are used */
};

/* Maxima and averages of images, whose rows are reduced some at a time, unless they are very wide. */
static int takes_planes(const struct fcv_pooling *p) {
  const struct fcv_geometry *g = &p->geometry;
  return p->y && !p->index && g->kernel[0] == 1 && g->in[0] == 1 && g->out[0] == 1 && g->pad_lo[0] == 0 &&
         g->kernel[1] > 1 && !p->uneven[1] && !p->uneven[2] && g->stride[2] <= 2 && g->out[2] > 1 && g->in[2] <= WIDE;
}

/* Windows of 2x2 that share nothing: rows of all channels are one array. */
static int is_2x2(const struct fcv_pooling *p) {
  const struct fcv_geometry *g = &p->geometry;
  int is = g->kernel[0] == 1 && g->in[0] == 1 && g->out[0] == 1;
  for (int i = 1; i < FCV_AXES; i++)
    is = is && !p->uneven[i] && g->kernel[i] == 2 && g->stride[i] == 2 && g->dilation[i] == 1 && g->pad_lo[i] == 0 &&
         2 * g->out[i] <= g->in[i];
  return is;
}

/* The others, unless averages are of rows longer than a vector, which runs along each (16x64x32x32 to 7x7 in float64,
 * AVX2: 0.36 ms, transposed 0.40). */
int fcv_pool_first_lanes(const struct fcv_pooling *p) {
  const int wide = p->pass == FCV_POOL_AVG && p->uneven[2] && p->geometry.kernel[2] > p->kernels->vl;
  return fcv_pool_takes_lanes(p) && !is_2x2(p) && !takes_planes(p) && !wide;
}

/* Padded rows that are kept at a time. */
static int64_t columns(const struct fcv_pooling *p) {
  return takes_planes(p) ? FCV_POOL_ROWS : fcv_min(fcv_pool_listed(p), FCV_POOL_ROWS);
}

/* Elements of a padded row, and what vectors read behind it. */
static int64_t column(const struct fcv_pooling *p) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t met = p->uneven[2] ? 0 : (g->out[2] - 1) * g->stride[2] + (g->kernel[2] - 1) * g->dilation[2] + 1;
  return fcv_max(g->pad_lo[2] + g->in[2], fcv_max(met, g->out[2])) + 2 * p->kernels->vl;
}

/* Rows of scales that differ at most: in the padding above and below each may, by the part of a window inside. */
static int64_t scale_rows(const struct fcv_pooling *p) {
  const struct fcv_geometry *g = &p->geometry;
  return takes_planes(p) && p->pass == FCV_POOL_AVG ? fcv_min(g->out[1], 2 * g->kernel[1] + 1) : 0;
}

/* A thread's memory behind the list: what a row's kernel needs, and a row of scales; for planes more of them. */
struct memory {
  struct fcv_pool_list list;
  int64_t *tap;
  const void **scales; /* [rows] */
  char *column, *scale, *first, *best, *which;
};

/* Elements of a row of scales, and what vectors read behind it. */
static int64_t scale_row(const struct fcv_pooling *p) { return p->geometry.out[2] + p->kernels->vl; }

int64_t fcv_pool_first_bytes(const struct fcv_pooling *p) {
  const struct fcv_geometry *g = &p->geometry;
  if (fcv_pool_first_lanes(p))
    return fcv_pool_lanes_bytes(p);
  return (fcv_product(g->kernel) + (scale_rows(p) > 0 ? g->out[1] : 0)) * (int64_t)sizeof(int64_t) +
         (columns(p) * column(p) + fcv_max(3, scale_rows(p)) * scale_row(p)) * p->kernels->size;
}

static struct memory carve_memory(const struct fcv_pooling *p, int thread) {
  const struct fcv_geometry *g = &p->geometry;
  struct memory m = {.list = fcv_pool_list(p, thread)};
  m.tap = m.list.rest;
  m.scales = (const void **)(m.tap + fcv_product(g->kernel));
  m.column = (char *)(m.scales + (scale_rows(p) > 0 ? g->out[1] : 0));
  m.scale = m.column + columns(p) * column(p) * p->kernels->size;
  m.first = m.scale; /* an average has the one, a maximum the other */
  m.best = m.first + scale_row(p) * p->kernels->size;
  m.which = m.best + scale_row(p) * p->kernels->size;
  return m;
}

void fcv_pool_fill_scales(const struct fcv_pooling *p, const struct fcv_window *z, const struct fcv_window *y,
                          char *scales) {
  for (int64_t o = 0; o < p->geometry.out[2]; o++) {
    const double factor = fcv_pool_scale(p, z, y, &p->window[2][o]);
    if (p->pool->dtype == FCV_F32)
      ((float *)scales)[o] = (float)factor;
    else
      ((double *)scales)[o] = factor;
  }
}

/* The first tap of each output of a row that is inside, in the integer of the element's size. */
static void fill_first_taps(const struct fcv_pooling *p, char *first) {
  const struct fcv_geometry *g = &p->geometry;
  for (int64_t o = 0; o < g->out[2]; o++) {
    const struct fcv_window *w = &p->window[2][o];
    const int64_t tap = w->count > 0 ? (w->first + g->pad_lo[2] - o * g->stride[2]) / g->dilation[2] : -1;
    if (p->pool->dtype == FCV_F32)
      ((int32_t *)first)[o] = (int32_t)tap;
    else
      ((int64_t *)first)[o] = tap;
  }
}

/* One channel, row of outputs by row. divisor: that of the scales which the row holds. */
static void pool_plane(const struct fcv_pooling *p, int64_t plane, const struct memory *m, struct fcv_pool_row *row,
                       int64_t *divisor) {
  const struct fcv_geometry *g = &p->geometry;
  const struct fcv_window first_column = {.count = 1};
  const int64_t size = p->kernels->size, in = plane * p->in_plane * size;
  fcv_pool_row_fn *const kernel[] = {
      [FCV_POOL_MAX] = p->index ? p->kernels->pool_max_index_row : p->kernels->pool_max_row,
      [FCV_POOL_AVG] = p->kernels->pool_avg_row,
      [FCV_POOL_MAX_GRAD] = p->kernels->pool_max_grad_row,
      [FCV_POOL_AVG_GRAD] = p->kernels->pool_avg_grad_row,
  };
  if (p->gx)
    row->gx_channel = memset(p->gx + in, 0, (size_t)(p->in_plane * size));
  for (int64_t r = 0; r < g->out[0] * g->out[1]; r++) {
    const struct fcv_window *z = &p->window[0][r / g->out[1]], *y = &p->window[1][r % g->out[1]];
    const int64_t out = plane * p->out_plane + r * g->out[2];
    row->rows = fcv_pool_positions(p, z, y, &first_column, m->list.position);
    row->y = p->y ? p->y + out * size : NULL;
    row->gy = p->gy ? p->gy + out * size : NULL;
    row->index = p->index ? p->index + out : NULL;
    for (int64_t i = 0; i < row->rows; i++) {
      if (p->x)
        m->list.x[i] = p->x + in + m->list.position[i] * size;
      if (p->gx)
        m->list.gx[i] = p->gx + in + m->list.position[i] * size;
    }
    if ((p->pass == FCV_POOL_AVG || p->pass == FCV_POOL_AVG_GRAD) && *divisor != z->divisor * y->divisor) {
      *divisor = z->divisor * y->divisor;
      fcv_pool_fill_scales(p, z, y, m->scale);
    }
    if (row->rows > 0 || row->index)
      kernel[p->pass](row);
    else if (p->pass == FCV_POOL_MAX)
      fcv_pool_fill_lowest(p, g->out[2], row->y);
    else if (p->pass == FCV_POOL_AVG)
      memset(row->y, 0, (size_t)(g->out[2] * size));
  }
}

static void pool_2x2(const struct fcv_pooling *p, int64_t unit) {
  const struct fcv_geometry *g = &p->geometry;
  const struct fcv_kernels *k = p->kernels;
  fcv_pool_2x2_fn *const kernel[] = {
      [FCV_POOL_MAX] = p->index ? k->pool_max_index_2x2 : k->pool_max_2x2,
      [FCV_POOL_AVG] = k->pool_avg_2x2,
      [FCV_POOL_MAX_GRAD] = k->pool_max_2x2_grad,
      [FCV_POOL_AVG_GRAD] = k->pool_avg_2x2_grad,
  };
  const int64_t first = unit * p->planes, last = fcv_min(first + p->planes, g->n * g->ci);
  const int64_t met = 2 * g->out[1] * g->in[2], rest = (g->in[1] - 2 * g->out[1]) * g->in[2] * k->size;
  const int passes = p->gx && fcv_pool_passes_caches(p, met * k->size);
  const int64_t together = g->in[1] == 2 * g->out[1] && !passes ? last - first : 1;
  _Alignas(64) char block[FCV_POOL_BAND];
  struct fcv_pool_2x2 rows = {
      .rows = together * g->out[1], .outputs = g->out[2], .width = g->in[2], .image = g->out[1]};
  rows.scale = fcv_pool_scale(p, &p->window[0][0], &p->window[1][0], &p->window[2][0]);
  for (int64_t plane = first; plane < last; plane += together) {
    const int64_t in = plane * p->in_plane * k->size, out = plane * p->out_plane * k->size;
    rows.x = p->x ? p->x + in : NULL;
    rows.y = p->y ? p->y + out : NULL;
    rows.gy = p->gy ? p->gy + out : NULL;
    rows.gx = passes ? block : p->gx ? p->gx + in : NULL;
    rows.index = p->index ? p->index + plane * p->out_plane : NULL;
    kernel[p->pass](&rows);
    if (passes)
      k->copy_past_caches(met, block, p->gx + in,
                          p->x ? p->x + in + p->in_plane * k->size : p->gy + out + p->out_plane * k->size);
    if (p->gx)
      memset(p->gx + in + together * p->in_plane * k->size - rest, 0, (size_t)rest);
  }
  if (passes)
    fcv_fence();
}

/* One window for each channel, which holds all of it. */
static int is_whole(const struct fcv_pooling *p) {
  const struct fcv_geometry *g = &p->geometry;
  int is = p->in_plane <= INT32_MAX && fcv_product(g->out) == 1 && g->in[0] * g->in[1] == 1;
  for (int i = 0; i < FCV_AXES && is; i++) is = p->window[i][0].count == g->in[i];
  return is;
}

/* The gradient of a maximum: where it is, by planes->index, in gx or what becomes it. */
static void put_whole(const struct fcv_pooling *p, int64_t first, struct fcv_pool_whole *planes) {
  const struct fcv_kernels *k = p->kernels;
  const int64_t elements = planes->planes * p->in_plane;
  char most[INDICES * sizeof(double)], *gx = planes->to;
  planes->from = p->x + first * p->in_plane * k->size;
  planes->to = most;
  k->pool_max_index_whole(planes);
  for (int64_t i = 0; i < planes->planes; i++) planes->index[i] += i * p->in_plane;
  memset(gx, 0, (size_t)(elements * k->size));
  k->unpool_add(planes->planes, 1, 1, elements, planes->index, p->gy + first * k->size, gx);
}

static void pool_whole(const struct fcv_pooling *p, int64_t unit) {
  const struct fcv_geometry *g = &p->geometry;
  const struct fcv_kernels *k = p->kernels;
  fcv_pool_whole_fn *const kernel[] = {
      [FCV_POOL_MAX] = p->index ? k->pool_max_index_whole : k->pool_max_whole,
      [FCV_POOL_AVG] = k->pool_avg_whole,
      [FCV_POOL_AVG_GRAD] = k->pool_avg_whole_grad,
  };
  const int64_t plane = p->in_plane * k->size, last = fcv_min((unit + 1) * p->planes, g->n * g->ci);
  const int passes = p->gx && fcv_pool_passes_caches(p, plane);
  const int64_t fit = passes ? FCV_POOL_BAND / plane : p->planes;
  const int64_t together = p->pass == FCV_POOL_MAX_GRAD ? fcv_min(fit, INDICES) : fit;
  int64_t index[INDICES];
  _Alignas(64) char block[FCV_POOL_BAND];
  struct fcv_pool_whole planes = {
      .count = p->in_plane,
      .scale = fcv_pool_scale(p, &p->window[0][0], &p->window[1][0], &p->window[2][0]),
  };
  for (int64_t first = unit * p->planes; first < last; first += planes.planes) {
    planes.planes = fcv_min(together, last - first);
    planes.from = p->gx ? p->gy + first * k->size : p->x + first * plane;
    planes.to = passes ? block : p->gx ? p->gx + first * plane : p->y + first * k->size;
    planes.index = p->index ? p->index + first : index;
    if (p->pass == FCV_POOL_MAX_GRAD)
      put_whole(p, first, &planes);
    else
      kernel[p->pass](&planes);
    if (passes)
      k->copy_past_caches(planes.planes * p->in_plane, block, p->gx + first * plane, block);
  }
  if (passes)
    fcv_fence();
}

/* Of each row of outputs, one after the other where divisors differ. */
static void fill_rows_of_scales(const struct fcv_pooling *p, const struct memory *m) {
  char *to = m->scale;
  for (int64_t r = 0; r < p->geometry.out[1]; r++) {
    const struct fcv_window *y = &p->window[1][r];
    if (r > 0 && y->divisor == y[-1].divisor) {
      m->scales[r] = m->scales[r - 1];
      continue;
    }
    fcv_pool_fill_scales(p, &p->window[0][0], y, to);
    m->scales[r] = to;
    to += scale_row(p) * p->kernels->size;
  }
}

static void pool_planes(const struct fcv_pooling *p, int64_t unit, const struct memory *m) {
  const struct fcv_geometry *g = &p->geometry;
  const int64_t size = p->kernels->size, first = unit * p->planes;
  fcv_pool_planes_fn *const kernel =
      p->pass == FCV_POOL_AVG ? p->kernels->pool_avg_planes : p->kernels->pool_max_planes;
  if (p->pass == FCV_POOL_AVG)
    fill_rows_of_scales(p, m);
  kernel(&(struct fcv_pool_planes){
      .planes = fcv_min(p->planes, g->n * g->ci - first),
      .rows = g->out[1],
      .outputs = g->out[2],
      .width = g->in[2],
      .kw = g->kernel[2],
      .step = g->stride[2],
      .dilation = g->dilation[2],
      .pad = g->pad_lo[2],
      .window = p->window[1],
      .row_dilation = g->dilation[1],
      .x_plane = p->in_plane,
      .x = p->x + first * p->in_plane * size,
      .column = m->column,
      .pitch = column(p),
      .scale = m->scales,
      .y = p->y + first * p->out_plane * size,
  });
}

/* Some channels, so that small ones share what a unit costs: planes of 7x7 took 33 ns each by themselves, 18
 * together. */
void fcv_pool_first(const void *context, int64_t unit, int thread) {
  const struct fcv_pooling *p = context;
  const struct fcv_geometry *g = &p->geometry;
  if (is_2x2(p)) {
    pool_2x2(p, unit);
    return;
  }
  if (is_whole(p)) {
    pool_whole(p, unit);
    return;
  }
  if (fcv_pool_first_lanes(p)) {
    fcv_pool_lanes(p, unit, thread);
    return;
  }
  const struct memory m = carve_memory(p, thread);
  if (takes_planes(p)) {
    pool_planes(p, unit, &m);
    return;
  }
  struct fcv_pool_row row = {
      .width = g->in[2],
      .outputs = g->out[2],
      .kw = g->kernel[2],
      .step = g->stride[2],
      .dilation = g->dilation[2],
      .pad = g->pad_lo[2],
      .window = p->window[2],
      .one_by_one = g->dilation[2] == 1 && (p->uneven[2] || g->out[2] == 1),
      .x = m.list.x,
      .gx = m.list.gx,
      .position = m.list.position,
      .tap = m.tap,
      .column = m.column,
      .pitch = column(p),
      .first = m.first,
      .best = m.best,
      .which = m.which,
      .scale = m.scale,
  };
  if (p->x && (p->index || p->gx) && !row.one_by_one)
    fill_first_taps(p, m.first);
  int64_t divisor = -1;
  const int64_t last = fcv_min((unit + 1) * p->planes, g->n * g->ci);
  for (int64_t plane = unit * p->planes; plane < last; plane++) pool_plane(p, plane, &m, &row, &divisor);
}
