/* Curves over one axis each way, as an SVG that a person can read. */
#ifndef TASKS_BASE_CHART_H
#define TASKS_BASE_CHART_H

#include <stdint.h>
#include <stdio.h>

#define CURVES_MAX	 6u
#define CURVE_POINTS_MAX 600u

struct curve {
	char name[64];
	uint32_t count;
	double x[CURVE_POINTS_MAX], y[CURVE_POINTS_MAX];
};

struct chart {
	const char *title, *x_label, *y_label; /* literals, without <, > and & */
	char subtitle[128];
	uint32_t curve_count;
	struct curve curves[CURVES_MAX];
};

/* A new curve, of at most CURVES_MAX; borrowed until the chart is gone. */
struct curve *chart_curve(struct chart *chart, const char *name);
/* Points beyond CURVE_POINTS_MAX are left out. */
void curve_add(struct curve *c, double x, double y);

void chart_svg(const struct chart *chart, FILE *out);

#endif
