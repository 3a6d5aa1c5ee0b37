/* What gradient.c works in. For it and for tests that look at the memory between passes. */
#ifndef TASKS_MODEL_WORK_H
#define TASKS_MODEL_WORK_H

#include "tasks/model/plan.h"

struct model_work {
	size_t rows_max;
	bool training;
	uint32_t slots;
	struct plan plan;
	float *arena; /* (plan.floats) */
};

#endif
