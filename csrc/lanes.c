/* Images of a batch to lanes and back: transposed blocks. */
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
  };
}

/* Pieces of an image that are contiguous there as far as rows go: all channels of them, or one. */
struct piece {
  int64_t count, row; /* pieces; elements of a row of one */
};

static struct piece piece_of(const struct fcv_lanes *lanes) {
  return lanes->last ? (struct piece){1, lanes->columns * lanes->channels}
                     : (struct piece){lanes->channels, lanes->columns};
}

/* The element where rows of a piece begin in the first image of a set. */
static int64_t element_of(const struct fcv_lanes *lanes, const struct piece *piece, int64_t number, int64_t set,
                          int64_t first) {
  const int64_t image = piece->count * lanes->rows * piece->row;
  return set * lanes->kernels->vl * image + (number * lanes->rows + first) * piece->row;
}

void fcv_lanes_fill(const struct fcv_lanes *lanes, const void *images, int64_t set, int64_t first, int64_t rows,
                    char *memory, char *stage) {
  const struct fcv_kernels *k = lanes->kernels;
  const struct piece piece = piece_of(lanes);
  const int64_t vl = k->vl, vector = vl * k->size, count = fcv_min(vl, lanes->images - set * vl);
  const int64_t lo = fcv_min(rows, fcv_max(0, -first)), hi = fcv_max(lo, fcv_min(rows, lanes->rows - first));
  const int padded = lanes->row > piece.row;
  if (padded || count < vl || hi - lo < rows)
    memset(stage, 0, (size_t)fcv_lanes_bytes(lanes));
  if (padded && count < vl)
    memset(memory, 0, (size_t)((hi - lo) * piece.row * vector));
  for (int64_t p = 0; p < piece.count && lo < hi; p++) {
    const char *from = (const char *)images + element_of(lanes, &piece, p, set, first + lo) * k->size;
    char *to = stage + (p * lanes->channel + lo * lanes->row + lanes->before * lanes->pixel) * vector;
    k->transpose(count, (hi - lo) * piece.row, from, piece.count * lanes->rows * piece.row, padded ? memory : to, vl);
    for (int64_t r = 0; padded && r < hi - lo; r++)
      memcpy(to + r * lanes->row * vector, memory + r * piece.row * vector, (size_t)(piece.row * vector));
  }
}

/* Whole vectors, also of lanes without an image: then all go to memory, from where images are copied. */
void fcv_lanes_write(const struct fcv_lanes *lanes, const char *stage, int64_t set, int64_t first, int64_t rows,
                     char *memory, void *images) {
  const struct fcv_kernels *k = lanes->kernels;
  const struct piece piece = piece_of(lanes);
  const int64_t vl = k->vl, count = fcv_min(vl, lanes->images - set * vl), elements = rows * piece.row;
  const int64_t pitch = piece.count * lanes->rows * piece.row;
  for (int64_t p = 0; p < piece.count; p++) {
    const char *from = stage + p * lanes->channel * vl * k->size;
    char *to = (char *)images + element_of(lanes, &piece, p, set, first) * k->size;
    if (count == vl) {
      k->transpose(elements, vl, from, vl, to, pitch);
      continue;
    }
    k->transpose(elements, vl, from, vl, memory, elements);
    for (int64_t i = 0; i < count; i++)
      memcpy(to + i * pitch * k->size, memory + i * elements * k->size, (size_t)(elements * k->size));
  }
}
