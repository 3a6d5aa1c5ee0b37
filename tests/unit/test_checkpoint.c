/* Checkpoints: a unit that goes on from one gives the same bytes; what is not one is refused. */
#include "tests/unit/unit_bench.h"

#define STEPS 5u

/* Keeps a checkpoint of every step. */
struct keeper {
	struct bytes at[STEPS + 1];
	uint32_t calls;
	bool keep;
};

static int keep_step(void *context, const struct running *run, uint32_t done, uint32_t total)
{
	struct keeper *k = context;

	assert_int_equal(total, STEPS);
	k->calls++;
	if (k->keep)
		assert_int_equal(run_checkpoint(run, &k->at[done]), TK_OK);
	return 0;
}

static void keeper_close(struct keeper *k)
{
	for (uint32_t i = 0; i <= STEPS; i++)
		bytes_close(&k->at[i]);
}

static void assert_same(const struct unit_result *a, const struct unit_result *b)
{
	assert_true(span_equal(bytes_span(&a->claim), bytes_span(&b->claim)));
	assert_true(span_equal(bytes_span(&a->payload), bytes_span(&b->payload)));
	assert_int_equal(a->leaf_count, b->leaf_count);
	assert_memory_equal(a->leaves, b->leaves, a->leaf_count * sizeof(*a->leaves));
}

static void resume_at_every_step(enum model_type type, unsigned way)
{
	const struct compute c = {.engine = engine_best()};
	struct keeper kept = {.keep = true};
	struct run_progress progress = {&kept, keep_step};
	struct unit_result whole = {0};
	struct unit_bench b = {0};

	assert_true(tiny_init(&b.tiny, type));
	unit_bench_way(&b.tiny.recipe.train, way);
	unit_bench_prepare(&b, 1, 2);
	assert_int_equal(unit_bench_run(&b, &c, &progress, &whole), TK_OK);
	for (uint32_t step = 1; step <= STEPS; step++) {
		struct unit_result rest = {0};

		kept.keep = false;
		kept.calls = 0;
		b.input.checkpoint = bytes_span(&kept.at[step]);
		assert_int_equal(unit_bench_run(&b, &c, &progress, &rest), TK_OK);
		assert_int_equal(kept.calls, STEPS - step);
		assert_same(&whole, &rest);
		unit_result_close(&rest);
	}
	unit_result_close(&whole);
	keeper_close(&kept);
	unit_bench_close(&b);
}

static void a_unit_resumed_at_any_step_gives_the_same_claim_payload_and_trace(void **state)
{
	const enum model_type types[] = {
		MODEL_LOGISTIC, MODEL_MLP, MODEL_CHAR_MLP, MODEL_CNN, MODEL_GPT};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		for (unsigned way = 0; way < WAYS; way++)
			resume_at_every_step(types[i], way);
	}
}

/* A bench whose unit has been checkpointed after three steps. */
static void checkpoint_of(struct unit_bench *b, uint32_t index, struct keeper *kept)
{
	const struct compute c = {.engine = engine_best()};
	struct run_progress progress = {kept, keep_step};
	struct unit_result r = {0};

	kept->keep = true;
	unit_bench_prepare(b, 0, index);
	assert_int_equal(unit_bench_run(b, &c, &progress, &r), TK_OK);
	unit_result_close(&r);
}

static int resume(struct unit_bench *b, struct span checkpoint)
{
	const struct compute c = {.engine = engine_best()};
	struct unit_result r = {0};
	int rc;

	b->input.checkpoint = checkpoint;
	rc = unit_bench_run(b, &c, NULL, &r);
	assert_true((rc == TK_OK) == (r.claim.len > 0));
	unit_result_close(&r);
	return rc;
}

static void cut_changed_and_longer_checkpoints_are_refused(void **state)
{
	struct keeper kept = {0};
	struct unit_bench b = {0};
	struct bytes *good = &kept.at[3];

	(void)state;
	assert_true(tiny_init(&b.tiny, MODEL_LOGISTIC));
	checkpoint_of(&b, 0, &kept);
	for (size_t n = 1; n < good->len; n++)
		assert_int_equal(resume(&b, span_of(good->data, n)), TK_ECORRUPT);
	for (size_t i = 0; i < good->len; i++) {
		good->data[i] ^= 0x10;
		assert_int_equal(resume(&b, bytes_span(good)), TK_ECORRUPT);
		good->data[i] ^= 0x10;
	}
	assert_int_equal(resume(&b, bytes_span(good)), TK_OK);
	assert_int_equal(bytes_append(good, "", 1), TK_OK);
	assert_int_equal(resume(&b, bytes_span(good)), TK_ECORRUPT);
	keeper_close(&kept);
	unit_bench_close(&b);
}

static void another_units_checkpoint_is_refused(void **state)
{
	struct keeper kept = {0};
	struct unit_bench b = {0};

	(void)state;
	assert_true(tiny_init(&b.tiny, MODEL_MLP));
	checkpoint_of(&b, 0, &kept);
	unit_bench_prepare(&b, 0, 1);
	assert_int_equal(resume(&b, bytes_span(&kept.at[3])), TK_ECORRUPT);
	unit_bench_prepare(&b, 1, 0);
	assert_int_equal(resume(&b, bytes_span(&kept.at[3])), TK_ECORRUPT);
	unit_bench_prepare(&b, 0, 0);
	assert_int_equal(resume(&b, bytes_span(&kept.at[3])), TK_OK);
	keeper_close(&kept);
	unit_bench_close(&b);
}

/* Its digest is right, its steps are not: as only this program's twin with other limits would write. */
static void steps_that_a_unit_does_not_have_are_refused(void **state)
{
	const uint32_t steps[] = {0, STEPS + 1, 1u << 31, UINT32_MAX};
	struct keeper kept = {0};
	struct unit_bench b = {0};
	struct bytes *c = &kept.at[1];

	(void)state;
	assert_true(tiny_init(&b.tiny, MODEL_MLP));
	checkpoint_of(&b, 0, &kept);
	for (size_t i = 0; i < 4; i++) {
		struct digest digest;

		store_le32(c->data + 40, steps[i]);
		digest_blob(&digest, c->data, c->len - DIGEST_BYTES);
		memcpy(c->data + c->len - DIGEST_BYTES, digest.b, DIGEST_BYTES);
		assert_int_equal(resume(&b, bytes_span(c)), TK_ECORRUPT);
	}
	keeper_close(&kept);
	unit_bench_close(&b);
}

static int keep_without_memory(
	void *context, const struct running *run, uint32_t done, uint32_t total)
{
	struct bytes *out = context;

	(void)done;
	(void)total;
	mem_fail(1, 0);
	assert_int_equal(run_checkpoint(run, out), TK_ENOMEM);
	mem_fail(0, 0);
	return 0;
}

static void a_checkpoint_without_memory_for_it_leaves_the_run_alone(void **state)
{
	const struct compute c = {.engine = engine_best()};
	struct bytes out = {0};
	struct run_progress progress = {&out, keep_without_memory};
	struct unit_result whole = {0}, same = {0};
	struct unit_bench b = {0};

	(void)state;
	assert_true(tiny_init(&b.tiny, MODEL_MLP));
	unit_bench_prepare(&b, 0, 0);
	assert_int_equal(unit_bench_run(&b, &c, NULL, &whole), TK_OK);
	assert_int_equal(unit_bench_run(&b, &c, &progress, &same), TK_OK);
	assert_int_equal(out.len, 0);
	assert_same(&whole, &same);
	unit_result_close(&whole);
	unit_result_close(&same);
	unit_bench_close(&b);
}

/* Room that a checkpoint would fill, and a run that is told to stop before it is asked for one. */
struct stopped {
	atomic_bool stop;
	struct bytes out;
};

#define UNTOUCHED 0xa5

static int stop_and_keep(void *context, const struct running *run, uint32_t done, uint32_t total)
{
	struct stopped *s = context;

	(void)done;
	(void)total;
	atomic_store(&s->stop, true);
	assert_int_equal(run_checkpoint(run, &s->out), TK_ECANCELED);
	return 0;
}

static void a_run_told_to_stop_writes_no_checkpoint(void **state)
{
	struct stopped s = {0};
	const struct compute c = {.engine = engine_best(), .stop = &s.stop};
	struct run_progress progress = {&s, stop_and_keep};
	struct unit_result r = {0};
	struct unit_bench b = {0};
	size_t written = 0;

	(void)state;
	assert_true(tiny_init(&b.tiny, MODEL_MLP));
	unit_bench_way(&b.tiny.recipe.train, 2);
	unit_bench_prepare(&b, 1, 2);
	assert_int_equal(bytes_reserve(&s.out, 1 << 16), TK_OK);
	memset(s.out.data, UNTOUCHED, 1 << 16);
	assert_int_equal(unit_bench_run(&b, &c, &progress, &r), TK_ECANCELED);
	assert_int_equal(s.out.len, 0);
	for (size_t i = 0; i < 1 << 16; i++)
		written += s.out.data[i] != UNTOUCHED;
	assert_in_range(written, 0, 256); /* its head */
	bytes_close(&s.out);
	unit_bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unit_resumed_at_any_step_gives_the_same_claim_payload_and_trace),
		cmocka_unit_test(cut_changed_and_longer_checkpoints_are_refused),
		cmocka_unit_test(another_units_checkpoint_is_refused),
		cmocka_unit_test(steps_that_a_unit_does_not_have_are_refused),
		cmocka_unit_test(a_checkpoint_without_memory_for_it_leaves_the_run_alone),
		cmocka_unit_test(a_run_told_to_stop_writes_no_checkpoint),
	};

	if (crypto_start() != TK_OK || engine_enter_thread(NULL) != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
