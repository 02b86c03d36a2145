/* Indirection (Dukhan 2019): for each tap the pointers of a tile's pixels. */
#include "internal.h"

/* A position in a box: image, then output coordinates on the three axes. */
struct cursor {
  int64_t at[4], end[4], begin[4];
};

static void start(struct cursor *cursor, const struct fcv_walk *walk, const struct fcv_box *box, int64_t first) {
  for (int i = 0; i < FCV_AXES; i++) {
    cursor->begin[i] = box->lo[i];
    cursor->end[i] = box->lo[i] + box->size[i];
  }
  cursor->begin[3] = 0;
  cursor->end[3] = walk->axis[2].count;
  for (int i = 3; i > 0; i--) {
    const int64_t size = cursor->end[i] - cursor->begin[i];
    cursor->at[i] = cursor->begin[i] + first % size;
    first /= size;
  }
  cursor->at[0] = cursor->begin[0] + first;
}

static void advance(struct cursor *cursor) {
  int i = 3;
  while (++cursor->at[i] == cursor->end[i] && i > 0) {
    cursor->at[i] = cursor->begin[i];
    i--;
  }
}

/* The coordinate of a walk's tap 0 on axis i. */
static int64_t coordinate(const struct fcv_walk *walk, const struct cursor *cursor, int i) {
  return cursor->at[i + 1] * walk->axis[i].in_step + walk->axis[i].shift;
}

static int inside(const struct fcv_source *source, int i, int64_t at) {
  return at >= source->lo[i] && at < source->hi[i];
}

/* Bytes from the source's data to tap 0 of the cursor's pixel, which may lie outside. */
static int64_t pixel_offset(const struct fcv_walk *walk, const struct fcv_source *source, const struct cursor *cursor) {
  int64_t offset = (cursor->at[0] - source->first_image) * source->image;
  for (int i = 0; i < FCV_AXES; i++) offset += (coordinate(walk, cursor, i) - source->lo[i]) * source->step[i];
  return offset;
}

/* The pointers of one pixel, mr apart. */
static void pixel_taps(const struct fcv_walk *walk, const struct fcv_source *source, const struct cursor *cursor,
                       int64_t x_taps, int mr, const void **to) {
  const int64_t taps[FCV_AXES] = {walk->axis[0].taps, walk->axis[1].taps, x_taps};
  const int64_t start = pixel_offset(walk, source, cursor);
  int64_t at[FCV_AXES], step[FCV_AXES];
  int all = 1;
  for (int i = 0; i < FCV_AXES; i++) {
    at[i] = coordinate(walk, cursor, i);
    step[i] = walk->axis[i].shift_step * source->step[i];
    all = all && inside(source, i, at[i]) && inside(source, i, at[i] + (taps[i] - 1) * walk->axis[i].shift_step);
  }
  for (int64_t z = 0; z < taps[0]; z++)
    for (int64_t y = 0; y < taps[1]; y++) {
      const int64_t row = start + z * step[0] + y * step[1];
      if (all) {
        for (int64_t x = 0; x < taps[2]; x++, to += mr) *to = source->data + row + x * step[2];
        continue;
      }
      const int in_row = inside(source, 0, at[0] + z * walk->axis[0].shift_step) &&
                         inside(source, 1, at[1] + y * walk->axis[1].shift_step);
      for (int64_t x = 0; x < taps[2]; x++, to += mr) {
        const int in = in_row && inside(source, 2, at[2] + x * walk->axis[2].shift_step);
        *to = in ? source->data + row + x * step[2] : source->zero;
      }
    }
}

/* The pointers of count neighbours in a row, all of whose taps lie inside on the row's axis: tap by tap, in steps. */
static void run_taps(const struct fcv_walk *walk, const struct fcv_source *source, const struct cursor *cursor,
                     int64_t x_taps, int64_t count, int mr, const void **to) {
  const struct fcv_axis *z = &walk->axis[0], *y = &walk->axis[1], *x = &walk->axis[2];
  const int64_t start = pixel_offset(walk, source, cursor), step = x->in_step * source->step[2];
  for (int64_t tz = 0; tz < z->taps; tz++)
    for (int64_t ty = 0; ty < y->taps; ty++) {
      const int in = inside(source, 0, coordinate(walk, cursor, 0) + tz * z->shift_step) &&
                     inside(source, 1, coordinate(walk, cursor, 1) + ty * y->shift_step);
      const int64_t row = start + tz * z->shift_step * source->step[0] + ty * y->shift_step * source->step[1];
      for (int64_t tx = 0; tx < x_taps; tx++, to += mr) {
        const char *from = in ? source->data + row + tx * x->shift_step * source->step[2] : source->zero;
        const int64_t move = in ? step : 0;
        for (int64_t i = 0; i < count; i++) to[i] = from + i * move;
      }
    }
}

void fcv_indirect_taps(const struct fcv_walk *walk, const struct fcv_source *source, const struct fcv_box *box,
                       int64_t first, int64_t count, int mr, int row_taps, const void **a) {
  const struct fcv_axis *x = &walk->axis[2];
  const int64_t x_taps = row_taps ? 1 : x->taps, taps = walk->axis[0].taps * walk->axis[1].taps * x_taps;
  struct cursor cursor;
  start(&cursor, walk, box, first);
  for (int64_t q = 0, run; q < count; q += run) {
    const void **to = a + q / mr * taps * mr + q % mr;
    run = fcv_min(fcv_min(count - q, mr - q % mr), cursor.end[3] - cursor.at[3]);
    const int64_t left = coordinate(walk, &cursor, 2);
    if (inside(source, 2, left) && inside(source, 2, left + (run - 1) * x->in_step + (x_taps - 1) * x->shift_step)) {
      run_taps(walk, source, &cursor, x_taps, run, mr, to);
    } else {
      run = 1;
      pixel_taps(walk, source, &cursor, x_taps, mr, to);
    }
    cursor.at[3] += run - 1;
    advance(&cursor);
  }
  const int64_t last = count % mr;
  if (last > 0) /* the rest of the last tile repeats its last pixel */
    for (int64_t t = 0; t < taps; t++)
      for (int64_t i = last; i < mr; i++)
        a[(count / mr * taps + t) * mr + i] = a[(count / mr * taps + t) * mr + last - 1];
}

void fcv_indirect_tap(const struct fcv_walk *walk, const struct fcv_source *source, const struct fcv_box *box,
                      int64_t first, int64_t count, int64_t number, int row_taps, const void **a) {
  const struct fcv_axis *axis = walk->axis;
  const int64_t x_taps = row_taps ? 1 : axis[2].taps;
  const int64_t tap[FCV_AXES] = {number / x_taps / axis[1].taps, number / x_taps % axis[1].taps, number % x_taps};
  const int64_t x_shift = tap[2] * axis[2].shift_step;
  int64_t moved = 0;
  for (int i = 0; i < FCV_AXES; i++) moved += tap[i] * axis[i].shift_step * source->step[i];
  struct cursor cursor;
  start(&cursor, walk, box, first);
  for (int64_t q = 0; q < count;) { /* row by row of outputs */
    const int64_t row = pixel_offset(walk, source, &cursor) + moved, x = coordinate(walk, &cursor, 2) + x_shift;
    const int64_t run = fcv_min(count - q, cursor.end[3] - cursor.at[3]);
    const int in_row = inside(source, 0, coordinate(walk, &cursor, 0) + tap[0] * axis[0].shift_step) &&
                       inside(source, 1, coordinate(walk, &cursor, 1) + tap[1] * axis[1].shift_step);
    for (int64_t i = 0; i < run; i++) {
      const int in = in_row && inside(source, 2, x + i * axis[2].in_step);
      a[q + i] = in ? source->data + row + i * axis[2].in_step * source->step[2] : source->zero;
    }
    q += run;
    cursor.at[3] += run - 1;
    if (q < count)
      advance(&cursor);
  }
}

struct fcv_source fcv_source_in_place(const struct fcv_walk *walk, const void *x, const void *zero, int64_t size) {
  const struct fcv_axis *axis = walk->axis;
  const int64_t pixel = walk->groups * walk->kc * size, row = axis[2].in * pixel, slice = axis[1].in * row;
  return (struct fcv_source){
      .data = x,
      .zero = zero,
      .hi = {axis[0].in, axis[1].in, axis[2].in},
      .image = axis[0].in * slice,
      .step = {slice, row, pixel},
  };
}

void fcv_indirect_outputs(const struct fcv_walk *walk, const struct fcv_box *box, int64_t first, int64_t count,
                          fcv_layout layout, int64_t channels, int64_t *offset) {
  const struct fcv_axis *axis = walk->axis;
  const int64_t plane = axis[0].out * axis[1].out * axis[2].out;
  const int64_t pixel_step = layout == FCV_CHANNELS_LAST ? channels : 1;
  struct cursor cursor;
  start(&cursor, walk, box, first);
  for (int64_t q = 0, run; q < count; q += run) { /* row by row of outputs */
    int64_t pixel = 0;
    for (int i = 0; i < FCV_AXES; i++)
      pixel = pixel * axis[i].out + axis[i].out_start + cursor.at[i + 1] * axis[i].out_step;
    const int64_t start_of_run = cursor.at[0] * plane * channels + pixel * pixel_step;
    run = fcv_min(count - q, cursor.end[3] - cursor.at[3]);
    for (int64_t i = 0; i < run; i++) offset[q + i] = start_of_run + i * axis[2].out_step * pixel_step;
    cursor.at[3] += run - 1;
    advance(&cursor);
  }
}
