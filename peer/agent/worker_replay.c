/* See worker_replay.h. */
#include "peer/agent/worker_replay.h"

#include "tasks/base/mem.h"

void replay_memo_close(struct replay_memo *m)
{
	bytes_close(&m->state);
	*m = (struct replay_memo){0};
}

static int header_of(const struct unit *unit, struct digest *out)
{
	struct bytes header = {0};
	int rc = unit_encode(unit, &header);

	if (rc == TK_OK)
		unit_digest(out, bytes_span(&header));
	bytes_close(&header);
	return rc;
}

/* From what is remembered. The trace's leaves on the way would reach a claim alone, and there is none before the
 * unit's end. */
static int go_on(const struct replay_memo *m, const struct recipe *recipe, const struct unit *unit,
	const struct compute *c, const struct replay_input *input,
	const struct shard_source *shards, struct replay *out, struct errmsg *msg)
{
	struct replay_input in = *input;
	uint32_t count = trace_leaves(&recipe->train, m->from);
	struct digest *leaves = mem_calloc(count, sizeof(*leaves));
	int rc;

	if (leaves == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for leaves");
	leaves[0] = m->unit;
	in.from = m->from;
	in.before = bytes_span(&m->state);
	in.leaves = leaves;
	in.leaf_count = count;
	rc = unit_replay(recipe, unit, c, &in, shards, out, msg);
	mem_free(leaves);
	return rc;
}

/* Is the state at which it begins worth keeping? */
static bool worth_keeping(const struct recipe *recipe, const struct replay_input *in)
{
	uint64_t size;

	return in->keep == 0 && in->first > 0 &&
	       replay_state_bytes(recipe, in->first, &size, NULL) == TK_OK &&
	       size <= REPLAY_MEMO_MAX;
}

int replay_again(struct replay_memo *m, const struct recipe *recipe, const struct unit *unit,
	const struct compute *c, const struct replay_input *input,
	const struct shard_source *shards, struct replay *out, struct errmsg *msg)
{
	struct replay_input in = *input;
	bool keeps = worth_keeping(recipe, input);
	struct digest header;
	int rc = header_of(unit, &header);

	if (rc != TK_OK)
		return errmsg_set(msg, rc, "not enough memory for a unit's header");
	if (m->from > 0 && m->from <= in.first && in.to <= recipe->train.inner_steps &&
		digest_equal(&m->unit, &header))
		return go_on(m, recipe, unit, c, input, shards, out, msg);
	if (keeps)
		in.keep = in.first;
	rc = unit_replay(recipe, unit, c, &in, shards, out, msg);
	if (rc != TK_OK || !keeps || out->kept.len == 0)
		return rc;
	replay_memo_close(m);
	*m = (struct replay_memo){.unit = header, .from = in.first, .state = out->kept};
	out->kept = (struct bytes){0};
	return TK_OK;
}
