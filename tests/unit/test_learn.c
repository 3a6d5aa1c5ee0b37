/* Whole projects as people write them, from the file to a trained model: numbers of a table, bytes of
 * a file that is no text, colour images. Each has to learn, not only to run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tasks/base/bytes.h"
#include "tasks/base/mem.h"
#include "tasks/math/philox.h"
#include "tasks/project/project.h"
#include "tasks/unit/shard_cache.h"
#include "tasks/unit/train.h"

#define STREAM_TEST 1000

struct trial {
	char folder[64];
	struct evaluation first, last; /* after the first and the last round */
	float target_mean, target_deviation;
	uint32_t classes;
};

static int trial_begin(void **state)
{
	struct trial *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	strcpy(t->folder, "/tmp/talkoot-learn-XXXXXX");
	assert_non_null(mkdtemp(t->folder));
	*state = t;
	return 0;
}

static const char *trial_path(const struct trial *t, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", t->folder, name);
	return path;
}

static int trial_end(void **state)
{
	static const char *const names[] = {"project.yaml", "data", "labels"};
	struct trial *t = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		unlink(trial_path(t, names[i]));
	assert_int_equal(rmdir(t->folder), 0);
	free(t);
	return 0;
}

static void write_file(const struct trial *t, const char *name, const void *data, size_t n)
{
	FILE *file = fopen(trial_path(t, name), "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
}

static int note_round(void *context, const struct train_round *round)
{
	struct trial *t = context;

	if (round->round == 0)
		t->first = round->validation;
	t->last = round->validation;
	return 0;
}

/* Reads the project and trains it with two threads; the data must be there. */
static void learn(struct trial *t, const char *yaml)
{
	struct shard_cache cache = {0};
	struct shard_sink sink = {&cache, shard_cache_sink};
	struct shard_source source = {&cache, shard_cache_get};
	struct train_watch watch = {.context = t, .round = note_round};
	struct bytes errors = {0};
	struct errmsg msg = {""};
	struct project project;
	struct recipe recipe;
	struct digest digest;
	float *parameters = NULL;
	int rc;

	write_file(t, "project.yaml", yaml, strlen(yaml));
	rc = project_read(&project, trial_path(t, "project.yaml"), &errors, &msg);
	if (rc != TK_OK)
		fail_msg("%s %s", msg.text, errors.len != 0 ? (char *)errors.data : "");
	rc = project_recipe(&recipe, &project, &sink, &msg);
	if (rc == TK_OK)
		rc = train_run(&recipe, engine_best(), span_of("", 0), &source, 2, &watch,
			&parameters, &digest, &msg);
	if (rc != TK_OK)
		fail_msg("%s: %s", error_name(rc), msg.text);
	t->target_mean = recipe.data.target_mean;
	t->target_deviation = recipe.data.target_deviation;
	t->classes = recipe.data.classes;
	print_message("validation loss %.4f, then %.4f, accuracy %.3f\n", (double)t->first.loss,
		(double)t->last.loss, (double)t->last.accuracy);
	mem_free(parameters);
	recipe_close(&recipe);
	bytes_close(&errors);
	shard_cache_close(&cache);
}

static float uniform(uint64_t counter)
{
	return philox_uniform(7, STREAM_TEST, 0, counter);
}

/* price = 50 + 30·size − 20·(age of the house) + (15 where it is red) + noise of ±2. Guessing the
 * mean costs 1 in standardised units; the noise alone less than 0.02. */
static void write_prices(const struct trial *t)
{
	struct bytes csv = {0};

	assert_int_equal(bytes_append(&csv, "size,colour,age,price\n", 22), TK_OK);
	for (uint64_t i = 0; i < 1500; i++) {
		double size = (double)uniform(4 * i);
		double age = (double)uniform(4 * i + 1);
		bool red = uniform(4 * i + 2) < 0.5f;
		double noise = 4 * (double)uniform(4 * i + 3) - 2;
		double price = 50 + 30 * size - 20 * age + (red ? 15 : 0) + noise;
		char row[96];
		int n = snprintf(row, sizeof(row), "%.4f,%s,%.4f,%.3f\n", 200 * size,
			red ? "red" : "blue", 90 * age, price);

		assert_int_equal(bytes_append(&csv, row, (size_t)n), TK_OK);
	}
	write_file(t, "data", csv.data, csv.len);
	bytes_close(&csv);
}

static void prices_are_predicted_far_better_than_by_their_mean(void **state)
{
	struct trial *t = *state;

	write_prices(t);
	learn(t, "project: {name: prices, seed: 1}\n"
		 "model: {type: mlp, hidden: [16]}\n"
		 "data: {path: data, format: csv, label: price, predict: number}\n"
		 "train: {batch_size: 32, rounds: 6, units_per_round: 2, inner_steps: 30}\n");
	assert_int_equal(t->classes, 0);
	assert_true(t->target_mean > 55 && t->target_mean < 70);
	assert_true(t->target_deviation > 10 && t->target_deviation < 20);
	assert_int_equal(t->last.samples, 150);
	assert_true(t->last.loss < 0.1f);
	assert_true(isnan(t->last.accuracy));
}

/* A line through the same data: type: logistic has no hidden layer, so this is linear regression. */
static void linear_regression_is_a_model_without_hidden_layers(void **state)
{
	struct trial *t = *state;

	write_prices(t);
	learn(t, "project: {name: line, seed: 1}\n"
		 "model: {type: logistic}\n"
		 "data: {path: data, format: csv, predict: number}\n"
		 "train: {batch_size: 32, rounds: 6, units_per_round: 2, inner_steps: 30, "
		 "learning_rate: 0.03}\n");
	assert_true(t->last.loss < 0.1f);
}

/* Records of 8 bytes: a mark that is no UTF-8, a counter, its square and its complement, zeros. A guess
 * costs ln 256 = 5.5. */
static void write_records(const struct trial *t)
{
	uint8_t data[8 * 1500];

	for (size_t i = 0; i < sizeof(data) / 8; i++) {
		uint8_t counter = (uint8_t)(i * 7 % 16);
		const uint8_t record[8] = {
			0xff, 0xc0, counter, (uint8_t)(counter * counter), (uint8_t)~counter};

		memcpy(data + 8 * i, record, 8);
	}
	write_file(t, "data", data, sizeof(data));
}

static void a_binary_file_is_learnt_by_a_char_mlp(void **state)
{
	struct trial *t = *state;

	write_records(t);
	learn(t, "project: {name: records, seed: 1}\n"
		 "model: {type: char-mlp, context: 8, embedding: 8, hidden: [64]}\n"
		 "data: {path: data, format: text, tokens: bytes}\n"
		 "train: {batch_size: 32, rounds: 5, units_per_round: 2, inner_steps: 30}\n");
	assert_int_equal(t->classes, BYTE_CLASSES);
	assert_true(t->last.loss < 0.5f);
	assert_true(t->last.accuracy > 0.8f);
}

/* At a window's first positions, of which all count, nobody could know the counter. */
static void a_binary_file_is_learnt_by_a_gpt(void **state)
{
	struct trial *t = *state;

	write_records(t);
	learn(t, "project: {name: records, seed: 1}\n"
		 "model: {type: gpt, context: 16, layers: 1, heads: 2, width: 32}\n"
		 "data: {path: data, format: text, tokens: bytes}\n"
		 "train: {batch_size: 16, rounds: 5, units_per_round: 2, inner_steps: 30}\n");
	assert_int_equal(t->classes, BYTE_CLASSES);
	assert_true(t->last.loss < 0.8f);
	assert_true(t->last.accuracy > 0.75f);
}

/* Noise in three channels; the channel that is brighter is the class. The cnn takes the shape
 * from the file. */
static void colour_images_are_learnt_by_a_cnn(void **state)
{
	enum { N = 1200, EACH = 3 * 6 * 6 };
	static uint8_t images[20 + N * EACH] = {
		0, 0, 8, 4, 0, 0, N >> 8, N & 255, 0, 0, 0, 3, 0, 0, 0, 6, 0, 0, 0, 6};
	static uint8_t labels[8 + N] = {0, 0, 8, 1, 0, 0, N >> 8, N & 255};
	struct trial *t = *state;

	for (uint32_t i = 0; i < N; i++) {
		uint8_t label = (uint8_t)(3 * uniform(i));

		labels[8 + i] = label;
		for (uint32_t k = 0; k < EACH; k++) {
			float v = 200 * uniform(N + i * EACH + k);

			images[20 + i * EACH + k] = (uint8_t)(v + (k / 36 == label ? 55 : 0));
		}
	}
	write_file(t, "data", images, sizeof(images));
	write_file(t, "labels", labels, sizeof(labels));
	learn(t, "project: {name: colours, seed: 1}\n"
		 "model: {type: cnn, channels: [4], hidden: [16]}\n"
		 "data: {path: data, labels: labels, format: idx}\n"
		 "train: {batch_size: 32, rounds: 5, units_per_round: 2, inner_steps: 20}\n");
	assert_int_equal(t->classes, 3);
	assert_true(t->last.accuracy > 0.9f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			prices_are_predicted_far_better_than_by_their_mean, trial_begin, trial_end),
		cmocka_unit_test_setup_teardown(
			linear_regression_is_a_model_without_hidden_layers, trial_begin, trial_end),
		cmocka_unit_test_setup_teardown(
			a_binary_file_is_learnt_by_a_char_mlp, trial_begin, trial_end),
		cmocka_unit_test_setup_teardown(
			a_binary_file_is_learnt_by_a_gpt, trial_begin, trial_end),
		cmocka_unit_test_setup_teardown(
			colour_images_are_learnt_by_a_cnn, trial_begin, trial_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
