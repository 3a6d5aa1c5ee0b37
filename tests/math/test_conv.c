/* Convolutions of all engines against plain loops written from NUMERICS.md, and their gradients against
 * finite differences in double. */
#include "tests/math/windows.h"

static void place_step(const struct window *w, struct place *p, size_t k)
{
	p->v = k % w->kernel;
	p->u = k / w->kernel % w->kernel;
	p->c = k / w->kernel / w->kernel;
}

/* ---- The specification as loops: libm's fmaf, one element after another ---- */

static float naive_x(const struct window *w, const struct place *p, const float *x)
{
	size_t at;

	return place_exists(w, p, &at) ? x[at] : 0.0f;
}

static void naive_forward(size_t batch, const struct window *w, const float *x, const float *weight,
	const float *bias, float *y)
{
	const size_t taps = (size_t)w->channels * w->kernel * w->kernel;

	for (size_t e = 0; e < batch * output_size(w); e++) {
		struct place p = output_place(w, e);
		float sum = bias == NULL ? 0.0f : bias[p.o];

		for (size_t k = 0; k < taps; k++) {
			place_step(w, &p, k);
			sum = fmaf(weight[p.o * taps + k], naive_x(w, &p, x), sum);
		}
		y[e] = sum;
	}
}

/* One step of the chain of dx at (a − p, b − p): weight (u, v) of output channel o, if it has one. */
static float naive_step(const struct window *w, struct place p, size_t a, size_t b, float weight,
	const float *dy, float sum)
{
	if (p.u % w->stride != a % w->stride || p.v % w->stride != b % w->stride)
		return sum;
	if (a < p.u || b < p.v)
		return fmaf(weight, 0.0f, sum);
	p.i = (a - p.u) / w->stride;
	p.j = (b - p.v) / w->stride;
	if (p.i >= w->height_out || p.j >= w->width_out)
		return fmaf(weight, 0.0f, sum);
	return fmaf(weight, dy[output_at(w, &p)], sum);
}

static void naive_backward_input(
	size_t batch, const struct window *w, const float *dy, const float *weight, float *dx)
{
	const size_t square = (size_t)w->kernel * w->kernel;

	for (size_t e = 0; e < batch * input_size(w); e++) {
		size_t a = e / w->width % w->height + w->padding;
		size_t b = e % w->width + w->padding;
		struct place p = {
			.n = e / input_size(w), .c = e / w->width / w->height % w->channels};
		float sum = 0.0f;

		for (size_t k = 0; k < w->channels_out * square; k++) {
			p.o = k / square;
			p.u = k % square / w->kernel;
			p.v = k % w->kernel;
			sum = naive_step(w, p, a, b,
				weight[(p.o * w->channels + p.c) * square + k % square], dy, sum);
		}
		dx[e] = sum;
	}
}

static void naive_backward_weight(size_t batch, const struct window *w, const float *x,
	const float *dy, float *dweight, float *dbias)
{
	const size_t taps = (size_t)w->channels * w->kernel * w->kernel;

	memset(dweight, 0, w->channels_out * taps * sizeof(*dweight));
	memset(dbias, 0, w->channels_out * sizeof(*dbias));
	for (size_t e = 0; e < batch * output_size(w); e++) {
		struct place p = output_place(w, e);

		dbias[p.o] += dy[e];
		for (size_t k = 0; k < taps; k++) {
			float *d = &dweight[p.o * taps + k];

			place_step(w, &p, k);
			*d = fmaf(dy[e], naive_x(w, &p, x), *d);
		}
	}
}

/* ---- Every engine against them ---- */

static void conv_check_engine(const struct engine *e, size_t batch, const struct window *w,
	const float *x, const float *weight, const float *bias, const float *dy,
	float *const want[4])
{
	struct guarded y = guarded_new(batch * output_size(w));
	struct guarded dx = guarded_new(batch * input_size(w));
	struct guarded dweight = guarded_new(weight_size(w));
	struct guarded dbias = guarded_new(w->channels_out);
	struct guarded space = guarded_new(e->conv2d_workspace(w));
	size_t head = batch / 2, cut = w->channels_out / 3;

	/* In two parts each, as threads would share them. */
	e->conv2d(head, w, x, weight, bias, y.result, space.result);
	e->conv2d(batch - head, w, x + head * input_size(w), weight, bias,
		y.result + head * output_size(w), space.result);
	e->conv2d_backward_input(head, w, dy, weight, dx.result, space.result);
	e->conv2d_backward_input(batch - head, w, dy + head * output_size(w), weight,
		dx.result + head * input_size(w), space.result);
	for (int part = 0; part < 2; part++) { /* of the samples; the channels, too, are shared */
		size_t from = part == 0 ? 0 : head, count = part == 0 ? head : batch - head;
		const float *xs = x + from * input_size(w), *dys = dy + from * output_size(w);
		float *db = bias == NULL ? NULL : dbias.result;

		e->conv2d_backward_weight(
			count, w, 0, cut, xs, dys, part > 0, dweight.result, db, space.result);
		e->conv2d_backward_weight(count, w, cut, w->channels_out - cut, xs, dys, part > 0,
			dweight.result, db, space.result);
	}
	guarded_check(&y, want[0], "conv2d", e->name, w);
	guarded_check(&dx, want[1], "conv2d_backward_input", e->name, w);
	guarded_check(&dweight, want[2], "conv2d_backward_weight", e->name, w);
	guarded_check(&dbias, bias == NULL ? NULL : want[3], "the bias of conv2d_backward_weight",
		e->name, w);
	guarded_check(&space, NULL, "the workspace", e->name, w);
}

static void conv_check(size_t batch, struct window w, enum input_kind kind, bool bias)
{
	float *x = inputs_new(kind, batch * input_size(&w) + 1, 1);
	float *weight = inputs_new(kind, weight_size(&w) + 1, 2);
	float *b = inputs_new(kind, w.channels_out + 1, 3);
	float *dy = inputs_new(kind, batch * output_size(&w) + 1, 4);
	float *want[4] = {mem_floats(batch * output_size(&w)), mem_floats(batch * input_size(&w)),
		mem_floats(weight_size(&w)), mem_floats(w.channels_out)};

	naive_forward(batch, &w, x + 1, weight + 1, bias ? b + 1 : NULL, want[0]);
	naive_backward_input(batch, &w, dy + 1, weight + 1, want[1]);
	naive_backward_weight(batch, &w, x + 1, dy + 1, want[2], want[3]);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++)
		conv_check_engine(
			*e, batch, &w, x + 1, weight + 1, bias ? b + 1 : NULL, dy + 1, want);
	for (int i = 0; i < 4; i++)
		mem_free(want[i]);
	mem_free(x);
	mem_free(weight);
	mem_free(b);
	mem_free(dy);
}

static void every_engine_convolves_as_the_plain_loops_do(void **state)
{
	uint64_t counter = 0;

	(void)state;
	for (int i = 0; i < 250; i++) {
		struct window w = {
			.channels = 1 + pick(&counter, i % 4 == 0 ? 40 : 6),
			.height = 1 + pick(&counter, 17),
			.width = 1 + pick(&counter, i % 8 == 0 ? 40 : 17),
			.channels_out = 1 + pick(&counter, i % 4 == 1 ? 70 : 9),
			.kernel = 1 + pick(&counter, 7),
			.stride = 1 + pick(&counter, 3),
			.padding = pick(&counter, 4),
		};
		size_t batch = 1 + pick(&counter, 5);

		if (window_shape(&w))
			conv_check(batch, w, i % 3 == 0 ? INPUT_NASTY : INPUT_WIDE, i % 2 == 0);
	}
}

static void convolutions_of_the_usual_shapes_are_exact_too(void **state)
{
	static const struct window shapes[] = {
		{1, 28, 28, 32, 3, 1, 1, 0, 0}, {32, 14, 14, 64, 3, 1, 1, 0, 0},
		{3, 33, 31, 16, 7, 2, 3, 0, 0}, {33, 9, 9, 40, 1, 1, 0, 0, 0},
		{33, 9, 9, 40, 1, 2, 0, 0, 0},
		{5, 20, 300, 3, 3, 1, 1, 0, 0}, /* more columns than a block of positions */
		{2, 12, 12, 5, 2, 5, 0, 0, 0},	/* a stride beyond the kernel */
		{2, 5, 5, 33, 3, 1, 6, 0, 0},	/* padding beyond the kernel */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		struct window w = shapes[i];

		assert_true(window_shape(&w));
		conv_check(2, w, INPUT_WIDE, true);
	}
}

/* ---- Gradients ---- */

/* Σ dy·y in double for the convolution, whose gradients are dx and dweight. */
static double scalar_of(size_t batch, const struct window *w, const double *x, const double *weight,
	const float *dy)
{
	const size_t taps = (size_t)w->channels * w->kernel * w->kernel;
	double sum = 0;

	for (size_t e = 0; e < batch * output_size(w); e++) {
		struct place p = output_place(w, e);
		size_t at;

		for (size_t k = 0; k < taps; k++) {
			place_step(w, &p, k);
			if (place_exists(w, &p, &at))
				sum += (double)dy[e] * weight[p.o * taps + k] * x[at];
		}
	}
	return sum;
}

static void gradients_are_those_of_finite_differences(void **state)
{
	struct window w = {.channels = 3,
		.height = 7,
		.width = 6,
		.channels_out = 4,
		.kernel = 3,
		.padding = 1};
	const size_t batch = 2, taps = 27;
	double x[2 * 3 * 7 * 6], weight[4 * 27];

	(void)state;
	for (w.stride = 1; w.stride <= 3; w.stride++) {
		float fx[2 * 3 * 7 * 6], fw[4 * 27], dx[2 * 3 * 7 * 6], dw[4 * 27];
		float *dy, *space;

		assert_true(window_shape(&w));
		dy = inputs_new(INPUT_PLAIN, batch * output_size(&w), 3);
		space = mem_floats(engine_best()->conv2d_workspace(&w) + 1);
		inputs_fill(fx, INPUT_PLAIN, batch * input_size(&w), 1);
		inputs_fill(fw, INPUT_PLAIN, 4 * taps, 2);
		for (size_t i = 0; i < batch * input_size(&w); i++)
			x[i] = (double)fx[i];
		for (size_t i = 0; i < 4 * taps; i++)
			weight[i] = (double)fw[i];
		engine_best()->conv2d_backward_input(batch, &w, dy, fw, dx, space);
		engine_best()->conv2d_backward_weight(
			batch, &w, 0, 4, fx, dy, false, dw, NULL, space);
		for (size_t i = 0; i < batch * input_size(&w) + 4 * taps; i++) {
			bool of_x = i < batch * input_size(&w);
			double *v = of_x ? &x[i] : &weight[i - batch * input_size(&w)];
			double got = (double)(of_x ? dx[i] : dw[i - batch * input_size(&w)]);
			double kept = *v, up, down;

			*v = kept + 0.5; /* linear in each: any step is exact but for rounding */
			up = scalar_of(batch, &w, x, weight, dy);
			*v = kept - 0.5;
			down = scalar_of(batch, &w, x, weight, dy);
			*v = kept;
			if (fabs(up - down - got) > 1e-4)
				fail_msg("stride %u: gradient %zu is %g, not %g", w.stride, i, got,
					up - down);
		}
		mem_free(dy);
		mem_free(space);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_engine_convolves_as_the_plain_loops_do),
		cmocka_unit_test(convolutions_of_the_usual_shapes_are_exact_too),
		cmocka_unit_test(gradients_are_those_of_finite_differences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
