/* Cheating on purpose must look right to whoever does not recompute, or tests of defence test nothing: a liar's
 * trace, steps, states and result fit each other, and only computing a step shows that it is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "peer/agent/misbehave_unit.h"
#include "tasks/base/mem.h"
#include "tasks/unit/fault.h"
#include "tasks/unit/payload.h"
#include "tasks/unit/sign.h"
#include "tasks/unit/train.h"
#include "tests/lib/tiny.h"

#define STEPS 9u
#define EVERY 4u

static const enum misbehave liars[] = {MISBEHAVE_CORRUPT, MISBEHAVE_GARBAGE, MISBEHAVE_NONFINITE,
	MISBEHAVE_LAZY, MISBEHAVE_POISONER, MISBEHAVE_PLAGIARIST};
#define LIARS (sizeof(liars) / sizeof(liars[0]))

struct bench {
	struct tiny tiny;
	struct bytes parameters;
	struct round_start start;
	struct compute compute;
	struct unit unit; /* the second of its round */
	struct digest header;
	struct unit_result honest;
};

static void describe(const struct bench *b, uint32_t index, struct unit *unit)
{
	unit_describe(unit, &b->tiny.recipe_digest, 0, index, &b->start);
}

static void run(struct bench *b, struct liar *l, const struct unit *unit, struct unit_result *out)
{
	const struct unit_input input = {.parameters = bytes_span(&b->parameters)};

	assert_int_equal(liar_run(l, &b->tiny.recipe, unit, &b->compute, &input, &b->tiny.source,
				 NULL, out, NULL),
		TK_OK);
}

static int setup(void **state)
{
	static struct bench b;
	struct unit_input input = {0};
	struct bytes header = {0};
	size_t bytes;
	float *theta;

	memset(&b, 0, sizeof(b));
	assert_int_equal(crypto_start(), TK_OK);
	assert_true(tiny_init(&b.tiny, MODEL_CHAR_MLP));
	b.tiny.recipe.train.inner_steps = STEPS;
	b.tiny.recipe.train.trace_every = EVERY;
	b.compute.engine = engine_best();
	assert_int_equal(train_initial(&b.tiny.recipe, span_of("", 0), &theta, NULL), TK_OK);
	assert_int_equal(payload_size(&b.tiny.recipe, &bytes, NULL), TK_OK);
	bytes -= 4; /* one block's scale, and a byte for each parameter */
	assert_int_equal(parameters_encode(&b.parameters, theta, bytes), TK_OK);
	mem_free(theta);
	digest_blob(&b.start.parameters, b.parameters.data, b.parameters.len);
	describe(&b, 1, &b.unit);
	assert_int_equal(unit_encode(&b.unit, &header), TK_OK);
	unit_digest(&b.header, bytes_span(&header));
	bytes_close(&header);
	input.parameters = bytes_span(&b.parameters);
	assert_int_equal(unit_run(&b.tiny.recipe, &b.unit, &b.compute, &input, &b.tiny.source, NULL,
				 &b.honest, NULL),
		TK_OK);
	*state = &b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	tiny_close(&b->tiny);
	unit_result_close(&b->honest);
	bytes_close(&b->parameters);
	return 0;
}

/* A liar of this kind; the plagiarist has computed the round's first unit before. */
static struct liar liar_make(struct bench *b, enum misbehave mode, uint64_t seed)
{
	struct liar l = {.mode = mode, .seed = seed};
	struct unit_result first;
	struct unit unit;

	if (mode != MISBEHAVE_PLAGIARIST)
		return l;
	describe(b, 0, &unit);
	run(b, &l, &unit, &first);
	unit_result_close(&first);
	return l;
}

static struct claim claim_of(const struct unit_result *r)
{
	struct claim claim;

	assert_int_equal(claim_decode(&claim, bytes_span(&r->claim), NULL), TK_OK);
	return claim;
}

static void a_lie_passes_every_check_but_recomputing(void **state)
{
	struct bench *b = *state;

	for (size_t i = 0; i < LIARS; i++)
		for (uint64_t seed = 1; seed < 500; seed += 61) {
			struct liar l = liar_make(b, liars[i], seed * 2654435761u);
			struct unit_result r;
			struct claim claim;
			struct digest root;

			run(b, &l, &b->unit, &r);
			claim = claim_of(&r);
			merkle_root(&root, r.leaves, r.leaf_count);
			assert_true(digest_equal(&root, &claim.trace));
			assert_false(trace_impossible(&b->tiny.recipe.train, b->honest.payload.len,
				&b->header, &claim, r.leaves, r.leaf_count, NULL));
			if (liars[i] != MISBEHAVE_GARBAGE)
				assert_int_equal(result_check(&b->tiny.recipe, &claim,
							 bytes_span(&r.payload), NULL),
					TK_OK);
			assert_false(
				span_equal(bytes_span(&r.claim), bytes_span(&b->honest.claim)));
			unit_result_close(&r);
			liar_close(&l);
		}
}

static void liars_of_one_kind_do_not_agree(void **state)
{
	static const enum misbehave kinds[] = {
		MISBEHAVE_CORRUPT, MISBEHAVE_GARBAGE, MISBEHAVE_LAZY, MISBEHAVE_POISONER};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct liar one = {.mode = kinds[i], .seed = 0x1234567890};
		struct liar two = {.mode = kinds[i], .seed = 0x9876543211};
		struct unit_result x, y;

		run(b, &one, &b->unit, &x);
		run(b, &two, &b->unit, &y);
		assert_false(span_equal(bytes_span(&x.claim), bytes_span(&y.claim)));
		unit_result_close(&x);
		unit_result_close(&y);
	}
}

static void replay(struct bench *b, struct liar *l, uint32_t first, uint32_t to, uint32_t keep,
	struct replay *out)
{
	const struct replay_input input = {.parameters = bytes_span(&b->parameters),
		.before = span_of("", 0),
		.first = first,
		.to = to,
		.keep = keep};

	assert_int_equal(liar_replay(l, &b->tiny.recipe, &b->unit, &b->compute, &input,
				 &b->tiny.source, out, NULL),
		TK_OK);
}

/* What one honest step, from a state on, gives. */
static struct digest step_of(
	struct bench *b, const struct bytes *before, uint32_t from, const struct unit_result *r)
{
	const struct train_spec *t = &b->tiny.recipe.train;
	const struct replay_input input = {.parameters = bytes_span(&b->parameters),
		.before = bytes_span(before),
		.from = from,
		.first = from,
		.to = from < STEPS ? from + 1 : REPLAY_END,
		.leaves = from > 0 ? r->leaves : NULL,
		.leaf_count = from > 0 ? trace_leaves(t, from) : 0};
	struct replay is;
	struct digest out;

	assert_int_equal(unit_replay(&b->tiny.recipe, &b->unit, &b->compute, &input,
				 &b->tiny.source, &is, NULL),
		TK_OK);
	out = is.leaves[0];
	replay_close(&is);
	return out;
}

/* The state after so many steps, as the liar has it; checked against what it said of it. */
static struct bytes state_of(
	struct bench *b, struct liar *l, uint32_t step, const struct digest *said)
{
	struct bytes state = {0};
	struct replay r;
	struct digest is;

	if (step == 0)
		return state;
	replay(b, l, step - 1, step, step, &r);
	assert_int_equal(
		replay_state_digest(&b->tiny.recipe, step, bytes_span(&r.kept), &is, NULL), TK_OK);
	assert_true(digest_equal(&is, said));
	state = r.kept;
	r.kept = (struct bytes){0};
	replay_close(&r);
	return state;
}

/* Goes through all steps of all segments; how many are not what honest computing gives. */
static uint32_t wrong_steps(struct bench *b, struct liar *l, const struct unit_result *r)
{
	const struct train_spec *t = &b->tiny.recipe.train;
	struct claim claim = claim_of(r);
	struct digest result, before;
	uint32_t wrong = 0;

	claim_digest(&result, bytes_span(&r->claim));
	before = r->leaves[0];
	for (uint32_t k = 0; k + 1 < r->leaf_count; k++) {
		struct trace_segment s;
		struct replay part;

		assert_true(trace_segment(&s, t, trace_steps(t, &claim), k));
		replay(b, l, s.first, s.last ? REPLAY_END : s.first + s.count, 0, &part);
		assert_false(segment_impossible(
			t, &claim, &result, r->leaves, k, part.leaves, part.count, NULL));
		for (uint32_t i = 0; i < part.count; i++) {
			struct bytes state = state_of(b, l, s.first + i, &before);
			struct digest is = step_of(b, &state, s.first + i, r);

			wrong += !digest_equal(&is, &part.leaves[i]);
			before = part.leaves[i];
			bytes_close(&state);
		}
		replay_close(&part);
	}
	return wrong;
}

static void a_liar_sticks_to_its_lie_and_one_step_refutes_it(void **state)
{
	struct bench *b = *state;

	for (size_t i = 0; i < LIARS; i++) {
		struct liar l = liar_make(b, liars[i], 77777);
		struct unit_result r;
		uint32_t wrong;

		run(b, &l, &b->unit, &r);
		wrong = wrong_steps(b, &l, &r);
		if (liars[i] == MISBEHAVE_LAZY)
			assert_true(wrong > 1); /* it has skipped more than one */
		else if (liars[i] == MISBEHAVE_PLAGIARIST)
			assert_true(wrong >= 1);
		else
			assert_int_equal(wrong, 1);
		unit_result_close(&r);
		liar_close(&l);
	}
}

static void a_plagiarist_is_right_about_the_unit_that_it_copies_from(void **state)
{
	struct bench *b = *state;
	struct liar l = {.mode = MISBEHAVE_PLAGIARIST};
	struct unit_result r;

	run(b, &l, &b->unit, &r);
	assert_true(span_equal(bytes_span(&r.claim), bytes_span(&b->honest.claim)));
	unit_result_close(&r);
	assert_int_equal(wrong_steps(b, &l, &b->honest), 0);
	liar_close(&l);
}

static void a_liar_is_named_to_its_worker_and_nobody_else_is(void **state)
{
	char name[LIAR_NAME_SIZE];
	struct liar l;

	(void)state;
	for (int mode = MISBEHAVE_NOT; mode <= MISBEHAVE_LAST; mode++) {
		bool about_units = false;

		for (size_t i = 0; i < LIARS; i++)
			about_units |= liars[i] == (enum misbehave)mode;
		liar_name(name, (enum misbehave)mode, UINT64_MAX);
		assert_int_equal(name[0] != '\0', about_units);
		if (!about_units)
			continue;
		assert_int_equal(liar_parse(&l, name, NULL), TK_OK);
		assert_true(l.mode == (enum misbehave)mode && l.seed == UINT64_MAX);
	}
	assert_int_equal(liar_parse(&l, "mute:1", NULL), TK_EINVAL);
	assert_int_equal(liar_parse(&l, "lazy", NULL), TK_EINVAL);
	assert_int_equal(liar_parse(&l, "lazy:1x", NULL), TK_EINVAL);
	assert_int_equal(liar_parse(&l, "lazy:-1", NULL), TK_EINVAL);
}

static void without_misbehaviour_no_message_is_bent(void **state)
{
	struct bytes scratch = {0};
	const struct key_pair nobody = {0};

	(void)state;
	for (uint32_t type = 0; type < 256; type++) {
		struct message m = {.type = type};

		assert_true(misbehave_message(MISBEHAVE_NOT, &m, &scratch));
		assert_false(misbehave_again(MISBEHAVE_NOT, &nobody, &m));
	}
	assert_null(scratch.data);
}

static void messages_are_held_back_cut_or_padded(void **state)
{
	struct message reveal = {.type = MESSAGE_REVEAL};
	struct message commit = {.type = MESSAGE_COMMIT};
	struct message ask = {.type = MESSAGE_WORK_REQUEST};
	struct message tested = {.type = MESSAGE_SELFTEST};
	struct message upload = {.type = MESSAGE_UPLOAD, .upload.bytes = span_text("0123456789")};
	struct message longer = upload;
	struct bytes scratch = {0};

	(void)state;
	assert_false(misbehave_message(MISBEHAVE_WITHHOLDER, &reveal, &scratch));
	assert_true(misbehave_message(MISBEHAVE_WITHHOLDER, &commit, &scratch));
	assert_false(misbehave_message(MISBEHAVE_MUTE, &commit, &scratch));
	assert_true(misbehave_message(MISBEHAVE_MUTE, &ask, &scratch));
	assert_true(misbehave_message(MISBEHAVE_MUTE, &tested, &scratch)); /* or it gets no lease */
	assert_true(misbehave_message(MISBEHAVE_TRUNCATE, &upload, &scratch));
	assert_int_equal(upload.upload.bytes.len, 5);
	assert_true(misbehave_message(MISBEHAVE_HUGE, &longer, &scratch));
	assert_true(longer.upload.bytes.len > 10 && longer.upload.bytes.len <= BLOB_PART_MAX);
	assert_memory_equal(longer.upload.bytes.data, "0123456789", 10);
	bytes_close(&scratch);
}

static void an_equivocator_signs_a_second_commitment(void **state)
{
	struct message m = {.type = MESSAGE_COMMIT, .commit.nonce = {{5}}};
	struct digest first = m.commit.commitment;
	const uint8_t seed[32] = {1};
	struct key_pair peer;

	(void)state;
	key_from_seed(&peer, seed);
	assert_true(misbehave_again(MISBEHAVE_EQUIVOCATOR, &peer, &m));
	assert_false(digest_equal(&first, &m.commit.commitment));
	assert_true(commit_verify(
		&peer.public, &m.commit.signature, &m.commit.commitment, &m.commit.nonce));
	m.type = MESSAGE_REVEAL;
	assert_false(misbehave_again(MISBEHAVE_EQUIVOCATOR, &peer, &m));
}

static void unknown_modes_are_refused_with_the_list(void **state)
{
	enum misbehave mode = MISBEHAVE_NOT;
	struct errmsg msg = {{0}};

	(void)state;
	assert_int_equal(misbehave_parse(&mode, "corrupt", &msg), TK_OK);
	assert_int_equal(mode, MISBEHAVE_CORRUPT);
	assert_int_equal(misbehave_parse(&mode, "nice", &msg), TK_EINVAL);
	for (int i = MISBEHAVE_CORRUPT; i <= MISBEHAVE_LAST; i++)
		assert_non_null(strstr(msg.text, misbehave_name((enum misbehave)i)));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_lie_passes_every_check_but_recomputing),
		TEST(liars_of_one_kind_do_not_agree),
		TEST(a_liar_sticks_to_its_lie_and_one_step_refutes_it),
		TEST(a_plagiarist_is_right_about_the_unit_that_it_copies_from),
		cmocka_unit_test(a_liar_is_named_to_its_worker_and_nobody_else_is),
		cmocka_unit_test(without_misbehaviour_no_message_is_bent),
		cmocka_unit_test(messages_are_held_back_cut_or_padded),
		TEST(an_equivocator_signs_a_second_commitment),
		cmocka_unit_test(unknown_modes_are_refused_with_the_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
