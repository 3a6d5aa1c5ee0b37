/* model.init: a project that begins with parameters from a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/base/file.h"
#include "tasks/base/mem.h"
#include "tasks/model/safetensors.h"
#include "tasks/project/project.h"
#include "tasks/unit/shard_cache.h"
#include "tasks/unit/train.h"
#include "tests/project/scratch.h"

#define TRAIN                                                                                      \
	"data: {path: data.csv}\n"                                                                 \
	"train: {rounds: 2, units_per_round: 2, inner_steps: 3, batch_size: 8}\n"
#define FROM_SEED "project: {name: a}\nmodel: {type: mlp, hidden: [5]}\n" TRAIN
#define FROM_FILE                                                                                  \
	"project: {name: a}\nmodel: {type: mlp, hidden: [5], init: own.safetensors}\n" TRAIN
#define NARROWER                                                                                   \
	"project: {name: a}\nmodel: {type: mlp, hidden: [4], init: own.safetensors}\n" TRAIN

static void put(const struct scratch *s, const char *name, struct span bytes)
{
	struct errmsg msg = {""};
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", s->folder, name);
	if (file_replace_unsynced(path, bytes, 0644, &msg) != TK_OK)
		fail_msg("%s", msg.text);
}

static void put_data(const struct scratch *s)
{
	struct bytes text = {0};
	uint64_t state = 3;

	for (int i = 0; i < 60; i++) {
		char line[64];
		int n = snprintf(line, sizeof(line), "%u,%u,%c\n",
			(unsigned)(random_next(&state) % 100),
			(unsigned)(random_next(&state) % 100), 'x' + i % 3);

		assert_int_equal(bytes_append(&text, line, (size_t)n), TK_OK);
	}
	put(s, "data.csv", bytes_span(&text));
	bytes_close(&text);
}

/* A project with what it takes to train it. */
struct opened {
	struct project project;
	struct recipe recipe;
	struct shard_cache cache;
};

static int open_project(
	struct opened *o, const struct scratch *s, const char *yaml, struct errmsg *msg)
{
	struct shard_sink sink = {&o->cache, shard_cache_sink};

	memset(o, 0, sizeof(*o));
	assert_int_equal(scratch_write(s, yaml, strlen(yaml)), 0);
	if (project_read(&o->project, s->path, NULL, msg) != TK_OK)
		fail_msg("%s", msg->text);
	return project_recipe(&o->recipe, &o->project, &sink, msg);
}

static void open_good(struct opened *o, const struct scratch *s, const char *yaml)
{
	struct errmsg msg = {""};

	if (open_project(o, s, yaml, &msg) != TK_OK)
		fail_msg("%s", msg.text);
}

static void close_project(struct opened *o)
{
	recipe_close(&o->recipe);
	shard_cache_close(&o->cache);
}

static void initial_of(const struct opened *o, struct bytes *out)
{
	struct errmsg msg = {""};

	*out = (struct bytes){0};
	if (project_initial(out, &o->project, &o->recipe, &msg) != TK_OK)
		fail_msg("%s", msg.text);
}

static int train(const struct opened *o, struct span initial, float **parameters,
	struct digest *model, struct errmsg *msg)
{
	const struct shard_source source = {(void *)&o->cache, shard_cache_get};

	return train_run(
		&o->recipe, engine_best(), initial, &source, 1, NULL, parameters, model, msg);
}

/* Trains and closes; gives θ and the model's digest. */
static float *train_whole(struct opened *o, struct digest *model)
{
	struct errmsg msg = {""};
	struct bytes initial;
	float *parameters = NULL;

	initial_of(o, &initial);
	if (train(o, bytes_span(&initial), &parameters, model, &msg) != TK_OK)
		fail_msg("%s", msg.text);
	bytes_close(&initial);
	return parameters;
}

static void put_parameters(const struct scratch *s, const struct opened *o, const float *parameters)
{
	struct errmsg msg = {""};
	struct bytes file = {0};
	struct model m;

	assert_int_equal(model_init(&m, &o->recipe.model, &o->recipe.data, &msg), TK_OK);
	assert_int_equal(safetensors_encode(&file, &m, parameters, NULL, &msg), TK_OK);
	put(s, "own.safetensors", bytes_span(&file));
	bytes_close(&file);
	model_close(&m);
}

static void the_seeds_own_parameters_from_a_file_train_alike(void **state)
{
	struct scratch *s = *state;
	struct opened seed;
	struct opened file;
	struct digest models[2];
	struct digest named;
	struct bytes initial;
	float *theta;

	open_good(&seed, s, FROM_SEED);
	assert_true(digest_is_zero(&seed.recipe.initial));
	initial_of(&seed, &initial);
	assert_int_equal(initial.len, 0);
	assert_int_equal(train_initial(&seed.recipe, bytes_span(&initial), &theta, NULL), TK_OK);
	put_parameters(s, &seed, theta);
	open_good(&file, s, FROM_FILE);
	initial_of(&file, &initial);
	digest_blob(&named, initial.data, initial.len);
	assert_memory_equal(&named, &file.recipe.initial, sizeof(named));
	assert_memory_equal(initial.data, theta, initial.len);
	bytes_close(&initial);
	mem_free(theta);
	mem_free(train_whole(&seed, &models[0]));
	mem_free(train_whole(&file, &models[1]));
	assert_memory_equal(&models[0], &models[1], sizeof(models[0]));
	close_project(&seed);
	close_project(&file);
}

static void a_trained_model_is_trained_further(void **state)
{
	struct scratch *s = *state;
	struct digest first;
	struct digest second;
	struct digest begin;
	struct opened o;
	struct bytes initial;
	float *theta;

	open_good(&o, s, FROM_SEED);
	theta = train_whole(&o, &first);
	put_parameters(s, &o, theta);
	mem_free(theta);
	close_project(&o);
	open_good(&o, s, FROM_FILE);
	initial_of(&o, &initial);
	assert_int_equal(train_initial(&o.recipe, bytes_span(&initial), &theta, NULL), TK_OK);
	assert_int_equal(model_digest(&begin, theta, initial.len / 4), TK_OK);
	assert_memory_equal(&begin, &first, sizeof(begin));
	mem_free(theta);
	bytes_close(&initial);
	mem_free(train_whole(&o, &second));
	assert_memory_not_equal(&second, &first, sizeof(first));
	close_project(&o);
}

static void other_files_are_refused_with_the_reason(void **state)
{
	struct scratch *s = *state;
	struct opened o;
	struct errmsg msg = {""};
	char path[128];

	assert_int_equal(open_project(&o, s, NARROWER, &msg), TK_EINVAL);
	assert_non_null(strstr(msg.text, "model.init: /tmp/"));
	assert_non_null(strstr(msg.text, "own.safetensors: 0.weight has the shape (5, 2) in the "
					 "file and (4, 2) in this model"));
	close_project(&o);
	put(s, "own.safetensors", span_text("PK, a pickle from torch.save"));
	assert_int_equal(open_project(&o, s, FROM_FILE, &msg), TK_ECORRUPT);
	assert_non_null(strstr(msg.text, "another format"));
	close_project(&o);
	snprintf(path, sizeof(path), "%s/own.safetensors", s->folder);
	unlink(path);
	assert_int_equal(open_project(&o, s, FROM_FILE, &msg), TK_ENOENT);
	assert_non_null(strstr(msg.text, "model.init: "));
	close_project(&o);
}

static void a_file_that_changes_meanwhile_is_refused(void **state)
{
	struct scratch *s = *state;
	float *theta = NULL;
	struct errmsg msg = {""};
	struct digest model;
	struct bytes initial;
	struct opened o;
	int rc;

	open_good(&o, s, FROM_SEED);
	assert_int_equal(train_initial(&o.recipe, span_of("", 0), &theta, NULL), TK_OK);
	put_parameters(s, &o, theta);
	close_project(&o);
	open_good(&o, s, FROM_FILE);
	theta[3] += 1;
	put_parameters(s, &o, theta);
	mem_free(theta);
	initial_of(&o, &initial);
	rc = train(&o, bytes_span(&initial), &theta, &model, &msg);
	assert_int_equal(rc, TK_ECORRUPT);
	bytes_close(&initial);
	close_project(&o);
}

static void every_allocation_may_fail(void **state)
{
	struct scratch *s = *state;
	struct opened o;
	uint64_t after;

	open_good(&o, s, FROM_FILE);
	for (after = 1;; after++) {
		struct bytes initial = {0};
		struct errmsg msg = {""};
		int rc;

		mem_fail(after, 0);
		rc = project_initial(&initial, &o.project, &o.recipe, &msg);
		mem_fail(0, 0);
		assert_true((rc == TK_OK) == (initial.len != 0));
		bytes_close(&initial);
		if (rc == TK_OK)
			break;
		assert_int_equal(rc, TK_ENOMEM);
		assert_true(msg.text[0] != '\0');
	}
	assert_true(after > 4);
	close_project(&o);
}

static int setup(void **state)
{
	static struct scratch s;

	*state = &s;
	if (scratch_open(&s) != 0)
		return -1;
	put_data(&s);
	return 0;
}

static int teardown(void **state)
{
	struct scratch *s = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/data.csv", s->folder);
	unlink(path);
	snprintf(path, sizeof(path), "%s/own.safetensors", s->folder);
	unlink(path);
	scratch_close(s);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_seeds_own_parameters_from_a_file_train_alike),
		cmocka_unit_test(a_trained_model_is_trained_further),
		cmocka_unit_test(other_files_are_refused_with_the_reason),
		cmocka_unit_test(a_file_that_changes_meanwhile_is_refused),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
