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
#define EXP_LOW -87.5f /* exp gives 0 below, since subnormals are flushed, and infinity above */
#define EXP_HIGH 89.25f
#define SQUARE_ROUND 49152.0f /* rounds to a multiple of 1/256: the square of such a number is exact up to 16 */
#define TAIL_HIGH 13.22f      /* exp(-x^2 / 2) is 0 from there on */
#else
#define ROUND 6755399441055744.0
#define MANTISSA 52
#define BIAS 1023
#define LOG2E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42fefa38p-1
#define LN2_LOW 0x1.ef35793c7673p-45
#define EXP_LOW -708.5
#define EXP_HIGH 710.5
#define SQUARE_ROUND 6442450944.0 /* rounds to a multiple of 2^-20: the square of such a number is exact up to 64 */
#define TAIL_HIGH 37.645
#endif

/* The whole number n next to x / ln(2), plus ROUND: its low bits are n. */
#define powers_of NAME(powers_of)
INLINE vec powers_of(vec x) { return x * (real)LOG2E + (real)ROUND; }

/* 2^n for a normal result, from n or n + ROUND. */
#define power_of_two NAME(power_of_two)
INLINE vec power_of_two(ivec shifted) { return (vec)((shifted << MANTISSA) + (ivec)splat(1)); }

/* The polynomial with those coefficients, from that of x^0, by its even and its odd powers: two chains of half the
 * length. A loop holds few calls of exp at a time, so that it waits for them. */
#define polynomial NAME(polynomial)
INLINE vec polynomial(const real *coefficients, const int count, vec x) {
  const vec square = x * x;
  vec even = splat(coefficients[(count - 1) / 2 * 2]), odd = splat(coefficients[count / 2 * 2 - 1]);
  UNROLL(16)
  for (int i = (count - 1) / 2 - 1; i >= 0; i--) even = even * square + coefficients[2 * i];
  UNROLL(16)
  for (int i = count / 2 - 2; i >= 0; i--) odd = odd * square + coefficients[2 * i + 1];
  return odd * x + even;
}

/* expm1(r) for |r| <= ln(2) / 2: r + r^2 q(r), where q is the polynomial of the least error relative to expm1, by
 * Remez' exchange: 1.3e-8 (1.8e-17), or 0.11 (0.08) units in the last place. A Taylor polynomial needs r^7 (r^13). */
#define expm1_rest NAME(expm1_rest)
INLINE vec expm1_rest(vec r) {
  static const real q[] = {
#if DTYPE_BITS == 32
      0x1.fffffep-2f, 0x1.5554b0p-3f, 0x1.555674p-5f, 0x1.1227bp-7f, 0x1.6bebfep-10f
#else
      0x1.0000000000005p-1,  0x1.5555555555539p-3,  0x1.555555555228ep-5,  0x1.1111111119010p-7,
      0x1.6c16c17ee7267p-10, 0x1.a01a0174fb2ccp-13, 0x1.a019a74a731a8p-16, 0x1.71de8824cedb7p-19,
      0x1.28a20691a4e54p-22, 0x1.ae6bac51a1573p-26
#endif
  };
  return r + r * r * polynomial(q, (int)(sizeof q / sizeof *q), r);
}

/* t exp(n ln(2) + r) from n + ROUND. Without an instruction as 2^(n - 1) times twice the rest, so that n may be from
 * -126 (-1022), where the first is zero, to 129 (1025), where it is infinity: two halves of 2^n took 6 operations more.
 */
#define times_exp NAME(times_exp)
INLINE vec times_exp(vec t, vec shifted, vec r) {
#if HAS_MASKS
  return times_power(t + t * expm1_rest(r), shifted - (real)ROUND);
#else
  const vec twice = 2 * t;
  return (twice + twice * expm1_rest(r)) * (vec)(((ivec)shifted << MANTISSA) + (ivec)splat((real)0.5));
#endif
}

/* x - n ln(2). */
#define rest_of NAME(rest_of)
INLINE vec rest_of(vec x, vec shifted) {
  const vec n = shifted - (real)ROUND;
  return x - n * (real)LN2_HIGH - n * (real)LN2_LOW;
}

/* Within 2 units in the last place; may be 0 up to 1.42 times the least normal number, by times_exp. */
#define vexp NAME(vexp)
INLINE vec vexp(vec x) {
  x = clamp(x, (real)EXP_LOW, (real)EXP_HIGH);
  const vec shifted = powers_of(x);
  return times_exp(splat(1), shifted, rest_of(x, shifted));
}

/* n + ROUND and the rest r with exp(-a^2 / 2) = 2^n exp(r), 0 <= a <= TAIL_HIGH. exp would multiply the rounding error
 * of a^2 by a^2: it is rounded only once n ln(2) is taken from it, or taken in parts, the first of which has few bits.
 */
#define bell_rest NAME(bell_rest)
INLINE vec bell_rest(vec a, vec *shifted) {
#if HAS_FMA
  const vec b = a * (real)-0.5;
  *shifted = a * (a * (real)(-0.5 * LOG2E)) + (real)ROUND;
  const vec n = *shifted - (real)ROUND, multiple = hold(n * (real)LN2_HIGH);
  return (a * b - multiple) - n * (real)LN2_LOW;
#else
  const vec h = (a + (real)SQUARE_ROUND) - (real)SQUARE_ROUND, high = h * h * (real)-0.5;
  *shifted = powers_of(high);
  return rest_of(high, *shifted) - (a - h) * (a + h) * (real)0.5;
#endif
}

/* For x <= 0, within 2 units in the last place, also near zero. -1 in both types below -40. */
#define vexpm1 NAME(vexpm1)
INLINE vec vexpm1(vec x) {
  x = at_least(x, -40);
  const vec shifted = powers_of(x), power = power_of_two((ivec)shifted);
  return power * expm1_rest(rest_of(x, shifted)) + (power - 1);
}

/* tanh|x| = -m / (m + 2) with m = expm1(-2|x|). */
#define vtanh NAME(vtanh)
INLINE vec vtanh(vec x) {
  const ivec sign = (ivec)x & (ivec)splat((real)-0.0);
  const vec m = vexpm1(-2 * (vec)((ivec)x ^ sign));
  return (vec)((ivec)(-m / (m + 2)) | sign);
}

/* log(1 + t), 0 <= t <= 1: 2 atanh(s) with s = t / (2 + t) <= 1/3, by the polynomial of the least relative error that
 * is 1 at zero, by Remez' exchange: 5e-9 (2e-18). Within 3 units in the last place. */
#define vlog1p NAME(vlog1p)
INLINE vec vlog1p(vec t) {
  static const real p[] = {
#if DTYPE_BITS == 32
      1, 0x1.555502p-2f, 0x1.99d208p-3f, 0x1.1ebd0ep-3f, 0x1.1ed7bep-3f
#else
      1,
      0x1.5555555555535p-2,
      0x1.99999999a06c1p-3,
      0x1.249249209112ep-3,
      0x1.c71c741a0669fp-4,
      0x1.745cb459b54a3p-4,
      0x1.3b1dd3ac7fcdep-4,
      0x1.10682edcb88dfp-4,
      0x1.efd18cf6f03c7p-5,
      0x1.55cf59cdb1432p-5,
      0x1.5c5c218c8aedfp-4
#endif
  };
  const vec s = t / (2 + t);
  return 2 * s * polynomial(p, (int)(sizeof p / sizeof *p), s * s);
}

/* log(x) for normal x >= 1: x = 2^k * m with 1 <= m < 2. NaN stays. */
#define vlog NAME(vlog)
INLINE vec vlog(vec x) {
  const ivec bits = (ivec)x, k = (bits >> MANTISSA) - BIAS;
  const vec m = (vec)(bits - (k << MANTISSA));
  return select(x != x, x, __builtin_convertvector(k, vec) * (real)0.69314718055994530942 + vlog1p(m - 1));
}

/* |x|, at most where the normal distribution's tail vanishes. */
#define tail_argument NAME(tail_argument)
INLINE vec tail_argument(vec x) { return at_most((vec)((ivec)x & ~(ivec)splat((real)-0.0)), (real)TAIL_HIGH); }

/* P(X > a) of the normal distribution for 0 <= a <= TAIL_HIGH, within 6 units in the last place (7 without fused
 * multiply-adds); exp(-a^2 / 2) in *bell.
 *
 * The tail is exp(-a^2 / 2) * p(a) / q(a). The rational function is that of the least relative error for a in [0, 13.3]
 * ([0, 38]), by Remez' exchange: 5e-9 (5e-17). All its coefficients are positive, so that nothing cancels. */
#define normal_tail NAME(normal_tail)
INLINE vec normal_tail(vec a, vec *bell) {
  static const real p[] = {
#if DTYPE_BITS == 32
      0x1.8cf1c2p+5f, 0x1.59e2fp+5f, 0x1.1fdff4p+4f, 0x1.fbe346p+1f, 0x1.9885dp-2f
#else
      0x1.1b72964381287p+17, 0x1.b6e8c1669e011p+17, 0x1.503c7908d1921p+17, 0x1.474abcc7a9267p+16,
      0x1.b9bc4c0dfe318p+14, 0x1.aae198fa450eep+12, 0x1.2755af2eb52fcp+10, 0x1.1b12c30ffc09fp+7,
      0x1.57ac591192bffp+3,  0x1.9884533d3da04p-2
#endif
  };
  static const real q[] = {
#if DTYPE_BITS == 32
      0x1.8cf1c2p+6f, 0x1.4b4d1cp+7f, 0x1.da24d2p+6f, 0x1.70aa96p+5f, 0x1.3e4b7ep+3f, 1
#else
      0x1.1b72964381287p+18,
      0x1.4c88a9621211fp+19,
      0x1.6a946f394be0ep+19,
      0x1.e5178bd279e6ap+18,
      0x1.ba459ebe37590p+17,
      0x1.202c6813b1ed4p+16,
      0x1.110534834fc98p+14,
      0x1.75832249c94edp+11,
      0x1.63c79e05597eap+8,
      0x1.aebb038c1f0e2p+4,
      1
#endif
  };
  vec shifted;
  const vec r = bell_rest(a, &shifted);
  *bell = times_exp(splat(1), shifted, r);
  const vec ratio = polynomial(p, (int)(sizeof p / sizeof *p), a) / polynomial(q, (int)(sizeof q / sizeof *q), a);
  return times_exp(ratio, shifted, r);
}

#undef ROUND
#undef MANTISSA
#undef BIAS
#undef LOG2E
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_LOW
#undef EXP_HIGH
#undef SQUARE_ROUND
#undef TAIL_HIGH
