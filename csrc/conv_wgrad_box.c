/* Weight gradient: the sums of one box of pixels. */
#include "wgrad.h"

enum { MANY_BYTES = 2 << 20 }; /* weights that do not stay in L2 beside what is multiplied */

static char *block_patches(const struct fcv_wgrad *d, int64_t block) {
  return d->patch + block * FCV_WGRAD_PIXELS * d->walk->groups * d->m * d->kernels->size;
}

/* Where the kernel finds the pixels of a block at a tap. */
static void point(const struct fcv_wgrad *d, int64_t block, int64_t tap, int64_t count, const void **a) {
  if (!d->patches)
    fcv_indirect_tap(d->walk, &d->source, &d->box, block * FCV_WGRAD_PIXELS, count, tap, d->row_taps, a);
  for (int64_t q = 0; d->patches && q < count; q++) a[q] = block_patches(d, block) + q * d->m * d->kernels->size;
}

/* One block of gy: [group][panel][FCV_WGRAD_PIXELS][width], zero past the last channel. */
static void pack_block(const void *context, int64_t block, int thread) {
  const struct fcv_wgrad *d = context;
  const int64_t size = d->kernels->size, co = d->walk->groups * d->walk->nc, nc = d->walk->nc;
  const int64_t plane = fcv_product(d->conv->geometry.out);
  const int64_t first = block * FCV_WGRAD_PIXELS, count = fcv_min(FCV_WGRAD_PIXELS, d->pixels - first);
  int64_t *offset = (int64_t *)(d->thread_memory + thread * d->thread_bytes);
  char *to = d->packed + block * FCV_WGRAD_PIXELS * d->channels * size;
  if (d->patches)
    fcv_im2col(d->kernels, d->walk, &d->source, &d->box, first, count, d->patch_rows, (const void **)offset,
               block_patches(d, block));
  fcv_indirect_outputs(d->walk, &d->box, first, count, d->conv->layout, co, offset);
  for (int64_t tap = 0; d->transposes && tap < d->taps; tap++)
    point(d, block, tap, count, d->a + (block * d->taps + tap) * FCV_WGRAD_PIXELS);
  for (int64_t group = 0; group < d->walk->groups; group++)
    for (int64_t panel = 0; panel < d->panels.per_group; panel++) {
      const int64_t width = fcv_panel_width(&d->panels, panel), j0 = panel * d->panels.width;
      const int64_t valid = fcv_min(width, nc - j0), channel = group * nc + j0;
      if (valid < width)
        memset(to, 0, (size_t)(count * width * size));
      if (d->conv->layout == FCV_CHANNELS_LAST) {
        for (int64_t q = 0; q < count; q++)
          memcpy(to + q * width * size, d->gy + (offset[q] + channel) * size, (size_t)(valid * size));
      } else {
        for (int64_t q = 0, run; q < count; q += run) {
          for (run = 1; q + run < count && offset[q + run] == offset[q] + run;) run++;
          d->kernels->transpose(valid, run, d->gy + (offset[q] + channel * plane) * size, plane, to + q * width * size,
                                width);
        }
      }
      to += FCV_WGRAD_PIXELS * width * size;
    }
}

/* What a call of the kernel fetches of the next box, in turns of FCV_TURN pixels: call number `call` of some. */
static void fetch(const struct fcv_wgrad *d, int64_t call, int64_t calls, struct fcv_wgrad_tile *tile) {
  const int64_t lines = d->lines[0] + d->lines[1], first = lines * call / calls, end = lines * (call + 1) / calls;
  const int which = first >= d->lines[0];
  if (first == end)
    return;
  const int64_t share = fcv_ceil_div(end - first, fcv_max(1, fcv_ceil_div(tile->pixels, FCV_TURN)));
  const char *from = d->next[which] + 64 * (first - (which ? d->lines[0] : 0));
  tile->ahead = (struct fcv_ahead){.from = from, .rows = 1, .lines = share, .pitch = 64 * share};
}

/* What is summed together: some tiles of each of some panels, over some taps. */
struct part {
  int64_t panel0, panel1, row0, row1, tap0, tap1;
  int64_t m0; /* of the first tile */
};

/* Parts that follow each other have neighbours in gw. */
static struct part find_part(const struct fcv_wgrad *d, int64_t number) {
  const int64_t panels = d->walk->groups * d->panels.per_group, tiles = fcv_max(1, panels * d->splits);
  const int64_t index = d->transposes ? number / d->parts : number % tiles,
                part = d->transposes ? number % d->parts : number / tiles;
  struct part p = {.panel1 = panels, .row1 = d->rows};
  if (d->splits > 0) {
    p.panel0 = index / d->splits;
    p.panel1 = p.panel0 + 1;
    p.row0 = d->rows * (index % d->splits) / d->splits;
    p.row1 = d->rows * (index % d->splits + 1) / d->splits;
  }
  p.m0 = d->m * p.row0 / d->rows;
  p.tap0 = d->taps * part / d->parts;
  p.tap1 = d->taps * (part + 1) / d->parts;
  return p;
}

/* Where a panel lies among the channels. */
struct place {
  int64_t group, channel, before; /* the first in the group, and in all panels */
  int64_t width, n;               /* channels with padding and without */
};

static struct place find_place(const struct fcv_wgrad *d, int64_t panel) {
  const int64_t group = panel / d->panels.per_group, in_group = panel % d->panels.per_group;
  const int64_t channel = in_group * d->panels.width, width = fcv_panel_width(&d->panels, in_group);
  return (struct place){
      .group = group,
      .channel = channel,
      .before = group * fcv_panels_channels(&d->panels) + channel,
      .width = width,
      .n = fcv_min(width, d->walk->nc - channel),
  };
}

/* Of a block's pixels those from the first to the last one at which the tap meets x: not the rows of outputs at the
 * edge of an image whose tap lies outside, of which dilation has many. */
static void without_padding(const struct fcv_wgrad *d, const void *const *a, int64_t *first, int64_t *last) {
  while (*first < *last && a[*first] == d->zero) ++*first;
  while (*first < *last && a[*last - 1] == d->zero) --*last;
}

/* A part's tiles of a panel, at a tap, over a block whose pixels are a. From call number `call` of all on. */
static void sum_block(const struct fcv_wgrad *d, const struct part *part, int64_t panel, int64_t tap, int64_t block,
                      const void **a, char *sums, int64_t call, int64_t calls) {
  const struct fcv_kernels *k = d->kernels;
  const struct place p = find_place(d, panel);
  const int64_t size = k->size, count = fcv_min(FCV_WGRAD_PIXELS, d->pixels - block * FCV_WGRAD_PIXELS),
                taps = part->tap1 - part->tap0;
  const int64_t blocks = d->stage.blocks;
  const int64_t co = d->walk->groups * d->walk->nc, group = p.group * (d->patches ? count * d->m : d->walk->kc);
  const int64_t gw_pitch = d->transposes ? taps * p.width : co;
  int64_t first = 0, last = count;
  if (!d->patches)
    without_padding(d, a, &first, &last);
  char *gw = d->transposes ? sums + (tap - part->tap0) * p.width * size
                           : d->gw + ((tap * d->m + part->m0) * co + p.group * d->walk->nc + p.channel) * size;
  for (int64_t row = part->row0, m = part->m0, end; row < part->row1; row++, m = end) {
    end = d->m * (row + 1) / d->rows;
    struct fcv_wgrad_tile tile = {
        .pixels = last - first,
        .a = a + first,
        .a_bytes = blocks ? (p.group * blocks + row) * d->stage.block : (group + m) * size,
        .b = d->packed + (block * d->channels + p.before) * FCV_WGRAD_PIXELS * size + first * p.width * size,
        .b_pitch = p.width,
        .gw = gw + (m - part->m0) * gw_pitch * size,
        .gw_pitch = gw_pitch,
        .m = (int)(end - m),
        .n = (int)(d->transposes ? p.width : p.n),
        .into = d->summed || block > 0 ? FCV_ADD : FCV_REPLACE,
    };
    fetch(d, call++, calls, &tile);
    k->wgrad[p.width / k->vl - 1](&tile);
  }
}

/* Sums, [m][tap][width], to gw. */
static void put(const struct fcv_wgrad *d, const struct part *part, const char *sums) {
  const struct place p = find_place(d, part->panel0);
  const int64_t size = d->kernels->size, taps = part->tap1 - part->tap0, pitch = d->m * d->taps;
  const int64_t m1 = d->m * part->row1 / d->rows;
  const int64_t whole = taps == d->taps ? m1 - part->m0 : 1; /* values that are neighbours with their taps */
  char *gw = d->gw + ((p.group * d->walk->nc + p.channel) * pitch + part->tap0) * size;
  for (int64_t m = part->m0; m < m1; m += whole, sums += whole * taps * p.width * size)
    d->kernels->transpose(whole * taps, p.n, sums, p.width, gw + m * d->taps * size, pitch);
}

static void sum_part(const struct fcv_wgrad *d, int64_t index, char *memory) {
  const struct part part = find_part(d, index);
  const int64_t taps = part.tap1 - part.tap0, rows = part.row1 - part.row0, panels = part.panel1 - part.panel0;
  const int64_t own = d->blocks * taps * panels * rows, calls = d->all * own;
  /* Many weights of one block are written once: all of a few rows, not a little of each, in another page, for each
   * panel: 1x7x7 512->512 3x3 in float64 4.5 ms became 3.1, with AVX2 15.3 and 6.1. */
  const int64_t together = d->blocks == 1 && d->weights >= MANY_BYTES && !d->transposes ? 1 : fcv_max(1, rows);
  int64_t call = index * own;
  for (int64_t block = 0; block < d->blocks; block++)
    for (int64_t tap = part.tap0; tap < part.tap1; tap++) {
      const void **a = d->transposes ? d->a + (block * d->taps + tap) * FCV_WGRAD_PIXELS : (const void **)memory;
      if (!d->transposes)
        point(d, block, tap, fcv_min(FCV_WGRAD_PIXELS, d->pixels - block * FCV_WGRAD_PIXELS), a);
      for (int64_t row = part.row0; row < part.row1; row += together) {
        struct part some = part;
        some.row0 = row;
        some.row1 = row + together;
        some.m0 = d->m * row / d->rows;
        for (int64_t panel = part.panel0; panel < part.panel1; panel++, call += together)
          sum_block(d, &some, panel, tap, block, a, memory, call, calls);
      }
    }
  if (d->transposes)
    put(d, &part, memory);
}

static void sum_unit(const void *context, int64_t unit, int thread) {
  const struct fcv_wgrad *d = context;
  for (int64_t part = d->all * unit / d->units; part < d->all * (unit + 1) / d->units; part++)
    sum_part(d, part, d->thread_memory + thread * d->thread_bytes);
}

void fcv_wgrad_sum_box(const struct fcv_wgrad *d, int threads) {
  const double elements = (double)(d->pixels * d->walk->groups * d->walk->nc);
  fcv_parallel_for(d->blocks, (int)fcv_min(threads, fcv_threads_for(elements)), pack_block, d);
  fcv_parallel_for(d->units, threads, sum_unit, d);
}
