/* Memory that is kept from call to call: a page costs more to touch for the first time than to use. Scratch memory of
 * operations, and the arrays of results, which live as long as their users want. */
#include "internal.h"

#include <pthread.h>
#include <sys/mman.h>

enum { KEPT = 64, HUGE_PAGE = 2 << 20 };

/* A block is its header, then the memory that is handed out. */
struct block {
  size_t bytes; /* of the memory */
  char padding[64 - sizeof(size_t)];
};

/* Blocks that nobody uses. An array may hold its block for long: a block has to fit it within a quarter. */
struct pool {
  size_t most_bytes; /* kept */
  size_t slack;      /* a block is handed out for no less than its bytes - bytes / slack; 0: for any smaller request */
  size_t bytes;
  int64_t made; /* blocks that came from the system */
  int count;
  struct block *kept[KEPT]; /* oldest first */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct pool scratch = {.most_bytes = (size_t)256 << 20};
static struct pool arrays = {.most_bytes = (size_t)512 << 20, .slack = 4};

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork); }

static struct block *take_kept(struct pool *pool, int i) {
  struct block *block = pool->kept[i];
  memmove(pool->kept + i, pool->kept + i + 1, (size_t)(--pool->count - i) * sizeof *pool->kept);
  pool->bytes -= block->bytes;
  return block;
}

/* The smallest that fits, of equals the one used last, which is likely to be in a cache. */
static struct block *take_fitting(struct pool *pool, size_t bytes) {
  int best = -1;
  for (int i = 0; i < pool->count; i++) {
    const size_t size = pool->kept[i]->bytes;
    const int fits = size >= bytes && (!pool->slack || size - size / pool->slack <= bytes);
    if (fits && (best < 0 || size <= pool->kept[best]->bytes))
      best = i;
  }
  return best < 0 ? NULL : take_kept(pool, best);
}

static struct block *new_block(size_t bytes) {
  if (bytes > SIZE_MAX / 2)
    return NULL;
  const size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : 64;
  const size_t total = (bytes + sizeof(struct block) + 63) / 64 * 64;
  void *memory;
  if (posix_memalign(&memory, align, total) != 0)
    return NULL;
  struct block *block = memory;
#ifdef MADV_HUGEPAGE
  if (align == HUGE_PAGE)
    madvise(block, total, MADV_HUGEPAGE); /* a hint: its failure changes nothing */
#endif
  block->bytes = total - sizeof *block;
  return block;
}

static void *take(struct pool *pool, size_t bytes) {
  pthread_once(&once, watch_forks);
  pthread_mutex_lock(&lock);
  struct block *block = take_fitting(pool, bytes);
  pool->made += !block;
  pthread_mutex_unlock(&lock);
  if (!block)
    block = new_block(bytes);
  return block ? block + 1 : NULL;
}

static void give(struct pool *pool, void *memory) {
  if (!memory)
    return;
  struct block *block = (struct block *)memory - 1, *old[KEPT];
  int olds = 0;
  pthread_mutex_lock(&lock);
  const int keep = block->bytes <= pool->most_bytes;
  while (keep && pool->count && (pool->count == KEPT || pool->bytes + block->bytes > pool->most_bytes))
    old[olds++] = take_kept(pool, 0);
  if (keep) {
    pool->kept[pool->count++] = block;
    pool->bytes += block->bytes;
  }
  pthread_mutex_unlock(&lock);
  while (olds) free(old[--olds]);
  if (!keep)
    free(block);
}

static size_t kept_bytes(const struct pool *pool) {
  pthread_mutex_lock(&lock);
  const size_t bytes = pool->bytes;
  pthread_mutex_unlock(&lock);
  return bytes;
}

static void trim(struct pool *pool) {
  struct block *old[KEPT];
  int olds = 0;
  pthread_mutex_lock(&lock);
  while (pool->count) old[olds++] = take_kept(pool, 0);
  pthread_mutex_unlock(&lock);
  while (olds) free(old[--olds]);
}

void *fcv_scratch_take(size_t bytes) { return take(&scratch, bytes); }
void fcv_scratch_give(void *memory) { give(&scratch, memory); }
size_t fcv_scratch_bytes(void) { return kept_bytes(&scratch); }
void fcv_scratch_trim(void) { trim(&scratch); }

void *fcv_array_take(size_t bytes) { return take(&arrays, bytes); }
void fcv_array_give(void *memory) { give(&arrays, memory); }
size_t fcv_array_bytes(void) { return kept_bytes(&arrays); }
void fcv_array_trim(void) { trim(&arrays); }

int64_t fcv_array_blocks(void) {
  pthread_mutex_lock(&lock);
  const int64_t made = arrays.made;
  pthread_mutex_unlock(&lock);
  return made;
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
