/* Runs scenarios of the overlay under virtual time, and shows what they measured beside what is wanted.
 * README.md has the map and the figures. Ends with 0 when every figure is met, 3 when one is missed, 1 when
 * an invariant broke, 2 when it was called wrongly. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/scenario.h"

#define PEERS 10000u

struct options {
	const char *scenario, *csv, *svg;
	uint32_t peers, seconds, places;
	uint64_t seed;
};

static int usage(FILE *out, int status)
{
	fputs("usage: sim [SCENARIO] [--peers N] [--seed K] [--seconds S] [--places M]\n"
	      "           [--csv FILE] [--svg FILE]\n"
	      "Without SCENARIO, or with `all`: all of them but those marked *. With more than "
	      "one, each\n"
	      "has its name put before the .svg of FILE.\n",
		out);
	for (uint32_t i = 0; i < scenario_count; i++)
		fprintf(out, " %c%-10s %s\n", scenarios[i].alone ? '*' : ' ', scenarios[i].name,
			scenarios[i].summary);
	return status;
}

/* A whole number from 0 to max; anything else ends the program. */
static uint64_t number(const char *name, const char *text, uint64_t max)
{
	char *end;
	unsigned long long n = text == NULL ? 0 : strtoull(text, &end, 10);

	if (text == NULL || *text < '0' || *text > '9' || *end != '\0' || n > max) {
		fprintf(stderr, "sim: %s wants a number up to %llu\n", name,
			(unsigned long long)max);
		exit(2);
	}
	return n;
}

static int options_read(struct options *o, char **arg)
{
	*o = (struct options){.scenario = "all", .seed = 1};
	for (; *arg != NULL; arg++) {
		if (strcmp(*arg, "--help") == 0 || strcmp(*arg, "-h") == 0)
			exit(usage(stdout, 0));
		if (**arg != '-') {
			o->scenario = *arg;
			continue;
		}
		if (arg[1] == NULL)
			return usage(stderr, 2);
		if (strcmp(*arg, "--peers") == 0)
			o->peers = (uint32_t)number(*arg, arg[1], 4000000);
		else if (strcmp(*arg, "--seed") == 0)
			o->seed = number(*arg, arg[1], UINT64_MAX);
		else if (strcmp(*arg, "--seconds") == 0)
			o->seconds = (uint32_t)number(*arg, arg[1], 600);
		else if (strcmp(*arg, "--places") == 0)
			o->places = (uint32_t)number(*arg, arg[1], 4000000);
		else if (strcmp(*arg, "--csv") == 0)
			o->csv = arg[1];
		else if (strcmp(*arg, "--svg") == 0)
			o->svg = arg[1];
		else
			return usage(stderr, 2);
		arg++;
	}
	return 0;
}

static FILE *file_open(const char *path)
{
	FILE *f = fopen(path, "w");

	if (f == NULL) {
		perror(path);
		exit(2);
	}
	return f;
}

static void draw(struct report *report, const char *path, bool many)
{
	size_t stem = strlen(path);
	char name[512];
	FILE *f;

	if (report->chart.curve_count == 0)
		return;
	if (stem > 4 && strcmp(path + stem - 4, ".svg") == 0)
		stem -= 4;
	if (many)
		snprintf(name, sizeof(name), "%.*s-%s.svg", (int)stem, path, report->scenario);
	else
		snprintf(name, sizeof(name), "%s", path);
	f = file_open(name);
	report_svg(report, f);
	fclose(f);
}

/* Nodes lie all over the memory: with large pages the program is a third faster. */
static void ask_for_large_pages(char **argv)
{
	if (getenv("GLIBC_TUNABLES") == NULL &&
		setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 1) == 0)
		execv("/proc/self/exe", argv); /* where that fails, it is slower */
}

int main(int argc, char **argv)
{
	static struct report report;
	static struct summary summary;
	const struct scenario *one;
	struct options o;
	FILE *csv;
	int rc;

	(void)argc;
	ask_for_large_pages(argv);
	rc = options_read(&o, argv + 1);
	if (rc != 0)
		return rc;
	one = scenario_find(o.scenario);
	if (one == NULL && strcmp(o.scenario, "all") != 0)
		return usage(stderr, 2);
	csv = o.csv == NULL ? NULL : file_open(o.csv);
	for (uint32_t i = 0; i < scenario_count; i++) {
		const struct scenario *s = &scenarios[i];
		struct run run = {.seed = o.seed,
			.seconds = o.seconds,
			.places = o.places,
			.report = &report};

		if (one == NULL ? s->alone : s != one)
			continue;
		run.peers = o.peers != 0 ? o.peers : s->peers != 0 ? s->peers : PEERS;
		scenario_run(s, &run);
		report_print(&report, stdout);
		printf("  trace %016llx   again: %s\n", (unsigned long long)run.trace, run.replay);
		summary_add(&summary, &report);
		if (csv != NULL)
			report_csv(&report, csv);
		if (o.svg != NULL)
			draw(&report, o.svg, one == NULL);
	}
	if (csv != NULL)
		fclose(csv);
	return summary_print(&summary, stdout) == 0 ? 0 : 3;
}
