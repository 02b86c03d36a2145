/* Pooling, channels last: a window is a list of pixels, vectors run along channels. */
#include "pool.h"

/* Of some windows a step apart, those whose vectors at `first` and so on end before `end`. */
static int64_t fitting(const struct fcv_pooling *p, int64_t windows, int64_t step, int64_t first, int64_t end) {
  const int64_t room = end - p->kernels->vl - first;
  return room < 0 ? 0 : room < (windows - 1) * step ? room / step + 1 : windows;
}

/* The windows of a row that begin with o and are alike, at most up to `last`; their pixels go to list->position. Of
 * evenly spaced ones, where the pass allows it, the first alone: a list of a whole image takes time of its own. */
static struct fcv_pool_windows find_alike(const struct fcv_pooling *p, const struct fcv_window *z,
                                          const struct fcv_window *y, int64_t o, int64_t last,
                                          const struct fcv_pool_list *list) {
  const struct fcv_geometry *g = &p->geometry;
  const struct fcv_window *x = &p->window[2][o];
  const int even = p->y && !p->index && z->count == 1 && y->count == 1 && x->count > 1;
  const struct fcv_window first = {.first = x->first, .count = 1};
  const int64_t listed = fcv_pool_positions(p, z, y, even ? &first : x, list->position);
  const int64_t windows = fcv_min(x->alike, last - o), stride = windows > 1 ? g->stride[2] : 0; /* may be any for one */
  return (struct fcv_pool_windows){
      .taps = even ? x->count : listed,
      .apart = even ? g->dilation[2] * g->ci : 0,
      .windows = windows,
      .step = stride * g->ci,
      .stride = stride,
      .pitch = g->ci,
      .x = list->x,
      .gx = list->gx,
      .position = list->position,
      .scale = fcv_pool_scale(p, z, y, x),
  };
}

void fcv_pool_last(const void *context, int64_t unit, int thread) {
  const struct fcv_pooling *p = context;
  const struct fcv_geometry *g = &p->geometry;
  const int64_t size = p->kernels->size, rows = g->out[0] * g->out[1];
  const int64_t split = unit % p->splits, first = unit / p->splits * p->rows;
  const int64_t last = fcv_min(first + p->rows, g->n * rows);
  const int64_t from = g->out[2] * split / p->splits, to = g->out[2] * (split + 1) / p->splits;
  const int64_t x_end = g->n * p->in_plane * g->ci, y_end = ((last - 1) * g->out[2] + to) * g->ci;
  const struct fcv_pool_list list = fcv_pool_list(p, thread);
  for (int64_t row = first; row < last; row++) {
    const struct fcv_window *z = &p->window[0][row % rows / g->out[1]], *y = &p->window[1][row % g->out[1]];
    const int64_t image = row / rows * p->in_plane * g->ci;
    struct fcv_pool_windows w;
    for (int64_t o = from; o < to; o += w.windows) {
      const int64_t out = (row * g->out[2] + o) * g->ci;
      w = find_alike(p, z, y, o, to, &list);
      w.channels = g->ci;
      w.y = p->y + out * size;
      w.index = p->index ? p->index + out : NULL;
      const int64_t listed = w.apart ? 1 : w.taps;
      for (int64_t i = 0; i < listed; i++) list.x[i] = p->x + (image + list.position[i] * g->ci) * size;
      if (w.taps > 0) {
        const int64_t last_tap = image + list.position[listed - 1] * g->ci + (w.taps - listed) * w.apart;
        w.whole = fcv_min(fitting(p, w.windows, w.step, last_tap, x_end), fitting(p, w.windows, w.pitch, out, y_end));
      }
      if (p->pass == FCV_POOL_AVG) {
        p->kernels->pool_avg(&w);
      } else if (w.taps > 0) {
        p->kernels->pool_max(&w);
      } else {
        fcv_pool_fill_lowest(p, w.windows * g->ci, w.y);
        for (int64_t i = 0; w.index && i < w.windows * g->ci; i++) w.index[i] = -1;
      }
    }
  }
}

/* Whether each element of an image is in one window. */
static int shares_nothing(const struct fcv_pooling *p) {
  const struct fcv_geometry *g = &p->geometry;
  int is = 1;
  for (int i = 0; i < FCV_AXES; i++)
    is = is && !p->uneven[i] && g->dilation[i] == 1 && g->pad_lo[i] == 0 && g->kernel[i] * g->out[i] == g->in[i] &&
         (g->stride[i] == g->kernel[i] || g->out[i] == 1);
  return is;
}

/* Windows may overlap, so one unit writes all they share. */
void fcv_pool_last_grad(const void *context, int64_t unit, int thread) {
  const struct fcv_pooling *p = context;
  const struct fcv_geometry *g = &p->geometry;
  const int64_t size = p->kernels->size, pixel = g->ci * size, image = unit / p->splits, split = unit % p->splits;
  const int64_t first = g->ci * split / p->splits, channels = g->ci * (split + 1) / p->splits - first;
  const struct fcv_pool_list list = fcv_pool_list(p, thread);
  const int64_t in = image * p->in_plane * pixel + first * size;
  const int64_t band = g->kernel[1] * g->in[2]; /* pixels of a row of windows */
  const int alone = shares_nothing(p), banded = alone && g->in[0] == 1 && p->splits == 1;
  const int passes = banded && fcv_pool_passes_caches(p, band * pixel);
  _Alignas(64) char block[FCV_POOL_BAND];
  if (!alone)
    fcv_zero_rows(p->in_plane, channels * size, p->gx + in, pixel);
  for (int64_t row = 0; row < g->out[0] * g->out[1]; row++) {
    const struct fcv_window *z = &p->window[0][row / g->out[1]], *y = &p->window[1][row % g->out[1]];
    struct fcv_pool_windows w;
    for (int64_t o = 0; o < g->out[2]; o += w.windows) {
      const struct fcv_window *x = &p->window[2][o];
      const int64_t out = (image * p->out_plane + row * g->out[2] + o) * g->ci + first;
      w = find_alike(p, z, y, o, g->out[2], &list);
      w.channels = channels;
      w.alone = alone;
      w.gy = p->gy + out * size;
      for (int64_t i = 0; i < w.taps; i++) {
        list.x[i] = p->x ? p->x + in + list.position[i] * pixel : NULL;
        list.gx[i] = passes ? block + (list.position[i] - row * band) * pixel : p->gx + in + list.position[i] * pixel;
      }
      if (w.taps > 0 && channels == g->ci) /* not behind a row: the next one may be written already */
        w.whole = fcv_min(
            fitting(p, w.windows, w.step, (x->first + (x->count - 1) * g->dilation[2]) * g->ci, g->in[2] * g->ci),
            fitting(p, w.windows, w.pitch, out, g->n * p->out_plane * g->ci));
      if (p->pass == FCV_POOL_AVG_GRAD)
        p->kernels->pool_avg_grad(&w);
      else if (w.taps > 0)
        p->kernels->pool_max_grad(&w);
    }
    if (passes)
      p->kernels->copy_past_caches(band * g->ci, block, p->gx + in + row * band * pixel,
                                   p->x ? p->x + in + (row + 1) * band * pixel
                                        : p->gy + (image * p->out_plane + (row + 1) * g->out[2]) * pixel);
  }
  if (passes)
    fcv_fence();
}
