/* exp and its relatives on vectors. The errors stated are the largest that were seen over many arguments, against
 * higher precision, with fused multiply-adds and without; subnormal results are not counted. NaN stays NaN. */

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
#define LOG_TERMS 9
#define SQUARE_ROUND 49152.0f /* rounds to a multiple of 1/256: the square of such a number is exact up to 16 */
#define TAIL_CENTRE 4
#define TAIL_HIGH 16.0f
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
#define LOG_TERMS 17
#define SQUARE_ROUND 6442450944.0 /* rounds to a multiple of 2^-20: the square of such a number is exact up to 64 */
#define TAIL_CENTRE 6
#define TAIL_HIGH 40.0
#endif

/* expm1 of the rest r, |r| <= ln(2) / 2, and the power e of two with exp(x + low) = 2^e * (1 + expm1(r)), for a small
 * low. The Taylor polynomial to r^7 (r^13) leaves less than 6e-9 (5e-18). */
#define expm1_rest NAME(expm1_rest)
INLINE vec expm1_rest(vec x, vec low, ivec *e) {
  static const real factorial[] = {1,     2,      6,       24,       120,       720,       5040,
                                   40320, 362880, 3628800, 39916800, 479001600, 6227020800};
  const vec shifted = x * (real)LOG2E + (real)ROUND;
  const vec n = shifted - (real)ROUND;
  *e = (ivec)shifted - (ivec)splat(ROUND);
  const vec r = (x - n * (real)LN2_HIGH) - (n * (real)LN2_LOW - low);
  vec p = splat(1 / factorial[DEGREE - 1]);
  UNROLL(16)
  for (int i = DEGREE - 2; i >= 0; i--) p = p * r + 1 / factorial[i];
  return p * r;
}

#define power_of_two NAME(power_of_two)
INLINE vec power_of_two(ivec e) { return (vec)((e + BIAS) << MANTISSA); }

#define clamp NAME(clamp)
INLINE vec clamp(vec x, real low, real high) {
  x = select(x < low, splat(low), x);
  return select(x > high, splat(high), x);
}

/* exp(x + low), within 2 units in the last place. 2^e is applied in two halves, so that it can overflow and vanish. */
#define vexp_sum NAME(vexp_sum)
INLINE vec vexp_sum(vec x, vec low) {
  ivec e;
  const vec p = expm1_rest(clamp(x, (real)EXP_LOW, (real)EXP_HIGH), low, &e);
  const ivec half = e >> 1;
  return (1 + p) * power_of_two(half) * power_of_two(e - half);
}

#define vexp NAME(vexp)
INLINE vec vexp(vec x) { return vexp_sum(x, (vec){0}); }

/* For x <= 0, within 2 units in the last place, also near zero. -1 in both types below -40. */
#define vexpm1 NAME(vexpm1)
INLINE vec vexpm1(vec x) {
  ivec e;
  const vec p = expm1_rest(select(x < -40, splat(-40), x), (vec){0}, &e);
  const vec scale = power_of_two(e);
  return scale * p + (scale - 1);
}

/* tanh|x| = -m / (m + 2) with m = expm1(-2|x|). */
#define vtanh NAME(vtanh)
INLINE vec vtanh(vec x) {
  const ivec sign = (ivec)x & (ivec)splat((real)-0.0);
  const vec m = vexpm1(-2 * (vec)((ivec)x ^ sign));
  return (vec)((ivec)(-m / (m + 2)) | sign);
}

/* log(1 + t), 0 <= t <= 1: 2 atanh(s) with s = t / (2 + t) <= 1/3, and its Taylor polynomial in s, which leaves less
 * than 3e-10 (4e-18) of it. Within 3 units in the last place. */
#define vlog1p NAME(vlog1p)
INLINE vec vlog1p(vec t) {
  const vec s = t / (2 + t), square = s * s;
  vec p = splat((real)1 / (2 * LOG_TERMS - 1));
  UNROLL(32)
  for (int i = LOG_TERMS - 2; i >= 0; i--) p = p * square + (real)1 / (2 * i + 1);
  return 2 * s * p;
}

/* log(x) for normal x >= 1: x = 2^k * m with 1 <= m < 2. NaN stays. */
#define vlog NAME(vlog)
INLINE vec vlog(vec x) {
  const ivec bits = (ivec)x, k = (bits >> MANTISSA) - BIAS;
  const vec m = (vec)(bits - (k << MANTISSA));
  return select(x != x, x, __builtin_convertvector(k, vec) * (real)0.69314718055994530942 + vlog1p(m - 1));
}

/* The normal distribution: returns P(X <= x), within 5 units in the last place, and exp(-x^2 / 2) in *bell.
 *
 * For a = |x| the tail P(X > a) is exp(-a^2 / 2) * g(q) / (1 + a / 2) with q = (a - c) / (a + c) in (-1, 1), c the
 * TAIL_CENTRE: g is smooth there (Schonfelder 1978, Math. Comp. 32), and the polynomial that meets it at the Chebyshev
 * nodes of a in [0, 14] ([0, 40]) errs by less than 4e-8 (2e-16) of it. a^2 = h^2 + (a - h)(a + h) with few bits in h,
 * since exp would multiply the rounding error of a^2 by a^2. */
#define normal_cdf NAME(normal_cdf)
INLINE vec normal_cdf(vec x, vec *bell) {
  static const real g[] = {
#if DTYPE_BITS == 32
      0x1.22078cp-2f, -0x1.1182f6p-3f, 0x1.1b6656p-4f,  -0x1.6126bap-6f, -0x1.5c66b6p-11f,
      0x1.362e3p-8f,  -0x1.27faaap-9f, 0x1.14196ep-13f, 0x1.117488p-12f
#else
      0x1.095608c7b15f1p-2,   -0x1.aa70589cd89b2p-4,  0x1.2a46d58e134d6p-4,   -0x1.6166893792861p-5,
      0x1.4d4392a57e349p-6,   -0x1.985b717b6b908p-8,  -0x1.9850cc6985fe5p-12, 0x1.2062ef6a5d430p-9,
      -0x1.dd5999743b2d9p-10, 0x1.f7e4dec34f618p-11,  -0x1.6909322f0398dp-12, 0x1.148a6ff46c5a3p-14,
      0x1.21fadedd23752p-17,  -0x1.5e29aa5e28976p-17, 0x1.4850203dc32e3p-19,  0x1.20acadfc5f82dp-21,
      -0x1.dd5aade029364p-22, 0x1.adf96c9cb5206p-26,  0x1.d2412fd0ba92ap-25,  -0x1.055da4d3a62b5p-27,
      -0x1.69b7c958c95a8p-28
#endif
  };
  const vec a = clamp(select(x < 0, -x, x), 0, (real)TAIL_HIGH);
  const vec h = (a + (real)SQUARE_ROUND) - (real)SQUARE_ROUND;
  *bell = vexp_sum(h * h * (real)-0.5, (a - h) * (a + h) * (real)-0.5);
  const vec q = (a - TAIL_CENTRE) / (a + TAIL_CENTRE);
  const int degree = (int)(sizeof g / sizeof *g) - 1;
  vec p = splat(g[degree]);
  UNROLL(32)
  for (int i = degree - 1; i >= 0; i--) p = p * q + g[i];
  const vec tail = *bell * p / (1 + (real)0.5 * a);
  return select(x < 0, tail, 1 - tail);
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
#undef LOG_TERMS
#undef SQUARE_ROUND
#undef TAIL_CENTRE
#undef TAIL_HIGH
