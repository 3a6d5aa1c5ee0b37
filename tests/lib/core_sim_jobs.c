/* The simulated merge. See core_sim.h. */
#include "tests/lib/core_sim_state.h"

static bool unit_has_update(const struct unit_row *row)
{
	struct claim claim;

	return claim_decode(&claim, span_of(row->claim, row->claim_bytes), NULL) == TK_OK &&
	       claim.outcome == OUTCOME_UPDATE;
}

void sim_merge_answer(struct sim *s, const struct sim_item *item)
{
	uint32_t round = item->round;
	struct core_event event = {.type = CORE_MERGED,
		.project = 1,
		.round = round,
		.job = item->job,
		.code = s->merge_code,
		.text = "as the test wants",
		.loss = 1};
	struct digest theta = s->project.parameters;

	if (round != s->project.round)
		return; /* it was taken back */
	s->merges++;
	s->merge_code = 0;
	for (uint32_t i = 0; i < s->units; i++) {
		struct span fields[2] = {span_of(theta.b, DIGEST_BYTES),
			span_of(sim_unit_row(s, round, i)->result.b, DIGEST_BYTES)};

		digest_fields(&event.parameters, "sim theta", fields, 2);
		theta = event.parameters;
		event.merged += unit_has_update(sim_unit_row(s, round, i));
	}
	event.model = theta;
	event.state_list = sim_states(s, &theta);
	digest_blob(&event.states, event.state_list, s->units * sizeof(*event.state_list));
	sim_event(s, &event);
}
