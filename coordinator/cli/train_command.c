/* talkoot train: the whole project in this one process; the reference for the grid. It uses neither
 * sockets nor a store. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "coordinator/cli/cli.h"
#include "coordinator/cli/metadata.h"
#include "tasks/base/file.h"
#include "tasks/base/mem.h"
#include "tasks/math/blas.h"
#include "tasks/model/safetensors.h"
#include "tasks/project/project.h"
#include "tasks/unit/shard_cache.h"
#include "tasks/unit/train.h"

struct training_view {
	time_t started;
	double shown_at;
	uint32_t units; /* of the present round that are done */
	char last[128]; /* the last round, in words */
};

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Of the unit that this thread computes; others are at about the same step. A step may take less than a
 * millisecond, so only some are shown: into a file, those after ten seconds without another line. */
static int show_step(void *context, uint32_t round, uint32_t done, uint32_t total)
{
	struct training_view *v = context;
	double now = seconds_now();

	if (now - v->shown_at < (isatty(STDOUT_FILENO) != 0 ? 0.2 : 10))
		return 0;
	v->shown_at = now;
	cli_progress(stdout, (uint64_t)(round + 1) << 32 | done,
		"round %" PRIu32 " | step %" PRIu32 "/%" PRIu32 ", %" PRIu32 " units done%s%s",
		round, done, total, v->units, v->last[0] != '\0' ? " | " : "", v->last);
	return 0;
}

static int show_unit(void *context, uint32_t round, uint32_t done, uint32_t total)
{
	struct training_view *v = context;

	v->units = done;
	if (isatty(STDOUT_FILENO) != 0)
		cli_progress(stdout, round, "round %" PRIu32 " | units %" PRIu32 "/%" PRIu32 "%s%s",
			round, done, total, v->last[0] != '\0' ? " | " : "", v->last);
	return 0;
}

static int show_round(void *context, const struct train_round *r)
{
	struct training_view *v = context;
	uint32_t done = r->round + 1;
	uint64_t left = (uint64_t)(time(NULL) - v->started) * (r->rounds - done) / done;
	char duration[32];

	v->units = 0;
	v->shown_at = seconds_now();
	cli_losses(v->last, sizeof(v->last), r->loss, &r->validation);
	cli_duration(duration, sizeof(duration), left);
	cli_progress(stdout, done, "round %" PRIu32 "/%" PRIu32 " | %s | %s left", done, r->rounds,
		v->last, duration);
	return 0;
}

/* Whether a file can be written there: asked before the training, not after hours of it. */
static int output_check(const char *path, struct errmsg *msg)
{
	const char *slash = strrchr(path, '/');
	char folder[4096] = ".";
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return errmsg_set(msg, TK_EINVAL, "-o %s is a folder; name a file in it", path);
	if (slash != NULL && (size_t)(slash - path) + 2 > sizeof(folder))
		return errmsg_set(msg, TK_ELIMIT, "-o: the path is too long");
	if (slash != NULL)
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path) + 1, path);
	if (access(folder, W_OK | X_OK) != 0)
		return errmsg_set(msg, TK_EIO, "-o %s: cannot write into the folder %s: %s", path,
			folder, strerror(errno));
	return TK_OK;
}

/* How to train, from the command line. */
struct train_options {
	uint32_t threads;
	bool blas;	    /* OpenBLAS multiplies: the bits are this computer's alone */
	const char *output; /* NULL: the model is not kept */
};

static int save_model(const struct recipe *recipe, const float *parameters,
	const struct digest *digest, const struct train_options *options, struct errmsg *msg)
{
	struct bytes file = {0};
	struct metadata m;
	struct model model = {0};
	int rc = metadata_init(&m, recipe, options->blas ? NULL : digest, recipe->train.rounds,
		options->blas ? "trained in one process, with OpenBLAS" : "trained in one process");

	if (rc != TK_OK)
		errmsg_set(msg, rc, "not enough memory for the model");
	else
		rc = model_init(&model, &recipe->model, &recipe->data, msg);
	if (rc == TK_OK)
		rc = safetensors_encode(&file, &model, parameters, m.pairs, msg);
	if (rc == TK_OK)
		rc = file_replace(options->output, bytes_span(&file), 0644, msg);
	bytes_close(&file);
	model_close(&model);
	metadata_close(&m);
	return rc;
}

static int choose_engine(
	const struct engine **engine, const struct train_options *options, struct errmsg *msg)
{
	const char *remark = engine_remark(engine_has_hardware_fma);
	int rc = engine_choose(engine, getenv("TALKOOT_ENGINE"), msg);

	if (rc == TK_OK && options->blas)
		*engine = engine_blas();
	else if (rc == TK_OK && remark != NULL)
		fprintf(stderr, "talkoot: %s\n", remark);
	return rc;
}

static void show_result(
	const char *losses, const struct digest *model, const struct train_options *options)
{
	char hex[DIGEST_HEX];

	digest_hex(hex, model);
	if (options->blas)
		printf("%s\nno digest: OpenBLAS's bits are not those of other computers\n", losses);
	else
		printf("%s\nmodel  %s\n", losses, hex);
}

static int train(const struct project *p, const struct train_options *options, struct errmsg *msg)
{
	struct shard_cache cache = {0};
	struct shard_sink sink = {&cache, shard_cache_sink};
	struct shard_source source = {&cache, shard_cache_get};
	struct training_view view = {.started = time(NULL), .shown_at = seconds_now()};
	struct train_watch watch = {&view, show_step, show_unit, show_round};
	struct bytes initial = {0};
	float *parameters = NULL;
	struct recipe recipe;
	struct digest model;
	const struct engine *engine;
	int rc = options->output != NULL ? output_check(options->output, msg) : TK_OK;

	if (rc == TK_OK)
		rc = choose_engine(&engine, options, msg);
	if (rc == TK_OK)
		rc = project_recipe(&recipe, p, &sink, msg);
	if (rc == TK_OK) {
		rc = project_initial(&initial, p, &recipe, msg);
		if (rc == TK_OK)
			rc = train_run(&recipe, engine, bytes_span(&initial), &source,
				options->threads, &watch, &parameters, &model, msg);
		cli_progress_end(stdout);
		if (rc == TK_OK) {
			show_result(view.last, &model, options);
			if (options->output != NULL)
				rc = save_model(&recipe, parameters, &model, options, msg);
		}
		bytes_close(&initial);
		mem_free(parameters);
		recipe_close(&recipe);
	}
	shard_cache_close(&cache);
	return rc;
}

int command_train(const struct cli *cli)
{
	struct option_spec options[] = {
		{'o', "output", true, NULL},
		{'t', "threads", true, NULL},
		{'n', "numerics", true, NULL},
		{0},
	};
	struct train_options how = {0};
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t threads = cores < 1 ? 1 : (uint64_t)cores;
	struct errmsg msg = {""};
	struct project project;
	const char *file;

	if (!cli_arguments(cli, options, &file, 1))
		return EXIT_USAGE;
	if (options[1].value != NULL && !cli_number(options[1].value, 1, 64, &threads)) {
		fputs("talkoot train: --threads wants a whole number from 1 to 64\n", stderr);
		return EXIT_USAGE;
	}
	if (options[2].value != NULL && strcmp(options[2].value, "canonical") != 0 &&
		strcmp(options[2].value, "blas") != 0) {
		fputs("talkoot train: --numerics wants canonical, or blas (OpenBLAS)\n", stderr);
		return EXIT_USAGE;
	}
	how.threads = threads > 64 ? 64 : (uint32_t)threads;
	how.output = options[0].value;
	if (!cli_project(file, &project))
		return EXIT_FAILED;
	how.blas = options[2].value != NULL ? strcmp(options[2].value, "blas") == 0
					    : project.numerics == NUMERICS_BLAS;
	return train(&project, &how, &msg) == TK_OK ? EXIT_OK : cli_failed(&msg);
}
