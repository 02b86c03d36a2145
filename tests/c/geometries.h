/* The geometries that the C tests run: a table of the cases that have gone or could go wrong, then random ones. */
#ifndef FASTCONV_GEOMETRIES_H
#define FASTCONV_GEOMETRIES_H

#include "../../csrc/fastconv.h"

#include <stdbool.h>

/* Calls run for each; random_cases of them are drawn after random_seed. */
void for_conv_geometries(int random_cases, void (*run)(const struct fcv_geometry *));
void for_pool_geometries(int random_cases, void (*run)(const struct fcv_geometry *));
/* Of adaptive poolings, with strides and padding that count for nothing. */
void for_adaptive_geometries(int random_cases, void (*run)(const struct fcv_geometry *));

/* Whether a test runs an algorithm on it: where it applies, and its matrix is small. */
bool runs_with(const struct fcv_geometry *g, fcv_algorithm algorithm);

/* "2x8x9x3 -> 5, kernel 1x3x3, ..." into a static buffer. */
const char *describe(const struct fcv_geometry *g);

#endif
