/* project.yaml that is right: the example, the defaults, the ways of writing; and hostile mutations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "tasks/base/mem.h"
#include "tasks/project/keys.h"
#include "tasks/project/project.h"
#include "tests/project/scratch.h"

static const char example[] =
	"project: {name: licences, seed: 1337}\n"
	"model:   {type: char-mlp, context: 16, embedding: 24, hidden: [256]}\n"
	"data:    {path: corpus.txt, format: text, validation_fraction: 0.1}\n"
	"train:   {optimizer: adamw, learning_rate: 4.0e-3, batch_size: 64, rounds: 20, "
	"units_per_round: 8, inner_steps: 20,\n"
	"          outer: {optimizer: nesterov, learning_rate: 1.0, momentum: 0.5}}\n"
	"verify:  {policy: full, quorum: 2}\n";

/* Reads the text as the scratch folder's project file and wants it to be right. */
static void read_good(void **state, struct project *p, const char *text)
{
	struct scratch *s = *state;
	struct bytes errors = {0};
	struct errmsg msg = {{0}};

	assert_int_equal(scratch_write(s, text, strlen(text)), 0);
	if (project_read(p, s->path, &errors, &msg) != TK_OK)
		fail_msg("%s", (const char *)errors.data);
	assert_int_equal(errors.len, 0);
	bytes_close(&errors);
}

static void the_example_is_read_as_it_stands(void **state)
{
	struct scratch *s = *state;
	char path[128];
	struct project p;

	read_good(state, &p, example);
	snprintf(path, sizeof(path), "%s/corpus.txt", s->folder);
	assert_string_equal(p.name, "licences");
	assert_int_equal(p.seed, 1337);
	assert_int_equal(p.model.type, MODEL_CHAR_MLP);
	assert_int_equal(p.model.activation, ACTIVATION_TANH);
	assert_int_equal(p.model.embedding, 24);
	assert_int_equal(p.model.hidden_count, 1);
	assert_int_equal(p.model.hidden[0], 256);
	assert_int_equal(p.data.format, DATA_TEXT);
	assert_string_equal(p.data.path, path);
	assert_int_equal(p.data.context, 16);
	assert_int_equal(p.data.seed, 1337);
	assert_true(p.data.validation_fraction == 0.1);
	assert_true(p.train.learning_rate == 0.004f);
	assert_int_equal(p.train.batch_size, 64);
	assert_int_equal(p.train.rounds, 20);
	assert_int_equal(p.train.units_per_round, 8);
	assert_int_equal(p.train.inner_steps, 20);
	assert_int_equal(p.train.outer, OUTER_NESTEROV);
	assert_true(p.train.outer_learning_rate == 1.0f && p.train.outer_momentum == 0.5f);
	assert_int_equal(p.policy, VERIFY_FULL);
	assert_int_equal(p.quorum, 2);
}

static void the_defaults_are_the_default_recipe(void **state)
{
	struct project full;
	struct project p;

	read_good(state, &full, example);
	read_good(state, &p,
		"project: {name: licences}\n"
		"model: {type: char-mlp}\n"
		"data: {path: corpus.txt}\n");
	assert_memory_equal(&p, &full, sizeof(p));
	assert_int_equal(p.train.optimizer, OPTIMIZER_ADAMW);
	assert_true(p.train.beta1 == 0.9f && p.train.beta2 == 0.99f && p.train.epsilon == 1e-8f);
	assert_true(p.train.weight_decay == 0 && p.train.clip == 1 && p.train.momentum == 0);
	assert_int_equal(p.train.schedule, SCHEDULE_COSINE);
	assert_int_equal(p.train.warmup_steps, 5);
	assert_int_equal(p.train.compression, COMPRESSION_INT8);
}

static void defaults_follow_what_was_chosen(void **state)
{
	struct project p;

	read_good(state, &p,
		"project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.csv}\n"
		"train: {optimizer: sgd, inner_steps: 3, outer: {optimizer: sgd}}\n");
	assert_int_equal(p.data.format, DATA_CSV);
	assert_int_equal(p.model.activation, ACTIVATION_RELU);
	assert_int_equal(p.model.hidden_count, 1);
	assert_int_equal(p.model.hidden[0], 128);
	assert_int_equal(p.data.context, 0);
	assert_int_equal(p.data.header, HEADER_AUTO);
	assert_string_equal(p.data.label, "last");
	assert_string_equal(p.data.missing, "");
	assert_int_equal(p.data.delimiter, ',');
	assert_true(p.train.learning_rate == 0.1f);
	assert_true(p.train.beta1 == 0 && p.train.beta2 == 0 && p.train.epsilon == 0);
	assert_true(p.train.outer_learning_rate == 1 && p.train.outer_momentum == 0);
	assert_int_equal(p.train.warmup_steps, 1);

	read_good(state, &p,
		"project: {name: a}\nmodel: {type: logistic}\n"
		"data: {path: i, labels: l, format: idx, validation_path: vi, "
		"validation_labels: vl}\n");
	assert_int_equal(p.model.hidden_count, 0);
	assert_int_equal(p.model.activation, ACTIVATION_RELU);
	assert_true(p.data.validation_fraction == 0);
}

static void every_key_can_be_written(void **state)
{
	struct project p;

	read_good(state, &p,
		"project:\n"
		"  name: '0census.income_v-1'  # quoted\n"
		"  seed: 18446744073709551615\n"
		"model:\n"
		"  type: \"mlp\"\n"
		"  hidden:\n"
		"  - 32\n"
		"  - 16\n"
		"  activation: tanh\n"
		"data:\n"
		"  path: /absolute/table\n"
		"  format: csv\n"
		"  header: false\n"
		"  label: 14\n"
		"  missing: \"?\"\n"
		"  delimiter: \"\\t\"\n"
		"  validation_path: sub/v.csv\n"
		"train: {optimizer: adamw, learning_rate: .5, beta1: 0, beta2: 0.5, epsilon: 1,\n"
		"  weight_decay: 1e-2, clip: 0, schedule: constant, warmup_steps: 0, batch_size: "
		"1,\n"
		"  rounds: 1000000, units_per_round: 4096, inner_steps: 1, compression: none,\n"
		"  outer: {optimizer: nesterov, learning_rate: 0.7, momentum: 0.9}}\n"
		"verify: {policy: full, quorum: 8}\n");
	assert_string_equal(p.name, "0census.income_v-1");
	assert_true(p.seed == UINT64_MAX);
	assert_int_equal(p.model.hidden_count, 2);
	assert_int_equal(p.model.hidden[1], 16);
	assert_string_equal(p.data.path, "/absolute/table");
	assert_int_equal(p.data.header, HEADER_NO);
	assert_string_equal(p.data.label, "14");
	assert_string_equal(p.data.missing, "?");
	assert_int_equal(p.data.delimiter, '\t');
	assert_true(p.data.validation_fraction == 0);
	assert_true(p.train.learning_rate == 0.5f && p.train.weight_decay == 0.01f);
	assert_int_equal(p.train.warmup_steps, 0);
	assert_int_equal(p.train.schedule, SCHEDULE_CONSTANT);
	assert_int_equal(p.train.compression, COMPRESSION_NONE);
	assert_int_equal(p.quorum, 8);
}

static void help_names_every_key(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	assert_non_null(f);
	project_help(f);
	fclose(f);
	for (const struct key *k = project_keys; k->path != NULL; k++) {
		assert_non_null(strstr(text, strrchr(k->path, '.') + 1));
		assert_non_null(strstr(text, k->help));
	}
	assert_non_null(
		strstr(text, "  batch_size           whole number, 1 to 65536; default 64"));
	free(text);
}

/* What project_read promises of a project, whatever the file was. */
static void check_project(const struct project *p, uint64_t seed)
{
	const struct train_spec *t = &p->train;
	bool text = p->model.type == MODEL_CHAR_MLP;
	bool good = project_name_valid(p->name) && p->model.type >= MODEL_LOGISTIC &&
		    p->model.type <= MODEL_CHAR_MLP && text == (p->data.format == DATA_TEXT) &&
		    (p->model.hidden_count == 0) == (p->model.type == MODEL_LOGISTIC) &&
		    p->model.hidden_count <= HIDDEN_LAYERS_MAX && text == (p->data.context > 0) &&
		    text == (p->model.embedding > 0) && p->data.path[0] != '\0' &&
		    (p->data.labels[0] != '\0') == (p->data.format == DATA_IDX) &&
		    isfinite(t->learning_rate) && t->learning_rate > 0 && t->batch_size > 0 &&
		    t->rounds > 0 && t->units_per_round > 0 && t->inner_steps > 0 &&
		    t->warmup_steps <= t->inner_steps && p->quorum >= QUORUM_MIN &&
		    p->data.validation_fraction >= 0 && p->data.validation_fraction < 1;

	if (!good)
		fail_msg("an inconsistent project passed: mutation seed %llu",
			(unsigned long long)seed);
}

static void mutated_files_are_refused_or_read_consistently(void **state)
{
	struct scratch *s = *state;
	unsigned refused = 0;
	unsigned passed = 0;

	for (uint64_t seed = 1; seed <= 4000; seed++) {
		uint8_t text[sizeof(example) + 8];
		uint64_t random = seed;
		struct bytes errors = {0};
		struct errmsg msg = {{0}};
		struct project p;
		size_t n;

		memcpy(text, example, sizeof(example) - 1);
		n = mutate(&random, text, sizeof(example) - 1, sizeof(text));
		assert_int_equal(scratch_write(s, text, n), 0);
		if (project_read(&p, s->path, &errors, &msg) == TK_OK) {
			check_project(&p, seed);
			passed++;
		} else {
			if (errors.len == 0 || errors.data[errors.len] != '\0' ||
				strstr((char *)errors.data, msg.text) != (char *)errors.data)
				fail_msg("no report for mutation seed %llu",
					(unsigned long long)seed);
			refused++;
		}
		bytes_close(&errors);
	}
	assert_true(refused > 1000 && passed > 100);
}

static void every_allocation_may_fail(void **state)
{
	struct scratch *s = *state;
	struct project untouched;
	struct project p;
	uint64_t after;

	memset(&untouched, 0x5a, sizeof(untouched));
	assert_int_equal(scratch_write(s, example, sizeof(example) - 1), 0);
	for (int forever = 0; forever <= 1; forever++) {
		for (after = 1;; after++) {
			struct bytes errors = {0};
			struct errmsg msg = {{0}};
			int rc;

			p = untouched;
			mem_fail(after, forever);
			rc = project_read(&p, s->path, &errors, &msg);
			mem_fail(0, 0);
			bytes_close(&errors);
			if (rc == TK_OK)
				break;
			assert_int_equal(rc, TK_ENOMEM);
			assert_true(msg.text[0] != '\0');
			assert_memory_equal(&p, &untouched, sizeof(p));
		}
		assert_true(after > 20);
	}
}

static int setup(void **state)
{
	static struct scratch s;

	*state = &s;
	return scratch_open(&s);
}

static int teardown(void **state)
{
	scratch_close(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_is_read_as_it_stands),
		cmocka_unit_test(the_defaults_are_the_default_recipe),
		cmocka_unit_test(defaults_follow_what_was_chosen),
		cmocka_unit_test(every_key_can_be_written),
		cmocka_unit_test(help_names_every_key),
		cmocka_unit_test(mutated_files_are_refused_or_read_consistently),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
