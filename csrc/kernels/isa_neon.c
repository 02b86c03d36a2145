/* AArch64 NEON: 5 x 4 accumulators, 4 of w and 5 scalars fit into 32 registers; 6 x 4 spilled two of them (GCC 12). */
#define ISA neon
#define VECTOR_BYTES 16
#define MR 5
#define NV 4
#define MI 4
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
