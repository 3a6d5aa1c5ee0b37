/* Proofs of fault from anybody, for fuzz_targets.c: statements, and whole files. What is read is judged as well, by
 * whoever has no blobs but those of the file. */
#include <string.h>

#include "tasks/base/require.h"
#include "tests/lib/accused.h"
#include "tests/lib/fuzz_targets.h"

#define COMPUTED_BYTES_MAX 65536u /* of a file whose step is computed: others take seconds */

void fuzz_fault(struct span in)
{
	struct bytes again = {0};
	struct errmsg msg = {""};
	struct fault_statement f;
	struct fault_facts facts;

	if (fault_decode(&f, in, &msg) != TK_OK) {
		REQUIRE(msg.text[0] != '\0');
		return;
	}
	REQUIRE(fault_encode(&f, &again) == TK_OK && span_equal(bytes_span(&again), in));
	bytes_close(&again);
	if (fault_check(&f, &facts, &msg) != TK_OK)
		REQUIRE(msg.text[0] != '\0');
}

bool fuzz_fault_seed(unsigned which, struct bytes *out)
{
	static const enum fault_kind kinds[] = {
		FAULT_STEP, FAULT_SEGMENT, FAULT_TRACE, FAULT_WHOLE, FAULT_EQUIVOCATION};
	struct fault_statement f;
	struct accused a;
	bool good;

	if (which >= sizeof(kinds) / sizeof(kinds[0]))
		return false;
	good = accused_init(&a, MODEL_LOGISTIC, NULL, 0);
	if (good) {
		accused_lie(&a, 2);
		f = accused_statement(&a, kinds[which], 2);
		good = fault_encode(&f, out) == TK_OK;
	}
	accused_close(&a);
	return good;
}

/* The digest at the end is put right, so that inputs get behind it. */
void fuzz_fault_file(struct span in)
{
	const struct compute c = {.engine = engine_best()};
	struct fault_report report = {0};
	struct errmsg msg = {""};
	struct bytes file = {0};
	struct digest digest;
	int rc;

	if (in.len > COMPUTED_BYTES_MAX)
		return;
	digest_blob(&digest, in.data, in.len);
	REQUIRE(bytes_append(&file, in.data, in.len) == TK_OK &&
		bytes_append(&file, digest.b, DIGEST_BYTES) == TK_OK);
	rc = fault_verify(bytes_span(&file), NULL, &c, &report, &msg);
	if (rc != TK_OK)
		REQUIRE(rc < 0 && msg.text[0] != '\0');
	else
		REQUIRE(report.why[0] != '\0' &&
			(report.verdict == FAULT_PROVEN || report.verdict == FAULT_NOT_PROVEN));
	bytes_close(&file);
}

/* Small enough for one input: no parameters, one state, or nothing but words. */
bool fuzz_fault_file_seed(unsigned which, struct bytes *out)
{
	static const enum fault_kind kinds[] = {FAULT_SEGMENT, FAULT_TRACE, FAULT_EQUIVOCATION};
	struct fault_statement f;
	struct bytes file = {0};
	struct accused a;
	bool good;

	if (which > sizeof(kinds) / sizeof(kinds[0]))
		return false;
	good = accused_init(&a, MODEL_LOGISTIC, NULL, 0);
	if (good) {
		accused_lie(&a, 2);
		f = accused_statement(&a, which < 3 ? kinds[which] : FAULT_STEP, 2);
		good = accused_file(&a, &f, &file) == TK_OK;
		if (good && which == 3) { /* with shards it is too long */
			struct bytes bare = {0};

			good = accused_without_blobs(bytes_span(&file), &bare);
			bytes_close(&file);
			file = bare;
		}
	}
	good = good && bytes_append(out, file.data, file.len - DIGEST_BYTES) == TK_OK;
	bytes_close(&file);
	accused_close(&a);
	return good;
}
