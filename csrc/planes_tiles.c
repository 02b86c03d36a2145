/* Tiles of channels-first direct convolution: some rows of weights times a panel of patches, and how results reach y:
 * in place, row by row of the image, between the zeros of a strided input gradient, or as sums along terms. */
#include "planes_tiles.h"

/* A few elements: for less than a vector or two a call takes longer than the copy. */
static inline void copy_few(char *to, const char *from, int64_t bytes) {
  for (; bytes >= 16; bytes -= 16, to += 16, from += 16) memcpy(to, from, 16);
  if (bytes & 8)
    memcpy(to, from, 8), to += 8, from += 8;
  if (bytes & 4)
    memcpy(to, from, 4);
}

/* Between rows of a tile and the output. */
static void move_tile(const struct fcv_planes *d, const struct fcv_panel *panel, int64_t channel, int m, int to_y,
                      char *tile) {
  const struct fcv_axis *axis = d->patcher.walk.axis;
  const int64_t size = d->kernels->size, plane = axis[0].out * axis[1].out * axis[2].out, step = axis[2].out_step;
  for (int i = 0; i < m; i++)
    for (int64_t r = 0; r < panel->runs; r++) {
      char *y = d->y + ((channel + i) * plane + panel->out[r]) * size;
      char *t = tile + (i * d->width + panel->run[r].start) * size;
      if (step == 1)
        copy_few(to_y ? y : t, to_y ? t : y, panel->run[r].count * size);
      else if (size == 4)
        for (int64_t j = 0; j < panel->run[r].count; j++)
          *((to_y ? (float *)y + j * step : (float *)t + j)) = *((to_y ? (float *)t + j : (float *)y + j * step));
      else
        for (int64_t j = 0; j < panel->run[r].count; j++)
          *((to_y ? (double *)y + j * step : (double *)t + j)) = *((to_y ? (double *)t + j : (double *)y + j * step));
    }
}

/* Pixels between zeros, and below them zeros. */
#define SPREAD(type)                                                                                                   \
  for (int64_t j = 0; j < width / 2; j++) {                                                                            \
    ((type *)y)[2 * j] = ((const type *)t)[j];                                                                         \
    ((type *)y)[2 * j + 1] = 0;                                                                                        \
  }                                                                                                                    \
  if (width % 2 != 0)                                                                                                  \
    ((type *)y)[width - 1] = ((const type *)t)[width / 2];

/* Rows of a tile to every second row and column of the output, and zeros around them. */
static void spread_tile(const struct fcv_planes *d, const struct fcv_panel *panel, int64_t channel, int m,
                        const char *tile) {
  const int64_t size = d->kernels->size, rows = d->patcher.walk.axis[1].out, columns = d->patcher.walk.axis[2].out;
  for (int64_t r = 0; r < panel->runs; r++) {
    const int64_t at = panel->out[r], width = fcv_min(2 * panel->run[r].count, columns - at % columns);
    const int below = at / columns % rows + 1 < rows;
    for (int i = 0; i < m; i++) {
      char *y = d->y + ((channel + i) * rows * columns + at) * size;
      const char *t = tile + (i * d->width + panel->run[r].start) * size;
      if (size == sizeof(float)) {
        SPREAD(float)
      } else {
        SPREAD(double)
      }
      if (below)
        memset(y + columns * size, 0, (size_t)(width * size));
    }
  }
}

/* Memory that is fetched while tiles are computed, in turns of so many of its rows, and how far that is. */
struct fetch {
  struct fcv_patch_memory memory;
  int64_t rows, part, channel;
};

/* A call's share. */
static struct fcv_ahead fetch_share(struct fetch *fetch, int64_t turns) {
  const struct fcv_patch_memory *m = &fetch->memory;
  if (fetch->part >= m->parts)
    return (struct fcv_ahead){0};
  const int64_t skip = fetch->part == 0 ? m->skip : 0;
  const struct fcv_ahead share = {
      .from = m->from + fetch->part * m->part_pitch + fetch->channel * m->pitch + skip,
      .rows = fetch->rows,
      .lines = (m->bytes - skip) / 64 + 1,
      .pitch = m->pitch,
  };
  fetch->channel += turns * fetch->rows;
  if (fetch->channel >= m->channels) {
    fetch->channel = 0;
    fetch->part++;
  }
  return share;
}

/* Where in y the pixels of a panel lie, channel 0. */
static void find_pixels(const struct fcv_planes *d, const struct fcv_panel *panel, int64_t *pixel) {
  for (int64_t r = 0; r < panel->runs; r++)
    for (int64_t i = 0; i < panel->run[r].count; i++)
      pixel[panel->run[r].start + i] = panel->out[r] + i * d->patcher.walk.axis[2].out_step;
}

#define ADD_STARTS(type)                                                                                               \
  for (int64_t i = 0; i < tile->m; i++)                                                                                \
    for (int64_t j = 0; j < panel->count; j++)                                                                         \
      ((type *)sums)[i * k->db + j] += tile->row_bias               ? ((const type *)tile->row_bias)[i]                \
                                       : tile->into == FCV_CONTINUE ? ((const type *)y[i])[pixel[j]]                   \
                                                                    : 0;
#define STORE_SUMS(type)                                                                                               \
  for (int64_t i = 0; i < tile->m; i++)                                                                                \
    for (int64_t j = 0; j < panel->count; j++) ((type *)y[i])[pixel[j]] = ((const type *)sums)[i * k->db + j];

/* The few pixels of a panel, whose sums run along terms: what a tile of igemm computes for others. y: of the tile's
 * channels. */
static void multiply_rest(const struct fcv_planes *d, const struct fcv_panel *panel, const struct fcv_igemm_tile *tile,
                          int ends, void *const *y, char *sums) {
  const struct fcv_kernels *k = d->kernels;
  const int64_t column[FCV_MAX_DB] = {0, 1, 2, 3};
  int64_t pixel[FCV_MAX_DB];
  const void *a[FCV_MAX_DA], *b[FCV_MAX_DB];
  struct fcv_dots_tile dots = {.count = tile->kc, .a = a, .b = b, .c_pitch = k->db, .column = column};
  dots.n = (int)panel->count;
  find_pixels(d, panel, pixel);
  memset(sums, 0, (size_t)(tile->m * k->db * k->size)); /* also those of no pixel, which are activated too */
  for (int j = 0; j < k->db; j++) b[j] = panel->rest + fcv_min(j, panel->count - 1) * d->pitch * k->size;
  for (int i = 0; i < tile->m; i += dots.m) {
    dots.m = (int)fcv_min(k->da, tile->m - i);
    for (int r = 0; r < k->da; r++) a[r] = tile->a[fcv_min(i + r, tile->m - 1)];
    dots.c = sums + (int64_t)i * k->db * k->size;
    k->dots(&dots);
  }
  if (k->size == sizeof(float)) {
    ADD_STARTS(float)
  } else {
    ADD_STARTS(double)
  }
  if (ends && d->conv->activation != FCV_LINEAR)
    k->activation((int)d->conv->activation, d->conv->slope, INFINITY, tile->m * k->db, sums, sums, 0);
  if (k->size == sizeof(float)) {
    STORE_SUMS(float)
  } else {
    STORE_SUMS(double)
  }
}

void fcv_planes_multiply(const struct fcv_planes *d, int64_t group, int64_t first, int64_t last, int64_t channel,
                         int64_t channels, const struct fcv_panel *panel, int64_t panels,
                         const struct fcv_patch_memory *next, char *memory) {
  const struct fcv_kernels *k = d->kernels;
  const struct fcv_axis *axis = d->patcher.walk.axis;
  const int64_t size = k->size, plane = axis[0].out * axis[1].out * axis[2].out;
  const int64_t tiles = fcv_ceil_div(last - first, k->wide);
  const int ends = channel + channels == d->patcher.walk.kc;
  const void *a[FCV_MAX_MR];
  void *c[FCV_MAX_MR], *own[FCV_MAX_MR];
  struct fcv_igemm_tile tile = {
      .taps = 1,
      .kc = channels * d->patcher.taps,
      .a = a,
      .activation = ends ? fcv_kernel_activation(d->conv) : FCV_LINEAR,
      .slope = d->conv->slope,
      .into = channel > 0 ? FCV_CONTINUE : FCV_REPLACE,
      .w_pitch = d->patcher.plane,
  };
  const int64_t turns = fcv_ceil_div(tile.kc, FCV_TURN);
  struct fetch fetch = {.memory = *next};
  fetch.rows = fcv_ceil_div(next->parts * next->channels, turns * tiles * panels);
  for (int t = 0; t < k->wide; t++) own[t] = memory + t * d->width * size;
  for (int64_t t = 0; t < tiles; t++) {
    const int64_t j0 = group * d->patcher.walk.nc + first + (last - first) * t / tiles;
    const int64_t j1 = group * d->patcher.walk.nc + first + (last - first) * (t + 1) / tiles;
    tile.m = (int)(j1 - j0);
    tile.row_bias = d->rows.bias && channel == 0 ? d->rows.bias + j0 * size : NULL;
    for (int i = 0; i < k->wide; i++) {
      const int64_t j = fcv_min(j0 + i, j1 - 1);
      a[i] = d->rows.w + (j * d->rows.pitch + channel * d->patcher.taps) * size;
      c[i] = d->y + j * plane * size;
    }
    for (int64_t p = 0; p < panels; p++) {
      if (panel[p].rest) {
        multiply_rest(d, &panel[p], &tile, ends, c, memory);
        continue;
      }
      const int in_place = panel[p].in_place;
      const int packs = t == 0 && panel[p].rows;
      tile.ahead = fetch_share(&fetch, turns);
      tile.ahead.from = tile.ahead.from ? tile.ahead.from : panel[p].patches; /* c is fetched too */
      tile.w = packs ? panel[p].rows : panel[p].patches;
      tile.pack = panel[p].patches;
      tile.n = (int)panel[p].count;
      tile.c = in_place ? c : own;
      tile.c_bytes = in_place ? panel[p].out[0] * size : 0;
      tile.past_caches = d->past_caches && in_place && tile.c_bytes % d->line == 0;
      if (!in_place && channel > 0)
        move_tile(d, &panel[p], j0, tile.m, 0, memory);
      (packs ? k->igemm_wide_packing : k->igemm_wide[fcv_ceil_div(panel[p].count, k->vl) - 1])(&tile);
      fcv_activate_rows(k, d->conv, ends ? tile.m : 0, tile.n, tile.c, tile.c_bytes);
      if (!in_place && d->spreads && ends)
        spread_tile(d, &panel[p], j0, tile.m, memory);
      else if (!in_place)
        move_tile(d, &panel[p], j0, tile.m, 1, memory);
    }
  }
}
