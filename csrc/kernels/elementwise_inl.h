/* Activations and their gradients; contracts in elements.h. */

/* Further out gelu's approximation and silu are 0, or x, in both types; -infinity * 0 would be NaN. */
#define FAR 1000

#define logistic NAME(logistic)
INLINE vec logistic(vec x) { return 1 / (1 + vexp(-x)); }

/* u(x) and its derivative, with which gelu's approximation is x * logistic(u(x)): (1 + tanh(u / 2)) / 2 is that. */
#define gelu_inner NAME(gelu_inner)
INLINE vec gelu_inner(vec x, vec *derivative) {
  const real slope = (real)1.5957691216057307118, cubic = (real)0.044715; /* sqrt(8 / pi) */
  *derivative = slope * (1 + 3 * cubic * x * x);
  return slope * x * (1 + cubic * x * x);
}

/* x P(X <= x) as x - x P(X > x), or 0 - |x| P(X > |x|) where x is negative. -0.0 stays. */
#define gelu NAME(gelu)
INLINE vec gelu(vec x) {
  vec unused;
  const vec a = tail_argument(x);
  return at_least(x, (real)-0.0) - a * normal_tail(a, &unused);
}

#define gelu_derivative NAME(gelu_derivative)
INLINE vec gelu_derivative(vec x) {
  vec bell;
  const vec a = tail_argument(x), tail = normal_tail(a, &bell);
  const vec slope = a * bell * (real)0.39894228040143267794; /* 1 / sqrt(2 pi) */
  return select(x < 0, tail - slope, 1 - (tail - slope));
}

#define activate NAME(activate)
INLINE vec activate(const int activation, real slope, real threshold, vec x) {
  const vec above = at_least(x, -FAR);
  vec unused;
  switch (activation) {
  case FCV_RELU:
    return relu(x);
  case FCV_LEAKY_RELU:
    return leaky_relu(x, slope);
  case FCV_SIGMOID:
    return logistic(x);
  case FCV_TANH:
    return vtanh(x);
  case FCV_RELU6:
    return clamp(x, 0, 6);
  case FCV_ELU:
  case FCV_ELU_OUTPUT:
    return select(x > (vec){0}, x, slope * vexpm1(at_most(x, 0)));
  case FCV_GELU:
    return gelu(x);
  case FCV_GELU_TANH:
    return above / (1 + vexp(-gelu_inner(above, &unused)));
  case FCV_SILU:
    return above / (1 + vexp(-above));
  case FCV_SOFTPLUS: {
    const vec scaled = slope * x;
    return select(scaled > threshold, x, (relu(scaled) + vlog1p(vexp(select(scaled > 0, -scaled, scaled)))) / slope);
  }
  default:
    return x;
  }
}

#define activate_grad NAME(activate_grad)
INLINE vec activate_grad(const int activation, real slope, real threshold, vec saved, vec gy) {
  const vec near = clamp(saved, -FAR, FAR);
  vec factor;
  switch (activation) {
  case FCV_RELU:
    return select(saved <= (vec){0}, (vec){0}, gy);
  case FCV_LEAKY_RELU:
    return select(saved > (vec){0}, gy, slope * gy);
  case FCV_SIGMOID:
    return gy * saved * (1 - saved);
  case FCV_TANH:
    return gy * (1 - saved * saved);
  case FCV_RELU6:
    return select((saved <= 0) | (saved >= 6), (vec){0}, gy);
  case FCV_ELU:
    return select(saved > (vec){0}, gy, gy * slope * vexp(saved));
  case FCV_ELU_OUTPUT:
    return select(saved > (vec){0}, gy, gy * (slope + saved));
  case FCV_GELU:
    return gy * gelu_derivative(saved);
  case FCV_GELU_TANH: {
    const vec s = logistic(gelu_inner(near, &factor));
    return gy * s * (1 + near * factor * (1 - s));
  }
  case FCV_SILU: {
    const vec s = logistic(near);
    return gy * s * (1 + near * (1 - s));
  }
  case FCV_SOFTPLUS:
    return select(slope * saved > threshold, gy, gy * logistic(slope * saved));
  default:
    return gy;
  }
}
#undef FAR

/* How far ahead x is fetched where y is written past the caches: 2 KiB made that 1.1 to 1.2 times as fast. */
enum { NAME(AHEAD) = 2048 / (int)sizeof(real) };

/* The elements before the first aligned one. */
#define unaligned_head NAME(unaligned_head)
INLINE int64_t unaligned_head(const real *y, int64_t count) {
  const int64_t head = (int64_t)(-(uintptr_t)y % VECTOR_BYTES / sizeof(real));
  return head < count ? head : count;
}

#define map NAME(map)
INLINE void map(const int activation, real slope, real threshold, int64_t count, const real *x, real *y,
                const int past_caches) {
  int64_t i = past_caches ? unaligned_head(y, count) : 0;
  if (i > 0)
    store_part(y, activate(activation, slope, threshold, load_part(x, i)), i);
  for (; i + VL <= count; i += VL) {
    const vec v = activate(activation, slope, threshold, load(x + i));
    if (past_caches) {
      __builtin_prefetch(x + i + NAME(AHEAD));
      stream(y + i, v);
    } else {
      store(y + i, v);
    }
  }
  if (i < count)
    store_part(y + i, activate(activation, slope, threshold, load_part(x + i, count - i)), count - i);
}

#define map_grad NAME(map_grad)
INLINE void map_grad(const int activation, real slope, real threshold, int64_t count, const real *saved, const real *gy,
                     real *gx, const int past_caches) {
  int64_t i = past_caches ? unaligned_head(gx, count) : 0;
  if (i > 0)
    store_part(gx, activate_grad(activation, slope, threshold, load_part(saved, i), load_part(gy, i)), i);
  for (; i + VL <= count; i += VL) {
    const vec v = activate_grad(activation, slope, threshold, load(saved + i), load(gy + i));
    if (past_caches) {
      __builtin_prefetch(saved + i + NAME(AHEAD));
      __builtin_prefetch(gy + i + NAME(AHEAD));
      stream(gx + i, v);
    } else {
      store(gx + i, v);
    }
  }
  const int64_t rest = count - i;
  if (rest)
    store_part(gx + i, activate_grad(activation, slope, threshold, load_part(saved + i, rest), load_part(gy + i, rest)),
               rest);
}

/* A constant activation in each call: one loop for each, with no branch inside. */
#define EACH_ACTIVATION(CALL)                                                                                          \
  switch (activation) {                                                                                                \
    CALL(FCV_LINEAR)                                                                                                   \
    CALL(FCV_RELU)                                                                                                     \
    CALL(FCV_LEAKY_RELU)                                                                                               \
    CALL(FCV_SIGMOID)                                                                                                  \
    CALL(FCV_TANH)                                                                                                     \
    CALL(FCV_RELU6)                                                                                                    \
    CALL(FCV_ELU)                                                                                                      \
    CALL(FCV_ELU_OUTPUT)                                                                                               \
    CALL(FCV_GELU)                                                                                                     \
    CALL(FCV_GELU_TANH)                                                                                                \
    CALL(FCV_SILU)                                                                                                     \
    CALL(FCV_SOFTPLUS)                                                                                                 \
  }

static void NAME(activation)(int activation, double slope, double threshold, int64_t count, const void *x, void *y,
                             int past_caches) {
#define MAP(f)                                                                                                         \
  case f:                                                                                                              \
    if (past_caches && fcv_is_comparison(f))                                                                           \
      map(f, (real)slope, (real)threshold, count, x, y, 1);                                                            \
    else                                                                                                               \
      map(f, (real)slope, (real)threshold, count, x, y, 0);                                                            \
    break;
  EACH_ACTIVATION(MAP)
#undef MAP
}

static void NAME(activation_grad)(int activation, double slope, double threshold, int64_t count, const void *saved,
                                  const void *gy, void *gx, int past_caches) {
#define MAP(f)                                                                                                         \
  case f:                                                                                                              \
    if (past_caches && fcv_is_comparison(f))                                                                           \
      map_grad(f, (real)slope, (real)threshold, count, saved, gy, gx, 1);                                              \
    else                                                                                                               \
      map_grad(f, (real)slope, (real)threshold, count, saved, gy, gx, 0);                                              \
    break;
  EACH_ACTIVATION(MAP)
#undef MAP
}
#undef EACH_ACTIVATION

/* y = x where saved > 0, else w[j] * x, over rows of columns. */
static void NAME(prelu)(int64_t rows, int64_t columns, const void *weight, const void *saved_from, const void *from,
                        void *to) {
  const real *w = weight;
  for (int64_t row = 0; row < rows; row++) {
    const real *saved = (const real *)saved_from + row * columns, *x = (const real *)from + row * columns;
    real *y = (real *)to + row * columns;
    for (int64_t j = 0; j < columns; j += VL) {
      const vec v = load_or(x, j, columns, 0);
      store_upto(y, j, columns, select(load_or(saved, j, columns, 0) > (vec){0}, v, load_or(w, j, columns, 0) * v));
    }
  }
}
