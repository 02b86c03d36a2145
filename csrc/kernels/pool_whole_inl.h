/* Pooling of whole planes; contract in pooling.h. After layout_inl.h. */

/* Lanes that together make a plane's result. */
#define plane_lanes NAME(plane_lanes)
INLINE vec plane_lanes(const int average, int64_t count, const real *x) {
  if (count < VL)
    return load_or(x, 0, count, average ? 0 : -(real)INFINITY);
  const int64_t rest = count % VL;
  vec part[4];
  int64_t i = 0;
  UNROLL(4)
  for (int v = 0; v < 4; v++) part[v] = average ? (vec){0} : splat(-(real)INFINITY);
  for (; i + 4 * VL <= count; i += 4 * VL) {
    UNROLL(4)
    for (int v = 0; v < 4; v++)
      part[v] = average ? part[v] + load(x + i + v * VL) : vmax(part[v], load(x + i + v * VL));
  }
  for (; i + VL <= count; i += VL) part[0] = average ? part[0] + load(x + i) : vmax(part[0], load(x + i));
  if (rest > 0 && average) { /* lanes that had their turn are left out */
    ivec number;
    UNROLL(16)
    for (int l = 0; l < VL; l++) number[l] = l;
    part[1] += (vec)((ivec)load(x + count - VL) & (number >= (lane)(VL - rest)));
  } else if (rest > 0) {
    part[1] = vmax(part[1], load(x + count - VL));
  }
  return average ? (part[0] + part[1]) + (part[2] + part[3]) : vmax(vmax(part[0], part[1]), vmax(part[2], part[3]));
}

/* VL planes together: pairs of neighbouring lanes become one until a vector has a lane for each plane. */
#define pool_whole NAME(pool_whole)
INLINE void pool_whole(const struct fcv_pool_whole *pool, const int average) {
  const struct fcv_pool_whole p = *pool; /* no store can change it */
  const real *x = p.from;
  real *y = p.to;
  vec v[VL] = {{0}};
  for (int64_t plane = 0; plane < p.planes; plane += VL) {
    const int64_t planes = p.planes - plane < VL ? p.planes - plane : VL;
    for (int64_t i = 0; i < planes; i++, x += p.count) v[i] = plane_lanes(average, p.count, x);
    UNROLL(4)
    for (int n = VL / 2; n > 0; n /= 2) {
      UNROLL(8)
      for (int i = 0; i < n; i++) {
        const vec even = even_lanes(v[2 * i], v[2 * i + 1]), odd = odd_lanes(v[2 * i], v[2 * i + 1]);
        v[i] = average ? even + odd : vmax(even, odd);
      }
    }
    store_upto(y, plane, p.planes, average ? v[0] * (real)p.scale : v[0]);
  }
}

static void NAME(pool_max_whole)(const struct fcv_pool_whole *pool) { pool_whole(pool, 0); }
static void NAME(pool_avg_whole)(const struct fcv_pool_whole *pool) { pool_whole(pool, 1); }

static void NAME(pool_avg_whole_grad)(const struct fcv_pool_whole *pool) {
  const struct fcv_pool_whole p = *pool;
  const real *y = p.from;
  real *x = p.to, *end = x + p.planes * p.count;
  for (int64_t plane = 0; plane < p.planes; plane++, x += p.count) {
    const vec v = splat(y[plane] * (real)p.scale);
    for (int64_t i = 0; i < p.count; i += VL) /* what a plane writes behind its end the next one writes over */
      store_upto(x, i, end - x, v);
  }
}
