/* Pooling of windows side by side, channels last: vectors run along channels. Contracts in pooling.h. */

/* The pixels of one window, or of several side by side: known > 0 of them, whose places stay in registers, or any
 * number. */
#define find_pixels NAME(find_pixels)
INLINE const real *const *find_pixels(const int known, const void *const *from, const real **place) {
  UNROLL(4)
  for (int t = 0; t < known; t++) place[t] = from[t];
  return known ? place : (const real *const *)from;
}

#define find_grad_pixels NAME(find_grad_pixels)
INLINE real *const *find_grad_pixels(const int known, void *const *from, real **place) {
  UNROLL(4)
  for (int t = 0; t < known; t++) place[t] = from[t];
  return known ? place : (real *const *)from;
}

/* A vector, or its first count lanes where the window is to be taken exactly. */
#define load_lanes NAME(load_lanes)
INLINE vec load_lanes(const real *x, const int exact, int64_t count) { return exact ? load_part(x, count) : load(x); }

#define store_lanes NAME(store_lanes)
INLINE void store_lanes(real *y, vec v, const int exact, int64_t count) {
  if (exact)
    store_part(y, v, count);
  else
    store(y, v);
}

/* The maximum of one window over a vector of channels; which gets the number of the first tap that holds it (the last
 * NaN, as torch has it). */
#define window_max NAME(window_max)
INLINE vec window_max(int64_t taps, const real *const *x, int64_t at, const int exact, int64_t count, ivec *which) {
  vec best = load_lanes(x[0] + at, exact, count);
  *which = (ivec){0};
  for (int64_t t = 1; t < taps; t++) keep_larger(load_lanes(x[t] + at, exact, count), every(t), &best, which);
  return best;
}

/* The maximum, or scale times the sum, of some vectors of channels side by side. apart: see pooling.h. */
#define window_reduce NAME(window_reduce)
INLINE void window_reduce(const int average, const int vectors, int64_t taps, int64_t apart, const real *const *x,
                          int64_t at, const int exact, int64_t count, real scale, real *y) {
  vec v[4];
  UNROLL(4)
  for (int i = 0; i < vectors; i++) v[i] = average ? (vec){0} : load_lanes(x[0] + at + i * VL, exact, count);
  UNROLL_ANY(4)
  for (int64_t t = average ? 0 : 1; t < taps; t++) {
    const real *from = (apart ? x[0] + t * apart : x[t]) + at;
    UNROLL(4)
    for (int i = 0; i < vectors; i++) {
      const vec next = load_lanes(from + i * VL, exact, count);
      v[i] = average ? v[i] + next : vmax(v[i], next);
    }
  }
  UNROLL(4)
  for (int i = 0; i < vectors; i++) store_lanes(y + i * VL, average ? v[i] * scale : v[i], exact, count);
}

/* The last vector of a window's channels overlaps the one before. Fewer channels than a vector has: see whole. */
#define reduce_windows NAME(reduce_windows)
INLINE void reduce_windows(const struct fcv_pool_windows *p, const int average, const int known, int64_t apart) {
  const int64_t taps = known ? known : p->taps, channels = p->channels, step = p->step;
  const int64_t whole = channels < VL ? p->whole : p->windows;
  const real *place[4], *const *x = find_pixels(known, p->x, place);
  const real scale = (real)p->scale;
  real *y = p->y;
  for (int64_t w = 0, at = 0; w < whole; w++, at += step, y += p->pitch) {
    int64_t c = 0;
    for (; c + 4 * VL <= channels; c += 4 * VL) window_reduce(average, 4, taps, apart, x, at + c, 0, VL, scale, y + c);
    if (c + 2 * VL <= channels) {
      window_reduce(average, 2, taps, apart, x, at + c, 0, VL, scale, y + c);
      c += 2 * VL;
    }
    if (c + VL <= channels || c == 0) {
      window_reduce(average, 1, taps, apart, x, at + c, 0, VL, scale, y + c);
      c += VL;
    }
    if (c < channels)
      window_reduce(average, 1, taps, apart, x, at + channels - VL, 0, VL, scale, y + channels - VL);
  }
  for (int64_t w = whole; w < p->windows; w++, y += p->pitch) /* not one by one: comparisons are mispredicted */
    window_reduce(average, 1, taps, apart, x, w * step, 1, channels, scale, y);
}

/* By the windows' forms: 2x2, evenly spaced taps, any. */
#define reduce_any NAME(reduce_any)
INLINE void reduce_any(const struct fcv_pool_windows *p, const int average) {
  if (p->apart)
    reduce_windows(p, average, 0, p->apart);
  else if (p->taps == 4)
    reduce_windows(p, average, 4, 0);
  else
    reduce_windows(p, average, 0, 0);
}

#define index_windows NAME(index_windows)
INLINE void index_windows(const struct fcv_pool_windows *p, const int known) {
  const int64_t taps = known ? known : p->taps, channels = p->channels;
  const real *place[4], *const *x = find_pixels(known, p->x, place);
  for (int64_t w = 0; w < p->windows; w++) {
    real *y = (real *)p->y + w * p->pitch;
    int64_t *index = p->index + w * p->pitch, position = w * p->stride;
    const int exact = channels < VL && w >= p->whole;
    for (int64_t c = 0; c < channels; c += VL) {
      const int64_t count = channels < VL ? channels : VL;
      ivec which;
      c = c + VL <= channels || channels < VL ? c : channels - VL;
      if (exact)
        store_part(y + c, window_max(taps, x, w * p->step + c, 1, count, &which), count);
      else
        store(y + c, window_max(taps, x, w * p->step + c, 0, VL, &which));
      for (int64_t l = 0; l < count; l++) index[c + l] = p->position[which[l]] + position;
    }
  }
}

static void NAME(pool_max)(const struct fcv_pool_windows *p) {
  if (p->index && p->taps == 4)
    index_windows(p, 4);
  else if (p->index)
    index_windows(p, 0);
  else
    reduce_any(p, 0);
}

static void NAME(pool_avg)(const struct fcv_pool_windows *p) { reduce_any(p, 1); }

/* What a window that shares nothing gives to a vector of channels of its pixels. */
#define put_maximum NAME(put_maximum)
INLINE void put_maximum(int64_t taps, const real *const *x, const real *gy, real *const *gx, int64_t at,
                        const int exact, int64_t count) {
  const vec g = load_lanes(gy, exact, count);
  ivec which;
  window_max(taps, x, at, exact, count, &which);
  UNROLL_ANY(4)
  for (int64_t t = 0; t < taps; t++) store_lanes(gx[t] + at, select(which == (lane)t, g, (vec){0}), exact, count);
}

#define put_maxima NAME(put_maxima)
INLINE void put_maxima(const struct fcv_pool_windows *p, const int known) {
  const int64_t taps = known ? known : p->taps, channels = p->channels, step = p->step;
  const int64_t whole = channels < VL ? p->whole : p->windows;
  const real *place[4], *const *x = find_pixels(known, p->x, place);
  real *to[4], *const *gx = find_grad_pixels(known, p->gx, to);
  const real *gy = p->gy;
  for (int64_t w = 0, at = 0; w < whole; w++, at += step, gy += p->pitch) {
    int64_t c = 0;
    do {
      put_maximum(taps, x, gy + c, gx, at + c, 0, VL);
      c += VL;
    } while (c + VL <= channels);
    if (c < channels)
      put_maximum(taps, x, gy + channels - VL, gx, at + channels - VL, 0, VL);
  }
  for (int64_t w = whole; w < p->windows; w++, gy += p->pitch) put_maximum(taps, x, gy, gx, w * step, 1, channels);
}

/* Channels that fill no vector are added one by one: a vector that overlaps what was just stored waits for it. */
#define add_maxima NAME(add_maxima)
static void add_maxima(const struct fcv_pool_windows *p) {
  const int64_t taps = p->taps, channels = p->channels;
  const real *const *x = (const real *const *)p->x;
  real *const *gx = (real *const *)p->gx;
  for (int64_t w = 0; w < p->windows; w++) {
    const real *gy = (const real *)p->gy + w * p->pitch;
    const int64_t at = w * p->step;
    ivec which;
    int64_t c = 0;
    for (; c + VL <= channels; c += VL) {
      window_max(taps, x, at + c, 0, VL, &which);
      for (int64_t t = 0; t < taps; t++) {
        const vec share = select(which == (lane)t, load(gy + c), (vec){0});
        store(gx[t] + at + c, load(gx[t] + at + c) + share);
      }
    }
    if (c == channels)
      continue;
    const int64_t from = channels < VL ? 0 : channels - VL;
    if (channels > VL || w < p->whole)
      window_max(taps, x, at + from, 0, VL, &which);
    else
      window_max(taps, x, at + from, 1, channels, &which);
    for (; c < channels; c++) gx[which[c - from]][at + c] += gy[c];
  }
}

#define give_shares NAME(give_shares)
INLINE void give_shares(const struct fcv_pool_windows *p, const int alone) {
  const int64_t channels = p->channels, whole = alone && channels < VL ? p->whole : 0;
  const real scale = (real)p->scale;
  for (int64_t w = 0; w < p->windows; w++)
    for (int64_t t = 0; t < p->taps; t++) {
      const real *gy = (const real *)p->gy + w * p->pitch;
      real *gx = (real *)p->gx[t] + w * p->step;
      if (w < whole) {
        store(gx, load(gy) * scale);
        continue;
      }
      int64_t c = 0;
      for (; c + VL <= channels; c += VL) {
        const vec share = load(gy + c) * scale;
        store(gx + c, alone ? share : load(gx + c) + share);
      }
      if (alone && c > 0 && c < channels)
        store(gx + channels - VL, load(gy + channels - VL) * scale);
      else
        for (; c < channels; c++) gx[c] = (alone ? 0 : gx[c]) + gy[c] * scale;
    }
}

static void NAME(pool_max_grad)(const struct fcv_pool_windows *p) {
  if (!p->alone)
    add_maxima(p);
  else if (p->taps == 4)
    put_maxima(p, 4);
  else
    put_maxima(p, 0);
}

static void NAME(pool_avg_grad)(const struct fcv_pool_windows *p) {
  if (p->alone)
    give_shares(p, 1);
  else
    give_shares(p, 0);
}
