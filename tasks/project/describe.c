/* What a person is shown of a project before anybody's time is spent, and the table of keys as help.
 * Nothing is decided here. */
#include "tasks/project/project.h"

#include <string.h>

#include "tasks/math/order.h"
#include "tasks/model/model.h"
#include "tasks/project/keys.h"
#include "tasks/unit/compress.h"
#include "tasks/unit/merge.h"

#define AMOUNT_MAX 32u
#define SHOWN_MAX  5u /* names of classes, before "…" */

/* Writes an amount with a prefix: "1.52 MB", "3.1 GFLOP"; whole below a thousand. */
static const char *amount(char out[AMOUNT_MAX], double v, const char *unit)
{
	static const char prefixes[] = " kMGTPE";
	size_t i = 0;

	while (v >= 999.5 && prefixes[i + 1] != '\0') {
		v /= 1000;
		i++;
	}
	if (i == 0)
		snprintf(out, AMOUNT_MAX, "%.0f %s", v, unit);
	else
		snprintf(out, AMOUNT_MAX, "%.3g %c%s", v, prefixes[i], unit);
	return out;
}

static void describe_model(const struct project *p, const struct model *m, FILE *out)
{
	const struct key *type = &project_keys[key_index("model.type")];
	const struct key *activation = &project_keys[key_index("model.activation")];

	fprintf(out, "model       %s", key_choice_name(type, (int)p->model.type));
	if (m->vocabulary != 0)
		fprintf(out, ", context %u × embedding %u", m->context, m->embedding);
	else
		fprintf(out, ", %u inputs", m->inputs);
	for (uint32_t i = 0; i < p->model.hidden_count; i++)
		fprintf(out, " → %u", p->model.hidden[i]);
	if (p->model.hidden_count > 0)
		fprintf(out, " (%s)", key_choice_name(activation, (int)p->model.activation));
	fprintf(out, " → %u\n", m->classes);
	fprintf(out, "parameters  %zu\n", m->parameters);
}

static void describe_data(const struct dataset *d, FILE *out)
{
	fprintf(out, "samples     %llu to train on (%u shard%s), %llu to validate",
		(unsigned long long)d->train.samples, d->train.shards,
		d->train.shards == 1 ? "" : "s", (unsigned long long)d->validation.samples);
	if (d->validation.samples > EVALUATE_MAX)
		fprintf(out, ", the same %u of them after every round", EVALUATE_MAX);
	fputc('\n', out);
	if (d->kind == SAMPLE_TEXT) {
		fprintf(out, "vocabulary  %u characters\n", d->classes);
		return;
	}
	fprintf(out, "features    %u %s\n", d->features,
		d->kind == SAMPLE_U8 ? "bytes" : "numbers (categories one-hot)");
	fprintf(out, "classes     %u:", d->classes);
	for (uint32_t i = 0; i < d->classes && i < SHOWN_MAX; i++)
		fprintf(out, "%s %s", i == 0 ? "" : ",", d->class_names[i]);
	fprintf(out, "%s\n", d->classes > SHOWN_MAX ? " …" : "");
}

static double samples_read(const struct train_spec *t)
{
	return (double)t->rounds * t->units_per_round * t->inner_steps * t->batch_size;
}

static void describe_work(const struct recipe *r, const struct model *m, FILE *out)
{
	const struct train_spec *t = &r->train;
	double step = model_step_flops(m, t->batch_size);
	char unit[AMOUNT_MAX];
	char all[AMOUNT_MAX];

	fprintf(out, "training    %u rounds × %u units × %u steps of %u samples\n", t->rounds,
		t->units_per_round, t->inner_steps, t->batch_size);
	fprintf(out, "steps       %llu in sequence, %llu in all; %.3g epochs\n",
		(unsigned long long)t->rounds * t->inner_steps,
		(unsigned long long)t->rounds * t->inner_steps * t->units_per_round,
		samples_read(t) / (double)r->data.train.samples);
	fprintf(out, "work        %s in a unit, %s in all (before replicas)\n",
		amount(unit, step * t->inner_steps, "FLOP"),
		amount(all, step * t->inner_steps * t->units_per_round * t->rounds, "FLOP"));
}

/* Bytes of the first `count` training shards, or of all. */
static double shard_bytes(const struct dataset *d, uint32_t count)
{
	double sum = 0;

	for (uint32_t i = 0; i < d->train.shards && i < count; i++)
		sum += (double)dataset_shard_bytes(d, &d->train, i);
	return sum;
}

static void describe_costs(
	const struct project *p, const struct recipe *r, const struct model *m, FILE *out)
{
	double theta = 4.0 * (double)m->parameters;
	struct compress_layout layout = compress_flat(m->parameters);
	double update = (double)compress_bytes(r->train.compression, &layout);
	/* start, present, gradient, two moments and the parameters as they came; a window of shards */
	double memory = 6 * theta + update + shard_bytes(&r->data, ORDER_WINDOW) +
			(double)model_work_bytes(m, r->train.batch_size);
	char a[AMOUNT_MAX];
	char b[AMOUNT_MAX];

	fprintf(out, "a round     %s down to each worker", amount(a, theta, "B"));
	fprintf(out, ", %s up for each unit, %s up in all\n", amount(a, update, "B"),
		amount(b, update * r->train.units_per_round, "B"));
	fprintf(out, "once        %s of data at most, in parts as a worker needs them\n",
		amount(a, shard_bytes(&r->data, SHARDS_MAX), "B"));
	fprintf(out, "a worker    about %s of memory\n", amount(a, memory, "B"));
	fprintf(out, "verify      every unit by at least %u peers whose results are equal\n",
		p->quorum);
}

static void describe_warnings(const struct recipe *r, FILE *out)
{
	double unit = (double)r->train.inner_steps * r->train.batch_size;
	double samples = (double)r->data.train.samples;

	if (samples_read(&r->train) < samples)
		fprintf(out,
			"warning: training reads %.2g of the data's samples; raise rounds, "
			"units_per_round or inner_steps to see all\n",
			samples_read(&r->train) / samples);
	if (unit > samples)
		fprintf(out,
			"warning: one unit reads %.3g times the data; lower inner_steps or "
			"batch_size\n",
			unit / samples);
	if (r->data.validation.samples == 0)
		fprintf(out, "warning: nothing is kept for validation; the loss shown is that of "
			     "training\n");
}

void project_describe(const struct project *p, const struct recipe *r, FILE *out)
{
	struct errmsg why;
	struct model m;

	fprintf(out, "project     %s\n", p->name);
	if (model_init(&m, &r->model, &r->data, &why) != TK_OK) {
		fprintf(out, "warning: %s\n", why.text);
		return;
	}
	describe_data(&r->data, out);
	describe_model(p, &m, out);
	describe_work(r, &m, out);
	describe_costs(p, r, &m, out);
	describe_warnings(r, out);
}

static void help_type(const struct key *k, FILE *out)
{
	char list[KEY_LIST_MAX];

	switch (k->type) {
	case KEY_CHOICE:
		fprintf(out, "%s", key_choices(list, k, ~0u));
		return;
	case KEY_U64:
		fprintf(out, "whole number");
		return;
	case KEY_U32:
		fprintf(out, "whole number, %.0f to %.0f", k->min, k->max);
		return;
	case KEY_FLOAT:
	case KEY_DOUBLE:
		fprintf(out, "number, %.15g to %.15g", k->min, k->max);
		return;
	case KEY_WIDTHS:
		fprintf(out, "list of whole numbers, %.0f to %.0f", k->min, k->max);
		return;
	case KEY_CHARACTER:
		fprintf(out, "character");
		return;
	case KEY_PATH:
		fprintf(out, "file");
		return;
	case KEY_NAME:
	case KEY_TEXT:
		fprintf(out, "text");
		return;
	}
}

static void help_key(const struct key *k, const char *name, int indent, FILE *out)
{
	char list[KEY_LIST_MAX];

	fprintf(out, "%*s%-*s ", indent, "", 22 - indent, name);
	help_type(k, out);
	if (k->required)
		fprintf(out, "; required");
	else if (k->fallback != NULL)
		fprintf(out, "; default %s", k->fallback);
	else if (k->note != NULL)
		fprintf(out, "; %s", k->note);
	fprintf(out, "\n%*s%s", 23, "", k->help);
	if (k->only_with != NULL) {
		const struct key *choice = &project_keys[key_index(k->only_with)];

		fprintf(out, " (only %s: %s)", strrchr(choice->path, '.') + 1,
			key_choices(list, choice, k->only_values));
	}
	fputc('\n', out);
}

void project_help(FILE *out)
{
	const char *before = "";

	for (const struct key *k = project_keys; k->path != NULL; k++) {
		const char *name = strrchr(k->path, '.') + 1;
		int section = (int)(name - 1 - k->path);
		int indent = memchr(k->path, '.', (size_t)section) != NULL ? 4 : 2;

		if (strncmp(before, k->path, (size_t)section + 1) != 0) {
			const char *last = memrchr(k->path, '.', (size_t)section);

			last = last != NULL ? last + 1 : k->path;
			fprintf(out, "%*s%.*s:\n", indent - 2, "", (int)(name - 1 - last), last);
		}
		help_key(k, name, indent, out);
		before = k->path;
	}
}
