/* Any CPU: SSE2 on x86-64, whatever the compiler makes of 16-byte vectors elsewhere. 4 x 2 accumulators, 2 of
 * w and a product fit into 16 registers. */
#define ISA baseline
#define VECTOR_BYTES 16
#define MR 4
#define NV 2
#define MI 4
#define DA 4
#define DB 2
#define RA 4
#define RB 2

#define DTYPE f32
#define DTYPE_BITS 32
#include "instance_inl.h"
#undef DTYPE
#undef DTYPE_BITS

#define DTYPE f64
#define DTYPE_BITS 64
#include "instance_inl.h"
