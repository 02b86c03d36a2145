/* Pooling of VL channels, channels first, each of which is a lane; contracts in pooling.h. */

/* What the rows of a window are reduced to: one by itself is that already. */
#define reduce_lanes NAME(reduce_lanes)
INLINE const real *reduce_lanes(const struct fcv_pool_lanes *p, const int average) {
  const int64_t rows = p->rows, end = p->width * VL;
  const real *const *x = (const real *const *)p->x;
  real *column = p->column;
  if (rows == 1)
    return x[0];
  for (int64_t i = 0; i < end; i += VL) {
    vec v = load(x[0] + i);
    for (int64_t r = 1; r < rows; r++) v = average ? v + load(x[r] + i) : vmax(v, load(x[r] + i));
    store(column + i, v);
  }
  return column;
}

#define pool_lanes NAME(pool_lanes)
INLINE void pool_lanes(const struct fcv_pool_lanes *lanes, const int average) {
  const struct fcv_pool_lanes p = *lanes; /* no store can change it */
  const vec none = average ? (vec){0} : splat(-(real)INFINITY);
  const int64_t apart = p.dilation * VL;
  const real *scale = p.scale, *column = p.rows > 0 ? reduce_lanes(&p, average) : NULL;
  real *y = p.y;
  for (int64_t o = 0; o < p.outputs; o++, y += VL) {
    const int64_t count = p.rows > 0 ? p.window[o].count : 0;
    const real *x = count > 0 ? column + p.window[o].first * VL : NULL;
    vec v = count > 0 ? load(x) : none;
    for (int64_t k = 1; k < count; k++) {
      x += apart;
      v = average ? v + load(x) : vmax(v, load(x));
    }
    store(y, average ? v * scale[o] : v);
  }
}

static void NAME(pool_max_lanes)(const struct fcv_pool_lanes *lanes) { pool_lanes(lanes, 0); }
static void NAME(pool_avg_lanes)(const struct fcv_pool_lanes *lanes) { pool_lanes(lanes, 1); }

static void NAME(pool_max_index_lanes)(const struct fcv_pool_lanes *lanes) {
  const struct fcv_pool_lanes p = *lanes;
  const real *const *x = (const real *const *)p.x;
  real *y = p.y;
  lane *which = p.which;
  for (int64_t o = 0; o < p.outputs; o++, y += VL, which += VL) {
    const struct fcv_window w = p.window[o];
    const int64_t rows = w.count > 0 ? p.rows : 0;
    vec most = splat(-(real)INFINITY);
    ivec at = every(rows > 0 ? p.position[0] + w.first : -1); /* also where all are that low */
    for (int64_t r = 0; r < rows; r++) {
      const real *from = x[r] + w.first * VL;
      int64_t position = p.position[r] + w.first;
      for (int64_t k = 0; k < w.count; k++, from += p.dilation * VL, position += p.dilation)
        keep_larger(load(from), every(position), &most, &at);
    }
    store(y, most);
    __builtin_memcpy(which, &at, sizeof at);
  }
}

static void NAME(pool_avg_grad_lanes)(const struct fcv_pool_lanes *lanes) {
  const struct fcv_pool_lanes p = *lanes;
  const real *gy = p.gy, *scale = p.scale;
  real *const *gx = (real *const *)p.gx, *column = p.column; /* what each row of the windows gets */
  const int64_t end = p.width * VL;
  for (int64_t i = 0; i < end; i += VL) store(column + i, (vec){0});
  for (int64_t o = 0; o < p.outputs; o++, gy += VL) {
    const vec share = load(gy) * scale[o];
    real *to = column + p.window[o].first * VL;
    for (int64_t k = 0; k < p.window[o].count; k++, to += p.dilation * VL) store(to, load(to) + share);
  }
  for (int64_t r = 0; r < p.rows; r++)
    for (int64_t i = 0; i < end; i += VL) store(gx[r] + i, load(gx[r] + i) + load(column + i));
}

static void NAME(pool_widen)(int64_t count, const void *which, int64_t *index) {
  const lane *from = which;
  for (int64_t i = 0; i < count; i++) index[i] = from[i];
}

static void NAME(pool_scatter)(int64_t count, const void *which, const void *from, void *to) {
  const lane *at = which;
  const real *gy = from;
  real *gx = to;
  for (int64_t i = 0; i < count; i++)
    if (at[i] >= 0)
      gx[at[i]] += gy[i];
}
