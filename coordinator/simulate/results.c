/* The simulation's project and its made-up results.
 *
 * The project that the core gets has the owner's rounds, units, steps and leaves, and a model of eight numbers, so
 * that payloads are small. The state after step j of a unit says what went wrong before: nothing, or a digest of the
 * faults. So a state follows from the unit, j and the fault, without the steps before it, and an honest step from a
 * wrong state keeps what is wrong with it. */
#include <string.h>

#include "coordinator/simulate/state.h"
#include "tasks/unit/payload.h"
#include "tasks/unit/trace.h"

#define FEATURES 3u

int project_make(struct world *w, const struct project *p, struct errmsg *msg)
{
	struct recipe *r = &w->recipe;
	uint32_t units = p->train.units_per_round;
	uint64_t rounds = (w->options->units + units - 1) / units;

	if (p->policy != VERIFY_FULL)
		return errmsg_set(msg, TK_EINVAL,
			"verify.policy: only full can be simulated, as this version has no other");
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
		.rounds = r->train.rounds,
		.units_per_round = units,
		.unit_flops = 1000,
		.parameters = {{42}}};
	memcpy(w->project.name, p->name, sizeof(w->project.name));
	return payload_size(r, &w->payload_bytes, msg);
}

/* What is wrong with a unit's state, as a digest; zero: nothing. */
static void history_of(const struct mishap *fault, uint32_t steps, struct digest *out)
{
	struct span field = span_of(&fault->variant, sizeof(fault->variant));

	*out = (struct digest){{0}};
	if (fault->step < steps)
		digest_fields(out, "talkoot simulated fault", &field, 1);
}

static void state_digest(
	const struct sim_task *task, const struct mishap *fault, uint32_t steps, struct digest *out)
{
	struct digest history;
	uint8_t count[4];
	const struct span fields[] = {{count, sizeof(count)}, {task->unit_digest.b, DIGEST_BYTES},
		{history.b, DIGEST_BYTES}};

	history_of(fault, steps, &history);
	store_le32(count, steps);
	digest_fields(out, "talkoot state", fields, 3);
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

#define LEAVES_MAX 128u

void result_make(struct world *w, const struct sim_task *task, const struct mishap *fault,
	struct bytes *claim, struct bytes *payload)
{
	const struct train_spec *t = &w->recipe.train;
	struct claim c = {.unit = task->unit_digest, .outcome = OUTCOME_UPDATE, .loss = 0.5f};
	struct digest leaves[LEAVES_MAX];
	struct digest state;
	uint32_t count = trace_leaves(t, t->inner_steps);
	int rc;

	state_digest(task, fault, t->inner_steps, &state);
	rc = payload_make(w, &state, payload);
	c.payload_bytes = payload->len;
	if (rc == TK_OK)
		digest_blob(&c.payload, payload->data, payload->len);
	if (count + 1 > LEAVES_MAX) /* refused by simulate_run */
		rc = TK_ELIMIT;
	leaves[0] = task->unit_digest;
	for (uint32_t k = 1; rc == TK_OK && k < count; k++)
		state_digest(task, fault, k * t->trace_every, &leaves[k]);
	if (rc == TK_OK) {
		leaves[count] = c.payload;
		merkle_root(&c.trace, leaves, count + 1);
		rc = claim_encode(&c, claim);
	}
	if (rc != TK_OK)
		w->error = rc;
}
