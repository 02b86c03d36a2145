/* Pooling of 2x2 pixels with stride 2, whose windows share nothing; contracts in pooling.h. Vectors run along outputs:
 * the even and the odd columns of two rows are the four taps of VL windows. */

/* Two vectors, or what of them lies inside. */
#define load_pair NAME(load_pair)
INLINE void load_pair(const real *x, int64_t count, const int exact, vec *even, vec *odd) {
  const vec low = exact && count < VL ? load_part(x, count) : load(x);
  const vec high = !exact ? load(x + VL) : count > VL ? load_part(x + VL, count - VL) : (vec){0};
  *even = even_lanes(low, high);
  *odd = odd_lanes(low, high);
}

#define store_pair NAME(store_pair)
INLINE void store_pair(real *x, int64_t count, const int exact, vec even, vec odd) {
  const vec low = low_lanes(even, odd), high = high_lanes(even, odd);
  if (!exact) {
    store(x, low);
    store(x + VL, high);
    return;
  }
  if (count >= VL)
    store(x, low);
  else
    store_part(x, low, count);
  if (count > VL)
    store_part(x + VL, high, count - VL);
}

#define put_positions NAME(put_positions)
INLINE void put_positions(int64_t *index, int64_t first, ivec at, int64_t count) {
  lane part[VL];
  __builtin_memcpy(part, &at, sizeof at);
  if (count >= VL)
    for (int l = 0; l < VL; l++) index[l] = first + part[l];
  else
    for (int64_t l = 0; l < count; l++) index[l] = first + part[l];
}

/* VL windows, or fewer where exact is set. index: where the first goes, or NULL. position: of the row's first. */
#define pool_2x2_step NAME(pool_2x2_step)
INLINE void pool_2x2_step(const struct fcv_pool_2x2 *p, const int average, const real *top, int64_t o, const int exact,
                          real *y, int64_t *index, int64_t position) {
  const int64_t left = p->outputs - o;
  vec a, b, c, d;
  load_pair(top + 2 * o, 2 * left, exact, &a, &b);
  load_pair(top + p->width + 2 * o, 2 * left, exact, &c, &d);
  vec v = average ? ((a + c) + (b + d)) * (real)p->scale : vmax(vmax(a, c), vmax(b, d));
  if (index) {
    ivec at;
    UNROLL(16)
    for (int l = 0; l < VL; l++) at[l] = 2 * l;
    const ivec first = at, width = (ivec){0} + (lane)p->width;
    v = a;
    keep_larger(b, first + 1, &v, &at);
    keep_larger(c, first + width, &v, &at);
    keep_larger(d, first + width + 1, &v, &at);
    put_positions(index + o, position + 2 * o, at, exact ? left : VL);
  }
  if (exact)
    store_part(y + o, v, left);
  else
    store(y + o, v);
}

#define pool_2x2_grad_step NAME(pool_2x2_grad_step)
INLINE void pool_2x2_grad_step(const struct fcv_pool_2x2 *p, const int average, const real *top, const real *gy,
                               int64_t o, const int exact, real *gx) {
  const int64_t left = p->outputs - o;
  const vec g = exact ? load_part(gy + o, left) : load(gy + o);
  real *below = gx + p->width;
  if (average) {
    store_pair(gx + 2 * o, 2 * left, exact, g * (real)p->scale, g * (real)p->scale);
    store_pair(below + 2 * o, 2 * left, exact, g * (real)p->scale, g * (real)p->scale);
    return;
  }
  vec a, b, c, d;
  load_pair(top + 2 * o, 2 * left, exact, &a, &b);
  load_pair(top + p->width + 2 * o, 2 * left, exact, &c, &d);
  /* The first of the largest, or the last NaN. */
  const ivec second = (b > a) | (b != b);
  a = select(second, b, a);
  const ivec third = (c > a) | (c != c);
  a = select(third, c, a);
  const ivec fourth = (d > a) | (d != d);
  const ivec bits = (ivec)g;
  store_pair(gx + 2 * o, 2 * left, exact, (vec)(bits & ~(second | third | fourth)),
             (vec)(bits & second & ~(third | fourth)));
  store_pair(below + 2 * o, 2 * left, exact, (vec)(bits & third & ~fourth), (vec)(bits & fourth));
}

/* Rows in their order: what a step writes behind the end of one is written over by the next. */
#define pool_2x2 NAME(pool_2x2)
INLINE void pool_2x2(const struct fcv_pool_2x2 *p, const int average, const int indexed) {
  const int64_t outputs = p->outputs, whole = outputs / VL * VL;
  const real *x = p->x;
  real *y = p->y;
  int64_t *index = indexed ? p->index : NULL;
  for (int64_t r = 0, row = 0; r < p->rows; r++, x += 2 * p->width, y += outputs) {
    const int64_t position = 2 * row * p->width;
    for (int64_t o = 0; o < whole; o += VL) pool_2x2_step(p, average, x, o, 0, y, index, position);
    if (whole < outputs) {
      const int64_t behind = (p->rows - r - 1) * outputs; /* and twice as many of x at least */
      if (outputs > VL)
        pool_2x2_step(p, average, x, outputs - VL, 0, y, index, position);
      else if (behind >= VL)
        pool_2x2_step(p, average, x, 0, 0, y, index, position);
      else
        pool_2x2_step(p, average, x, 0, 1, y, index, position);
    }
    if (indexed) {
      index += outputs;
      row = row + 1 < p->image ? row + 1 : 0;
    }
  }
}

#define pool_2x2_grad NAME(pool_2x2_grad)
INLINE void pool_2x2_grad(const struct fcv_pool_2x2 *p, const int average) {
  const int64_t outputs = p->outputs, width = p->width, whole = outputs / VL * VL;
  const real *x = average ? p->gx : p->x, *gy = p->gy; /* an average does not read x */
  real *gx = p->gx;
  for (int64_t r = 0; r < p->rows; r++, x += 2 * width, gx += 2 * width, gy += outputs) {
    for (int64_t o = 0; o < whole; o += VL) pool_2x2_grad_step(p, average, x, gy, o, 0, gx);
    if (whole < outputs) {
      const int64_t behind = (p->rows - r - 1) * outputs;
      if (outputs > VL)
        pool_2x2_grad_step(p, average, x, gy, outputs - VL, 0, gx);
      else if (behind >= VL)
        pool_2x2_grad_step(p, average, x, gy, 0, 0, gx);
      else
        pool_2x2_grad_step(p, average, x, gy, 0, 1, gx);
    }
    for (int64_t i = 2 * outputs; i < width; i++) gx[i] = gx[width + i] = 0;
  }
}

static void NAME(pool_max_2x2)(const struct fcv_pool_2x2 *p) { pool_2x2(p, 0, 0); }
static void NAME(pool_max_index_2x2)(const struct fcv_pool_2x2 *p) { pool_2x2(p, 0, 1); }
static void NAME(pool_avg_2x2)(const struct fcv_pool_2x2 *p) { pool_2x2(p, 1, 0); }
static void NAME(pool_max_2x2_grad)(const struct fcv_pool_2x2 *p) { pool_2x2_grad(p, 0); }
static void NAME(pool_avg_2x2_grad)(const struct fcv_pool_2x2 *p) { pool_2x2_grad(p, 1); }
