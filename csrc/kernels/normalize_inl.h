/* Moments of rows and columns, and what subtracts and scales by them; contracts in kernels.h. */

/* Sums of the differences from shift, and with gy of its products with them; lanes past the end add zeros. */
#define add_moments NAME(add_moments)
INLINE void add_moments(vec x, vec shift, vec gy, vec *sums) {
  const vec d = x - shift;
  sums[FCV_D] += d;
  sums[FCV_DD] += d * d;
  sums[FCV_G] += gy;
  sums[FCV_GD] += gy * d;
}

static void NAME(moments_row)(int64_t count, const void *from, const void *gradient, const void *weights,
                              double *sums) {
  const real *x = from, *gy = gradient, *w = weights;
  const real mean = (real)(NAME(sum)(count, x) / (double)count);
  const vec shift = splat(mean);
  vec even[FCV_MOMENTS] = {{0}}, odd[FCV_MOMENTS] = {{0}};
  for (int64_t i = 0; i < count; i += VL) {
    vec g = gy ? load_or(gy, i, count, 0) : (vec){0};
    if (w)
      g *= load_or(w, i, count, 0);
    add_moments(load_or(x, i, count, mean), shift, g, i / VL % 2 ? odd : even);
  }
  sums[FCV_SHIFT] = (double)mean;
  for (int k = FCV_D; k < FCV_MOMENTS; k++) sums[k] = (double)vsum(even[k] + odd[k]);
}

/* Some vectors of columns side by side: their chains of additions hide each other's latency. */
#define moments_strip NAME(moments_strip)
INLINE void moments_strip(const int vectors, int64_t rows, int64_t columns, const real *x, const real *gy,
                          int64_t pitch, real *sums) {
  vec shift[2] = {{0}}, total[2][FCV_MOMENTS] = {{{0}}};
  for (int64_t r = 0; r < rows; r++) UNROLL(2)
  for (int v = 0; v < vectors; v++) shift[v] += load_or(x + r * pitch, v * VL, columns, 0);
  UNROLL(2)
  for (int v = 0; v < vectors; v++) shift[v] *= 1 / (real)rows;
  for (int64_t r = 0; r < rows; r++) UNROLL(2)
  for (int v = 0; v < vectors; v++)
    add_moments(load_or(x + r * pitch, v * VL, columns, 0), shift[v],
                gy ? load_or(gy + r * pitch, v * VL, columns, 0) : (vec){0}, total[v]);
  UNROLL(2)
  for (int v = 0; v < vectors; v++) {
    total[v][FCV_SHIFT] = shift[v];
    for (int k = 0; k < FCV_MOMENTS; k++) store_upto(sums + k * FCV_STRIP, v * VL, columns, total[v][k]);
  }
}

static void NAME(moments_columns)(int64_t rows, int64_t columns, const void *from, const void *gradient, int64_t pitch,
                                  void *to) {
  const real *x = from, *gy = gradient;
  real *sums = to;
  int64_t j = 0;
  for (; j + 2 * VL <= columns; j += 2 * VL) moments_strip(2, rows, 2 * VL, x + j, gy ? gy + j : NULL, pitch, sums + j);
  for (; j < columns; j += VL) moments_strip(1, rows, columns - j, x + j, gy ? gy + j : NULL, pitch, sums + j);
}

/* One row; constants are arrays, or one number each. */
#define affine NAME(affine)
INLINE void affine(const int single, const int graded, int64_t columns, const struct fcv_affine *a, int64_t row) {
  const real *x = (const real *)a->x + row, *gy = graded ? (const real *)a->gy + row : NULL;
  const real *shift = a->shift, *scale = a->scale, *offset = a->offset, *gy_scale = a->gy_scale;
  real *y = (real *)a->y + row;
  for (int64_t j = 0; j < columns; j += VL) {
#define CONSTANT(c) (single ? splat(c[0]) : load_or(c, j, columns, 0))
    vec v = (load_or(x, j, columns, 0) - CONSTANT(shift)) * CONSTANT(scale) + CONSTANT(offset);
    if (graded)
      v += load_or(gy, j, columns, 0) * CONSTANT(gy_scale);
#undef CONSTANT
    store_upto(y, j, columns, v);
  }
}

static void NAME(affine_rows)(const struct fcv_affine *a) {
  for (int64_t r = 0; r < a->rows; r++)
    if (a->gy)
      affine(0, 1, a->columns, a, r * a->columns);
    else
      affine(0, 0, a->columns, a, r * a->columns);
}

static void NAME(affine_plane)(const struct fcv_affine *a) {
  const int64_t count = a->rows * a->columns;
  if (a->gy)
    affine(1, 1, count, a, 0);
  else
    affine(1, 0, count, a, 0);
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
