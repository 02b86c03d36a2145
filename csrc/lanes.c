/* Images of a batch, or pieces of them, to lanes and back: transposed blocks. */
#include "lanes.h"

void fcv_lanes_plan(const struct fcv_conv *conv, int64_t channels, const int64_t *axes, int64_t before, int64_t after,
                    int64_t window, struct fcv_lanes *lanes) {
  const int last = conv->layout == FCV_CHANNELS_LAST;
  const int64_t columns = before + axes[2] + after;
  *lanes = (struct fcv_lanes){
      .kernels = fcv_kernels(conv->dtype),
      .last = last,
      .images = conv->geometry.n,
      .channels = channels,
      .rows = axes[1],
      .columns = axes[2],
      .before = before,
      .window = window,
      .row = columns * (last ? channels : 1),
      .pixel = last ? channels : 1,
      .channel = last ? 1 : window * columns,
      .vectors = window * columns * channels,
      .pieces = 1,
  };
}

/* Planes of an image whose rows are contiguous: one of all channels, or one for each. */
struct plane {
  int64_t count, row; /* planes; elements of a row of one */
};

static struct plane plane_of(const struct fcv_lanes *lanes) {
  return lanes->last ? (struct plane){1, lanes->columns * lanes->channels}
                     : (struct plane){lanes->channels, lanes->columns};
}

/* The element where rows of a plane begin. */
static int64_t element_of(const struct fcv_lanes *lanes, const struct plane *plane, int64_t number, int64_t image,
                          int64_t first) {
  return ((image * plane->count + number) * lanes->rows + first) * plane->row;
}

static int64_t begin_of(const struct fcv_lanes *lanes, int64_t piece) {
  return lanes->outputs * piece / lanes->pieces * lanes->step;
}

/* A lane's rows of a plane, between zeros: those before a row's columns, those behind, and rows that are not there. */
static void copy_rows(const struct fcv_lanes *lanes, const struct plane *plane, int64_t number, const char *images,
                      int64_t lane, int64_t first, int64_t rows, char *to) {
  const int64_t size = lanes->kernels->size, pitch = lanes->row * size;
  const int64_t image = lane / lanes->pieces, piece = lane % lanes->pieces, begin = begin_of(lanes, piece);
  const int64_t end = lanes->apart ? begin_of(lanes, piece + 1) : lanes->rows, at = begin + first;
  const int64_t lo = fcv_min(rows, fcv_max(0, -at));
  const int64_t hi = image < lanes->images ? fcv_max(lo, fcv_min(rows, end - at)) : lo;
  const int64_t before = lanes->before * lanes->pixel * size, bytes = plane->row * size;
  const char *from = images + element_of(lanes, plane, number, image, at + lo) * size;
  if (bytes == pitch) {
    memset(to, 0, (size_t)(lo * pitch));
    memcpy(to + lo * pitch, from, (size_t)((hi - lo) * pitch));
    memset(to + hi * pitch, 0, (size_t)((rows - hi) * pitch));
    return;
  }
  memset(to, 0, (size_t)(rows * pitch));
  for (int64_t r = lo; r < hi; r++, from += bytes) memcpy(to + r * pitch + before, from, (size_t)bytes);
}

void fcv_lanes_fill(const struct fcv_lanes *lanes, const void *images, int64_t set, int64_t first, int64_t rows,
                    char *memory, char *stage) {
  const struct fcv_kernels *k = lanes->kernels;
  const struct plane plane = plane_of(lanes);
  const int64_t vl = k->vl, elements = rows * lanes->row;
  const int in_place = lanes->pieces == 1 && lanes->row == plane.row && (set + 1) * vl <= lanes->images && first >= 0 &&
                       first + rows <= lanes->rows;
  for (int64_t p = 0; p < plane.count; p++) {
    const char *from = (const char *)images + element_of(lanes, &plane, p, set * vl, first) * k->size;
    int64_t pitch = plane.count * lanes->rows * plane.row;
    if (!in_place) {
      for (int64_t l = 0; l < vl; l++)
        copy_rows(lanes, &plane, p, images, set * vl + l, first, rows, memory + l * elements * k->size);
      from = memory;
      pitch = elements;
    }
    k->transpose(vl, elements, from, pitch, stage + p * lanes->channel * vl * k->size, vl);
  }
}

/* Whole vectors, also of lanes without an image: then all go to memory, from where images are copied. */
void fcv_lanes_write(const struct fcv_lanes *lanes, const char *stage, int64_t set, int64_t first, int64_t rows,
                     char *memory, void *images) {
  const struct fcv_kernels *k = lanes->kernels;
  const struct plane plane = plane_of(lanes);
  const int64_t vl = k->vl, count = fcv_min(vl, lanes->images - set * vl), elements = rows * plane.row;
  const int64_t pitch = plane.count * lanes->rows * plane.row;
  for (int64_t p = 0; p < plane.count; p++) {
    const char *from = stage + p * lanes->channel * vl * k->size;
    char *to = (char *)images + element_of(lanes, &plane, p, set * vl, first) * k->size;
    if (count == vl) {
      k->transpose(elements, vl, from, vl, to, pitch);
      continue;
    }
    k->transpose(elements, vl, from, vl, memory, elements);
    for (int64_t i = 0; i < count; i++)
      memcpy(to + i * pitch * k->size, memory + i * elements * k->size, (size_t)(elements * k->size));
  }
}
