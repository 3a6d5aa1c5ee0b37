/* Pools of all engines against plain loops written from NUMERICS.md. */
#include "tests/math/windows.h"

static void naive_max_pool(
	size_t batch, const struct window *w, const float *x, float *y, uint8_t *chosen)
{
	for (size_t e = 0; e < batch * output_size(w); e++) {
		struct place p = output_place(w, e);
		bool found = false;
		size_t at;

		y[e] = -INFINITY;
		p.c = p.o;
		for (p.u = 0; p.u < w->kernel; p.u++) {
			for (p.v = 0; p.v < w->kernel; p.v++) {
				if (!place_exists(w, &p, &at))
					continue;
				if (!found || x[at] > y[e])
					chosen[e] = (uint8_t)(p.u * w->kernel + p.v);
				y[e] = x[at] > y[e] ? x[at] : y[e];
				found = true;
			}
		}
	}
}

static void naive_max_backward(
	size_t batch, const struct window *w, const uint8_t *chosen, const float *dy, float *dx)
{
	memset(dx, 0, batch * input_size(w) * sizeof(*dx));
	for (size_t e = 0; e < batch * output_size(w); e++) {
		struct place p = output_place(w, e);
		size_t at = 0;

		p.c = p.o;
		p.u = chosen[e] / w->kernel;
		p.v = chosen[e] % w->kernel;
		assert_true(place_exists(w, &p, &at));
		dx[at] += dy[e];
	}
}

static void naive_average(size_t batch, const struct window *w, const float *x, float *y)
{
	const float count = (float)(w->kernel * w->kernel);

	for (size_t e = 0; e < batch * output_size(w); e++) {
		struct place p = output_place(w, e);
		float sum = 0.0f;
		size_t at;

		p.c = p.o;
		for (p.u = 0; p.u < w->kernel; p.u++) {
			for (p.v = 0; p.v < w->kernel; p.v++)
				sum = place_exists(w, &p, &at) ? sum + x[at] : sum;
		}
		y[e] = sum / count;
	}
}

static void naive_average_backward(size_t batch, const struct window *w, const float *dy, float *dx)
{
	const float count = (float)(w->kernel * w->kernel);

	memset(dx, 0, batch * input_size(w) * sizeof(*dx));
	for (size_t e = 0; e < batch * output_size(w); e++) {
		struct place p = output_place(w, e);
		size_t at;

		p.c = p.o;
		for (p.u = 0; p.u < w->kernel; p.u++) {
			for (p.v = 0; p.v < w->kernel; p.v++) {
				if (place_exists(w, &p, &at))
					dx[at] += dy[e] / count;
			}
		}
	}
}

static void pool_check_engine(const struct engine *e, size_t batch, const struct window *w,
	const float *x, const float *dy, uint8_t *const chosen, float *const want[4])
{
	size_t outputs = batch * output_size(w), inputs = batch * input_size(w);
	struct guarded y = guarded_new(outputs), dx = guarded_new(inputs);
	struct guarded mean = guarded_new(outputs), dmean = guarded_new(inputs);
	uint8_t *got = mem_alloc(outputs + 2);

	assert_non_null(got);
	memset(got, 0xee, outputs + 2);
	e->max_pool(batch, w, x, y.result, got + 1);
	e->max_pool_backward(batch, w, chosen, dy, dx.result);
	e->average_pool(batch, w, x, mean.result);
	e->average_pool_backward(batch, w, dy, dmean.result);
	assert_memory_equal(got + 1, chosen, outputs);
	assert_true(got[0] == 0xee && got[outputs + 1] == 0xee);
	guarded_check(&y, want[0], "max_pool", e->name, w);
	guarded_check(&dx, want[1], "max_pool_backward", e->name, w);
	guarded_check(&mean, want[2], "average_pool", e->name, w);
	guarded_check(&dmean, want[3], "average_pool_backward", e->name, w);
	mem_free(got);
}

static void pool_check(size_t batch, const struct window *w, enum input_kind kind)
{
	size_t outputs = batch * output_size(w), inputs = batch * input_size(w);
	float *x = inputs_new(kind, inputs + 1, 1), *dy = inputs_new(kind, outputs + 1, 2);
	float *want[4] = {
		mem_floats(outputs), mem_floats(inputs), mem_floats(outputs), mem_floats(inputs)};
	uint8_t *chosen = mem_alloc(outputs);

	assert_non_null(chosen);
	for (size_t i = 0; i < inputs; i += 2)
		x[i + 1] = kind == INPUT_NASTY ? x[i + 1] : rintf(x[i + 1]); /* equal ones */
	naive_max_pool(batch, w, x + 1, want[0], chosen);
	naive_max_backward(batch, w, chosen, dy + 1, want[1]);
	naive_average(batch, w, x + 1, want[2]);
	naive_average_backward(batch, w, dy + 1, want[3]);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++)
		pool_check_engine(*e, batch, w, x + 1, dy + 1, chosen, want);
	for (int i = 0; i < 4; i++)
		mem_free(want[i]);
	mem_free(chosen);
	mem_free(x);
	mem_free(dy);
}

static void every_engine_pools_as_the_plain_loops_do(void **state)
{
	uint64_t counter = 1000000;

	(void)state;
	for (int i = 0; i < 600; i++) {
		struct window w = {
			.channels = 1 + pick(&counter, 5),
			.height = 1 + pick(&counter, 30),
			.width = 1 + pick(&counter, i % 8 == 0 ? 90 : 30),
			.kernel = 1 + pick(&counter, i % 5 == 0 ? 16 : 4),
			.stride = 1 + pick(&counter, 4),
		};
		size_t batch = 1 + pick(&counter, 3);

		if (i % 2 == 0) {
			w.kernel = 2;
			w.stride = 2;
		}
		w.channels_out = w.channels;
		w.padding = i % 4 == 0 ? 0 : pick(&counter, w.kernel);
		if (window_shape(&w))
			pool_check(batch, &w, i % 3 == 0 ? INPUT_NASTY : INPUT_PLAIN);
	}
}

/* Σ dy·y in double. */
static double pooled_sum(bool max, const struct window *w, const float *x, const float *dy)
{
	uint8_t chosen[64];
	float y[64];
	double sum = 0;

	assert_true(output_size(w) <= 64);
	if (max)
		engine_best()->max_pool(1, w, x, y, chosen);
	else
		engine_best()->average_pool(1, w, x, y);
	for (size_t i = 0; i < output_size(w); i++)
		sum += (double)dy[i] * (double)y[i];
	return sum;
}

/* Inputs are different whole numbers, so that a step of ¼ leaves every maximum where it is. */
static void gradients_of_pools_are_those_of_finite_differences(void **state)
{
	struct window w = {.channels = 2, .height = 6, .width = 5, .channels_out = 2, .kernel = 3};
	float x[60], dy[64], dx[60], y[64];
	uint8_t chosen[64];

	(void)state;
	inputs_fill(dy, INPUT_PLAIN, 64, 1);
	for (size_t i = 0; i < 60; i++)
		x[i] = (float)(i * 37 % 60);
	for (int i = 0; i < 12; i++) {
		bool max = i % 2 == 0;

		w.stride = 1 + (uint32_t)i / 2 % 3;
		w.padding = (uint32_t)i / 6;
		assert_true(window_shape(&w));
		engine_best()->max_pool(1, &w, x, y, chosen);
		if (max)
			engine_best()->max_pool_backward(1, &w, chosen, dy, dx);
		else
			engine_best()->average_pool_backward(1, &w, dy, dx);
		for (size_t k = 0; k < 60; k++) {
			float kept = x[k];
			double up, down;

			x[k] = kept + 0.25f;
			up = pooled_sum(max, &w, x, dy);
			x[k] = kept - 0.25f;
			down = pooled_sum(max, &w, x, dy);
			x[k] = kept;
			assert_true(fabs((up - down) / 0.5 - (double)dx[k]) < 1e-4);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_engine_pools_as_the_plain_loops_do),
		cmocka_unit_test(gradients_of_pools_are_those_of_finite_differences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
