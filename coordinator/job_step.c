/* See jobs.h: the referee's one step. It costs two steps of the model and two digests of the state, however long
 * the unit is. */
#include "coordinator/jobs.h"

#include "peer/wire/messages.h"
#include "tasks/base/mem.h"
#include "tasks/unit/replay.h"

void step_output_close(struct step_output *o)
{
	bytes_close(&o->claim);
	*o = (struct step_output){0};
}

/* What it holds. */
struct stepping {
	struct recipe recipe;
	struct unit unit;
	struct bytes parameters, slot;
	struct shard_cache shards;
	struct replay replays[2];
};

static void stepping_close(struct stepping *s)
{
	replay_close(&s->replays[0]);
	replay_close(&s->replays[1]);
	shard_cache_close(&s->shards);
	bytes_close(&s->parameters);
	bytes_close(&s->slot);
	recipe_close(&s->recipe);
}

static uint32_t step_end(const struct stepping *s, const struct step_request *q)
{
	return q->from < s->recipe.train.inner_steps ? q->from + 1 : REPLAY_END;
}

static int check_request(const struct stepping *s, const struct step_request *q, struct errmsg *msg)
{
	struct digest digest;
	int rc;

	if (q->from > s->recipe.train.inner_steps)
		return errmsg_set(msg, TK_EINVAL, "a unit of %u steps has no step %u",
			s->recipe.train.inner_steps, q->from + 1);
	if (q->from == 0)
		return TK_OK;
	rc = replay_state_digest(&s->recipe, q->from, q->before, &digest, msg);
	if (rc == TK_OK && !digest_equal(&digest, &q->agreed))
		rc = errmsg_set(msg, TK_ECORRUPT,
			"the state after step %u is not the one on which both sides agree",
			q->from);
	return rc;
}

static int stepping_load(struct stepping *s, const struct blob_store *blobs,
	const struct project_row *row, const struct step_request *q, struct errmsg *msg)
{
	struct replay_needs needs = {0};
	int rc = job_unit(blobs, row, q->unit, &s->unit, msg);

	if (rc == TK_OK && replay_needs(&needs, &s->recipe, &s->unit, q->from, step_end(s, q)) != 0)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for the step's shards");
	if (rc == TK_OK && needs.slot)
		rc = blob_store_get(blobs, &s->unit.state, BLOB_BYTES_MAX, &s->slot, msg);
	if (rc == TK_OK && needs.parameters)
		rc = blob_store_get(blobs, &row->parameters, BLOB_BYTES_MAX, &s->parameters, msg);
	for (uint32_t i = 0; i < needs.count && rc == TK_OK; i++)
		rc = job_shard(blobs, &s->recipe, &s->recipe.data.train.digests[needs.shards[i]],
			&s->shards, msg);
	mem_free(needs.shards);
	return rc;
}

static int stepping_run(struct stepping *s, const struct step_request *q, struct errmsg *msg)
{
	const struct compute alone = {.engine = engine_best()};
	const struct shard_source source = {&s->shards, shard_cache_get};
	const struct replay_input input = {
		.parameters = bytes_span(&s->parameters),
		.slot = bytes_span(&s->slot),
		.before = q->from > 0 ? q->before : span_of("", 0),
		.from = q->from,
		.first = q->from,
		.to = step_end(s, q),
		.leaves = q->from > 0 ? q->leaves : NULL,
		.leaf_count = q->from > 0 ? q->leaf_count : 0,
	};

	for (int i = 0; i < 2; i++) {
		int rc = unit_replay(
			&s->recipe, &s->unit, &alone, &input, &source, &s->replays[i], msg);

		if (rc != TK_OK)
			return rc;
	}
	if (!digest_equal(&s->replays[0].leaves[0], &s->replays[1].leaves[0]))
		return errmsg_set(msg, TK_ENUMERICS,
			"this computer got two different results for the same step: check its "
			"memory and cooling");
	return TK_OK;
}

int job_step(const struct blob_store *blobs, const struct project_row *row,
	const struct step_request *request, struct step_output *out, struct errmsg *msg)
{
	struct stepping s = {0};
	int rc = engine_enter_thread(msg);

	if (rc == TK_OK && request->unit >= row->units_per_round)
		rc = errmsg_set(msg, TK_EINVAL, "round %u has no unit %u", row->round + 1,
			request->unit + 1);
	if (rc == TK_OK)
		rc = job_recipe(blobs, &row->recipe, &s.recipe, NULL, msg);
	if (rc != TK_OK)
		return rc;
	rc = check_request(&s, request, msg);
	if (rc == TK_OK)
		rc = stepping_load(&s, blobs, row, request, msg);
	if (rc == TK_OK)
		rc = stepping_run(&s, request, msg);
	if (rc == TK_OK) {
		*out = (struct step_output){
			.after = s.replays[0].leaves[0], .claim = s.replays[0].result.claim};
		s.replays[0].result.claim = (struct bytes){0};
	}
	stepping_close(&s);
	return rc;
}
