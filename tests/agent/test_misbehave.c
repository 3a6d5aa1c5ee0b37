/* Cheating on purpose must look right to whoever does not recompute, or tests of defence test nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "peer/agent/misbehave.h"
#include "tasks/base/mem.h"
#include "tasks/unit/payload.h"
#include "tasks/unit/train.h"
#include "tests/lib/tiny.h"

struct bench {
	struct tiny tiny;
	struct unit_result honest;
	struct bytes claim, payload; /* what becomes of it */
};

static int setup(void **state)
{
	static struct bench b;
	struct round_start start = {0};
	struct unit_input input = {0};
	struct bytes parameters = {0};
	const struct compute c = {.engine = engine_best()};
	struct unit unit;
	size_t bytes;
	float *theta;

	memset(&b, 0, sizeof(b));
	assert_int_equal(crypto_start(), TK_OK);
	assert_true(tiny_init(&b.tiny, MODEL_CHAR_MLP));
	assert_int_equal(train_initial(&b.tiny.recipe, span_of("", 0), &theta, NULL), TK_OK);
	assert_int_equal(payload_size(&b.tiny.recipe, &bytes, NULL), TK_OK);
	bytes -= 4; /* one block's scale, and a byte for each parameter */
	assert_int_equal(parameters_encode(&parameters, theta, bytes), TK_OK);
	digest_blob(&start.parameters, parameters.data, parameters.len);
	input.parameters = bytes_span(&parameters);
	unit_describe(&unit, &b.tiny.recipe_digest, 0, 1, &start);
	assert_int_equal(
		unit_run(&b.tiny.recipe, &unit, &c, &input, &b.tiny.source, NULL, &b.honest, NULL),
		TK_OK);
	mem_free(theta);
	bytes_close(&parameters);
	*state = &b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	tiny_close(&b->tiny);
	unit_result_close(&b->honest);
	bytes_close(&b->claim);
	bytes_close(&b->payload);
	return 0;
}

static void bend(struct bench *b, enum misbehave mode, uint64_t random, struct claim *claim)
{
	b->claim.len = b->payload.len = 0;
	assert_int_equal(bytes_append(&b->claim, b->honest.claim.data, b->honest.claim.len), TK_OK);
	assert_int_equal(
		bytes_append(&b->payload, b->honest.payload.data, b->honest.payload.len), TK_OK);
	assert_int_equal(misbehave_result(mode, random, &b->claim, &b->payload), TK_OK);
	assert_int_equal(claim_decode(claim, bytes_span(&b->claim), NULL), TK_OK);
}

static void corrupt_results_pass_every_check_but_recomputing(void **state)
{
	struct bench *b = *state;
	struct claim claim;

	for (uint64_t random = 1; random < 20000; random += 37) {
		bend(b, MISBEHAVE_CORRUPT, random * 2654435761u, &claim);
		assert_false(span_equal(bytes_span(&b->payload), bytes_span(&b->honest.payload)));
		assert_int_equal(
			result_check(&b->tiny.recipe, &claim, bytes_span(&b->payload), NULL),
			TK_OK);
	}
}

static void two_corrupt_peers_do_not_agree(void **state)
{
	struct bench *b = *state;
	struct claim one, two;

	bend(b, MISBEHAVE_CORRUPT, 0x1234567890, &one);
	bend(b, MISBEHAVE_CORRUPT, 0x9876543210, &two);
	assert_false(digest_equal(&one.payload, &two.payload));
}

static void garbage_has_a_digest_that_fits(void **state)
{
	struct bench *b = *state;
	struct claim claim;
	struct digest is;

	bend(b, MISBEHAVE_GARBAGE, 5, &claim);
	digest_blob(&is, b->payload.data, b->payload.len);
	assert_true(digest_equal(&is, &claim.payload));
	assert_int_equal(b->payload.len, b->honest.payload.len);
}

static void nonfinite_is_a_sound_claim_without_payload(void **state)
{
	struct bench *b = *state;
	struct claim claim;

	bend(b, MISBEHAVE_NONFINITE, 5, &claim);
	assert_int_equal(claim.outcome, OUTCOME_NONFINITE);
	assert_int_equal(b->payload.len, 0);
	assert_int_equal(result_check(&b->tiny.recipe, &claim, span_of("", 0), NULL), TK_OK);
}

static void without_misbehaviour_nothing_is_bent(void **state)
{
	struct bench *b = *state;
	struct claim claim;
	struct bytes scratch = {0};

	bend(b, MISBEHAVE_NOT, 5, &claim);
	assert_true(span_equal(bytes_span(&b->payload), bytes_span(&b->honest.payload)));
	assert_true(span_equal(bytes_span(&b->claim), bytes_span(&b->honest.claim)));
	for (uint32_t type = 0; type < 256; type++) {
		struct message m = {.type = type};

		assert_true(misbehave_message(MISBEHAVE_NOT, &m, &scratch));
	}
	assert_null(scratch.data);
}

static void messages_are_held_back_cut_or_padded(void **state)
{
	struct message reveal = {.type = MESSAGE_REVEAL};
	struct message commit = {.type = MESSAGE_COMMIT};
	struct message ask = {.type = MESSAGE_WORK_REQUEST};
	struct message upload = {.type = MESSAGE_UPLOAD, .upload.bytes = span_text("0123456789")};
	struct message longer = upload;
	struct bytes scratch = {0};

	(void)state;
	assert_false(misbehave_message(MISBEHAVE_SILENT, &reveal, &scratch));
	assert_true(misbehave_message(MISBEHAVE_SILENT, &commit, &scratch));
	assert_false(misbehave_message(MISBEHAVE_MUTE, &commit, &scratch));
	assert_true(misbehave_message(MISBEHAVE_MUTE, &ask, &scratch));
	assert_true(misbehave_message(MISBEHAVE_TRUNCATE, &upload, &scratch));
	assert_int_equal(upload.upload.bytes.len, 5);
	assert_true(misbehave_message(MISBEHAVE_HUGE, &longer, &scratch));
	assert_true(longer.upload.bytes.len > 10 && longer.upload.bytes.len <= BLOB_PART_MAX);
	assert_memory_equal(longer.upload.bytes.data, "0123456789", 10);
	bytes_close(&scratch);
}

static void unknown_modes_are_refused_with_the_list(void **state)
{
	enum misbehave mode = MISBEHAVE_NOT;
	struct errmsg msg = {{0}};

	(void)state;
	assert_int_equal(misbehave_parse(&mode, "corrupt", &msg), TK_OK);
	assert_int_equal(mode, MISBEHAVE_CORRUPT);
	assert_int_equal(misbehave_parse(&mode, "nice", &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "nonfinite"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(corrupt_results_pass_every_check_but_recomputing),
		TEST(two_corrupt_peers_do_not_agree),
		TEST(garbage_has_a_digest_that_fits),
		TEST(nonfinite_is_a_sound_claim_without_payload),
		TEST(without_misbehaviour_nothing_is_bent),
		cmocka_unit_test(messages_are_held_back_cut_or_padded),
		cmocka_unit_test(unknown_modes_are_refused_with_the_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
