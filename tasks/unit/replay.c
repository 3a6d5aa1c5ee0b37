/* See replay.h. Time: the steps asked for and, from `first` on, a digest of each state. */
#include "tasks/unit/replay.h"

#include "tasks/base/mem.h"
#include "tasks/unit/running.h"

void replay_close(struct replay *r)
{
	mem_free(r->leaves);
	unit_result_close(&r->result);
	bytes_close(&r->kept);
	*r = (struct replay){0};
}

static int check_steps(const struct train_spec *t, uint32_t steps, struct errmsg *msg)
{
	if (steps < 1 || steps > t->inner_steps)
		return errmsg_set(msg, TK_EINVAL, "there is no state after %u steps: a unit has %u",
			steps, t->inner_steps);
	return TK_OK;
}

int replay_state_bytes(
	const struct recipe *recipe, uint32_t steps, uint64_t *bytes, struct errmsg *msg)
{
	size_t n;
	int rc = check_steps(&recipe->train, steps, msg);

	if (rc == TK_OK)
		rc = unit_parameters(recipe, &n, msg);
	if (rc == TK_OK)
		*bytes = 4 * ((uint64_t)running_arrays(&recipe->train) * n + steps);
	return rc;
}

static int check_state(
	const struct recipe *recipe, uint32_t steps, struct span blob, struct errmsg *msg)
{
	uint64_t size;
	int rc = replay_state_bytes(recipe, steps, &size, msg);

	if (rc != TK_OK)
		return rc;
	if (blob.len != size)
		return errmsg_set(msg, TK_ECORRUPT,
			"the state after step %u has %zu bytes; %llu are right", steps, blob.len,
			(unsigned long long)size);
	for (size_t i = 0; i < blob.len; i += 4) {
		uint32_t bits = load_le32(blob.data + i);

		if ((bits & 0x7fffffffu) > 0x7f800000u && bits != 0x7fc00000u)
			return errmsg_set(msg, TK_ECORRUPT,
				"number %zu of the state after step %u is a NaN that no state has "
				"(%08x)",
				i / 4, steps, bits);
	}
	return TK_OK;
}

int replay_state_digest(const struct recipe *recipe, uint32_t steps, struct span blob,
	struct digest *out, struct errmsg *msg)
{
	struct digest digest;
	int rc = check_state(recipe, steps, blob, msg);

	if (rc != TK_OK)
		return rc;
	digest_blob(&digest, blob.data, blob.len);
	trace_blob_digest(out, steps, &digest);
	return TK_OK;
}

/* The last step whose state can be asked for. */
static uint32_t last_step(const struct train_spec *t, uint32_t to)
{
	return to < t->inner_steps ? to : t->inner_steps;
}

/* θ_r is subtracted from at the end, in local mode; the feedback is read by packing. */
int replay_needs(struct replay_needs *out, const struct recipe *recipe, const struct unit *unit,
	uint32_t from, uint32_t to)
{
	const struct train_spec *t = &recipe->train;
	struct replay_needs needs = {0};
	bool ends = to > t->inner_steps;
	uint32_t last = last_step(t, to);
	int rc = running_shards(
		recipe, unit, from < last ? from : last, last, &needs.shards, &needs.count);

	if (rc != TK_OK)
		return rc;
	needs.parameters = from == 0 || (ends && t->mode == MODE_LOCAL);
	needs.slot = !digest_is_zero(&unit->state) &&
		     (from == 0 || (ends && t->compression == COMPRESSION_SPARSELOCO));
	*out = needs;
	return TK_OK;
}

/* What is asked for, before there is any memory for it. */
static int check_input(
	const struct recipe *recipe, const struct replay_input *in, struct errmsg *msg)
{
	const struct train_spec *t = &recipe->train;
	uint32_t to = in->to == REPLAY_END ? t->inner_steps + 1 : in->to;

	if (to < 1 || to > t->inner_steps + 1 || in->from >= to || in->first < in->from ||
		in->first >= to)
		return errmsg_set(msg, TK_EINVAL,
			"steps %u, from %u on, to %u can't be replayed: a unit has %u", in->from,
			in->first, in->to, t->inner_steps);
	if (in->keep != 0 && (in->keep <= in->from || in->keep > last_step(t, to)))
		return errmsg_set(msg, TK_EINVAL,
			"a replay of steps %u to %u does not come by the state after step %u",
			in->from, in->to, in->keep);
	if (in->leaf_count != (in->from > 0 ? trace_leaves(t, in->from) : 0))
		return errmsg_set(msg, TK_EINVAL,
			"%u leaves come before a replay from step %u; %u are right", in->leaf_count,
			in->from, in->from > 0 ? trace_leaves(t, in->from) : 0);
	if (in->from == 0)
		return in->before.len == 0 ? TK_OK
					   : errmsg_set(msg, TK_EINVAL,
						     "a unit's start has no state before it");
	return check_state(recipe, in->from, in->before, msg);
}

static int load_start(struct running *run, const struct replay_input *in, struct errmsg *msg)
{
	const struct unit_input start = {.parameters = in->parameters, .state = in->slot};

	return running_begin(run, &start, msg);
}

static int load_before(struct running *run, const struct replay_input *in, struct errmsg *msg)
{
	const struct train_spec *t = &run->recipe->train;
	bool ends = in->to > t->inner_steps;
	int rc = TK_OK;

	if (ends && t->mode == MODE_LOCAL)
		rc = running_parameters(run, in->parameters, msg);
	if (ends && run->layout.state.feedback > 0 && rc == TK_OK)
		rc = running_slot(run, in->slot, msg);
	if (rc != TK_OK)
		return rc;
	for (uint32_t i = 1; i < in->leaf_count; i++)
		run->leaves[i] = in->leaves[i];
	running_state_load(run, in->from, in->before.data);
	return TK_OK;
}

/* After a step: its leaves and, if asked for, its state. */
static int note_step(struct running *run, const struct replay_input *in, struct replay *out)
{
	const struct train_spec *t = &run->recipe->train;
	bool due = trace_due(t, run->done);
	struct digest digest;

	if (due || run->done > in->first)
		running_digest_state(run, &digest);
	if (due)
		run->leaves[trace_leaves(t, run->done) - 1] = digest;
	if (run->done > in->first)
		out->leaves[out->count++] = digest;
	if (run->done == in->keep) {
		size_t size = running_state_bytes(run, run->done);

		if (bytes_reserve(&out->kept, size) != TK_OK)
			return TK_ENOMEM;
		running_state_store(run, out->kept.data);
		out->kept.len = size;
	}
	return TK_OK;
}

static int replay_end(struct running *run, struct replay *out)
{
	int rc = running_conclude(run, &out->result);

	if (rc != TK_OK)
		return rc;
	out->ended = true;
	claim_digest(&out->leaves[out->count++], bytes_span(&out->result.claim));
	return TK_OK;
}

static int replay_steps(
	struct running *run, const struct replay_input *in, struct replay *out, struct errmsg *msg)
{
	const struct train_spec *t = &run->recipe->train;
	uint32_t last = last_step(t, in->to);
	int rc = TK_OK;

	while (run->done < last && rc == TK_OK) {
		rc = running_step(run, msg);
		if (rc == TK_OK && note_step(run, in, out) != TK_OK)
			rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for a state");
	}
	if (rc != TK_EDIVERGED && (rc != TK_OK || in->to <= t->inner_steps))
		return rc;
	rc = replay_end(run, out);
	return rc == TK_OK ? rc : errmsg_set(msg, rc, "not enough memory for the result");
}

int unit_replay(const struct recipe *recipe, const struct unit *unit, const struct compute *c,
	const struct replay_input *input, const struct shard_source *shards, struct replay *out,
	struct errmsg *msg)
{
	struct running run = {.recipe = recipe, .unit = unit, .compute = c};
	struct replay got = {.first = input->first};
	int rc = check_input(recipe, input, msg);

	if (rc != TK_OK)
		return rc;
	/* A step leaf for each step, and the result digest. */
	got.leaves = mem_calloc(
		last_step(&recipe->train, input->to) - input->first + 1ull, sizeof(*got.leaves));
	if (got.leaves == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for leaves");
	rc = running_open(&run, shards, msg);
	if (rc == TK_OK)
		rc = input->from == 0 ? load_start(&run, input, msg)
				      : load_before(&run, input, msg);
	if (rc == TK_OK && input->from > 0 && !digest_equal(&input->leaves[0], &run.header))
		rc = errmsg_set(msg, TK_ECORRUPT, "the leaves are another unit's");
	if (rc == TK_OK)
		rc = replay_steps(&run, input, &got, msg);
	if (compute_stopped(c))
		rc = errmsg_set(msg, TK_ECANCELED, "stopped on request");
	if (rc == TK_OK)
		*out = got;
	else
		replay_close(&got);
	running_close(&run);
	return rc;
}
