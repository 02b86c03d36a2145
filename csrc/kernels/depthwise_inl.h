/* Depthwise convolution; contracts in depthwise.h. */

/* nv vectors of some lines into L2, to be read, */
#define depthwise_fetch NAME(depthwise_fetch)
INLINE void depthwise_fetch(const real *x, const int lines, int64_t pitch, const int nv) {
  UNROLL(8)
  for (int l = 0; l < lines; l++, x += pitch) UNROLL(2)
  for (int byte = 0; byte < nv * VECTOR_BYTES; byte += 64) __builtin_prefetch((const char *)x + byte, 0, 2);
}

#define depthwise_claim NAME(depthwise_claim) /* and into the cache, to be written. */
INLINE void depthwise_claim(const real *y, const int lines, int64_t pitch, const int nv) {
  UNROLL(8)
  for (int l = 0; l < lines; l++, y += pitch) UNROLL(2)
  for (int byte = 0; byte < nv * VECTOR_BYTES; byte += 64) __builtin_prefetch((const char *)y + byte, 1);
}

/* What some taps add to the lines of a tile, which have taps in common: each vector of x is loaded once for all of
 * them. edges: only those from begin to end - 1 are inside. */
#define depthwise_shared NAME(depthwise_shared)
INLINE void depthwise_shared(const struct fcv_depthwise *d, const real *x, const real *w, vec (*acc)[2],
                             const int lines, const int nv, const int taps, const int step, const int plane,
                             const int edges, int64_t begin, int64_t end) {
  vec b[8][2];
  UNROLL(8)
  for (int t = 0; t < taps; t++, w += d->w_tap) UNROLL(2)
  for (int v = 0; v < nv; v++) b[t][v] = !plane ? load(w + v * VL) : v > 0 ? b[t][0] : splat(*w);
  UNROLL(16)
  for (int at = 0; at < (lines - 1) * step + taps; at++, x += d->x_tap) {
    if (edges && (at < begin || at >= end))
      continue;
    UNROLL(2)
    for (int v = 0; v < nv; v++) {
      const vec a = plane ? load(x + v * VL) : hold(load(x + v * VL));
      UNROLL(8)
      for (int l = 0; l < lines; l++)
        if (at >= l * step && at - l * step < taps)
          acc[l][v] += a * b[at - l * step][v];
    }
  }
}

enum { NAME(conflict) = 2048 };
#define CONFLICT NAME(conflict) /* lines so many bytes apart share few sets of L1 */
enum { NAME(some_taps) = 4 };
#define SOME_TAPS NAME(some_taps) /* of any number, that are taken together */
/* nv vectors of each of some lines. taps > 0: as many, else any number; step > 0: step * x_tap == x_step, so that
 * neighbouring lines have taps in common; edges: some taps may lie outside. The same order of sums in any case. */
#define depthwise_lines NAME(depthwise_lines)
INLINE void depthwise_lines(const struct fcv_depthwise *d, int64_t i, int64_t j, const int lines, const int nv,
                            const int taps, const int step, const int plane, const int edges) {
  const int64_t x_step = d->x_step, x_tap = d->x_tap, w_tap = d->w_tap;
  const int64_t begin = d->begin - i * step, end = d->end - i * step;
  const real *bias = d->bias;
  vec acc[FCV_DEPTHWISE_LINES][2];
  UNROLL(8)
  for (int l = 0; l < lines; l++) UNROLL(2)
  for (int v = 0; v < nv; v++) acc[l][v] = !bias ? (vec){0} : plane ? splat(*bias) : load(bias + j + v * VL);
  for (int64_t g = 0; g < d->groups; g++) {
    const real *x = (const real *)d->x[g] + d->x_offset + i * x_step + j;
    const real *w = (const real *)d->w[g] + d->w_offset + (plane ? 0 : j);
    if (!plane && g >= d->groups - d->fresh)
      depthwise_fetch(x + d->ahead, step > 0 ? lines * step : lines, step > 0 ? x_tap : x_step, nv);
    if (taps > 0) {
      depthwise_shared(d, x, w, acc, lines, nv, taps, step, plane, edges, begin, end);
      continue;
    }
    int64_t t = 0;
    if (step > 0)
      for (; t + SOME_TAPS <= d->taps; t += SOME_TAPS, x += SOME_TAPS * x_tap, w += SOME_TAPS * w_tap)
        depthwise_shared(d, x, w, acc, lines, nv, SOME_TAPS, step, plane, 0, 0, 0);
    for (; t < d->taps; t++, x += x_tap, w += w_tap) UNROLL(2)
    for (int v = 0; v < nv; v++) {
      const vec b = plane ? splat(*w) : load(w + v * VL);
      UNROLL(8)
      for (int l = 0; l < lines; l++) acc[l][v] += load(x + l * x_step + v * VL) * b;
    }
  }
  if (d->activation != FCV_LINEAR) {
    const real slope = (real)d->slope;
    UNROLL(8)
    for (int l = 0; l < lines; l++) UNROLL(2)
    for (int v = 0; v < nv; v++) acc[l][v] = d->activation == FCV_RELU ? relu(acc[l][v]) : leaky_relu(acc[l][v], slope);
  }
  real *y = (real *)d->y + i * d->y_step + j;
  /* Lines of the next tile; or of this one, all at once, where those of x would push them out again. */
  const int conflicts = d->y_step * (int64_t)sizeof(real) % CONFLICT == 0;
  if (!plane && !d->past_caches)
    depthwise_claim(y + (conflicts ? 0 : FCV_DEPTHWISE_LINES * d->y_step), lines, d->y_step, nv);
  if (!plane && d->past_caches) {
    UNROLL(8)
    for (int l = 0; l < lines; l++, y += d->y_step) UNROLL(2)
    for (int v = 0; v < nv; v++) stream(y + v * VL, acc[l][v]);
    return;
  }
  UNROLL(8)
  for (int l = 0; l < lines; l++, y += d->y_step) UNROLL(2)
  for (int v = 0; v < nv; v++) /* What a short line writes behind its end is written over by the next ones. */
    if (nv > 1 || d->width >= VL || (d->y_step == d->width && (d->count - i - l) * d->width >= VL))
      store(y + v * VL, acc[l][v]);
    else
      store_part(y, acc[l][v], d->width);
}

#define depthwise_tile NAME(depthwise_tile)
INLINE void depthwise_tile(const struct fcv_depthwise *d, int64_t i, const int lines, const int nv, const int taps,
                           const int step, const int plane, const int edges) {
  const int64_t last = d->width > VL ? d->width - VL : 0;
  int64_t j = 0;
  if (nv == 2)
    for (; j + 2 * VL <= d->width; j += 2 * VL) depthwise_lines(d, i, j, lines, 2, taps, step, plane, edges);
  for (; j < d->width; j += VL) depthwise_lines(d, i, j < last ? j : last, lines, 1, taps, step, plane, edges);
}

/* Lines that make a tile together; the last tile ends with the last line, as the last vector ends with a line. */
#define depthwise_all NAME(depthwise_all)
INLINE void depthwise_all(const struct fcv_depthwise *lines, const int nv, const int taps, const int step,
                          const int plane) {
  const struct fcv_depthwise d = *lines; /* no store can change it */
  const int64_t last = d.count - FCV_DEPTHWISE_LINES;
  if (last < 0) {
    for (int64_t i = 0; i < d.count; i++) depthwise_tile(&d, i, 1, 2, 0, 0, plane, 0);
    return;
  }
  for (int64_t i = 0; i < d.count; i += FCV_DEPTHWISE_LINES) {
    const int64_t at = i < last ? i : last, columns = (FCV_DEPTHWISE_LINES - 1) * step + taps;
    if (!plane && taps > 0 && d.end > 0 && (at * step < d.begin || at * step + columns > d.end))
      depthwise_tile(&d, at, FCV_DEPTHWISE_LINES, nv, taps, step, plane, 1);
    else
      depthwise_tile(&d, at, FCV_DEPTHWISE_LINES, nv, taps, step, plane, 0);
  }
}

#define depthwise_any NAME(depthwise_any)
INLINE void depthwise_any(const struct fcv_depthwise *d, const int plane) {
  const int step = d->x_step == d->x_tap ? 1 : d->x_step == 2 * d->x_tap ? 2 : 0;
  if (d->taps == 3 && step == 1)
    depthwise_all(d, 2, 3, 1, plane);
  else if (d->taps == 3 && step == 2)
    depthwise_all(d, 2, 3, 2, plane);
  else if (d->taps == 5 && step == 1)
    depthwise_all(d, VECTOR_BYTES == 64 ? 2 : 1, 5, 1, plane); /* where there are 32 registers */
  else if (d->taps == 7 && step == 1)
    depthwise_all(d, VECTOR_BYTES == 64 ? 2 : 1, 7, 1, plane);
  else if (d->taps >= SOME_TAPS && step == 1)
    depthwise_all(d, VECTOR_BYTES == 64 ? 2 : 1, 0, 1, plane);
  else
    depthwise_all(d, 2, 0, 0, plane);
}

static void NAME(depthwise_last)(const struct fcv_depthwise *d) { depthwise_any(d, 0); }
static void NAME(depthwise_first)(const struct fcv_depthwise *d) { depthwise_any(d, 1); }

#define depthwise_add NAME(depthwise_add)
INLINE void depthwise_add(const struct fcv_depthwise_sums *s, int64_t first_tap, int64_t j, const int taps,
                          const vec *acc) {
  UNROLL(16)
  for (int t = 0; t < taps; t++) {
    real *gw = (real *)s->gw[first_tap + t] + s->gw_offset + j;
    store(gw, load(gw) + acc[t]);
  }
}

/* The sums of some taps, as many as there are registers for. */
#define depthwise_sum NAME(depthwise_sum)
INLINE void depthwise_sum(const struct fcv_depthwise_sums *s, int64_t first_tap, int64_t j, const int taps,
                          const int plane) {
  const int64_t width = s->width, rest = width % VL;
  const real *x[FCV_DEPTHWISE_TAPS], *gy = (const real *)s->gy + j;
  vec acc[FCV_DEPTHWISE_TAPS];
  real inside[VL];
  for (int l = 0; l < VL; l++) inside[l] = width < VL ? l < width : l >= VL - rest;
  const ivec mask = load(inside) != (vec){0};
  UNROLL(16)
  for (int t = 0; t < taps; t++) {
    x[t] = (const real *)s->x[first_tap + t] + s->x_offset + j;
    acc[t] = (vec){0};
  }
  for (int64_t r = 0; r < s->rows; r++, gy += s->gy_row) {
    int64_t at = r * s->x_row;
    if (plane) {
      int64_t i = 0;
      for (; i + VL <= width; i += VL) {
        const vec g = load(gy + i);
        UNROLL(16)
        for (int t = 0; t < taps; t++) acc[t] += load(x[t] + at + i) * g;
      }
      if (rest == 0)
        continue;
      i = width < VL ? 0 : width - VL; /* lanes that had their turn are left out */
      const int reads = width >= VL || (s->rows - 1 - r) * s->gy_row + width >= VL;
      const vec g = select(mask, reads ? load(gy + i) : load_part(gy, width), (vec){0});
      UNROLL(16)
      for (int t = 0; t < taps; t++) acc[t] += select(mask, load(x[t] + at + i), (vec){0}) * g;
    } else {
      for (int64_t i = 0; i < s->count; i++, at += s->x_step) {
        const vec g = load(gy + i * s->gy_step);
        UNROLL(16)
        for (int t = 0; t < taps; t++) acc[t] += load(x[t] + at) * g;
      }
    }
  }
  depthwise_add(s, first_tap, j, taps, acc);
}

/* Pixels that a later call reads, a vector after the other: at is the next one, left those of its pixel. */
#define trail NAME(trail)
struct trail {
  const real *at;
  int64_t left, width, gap;
};
#define trail_start NAME(trail_start)
INLINE struct trail trail_start(const struct fcv_depthwise_sums *s, const void *from, int64_t vectors) {
  const int64_t width = s->width / VL, pixel = vectors / width, before = vectors % width;
  return (struct trail){(const real *)from + pixel * s->gy_step + before * VL, width - before, width,
                        s->gy_step - s->width};
}

#define trail_fetch NAME(trail_fetch)
INLINE void trail_fetch(struct trail *t, int64_t vectors) {
  for (int64_t v = 0; v < vectors; v++) {
    __builtin_prefetch(t->at, 0, 2);
    t->at += VL;
    if (--t->left > 0)
      continue;
    t->at += t->gap;
    t->left = t->width;
  }
}

/* What the pixels from x[row] + at on, as many as outputs are apart, add to the sums of the taps that meet them. g[k]
 * is the k-th output before the one whose first tap is at, and exists for k = newest .. oldest. */
#define depthwise_meet NAME(depthwise_meet)
INLINE void depthwise_meet(const real *const *x, int64_t at, int64_t x_tap, const vec *g, const int newest,
                           const int oldest, const int rows, const int columns, const int step, vec *acc) {
  UNROLL(2)
  for (int q = 0; q < step; q++, at += x_tap) UNROLL(4)
  for (int row = 0; row < rows; row++) {
    if (newest * step + q >= columns)
      continue;
    const vec a = hold(load(x[row] + at));
    UNROLL(8)
    for (int k = newest; k <= oldest; k++)
      if (k * step + q < columns)
        acc[row * columns + k * step + q] += a * g[k];
  }
}

/* The sums of rows of taps that are neighbours, of outputs that are step taps apart, older + 1 at least: each vector is
 * loaded once. Each sum in the same order as in depthwise_sum. */
#define depthwise_sum_rows NAME(depthwise_sum_rows)
INLINE void depthwise_sum_rows(const struct fcv_depthwise_sums *s, int64_t first_tap, int64_t j, const int rows,
                               const int columns, const int step) {
  const int older = (columns - 1) / step;
  const int64_t x_step = s->x_step, x_tap = s->x_tap, gy_step = s->gy_step, count = s->count;
  const int fetches = s->x_ahead && first_tap == 0;
  const real *x[3], *gy = (const real *)s->gy + j;
  vec acc[2 * 5], g[7];
  UNROLL(16)
  for (int t = 0; t < rows * columns; t++) acc[t] = (vec){0};
  UNROLL(4)
  for (int row = 0; row < rows; row++) x[row] = (const real *)s->x[first_tap + row * columns] + s->x_offset + j;
  for (int64_t r = 0; r < s->rows; r++, gy += s->gy_row) {
    struct trail x_trail = {0}, gy_trail = {0};
    if (fetches) {
      const int64_t before = (j / VL * s->rows + r) * count;
      x_trail = trail_start(s, s->x_ahead, before * s->x_fetches);
      gy_trail = trail_start(s, s->gy_ahead, before);
    }
    int64_t at = r * s->x_row;
    UNROLL(8)
    for (int i = 0; i < older; i++, at += x_step) {
      UNROLL(8)
      for (int k = i; k > 0; k--) g[k] = g[k - 1];
      g[0] = load(gy + i * gy_step);
      depthwise_meet(x, at, x_tap, g, 0, i, rows, columns, step, acc);
    }
    for (int64_t i = older; i < count; i++, at += x_step) {
      if (fetches) {
        trail_fetch(&x_trail, s->x_fetches);
        trail_fetch(&gy_trail, 1);
      }
      UNROLL(8)
      for (int k = older; k > 0; k--) g[k] = g[k - 1];
      g[0] = load(gy + i * gy_step);
      depthwise_meet(x, at, x_tap, g, 0, older, rows, columns, step, acc);
    }
    UNROLL(8)
    for (int i = 1; i <= older; i++, at += x_step) {
      UNROLL(8)
      for (int k = older; k > 0; k--) g[k] = g[k - 1];
      depthwise_meet(x, at, x_tap, g, i, older, rows, columns, step, acc);
    }
  }
  depthwise_add(s, first_tap, j, rows * columns, acc);
}

#define depthwise_sum_taps NAME(depthwise_sum_taps)
INLINE void depthwise_sum_taps(const struct fcv_depthwise_sums *sums, int64_t j, const int plane) {
  const struct fcv_depthwise_sums s = *sums;
  int64_t t = 0;
  if (!plane && s.count >= s.columns) {
    const int step = s.x_step == s.x_tap ? 1 : s.x_step == 2 * s.x_tap ? 2 : 0;
    for (; s.columns == 3 && step == 1 && t + 9 <= s.taps; t += 9) depthwise_sum_rows(&s, t, j, 3, 3, 1);
    for (; s.columns == 3 && step == 2 && t + 9 <= s.taps; t += 9) depthwise_sum_rows(&s, t, j, 3, 3, 2);
    for (; s.columns == 5 && step == 1 && t + 10 <= s.taps; t += 10) depthwise_sum_rows(&s, t, j, 2, 5, 1);
    for (; s.columns == 5 && step == 1 && t + 5 <= s.taps; t += 5) depthwise_sum_rows(&s, t, j, 1, 5, 1);
    for (; s.columns == 7 && step == 1 && t + 7 <= s.taps; t += 7) depthwise_sum_rows(&s, t, j, 1, 7, 1);
  }
  for (; t + FCV_DEPTHWISE_TAPS <= s.taps; t += FCV_DEPTHWISE_TAPS) depthwise_sum(&s, t, j, FCV_DEPTHWISE_TAPS, plane);
  for (; t + 5 <= s.taps; t += 5) depthwise_sum(&s, t, j, 5, plane);
  for (; t + 2 <= s.taps; t += 2) depthwise_sum(&s, t, j, 2, plane);
  for (; t < s.taps; t++) depthwise_sum(&s, t, j, 1, plane);
}

static void NAME(depthwise_sums_last)(const struct fcv_depthwise_sums *sums) {
  for (int64_t j = 0; j < sums->width; j += VL) depthwise_sum_taps(sums, j, 0);
}

static void NAME(depthwise_sums_first)(const struct fcv_depthwise_sums *sums) { depthwise_sum_taps(sums, 0, 1); }
