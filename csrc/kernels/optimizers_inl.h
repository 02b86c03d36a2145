/* Steps of optimizers, a function for each; the formulas are in fastconv.h.
 *
 * All of them are bound by memory: an array that is not there costs a branch a vector that is always the same. */

/* Element by element, for which compilers have an instruction where vectors have no operator. */
#define square_root NAME(square_root)
INLINE vec square_root(vec x) {
  real part[VL];
  store(part, x);
  for (int l = 0; l < VL; l++)
    part[l] = sizeof(real) == 4 ? (real)__builtin_sqrtf((float)part[l]) : (real)__builtin_sqrt((double)part[l]);
  return load(part);
}

/* beta * before + (1 - beta) * now, which takes the place of what was before. */
#define running_mean NAME(running_mean)
INLINE vec running_mean(real *mean, int64_t i, int64_t count, double beta, vec now) {
  const vec value = (real)beta * load_or(mean, i, count, 0) + (real)(1 - beta) * now;
  store_upto(mean, i, count, value);
  return value;
}

static void NAME(sgd)(const struct fcv_step *step, int64_t count, const void *g, void *w, void *m, void *v, void *a) {
  const real rate = (real)step->rate, momentum = (real)step->beta_1;
  (void)v, (void)a;
  for (int64_t i = 0; i < count; i += VL) {
    const vec fall = rate * load_or(g, i, count, 0);
    vec change = -fall;
    if (m) {
      const vec velocity = momentum * load_or(m, i, count, 0) - fall;
      store_upto(m, i, count, velocity);
      change = step->nesterov ? momentum * velocity - fall : velocity;
    }
    store_upto(w, i, count, load_or(w, i, count, 0) + change);
  }
}

static void NAME(rmsprop)(const struct fcv_step *step, int64_t count, const void *g, void *w, void *m, void *v,
                          void *a) {
  const real rate = (real)step->rate, epsilon = (real)step->epsilon;
  for (int64_t i = 0; i < count; i += VL) {
    const vec gradient = load_or(g, i, count, 0);
    vec square = running_mean(v, i, count, step->beta_2, gradient * gradient);
    if (a) {
      const vec mean = running_mean(a, i, count, step->beta_2, gradient);
      square = relu(square - mean * mean); /* a variance; rounding may leave it below 0 */
    }
    vec change = rate * (gradient / square_root(square + epsilon));
    if (m) {
      change += (real)step->beta_1 * load_or(m, i, count, 0);
      store_upto(m, i, count, change);
    }
    store_upto(w, i, count, load_or(w, i, count, 0) - change);
  }
}

static void NAME(adagrad)(const struct fcv_step *step, int64_t count, const void *g, void *w, void *m, void *v,
                          void *a) {
  const real rate = (real)step->rate, epsilon = (real)step->epsilon;
  (void)m, (void)a;
  for (int64_t i = 0; i < count; i += VL) {
    const vec gradient = load_or(g, i, count, 0), sum = load_or(v, i, count, 0) + gradient * gradient;
    store_upto(v, i, count, sum);
    store_upto(w, i, count, load_or(w, i, count, 0) - rate * (gradient / square_root(sum + epsilon)));
  }
}

static void NAME(adam)(const struct fcv_step *step, int64_t count, const void *g, void *w, void *m, void *v, void *a) {
  const real rate = (real)step->rate, epsilon = (real)step->epsilon;
  for (int64_t i = 0; i < count; i += VL) {
    const vec gradient = load_or(g, i, count, 0);
    const vec mean = running_mean(m, i, count, step->beta_1, gradient);
    vec square = running_mean(v, i, count, step->beta_2, gradient * gradient);
    if (a) {
      const vec before = load_or(a, i, count, 0);
      square = select(before > square, before, square); /* NaN where square is */
      store_upto(a, i, count, square);
    }
    store_upto(w, i, count, load_or(w, i, count, 0) - rate * mean / (square_root(square) + epsilon));
  }
}
