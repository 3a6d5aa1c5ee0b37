/* One unit of a tiny project, its parameters and a slot's state: for tests that run units. */
#ifndef TESTS_UNIT_UNIT_BENCH_H
#define TESTS_UNIT_UNIT_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/unit/train.h"
#include "tests/lib/tiny.h"

struct unit_bench {
	struct tiny tiny;
	struct bytes parameters, state;
	struct unit unit;
	struct unit_input input;
};

/* Ready for unit `index` of round `round`, from θ_0 and, where the recipe carries states, one of small
 * positive numbers. */
static inline void unit_bench_prepare(struct unit_bench *b, uint32_t round, uint32_t index)
{
	struct round_start start = {0};
	struct digest states[16] = {0};
	struct state_layout layout;
	struct errmsg msg = {""};
	float *theta;
	size_t n;

	if (recipe_validate(&b->tiny.recipe, &msg) != TK_OK)
		fail_msg("%s", msg.text);
	assert_int_equal(unit_parameters(&b->tiny.recipe, &n, NULL), TK_OK);
	assert_int_equal(train_initial(&b->tiny.recipe, span_of("", 0), &theta, NULL), TK_OK);
	b->parameters.len = b->state.len = 0;
	assert_int_equal(parameters_encode(&b->parameters, theta, n), TK_OK);
	mem_free(theta);
	layout = state_layout(&b->tiny.recipe.train, n);
	for (size_t i = 0; i < state_bytes(&layout) / 4; i++) {
		float x = (float)(1 + i % 7) / 1024;

		assert_int_equal(parameters_encode(&b->state, &x, 1), TK_OK);
	}
	digest_blob(&start.parameters, b->parameters.data, b->parameters.len);
	assert_true(index < 16);
	if (b->state.len > 0)
		digest_blob(&states[index], b->state.data, b->state.len);
	start.states = states;
	unit_describe(&b->unit, &b->tiny.recipe_digest, round, index, &start);
	b->input = (struct unit_input){
		.parameters = bytes_span(&b->parameters), .state = bytes_span(&b->state)};
}

static inline void unit_bench_close(struct unit_bench *b)
{
	bytes_close(&b->parameters);
	bytes_close(&b->state);
	tiny_close(&b->tiny);
}

static inline int unit_bench_run(struct unit_bench *b, const struct compute *c,
	const struct run_progress *progress, struct unit_result *out)
{
	return unit_run(
		&b->tiny.recipe, &b->unit, c, &b->input, &b->tiny.source, progress, out, NULL);
}

/* Ways of training that differ in what a unit's state is made of. */
enum { WAYS = 5 };
static inline void unit_bench_way(struct train_spec *t, unsigned way)
{
	t->trace_every = 2;
	if (way == 1) {
		t->inner_state = INNER_AVERAGE;
	} else if (way == 2) {
		t->inner_state = INNER_AVERAGE;
		t->compression = COMPRESSION_SPARSELOCO;
	} else if (way == 3) {
		t->optimizer = OPTIMIZER_SGD;
		t->beta1 = t->beta2 = t->epsilon = 0;
		t->momentum = 0.9f;
		t->inner_state = INNER_AVERAGE;
		t->accumulate = 4;
	} else if (way == 4) {
		t->mode = MODE_GRADIENT;
		t->optimizer = 0;
		t->inner_state = 0;
		t->beta1 = t->beta2 = t->epsilon = 0;
		t->warmup_steps = 0;
	}
}

#endif
