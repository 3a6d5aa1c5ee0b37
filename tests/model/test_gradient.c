/* Gradients against finite differences of a plain float64 implementation of the same model, written
 * here without any of the engine's code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/math/philox.h"
#include "tasks/unit/sampler.h"
#include "tests/lib/tiny.h"

#define ROWS  16
#define WIDTH 64

/* One linear layer in float64: y (outputs). */
static void linear64(const struct linear *a, const double *p, const double *x, double *y)
{
	for (uint32_t o = 0; o < a->outputs; o++) {
		y[o] = p[a->bias + o];
		for (uint32_t i = 0; i < a->inputs; i++)
			y[o] += p[a->weight + (size_t)o * a->inputs + i] * x[i];
	}
}

static double row_loss64(const struct model *m, const double *p, const struct batch *b, size_t row)
{
	double x[WIDTH], y[WIDTH];
	double total = 0;
	uint32_t classes = m->classes;

	for (uint32_t i = 0; i < m->inputs; i++) {
		if (m->vocabulary != 0)
			x[i] = p[b->tokens[row * m->context + i / m->embedding] * m->embedding +
				 i % m->embedding];
		else
			x[i] = (double)b->features[row * m->inputs + i];
	}
	for (uint32_t l = 0; l < m->linear_count; l++) {
		linear64(&m->linears[l], p, x, y);
		for (uint32_t o = 0; o < m->linears[l].outputs && l + 1 < m->linear_count; o++)
			y[o] = m->activation == ACTIVATION_TANH ? tanh(y[o]) : fmax(y[o], 0);
		memcpy(x, y, sizeof(x));
	}
	for (uint32_t c = 0; c < classes; c++)
		total += exp(x[c]);
	return log(total) - x[b->labels[row]];
}

static double loss64(const struct model *m, const double *p, const struct batch *b)
{
	double sum = 0;

	for (size_t r = 0; r < b->rows; r++)
		sum += row_loss64(m, p, b, r);
	return sum / (double)b->rows;
}

static void gradient_of(enum model_type type)
{
	struct tiny t;
	struct model m;
	struct sampler sampler;
	struct batch batch;
	struct model_work *work;
	float *p, *g;
	double *p64;
	float loss;

	assert_true(tiny_init(&t, type));
	assert_int_equal(model_init(&m, &t.recipe.model, &t.recipe.data, NULL), TK_OK);
	assert_int_equal(
		sampler_init(&sampler, &t.recipe.data, &t.recipe.data.train, 5, &t.source, ROWS),
		TK_OK);
	assert_int_equal(sampler_batch(&sampler, 3, ROWS, &batch, NULL), TK_OK);
	work = model_work_new(&m, ROWS);
	p = mem_floats(m.parameters);
	g = mem_floats(m.parameters);
	p64 = mem_calloc(m.parameters, sizeof(double));
	model_initialize(&m, 3, p);
	loss = model_gradient(&m, engine_best(), work, p, &batch, g);
	for (size_t i = 0; i < m.parameters; i++)
		p64[i] = (double)p[i];
	assert_true(fabs((double)loss - loss64(&m, p64, &batch)) < 1e-5);
	for (size_t i = 0; i < m.parameters; i++) {
		const double h = 1e-5;
		double up, down;

		p64[i] = (double)p[i] + h;
		up = loss64(&m, p64, &batch);
		p64[i] = (double)p[i] - h;
		down = loss64(&m, p64, &batch);
		p64[i] = (double)p[i];
		if (fabs((up - down) / (2 * h) - (double)g[i]) > 2e-5)
			fail_msg("parameter %zu: gradient %g, finite difference %g", i,
				(double)g[i], (up - down) / (2 * h));
	}
	mem_free(p64);
	mem_free(g);
	mem_free(p);
	model_work_free(work);
	sampler_close(&sampler);
	tiny_close(&t);
}

static void logistic_gradient_equals_finite_differences(void **state)
{
	(void)state;
	gradient_of(MODEL_LOGISTIC);
}

static void mlp_gradient_equals_finite_differences(void **state)
{
	(void)state;
	gradient_of(MODEL_MLP);
}

static void char_mlp_gradient_equals_finite_differences(void **state)
{
	(void)state;
	gradient_of(MODEL_CHAR_MLP);
}

static void names_and_shapes_are_those_of_a_torch_sequential(void **state)
{
	struct tiny t;
	struct model m;

	(void)state;
	assert_true(tiny_init(&t, MODEL_CHAR_MLP));
	assert_int_equal(model_init(&m, &t.recipe.model, &t.recipe.data, NULL), TK_OK);
	assert_int_equal(m.tensor_count, 5);
	assert_string_equal(m.tensors[0].name, "0.weight"); /* Embedding; 1 is Flatten */
	assert_string_equal(m.tensors[1].name, "2.weight");
	assert_string_equal(m.tensors[2].name, "2.bias"); /* 3 is Tanh */
	assert_string_equal(m.tensors[3].name, "4.weight");
	assert_string_equal(m.tensors[4].name, "4.bias");
	assert_int_equal(m.tensors[1].shape[0], 7);
	assert_int_equal(m.tensors[1].shape[1], 12);
	assert_int_equal(m.parameters, 6 * 3 + 7 * 12 + 7 + 6 * 7 + 6);
	tiny_close(&t);
}

static void every_engine_gives_the_same_gradient(void **state)
{
	struct tiny t;
	struct model m;
	struct sampler sampler;
	struct batch batch;
	struct model_work *work;
	float *p, *g, *first;

	(void)state;
	assert_true(tiny_init(&t, MODEL_CHAR_MLP));
	assert_int_equal(model_init(&m, &t.recipe.model, &t.recipe.data, NULL), TK_OK);
	assert_int_equal(
		sampler_init(&sampler, &t.recipe.data, &t.recipe.data.train, 5, &t.source, ROWS),
		TK_OK);
	assert_int_equal(sampler_batch(&sampler, 0, ROWS, &batch, NULL), TK_OK);
	work = model_work_new(&m, ROWS);
	p = mem_floats(m.parameters);
	g = mem_floats(m.parameters);
	first = mem_floats(m.parameters);
	model_initialize(&m, 3, p);
	model_gradient(&m, engine_find("baseline"), work, p, &batch, first);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		model_gradient(&m, *e, work, p, &batch, g);
		assert_memory_equal(g, first, m.parameters * sizeof(float));
	}
	mem_free(first);
	mem_free(g);
	mem_free(p);
	model_work_free(work);
	sampler_close(&sampler);
	tiny_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logistic_gradient_equals_finite_differences),
		cmocka_unit_test(mlp_gradient_equals_finite_differences),
		cmocka_unit_test(char_mlp_gradient_equals_finite_differences),
		cmocka_unit_test(names_and_shapes_are_those_of_a_torch_sequential),
		cmocka_unit_test(every_engine_gives_the_same_gradient),
	};

	return cmocka_run_group_tests_name("model: gradient", tests, NULL, NULL);
}
