/* Depthwise convolution to every second row and column; contract in depthwise.h. A vector of results is VL pixels of
 * both residues of columns, by turns, and where its row is shorter, what is written behind its end the next row writes
 * over. */

/* What the vectors of two residues hold, up to end. */
#define spread_store NAME(spread_store)
INLINE void spread_store(const struct fcv_depthwise_spread *d, vec acc[2], real *y, const real *end) {
  if (d->activation != FCV_LINEAR) {
    const real slope = (real)d->slope;
    UNROLL(2)
    for (int b = 0; b < 2; b++) acc[b] = d->activation == FCV_RELU ? relu(acc[b]) : leaky_relu(acc[b], slope);
  }
  __builtin_prefetch(y + d->y_ahead, 1);
  __builtin_prefetch(y + d->y_ahead + VL, 1);
  UNROLL(2)
  for (int half = 0; half < 2; half++, y += VL) {
    const vec v = half ? high_lanes(acc[0], acc[1]) : low_lanes(acc[0], acc[1]);
    if (end - y >= VL)
      store(y, v);
    else if (end > y)
      store_part(y, v, end - y);
  }
}

/* The vectors of one row of outputs whose pixels come from two residues by turns. */
#define spread_row NAME(spread_row)
INLINE void spread_row(const struct fcv_depthwise_spread *d, struct plane_sides sides[2], const struct fcv_spread *rows,
                       const real *x, const real *w, const vec bias, int64_t row, real *y, const real *end) {
  const int64_t last = sides->last;
  for (int64_t j = 0; j < last + VL; j += VL) {
    vec acc[2] = {bias, bias};
    const int64_t at = j < last ? j : last;
    UNROLL(2)
    for (int b = 0; b < 2; b++) {
      const struct fcv_spread *columns = &d->column[b];
      const struct plane_columns *side = plane_side(&sides[b], j);
      for (int64_t k = 0; k < rows->taps; k++) {
        const int64_t r = row + rows->shift + k;
        if (r < 0 || r >= d->in_rows)
          continue;
        for (int64_t t = 0; t < columns->taps; t++) {
          const vec a = load(x + r * d->in_width + at + columns->shift + t);
          acc[b] +=
              (vec)((ivec)a & side->mask[t]) * splat(w[rows->w + k * rows->w_tap + columns->w + t * columns->w_tap]);
        }
      }
    }
    spread_store(d, acc, y + 2 * at, end);
  }
}

/* Two rows of results of 3 x 3 taps, a vector of each residue of columns: of two residues one has two taps, which meet
 * the pixels i and i + 1 from its shift on, and the other has one. That meets pixel i + 1 where the residue with two
 * taps is the first, and else pixel i, so that four pixels, each loaded once, are all that nine taps need. two_row and
 * two_column: the residues that have two taps. w: of the two taps, then of the one. */
#define spread_square NAME(spread_square)
INLINE void spread_square(const struct fcv_depthwise_spread *d, const ivec *mask, const vec (*w)[3], const vec bias,
                          const real *x, int64_t row, vec (*acc)[2], const int two_row, const int two_column) {
  vec a[2][2] = {0};
  UNROLL(2)
  for (int k = 0; k < 2; k++)
    if (row + k >= 0 && row + k < d->in_rows) {
      UNROLL(2)
      for (int t = 0; t < 2; t++) a[k][t] = (vec)((ivec)load(x + (row + k) * d->in_width + t) & mask[t]);
    }
  UNROLL(2)
  for (int r = 0; r < 2; r++) {
    UNROLL(2)
    for (int c = 0; c < 2; c++) {
      const int k0 = r == two_row ? 0 : !two_row, k1 = r == two_row ? 2 : k0 + 1;
      const int t0 = c == two_column ? 0 : !two_column, t1 = c == two_column ? 2 : t0 + 1;
      acc[r][c] = bias;
      UNROLL(2)
      for (int k = k0; k < k1; k++) {
        UNROLL(2)
        for (int t = t0; t < t1; t++) acc[r][c] += a[k][t] * w[r == two_row ? k : 2][c == two_column ? t : 2];
      }
    }
  }
}

/* All of the planes, by squares. */
#define spread_squares NAME(spread_squares)
INLINE void spread_squares(const struct fcv_depthwise_spread *spread, struct plane_sides *sides, const int two_row,
                           const int two_column) {
  const struct fcv_depthwise_spread d = *spread; /* no store can change it */
  const struct fcv_spread *const rows[2] = {&d.row[two_row], &d.row[!two_row]};
  const struct fcv_spread *const columns[2] = {&d.column[two_column], &d.column[!two_column]};
  const real *x = d.x, *weights = d.w, *bias = d.bias;
  real *y = d.y;
  const real *end = y + (d.planes - 1) * d.y_plane + d.rows * d.width;
  for (int64_t p = 0; p < d.planes; p++, x += d.x_plane, weights += d.w_plane, y += d.y_plane) {
    vec w[3][3];
    UNROLL(3)
    for (int k = 0; k < 3; k++) {
      UNROLL(3)
      for (int t = 0; t < 3; t++)
        w[k][t] = splat(
            weights[rows[k / 2]->w + k % 2 * rows[k / 2]->w_tap + columns[t / 2]->w + t % 2 * columns[t / 2]->w_tap]);
    }
    const vec b = bias ? splat(bias[p]) : (vec){0};
    for (int64_t r = 0; r < d.rows; r += 2) {
      real *first = y + r * d.width, *second = first + d.width;
      if (d.ahead)
        __builtin_prefetch(x + d.ahead + r / 2 * d.in_width, 0, 2);
      for (int64_t j = 0; j < sides->last + VL; j += VL) {
        const int64_t at = j < sides->last ? j : sides->last;
        vec acc[2][2];
        spread_square(&d, plane_side(sides, j)->mask, w, b, x + at + columns[0]->shift, r / 2 + rows[0]->shift, acc,
                      two_row, two_column);
        spread_store(&d, acc[0], first + 2 * at, j < VL ? end : second); /* the second row has begun */
        if (r + 1 < d.rows)
          spread_store(&d, acc[1], second + 2 * at, end);
      }
    }
  }
}

static void NAME(depthwise_spread)(const struct fcv_depthwise_spread *spread) {
  const struct fcv_depthwise_spread d = *spread;
  const real *x = d.x, *w = d.w, *bias = d.bias;
  real *y = d.y;
  const real *end = y + (d.planes - 1) * d.y_plane + d.rows * d.width;
  struct plane_sides sides[2];
  UNROLL(2)
  for (int b = 0; b < 2; b++) {
    const struct fcv_depthwise_planes columns = {
        .in_width = d.in_width, .width = (d.width + 1) / 2, .before = -d.column[b].shift, .apart = 1};
    plane_sides_of(&columns, FCV_SPREAD_TAPS, 1, 1, &sides[b]);
  }
  if (d.row[0].taps + d.row[1].taps == 3 && d.column[0].taps + d.column[1].taps == 3) {
    const int row = d.row[1].taps - 1, column = d.column[1].taps - 1;
    if (row && column)
      spread_squares(&d, &sides[1], 1, 1);
    else if (row)
      spread_squares(&d, &sides[0], 1, 0);
    else if (column)
      spread_squares(&d, &sides[1], 0, 1);
    else
      spread_squares(&d, &sides[0], 0, 0);
    return;
  }
  for (int64_t p = 0; p < d.planes; p++, x += d.x_plane, w += d.w_plane) {
    const vec b = bias ? splat(bias[p]) : (vec){0};
    for (int64_t r = 0; r < d.rows; r++) {
      if (d.ahead && r % 2 == 0)
        __builtin_prefetch(x + d.ahead + r / 2 * d.in_width, 0, 2);
      spread_row(&d, sides, &d.row[r % 2], x, w, b, r / 2, y + p * d.y_plane + r * d.width, end);
    }
  }
}
