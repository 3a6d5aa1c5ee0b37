/* The simulation's project and its made-up results.
 *
 * The project that the core gets has the owner's rounds, units, steps and leaves, and a model of eight numbers, so
 * that payloads are small. The state after step j of a unit says what went wrong before: nothing, or which fault. So a
 * state follows from the unit, j and the fault, without the steps before it; whoever gets one can go on from it; and an
 * honest step from a wrong state keeps what is wrong with it. */
#include <string.h>

#include "coordinator/simulate/state.h"
#include "tasks/unit/payload.h"
#include "tasks/unit/replay.h"
#include "tasks/unit/trace.h"

#define FEATURES 3u

int project_make(struct world *w, const struct project *p, struct errmsg *msg)
{
	struct recipe *r = &w->recipe;
	uint32_t units = p->train.units_per_round;
	uint64_t rounds = (w->options->units + units - 1) / units;

	if (w->options->peers < p->quorum)
		return errmsg_set(msg, TK_EINVAL,
			"%llu peers cannot make up a quorum of %u; take at least so many --peers",
			(unsigned long long)w->options->peers, p->quorum);
	if (rounds > ROUNDS_MAX)
		return errmsg_set(msg, TK_EINVAL,
			"%llu units are %llu rounds of %u; at most %u rounds are possible: take "
			"fewer "
			"--units",
			(unsigned long long)w->options->units, (unsigned long long)rounds, units,
			ROUNDS_MAX);
	memcpy(w->names[0], "no", 3);
	memcpy(w->names[1], "yes", 4);
	w->shard = (struct digest){{1}};
	w->layer = (struct layer){.type = LAYER_LINEAR, .name = "0", .width = 2, .bias = true};
	*r = (struct recipe){
		.numerics = NUMERICS_VERSION,
		.seed = p->seed,
		.model = {.type = MODEL_LOGISTIC,
			.loss = LOSS_CROSS_ENTROPY,
			.layer_count = 1,
			.layers = &w->layer},
		.train = {.mode = MODE_LOCAL,
			.optimizer = OPTIMIZER_SGD,
			.inner_state = INNER_FRESH,
			.learning_rate = 0.1f,
			.schedule = SCHEDULE_CONSTANT,
			.batch_size = 1,
			.accumulate = 1,
			.inner_steps = p->train.inner_steps,
			.trace_every = p->train.trace_every,
			.units_per_round = units,
			.rounds = (uint32_t)rounds,
			.compression = COMPRESSION_NONE,
			.merge = MERGE_MEAN, /* merges are made up, whatever their rule */
			.outer = OUTER_SGD,
			.outer_learning_rate = 1},
		.data = {.kind = SAMPLE_U8,
			.label = LABEL_CLASS,
			.classes = 2,
			.features = FEATURES,
			.class_names = w->names},
	};
	if (r->train.trace_every ==
		0) /* what the owner leaves open follows from the model's size */
		r->train.trace_every = (r->train.inner_steps + 7) / 8;
	memcpy(r->name, p->name, sizeof(r->name));
	r->data.train = (struct dataset_part){
		.samples = 10, .shard_samples = 10, .shards = 1, .digests = &w->shard};
	if (recipe_encode(r, &w->encoded, msg) != TK_OK)
		return TK_ENOMEM;
	digest_blob(&w->recipe_digest, w->encoded.data, w->encoded.len);
	w->project = (struct project_row){.id = 1,
		.state = PROJECT_QUEUED,
		.recipe = w->recipe_digest,
		.quorum = p->quorum,
		.policy = p->policy,
		.audit_floor = p->audit_floor,
		.settle_rounds = p->settle_rounds,
		.on_fraud = p->on_fraud,
		.rounds = r->train.rounds,
		.units_per_round = units,
		.unit_flops = 1000,
		.parameters = {{42}}};
	memcpy(w->project.name, p->name, sizeof(w->project.name));
	return payload_size(r, &w->payload_bytes, msg);
}

#define STATE_WORDS 8u /* that say something; the model has as many parameters */

static struct mishap until(const struct mishap *fault, uint32_t steps)
{
	return fault->step < steps ? *fault : (struct mishap){.step = NO_FAULT};
}

/* Floats of 24 bits each: what is wrong, where it went wrong, the beginning of the unit's digest. */
void state_make(struct world *w, const struct digest *unit, const struct mishap *fault,
	uint32_t steps, struct bytes *out)
{
	struct mishap is = until(fault, steps);
	uint32_t words[STATE_WORDS] = {0};
	uint64_t size = 0;
	int rc = replay_state_bytes(&w->recipe, steps, &size, NULL);

	if (is.step != NO_FAULT) {
		words[0] = is.step + 1;
		words[1] = (uint32_t)(is.variant & 0xffffff);
		words[2] = (uint32_t)(is.variant >> 24 & 0xffffff);
		words[3] = (uint32_t)(is.variant >> 48);
	}
	for (uint32_t i = 4; i < STATE_WORDS; i++)
		words[i] = load_le32(unit->b + 3 * i) & 0xffffff;
	for (uint64_t i = 0; i < size / 4 && rc == TK_OK; i++) {
		float x = i < STATE_WORDS ? (float)words[i] : 1;
		uint32_t bits;
		uint8_t le[4];

		memcpy(&bits, &x, sizeof(bits));
		store_le32(le, bits);
		rc = bytes_append(out, le, sizeof(le));
	}
	if (rc != TK_OK)
		w->error = rc;
}

struct mishap state_fault(struct span blob)
{
	uint64_t words[4];

	for (uint32_t i = 0; i < 4; i++) {
		uint32_t bits = load_le32(blob.data + (size_t)4 * i);
		float x;

		memcpy(&x, &bits, sizeof(x));
		words[i] = (uint64_t)x;
	}
	if (words[0] == 0)
		return (struct mishap){.step = NO_FAULT};
	return (struct mishap){(uint32_t)words[0] - 1, words[1] | words[2] << 24 | words[3] << 48};
}

void state_digest(struct world *w, const struct digest *unit, const struct mishap *fault,
	uint32_t steps, struct digest *out)
{
	struct bytes state = {0};
	struct digest blob;

	state_make(w, unit, fault, steps, &state);
	digest_blob(&blob, state.data, state.len);
	trace_blob_digest(out, steps, &blob);
	bytes_close(&state);
}

/* Finite numbers that follow from the state after the last step. */
static int payload_make(struct world *w, const struct digest *state, struct bytes *out)
{
	int rc = TK_OK;

	for (size_t i = 0; i < w->payload_bytes / 4 && rc == TK_OK; i++) {
		float x = (float)load_le16(state->b + i * 2 % DIGEST_BYTES);
		uint32_t bits;
		uint8_t le[4];

		memcpy(&bits, &x, sizeof(bits));
		store_le32(le, bits);
		rc = bytes_append(out, le, sizeof(le));
	}
	return rc;
}

uint32_t result_leaves(struct world *w, const struct digest *unit, const struct mishap *fault,
	struct digest leaves[RESULT_LEAVES_MAX], struct bytes *payload)
{
	const struct train_spec *t = &w->recipe.train;
	uint32_t count = trace_leaves(t, t->inner_steps);
	struct digest state;
	int rc;

	state_digest(w, unit, fault, t->inner_steps, &state);
	rc = payload_make(w, &state, payload);
	if (rc == TK_OK && count + 1 > RESULT_LEAVES_MAX) /* refused by simulate_run */
		rc = TK_ELIMIT;
	if (rc != TK_OK) {
		w->error = rc;
		return 0;
	}
	leaves[0] = *unit;
	for (uint32_t k = 1; k < count; k++)
		state_digest(w, unit, fault, k * t->trace_every, &leaves[k]);
	digest_blob(&leaves[count], payload->data, payload->len);
	return count + 1;
}

void result_make(struct world *w, const struct digest *unit, const struct mishap *fault,
	struct bytes *claim, struct bytes *payload)
{
	struct claim c = {.unit = *unit, .outcome = OUTCOME_UPDATE, .loss = 0.5f};
	struct digest leaves[RESULT_LEAVES_MAX];
	uint32_t count = result_leaves(w, unit, fault, leaves, payload);
	int rc;

	if (count == 0)
		return;
	c.payload_bytes = payload->len;
	c.payload = leaves[count - 1];
	merkle_root(&c.trace, leaves, count);
	rc = claim_encode(&c, claim);
	if (rc != TK_OK)
		w->error = rc;
}
