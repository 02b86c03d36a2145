/* Indirect GEMM; contract in products.h. */

#define tile_start NAME(tile_start)
INLINE void tile_start(const struct fcv_igemm_tile *tile, int first, vec acc[MR][WIDE_NV], const int rows,
                       const int nv) {
  const real *bias = tile->bias, *row_bias = tile->row_bias;
  const int64_t m = tile->m - first, n = tile->n, c_bytes = tile->c_bytes;
  UNROLL(16)
  for (int i = 0; i < rows; i++) {
    UNROLL(4)
    for (int v = 0; v < nv; v++) acc[i][v] = bias ? load(bias + v * VL) : (vec){0};
  }
  if (!row_bias && tile->into != FCV_CONTINUE)
    return;
  UNROLL(16)
  for (int i = 0; i < rows; i++) {
    if (i >= m)
      break;
    const real *c = (const real *)((const char *)tile->c[first + i] + c_bytes);
    UNROLL(4)
    for (int v = 0; v < nv; v++) {
      const int64_t left = n - v * VL;
      if (row_bias)
        acc[i][v] = splat(row_bias[first + i]);
      else
        acc[i][v] = left >= VL ? load(c + v * VL) : left > 0 ? load_part(c + v * VL, left) : (vec){0};
    }
  }
}

#define tile_finish NAME(tile_finish)
INLINE void tile_finish(const struct fcv_igemm_tile *tile, int first, vec acc[MR][WIDE_NV], const int rows,
                        const int nv) {
  const real slope = (real)tile->slope;
  const int64_t m = tile->m - first, n = tile->n;
  const int64_t c_bytes = tile->c_bytes; /* for all that the compiler sees c may lie there, and so above */
  const int adds = tile->into == FCV_ADD;
  void *const *c = tile->c + first;
  if (tile->activation == FCV_RELU) {
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
      UNROLL(4)
      for (int v = 0; v < nv; v++) acc[i][v] = relu(acc[i][v]);
    }
  } else if (tile->activation == FCV_LEAKY_RELU) {
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
      UNROLL(4)
      for (int v = 0; v < nv; v++) acc[i][v] = leaky_relu(acc[i][v], slope);
    }
  }
  if (m >= rows && n == nv * VL && !adds && !tile->past_caches) { /* as nearly always: a store for each vector */
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
      real *row = (real *)((char *)c[i] + c_bytes);
      UNROLL(4)
      for (int v = 0; v < nv; v++) store(row + v * VL, acc[i][v]);
    }
    return;
  }
  UNROLL(16)
  for (int i = 0; i < rows; i++) {
    if (i >= m)
      break;
    real *row = (real *)((char *)c[i] + c_bytes);
    UNROLL(4)
    for (int v = 0; v < nv; v++) {
      const int64_t left = n - v * VL;
      if (adds)
        acc[i][v] += left >= VL ? load(row + v * VL) : left > 0 ? load_part(row + v * VL, left) : (vec){0};
      if (left >= VL && tile->past_caches)
        stream(row + v * VL, acc[i][v]);
      else if (left >= VL)
        store(row + v * VL, acc[i][v]);
      else if (left > 0)
        store_part(row + v * VL, acc[i][v], left);
    }
  }
}

#define tile_prefetch NAME(tile_prefetch)
INLINE void tile_prefetch(const struct fcv_igemm_tile *tile, int first, const int rows, const int nv) {
  UNROLL(16)
  for (int i = 0; i < rows; i++) {
    if (first + i >= tile->m)
      break;
    const char *c = (const char *)tile->c[first + i] + tile->c_bytes;
    UNROLL(4)
    for (int v = 0; v < nv; v++) __builtin_prefetch(c + v * VECTOR_BYTES, 1);
  }
}

/* The next terms of the sums; with packing, their rows of w are copied to pack. */
#define igemm_terms NAME(igemm_terms)
INLINE void igemm_terms(const real *const x[MR], const real *w, int64_t w_pitch, int64_t k, vec acc[MR][WIDE_NV],
                        const int rows, const int nv, const int terms, const int packing, real *pack) {
  UNROLL(4)
  for (int t = 0; t < terms; t++) {
    vec b[WIDE_NV];
    UNROLL(4)
    for (int v = 0; v < nv; v++) {
      b[v] = load(w + t * w_pitch + v * VL);
      if (packing) {
        __builtin_prefetch(w + (t + FCV_PACKING_AHEAD) * w_pitch + v * VL);
        store(pack + (t * nv + v) * VL, b[v]);
      }
    }
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
      const real s = x[i][k + t];
      UNROLL(4)
      for (int v = 0; v < nv; v++) acc[i][v] += s * b[v];
    }
  }
}

/* rows x nv vectors stay in registers: 14 x 2 accumulators of the 32 registers of AVX-512, or 6 x 4 in a wide tile,
 * 6 x 2 of AVX2's 16. Constant bounds everywhere, so that the compiler keeps acc in registers and a[i][k] becomes a
 * memory operand; where weights are packed their pitch is constant too, which is 3% faster. Wide tiles sum four terms a
 * turn, which made them 5% faster, and 14 x 2 up to 8% slower. */
#define igemm_body NAME(igemm_body)
INLINE void igemm_body(const struct fcv_igemm_tile *tile, int first, const int rows, const int nv,
                       const enum fcv_weights_as weights) {
  const int together = nv > NV ? 4 : 1, packing = weights == FCV_PACKING;
  const void *const *a = tile->a + first;
  const char *ahead = tile->ahead.from;
  const real *w = tile->w;
  real *pack = tile->pack;
  const int64_t kc = tile->kc, a_bytes = tile->a_bytes, ahead_rows = first > 0 ? 0 : tile->ahead.rows;
  const int64_t w_pitch = weights == FCV_PACKED ? nv * VL : tile->w_pitch, turn = ahead_rows > 0 ? FCV_TURN : kc;
  vec acc[MR][WIDE_NV];
  if (tile->ahead.from && !tile->past_caches)
    tile_prefetch(tile, first, rows, nv);
  tile_start(tile, first, acc, rows, nv);
  for (int64_t t = 0; t < tile->taps; t++, a += MR) {
    const real *x[MR];
    UNROLL(16)
    for (int i = 0; i < rows; i++) x[i] = (const real *)((const char *)a[i] + a_bytes);
    for (int64_t k = 0; k < kc;) {
      for (int64_t row = 0; row < ahead_rows; row++, ahead += tile->ahead.pitch)
        for (int64_t line = 0; line < tile->ahead.lines; line++) __builtin_prefetch(ahead + 64 * line, 0, 2);
      const int64_t end = kc - k < turn ? kc : k + turn;
      for (; together > 1 && k + together <= end; k += together, w += together * w_pitch)
        igemm_terms(x, w, w_pitch, k, acc, rows, nv, together, packing, packing ? pack + k * nv * VL : NULL);
      for (; k < end; k++, w += w_pitch)
        igemm_terms(x, w, w_pitch, k, acc, rows, nv, 1, packing, packing ? pack + k * nv * VL : NULL);
    }
  }
  tile_finish(tile, first, acc, rows, nv);
}

/* A layer of 8 channels, or 49 pixels, is no whole number of tiles: igemm computes no row past m, or with many rows one
 * at most, since each number of them is a body of its own to compile. */
#define ROWS(r, nv, weights)                                                                                           \
  case r:                                                                                                              \
    igemm_body(tile, 0, r, nv, weights);                                                                               \
    break;
#define PAIR(r, nv, weights)                                                                                           \
  case r - 1:                                                                                                          \
    ROWS(r, nv, weights)
#if MR == 4
#define EACH_ROWS(nv, weights) ROWS(1, nv, weights) ROWS(2, nv, weights) ROWS(3, nv, weights)
#elif MR == 5
#define EACH_ROWS(nv, weights) ROWS(1, nv, weights) ROWS(2, nv, weights) ROWS(3, nv, weights) ROWS(4, nv, weights)
#elif MR == 6
#define EACH_ROWS(nv, weights)                                                                                         \
  ROWS(1, nv, weights) ROWS(2, nv, weights) ROWS(3, nv, weights) ROWS(4, nv, weights) ROWS(5, nv, weights)
#elif MR == 14
#define EACH_ROWS(nv, weights)                                                                                         \
  PAIR(2, nv, weights)                                                                                                 \
  PAIR(4, nv, weights) PAIR(6, nv, weights) PAIR(8, nv, weights) PAIR(10, nv, weights) PAIR(12, nv, weights)
#endif
#define IGEMM(name, nv, weights)                                                                                       \
  static void NAME(name)(const struct fcv_igemm_tile *tile) {                                                          \
    switch (tile->m) {                                                                                                 \
      EACH_ROWS(nv, weights)                                                                                           \
    default:                                                                                                           \
      igemm_body(tile, 0, MR, nv, weights);                                                                            \
    }                                                                                                                  \
  }
IGEMM(igemm_1, 1, FCV_PACKED)
IGEMM(igemm_2, 2, FCV_PACKED)
IGEMM(igemm_rows_1, 1, FCV_ROWS)
IGEMM(igemm_rows_2, 2, FCV_ROWS)
IGEMM(igemm_packing, NV, FCV_PACKING)
#if NV == 4
IGEMM(igemm_3, 3, FCV_PACKED)
IGEMM(igemm_4, 4, FCV_PACKED)
IGEMM(igemm_rows_3, 3, FCV_ROWS)
IGEMM(igemm_rows_4, 4, FCV_ROWS)
#endif
#if WIDE_NV > NV
#define BODY(r, nv) igemm_body(tile, first, r, nv, FCV_PACKED)
IN_HALVES(igemm_3, fcv_igemm_tile, WIDE, 3)
IN_HALVES(igemm_4, fcv_igemm_tile, WIDE, 4)
#undef BODY
#define BODY(r, nv) igemm_body(tile, first, r, nv, FCV_PACKING)
HALF(igemm_pack, fcv_igemm_tile, 4)
#undef BODY

static void NAME(igemm_wide_packing)(const struct fcv_igemm_tile *tile) {
  const int middle = middle_of(tile->m, WIDE);
  NAME(igemm_pack)(tile, 0, middle);
  if (middle == tile->m)
    return;
  struct fcv_igemm_tile rest = *tile;
  rest.w = tile->pack;
  rest.a += middle;
  rest.c += middle;
  rest.m -= middle;
  rest.row_bias = tile->row_bias ? (const real *)tile->row_bias + middle : NULL;
  rest.ahead.rows = 0;
  NAME(igemm_4)(&rest);
}
#endif
#undef IGEMM
#undef EACH_ROWS
#undef ROWS
#undef PAIR
