/* Softmax, its logarithm and their gradients; contracts in elements.h. A maximum may pass over NaN, which the sum of
 * exponentials then brings to all of the row. */

static void NAME(softmax)(int logarithm, int64_t columns, const void *from, void *to) {
  const real *x = from;
  real *y = to;
  vec best = splat(-(real)INFINITY), total = {0};
  for (int64_t i = 0; i < columns; i += VL) best = larger(best, load_or(x, i, columns, -(real)INFINITY));
  const vec top = splat(vlargest(best));
  for (int64_t i = 0; i < columns; i += VL) {
    const vec e = vexp(load_or(x, i, columns, -(real)INFINITY) - top);
    total += e;
    if (!logarithm)
      store_upto(y, i, columns, e);
  }
  /* The maximum is one of the terms: the sum is at least 1. */
  const vec sum = splat(vsum(total)), scale = 1 / sum, log_sum = vlog(sum);
  for (int64_t i = 0; i < columns; i += VL) {
    const vec v = load_or(logarithm ? x : y, i, columns, 0);
    store_upto(y, i, columns, logarithm ? v - top - log_sum : v * scale);
  }
}

static void NAME(softmax_grad)(int logarithm, int64_t columns, const void *saved, const void *gradient, void *to) {
  const real *y = saved, *gy = gradient;
  real *gx = to;
  vec total = {0};
  for (int64_t i = 0; i < columns; i += VL) {
    const vec g = load_or(gy, i, columns, 0);
    total += logarithm ? g : g * load_or(y, i, columns, 0);
  }
  const real sum = vsum(total);
  for (int64_t i = 0; i < columns; i += VL) {
    const vec g = load_or(gy, i, columns, 0), v = load_or(y, i, columns, 0);
    store_upto(gx, i, columns, logarithm ? g - vexp(v) * sum : v * (g - sum));
  }
}

static void NAME(softmax_columns)(int logarithm, int64_t columns, int64_t count, int64_t pitch, const void *from,
                                  void *to) {
  for (int64_t i = 0; i < count; i += VL) {
    const real *x = from;
    real *y = to;
    vec top = splat(-(real)INFINITY), total = {0};
    for (int64_t c = 0; c < columns; c++) top = larger(top, load_or(x + c * pitch, i, count, 0));
    for (int64_t c = 0; c < columns; c++) {
      const vec e = vexp(load_or(x + c * pitch, i, count, 0) - top);
      total += e;
      if (!logarithm)
        store_upto(y + c * pitch, i, count, e);
    }
    /* The maximum is one of the terms: the sum is at least 1. */
    const vec scale = 1 / total, log_total = vlog(total);
    for (int64_t c = 0; c < columns; c++) {
      if (logarithm)
        store_upto(y + c * pitch, i, count, load_or(x + c * pitch, i, count, 0) - top - log_total);
      else
        store_upto(y + c * pitch, i, count, load_or(y + c * pitch, i, count, 0) * scale);
    }
  }
}

static void NAME(softmax_columns_grad)(int logarithm, int64_t columns, int64_t count, int64_t pitch, const void *saved,
                                       const void *gradient, void *to) {
  for (int64_t i = 0; i < count; i += VL) {
    const real *y = saved, *gy = gradient;
    real *gx = to;
    vec total = {0};
    for (int64_t c = 0; c < columns; c++) {
      const vec g = load_or(gy + c * pitch, i, count, 0);
      total += logarithm ? g : g * load_or(y + c * pitch, i, count, 0);
    }
    for (int64_t c = 0; c < columns; c++) {
      const vec g = load_or(gy + c * pitch, i, count, 0), v = load_or(y + c * pitch, i, count, 0);
      store_upto(gx + c * pitch, i, count, logarithm ? g - vexp(v) * total : v * (g - total));
    }
  }
}
