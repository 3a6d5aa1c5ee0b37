/* See loss.h. Each row is by itself, so threads share the rows. */
#include "tasks/model/loss.h"

#include <string.h>

struct loss {
	const struct engine *engine;
	enum loss_type type;
	size_t count, width;
	const float *outputs, *targets;
	const uint32_t *labels;
	float *losses, *doutputs;
	uint8_t *correct;
};

static void loss_part(void *context, size_t first, size_t rows)
{
	const struct loss *l = context;
	const float *outputs = l->outputs + first * l->width;
	float *doutputs = l->doutputs != NULL ? l->doutputs + first * l->width : NULL;
	float *losses = l->losses + first;
	uint8_t *correct = l->correct + first;

	switch (l->type) {
	case LOSS_CROSS_ENTROPY:
		l->engine->softmax_cross_entropy(rows, l->count, l->width, outputs,
			l->labels + first, losses, correct, doutputs);
		break;
	case LOSS_BINARY_CROSS_ENTROPY:
		l->engine->binary_cross_entropy(
			rows, l->count, outputs, l->labels + first, losses, correct, doutputs);
		break;
	case LOSS_SQUARED_ERROR:
		l->engine->squared_error(
			rows, l->count, l->width, outputs, l->targets + first, losses, doutputs);
		memset(correct, 0, rows);
		break;
	}
}

void loss_compute(const struct model *m, const struct compute *c, const struct batch *batch,
	size_t count, const float *outputs, float *losses, uint8_t *correct, float *doutputs)
{
	struct loss l = {
		.engine = c->engine,
		.type = m->spec->loss,
		.count = count,
		.width = m->output.width,
		.outputs = outputs,
		.targets = batch->targets,
		.labels = batch->labels,
		.losses = losses,
		.doutputs = doutputs,
		.correct = correct,
	};

	/* Whole cache lines of hits. */
	compute_each(c, batch->rows * m->labels, 64, 32 * (double)l.width, loss_part, &l);
}
