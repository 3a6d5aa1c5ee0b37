/* talkoot check and submit: from project.yaml to the coordinator's store. */
#include <string.h>
#include <time.h>

#include "coordinator/cli/cli.h"
#include "tasks/base/mem.h"
#include "tasks/model/model.h"
#include "tasks/project/project.h"
#include "tasks/unit/train.h"

int command_check(const struct cli *cli)
{
	struct option_spec none[] = {{0}};
	struct errmsg msg = {""};
	struct project project;
	struct recipe recipe;
	const char *file;

	if (!cli_arguments(cli, none, &file, 1))
		return EXIT_USAGE;
	if (!cli_project(file, &project))
		return EXIT_FAILED;
	if (project_recipe(&recipe, &project, NULL, &msg) != TK_OK)
		return cli_failed(&msg);
	project_describe(&project, &recipe, stdout);
	recipe_close(&recipe);
	return EXIT_OK;
}

static int put_shard(
	void *context, const struct digest *digest, struct span bytes, struct errmsg *msg)
{
	struct home *home = context;
	struct digest stored;

	(void)digest;
	return blob_store_put(&home->blobs, &stored, bytes, msg);
}

/* θ_0 as a blob, and its digests. */
static int put_initial(struct home *home, const struct project *project,
	const struct recipe *recipe, struct project_row *row, struct errmsg *msg)
{
	struct bytes given = {0};
	struct bytes encoded = {0};
	float *parameters = NULL;
	int rc = project_initial(&given, project, recipe, msg);

	if (rc == TK_OK)
		rc = train_initial(recipe, bytes_span(&given), &parameters, msg);
	bytes_close(&given);
	if (rc == TK_OK &&
		(parameters_encode(&encoded, parameters, row->parameter_count) != TK_OK ||
			model_digest(&row->model, parameters, row->parameter_count) != TK_OK))
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for the parameters");
	if (rc == TK_OK)
		rc = blob_store_put(&home->blobs, &row->parameters, bytes_span(&encoded), msg);
	bytes_close(&encoded);
	mem_free(parameters);
	return rc;
}

static int put_recipe(
	struct home *home, const struct recipe *recipe, struct project_row *row, struct errmsg *msg)
{
	struct bytes encoded = {0};
	int rc = recipe_encode(recipe, &encoded, msg);

	if (rc == TK_OK)
		rc = blob_store_put(&home->blobs, &row->recipe, bytes_span(&encoded), msg);
	bytes_close(&encoded);
	return rc;
}

/* Blobs first, the row last: a project that the server sees is whole. */
static int submit(struct home *home, const struct project *project, struct errmsg *msg)
{
	struct shard_sink sink = {home, put_shard};
	struct project_row row = {
		.state = PROJECT_QUEUED,
		.quorum = project->quorum,
		.policy = project->policy,
		.audit_floor = project->audit_floor,
		.settle_rounds = project->settle_rounds,
		.on_fraud = project->on_fraud,
		.rounds = project->train.rounds,
		.units_per_round = project->train.units_per_round,
		.created_s = (uint64_t)time(NULL),
	};
	struct model model;
	struct recipe recipe;
	int rc = project_check_grid(project, msg);

	if (rc == TK_OK)
		rc = project_recipe(&recipe, project, &sink, msg);
	if (rc != TK_OK)
		return rc;
	snprintf(row.name, sizeof(row.name), "%s", project->name);
	snprintf(row.model_type, sizeof(row.model_type), "%s", model_type_name(recipe.model.type));
	rc = model_init(&model, &recipe.model, &recipe.data, msg);
	if (rc == TK_OK) {
		row.parameter_count = model.parameters;
		row.samples = recipe.data.train.samples;
		row.classes = recipe.data.classes;
		row.unit_flops = model_step_flops(&model, recipe.train.batch_size) *
				 recipe.train.inner_steps;
		model_close(&model);
		rc = put_initial(home, project, &recipe, &row, msg);
	}
	if (rc == TK_OK)
		rc = put_recipe(home, &recipe, &row, msg);
	if (rc == TK_OK)
		rc = store_add_project(home->store, &row, msg);
	if (rc == TK_OK)
		project_describe(project, &recipe, stdout);
	recipe_close(&recipe);
	return rc;
}

int command_submit(const struct cli *cli)
{
	struct option_spec options[] = {{'w', "watch", false, NULL}, {0}};
	struct errmsg msg = {""};
	struct project project;
	struct home home;
	const char *file;
	int code = EXIT_OK;

	if (!cli_arguments(cli, options, &file, 1))
		return EXIT_USAGE;
	if (!cli_project(file, &project) || !cli_home(cli, &home))
		return EXIT_FAILED;
	if (submit(&home, &project, &msg) != TK_OK) {
		code = cli_failed(&msg);
	} else {
		printf("\nsubmitted %s. Volunteers' computers will store its prepared data: it is "
		       "not "
		       "secret from them.\n",
			project.name);
		if (!home_is_served(&home))
			printf("Nothing serves %s right now: talkoot serve %s --listen ADDR:PORT\n",
				home.path, home.path);
		if (options[0].value != NULL)
			code = cli_follow(&home, project.name);
	}
	home_close(&home);
	return code;
}
