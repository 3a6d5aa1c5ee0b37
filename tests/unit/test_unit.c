/* Units, claims, commitments: their bytes and limits; running; merging; training. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/model/model.h"
#include "tasks/unit/payload.h"
#include "tasks/unit/sampler.h"
#include "tasks/unit/train.h"
#include "tests/lib/tiny.h"

static struct digest some_digest(uint8_t fill)
{
	struct digest d;

	memset(d.b, fill, sizeof(d.b));
	return d;
}

static void unit_survives_its_codec_and_every_cut_is_refused(void **state)
{
	const struct digest states[] = {{{0}}, {{0}}, {{0}}, some_digest(3)};
	const struct round_start start = {some_digest(2), states};
	struct digest recipe = some_digest(1);
	struct bytes b = {0};
	struct unit u, back;

	(void)state;
	unit_describe(&u, &recipe, 7, 3, &start);
	assert_int_equal(unit_encode(&u, &b), TK_OK);
	assert_true(b.len <= UNIT_BYTES_MAX);
	assert_int_equal(unit_decode(&back, bytes_span(&b), NULL), TK_OK);
	assert_int_equal(back.round, 7);
	assert_int_equal(back.index, 3);
	assert_true(digest_equal(&back.parameters, &start.parameters));
	assert_true(digest_equal(&back.state, &states[3]));
	for (size_t n = 0; n < b.len; n++)
		assert_int_not_equal(unit_decode(&back, span_of(b.data, n), NULL), TK_OK);
	assert_int_equal(bytes_append(&b, "", 1), TK_OK);
	assert_int_not_equal(unit_decode(&back, bytes_span(&b), NULL), TK_OK);
	bytes_close(&b);
}

static int decode_claim(const struct claim *c)
{
	struct bytes b = {0};
	struct claim back;
	int rc;

	assert_int_equal(claim_encode(c, &b), TK_OK);
	assert_true(b.len <= CLAIM_BYTES_MAX);
	rc = claim_decode(&back, bytes_span(&b), NULL);
	bytes_close(&b);
	return rc;
}

static void claim_that_contradicts_itself_is_refused(void **state)
{
	const struct claim good = {.unit = some_digest(1),
		.outcome = OUTCOME_UPDATE,
		.loss = 1.5f,
		.payload_bytes = 10,
		.payload = some_digest(3)};
	struct claim c = good;

	(void)state;
	assert_int_equal(decode_claim(&c), TK_OK);
	c.loss = NAN;
	assert_int_not_equal(decode_claim(&c), TK_OK);
	c = good;
	c.failing_step = 1;
	assert_int_not_equal(decode_claim(&c), TK_OK);
	c = good;
	c.outcome = OUTCOME_NONFINITE;
	assert_int_not_equal(decode_claim(&c), TK_OK);
	c = (struct claim){.outcome = OUTCOME_NONFINITE, .failing_step = 4};
	assert_int_equal(decode_claim(&c), TK_OK);
}

static void a_manifest_that_commits_to_no_draw_is_refused(void **state)
{
	struct round_manifest m = {.round = 2, .unit_count = 4}, back;
	struct bytes b = {0};

	(void)state;
	assert_int_equal(round_encode(&m, &b), TK_OK);
	assert_int_equal(round_decode(&back, bytes_span(&b), NULL), TK_EPROTO);
	bytes_close(&b);
}

static void signature_covers_the_whole_manifest(void **state)
{
	const uint8_t seed[32] = {4};
	struct round_manifest m = {.round = 2,
				      .unit_count = 4,
				      .units = some_digest(9),
				      .audit = some_digest(8)},
			      back;
	struct signature s;
	struct key_pair root;
	struct bytes b = {0};

	(void)state;
	key_from_seed(&root, seed);
	m.network = root.public;
	assert_int_equal(round_encode(&m, &b), TK_OK);
	round_sign(&s, &root, bytes_span(&b));
	assert_true(round_verify(&root.public, &s, bytes_span(&b)));
	assert_int_equal(round_decode(&back, bytes_span(&b), NULL), TK_OK);
	assert_int_equal(back.unit_count, 4);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 1;
		assert_false(round_verify(&root.public, &s, bytes_span(&b)));
		b.data[i] ^= 1;
	}
	bytes_close(&b);
}

static void every_leaf_of_a_round_proves_itself_and_no_other(void **state)
{
	const struct round_start start = {.parameters = some_digest(2)};
	struct digest recipe = some_digest(1);
	struct digest leaves[37], path[64], root;

	(void)state;
	for (uint32_t count = 1; count <= 37; count++) {
		assert_int_equal(round_leaves(leaves, count, &recipe, 5, &start), TK_OK);
		merkle_root(&root, leaves, count);
		for (uint32_t i = 0; i < count; i++) {
			size_t steps = merkle_path(path, leaves, count, i);

			assert_true(merkle_verify(&root, &leaves[i], i, count, path, steps));
			assert_false(merkle_verify(&root, &recipe, i, count, path, steps));
			if (count > 1)
				assert_false(merkle_verify(
					&root, &leaves[i], (i + 1) % count, count, path, steps));
		}
	}
}

static void each_field_changes_the_commitment(void **state)
{
	struct commitment c = {0};
	uint8_t *field[] = {
		c.network.b, c.unit.b, c.nonce.b, c.peer.b, c.salt.b, c.result.b, c.trace.b};
	struct digest before, after;

	(void)state;
	commitment_digest(&before, &c);
	for (size_t i = 0; i < sizeof(field) / sizeof(field[0]); i++) {
		field[i][31] ^= 1;
		commitment_digest(&after, &c);
		assert_false(digest_equal(&before, &after));
		field[i][31] ^= 1;
	}
}

/* Runs unit `index` of round 0 on an engine. */
static void run_unit(
	struct tiny *t, const struct engine *e, uint32_t index, struct unit_result *out)
{
	struct bytes encoded = {0};
	const struct compute c = {.engine = e};
	struct round_start start = {0};
	struct unit_input input = {0};
	struct errmsg msg = {""};
	struct unit u;
	size_t count;
	float *theta;

	assert_int_equal(unit_parameters(&t->recipe, &count, NULL), TK_OK);
	assert_int_equal(train_initial(&t->recipe, span_of("", 0), &theta, NULL), TK_OK);
	assert_int_equal(parameters_encode(&encoded, theta, count), TK_OK);
	digest_blob(&start.parameters, encoded.data, encoded.len);
	input.parameters = bytes_span(&encoded);
	unit_describe(&u, &t->recipe_digest, 0, index, &start);
	if (unit_run(&t->recipe, &u, &c, &input, &t->source, NULL, out, &msg) != TK_OK)
		fail_msg("%s", msg.text);
	encoded.data[0] ^= 1;
	assert_int_equal(
		unit_run(&t->recipe, &u, &c, &input, &t->source, NULL, out, NULL), TK_ECORRUPT);
	bytes_close(&encoded);
	mem_free(theta);
}

static void every_engine_gives_the_same_result_digest(void **state)
{
	const enum model_type types[] = {
		MODEL_LOGISTIC, MODEL_MLP, MODEL_CHAR_MLP, MODEL_CNN, MODEL_GPT};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct unit_result first = {0};
		struct tiny t;

		assert_true(tiny_init(&t, types[i]));
		run_unit(&t, engine_find("baseline"), 2, &first);
		for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
			struct unit_result r = {0};

			run_unit(&t, *e, 2, &r);
			assert_true(span_equal(bytes_span(&r.claim), bytes_span(&first.claim)));
			assert_true(span_equal(bytes_span(&r.payload), bytes_span(&first.payload)));
			unit_result_close(&r);
		}
		unit_result_close(&first);
		tiny_close(&t);
	}
}

static void changed_payload_fails_the_check(void **state)
{
	struct unit_result r = {0};
	struct claim claim;
	struct tiny t;
	size_t size;

	(void)state;
	assert_true(tiny_init(&t, MODEL_MLP));
	run_unit(&t, engine_best(), 0, &r);
	assert_int_equal(claim_decode(&claim, bytes_span(&r.claim), NULL), TK_OK);
	assert_int_equal(payload_size(&t.recipe, &size, NULL), TK_OK);
	assert_int_equal(r.payload.len, size);
	assert_int_equal(result_check(&t.recipe, &claim, bytes_span(&r.payload), NULL), TK_OK);
	r.payload.data[9] ^= 1;
	assert_int_equal(
		result_check(&t.recipe, &claim, bytes_span(&r.payload), NULL), TK_ECORRUPT);
	unit_result_close(&r);
	tiny_close(&t);
}

static void unit_reads_only_the_shards_it_names(void **state)
{
	const struct round_start zero = {0};
	struct tiny t;

	(void)state;
	assert_true(tiny_init(&t, MODEL_MLP));
	for (uint32_t index = 0; index < t.recipe.train.units_per_round; index++) {
		struct shard_cache few = {0};
		struct shard_source all = t.source;
		struct unit_result a = {0}, b = {0};
		uint32_t *shards, count;
		struct unit u;

		unit_describe(&u, &t.recipe_digest, 0, index, &zero);
		assert_int_equal(unit_shards(&t.recipe, &u, &shards, &count), TK_OK);
		assert_true(count > 0 && count <= t.recipe.data.train.shards);
		for (uint32_t i = 0; i < count; i++) {
			const struct digest *d = &t.recipe.data.train.digests[shards[i]];
			struct span bytes;

			assert_true(i == 0 || shards[i] > shards[i - 1]);
			assert_int_equal(shard_cache_get(&t.cache, d, &bytes, NULL), TK_OK);
			assert_int_equal(shard_cache_sink(&few, d, bytes, NULL), TK_OK);
		}
		run_unit(&t, engine_best(), index, &a);
		t.source = (struct shard_source){&few, shard_cache_get};
		run_unit(&t, engine_best(), index, &b);
		t.source = all;
		assert_true(span_equal(bytes_span(&a.claim), bytes_span(&b.claim)));
		unit_result_close(&a);
		unit_result_close(&b);
		shard_cache_close(&few);
		mem_free(shards);
	}
	tiny_close(&t);
}

static int stop_at_two(void *context, const struct running *run, uint32_t done, uint32_t total)
{
	(void)run;
	(void)total;
	*(uint32_t *)context = done;
	return done == 2;
}

static void unit_stops_between_steps_when_asked(void **state)
{
	struct bytes encoded = {0};
	struct unit_result r = {0};
	struct round_start start = {0};
	struct unit_input input = {0};
	uint32_t steps = 0;
	struct run_progress progress = {&steps, stop_at_two};
	const struct compute c = {.engine = engine_best()};
	struct tiny t;
	struct unit u;
	size_t count;
	float *theta;

	(void)state;
	assert_true(tiny_init(&t, MODEL_MLP));
	assert_int_equal(unit_parameters(&t.recipe, &count, NULL), TK_OK);
	assert_int_equal(train_initial(&t.recipe, span_of("", 0), &theta, NULL), TK_OK);
	assert_int_equal(parameters_encode(&encoded, theta, count), TK_OK);
	digest_blob(&start.parameters, encoded.data, encoded.len);
	input.parameters = bytes_span(&encoded);
	unit_describe(&u, &t.recipe_digest, 0, 0, &start);
	assert_int_equal(
		unit_run(&t.recipe, &u, &c, &input, &t.source, &progress, &r, NULL), TK_ECANCELED);
	assert_int_equal(steps, 2);
	assert_int_equal(r.claim.len, 0);
	bytes_close(&encoded);
	mem_free(theta);
	tiny_close(&t);
}

static void unit_stops_within_a_step_when_told(void **state)
{
	atomic_bool stop = true;
	const struct compute c = {.engine = engine_best(), .stop = &stop};
	struct bytes encoded = {0};
	struct unit_result r = {0};
	struct round_start start = {0};
	struct unit_input input = {0};
	uint32_t steps = 0;
	struct run_progress progress = {&steps, stop_at_two};
	struct tiny t;
	struct unit u;
	size_t count;
	float *theta;

	(void)state;
	assert_true(tiny_init(&t, MODEL_GPT));
	assert_int_equal(unit_parameters(&t.recipe, &count, NULL), TK_OK);
	assert_int_equal(train_initial(&t.recipe, span_of("", 0), &theta, NULL), TK_OK);
	assert_int_equal(parameters_encode(&encoded, theta, count), TK_OK);
	digest_blob(&start.parameters, encoded.data, encoded.len);
	input.parameters = bytes_span(&encoded);
	unit_describe(&u, &t.recipe_digest, 0, 0, &start);
	assert_int_equal(
		unit_run(&t.recipe, &u, &c, &input, &t.source, &progress, &r, NULL), TK_ECANCELED);
	assert_int_equal(steps, 0);
	assert_int_equal(r.claim.len, 0);
	bytes_close(&encoded);
	mem_free(theta);
	tiny_close(&t);
}

/* The loss and hits that an evaluation of a gpt must give, from its windows one by one. */
static void texts_are_evaluated_on_windows_that_do_not_overlap(void **state)
{
	const struct compute c = {.engine = engine_best()};
	const struct dataset_part *part;
	struct evaluation got;
	struct model_work *work;
	struct sampler sampler;
	struct model m;
	struct tiny t;
	float *theta;
	double loss = 0;
	uint64_t labels = 0;

	(void)state;
	assert_true(tiny_init(&t, MODEL_GPT));
	part = &t.recipe.data.validation;
	assert_int_equal(train_initial(&t.recipe, span_of("", 0), &theta, NULL), TK_OK);
	assert_int_equal(evaluate(&t.recipe, &c, theta, &t.source, &got, NULL), TK_OK);
	assert_int_equal(model_init(&m, &t.recipe.model, &t.recipe.data, NULL), TK_OK);
	assert_int_equal(sampler_init(&sampler, &m, part, 1, &t.source, 1), TK_OK);
	work = model_work_new(&m, &c, 1, false);
	for (uint64_t at = 0; at < part->samples; at += 4) {
		struct batch batch;
		uint8_t correct[4];
		float losses[4];

		assert_int_equal(sampler_ascending(&sampler, at, 0, 1, &batch, NULL), TK_OK);
		for (int i = 0; i + 1 < 4; i++)
			assert_int_equal(batch.labels[i], batch.tokens[i + 1]);
		model_evaluate(&m, &c, work, theta, &batch, losses, correct, NULL);
		for (int i = 0; i < 4; i++)
			loss += (double)losses[i];
		labels += 4;
	}
	assert_int_equal(got.samples, labels);
	assert_int_equal(labels, 38 * 4); /* of 150 samples */
	assert_true(got.loss == (float)(loss / (double)labels));
	model_work_free(work);
	sampler_close(&sampler);
	model_close(&m);
	mem_free(theta);
	tiny_close(&t);
}

/* Two parts of a batch are one step of training: the same up to rounding, and a digest of its own. */
static void parts_of_a_batch_train_like_the_whole(void **state)
{
	struct unit_result whole = {0}, parts = {0};
	struct claim a, b;
	struct tiny t;

	(void)state;
	assert_true(tiny_init(&t, MODEL_GPT));
	run_unit(&t, engine_best(), 1, &whole);
	t.recipe.train.accumulate = 4;
	run_unit(&t, engine_best(), 1, &parts);
	assert_int_equal(claim_decode(&a, bytes_span(&whole.claim), NULL), TK_OK);
	assert_int_equal(claim_decode(&b, bytes_span(&parts.claim), NULL), TK_OK);
	assert_true(fabsf(a.loss - b.loss) < 1e-5f);
	unit_result_close(&whole);
	unit_result_close(&parts);
	tiny_close(&t);
}

static void one_unit_without_compression_is_plain_training(void **state)
{
	const struct compute c = {.engine = engine_best()};
	struct unit_result r = {0};
	struct claim claim;
	struct merge merge;
	struct tiny t;
	size_t count;
	float *theta, *start, *outer, loss;

	(void)state;
	assert_true(tiny_init(&t, MODEL_MLP));
	t.recipe.train.compression = COMPRESSION_NONE;
	t.recipe.train.outer = OUTER_SGD;
	t.recipe.train.outer_momentum = 0;
	t.recipe.train.units_per_round = 1;
	assert_int_equal(unit_parameters(&t.recipe, &count, NULL), TK_OK);
	assert_int_equal(train_initial(&t.recipe, span_of("", 0), &theta, NULL), TK_OK);
	start = mem_dup(theta, count * sizeof(float));
	outer = mem_floats(count);
	run_unit(&t, engine_best(), 0, &r);
	assert_int_equal(claim_decode(&claim, bytes_span(&r.claim), NULL), TK_OK);
	assert_int_equal(merge_begin(&merge, &t.recipe, &c, NULL), TK_OK);
	assert_int_equal(merge_add(&merge, &claim, bytes_span(&r.payload), NULL), TK_OK);
	assert_int_equal(merge_finish(&merge, 0, theta, outer, &loss, NULL), TK_OK);
	assert_true(loss == claim.loss);
	for (size_t i = 0; i < count; i++) {
		uint32_t bits = load_le32(r.payload.data + 4 * i);
		float delta;

		memcpy(&delta, &bits, sizeof(delta));
		assert_true(theta[i] == start[i] - delta);
	}
	merge_close(&merge);
	unit_result_close(&r);
	mem_free(outer);
	mem_free(start);
	mem_free(theta);
	tiny_close(&t);
}

/* A unit of billions of samples, from more shards than there is disk for: planned in a moment. Sample by
 * sample it would take hours. */
static void planning_a_huge_unit_takes_no_time(void **state)
{
	struct recipe recipe = {.train = {.inner_steps = INNER_STEPS_MAX,
					.batch_size = BATCH_MAX,
					.units_per_round = 1,
					.rounds = 1}};
	struct dataset_part *part = &recipe.data.train;
	const struct round_start start = {0};
	const struct digest zero = {0};
	uint32_t *shards;
	struct unit u;
	uint32_t count;

	(void)state;
	part->shards = SHARDS_MAX;
	part->shard_samples = 1u << 20;
	part->samples = (uint64_t)SHARDS_MAX << 20;
	unit_describe(&u, &zero, 0, 0, &start);
	assert_int_equal(unit_shards(&recipe, &u, &shards, &count), TK_OK);
	/* 6,553,600,000 positions of windows of 2^24: 390 whole ones and part of one more */
	assert_int_equal(count, 391 * 16);
	mem_free(shards);
}

static void memory_of_a_unit_follows_its_model_and_batch(void **state)
{
	struct tiny t;
	uint64_t small;

	(void)state;
	assert_true(tiny_init(&t, MODEL_MLP));
	small = unit_memory(&t.recipe);
	assert_true(small > 0 && small < 1u << 20);
	t.recipe.model.layers[0].width = WIDTH_MAX;
	assert_true(unit_memory(&t.recipe) > WIDTH_MAX * 9ull * 20);
	t.recipe.model.layers[0].width = 7;
	t.recipe.train.batch_size = BATCH_MAX;
	assert_true(unit_memory(&t.recipe) > BATCH_MAX * 15ull * 4);
	tiny_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unit_survives_its_codec_and_every_cut_is_refused),
		cmocka_unit_test(claim_that_contradicts_itself_is_refused),
		cmocka_unit_test(signature_covers_the_whole_manifest),
		cmocka_unit_test(a_manifest_that_commits_to_no_draw_is_refused),
		cmocka_unit_test(every_leaf_of_a_round_proves_itself_and_no_other),
		cmocka_unit_test(each_field_changes_the_commitment),
		cmocka_unit_test(every_engine_gives_the_same_result_digest),
		cmocka_unit_test(changed_payload_fails_the_check),
		cmocka_unit_test(unit_reads_only_the_shards_it_names),
		cmocka_unit_test(unit_stops_between_steps_when_asked),
		cmocka_unit_test(unit_stops_within_a_step_when_told),
		cmocka_unit_test(texts_are_evaluated_on_windows_that_do_not_overlap),
		cmocka_unit_test(parts_of_a_batch_train_like_the_whole),
		cmocka_unit_test(one_unit_without_compression_is_plain_training),
		cmocka_unit_test(planning_a_huge_unit_takes_no_time),
		cmocka_unit_test(memory_of_a_unit_follows_its_model_and_batch),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("unit", tests, NULL, NULL);
}
