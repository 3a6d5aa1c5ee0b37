/* What a scenario has to say: figures beside what is wanted of them, and curves. As a table on the terminal,
 * as CSV, and as an SVG that a person can read. */
#ifndef TESTS_SIM_REPORT_H
#define TESTS_SIM_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tasks/base/chart.h"

enum figure_kind {
	FIGURE_NOTE = 0, /* nothing is wanted of it */
	FIGURE_LEAST = 1,
	FIGURE_MOST = 2,
};

#define FIGURES_MAX 48u
struct figure {
	char name[80];
	const char *unit; /* a literal */
	enum figure_kind kind;
	double measured, wanted;
};

struct report {
	const char *scenario;
	uint32_t peers;
	uint64_t seed;
	uint32_t figure_count;
	struct figure figures[FIGURES_MAX];
	struct chart chart;
};

/* What is at least, or at most, wanted; what is only told. */
void report_least(
	struct report *r, const char *name, double measured, double wanted, const char *unit);
void report_most(
	struct report *r, const char *name, double measured, double wanted, const char *unit);
void report_note(struct report *r, const char *name, double measured, const char *unit);
uint32_t report_misses(const struct report *r);

/* What was wanted in several scenarios, for one table at the end. */
#define SUMMARY_MAX 256u
struct summary {
	uint32_t count;
	struct {
		const char *scenario;
		struct figure figure;
	} rows[SUMMARY_MAX];
};
void summary_add(struct summary *s, const struct report *r);
/* Gives how many are missed. */
uint32_t summary_print(const struct summary *s, FILE *out);

void report_axes(struct report *r, const char *title, const char *x_label, const char *y_label);
/* A new curve; borrowed until the report is gone. */
struct curve *report_curve(struct report *r, const char *name);

void report_print(const struct report *r, FILE *out);
void report_csv(const struct report *r, FILE *out);
void report_svg(struct report *r, FILE *out);

#endif
