/* The plan of a batch's memory: what it shares, and that nobody sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/model/work.h"
#include "tests/lib/model_cases.h"

static void poison(const struct model_work *w)
{
	for (size_t i = 0; i < w->plan.floats; i++)
		w->arena[i] = NAN;
}

static void check_apart(const struct plan *p, const char *name)
{
	for (uint32_t i = 0; i < p->buffer_count; i++) {
		const struct plan_buffer *a = &p->buffers[i];

		assert_true(a->birth <= a->death && a->offset + a->floats <= p->floats);
		assert_int_equal(a->offset % 16, 0);
		for (uint32_t k = 0; k < i; k++) {
			const struct plan_buffer *b = &p->buffers[k];
			bool together = a->birth <= b->death && b->birth <= a->death;
			bool apart = a->offset + a->floats <= b->offset ||
				     b->offset + b->floats <= a->offset;

			if (together && !apart)
				fail_msg("%s: buffers %u and %u meet", name, k, i);
		}
	}
}

static void buffers_that_live_together_lie_apart(void **state)
{
	const struct compute c = {.engine = engine_best()};

	(void)state;
	for (size_t i = 0; i < model_case_count + large_case_count; i++) {
		const struct model_case *which =
			i < model_case_count ? &model_cases[i] : &large_cases[i - model_case_count];
		struct model_bench b;

		model_bench_init(&b, which);
		for (size_t rows = 1; rows <= which->rows; rows += 5) {
			for (int training = 0; training < 2; training++) {
				struct plan p;

				assert_int_equal(
					plan_init(&p, &b.model, &c, rows, training != 0), TK_OK);
				check_apart(&p, which->name);
				assert_int_equal(p.floats * sizeof(float),
					model_work_bytes(&b.model, &c, rows, training != 0));
				plan_close(&p);
			}
		}
		model_bench_close(&b);
	}
}

/* Gives every buffer memory of its own. */
static void share_nothing(struct model_work *w)
{
	size_t end = 0;

	for (uint32_t i = 0; i < w->plan.buffer_count; i++) {
		w->plan.buffers[i].offset = end;
		end += w->plan.buffers[i].floats;
	}
	mem_free(w->arena);
	w->plan.floats = end;
	w->arena = mem_floats(end);
	assert_non_null(w->arena);
}

/* Shared memory, full of NaN from before and larger than the batch needs, gives the bits of memory that is
 * not shared. */
static void what_lay_in_the_memory_before_does_not_matter(void **state)
{
	const struct compute c = {.engine = engine_best()};

	(void)state;
	for (size_t i = 0; i < model_case_count; i++) {
		struct gradient_request request;
		struct model_work *shared, *apart;
		struct model_bench b;
		float *want, sum;

		model_bench_init(&b, &model_cases[i]);
		request = model_bench_request(&b, 0, b.batch.rows, false);
		shared = model_work_new(&b.model, &c, b.batch.rows + 3, true);
		apart = model_work_new(&b.model, &c, b.batch.rows, true);
		want = mem_floats(b.model.parameters);
		share_nothing(apart);
		assert_true(shared->plan.floats <= 2 * apart->plan.floats);
		sum = model_gradient(&b.model, &c, apart, &request, want);
		for (int again = 0; again < 2; again++) {
			poison(shared);
			for (size_t k = 0; k < b.model.parameters; k++)
				b.gradient[k] = NAN;
			assert_true(
				model_gradient(&b.model, &c, shared, &request, b.gradient) == sum);
			assert_memory_equal(b.gradient, want, b.model.parameters * sizeof(float));
		}
		mem_free(want);
		model_work_free(shared);
		model_work_free(apart);
		model_bench_close(&b);
	}
}

static void evaluation_gives_the_same_in_little_memory(void **state)
{
	const struct compute c = {.engine = engine_best()};

	(void)state;
	for (size_t i = 0; i < model_case_count; i++) {
		struct model_work *small, *large;
		struct model_bench b;
		float losses[2][32], outputs[2][256];
		uint8_t correct[2][32];
		size_t labels, bytes;

		model_bench_init(&b, &model_cases[i]);
		labels = b.batch.rows * b.model.labels;
		bytes = labels * b.model.output.width * sizeof(float);
		assert_true(labels <= 32 && bytes <= sizeof(outputs[0]));
		small = model_work_new(&b.model, &c, b.batch.rows, false);
		large = model_work_new(&b.model, &c, b.batch.rows, true);
		share_nothing(large);
		poison(small);
		model_evaluate(&b.model, &c, small, b.parameters, &b.batch, losses[0], correct[0],
			outputs[0]);
		model_evaluate(&b.model, &c, large, b.parameters, &b.batch, losses[1], correct[1],
			outputs[1]);
		assert_memory_equal(losses[0], losses[1], labels * sizeof(float));
		assert_memory_equal(correct[0], correct[1], labels);
		assert_memory_equal(outputs[0], outputs[1], bytes);
		assert_true(small->plan.floats <= large->plan.floats);
		model_work_free(small);
		model_work_free(large);
		model_bench_close(&b);
	}
}

#define DEEP  60u
#define WIDTH 64u

/* Linear layers, each with a ReLU, all of one width. */
static void deep_model(
	struct model *m, struct layer *layers, struct model_spec *spec, const struct dataset *data)
{
	for (uint32_t i = 0; i < DEEP; i++) {
		layers[2 * i] = (struct layer){.type = LAYER_LINEAR, .width = WIDTH};
		layers[2 * i].name[0] = (char)('A' + i);
		layers[2 * i + 1] = (struct layer){.type = LAYER_RELU};
	}
	*spec = (struct model_spec){.type = MODEL_LAYERS,
		.loss = LOSS_CROSS_ENTROPY,
		.layer_count = 2 * DEEP,
		.layers = layers};
	assert_int_equal(model_init(m, spec, data, NULL), TK_OK);
}

static void depth_costs_one_output_a_layer_in_training_and_nothing_in_evaluation(void **state)
{
	const struct compute c = {.engine = engine_best()};
	const struct dataset data = {
		.kind = SAMPLE_F32, .label = LABEL_CLASS, .features = 8, .classes = WIDTH};
	const size_t rows = 32, output = rows * WIDTH * sizeof(float);
	struct layer layers[2 * DEEP];
	struct model_spec spec;
	struct model m;

	(void)state;
	deep_model(&m, layers, &spec, &data);
	/* a ReLU works in its input's place; the rest are losses and hits */
	assert_true(model_work_bytes(&m, &c, rows, false) <= 2 * output + 512);
	assert_true(model_work_bytes(&m, &c, rows, true) <= (DEEP + 1) * output + 512);
	assert_true(model_work_bytes(&m, &c, rows, true) >= DEEP * output);
	model_close(&m);
}

static void no_memory_gives_no_work(void **state)
{
	const struct compute c = {.engine = engine_best()};
	struct model_bench b;
	uint64_t n;

	(void)state;
	model_bench_init(&b, &model_cases[10]);
	for (n = 1;; n++) {
		struct model_work *w;

		mem_fail(n, 0);
		w = model_work_new(&b.model, &c, 4, true);
		mem_fail(0, 0);
		model_work_free(w);
		if (w != NULL)
			break;
	}
	assert_true(n > 4);
	mem_fail(1, 0);
	assert_int_equal(model_work_bytes(&b.model, &c, 4, true), 0);
	mem_fail(0, 0);
	model_bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_that_live_together_lie_apart),
		cmocka_unit_test(what_lay_in_the_memory_before_does_not_matter),
		cmocka_unit_test(evaluation_gives_the_same_in_little_memory),
		cmocka_unit_test(
			depth_costs_one_output_a_layer_in_training_and_nothing_in_evaluation),
		cmocka_unit_test(no_memory_gives_no_work),
	};

	return cmocka_run_group_tests_name("model: memory", tests, NULL, NULL);
}
