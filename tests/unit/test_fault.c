/* Proofs of fault: every wrong step, segment, trace and result is proven from what its author signed, on every engine;
 * nothing that an honest peer signed ever is, however it is put together. */
#include "tests/unit/fault_bench.h"

#include "tasks/unit/sign.h"

/* What checking a statement's own file gives: a verdict or an error. */
static int verdict_of(struct accused *a, const struct fault_statement *f, struct fault_report *out)
{
	struct bytes file = {0};
	int rc = accused_file(a, f, &file);

	if (rc == TK_OK)
		rc = verify_on(&file, best(), out);
	bytes_close(&file);
	return rc == TK_OK ? (int)out->verdict : rc;
}

static int verdict(struct accused *a, enum fault_kind kind, uint32_t step)
{
	const struct fault_statement f = accused_statement(a, kind, step);
	struct fault_report report = {0};
	int got = verdict_of(a, &f, &report);

	if (got > 0) {
		assert_true(key_equal(&report.peer, &a->peer.public));
		assert_true(report.why[0] != '\0');
		assert_int_equal(report.kind, kind);
		assert_int_equal(report.round, 1);
		assert_int_equal(report.unit, 3);
		if (kind == FAULT_STEP)
			assert_int_equal(report.step, step);
	}
	return got;
}

static void each_wrong_step_is_proven_and_no_right_one(void **state)
{
	static const enum model_type types[] = {MODEL_MLP, MODEL_GPT};

	(void)state;
	for (unsigned i = 0; i < 2 * WAYS; i++) {
		uint32_t steps = 5;

		for (uint32_t lie = 0; lie <= steps; lie++) {
			struct accused a;

			begin(&a, types[i / WAYS], i % WAYS);
			assert_int_equal(a.step_count, steps + 1);
			accused_lie(&a, lie);
			for (uint32_t step = 0; step <= lie; step++)
				assert_int_equal(verdict(&a, FAULT_STEP, step),
					step < lie ? FAULT_NOT_PROVEN : FAULT_PROVEN);
			/* The state before a later one is nobody's. */
			for (uint32_t step = lie + 1; step <= steps; step++)
				assert_int_equal(verdict(&a, FAULT_STEP, step), TK_ECORRUPT);
			assert_int_equal(verdict(&a, FAULT_WHOLE, 0), FAULT_PROVEN);
			assert_int_equal(verdict(&a, FAULT_TRACE, 0), FAULT_NOT_PROVEN);
			assert_int_equal(verdict(&a, FAULT_SEGMENT, lie), FAULT_NOT_PROVEN);
			accused_close(&a);
		}
	}
}

static void nothing_is_ever_proven_against_the_honest(void **state)
{
	static const enum model_type types[] = {
		MODEL_LOGISTIC, MODEL_MLP, MODEL_CHAR_MLP, MODEL_CNN, MODEL_GPT};

	(void)state;
	for (unsigned i = 0; i < 5 * WAYS; i++) {
		struct accused a;

		begin(&a, types[i / WAYS], i % WAYS);
		for (uint32_t step = 0; step < a.step_count; step++) {
			assert_int_equal(verdict(&a, FAULT_STEP, step), FAULT_NOT_PROVEN);
			assert_int_equal(verdict(&a, FAULT_SEGMENT, step), FAULT_NOT_PROVEN);
		}
		assert_int_equal(verdict(&a, FAULT_TRACE, 0), FAULT_NOT_PROVEN);
		assert_int_equal(verdict(&a, FAULT_WHOLE, 0), FAULT_NOT_PROVEN);
		accused_close(&a);
	}
}

static void diverge(struct train_spec *t, unsigned every)
{
	unit_bench_way(t, 3);
	t->trace_every = every;
	t->learning_rate = 1000;
	t->clip = 0;
	t->weight_decay = 100;
	t->inner_steps = 40;
}

static void a_unit_that_leaves_the_numbers_is_proven_or_not_like_any(void **state)
{
	(void)state;
	for (unsigned every = 1; every <= 4; every++) {
		struct accused a;
		uint32_t fails;

		assert_true(accused_init(&a, MODEL_MLP, diverge, every));
		fails = a.claim.failing_step;
		assert_in_range(fails, 1, 39);
		for (uint32_t step = 0; step <= fails; step++)
			assert_int_equal(verdict(&a, FAULT_STEP, step), FAULT_NOT_PROVEN);
		assert_int_equal(verdict(&a, FAULT_WHOLE, 0), FAULT_NOT_PROVEN);
		accused_close(&a);

		/* Who says that it ended a step early … */
		assert_true(accused_init(&a, MODEL_MLP, diverge, every));
		a.claim.failing_step = fails - 1;
		a.step_count--;
		a.leaf_count = trace_leaves(&a.tiny.recipe.train, fails - 1) + 1;
		trace_failure(&a.leaves[a.leaf_count - 1], fails - 1);
		accused_commit(&a);
		a.steps[a.step_count - 1] = a.result;
		assert_int_equal(verdict(&a, FAULT_STEP, fails - 1), FAULT_PROVEN);
		assert_int_equal(verdict(&a, FAULT_WHOLE, 0), FAULT_PROVEN);
		accused_close(&a);

		/* … and who has a state after the step that fails. */
		assert_true(accused_init(&a, MODEL_MLP, diverge, every));
		a.steps = mem_realloc(a.steps, (fails + 2) * sizeof(*a.steps));
		a.leaves = mem_realloc(a.leaves, (a.leaf_count + 1) * sizeof(*a.leaves));
		assert_true(a.steps != NULL && a.leaves != NULL);
		a.step_count++;
		a.steps[fails] = a.unit.recipe;
		a.claim.failing_step = fails + 1;
		a.leaf_count = trace_leaves(&a.tiny.recipe.train, fails + 1) + 1;
		if (trace_due(&a.tiny.recipe.train, fails + 1))
			a.leaves[a.leaf_count - 2] = a.steps[fails];
		trace_failure(&a.leaves[a.leaf_count - 1], fails + 1);
		accused_commit(&a);
		a.steps[a.step_count - 1] = a.result;
		assert_int_equal(verdict(&a, FAULT_STEP, fails), FAULT_PROVEN);
		accused_close(&a);
	}
}

static void every_engine_comes_to_the_same_verdict(void **state)
{
	(void)state;
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		const struct compute c = {.engine = *e};

		for (uint32_t lie = 0; lie <= 6; lie++) { /* 6: no lie */
			struct fault_report report = {0};
			struct fault_statement f;
			struct bytes file = {0};
			struct accused a;

			begin(&a, MODEL_GPT, lie % WAYS);
			if (lie < 6)
				accused_lie(&a, lie);
			f = accused_statement(&a, FAULT_STEP, lie % 6);
			assert_int_equal(accused_file(&a, &f, &file), TK_OK);
			assert_int_equal(verify_on(&file, &c, &report), TK_OK);
			assert_int_equal(report.verdict, lie < 6 ? FAULT_PROVEN : FAULT_NOT_PROVEN);
			assert_true(report.computed);
			assert_true(digest_equal(&report.found, &a.truth.leaves[lie % 6]) ||
				    lie == 5); /* the result names the leaves before it */
			bytes_close(&file);
			accused_close(&a);
		}
	}
}

static void step_leaves_that_end_elsewhere_are_proven_on_paper(void **state)
{
	(void)state;
	for (uint32_t step = 0; step <= 5; step++) {
		struct fault_report report;
		struct fault_statement f;
		struct trace_segment s;
		struct accused a;
		uint32_t k;

		begin(&a, MODEL_MLP, 0);
		s = accused_segment(&a, step, &k);
		a.steps[s.first + s.count - 1].b[0] ^= 1;
		assert_int_equal(verdict(&a, FAULT_SEGMENT, step), FAULT_PROVEN);
		a.steps[s.first + s.count - 1].b[0] ^= 1;
		f = accused_statement(&a, FAULT_SEGMENT, step);
		if (s.count > 1) { /* one is missing */
			f.steps.len -= DIGEST_BYTES;
			segment_sign(&f.segment_signature, &a.peer, &a.commitment, k,
				a.steps + s.first, s.count - 1);
			assert_int_equal(verdict_of(&a, &f, &report), FAULT_PROVEN);
			f.kind = FAULT_STEP;
			assert_int_equal(verdict_of(&a, &f, &report), TK_EPROTO);
		}
		accused_close(&a);
	}
}

static void a_segment_that_there_is_not_proves_nothing(void **state)
{
	struct fault_report report;
	struct fault_statement f;
	struct accused a;

	(void)state;
	begin(&a, MODEL_MLP, 0);
	f = accused_statement(&a, FAULT_SEGMENT, 0);
	f.segment = a.leaf_count - 1;
	segment_sign(&f.segment_signature, &a.peer, &a.commitment, f.segment, a.steps,
		f.steps.len / DIGEST_BYTES);
	assert_int_equal(verdict_of(&a, &f, &report), TK_EPROTO);
	accused_close(&a);
}

/* Ways in which claim and leaves can't be a unit's. */
static void break_trace(struct accused *a, unsigned how)
{
	switch (how) {
	case 0:
		a->leaves[0].b[3] ^= 1;
		break;
	case 1:
		a->leaves[a->leaf_count - 1].b[3] ^= 1;
		break;
	case 2:
		a->leaf_count--;
		break;
	case 3:
		a->claim.payload_bytes++;
		break;
	case 4:
		a->claim.unit.b[0] ^= 1;
		break;
	default:
		a->claim = (struct claim){
			.unit = a->claim.unit, .outcome = OUTCOME_NONFINITE, .failing_step = 1000};
	}
	accused_commit(a);
	a->steps[a->step_count - 1] = a->result;
}

static void impossible_claims_and_leaves_are_proven_on_paper(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 6; how++) {
		struct fault_report report;
		struct fault_statement f;
		struct accused a;

		begin(&a, MODEL_MLP, 0);
		break_trace(&a, how);
		assert_int_equal(verdict(&a, FAULT_TRACE, 0), FAULT_PROVEN);
		f = accused_statement(&a, FAULT_TRACE, 0);
		f.leaves.len = 0;
		assert_int_equal(
			verdict_of(&a, &f, &report), how < 3 ? FAULT_NOT_PROVEN : FAULT_PROVEN);
		if (how != 2 && how != 5)
			assert_int_equal(verdict(&a, FAULT_STEP, 0), TK_EPROTO);
		assert_int_equal(verdict(&a, FAULT_WHOLE, 0), FAULT_PROVEN);
		accused_close(&a);
	}
}

static void two_commitments_under_one_lease_are_proven(void **state)
{
	struct fault_report report;
	struct fault_statement f;
	struct accused a;

	(void)state;
	begin(&a, MODEL_MLP, 0);
	assert_int_equal(verdict(&a, FAULT_EQUIVOCATION, 0), FAULT_PROVEN);
	f = accused_statement(&a, FAULT_EQUIVOCATION, 0);
	f.claim.len = 0; /* neither was ever opened */
	f.salt = (struct digest){{0}};
	assert_int_equal(verdict_of(&a, &f, &report), FAULT_PROVEN);
	f.other = f.commitment; /* the same word twice */
	f.other_signature = f.signature;
	assert_int_equal(verdict_of(&a, &f, &report), TK_EPROTO);
	f = accused_statement(&a, FAULT_EQUIVOCATION, 0);
	f.nonce.b[0] ^= 1; /* under another lease */
	commit_sign(&f.other_signature, &a.peer, &f.other, &f.nonce);
	assert_int_equal(verdict_of(&a, &f, &report), TK_EAUTH);
	accused_close(&a);
}

/* The network's own root is the enemy: it has the honest peer's signatures, and signs what it likes. */
static void a_root_that_signs_another_round_proves_nothing(void **state)
{
	static void (*const others[])(struct train_spec *, unsigned) = {unit_bench_way, diverge};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct fault_report report;
		struct fault_statement f, o;
		struct accused a, other;

		begin(&a, MODEL_MLP, 0);
		assert_true(accused_init(&other, MODEL_MLP, others[i], 1));
		f = accused_statement(&a, FAULT_WHOLE, 0);
		o = accused_statement(&other, FAULT_WHOLE, 0);
		f.manifest = o.manifest;
		f.manifest_signature = o.manifest_signature;
		assert_int_equal(verdict_of(&a, &f, &report), TK_EAUTH);
		f.unit = o.unit;
		f.path = o.path;
		assert_int_equal(verdict_of(&a, &f, &report), TK_EAUTH);
		accused_close(&other);
		accused_close(&a);
	}
}

static void words_of_somebody_else_prove_nothing(void **state)
{
	static const uint8_t seed[32] = {77};
	struct key_pair stranger;
	struct fault_report report;
	struct fault_statement f;
	struct accused a;

	(void)state;
	key_from_seed(&stranger, seed);
	begin(&a, MODEL_MLP, 0);
	/* The honest peer's name under a liar's words. */
	f = accused_statement(&a, FAULT_EQUIVOCATION, 0);
	commit_sign(&f.other_signature, &stranger, &f.other, &f.nonce);
	assert_int_equal(verdict_of(&a, &f, &report), TK_EAUTH);
	f = accused_statement(&a, FAULT_STEP, 2);
	segment_sign(&f.segment_signature, &stranger, &f.commitment, f.segment,
		(const struct digest *)f.steps.data, f.steps.len / DIGEST_BYTES);
	assert_int_equal(verdict_of(&a, &f, &report), TK_EAUTH);
	f = accused_statement(&a, FAULT_WHOLE, 0);
	f.peer = stranger.public;
	commit_sign(&f.signature, &stranger, &f.commitment, &f.nonce);
	assert_int_equal(verdict_of(&a, &f, &report), TK_EAUTH); /* it names its author */
	/* A segment of the same peer, signed for another result. */
	f = accused_statement(&a, FAULT_SEGMENT, 0);
	f.commitment.b[0] ^= 1;
	segment_sign(&f.segment_signature, &a.peer, &f.commitment, f.segment, a.steps,
		f.steps.len / DIGEST_BYTES);
	f.commitment.b[0] ^= 1;
	assert_int_equal(verdict_of(&a, &f, &report), TK_EAUTH);
	accused_close(&a);
}

static void other_recipe(struct train_spec *t, unsigned how)
{
	(void)how;
	t->learning_rate *= 0.5f;
}

/* A root that leases two units under one nonce to an honest peer gets honest words about both. */
static void what_was_said_of_another_unit_under_the_same_nonce_proves_nothing(void **state)
{
	struct fault_report report;
	struct fault_statement f;
	struct accused a, b;

	(void)state;
	assert_true(accused_init(&a, MODEL_LOGISTIC, NULL, 0));
	assert_true(accused_init(&b, MODEL_LOGISTIC, other_recipe, 0));
	assert_memory_equal(&a.nonce, &b.nonce, sizeof(a.nonce));
	assert_memory_equal(&a.peer, &b.peer, sizeof(a.peer));
	for (enum fault_kind kind = FAULT_STEP; kind <= FAULT_SEGMENT; kind++) {
		struct fault_statement said = accused_statement(&b, kind, 0);

		f = accused_statement(&a, kind, 0);
		assert_int_not_equal(f.steps.len, 0);
		f.steps = said.steps;
		f.segment_signature = said.segment_signature;
		assert_int_equal(verdict_of(&a, &f, &report), TK_EAUTH);
	}
	accused_close(&b);
	accused_close(&a);
}

static void fields_that_the_kind_does_not_use_are_refused(void **state)
{
	static const enum fault_kind kinds[] = {
		FAULT_STEP, FAULT_SEGMENT, FAULT_TRACE, FAULT_WHOLE, FAULT_EQUIVOCATION};
	struct accused a;
	struct bytes out = {0};

	(void)state;
	begin(&a, MODEL_MLP, 0);
	for (size_t i = 0; i < 5; i++) {
		for (size_t j = 0; j < 5; j++) {
			struct fault_statement f = accused_statement(&a, kinds[i], 1);
			bool trace = kinds[i] == FAULT_WHOLE && kinds[j] == FAULT_TRACE;

			f.kind = kinds[j]; /* a TRACE without leaves has the form of a WHOLE */
			if (i != j && !trace && !(i == 0 && j == 1) && !(i == 1 && j == 0))
				assert_int_equal(fault_encode(&f, &out), TK_EINVAL);
		}
	}
	assert_int_equal(out.len, 0);
	accused_close(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_wrong_step_is_proven_and_no_right_one),
		cmocka_unit_test(nothing_is_ever_proven_against_the_honest),
		cmocka_unit_test(a_unit_that_leaves_the_numbers_is_proven_or_not_like_any),
		cmocka_unit_test(every_engine_comes_to_the_same_verdict),
		cmocka_unit_test(step_leaves_that_end_elsewhere_are_proven_on_paper),
		cmocka_unit_test(a_segment_that_there_is_not_proves_nothing),
		cmocka_unit_test(impossible_claims_and_leaves_are_proven_on_paper),
		cmocka_unit_test(two_commitments_under_one_lease_are_proven),
		cmocka_unit_test(a_root_that_signs_another_round_proves_nothing),
		cmocka_unit_test(words_of_somebody_else_prove_nothing),
		cmocka_unit_test(what_was_said_of_another_unit_under_the_same_nonce_proves_nothing),
		cmocka_unit_test(fields_that_the_kind_does_not_use_are_refused),
	};

	if (crypto_start() != TK_OK || engine_enter_thread(NULL) != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
