/* Files of proofs of fault: any changed byte is seen, or changes nothing about who did what; blobs may be elsewhere. */
#include "tests/unit/fault_bench.h"

#include "tasks/unit/fault_case.h"
#include "tests/lib/slice.h"

/* Puts the right digest at the end, so that what was changed is not seen by that. */
static void seal(struct bytes *file)
{
	struct digest digest;

	digest_blob(&digest, file->data, file->len - DIGEST_BYTES);
	memcpy(file->data + file->len - DIGEST_BYTES, digest.b, DIGEST_BYTES);
}

static void step_file(struct accused *a, struct bytes *file, uint32_t lie)
{
	struct fault_statement f;

	begin(a, MODEL_LOGISTIC, 0);
	accused_lie(a, lie);
	f = accused_statement(a, FAULT_STEP, lie);
	assert_int_equal(accused_file(a, &f, file), TK_OK);
}

/* Refused, or not proven, or exactly what it was. */
static void assert_harmless(const struct bytes *file, const struct fault_report *was)
{
	struct fault_report now = {0};

	if (verify_on(file, best(), &now) != TK_OK || now.verdict == FAULT_NOT_PROVEN)
		return;
	assert_int_equal(now.kind, was->kind);
	assert_true(key_equal(&now.peer, &was->peer));
	assert_true(key_equal(&now.network, &was->network));
	assert_true(digest_equal(&now.recipe, &was->recipe));
	assert_int_equal(now.round, was->round);
	assert_int_equal(now.unit, was->unit);
	assert_int_equal(now.step, was->step);
	assert_true(digest_equal(&now.found, &was->found));
	assert_true(digest_equal(&now.said, &was->said));
}

static uint32_t roll(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void any_changed_byte_is_seen(void **state)
{
	struct fault_report was = {0}, now;
	struct bytes file = {0};
	struct accused a;
	uint32_t seed = 5;

	(void)state;
	step_file(&a, &file, 3);
	assert_int_equal(verify_on(&file, best(), &was), TK_OK);
	assert_int_equal(was.verdict, FAULT_PROVEN);
	for (int i = 0; i < 10000; i++) {
		size_t at = roll(&seed) % file.len;
		uint8_t by = (uint8_t)(1 + roll(&seed) % 255);

		file.data[at] ^= by;
		assert_true(verify_on(&file, best(), &now) < 0);
		file.data[at] ^= by;
	}
	bytes_close(&file);
	accused_close(&a);
}

static void any_changed_byte_under_a_right_digest_shows_nothing_else(void **state)
{
	struct fault_report was = {0};
	struct bytes file = {0};
	struct accused a;
	uint32_t seed = 6;
	size_t statement;

	(void)state;
	step_file(&a, &file, 3);
	assert_int_equal(verify_on(&file, best(), &was), TK_OK);
	statement = 12 + load_le32(file.data + 8);
	for (size_t i = 0; i < statement + 400; i++) {
		size_t at = i < statement ? i : statement + roll(&seed) % (file.len - statement);
		uint8_t by = (uint8_t)(1 + roll(&seed) % 255);

		file.data[at] ^= by;
		seal(&file);
		assert_harmless(&file, &was);
		file.data[at] ^= by;
	}
	seal(&file);
	assert_int_equal(verify_on(&file, best(), &was), TK_OK);
	bytes_close(&file);
	accused_close(&a);
}

static void any_changed_byte_of_an_honest_peers_words_shows_no_fault(void **state)
{
	static const enum fault_kind kinds[] = {
		FAULT_STEP, FAULT_SEGMENT, FAULT_TRACE, FAULT_WHOLE};
	struct fault_report now;
	uint32_t seed = 7;

	(void)state;
	for (size_t k = 0; k < 4; k++) {
		struct fault_statement f;
		struct bytes file = {0};
		struct accused a;
		size_t end;

		begin(&a, MODEL_LOGISTIC, 0);
		f = accused_statement(&a, kinds[k], 3);
		assert_int_equal(accused_file(&a, &f, &file), TK_OK);
		end = 12 + load_le32(file.data + 8);
		for (size_t at = 0; at < end; at += slice(1, 5)) {
			uint8_t by = (uint8_t)(1 + roll(&seed) % 255);

			file.data[at] ^= by;
			seal(&file);
			assert_true(verify_on(&file, best(), &now) < 0 ||
				    now.verdict == FAULT_NOT_PROVEN);
			file.data[at] ^= by;
		}
		bytes_close(&file);
		accused_close(&a);
	}
}

/* The project's blobs and one state. */
struct elsewhere {
	struct blob_lookup blobs;
	struct bytes before;
	bool spoilt;
};

static int get_elsewhere(void *context, const struct digest *digest, size_t max, struct bytes *out,
	struct errmsg *msg)
{
	struct elsewhere *e = context;
	struct digest is;
	int rc;

	digest_blob(&is, e->before.data, e->before.len);
	if (digest_equal(&is, digest))
		rc = bytes_append(out, e->before.data, e->before.len);
	else
		rc = e->blobs.get(e->blobs.context, digest, max, out, msg);
	if (rc == TK_OK && e->spoilt)
		out->data[0] ^= 1;
	return rc;
}

static void blobs_that_the_file_does_not_hold_are_looked_up(void **state)
{
	struct bytes file = {0}, empty = {0};
	struct elsewhere e = {0};
	const struct blob_lookup lookup = {&e, get_elsewhere};
	struct fault_report was, now;
	struct accused a;

	(void)state;
	step_file(&a, &file, 3);
	assert_true(accused_without_blobs(bytes_span(&file), &empty));
	assert_true(empty.len < file.len);
	assert_int_equal(verify_on(&file, best(), &was), TK_OK);
	assert_int_equal(verify_on(&empty, best(), &now), TK_ENOENT);
	e.blobs = accused_blobs(&a);
	assert_true(accused_state(&a, 3, &e.before));
	assert_int_equal(fault_verify(bytes_span(&empty), &lookup, best(), &now, NULL), TK_OK);
	assert_int_equal(now.verdict, FAULT_PROVEN);
	assert_true(digest_equal(&now.found, &was.found));
	e.spoilt = true;
	assert_int_equal(
		fault_verify(bytes_span(&empty), &lookup, best(), &now, NULL), TK_ECORRUPT);
	e.spoilt = false;
	e.before.len--; /* it is not there */
	assert_int_not_equal(fault_verify(bytes_span(&empty), &lookup, best(), &now, NULL), TK_OK);
	bytes_close(&e.before);
	bytes_close(&file);
	bytes_close(&empty);
	accused_close(&a);
}

/* θ is a blob of any length here: what it holds is never computed with. */
static void blobs_of_more_than_64_mib_are_named_and_not_held(void **state)
{
	(void)state;
	for (size_t more = 0; more < 2; more++) {
		struct bytes file = {0};
		struct fault_statement f;
		struct fault_parts parts;
		struct fault_report now;
		struct accused a;
		size_t size = FAULT_BLOBS_BYTES_MAX / 4 * 3 + more * FAULT_BLOBS_BYTES_MAX / 2;

		begin(&a, MODEL_LOGISTIC, 0);
		bytes_close(&a.parameters);
		assert_int_equal(bytes_reserve(&a.parameters, size), TK_OK);
		memset(a.parameters.data, 0, size);
		a.parameters.len = size;
		assert_true(accused_round(&a));
		accused_commit(&a);
		f = accused_statement(&a, FAULT_WHOLE, 0);
		assert_int_equal(accused_file(&a, &f, &file), TK_OK);
		assert_true(more == 0 ? file.len > size : file.len < 65536);
		assert_int_equal(fault_file_parse(&parts, bytes_span(&file), NULL), TK_OK);
		assert_in_range(parts.count, 3, 64); /* recipe, parameters, shards */
		for (uint32_t i = 0; i < parts.count; i++)
			assert_int_equal(parts.blobs[i].held, more == 0);
		assert_int_equal(parts.blobs[1].len, size);
		assert_int_equal(verify_on(&file, best(), &now), more == 0 ? TK_ELIMIT : TK_ENOENT);
		mem_free(parts.blobs);
		bytes_close(&file);
		accused_close(&a);
	}
}

static void a_file_that_is_cut_or_longer_is_refused(void **state)
{
	struct fault_report now;
	struct bytes file = {0};
	struct accused a;
	size_t len;

	(void)state;
	step_file(&a, &file, 0);
	len = file.len;
	for (file.len = 0; file.len < len; file.len += 1 + file.len / 64) {
		assert_true(verify_on(&file, best(), &now) < 0);
		if (file.len > DIGEST_BYTES) {
			struct bytes cut = {0};

			assert_int_equal(bytes_append(&cut, file.data, file.len), TK_OK);
			seal(&cut);
			assert_true(verify_on(&cut, best(), &now) < 0);
			bytes_close(&cut);
		}
	}
	file.len = len;
	assert_int_equal(bytes_append(&file, "x", 1), TK_OK);
	assert_true(verify_on(&file, best(), &now) < 0);
	seal(&file);
	assert_true(verify_on(&file, best(), &now) < 0);
	bytes_close(&file);
	accused_close(&a);
}

static void every_allocation_of_a_proof_fails_once(void **state)
{
	(void)state;
	for (int pass = 0; pass < 2; pass++) {
		struct bytes file = {0};
		struct fault_report now;
		struct fault_statement f;
		struct accused a;
		int rc = TK_ENOMEM;

		begin(&a, MODEL_MLP, 2);
		accused_lie(&a, 5);
		f = accused_statement(&a, pass == 0 ? FAULT_STEP : FAULT_WHOLE, 5);
		for (uint64_t after = 1; rc != TK_OK; after++) {
			assert_true(after < 2000);
			mem_fail(after, 0);
			rc = accused_file(&a, &f, &file);
			mem_fail(0, 0);
			assert_true(rc == TK_OK || file.len == 0);
		}
		rc = TK_ENOMEM;
		for (uint64_t after = 1; rc != TK_OK; after++) {
			assert_true(after < 2000);
			mem_fail(after, 0);
			rc = verify_on(&file, best(), &now);
			mem_fail(0, 0);
			assert_true(rc == TK_OK || rc == TK_ENOMEM);
		}
		assert_int_equal(now.verdict, FAULT_PROVEN);
		bytes_close(&file);
		accused_close(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_changed_byte_is_seen),
		cmocka_unit_test(any_changed_byte_under_a_right_digest_shows_nothing_else),
		cmocka_unit_test(any_changed_byte_of_an_honest_peers_words_shows_no_fault),
		cmocka_unit_test(blobs_that_the_file_does_not_hold_are_looked_up),
		cmocka_unit_test(blobs_of_more_than_64_mib_are_named_and_not_held),
		cmocka_unit_test(a_file_that_is_cut_or_longer_is_refused),
		cmocka_unit_test(every_allocation_of_a_proof_fails_once),
	};

	if (crypto_start() != TK_OK || engine_enter_thread(NULL) != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("fault_file", tests, NULL, NULL);
}
