/* What a unit's slot carries from one round to the next, besides the parameters: the inner optimizer's
 * moments (train.inner_state: average) and the error feedback of compression (sparseloco).
 *
 * A state is float32 LE bytes: AdamW's m, then its v, or SGD's velocity; then the feedback. What the
 * recipe does not use is absent. It enters a unit by digest (unit.state; zero: all +0) and leaves it
 * behind the packed update in the payload (payload.h). From that comes the slot's next state: its
 * moments are the means of the merge, alike for every slot; its feedback is the payload's, or stays what
 * it was where the unit's outcome was non-finite. */
#ifndef TASKS_UNIT_STATE_H
#define TASKS_UNIT_STATE_H

#include <stddef.h>

#include "tasks/base/bytes.h"
#include "tasks/project/recipe.h"

/* Sizes in floats, for n parameters. */
struct state_layout {
	size_t moments;	 /* 0, n or 2n */
	size_t feedback; /* 0 or n */
};
struct state_layout state_layout(const struct train_spec *t, size_t parameters);

/* Bytes of a state that is not all +0; 0: this recipe carries nothing. */
size_t state_bytes(const struct state_layout *l);

/* Arrays of n floats that the inner optimizer keeps from step to step: 0, 1 or 2. */
uint32_t moment_arrays(const struct train_spec *t);

/* Overwrites a part of a slot's state, which is empty (all +0 until now) or has state_bytes bytes:
 * with moments (l->moments floats), or with the feedback of a payload (4·l->feedback bytes).
 * Errors: TK_ENOMEM. */
int state_set_moments(
	struct bytes *state, const struct state_layout *l, const float *moments) TK_CHECKED;
int state_set_feedback(
	struct bytes *state, const struct state_layout *l, struct span feedback) TK_CHECKED;

#endif
