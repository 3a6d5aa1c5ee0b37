/* What tests of proofs of fault share. */
#ifndef TESTS_UNIT_FAULT_BENCH_H
#define TESTS_UNIT_FAULT_BENCH_H

#include "tests/unit/unit_bench.h"

#include "tests/lib/accused.h"

static inline const struct compute *best(void)
{
	static struct compute c;

	c.engine = engine_best();
	return &c;
}

static inline int verify_on(
	const struct bytes *file, const struct compute *c, struct fault_report *out)
{
	struct errmsg msg = {""};
	int rc = fault_verify(bytes_span(file), NULL, c, out, &msg);

	if (rc != TK_OK && msg.text[0] == '\0')
		fail_msg("no sentence for %s", error_name(rc));
	return rc;
}

static inline void begin(struct accused *a, enum model_type type, unsigned way)
{
	assert_true(accused_init(a, type, unit_bench_way, way));
}

#endif
