/* What a scenario has to say: figures beside what is wanted of them, and curves. As a table on the terminal,
 * as CSV, and as an SVG that a person can read. */
#ifndef TESTS_SIM_REPORT_H
#define TESTS_SIM_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum figure_kind {
	FIGURE_NOTE = 0, /* nothing is wanted of it */
	FIGURE_LEAST = 1,
	FIGURE_MOST = 2,
};

#define FIGURES_MAX	 48u
#define CURVES_MAX	 6u
#define CURVE_POINTS_MAX 600u

struct figure {
	char name[80];
	const char *unit; /* a literal */
	enum figure_kind kind;
	double measured, wanted;
};

struct curve {
	char name[64];
	uint32_t count;
	double x[CURVE_POINTS_MAX], y[CURVE_POINTS_MAX];
};

struct report {
	const char *scenario;
	uint32_t peers;
	uint64_t seed;
	uint32_t figure_count, curve_count;
	struct figure figures[FIGURES_MAX];
	struct curve curves[CURVES_MAX];
	const char *title, *x_label, *y_label; /* literals */
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
/* Points beyond CURVE_POINTS_MAX are left out. */
void curve_add(struct curve *c, double x, double y);

void report_print(const struct report *r, FILE *out);
void report_csv(const struct report *r, FILE *out);
/* svg.c */
void report_svg(const struct report *r, FILE *out);

#endif
