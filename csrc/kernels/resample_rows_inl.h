/* Many rows mapped by the same indices and weights, which stay in registers; contracts in elements.h. The first product
 * of a sum is held: of two the compiler would choose which one it rounds, here another than there. */

#define row_part NAME(row_part)
INLINE vec row_part(const struct fcv_row_sums *s, int64_t t, int64_t i, int64_t part) {
  const real *from = (const real *)s->x + s->offset[t] + i;
  return part < VL ? load_part(from, part) : load(from);
}

#define row_sum NAME(row_sum)
INLINE vec row_sum(const struct fcv_row_sums *s, int64_t row, int64_t i, int64_t part) {
  int64_t t = s->begin[row];
  if (t == s->begin[row + 1])
    return (vec){0};
  vec total = hold((real)s->weight[t] * row_part(s, t, i, part));
  for (t++; t < s->begin[row + 1]; t++) total += (real)s->weight[t] * row_part(s, t, i, part);
  return total;
}

static void NAME(row_sums)(const struct fcv_row_sums *s) {
  const int64_t count = s->count, last = count > VL ? count - VL : 0, part = s->exact && count < VL ? count : VL;
  real *y = s->y;
  for (int64_t r = 0; r < s->rows; r++, y += s->y_pitch) {
    const int64_t tap = s->begin[r];
    if (s->begin[r + 1] - tap == 2 && part == VL) {
      const real *x = (const real *)s->x + s->offset[tap], *next = (const real *)s->x + s->offset[tap + 1];
      const vec w = splat((real)s->weight[tap]), w_next = splat((real)s->weight[tap + 1]);
      for (int64_t i = 0; i < count; i += VL) {
        i = i < last ? i : last;
        vec total = hold(w * load(x + i));
        total += w_next * load(next + i);
        store(y + i, total);
      }
      continue;
    }
    for (int64_t i = 0; i < count; i += VL) {
      i = i < last ? i : last;
      store(y + i, row_sum(s, r, i, part));
    }
  }
}

#define tap_lanes NAME(tap_lanes)
INLINE vec tap_lanes(const real *x, ivec index, const int windows, const int partial) {
  const vec picked = windows == 1 ? pick(x, partial ? index & (index >= 0) : index)
                                  : pick_two(x, partial ? index & (index >= 0) : index);
  return partial ? (vec)((ivec)picked & (index >= 0)) : picked;
}

/* taps: of each lane, a number that is known, or 0. */
#define map_group NAME(map_group)
INLINE void map_group(const struct fcv_row_map *map, const struct fcv_row_group *group, int64_t rows, const real *x,
                      const int64_t *offset, real *y, const int taps, const int windows, const int partial) {
  const int64_t *base = map->base + group->tap;
  const real *lanes = (const real *)map->index + group->tap * VL,
             *weights = (const real *)map->weight + group->tap * VL;
  const real *end = y + rows * map->out, *from[4];
  ivec index[4];
  vec weight[4];
  UNROLL(4)
  for (int t = 0; t < taps; t++) {
    index[t] = (ivec)load(lanes + t * VL);
    weight[t] = load(weights + t * VL);
    from[t] = x + base[t];
  }
  y += group->first;
  for (int64_t r = 0; r < rows; r++, y += map->out) {
    vec total;
    if (taps > 0) {
      total = hold(weight[0] * tap_lanes(from[0] + offset[r], index[0], windows, partial));
      UNROLL(4)
      for (int t = 1; t < taps; t++) total += weight[t] * tap_lanes(from[t] + offset[r], index[t], windows, partial);
    } else {
      const real *row = x + offset[r];
      total = hold(load(weights) * tap_lanes(row + base[0], (ivec)load(lanes), windows, partial));
      for (int64_t t = 1; t < group->taps; t++)
        total += load(weights + t * VL) * tap_lanes(row + base[t], (ivec)load(lanes + t * VL), windows, partial);
    }
    if (end - y >= VL) /* what is behind a short row is written over */
      store(y, total);
    else
      store_part(y, total, end - y);
  }
}

#define map_group_of NAME(map_group_of)
INLINE void map_group_of(const struct fcv_row_map *map, const struct fcv_row_group *group, int64_t rows, const real *x,
                         const int64_t *offset, real *y, const int taps) {
  if (group->partial && group->windows == 1)
    map_group(map, group, rows, x, offset, y, taps, 1, 1);
  else if (group->partial)
    map_group(map, group, rows, x, offset, y, taps, 2, 1);
  else if (group->windows == 1)
    map_group(map, group, rows, x, offset, y, taps, 1, 0);
  else
    map_group(map, group, rows, x, offset, y, taps, 2, 0);
}

static void NAME(map_rows)(const struct fcv_row_map *map, int64_t rows, const void *x, const int64_t *offset, void *y) {
  for (int64_t g = 0; g < map->groups; g++) {
    const struct fcv_row_group *group = &map->group[g];
    switch (group->taps) {
    case 1:
      map_group_of(map, group, rows, x, offset, y, 1);
      break;
    case 2:
      map_group_of(map, group, rows, x, offset, y, 2);
      break;
    case 3:
      map_group_of(map, group, rows, x, offset, y, 3);
      break;
    case 4:
      map_group_of(map, group, rows, x, offset, y, 4);
      break;
    default:
      map_group_of(map, group, rows, x, offset, y, 0);
    }
  }
}
