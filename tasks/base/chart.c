/* Axes with round ticks and labels, a legend, lines in colours that differ in brightness too. See chart.h. */
#include "tasks/base/chart.h"

#include <math.h>

#include "tasks/base/require.h"

#define WIDTH	 860.0
#define HEIGHT	 480.0
#define LEFT	 76.0
#define RIGHT	 24.0
#define TOP	 60.0
#define BOTTOM	 60.0
#define LEGEND	 22.0 /* height of an entry */
#define TICKS	 6
#define HEADROOM 0.03 /* of the height, so that a line at the top is seen */
#define NEAR	 0.7  /* what never falls below so much of its most is drawn without zero */
#define FLAT	 0.005

struct axes {
	double x_min, x_max, y_min, y_max, x_step, y_step;
	double bottom; /* of the plot: the legend stands below it */
};

static const char *const colours[CURVES_MAX] = {
	"#0b559f", "#d1571b", "#2a8a43", "#8a3fa0", "#b8860b", "#444444"};

/* Two curves may lie on each other: every other one has gaps. */
static const char *const dashes[CURVES_MAX] = {"none", "9 5", "none", "9 5", "none", "3 4"};

/* 1, 2 or 5 times a power of ten, so that `range` has about TICKS of them. */
static double tick_step(double range)
{
	double power = pow(10, floor(log10(range / TICKS))), many = range / TICKS / power;

	return power * (many < 1.5 ? 1 : many < 3.5 ? 2 : many < 7.5 ? 5 : 10);
}

static struct axes axes_fit(const struct chart *chart)
{
	struct axes a = {.x_min = 0, .x_max = 1e-9, .y_min = 1e9, .y_max = 1e-9};

	for (uint32_t c = 0; c < chart->curve_count; c++) {
		for (uint32_t i = 0; i < chart->curves[c].count; i++) {
			a.x_max = fmax(a.x_max, chart->curves[c].x[i]);
			a.x_min = fmin(a.x_min, chart->curves[c].x[i]);
			a.y_max = fmax(a.y_max, chart->curves[c].y[i]);
			a.y_min = fmin(a.y_min, chart->curves[c].y[i]);
		}
	}
	if (a.y_min > NEAR * a.y_max)
		a.y_min = fmin(a.y_min, (1 - FLAT) * a.y_max);
	else
		a.y_min = fmin(a.y_min, 0);
	a.x_step = tick_step(a.x_max - a.x_min);
	a.y_step = tick_step(a.y_max - a.y_min);
	a.x_min = floor(a.x_min / a.x_step) * a.x_step;
	a.x_max = ceil(a.x_max / a.x_step) * a.x_step;
	a.y_min = floor(a.y_min / a.y_step) * a.y_step;
	a.y_max = ceil(a.y_max / a.y_step) * a.y_step;
	a.bottom = HEIGHT - BOTTOM;
	return a;
}

static double at_x(const struct axes *a, double x)
{
	return LEFT + (x - a->x_min) / (a->x_max - a->x_min) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const struct axes *a, double y)
{
	double height = (a->bottom - TOP) * (1 - HEADROOM);

	return a->bottom - (y - a->y_min) / (a->y_max - a->y_min) * height;
}

static void draw_grid(const struct chart *chart, const struct axes *a, FILE *out)
{
	unsigned columns = (unsigned)((a->x_max - a->x_min) / a->x_step + 0.5);
	unsigned rows = (unsigned)((a->y_max - a->y_min) / a->y_step + 0.5);

	for (unsigned i = 0; i <= columns; i++) {
		double x = a->x_min + i * a->x_step;

		fprintf(out,
			"<path d=\"M%.1f %.1fV%.1f\" class=\"g\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.6g</text>\n",
			at_x(a, x), TOP, a->bottom, at_x(a, x), a->bottom + 18, x);
	}
	for (unsigned i = 0; i <= rows; i++) {
		double y = a->y_min + i * a->y_step;

		fprintf(out,
			"<path d=\"M%.1f %.1fH%.1f\" class=\"g\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n",
			LEFT, at_y(a, y), WIDTH - RIGHT, LEFT - 8, at_y(a, y) + 4, y);
	}
	fprintf(out,
		"<path d=\"M%.1f %.1fV%.1fH%.1f\" fill=\"none\" stroke=\"#222\"/>\n"
		"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n"
		"<text transform=\"translate(18 %.1f) rotate(-90)\" "
		"text-anchor=\"middle\">%s</text>\n",
		LEFT, TOP, a->bottom, WIDTH - RIGHT, (LEFT + WIDTH - RIGHT) / 2, a->bottom + 42,
		chart->x_label, (TOP + a->bottom) / 2, chart->y_label);
}

static void draw_curve(const struct curve *c, const struct axes *a, uint32_t which, FILE *out)
{
	if (c->count == 0)
		return;
	fprintf(out,
		"<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" "
		"stroke-dasharray=\"%s\" stroke-linejoin=\"round\" points=\"",
		colours[which], dashes[which]);
	for (uint32_t i = 0; i < c->count; i++)
		fprintf(out, "%.1f,%.1f ", at_x(a, c->x[i]), at_y(a, c->y[i]));
	fputs("\"/>\n", out);
}

void chart_svg(const struct chart *chart, FILE *out)
{
	struct axes a = axes_fit(chart);
	double height = HEIGHT + LEGEND * chart->curve_count;

	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" width=\"%g\" "
		"height=\"%g\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n"
		"<style>.g{stroke:#ddd;fill:none}</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
		"<text x=\"%g\" y=\"26\" font-size=\"16\" font-weight=\"bold\">%s</text>\n"
		"<text x=\"%g\" y=\"42\" fill=\"#666\">%s%s</text>\n",
		WIDTH, height, WIDTH, height, LEFT, chart->title, LEFT, chart->subtitle,
		a.y_min > 0 ? "; the axis does not begin at 0" : "");
	draw_grid(chart, &a, out);
	for (uint32_t c = 0; c < chart->curve_count; c++) {
		double y = HEIGHT + LEGEND * c;

		draw_curve(&chart->curves[c], &a, c, out);
		fprintf(out,
			"<path d=\"M%g %gh28\" stroke=\"%s\" stroke-width=\"3\" "
			"stroke-dasharray=\"%s\"/>"
			"<text x=\"%g\" y=\"%g\">%s</text>\n",
			LEFT, y, colours[c], dashes[c], LEFT + 36, y + 4, chart->curves[c].name);
	}
	fputs("</svg>\n", out);
}

struct curve *chart_curve(struct chart *chart, const char *name)
{
	struct curve *c = &chart->curves[chart->curve_count];

	REQUIRE(chart->curve_count < CURVES_MAX);
	chart->curve_count++;
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->count = 0;
	return c;
}

void curve_add(struct curve *c, double x, double y)
{
	if (c->count == CURVE_POINTS_MAX)
		return;
	c->x[c->count] = x;
	c->y[c->count++] = y;
}
