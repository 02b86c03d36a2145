/* Activations, softmax and their gradients; contracts in kernels.h. */

/* Rounds to an integer by adding 1.5 * 2^(mantissa bits), whose low bits then hold it. */
#if DTYPE_BITS == 32
#define ROUND 12582912.0f
#define MANTISSA 23
#define BIAS 127
#define LOG2E 0x1.715476p+0f
#define LN2_HIGH 0x1.62e4p-1f /* ends in zeros: n * LN2_HIGH is exact */
#define LN2_LOW 0x1.7f7d1cp-20f
#define EXP_LOW -110.0f /* exp gives 0 below, infinity above */
#define EXP_HIGH 100.0f
#define DEGREE 7
#else
#define ROUND 6755399441055744.0
#define MANTISSA 52
#define BIAS 1023
#define LOG2E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42fefa38p-1
#define LN2_LOW 0x1.ef35793c7673p-45
#define EXP_LOW -760.0
#define EXP_HIGH 720.0
#define DEGREE 13
#endif

/* expm1 of the rest r, |r| <= ln(2) / 2, and the power e of two with exp(x) = 2^e * (1 + expm1(r)). The Taylor
 * polynomial to r^7 (r^13) leaves less than 6e-9 (5e-18). */
#define expm1_rest NAME(expm1_rest)
INLINE vec expm1_rest(vec x, ivec *e) {
  static const real factorial[] = {1,     2,      6,       24,       120,       720,       5040,
                                   40320, 362880, 3628800, 39916800, 479001600, 6227020800};
  const vec shifted = x * (real)LOG2E + (real)ROUND;
  const vec n = shifted - (real)ROUND;
  *e = (ivec)shifted - (ivec)splat(ROUND);
  const vec r = (x - n * (real)LN2_HIGH) - n * (real)LN2_LOW;
  vec p = splat(1 / factorial[DEGREE - 1]);
  UNROLL(16)
  for (int i = DEGREE - 2; i >= 0; i--) p = p * r + 1 / factorial[i];
  return p * r;
}

#define power_of_two NAME(power_of_two)
INLINE vec power_of_two(ivec e) { return (vec)((e + BIAS) << MANTISSA); }

/* Within 2 units in the last place; NaN stays. 2^e is applied in two halves, so that it can overflow and vanish. */
#define vexp NAME(vexp)
INLINE vec vexp(vec x) {
  ivec e;
  x = select(x < (real)EXP_LOW, splat(EXP_LOW), x);
  x = select(x > (real)EXP_HIGH, splat(EXP_HIGH), x);
  const vec p = expm1_rest(x, &e);
  const ivec half = e >> 1;
  return (1 + p) * power_of_two(half) * power_of_two(e - half);
}

/* tanh|x| = -m / (m + 2) with m = expm1(-2|x|): no cancellation near zero. 1 in both types beyond 20. */
#define vtanh NAME(vtanh)
INLINE vec vtanh(vec x) {
  const ivec sign = (ivec)x & (ivec)splat((real)-0.0);
  const vec a = -2 * (vec)((ivec)x ^ sign);
  ivec e;
  const vec p = expm1_rest(select(a < -40, splat(-40), a), &e);
  const vec scale = power_of_two(e), m = scale * p + (scale - 1);
  return (vec)((ivec)(-m / (m + 2)) | sign);
}

#define activate NAME(activate)
INLINE vec activate(const int activation, real slope, vec x) {
  switch (activation) {
  case FCV_RELU:
    return relu(x);
  case FCV_LEAKY_RELU:
    return leaky_relu(x, slope);
  case FCV_SIGMOID:
    return 1 / (1 + vexp(-x));
  case FCV_TANH:
    return vtanh(x);
  default:
    return x;
  }
}

#define activate_grad NAME(activate_grad)
INLINE vec activate_grad(const int activation, real slope, vec saved, vec gy) {
  switch (activation) {
  case FCV_RELU:
    return select(saved <= (vec){0}, (vec){0}, gy);
  case FCV_LEAKY_RELU:
    return select(saved > (vec){0}, gy, slope * gy);
  case FCV_SIGMOID:
    return gy * saved * (1 - saved);
  case FCV_TANH:
    return gy * (1 - saved * saved);
  default:
    return gy;
  }
}

#define map NAME(map)
INLINE void map(const int activation, real slope, int64_t count, const real *x, real *y) {
  int64_t i = 0;
  for (; i + VL <= count; i += VL) store(y + i, activate(activation, slope, load(x + i)));
  if (i < count)
    store_part(y + i, activate(activation, slope, load_part(x + i, count - i)), count - i);
}

#define map_grad NAME(map_grad)
INLINE void map_grad(const int activation, real slope, int64_t count, const real *saved, const real *gy, real *gx) {
  int64_t i = 0;
  for (; i + VL <= count; i += VL) store(gx + i, activate_grad(activation, slope, load(saved + i), load(gy + i)));
  const int64_t rest = count - i;
  if (rest)
    store_part(gx + i, activate_grad(activation, slope, load_part(saved + i, rest), load_part(gy + i, rest)), rest);
}

/* A constant activation in each call: one loop for each, with no branch inside. */
#define EACH_ACTIVATION(call)                                                                                          \
  switch (activation) {                                                                                                \
  case FCV_RELU:                                                                                                       \
    call(FCV_RELU);                                                                                                    \
    break;                                                                                                             \
  case FCV_LEAKY_RELU:                                                                                                 \
    call(FCV_LEAKY_RELU);                                                                                              \
    break;                                                                                                             \
  case FCV_SIGMOID:                                                                                                    \
    call(FCV_SIGMOID);                                                                                                 \
    break;                                                                                                             \
  case FCV_TANH:                                                                                                       \
    call(FCV_TANH);                                                                                                    \
    break;                                                                                                             \
  default:                                                                                                             \
    call(FCV_LINEAR);                                                                                                  \
  }

static void NAME(activation)(int activation, double slope, int64_t count, const void *x, void *y) {
#define MAP(f) map(f, (real)slope, count, x, y)
  EACH_ACTIVATION(MAP)
#undef MAP
}

static void NAME(activation_grad)(int activation, double slope, int64_t count, const void *saved, const void *gy,
                                  void *gx){
#define MAP(f) map_grad(f, (real)slope, count, saved, gy, gx)
    EACH_ACTIVATION(MAP)
#undef MAP
}
#undef EACH_ACTIVATION

/* x[i..] with the lanes past the end set to rest. */
#define load_or NAME(load_or)
INLINE vec load_or(const real *x, int64_t i, int64_t count, real rest) {
  if (count - i >= VL)
    return load(x + i);
  ivec number;
  for (int l = 0; l < VL; l++) number[l] = l;
  return select(number < (lane)(count - i), load_part(x + i, count - i), splat(rest));
}

#define store_upto NAME(store_upto)
INLINE void store_upto(real *y, int64_t i, int64_t count, vec v) {
  if (count - i >= VL)
    store(y + i, v);
  else
    store_part(y + i, v, count - i);
}

static void NAME(softmax)(int logarithm, int64_t columns, const void *from, void *to) {
  const real *x = from;
  real *y = to;
  vec best = splat(-(real)INFINITY), total = {0};
  for (int64_t i = 0; i < columns; i += VL) best = vmax(best, load_or(x, i, columns, -(real)INFINITY));
  const vec top = splat(vmax_lanes(best));
  for (int64_t i = 0; i < columns; i += VL) {
    const vec e = vexp(load_or(x, i, columns, -(real)INFINITY) - top);
    total += e;
    if (!logarithm)
      store_upto(y, i, columns, e);
  }
  const real sum = vsum(total);
  const real log_sum = (real)log((double)sum);
  for (int64_t i = 0; i < columns; i += VL)
    store_upto(y, i, columns, logarithm ? load_or(x, i, columns, 0) - top - log_sum : load_or(y, i, columns, 0) / sum);
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

#undef ROUND
#undef MANTISSA
#undef BIAS
#undef LOG2E
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_LOW
#undef EXP_HIGH
#undef DEGREE
