/* Pooling: what its files share. */
#ifndef FASTCONV_POOL_H
#define FASTCONV_POOL_H

#include "internal.h"

enum fcv_pool_pass { FCV_POOL_MAX, FCV_POOL_AVG, FCV_POOL_MAX_GRAD, FCV_POOL_AVG_GRAD };

/* A pass of pooling. */
struct fcv_pooling {
  const struct fcv_pool *pool;
  enum fcv_pool_pass pass;
  struct fcv_geometry geometry; /* the pool's, in the form that the kernels like best */
  int uneven[FCV_AXES];         /* adaptive windows of different sizes or distances */
  int last;                     /* channels are */
  const struct fcv_kernels *kernels;
  const struct fcv_window *window[FCV_AXES];
  int64_t in_plane, out_plane;
  int64_t planes; /* channels first: channels of a unit */
  int64_t rows;   /* channels last, forward: rows of outputs of a unit */
  int64_t splits; /* channels last: parts of a row of outputs (forward), of the channels (backward) */
  const char *x, *gy;
  char *y, *gx;
  int64_t *index; /* wanted */
  char *thread_memory;
  int64_t thread_bytes;
};

/* A thread's memory: the pixels of a window or, for channels first, its rows, and what is behind that list. */
struct fcv_pool_list {
  int64_t *position;
  const void **x;
  void **gx;
  void *rest;
};
struct fcv_pool_list fcv_pool_list(const struct fcv_pooling *p, int thread);
/* How many they are. */
static inline int64_t fcv_pool_listed(const struct fcv_pooling *p) {
  const int64_t *kernel = p->geometry.kernel;
  return kernel[0] * kernel[1] * (p->last ? kernel[2] : 1);
}

/* Of a window's average. Inline like the next one, which is called as often: by calls, adaptive pooling of 8x32x28x28
 * to 5x5 took 69 us, not 57. */
static inline double fcv_pool_scale(const struct fcv_pooling *p, const struct fcv_window *z, const struct fcv_window *y,
                                    const struct fcv_window *x) {
  const int64_t override = p->pool->divisor_override, divisor = z->divisor * y->divisor * x->divisor;
  return 1.0 / (double)(override ? override : fcv_max(1, divisor));
}
/* Positions of the window's elements within a channel; returns how many. */
static inline int64_t fcv_pool_positions(const struct fcv_pooling *p, const struct fcv_window *z,
                                         const struct fcv_window *y, const struct fcv_window *x, int64_t *position) {
  const struct fcv_geometry *g = &p->geometry;
  int64_t taps = 0;
  for (int64_t i = 0; i < z->count; i++)
    for (int64_t j = 0; j < y->count; j++) {
      const int64_t row = ((z->first + i * g->dilation[0]) * g->in[1] + y->first + j * g->dilation[1]) * g->in[2];
      for (int64_t k = 0; k < x->count; k++) position[taps++] = row + x->first + k * g->dilation[2];
    }
  return taps;
}
/* The maxima of windows without elements. */
void fcv_pool_fill_lowest(const struct fcv_pooling *p, int64_t count, char *y);

enum { FCV_POOL_BAND = 64 << 10 }; /* of a gradient, before it is written past the caches: at most */

/* Whether gx is written past the caches, in bands of so many bytes. */
static inline int fcv_pool_passes_caches(const struct fcv_pooling *p, int64_t band) {
  return band <= FCV_POOL_BAND && fcv_leaves_caches(p->geometry.n * p->geometry.ci * p->in_plane * p->kernels->size);
}

/* pool_last.c. A unit is some rows of outputs, or part of one; of a gradient an image, or part of its channels. */
void fcv_pool_last(const void *context, int64_t unit, int thread);
void fcv_pool_last_grad(const void *context, int64_t unit, int thread);
/* pool_first.c. A unit is some channels; bytes: what a thread has behind the list. */
void fcv_pool_first(const void *context, int64_t unit, int thread);
int64_t fcv_pool_first_bytes(const struct fcv_pooling *p);
int fcv_pool_first_lanes(const struct fcv_pooling *p); /* whether by VL channels together */
/* 1 / divisor of each output of a row, in the element type. */
void fcv_pool_fill_scales(const struct fcv_pooling *p, const struct fcv_window *z, const struct fcv_window *y,
                          char *scales);
/* pool_lanes.c: the same of VL channels together, where their rows fit, and they are not few. */
int fcv_pool_takes_lanes(const struct fcv_pooling *p);
void fcv_pool_lanes(const struct fcv_pooling *p, int64_t unit, int thread);
int64_t fcv_pool_lanes_bytes(const struct fcv_pooling *p);

/* unpool.c: the gradient of max pooling from its indices; FCV_INVALID where one is outside and not -1. */
fcv_status fcv_max_pool_scatter(const struct fcv_pool *pool, const void *gy, const int64_t *indices, void *gx);

#endif
