/* Fifty training steps of each preset, and whole trainings of every kind, against the digests in
 * training_golden.txt: on every engine that this machine has, with 1, 2, 3 and 7 threads.
 *
 * The models are just large enough for threads to share their operations. The file was written by this
 * program; what pins the operations themselves to a second implementation is tests/math/test_golden.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/math/pool.h"
#include "tasks/project/presets.h"
#include "tasks/unit/train.h"
#include "tests/lib/slice.h"
#include "tests/lib/tiny.h"

#define GOLDEN "tests/unit/training_golden.txt"

/* Larger than what tiny.c makes. */
static struct model_settings settings_of(enum model_type type)
{
	struct model_settings s = {.type = type, .activation = LAYER_RELU};

	s.hidden = (struct widths){1, {96}};
	switch (type) {
	case MODEL_CHAR_MLP:
		s.activation = LAYER_TANH;
		s.embedding = 16;
		break;
	case MODEL_CNN:
		s.image = (struct widths){3, {1, 8, 8}};
		s.channels = (struct widths){2, {8, 16}};
		s.kernel = 3;
		break;
	case MODEL_GPT:
		s = (struct model_settings){.type = type,
			.activation = LAYER_GELU,
			.blocks = 2,
			.heads = 4,
			.width = 32,
			.dropout = 0.1f,
			.bias = true,
			.tie = true};
		break;
	case MODEL_LOGISTIC:
		s.hidden.count = 0;
		break;
	default:
		break;
	}
	return s;
}

/* What is left out is as in tiny.c: AdamW with a fresh state, int8. */
struct golden {
	const char *name;
	enum model_type type;
	void (*adjust)(struct train_spec *t);
};

static void use_sgd(struct train_spec *t)
{
	t->optimizer = OPTIMIZER_SGD;
	t->beta1 = t->beta2 = t->epsilon = 0;
	t->momentum = 0.9f;
	t->nesterov = true;
	t->schedule = SCHEDULE_LINEAR;
	t->learning_rate_end = 0.1f;
	t->weight_decay = 0.01f;
	t->compression = COMPRESSION_NONE;
}

static void one_unit(struct train_spec *t)
{
	t->units_per_round = 1;
	t->rounds = 1;
	t->inner_steps = 50;
	t->warmup_steps = 12;
	t->trace_every = 7;
}

static void one_unit_of_sgd(struct train_spec *t)
{
	use_sgd(t);
	one_unit(t);
	t->batch_size = 640; /* less, and nothing of so small a model is shared */
}

static void averaged_sparse(struct train_spec *t)
{
	t->inner_state = INNER_AVERAGE;
	t->compression = COMPRESSION_SPARSELOCO;
	t->run_warmup_steps = 8;
	t->accumulate = 4;
	t->outer = OUTER_SGD;
	t->outer_momentum = 0;
	t->units_per_round = 2;
	t->rounds = 5;
}

static void averaged_sgd(struct train_spec *t)
{
	use_sgd(t);
	t->inner_state = INNER_AVERAGE;
	t->compression = COMPRESSION_BF16;
}

static void gradients(struct train_spec *t)
{
	t->mode = MODE_GRADIENT;
	t->optimizer = 0;
	t->inner_state = 0;
	t->beta1 = t->beta2 = t->epsilon = 0;
	t->warmup_steps = 0;
	t->inner_steps = 2;
	t->trace_every = 1;
	t->rounds = 13;
	t->units_per_round = 2;
	t->compression = COMPRESSION_FP16;
	t->outer = OUTER_ADAMW;
	t->outer_momentum = 0;
	t->outer_beta1 = 0.9f;
	t->outer_beta2 = 0.95f;
	t->outer_epsilon = 1e-8f;
	t->outer_weight_decay = 0.1f;
}

/* One unit of 50 steps each: the digest is that of loss, payload and trace, but not of the header, which
 * depends on more than arithmetic. Then 50 steps and more in several units and rounds: the digest is the
 * model's. */
static const struct golden goldens[] = {
	{"logistic", MODEL_LOGISTIC, one_unit_of_sgd},
	{"mlp", MODEL_MLP, one_unit},
	{"char-mlp", MODEL_CHAR_MLP, one_unit},
	{"cnn", MODEL_CNN, one_unit},
	{"gpt", MODEL_GPT, one_unit},
	{"mlp-averaged-sgd", MODEL_MLP, averaged_sgd},
	{"cnn-gradients", MODEL_CNN, gradients},
	{"gpt-averaged-sparse", MODEL_GPT, averaged_sparse},
};
#define GOLDENS (sizeof(goldens) / sizeof(goldens[0]))

static void golden_init(struct tiny *t, const struct golden *g)
{
	struct model_settings settings = settings_of(g->type);
	struct bytes encoded = {0};
	struct errmsg msg = {""};

	/* An image's 64 numbers make products of tables, too, large enough to be shared. */
	assert_true(tiny_init(
		t, g->type == MODEL_LOGISTIC || g->type == MODEL_MLP ? MODEL_CNN : g->type));
	model_spec_close(&t->recipe.model);
	assert_int_equal(model_expand(&t->recipe.model, &settings, &t->recipe.data, &msg), TK_OK);
	t->recipe.train.batch_size = 32;
	g->adjust(&t->recipe.train);
	if (recipe_validate(&t->recipe, &msg) != TK_OK)
		fail_msg("%s: %s", g->name, msg.text);
	assert_int_equal(recipe_encode(&t->recipe, &encoded, NULL), TK_OK);
	digest_blob(&t->recipe_digest, encoded.data, encoded.len);
	bytes_close(&encoded);
}

static void digest_result(struct digest *out, const struct unit_result *r)
{
	struct bytes loss = {0};
	struct span fields[3];
	struct claim claim;

	assert_int_equal(claim_decode(&claim, bytes_span(&r->claim), NULL), TK_OK);
	assert_int_equal(claim.outcome, OUTCOME_UPDATE);
	assert_int_equal(parameters_encode(&loss, &claim.loss, 1), TK_OK);
	fields[0] = bytes_span(&loss);
	fields[1] = bytes_span(&r->payload);
	fields[2] = span_of(r->leaves + 1, DIGEST_BYTES * (size_t)(r->leaf_count - 1));
	digest_fields(out, "talkoot golden", fields, 3);
	bytes_close(&loss);
}

static void trace_of_unit(struct tiny *t, const struct compute *c, struct digest *out)
{
	struct bytes encoded = {0};
	struct round_start start = {0};
	struct unit_result r = {0};
	struct unit_input input = {0};
	struct errmsg msg = {""};
	struct unit unit;
	float *theta;
	size_t n;

	assert_int_equal(unit_parameters(&t->recipe, &n, NULL), TK_OK);
	assert_int_equal(train_initial(&t->recipe, span_of("", 0), &theta, NULL), TK_OK);
	assert_int_equal(parameters_encode(&encoded, theta, n), TK_OK);
	digest_blob(&start.parameters, encoded.data, encoded.len);
	unit_describe(&unit, &t->recipe_digest, 0, 0, &start);
	input.parameters = bytes_span(&encoded);
	if (unit_run(&t->recipe, &unit, c, &input, &t->source, NULL, &r, &msg) != TK_OK)
		fail_msg("%s", msg.text);
	digest_result(out, &r);
	unit_result_close(&r);
	bytes_close(&encoded);
	mem_free(theta);
}

static void golden_digest(
	struct tiny *t, const struct engine *e, uint32_t threads, char hex[DIGEST_HEX])
{
	struct compute c = {.engine = e};
	struct errmsg msg = {""};
	float *parameters = NULL;
	struct digest digest;

	if (t->recipe.train.rounds == 1) {
		if (threads > 1)
			assert_int_equal(pool_new(&c.pool, threads, NULL), TK_OK);
		trace_of_unit(t, &c, &digest);
		pool_free(c.pool);
	} else if (train_run(&t->recipe, e, span_of("", 0), &t->source, threads, NULL, &parameters,
			   &digest, &msg) != TK_OK) {
		fail_msg("%s", msg.text);
	}
	mem_free(parameters);
	digest_hex(hex, &digest);
}

/* The digest of that name in the file. */
static void golden_find(const char *name, char hex[DIGEST_HEX])
{
	FILE *f = fopen(GOLDEN, "r");
	char line[256], word[64];
	bool found = false;

	if (f == NULL)
		fail_msg("%s is missing: tests run in the top folder", GOLDEN);
	while (!found && f != NULL && fgets(line, sizeof(line), f) != NULL)
		found = line[0] != '#' && sscanf(line, "%63s %64s", word, hex) == 2 &&
			strcmp(word, name) == 0;
	if (f != NULL)
		fclose(f);
	if (!found)
		fail_msg("%s has no digest of %s", GOLDEN, name);
}

static void check(const struct golden *g, const struct engine *e, uint32_t count)
{
	char got[DIGEST_HEX], want[DIGEST_HEX];
	uint64_t jobs = pool_jobs();
	struct tiny t;

	golden_find(g->name, want);
	golden_init(&t, g);
	golden_digest(&t, e, count, got);
	if (count > 1 && pool_jobs() == jobs)
		fail_msg("%s: %u threads shared no operation", g->name, count);
	if (strcmp(got, want) != 0)
		fail_msg("%s with %u threads gives\n%s %s", e->name, count, g->name, got);
	tiny_close(&t);
}

static unsigned engine_count(void)
{
	unsigned count = 0;

	while (engine_all()[count] != NULL)
		count++;
	return count;
}

/* Each on all engines, or in a slice on one of them, another one for the next: each engine has its turn. */
static bool has_turn(size_t golden, size_t engine)
{
	unsigned turns = slice(1, engine_count());

	return golden % turns == engine % turns;
}

static void every_engine_trains_to_the_golden_digests(void **state)
{
	(void)state;
	for (size_t i = 0; i < slice(GOLDENS, engine_count()) && i < GOLDENS; i++) {
		for (size_t e = 0; engine_all()[e] != NULL; e++) {
			if (has_turn(i, e))
				check(&goldens[i], engine_all()[e], 1);
		}
	}
}

/* Sanitizers see with one count of threads what they see with another. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const uint32_t threads[] = {3};
#else
static const uint32_t threads[] = {2, 3, 7};
#endif

static void any_number_of_threads_trains_to_the_golden_digests(void **state)
{
	(void)state;
	for (size_t i = 0; i < GOLDENS; i++) {
		for (size_t e = 0; engine_all()[e] != NULL; e++) {
			if (!has_turn(i + 1, e))
				continue;
			for (size_t k = 0; k < sizeof(threads) / sizeof(threads[0]); k++)
				check(&goldens[i], engine_all()[e], threads[k]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_engine_trains_to_the_golden_digests),
		cmocka_unit_test(any_number_of_threads_trains_to_the_golden_digests),
	};

	if (crypto_start() != TK_OK || engine_enter_thread(NULL) != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("golden training", tests, NULL, NULL);
}
