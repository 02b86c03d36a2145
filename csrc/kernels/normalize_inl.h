/* Moments of rows and columns, and what subtracts and scales by them; contracts in elements.h. */

/* Sums of the differences from shift, and if graded with gy of its products with them. */
#define add_moments NAME(add_moments)
INLINE void add_moments(const int graded, vec x, vec shift, vec gy, vec *sums) {
  const vec d = x - shift;
  sums[FCV_D] += d;
  sums[FCV_DD] += d * d;
  if (graded) {
    sums[FCV_G] += gy;
    sums[FCV_GD] += gy * d;
  }
}

#define add_vector NAME(add_vector) /* lanes past the end add zeros */
INLINE void add_vector(const int graded, const int weighted, int64_t i, int64_t count, const real *x, const real *gy,
                       const real *w, real shift, vec *sums) {
  vec g = graded ? load_or(gy, i, count, 0) : (vec){0};
  if (weighted)
    g *= load_or(w, i, count, 0);
  add_moments(graded, load_or(x, i, count, shift), splat(shift), g, sums);
}

#define sum_row NAME(sum_row)
INLINE void sum_row(const int graded, const int weighted, int64_t count, const real *x, const real *gy, const real *w,
                    double *sums) {
  vec first[2] = {{0}}, total[2][FCV_MOMENTS] = {{{0}}};
  int64_t i = 0;
  for (; i + 2 * VL <= count; i += 2 * VL) first[0] += load(x + i), first[1] += load(x + i + VL);
  for (; i < count; i += VL) first[0] += load_or(x, i, count, 0);
  const real shift = vsum(first[0] + first[1]) / (real)count;
  for (i = 0; i + 2 * VL <= count; i += 2 * VL) UNROLL(2)
  for (int v = 0; v < 2; v++) add_vector(graded, weighted, i + v * VL, i + 2 * VL, x, gy, w, shift, total[v]);
  for (; i < count; i += VL) add_vector(graded, weighted, i, count, x, gy, w, shift, total[0]);
  sums[FCV_SHIFT] = (double)shift;
  UNROLL(4)
  for (int k = FCV_D; k < FCV_MOMENTS; k++) sums[k] = k < FCV_G || graded ? (double)vsum(total[0][k] + total[1][k]) : 0;
}

static void NAME(moments_row)(int64_t count, const void *x, const void *gy, const void *weight, double *sums) {
  if (weight && gy)
    sum_row(1, 1, count, x, gy, weight, sums);
  else if (gy)
    sum_row(1, 0, count, x, gy, NULL, sums);
  else
    sum_row(0, 0, count, x, NULL, NULL, sums);
}

/* Some vectors of columns side by side: their chains of additions hide each other's latency. */
#define sum_strip NAME(sum_strip)
INLINE void sum_strip(const int graded, const int vectors, int64_t rows, int64_t columns, const real *x, const real *gy,
                      int64_t pitch, real *sums) {
  vec shift[2] = {{0}}, total[2][FCV_MOMENTS] = {{{0}}};
  for (int64_t r = 0; r < rows; r++) UNROLL(2)
  for (int v = 0; v < vectors; v++) shift[v] += load_or(x + r * pitch, v * VL, columns, 0);
  UNROLL(2)
  for (int v = 0; v < vectors; v++) shift[v] *= 1 / (real)rows;
  for (int64_t r = 0; r < rows; r++) UNROLL(2)
  for (int v = 0; v < vectors; v++) {
    const vec g = graded ? load_or(gy + r * pitch, v * VL, columns, 0) : (vec){0};
    add_moments(graded, load_or(x + r * pitch, v * VL, columns, 0), shift[v], g, total[v]);
  }
  UNROLL(2)
  for (int v = 0; v < vectors; v++) {
    total[v][FCV_SHIFT] = shift[v];
    for (int k = 0; k < FCV_MOMENTS; k++) store_upto(sums + k * FCV_STRIP, v * VL, columns, total[v][k]);
  }
}

#define sum_columns NAME(sum_columns)
INLINE void sum_columns(const int graded, int64_t rows, int64_t columns, const real *x, const real *gy, int64_t pitch,
                        real *sums) {
  int64_t j = 0;
  for (; j + 2 * VL <= columns; j += 2 * VL)
    sum_strip(graded, 2, rows, 2 * VL, x + j, graded ? gy + j : NULL, pitch, sums + j);
  for (; j < columns; j += VL) sum_strip(graded, 1, rows, columns - j, x + j, graded ? gy + j : NULL, pitch, sums + j);
}

static void NAME(moments_columns)(int64_t rows, int64_t columns, const void *x, const void *gy, int64_t pitch,
                                  void *sums) {
  if (gy)
    sum_columns(1, rows, columns, x, gy, pitch, sums);
  else
    sum_columns(0, rows, columns, x, NULL, pitch, sums);
}

#define CONSTANT(c) (single ? splat(((const real *)a->c)[0]) : load_or(a->c, j, columns, 0))

/* The element of gy at `at` and beyond, or what a ReLU behind the forward pass leaves of it; j: its column. */
#define masked NAME(masked)
INLINE vec masked(const int single, const int rectified, const struct fcv_affine *a, int64_t j, int64_t columns,
                  int64_t at, vec d) {
  const vec g = load_or((const real *)a->gy + at, j, columns, 0);
  return rectified ? select(d * CONSTANT(mask_scale) + CONSTANT(mask_offset) <= 0, (vec){0}, g) : g;
}

/* One row; constants are arrays, or one number each. */
#define affine NAME(affine)
INLINE void affine(const int single, const int added, const int rectified, int64_t columns, const struct fcv_affine *a,
                   int64_t row) {
  const real *x = (const real *)a->x + row, *addend = added ? (const real *)a->addend + row : NULL;
  real *y = (real *)a->y + row;
  for (int64_t j = 0; j < columns; j += VL) {
    vec v = (load_or(x, j, columns, 0) - CONSTANT(shift)) * CONSTANT(scale) + CONSTANT(offset);
    if (added)
      v += load_or(addend, j, columns, 0);
    store_upto(y, j, columns, rectified ? relu(v) : v);
  }
}

#define affine_grad NAME(affine_grad)
INLINE void affine_grad(const int single, const int rectified, int64_t columns, const struct fcv_affine *a,
                        int64_t row) {
  const real *x = (const real *)a->x + row;
  real *y = (real *)a->y + row;
  for (int64_t j = 0; j < columns; j += VL) {
    const vec d = load_or(x, j, columns, 0) - CONSTANT(shift);
    const vec g = masked(single, rectified, a, j, columns, row, d);
    store_upto(y, j, columns, d * CONSTANT(scale) + CONSTANT(offset) + g * CONSTANT(gy_scale));
  }
}

#define add_graded NAME(add_graded)
INLINE void add_graded(const int single, const int rectified, const struct fcv_affine *a, int64_t j, int64_t columns,
                       int64_t at, vec shift, vec *g_sum, vec *gd_sum) {
  const vec d = load_or((const real *)a->x + at, j, columns, 0) - shift;
  const vec g = masked(single, rectified, a, j, columns, at, d);
  *g_sum += g;
  *gd_sum += g * d;
}

/* Some vectors of columns side by side: their chains of additions hide each other's latency. */
#define graded_strip NAME(graded_strip)
INLINE void graded_strip(const int rectified, const int vectors, const struct fcv_affine *a, int64_t first,
                         int64_t columns, real *sums) {
  vec g[4] = {{0}}, gd[4] = {{0}}, shift[4] = {{0}};
  UNROLL(4)
  for (int v = 0; v < vectors; v++) shift[v] = load_or(a->shift, first + v * VL, columns, 0);
  for (int64_t r = 0; r < a->rows; r++) UNROLL(4)
  for (int v = 0; v < vectors; v++)
    add_graded(0, rectified, a, first + v * VL, columns, r * a->pitch, shift[v], &g[v], &gd[v]);
  UNROLL(4)
  for (int v = 0; v < vectors; v++) {
    store_upto(sums + FCV_G * FCV_STRIP, first + v * VL, columns, g[v]);
    store_upto(sums + FCV_GD * FCV_STRIP, first + v * VL, columns, gd[v]);
  }
}

#define graded_columns NAME(graded_columns)
INLINE void graded_columns(const int rectified, const struct fcv_affine *a, real *sums) {
  int64_t j = 0;
  for (; j + 4 * VL <= a->columns; j += 4 * VL) graded_strip(rectified, 4, a, j, j + 4 * VL, sums);
  for (; j + 2 * VL <= a->columns; j += 2 * VL) graded_strip(rectified, 2, a, j, j + 2 * VL, sums);
  for (; j < a->columns; j += VL) graded_strip(rectified, 1, a, j, a->columns, sums);
}

#define graded_row NAME(graded_row)
INLINE void graded_row(const int rectified, const struct fcv_affine *a, double *sums) {
  const vec shift = splat(*(const real *)a->shift);
  vec g[4] = {{0}}, gd[4] = {{0}};
  int64_t j = 0;
  for (; j + 4 * VL <= a->columns; j += 4 * VL) UNROLL(4)
  for (int v = 0; v < 4; v++) add_graded(1, rectified, a, j + v * VL, j + 4 * VL, 0, shift, &g[v], &gd[v]);
  for (; j < a->columns; j += VL) add_graded(1, rectified, a, j, a->columns, 0, shift, &g[0], &gd[0]);
  sums[FCV_G] = (double)vsum(g[0] + g[1] + (g[2] + g[3]));
  sums[FCV_GD] = (double)vsum(gd[0] + gd[1] + (gd[2] + gd[3]));
}
#undef CONSTANT

#define affine_any NAME(affine_any)
INLINE void affine_any(const int single, int64_t columns, const struct fcv_affine *a, int64_t row) {
  if (a->addend && a->rectified)
    affine(single, 1, 1, columns, a, row);
  else if (a->addend)
    affine(single, 1, 0, columns, a, row);
  else if (a->rectified)
    affine(single, 0, 1, columns, a, row);
  else
    affine(single, 0, 0, columns, a, row);
}

static void NAME(affine_rows)(const struct fcv_affine *a) {
  for (int64_t r = 0; r < a->rows; r++) affine_any(0, a->columns, a, r * a->columns);
}

static void NAME(affine_plane)(const struct fcv_affine *a) { affine_any(1, a->rows * a->columns, a, 0); }

static void NAME(affine_grad_rows)(const struct fcv_affine *a) {
  for (int64_t r = 0; r < a->rows; r++)
    if (a->rectified)
      affine_grad(0, 1, a->columns, a, r * a->columns);
    else
      affine_grad(0, 0, a->columns, a, r * a->columns);
}

static void NAME(affine_grad_plane)(const struct fcv_affine *a) {
  if (a->rectified)
    affine_grad(1, 1, a->rows * a->columns, a, 0);
  else
    affine_grad(1, 0, a->rows * a->columns, a, 0);
}

static void NAME(graded_rows)(const struct fcv_affine *a, void *sums) {
  if (a->rectified)
    graded_columns(1, a, sums);
  else
    graded_columns(0, a, sums);
}

static void NAME(graded_plane)(const struct fcv_affine *a, void *sums) {
  if (a->rectified)
    graded_row(1, a, sums);
  else
    graded_row(0, a, sums);
}

static void NAME(normalize_row)(int64_t columns, const struct fcv_line *line, const void *from, const void *weights,
                                const void *biases, void *to) {
  const real *x = from, *w = weights, *b = biases;
  const real shift = (real)line->shift, scale = (real)line->scale, offset = (real)line->offset;
  real *y = to;
  for (int64_t j = 0; j < columns; j += VL) {
    vec v = (load_or(x, j, columns, 0) - shift) * scale + offset;
    if (w)
      v *= load_or(w, j, columns, 0);
    if (b)
      v += load_or(b, j, columns, 0);
    store_upto(y, j, columns, v);
  }
}

static void NAME(normalize_row_grad)(int64_t columns, const struct fcv_line *line, double gy_scale, const void *from,
                                     const void *gradient, const void *weights, void *to) {
  const real *x = from, *gy = gradient, *w = weights;
  const real shift = (real)line->shift, scale = (real)line->scale, offset = (real)line->offset;
  real *gx = to;
  for (int64_t j = 0; j < columns; j += VL) {
    vec g = load_or(gy, j, columns, 0);
    if (w)
      g *= load_or(w, j, columns, 0);
    store_upto(gx, j, columns, (load_or(x, j, columns, 0) - shift) * scale + offset + g * (real)gy_scale);
  }
}

static void NAME(normalize_row_weights)(int64_t columns, const struct fcv_line *line, const void *from,
                                        const void *gradient, void *weights, void *biases) {
  const real *x = from, *gy = gradient;
  const real shift = (real)line->shift, scale = (real)line->scale, offset = (real)line->offset;
  real *gw = weights, *gb = biases;
  for (int64_t j = 0; j < columns; j += VL) {
    const vec g = load_or(gy, j, columns, 0);
    store_upto(gw, j, columns, load_or(gw, j, columns, 0) + g * ((load_or(x, j, columns, 0) - shift) * scale + offset));
    store_upto(gb, j, columns, load_or(gb, j, columns, 0) + g);
  }
}
