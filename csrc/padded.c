/* Rows of one channel, copied with their padding, for kernels whose vectors run along the pixels of a row. */
#include "internal.h"

int64_t fcv_axes_bytes(const struct fcv_geometry *g, int transposed) {
  int64_t walks = FCV_AXES;
  for (int i = 0; i < FCV_AXES && transposed; i++) walks += g->stride[i] < g->in[i] ? g->stride[i] : g->in[i];
  return walks * (int64_t)sizeof(struct fcv_axis);
}

void fcv_axes(const struct fcv_geometry *g, int transposed, void *memory, struct fcv_axes *axes) {
  struct fcv_axis *axis = memory;
  for (int i = 0; i < FCV_AXES; i++) {
    axes->in[i] = transposed ? g->out[i] : g->in[i];
    axes->out[i] = transposed ? g->in[i] : g->out[i];
    axes->residues[i] = transposed ? fcv_min(g->stride[i], g->in[i]) : 1;
    axes->axis[i] = axis;
    for (int64_t r = 0; r < axes->residues[i]; r++) {
      int64_t residue[FCV_AXES] = {0};
      struct fcv_walk walk;
      residue[i] = r;
      if (transposed)
        fcv_walk_grad_input(g, residue, &walk);
      else
        fcv_walk_forward(g, &walk);
      *axis++ = walk.axis[i];
    }
  }
}

struct fcv_met fcv_taps_inside(const struct fcv_axis *axis, int64_t o) {
  const int64_t at = o * axis->in_step + axis->shift;
  struct fcv_met met;
  met.lo = fcv_min(axis->taps, fcv_ceil_div(fcv_max(0, -at), axis->shift_step));
  met.hi = fcv_max(met.lo, fcv_min(axis->taps, fcv_ceil_div(fcv_max(0, axis->in - at), axis->shift_step)));
  met.first = at + met.lo * axis->shift_step;
  return met;
}

/* Elements lo .. hi - 1 of axis i are what outputs o0 .. o1 - 1 of all residues meet, padding included. */
static void span(const struct fcv_axes *axes, int i, int64_t o0, int64_t o1, int64_t *lo, int64_t *hi) {
  int found = 0;
  *lo = *hi = 0;
  for (int64_t r = 0; r < axes->residues[i]; r++) {
    const struct fcv_axis *axis = &axes->axis[i][r];
    if (axis->taps == 0)
      continue;
    const int64_t first = o0 * axis->in_step + axis->shift;
    const int64_t end = (o1 - 1) * axis->in_step + axis->shift + (axis->taps - 1) * axis->shift_step + 1;
    *lo = found ? fcv_min(*lo, first) : first;
    *hi = found ? fcv_max(*hi, end) : end;
    found = 1;
  }
}

static int64_t reach(const struct fcv_axes *axes, int i, int64_t count) {
  int64_t lo, hi;
  span(axes, i, 0, count, &lo, &hi);
  return hi - lo;
}

void fcv_padded_plan(const struct fcv_kernels *k, const struct fcv_axes *axes, int64_t budget, int64_t columns,
                     int64_t rows, int64_t pixel, struct fcv_padded *padded) {
  const int64_t height = axes->axis[1]->count, width = axes->axis[2]->count, step = pixel ? 1 : axes->axis[2]->in_step;
  const int64_t size = k->size * fcv_max(1, pixel);
  int64_t slices = 1;
  for (int64_t r = 0; r < axes->residues[0]; r++) slices = fcv_max(slices, axes->axis[0][r].taps);
  padded->blocks = fcv_ceil_div(width, columns);
  padded->columns = fcv_ceil_div(width, padded->blocks);
  padded->row = fcv_ceil_div(reach(axes, 2, padded->columns), step);
  const int64_t line = fcv_max(1, slices * step * padded->row * size);
  padded->rows = height;
  while (padded->rows > 1 && reach(axes, 1, padded->rows) * line > budget) padded->rows = (padded->rows + 1) / 2;
  if (padded->rows < height)
    padded->rows = fcv_min(height, fcv_round_up(padded->rows, rows));
  padded->bands = fcv_ceil_div(height, padded->rows);
  padded->step = step;
  padded->phase = reach(axes, 1, padded->rows) * padded->row;
  padded->slice = step * padded->phase;
  padded->plane = slices * padded->slice + k->vl; /* rows write and read a few elements behind */
  padded->planes = pixel ? 1 : fcv_max(1, budget / (padded->plane * size));
  padded->bytes = padded->planes * padded->plane * size;
}

void fcv_padded_box(const struct fcv_padded *padded, const struct fcv_axes *axes, int64_t z, int64_t band,
                    int64_t block, struct fcv_padded_box *box) {
  const int64_t size[FCV_AXES] = {1, padded->rows, padded->columns}, at[FCV_AXES] = {z, band, block};
  box->axis_z = &axes->axis[0][z % axes->residues[0]];
  box->slices = fcv_taps_inside(box->axis_z, z / axes->residues[0]);
  for (int i = 1; i < FCV_AXES; i++) {
    box->o0[i] = at[i] * size[i];
    box->o1[i] = fcv_min(box->o0[i] + size[i], axes->axis[i]->count);
    span(axes, i, box->o0[i], box->o1[i], &box->lo[i], &box->hi[i]);
  }
}

int64_t fcv_padded_offset(const struct fcv_padded *padded, const struct fcv_padded_box *box, int64_t slice,
                          const struct fcv_axis *y, const struct fcv_axis *x, int64_t tap) {
  const int64_t row = box->o0[1] * y->in_step + y->shift - box->lo[1];
  const int64_t column = box->o0[2] * x->in_step + x->shift + tap * x->shift_step - box->lo[2];
  return slice * padded->slice + column % padded->step * padded->phase + row * padded->row + column / padded->step;
}

/* Whether some tap meets the columns of this phase. */
static int is_met(const struct fcv_axes *axes, int64_t phase) {
  if (axes->axis[2]->in_step == 1)
    return 1;
  for (int64_t t = 0; t < axes->axis[2]->taps; t++)
    if ((t * axes->axis[2]->shift_step - phase) % axes->axis[2]->in_step == 0)
      return 1;
  return 0;
}

void fcv_padded_fill(const struct fcv_kernels *k, const struct fcv_padded *padded, const struct fcv_axes *axes,
                     const char *x, int64_t plane, int64_t planes, const struct fcv_padded_box *box, char *stage) {
  const int64_t size = k->size, step = padded->step, in = axes->in[2];
  const int64_t rows = box->hi[1] - box->lo[1], in_plane = fcv_product(axes->in);
  const int64_t above = fcv_min(rows, fcv_max(0, -box->lo[1]));
  const int64_t below =
      fcv_max(above, fcv_min(rows, axes->in[1] - box->lo[1])); /* rows above .. below - 1 are inside */
  for (int64_t z = 0; z < box->slices.hi - box->slices.lo; z++)
    for (int64_t phase = 0; phase < step; phase++) {
      if (!is_met(axes, phase))
        continue;
      const int64_t first = box->lo[2] + phase; /* columns first + j * step, j < row */
      const int64_t before = fcv_min(padded->row, fcv_ceil_div(fcv_max(0, -first), step));
      const int64_t end = fcv_max(before, fcv_min(padded->row, fcv_ceil_div(fcv_max(0, in - first), step)));
      const int64_t iz = box->slices.first + z * box->axis_z->shift_step;
      const int64_t from = ((plane * axes->in[0] + iz) * axes->in[1] + box->lo[1] + above) * in + first + before * step;
      struct fcv_pad_rows pad = {
          .above = above,
          .rows = below - above,
          .below = rows - below,
          .before = before,
          .count = end - before,
          .after = padded->row - end,
          .step = step,
          .x = x + from * size,
          .y = stage + (z * padded->slice + phase * padded->phase) * size,
          .x_pitch = in,
          .y_pitch = padded->row,
      };
      for (int64_t p = 0; p < planes; p++) {
        k->pad_rows(&pad);
        pad.x = (const char *)pad.x + in_plane * size;
        pad.y = (char *)pad.y + padded->plane * size;
      }
    }
}

void fcv_padded_fill_pixels(const struct fcv_kernels *k, const struct fcv_padded *padded, const struct fcv_axes *axes,
                            const char *x, int64_t image, int64_t x_pitch, int64_t channels, int64_t pixel,
                            const struct fcv_padded_box *box, char *stage) {
  const int64_t size = k->size, *in = axes->in;
  const int64_t left = fcv_min(padded->row, fcv_max(0, -box->lo[2]));
  const int64_t right = fcv_max(left, fcv_min(padded->row, in[2] - box->lo[2]));
  const int64_t rows = box->hi[1] - box->lo[1];
  const int64_t above = fcv_min(rows, fcv_max(0, -box->lo[1]));
  const int64_t below = fcv_max(above, fcv_min(rows, in[1] - box->lo[1]));
  const int dense = channels == pixel && channels == x_pitch;
  for (int64_t z = 0; z < box->slices.hi - box->slices.lo; z++) {
    const int64_t iz = box->slices.first + z * box->axis_z->shift_step;
    const int64_t slice = (image * in[0] + iz) * in[1] + box->lo[1];
    char *to = stage + z * padded->slice * pixel * size;
    if (dense) { /* a row is one piece */
      k->pad_rows(&(struct fcv_pad_rows){
          .above = above,
          .rows = below - above,
          .below = rows - below,
          .before = left * pixel,
          .count = (right - left) * pixel,
          .after = (padded->row - right) * pixel,
          .step = 1,
          .x = x + ((slice + above) * in[2] + box->lo[2] + left) * pixel * size,
          .y = to,
          .x_pitch = in[2] * pixel,
          .y_pitch = padded->row * pixel,
      });
      continue;
    }
    for (int64_t y = 0; y < rows; y++) {
      const int inside = y >= above && y < below;
      k->pad_rows(&(struct fcv_pad_rows){
          .above = inside ? left : padded->row,
          .rows = inside ? right - left : 0,
          .below = inside ? padded->row - right : 0,
          .count = channels,
          .after = pixel - channels,
          .step = 1,
          .x = x + ((slice + y) * in[2] + box->lo[2] + left) * x_pitch * size,
          .y = to + y * padded->row * pixel * size,
          .x_pitch = x_pitch,
          .y_pitch = pixel,
      });
    }
  }
}
