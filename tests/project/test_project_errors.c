/* project.yaml that is wrong: each kind of error with its place, its words and its remedy. What must go together
 * is in test_together_errors.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/project/reports.h"

static void unknown_keys_get_the_nearest_one(void **state)
{
	static const struct wrong list[] = {
		{HEAD "train: {learnin_rate: 1}\n",
			"4:9: train.learnin_rate: unknown key; did you mean \"learning_rate\"?\n"},
		{HEAD "train: {bacth_size: 1}\n",
			"4:9: train.bacth_size: unknown key; did you mean \"batch_size\"?\n"},
		{HEAD "train:\n  outer:\n    Momentun: 1\n",
			"6:5: train.outer.Momentun: unknown key; did you mean \"momentum\"?\n"},
		{HEAD "trian: {rounds: 1}\n", "4:1: trian: unknown key; did you mean \"train\"?\n"},
		{HEAD "train: {steps: 1}\n",
			"4:9: train.steps: unknown key; did you mean \"inner_steps\"?\n"},
		{HEAD "verify: {rounds: 3}\n", "4:10: verify.rounds: unknown key; \"rounds\" "
					       "belongs in the section train\n"},
		{HEAD "train.rounds: 3\n",
			"4:1: \"train.rounds\": unknown key; \"rounds\" belongs in the section "
			"train\n"},
		{HEAD "verify: {zzz: 3}\n",
			"4:10: verify.zzz: unknown key; valid here: policy, quorum, audit_floor, "
			"settle_rounds, on_fraud, trace_every\n"},
		{HEAD "zzz: 3\n",
			"4:1: zzz: unknown key; valid here: project, model, data, train, verify\n"},
		{HEAD "\"a\\eb\": 3\n",
			"4:1: \"a?b\": unknown key; valid here: project, model, data, train, "
			"verify\n"},
	};

	CHECK(list);
}

static void numbers_are_read_whole_or_not_at_all(void **state)
{
	static const struct wrong list[] = {
		{HEAD "train: {rounds: 6x4}\n",
			"4:17: train.rounds: \"6x4\" is not a whole number; write digits alone\n"},
		{HEAD "train: {rounds: 1.5}\n",
			"4:17: train.rounds: \"1.5\" is not a whole number; write digits alone\n"},
		{HEAD "train: {rounds: -1}\n",
			"4:17: train.rounds: \"-1\" is not a whole number; write digits alone\n"},
		{HEAD "train: {rounds: 0x10}\n",
			"4:17: train.rounds: \"0x10\" is not a whole number; write digits alone\n"},
		{HEAD "train: {rounds: \"20\"}\n",
			"4:17: train.rounds: \"20\" is text because of its quotes; write the "
			"number without them\n"},
		{HEAD "train: {clip: 1e-3x}\n",
			"4:15: train.clip: \"1e-3x\" is not a number; write one like 0.004 or "
			"4e-3\n"},
		{HEAD "train: {clip: nan}\n", "4:15: train.clip: \"nan\" is not a number; write "
					      "one like 0.004 or 4e-3\n"},
		{HEAD "train: {clip: inf}\n", "4:15: train.clip: \"inf\" is not a number; write "
					      "one like 0.004 or 4e-3\n"},
		{HEAD "train: {clip: 0x1p3}\n",
			"4:15: train.clip: \"0x1p3\" is not a number; write one like 0.004 or "
			"4e-3\n"},
	};

	CHECK(list);
}

static void numbers_outside_their_range_are_refused(void **state)
{
	static const struct wrong list[] = {
		{HEAD "train: {rounds: 0}\n", "4:17: train.rounds: 0 is out of range; it must be "
					      "between 1 and 1000000\n"},
		{HEAD "train: {batch_size: 65537}\n",
			"4:21: train.batch_size: 65537 is out of range; it must be between 1 and "
			"65536\n"},
		{HEAD "train: {beta1: 1}\n", "4:16: train.beta1: 1 is out of range; it must be "
					     "between 0 and 0.999999\n"},
		{HEAD "train: {learning_rate: 0}\n",
			"4:24: train.learning_rate: 0 is out of range; it must be between 1e-09 "
			"and 1000\n"},
		{HEAD "train: {clip: 1e999}\n",
			"4:15: train.clip: 1e999 is out of range; it must be between 0 and "
			"1000000\n"},
		{HEAD "verify: {quorum: 1}\n",
			"4:18: verify.quorum: 1 is out of range; it must be between 2 and 8\n"},
		{"project: {name: a, seed: 18446744073709551616}\nmodel: {type: mlp}\n"
		 "data: {path: a.csv}\n",
			"1:26: project.seed: 18446744073709551616 is out of range; it must be less "
			"than 2^64\n"},
		{HEAD "train: {inner_steps: 4, warmup_steps: 5}\n",
			"4:25: train.warmup_steps: 5, more than the 4 inner_steps of a unit\n"},
	};

	CHECK(list);
}

static void values_of_another_shape_are_refused(void **state)
{
	static const struct wrong list[] = {
		{HEAD "train: {rounds: [20]}\n",
			"4:17: train.rounds: wants a number, not a list\n"},
		{HEAD "train: {optimizer: {a: b}}\n",
			"4:20: train.optimizer: wants one value, not keys of its own\n"},
		{HEAD "train: 20\n", "4:8: train: this is a section; it wants keys, such as train: "
				     "{key: value}\n"},
		{HEAD "train: {outer: nesterov}\n",
			"4:16: train.outer: this is a section; it wants keys, such as train.outer: "
			"{key: value}\n"},
		{HEAD "train:\nverify: {quorum: 2}\n",
			"4:1: train: the section is empty; give it keys or remove it\n"},
		{HEAD "train: {rounds: }\n",
			"4:9: train.rounds: is empty; give it a value or remove the key\n"},
		{HEAD "train: {rounds: ~}\n",
			"4:17: train.rounds: \"~\" means nothing in YAML; remove the key, or put "
			"the word in quotes\n"},
		{HEAD "[a, b]: 3\n", "4:1: a key must be one plain word\n"},
		{"- a\n", "1:1: not a project; it needs the sections project, model and data\n"},
		{"", " the file is empty; it needs the sections project, model and data\n"},
		{"project: {name: a}\nmodel: {type: mlp, hidden: 128}\ndata: {path: a.csv}\n",
			"2:28: model.hidden: wants a list in brackets, such as [128] or "
			"[256, 128]\n"},
		{"project: {name: a}\nmodel: {type: mlp, hidden: [1, 0, x, 2]}\n"
		 "data: {path: a.csv}\n",
			"2:32: model.hidden: 0 is out of range; it must be between 1 and 65536\n"
			"2:35: model.hidden: \"x\" is not a whole number; write digits alone\n"},
		{"project: {name: a}\nmodel: {type: mlp, hidden: []}\ndata: {path: a.csv}\n",
			"2:28: model.hidden: the list is empty; write one such as [128] or "
			"[256, 128]\n"},
		{"project: {name: a}\nmodel: {type: mlp, hidden: [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
		 "9]}\ndata: {path: a.csv}\n",
			"2:61: model.hidden: more than 16 numbers\n"},
	};

	CHECK(list);
}

static void texts_are_checked(void **state)
{
	static const struct wrong list[] = {
		{"project: {name: Big}\nmodel: {type: mlp}\ndata: {path: a.csv}\n",
			"1:17: project.name: \"Big\" is no project name; use 1 to 63 of a-z, 0-9, "
			"'-', '_', '.', beginning with a letter or digit\n"},
		{"project: {name: ..}\nmodel: {type: mlp}\ndata: {path: \"\"}\n",
			"1:17: project.name: \"..\" is no project name; use 1 to 63 of a-z, 0-9, "
			"'-', '_', '.', beginning with a letter or digit\n"
			"3:8: data.path: is empty; give it a value or remove the key\n"},
		{"project: {name: a}\nmodel: {type: mlp}\ndata: {path: \"a\\nb.csv\"}\n",
			"3:14: data.path: holds a control character (0x0a); remove it\n"},
		{"project: {name: a}\nmodel: {type: mlp}\ndata: {path: \"a\\0b.csv\"}\n",
			"3:14: the text holds a NUL character; remove it\n"},
		{"project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.csv, delimiter: ab}\n",
			"3:32: data.delimiter: \"ab\" cannot separate fields; use one character "
			"such as \",\", \";\", \"|\" or \"\\t\"\n"},
	};

	CHECK(list);
}

static void choices_get_the_nearest_one(void **state)
{
	static const struct wrong list[] = {
		{HEAD "train: {optimizer: adam}\n",
			"4:20: train.optimizer: \"adam\" is not adamw or sgd; did you mean "
			"\"adamw\"?\n"},
		{HEAD "train: {schedule: step}\n",
			"4:19: train.schedule: \"step\" is not valid; write cosine, linear "
			"or constant\n"},
		{"project: {name: a}\nmodel: {type: char_mlp}\ndata: {path: a.txt}\n",
			"2:15: model.type: \"char_mlp\" is not logistic, mlp, cnn, char-mlp, gpt "
			"or layers; did you mean \"char-mlp\"?\n"},
	};

	CHECK(list);
}

static void the_arithmetic_belongs_to_the_training(void **state)
{
	static const struct wrong list[] = {
		{HEAD "numerics: blas\n",
			"4:1: numerics: unknown key; \"numerics\" belongs in the section train\n"},
		{HEAD "train: {numerics: fast}\n",
			"4:19: train.numerics: \"fast\" is not valid; write canonical or blas\n"},
	};

	CHECK(list);
}

static void what_is_written_twice_is_refused(void **state)
{
	static const struct wrong list[] = {
		{HEAD "train:\n  rounds: 1\n  rounds: 2\n",
			"6:3: train.rounds: written twice; keep one of the two\n"},
		{HEAD "model: {type: logistic}\n",
			"4:1: model: written twice; keep one of the two\n"},
	};

	CHECK(list);
}

static void what_is_missing_is_named(void **state)
{
	static const struct wrong list[] = {
		{"project: {seed: 3}\nmodel: {type: mlp}\ndata: {path: a.csv}\n",
			"1:1: project.name: missing; add it: the project's name: a-z, 0-9, '-', "
			"'_', '.', at most 63 characters\n"},
		{"data: {format: csv}\nproject: {name: a}\n",
			"1:1: model.type: missing; add it: logistic, mlp, cnn, char-mlp, gpt "
			"or layers\n"
			"1:1: data.path: missing; add it: the training data; relative to this "
			"file's folder\n"},
		{"project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.bin}\n",
			"3:1: data.format: missing, and the data's name does not tell; write csv, "
			"idx or text\n"},
		{"project: {name: a}\nmodel: {type: mlp}\ndata: {path: a, format: idx}\n",
			"3:17: data.labels: missing; IDX keeps the labels in a file of their own: "
			"name it\n"},
	};

	CHECK(list);
}

static void what_this_version_lacks_is_said_so(void **state)
{
	static const struct wrong list[] = {
		{HEAD "train: {compression: demo, delay: 1}\n",
			"4:22: train.compression: \"demo\" is not supported by this version, which "
			"has int8, fp16, bf16, sparseloco or none\n"
			"4:28: train.delay: not supported by this version, in which every round "
			"starts from the round before it; remove the key\n"},
	};

	CHECK_AS(list, TK_EUNSUPPORTED);
}

static void broken_yaml_is_told_with_its_place(void **state)
{
	static const struct wrong list[] = {
		{"project: {name: a\nmodel: {type: mlp}\n",
			"2:6: not YAML: did not find expected ',' or '}' while parsing a flow "
			"mapping that begins on line 1; look for a bracket, quote, comma or "
			"indentation that is missing\n"},
		{"project:\n  name: a\n\tseed: 3\n",
			"3:1: not YAML: a tab indents this line; use spaces\n"},
		{"project:\n  name: b: c\n",
			"2:10: not YAML: mapping values are not allowed in this context; look at "
			"the colons, quotes and indentation here\n"},
		{"project: {name: a}\nmodel: \x01\n",
			"2:8: not YAML: control characters are not allowed (byte 0x01); save the "
			"file as plain UTF-8 text\n"},
		{"project: {name: \xff}\n",
			"1:17: not YAML: invalid leading UTF-8 octet (byte 0xff); save the file as "
			"plain UTF-8 text\n"},
	};

	CHECK(list);
}

static void anchors_tags_and_documents_are_refused(void **state)
{
	static const struct wrong list[] = {
		{"project: &p {name: a}\nmodel: {type: mlp}\ndata: {path: a.csv}\n"
		 "train: {rounds: *p}\n",
			"1:10: anchors (&name) are not accepted here; write the value where it is "
			"used\n"
			"4:17: aliases (*name) are not accepted here; write the value itself\n"},
		{HEAD "train: {rounds: !!int 3}\n",
			"4:17: tags (!name) are not accepted here; write the value alone\n"},
		{HEAD "---\na: b\n", "4:1: a second document (---); a project file holds one\n"},
	};
	static const struct wrong deep[] = {
		{"a: [[[[[[[[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]]]]]]]\n",
			"1:27: nested deeper than 24 levels\n"},
	};

	CHECK_AS(deep, TK_ELIMIT);
	CHECK(list);
}

static void all_errors_of_a_file_come_in_its_order(void **state)
{
	static const struct wrong list[] = {
		{"train:\n"
		 "  learning_rate: 4x\n"
		 "  rounds: 0\n"
		 "  epoch: 3\n"
		 "project: {sed: 1}\n"
		 "model: {type: mpl}\n"
		 "verify: {policy: adaptiv, audit_floor: 1e-9}\n",
			"1:1: data.path: missing; add it: the training data; relative to this "
			"file's folder\n"
			"2:18: train.learning_rate: \"4x\" is not a number; write one like 0.004 "
			"or 4e-3\n"
			"3:11: train.rounds: 0 is out of range; it must be between 1 and 1000000\n"
			"4:3: train.epoch: unknown key; valid here: mode, numerics, optimizer, "
			"inner_state, learning_rate, beta1, beta2, epsilon, momentum, nesterov, "
			"weight_decay, clip, schedule, learning_rate_end, batch_size, accumulate, "
			"rounds, units_per_round, inner_steps, warmup_steps, run_warmup_steps, "
			"compression, merge, merge_byzantine, merge_iterations, merge_radius, "
			"outer\n"
			"5:1: project.name: missing; add it: the project's name: a-z, 0-9, '-', "
			"'_', '.', at most 63 characters\n"
			"5:11: project.sed: unknown key; did you mean \"seed\"?\n"
			"6:15: model.type: \"mpl\" is not logistic, mlp, cnn, char-mlp, gpt or "
			"layers; did you mean "
			"\"mlp\"?\n"
			"7:18: verify.policy: \"adaptiv\" is not full or adaptive; did you mean "
			"\"adaptive\"?\n"
			"7:40: verify.audit_floor: 1e-9 is out of range; it must be between 0.001 "
			"and 1\n"},
	};

	CHECK(list);
}

static void endless_errors_are_cut_short(void **state)
{
	struct scratch *s = *state;
	struct bytes text = {0};
	struct bytes errors = {0};
	struct errmsg msg;
	struct project p;
	char line[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "zz%d: 1\n", i);
		assert_int_equal(bytes_append(&text, line, strlen(line)), 0);
	}
	assert_int_equal(scratch_write(s, text.data, text.len), 0);
	assert_int_equal(project_read(&p, s->path, &errors, &msg), TK_EINVAL);
	assert_non_null(strstr((char *)errors.data, "and 939 more errors; mend these first\n"));
	bytes_close(&text);
	bytes_close(&errors);
}

static void oversized_files_are_refused(void **state)
{
	struct scratch *s = *state;
	struct errmsg msg;
	struct project p;
	char *text = malloc(PROJECT_FILE_MAX + 1);

	assert_non_null(text);
	memset(text, '#', PROJECT_FILE_MAX + 1);
	assert_int_equal(scratch_write(s, text, PROJECT_FILE_MAX + 1), 0);
	assert_int_equal(project_read(&p, s->path, NULL, &msg), TK_ELIMIT);
	memset(text, '[', PROJECT_FILE_MAX);
	assert_int_equal(scratch_write(s, text, PROJECT_FILE_MAX), 0);
	assert_int_equal(project_read(&p, s->path, NULL, &msg), TK_ELIMIT);
	for (size_t i = 0; i < PROJECT_FILE_MAX; i++)
		text[i] = "a: 1\n"[i % 5];
	assert_int_equal(scratch_write(s, text, PROJECT_FILE_MAX), 0);
	assert_int_equal(project_read(&p, s->path, NULL, &msg), TK_ELIMIT);
	assert_non_null(strstr(msg.text, "2048:4: more than 4096 keys and values"));
	free(text);
}

static void a_file_that_is_not_there_is_named(void **state)
{
	struct bytes errors = {0};
	struct errmsg msg;
	struct project p;

	(void)state;
	assert_int_equal(project_read(&p, "/nowhere/p.yaml", &errors, &msg), TK_ENOENT);
	assert_non_null(strstr(msg.text, "/nowhere/p.yaml"));
	assert_non_null(strstr((char *)errors.data, "/nowhere/p.yaml"));
	bytes_close(&errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_keys_get_the_nearest_one),
		cmocka_unit_test(numbers_are_read_whole_or_not_at_all),
		cmocka_unit_test(numbers_outside_their_range_are_refused),
		cmocka_unit_test(values_of_another_shape_are_refused),
		cmocka_unit_test(texts_are_checked),
		cmocka_unit_test(choices_get_the_nearest_one),
		cmocka_unit_test(the_arithmetic_belongs_to_the_training),
		cmocka_unit_test(what_is_written_twice_is_refused),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(what_this_version_lacks_is_said_so),
		cmocka_unit_test(broken_yaml_is_told_with_its_place),
		cmocka_unit_test(anchors_tags_and_documents_are_refused),
		cmocka_unit_test(all_errors_of_a_file_come_in_its_order),
		cmocka_unit_test(endless_errors_are_cut_short),
		cmocka_unit_test(oversized_files_are_refused),
		cmocka_unit_test(a_file_that_is_not_there_is_named),
	};

	return cmocka_run_group_tests(tests, reports_setup, reports_teardown);
}
