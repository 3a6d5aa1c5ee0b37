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
	assert_int_equal(p.model.activation, LAYER_TANH);
	assert_int_equal(p.model.embedding, 24);
	assert_int_equal(p.model.hidden.count, 1);
	assert_int_equal(p.model.hidden.of[0], 256);
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
	assert_memory_equal(&p, &full, offsetof(struct project, data_at));
	assert_int_equal(p.train.optimizer, OPTIMIZER_ADAMW);
	assert_true(p.train.beta1 == 0.9f && p.train.beta2 == 0.99f && p.train.epsilon == 1e-8f);
	assert_true(p.train.weight_decay == 0 && p.train.clip == 1 && p.train.momentum == 0);
	assert_int_equal(p.train.schedule, SCHEDULE_COSINE);
	assert_int_equal(p.train.warmup_steps, 5);
	assert_int_equal(p.train.compression, COMPRESSION_INT8);
	assert_int_equal(p.train.mode, MODE_LOCAL);
	assert_int_equal(p.train.inner_state, INNER_FRESH);
	assert_int_equal(p.train.accumulate, 1);
	assert_int_equal(p.train.run_warmup_steps, 0);
	assert_true(p.train.learning_rate_end == 0 && !p.train.nesterov);
	assert_int_equal(p.data.token, TOKEN_CHARACTER);
	assert_int_equal(p.train.trace_every, 0); /* by the model's size */
}

static void bits_that_nobody_compares_are_not_for_a_grid(void **state)
{
	struct errmsg msg = {""};
	struct project p;

	read_good(state, &p, example);
	assert_int_equal(p.numerics, NUMERICS_CANONICAL);
	assert_int_equal(project_check_grid(&p, &msg), TK_OK);
	read_good(state, &p,
		"project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.csv}\n"
		"train: {rounds: 3, numerics: blas}\n");
	assert_int_equal(p.numerics, NUMERICS_BLAS);
	assert_int_equal(project_check_grid(&p, &msg), TK_EUNSUPPORTED);
	assert_non_null(strstr(msg.text, ":4:20: train.numerics: peers' results are compared"));
	assert_non_null(strstr(msg.text, "remove the key, or train in one process with `talkoot"));
}

static void gradient_mode_has_defaults_of_its_own(void **state)
{
	struct project p;

	read_good(state, &p,
		"project: {name: a}\nmodel: {type: gpt}\ndata: {path: a.txt}\n"
		"train: {mode: gradient}\n");
	assert_int_equal(p.train.optimizer, 0);
	assert_int_equal(p.train.inner_state, 0);
	assert_true(p.train.beta1 == 0 && p.train.epsilon == 0 && p.train.warmup_steps == 0);
	assert_int_equal(p.train.outer, OUTER_ADAMW);
	assert_true(p.train.outer_beta1 == 0.9f && p.train.outer_beta2 == 0.99f);
	assert_true(p.train.outer_epsilon == 1e-8f && p.train.outer_weight_decay == 0);
	assert_true(p.train.outer_learning_rate == 1 && p.train.outer_momentum == 0);
	assert_true(p.train.learning_rate == 0.004f);
	assert_int_equal(p.train.compression, COMPRESSION_BF16);
	assert_int_equal(p.train.rounds, 400);
	assert_int_equal(p.train.inner_steps, 1);
	assert_int_equal(p.train.run_warmup_steps, 20);

	read_good(state, &p,
		"project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.csv}\n"
		"train: {mode: gradient, outer: {optimizer: nesterov}}\n");
	assert_true(p.train.learning_rate == 0.1f && p.train.outer_momentum == 0.9f);
}

static void a_carried_state_warms_up_once(void **state)
{
	struct project p;

	read_good(state, &p,
		"project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.csv}\n"
		"train: {inner_state: average}\n");
	assert_int_equal(p.train.warmup_steps, 0);
	assert_int_equal(p.train.run_warmup_steps, 5);
}

static void presets_have_their_own_defaults(void **state)
{
	struct project p;

	read_good(state, &p, "project: {name: a}\nmodel: {type: gpt}\ndata: {path: a.txt}\n");
	assert_int_equal(p.model.blocks, 4);
	assert_int_equal(p.model.heads, 4);
	assert_int_equal(p.model.width, 128);
	assert_int_equal(p.data.context, 64);
	assert_true(p.model.dropout == 0 && !p.model.tie && p.model.bias);
	assert_int_equal(p.model.hidden.count, 0);

	read_good(state, &p,
		"project: {name: a}\nmodel: {type: cnn}\n"
		"data: {path: i, labels: l, format: idx}\n");
	assert_int_equal(p.model.channels.count, 2);
	assert_int_equal(p.model.channels.of[0], 32);
	assert_int_equal(p.model.channels.of[1], 64);
	assert_int_equal(p.model.kernel, 3);
	assert_int_equal(p.model.hidden.count, 1);
	assert_int_equal(p.model.hidden.of[0], 128);
	assert_int_equal(p.model.activation, LAYER_RELU);
	assert_int_equal(p.model.image.count, 0);
}

static void defaults_follow_what_was_chosen(void **state)
{
	struct project p;

	read_good(state, &p,
		"project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.csv}\n"
		"train: {optimizer: sgd, inner_steps: 3, outer: {optimizer: sgd}}\n");
	assert_int_equal(p.data.format, DATA_CSV);
	assert_int_equal(p.model.activation, LAYER_RELU);
	assert_int_equal(p.model.hidden.count, 1);
	assert_int_equal(p.model.hidden.of[0], 128);
	assert_int_equal(p.data.task, LABEL_CLASS);
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
	assert_int_equal(p.model.hidden.count, 0);
	assert_int_equal(p.model.activation, 0);
	assert_true(p.data.validation_fraction == 0);
}

static void rules_of_merging_have_defaults(void **state)
{
	struct project p;

	read_good(state, &p,
		"project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.csv}\n"
		"train: {merge: multi_krum, units_per_round: 12}\n");
	assert_int_equal(p.train.merge, MERGE_MULTI_KRUM);
	assert_int_equal(p.train.merge_byzantine, 3);
	assert_int_equal(p.train.merge_iterations, 0);

	read_good(state, &p,
		"project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.csv}\n"
		"train: {merge: centered_clip}\n");
	assert_int_equal(p.train.merge_byzantine, 0);
	assert_int_equal(p.train.merge_iterations, 3);
	assert_true(p.train.merge_radius == 0);

	read_good(state, &p, "project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.csv}\n");
	assert_int_equal(p.train.merge, MERGE_MEAN);
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
		"  loss: squared_error\n"
		"data:\n"
		"  path: /absolute/table\n"
		"  format: csv\n"
		"  header: false\n"
		"  label: 14\n"
		"  missing: \"?\"\n"
		"  delimiter: \"\\t\"\n"
		"  predict: number\n"
		"  validation_path: sub/v.csv\n"
		"train: {optimizer: adamw, learning_rate: .5, beta1: 0, beta2: 0.5, epsilon: 1,\n"
		"  weight_decay: 1e-2, clip: 0, schedule: constant, warmup_steps: 0, batch_size: "
		"1,\n"
		"  rounds: 1000000, units_per_round: 4096, inner_steps: 1, compression: none,\n"
		"  outer: {optimizer: nesterov, learning_rate: 0.7, momentum: 0.9}}\n"
		"verify: {policy: full, quorum: 8}\n");
	assert_string_equal(p.name, "0census.income_v-1");
	assert_true(p.seed == UINT64_MAX);
	assert_int_equal(p.model.hidden.count, 2);
	assert_int_equal(p.model.hidden.of[1], 16);
	assert_int_equal(p.model.loss, LOSS_SQUARED_ERROR);
	assert_int_equal(p.data.task, LABEL_NUMBER);
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

static void every_key_of_the_newer_ways_can_be_written(void **state)
{
	struct project p;

	read_good(state, &p,
		"project: {name: a}\n"
		"model: {type: gpt, context: 8, layers: 64, heads: 3, width: 12, dropout: 0.2, "
		"tie: true, bias: false}\n"
		"data: {path: a.txt, tokens: bytes}\n"
		"train: {optimizer: sgd, momentum: 0.9, nesterov: true, inner_state: average,\n"
		"  schedule: linear, learning_rate_end: 0.1, warmup_steps: 2, run_warmup_steps: "
		"400,\n"
		"  batch_size: 12, accumulate: 3, compression: sparseloco}\n"
		"verify: {trace_every: 20}\n");
	assert_int_equal(p.model.blocks, 64);
	assert_int_equal(p.model.heads, 3);
	assert_int_equal(p.model.width, 12);
	assert_true(p.model.dropout == 0.2f && p.model.tie && !p.model.bias);
	assert_int_equal(p.data.context, 8);
	assert_int_equal(p.data.token, TOKEN_BYTE);
	assert_true(p.train.nesterov && p.train.momentum == 0.9f);
	assert_int_equal(p.train.inner_state, INNER_AVERAGE);
	assert_int_equal(p.train.schedule, SCHEDULE_LINEAR);
	assert_true(p.train.learning_rate_end == 0.1f);
	assert_int_equal(p.train.warmup_steps, 2);
	assert_int_equal(p.train.run_warmup_steps, 400);
	assert_int_equal(p.train.accumulate, 3);
	assert_int_equal(p.train.compression, COMPRESSION_SPARSELOCO);
	assert_int_equal(p.train.trace_every, 20);

	read_good(state, &p,
		"project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.csv}\n"
		"train: {merge: centered_clip, merge_iterations: 5, merge_radius: 0.5}\n");
	assert_int_equal(p.train.merge, MERGE_CENTERED_CLIP);
	assert_int_equal(p.train.merge_iterations, 5);
	assert_true(p.train.merge_radius == 0.5f && p.train.merge_byzantine == 0);

	read_good(state, &p,
		"project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.csv}\n"
		"train: {merge: trimmed_mean, merge_byzantine: 3}\n");
	assert_int_equal(p.train.merge, MERGE_TRIMMED_MEAN);
	assert_int_equal(p.train.merge_byzantine, 3);

	read_good(state, &p,
		"project: {name: a}\n"
		"model: {type: cnn, channels: [4], kernel: 5, hidden: [8], activation: gelu, "
		"image: "
		"[3, 8, 9], loss: binary_cross_entropy}\n"
		"data: {path: a.csv}\n"
		"train: {mode: gradient, compression: fp16, outer: {beta1: 0.8, beta2: 0.95, "
		"epsilon: 1e-6, weight_decay: 0.1}}\n");
	assert_int_equal(p.model.channels.count, 1);
	assert_int_equal(p.model.kernel, 5);
	assert_int_equal(p.model.activation, LAYER_GELU);
	assert_int_equal(p.model.image.of[2], 9);
	assert_int_equal(p.model.loss, LOSS_BINARY_CROSS_ENTROPY);
	assert_int_equal(p.train.compression, COMPRESSION_FP16);
	assert_true(p.train.outer_beta1 == 0.8f && p.train.outer_epsilon == 1e-6f);
	assert_true(p.train.outer_weight_decay == 0.1f);
}

static void lists_of_layers_are_read_in_order(void **state)
{
	static const struct layer want[] = {
		{.type = LAYER_CONV2D, .width = 8, .kernel = 3, .stride = 1, .bias = true},
		{.type = LAYER_MAX_POOL, .kernel = 2, .stride = 2},
		{.type = LAYER_BRANCH, .name = "block"},
		{.type = LAYER_GROUP_NORM, .heads = 4},
		{.type = LAYER_DROPOUT, .rate = 0.5f},
		{.type = LAYER_JOIN},
		{.type = LAYER_FLATTEN},
		{.type = LAYER_LINEAR, .name = "fc.out", .bias = true, .init_scale = 0.25f},
	};
	struct project p;

	read_good(state, &p,
		"project: {name: a}\n"
		"model:\n"
		"  type: layers\n"
		"  image: [1, 8, 8]\n"
		"  layers:\n"
		"  - conv2d: {channels: 8, kernel: 3}\n"
		"  - {max_pool: {kernel: 2}}\n"
		"  - residual:\n"
		"    - {group_norm: {groups: 4, bias: false}}\n"
		"    - dropout: {rate: 0.5}\n"
		"    name: block\n"
		"  - flatten:\n"
		"  - {name: fc.out, linear: {init_scale: 0.25}}\n"
		"data: {path: a.csv}\n");
	assert_int_equal(p.model.layer_count, sizeof(want) / sizeof(want[0]));
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_memory_equal(&p.model.layers[i], &want[i], sizeof(want[i]));
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
		assert_int_equal(strstr(text, k->help) == NULL, key_not_yet(k->path) != NULL);
		if (key_not_yet(k->path) == NULL)
			assert_non_null(strstr(text, strrchr(k->path, '.') + 1));
	}
	assert_non_null(strstr(text, "default 20, with mode: gradient 400\n"));
	assert_non_null(strstr(text, "  conv2d               channels, kernel, stride, padding, "
				     "bias, init_scale\n"));
	assert_non_null(
		strstr(text, "  stride               whole number, 1 to 64; default 1 with "));
	assert_non_null(
		strstr(text, "  batch_size           whole number, 1 to 65536; default 64"));
	free(text);
}

/* What project_read promises of a project, whatever the file was. */
static void check_project(const struct project *p, uint64_t seed)
{
	const struct train_spec *t = &p->train;
	const struct model_settings *m = &p->model;
	bool text = p->data.format == DATA_TEXT;
	bool text_model = m->type == MODEL_CHAR_MLP || m->type == MODEL_GPT;
	bool hidden = m->type == MODEL_MLP || m->type == MODEL_CHAR_MLP || m->type == MODEL_CNN;
	bool good = project_name_valid(p->name) && p->numerics >= NUMERICS_CANONICAL &&
		    p->numerics <= NUMERICS_BLAS && m->type >= MODEL_LOGISTIC &&
		    m->type <= MODEL_LAYERS && (m->type == MODEL_LAYERS || text == text_model) &&
		    (m->hidden.count != 0) == hidden && m->hidden.count <= WIDTHS_MAX &&
		    text == (p->data.context > 0) &&
		    (m->embedding > 0) == (m->type == MODEL_CHAR_MLP) &&
		    (m->layer_count > 0) == (m->type == MODEL_LAYERS) &&
		    (m->blocks > 0) == (m->type == MODEL_GPT) && p->data.path[0] != '\0' &&
		    (p->data.labels[0] != '\0') == (p->data.format == DATA_IDX) &&
		    isfinite(t->learning_rate) && t->learning_rate > 0 && t->batch_size > 0 &&
		    t->rounds > 0 && t->units_per_round > 0 && t->inner_steps > 0 &&
		    t->warmup_steps <= t->inner_steps && t->trace_every <= t->inner_steps &&
		    t->batch_size % t->accumulate == 0 && p->quorum >= QUORUM_MIN &&
		    p->data.validation_fraction >= 0 && p->data.validation_fraction < 1;

	if (!good)
		fail_msg("an inconsistent project passed: mutation seed %llu",
			(unsigned long long)seed);
}

static const char composed[] =
	"project: {name: own}\n"
	"model:\n"
	"  type: layers\n"
	"  context: 8\n"
	"  layers:\n"
	"  - {embedding: {width: 8}, name: wte}\n"
	"  - position\n"
	"  - residual: [layer_norm, {attention: {heads: 2}}, {dropout: {rate: 0.1}}]\n"
	"  - {residual: [{linear: {width: 8}}, {residual: [gelu]}], name: mlp}\n"
	"  - {linear: {tie: true, bias: false}}\n"
	"data: {path: a.txt}\n"
	"train: {mode: gradient, accumulate: 4, outer: {beta2: 0.95}}\n"
	"verify: {trace_every: 1}\n";

static void mutate_file(struct scratch *s, const char *file, unsigned *passed, unsigned *refused)
{
	for (uint64_t seed = 1; seed <= 4000; seed++) {
		uint8_t text[1024];
		uint64_t random = seed;
		struct bytes errors = {0};
		struct errmsg msg = {{0}};
		struct project p;
		size_t n = strlen(file);

		memcpy(text, file, n);
		n = mutate(&random, text, n, sizeof(text));
		assert_int_equal(scratch_write(s, text, n), 0);
		if (project_read(&p, s->path, &errors, &msg) == TK_OK) {
			check_project(&p, seed);
			++*passed;
		} else {
			if (errors.len == 0 || errors.data[errors.len] != '\0' ||
				strstr((char *)errors.data, msg.text) != (char *)errors.data)
				fail_msg("no report for mutation seed %llu",
					(unsigned long long)seed);
			++*refused;
		}
		bytes_close(&errors);
	}
}

static void mutated_files_are_refused_or_read_consistently(void **state)
{
	unsigned refused = 0;
	unsigned passed = 0;

	mutate_file(*state, example, &passed, &refused);
	mutate_file(*state, composed, &passed, &refused);
	assert_true(refused > 2000 && passed > 100);
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
		cmocka_unit_test(bits_that_nobody_compares_are_not_for_a_grid),
		cmocka_unit_test(gradient_mode_has_defaults_of_its_own),
		cmocka_unit_test(a_carried_state_warms_up_once),
		cmocka_unit_test(presets_have_their_own_defaults),
		cmocka_unit_test(rules_of_merging_have_defaults),
		cmocka_unit_test(every_key_can_be_written),
		cmocka_unit_test(every_key_of_the_newer_ways_can_be_written),
		cmocka_unit_test(lists_of_layers_are_read_in_order),
		cmocka_unit_test(help_names_every_key),
		cmocka_unit_test(mutated_files_are_refused_or_read_consistently),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
