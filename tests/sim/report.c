/* See report.h. */
#include "tests/sim/report.h"

#include "tasks/base/require.h"

static void figure_add(struct report *r, enum figure_kind kind, const char *name, double measured,
	double wanted, const char *unit)
{
	struct figure *f = &r->figures[r->figure_count];

	REQUIRE(r->figure_count < FIGURES_MAX);
	*f = (struct figure){.unit = unit, .kind = kind, .measured = measured, .wanted = wanted};
	snprintf(f->name, sizeof(f->name), "%s", name);
	r->figure_count++;
}

void report_least(
	struct report *r, const char *name, double measured, double wanted, const char *unit)
{
	figure_add(r, FIGURE_LEAST, name, measured, wanted, unit);
}

void report_most(
	struct report *r, const char *name, double measured, double wanted, const char *unit)
{
	figure_add(r, FIGURE_MOST, name, measured, wanted, unit);
}

void report_note(struct report *r, const char *name, double measured, const char *unit)
{
	figure_add(r, FIGURE_NOTE, name, measured, 0, unit);
}

static bool figure_misses(const struct figure *f)
{
	return (f->kind == FIGURE_LEAST && !(f->measured >= f->wanted)) ||
	       (f->kind == FIGURE_MOST && !(f->measured <= f->wanted));
}

uint32_t report_misses(const struct report *r)
{
	uint32_t misses = 0;

	for (uint32_t i = 0; i < r->figure_count; i++)
		misses += figure_misses(&r->figures[i]);
	return misses;
}

void report_axes(struct report *r, const char *title, const char *x_label, const char *y_label)
{
	r->chart.title = title;
	r->chart.x_label = x_label;
	r->chart.y_label = y_label;
}

struct curve *report_curve(struct report *r, const char *name)
{
	return chart_curve(&r->chart, name);
}

void report_svg(struct report *r, FILE *out)
{
	snprintf(r->chart.subtitle, sizeof(r->chart.subtitle), "%s, %u peers, seed %llu",
		r->scenario, r->peers, (unsigned long long)r->seed);
	chart_svg(&r->chart, out);
}

static void figure_print(const struct figure *f, FILE *out)
{
	fprintf(out, "%-58s %12.6g %-9s", f->name, f->measured, f->unit);
	if (f->kind != FIGURE_NOTE)
		fprintf(out, " %s %8.6g  %s", f->kind == FIGURE_LEAST ? "at least" : "at most ",
			f->wanted, figure_misses(f) ? "MISS" : "PASS");
	fputc('\n', out);
}

void report_print(const struct report *r, FILE *out)
{
	fprintf(out, "\n%s: %u peers, seed %llu\n", r->scenario, r->peers,
		(unsigned long long)r->seed);
	for (uint32_t i = 0; i < r->figure_count; i++) {
		fputs("  ", out);
		figure_print(&r->figures[i], out);
	}
	fflush(out);
}

void summary_add(struct summary *s, const struct report *r)
{
	for (uint32_t i = 0; i < r->figure_count; i++) {
		if (r->figures[i].kind == FIGURE_NOTE)
			continue;
		REQUIRE(s->count < SUMMARY_MAX);
		s->rows[s->count].scenario = r->scenario;
		s->rows[s->count++].figure = r->figures[i];
	}
}

uint32_t summary_print(const struct summary *s, FILE *out)
{
	const char *before = "";
	uint32_t misses = 0;

	fputs("\nWhat is wanted, and whether it holds\n", out);
	for (uint32_t i = 0; i < s->count; i++) {
		const char *scenario = s->rows[i].scenario;

		fprintf(out, "  %-10s ", scenario == before ? "" : scenario);
		figure_print(&s->rows[i].figure, out);
		misses += figure_misses(&s->rows[i].figure);
		before = scenario;
	}
	fprintf(out, "%u of %u hold, %u missed\n", s->count - misses, s->count, misses);
	return misses;
}

void report_csv(const struct report *r, FILE *out)
{
	static const char *const kinds[] = {"note", "at least", "at most"};

	if (ftell(out) == 0)
		fputs("kind,scenario,peers,seed,name,x_or_measured,y_or_wanted,unit,verdict\n",
			out);
	for (uint32_t i = 0; i < r->figure_count; i++) {
		const struct figure *f = &r->figures[i];

		fprintf(out, "%s,%s,%u,%llu,\"%s\",%.9g,%.9g,%s,%s\n", kinds[f->kind], r->scenario,
			r->peers, (unsigned long long)r->seed, f->name, f->measured, f->wanted,
			f->unit,
			f->kind == FIGURE_NOTE ? ""
			: figure_misses(f)     ? "MISS"
					       : "PASS");
	}
	for (uint32_t c = 0; c < r->chart.curve_count; c++)
		for (uint32_t i = 0; i < r->chart.curves[c].count; i++)
			fprintf(out, "curve,%s,%u,%llu,\"%s\",%.9g,%.9g,,\n", r->scenario, r->peers,
				(unsigned long long)r->seed, r->chart.curves[c].name,
				r->chart.curves[c].x[i], r->chart.curves[c].y[i]);
}
