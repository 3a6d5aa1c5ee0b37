/* What another implementation of a model needs to compare itself with this one:
 *
 *   dump PROJECT.yaml FOLDER [train]
 *
 * writes FOLDER/parameters.safetensors, and of the first batch of the training `inputs` (float32 or, of
 * texts, uint32), `labels` (uint32 or, of numbers, float32), `outputs` (float32) and
 * gradient.safetensors, and prints the batch's mean loss. With train it then trains, which prints each
 * round's loss, and the inputs and labels are those of all steps. Little-endian throughout. */
#include <stdlib.h>
#include <string.h>

#include "tasks/base/file.h"
#include "tasks/base/key.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/model/safetensors.h"
#include "tasks/project/project.h"
#include "tasks/unit/sampler.h"
#include "tasks/unit/shard_cache.h"
#include "tasks/unit/train.h"

struct dump {
	const char *folder;
	struct project project;
	struct recipe recipe;
	struct model model;
	struct shard_cache cache;
	struct shard_source source;
	struct sampler sampler;
	struct compute compute;
	struct bytes initial;
	float *parameters;
};

static int write_out(const struct dump *d, const char *name, struct span bytes, struct errmsg *msg)
{
	char path[4096];
	int rc = path_join(path, sizeof(path), d->folder, name);

	if (rc != TK_OK)
		return errmsg_set(msg, rc, "%s: the path is too long", d->folder);
	return file_replace_unsynced(path, bytes, 0644, msg);
}

static int write_tensors(
	const struct dump *d, const char *name, const float *values, struct errmsg *msg)
{
	struct bytes file = {0};
	int rc = safetensors_encode(&file, &d->model, values, NULL, msg);

	if (rc == TK_OK)
		rc = write_out(d, name, bytes_span(&file), msg);
	bytes_close(&file);
	return rc;
}

static int open_project(struct dump *d, const char *path, struct errmsg *msg)
{
	struct shard_sink sink = {&d->cache, shard_cache_sink};
	int rc = project_read(&d->project, path, NULL, msg);

	d->source = (struct shard_source){&d->cache, shard_cache_get};
	d->compute.engine = engine_best();
	if (rc == TK_OK)
		rc = engine_enter_thread(msg);
	if (rc == TK_OK)
		rc = project_recipe(&d->recipe, &d->project, &sink, msg);
	if (rc == TK_OK)
		rc = model_init(&d->model, &d->recipe.model, &d->recipe.data, msg);
	if (rc == TK_OK)
		rc = project_initial(&d->initial, &d->project, &d->recipe, msg);
	if (rc == TK_OK)
		rc = train_initial(&d->recipe, bytes_span(&d->initial), &d->parameters, msg);
	if (rc == TK_OK)
		rc = sampler_init(&d->sampler, &d->model, &d->recipe.data.train, d->recipe.seed,
			&d->source, d->recipe.train.batch_size);
	return rc;
}

/* The samples that all units train on, batch after batch. */
static int write_batches(struct dump *d, size_t batches, struct errmsg *msg)
{
	size_t rows = d->recipe.train.batch_size;
	struct bytes inputs = {0};
	struct bytes labels = {0};
	int rc = TK_OK;

	for (size_t i = 0; i < batches && rc == TK_OK; i++) {
		struct batch b;

		rc = sampler_batch(&d->sampler, i * rows, rows, &b, msg);
		if (rc == TK_OK)
			rc = b.tokens != NULL ? bytes_append(&inputs, b.tokens,
							4 * rows * d->recipe.data.context)
					      : bytes_append(&inputs, b.features,
							4 * rows * d->recipe.data.features);
		if (rc == TK_OK)
			rc = b.targets != NULL
				     ? bytes_append(&labels, b.targets, 4 * rows)
				     : bytes_append(&labels, b.labels, 4 * rows * d->model.labels);
	}
	if (rc == TK_OK)
		rc = write_out(d, "inputs", bytes_span(&inputs), msg);
	if (rc == TK_OK)
		rc = write_out(d, "labels", bytes_span(&labels), msg);
	bytes_close(&inputs);
	bytes_close(&labels);
	return rc;
}

/* Outputs, loss and gradient of the first batch. */
static int write_results(struct dump *d, struct errmsg *msg)
{
	size_t rows = d->recipe.train.batch_size;
	size_t count = rows * d->model.labels;
	size_t width = (size_t)d->model.output.positions * d->model.output.width;
	struct gradient_request request = {.parameters = d->parameters, .count = count};
	struct model_work *work = model_work_new(&d->model, &d->compute, rows, true);
	float *gradient = mem_floats(d->model.parameters);
	float *outputs = mem_floats(rows * width);
	float *losses = mem_floats(count);
	uint8_t *correct = mem_calloc(count, 1);
	int rc = TK_ENOMEM;

	if (work != NULL && gradient != NULL && outputs != NULL && losses != NULL &&
		correct != NULL)
		rc = sampler_batch(&d->sampler, 0, rows, &request.batch, msg);
	if (rc == TK_OK) {
		model_evaluate(&d->model, &d->compute, work, d->parameters, &request.batch, losses,
			correct, outputs);
		printf("%.9g\n",
			(double)model_gradient(&d->model, &d->compute, work, &request, gradient) /
				(double)count);
		rc = write_tensors(d, "gradient.safetensors", gradient, msg);
	}
	if (rc == TK_OK)
		rc = write_out(d, "outputs", span_of(outputs, 4 * rows * width), msg);
	model_work_free(work);
	mem_free(gradient);
	mem_free(outputs);
	mem_free(losses);
	mem_free(correct);
	return rc;
}

static int print_round(void *context, const struct train_round *round)
{
	(void)context;
	printf("%.9g\n", (double)round->loss);
	return 0;
}

static int train(struct dump *d, struct errmsg *msg)
{
	struct train_watch watch = {.round = print_round};
	float *parameters;
	struct digest model;
	int rc = train_run(&d->recipe, d->compute.engine, bytes_span(&d->initial), &d->source, 1,
		&watch, &parameters, &model, msg);

	if (rc == TK_OK)
		mem_free(parameters);
	return rc;
}

static int dump(struct dump *d, bool training, struct errmsg *msg)
{
	const struct train_spec *t = &d->recipe.train;
	size_t batches = training ? (size_t)t->rounds * t->units_per_round * t->inner_steps : 1;
	int rc = write_tensors(d, "parameters.safetensors", d->parameters, msg);

	if (rc == TK_OK)
		rc = write_batches(d, batches, msg);
	if (rc == TK_OK)
		rc = write_results(d, msg);
	if (rc == TK_OK && training)
		rc = train(d, msg);
	return rc;
}

int main(int argc, char **argv)
{
	static struct dump d;
	struct errmsg msg = {""};
	bool training = argc == 4 && strcmp(argv[3], "train") == 0;
	int rc;

	if (argc != 3 && !training) {
		fprintf(stderr, "usage: dump PROJECT.yaml FOLDER [train]\n");
		return 2;
	}
	REQUIRE(crypto_start() == TK_OK);
	d.folder = argv[2];
	rc = open_project(&d, argv[1], &msg);
	if (rc == TK_OK)
		rc = dump(&d, training, &msg);
	sampler_close(&d.sampler);
	mem_free(d.parameters);
	bytes_close(&d.initial);
	model_close(&d.model);
	recipe_close(&d.recipe);
	shard_cache_close(&d.cache);
	if (rc != TK_OK)
		fprintf(stderr, "dump: %s\n", msg.text[0] != '\0' ? msg.text : error_text(rc));
	return rc == TK_OK ? 0 : 1;
}
