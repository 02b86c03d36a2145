/* AVX2 and FMA: 6 x 2 accumulators, 2 of w and a broadcast fit into 16 registers; 12 chains hide the latency of
 * two FMA a cycle. */
#define ISA avx2
#define VECTOR_BYTES 32
#define MR 6
#define NV 2
#define MI 6
#define DA 4
#define DB 3
#define RA 4
#define RB 3

#define DTYPE f32
#define DTYPE_BITS 32
#include "instance_inl.h"
#undef DTYPE
#undef DTYPE_BITS

#define DTYPE f64
#define DTYPE_BITS 64
#include "instance_inl.h"
