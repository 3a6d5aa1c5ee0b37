/* Running a unit: the state that comes in and goes out, its payload, and stopping in the middle. */
#include "tests/unit/unit_bench.h"

#include <math.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "tasks/unit/payload.h"
#include "tests/lib/slice.h"

static int run_once(struct unit_bench *b, struct unit_result *out)
{
	const struct compute c = {.engine = engine_best()};

	return unit_bench_run(b, &c, NULL, out);
}

static void a_state_that_is_not_the_units_is_refused(void **state)
{
	struct unit_bench b = {0};
	struct unit_result r = {0};

	(void)state;
	assert_true(tiny_init(&b.tiny, MODEL_MLP));
	unit_bench_way(&b.tiny.recipe.train, 2);
	unit_bench_prepare(&b, 1, 0);
	assert_int_equal(run_once(&b, &r), TK_OK);
	unit_result_close(&r);
	b.state.data[7] ^= 1;
	assert_int_equal(run_once(&b, &r), TK_ECORRUPT);
	b.state.data[7] ^= 1;
	b.input.state.len -= 4;
	assert_int_equal(run_once(&b, &r), TK_ECORRUPT);
	b.input.state = span_of("", 0);
	assert_int_equal(run_once(&b, &r), TK_ECORRUPT);
	b.input.state = bytes_span(&b.state);
	memset(&b.unit.state, 0, sizeof(b.unit.state));
	assert_int_equal(run_once(&b, &r), TK_ECORRUPT);
	unit_bench_close(&b);
}

static void a_state_for_a_recipe_that_carries_none_is_refused(void **state)
{
	struct unit_bench b = {0};
	struct unit_result r = {0};

	(void)state;
	assert_true(tiny_init(&b.tiny, MODEL_MLP));
	unit_bench_prepare(&b, 0, 0);
	digest_blob(&b.unit.state, "", 0);
	assert_int_equal(run_once(&b, &r), TK_ECORRUPT);
	unit_bench_close(&b);
}

static void no_state_is_a_state_of_zeros(void **state)
{
	struct unit_bench b = {0};
	struct unit_result with = {0}, without = {0};

	(void)state;
	for (unsigned way = 1; way < 4; way++) {
		assert_true(tiny_init(&b.tiny, MODEL_CHAR_MLP));
		unit_bench_way(&b.tiny.recipe.train, way);
		unit_bench_prepare(&b, 0, 1);
		memset(b.state.data, 0, b.state.len);
		digest_blob(&b.unit.state, b.state.data, b.state.len);
		assert_int_equal(run_once(&b, &with), TK_OK);
		memset(&b.unit.state, 0, sizeof(b.unit.state));
		b.input.state = span_of("", 0);
		assert_int_equal(run_once(&b, &without), TK_OK);
		assert_true(span_equal(bytes_span(&with.payload), bytes_span(&without.payload)));
		unit_result_close(&with);
		unit_result_close(&without);
		unit_bench_close(&b);
		memset(&b, 0, sizeof(b));
	}
}

static void the_payload_ends_with_the_state_of_the_last_step(void **state)
{
	struct unit_bench b = {0};
	struct unit_result r = {0};
	struct payload_layout l;
	struct model model;
	struct claim claim;
	struct span moments;
	size_t size;

	(void)state;
	assert_true(tiny_init(&b.tiny, MODEL_MLP));
	unit_bench_way(&b.tiny.recipe.train, 2);
	unit_bench_prepare(&b, 1, 0);
	assert_int_equal(run_once(&b, &r), TK_OK);
	assert_int_equal(claim_decode(&claim, bytes_span(&r.claim), NULL), TK_OK);
	assert_int_equal(payload_size(&b.tiny.recipe, &size, NULL), TK_OK);
	assert_int_equal(r.payload.len, size);
	assert_int_equal(claim.payload_bytes, size);
	assert_int_equal(model_init(&model, &b.tiny.recipe.model, &b.tiny.recipe.data, NULL), 0);
	assert_int_equal(payload_layout_init(&l, &b.tiny.recipe.train, &model, NULL), TK_OK);
	assert_int_equal(l.update_bytes + 12 * model.parameters, size);
	moments = payload_moments(&l, bytes_span(&r.payload));
	assert_false(span_equal(moments, span_of(b.state.data, moments.len)));
	assert_int_equal(result_check(&b.tiny.recipe, &claim, bytes_span(&r.payload), NULL), TK_OK);
	store_le32(r.payload.data + size - 4, 0x7f800000u);
	digest_blob(&claim.payload, r.payload.data, size);
	assert_int_equal(
		result_check(&b.tiny.recipe, &claim, bytes_span(&r.payload), NULL), TK_ECORRUPT);
	payload_layout_close(&l);
	model_close(&model);
	unit_result_close(&r);
	unit_bench_close(&b);
}

/* Moments that leave the numbers while the loss and the parameters do not: v is infinite, so nothing
 * moves. */
static void a_state_that_is_no_longer_finite_makes_the_unit_nonfinite(void **state)
{
	struct unit_bench b = {0};
	struct unit_result r = {0};
	struct claim claim;

	(void)state;
	assert_true(tiny_init(&b.tiny, MODEL_LOGISTIC));
	unit_bench_way(&b.tiny.recipe.train, 1);
	unit_bench_prepare(&b, 1, 0);
	store_le32(b.state.data + b.state.len - 4, 0x7f800000u);
	digest_blob(&b.unit.state, b.state.data, b.state.len);
	assert_int_equal(run_once(&b, &r), TK_OK);
	assert_int_equal(claim_decode(&claim, bytes_span(&r.claim), NULL), TK_OK);
	assert_int_equal(claim.outcome, OUTCOME_NONFINITE);
	assert_int_equal(claim.failing_step, b.tiny.recipe.train.inner_steps);
	unit_result_close(&r);
	unit_bench_close(&b);
}

/* An engine whose products and packed blocks are counted, and one of them tells the unit to stop. cmocka runs one test at
 * a time, and an engine's functions have no context. */
static atomic_bool stop;
static atomic_uint products, packed;
static atomic_ullong late;	/* multiply-adds of products begun after that */
static atomic_uint late_blocks; /* packed after that */
static uint32_t stop_at;	/* this product; 0: none */
static uint32_t stop_at_block;

static void counted_gemm(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda,
	const float *B, size_t ldb, float *C, size_t ldc, bool accumulate)
{
	if (atomic_load(&stop))
		atomic_fetch_add(&late, (unsigned long long)M * N * K);
	else if (atomic_fetch_add(&products, 1) + 1 == stop_at)
		atomic_store(&stop, true);
	engine_best()->gemm(ta, tb, M, N, K, A, lda, B, ldb, C, ldc, accumulate);
}

static void count_block(void)
{
	if (atomic_load(&stop))
		atomic_fetch_add(&late_blocks, 1);
	else if (atomic_fetch_add(&packed, 1) + 1 == stop_at_block)
		atomic_store(&stop, true);
}

static bool counted_fp32_pack(size_t n, const float *x, uint8_t *out)
{
	count_block();
	return engine_best()->fp32_pack(n, x, out);
}

static bool counted_int8_pack(size_t n, const float *x, uint8_t *out)
{
	count_block();
	return engine_best()->int8_pack(n, x, out);
}

static void counted_sparse_pack(
	const struct sparse_block *b, const float *x, float *feedback, uint8_t *out)
{
	count_block();
	engine_best()->sparse_pack(b, x, feedback, out);
}

static struct engine counting_engine(void)
{
	struct engine e = *engine_best();

	e.gemm = counted_gemm;
	e.fp32_pack = counted_fp32_pack;
	e.int8_pack = counted_int8_pack;
	e.sparse_pack = counted_sparse_pack;
	atomic_store(&stop, false);
	atomic_store(&products, 0);
	atomic_store(&packed, 0);
	atomic_store(&late, 0);
	atomic_store(&late_blocks, 0);
	stop_at = stop_at_block = 0;
	return e;
}

static int count_steps(void *context, const struct running *run, uint32_t done, uint32_t total)
{
	(void)run;
	(void)total;
	*(uint32_t *)context = done;
	return 0;
}

/* Multiply-adds that the unit still begins after it was told to stop. */
static double work_after_stop(struct unit_bench *b, struct pool *pool, uint32_t at)
{
	struct engine counting = counting_engine();
	const struct compute c = {.engine = &counting, .pool = pool, .stop = &stop};
	struct unit_result r = {0};
	uint32_t steps = 0;
	struct run_progress progress = {&steps, count_steps};

	stop_at = at;
	assert_int_equal(unit_bench_run(b, &c, &progress, &r), TK_ECANCELED);
	assert_true(atomic_load(&stop));
	assert_int_equal(r.claim.len, 0);
	assert_int_equal(steps, 0); /* nobody was told of a step that was not done */
	return (double)atomic_load(&late);
}

/* Makes each layer but the last so many times as wide. */
static void widen(struct unit_bench *b, uint32_t times)
{
	for (uint32_t l = 0; l < b->tiny.recipe.model.layer_count; l++) {
		struct layer *layer = &b->tiny.recipe.model.layers[l];

		if (layer->width > 6) /* but the vocabulary */
			layer->width *= times;
	}
}

/* About a second of one core: a thousandth of it at most is begun. */
#define SECOND 1e11

static void a_unit_told_to_stop_begins_hardly_anything_more(void **state)
{
	struct pool *pool = NULL;
	struct unit_bench b = {0};

	(void)state;
	assert_true(tiny_init(&b.tiny, MODEL_GPT));
	widen(&b, 32);
	b.tiny.recipe.train.batch_size = 1024;
	unit_bench_prepare(&b, 0, 0);
	assert_int_equal(pool_new(&pool, 3, NULL), TK_OK);
	for (uint32_t at = 1; at < 40; at += slice(3, 13)) {
		assert_true(work_after_stop(&b, NULL, at) <= SECOND / 1000);
		assert_true(work_after_stop(&b, pool, at) <= 3 * SECOND / 1000);
	}
	pool_free(pool);
	unit_bench_close(&b);
}

/* The most that this process ever held at once. */
static uint64_t peak_bytes(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return 1024 * (uint64_t)usage.ru_maxrss;
}

/* Memory that is written is memory that is held, so the most that was held shows what was still filled:
 * neither arrays of the parameters' size, which are most of the first unit's memory, nor the workspace,
 * which is most of the second's. (A sanitizer's own notes take an eighth.) Comes first here, before other tests have held more. */
static void a_unit_told_to_stop_before_it_begins_fills_no_memory(void **state)
{
	static const uint32_t wider[] = {64, 8}, batches[] = {16, 4096};
	const struct compute c = {.engine = engine_best(), .stop = &stop};
	struct unit_result r = {0};

	(void)state;
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++) {
		struct unit_bench b = {0};
		uint64_t before;

		assert_true(tiny_init(&b.tiny, MODEL_GPT));
		widen(&b, wider[i]);
		b.tiny.recipe.train.batch_size = batches[i];
		unit_bench_prepare(&b, 0, 0);
		assert_true(unit_memory(&b.tiny.recipe) > 150e6);
		before = peak_bytes();
		assert_int_equal(unit_bench_run(&b, &c, NULL, &r), TK_ECANCELED);
		assert_in_range(peak_bytes() - before, 0, 30e6);
		unit_bench_close(&b);
	}
}

/* A block of the result tells the unit to stop, which then ends within the array that is being packed: at
 * once where blocks are packed one by one (sparseloco). */
static void stop_while_packing(struct unit_bench *b, uint32_t array_blocks)
{
	struct unit_result r = {0};
	struct engine counting = counting_engine();
	const struct compute c = {.engine = &counting, .stop = &stop};
	bool sparse = b->tiny.recipe.train.compression == COMPRESSION_SPARSELOCO;
	uint32_t all, update_blocks;

	assert_int_equal(unit_bench_run(b, &c, NULL, &r), TK_OK);
	unit_result_close(&r);
	all = atomic_load(&packed);
	update_blocks = all - (sparse ? 3 : 2) * array_blocks;
	assert_in_range(update_blocks, array_blocks, 3 * array_blocks);
	for (uint32_t at = 1; at <= all; at += slice(5, 31)) {
		counting = counting_engine();
		stop_at_block = at;
		assert_int_equal(unit_bench_run(b, &c, NULL, &r), TK_ECANCELED);
		assert_int_equal(r.payload.len, 0);
		assert_in_range(atomic_load(&late_blocks), 0,
			sparse && at <= update_blocks ? 0 : array_blocks - 1);
	}
}

static void a_unit_told_to_stop_while_it_packs_its_result_packs_hardly_any_more(void **state)
{
	(void)state;
	for (unsigned way = 1; way < 3; way++) {
		struct unit_bench b = {0};
		uint32_t array_blocks;

		assert_true(tiny_init(&b.tiny, MODEL_GPT));
		widen(&b, 8);
		unit_bench_way(&b.tiny.recipe.train, way);
		unit_bench_prepare(&b, 0, 0);
		array_blocks = (uint32_t)(b.parameters.len / 4 / COMPRESS_BLOCK + 1);
		stop_while_packing(&b, array_blocks);
		unit_bench_close(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unit_told_to_stop_before_it_begins_fills_no_memory),
		cmocka_unit_test(a_state_that_is_not_the_units_is_refused),
		cmocka_unit_test(a_state_for_a_recipe_that_carries_none_is_refused),
		cmocka_unit_test(no_state_is_a_state_of_zeros),
		cmocka_unit_test(the_payload_ends_with_the_state_of_the_last_step),
		cmocka_unit_test(a_state_that_is_no_longer_finite_makes_the_unit_nonfinite),
		cmocka_unit_test(a_unit_told_to_stop_begins_hardly_anything_more),
		cmocka_unit_test(
			a_unit_told_to_stop_while_it_packs_its_result_packs_hardly_any_more),
	};

	if (crypto_start() != TK_OK || engine_enter_thread(NULL) != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
