/* Moves between pooled pixels and those that indices name; contracts in pooling.h. */

/* pitch is constant where it is inlined: planes of one channel have no inner loop. */
#define unpool NAME(unpool)
INLINE int unpool(const int get, const int add, int64_t pixels, int64_t channels, const int64_t pitch, int64_t limit,
                  const int64_t *index, const real *from, real *to) {
  for (int64_t p = 0; p < pixels; p++)
    for (int64_t c = 0; c < channels; c++) {
      const int64_t pooled = p * pitch + c, there = index[pooled];
      if (add && there == -1)
        continue;
      if (there < 0 || there >= limit)
        return 0;
      const int64_t image = there * pitch + c;
      if (get)
        to[pooled] = from[image];
      else
        to[image] = add ? to[image] + from[pooled] : from[pooled];
    }
  return 1;
}

#define UNPOOL(name, get, add)                                                                                         \
  static int NAME(name)(int64_t pixels, int64_t channels, int64_t pitch, int64_t limit, const int64_t *index,          \
                        const void *from, void *to) {                                                                  \
    return pitch == 1 ? unpool(get, add, pixels, 1, 1, limit, index, from, to)                                         \
                      : unpool(get, add, pixels, channels, pitch, limit, index, from, to);                             \
  }
UNPOOL(unpool_add, 0, 1)
UNPOOL(unpool_put, 0, 0)
UNPOOL(unpool_get, 1, 0)
#undef UNPOOL
