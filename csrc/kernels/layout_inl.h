/* Moving data between layouts, and sums over rows; contracts in layouts.h. */

#if VECTOR_BYTES * 8 == DTYPE_BITS * 2
#define LOW 0, 2
#define HIGH 1, 3
#elif VECTOR_BYTES * 8 == DTYPE_BITS * 4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#elif VECTOR_BYTES * 8 == DTYPE_BITS * 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#endif
#define low_lanes NAME(low_lanes) /* a and b by turns: of 2 * VL elements the first, */
INLINE vec low_lanes(vec a, vec b) { return __builtin_shufflevector(a, b, LOW); }
#define high_lanes NAME(high_lanes) /* and the others */
INLINE vec high_lanes(vec a, vec b) { return __builtin_shufflevector(a, b, HIGH); }
#undef LOW
#undef HIGH
/* A full block of VL rows x VL columns: log2(VL) rounds in which row i is interleaved with row i + VL / 2. */
#define transpose_rows NAME(transpose_rows)
INLINE void transpose_rows(vec r[VL]) {
  vec s[VL];
  UNROLL(4)
  for (int round = 1; round < VL; round *= 2) {
    UNROLL(8)
    for (int i = 0; i < VL / 2; i++) {
      s[2 * i] = low_lanes(r[i], r[i + VL / 2]);
      s[2 * i + 1] = high_lanes(r[i], r[i + VL / 2]);
    }
    UNROLL(16)
    for (int i = 0; i < VL; i++) r[i] = s[i];
  }
}

/* Half of the rounds by loads of pieces: 256 floats took 27-30 ns, and 21 so, 64 doubles 11 and 7 (AVX-512, Zen 4). */
#define transpose_block NAME(transpose_block)
#if HAS_PIECES
INLINE void transpose_block(const real *src, int64_t src_pitch, real *dst, int64_t dst_pitch) {
  UNROLL(4)
  for (int c = 0; c < VL; c += PIECE, dst += PIECE * dst_pitch) {
    vec v[4];
    UNROLL(4)
    for (int r = 0; r < PIECE; r++) v[r] = load_pieces(src + r * src_pitch + c, PIECE * src_pitch);
#if DTYPE_BITS == 32
    const vec a = low_of_pieces(v[0], v[1]), b = low_of_pieces(v[2], v[3]);
    const vec d = high_of_pieces(v[0], v[1]), e = high_of_pieces(v[2], v[3]);
    store(dst + 2 * dst_pitch, low_pairs(d, e));
    store(dst + 3 * dst_pitch, high_pairs(d, e));
#else
    const vec a = v[0], b = v[1];
#endif
    store(dst, low_pairs(a, b));
    store(dst + dst_pitch, high_pairs(a, b));
  }
}
#else
INLINE void transpose_block(const real *src, int64_t src_pitch, real *dst, int64_t dst_pitch) {
  vec r[VL];
  UNROLL(16)
  for (int i = 0; i < VL; i++) r[i] = load(src + i * src_pitch);
  transpose_rows(r);
  UNROLL(16)
  for (int i = 0; i < VL; i++) store(dst + i * dst_pitch, r[i]);
}
#endif

/* At most VL rows and columns. */
#define transpose_part NAME(transpose_part)
static void transpose_part(int64_t rows, int64_t columns, const real *src, int64_t src_pitch, real *dst,
                           int64_t dst_pitch) {
  vec r[VL];
  UNROLL(16)
  for (int i = 0; i < VL; i++) {
    const real *row = src + (i < rows ? i : 0) * src_pitch;
    r[i] = columns < VL ? load_part(row, columns) : load(row);
  }
  transpose_rows(r);
  UNROLL(16)
  for (int i = 0; i < VL; i++)
    if (i < columns)
      store_part(dst + i * dst_pitch, r[i], rows);
}

/* In blocks. The last rows and columns are in a block that overlaps the one before, unless they are few, or, with
 * masks, in part of one where there is none before. */
static void NAME(transpose)(int64_t rows, int64_t columns, const void *from, int64_t src_pitch, void *to,
                            int64_t dst_pitch) {
  const real *src = from;
  real *dst = to;
  int64_t r = 0, height;
  for (; r < rows; r += height) {
    height = rows - r < VL ? rows - r : VL;
    if (height < VL && height > VL / 4 && r > 0) {
      r = rows - VL;
      height = VL;
    }
    int64_t c = 0;
    if (height == VL) {
      for (; c + VL <= columns; c += VL)
        transpose_block(src + r * src_pitch + c, src_pitch, dst + c * dst_pitch + r, dst_pitch);
      if (columns - c > VL / 4 && c > 0) {
        c = columns - VL;
        transpose_block(src + r * src_pitch + c, src_pitch, dst + c * dst_pitch + r, dst_pitch);
        c = columns;
      }
    } else if (height >= VL / 2) {
      for (; c + VL <= columns; c += VL)
        transpose_part(height, VL, src + r * src_pitch + c, src_pitch, dst + c * dst_pitch + r, dst_pitch);
    }
    for (int64_t some; HAS_MASKS && height > VL / 4 && columns - c > VL / 4; c += some) {
      some = columns - c < VL ? columns - c : VL;
      transpose_part(height, some, src + r * src_pitch + c, src_pitch, dst + c * dst_pitch + r, dst_pitch);
    }
    for (; c < columns; c++)
      for (int64_t i = r; i < r + height; i++) dst[c * dst_pitch + i] = src[i * src_pitch + c];
  }
}

static void NAME(cut_panels)(int64_t panels, int64_t rows, const void *from, int64_t pitch, void *to) {
  const real *x = from;
  real *y = to;
  for (int64_t r = 0; r < rows; r++, x += pitch, y += NV * VL)
    for (int64_t p = 0; p < panels; p++) {
      const real *a = x + p * NV * VL;
      real *b = y + p * rows * NV * VL;
      UNROLL(4)
      for (int v = 0; v < NV; v++) store(b + v * VL, load(a + v * VL));
    }
}

/* count > 0: a number of runs that is known, whose places stay in registers. ahead: elements from here to what the next
 * panels read of this row, to be fetched; with one tap each row is read a line at a time, and no hardware follows.
 * Where the runs are many, the same of a later row is. */
#define patches_of NAME(patches_of)
INLINE void patches_of(const struct fcv_patches *p, const int count, const int ahead) {
  enum { ROWS_AHEAD = 8 };
  const int64_t channels = p->channels, taps = p->taps, plane = p->plane, pitch = p->pitch;
  const int64_t runs = count > 0 ? count : p->runs;
  const int64_t *offset = p->offset;
  const struct fcv_patch_run *run = p->run;
  const real *x = p->x, *from[4];
  real *to = p->to;
  int64_t start[4];
  UNROLL(4)
  for (int r = 0; r < count; r++) {
    from[r] = x + run[r].from;
    start[r] = run[r].start;
  }
  for (int64_t c = 0; c < channels; c++, x += plane) {
    for (int64_t t = 0; t < taps; t++, to += pitch) {
      const int64_t at = offset[t];
      if (ahead)
        __builtin_prefetch(from[0] + at + ahead);
      if (count > 0) {
        UNROLL(4)
        for (int r = 0; r < count; r++) store(to + start[r], load(from[r] + at));
        continue;
      }
      for (int64_t r = 0; r < runs; r++)
        if (p->exact && run[r].count < VL) {
          copy_part(to + run[r].start, x + run[r].from + at, run[r].count);
        } else {
          if (taps == 1)
            __builtin_prefetch(x + run[r].from + ROWS_AHEAD * plane);
          store(to + run[r].start, load(x + run[r].from + at));
        }
    }
    UNROLL(4)
    for (int r = 0; r < count; r++) from[r] += plane;
  }
}

static void NAME(patches)(const struct fcv_patches *p) {
  switch (p->exact ? 0 : p->runs) {
  case 1:
    patches_of(p, 1, 0);
    break;
  case 2:
    if (p->taps == 1)
      patches_of(p, 2, 256 / sizeof(real));
    else
      patches_of(p, 2, 0);
    break;
  case 3:
    patches_of(p, 3, 0);
    break;
  case 4:
    if (p->taps == 1)
      patches_of(p, 4, 256 / sizeof(real));
    else
      patches_of(p, 4, 0);
    break;
  default:
    patches_of(p, 0, 0);
  }
}

#if VECTOR_BYTES * 8 == DTYPE_BITS * 2
#define EVEN 0, 2
#define ODD 1, 3
#define EVEN_ODD 0, 3
#elif VECTOR_BYTES * 8 == DTYPE_BITS * 4
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#define EVEN_ODD 0, 2, 5, 7
#elif VECTOR_BYTES * 8 == DTYPE_BITS * 8
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#define EVEN_ODD 0, 2, 4, 6, 9, 11, 13, 15
#else
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define EVEN_ODD 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31
#endif
#define even_lanes NAME(even_lanes) /* of 2 * VL neighbours */
INLINE vec even_lanes(vec a, vec b) { return __builtin_shufflevector(a, b, EVEN); }
#define odd_lanes NAME(odd_lanes)
INLINE vec odd_lanes(vec a, vec b) { return __builtin_shufflevector(a, b, ODD); }
#define zeros NAME(zeros)
INLINE void zeros(real *y, int64_t count, vec zero) {
  for (int64_t i = 0; i < count; i += VL) store(y + i, zero);
}

static void NAME(pad_rows)(const struct fcv_pad_rows *pad) {
  const int64_t before = pad->before, count = pad->count, after = pad->after, step = pad->step;
  const int64_t x_pitch = pad->x_pitch, y_pitch = pad->y_pitch, rows = pad->rows;
  const vec zero = splat((real)(rows < 0)); /* which the compiler does not see: it would call memset for a vector */
  real *y = pad->y;
  zeros(y, pad->above * y_pitch, zero);
  y += pad->above * y_pitch;
  const int64_t lines = pad->ahead ? (count * step * (int64_t)sizeof(real) + 63) / 64 : 0;
  const real *x = pad->x, *end = x + (rows - 1) * x_pitch + (count - 1) * step + 1;
  for (int64_t r = 0; r < rows; r++, x += x_pitch, y += y_pitch) {
    real *to = y + before;
    int64_t i = 0;
    for (int64_t line = 0; line < lines; line++) __builtin_prefetch((const char *)(x + pad->ahead) + 64 * line, 0, 2);
    zeros(y, before, zero);
    if (step == 1) {
      for (; i + VL <= count; i += VL) store(to + i, load(x + i));
      if (i < count && count >= VL)
        store(to + count - VL, load(x + count - VL));
      else if (i < count && end - x >= VL) /* what is behind the row is written over */
        store(to, load(x));
      else if (i < count)
        copy_part(to, x, count);
    } else if (step == 2 && count >= VL && r + 1 < rows) { /* an element behind the last one may be read */
      for (; i + VL <= count; i += VL) store(to + i, even_lanes(load(x + 2 * i), load(x + 2 * i + VL)));
      if (i < count)
        store(to + count - VL, even_lanes(load(x + 2 * (count - VL)), load(x + 2 * count - VL)));
    } else {
      for (; step == 2 && i < count && (i + VL <= count || i == 0) && end - x - 2 * i >= 2 * VL; i += VL)
        store(to + i, even_lanes(load(x + 2 * i), load(x + 2 * i + VL)));
      if (step == 2 && i < count && count >= VL) { /* no element behind the last one is read */
        i = count;
        store(to + i - VL, __builtin_shufflevector(load(x + 2 * (i - VL)), load(x + 2 * i - 1 - VL), EVEN_ODD));
      }
      for (; i < count; i++) to[i] = x[i * step];
    }
    zeros(to + count, after, zero);
  }
  zeros(y, pad->below * y_pitch, zero);
}
#undef EVEN
#undef ODD
#undef EVEN_ODD

static void NAME(merge_rows)(const struct fcv_merge_rows *merge) {
  const int64_t columns = merge->columns, parts = merge->parts, x_part = merge->x_part, ahead = 4 * merge->y_pitch;
  const real *x = merge->x;
  real *y = merge->y;
  for (int64_t r = 0; r < merge->rows; r++, x += merge->x_pitch, y += merge->y_pitch) {
    int64_t i = 0;
    if (parts == 2 && columns >= 2 * VL)
      for (const int64_t last = columns / 2 - VL; i < columns / 2; i += VL) {
        i = i < last ? i : last;
        const vec even = load(x + i), odd = load(x + x_part + i);
        __builtin_prefetch(y + ahead + 2 * i, 1);
        __builtin_prefetch(y + ahead + 2 * i + VL, 1);
        store(y + 2 * i, low_lanes(even, odd));
        store(y + 2 * i + VL, high_lanes(even, odd));
      }
    else if (parts == 2 && columns >= VL)
      for (const int64_t last = columns / 2 - VL / 2; i < columns / 2; i += VL / 2) {
        i = i < last ? i : last;
        __builtin_prefetch(y + ahead + 2 * i, 1);
        store(y + 2 * i, low_lanes(load(x + i), load(x + x_part + i)));
      }
    for (; parts == 1 && i + VL <= columns; i += VL) store(y + i, load(x + i));
    for (; i * parts < columns; i++)
      for (int64_t p = 0; p < parts && i * parts + p < columns; p++) y[i * parts + p] = x[p * x_part + i];
  }
}

/* VL elements become as many vectors as times says, of which each takes the same lanes from all of them. */
static void NAME(repeat)(int64_t count, int64_t times, const void *from, void *to) {
  const real *x = from;
  real *y = to;
  const int64_t whole = count / VL;
  for (int64_t p = 0; p < times; p++) {
    const int64_t base = p * VL / times;
    ivec index;
    UNROLL(16)
    for (int l = 0; l < VL; l++) index[l] = (lane)((p * VL + l) / times - base);
    for (int64_t g = 0; g < whole; g++) store(y + (g * times + p) * VL, pick(x + g * VL + base, index));
  }
  for (int64_t i = whole * VL; i < count; i++)
    for (int64_t p = 0; p < times; p++) y[i * times + p] = x[i];
}

/* Sums of pairs as long as there are pairs: what is written has been read. */
static void NAME(sum_neighbours)(int64_t count, int64_t parts, void *from, void *to) {
  real *x = from, *y = to;
  ivec even;
  UNROLL(16)
  for (int l = 0; l < VL; l++) even[l] = 2 * l;
  for (; parts % 2 == 0; parts /= 2) {
    const int64_t sums = count * (parts / 2);
    real *pairs = parts == 2 ? y : x;
    int64_t i = 0;
    for (; i + VL <= sums; i += VL) store(pairs + i, pick_two(x + 2 * i, even) + pick_two(x + 2 * i, even + 1));
    for (; i < sums; i++) pairs[i] = x[2 * i] + x[2 * i + 1];
  }
  for (int64_t i = 0; i < count && parts > 1; i++) {
    real sum = x[i * parts];
    for (int64_t p = 1; p < parts; p++) sum += x[i * parts + p];
    y[i] = sum;
  }
}

/* What elements i .. i + VL - 1 of a part are sums of: pieces of the first row, and which lanes are inside. */
#define fold_piece NAME(fold_piece)
struct fold_piece {
  const real *x;
  ivec inside;
};
#define find_pieces NAME(find_pieces)
static int find_pieces(const struct fcv_fold_rows *fold, int part, int64_t i, struct fold_piece *piece) {
  int pieces = 0;
  ivec number;
  UNROLL(16)
  for (int l = 0; l < VL; l++) number[l] = l;
  for (int64_t t = 0; t < fold->terms; t++) {
    const int64_t at = i + fold->shift[t];
    if (fold->part[t] == part && at > -VL && at < fold->width)
      piece[pieces++] = (struct fold_piece){(const real *)fold->x + fold->offset[t] + at,
                                            (number >= (lane)-at) & (number < (lane)(fold->width - at))};
  }
  return pieces;
}

#define PIECES(n)                                                                                                      \
  case n:                                                                                                              \
    UNROLL(8)                                                                                                          \
    for (int t = 0; t < n; t++) sum += (vec)((ivec)load(piece[t].x + at) & piece[t].inside);                           \
    return sum;
#define add_pieces NAME(add_pieces)
INLINE vec add_pieces(const struct fold_piece *piece, int pieces, int64_t at) {
  vec sum = {0};
  switch (pieces) {
    PIECES(1)
    PIECES(2)
    PIECES(3)
    PIECES(4)
    PIECES(5)
    PIECES(7)
  default:
    for (int t = 0; t < pieces; t++) sum += (vec)((ivec)load(piece[t].x + at) & piece[t].inside);
    return sum;
  }
}
#undef PIECES

/* Columns from i on of all rows, a vector of each part, or where step is half of it and parts are 2 half of one. */
#define fold_columns NAME(fold_columns)
INLINE void fold_columns(const struct fcv_fold_rows *fold, int64_t i, int64_t step, const int parts, const int alone) {
  struct fold_piece first[FCV_FOLD_TERMS], second[FCV_FOLD_TERMS];
  const int firsts = find_pieces(fold, 0, i, first), seconds = parts > 1 ? find_pieces(fold, 1, i, second) : 0;
  real *y = (real *)fold->y + i * parts;
  for (int64_t r = 0, at = 0; r < fold->rows; r++, at += fold->width, y += fold->y_pitch) {
    const vec even = add_pieces(first, firsts, at);
    if (alone) {
      *y = even[0];
    } else if (parts == 1) {
      store(y, even);
    } else {
      const vec odd = add_pieces(second, seconds, at);
      store(y, low_lanes(even, odd));
      if (step == VL)
        store(y + VL, high_lanes(even, odd));
    }
  }
}

static void NAME(fold_rows)(const struct fcv_fold_rows *fold) {
  const int64_t count = fold->columns / fold->parts, step = count >= VL ? VL : VL / 2, last = count - step;
  for (int64_t i = 0; i < count; i += step) {
    i = i < last ? i : last;
    if (fold->parts == 1)
      fold_columns(fold, i, step, 1, 0);
    else
      fold_columns(fold, i, step, 2, 0);
  }
  if (fold->parts * count < fold->columns)
    fold_columns(fold, count, step, 2, 1);
}

static void NAME(add_rows)(const struct fcv_add_rows *add) {
  const int64_t columns = add->columns, whole = columns / VL * VL;
  const real *x = add->x;
  real *y = add->y;
  ivec number;
  UNROLL(16)
  for (int i = 0; i < VL; i++) number[i] = i;
  const ivec part = number < (lane)(columns - whole);
  for (int64_t r = 0; r < add->rows; r++, x += add->x_pitch, y += add->y_pitch) {
    for (int64_t i = 0; i < whole; i += VL) store(y + i, load(y + i) + load(x + i));
    if (whole < columns)
      store(y + whole, load(y + whole) + (vec)((ivec)load(x + whole) & part));
  }
}

static void NAME(copy_past_caches)(int64_t count, const void *from, void *to, const void *ahead) {
  const real *x = from, *next = ahead;
  real *y = to;
  int64_t i = 0;
  for (; i < count && (uintptr_t)(y + i) % VECTOR_BYTES != 0; i++) y[i] = x[i];
  for (; i + VL <= count; i += VL) {
    __builtin_prefetch(next + i);
    stream(y + i, load(x + i));
  }
  for (; i < count; i++) y[i] = x[i];
}

/* What a vector writes behind its run is written over by the next one, but for the last runs. */
static void NAME(copy_runs)(int64_t count, int64_t parts, int64_t width, const void *const *from, void *to) {
  const real *const *x = (const real *const *)from;
  real *y = to;
  const real *end = y + count * parts * width;
  for (int64_t i = 0; i < count; i++)
    for (int64_t p = 0; p < parts; p++, y += width) {
      const real *run = x[p * count + i];
      if (width <= VL && end - y >= VL)
        store(y, load(run));
      else if (end - y >= width + VL)
        for (int64_t j = 0; j < width; j += VL) store(y + j, load(run + j));
      else
        for (int64_t j = 0; j < width; j++) y[j] = run[j];
    }
}

/* Some pixels of a block at a time: each block is in pages of its own. */
static void NAME(split)(const struct fcv_split *split) {
  enum { LANES = (MI + VL - 1) / VL * VL, TOGETHER = 8 };
  const int64_t pixels = split->pixels, channels = split->channels, blocks = split->blocks, x_step = split->x_step;
  for (int64_t q = 0; q < pixels; q += TOGETHER)
    for (int64_t b = 0; b < blocks; b++) {
      const int64_t first = channels * b / blocks, end = pixels - q < TOGETHER ? pixels : q + TOGETHER;
      const int64_t whole = end == pixels && first + LANES > channels ? end - 1 : end;
      const real *x = (const real *)split->x + q * x_step + first;
      real *y = (real *)split->y + b * split->y_block + q * LANES;
      for (int64_t p = q; p < whole; p++, x += x_step, y += LANES) {
        UNROLL(4)
        for (int l = 0; l < LANES; l += VL) store(y + l, load(x + l));
      }
      for (int64_t j = 0; whole < end && j < channels - first; j++) y[j] = x[j];
    }
}

static void NAME(sum_rows)(int64_t rows, int64_t columns, const void *from, int64_t pitch, void *to) {
  const real *x = from;
  real *sum = to;
  int64_t j = 0;
  for (; j + VL <= columns; j += VL) {
    vec total = load(sum + j);
    for (int64_t r = 0; r < rows; r++) total += load(x + r * pitch + j);
    store(sum + j, total);
  }
  for (; j < columns; j++)
    for (int64_t r = 0; r < rows; r++) sum[j] += x[r * pitch + j];
}

static double NAME(sum)(int64_t count, const void *from) {
  const real *x = from;
  vec total[4] = {{0}};
  int64_t i = 0;
  for (; i + 4 * VL <= count; i += 4 * VL) UNROLL(4)
  for (int v = 0; v < 4; v++) total[v] += load(x + i + v * VL);
  double rest = 0;
  for (; i < count; i++) rest += x[i];
  return (double)vsum((total[0] + total[1]) + (total[2] + total[3])) + rest;
}
