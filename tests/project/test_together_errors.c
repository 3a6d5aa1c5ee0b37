/* project.yaml whose settings do not go together: model with data, layer with layer, training with itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/project/reports.h"

static void keys_that_make_no_sense_together_are_refused(void **state)
{
	static const struct wrong list[] = {
		{HEAD "train: {outer: {optimizer: sgd, momentum: 0.5}}\n",
			"4:33: train.outer.momentum: has no meaning with train.outer.optimizer: "
			"sgd; remove it (it belongs to nesterov)\n"},
		{HEAD "train: {momentum: 0.5}\n",
			"4:9: train.momentum: has no meaning with train.optimizer: adamw; remove "
			"it (it belongs to sgd)\n"},
		{TEXTS "train: {optimizer: sgd, beta1: 0.5}\n",
			"4:25: train.beta1: has no meaning with train.optimizer: sgd; remove it "
			"(it belongs to adamw)\n"},
		{"project: {name: a}\nmodel: {type: logistic, hidden: [3], context: 4}\n"
		 "data: {path: a.csv, labels: b}\n",
			"2:25: model.hidden: has no meaning with model.type: logistic; remove it "
			"(it belongs to mlp, cnn or char-mlp)\n"
			"2:38: model.context: has no meaning with model.type: logistic; remove it "
			"(it belongs to char-mlp, gpt or layers)\n"
			"3:21: data.labels: has no meaning with data.format: csv; remove it (it "
			"belongs to idx)\n"},
		{"project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.txt, header: true}\n",
			"2:9: model.type: mlp learns from tables and images; for format: text use "
			"gpt or char-mlp\n"
			"3:21: data.header: has no meaning with data.format: text; remove it (it "
			"belongs to csv)\n"},
		{"project: {name: a}\nmodel: {type: char-mlp}\ndata: {path: a.csv}\n",
			"2:9: model.type: char-mlp learns from format: text; for tables and images "
			"use mlp, cnn or logistic\n"},
		{"project: {name: a}\nmodel: {type: mlp}\n"
		 "data: {path: a.csv, validation_fraction: 0.1, validation_path: b.csv}\n",
			"3:21: data.validation_fraction: has no meaning beside validation_path; "
			"remove one of the two\n"},
		{"project: {name: a}\nmodel: {type: mlp}\n"
		 "data: {path: a, format: idx, labels: b, validation_path: c}\n",
			"3:41: data.validation_labels: missing; name the file with the labels of "
			"validation_path\n"},
		{"project: {name: a}\nmodel: {type: mlp}\n"
		 "data: {path: a, format: idx, labels: b, validation_labels: c}\n",
			"3:41: data.validation_labels: has no meaning without validation_path; add "
			"the file of images\n"},
	};

	CHECK(list);
}

#define MODEL(model, data) "project: {name: a}\nmodel: {" model "}\ndata: {" data "}\n"
#define LIST(layers)	   MODEL("type: layers, layers: [" layers "]", "path: a.csv")

static void models_and_data_must_go_together(void **state)
{
	static const struct wrong list[] = {
		{MODEL("type: gpt", "path: a.csv"),
			"2:9: model.type: gpt learns from format: text; for tables and images use "
			"mlp, cnn or logistic\n"},
		{MODEL("type: cnn", "path: a.txt"),
			"2:9: model.type: cnn learns from tables and images; for format: text use "
			"gpt or char-mlp\n"},
		{MODEL("type: cnn", "path: a.csv"),
			"2:1: model.image: missing; a row of a table does not say how large its "
			"image is: add it, such as image: [1, 28, 28]\n"},
		{MODEL("type: cnn, image: [28, 28]", "path: a.csv"),
			"2:27: model.image: wants 3 numbers, such as [1, 28, 28]\n"},
		{MODEL("type: gpt, heads: 3", "path: a.txt"),
			"2:20: model.heads: 3 heads do not divide the width, 128\n"},
		{MODEL("type: gpt, tie: maybe", "path: a.txt"),
			"2:25: model.tie: \"maybe\" is not true or false\n"},
		{MODEL("type: gpt, embedding: 3", "path: a.txt"),
			"2:20: model.embedding: has no meaning with model.type: gpt; remove it (it "
			"belongs to char-mlp)\n"},
		{MODEL("type: gpt, layers: [linear]", "path: a.txt"),
			"2:20: model.layers: wants the number of blocks with gpt, such as 4; for a "
			"list of layers write type: layers\n"},
		{MODEL("type: layers, layers: 4", "path: a.txt"),
			"2:23: model.layers: wants a list of layers here, such as [{linear: "
			"{width: 128}}, relu, linear]\n"},
		{MODEL("type: layers", "path: a.txt"),
			"2:1: model.layers: missing; add the list of layers, such as layers: "
			"[{linear: {width: 128}}, relu, linear]\n"},
		{MODEL("type: layers, layers: [linear]", "path: a.txt"),
			"2:23: model.layers: the data are text, so the list must begin with an "
			"embedding, such as {embedding: {width: 64}}\n"},
		{MODEL("type: layers, context: 3, layers: [{embedding: {width: 3}}]",
			 "path: a.csv"),
			"2:23: model.context: has no meaning with data.format: csv; remove it (it "
			"belongs to text)\n"
			"2:35: model.layers: an embedding reads text, but the data are csv; remove "
			"it\n"},
		{MODEL("type: mlp, loss: squared_error", "path: a.csv"),
			"2:20: model.loss: squared_error predicts numbers; add predict: number to "
			"a csv's data, or use cross_entropy\n"},
		{MODEL("type: mlp, loss: cross_entropy", "path: a.csv, predict: number"),
			"2:20: model.loss: data.predict: number wants squared_error; remove the "
			"key or write that\n"},
		{MODEL("type: mlp", "path: a.csv, tokens: bytes"),
			"3:21: data.tokens: has no meaning with data.format: csv; remove it (it "
			"belongs to text)\n"},
	};

	CHECK(list);
}

static void wrong_layers_are_told_where_they_stand(void **state)
{
	static const struct wrong list[] = {
		{LIST(""), "2:31: model.layers: the list is empty; name at least one layer, such "
			   "as [linear]\n"},
		{LIST("lineer"), "2:32: model.layers: \"lineer\" is no layer; did you mean "
				 "\"linear\"?\n"},
		{LIST("{zzz: {}}"),
			"2:33: model.layers: \"zzz\" is no layer; write embedding, position, "
			"flatten, linear, conv2d, max_pool, average_pool, layer_norm, group_norm, "
			"relu, gelu, silu, tanh, sigmoid, dropout, attention or residual\n"},
		{LIST("linear, relu"),
			"2:32: model.layers.width: missing; add it: {linear: {width: 4}} (only the "
			"last layer may leave it out: it is as wide as the labels want)\n"},
		{LIST("{conv2d: {chanels: 4, kernel: 0}}"),
			"2:33: model.layers.channels: missing; add it: {conv2d: {channels: 4}}\n"
			"2:42: model.layers: \"chanels\" is no setting of conv2d; did you mean "
			"\"channels\"?\n"
			"2:62: model.layers.kernel: 0 is out of range; it must be between 1 and "
			"64\n"},
		{LIST("{relu: {width: 3}}"),
			"2:40: model.layers: \"width\" is no setting of relu; it has none: remove "
			"it\n"},
		{LIST("dropout"), "2:32: model.layers.rate: missing; add it: {dropout: {rate: "
				  "0.1}}\n"},
		{LIST("{dropout: {rate: 1}}"),
			"2:49: model.layers.rate: 1 is out of range; it must be between 1e-06 and "
			"0.999\n"},
		{LIST("{linear: 3}"),
			"2:41: model.layers: linear wants its settings in braces, such as {linear: "
			"{width: 128}}\n"},
		{LIST("{linear: {bias: true, bias: false}}"),
			"2:54: model.layers.bias: written twice; keep one of the two\n"},
		{LIST("{relu: , tanh: }"),
			"2:41: model.layers: an item is one layer, with a name at most; begin a "
			"new item for the next\n"},
		{LIST("{name: a}"),
			"2:32: model.layers: this item names no layer; write {linear: {width: "
			"128}}\n"},
		{LIST("{relu: , name: a}"),
			"2:47: model.layers: relu has nothing to name; remove the name\n"},
		{LIST("{linear: , name: a b}"),
			"2:49: model.layers: \"a b\" is no layer's name; use at most 55 of a-z, "
			"A-Z, 0-9, '_' and single dots within\n"},
		{LIST("[relu]"),
			"2:32: model.layers: a list within the list; write {residual: [...]} for a "
			"residual connection, or the layers one after another\n"},
		{LIST("residual"),
			"2:32: model.layers: residual wants a list of layers in brackets, such as "
			"{residual: [layer_norm, {linear: {width: 64}}]}\n"},
		{LIST("{residual: [linear]}"),
			"2:44: model.layers.width: missing; add it: {linear: {width: 4}} (only the "
			"last layer may leave it out: it is as wide as the labels want)\n"},
	};
	static const struct wrong deep[] = {
		{LIST("{residual: [{residual: [{residual: [{residual: [{residual: [{residual: "
		      "[{residual: [{residual: [{residual: [relu]}]}]}]}]}]}]}]}]}"),
			"2:129: model.layers: residuals nest deeper than 8\n"},
	};

	CHECK(list);
	CHECK_AS(deep, TK_ELIMIT);
}

static void too_many_layers_are_refused(void **state)
{
	struct scratch *s = *state;
	struct errmsg msg;
	struct project p;
	char text[8192] =
		"project: {name: a}\ndata: {path: a.csv}\nmodel: {type: layers, layers: [";

	for (int i = 0; i < 257; i++)
		strcat(text, "relu, ");
	strcat(text, "]}\n");
	assert_int_equal(scratch_write(s, text, strlen(text)), 0);
	assert_int_equal(project_read(&p, s->path, NULL, &msg), TK_ELIMIT);
	assert_non_null(strstr(msg.text, ":3:1568: model.layers: more than 256 layers"));
}

static void settings_of_the_training_must_go_together(void **state)
{
	static const struct wrong list[] = {
		{HEAD "train: {mode: gradient, beta1: 0.5, optimizer: sgd, outer: {learning_rate: "
		      "1}}\n",
			"4:25: train.beta1: has no meaning with train.optimizer: sgd; remove it "
			"(it belongs to adamw)\n"
			"4:37: train.optimizer: has no meaning with train.mode: gradient; remove "
			"it (it belongs to local)\n"
			"4:61: train.outer.learning_rate: has no meaning with train.mode: "
			"gradient; remove it (it belongs to local)\n"},
		{HEAD "train: {mode: gradient, optimizer: sgd, inner_state: average,\n"
		      "        warmup_steps: 3}\n",
			"4:25: train.optimizer: has no meaning with train.mode: gradient; remove "
			"it (it belongs to local)\n"
			"4:41: train.inner_state: has no meaning with train.mode: gradient; remove "
			"it (it belongs to local)\n"
			"5:9: train.warmup_steps: has no meaning with train.mode: gradient; remove "
			"it (it belongs to local)\n"},
		{HEAD "train: {mode: gradient, beta1: 0.5, weight_decay: 1}\n",
			"4:25: train.beta1: has no meaning with train.mode: gradient; remove it "
			"(it belongs to local)\n"
			"4:37: train.weight_decay: has no meaning with train.mode: gradient; "
			"remove it (it belongs to local)\n"},
		{HEAD "train: {outer: {optimizer: adamw}}\n",
			"4:17: train.outer.optimizer: adamw belongs to mode: gradient; use "
			"nesterov or sgd, or add that mode\n"},
		{HEAD "train: {outer: {beta1: 0.5}}\n",
			"4:17: train.outer.beta1: has no meaning with train.outer.optimizer: "
			"nesterov; remove it (it belongs to adamw)\n"},
		{HEAD "train: {schedule: constant, learning_rate_end: 0.1}\n",
			"4:29: train.learning_rate_end: has no meaning with train.schedule: "
			"constant; remove it (it belongs to cosine or linear)\n"},
		{HEAD "train: {optimizer: sgd, nesterov: true, inner_state: average}\n",
			"4:25: train.nesterov: has no meaning without momentum; add it, such as "
			"momentum: 0.9\n"
			"4:41: train.inner_state: sgd without momentum has no state to average; "
			"add momentum, or use adamw\n"},
		{HEAD "train: {accumulate: 3}\n",
			"4:9: train.accumulate: 3 parts do not divide a batch of 64 samples\n"},
		{HEAD "train: {run_warmup_steps: 401}\n",
			"4:9: train.run_warmup_steps: 401, more than the 400 steps of the "
			"training\n"},
		{HEAD "train: {merge: multi_krum, units_per_round: 8, merge_byzantine: 3}\n",
			"4:9: train.merge: multi_krum with 3 bad of 8 units a round: it wants 2f + "
			"3 = 9 "
			"units for f = 3; raise units_per_round or lower merge_byzantine\n"},
		{HEAD "train: {merge: trimmed_mean, units_per_round: 2}\n",
			"4:9: train.merge: trimmed_mean with 1 bad of 2 units a round: it wants 2f "
			"+ 1 = 3 "
			"units for f = 1; raise units_per_round or lower merge_byzantine\n"},
		{HEAD "train: {merge: centered_clip, units_per_round: 2}\n",
			"4:9: train.merge: centered_clip of 2 units a round: it wants 3, so that "
			"the good "
			"ones are more; raise units_per_round\n"},
		{HEAD "train: {merge: multi_krum, units_per_round: 300, merge_byzantine: 3}\n",
			"4:9: train.merge: multi_krum compares each of the 300 units with each "
			"other; it "
			"takes 256 at most: use another rule or fewer units_per_round\n"},
		{HEAD "train: {merge: median_norm_clip, merge_byzantine: 1, merge_radius: 2}\n",
			"4:34: train.merge_byzantine: has no meaning with train.merge: "
			"median_norm_clip; "
			"remove it (it belongs to trimmed_mean or multi_krum)\n"
			"4:54: train.merge_radius: has no meaning with train.merge: "
			"median_norm_clip; "
			"remove it (it belongs to centered_clip)\n"},
		{HEAD "verify: {trace_every: 21}\n",
			"4:10: verify.trace_every: 21, more than the 20 inner_steps of a unit\n"},
	};

	CHECK(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_that_make_no_sense_together_are_refused),
		cmocka_unit_test(models_and_data_must_go_together),
		cmocka_unit_test(wrong_layers_are_told_where_they_stand),
		cmocka_unit_test(too_many_layers_are_refused),
		cmocka_unit_test(settings_of_the_training_must_go_together),
	};

	return cmocka_run_group_tests(tests, reports_setup, reports_teardown);
}
