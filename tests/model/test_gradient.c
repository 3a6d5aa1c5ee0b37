/* Gradients against finite differences of a plain float64 implementation of the same layers, and their bits
 * over engines, threads and parts of a batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/unit/sampler.h"
#include "tests/lib/model64.h"
#include "tests/lib/model_cases.h"
#include "tests/lib/slice.h"
#include "tests/lib/tiny.h"

#define ROWS 8

/* The gradient of a request, in memory of its own; the sum of the losses. */
static float gradient_on(const struct model *m, const struct compute *c,
	const struct gradient_request *request, float *gradient)
{
	struct model_work *w = model_work_new(m, c, request->batch.rows, true);
	float sum;

	assert_non_null(w);
	sum = model_gradient(m, c, w, request, gradient);
	model_work_free(w);
	return sum;
}

static void compare_with_differences(const char *name, const struct model *m,
	const struct gradient_request *r, const float *gradient, float sum)
{
	const struct batch *b = &r->batch;
	double *p = mem_calloc(m->parameters, sizeof(*p));
	const double h = 1e-5;
	double loss;

	assert_non_null(p);
	for (size_t i = 0; i < m->parameters; i++)
		p[i] = (double)r->parameters[i];
	loss = model64_loss(m, p, b, true, r->seed, r->step);
	if (fabs((double)sum / (double)r->count - loss) > 1e-5)
		fail_msg("%s: loss %g, in float64 %g", name, (double)sum / (double)r->count, loss);
	for (size_t i = 0; i < m->parameters; i++) {
		double keep = p[i], up, down, slope;

		p[i] = keep + h;
		up = model64_loss(m, p, b, true, r->seed, r->step);
		p[i] = keep - h;
		down = model64_loss(m, p, b, true, r->seed, r->step);
		p[i] = keep;
		slope = (up - down) / (2 * h);
		if (!(fabs(slope - (double)gradient[i]) <= 2e-5 * (1 + fabs(slope))))
			fail_msg("%s, parameter %zu: gradient %g, finite difference %g", name, i,
				(double)gradient[i], slope);
	}
	mem_free(p);
}

static void gradient_of_every_layer_equals_finite_differences(void **state)
{
	const struct compute c = {.engine = engine_best()};

	(void)state;
	for (size_t i = 0; i < model_case_count; i++) {
		struct gradient_request request;
		struct model_bench b;
		float sum;

		model_bench_init(&b, &model_cases[i]);
		request = model_bench_request(&b, 0, b.batch.rows, false);
		sum = gradient_on(&b.model, &c, &request, b.gradient);
		compare_with_differences(model_cases[i].name, &b.model, &request, b.gradient, sum);
		model_bench_close(&b);
	}
}

static void gradient_of_preset(enum model_type type)
{
	const struct compute c = {.engine = engine_best()};
	struct gradient_request request = {0};
	struct sampler sampler;
	struct model m;
	struct tiny t;
	float *p, *g, sum;

	assert_true(tiny_init(&t, type));
	assert_int_equal(model_init(&m, &t.recipe.model, &t.recipe.data, NULL), TK_OK);
	assert_int_equal(
		sampler_init(&sampler, &m, &t.recipe.data.train, 5, &t.source, ROWS), TK_OK);
	assert_int_equal(sampler_batch(&sampler, 3, ROWS, &request.batch, NULL), TK_OK);
	p = mem_floats(m.parameters);
	g = mem_floats(m.parameters);
	model_initialize(&m, 3, p);
	request.parameters = p;
	request.count = ROWS * m.labels;
	sum = gradient_on(&m, &c, &request, g);
	compare_with_differences(model_type_name(type), &m, &request, g, sum);
	mem_free(g);
	mem_free(p);
	sampler_close(&sampler);
	model_close(&m);
	tiny_close(&t);
}

static void gradient_of_every_preset_equals_finite_differences(void **state)
{
	(void)state;
	gradient_of_preset(MODEL_LOGISTIC);
	gradient_of_preset(MODEL_MLP);
	gradient_of_preset(MODEL_CHAR_MLP);
	gradient_of_preset(MODEL_CNN);
	gradient_of_preset(MODEL_GPT);
}

/* One case on every engine and with several threads, in one piece or in two parts. */
static void same_bits(const struct model_case *which, size_t cut)
{
	const uint32_t threads[] = {1, 2, 3, 7};
	struct model_bench b;
	float first_sum = 0;
	float *first;

	model_bench_init(&b, which);
	first = mem_floats(b.model.parameters);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		for (size_t k = 0; k < 4; k += slice(1, 2)) {
			struct compute c = {.engine = *e};
			struct gradient_request request;
			bool reference = *e == engine_all()[0] && k == 0;
			float sum;

			assert_int_equal(pool_new(&c.pool, threads[k], NULL), TK_OK);
			request = model_bench_request(&b, 0, cut, false);
			sum = gradient_on(&b.model, &c, &request, b.gradient);
			if (cut < b.batch.rows) {
				request = model_bench_request(&b, cut, b.batch.rows - cut, true);
				sum += gradient_on(&b.model, &c, &request, b.gradient);
			}
			pool_free(c.pool);
			if (reference) {
				memcpy(first, b.gradient, b.model.parameters * sizeof(float));
				first_sum = sum;
			}
			if (memcmp(&sum, &first_sum, sizeof(sum)) != 0 ||
				memcmp(b.gradient, first, b.model.parameters * sizeof(float)) != 0)
				fail_msg("%s: other bits on %s with %u threads", which->name,
					(*e)->name, threads[k]);
		}
	}
	mem_free(first);
	model_bench_close(&b);
}

static void engines_and_threads_give_the_same_bits(void **state)
{
	(void)state;
	for (size_t i = 0; i < model_case_count; i++)
		same_bits(&model_cases[i], model_cases[i].rows);
	for (size_t i = 0; i < large_case_count; i++) {
		same_bits(&large_cases[i], large_cases[i].rows);
		same_bits(&large_cases[i], 17);
	}
}

static void parts_of_a_batch_add_up_to_its_gradient(void **state)
{
	const struct compute c = {.engine = engine_best()};

	(void)state;
	for (size_t i = 0; i < model_case_count; i++) {
		struct gradient_request request;
		struct model_bench b;
		float *whole, sum, parts;

		model_bench_init(&b, &model_cases[i]);
		whole = mem_floats(b.model.parameters);
		request = model_bench_request(&b, 0, b.batch.rows, false);
		sum = gradient_on(&b.model, &c, &request, whole);
		request = model_bench_request(&b, 0, 2, false);
		parts = gradient_on(&b.model, &c, &request, b.gradient);
		request = model_bench_request(&b, 2, b.batch.rows - 2, true);
		parts += gradient_on(&b.model, &c, &request, b.gradient);
		assert_true(fabsf(sum - parts) <= 1e-5f * sum);
		for (size_t k = 0; k < b.model.parameters; k++) {
			if (!(fabsf(whole[k] - b.gradient[k]) <= 1e-6f * (1 + fabsf(whole[k]))))
				fail_msg("%s, parameter %zu: %g in one piece, %g in parts",
					model_cases[i].name, k, (double)whole[k],
					(double)b.gradient[k]);
		}
		mem_free(whole);
		model_bench_close(&b);
	}
}

/* A product's chain simply goes on in the next part. */
static void weights_of_linear_layers_get_the_same_bits_in_parts(void **state)
{
	const struct compute c = {.engine = engine_best()};
	struct gradient_request request;
	struct model_bench b;
	float whole[18];

	(void)state;
	model_bench_init(&b, &model_cases[1]);
	assert_int_equal(b.model.parameters, 18);
	request = model_bench_request(&b, 0, b.batch.rows, false);
	gradient_on(&b.model, &c, &request, whole);
	request = model_bench_request(&b, 0, 4, false);
	gradient_on(&b.model, &c, &request, b.gradient);
	request = model_bench_request(&b, 4, 2, true);
	gradient_on(&b.model, &c, &request, b.gradient);
	assert_memory_equal(whole, b.gradient, sizeof(whole));
	model_bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gradient_of_every_layer_equals_finite_differences),
		cmocka_unit_test(gradient_of_every_preset_equals_finite_differences),
		cmocka_unit_test(engines_and_threads_give_the_same_bits),
		cmocka_unit_test(parts_of_a_batch_add_up_to_its_gradient),
		cmocka_unit_test(weights_of_linear_layers_get_the_same_bits_in_parts),
	};

	return cmocka_run_group_tests_name("model: gradient", tests, NULL, NULL);
}
