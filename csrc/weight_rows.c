/* Weights as rows of terms, one for each output channel, for channels-first layers: as they stand, or packed. */
#include "internal.h"

int fcv_stands_as_rows(const struct fcv_walk *walk, const struct fcv_weight_view *view) {
  const struct fcv_axis *axis = walk->axis;
  int64_t pitch = 1;
  for (int i = FCV_AXES - 1; i >= 0; i--) {
    if (axis[i].kernel_start != 0 || (axis[i].taps > 1 && axis[i].kernel_step * view->kernel[i] != pitch))
      return 0;
    pitch *= axis[i].taps;
  }
  return (walk->kc == 1 || view->k == pitch) && (walk->nc == 1 || view->j == walk->kc * pitch) &&
         (walk->groups == 1 || view->group == walk->nc * walk->kc * pitch);
}

/* Where the pieces of packed weights begin, and the elements from one output channel's row to the next: a row is a
 * stream of its own, and streams a large power of two apart compete for the same few lines of L1. */
struct layout {
  int64_t pitch, weights, bias, bytes;
};

static struct layout packed_layout(const struct fcv_kernels *k, const struct fcv_walk *walk) {
  struct layout layout = {0};
  const int64_t channels = walk->groups * walk->nc, terms = walk->kc * fcv_walk_taps(walk);
  layout.pitch = terms + (terms * k->size % 1024 == 0 ? 64 / k->size : 0);
  layout.weights = fcv_reserve(&layout.bytes, channels * layout.pitch * k->size);
  layout.bias = fcv_reserve(&layout.bytes, channels * k->size);
  return layout;
}

int64_t fcv_planes_packed_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk) {
  return packed_layout(fcv_kernels(conv->dtype), walk).bytes;
}

struct pack {
  const struct fcv_kernels *kernels;
  const struct fcv_walk *walk;
  const struct fcv_weight_view *view;
  int64_t pitch, block, blocks;
  const char *w;
  char *packed;
};

/* Output channels of a unit: what lies together in w is read together. With one tap squares are transposed. */
enum { BLOCK = 8, SQUARE = 64 };

/* The taps of one input and one output channel. */
#define PACK_TAPS(type)                                                                                                \
  for (int64_t z = 0; z < axis[0].taps; z++)                                                                           \
    for (int64_t y = 0; y < axis[1].taps; y++) {                                                                       \
      const type *from = (const type *)w + z * step[0] + y * step[1];                                                  \
      for (int64_t x = 0; x < axis[2].taps; x++) *to++ = from[x * step[2]];                                            \
    }

/* Some output channels of a group. */
static void pack_unit(const void *context, int64_t unit, int thread) {
  const struct pack *p = context;
  const struct fcv_axis *axis = p->walk->axis;
  const struct fcv_weight_view *view = p->view;
  const int64_t group = unit / p->blocks, j0 = unit % p->blocks * p->block, j1 = fcv_min(p->walk->nc, j0 + p->block);
  const int64_t taps = fcv_walk_taps(p->walk), size = p->kernels->size;
  int64_t step[FCV_AXES], first = group * view->group;
  for (int i = 0; i < FCV_AXES; i++) {
    step[i] = axis[i].kernel_step * view->kernel[i];
    first += axis[i].kernel_start * view->kernel[i];
  }
  char *rows = p->packed + (group * p->walk->nc + j0) * p->pitch * size;
  (void)thread;
  if (p->block == SQUARE) {
    for (int64_t k = 0; k < p->walk->kc; k += SQUARE)
      p->kernels->transpose(fcv_min(SQUARE, p->walk->kc - k), j1 - j0, p->w + (first + j0 + k * view->k) * size,
                            view->k, rows + k * size, p->pitch);
    return;
  }
  for (int64_t k = 0; k < p->walk->kc; k++)
    for (int64_t j = j0; j < j1; j++) {
      const char *w = p->w + (first + j * view->j + k * view->k) * size;
      char *row = rows + ((j - j0) * p->pitch + k * taps) * size;
      if (size == sizeof(float)) {
        float *to = (float *)row;
        PACK_TAPS(float)
      } else {
        double *to = (double *)row;
        PACK_TAPS(double)
      }
    }
}

void fcv_planes_pack(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                     const void *w, const void *bias, char *packed) {
  const struct fcv_kernels *k = fcv_kernels(conv->dtype);
  const struct layout layout = packed_layout(k, walk);
  struct pack pack = {.kernels = k, .walk = walk, .view = view, .w = w, .packed = packed + layout.weights};
  pack.pitch = layout.pitch;
  pack.block = fcv_walk_taps(walk) == 1 && view->j == 1 ? SQUARE : BLOCK;
  pack.blocks = fcv_ceil_div(walk->nc, pack.block);
  const double work = (double)(walk->groups * walk->nc * walk->kc * fcv_walk_taps(walk));
  fcv_parallel_for(walk->groups * pack.blocks, fcv_threads_for(work), pack_unit, &pack);
  if (bias)
    memcpy(packed + layout.bias, bias, (size_t)(walk->groups * walk->nc * k->size));
}

static int packs_rows(const struct fcv_conv *conv, const struct fcv_walk *walk, const struct fcv_weight_view *view) {
  return !conv->packed && !fcv_stands_as_rows(walk, view);
}

int64_t fcv_weight_rows_bytes(const struct fcv_conv *conv, const struct fcv_walk *walk,
                              const struct fcv_weight_view *view) {
  return packs_rows(conv, walk, view) ? fcv_planes_packed_bytes(conv, walk) : 0;
}

struct fcv_weight_rows fcv_weight_rows(const struct fcv_conv *conv, const struct fcv_walk *walk,
                                       const struct fcv_weight_view *view, const void *w, const void *bias,
                                       char *memory) {
  const struct layout layout = packed_layout(fcv_kernels(conv->dtype), walk);
  const int packs = packs_rows(conv, walk, view);
  if (packs)
    fcv_planes_pack(conv, walk, view, w, NULL, memory);
  const char *packed = packs ? memory : conv->packed;
  return (struct fcv_weight_rows){
      .w = packed ? packed + layout.weights : w,
      .bias = bias && conv->packed ? packed + layout.bias : bias,
      .pitch = packed ? layout.pitch : fcv_walk_taps(walk) * walk->kc,
  };
}
