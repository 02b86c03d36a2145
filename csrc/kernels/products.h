/* Kernels that multiply: tiles of pixels and channels that stay in registers, and Winograd's transforms around them. */
#ifndef FASTCONV_KERNELS_PRODUCTS_H
#define FASTCONV_KERNELS_PRODUCTS_H

#include <stdint.h>

/* Tiles of all instruction sets are at most so large. */
enum { FCV_MAX_NV = 4, FCV_MAX_MR = 14 };
enum { FCV_TURN = 64 }; /* see struct fcv_ahead */

/* What a later call reads, where no hardware follows: each time before up to FCV_TURN values are summed, the next rows
 * of so many lines of 64 bytes are fetched into the cache. Rows lie pitch bytes apart. Nothing there needs to be
 * readable. */
struct fcv_ahead {
  const void *from;
  int64_t rows, lines, pitch;
};

/* How a tile's sums go into their place in the result. */
enum fcv_into {
  FCV_REPLACE,  /* whatever is there */
  FCV_CONTINUE, /* starting from what is there: one running sum, in parts */
  FCV_ADD       /* added to what is there: sums of sums, whose rounding errors stay small */
};

/* Indirect GEMM (Dukhan 2019, arXiv:1907.02129): one tile of mr pixels x nr = nv * VL channels, held in registers.
 *
 *     c[i][j] = activation(bias[j] + sum over t < taps, k < kc of a[t][i][k] * w[t][k][j])    i < m <= mr, j < n <= nr
 *
 *       a[t]: mr pointers          w: packed, 64-byte aligned          c: m pointers
 *       i=0 --> k k k k ... kc     t=0 k=0 | j j j j ... nr |          i=0 --> j j ... n
 *       i=1 --> k k k k ... kc         k=1 | j j j j ... nr |          i=1 --> j j ... n
 *        ...                       t=1 k=0 | ...            |           ...
 *
 * All mr pointers of each tap must be readable, also those past m (repeat the last). Summed over k inside t, in order,
 * starting from the bias, or from what c holds. Rows past m cost nothing, but for one with the many of AVX-512.
 *
 * igemm_wide: nr is wide_nv * VL, m at most wide; the pointers of a tap are mr as well. It is computed in two halves,
 * each of which reads w.
 *
 * igemm_rows: w is not packed, its rows lie w_pitch apart, and nr elements of each must be readable.
 *
 * igemm_packing, igemm_wide_packing: the same of one tap and nv, or wide_nv, vectors; and the rows are packed, to pack,
 * for the tiles that come next. */
struct fcv_igemm_tile {
  int64_t taps, kc;
  const void *const *a; /* [taps][mr] */
  int64_t a_bytes;      /* added to every pointer of a: the group's first channel */
  const void *w;        /* [taps][kc][nr] */
  int64_t w_pitch;      /* from row to row of w. not where w is packed */
  void *pack;           /* packing only */
  void *const *c;       /* [m] */
  int64_t c_bytes;      /* added to every pointer of c: the panel's first channel */
  int m, n;
  const void *bias;     /* [nr], or NULL for zero */
  const void *row_bias; /* [m], one number a row in place of bias; or NULL */
  enum fcv_into into;   /* FCV_CONTINUE goes without row_bias, FCV_ADD without activation */
  int activation;       /* fcv_activation: linear, ReLU and leaky ReLU here, the others by the caller */
  double slope;
  int past_caches;        /* c is aligned, and n whole vectors: c is written past the caches */
  struct fcv_ahead ahead; /* where from is not NULL, c is fetched as well, before the sum */
};
typedef void fcv_igemm_fn(const struct fcv_igemm_tile *tile);
/* How the body of these kernels finds w. */
enum fcv_weights_as { FCV_ROWS, FCV_PACKED, FCV_PACKING };
enum { FCV_PACKING_AHEAD = 16 }; /* rows that are fetched before they are packed: each lies in another page */

/* A few rows times a matrix that is read in its order, 8 rows of it at a time:
 *
 *     y[i][j] += sum over k < rows of x[i][k] * w[k][j]     i < m <= FCV_ROW_UPDATES, j < width
 *
 * Rows of w lie w_pitch apart, at least VL; of all but the last one whole vectors are read. Summed in the order of k,
 * starting from what y holds. */
enum { FCV_ROW_UPDATES = 4 };
struct fcv_row_updates {
  int64_t rows, width, w_pitch;
  int m;
  const void *const *x; /* [m] */
  const void *w;
  void *const *y; /* [m] */
};
typedef void fcv_row_updates_fn(const struct fcv_row_updates *updates);

/* Direct convolution to at most a vector of channels: one tile of m pixels that are neighbours in a row of outputs, and
 * of x, pixels of kc channels.
 *
 *     y[i * y_step + j] = activation(bias[j] + sum over t < taps, k < kc, u < columns of
 *                                    x[t][x_offset + (i + u) * kc + k] * w[t][k][u][j])   i < m <= narrow_pixels, j < n
 *
 * Summed in this order. columns is 3 or 5; w and bias have VL channels. With an odd m one pixel more of x is read. */
struct fcv_narrow {
  int64_t taps, columns, kc, m, n;
  const void *const *x; /* [taps] */
  int64_t x_offset;
  const void *w;
  const void *bias; /* or NULL for zero */
  void *y;
  int64_t y_step;
  int activation; /* as in struct fcv_igemm_tile */
  double slope;
  int past_caches; /* y is aligned, n is VL: y is written past the caches */
};
typedef void fcv_narrow_fn(const struct fcv_narrow *tile);

/* Weight gradient: one tile of mi input channels x nr output channels, held in registers over q < pixels, or of more
 * than nv vectors a wide one of wide_mi, in two halves.
 *
 *     gw[i * gw_pitch + j] = sum over q of a[q][i] * b[q * b_pitch + j]          i < m <= mi, j < n <= nr
 *
 * Summed in the order of q. nr elements must be readable in each row of b, also where n is less. Rows past m cost
 * nothing. */
struct fcv_wgrad_tile {
  int64_t pixels;
  const void *const *a; /* [pixels] */
  int64_t a_bytes;      /* added to every pointer of a */
  const void *b;
  int64_t b_pitch;
  void *gw;
  int64_t gw_pitch;
  int m, n;
  enum fcv_into into;     /* FCV_REPLACE or FCV_ADD, and so below */
  struct fcv_ahead ahead; /* into L2 only */
};
typedef void fcv_wgrad_fn(const struct fcv_wgrad_tile *tile);

/* One transform of Winograd's algorithm on the vectors of a tile: n_in * n_in rows of channels to n_out * n_out rows.
 *
 *     to[i][j][c] = activation(bias[c] + sum over p, q of L[i][p] * L[j][q] * from[p][q][c])
 *
 * with L = B^T, A^T, G, A or G^T (winograd_inl.h). Rows of to that are NULL are left out. bias, which may be NULL, and
 * activation (linear, ReLU, leaky ReLU) are for the output transform. */
struct fcv_winograd_tile {
  int64_t channels;
  const void *const *from; /* [n_in * n_in] */
  int64_t from_bytes;      /* added to every pointer of from */
  void *const *to;         /* [n_out * n_out] */
  int64_t to_bytes;
  const void *bias;
  int activation;
  double slope;
  int past_caches; /* of the output transform: to is aligned, channels are whole vectors */
};
typedef void fcv_winograd_fn(const struct fcv_winograd_tile *tile);

enum { FCV_PEAK_CHAINS = 12, FCV_PEAK_TURNS = 16 };
/* rounds * FCV_PEAK_TURNS * FCV_PEAK_CHAINS multiply-adds of vectors, in chains enough to hide their latency; returns
 * something that depends on all of them. */
typedef double fcv_peak_fn(int64_t rounds);

#endif
