/* The operations by their formulas, in double, on channels-last arrays: x[n][z][y][x][c], w[z][y][x][ci/g][co]. */
#ifndef FASTCONV_NAIVE_H
#define FASTCONV_NAIVE_H

#include "../../csrc/fastconv.h"

#include <stdbool.h>

int64_t volume(const int64_t size[FCV_AXES]); /* z * y * x */
int64_t x_count(const struct fcv_geometry *g);
int64_t w_count(const struct fcv_geometry *g);
int64_t y_count(const struct fcv_geometry *g);

/* order[i] is where element i of an array of this layout stands in the channels-last array; for free(). */
int64_t *pixel_order(fcv_layout layout, int64_t n, const int64_t size[FCV_AXES], int64_t channels);
int64_t *weight_order(fcv_layout layout, const struct fcv_geometry *g);

typedef enum { FORWARD, GRAD_INPUT, GRAD_WEIGHT } conv_pass;

/* Adds to y (forward), x (input gradient) or w (weight gradient) the products of the other two, and to size the
 * absolute value of each product. */
void naive_conv(conv_pass pass, const struct fcv_geometry *g, double *x, double *w, double *y, double *size);

double naive_activation(fcv_activation activation, double slope, double threshold, double x);
/* The derivative at x, where y is the activation of x. */
double naive_derivative(fcv_activation activation, double slope, double threshold, double x, double y);

/* y and index: the first maximum of each window, the last NaN where there is one (as torch has it); -infinity and -1
 * for a window without elements. */
void naive_max_pool(const struct fcv_pool *pool, const double *x, double *y, int64_t *index);
/* Adds to y the means of x, or to x the gradient of the means at y, and to size the same of absolute values. */
void naive_avg_pool(bool gradient, const struct fcv_pool *pool, double *x, double *y, double *size);
/* x[index] = y, the last of several, or where gradient is true y = x[index]. */
void naive_unpool(bool gradient, const struct fcv_geometry *g, const int64_t *index, double *x, double *y);

#endif
