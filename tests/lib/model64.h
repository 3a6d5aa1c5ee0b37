/* The layers of NUMERICS.md in float64, written plainly and without any of the engines' code: what gradients
 * are compared with. */
#ifndef TESTS_LIB_MODEL64_H
#define TESTS_LIB_MODEL64_H

#include "tasks/model/model.h"

/* The mean loss of the batch; p is (m->parameters). Dropout as in training when training. */
double model64_loss(const struct model *m, const double *p, const struct batch *b, bool training,
	uint64_t seed, uint64_t step);

#endif
