/* Multiply-adds in registers and nothing else; contract in products.h. */

static double NAME(peak)(int64_t rounds) {
  vec acc[FCV_PEAK_CHAINS];
  vec factor = splat((real)0.5), term = splat((real)0.25);
  UNROLL(16)
  for (int i = 0; i < FCV_PEAK_CHAINS; i++) acc[i] = splat((real)i);
  for (int64_t round = 0; round < rounds; round++) {
    __asm__ volatile("" : "+m"(factor), "+m"(term)); /* not a loop that could be left out */
    const vec f = factor, t = term;
    for (int turn = 0; turn < FCV_PEAK_TURNS; turn++) {
      UNROLL(16)
      for (int i = 0; i < FCV_PEAK_CHAINS; i++) acc[i] = acc[i] * f + t;
    }
  }
  vec total = acc[0];
  for (int i = 1; i < FCV_PEAK_CHAINS; i++) total += acc[i];
  return (double)vsum(total);
}
