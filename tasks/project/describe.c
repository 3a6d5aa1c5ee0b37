/* What a person is shown of a project before anybody's time is spent. Nothing is decided here. */
#include "tasks/project/project.h"

#include <string.h>

#include "tasks/math/order.h"
#include "tasks/model/layer.h"
#include "tasks/project/trace.h"
#include "tasks/project/keys.h"
#include "tasks/unit/evaluate.h"
#include "tasks/unit/payload.h"

#define AMOUNT_MAX   32u
#define SHAPE_MAX    48u
#define SHOWN_MAX    5u	 /* names of classes, before "…" */
#define LAYERS_FIRST 16u /* shown before "…" */
#define LAYERS_LAST  4u	 /* and after it: the head */

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

/* "32 × 28 × 28" for an image, "64 × 128" for positions, "10". */
static const char *shape_text(char out[SHAPE_MAX], const struct shape *s)
{
	if (s->channels != 0)
		snprintf(out, SHAPE_MAX, "%u × %u × %u", s->channels, s->height, s->columns);
	else if (s->positions != 1)
		snprintf(out, SHAPE_MAX, "%u × %u", s->positions, s->width);
	else
		snprintf(out, SHAPE_MAX, "%u", s->width);
	return out;
}

/* Characters as a terminal counts them; printf pads by bytes. */
static int padding(const char *text, int width)
{
	for (; *text != '\0'; text++)
		width -= ((unsigned char)*text & 0xc0) != 0x80;
	return width > 0 ? width : 0;
}

static size_t layer_parameters(const struct model *m, const struct placed_layer *l)
{
	size_t sum = 0;

	for (uint32_t i = 0; i < m->tensor_count; i++) {
		const struct tensor *t = &m->tensors[i];

		if ((t->offset == l->weight && l->spec->tied == 0) || t->offset == l->bias)
			sum += t->count;
	}
	return sum;
}

static void describe_layer(const struct model *m, const struct placed_layer *l, FILE *out)
{
	char shape[SHAPE_MAX];

	shape_text(shape, &l->out);
	fprintf(out, "  %-13s %-28s %s", layer_ops_of(l->spec->type)->name, l->spec->name, shape);
	if (l->spec->tied != 0)
		fprintf(out, "%*s shares the embedding's weight", padding(shape, 14), "");
	else if (l->weight != NO_PARAMETERS)
		fprintf(out, "%*s %zu", padding(shape, 14), "", layer_parameters(m, l));
	fputc('\n', out);
}

/* Layers that a person thinks of: not the ends of residuals. */
static bool layer_counts(const struct model *m, uint32_t i)
{
	enum layer_type type = m->layers[i].spec->type;

	return type != LAYER_BRANCH && type != LAYER_JOIN;
}

/* All, or the first and the last ones where they would not fit on a screen. */
static void describe_layers(const struct model *m, FILE *out)
{
	uint32_t count = 0, at = 0;

	for (uint32_t i = 0; i < m->layer_count; i++)
		count += layer_counts(m, i);
	for (uint32_t i = 0; i < m->layer_count; i++) {
		if (!layer_counts(m, i))
			continue;
		if (at < LAYERS_FIRST || at + LAYERS_LAST >= count)
			describe_layer(m, &m->layers[i], out);
		else if (at == LAYERS_FIRST)
			fprintf(out, "  … %u more between\n", count - LAYERS_FIRST - LAYERS_LAST);
		at++;
	}
}

static void describe_model(const struct project *p, const struct model *m, FILE *out)
{
	const struct key *loss = &project_keys[key_index("model.loss")];
	char shape[SHAPE_MAX];

	if (m->data->kind == SAMPLE_TEXT)
		snprintf(shape, sizeof(shape), "%u tokens", m->data->context);
	else
		shape_text(shape, &m->layers[0].in);
	fprintf(out, "model       %s: %s → ", model_type_name(p->model.type), shape);
	fprintf(out, "%s, %s\n", shape_text(shape, &m->output),
		key_choice_name(loss, (int)m->spec->loss));
	describe_layers(m, out);
	fprintf(out, "parameters  %zu%s%s\n", m->parameters,
		p->model.init[0] != '\0' ? ", beginning with those of " : "", p->model.init);
}

static void describe_labels(const struct dataset *d, FILE *out)
{
	if (d->kind == SAMPLE_TEXT) {
		if (d->token == TOKEN_BYTE)
			fprintf(out, "tokens      bytes\n");
		else
			fprintf(out, "vocabulary  %u characters\n", d->classes);
		return;
	}
	fprintf(out, "features    %u %s\n", d->features,
		d->kind == SAMPLE_U8 ? "bytes" : "numbers (categories one-hot)");
	if (d->label == LABEL_NUMBER) {
		fprintf(out, "predicts    a number, %.4g ± %.4g\n", (double)d->target_mean,
			(double)d->target_deviation);
		return;
	}
	fprintf(out, "classes     %u:", d->classes);
	for (uint32_t i = 0; i < d->classes && i < SHOWN_MAX; i++)
		fprintf(out, "%s %s", i == 0 ? "" : ",", d->class_names[i]);
	fprintf(out, "%s\n", d->classes > SHOWN_MAX ? " …" : "");
}

static void describe_data(const struct model *m, FILE *out)
{
	const struct dataset *d = m->data;

	fprintf(out, "samples     %llu to train on (%u shard%s), %llu to validate",
		(unsigned long long)d->train.samples, d->train.shards,
		d->train.shards == 1 ? "" : "s", (unsigned long long)d->validation.samples);
	if (m->labels == 1 && d->validation.samples > EVALUATE_MAX)
		fprintf(out, ", the same %u of them after every round", EVALUATE_MAX);
	if (m->labels > 1 && d->validation.samples > EVALUATE_TOKENS)
		fprintf(out, ", the first %u of them after every round", EVALUATE_TOKENS);
	fputc('\n', out);
	describe_labels(d, out);
}

/* How often training sees each of the data's labels. */
static double epochs(const struct recipe *r, const struct model *m)
{
	const struct train_spec *t = &r->train;

	return (double)t->rounds * t->units_per_round * t->inner_steps * t->batch_size * m->labels /
	       (double)r->data.train.samples;
}

/* What a unit is counted in: steps, or in gradient mode the batches of one step. */
static const char *steps_name(const struct train_spec *t)
{
	if (t->mode == MODE_LOCAL)
		return t->inner_steps == 1 ? "step" : "steps";
	return t->inner_steps == 1 ? "batch" : "batches";
}

static void describe_merge(const struct train_spec *t, FILE *out)
{
	const struct key *k = &project_keys[key_index("train.merge")];

	if (t->merge == MERGE_MEAN)
		return;
	fprintf(out, "merge       %s", key_choice_name(k, (int)t->merge));
	if (t->merge_byzantine > 0)
		fprintf(out, ": bears %u bad updates of %u", t->merge_byzantine,
			t->units_per_round);
	fputc('\n', out);
}

static void describe_work(const struct recipe *r, const struct model *m, FILE *out)
{
	const struct train_spec *t = &r->train;
	bool local = t->mode == MODE_LOCAL;
	double step = model_step_flops(m, t->batch_size);
	double all_steps = (double)t->rounds * t->inner_steps * t->units_per_round;
	char unit[AMOUNT_MAX];
	char all[AMOUNT_MAX];

	fprintf(out, "training    %u rounds × %u units × %u %s of %u samples\n", t->rounds,
		t->units_per_round, t->inner_steps, steps_name(t), t->batch_size);
	describe_merge(t, out);
	fprintf(out, "steps       %llu in sequence, %.0f %sin all; %.3g epochs\n",
		(unsigned long long)t->rounds * (local ? t->inner_steps : 1), all_steps,
		local ? "" : "batches ", epochs(r, m));
	fprintf(out, "work        %s in a unit, %s in all (before replicas)\n",
		amount(unit, step * t->inner_steps, "FLOP"), amount(all, step * all_steps, "FLOP"));
}

/* Bytes of the first `count` training shards, or of all. */
static double shard_bytes(const struct dataset *d, uint32_t count)
{
	double sum = 0;

	for (uint32_t i = 0; i < d->train.shards && i < count; i++)
		sum += (double)dataset_shard_bytes(d, &d->train, i);
	return sum;
}

/* Bytes of state that travel beside the parameters and updates, each way. */
static double carried_bytes(const struct train_spec *t, double parameters)
{
	double each = 0;

	if (t->inner_state == INNER_AVERAGE)
		each += t->optimizer == OPTIMIZER_ADAMW ? 8 : 4;
	if (t->compression == COMPRESSION_SPARSELOCO)
		each += 4; /* the error feedback of the unit's slot */
	return each * parameters;
}

static int describe_traffic(
	const struct recipe *r, const struct model *m, FILE *out, struct errmsg *msg)
{
	double state = carried_bytes(&r->train, (double)m->parameters);
	double theta = 4.0 * (double)m->parameters;
	char a[AMOUNT_MAX];
	char b[AMOUNT_MAX];
	size_t update;
	int rc = payload_size(r, &update, msg);

	if (rc != TK_OK)
		return rc;
	fprintf(out, "a round     %s down to each worker", amount(a, theta, "B"));
	if (state > 0)
		fprintf(out, " and %s more with each unit", amount(a, state, "B"));
	fprintf(out, ", %s up for each unit, %s up in all\n", amount(a, (double)update, "B"),
		amount(b, (double)update * r->train.units_per_round, "B"));
	if (state > 0)
		fprintf(out,
			"state       %s of what goes up for each unit, which the next one of its "
			"place fetches in turn\n",
			amount(a, state, "B"));
	fprintf(out, "once        %s of data at most, in parts as a worker needs them\n",
		amount(a, shard_bytes(&r->data, SHARDS_MAX), "B"));
	return TK_OK;
}

static void describe_worker(
	const struct project *p, const struct recipe *r, const struct model *m, FILE *out)
{
	const struct train_spec *t = &r->train;
	struct compute one = {.engine = engine_best()};
	double batch = (double)model_work_bytes(m, &one, t->batch_size / t->accumulate, true);
	double memory = (double)unit_memory(r) + shard_bytes(&r->data, ORDER_WINDOW);
	char a[AMOUNT_MAX];
	char b[AMOUNT_MAX];

	fprintf(out, "a worker    about %s of memory, of which %s for a batch's activations\n",
		amount(a, memory, "B"), amount(b, batch, "B"));
	if (t->trace_every == 1)
		fprintf(out, "trace       after every step");
	else
		fprintf(out, "trace       every %u steps", t->trace_every);
	fprintf(out, ", about %.2g %% of a unit's time\n", 100 * trace_share(m, t, t->trace_every));
	if (p->numerics == NUMERICS_BLAS)
		fprintf(out, "verify      nothing: OpenBLAS's bits are one computer's own; "
			     "`talkoot train` takes this, `submit` does not\n");
	else if (p->policy == VERIFY_ADAPTIVE)
		fprintf(out,
			"verify      once by peers that have proved themselves, and %.3g %% or "
			"more of the "
			"units twice, drawn in secret;\n            %s\n",
			100 * p->audit_floor,
			p->on_fraud == FRAUD_ROLLBACK
				? "rounds are taken back when a merged unit proves wrong"
				: "what proves wrong after its merge stays: the model may not be "
				  "what `talkoot train` gives");
	else
		fprintf(out,
			"verify      every unit by at least %u peers whose results are equal\n",
			p->quorum);
}

static void describe_warnings(const struct recipe *r, const struct model *m, FILE *out)
{
	double seen = epochs(r, m);
	double unit = seen / ((double)r->train.rounds * r->train.units_per_round);

	if (seen < 1)
		fprintf(out,
			"warning: training reads %.2g of the data; raise rounds, units_per_round "
			"or "
			"inner_steps to see all\n",
			seen);
	if (unit > 1)
		fprintf(out,
			"warning: one unit reads %.3g times the data; lower inner_steps or "
			"batch_size\n",
			unit);
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
	describe_data(&m, out);
	describe_model(p, &m, out);
	describe_work(r, &m, out);
	if (describe_traffic(r, &m, out, &why) != TK_OK)
		fprintf(out, "warning: %s\n", why.text);
	describe_worker(p, r, &m, out);
	describe_warnings(r, &m, out);
	model_close(&m);
}
