/* AVX-512 F, DQ, BW, VL: 14 x 2 accumulators and 2 of w fit into 32 registers. A wide tile, 6 x 4 twice, loads 10
 * values for 24 multiply-adds, where 14 x 2 loads 16 for 28 and 3 of its 14 pointers, for which there are no registers.
 * wgrad's tile is as large: with 8 rows blocks of 128 pixels in L1 ran at 73-92% of the peak, with 14 at 82-99%. */
#define ISA avx512
#define VECTOR_BYTES 64
#define MR 14
#define NV 2
#define MI 14
#define WIDE 12
#define WIDE_MI 12
#define WIDE_NV 4
#define DA 6
#define DB 4
#define RA 5
#define RB 5

#define DTYPE f32
#define DTYPE_BITS 32
#include "instance_inl.h"
#undef DTYPE
#undef DTYPE_BITS

#define DTYPE f64
#define DTYPE_BITS 64
#include "instance_inl.h"
