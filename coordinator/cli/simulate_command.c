/* talkoot simulate: what a project would take, and what cheaters would get away with, on the coordinator's real
 * core under virtual time. Needs no home, no data and no network. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/cli.h"
#include "coordinator/simulate/simulate.h"
#include "tasks/base/mem.h"
#include "tasks/model/model.h"

#define FLOPS_MEDIAN 20e9 /* a second, of the median volunteer's machine */

enum {
	OPTION_PEERS,
	OPTION_UNITS,
	OPTION_CHEATERS,
	OPTION_STRATEGY,
	OPTION_CHURN,
	OPTION_RATE,
	OPTION_RATES,
	OPTION_SEED,
	OPTION_UNIT_SECONDS,
	OPTION_CSV,
	OPTION_SVG,
	OPTION_JSON,
	OPTION_LOG,
	OPTION_ED25519,
	OPTIONS,
};

static bool usage(const char *name, const char *wants)
{
	fprintf(stderr, "talkoot simulate: --%s wants %s\n", name, wants);
	return false;
}

static bool read_whole(
	const struct option_spec *o, uint64_t min, uint64_t max, uint64_t *out, const char *wants)
{
	return o->value == NULL || cli_number(o->value, min, max, out) || usage(o->name, wants);
}

static bool read_real(
	const struct option_spec *o, double min, double max, double *out, const char *wants)
{
	char *end;
	double x;

	if (o->value == NULL)
		return true;
	errno = 0;
	x = strtod(o->value, &end);
	if (errno != 0 || end == o->value || *end != '\0' || !(x >= min && x <= max))
		return usage(o->name, wants);
	*out = x;
	return true;
}

static bool read_strategy(const struct option_spec *o, struct simulate_options *out)
{
	if (o->value == NULL || strcmp(o->value, "none") == 0)
		return true;
	out->strategy = strategy_find(o->value);
	if (out->strategy != NULL)
		return true;
	if (strcmp(o->value, "help") == 0) {
		fputs("talkoot simulate --strategy takes one of these:\n", stderr);
		strategy_list(stderr);
		return false;
	}
	fprintf(stderr, "talkoot simulate: there is no strategy \"%s\"; these are:\n", o->value);
	strategy_list(stderr);
	return false;
}

static bool read_options(const struct option_spec *o, struct simulate_options *out)
{
	return read_whole(&o[OPTION_PEERS], 1, SIMULATE_PEERS_MAX, &out->peers,
		       "a number of peers from 1 to 20000") &&
	       read_whole(&o[OPTION_UNITS], 1, SIMULATE_UNITS_MAX, &out->units,
		       "a number of units from 1 to 20000000") &&
	       read_whole(&o[OPTION_SEED], 0, UINT64_MAX, &out->seed, "a whole number") &&
	       read_real(&o[OPTION_CHEATERS], 0, 1, &out->cheaters, "a share from 0 to 1") &&
	       read_real(&o[OPTION_CHURN], 0, 0.9, &out->churn, "a share from 0 to 0.9") &&
	       read_real(&o[OPTION_RATE], 0, 1, &out->rate, "a share from 0 to 1") &&
	       read_real(&o[OPTION_UNIT_SECONDS], 0.001, 1e6, &out->unit_s,
		       "seconds from 0.001 to 1000000") &&
	       read_strategy(&o[OPTION_STRATEGY], out);
}

/* How long the median peer takes for a unit, from the model and the prepared data. */
static void measure_unit(const struct project *project, struct simulate_options *o)
{
	struct errmsg msg = {""};
	struct recipe recipe;
	struct model model;

	if (project_recipe(&recipe, project, NULL, &msg) != TK_OK) {
		fprintf(stderr,
			"talkoot simulate: how much there is to compute is not known (%s); taking "
			"a "
			"minute for a unit, --unit-seconds says otherwise\n",
			msg.text);
		o->unit_s = 60;
		return;
	}
	o->unit_s = 60;
	if (model_init(&model, &recipe.model, &recipe.data, &msg) == TK_OK) {
		o->unit_s = model_step_flops(&model, recipe.train.batch_size) *
			    recipe.train.inner_steps / FLOPS_MEDIAN;
		model_close(&model);
	}
	recipe_close(&recipe);
	fprintf(stderr, "talkoot simulate: a unit takes the median peer %.3g s at %.3g FLOP/s\n",
		o->unit_s, FLOPS_MEDIAN);
}

/* Writes one of the forms into the file; NULL: not asked for. */
static bool write_file(const char *path, const struct simulate_report *r,
	const struct simulate_options *o, bool curves)
{
	FILE *out = path != NULL ? fopen(path, "w") : NULL;
	bool good;

	if (path == NULL)
		return true;
	if (out != NULL && curves)
		simulate_svg(r, o, out);
	else if (out != NULL)
		simulate_csv(r, out);
	good = out != NULL && ferror(out) == 0;
	if (out != NULL)
		good &= fclose(out) == 0;
	if (!good)
		fprintf(stderr, "talkoot: %s could not be written: %s\n", path, strerror(errno));
	return good;
}

static int simulate(const struct project *project, struct simulate_options *o,
	const struct option_spec *options)
{
	struct simulate_report *r = mem_calloc(1, sizeof(*r));
	struct errmsg msg = {""};
	int code = EXIT_OK;

	if (r == NULL || simulate_run(r, project, o, &msg) != TK_OK) {
		code = cli_failed(&msg);
	} else {
		if (options[OPTION_JSON].value == NULL)
			simulate_print(r, o, stdout);
		else if (simulate_json(r, o, stdout) != TK_OK)
			code = EXIT_FAILED;
		if (!r->done)
			code = EXIT_FAILED; /* what stopped it is printed */
		fprintf(stderr, "simulate: %.1f s of processor\n", r->cpu_s);
		if (!write_file(options[OPTION_CSV].value, r, o, false) ||
			!write_file(options[OPTION_SVG].value, r, o, true))
			code = EXIT_FAILED;
	}
	mem_free(r);
	return code;
}

int command_simulate(const struct cli *cli)
{
	struct option_spec options[OPTIONS + 1] = {
		[OPTION_PEERS] = {0, "peers", true, NULL},
		[OPTION_UNITS] = {0, "units", true, NULL},
		[OPTION_CHEATERS] = {0, "cheaters", true, NULL},
		[OPTION_STRATEGY] = {0, "strategy", true, NULL},
		[OPTION_CHURN] = {0, "churn", true, NULL},
		[OPTION_RATE] = {0, "rate", true, NULL},
		[OPTION_RATES] = {0, "rates", true, NULL},
		[OPTION_SEED] = {0, "seed", true, NULL},
		[OPTION_UNIT_SECONDS] = {0, "unit-seconds", true, NULL},
		[OPTION_CSV] = {0, "csv", true, NULL},
		[OPTION_SVG] = {0, "svg", true, NULL},
		[OPTION_JSON] = {0, "json", false, NULL},
		[OPTION_LOG] = {0, "log", false, NULL},
		[OPTION_ED25519] = {0, "ed25519", false, NULL},
	};
	struct simulate_options o = {.peers = 100, .rate = -1, .seed = 1, .progress = true};
	struct project project;
	const char *file;

	if (!cli_arguments(cli, options, &file, 1) || !read_options(options, &o))
		return EXIT_USAGE;
	if (!cli_project(file, &project))
		return EXIT_FAILED;
	if (o.units == 0)
		o.units = (uint64_t)project.train.rounds * project.train.units_per_round;
	if (o.units > SIMULATE_UNITS_MAX)
		o.units = SIMULATE_UNITS_MAX;
	o.log = options[OPTION_LOG].value != NULL;
	o.ed25519 = options[OPTION_ED25519].value != NULL;
	if (o.unit_s == 0)
		measure_unit(&project, &o);
	if (options[OPTION_RATES].value != NULL)
		return simulate_rates(
			&project, &o, options[OPTION_RATES].value, options[OPTION_SVG].value);
	return simulate(&project, &o, options);
}
