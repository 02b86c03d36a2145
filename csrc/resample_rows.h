/* Resampling of channels-first planes by maps that all images share: many rows by one call of a kernel. */
#ifndef FASTCONV_RESAMPLE_ROWS_H
#define FASTCONV_RESAMPLE_ROWS_H

#include "internal.h"

/* Whether each vector of a row's outputs takes its elements from few vectors of the row. */
int fcv_resample_rows_suits(const struct fcv_resampling *maps);
/* maps are checked, y has elements. */
fcv_status fcv_resample_rows(const struct fcv_resampling *maps, const void *x, void *y);

#endif
