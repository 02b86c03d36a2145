/* Winograd's transforms; contract in products.h.
 *
 * F(m, 3) computes m outputs of a 3-tap filter from alpha = m + 2 inputs with alpha products: y = A^T [(G g) * (B^T
 * d)]. It is polynomial multiplication evaluated at alpha - 1 points and infinity (Toom and Cook; Lavin and Gray 2015,
 * arXiv:1509.09308, section 4.1): G evaluates the filter, A the outputs, B^T interpolates. The points are 0, 1, -1 for
 * m = 2, and 2, -2 besides for m = 4; every matrix below has one row or column per point, in the order 0, 1, -1, 2,
 * -2, infinity. In two dimensions each matrix is applied to the columns, then to the rows. */

/* One dimension: from n_in vectors in_step apart to n_out vectors out_step apart. */
typedef void NAME(line)(const vec *in, int in_step, vec *out, int out_step);

/* B^T for m = 4:  4  0 -5  0  1  0
 *                 0 -4 -4  1  1  0
 *                 0  4 -4 -1  1  0
 *                 0 -2 -1  2  1  0
 *                 0  2 -1 -2  1  0
 *                 0  4  0 -5  0  1 */
#define input_line_4 NAME(input_line_4)
INLINE void input_line_4(const vec *d, int i, vec *v, int o) {
  const vec a = d[4 * i] - 4 * d[2 * i], b = d[3 * i] - 4 * d[i];
  const vec c = d[4 * i] - d[2 * i], e = 2 * (d[3 * i] - d[i]);
  v[0] = 4 * d[0] - 5 * d[2 * i] + d[4 * i];
  v[o] = a + b;
  v[2 * o] = a - b;
  v[3 * o] = c + e;
  v[4 * o] = c - e;
  v[5 * o] = 4 * d[i] - 5 * d[3 * i] + d[5 * i];
}

/* A^T for m = 4:  1  1  1  1  1  0
 *                 0  1 -1  2 -2  0
 *                 0  1  1  4  4  0
 *                 0  1 -1  8 -8  1 */
#define output_line_4 NAME(output_line_4)
INLINE void output_line_4(const vec *m, int i, vec *y, int o) {
  const vec a = m[i] + m[2 * i], b = m[i] - m[2 * i], c = m[3 * i] + m[4 * i], d = m[3 * i] - m[4 * i];
  y[0] = m[0] + a + c;
  y[o] = b + 2 * d;
  y[2 * o] = a + 4 * c;
  y[3 * o] = b + 8 * d + m[5 * i];
}

/* G for m = 4:   1/4    0     0
 *               -1/6  -1/6  -1/6
 *               -1/6   1/6  -1/6
 *               1/24  1/12   1/6
 *               1/24 -1/12   1/6
 *                 0     0     1 */
#define weight_line_4 NAME(weight_line_4)
INLINE void weight_line_4(const vec *g, int i, vec *u, int o) {
  const vec even = (g[0] + g[2 * i]) * (real)(-1.0 / 6), odd = g[i] * (real)(1.0 / 6);
  const vec outer = g[0] * (real)(1.0 / 24) + g[2 * i] * (real)(1.0 / 6), twice = g[i] * (real)(1.0 / 12);
  u[0] = g[0] * (real)0.25;
  u[o] = even - odd;
  u[2 * o] = even + odd;
  u[3 * o] = outer + twice;
  u[4 * o] = outer - twice;
  u[5 * o] = g[2 * i];
}

/* A, the transpose of the above: the gradient of the output line. */
#define grad_output_line_4 NAME(grad_output_line_4)
INLINE void grad_output_line_4(const vec *g, int i, vec *m, int o) {
  const vec a = g[0] + g[2 * i], b = g[i] + g[3 * i], c = g[0] + 4 * g[2 * i], d = 2 * g[i] + 8 * g[3 * i];
  m[0] = g[0];
  m[o] = a + b;
  m[2 * o] = a - b;
  m[3 * o] = c + d;
  m[4 * o] = c - d;
  m[5 * o] = g[3 * i];
}

/* G^T: the gradient of the weight line. */
#define grad_weight_line_4 NAME(grad_weight_line_4)
INLINE void grad_weight_line_4(const vec *u, int i, vec *g, int o) {
  const vec a = u[i] + u[2 * i], b = u[2 * i] - u[i], c = u[3 * i] + u[4 * i], d = u[3 * i] - u[4 * i];
  g[0] = u[0] * (real)0.25 - a * (real)(1.0 / 6) + c * (real)(1.0 / 24);
  g[o] = b * (real)(1.0 / 6) + d * (real)(1.0 / 12);
  g[2 * o] = (c - a) * (real)(1.0 / 6) + u[5 * i];
}

/* B^T for m = 2:  1  0 -1  0      A^T:  1  1  1  0      G:   1    0    0
 *                 0  1  1  0            0  1 -1 -1          1/2  1/2  1/2
 *                 0 -1  1  0                                1/2 -1/2  1/2
 *                 0  1  0 -1                                 0    0    1 */
#define input_line_2 NAME(input_line_2)
INLINE void input_line_2(const vec *d, int i, vec *v, int o) {
  v[0] = d[0] - d[2 * i];
  v[o] = d[i] + d[2 * i];
  v[2 * o] = d[2 * i] - d[i];
  v[3 * o] = d[i] - d[3 * i];
}

#define output_line_2 NAME(output_line_2)
INLINE void output_line_2(const vec *m, int i, vec *y, int o) {
  y[0] = m[0] + m[i] + m[2 * i];
  y[o] = m[i] - m[2 * i] - m[3 * i];
}

#define weight_line_2 NAME(weight_line_2)
INLINE void weight_line_2(const vec *g, int i, vec *u, int o) {
  const vec even = (g[0] + g[2 * i]) * (real)0.5, odd = g[i] * (real)0.5;
  u[0] = g[0];
  u[o] = even + odd;
  u[2 * o] = even - odd;
  u[3 * o] = g[2 * i];
}

#define grad_output_line_2 NAME(grad_output_line_2)
INLINE void grad_output_line_2(const vec *g, int i, vec *m, int o) {
  m[0] = g[0];
  m[o] = g[0] + g[i];
  m[2 * o] = g[0] - g[i];
  m[3 * o] = -g[i];
}

#define grad_weight_line_2 NAME(grad_weight_line_2)
INLINE void grad_weight_line_2(const vec *u, int i, vec *g, int o) {
  g[0] = u[0] + (u[i] + u[2 * i]) * (real)0.5;
  g[o] = (u[i] - u[2 * i]) * (real)0.5;
  g[2 * o] = (u[i] + u[2 * i]) * (real)0.5 + u[3 * i];
}

/* Channels c .. c + VL - 1, or count of them. */
#define winograd_vector NAME(winograd_vector)
INLINE void winograd_vector(const struct fcv_winograd_tile *t, NAME(line) *const line, const int n_in, const int n_out,
                            int64_t c, const int part, int64_t count) {
  vec in[36], half[36], out[36];
  UNROLL(36)
  for (int e = 0; e < n_in * n_in; e++) {
    const real *from = (const real *)((const char *)t->from[e] + t->from_bytes) + c;
    in[e] = part ? load_part(from, count) : load(from);
  }
  UNROLL(6)
  for (int i = 0; i < n_in; i++) line(in + i, n_in, half + i, n_in);
  UNROLL(6)
  for (int i = 0; i < n_out; i++) line(half + i * n_in, 1, out + i * n_out, 1);
  const vec bias = !t->bias ? (vec){0}
                   : part   ? load_part((const real *)t->bias, count)
                            : load((const real *)t->bias + c);
  UNROLL(36)
  for (int e = 0; e < n_out * n_out; e++) {
    if (!t->to[e])
      continue;
    real *to = (real *)((char *)t->to[e] + t->to_bytes) + c;
    vec y = out[e] + bias;
    if (t->activation == FCV_RELU)
      y = relu(y);
    else if (t->activation == FCV_LEAKY_RELU)
      y = leaky_relu(y, (real)t->slope);
    if (part)
      store_part(to, y, count);
    else if (t->past_caches)
      stream(to, y);
    else
      store(to, y);
  }
}

/* The last vector overlaps the one before, since a part of one takes twice as long. */
#define winograd_body NAME(winograd_body)
INLINE void winograd_body(const struct fcv_winograd_tile *t, NAME(line) *const line, const int n_in, const int n_out) {
  const int64_t last = t->channels - VL;
  if (last < 0)
    winograd_vector(t, line, n_in, n_out, 0, 1, t->channels);
  for (int64_t c = 0; c < last + VL && last >= 0; c += VL)
    winograd_vector(t, line, n_in, n_out, c < last ? c : last, 0, VL);
}

#define WINOGRAD(name, n_in_2, n_out_2, n_in_4, n_out_4)                                                               \
  static void NAME(winograd_##name##_2)(const struct fcv_winograd_tile *t) {                                           \
    winograd_body(t, name##_line_2, n_in_2, n_out_2);                                                                  \
  }                                                                                                                    \
  static void NAME(winograd_##name##_4)(const struct fcv_winograd_tile *t) {                                           \
    winograd_body(t, name##_line_4, n_in_4, n_out_4);                                                                  \
  }
WINOGRAD(input, 4, 4, 6, 6)
WINOGRAD(output, 4, 2, 6, 4)
WINOGRAD(weight, 3, 4, 3, 6)
WINOGRAD(grad_output, 2, 4, 4, 6)
WINOGRAD(grad_weight, 4, 3, 6, 3)
#undef WINOGRAD
