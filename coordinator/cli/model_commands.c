/* talkoot export and sample: what one does with a trained model. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/checked.h"
#include "coordinator/cli/cli.h"
#include "coordinator/cli/metadata.h"
#include "coordinator/jobs.h"
#include "coordinator/status.h"
#include "tasks/base/file.h"
#include "tasks/base/mem.h"
#include "tasks/data/utf8.h"
#include "tasks/math/philox.h"
#include "tasks/model/safetensors.h"

/* A project's model as it stands now. */
struct loaded {
	struct project_row row;
	struct recipe recipe;
	struct model model;
	float *parameters;
};

static int load_model(struct home *home, const char *name, struct loaded *l, struct errmsg *msg)
{
	int rc = store_find_project(home->store, name, &l->row, msg);

	if (rc == TK_OK)
		rc = job_recipe(&home->blobs, &l->row.recipe, &l->recipe, NULL, msg);
	if (rc != TK_OK)
		return rc;
	rc = model_init(&l->model, &l->recipe.model, &l->recipe.data, msg);
	if (rc == TK_OK)
		rc = job_parameters(&home->blobs, &l->row, &l->model, &l->parameters, msg);
	if (rc != TK_OK) {
		model_close(&l->model);
		recipe_close(&l->recipe);
	}
	return rc;
}

static void loaded_close(struct loaded *l)
{
	mem_free(l->parameters);
	model_close(&l->model);
	recipe_close(&l->recipe);
}

static int write_model(const struct loaded *l, const char *path, struct errmsg *msg)
{
	struct bytes file = {0};
	struct metadata m;
	char checked[CHECKED_MAX];
	int rc;

	project_checked(&l->row, checked);
	rc = metadata_init(&m, &l->recipe, &l->row.model, l->row.round, checked);
	if (rc != TK_OK)
		errmsg_set(msg, rc, "not enough memory for the model");
	else
		rc = safetensors_encode(&file, &l->model, l->parameters, m.pairs, msg);
	if (rc == TK_OK)
		rc = file_replace(path, bytes_span(&file), 0644, msg);
	bytes_close(&file);
	metadata_close(&m);
	return rc;
}

int command_export(const struct cli *cli)
{
	struct option_spec options[] = {{'o', "output", true, NULL}, {0}};
	struct errmsg msg = {""};
	struct loaded l = {0};
	struct home home;
	const char *name;
	int rc;

	if (!cli_arguments(cli, options, &name, 1))
		return EXIT_USAGE;
	if (options[0].value == NULL) {
		fputs("talkoot export: say where to: -o model.safetensors\n", stderr);
		return EXIT_USAGE;
	}
	if (!cli_home(cli, &home))
		return EXIT_FAILED;
	rc = load_model(&home, name, &l, &msg);
	if (rc == TK_OK) {
		rc = write_model(&l, options[0].value, &msg);
		if (rc == TK_OK && l.row.state != PROJECT_DONE)
			fprintf(stderr,
				"talkoot: %s is %s: this is the model after %u of %u rounds\n",
				name, project_state_name(l.row.state), l.row.round, l.row.rounds);
		loaded_close(&l);
	}
	home_close(&home);
	return rc == TK_OK ? EXIT_OK : cli_failed(&msg);
}

/* How a text is drawn. */
struct sampling {
	uint64_t length; /* tokens */
	uint64_t seed;
	double temperature; /* logits are divided by it: below 1 the likely becomes likelier */
};

/* Draws a class from softmax(logits / temperature) with u in [0,1). */
static uint32_t draw(const float *logits, uint32_t classes, double temperature, double u)
{
	double total = 0, most = (double)logits[0];

	for (uint32_t i = 1; i < classes; i++)
		most = (double)logits[i] > most ? (double)logits[i] : most;
	for (uint32_t i = 0; i < classes; i++)
		total += exp(((double)logits[i] - most) / temperature);
	u *= total;
	for (uint32_t i = 0; i + 1 < classes; i++) {
		u -= exp(((double)logits[i] - most) / temperature);
		if (u < 0)
			return i;
	}
	return classes - 1;
}

/* The token a fresh text starts from: a line's end when there is one. */
static uint32_t first_token(const struct dataset *data)
{
	if (data->vocabulary == NULL)
		return '\n'; /* tokens are bytes */
	for (uint32_t i = 0; i < data->classes; i++) {
		if (data->vocabulary[i] == '\n')
			return i;
	}
	return 0;
}

static void print_token(const struct dataset *data, uint32_t token)
{
	char text[5];

	if (data->vocabulary == NULL) {
		putchar((int)token);
		return;
	}
	text[utf8_encode(text, data->vocabulary[token])] = '\0';
	fputs(text, stdout);
}

/* Draws tokens, each from what the model says after the window (context) before it. A causal model reads a
 * text that is shorter than its context from the start and is asked at its last token; any other one sees
 * it behind a row of first tokens. window and labels are (context), outputs a sample's. */
struct drawing {
	const struct loaded *loaded;
	struct model_work *work;
	uint32_t *window, *labels;
	float *outputs, *losses;
	uint8_t *correct;
};

static uint32_t draw_token(
	const struct drawing *d, const struct sampling *how, uint64_t number, uint32_t position)
{
	const struct model *m = &d->loaded->model;
	const struct compute alone = {.engine = engine_best()};
	struct batch batch = {.rows = 1, .tokens = d->window, .labels = d->labels};

	model_evaluate(m, &alone, d->work, d->loaded->parameters, &batch, d->losses, d->correct,
		d->outputs);
	return draw(d->outputs + (size_t)position * m->output.width, m->output.width,
		how->temperature, (double)philox_uniform(how->seed, STREAM_SAMPLE, 0, number));
}

static void print_tokens(const struct drawing *d, const struct sampling *how)
{
	const struct dataset *data = &d->loaded->recipe.data;
	uint32_t context = data->context;
	bool causal = d->loaded->model.labels == context;
	uint32_t length = causal ? 1 : context; /* tokens of the window that are text */

	for (uint32_t i = 0; i < context; i++)
		d->window[i] = first_token(data);
	for (uint64_t i = 0; i < how->length; i++) {
		uint32_t token = draw_token(d, how, i, causal ? length - 1 : 0);

		if (length == context)
			memmove(d->window, d->window + 1, (context - 1) * sizeof(*d->window));
		else
			length++;
		d->window[length - 1] = token;
		print_token(data, token);
	}
	putchar('\n');
}

static int print_sample(const struct loaded *l, const struct sampling *how, struct errmsg *msg)
{
	const struct compute alone = {.engine = engine_best()};
	size_t context = l->recipe.data.context, labels = l->model.labels;
	struct drawing d = {
		.loaded = l,
		.work = model_work_new(&l->model, &alone, 1, false),
		.window = mem_calloc(context, sizeof(uint32_t)),
		.labels = mem_calloc(context, sizeof(uint32_t)),
		.outputs = mem_floats(labels * l->model.output.width),
		.losses = mem_floats(labels),
		.correct = mem_calloc(labels, 1),
	};
	int rc = TK_OK;

	if (d.work != NULL && d.window != NULL && d.labels != NULL && d.outputs != NULL &&
		d.losses != NULL && d.correct != NULL)
		print_tokens(&d, how);
	else
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory to sample");
	mem_free(d.correct);
	mem_free(d.losses);
	mem_free(d.outputs);
	mem_free(d.labels);
	mem_free(d.window);
	model_work_free(d.work);
	return rc;
}

static bool temperature_read(const char *text, double *out)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end != '\0' || !(v >= 0.05 && v <= 5))
		return false;
	*out = v;
	return true;
}

int command_sample(const struct cli *cli)
{
	struct option_spec options[] = {
		{'n', "length", true, NULL},
		{0, "seed", true, NULL},
		{'t', "temperature", true, NULL},
		{0},
	};
	struct errmsg msg = {""};
	struct loaded l = {0};
	struct sampling how = {300, 1, 0.7};
	struct home home;
	const char *name;
	int rc;

	if (!cli_arguments(cli, options, &name, 1))
		return EXIT_USAGE;
	if ((options[0].value != NULL && !cli_number(options[0].value, 1, 1000000, &how.length)) ||
		(options[1].value != NULL &&
			!cli_number(options[1].value, 0, UINT64_MAX, &how.seed))) {
		fputs("talkoot sample: --length wants a whole number from 1 to 1000000, --seed one "
		      "below 2^64\n",
			stderr);
		return EXIT_USAGE;
	}
	if (options[2].value != NULL && !temperature_read(options[2].value, &how.temperature)) {
		fputs("talkoot sample: --temperature wants a number from 0.05 to 5\n", stderr);
		return EXIT_USAGE;
	}
	if (!cli_home(cli, &home))
		return EXIT_FAILED;
	rc = load_model(&home, name, &l, &msg);
	if (rc == TK_OK) {
		rc = l.recipe.data.kind == SAMPLE_TEXT
			     ? print_sample(&l, &how, &msg)
			     : errmsg_set(&msg, TK_EUNSUPPORTED,
				       "%s is not a text model, so there is no "
				       "text to draw from it",
				       name);
		loaded_close(&l);
	}
	home_close(&home);
	return rc == TK_OK ? EXIT_OK : cli_failed(&msg);
}
