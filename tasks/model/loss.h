/* Losses: one number for each label, and the gradient of their mean. */
#ifndef TASKS_MODEL_LOSS_H
#define TASKS_MODEL_LOSS_H

#include "tasks/model/model.h"

/* From the last layer's outputs (samples·labels rows) to losses and hits (a row each). doutputs (as
 * outputs; may be the same; NULL: not wanted) gets the gradient of the sum over `count`. */
void loss_compute(const struct model *m, const struct compute *c, const struct batch *batch,
	size_t count, const float *outputs, float *losses, uint8_t *correct, float *doutputs);

#endif
