/* See audit_run.h. A walk over rounds holds θ, the outer optimizer's state and the slots' states, as
 * `talkoot train` does, and goes from round to round by merging payloads: those that lie there by their
 * digests, and for the others the units are computed again. Units whose parameters and state lie there
 * need no walk. */
#include "coordinator/audit_run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "peer/wire/messages.h"
#include "tasks/base/mem.h"
#include "tasks/unit/train.h"

struct walk {
	const struct audit *audit;
	const struct recipe *recipe;
	const struct audit_data *data;
	const struct compute *compute;
	const struct audit_watch *watch;
	struct audit_result *result;
	struct ledger_reader reader;
	struct shard_source shards;
	uint64_t *chosen; /* round·W + unit, ascending */
	uint64_t next;	  /* of chosen */
	bool all;
	/* Where the walk stands. */
	bool begun;
	uint32_t round;
	size_t count; /* parameters */
	float *theta, *outer;
	struct bytes encoded;	/* θ as bytes */
	struct bytes *states;	/* (slots) */
	struct digest *digests; /* (W) of them */
	uint32_t slots;
};

/* Shards come from memory, or from the blobs. */
static int shard_get(
	void *context, const struct digest *digest, struct span *out, struct errmsg *msg)
{
	struct walk *w = context;
	struct bytes got = {0};
	char hex[DIGEST_HEX];
	int rc;

	if (!shard_cache_has(w->data->shards, digest)) {
		digest_hex(hex, digest);
		if (w->data->blobs == NULL)
			return errmsg_set(msg, TK_ENOENT,
				"the data have no shard %s: this is not what was trained on", hex);
		rc = blob_store_get(w->data->blobs, digest, SHARD_BYTES, &got, msg);
		if (rc == TK_OK)
			rc = shard_cache_add(w->data->shards, w->recipe, digest, &got, msg);
		bytes_close(&got);
		if (rc != TK_OK)
			return errmsg_prefix(msg, rc, "shard %.16s…", hex);
	}
	return shard_cache_get(w->data->shards, digest, out, msg);
}

/* The entry at this byte, decoded; its spans last until the next one. */
static int entry_at(struct walk *w, uint64_t at, struct ledger_entry *out, struct errmsg *msg)
{
	struct ledger_record record;
	bool end;
	int rc = ledger_reader_seek(&w->reader, at, msg);

	if (rc == TK_OK)
		rc = ledger_reader_next(&w->reader, &record, &end, msg);
	if (rc == TK_OK && (end || record.type != RECORD_ENTRY))
		rc = errmsg_set(msg, TK_ECORRUPT, "the file has changed while it was read");
	return rc == TK_OK ? ledger_decode(out, record.content, msg) : rc;
}

/* The canonical claim of a unit, copied. */
static int claim_of(struct walk *w, uint32_t round, uint32_t index, struct bytes *encoded,
	struct claim *claim, struct errmsg *msg)
{
	struct ledger_entry e;
	int rc = entry_at(w, audit_unit(w->audit, round, index)->at, &e, msg);

	encoded->len = 0;
	if (rc == TK_OK && e.kind != LEDGER_UNIT)
		rc = errmsg_set(msg, TK_ECORRUPT, "the file has changed while it was read");
	if (rc == TK_OK && bytes_append(encoded, e.unit.claim.data, e.unit.claim.len) != TK_OK)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for a claim");
	return rc == TK_OK ? claim_decode(claim, bytes_span(encoded), msg) : rc;
}

static struct bytes *state_of(const struct walk *w, uint32_t index)
{
	return &w->states[w->slots == 1 ? 0 : index];
}

/* Reads a blob when it lies there. */
static bool blob_here(const struct walk *w, const struct digest *digest, struct bytes *out)
{
	return w->data->blobs != NULL &&
	       blob_store_get(w->data->blobs, digest, BLOB_BYTES_MAX, out, NULL) == TK_OK;
}

static bool same_bits(float a, float b)
{
	uint32_t x, y;

	memcpy(&x, &a, sizeof(x));
	memcpy(&y, &b, sizeof(y));
	return x == y;
}

/* The name of the first field in which two claims differ. */
static const char *difference(struct span a, struct span b)
{
	struct claim x, y;

	if (claim_decode(&x, a, NULL) != TK_OK || claim_decode(&y, b, NULL) != TK_OK)
		return "claim";
	if (x.outcome != y.outcome)
		return "claim.outcome";
	if (x.failing_step != y.failing_step)
		return "claim.failing_step";
	if (!same_bits(x.loss, y.loss))
		return "claim.loss";
	if (!digest_equal(&x.payload, &y.payload))
		return "claim.payload";
	return digest_equal(&x.trace, &y.trace) ? "claim.payload_bytes" : "claim.trace";
}

/* Computes a unit from given parameters and state and compares it with its claim. */
static int recompute(struct walk *w, const struct unit *unit, const struct unit_input *input,
	struct span claim, struct bytes *payload, struct errmsg *msg)
{
	struct unit_result result = {0};
	int rc = unit_run(w->recipe, unit, w->compute, input, &w->shards, NULL, &result, msg);

	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "unit %" PRIu32 " of round %" PRIu32, unit->index + 1,
			unit->round + 1);
	if (!span_equal(bytes_span(&result.claim), claim)) {
		w->result->wrong++;
		w->watch->wrong(w->watch->context, unit->round, unit->index,
			difference(bytes_span(&result.claim), claim));
	}
	if (payload != NULL) {
		bytes_close(payload);
		*payload = result.payload;
		result.payload = (struct bytes){0};
	}
	unit_result_close(&result);
	return TK_OK;
}

static void recomputed(struct walk *w, uint32_t round)
{
	w->result->recomputed++;
	w->watch->unit(w->watch->context, round, w->result->recomputed, w->result->chosen);
}

/* The walk's beginning: θ_0, from the seed or from what the recipe names. */
static int walk_begin(struct walk *w, struct errmsg *msg)
{
	const struct train_spec *t = &w->recipe->train;
	struct bytes initial = {0};
	struct span given = bytes_span(&w->data->initial);
	int rc = unit_parameters(w->recipe, &w->count, msg);

	if (rc != TK_OK)
		return rc;
	if (given.len == 0 && !digest_is_zero(&w->recipe->initial)) {
		if (!blob_here(w, &w->recipe->initial, &initial))
			return errmsg_set(msg, TK_ENOENT,
				"the initial parameters, which the recipe names, are not in the "
				"data");
		given = bytes_span(&initial);
	}
	rc = train_initial(w->recipe, given, &w->theta, msg);
	bytes_close(&initial);
	if (rc != TK_OK)
		return rc;
	w->slots = state_layout(t, w->count).feedback > 0 ? t->units_per_round : 1;
	w->outer = mem_floats(outer_state_floats(t, w->count));
	w->states = mem_calloc(w->slots, sizeof(*w->states));
	w->digests = mem_calloc(t->units_per_round, sizeof(*w->digests));
	if (w->outer == NULL || w->states == NULL || w->digests == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to recompute");
	w->begun = true;
	return TK_OK;
}

/* θ as bytes and the states' digests, compared with what the round's entry says. */
static int walk_round(struct walk *w, struct errmsg *msg)
{
	struct digest digest;

	w->encoded.len = 0;
	if (parameters_encode(&w->encoded, w->theta, w->count) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for the parameters");
	digest_blob(&digest, w->encoded.data, w->encoded.len);
	if (!digest_equal(&digest, &w->audit->rounds[w->round].parameters))
		return errmsg_set(msg, TK_ECORRUPT,
			"round %" PRIu32 " (ROUND, round.parameters): it starts from other "
			"parameters than those computed here",
			w->round + 1);
	for (uint32_t i = 0; i < w->audit->units_per_round; i++) {
		const struct bytes *state = state_of(w, i);

		if (i > 0 && w->slots == 1)
			w->digests[i] = w->digests[0];
		else if (state->len > 0)
			digest_blob(&w->digests[i], state->data, state->len);
	}
	return TK_OK;
}

static int walk_unit(struct walk *w, uint32_t index, struct span claim, struct bytes *payload,
	struct errmsg *msg)
{
	const struct round_start start = {w->audit->rounds[w->round].parameters, w->digests};
	const struct unit_input input = {
		.parameters = bytes_span(&w->encoded), .state = bytes_span(state_of(w, index))};
	struct unit unit;

	unit_describe(&unit, &w->audit->project, w->round, index, &start);
	return recompute(w, &unit, &input, claim, payload, msg);
}

static bool take_chosen(struct walk *w, uint64_t unit)
{
	if (w->next == w->result->chosen || w->chosen[w->next] != unit)
		return false;
	w->next++;
	return true;
}

/* The payload of a unit of the walk's round: recomputed when it was drawn or lies nowhere. */
static int walk_payload(struct walk *w, uint32_t index, struct bytes *payload, struct claim *claim,
	struct errmsg *msg)
{
	uint64_t unit = (uint64_t)w->round * w->audit->units_per_round + index;
	struct bytes encoded = {0};
	bool drawn = take_chosen(w, unit);
	int rc = claim_of(w, w->round, index, &encoded, claim, msg);

	if (rc == TK_OK && drawn) {
		rc = walk_unit(w, index, bytes_span(&encoded), payload, msg);
		if (rc == TK_OK)
			recomputed(w, w->round);
	} else if (rc == TK_OK && claim->outcome == OUTCOME_UPDATE) {
		if (blob_here(w, &claim->payload, payload)) {
			w->result->payloads_found++;
		} else {
			rc = walk_unit(w, index, bytes_span(&encoded), payload, msg);
			w->result->payloads_gone++;
		}
	}
	bytes_close(&encoded);
	return rc;
}

/* What the merge made, as the ledger names it. */
static int merge_digests(struct walk *w, struct ledger_entry *out, struct errmsg *msg)
{
	uint32_t n = w->audit->units_per_round;
	const struct state_layout carried = state_layout(&w->recipe->train, w->count);
	struct bytes encoded = {0};
	int rc = parameters_encode(&encoded, w->theta, w->count);

	if (rc == TK_OK)
		digest_blob(&out->merge.parameters, encoded.data, encoded.len);
	encoded.len = 0;
	if (rc == TK_OK)
		rc = parameters_encode(
			&encoded, w->outer, outer_state_floats(&w->recipe->train, w->count));
	if (rc == TK_OK)
		digest_blob(&out->merge.outer_state, encoded.data, encoded.len);
	bytes_close(&encoded);
	if (rc == TK_OK)
		rc = model_digest(&out->merge.model, w->theta, w->count);
	if (rc != TK_OK)
		return errmsg_set(msg, rc, "not enough memory to merge");
	for (uint32_t i = 0; i < n; i++) {
		const struct bytes *state = state_of(w, i);

		if (i > 0 && w->slots == 1)
			w->digests[i] = w->digests[0];
		else if (state->len > 0)
			digest_blob(&w->digests[i], state->data, state->len);
	}
	out->merge.states = (struct digest){{0}};
	if (w->round + 1 < w->recipe->train.rounds && state_bytes(&carried) != 0)
		digest_blob(&out->merge.states, w->digests, (size_t)n * sizeof(*w->digests));
	return TK_OK;
}

static int merge_compare(struct walk *w, uint32_t merged, struct errmsg *msg)
{
	struct ledger_entry got = {0}, said;
	const char *field = NULL;
	int rc = merge_digests(w, &got, msg);

	if (rc == TK_OK)
		rc = entry_at(w, w->audit->rounds[w->round].merge_at, &said, msg);
	if (rc != TK_OK)
		return rc;
	if (said.merge.merged != merged)
		field = "merge.merged";
	else if (!digest_equal(&said.merge.parameters, &got.merge.parameters))
		field = "merge.parameters";
	else if (!digest_equal(&said.merge.outer_state, &got.merge.outer_state))
		field = "merge.outer_state";
	else if (!digest_equal(&said.merge.states, &got.merge.states))
		field = "merge.states";
	else if (!digest_equal(&said.merge.model, &got.merge.model))
		field = "merge.model";
	if (field != NULL)
		return errmsg_set(msg, TK_ECORRUPT,
			"round %" PRIu32 " (MERGE, %s): merging its units here gives something "
			"else",
			w->round + 1, field);
	w->result->merges++;
	return TK_OK;
}

static int payload_again(void *context, uint32_t unit, struct span *payload, struct errmsg *msg)
{
	const struct bytes *payloads = context;

	(void)msg;
	*payload = bytes_span(&payloads[unit]);
	return TK_OK;
}

/* payloads (W) gets what merge_gather reads again; nothing with the mean. */
static int merge_units(struct walk *w, struct merge *m, struct bytes *payloads, struct errmsg *msg)
{
	const struct payload_layout *layout = &m->layout;
	int rc = TK_OK;

	for (uint32_t i = 0; rc == TK_OK && i < w->audit->units_per_round; i++) {
		struct bytes payload = {0};
		struct claim claim;

		rc = walk_payload(w, i, &payload, &claim, msg);
		if (rc == TK_OK && w->result->wrong == 0)
			rc = merge_add(m, &claim, bytes_span(&payload), msg);
		if (rc == TK_OK && w->result->wrong == 0 && claim.outcome == OUTCOME_UPDATE &&
			layout->state.feedback > 0 &&
			state_set_feedback(state_of(w, i), &layout->state,
				payload_feedback(layout, bytes_span(&payload))) != TK_OK)
			rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for a unit's state");
		if (merge_rereads(w->recipe))
			payloads[i] = payload;
		else
			bytes_close(&payload);
	}
	return rc;
}

/* All units of the round by the recipe's rule. Rules other than the mean keep the round's packed payloads in
 * memory meanwhile, as they may have been recomputed. */
static int merge_round(struct walk *w, struct merge *m, struct errmsg *msg)
{
	uint32_t units = w->audit->units_per_round;
	struct bytes *payloads = mem_calloc(units, sizeof(*payloads));
	const struct merge_source source = {payloads, payload_again};
	int rc;

	if (payloads == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to merge");
	rc = merge_units(w, m, payloads, msg);
	if (rc == TK_OK && w->result->wrong == 0)
		rc = merge_gather(m, &source, msg);
	for (uint32_t i = 0; i < units; i++)
		bytes_close(&payloads[i]);
	mem_free(payloads);
	return rc;
}

/* From the round to the next one. */
static int walk_merge(struct walk *w, struct errmsg *msg)
{
	struct merge m;
	float loss;
	int rc = walk_round(w, msg);

	if (rc == TK_OK)
		rc = merge_begin(&m, w->recipe, w->compute, msg);
	if (rc != TK_OK)
		return rc;
	rc = merge_round(w, &m, msg);
	if (rc == TK_OK && w->result->wrong == 0)
		rc = merge_finish(&m, w->round, w->theta, w->outer, &loss, msg);
	for (uint32_t i = 0; rc == TK_OK && w->result->wrong == 0 && i < w->slots; i++)
		if (m.layout.state.moments > 0 &&
			state_set_moments(&w->states[i], &m.layout.state, m.moments) != TK_OK)
			rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for the states");
	if (rc == TK_OK && w->result->wrong == 0)
		rc = merge_compare(w, m.merged, msg);
	merge_close(&m);
	w->round++;
	return rc;
}

/* Units of the round in progress, which has no merge yet. */
static int walk_open_round(struct walk *w, struct errmsg *msg)
{
	struct bytes encoded = {0};
	struct claim claim;
	int rc = walk_round(w, msg);

	while (rc == TK_OK && w->next < w->result->chosen) {
		uint32_t index = (uint32_t)(w->chosen[w->next++] % w->audit->units_per_round);

		rc = claim_of(w, w->round, index, &encoded, &claim, msg);
		if (rc == TK_OK)
			rc = walk_unit(w, index, bytes_span(&encoded), NULL, msg);
		if (rc == TK_OK)
			recomputed(w, w->round);
	}
	bytes_close(&encoded);
	return rc;
}

/* The next drawn unit from blobs alone; *here says whether they were all there. */
static int alone(struct walk *w, bool *here, struct errmsg *msg)
{
	uint32_t per = w->audit->units_per_round;
	uint32_t round = (uint32_t)(w->chosen[w->next] / per);
	uint32_t index = (uint32_t)(w->chosen[w->next] % per);
	const struct audit_round *r = &w->audit->rounds[round];
	struct bytes parameters = {0}, state = {0}, encoded = {0};
	struct round_start start = {.parameters = r->parameters};
	struct digest *states = NULL;
	struct ledger_entry e;
	struct claim claim;
	struct unit unit;
	int rc = entry_at(w, r->at, &e, msg);

	if (rc == TK_OK && e.round.states.len != 0)
		start.states = states = mem_dup(e.round.states.data, e.round.states.len);
	if (rc == TK_OK && e.round.states.len != 0 && states == NULL)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for the states");
	*here = rc == TK_OK && blob_here(w, &r->parameters, &parameters) &&
		(states == NULL || digest_is_zero(&states[index]) ||
			blob_here(w, &states[index], &state));
	if (*here)
		rc = claim_of(w, round, index, &encoded, &claim, msg);
	if (*here && rc == TK_OK) {
		const struct unit_input input = {
			.parameters = bytes_span(&parameters), .state = bytes_span(&state)};

		unit_describe(&unit, &w->audit->project, round, index, &start);
		rc = recompute(w, &unit, &input, bytes_span(&encoded), NULL, msg);
		if (rc == TK_OK)
			recomputed(w, round);
		w->next++;
	}
	mem_free(states);
	bytes_close(&parameters);
	bytes_close(&state);
	bytes_close(&encoded);
	return rc;
}

/* Whether there is something left to walk to. */
static bool walk_on(const struct walk *w)
{
	return w->result->wrong == 0 &&
	       (w->next < w->result->chosen || (w->all && w->round < w->audit->round));
}

static int walk(struct walk *w, struct errmsg *msg)
{
	uint32_t per = w->audit->units_per_round;
	bool here = !w->all;
	int rc = TK_OK;

	while (rc == TK_OK && here && w->chosen != NULL && w->next < w->result->chosen)
		rc = alone(w, &here, msg);
	if (rc != TK_OK || !walk_on(w))
		return rc;
	/* From here on every drawn unit lies at or behind the walk: what came before is done. */
	rc = walk_begin(w, msg);
	while (rc == TK_OK && walk_on(w)) {
		uint32_t to = w->next < w->result->chosen ? (uint32_t)(w->chosen[w->next] / per)
							  : w->audit->round;

		if (w->round < w->audit->round && (w->all || w->round <= to))
			rc = walk_merge(w, msg);
		else
			rc = walk_open_round(w, msg);
	}
	w->result->model =
		rc == TK_OK && w->all && w->result->wrong == 0 && w->round >= w->audit->round;
	return rc;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Draws without repetition: the first `count` places of a shuffle whose dice are the head's digest. */
static int draw(struct walk *w, const struct digest *head, uint64_t count, struct errmsg *msg)
{
	const struct audit *a = w->audit;
	uint64_t total = audit_settled(a);
	uint64_t n = 0;
	uint64_t *list = mem_calloc(total + 1, sizeof(*list));

	if (list == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to draw units");
	for (uint64_t i = 0; n < total; i++)
		if (a->units[i].at != 0)
			list[n++] = i;
	count = count < total ? count : total;
	for (uint64_t k = 0; k < count && count < total; k++) {
		uint8_t number[8];
		const struct span fields[2] = {{head->b, DIGEST_BYTES}, {number, sizeof(number)}};
		struct digest dice;
		uint64_t at, x;

		store_le64(number, k);
		digest_fields(&dice, "talkoot audit draw", fields, 2);
		at = k + load_le64(dice.b) % (total - k);
		x = list[k];
		list[k] = list[at];
		list[at] = x;
	}
	qsort(list, count, sizeof(*list), ascending);
	w->chosen = list;
	w->result->chosen = count;
	return TK_OK;
}

int audit_run(const struct audit *a, FILE *file, const struct digest *head, uint64_t count,
	const struct audit_data *data, const struct compute *compute,
	const struct audit_watch *watch, struct audit_result *result, struct errmsg *msg)
{
	struct walk w = {.audit = a,
		.recipe = &a->recipe,
		.data = data,
		.compute = compute,
		.watch = watch,
		.result = result,
		.all = count == UINT64_MAX,
		.reader = {.file = file}};
	int rc = engine_enter_thread(msg);

	*result = (struct audit_result){0};
	w.shards = (struct shard_source){&w, shard_get};
	if (rc == TK_OK)
		rc = draw(&w, head, count, msg);
	if (rc == TK_OK)
		rc = walk(&w, msg);
	for (uint32_t i = 0; i < w.slots && w.states != NULL; i++)
		bytes_close(&w.states[i]);
	mem_free(w.states);
	mem_free(w.digests);
	mem_free(w.theta);
	mem_free(w.outer);
	mem_free(w.chosen);
	bytes_close(&w.encoded);
	ledger_reader_close(&w.reader);
	return rc;
}
