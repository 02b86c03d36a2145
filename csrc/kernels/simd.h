/* Vectors of VECTOR_BYTES for the element type of this inclusion, by GCC and Clang vector extensions.
 *
 * Included once for float (DTYPE f32) and once for double (DTYPE f64) by instance_inl.h: hence no include guard. The
 * names below are macros over DTYPE, so that each kernel reads the same for both. */
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(name) JOIN(name, DTYPE)
#define INLINE static inline __attribute__((always_inline))

#define real NAME(real)
#define lane NAME(lane) /* the integer of real's size */
#define vec NAME(vec)
#define ivec NAME(ivec)
#define VL ((int)(VECTOR_BYTES / sizeof(real)))

#define PRAGMA(text) _Pragma(#text)
#ifdef __clang__ /* takes n for a count to unroll by, and leaves a loop of fewer turns alone */
#define UNROLL(n) PRAGMA(clang loop unroll(full))
#define UNROLL_ANY(n)
#else
#define UNROLL(n) PRAGMA(GCC unroll n)
#define UNROLL_ANY(n) PRAGMA(GCC unroll n) /* of a loop whose turns may be known, up to n, or any number */
#endif

#if DTYPE_BITS == 32
typedef float real;
typedef int32_t lane;
#else
typedef double real;
typedef int64_t lane;
#endif
#if defined(__AVX__)
#include <immintrin.h>
#endif
typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef lane ivec __attribute__((vector_size(VECTOR_BYTES)));
typedef real NAME(unaligned) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

#define load NAME(load)
INLINE vec load(const real *p) { return *(const NAME(unaligned) *)p; }

/* x in a register, for several uses: GCC would load it for each again, and a load that crosses a line counts twice.
 * Also a product that is to be rounded before it is added to. */
#define hold NAME(hold)
#define hold_one NAME(hold_one)
#ifndef HOLD
#if defined(__AVX512F__)
#define HOLD(x) __asm__("" : "+v"(x))
#elif defined(__x86_64__)
#define HOLD(x) __asm__("" : "+x"(x))
#elif defined(__aarch64__)
#define HOLD(x) __asm__("" : "+w"(x))
#else
#define HOLD(x)
#endif
#endif
INLINE vec hold(vec x) {
  HOLD(x);
  return x;
}
INLINE real hold_one(real x) {
  HOLD(x);
  return x;
}

#define store NAME(store)
INLINE void store(real *p, vec v) { *(NAME(unaligned) *)p = v; }

/* To an aligned p, past the caches. */
#define stream NAME(stream)
INLINE void stream(real *p, vec v) {
#if defined(__clang__)
  __builtin_nontemporal_store(v, (vec *)p);
#elif defined(__x86_64__)
  typedef float floats __attribute__((vector_size(VECTOR_BYTES)));
#if VECTOR_BYTES == 64
  __builtin_ia32_movntps512((float *)p, (floats)v);
#elif VECTOR_BYTES == 32
  __builtin_ia32_movntps256((float *)p, (floats)v);
#else
  __builtin_ia32_movntps((float *)p, (floats)v);
#endif
#else
  *(vec *)p = v;
#endif
}

/* The first n < VL elements, by halves of a vector: no loop and no call. */
#define copy_part NAME(copy_part)
INLINE void copy_part(real *to, const real *from, int64_t n) {
  UNROLL(4)
  for (int width = VL / 2; width > 0; width /= 2)
    if (n & width) {
      __builtin_memcpy(to, from, (size_t)width * sizeof(real));
      to += width;
      from += width;
    }
}

#if VECTOR_BYTES == 64 && defined(__AVX512F__)
#define HAS_MASKS 1 /* parts of a vector are read and written like whole ones, and not through memory */
#define first_lanes NAME(first_lanes)
#define load_part NAME(load_part) /* the other lanes are zero */
#define store_part NAME(store_part)
INLINE unsigned first_lanes(int64_t n) { return (1u << n) - 1; }
#if DTYPE_BITS == 32
INLINE vec load_part(const real *p, int64_t n) { return (vec)_mm512_maskz_loadu_ps((__mmask16)first_lanes(n), p); }
INLINE void store_part(real *p, vec v, int64_t n) { _mm512_mask_storeu_ps(p, (__mmask16)first_lanes(n), (__m512)v); }
#else
INLINE vec load_part(const real *p, int64_t n) { return (vec)_mm512_maskz_loadu_pd((__mmask8)first_lanes(n), p); }
INLINE void store_part(real *p, vec v, int64_t n) { _mm512_mask_storeu_pd(p, (__mmask8)first_lanes(n), (__m512d)v); }
#endif
#else
#define HAS_MASKS 0
#define load_part NAME(load_part)
INLINE vec load_part(const real *p, int64_t n) {
  real part[VL] = {0};
  copy_part(part, p, n);
  return load(part);
}

#define store_part NAME(store_part)
INLINE void store_part(real *p, vec v, int64_t n) {
  real part[VL];
  store(part, v);
  copy_part(p, part, n);
}
#endif

/* Pieces of 16 bytes, step elements apart, as a vector; and neighbours in pieces by turns: of two vectors' elements the
 * first of each piece or the others, and the same of pairs of float. Loads fill pieces without a shuffle. */
#if VECTOR_BYTES >= 32 && defined(__AVX2__)
#define HAS_PIECES 1
#define PIECE ((int)(16 / sizeof(real)))
#define load_pieces NAME(load_pieces)
#define low_of_pieces NAME(low_of_pieces)
#define high_of_pieces NAME(high_of_pieces)
#define low_pairs NAME(low_pairs)
#define high_pairs NAME(high_pairs)
#if VECTOR_BYTES == 64
INLINE vec load_pieces(const real *x, int64_t step) {
  __m512 v = _mm512_castps128_ps512(_mm_loadu_ps((const float *)x));
  v = _mm512_mask_broadcast_f32x4(v, 0x00f0, _mm_loadu_ps((const float *)(x + step)));
  v = _mm512_mask_broadcast_f32x4(v, 0x0f00, _mm_loadu_ps((const float *)(x + 2 * step)));
  return (vec)_mm512_mask_broadcast_f32x4(v, 0xf000, _mm_loadu_ps((const float *)(x + 3 * step)));
}
#define IN_PIECES(name, instruction)                                                                                   \
  INLINE vec name(vec a, vec b) { return (vec)_mm512_##instruction##_pd((__m512d)a, (__m512d)b); }
#else
INLINE vec load_pieces(const real *x, int64_t step) {
  const __m256 v = _mm256_castps128_ps256(_mm_loadu_ps((const float *)x));
  return (vec)_mm256_insertf128_ps(v, _mm_loadu_ps((const float *)(x + step)), 1);
}
#define IN_PIECES(name, instruction)                                                                                   \
  INLINE vec name(vec a, vec b) { return (vec)_mm256_##instruction##_pd((__m256d)a, (__m256d)b); }
#endif
IN_PIECES(low_pairs, unpacklo)
IN_PIECES(high_pairs, unpackhi)
#undef IN_PIECES
#if DTYPE_BITS == 64
#elif VECTOR_BYTES == 64
INLINE vec low_of_pieces(vec a, vec b) { return (vec)_mm512_unpacklo_ps((__m512)a, (__m512)b); }
INLINE vec high_of_pieces(vec a, vec b) { return (vec)_mm512_unpackhi_ps((__m512)a, (__m512)b); }
#else
INLINE vec low_of_pieces(vec a, vec b) { return (vec)_mm256_unpacklo_ps((__m256)a, (__m256)b); }
INLINE vec high_of_pieces(vec a, vec b) { return (vec)_mm256_unpackhi_ps((__m256)a, (__m256)b); }
#endif
#else
#define HAS_PIECES 0
#endif

/* (vec){0} + x would cost an addition: it changes -0. */
#define splat NAME(splat)
INLINE vec splat(real x) { return x - (vec){0}; }

/* a where the mask (0 or -1 a lane) is set, else b. C has no vector ?: */
#define select NAME(select)
INLINE vec select(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }

#if VECTOR_BYTES * 8 == DTYPE_BITS * 2
#define LANES(f, n, k) f(0, n, k), f(1, n, k)
#elif VECTOR_BYTES * 8 == DTYPE_BITS * 4
#define LANES(f, n, k) f(0, n, k), f(1, n, k), f(2, n, k), f(3, n, k)
#elif VECTOR_BYTES * 8 == DTYPE_BITS * 8
#define LANES(f, n, k) f(0, n, k), f(1, n, k), f(2, n, k), f(3, n, k), f(4, n, k), f(5, n, k), f(6, n, k), f(7, n, k)
#else
#define LANES(f, n, k)                                                                                                 \
  f(0, n, k), f(1, n, k), f(2, n, k), f(3, n, k), f(4, n, k), f(5, n, k), f(6, n, k), f(7, n, k), f(8, n, k),          \
      f(9, n, k), f(10, n, k), f(11, n, k), f(12, n, k), f(13, n, k), f(14, n, k), f(15, n, k)
#endif
#define IN_RUN(i, n, k) ((i) / (n) * (n) + (k)) % VL
#define SPREAD(n, k)                                                                                                   \
  case (n) + (k):                                                                                                      \
    return __builtin_shufflevector(v, v, LANES(IN_RUN, n, k));
/* Lane k of each n neighbours in all of them; n is 1, 2, 4 or 8, and less than VL. One instruction for constants. */
#define spread NAME(spread)
INLINE vec spread(vec v, const int n, const int k) {
  switch (n + k) {
    SPREAD(2, 0)
    SPREAD(2, 1)
    SPREAD(4, 0)
    SPREAD(4, 1)
    SPREAD(4, 2)
    SPREAD(4, 3)
    SPREAD(8, 0)
    SPREAD(8, 1)
    SPREAD(8, 2)
    SPREAD(8, 3)
    SPREAD(8, 4)
    SPREAD(8, 5)
    SPREAD(8, 6)
    SPREAD(8, 7)
  default:
    return v;
  }
}
#undef SPREAD
#undef IN_RUN

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

/* x[index[l]] of the first VL elements of x, and of the first 2 * VL: all of them are read, but for the last form. */
#define pick NAME(pick)
#define pick_two NAME(pick_two)
#if HAS_MASKS
#if DTYPE_BITS == 32
INLINE vec pick(const real *x, ivec index) { return (vec)_mm512_permutexvar_ps((__m512i)index, (__m512)load(x)); }
INLINE vec pick_two(const real *x, ivec index) {
  return (vec)_mm512_permutex2var_ps((__m512)load(x), (__m512i)index, (__m512)load(x + VL));
}
#else
INLINE vec pick(const real *x, ivec index) { return (vec)_mm512_permutexvar_pd((__m512i)index, (__m512d)load(x)); }
INLINE vec pick_two(const real *x, ivec index) {
  return (vec)_mm512_permutex2var_pd((__m512d)load(x), (__m512i)index, (__m512d)load(x + VL));
}
#endif
#elif VECTOR_BYTES == 32 && defined(__AVX2__)
INLINE vec pick(const real *x, ivec index) {
#if DTYPE_BITS == 64 /* as pairs of floats: there is no instruction for doubles */
  const ivec pair = index * 2;
  index = pair | ((pair + 1) << 32);
#endif
  return (vec)_mm256_permutevar8x32_ps((__m256)load(x), (__m256i)index);
}
INLINE vec pick_two(const real *x, ivec index) { /* index modulo VL is what the instruction takes */
  return select(index < VL, pick(x, index), pick(x + VL, index));
}
#elif defined(__aarch64__) && !defined(__clang__) /* as bytes: GCC takes other lanes one by one */
#define index_bytes NAME(index_bytes)
typedef uint8_t NAME(bytes) __attribute__((vector_size(VECTOR_BYTES)));
INLINE NAME(bytes) index_bytes(ivec index) {
#if DTYPE_BITS == 32
  return (NAME(bytes))(index * 0x04040404 + 0x03020100);
#else
  return (NAME(bytes))(index * 0x0808080808080808 + 0x0706050403020100);
#endif
}
INLINE vec pick(const real *x, ivec index) { return (vec)__builtin_shuffle((NAME(bytes))load(x), index_bytes(index)); }
INLINE vec pick_two(const real *x, ivec index) {
  return (vec)__builtin_shuffle((NAME(bytes))load(x), (NAME(bytes))load(x + VL), index_bytes(index));
}
#else
INLINE vec pick(const real *x, ivec index) {
  vec picked;
  UNROLL(16)
  for (int l = 0; l < VL; l++) picked[l] = x[index[l]];
  return picked;
}
INLINE vec pick_two(const real *x, ivec index) { return pick(x, index); }
#endif

#define vmax NAME(vmax) /* the larger, a if they are equal; NaN where either is NaN */
#if HAS_MASKS           /* the instruction takes a where either is NaN */
INLINE vec vmax(vec a, vec b) {
#if DTYPE_BITS == 32
  return (vec)_mm512_mask_mov_ps(_mm512_max_ps((__m512)b, (__m512)a),
                                 _mm512_cmp_ps_mask((__m512)b, (__m512)b, _CMP_UNORD_Q), (__m512)b);
#else
  return (vec)_mm512_mask_mov_pd(_mm512_max_pd((__m512d)b, (__m512d)a),
                                 _mm512_cmp_pd_mask((__m512d)b, (__m512d)b, _CMP_UNORD_Q), (__m512d)b);
#endif
}
#elif VECTOR_BYTES == 32 && defined(__AVX__)
INLINE vec vmax(vec a, vec b) {
#if DTYPE_BITS == 32
  return (vec)_mm256_blendv_ps(_mm256_max_ps((__m256)b, (__m256)a), (__m256)b, (__m256)(b != b));
#else
  return (vec)_mm256_blendv_pd(_mm256_max_pd((__m256d)b, (__m256d)a), (__m256d)b, (__m256d)(b != b));
#endif
}
#else
INLINE vec vmax(vec a, vec b) { return select((a >= b) | (a != a), a, b); }
#endif

#define keep_larger NAME(keep_larger) /* v and where it is, in lanes where it is larger than the most or NaN */
#if HAS_MASKS                         /* which as vectors take three instructions more */
INLINE void keep_larger(vec v, ivec where, vec *most, ivec *at) {
#if DTYPE_BITS == 32
  const __mmask16 take =
      _mm512_cmp_ps_mask((__m512)v, (__m512)*most, _CMP_GT_OQ) | _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q);
  *most = (vec)_mm512_mask_mov_ps((__m512)*most, take, (__m512)v);
  *at = (ivec)_mm512_mask_mov_epi32((__m512i)*at, take, (__m512i)where);
#else
  const __mmask8 take = _mm512_cmp_pd_mask((__m512d)v, (__m512d)*most, _CMP_GT_OQ) |
                        _mm512_cmp_pd_mask((__m512d)v, (__m512d)v, _CMP_UNORD_Q);
  *most = (vec)_mm512_mask_mov_pd((__m512d)*most, take, (__m512d)v);
  *at = (ivec)_mm512_mask_mov_epi64((__m512i)*at, take, (__m512i)where);
#endif
}
#elif VECTOR_BYTES == 32 && defined(__AVX__)
INLINE void keep_larger(vec v, ivec where, vec *most, ivec *at) {
  const ivec take = (v > *most) | (v != v);
#if DTYPE_BITS == 32
  *most = (vec)_mm256_blendv_ps((__m256)*most, (__m256)v, (__m256)take);
  *at = (ivec)_mm256_blendv_ps((__m256)*at, (__m256)where, (__m256)take);
#else
  *most = (vec)_mm256_blendv_pd((__m256d)*most, (__m256d)v, (__m256d)take);
  *at = (ivec)_mm256_blendv_pd((__m256d)*at, (__m256d)where, (__m256d)take);
#endif
}
#else
INLINE void keep_larger(vec v, ivec where, vec *most, ivec *at) {
  const ivec take = (v > *most) | (v != v);
  *most = select(take, v, *most);
  *at = (*at & ~take) | (where & take);
}
#endif

#define every NAME(every) /* lane is n */
INLINE ivec every(int64_t n) { return (ivec){0} + (lane)n; }

/* The larger and the smaller, b where either is NaN, by one instruction; b where they are equal. */
#define larger NAME(larger)
#define smaller NAME(smaller)
#if HAS_MASKS && DTYPE_BITS == 32
INLINE vec larger(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vec smaller(vec a, vec b) { return (vec)_mm512_min_ps((__m512)a, (__m512)b); }
#elif HAS_MASKS
INLINE vec larger(vec a, vec b) { return (vec)_mm512_max_pd((__m512d)a, (__m512d)b); }
INLINE vec smaller(vec a, vec b) { return (vec)_mm512_min_pd((__m512d)a, (__m512d)b); }
#elif VECTOR_BYTES == 32 && defined(__AVX__) && DTYPE_BITS == 32
INLINE vec larger(vec a, vec b) { return (vec)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vec smaller(vec a, vec b) { return (vec)_mm256_min_ps((__m256)a, (__m256)b); }
#elif VECTOR_BYTES == 32 && defined(__AVX__)
INLINE vec larger(vec a, vec b) { return (vec)_mm256_max_pd((__m256d)a, (__m256d)b); }
INLINE vec smaller(vec a, vec b) { return (vec)_mm256_min_pd((__m256d)a, (__m256d)b); }
#else
INLINE vec larger(vec a, vec b) { return select(a > b, a, b); }
INLINE vec smaller(vec a, vec b) { return select(a < b, a, b); }
#endif

/* Bounds of x; NaN stays. */
#define at_least NAME(at_least)
#define at_most NAME(at_most)
INLINE vec at_least(vec x, real low) { return larger(splat(low), x); }
INLINE vec at_most(vec x, real high) { return smaller(splat(high), x); }

#define clamp NAME(clamp)
INLINE vec clamp(vec x, real low, real high) { return at_most(at_least(x, low), high); }

/* x * 2^n for whole numbers n. */
#define times_power NAME(times_power)
#if HAS_MASKS && DTYPE_BITS == 32
INLINE vec times_power(vec x, vec n) { return (vec)_mm512_scalef_ps((__m512)x, (__m512)n); }
#elif HAS_MASKS
INLINE vec times_power(vec x, vec n) { return (vec)_mm512_scalef_pd((__m512d)x, (__m512d)n); }
#endif

/* Whether a * b + c is rounded once. */
#if defined(__FMA__) || defined(__aarch64__)
#define HAS_FMA 1
#else
#define HAS_FMA 0
#endif

#define relu NAME(relu) /* NaN stays */
INLINE vec relu(vec x) { return select(x <= (vec){0}, (vec){0}, x); }

#define leaky_relu NAME(leaky_relu)
INLINE vec leaky_relu(vec x, real slope) { return select(x > (vec){0}, x, slope * x); }

/* v with lanes that lie n apart exchanged; n is a power of two less than VL. */
#define ACROSS(i, n, k) ((i) ^ (n)) % VL
#define EXCHANGED(v, n) __builtin_shufflevector(v, v, LANES(ACROSS, n, 0))

#define vsum NAME(vsum) /* of all lanes, pairwise */
INLINE real vsum(vec v) {
  if (VL > 8)
    v += EXCHANGED(v, 8);
  if (VL > 4)
    v += EXCHANGED(v, 4);
  if (VL > 2)
    v += EXCHANGED(v, 2);
  v += EXCHANGED(v, 1);
  return v[0];
}

#define vlargest NAME(vlargest) /* of all lanes; NaN may be passed over */
INLINE real vlargest(vec v) {
  if (VL > 8)
    v = larger(v, EXCHANGED(v, 8));
  if (VL > 4)
    v = larger(v, EXCHANGED(v, 4));
  if (VL > 2)
    v = larger(v, EXCHANGED(v, 2));
  v = larger(v, EXCHANGED(v, 1));
  return v[0];
}
#undef ACROSS
#undef EXCHANGED

#define vmax_lanes NAME(vmax_lanes)
INLINE real vmax_lanes(vec v) {
  real best = v[0];
  for (int i = 1; i < VL; i++) best = v[i] > best || v[i] != v[i] ? v[i] : best;
  return best;
}
