/* Where weight gradients are summed, and their way to gw. */
#include "internal.h"

void fcv_sums_plan(const struct fcv_kernels *kernels, const struct fcv_walk *walk, const struct fcv_weight_view *view,
                   int64_t taps, int64_t span, struct fcv_sums *sums) {
  *sums = (struct fcv_sums){.kernels = kernels, .walk = walk, .view = view, .span = span, .taps = taps};
  fcv_panels(kernels, walk->nc, &sums->panels);
  sums->channels = walk->groups * fcv_panels_channels(&sums->panels);
  sums->m = span * walk->kc;
  sums->rows = fcv_ceil_div(sums->m, kernels->mi);
  sums->tiles = taps * walk->groups * sums->panels.per_group * sums->rows;
  sums->tap_bytes = sums->channels * sums->rows * kernels->mi * kernels->size;
}

char *fcv_sums_tile(const struct fcv_sums *s, int64_t tap, int64_t panel, int64_t row) {
  const int64_t group = panel / s->panels.per_group, in_group = panel % s->panels.per_group;
  const int64_t before = group * fcv_panels_channels(&s->panels) + in_group * s->panels.width;
  const int64_t width = fcv_panel_width(&s->panels, in_group);
  return s->data + tap * s->tap_bytes + (before * s->rows + row * width) * s->kernels->mi * s->kernels->size;
}

/* One tap and panel. */
static void write_panel(const void *context, int64_t unit, int thread) {
  const struct fcv_sums *s = context;
  const struct fcv_axis *axis = s->walk->axis;
  const struct fcv_weight_view *view = s->view;
  const int64_t size = s->kernels->size, mi = s->kernels->mi, kc = s->walk->kc;
  const int64_t panels = s->walk->groups * s->panels.per_group, tap = unit / panels, panel = unit % panels;
  const int64_t in_group = panel % s->panels.per_group, width = fcv_panel_width(&s->panels, in_group);
  const int64_t j0 = in_group * s->panels.width, valid = fcv_min(width, s->walk->nc - j0);
  const int64_t base = panel / s->panels.per_group * view->group + j0 * view->j;
  (void)thread;
  for (int64_t m = 0; m < s->m; m++) {
    const char *from = fcv_sums_tile(s, tap, panel, m / mi) + m % mi * width * size;
    const int64_t t = tap * s->span + m / kc; /* of the walk */
    const int64_t z = t / axis[2].taps / axis[1].taps, y = t / axis[2].taps % axis[1].taps, x = t % axis[2].taps;
    const int64_t element = z * view->kernel[0] + y * view->kernel[1] + x * view->kernel[2];
    char *to = s->gw + (base + element + m % kc * view->k) * size;
    if (view->j == 1)
      memcpy(to, from, (size_t)(valid * size));
    else
      for (int64_t j = 0; j < valid; j++) memcpy(to + j * view->j * size, from + j * size, (size_t)size);
  }
}

void fcv_sums_write(const struct fcv_sums *s, int threads) {
  const int wanted = fcv_threads_for((double)(s->taps * s->tap_bytes));
  fcv_parallel_for(s->taps * s->walk->groups * s->panels.per_group, threads < wanted ? threads : wanted, write_panel,
                   s);
}
