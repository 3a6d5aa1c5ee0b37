/* Between compute.c and pool.c: one job run by every thread of a pool that is free. */
#ifndef TASKS_MATH_POOL_H
#define TASKS_MATH_POOL_H

#include <stdint.h>

#include "tasks/math/compute.h"

/* Threads that share a job, the caller included. */
uint32_t pool_threads(const struct pool *p);

/* Calls job(context) here and in every other thread of the pool that wakes before this call of it
 * returns, and comes back when all of them are through. One caller at a time; a job must not call it. */
void pool_run(struct pool *p, void (*job)(void *context), void *context);

/* Jobs that pools of this process have run so far: tests of what threads must not change ask whether
 * threads shared anything. */
uint64_t pool_jobs(void);

#endif
