/* Depthwise convolution of planes that lie without padding; contracts in depthwise.h. A vector of outputs is VL pixels
 * of a row, or where two rows fit into a vector both of them: they are neighbours in memory. */

/* Vectors of a plane that meet the same columns outside: from column at on; mask[t] has the lanes whose pixel at tap t
 * is inside. */
#define plane_columns NAME(plane_columns)
struct plane_columns {
  int64_t at;
  int whole; /* all lanes are */
  ivec mask[FCV_PLANE_TAPS];
};

#define plane_at NAME(plane_at)
INLINE void plane_at(const struct fcv_depthwise_planes *d, int64_t at, const int taps, const int step, const int merged,
                     struct plane_columns *columns) {
  const int64_t in_width = d->in_width, before = d->before, apart = d->apart;
  ivec number;
  UNROLL(16)
  for (int i = 0; i < VL; i++) number[i] = i;
  if (merged == 2)
    number -= (number >= (lane)in_width) & (lane)in_width;
  number *= step;
  columns->at = at;
  columns->whole = merged == 1 && at * step >= before && (at + VL - 1) * step + (taps - 1) * apart - before < in_width;
  UNROLL(8)
  for (int t = 0; t < taps; t++) {
    const int64_t first = at * step + t * apart - before, low = first < 0 ? -first : 0, high = in_width - first;
    columns->mask[t] = (number >= (lane)(low < 4 * VL ? low : 4 * VL)) & (number < (lane)(high < 0        ? 0
                                                                                          : high < 4 * VL ? high
                                                                                                          : 4 * VL));
  }
}

/* Rows of a tile; with up to 5 weights and a vector of x they fit into 16 registers. */
#define PLANE_LINES 7

/* All of a row: the first ones, the last ones, which end with the row, those before them, and others. */
#define plane_sides NAME(plane_sides)
struct plane_sides {
  int64_t last, later;
  struct plane_columns first, final, next_to_last, other;
};

#define plane_sides_of NAME(plane_sides_of)
INLINE void plane_sides_of(const struct fcv_depthwise_planes *d, const int taps, const int step, const int merged,
                           struct plane_sides *sides) {
  sides->last = merged == 1 && d->width > VL ? d->width - VL : 0;
  sides->later = sides->last > 0 ? (sides->last - 1) / VL * VL : 0;
  plane_at(d, 0, taps, step, merged, &sides->first);
  plane_at(d, sides->last, taps, step, merged, &sides->final);
  plane_at(d, sides->later, taps, step, merged, &sides->next_to_last);
  sides->other.whole = 1;
  UNROLL(8)
  for (int t = 0; t < taps; t++) sides->other.mask[t] = (ivec){0} == (ivec){0};
}

#define plane_side NAME(plane_side)
INLINE const struct plane_columns *plane_side(struct plane_sides *sides, int64_t at) {
  sides->other.at = at;
  return at == 0              ? &sides->first
         : at >= sides->last  ? &sides->final
         : at == sides->later ? &sides->next_to_last
                              : &sides->other;
}

/* Of two rows in a vector, those that are inside, where the first is row + at. */
#define plane_rows NAME(plane_rows)
struct plane_rows {
  ivec mask[3 * 2 + FCV_PLANE_TAPS];
};

#define plane_rows_at NAME(plane_rows_at)
INLINE void plane_rows_at(const struct fcv_depthwise_planes *d, int64_t row, const int lines, const int taps,
                          struct plane_rows *rows) {
  ivec number;
  UNROLL(16)
  for (int i = 0; i < VL; i++) number[i] = i;
  const ivec second = number >= (lane)d->in_width;
  UNROLL(16)
  for (int at = 0; at < (lines - 1) * 2 + taps; at++) {
    const lane first_inside = -(row + at >= 0 && row + at < d->in_rows);
    const lane second_inside = -(row + at >= -1 && row + at + 1 < d->in_rows);
    rows->mask[at] = (~second & first_inside) | (second & second_inside);
  }
}

/* A vector of each of some lines, the first of which meets rows from row on. whole: all of what they meet is inside.
 * Summed over the rows of a column of taps, then over columns, so that few weights are held. */
#define plane_tile NAME(plane_tile)
INLINE void plane_tile(const struct fcv_depthwise_planes *d, const struct plane_columns *columns,
                       const struct plane_rows *rows, const real *x, const real *w, const vec bias, int64_t row,
                       real *y, const real *end, const int lines, const int taps, const int step, const int merged,
                       const int whole) {
  const int64_t x_row = d->x_row, in_rows = d->in_rows, w_row = d->w_row, y_row = d->y_row, apart = d->apart;
  const int down = merged * step; /* rows from a line to the next */
  x += row * x_row + columns->at * step - d->before;
  y += columns->at;
  if (d->ahead) {
    UNROLL(8)
    for (int l = 0; l < lines; l++) {
      UNROLL(4)
      for (int i = 0; i < step * step; i++)
        __builtin_prefetch(x + d->ahead + (l * down + i / step) * x_row + i % step * VL, 0, 2);
      __builtin_prefetch(y + d->y_ahead + l * merged * y_row, 1);
    }
  }
  vec acc[PLANE_LINES];
  UNROLL(8)
  for (int l = 0; l < lines; l++) acc[l] = bias;
  for (int t = 0; t < taps; t++, x += apart, w += d->w_column) {
    vec b[FCV_PLANE_TAPS];
    UNROLL(8)
    for (int k = 0; k < taps; k++) b[k] = splat(w[k * w_row]);
    const ivec mask = columns->mask[t];
    UNROLL(32)
    for (int at = 0; at < (lines - 1) * down + taps; at++) {
      if (!whole && merged == 1 && (uint64_t)(row + at) >= (uint64_t)in_rows)
        continue;
      const real *from = x + at * x_row;
      vec a = step == 2 ? even_lanes(load(from), load(from + VL)) : load(from);
      if (merged == 2)
        a = (vec)((ivec)a & mask & rows->mask[at]);
      else if (!whole)
        a = (vec)((ivec)a & mask);
      a = hold(a);
      UNROLL(8)
      for (int l = 0; l < lines; l++)
        if (at >= l * down && at - l * down < taps)
          acc[l] += a * b[at - l * down];
    }
  }
  if (d->activation != FCV_LINEAR) {
    const real slope = (real)d->slope;
    UNROLL(8)
    for (int l = 0; l < lines; l++) acc[l] = d->activation == FCV_RELU ? relu(acc[l]) : leaky_relu(acc[l], slope);
  }
  /* What a line writes behind its end the next one writes over, where that follows. */
  const int follows = y_row == d->width;
  int64_t room = follows ? end - y : d->width - columns->at;
  UNROLL(8)
  for (int l = 0; l < lines; l++, y += merged * y_row, room -= follows * merged * y_row)
    if (room >= VL)
      store(y, acc[l]);
    else
      store_part(y, acc[l], room);
}

/* The last tile ends with the last line, as the last vector ends with a line. */
#define planes_by NAME(planes_by)
INLINE void planes_by(const struct fcv_depthwise_planes *planes, const int lines, const int taps, const int step,
                      const int merged) {
  const struct fcv_depthwise_planes d = *planes; /* no store can change it */
  const int64_t all = (d.rows + merged - 1) / merged;
  struct plane_sides sides;
  plane_sides_of(&d, taps, step, merged, &sides);
  const real *x = d.x, *w = d.w, *bias = d.bias;
  real *y = d.y;
  struct plane_rows rows;
  if (merged == 2)
    plane_rows_at(&d, -d.above, lines, taps, &rows);
  const real *end = y + (d.planes - 1) * d.y_plane + d.rows * d.width;
  for (int64_t p = 0; p < d.planes; p++, x += d.x_plane, w += d.w_plane, y += d.y_plane) {
    const vec b = bias ? splat(bias[p]) : (vec){0};
    for (int64_t i = 0; i < all; i += lines) {
      const int64_t line = i < all - lines ? i : all - lines, row = line * merged * step - d.above;
      if (merged == 2 && all > lines)
        plane_rows_at(&d, row, lines, taps, &rows);
      const int inside = row >= 0 && row + (lines - 1) * step + taps <= d.in_rows;
      for (int64_t j = 0; j < sides.last + VL; j += VL) {
        const struct plane_columns *columns = plane_side(&sides, j);
        real *to = y + line * merged * d.y_row;
        if ((step == 2 ? lines > 1 : lines == PLANE_LINES) && merged == 1 && inside && columns->whole)
          plane_tile(&d, columns, &rows, x, w, b, row, to, end, lines, taps, step, merged, 1);
        else
          plane_tile(&d, columns, &rows, x, w, b, row, to, end, lines, taps, step, merged, 0);
      }
    }
  }
}

/* 7 lines where as many fill their tiles as well as 4 do, and with 7 taps where there are 32 registers; of merged rows
 * there are few lines, and with step 2 tiles of 7 are no faster. */
#define planes_of NAME(planes_of)
INLINE void planes_of(const struct fcv_depthwise_planes *d, const int taps, const int step, const int merged) {
  const int64_t lines = (d->rows + merged - 1) / merged;
  const int few = step == 2 || merged == 2 || (taps == 7 && VECTOR_BYTES < 64);
  if (lines < 4)
    planes_by(d, 1, taps, step, merged);
  else if (few || lines < 7 || (lines + 3) / 4 * 4 < (lines + 6) / 7 * 7)
    planes_by(d, 4, taps, step, merged);
  else
    planes_by(d, PLANE_LINES, taps, step, merged);
}

#define plane_merges NAME(plane_merges) /* two rows in a vector */
INLINE int plane_merges(const struct fcv_depthwise_planes *d) {
  return d->step == 1 && d->apart == 1 && d->x_row == d->width && d->y_row == d->width && 2 * d->width <= VL;
}

/* The copy of a function for so many taps. */
#define PLANES_OF(taps, function, ...)                                                                                 \
  do {                                                                                                                 \
    if (plane_merges(d))                                                                                               \
      function(__VA_ARGS__, taps, 1, 2);                                                                               \
    else if (d->step == 1)                                                                                             \
      function(__VA_ARGS__, taps, 1, 1);                                                                               \
    else if (taps < 7)                                                                                                 \
      function(__VA_ARGS__, taps, 2, 1);                                                                               \
  } while (0)

static void NAME(depthwise_planes)(const struct fcv_depthwise_planes *d) {
  if (d->taps == 3)
    PLANES_OF(3, planes_of, d);
  else if (d->taps == 5)
    PLANES_OF(5, planes_of, d);
  else
    PLANES_OF(7, planes_of, d);
}

/* What some rows add to the sums of some columns of taps. g[d] is the d-th vector of gy before the one whose first tap
 * meets row; newest .. oldest exist, or where whole is set all. */
#define plane_meet NAME(plane_meet)
INLINE void plane_meet(const struct fcv_depthwise_planes *d, const ivec *mask, const real *x, int64_t row, const vec *g,
                       int64_t newest, int64_t oldest, vec *acc, const int columns, const int taps, const int step,
                       const int merged, const int whole) {
  const int down = merged * step, older = (taps - 1) / down;
  UNROLL(2)
  for (int q = 0; q < down; q++) {
    const int64_t r = row + q;
    if (r <= -merged || r >= d->in_rows)
      continue;
    ivec rows = mask[0]; /* of columns masks */
    if (merged == 2) {
      UNROLL(16)
      for (int i = 0; i < VL; i++) rows[i] = i;
      rows = r < 0 ? rows >= (lane)d->in_width : r == d->in_rows - 1 ? rows < (lane)d->in_width : rows >= 0;
    }
    UNROLL(4)
    for (int c = 0; c < columns; c++) {
      const real *from = x + r * d->x_row + c * d->apart;
      vec a = step == 2 ? even_lanes(load(from), load(from + VL)) : load(from);
      a = merged == 2 ? (vec)((ivec)a & mask[c] & rows) : (vec)((ivec)a & mask[c]);
      a = hold(a);
      UNROLL(8)
      for (int k = 0; k <= older; k++)
        if (k * down + q < taps && (whole || (k >= newest && k <= oldest)))
          acc[(k * down + q) * columns + c] += a * g[k];
    }
  }
}

/* Lines of gy from the top on, each a vector; each of x is loaded once for a column of taps. */
#define plane_walk NAME(plane_walk)
INLINE void plane_walk(const struct fcv_depthwise_planes *d, const ivec *mask, const ivec inside, const real *x,
                       const real *gy, int64_t row, int64_t lines, vec *acc, const int columns, const int taps,
                       const int step, const int merged) {
  const int down = merged * step, older = (taps - 1) / down;
  vec g[FCV_PLANE_TAPS];
  UNROLL(8)
  for (int k = 0; k <= older; k++) g[k] = (vec){0};
  for (int64_t i = 0; i < lines + older; i++, row += down, gy += merged * d->y_row) {
    UNROLL(8)
    for (int k = older; k > 0; k--) g[k] = g[k - 1];
    if (i < lines)
      g[0] = (vec)((ivec)load(gy) & inside);
    if (d->ahead && i < lines) {
      UNROLL(4)
      for (int j = 0; j < step * step; j++)
        __builtin_prefetch(x + d->ahead + (row + j / step) * d->x_row + j % step * VL, 0, 2);
      __builtin_prefetch(gy + d->y_ahead, 0, 2);
    }
    if (i >= older && i < lines)
      plane_meet(d, mask, x, row, g, 0, older, acc, columns, taps, step, merged, 1);
    else
      plane_meet(d, mask, x, row, g, i - lines + 1, i, acc, columns, taps, step, merged, 0);
  }
}

/* Some columns of taps. */
#define plane_sums NAME(plane_sums)
INLINE void plane_sums(const struct fcv_depthwise_planes *planes, struct plane_sides *sides, const real *x,
                       const real *gy, real *sums, const int tap, const int columns, const int taps, const int step,
                       const int merged) {
  const struct fcv_depthwise_planes d = *planes;
  const int64_t width = d.width, lines = d.rows / merged;
  vec acc[9];
  ivec number;
  UNROLL(16)
  for (int i = 0; i < VL; i++) number[i] = i;
  UNROLL(16)
  for (int t = 0; t < taps * columns; t++) acc[t] = (vec){0};
  for (int64_t j = 0; j < sides->last + VL; j += VL) {
    const struct plane_columns *at = plane_side(sides, j);
    const int64_t from = j - at->at, to = merged * width < VL ? merged * width : VL; /* not lanes that had their turn */
    const ivec inside = (number >= (lane)from) & (number < (lane)to);
    const real *first = x + at->at * step - d.before + tap * d.apart;
    ivec mask[3];
    UNROLL(4)
    for (int c = 0; c < columns; c++) mask[c] = at->mask[tap + c] & inside;
    plane_walk(&d, mask, inside, first, gy + at->at, -d.above, lines, acc, columns, taps, step, merged);
    if (merged == 1 || d.rows % 2 == 0)
      continue;
    const ivec half = number < (lane)width; /* an odd row */
    const int64_t row = lines * 2 * step - d.above;
    UNROLL(4)
    for (int c = 0; c < columns; c++) mask[c] &= half;
    plane_walk(&d, mask, half, first, gy + lines * 2 * width, row, 1, acc, columns, taps, step, merged);
  }
  UNROLL(8)
  for (int k = 0; k < taps; k++) {
    UNROLL(4)
    for (int c = 0; c < columns; c++) {
      real *sum = sums + (k * taps + tap + c) * VL;
      store(sum, load(sum) + acc[k * columns + c]);
    }
  }
}

#define planes_sums_of NAME(planes_sums_of)
INLINE void planes_sums_of(const struct fcv_depthwise_planes *planes, const real *gy, real *sums, const int taps,
                           const int step, const int merged) {
  const struct fcv_depthwise_planes d = *planes;
  const real *x = d.x;
  struct plane_sides sides;
  plane_sides_of(&d, taps, step, merged, &sides);
  for (int64_t p = 0; p < d.planes; p++, x += d.x_plane, gy += d.y_plane, sums += taps * taps * VL)
    if (taps == 3)
      plane_sums(&d, &sides, x, gy, sums, 0, 3, taps, step, merged);
    else
      for (int t = 0; t < taps; t++) plane_sums(&d, &sides, x, gy, sums, t, 1, taps, step, merged);
}

static void NAME(depthwise_plane_sums)(const struct fcv_depthwise_planes *d, const void *gy, void *sums) {
  if (d->taps == 3)
    PLANES_OF(3, planes_sums_of, d, gy, sums);
  else if (d->taps == 5)
    PLANES_OF(5, planes_sums_of, d, gy, sums);
  else
    PLANES_OF(7, planes_sums_of, d, gy, sums);
}
