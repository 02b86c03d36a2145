/* Products of a few rows with a matrix that is read in its order; contract in products.h. */

/* With the next TOGETHER rows of w, or one. */
#define update_rows NAME(update_rows)
INLINE void update_rows(const struct fcv_row_updates *u, int64_t k, const int m, const int together) {
  const int64_t pitch = u->w_pitch, width = u->width, next = together * pitch;
  const real *w = (const real *)u->w + k * pitch, *x[FCV_ROW_UPDATES];
  real *y[FCV_ROW_UPDATES];
  UNROLL(4)
  for (int i = 0; i < m; i++) {
    x[i] = (const real *)u->x[i] + k;
    y[i] = u->y[i];
  }
  for (int64_t j = 0; j < width; j += VL, w += VL) {
    const int64_t left = width - j;
    const int whole = left >= VL, reads = whole || k + together < u->rows; /* the next row's, which no lane keeps */
    vec acc[FCV_ROW_UPDATES];
    UNROLL(4)
    for (int i = 0; i < m; i++) acc[i] = whole ? load(y[i] + j) : load_part(y[i] + j, left);
    UNROLL(8)
    for (int t = 0; t < together; t++) {
      const vec v = reads ? load(w + t * pitch) : load_part(w + t * pitch, left);
      __builtin_prefetch(w + next + t * pitch, 0, 2); /* where no hardware follows: each row begins elsewhere */
      UNROLL(4)
      for (int i = 0; i < m; i++) acc[i] += x[i][t] * v;
    }
    UNROLL(4)
    for (int i = 0; i < m; i++)
      if (whole)
        store(y[i] + j, acc[i]);
      else
        store_part(y[i] + j, acc[i], left);
  }
}

#define update_all NAME(update_all)
INLINE void update_all(const struct fcv_row_updates *updates, const int m) {
  const struct fcv_row_updates u = *updates; /* no store can change it */
  int64_t k = 0;
  for (; k + 8 <= u.rows; k += 8) update_rows(&u, k, m, 8);
  for (; k < u.rows; k++) update_rows(&u, k, m, 1);
}

static void NAME(row_updates)(const struct fcv_row_updates *updates) {
  switch (updates->m) {
  case 1:
    update_all(updates, 1);
    break;
  case 2:
    update_all(updates, 2);
    break;
  case 3:
    update_all(updates, 3);
    break;
  default:
    update_all(updates, 4);
  }
}
