/* Scratch memory, kept from call to call: a page costs more to touch for the first time than to use. */
#include "internal.h"

#include <pthread.h>
#include <sys/mman.h>

enum { KEPT = 8, HUGE_PAGE = 2 << 20 };
static const size_t KEPT_BYTES = (size_t)256 << 20;

/* A block is its header, then the memory that is handed out. */
struct block {
  size_t bytes; /* of the memory */
  char padding[64 - sizeof(size_t)];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct block *kept[KEPT]; /* oldest first */
static int count;
static size_t kept_bytes;

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork); }

static struct block *take_kept(int i) {
  struct block *block = kept[i];
  memmove(kept + i, kept + i + 1, (size_t)(--count - i) * sizeof *kept);
  kept_bytes -= block->bytes;
  return block;
}

void *fcv_scratch_take(size_t bytes) {
  struct block *block = NULL;
  pthread_once(&once, watch_forks);
  pthread_mutex_lock(&lock);
  int best = -1;
  for (int i = 0; i < count; i++)
    if (kept[i]->bytes >= bytes && (best < 0 || kept[i]->bytes < kept[best]->bytes))
      best = i;
  if (best >= 0)
    block = take_kept(best);
  pthread_mutex_unlock(&lock);
  if (block)
    return block + 1;

  if (bytes > SIZE_MAX / 2)
    return NULL;
  const size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : 64;
  const size_t total = (bytes + sizeof *block + align - 1) / align * align;
  block = aligned_alloc(align, total);
  if (!block)
    return NULL;
#ifdef MADV_HUGEPAGE
  if (align == HUGE_PAGE)
    madvise(block, total, MADV_HUGEPAGE); /* a hint: its failure changes nothing */
#endif
  block->bytes = total - sizeof *block;
  return block + 1;
}

void fcv_scratch_give(void *memory) {
  if (!memory)
    return;
  struct block *block = (struct block *)memory - 1, *old[KEPT];
  int olds = 0;
  pthread_mutex_lock(&lock);
  while (count && (count == KEPT || kept_bytes + block->bytes > KEPT_BYTES)) old[olds++] = take_kept(0);
  const int keep = block->bytes <= KEPT_BYTES;
  if (keep) {
    kept[count++] = block;
    kept_bytes += block->bytes;
  }
  pthread_mutex_unlock(&lock);
  while (olds) free(old[--olds]);
  if (!keep)
    free(block);
}

size_t fcv_scratch_bytes(void) {
  pthread_mutex_lock(&lock);
  const size_t bytes = kept_bytes;
  pthread_mutex_unlock(&lock);
  return bytes;
}

void fcv_scratch_trim(void) {
  struct block *old[KEPT];
  int olds = 0;
  pthread_mutex_lock(&lock);
  while (count) old[olds++] = take_kept(0);
  pthread_mutex_unlock(&lock);
  while (olds) free(old[--olds]);
}

fcv_status fcv_workspace(const struct fcv_conv *conv, int64_t bytes, char **memory) {
  *memory = NULL;
  if (conv->workspace) {
    *conv->workspace = fcv_max(*conv->workspace, bytes);
    return FCV_OK;
  }
  *memory = fcv_scratch_take((size_t)bytes);
  return *memory ? FCV_OK : FCV_NO_MEMORY;
}
