/* See trace.h. */
#include "tasks/project/trace.h"

#include <math.h>

#define HASHED_BYTES_PER_S 3e9
#define STEP_FLOPS_PER_S   100e9
#define TRACE_SHARE	   0.01
#define HASHED_BYTES	   12.0 /* of a parameter: itself and two moments */

double trace_share(const struct model *m, const struct train_spec *t, uint32_t every)
{
	double leaf = HASHED_BYTES * (double)m->parameters / HASHED_BYTES_PER_S;
	double step = model_step_flops(m, t->batch_size) / STEP_FLOPS_PER_S;

	return leaf / (step * every);
}

uint32_t trace_distance(const struct model *m, const struct train_spec *t)
{
	double every = ceil(trace_share(m, t, 1) / TRACE_SHARE);

	return every < t->inner_steps ? (uint32_t)every : t->inner_steps;
}
