/* What a simulation came to: for a person, with the figure that theory gives beside the measured one where there is
 * one; as CSV; as curves. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "coordinator/simulate/expect.h"

static void line(FILE *out, const char *what, const char *unit, double measured)
{
	fprintf(out, "  %-46s %12.6g %s\n", what, measured, unit);
}

static void spread_line(
	FILE *out, const char *what, const char *unit, const struct simulate_spread *s)
{
	if (s->count == 0)
		return;
	fprintf(out,
		"  %-46s %12.6g %s (median of %" PRIu64 "; 90 %%: %.6g, 99 %%: %.6g, most: %.6g)\n",
		what, s->median, unit, s->count, s->p90, s->p99, s->most);
}

static void print_head(const struct simulate_report *r, const struct simulate_options *o, FILE *out)
{
	fprintf(out,
		"%" PRIu32 " of %" PRIu32 " rounds of %" PRIu32 " units, quorum %" PRIu32
		", %" PRIu64 " peers, churn %g, seed %" PRIu64 "\n",
		r->rounds_done, r->rounds, r->units_per_round, r->quorum, o->peers, o->churn,
		o->seed);
	if (r->audit_floor > 0)
		fprintf(out, "policy adaptive, audit_floor %g\n", r->audit_floor);
	if (o->strategy != NULL)
		fprintf(out,
			"strategy %s: %" PRIu32 " identities at the beginning, %" PRIu32
			" in all\n",
			strategy_name(o->strategy), r->cheaters_1, r->cheaters);
	if (!r->done)
		fprintf(out, "NOT FINISHED: %s\n",
			r->reason[0] != '\0' ? r->reason : "it stood still");
}

static void print_expected(
	const struct simulate_report *r, const struct simulate_options *o, FILE *out)
{
	struct expectation e[EXPECTATIONS_MAX];
	uint32_t count = expect(e, r, o);

	if (!r->done) {
		fputs("the run did not finish, so it shows nothing beside what is wanted\n", out);
		return;
	}
	if (count > 0)
		fputs("measured beside what the formulas of VERIFICATION.md give\n", out);
	for (uint32_t i = 0; i < count; i++) {
		bool most = e[i].kind == EXPECT_MOST;

		fprintf(out, "  %-46s %12.6g %s %s %.6g", e[i].what, e[i].measured, e[i].unit,
			most ? "at most" : "about  ", e[i].expected);
		if (!most)
			fprintf(out, " +/- %.0f %%", 100 * e[i].within);
		fputs(expectation_holds(&e[i]) ? "\n" : "  DIFFERS\n", out);
	}
}

void simulate_print(const struct simulate_report *r, const struct simulate_options *o, FILE *out)
{
	double hours = r->end.hours > 0 ? r->end.hours : 1e-9;

	print_head(r, o, out);
	fputs("time and cost\n", out);
	line(out, "time", "h", r->end.hours);
	line(out, "a round, at the mean", "h", r->round_h);
	line(out, "units settled", "an hour", (double)r->end.units / hours);
	line(out, "units computed by honest peers", "for each settled",
		(double)r->end.computed / (double)(r->end.units + !r->end.units));
	line(out, "honest peers compute", "% of the time that they are here", 100 * r->busy);
	line(out, "messages", "for each unit settled",
		(double)r->messages_all / (double)(r->end.units + !r->end.units));
	fputs("verification\n", out);
	line(out, "computation beyond once a unit", "%", 100 * r->overhead);
	line(out, "... in the last fifth of the run", "%", 100 * r->overhead_end);
	line(out, "units disputed", "", (double)r->end.disputes);
	spread_line(out, "messages of a dispute, both ways", "", &r->messages);
	line(out, "units' worth of steps that its parties computed again", "", r->replayed);
	line(out, "units recomputed by the coordinator", "", (double)r->referee_units);
	line(out, "steps recomputed by the coordinator", "", (double)r->referee_steps);
	if (r->settle_rounds > 0) {
		line(out, "rollbacks", "", (double)r->rollbacks);
		line(out, "... merges taken back", "", (double)r->taken_back);
		line(out, "... units of discarded rounds that were computed again", "",
			(double)r->computed_again);
	}
	fputs("what was caught\n", out);
	line(out, "wrong results handed in", "", (double)r->wrong);
	line(out, "identities retired that had cheated or erred", "", r->end.caught);
	line(out, "identities retired whose results were right", "(must be 0)", r->end.retired_ok);
	spread_line(out, "wrong results of an identity until then", "", &r->bad);
	spread_line(out, "... up to the one that proved it", "", &r->proven);
	spread_line(out, "time from its first until then", "h", &r->caught_h);
	fputs("what slipped through\n", out);
	line(out, "wrong units that stand at the end", "", (double)r->end.standing);
	line(out, "... at the most", "", (double)r->peak);
	spread_line(out, "those found had stood for", "h", &r->stood_h);
	print_expected(r, o, out);
	fprintf(out, "digest of the run %016" PRIx64 "\n", r->digest);
}

void simulate_csv(const struct simulate_report *r, FILE *out)
{
	fputs("hours,units,computed,recomputed,disputes,wrong_standing,cheaters_retired,"
	      "honest_retired\n",
		out);
	for (uint32_t i = 0; i < r->point_count; i++) {
		const struct simulate_point *p = &r->points[i];

		fprintf(out,
			"%.6f,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu32
			",%" PRIu32 "\n",
			p->hours, p->units, p->computed, p->refereed, p->disputes, p->standing,
			p->caught, p->retired_ok);
	}
}

void simulate_svg(const struct simulate_report *r, const struct simulate_options *o, FILE *out)
{
	static struct chart chart; /* too large for a stack */
	struct curve *standing, *caught, *overhead;

	chart = (struct chart){.title = "What a simulated run let through, caught and cost",
		.x_label = "hours",
		.y_label = "units, identities, %"};
	snprintf(chart.subtitle, sizeof(chart.subtitle), "%s, %" PRIu64 " peers, seed %" PRIu64,
		strategy_name(o->strategy), o->peers, o->seed);
	standing = chart_curve(&chart, "wrong units that stand");
	caught = chart_curve(&chart, "identities retired that had cheated or erred");
	overhead = chart_curve(&chart, "computation beyond once a unit, % until then");
	for (uint32_t i = 0; i < r->point_count; i++) {
		const struct simulate_point *p = &r->points[i];

		curve_add(standing, p->hours, (double)p->standing);
		curve_add(caught, p->hours, p->caught);
		if (p->units > 0)
			curve_add(overhead, p->hours,
				100 * ((double)(p->computed + 2 * p->refereed) / (double)p->units -
					      1));
	}
	chart_svg(&chart, out);
}
