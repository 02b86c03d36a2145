/* What the C tests share: guarded arrays, test data, and failures that name their case.
 *
 * A test runs its cases for every instruction set that the CPU has and prints one line. The first failure, a fault and
 * a sanitizer's report all print the case that ran, and end the process. */
#ifndef FASTCONV_CHECK_H
#define FASTCONV_CHECK_H

#include "../../csrc/fastconv.h"

#include <stdbool.h>

/* Where an array lies in its pages: a page without access follows it, or comes before it. */
typedef enum { AT_END, AT_START, PLACEMENTS } placement;
extern placement array_placement; /* of the arrays made from now on */

void *array_new(size_t bytes);        /* every byte 0xFF: NaN, and -1 as an integer */
void array_protect(const void *data); /* read only from now on */
void arrays_free(void);               /* all arrays; fails if a byte beside one was written */

/* Elements of either type, exact in both: rounded to float. */
void *array_of(fcv_dtype dtype, int64_t count, const double *values); /* read only */
void *array_for(fcv_dtype dtype, int64_t count);                      /* to be written */
double element(fcv_dtype dtype, const void *data, int64_t i);
size_t element_size(fcv_dtype dtype);
double epsilon(fcv_dtype dtype);  /* the gap between 1 and the next number */
double smallest(fcv_dtype dtype); /* normal number: what a subnormal product may lose */

void random_seed(uint64_t seed);
int64_t random_below(int64_t limit);
double *random_values(int64_t count); /* in [-1, 1), rounded to float; for free() */
void *allocated(size_t bytes);        /* zeroed; for free() */

/* Names the case that runs from now on. */
void case_begin(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void expect_status(fcv_status status, fcv_status expected, const char *call);
#define EXPECT(status, call) expect_status(call, status, #call)
#define EXPECT_OK(call) EXPECT(FCV_OK, call)

/* Fails unless |data[i] - want[order[i]]| <= bound[order[i]]; order NULL: i itself. Equal infinities and NaNs agree. */
void expect_near(const char *what, fcv_dtype dtype, int64_t count, const void *data, const int64_t *order,
                 const double *want, const double *bound);

/* Calls run once for each instruction set of this CPU and each placement, and prints the number of cases. */
int run_tests(const char *name, void (*run)(void));

#endif
