/* talkoot simulate --rates: how much an attacker gets through at each rate of cheating, and so which one is his best. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/cli.h"
#include "coordinator/simulate/expect.h"
#include "tasks/base/mem.h"

#define RATES_MAX 32u

/* Fills out[0 … count − 1] from "0.01,0.1"; 0: that is no such list. */
static uint32_t rates_read(double out[RATES_MAX], const char *list)
{
	uint32_t count = 0;

	for (;;) {
		char *end;
		double x = strtod(list, &end);

		if (end == list || !(x > 0 && x <= 1) || count == RATES_MAX)
			return 0;
		out[count++] = x;
		if (*end == '\0')
			return count;
		if (*end != ',')
			return 0;
		list = end + 1;
	}
}

struct rate_curves {
	struct chart chart;
	struct curve *standing, *likely, *bound;
};

/* One rate: its line, and its points. False: it could not be simulated. */
static bool rate_run(struct rate_curves *c, struct simulate_report *r, const struct project *p,
	const struct simulate_options *o, struct errmsg *msg)
{
	bool friends = strcmp(strategy_name(o->strategy), "colluders-single") == 0;
	double bound = 0, likely = 0;

	if (simulate_run(r, p, o, msg) != TK_OK)
		return false;
	if (friends && r->audit_floor > 0)
		likely = expect_friends(&bound, r, o);
	printf("| %g | %" PRIu64 " | %.0f | %.0f | %" PRIu64 " | %" PRIu32 " | %" PRIu32 " |%s\n",
		o->rate, r->end.standing, likely, bound, r->peak, r->end.caught, r->end.retired_ok,
		r->done ? "" : " NOT FINISHED");
	fflush(stdout);
	curve_add(c->standing, 100 * o->rate, (double)r->end.standing);
	if (bound > 0) {
		curve_add(c->likely, 100 * o->rate, likely);
		curve_add(c->bound, 100 * o->rate, bound);
	}
	return r->done;
}

static bool curves_write(const struct rate_curves *c, const char *path)
{
	FILE *out = fopen(path, "w");
	bool good = out != NULL;

	if (good) {
		chart_svg(&c->chart, out);
		good = ferror(out) == 0;
		good &= fclose(out) == 0;
	}
	if (!good)
		fprintf(stderr, "talkoot: %s could not be written: %s\n", path, strerror(errno));
	return good;
}

int simulate_rates(
	const struct project *p, struct simulate_options *o, const char *rates, const char *svg)
{
	double shares[RATES_MAX];
	uint32_t count = rates_read(shares, rates);
	struct simulate_report *r = mem_calloc(1, sizeof(*r));
	struct rate_curves *c = mem_calloc(1, sizeof(*c));
	struct errmsg msg = {""};
	int code = EXIT_OK;

	if (count == 0 || r == NULL || c == NULL) {
		fprintf(stderr, "talkoot simulate: --rates wants 1 to %u shares, as 0.01,0.1,1\n",
			RATES_MAX);
		code = EXIT_USAGE;
		goto out;
	}
	c->chart = (struct chart){.title = "What cheating at a rate lets stand",
		.x_label = "% of results that are wrong",
		.y_label = "wrong units that stand at the end"};
	snprintf(c->chart.subtitle, sizeof(c->chart.subtitle),
		"%s, %g %% of %" PRIu64 " peers, %" PRIu64 " units, seed %" PRIu64,
		strategy_name(o->strategy), 100 * o->cheaters, o->peers, o->units, o->seed);
	c->standing = chart_curve(&c->chart, "simulated");
	c->likely = chart_curve(&c->chart, "the formula");
	c->bound = chart_curve(&c->chart, "the bound");
	puts("| rate | wrong units standing | likely | bound | at the most | identities retired "
	     "| of them right |");
	puts("|--:|--:|--:|--:|--:|--:|--:|");
	for (uint32_t i = 0; i < count && code == EXIT_OK; i++) {
		o->rate = shares[i];
		if (!rate_run(c, r, p, o, &msg))
			code = msg.text[0] != '\0' ? cli_failed(&msg) : EXIT_FAILED;
	}
	if (svg != NULL && !curves_write(c, svg))
		code = EXIT_FAILED;
out:
	mem_free(r);
	mem_free(c);
	return code;
}
