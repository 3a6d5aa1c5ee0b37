/* Whole trainings against training_reference.py, a second implementation of the specification: the same
 * recipes and shards, which training_reference.txt holds, on every engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/model/model.h"
#include "tasks/unit/shard_cache.h"
#include "tasks/unit/train.h"

#define REFERENCE   "tests/unit/training_reference.txt"
#define LINE_MAX    16384
#define ROUNDS_MOST 4

/* What the file says of a round. */
struct expected {
	char results[DIGEST_HEX];
	uint32_t skipped;
	uint32_t loss, validation, accuracy; /* as bits */
};

/* A project of the file, and its shards with those of all others. */
struct project {
	char name[64];
	struct recipe recipe;
	struct digest recipe_digest;
	struct bytes initial; /* of the recipe; empty: from its seed */
	struct shard_cache shards;
	struct expected rounds[ROUNDS_MOST];
	uint32_t round_count;
	char model[DIGEST_HEX];
};

static struct bytes unhex(const char *text)
{
	struct bytes b = {0};

	assert_int_equal(bytes_reserve(&b, strlen(text) / 2), TK_OK);
	b.len = strlen(text) / 2;
	assert_int_equal(hex_decode(b.data, b.len, text), TK_OK);
	return b;
}

static void take_shard(struct project *p, const char *hex)
{
	struct bytes shard = unhex(hex);
	struct digest digest;

	digest_blob(&digest, shard.data, shard.len);
	assert_int_equal(shard_cache_sink(&p->shards, &digest, bytes_span(&shard), NULL), TK_OK);
	bytes_close(&shard);
}

/* Reading a recipe takes nothing but its canonical bytes. */
static void take_recipe(struct project *p, const char *hex)
{
	struct bytes encoded = unhex(hex);
	struct errmsg msg = {""};

	recipe_close(&p->recipe);
	if (recipe_decode(&p->recipe, bytes_span(&encoded), &msg) != TK_OK)
		fail_msg("%s: %s", p->name, msg.text);
	digest_blob(&p->recipe_digest, encoded.data, encoded.len);
	p->round_count = 0;
	bytes_close(&p->initial);
	bytes_close(&encoded);
}

static void take_round(struct project *p, const char *line)
{
	struct expected *r = &p->rounds[p->round_count++];

	assert_true(p->round_count <= ROUNDS_MOST);
	assert_int_equal(sscanf(line, "%64s %u %x %x %x", r->results, &r->skipped, &r->loss,
				 &r->validation, &r->accuracy),
		5);
}

/* The next project of the file; false: there is none. */
static bool project_read(struct project *p, FILE *f)
{
	static char line[LINE_MAX];

	while (fgets(line, sizeof(line), f) != NULL) {
		char *value = strchr(line, ' ');

		assert_non_null(strchr(line, '\n'));
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#')
			continue;
		assert_non_null(value);
		*value++ = '\0';
		if (strcmp(line, "shard") == 0)
			take_shard(p, value);
		else if (strcmp(line, "project") == 0)
			snprintf(p->name, sizeof(p->name), "%s", value);
		else if (strcmp(line, "recipe") == 0)
			take_recipe(p, value);
		else if (strcmp(line, "initial") == 0)
			p->initial = unhex(value);
		else if (strcmp(line, "round") == 0)
			take_round(p, value);
		else if (strcmp(line, "model") == 0)
			return snprintf(p->model, sizeof(p->model), "%s", value) > 0;
		else
			fail_msg("%s has a line of \"%s\"", REFERENCE, line);
	}
	return false;
}

static uint32_t bits_of(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

/* A training, unit by unit. */
struct training {
	const struct project *project;
	struct compute compute;
	struct shard_source source;
	struct state_layout layout;
	size_t count;
	float *theta, *outer;
	struct bytes *states;	      /* (W) */
	struct digest *state_digests; /* (W) */
};

static void training_init(struct training *t, struct project *p, const struct engine *engine)
{
	const struct train_spec *spec = &p->recipe.train;

	*t = (struct training){.project = p,
		.compute = {.engine = engine},
		.source = {&p->shards, shard_cache_get}};
	assert_int_equal(unit_parameters(&p->recipe, &t->count, NULL), TK_OK);
	assert_int_equal(
		train_initial(&p->recipe, bytes_span(&p->initial), &t->theta, NULL), TK_OK);
	t->layout = state_layout(spec, t->count);
	t->outer = mem_floats(outer_state_floats(spec, t->count));
	t->states = mem_calloc(spec->units_per_round, sizeof(*t->states));
	t->state_digests = mem_calloc(spec->units_per_round, sizeof(*t->state_digests));
	assert_true(t->outer != NULL && t->states != NULL && t->state_digests != NULL);
}

static void training_close(struct training *t)
{
	for (uint32_t i = 0; i < t->project->recipe.train.units_per_round; i++)
		bytes_close(&t->states[i]);
	mem_free(t->states);
	mem_free(t->state_digests);
	mem_free(t->outer);
	mem_free(t->theta);
}

/* Runs unit `index`, merges it, and appends its result digest. */
static void train_unit(struct training *t, uint32_t round, uint32_t index, struct merge *merge,
	struct bytes *results)
{
	const struct recipe *recipe = &t->project->recipe;
	struct bytes parameters = {0};
	struct round_start start = {.states = t->state_digests};
	struct unit_input input = {.state = bytes_span(&t->states[index])};
	struct unit_result r = {0};
	struct errmsg msg = {""};
	struct digest digest;
	struct claim claim;
	struct unit u;

	assert_int_equal(parameters_encode(&parameters, t->theta, t->count), TK_OK);
	digest_blob(&start.parameters, parameters.data, parameters.len);
	input.parameters = bytes_span(&parameters);
	unit_describe(&u, &t->project->recipe_digest, round, index, &start);
	if (unit_run(recipe, &u, &t->compute, &input, &t->source, NULL, &r, &msg) != TK_OK)
		fail_msg("%s: %s", t->project->name, msg.text);
	claim_digest(&digest, bytes_span(&r.claim));
	assert_int_equal(bytes_append(results, digest.b, DIGEST_BYTES), TK_OK);
	assert_int_equal(claim_decode(&claim, bytes_span(&r.claim), NULL), TK_OK);
	assert_int_equal(merge_add(merge, &claim, bytes_span(&r.payload), NULL), TK_OK);
	if (claim.outcome == OUTCOME_UPDATE && t->layout.feedback > 0)
		assert_int_equal(state_set_feedback(&t->states[index], &t->layout,
					 payload_feedback(&merge->layout, bytes_span(&r.payload))),
			TK_OK);
	unit_result_close(&r);
	bytes_close(&parameters);
}

/* What the next round's units start from. */
static void carry_states(struct training *t, const struct merge *merge)
{
	for (uint32_t i = 0; i < t->project->recipe.train.units_per_round; i++) {
		struct bytes *state = &t->states[i];

		if (t->layout.moments > 0)
			assert_int_equal(
				state_set_moments(state, &t->layout, merge->moments), TK_OK);
		if (state->len > 0)
			digest_blob(&t->state_digests[i], state->data, state->len);
	}
}

static struct expected train_round(struct training *t, uint32_t round)
{
	const struct recipe *recipe = &t->project->recipe;
	uint32_t units = recipe->train.units_per_round;
	struct bytes results = {0};
	struct evaluation validation;
	struct expected got;
	struct digest digest;
	struct merge merge;
	float loss;

	assert_int_equal(merge_begin(&merge, recipe, &t->compute, NULL), TK_OK);
	for (uint32_t i = 0; i < units; i++)
		train_unit(t, round, i, &merge, &results);
	assert_int_equal(merge_finish(&merge, round, t->theta, t->outer, &loss, NULL), TK_OK);
	carry_states(t, &merge);
	assert_int_equal(
		evaluate(recipe, &t->compute, t->theta, &t->source, &validation, NULL), TK_OK);
	digest_bytes(&digest, results.data, results.len);
	digest_hex(got.results, &digest);
	got.skipped = units - merge.merged;
	got.loss = bits_of(loss);
	got.validation = bits_of(validation.loss);
	got.accuracy = bits_of(validation.accuracy);
	merge_close(&merge);
	bytes_close(&results);
	return got;
}

/* The number of things that differ. */
static int compare_round(const struct training *t, uint32_t round, const struct expected *got)
{
	const struct expected *want = &t->project->rounds[round];
	int wrong = 0;

	wrong += strcmp(got->results, want->results) != 0;
	wrong += got->skipped != want->skipped;
	wrong += got->loss != want->loss;
	wrong += got->validation != want->validation;
	wrong += got->accuracy != want->accuracy;
	if (wrong != 0)
		print_error("%s on %s, round %u: %s %u %08x %08x %08x\n", t->project->name,
			t->compute.engine->name, round, got->results, got->skipped, got->loss,
			got->validation, got->accuracy);
	return wrong;
}

static int compare_training(struct project *p, const struct engine *engine)
{
	struct training t;
	struct digest digest;
	char hex[DIGEST_HEX];
	int wrong = 0;

	training_init(&t, p, engine);
	assert_int_equal(p->round_count, p->recipe.train.rounds);
	for (uint32_t r = 0; r < p->round_count; r++) {
		struct expected got = train_round(&t, r);

		wrong += compare_round(&t, r, &got);
	}
	assert_int_equal(model_digest(&digest, t.theta, t.count), TK_OK);
	digest_hex(hex, &digest);
	if (strcmp(hex, p->model) != 0) {
		print_error("%s on %s, model: %s\n", p->name, engine->name, hex);
		wrong++;
	}
	training_close(&t);
	return wrong;
}

static FILE *reference_open(void)
{
	FILE *f = fopen(REFERENCE, "r");

	if (f == NULL)
		fail_msg("cannot read %s; run the test from the root of the sources", REFERENCE);
	return f;
}

static void project_close(struct project *p)
{
	recipe_close(&p->recipe);
	bytes_close(&p->initial);
	shard_cache_close(&p->shards);
}

static void every_engine_claims_and_merges_what_the_reference_does(void **state)
{
	FILE *f = reference_open();
	struct project p = {0};
	int projects = 0, wrong = 0;

	(void)state;
	while (project_read(&p, f)) {
		projects++;
		for (const struct engine *const *e = engine_all(); *e != NULL; e++)
			wrong += compare_training(&p, *e);
	}
	assert_int_equal(wrong, 0);
	assert_true(projects >= 10);
	project_close(&p);
	fclose(f);
}

static void trainer_gives_the_model_of_the_reference(void **state)
{
	FILE *f = reference_open();
	struct project p = {0};

	(void)state;
	while (project_read(&p, f)) {
		const struct shard_source source = {&p.shards, shard_cache_get};
		struct errmsg msg = {""};
		struct digest digest;
		char hex[DIGEST_HEX];
		float *parameters;

		if (train_run(&p.recipe, engine_best(), bytes_span(&p.initial), &source, 2, NULL,
			    &parameters, &digest, &msg) != TK_OK)
			fail_msg("%s: %s", p.name, msg.text);
		digest_hex(hex, &digest);
		if (strcmp(hex, p.model) != 0)
			fail_msg("%s: %s", p.name, hex);
		mem_free(parameters);
	}
	project_close(&p);
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_engine_claims_and_merges_what_the_reference_does),
		cmocka_unit_test(trainer_gives_the_model_of_the_reference),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("training reference", tests, NULL, NULL);
}
