/* Images of a batch to lanes and back: transposed blocks. */
#include "lanes.h"

void fcv_lanes_plan(const struct fcv_conv *conv, int64_t channels, const int64_t *in, const int64_t *lo,
                    const int64_t *hi, struct fcv_lanes *lanes) {
  const int last = conv->layout == FCV_CHANNELS_LAST;
  *lanes = (struct fcv_lanes){
      .kernels = fcv_kernels(conv->dtype),
      .layout = conv->layout,
      .images = conv->geometry.n,
      .channels = channels,
      .elements = channels * fcv_product(in),
  };
  int64_t pixels = 1;
  for (int i = FCV_AXES - 1; i >= 0; i--) {
    lanes->in[i] = in[i];
    lanes->lo[i] = lo[i];
    lanes->step[i] = pixels * (last ? channels : 1);
    pixels *= lo[i] + in[i] + hi[i];
  }
  lanes->channel = last ? 1 : pixels;
  lanes->vectors = pixels * channels;
}

/* Rows from one beside the other to their places between zeros. */
static void pad(const struct fcv_lanes *lanes, const char *from, char *to) {
  const int last = lanes->layout == FCV_CHANNELS_LAST;
  const int64_t vector = lanes->kernels->vl * lanes->kernels->size, *step = lanes->step, *lo = lanes->lo;
  const int64_t row = lanes->in[2] * (last ? lanes->channels : 1) * vector;
  memset(to, 0, (size_t)(lanes->vectors * vector));
  to += (lo[0] * step[0] + lo[1] * step[1] + lo[2] * step[2]) * vector;
  for (int64_t c = 0; c < (last ? 1 : lanes->channels); c++)
    for (int64_t z = 0; z < lanes->in[0]; z++)
      for (int64_t y = 0; y < lanes->in[1]; y++, from += row)
        memcpy(to + (c * lanes->channel + z * step[0] + y * step[1]) * vector, from, (size_t)row);
}

void fcv_lanes_fill(const struct fcv_lanes *lanes, const void *images, int64_t set, char *memory, char *stage) {
  const int64_t vl = lanes->kernels->vl, size = lanes->kernels->size, elements = lanes->elements;
  const int64_t count = fcv_min(vl, lanes->images - set * vl);
  const int padded = lanes->vectors > elements;
  char *to = padded ? memory : stage;
  if (count < vl)
    memset(to, 0, (size_t)(elements * vl * size));
  lanes->kernels->transpose(count, elements, (const char *)images + set * vl * elements * size, elements, to, vl);
  if (padded)
    pad(lanes, to, stage);
}

/* Whole vectors, also of lanes without an image: those go to memory, from where the others are copied. */
void fcv_lanes_write(const struct fcv_lanes *lanes, const char *stage, int64_t set, char *memory, void *images) {
  const int64_t vl = lanes->kernels->vl, size = lanes->kernels->size, elements = lanes->elements;
  const int64_t count = fcv_min(vl, lanes->images - set * vl);
  char *to = (char *)images + set * vl * elements * size, *all = count < vl ? memory : to;
  lanes->kernels->transpose(elements, vl, stage, vl, all, elements);
  if (count < vl)
    memcpy(to, memory, (size_t)(count * elements * size));
}

void fcv_lanes_margins(const struct fcv_axis *axis, int64_t *lo, int64_t *hi) {
  const int64_t last = (axis->count - 1) * axis->in_step + axis->shift + (axis->taps - 1) * axis->shift_step;
  if (axis->taps == 0 || axis->count == 0)
    return;
  *lo = fcv_max(*lo, -axis->shift);
  *hi = fcv_max(*hi, last - (axis->in - 1));
}

int64_t fcv_lanes_output(const struct fcv_lanes *lanes, const struct fcv_walk *walk, const int64_t *output) {
  int64_t at = 0;
  for (int i = 0; i < FCV_AXES; i++)
    at += (output[i] * walk->axis[i].in_step + walk->axis[i].shift + lanes->lo[i]) * lanes->step[i];
  return at;
}

int64_t fcv_lanes_tap(const struct fcv_lanes *lanes, const struct fcv_walk *walk, int64_t t) {
  int64_t at = 0;
  for (int i = FCV_AXES - 1; i >= 0; i--) {
    at += t % walk->axis[i].taps * walk->axis[i].shift_step * lanes->step[i];
    t /= walk->axis[i].taps;
  }
  return at;
}
