/* The C interface of fastconv: what _core.pyx and tests/c call.
 *
 * Shapes are int64_t, spatial arrays have three axes (depth, height, width; 2-D sets depth to 1, 1-D also height).
 * Arrays are C-contiguous and need only the alignment of their element:
 *
 *     channels last    x[n][id][ih][iw][ci]   w[kd][kh][kw][ci/g][co]   y[n][od][oh][ow][co]
 *     channels first   x[n][ci][id][ih][iw]   w[co][ci/g][kd][kh][kw]   y[n][co][od][oh][ow]
 *
 * Every operation may be called from several threads at once. It returns FCV_OK or a status and never prints, aborts
 * or exits. Its result is the same, bit for bit, for every number of threads. Subnormal numbers count as zero while
 * it runs; the caller's floating-point mode is restored. */
#ifndef FASTCONV_H
#define FASTCONV_H

#include <stddef.h>
#include <stdint.h>

enum { FCV_AXES = 3 };

typedef enum {
  FCV_OK = 0,
  FCV_NO_MEMORY, /* scratch memory could not be had */
  FCV_INVALID,   /* sizes that contradict each other, or whose product leaves int64_t */
  FCV_NO_ISA     /* the CPU lacks the instruction set asked for, or the name is unknown */
} fcv_status;

typedef enum { FCV_F32 = 0, FCV_F64 = 1 } fcv_dtype;
typedef enum { FCV_CHANNELS_FIRST = 0, FCV_CHANNELS_LAST = 1 } fcv_layout;
typedef enum {
  FCV_LINEAR = 0,
  FCV_RELU,
  FCV_LEAKY_RELU, /* slope * x below zero */
  FCV_SIGMOID,
  FCV_TANH,
  FCV_RELU6,
  FCV_ELU,        /* slope * expm1(x) below zero */
  FCV_ELU_OUTPUT, /* the same with slope >= 0; its gradient takes y */
  FCV_GELU,
  FCV_GELU_TANH, /* the approximation of it */
  FCV_SILU,
  FCV_SOFTPLUS, /* log(1 + exp(slope * x)) / slope, and x where slope * x > threshold */
  FCV_ACTIVATIONS
} fcv_activation;

typedef enum {
  FCV_AUTO = 0, /* chosen by fcv_choose */
  FCV_DIRECT,
  FCV_IM2COL,
  FCV_TOEPLITZ,
  FCV_TOEPLITZ_FULL,
  FCV_WINOGRAD, /* the better of the next two */
  FCV_WINOGRAD_2X2,
  FCV_WINOGRAD_4X4,
  FCV_ALGORITHMS
} fcv_algorithm;
typedef enum { FCV_FORWARD = 0, FCV_GRAD_INPUT, FCV_GRAD_WEIGHT, FCV_PASSES } fcv_pass;

/* One convolution or pooling: out = (in + pad_lo + pad_hi - dilation * (kernel - 1) - 1) / stride + 1 on each axis.
 * pad_hi may be smaller or larger than what the last window reaches (ceil mode, rows that no window meets). */
struct fcv_geometry {
  int64_t n, ci, co, groups; /* ci and co over all groups */
  int64_t in[FCV_AXES], out[FCV_AXES], kernel[FCV_AXES], stride[FCV_AXES], dilation[FCV_AXES];
  int64_t pad_lo[FCV_AXES], pad_hi[FCV_AXES];
};

struct fcv_conv {
  struct fcv_geometry geometry;
  fcv_dtype dtype;
  fcv_layout layout;         /* of x and y */
  fcv_layout weight_layout;  /* of w; differs from layout in a linear layer with weights [co][ci] */
  fcv_activation activation; /* applied to y by fcv_conv_forward; FCV_LINEAR for none */
  double slope;              /* parameter of the activation; there is no threshold */
  fcv_algorithm algorithm;
  int64_t block;      /* of FCV_TOEPLITZ: outputs at a time, at most a row; 0: chosen by the geometry */
  const void *packed; /* what fcv_pack wrote: w and the values of bias are then not read; or NULL */
  int prepared;       /* w is packed once, for many calls: auto counts no packing. For fcv_pack and with packed */
  int64_t *workspace; /* not NULL: nothing is computed, *workspace gets the bytes of scratch that it would take */
};

struct fcv_pool {
  struct fcv_geometry geometry; /* ci == co == groups: channels */
  fcv_dtype dtype;
  fcv_layout layout;
  int count_include_pad;    /* average: the divisor counts padding (up to in + pad_hi), else only elements of x */
  int64_t divisor_override; /* average: the divisor where it is not 0 */
  int adaptive; /* window o of an axis is floor(o * in / out) .. ceil((o + 1) * in / out) - 1; kernel, stride, dilation
                   and padding count as not given */
};

/* y = activation(conv(x, w) + bias); bias may be NULL. Cross-correlation: the kernel is not flipped. */
fcv_status fcv_conv_forward(const struct fcv_conv *conv, const void *x, const void *w, const void *bias, void *y);
/* gx = d sum(y * gy) / dx for y = conv(x, w). Each element of gx is written. With a bias [ci], which may be NULL, and
 * conv's activation it is a transposed convolution of gy. */
fcv_status fcv_conv_grad_input(const struct fcv_conv *conv, const void *gy, const void *w, const void *bias, void *gx);
/* gw = d sum(y * gy) / dw. Each element of gw is written. */
fcv_status fcv_conv_grad_weight(const struct fcv_conv *conv, const void *x, const void *gy, void *gw);
/* gb[co] = sum of gy over images and pixels. */
fcv_status fcv_conv_grad_bias(const struct fcv_conv *conv, const void *gy, void *gb);
/* Both: with few input channels, channels first, gy comes from memory once for them. */
fcv_status fcv_conv_grad_weight_bias(const struct fcv_conv *conv, const void *x, const void *gy, void *gw, void *gb);
/* All, or without the bias where gb is NULL, of convolutions that differ in the algorithm alone: with few input
 * channels, channels first, gy comes from memory once for them. */
fcv_status fcv_conv_gradients(const struct fcv_conv *for_input, const struct fcv_conv *for_weight, const void *x,
                              const void *gy, const void *w, void *gx, void *gw, void *gb);

/* The algorithm that a pass uses for conv->algorithm: FCV_AUTO and FCV_WINOGRAD become another one, by the geometry and
 * the instruction set. FCV_INVALID where it does not apply. */
fcv_status fcv_choose(const struct fcv_conv *conv, fcv_pass pass, fcv_algorithm *chosen);
/* Whether FCV_AUTO computes a pass of channels-first arrays on channels-last copies of them. */
int fcv_turns(const struct fcv_conv *conv, fcv_pass pass);
/* The time that a pass is expected to take by conv->algorithm, in multiply-adds at the kernels' full speed: what
 * FCV_AUTO compares. 0 where there is no estimate: FCV_TOEPLITZ_FULL, several groups, nothing to compute. */
double fcv_expected_cost(const struct fcv_conv *conv, fcv_pass pass);
/* The work of conv->algorithm, which is not FCV_AUTO, by kind (cost.c), and the method whose prices it has: what
 * bench/fit_auto.py fits prices to. */
enum { FCV_WORK_KINDS = 8 };
int fcv_expected_work(const struct fcv_conv *conv, fcv_pass pass, double *work);
/* Multiplications of FCV_TOEPLITZ in a forward or input-gradient pass, those with the zeros beside the band included.
 */
fcv_status fcv_multiplications_toeplitz(const struct fcv_conv *conv, fcv_pass pass, int64_t *count);
/* Bytes of the matrix of FCV_TOEPLITZ_FULL, at most FCV_MATRIX_LIMIT where it applies; INT64_MAX where it is more. */
enum { FCV_MATRIX_LIMIT = 1 << 30 };
int64_t fcv_toeplitz_full_bytes(const struct fcv_geometry *geometry, int64_t element);
/* Strict: FCV_AUTO keeps away from algorithms that round more than direct convolution. For the process. */
void fcv_set_strict(int strict);
int fcv_get_strict(void);
/* w and bias as fcv_conv_forward packs them for conv's chosen algorithm, to be used again as conv->packed. */
fcv_status fcv_packed_bytes(const struct fcv_conv *conv, int64_t *bytes);
/* What is packed for one size of the input fits another where the algorithm and this number are the same. */
int fcv_packed_form(const struct fcv_conv *conv);
fcv_status fcv_pack(const struct fcv_conv *conv, const void *w, const void *bias, void *packed);

/* Maximum over each window, padding excluded; NaN wins, of several the last. indices (may be NULL) gets the position of
 * the first maximum as (z * ih + y) * iw + x within one channel, in the layout of y; -1 where a window holds no element
 * of x. */
fcv_status fcv_max_pool_forward(const struct fcv_pool *pool, const void *x, void *y, int64_t *indices);
/* gx[first maximum of each window] += gy, zero elsewhere. indices: from the forward call, or NULL: found again in x,
 * which may be NULL where they are given. FCV_INVALID where an index is outside of x and not -1. */
fcv_status fcv_max_pool_backward(const struct fcv_pool *pool, const void *x, const void *gy, const int64_t *indices,
                                 void *gx);
fcv_status fcv_avg_pool_forward(const struct fcv_pool *pool, const void *x, void *y);
fcv_status fcv_avg_pool_backward(const struct fcv_pool *pool, const void *gy, void *gx);
/* x[indices] = y for each element of y, later ones winning, zero elsewhere; of pool only in, out, layout and dtype
 * matter. FCV_INVALID where an index is not in 0 .. iz * ih * iw - 1. */
fcv_status fcv_max_unpool_forward(const struct fcv_pool *pool, const void *y, const int64_t *indices, void *x);
/* gy = gx[indices]. */
fcv_status fcv_max_unpool_backward(const struct fcv_pool *pool, const void *gx, const int64_t *indices, void *gy);

/* A linear map along one axis, in compressed rows: one for all images, or one for each.
 *
 *     y[o] = sum over begin[i] <= k < begin[i + 1] of weight[k] * x[index[k]], i = o or image * out + o */
struct fcv_axis_map {
  int64_t in, out;
  int64_t images;       /* 1 or n */
  int64_t taps;         /* elements of index and weight, in [0, in) and of the dtype */
  const int64_t *begin; /* [images * out + 1], from 0 to taps; NULL: y[o] = x[o], in == out */
  const int64_t *index;
  const void *weight;
};

struct fcv_resampling {
  int64_t n, c;
  fcv_dtype dtype;
  fcv_layout layout;
  struct fcv_axis_map axis[FCV_AXES];
};

/* y = x mapped along each axis. */
fcv_status fcv_resample(const struct fcv_resampling *maps, const void *x, void *y);

/* y[i] = activation(x[i]); y may be x. */
fcv_status fcv_activation_forward(fcv_dtype dtype, fcv_activation activation, double slope, double threshold,
                                  int64_t count, const void *x, void *y);
/* gx[i] = gy[i] * activation'(x[i]). saved is y for FCV_SIGMOID, FCV_TANH and FCV_ELU_OUTPUT, x or y for FCV_RELU,
 * FCV_RELU6 and FCV_LEAKY_RELU (slope >= 0 where it is y), and x for the others. gx may be gy. */
fcv_status fcv_activation_backward(fcv_dtype dtype, fcv_activation activation, double slope, double threshold,
                                   int64_t count, const void *saved, const void *gy, void *gx);
/* y = x where saved > 0, else weight[channel] * x: parametric ReLU of x where saved is x, its gradient by x where x is
 * the gradient of the output. Arrays of n * channels * pixels elements; y may be x. */
fcv_status fcv_prelu(fcv_dtype dtype, fcv_layout layout, int64_t n, int64_t channels, int64_t pixels,
                     const void *weight, const void *saved, const void *x, void *y);
/* y[o][c][i] = exp(x[o][c][i]) / sum over c < columns of exp(x[o][c][i]), or its logarithm; the maximum over c is
 * subtracted first. */
fcv_status fcv_softmax_forward(fcv_dtype dtype, int logarithm, int64_t outer, int64_t columns, int64_t inner,
                               const void *x, void *y);
/* softmax: gx = y * (gy - sum(gy * y)); logarithm: gx = gy - exp(y) * sum(gy); sums over c. */
fcv_status fcv_softmax_backward(fcv_dtype dtype, int logarithm, int64_t outer, int64_t columns, int64_t inner,
                                const void *y, const void *gy, void *gx);

/* One step of an optimizer for count weights w of gradient g, and arrays m, v and a of what it remembers of each
 * weight: running means of gradients, sums of squares, and one more. m and a are NULL where their lines are left out:
 *
 *     SGD        m = beta_1 * m - rate * g
 *                w += m                  (nesterov: beta_1 * m - rate * g; without m: -rate * g)
 *     RMSprop    v = beta_2 * v + (1 - beta_2) * g * g
 *                a = beta_2 * a + (1 - beta_2) * g
 *                m = beta_1 * m + rate * g / sqrt(max(v - a * a, 0) + epsilon);  w -= m
 *     Adagrad    v += g * g
 *                w -= rate * g / sqrt(v + epsilon)
 *     Adam       m = beta_1 * m + (1 - beta_1) * g;  v = beta_2 * v + (1 - beta_2) * g * g
 *                a = max(a, v), and stands for v below (AMSGrad)
 *                w -= rate * m / (sqrt(v) + epsilon) */
typedef enum { FCV_SGD, FCV_RMSPROP, FCV_ADAGRAD, FCV_ADAM, FCV_OPTIMIZERS } fcv_optimizer;
struct fcv_step {
  fcv_optimizer optimizer;
  double rate, beta_1, beta_2, epsilon;
  int nesterov;
};
fcv_status fcv_optimizer_step(fcv_dtype dtype, const struct fcv_step *step, int64_t count, const void *g, void *w,
                              void *m, void *v, void *a);

/* Normalization of x[n][channels][pixels] or x[n][pixels][channels]:
 *
 *     y = (x - mean) / sqrt(variance + epsilon) * weight + bias
 *
 * with weight[channels] and bias[channels] (NULL for one and zero), and mean and variance, the mean square of the
 * differences from it, over the images and pixels of a channel (groups 0: batch normalization), or over the channels
 * and pixels of one of groups parts of an image (group normalization; layer normalization: groups 1, pixels 1). */
typedef enum {
  FCV_FOUND,   /* mean and variance are those of x; the call finds them */
  FCV_KNOWN,   /* they are those of x, and given: what the forward pass has found (groups 0, backward) */
  FCV_CONSTANT /* they are given, and constants for the gradient (groups 0) */
} fcv_statistics;

struct fcv_norm {
  int64_t n, channels, pixels, groups;
  fcv_dtype dtype;
  fcv_layout layout;
  double epsilon;
  fcv_statistics statistics;
  int rectified; /* groups 0: y = max(y, 0) at last */
};
/* y + addend in place of y where addend, of x's shape, is not NULL (groups 0), before it is rectified.
 * mean[channels] and variance[channels] are read where they are given, and else written; groups > 0: not looked at. */
fcv_status fcv_norm_forward(const struct fcv_norm *norm, const void *x, const void *weight, const void *bias,
                            const void *addend, double *mean, double *variance, void *y);
/* gx, gw[channels] and gb[channels], the gradients of sum(y * gy). mean and variance are read where they are given.
 * Rectified: with known statistics and without addend. bias is not looked at otherwise. */
fcv_status fcv_norm_backward(const struct fcv_norm *norm, const void *x, const void *gy, const void *weight,
                             const void *bias, const double *mean, const double *variance, void *gx, void *gw,
                             void *gb);

/* Chooses the instruction set: a name from fcv_isa_name, or NULL for the best that this CPU has. Until it is called
 * the best is in use. Not to be called while operations run. */
fcv_status fcv_select_isa(const char *name);
const char *fcv_isa(void);           /* the one in use */
const char *fcv_isa_name(int index); /* those built in, best first; NULL past the last */
int fcv_isa_available(int index);    /* whether this CPU has it */
/* Writes the id of kernel number index of the ISA in use ("f32-igemm-14x32-avx512") into id; 0 past the last. */
int fcv_kernel_id(int index, char *id, size_t size);

/* 10^9 operations a second (a multiply-add is two) that one core reaches in registers, the best of some short runs. */
double fcv_peak_gflops(fcv_dtype dtype);

void fcv_set_threads(int threads); /* at least 1 */
int fcv_get_threads(void);         /* 1 in a forked child whose parent had started threads */
int fcv_has_openmp(void);
size_t fcv_scratch_bytes(void); /* scratch memory kept for later calls */
void fcv_scratch_trim(void);    /* gives it back */
/* Memory for the arrays of results, aligned to 64 bytes and kept for later ones when it is given back. */
void *fcv_array_take(size_t bytes); /* NULL where there is none */
void fcv_array_give(void *memory);  /* NULL does nothing */
size_t fcv_array_bytes(void);       /* kept */
int64_t fcv_array_blocks(void);     /* that were asked of the system so far */
void fcv_array_trim(void);

#endif
