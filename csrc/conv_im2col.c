/* Convolution as matrix product with the patches (Chellapilla et al. 2006; the matrix phi(x) of the textbooks): a row
 * of the matrix for each output pixel, with the inputs that it meets, tap by tap. Forward convolution and the weight
 * gradient are conv_direct.c and conv_wgrad.c on a few rows at a time, which are copied here and then read as one tap
 * of taps * kc channels; the matrix never stands as a whole. */
#include "internal.h"

void fcv_im2col(const struct fcv_kernels *kernels, const struct fcv_walk *walk, const struct fcv_source *source,
                const struct fcv_box *box, int64_t first, int64_t count, int row_taps, const void **pointers,
                char *patches) {
  const int64_t taps = fcv_walk_taps(walk), bytes = walk->kc * kernels->size;
  if (row_taps) {
    const int64_t rows = walk->axis[0].taps * walk->axis[1].taps;
    for (int64_t r = 0; r < rows; r++) fcv_indirect_tap(walk, source, box, first, count, r, 1, pointers + r * count);
    kernels->copy_runs(count, rows, taps / rows * walk->kc, pointers, patches);
    return;
  }
  fcv_indirect_taps(walk, source, box, first, count, 1, 0, pointers);
  for (int64_t group = 0; group < walk->groups; group++)
    for (int64_t i = 0; i < count * taps; i++, patches += bytes)
      memcpy(patches, (const char *)pointers[i] + group * bytes, (size_t)bytes);
}
