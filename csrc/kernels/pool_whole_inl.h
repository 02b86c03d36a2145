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

/* VL vectors, the lanes of each reduced to one: pairs of neighbouring lanes become one, until a vector has a lane for
 * each. */
#define join_planes NAME(join_planes)
INLINE vec join_planes(const int average, vec v[VL]) {
  UNROLL(4)
  for (int n = VL / 2; n > 0; n /= 2) {
    UNROLL(8)
    for (int i = 0; i < n; i++) {
      const vec even = even_lanes(v[2 * i], v[2 * i + 1]), odd = odd_lanes(v[2 * i], v[2 * i + 1]);
      v[i] = average ? even + odd : vmax(even, odd);
    }
  }
  return v[0];
}

/* The smallest lane of each of VL vectors of integers. */
#define join_least NAME(join_least)
INLINE ivec join_least(ivec v[VL]) {
  UNROLL(4)
  for (int n = VL / 2; n > 0; n /= 2) {
    UNROLL(8)
    for (int i = 0; i < n; i++) {
      const ivec a = (ivec)even_lanes((vec)v[2 * i], (vec)v[2 * i + 1]);
      const ivec b = (ivec)odd_lanes((vec)v[2 * i], (vec)v[2 * i + 1]);
      const ivec less = a < b;
      v[i] = (a & less) | (b & ~less);
    }
  }
  return v[0];
}

#define pool_whole NAME(pool_whole)
INLINE void pool_whole(const struct fcv_pool_whole *pool, const int average) {
  const struct fcv_pool_whole p = *pool; /* no store can change it */
  const real *x = p.from;
  real *y = p.to;
  vec v[VL] = {{0}};
  for (int64_t plane = 0; plane < p.planes; plane += VL) {
    const int64_t planes = p.planes - plane < VL ? p.planes - plane : VL;
    for (int64_t i = 0; i < planes; i++, x += p.count) v[i] = plane_lanes(average, p.count, x);
    const vec result = join_planes(average, v);
    store_upto(y, plane, p.planes, average ? result * (real)p.scale : result);
  }
}

/* For each lane the first element of a plane there that equals `most`; some number that is not less than any in lanes
 * without one. Elements are as many as an integer can count. */
#define plane_first NAME(plane_first)
INLINE ivec plane_first(int64_t count, const real *x, real most) {
  const vec wanted = splat(most);
  ivec number, at = (ivec){0} + (lane)count;
  UNROLL(16)
  for (int l = 0; l < VL; l++) number[l] = l;
  if (count < VL) {
    const ivec is = load_or(x, 0, count, -(real)INFINITY) == wanted;
    return (number & is) | (at & ~is);
  }
  const ivec is_last = load(x + count - VL) == wanted;
  at = ((number + (lane)(count - VL)) & is_last) | (at & ~is_last);
  for (int64_t i = (count / VL - 1) * VL; i >= 0; i -= VL) {
    const ivec is = load(x + i) == wanted;
    at = ((number + (lane)i) & is) | (at & ~is);
  }
  return at;
}

/* The maxima first, then where they are: the planes are in L1. */
static void NAME(pool_max_index_whole)(const struct fcv_pool_whole *pool) {
  const struct fcv_pool_whole p = *pool;
  real most[VL];
  lane first[VL];
  vec v[VL] = {{0}};
  ivec at[VL] = {{0}};
  for (int64_t plane = 0; plane < p.planes; plane += VL) {
    const int64_t planes = p.planes - plane < VL ? p.planes - plane : VL;
    const real *x = (const real *)p.from + plane * p.count;
    for (int64_t i = 0; i < planes; i++) v[i] = plane_lanes(0, p.count, x + i * p.count);
    store(most, join_planes(0, v));
    for (int64_t i = 0; i < planes; i++) at[i] = plane_first(p.count, x + i * p.count, most[i]);
    const ivec least = join_least(at);
    __builtin_memcpy(first, &least, sizeof least);
    for (int64_t i = 0; i < planes; i++) {
      real nan;
      const int64_t where = most[i] == most[i] ? first[i] : run_argmax(p.count, x + i * p.count, &nan);
      p.index[plane + i] = where;
      ((real *)p.to)[plane + i] = x[i * p.count + where]; /* of -0.0 and 0.0 the first */
    }
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
