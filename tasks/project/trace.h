/* How often a unit commits to its state, where the owner does not say. */
#ifndef TASKS_PROJECT_TRACE_H
#define TASKS_PROJECT_TRACE_H

#include "tasks/model/model.h"

/* About what share of a unit's time a trace with a leaf every `every` steps costs: parameters and two
 * moments hashed at 3 GB/s beside steps of 100 GFLOP/s. A guess, alike on all machines. */
double trace_share(const struct model *m, const struct train_spec *t, uint32_t every);

/* The smallest distance at which that share is at most 1 %, or the whole unit. */
uint32_t trace_distance(const struct model *m, const struct train_spec *t);

#endif
