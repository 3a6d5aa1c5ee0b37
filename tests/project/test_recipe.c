/* Recipes: round trip, every limit and mismatch refused, hostile bytes, failing allocations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "tasks/base/mem.h"
#include "tasks/base/pack.h"
#include "tasks/math/engine.h"
#include "tasks/model/model.h"
#include "tasks/project/project.h"
#include "tests/project/scratch.h"

/* Storage for the arrays of the recipes below, which nobody frees. */
struct sample {
	struct recipe recipe;
	struct digest digests[3];
	uint32_t vocabulary[3];
	char names[2][LABEL_BYTES_MAX];
};

static struct train_spec sample_train(void)
{
	return (struct train_spec){
		.optimizer = OPTIMIZER_ADAMW,
		.learning_rate = 4e-3f,
		.beta1 = 0.9f,
		.beta2 = 0.99f,
		.epsilon = 1e-8f,
		.clip = 1,
		.schedule = SCHEDULE_COSINE,
		.warmup_steps = 5,
		.batch_size = 64,
		.inner_steps = 20,
		.units_per_round = 8,
		.rounds = 20,
		.compression = COMPRESSION_INT8,
		.outer = OUTER_NESTEROV,
		.outer_learning_rate = 1,
		.outer_momentum = 0.5f,
	};
}

static void sample_text(struct sample *s)
{
	*s = (struct sample){.vocabulary = {10, 'a', 0x1f600}};
	memset(s->digests, 0x11, sizeof(s->digests));
	s->recipe = (struct recipe){
		.numerics = NUMERICS_VERSION,
		.name = "text",
		.seed = UINT64_MAX,
		.model = {.type = MODEL_CHAR_MLP,
			.activation = ACTIVATION_TANH,
			.embedding = 4,
			.hidden_count = 2,
			.hidden = {8, 300}},
		.train = sample_train(),
		.data = {.kind = SAMPLE_TEXT, .context = 3, .classes = 3},
	};
	s->recipe.data.vocabulary = s->vocabulary;
	s->recipe.data.train = (struct dataset_part){250, 100, 3, s->digests};
	s->recipe.data.validation = (struct dataset_part){1, 100, 1, s->digests};
}

static void sample_table(struct sample *s)
{
	*s = (struct sample){.names = {"<=50K", "mehr als 50 T€"}};
	s->recipe = (struct recipe){
		.numerics = NUMERICS_VERSION,
		.name = "table",
		.model = {.type = MODEL_LOGISTIC, .activation = ACTIVATION_RELU},
		.train = sample_train(),
		.data = {.kind = SAMPLE_F32, .features = 7, .classes = 2},
	};
	s->recipe.train.optimizer = OPTIMIZER_SGD;
	s->recipe.train.beta1 = s->recipe.train.beta2 = s->recipe.train.epsilon = 0;
	s->recipe.train.momentum = 0.9f;
	s->recipe.train.outer = OUTER_SGD;
	s->recipe.train.outer_momentum = 0;
	s->recipe.data.class_names = s->names;
	s->recipe.data.train = (struct dataset_part){3, 100, 1, s->digests};
}

static void encode(const struct recipe *r, struct bytes *out)
{
	struct errmsg msg;

	assert_int_equal(recipe_encode(r, out, &msg), TK_OK);
}

static void check_part(const struct dataset_part *a, const struct dataset_part *b)
{
	assert_int_equal(a->samples, b->samples);
	assert_int_equal(a->shard_samples, b->shard_samples);
	assert_int_equal(a->shards, b->shards);
	if (b->shards > 0)
		assert_memory_equal(a->digests, b->digests, b->shards * sizeof(*b->digests));
}

static void check_round_trip(const struct recipe *r)
{
	struct bytes bytes = {0};
	struct errmsg msg = {{0}};
	struct recipe got;

	encode(r, &bytes);
	if (recipe_decode(&got, bytes_span(&bytes), &msg) != TK_OK)
		fail_msg("%s", msg.text);
	assert_string_equal(got.name, r->name);
	assert_int_equal(got.seed, r->seed);
	assert_memory_equal(&got.model, &r->model, sizeof(r->model));
	assert_memory_equal(&got.train, &r->train, sizeof(r->train));
	assert_int_equal(got.data.kind, r->data.kind);
	assert_int_equal(got.data.features, r->data.features);
	assert_int_equal(got.data.context, r->data.context);
	assert_int_equal(got.data.classes, r->data.classes);
	if (r->data.kind == SAMPLE_TEXT)
		assert_memory_equal(got.data.vocabulary, r->data.vocabulary, 4 * r->data.classes);
	for (uint32_t i = 0; r->data.kind != SAMPLE_TEXT && i < r->data.classes; i++)
		assert_string_equal(got.data.class_names[i], r->data.class_names[i]);
	check_part(&got.data.train, &r->data.train);
	check_part(&got.data.validation, &r->data.validation);
	recipe_close(&got);
	bytes_close(&bytes);
}

static void what_is_encoded_decodes_the_same(void **state)
{
	struct sample s;

	(void)state;
	sample_text(&s);
	check_round_trip(&s.recipe);
	sample_table(&s);
	check_round_trip(&s.recipe);
}

/* The values come from another implementation of MessagePack and BLAKE2b. */
static void the_bytes_are_pinned(void **state)
{
	struct bytes bytes = {0};
	char hex[DIGEST_HEX];
	struct digest digest;
	struct sample s;

	(void)state;
	sample_table(&s);
	encode(&s.recipe, &bytes);
	assert_int_equal(bytes.len, 142);
	digest_bytes(&digest, bytes.data, bytes.len);
	digest_hex(hex, &digest);
	assert_string_equal(
		hex, "929a200cbdaf0b90533168eea44227f55bc62265129836648e6bda40df539ee9");
	bytes_close(&bytes);
}

static void parameters_are_counted_as_the_model_lays_them_out(void **state)
{
	struct errmsg msg;
	struct sample s;
	struct model m;

	(void)state;
	sample_text(&s);
	assert_int_equal(model_init(&m, &s.recipe.model, &s.recipe.data, &msg), TK_OK);
	assert_int_equal(m.parameters, recipe_parameters(&s.recipe.model, &s.recipe.data));
	sample_table(&s);
	assert_int_equal(model_init(&m, &s.recipe.model, &s.recipe.data, &msg), TK_OK);
	assert_int_equal(m.parameters, recipe_parameters(&s.recipe.model, &s.recipe.data));
}

/* Wants the recipe refused, both as an owner's and, where it can be encoded, as a stranger's. */
static void refuse(const struct recipe *r, const char *words, int line)
{
	struct bytes bytes = {0};
	struct errmsg msg = {{0}};
	struct recipe got;

	if (recipe_validate(r, &msg) == TK_OK)
		fail_msg("line %d passed", line);
	if (strstr(msg.text, words) == NULL)
		fail_msg("line %d: \"%s\" does not say \"%s\"", line, msg.text, words);
	if (r->data.vocabulary != NULL || r->data.class_names != NULL) {
		encode(r, &bytes);
		if (recipe_decode(&got, bytes_span(&bytes), &msg) == TK_OK)
			fail_msg("line %d decoded", line);
	}
	bytes_close(&bytes);
}

/* A recipe that is right but for one field. */
#define REFUSE(begin, change, words)                                                               \
	do {                                                                                       \
		struct sample s;                                                                   \
		struct recipe *r = &s.recipe;                                                      \
		begin(&s);                                                                         \
		change;                                                                            \
		refuse(r, words, __LINE__);                                                        \
	} while (0)

static void numbers_outside_their_limits_are_refused(void **state)
{
	(void)state;
	REFUSE(sample_text, r->numerics = 99, "numerics 99");
	REFUSE(sample_text, strcpy(r->name, "../up"), "name");
	REFUSE(sample_text, strcpy(r->name, ""), "name");
	REFUSE(sample_text, r->train.learning_rate = 0, "train.learning_rate");
	REFUSE(sample_text, r->train.learning_rate = NAN, "train.learning_rate");
	REFUSE(sample_text, r->train.learning_rate = -1, "train.learning_rate");
	REFUSE(sample_text, r->train.outer_learning_rate = INFINITY, "outer.learning_rate");
	REFUSE(sample_text, r->train.beta1 = 1, "train.beta1");
	REFUSE(sample_text, r->train.beta2 = NAN, "train.beta2");
	REFUSE(sample_text, r->train.epsilon = 0, "train.epsilon");
	REFUSE(sample_text, r->train.clip = -0.0f, "train.clip");
	REFUSE(sample_text, r->train.weight_decay = 101, "train.weight_decay");
	REFUSE(sample_text, r->train.batch_size = 0, "train.batch_size");
	REFUSE(sample_text, r->train.rounds = ROUNDS_MAX + 1, "train.rounds");
	REFUSE(sample_text, r->train.warmup_steps = 21, "train.warmup_steps");
	REFUSE(sample_text, r->train.optimizer = 3, "train.optimizer");
	REFUSE(sample_text, r->train.outer = 0, "train.outer.optimizer");
	REFUSE(sample_text, r->train.schedule = 9, "train.schedule");
	REFUSE(sample_text, r->train.compression = 0, "train.compression");
	REFUSE(sample_text, r->model.type = 4, "model.type");
	REFUSE(sample_text, r->model.activation = 0, "model.activation");
	REFUSE(sample_text, r->model.hidden[1] = 0, "hidden layer's width");
	REFUSE(sample_text, r->model.hidden_count = 0, "number of hidden layers");
	REFUSE(sample_text, r->model.embedding = EMBEDDING_MAX + 1, "model.embedding");
}

static void settings_that_are_not_used_must_be_zero(void **state)
{
	(void)state;
	REFUSE(sample_text, r->train.momentum = 0.5f, "train.momentum");
	REFUSE(sample_table, r->train.beta1 = 0.5f, "train.beta1");
	REFUSE(sample_table, r->train.outer_momentum = 0.5f, "train.outer.momentum");
	REFUSE(sample_table, r->model.embedding = 1, "model.embedding");
	REFUSE(sample_table, r->model.activation = ACTIVATION_TANH, "model.activation");
	REFUSE(sample_table, r->data.context = 1, "model.context");
	REFUSE(sample_text, r->data.features = 1, "features");
}

static void parts_that_do_not_fit_are_refused(void **state)
{
	static const struct model_spec logistic = {MODEL_LOGISTIC, ACTIVATION_RELU, 0, 0, {0}};
	static const struct model_spec char_mlp = {MODEL_CHAR_MLP, ACTIVATION_RELU, 1, 1, {1}};

	(void)state;
	REFUSE(sample_table, r->model = char_mlp, "learns from text");
	REFUSE(sample_text, r->model = logistic, "learn from tables");
	REFUSE(sample_table, r->data.classes = 1, "number of classes");
	REFUSE(sample_table, r->data.train.samples = 0, "no training samples");
	REFUSE(sample_text, r->data.train.samples = 301, "need 4 shards");
	REFUSE(sample_text, r->data.train.samples = 200, "need 2 shards");
	REFUSE(sample_text, r->data.train.samples = UINT64_MAX, "shards");
	REFUSE(sample_text, r->data.train.shard_samples = 0, "shards");
	REFUSE(sample_text,
		(r->data.train.shard_samples = 3000000, r->data.train.samples = 9000000),
		"larger than");
	REFUSE(sample_table,
		(r->data.train.shard_samples = 1 << 20, r->data.train.samples = 1 << 20),
		"larger than");
	REFUSE(sample_text, s.vocabulary[1] = 10, "not ascending at entry 1");
	REFUSE(sample_text, s.vocabulary[1] = 0xd800, "no Unicode character");
	REFUSE(sample_text, s.vocabulary[2] = 0x110000, "no Unicode character");
	REFUSE(sample_table, strcpy(s.names[1], ""), "name of class 1");
	REFUSE(sample_table, strcpy(s.names[0], "\x1b[2J"), "name of class 0");
	REFUSE(sample_table, strcpy(s.names[0], "\xff"), "name of class 0");
}

static void sizes_that_would_overflow_are_refused(void **state)
{
	(void)state;
	REFUSE(sample_text, (r->model.hidden[0] = r->model.hidden[1] = 65536), "parameters");
	REFUSE(sample_text,
		(r->data.context = CONTEXT_MAX, r->model.embedding = EMBEDDING_MAX,
			r->model.hidden[0] = HIDDEN_WIDTH_MAX),
		"parameters");
	REFUSE(sample_text,
		(r->data.context = 1024, r->model.embedding = 256, r->train.batch_size = 65536),
		"a batch of 65536");
	REFUSE(sample_text,
		(r->train.rounds = ROUNDS_MAX, r->train.units_per_round = 4096,
			r->train.inner_steps = 100000, r->train.batch_size = 65536),
		"2^63");
}

static void another_version_is_told_apart_from_damage(void **state)
{
	struct bytes bytes = {0};
	struct errmsg msg;
	struct recipe got;
	struct sample s;

	(void)state;
	sample_text(&s);
	s.recipe.numerics = NUMERICS_VERSION + 1;
	encode(&s.recipe, &bytes);
	assert_int_equal(recipe_decode(&got, bytes_span(&bytes), &msg), TK_EUNSUPPORTED);
	bytes.data[1] = 2; /* the format */
	assert_int_equal(recipe_decode(&got, bytes_span(&bytes), &msg), TK_EUNSUPPORTED);
	bytes_close(&bytes);
}

static void truncated_and_padded_recipes_are_refused(void **state)
{
	struct bytes bytes = {0};
	struct errmsg msg;
	struct recipe got;
	struct sample s;

	(void)state;
	sample_text(&s);
	encode(&s.recipe, &bytes);
	for (size_t n = 0; n < bytes.len; n++)
		assert_int_not_equal(recipe_decode(&got, span_of(bytes.data, n), &msg), TK_OK);
	assert_int_equal(bytes_append(&bytes, "", 1), TK_OK);
	assert_int_equal(recipe_decode(&got, bytes_span(&bytes), &msg), TK_EPROTO);
	bytes_close(&bytes);
}

static void digests_with_a_tail_are_not_canonical(void **state)
{
	static const uint8_t tail[DIGEST_BYTES + 1] = {0};
	struct bytes bytes = {0};
	struct errmsg msg;
	struct recipe got;
	struct sample s;
	struct packer p;

	(void)state;
	sample_table(&s);
	s.recipe.data.validation = (struct dataset_part){1, 1, 1, s.digests};
	encode(&s.recipe, &bytes);
	bytes.len -= 2 + DIGEST_BYTES; /* the last field again, with a byte more */
	pack_begin(&p, &bytes);
	pack_bin(&p, tail, sizeof(tail));
	assert_int_equal(pack_end(&p), TK_OK);
	assert_int_equal(recipe_decode(&got, bytes_span(&bytes), &msg), TK_EPROTO);
	assert_non_null(strstr(msg.text, "canonical"));
	bytes_close(&bytes);
}

static void mutated_recipes_are_refused_or_consistent(void **state)
{
	unsigned passed = 0;
	unsigned refused = 0;
	struct bytes bytes = {0};
	struct sample s;

	(void)state;
	sample_text(&s);
	encode(&s.recipe, &bytes);
	for (uint64_t seed = 1; seed <= 20000; seed++) {
		uint8_t mutant[1024];
		uint64_t random = seed;
		struct bytes again = {0};
		struct errmsg msg;
		struct recipe got;
		size_t n;

		memcpy(mutant, bytes.data, bytes.len);
		n = mutate(&random, mutant, bytes.len, sizeof(mutant));
		if (recipe_decode(&got, span_of(mutant, n), &msg) != TK_OK) {
			refused++;
			continue;
		}
		passed++;
		encode(&got, &again);
		if (recipe_validate(&got, &msg) != TK_OK ||
			!span_equal(bytes_span(&again), span_of(mutant, n)))
			fail_msg("an inconsistent recipe passed: mutation seed %llu",
				(unsigned long long)seed);
		bytes_close(&again);
		recipe_close(&got);
	}
	assert_true(refused > 5000 && passed > 500);
	bytes_close(&bytes);
}

static void every_allocation_may_fail(void **state)
{
	struct bytes bytes = {0};
	struct errmsg msg;
	struct recipe got;
	struct sample s;
	uint64_t after;

	(void)state;
	sample_text(&s);
	for (after = 1;; after++) {
		int rc;

		mem_fail(after, 0);
		rc = recipe_encode(&s.recipe, &bytes, &msg);
		mem_fail(0, 0);
		if (rc == TK_OK)
			break;
		assert_int_equal(rc, TK_ENOMEM);
		assert_int_equal(bytes.len, 0);
	}
	assert_true(after > 1);
	for (after = 1;; after++) {
		int rc;

		mem_fail(after, 0);
		rc = recipe_decode(&got, bytes_span(&bytes), &msg);
		mem_fail(0, 0);
		if (rc == TK_OK)
			break;
		assert_int_equal(rc, TK_ENOMEM);
	}
	assert_true(after > 3);
	recipe_close(&got);
	bytes_close(&bytes);
}

static void a_project_becomes_a_recipe_and_is_described(void **state)
{
	static const char yaml[] = "project: {name: tiny}\nmodel: {type: char-mlp, context: 2}\n"
				   "data: {path: p.yaml, format: text}\n";
	struct scratch scratch;
	struct project p;
	struct recipe r;
	struct errmsg msg = {{0}};
	char *text = NULL;
	size_t n = 0;
	FILE *f;

	(void)state;
	assert_int_equal(scratch_open(&scratch), 0);
	assert_int_equal(scratch_write(&scratch, yaml, strlen(yaml)), 0);
	assert_int_equal(project_read(&p, scratch.path, NULL, &msg), TK_OK);
	if (project_recipe(&r, &p, NULL, &msg) != TK_OK)
		fail_msg("%s", msg.text); /* the file is its own data */
	assert_int_equal(r.seed, 1337);
	assert_string_equal(r.name, "tiny");
	assert_int_equal(r.data.context, 2);
	check_round_trip(&r);
	f = open_memstream(&text, &n);
	assert_non_null(f);
	project_describe(&p, &r, f);
	fclose(f);
	assert_non_null(strstr(text, "project     tiny\n"));
	assert_non_null(
		strstr(text, "model       char-mlp, context 2 × embedding 24 → 256 (tanh)"));
	assert_non_null(strstr(text, "steps       400 in sequence, 3200 in all"));
	assert_non_null(strstr(text, "warning: one unit reads"));
	free(text);
	recipe_close(&r);
	scratch_close(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_decodes_the_same),
		cmocka_unit_test(the_bytes_are_pinned),
		cmocka_unit_test(parameters_are_counted_as_the_model_lays_them_out),
		cmocka_unit_test(numbers_outside_their_limits_are_refused),
		cmocka_unit_test(settings_that_are_not_used_must_be_zero),
		cmocka_unit_test(parts_that_do_not_fit_are_refused),
		cmocka_unit_test(sizes_that_would_overflow_are_refused),
		cmocka_unit_test(another_version_is_told_apart_from_damage),
		cmocka_unit_test(truncated_and_padded_recipes_are_refused),
		cmocka_unit_test(digests_with_a_tail_are_not_canonical),
		cmocka_unit_test(mutated_recipes_are_refused_or_consistent),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(a_project_becomes_a_recipe_and_is_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
