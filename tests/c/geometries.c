#include "geometries.h"
#include "check.h"

#include <stdio.h>
#include <stdlib.h>

/* 2-D: batch, channels in and out, groups, then (height, width) of input, kernel, stride, dilation and padding. */
#define FLAT(n, ci, co, groups, ih, iw, kh, kw, sh, sw, rh, rw, pt, pl, pb, pr)                                        \
  {                                                                                                                    \
    n, ci, co, groups, {1, ih, iw}, {0}, {1, kh, kw}, {1, sh, sw}, {1, rh, rw}, {0, pt, pl}, { 0, pb, pr }             \
  }

static const struct fcv_geometry conv_table[] = {
    FLAT(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0),     /* one of everything */
    FLAT(0, 3, 4, 1, 5, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),     /* no image */
    FLAT(1, 0, 4, 1, 5, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),     /* no channel */
    FLAT(2, 3, 5, 1, 8, 9, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0),     /* valid */
    FLAT(2, 3, 5, 1, 8, 9, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),     /* same */
    FLAT(2, 3, 5, 1, 8, 9, 3, 3, 2, 2, 1, 1, 0, 0, 1, 1),     /* same, stride 2, as Keras has it */
    FLAT(1, 4, 6, 1, 9, 7, 3, 2, 3, 2, 1, 1, 2, 0, 1, 3),     /* unequal strides, four paddings */
    FLAT(1, 4, 6, 1, 11, 12, 3, 3, 1, 1, 2, 3, 2, 3, 2, 3),   /* dilated, unequal */
    FLAT(1, 4, 6, 1, 11, 12, 3, 3, 2, 3, 3, 2, 1, 2, 3, 4),   /* dilated and strided */
    FLAT(2, 2, 2, 1, 2, 3, 3, 3, 1, 1, 1, 1, 4, 5, 4, 5),     /* whole windows in the padding */
    FLAT(1, 2, 3, 1, 1, 1, 5, 5, 1, 1, 1, 1, 2, 2, 2, 2),     /* the kernel larger than the image */
    FLAT(1, 2, 3, 1, 6, 6, 1, 1, 3, 3, 1, 1, 0, 0, 0, 0),     /* stride beyond the kernel: unread pixels */
    FLAT(1, 3, 8, 1, 17, 19, 7, 7, 2, 2, 1, 1, 3, 3, 3, 3),   /* a first layer */
    FLAT(3, 1, 8, 1, 12, 12, 5, 5, 1, 1, 1, 1, 0, 0, 0, 0),   /* thin */
    FLAT(2, 3, 25, 1, 31, 31, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1),  /* runs of whole vectors, strided */
    FLAT(3, 1, 30, 1, 18, 28, 5, 5, 1, 1, 1, 1, 0, 0, 0, 0),  /* the same in place */
    FLAT(17, 2, 5, 1, 9, 8, 3, 4, 2, 3, 1, 1, 2, 1, 1, 3),    /* images as lanes, sets and a rest; strided, padded, */
    FLAT(11, 4, 6, 2, 6, 7, 3, 3, 1, 1, 2, 1, 1, 2, 0, 1),    /* in groups, dilated, */
    FLAT(40, 3, 16, 1, 5, 4, 1, 3, 1, 1, 1, 1, 0, 1, 0, 1),   /* a kernel of one row */
    FLAT(17, 1, 6, 1, 7, 9, 5, 5, 1, 1, 1, 1, 2, 2, 2, 2),    /* images side by side */
    FLAT(35, 2, 3, 1, 8, 7, 3, 3, 2, 1, 1, 2, 1, 2, 0, 1),    /* the same, strided and dilated */
    FLAT(16, 2, 1, 1, 7, 3, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0),    /* side by side, rows of one output */
    FLAT(33, 1, 1, 1, 1, 8, 1, 11, 1, 4, 1, 1, 0, 1, 0, 2),   /* the same, of one output, a set before the last image */
    FLAT(2, 3, 16, 1, 6, 21, 3, 5, 2, 1, 1, 1, 1, 2, 0, 1),   /* a vector of output channels, in tiles of a row */
    FLAT(1, 2, 8, 1, 5, 16, 5, 3, 1, 1, 1, 1, 0, 0, 0, 0),    /* the same in place */
    FLAT(2, 3, 70, 1, 6, 31, 3, 5, 1, 1, 1, 1, 1, 2, 0, 1),   /* several vectors, the last one a part, */
    FLAT(1, 1, 40, 1, 5, 16, 5, 3, 1, 1, 1, 1, 0, 0, 0, 0),   /* the same in place */
    FLAT(3, 1, 32, 1, 6, 21, 3, 5, 2, 1, 1, 1, 1, 2, 0, 1),   /* whole vectors of output channels, strips of one, */
    FLAT(2, 3, 16, 1, 5, 140, 3, 3, 1, 1, 2, 1, 1, 1, 2, 0),  /* of several, in parts of a row */
    FLAT(2, 4, 34, 2, 6, 33, 3, 2, 1, 3, 2, 1, 0, 2, 3, 4),   /* nearly whole, in groups */
    FLAT(1, 6, 4, 2, 7, 7, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),     /* two groups */
    FLAT(1, 6, 6, 3, 7, 7, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1),     /* groups, strided */
    FLAT(2, 7, 7, 7, 6, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),     /* depthwise */
    FLAT(2, 5, 15, 5, 6, 5, 3, 3, 1, 1, 2, 2, 2, 2, 2, 2),    /* depthwise, three filters a channel, dilated */
    FLAT(1, 64, 128, 2, 4, 4, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0),  /* groups of whole vectors */
    FLAT(1, 34, 70, 2, 4, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0),   /* groups of vectors and a rest */
    FLAT(1, 16, 16, 1, 6, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0),   /* 1x1 */
    FLAT(2, 33, 65, 1, 5, 5, 1, 1, 2, 2, 1, 1, 0, 0, 0, 0),   /* 1x1, strided, one beyond whole vectors */
    FLAT(1, 31, 63, 1, 5, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),   /* one below whole vectors */
    FLAT(1, 16, 24, 1, 5, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),   /* odd number of vectors */
    FLAT(1, 20, 35, 1, 24, 23, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0), /* 1x1, parts of an image */
    FLAT(3, 17, 18, 1, 16, 32, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0), /* planes a power of two apart */
    FLAT(7, 40, 70, 2, 3, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0),   /* several images at a time, in groups */
    FLAT(1, 512, 513, 1, 3, 4, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0), /* weights of more than 1 MiB, */
    FLAT(2, 513, 512, 1, 2, 3, 1, 1, 1, 2, 1, 1, 0, 0, 0, 0), /* strided */
    FLAT(2, 6, 9, 1, 7, 37, 1, 1, 2, 2, 1, 1, 1, 3, 2, 0),    /* 1x1, strided, padded */
    FLAT(1, 5, 6, 1, 9, 40, 1, 3, 2, 1, 1, 1, 3, 1, 2, 0),    /* unread rows, */
    FLAT(1, 6, 5, 1, 9, 40, 3, 1, 1, 2, 1, 1, 1, 1, 2, 0),    /* and columns */
    FLAT(9, 130, 10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0),  /* a linear layer */
    FLAT(3, 130, 80, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0),  /* weights where they lie, panels of several widths, */
    FLAT(1, 70, 71, 1, 2, 3, 3, 2, 1, 1, 1, 1, 1, 0, 1, 1),   /* and a panel that is packed, taps apart */
    FLAT(2, 35, 66, 1, 6, 5, 4, 4, 2, 2, 1, 1, 1, 1, 1, 2),   /* few pixels and many weights, strided, */
    FLAT(1, 70, 64, 1, 3, 5, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0),   /* a unit of some channels and a rest */
    FLAT(1, 12, 48, 1, 5, 5, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0),   /* all taps at once */
    FLAT(1, 600, 40, 1, 3, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0),  /* a long reduction */
    FLAT(1, 520, 3, 1, 4, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),   /* a longer one over taps */
    FLAT(1, 8, 9, 1, 1, 90, 1, 5, 1, 1, 1, 1, 0, 2, 0, 2),    /* one long row */
    FLAT(1, 8, 9, 1, 90, 1, 5, 1, 1, 1, 1, 1, 2, 0, 2, 0),    /* one long column */
    FLAT(2, 16, 32, 1, 30, 29, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1), /* enough work for two threads */
    FLAT(3, 24, 40, 1, 20, 21, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1), /* the same, strided */
    FLAT(3, 64, 1, 1, 40, 41, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),  /* more input than is copied at once */
    FLAT(3, 1, 64, 1, 40, 41, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),  /* more output gradient than that */
    FLAT(1, 1024, 20, 1, 4, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0), /* pixels a power of two apart, in float */
    FLAT(1, 512, 20, 1, 4, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),  /* and in double */
    FLAT(1, 20, 33, 1, 13, 14, 9, 9, 1, 1, 1, 1, 4, 4, 4, 4), /* more taps than a unit of the weight gradient sums */
    FLAT(1, 3, 4, 1, 1, 1, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),     /* Winograd: one pixel */
    FLAT(1, 230, 260, 1, 2, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1), /* sums of the weight gradient in parts */
    FLAT(2, 5, 17, 1, 13, 7, 3, 3, 1, 1, 1, 1, 0, 2, 3, 1),   /* parts of tiles, four paddings */
    FLAT(7, 40, 33, 1, 14, 14, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1), /* blocks of tiles that span images */
    FLAT(2, 1, 5, 1, 20, 45, 3, 5, 2, 2, 1, 1, 1, 2, 0, 1),   /* Toeplitz: blocks of a row, the last a part */
    FLAT(1, 4, 6, 2, 9, 40, 3, 3, 1, 1, 2, 2, 2, 2, 2, 2),    /* the same in groups, dilated */
    {2, 3, 4, 1, {1, 1, 20}, {0}, {1, 1, 4}, {1, 1, 3}, {1, 1, 2}, {0, 0, 2}, {0, 0, 1}},   /* 1-D */
    {2, 3, 4, 1, {5, 6, 7}, {0}, {2, 3, 3}, {1, 2, 1}, {2, 1, 1}, {1, 1, 0}, {0, 1, 2}},    /* 3-D */
    {2, 2, 5, 1, {4, 5, 35}, {0}, {2, 3, 3}, {1, 2, 1}, {2, 1, 1}, {1, 1, 0}, {0, 1, 2}},   /* 3-D, long rows */
    {18, 2, 4, 1, {3, 4, 5}, {0}, {2, 3, 3}, {1, 2, 1}, {1, 1, 2}, {1, 1, 1}, {0, 1, 1}},   /* 3-D, side by side */
    {1, 4, 4, 4, {6, 5, 4}, {0}, {3, 3, 3}, {2, 1, 2}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},    /* 3-D, depthwise */
    {2, 16, 33, 1, {9, 8, 10}, {0}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}, /* 3-D, for two threads */
    {1, 6, 10, 2, {8, 5, 20}, {0}, {2, 3, 4}, {3, 2, 1}, {2, 1, 3}, {2, 0, 1}, {0, 3, 4}},  /* nothing alike on the axes
                                                                                             */
    {2, 1, 16, 1, {4, 5, 9}, {0}, {2, 3, 3}, {1, 2, 1}, {1, 1, 1}, {1, 0, 2}, {0, 1, 1}},   /* 3-D, strips */
    {2, 34, 20, 2, {5, 4, 12}, {0}, {1, 1, 1}, {2, 1, 3}, {1, 1, 1}, {0}, {0}},             /* 3-D, 1x1x1, strided */
    {3, 1, 4, 1, {4, 1, 30}, {0}, {3, 1, 5}, {1, 1, 2}, {1, 1, 1}, {2, 0, 2}, {2, 0, 2}},   /* 3-D of one row, thin */
};

static const struct fcv_geometry depthwise_table[] = {
    FLAT(2, 3, 3, 3, 17, 37, 5, 5, 1, 1, 1, 1, 2, 2, 2, 2),     /* less channels than a vector has */
    FLAT(1, 24, 24, 24, 9, 15, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1),   /* strided, odd, whole vectors */
    FLAT(2, 21, 21, 21, 10, 34, 3, 3, 2, 2, 1, 1, 0, 0, 1, 1),  /* strided, even, a vector and a rest */
    FLAT(1, 33, 33, 33, 20, 11, 5, 7, 3, 2, 1, 1, 2, 3, 1, 4),  /* strided by three and two, four paddings */
    FLAT(1, 19, 19, 19, 14, 23, 3, 3, 1, 2, 3, 3, 4, 2, 3, 3),  /* strided and dilated */
    FLAT(1, 512, 512, 512, 5, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1), /* pixels a power of two apart */
    FLAT(3, 40, 40, 40, 7, 7, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),    /* several planes in a stage */
    FLAT(1, 2, 2, 2, 70, 150, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1),    /* several stages of a plane */
    FLAT(1, 5, 5, 5, 1, 4500, 1, 9, 1, 2, 1, 4, 0, 16, 0, 16),  /* several blocks of a row */
    FLAT(2, 11, 11, 11, 6, 7, 1, 1, 2, 3, 1, 1, 0, 0, 0, 0),    /* unread pixels */
    FLAT(1, 9, 9, 9, 2, 3, 5, 5, 1, 1, 1, 1, 6, 5, 4, 5),       /* whole windows in the padding */
    FLAT(3, 64, 64, 64, 30, 29, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),  /* enough work for two threads */
    FLAT(2, 5, 5, 5, 14, 14, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),     /* planes in place: rows that do not fill a vector */
    FLAT(1, 6, 6, 6, 12, 35, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0),     /* strided, columns that no window meets */
    FLAT(1, 3, 3, 3, 8, 8, 5, 5, 1, 1, 1, 1, 2, 2, 2, 2),       /* two rows a vector, five taps */
    FLAT(1, 4, 4, 4, 9, 40, 3, 3, 1, 1, 1, 1, 3, 3, 3, 2),      /* padding as wide as the kernel */
    FLAT(1, 2, 2, 2, 150, 300, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),   /* bands of a plane */
    FLAT(2, 4, 4, 4, 15, 14, 7, 7, 1, 1, 1, 1, 3, 3, 3, 3),     /* seven taps, */
    FLAT(3, 5, 5, 5, 7, 7, 7, 7, 1, 1, 1, 1, 3, 3, 3, 3),       /* two rows a vector, */
    FLAT(1, 40, 40, 40, 9, 10, 7, 7, 1, 1, 1, 1, 3, 2, 1, 4),   /* and more channels than a vector has */
    FLAT(2, 4, 4, 4, 17, 35, 3, 3, 1, 1, 3, 2, 3, 2, 3, 2),     /* dilated planes in place, */
    FLAT(1, 3, 3, 3, 150, 300, 5, 5, 1, 1, 2, 1, 4, 2, 4, 2),   /* in bands, */
    FLAT(2, 5, 5, 5, 6, 9, 3, 3, 1, 1, 4, 4, 4, 4, 4, 4),       /* and rows that meet one tap */
    FLAT(1, 35, 35, 35, 11, 20, 3, 9, 1, 1, 1, 1, 1, 4, 1, 4),  /* nine taps */
    {2, 18, 18, 18, {7, 6, 9}, {0}, {3, 2, 3}, {2, 2, 1}, {1, 2, 1}, {1, 1, 2}, {2, 0, 1}}, /* 3-D */
    {1, 12, 12, 12, {1, 9, 9}, {0}, {3, 5, 5}, {3, 1, 1}, {1, 1, 1}, {1, 2, 2}, {2, 2, 2}}, /* of which one slice counts
                                                                                             */
};

static const struct fcv_geometry group_table[] = {
    FLAT(2, 16, 16, 8, 7, 13, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),     /* groups of two channels, one vector in float */
    FLAT(1, 38, 38, 19, 9, 12, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1),    /* vectors and a rest, strided */
    FLAT(2, 36, 36, 9, 8, 26, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),     /* of four, a rest of one group */
    FLAT(1, 64, 64, 16, 12, 19, 3, 3, 1, 1, 2, 2, 2, 2, 2, 2),   /* dilated */
    FLAT(1, 20, 20, 5, 9, 21, 5, 2, 1, 2, 1, 1, 2, 1, 2, 0),     /* other kernels, strided along rows */
    FLAT(1, 24, 24, 3, 9, 14, 3, 3, 2, 1, 1, 1, 0, 1, 2, 3),     /* of eight, four paddings */
    FLAT(1, 40, 40, 5, 6, 11, 1, 5, 1, 1, 1, 1, 0, 2, 0, 2),     /* a row of five taps */
    FLAT(2, 32, 32, 4, 5, 6, 1, 1, 2, 3, 1, 1, 0, 0, 0, 0),      /* unread pixels */
    FLAT(1, 12, 12, 3, 6, 7, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),      /* less channels than a vector may have */
    FLAT(1, 36, 36, 9, 2, 3, 5, 5, 1, 1, 1, 1, 6, 5, 4, 5),      /* whole windows in the padding */
    FLAT(1, 512, 512, 128, 5, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),  /* pixels a power of two apart */
    FLAT(2, 128, 128, 32, 20, 21, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1), /* enough work for two threads */
    FLAT(2, 8, 16, 8, 7, 13, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),      /* two filters a channel, */
    FLAT(1, 19, 57, 19, 9, 12, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1),    /* three, strided, */
    FLAT(1, 3, 24, 3, 8, 9, 5, 3, 1, 2, 2, 1, 4, 1, 2, 0),       /* eight of few channels, dilated, */
    FLAT(1, 70, 140, 70, 6, 9, 3, 3, 1, 3, 1, 1, 0, 2, 3, 1),    /* several units over channels, */
    FLAT(3, 64, 128, 64, 20, 21, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),  /* enough work for two threads, */
    FLAT(1, 2, 34, 2, 3, 4, 1, 1, 2, 3, 1, 1, 0, 0, 0, 0),       /* and unread pixels */
    {1, 10, 40, 10, {5, 4, 9}, {0}, {2, 3, 3}, {1, 2, 2}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}}, /* 3-D, four */
    {1, 20, 20, 5, {5, 4, 9}, {0}, {2, 3, 3}, {1, 2, 2}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}},  /* 3-D */
};

static const struct fcv_geometry pool_table[] = {
    FLAT(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0),
    FLAT(0, 3, 3, 3, 4, 4, 2, 2, 2, 2, 1, 1, 0, 0, 0, 0),      /* no image */
    FLAT(2, 3, 3, 3, 8, 8, 2, 2, 2, 2, 1, 1, 0, 0, 0, 0),      /* tiling */
    FLAT(2, 17, 17, 17, 9, 7, 2, 2, 2, 2, 1, 1, 0, 0, 0, 0),   /* a row and a column left over */
    FLAT(2, 16, 16, 16, 9, 7, 2, 2, 2, 2, 1, 1, 0, 0, 1, 1),   /* ceil mode */
    FLAT(2, 33, 33, 33, 10, 9, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1),  /* overlapping, padded */
    FLAT(1, 5, 5, 5, 9, 11, 3, 2, 1, 3, 1, 1, 1, 0, 0, 1),     /* unequal */
    FLAT(1, 5, 5, 5, 6, 7, 1, 1, 3, 2, 1, 1, 0, 0, 0, 0),      /* stride beyond the window */
    FLAT(3, 40, 40, 40, 7, 7, 7, 7, 7, 7, 1, 1, 0, 0, 0, 0),   /* global */
    FLAT(1, 70, 70, 70, 1, 40, 1, 3, 1, 2, 1, 1, 0, 1, 0, 1),  /* one long row */
    FLAT(1, 4, 4, 4, 1, 33, 1, 5, 1, 4, 1, 1, 0, 2, 0, 2),     /* strided by more than two */
    FLAT(4, 64, 64, 64, 24, 25, 2, 2, 2, 2, 1, 1, 0, 0, 0, 1), /* enough work for two threads */
    FLAT(1, 19, 19, 19, 37, 70, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1), /* channels together, some rows at a time */
    FLAT(1, 9, 9, 9, 50, 90, 2, 2, 3, 3, 1, 1, 0, 0, 0, 0),    /* the same, with rows between windows */
    {2, 6, 6, 6, {5, 6, 7}, {0}, {2, 3, 2}, {2, 1, 2}, {1, 1, 1}, {1, 1, 0}, {0, 1, 1}}, /* 3-D */
};

/* Only max pooling has them: dilation, and windows in the padding. */
static const struct fcv_geometry max_pool_table[] = {
    FLAT(2, 5, 5, 5, 11, 12, 3, 3, 2, 1, 2, 3, 1, 1, 1, 1),
    FLAT(1, 18, 18, 18, 9, 9, 2, 2, 1, 1, 4, 5, 1, 1, 1, 1),
    FLAT(1, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 3, 3, 3, 3),
    FLAT(2, 3, 3, 3, 5, 14, 3, 4, 1, 1, 1, 2, 0, 1, 0, 1), /* up to the last pixel */
};

/* Sizes of input and output, and channels. */
static const struct {
  int64_t in[FCV_AXES], out[FCV_AXES], channels;
} adaptive_table[] = {
    {{1, 1, 1}, {1, 1, 1}, 1},      {{1, 7, 7}, {1, 1, 1}, 70},   /* one window */
    {{1, 1, 100}, {1, 1, 1}, 3},    {{4, 5, 6}, {1, 1, 1}, 17},   /* the same on one and three axes */
    {{1, 12, 20}, {1, 3, 4}, 33},   {{1, 13, 13}, {1, 6, 6}, 16}, /* windows that are alike, and that are not */
    {{1, 3, 4}, {1, 7, 5}, 5},      {{1, 1, 5}, {1, 1, 97}, 4},   /* more windows than pixels */
    {{1, 9, 70}, {1, 9, 1}, 2},     {{1, 70, 9}, {1, 1, 9}, 2},   /* whole rows; whole columns */
    {{1, 5, 131}, {1, 2, 2}, 3},    {{5, 7, 3}, {2, 3, 2}, 9},    /* long windows; volumes */
    {{1, 40, 41}, {1, 7, 6}, 64},                                 /* enough work for two threads */
    {{1, 61, 70}, {1, 20, 33}, 19},                               /* channels together, some rows at a time */
};

#define COUNT(table) ((int)(sizeof(table) / sizeof *(table)))

static int64_t out_size(const struct fcv_geometry *g, int axis) {
  const int64_t reach = g->dilation[axis] * (g->kernel[axis] - 1) + 1;
  const int64_t room = g->in[axis] + g->pad_lo[axis] + g->pad_hi[axis] - reach;
  return room < 0 ? 0 : room / g->stride[axis] + 1;
}

/* With FASTCONV_TEST_EVERY=n in the environment, as under an emulator, only every n-th geometry runs, and with
 * FASTCONV_TEST_HALF=0 or 1 every other one of those: the other half is another process's. */
static void run_chosen(const struct fcv_geometry *g, void (*run)(const struct fcv_geometry *)) {
  static int number, chosen;
  const char *every = getenv("FASTCONV_TEST_EVERY"), *half = getenv("FASTCONV_TEST_HALF");
  if (number++ % (every && atoi(every) > 0 ? atoi(every) : 1) != 0)
    return;
  if (!half || chosen++ % 2 == atoi(half))
    run(g);
}

static void run_table(const struct fcv_geometry *table, int count, void (*run)(const struct fcv_geometry *)) {
  for (int i = 0; i < count; i++) {
    struct fcv_geometry g = table[i];
    for (int axis = 0; axis < FCV_AXES; axis++) g.out[axis] = out_size(&g, axis);
    run_chosen(&g, run);
  }
}

static int64_t between(int64_t low, int64_t high) { return low + random_below(high - low + 1); }

/* One axis whose windows all hold an element where padding <= kernel / 2. */
static void random_axis(struct fcv_geometry *g, int axis, int64_t most, int64_t dilation, int64_t padding) {
  do {
    g->in[axis] = between(1, most);
    g->kernel[axis] = between(1, 5);
    g->stride[axis] = between(1, 4);
    g->dilation[axis] = between(1, dilation);
    g->pad_lo[axis] = between(0, padding < 0 ? g->kernel[axis] / 2 : padding);
    g->pad_hi[axis] = between(0, padding < 0 ? g->kernel[axis] / 2 : padding);
    g->out[axis] = out_size(g, axis);
  } while (g->out[axis] < 1);
}

/* One axis of what Winograd's algorithm applies to. */
static void random_winograd_axis(struct fcv_geometry *g, int axis) {
  g->kernel[axis] = 3, g->stride[axis] = g->dilation[axis] = 1;
  do {
    g->in[axis] = between(1, 11);
    g->pad_lo[axis] = between(0, 4), g->pad_hi[axis] = between(0, 4);
    g->out[axis] = out_size(g, axis);
  } while (g->out[axis] < 1);
}

static const struct fcv_geometry point = {
    .groups = 1, .in = {1, 1, 1}, .out = {1, 1, 1}, .kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};

void for_conv_geometries(int random_cases, void (*run)(const struct fcv_geometry *)) {
  run_table(conv_table, COUNT(conv_table), run);
  run_table(depthwise_table, COUNT(depthwise_table), run);
  run_table(group_table, COUNT(group_table), run);
  for (int i = 0; i < random_cases; i++) {
    struct fcv_geometry g = point;
    g.n = between(1, 3);
    g.groups = i % 3 == 0 ? between(2, 4) : 1;
    const int64_t most = i % 8 == 1 ? 80 : 12;
    g.ci = g.groups * between(1, most);
    g.co = g.groups * between(1, most);
    if (i % 6 == 3) /* depthwise */
      g.groups = g.co = g.ci;
    for (int axis = i % 16 == 5 ? 0 : 1; axis < FCV_AXES; axis++)
      if (i % 4 == 2 && g.groups == 1)
        random_winograd_axis(&g, axis);
      else
        random_axis(&g, axis, most > 12 ? 7 : 12, 3, 4);
    run_chosen(&g, run);
  }
}

void for_pool_geometries(int random_cases, void (*run)(const struct fcv_geometry *)) {
  run_table(pool_table, COUNT(pool_table), run);
  run_table(max_pool_table, COUNT(max_pool_table), run);
  for (int i = 0; i < random_cases; i++) {
    struct fcv_geometry g = point;
    g.n = between(1, 3);
    g.ci = g.co = g.groups = between(1, i % 4 == 0 ? 70 : 12);
    for (int axis = i % 16 == 5 ? 0 : 1; axis < FCV_AXES; axis++) random_axis(&g, axis, 14, i % 3 == 0 ? 3 : 1, -1);
    run_chosen(&g, run);
  }
}

void for_adaptive_geometries(int random_cases, void (*run)(const struct fcv_geometry *)) {
  for (int i = 0; i < COUNT(adaptive_table) + random_cases; i++) {
    struct fcv_geometry g = point;
    g.n = between(1, 3);
    g.ci = between(1, i % 4 == 0 ? 40 : 9);
    for (int axis = i % 8 == 5 ? 0 : 1; axis < FCV_AXES; axis++) {
      g.in[axis] = between(1, i % 8 == 5 ? 6 : 14);
      g.out[axis] = between(1, i % 8 == 5 ? 6 : 14);
    }
    for (int axis = 0; axis < FCV_AXES; axis++) {
      if (i < COUNT(adaptive_table)) {
        g.in[axis] = adaptive_table[i].in[axis], g.out[axis] = adaptive_table[i].out[axis];
        g.ci = adaptive_table[i].channels;
      }
      g.kernel[axis] = between(1, 3), g.stride[axis] = between(1, 3), g.dilation[axis] = between(1, 3);
      g.pad_lo[axis] = between(0, 3), g.pad_hi[axis] = between(0, 3);
    }
    g.co = g.groups = g.ci;
    run_chosen(&g, run);
  }
}

enum { FULL_MATRIX = 1 << 18 };

bool runs_with(const struct fcv_geometry *g, fcv_algorithm algorithm) {
  if (algorithm == FCV_WINOGRAD)
    return false; /* one of the next two */
  if (algorithm == FCV_TOEPLITZ_FULL) {
    int64_t elements = g->ci * g->co;
    for (int axis = 0; axis < FCV_AXES; axis++) elements *= g->in[axis] * g->out[axis];
    return elements <= FULL_MATRIX;
  }
  if (algorithm < FCV_WINOGRAD_2X2)
    return true;
  bool applies = g->groups == 1 && g->in[0] == 1 && g->out[0] == 1 && g->kernel[0] == 1;
  for (int axis = 1; axis < FCV_AXES; axis++)
    applies = applies && g->kernel[axis] == 3 && g->stride[axis] == 1 && g->dilation[axis] == 1;
  return applies;
}

const char *describe(const struct fcv_geometry *g) {
  static char text[320];
  int length = snprintf(text, sizeof text, "n %lld, ci %lld, co %lld, groups %lld", (long long)g->n, (long long)g->ci,
                        (long long)g->co, (long long)g->groups);
  const struct {
    const char *name;
    const int64_t *axes;
  } parts[] = {{"in", g->in},         {"out", g->out},           {"kernel", g->kernel},
               {"stride", g->stride}, {"dilation", g->dilation}, {"pad_lo", g->pad_lo},
               {"pad_hi", g->pad_hi}};
  for (int i = 0; i < COUNT(parts); i++) {
    const int64_t *axes = parts[i].axes;
    length += snprintf(text + length, sizeof text - (size_t)length, ", %s {%lld, %lld, %lld}", parts[i].name,
                       (long long)axes[0], (long long)axes[1], (long long)axes[2]);
  }
  return text;
}
