/* The plan of a batch's memory: which outputs, gradients and scratch lie where in one arena, and when.
 *
 * Time runs in steps: layer l computes at time l, the loss at time L, and layer l goes back at 2L − l. A
 * buffer is needed from its birth to its death; two buffers may share memory when they are never needed
 * together. Nothing here computes. */
#ifndef TASKS_MODEL_PLAN_H
#define TASKS_MODEL_PLAN_H

#include "tasks/model/model.h"

#define PLAN_NONE     UINT32_MAX	/* no such buffer */
#define PLAN_FEATURES (UINT32_MAX - 1u) /* the batch's own features: never written to */

struct plan_buffer {
	size_t floats;
	uint32_t birth, death; /* both included */
	size_t offset;	       /* in floats, within the arena */
};

/* The buffers of one layer. */
struct plan_layer {
	uint32_t input, output; /* forward */
	uint32_t dy, dx;	/* backward; a layer that is not gone back through has none */
	uint32_t kept;		/* both ways */
	uint32_t scratch, scratch_back;
};

struct plan {
	struct plan_buffer *buffers; /* owned */
	uint32_t buffer_count;
	struct plan_layer *layers; /* owned */
	uint32_t losses, correct, doutput;
	size_t floats; /* of the arena */
};

/* For batches of up to `rows` samples. Gives *p (plan_close) only on success. O(buffers²), of which a layer
 * has at most six. Errors: TK_ENOMEM. */
int plan_init(struct plan *p, const struct model *m, const struct compute *c, size_t rows,
	bool training) TK_CHECKED;
void plan_close(struct plan *p);

#endif
