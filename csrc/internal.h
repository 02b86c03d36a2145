/* What the operations share, a header for each subject. */
#ifndef FASTCONV_INTERNAL_H
#define FASTCONV_INTERNAL_H

#include "rows.h"
#include "source.h"
#include "support.h"
#include "walk.h"
#include "ways.h"
#include "wgrad_ways.h"

#endif
