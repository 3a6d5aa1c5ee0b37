/* Recipes: round trip, hostile bytes, failing allocations. What is refused is in test_recipe_limits.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/base/mem.h"
#include "tasks/base/pack.h"
#include "tests/project/recipe_samples.h"

static void check_part(const struct dataset_part *a, const struct dataset_part *b)
{
	assert_int_equal(a->samples, b->samples);
	assert_int_equal(a->shard_samples, b->shard_samples);
	assert_int_equal(a->shards, b->shards);
	if (b->shards > 0)
		assert_memory_equal(a->digests, b->digests, b->shards * sizeof(*b->digests));
}

static void check_data(const struct dataset *a, const struct dataset *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->features, b->features);
	assert_int_equal(a->context, b->context);
	assert_int_equal(a->classes, b->classes);
	assert_int_equal(a->token, b->token);
	assert_int_equal(a->label, b->label);
	assert_true(a->target_mean == b->target_mean);
	assert_true(a->target_deviation == b->target_deviation);
	assert_int_equal(a->vocabulary == NULL, b->vocabulary == NULL);
	assert_int_equal(a->class_names == NULL, b->class_names == NULL);
	if (b->vocabulary != NULL)
		assert_memory_equal(a->vocabulary, b->vocabulary, 4 * b->classes);
	for (uint32_t i = 0; b->class_names != NULL && i < b->classes; i++)
		assert_string_equal(a->class_names[i], b->class_names[i]);
	check_part(&a->train, &b->train);
	check_part(&a->validation, &b->validation);
}

static void check_round_trip(const struct recipe *r)
{
	struct bytes bytes = {0};
	struct errmsg msg = {{0}};
	struct recipe got;

	sample_encode(r, &bytes);
	if (recipe_decode(&got, bytes_span(&bytes), &msg) != TK_OK)
		fail_msg("%s", msg.text);
	assert_string_equal(got.name, r->name);
	assert_int_equal(got.seed, r->seed);
	assert_int_equal(got.model.type, r->model.type);
	assert_int_equal(got.model.loss, r->model.loss);
	assert_memory_equal(got.model.image, r->model.image, sizeof(r->model.image));
	assert_int_equal(got.model.layer_count, r->model.layer_count);
	for (uint32_t i = 0; i < r->model.layer_count; i++)
		assert_memory_equal(
			&got.model.layers[i], &r->model.layers[i], sizeof(r->model.layers[i]));
	assert_memory_equal(&got.train, &r->train, sizeof(r->train));
	assert_memory_equal(&got.initial, &r->initial, sizeof(r->initial));
	check_data(&got.data, &r->data);
	recipe_close(&got);
	bytes_close(&bytes);
}

static void only_rules_other_than_the_mean_lengthen_a_recipe(void **state)
{
	struct bytes mean = {0}, krum = {0};
	struct sample s;

	(void)state;
	sample_text(&s);
	sample_encode(&s.recipe, &mean);
	s.recipe.train.merge = MERGE_MULTI_KRUM;
	s.recipe.train.merge_byzantine = 2;
	check_round_trip(&s.recipe);
	sample_encode(&s.recipe, &krum);
	assert_int_equal(krum.len, mean.len + 3 + 5);
	s.recipe.train.merge = MERGE_CENTERED_CLIP;
	s.recipe.train.merge_byzantine = 0;
	s.recipe.train.merge_iterations = 3;
	s.recipe.train.merge_radius = 0.25f;
	check_round_trip(&s.recipe);
	bytes_close(&mean);
	bytes_close(&krum);
}

static void what_is_encoded_decodes_the_same(void **state)
{
	struct sample s;

	(void)state;
	sample_text(&s);
	check_round_trip(&s.recipe);
	sample_table(&s);
	check_round_trip(&s.recipe);
	sample_image(&s);
	check_round_trip(&s.recipe);
	sample_number(&s);
	check_round_trip(&s.recipe);
	sample_bytes(&s);
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
	s.recipe.numerics = 1;
	sample_encode(&s.recipe, &bytes);
	assert_int_equal(bytes.len, 243);
	digest_bytes(&digest, bytes.data, bytes.len);
	digest_hex(hex, &digest);
	assert_string_equal(
		hex, "e7bb23ad2399101092135be94853365813fff672c2d797dc98e6c38eac7dcf51");
	bytes_close(&bytes);
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
	sample_encode(&s.recipe, &bytes);
	assert_int_equal(recipe_decode(&got, bytes_span(&bytes), &msg), TK_EUNSUPPORTED);
	bytes.data[1] = 1; /* the format */
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
	sample_encode(&s.recipe, &bytes);
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
	sample_encode(&s.recipe, &bytes);
	bytes.len -= 2 + DIGEST_BYTES; /* the last field again, with a byte more */
	pack_begin(&p, &bytes);
	pack_bin(&p, tail, sizeof(tail));
	assert_int_equal(pack_end(&p), TK_OK);
	assert_int_equal(recipe_decode(&got, bytes_span(&bytes), &msg), TK_EPROTO);
	assert_non_null(strstr(msg.text, "canonical"));
	bytes_close(&bytes);
}

static void mutate_recipe(const struct recipe *r, unsigned *passed, unsigned *refused)
{
	struct bytes bytes = {0};

	sample_encode(r, &bytes);
	for (uint64_t seed = 1; seed <= 20000; seed++) {
		uint8_t mutant[2048];
		uint64_t random = seed;
		struct bytes again = {0};
		struct errmsg msg;
		struct recipe got;
		size_t n;

		memcpy(mutant, bytes.data, bytes.len);
		n = mutate(&random, mutant, bytes.len, sizeof(mutant));
		if (recipe_decode(&got, span_of(mutant, n), &msg) != TK_OK) {
			++*refused;
			continue;
		}
		++*passed;
		sample_encode(&got, &again);
		if (recipe_validate(&got, &msg) != TK_OK ||
			!span_equal(bytes_span(&again), span_of(mutant, n)))
			fail_msg("an inconsistent recipe passed: %s, mutation seed %llu", r->name,
				(unsigned long long)seed);
		bytes_close(&again);
		recipe_close(&got);
	}
	bytes_close(&bytes);
}

static void mutated_recipes_are_refused_or_consistent(void **state)
{
	unsigned passed = 0;
	unsigned refused = 0;
	struct sample s;

	(void)state;
	sample_text(&s);
	mutate_recipe(&s.recipe, &passed, &refused);
	sample_image(&s);
	mutate_recipe(&s.recipe, &passed, &refused);
	assert_true(refused > 5000 && passed > 500);
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

/* The recipe (recipe_close) of a project whose file is its own data, and its description (free). */
static char *describe(struct scratch *scratch, const char *yaml, struct recipe *r)
{
	struct errmsg msg = {{0}};
	struct project p;
	char *text = NULL;
	size_t n = 0;
	FILE *f;

	assert_int_equal(scratch_write(scratch, yaml, strlen(yaml)), 0);
	assert_int_equal(project_read(&p, scratch->path, NULL, &msg), TK_OK);
	if (project_recipe(r, &p, NULL, &msg) != TK_OK)
		fail_msg("%s", msg.text);
	f = open_memstream(&text, &n);
	assert_non_null(f);
	project_describe(&p, r, f);
	fclose(f);
	return text;
}

#define TINY                                                                                       \
	"project: {name: tiny}\nmodel: {type: char-mlp, context: 2}\n"                             \
	"data: {path: p.yaml, format: text}\n"

static void a_project_becomes_a_recipe_and_is_described(void **state)
{
	struct scratch scratch;
	struct recipe r;
	char *text;

	(void)state;
	assert_int_equal(scratch_open(&scratch), 0);
	text = describe(&scratch, TINY, &r);
	assert_int_equal(r.seed, 1337);
	assert_string_equal(r.name, "tiny");
	assert_int_equal(r.data.context, 2);
	check_round_trip(&r);
	assert_non_null(strstr(text, "project     tiny\n"));
	assert_non_null(strstr(text, "model       char-mlp: 2 tokens → "));
	assert_non_null(strstr(text, "  linear        2                            256 "));
	assert_non_null(strstr(text, "trace       "));
	assert_non_null(strstr(text, "steps       400 in sequence, 3200 in all"));
	assert_non_null(strstr(text, "warning: one unit reads"));
	free(text);
	recipe_close(&r);
	scratch_close(&scratch);
}

static void the_last_layers_of_a_deep_model_are_described_too(void **state)
{
	struct scratch scratch;
	struct recipe r;
	char *text;

	(void)state;
	assert_int_equal(scratch_open(&scratch), 0);
	text = describe(&scratch,
		"project: {name: deep}\nmodel: {type: gpt, layers: 4, context: 4}\n"
		"data: {path: p.yaml, format: text}\n",
		&r);
	assert_non_null(strstr(text, "transformer.wte "));
	assert_non_null(strstr(text, "  … 16 more between\n"));
	assert_non_null(strstr(text, "lm_head "));
	recipe_close(&r);
	free(text);
	scratch_close(&scratch);
}

/* The state of a unit's place travels both ways. */
static void the_traffic_of_states_is_described_both_ways(void **state)
{
	struct scratch scratch;
	struct recipe r;
	char *text;

	(void)state;
	assert_int_equal(scratch_open(&scratch), 0);
	text = describe(&scratch, TINY, &r);
	assert_non_null(strstr(text, " down to each worker, "));
	recipe_close(&r);
	free(text);
	text = describe(&scratch, TINY "train: {compression: sparseloco}\n", &r);
	assert_non_null(strstr(text, " down to each worker and "));
	assert_non_null(strstr(text, " more with each unit, "));
	assert_non_null(strstr(text, " of what goes up for each unit, which the next one "));
	recipe_close(&r);
	free(text);
	scratch_close(&scratch);
}

/* The file is its own data: text of more than 60 characters. */
static void what_the_data_show_to_be_wrong_names_the_key(void **state)
{
	static const struct {
		const char *yaml, *error;
	} wrong[] = {
		{"project: {name: a}\nmodel: {type: gpt}\ndata: {path: none.txt}\n",
			"/p.yaml:3:8: cannot open "},
		{"project: {name: a}\nmodel: {type: gpt, context: 4}\n"
		 "data: {path: p.yaml, format: text, validation_path: p.yaml.not}\n",
			"/p.yaml:3:36: cannot open "},
		{"project: {name: a}\nmodel: {type: mlp}\n"
		 "data: {path: p.yaml, format: idx, labels: none.idx}\n",
			"/p.yaml:3:8: "},
		{"project: {name: a}\nmodel: {context: 4096, type: gpt}\n"
		 "data: {path: p.yaml, format: text}\n",
			"/p.yaml:3:8: "},
		{"project: {name: a}\nmodel:\n  type: layers\n  context: 4\n"
		 "  layers: [{embedding: {width: 2}}, relu]\ndata: {path: p.yaml, format: text}\n",
			"/p.yaml:5:3: the last layer gives 2 numbers"},
		{"project: {name: a}\nmodel:\n  type: layers\n  context: 4\n"
		 "  layers: [{embedding: {width: 2}}, {residual: [{linear: {width: 3}}]}, linear]\n"
		 "data: {path: p.yaml, format: text}\n",
			"/p.yaml:5:38: model.layers: residual: it gives 4 x 3 numbers"},
		{"project: {name: a}\nmodel:\n  type: layers\n  context: 4\n  layers:\n"
		 "  - {embedding: {width: 4}}\n  - {attention: {heads: 2}}\n  - flatten\n"
		 "  - {embedding: {width: 4}}\n  - linear\n"
		 "data: {path: p.yaml, format: text}\n",
			"/p.yaml:9:6: model.layers: embedding: an embedding is the first layer"},
		{"project: {name: a}\nmodel:\n  type: layers\n  context: 4\n  layers:\n"
		 "  - {embedding: {width: 4}}\n  - residual: [relu, {attention: {heads: 3}}]\n"
		 "  - linear\ndata: {path: p.yaml, format: text}\n",
			"/p.yaml:7:23: model.layers: attention: its 3 heads do not divide"},
		{"project: {name: a}\nmodel: {type: gpt, context: 4, init: none.st}\n"
		 "data: {path: p.yaml, format: text}\n",
			"/p.yaml:2:32: model.init: cannot open "},
	};
	struct scratch scratch;
	struct project p;
	struct recipe r;
	struct errmsg msg;

	(void)state;
	assert_int_equal(scratch_open(&scratch), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(scratch_write(&scratch, wrong[i].yaml, strlen(wrong[i].yaml)), 0);
		assert_int_equal(project_read(&p, scratch.path, NULL, &msg), TK_OK);
		assert_true(project_recipe(&r, &p, NULL, &msg) < 0);
		if (strstr(msg.text, wrong[i].error) == NULL)
			fail_msg("\"%s\" lacks \"%s\"", msg.text, wrong[i].error);
	}
	scratch_close(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_decodes_the_same),
		cmocka_unit_test(only_rules_other_than_the_mean_lengthen_a_recipe),
		cmocka_unit_test(the_bytes_are_pinned),
		cmocka_unit_test(another_version_is_told_apart_from_damage),
		cmocka_unit_test(truncated_and_padded_recipes_are_refused),
		cmocka_unit_test(digests_with_a_tail_are_not_canonical),
		cmocka_unit_test(mutated_recipes_are_refused_or_consistent),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(a_project_becomes_a_recipe_and_is_described),
		cmocka_unit_test(the_last_layers_of_a_deep_model_are_described_too),
		cmocka_unit_test(the_traffic_of_states_is_described_both_ways),
		cmocka_unit_test(what_the_data_show_to_be_wrong_names_the_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
