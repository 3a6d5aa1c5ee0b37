/* The self-test: every operation of the canonical arithmetic on inputs that follow from a seed, one digest each,
 * and last a short training unit. Whoever gets another digest than everybody else has an engine, a build
 * or hardware whose results would be taken for lies, and the first digest that differs names the operation.
 * A fresh seed says that the answer was not learnt by heart. Takes a fraction of a second on one core. */
#ifndef TASKS_UNIT_SELFTEST_H
#define TASKS_UNIT_SELFTEST_H

#include "tasks/math/compute.h"

#define SELFTEST_OPERATIONS 45u

/* "gemm", …; the last is "unit". index < SELFTEST_OPERATIONS. Static text. */
const char *selftest_name(uint32_t index);

/* digests has room for SELFTEST_OPERATIONS. Errors: TK_ENOMEM, and TK_ECANCELED of c->stop. */
int selftest_run(const struct compute *c, uint64_t seed, struct digest *digests,
	struct errmsg *msg) TK_CHECKED;

/* The first operation whose digests differ; SELFTEST_OPERATIONS: none. */
uint32_t selftest_compare(const struct digest *a, const struct digest *b);

#endif
