/* The payload of a unit's result: the packed update, then the state that the unit ended with. */
#ifndef TASKS_UNIT_PAYLOAD_H
#define TASKS_UNIT_PAYLOAD_H

#include "tasks/model/model.h"
#include "tasks/unit/compress.h"
#include "tasks/unit/state.h"
#include "tasks/unit/unit.h"

struct payload_layout {
	struct compress_layout update;
	struct compress_plane *planes; /* owned; those of update */
	size_t update_bytes;
	struct state_layout state;
	size_t bytes; /* of the whole payload */
};

/* Of a model's tensors. Gives *l (payload_layout_close) only on success. Errors: TK_ELIMIT (more than
 * PAYLOAD_BYTES_MAX), TK_ENOMEM. */
int payload_layout_init(struct payload_layout *l, const struct train_spec *t, const struct model *m,
	struct errmsg *msg) TK_CHECKED;
void payload_layout_close(struct payload_layout *l);

/* The parts of a payload of l->bytes bytes: moments and feedback as float32 LE. */
struct span payload_update(const struct payload_layout *l, struct span payload);
struct span payload_moments(const struct payload_layout *l, struct span payload);
struct span payload_feedback(const struct payload_layout *l, struct span payload);

/* Exact bytes of a payload of this recipe. Errors: those of model_init and payload_layout_init. */
int payload_size(const struct recipe *recipe, size_t *bytes, struct errmsg *msg) TK_CHECKED;

/* Checks a claim and payload as far as is possible without computing: sizes, outcome, payload digest,
 * what a packer writes, a finite state. What a coordinator does before it stores anything. Errors:
 * TK_ECORRUPT, TK_ELIMIT, TK_ENOMEM. */
int result_check(const struct recipe *recipe, const struct claim *claim, struct span payload,
	struct errmsg *msg) TK_CHECKED;

#endif
