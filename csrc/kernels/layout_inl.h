/* Moving data between layouts, and sums over rows; contracts in kernels.h. */

/* A full block of VL rows x VL columns: log2(VL) rounds in which row i is interleaved with row i + VL / 2. */
#define interleave NAME(interleave)
#if VECTOR_BYTES * 8 == DTYPE_BITS * 2
#define LOW 0, 2
#define HIGH 1, 3
#elif VECTOR_BYTES * 8 == DTYPE_BITS * 4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#elif VECTOR_BYTES * 8 == DTYPE_BITS * 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#endif
#define transpose_block NAME(transpose_block)
INLINE void transpose_block(const real *src, int64_t src_pitch, real *dst, int64_t dst_pitch) {
  vec r[VL], s[VL];
  UNROLL(16)
  for (int i = 0; i < VL; i++) r[i] = load(src + i * src_pitch);
  UNROLL(4)
  for (int round = 1; round < VL; round *= 2) {
    UNROLL(8)
    for (int i = 0; i < VL / 2; i++) {
      s[2 * i] = __builtin_shufflevector(r[i], r[i + VL / 2], LOW);
      s[2 * i + 1] = __builtin_shufflevector(r[i], r[i + VL / 2], HIGH);
    }
    UNROLL(16)
    for (int i = 0; i < VL; i++) r[i] = s[i];
  }
  UNROLL(16)
  for (int i = 0; i < VL; i++) store(dst + i * dst_pitch, r[i]);
}
#undef LOW
#undef HIGH

static void NAME(transpose)(int64_t rows, int64_t columns, const void *from, int64_t src_pitch, void *to,
                            int64_t dst_pitch) {
  const real *src = from;
  real *dst = to;
  int64_t r = 0;
  for (; r + VL <= rows; r += VL) {
    int64_t c = 0;
    for (; c + VL <= columns; c += VL)
      transpose_block(src + r * src_pitch + c, src_pitch, dst + c * dst_pitch + r, dst_pitch);
    for (; c < columns; c++)
      for (int64_t i = r; i < r + VL; i++) dst[c * dst_pitch + i] = src[i * src_pitch + c];
  }
  for (; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) dst[c * dst_pitch + r] = src[r * src_pitch + c];
}

static void NAME(sum_rows)(int64_t rows, int64_t columns, const void *from, int64_t pitch, void *to) {
  const real *x = from;
  real *sum = to;
  int64_t j = 0;
  for (; j + VL <= columns; j += VL) {
    vec total = load(sum + j);
    for (int64_t r = 0; r < rows; r++) total += load(x + r * pitch + j);
    store(sum + j, total);
  }
  for (; j < columns; j++)
    for (int64_t r = 0; r < rows; r++) sum[j] += x[r * pitch + j];
}

static double NAME(sum)(int64_t count, const void *from) {
  const real *x = from;
  vec total[4] = {{0}};
  int64_t i = 0;
  for (; i + 4 * VL <= count; i += 4 * VL) UNROLL(4)
  for (int v = 0; v < 4; v++) total[v] += load(x + i + v * VL);
  double rest = 0;
  for (; i < count; i++) rest += x[i];
  return (double)vsum((total[0] + total[1]) + (total[2] + total[3])) + rest;
}
