/* The referee's one step: what it gives is what the unit gave there, whatever the unit is made of, and a state that
 * is not the agreed one is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/jobs.h"
#include "tasks/base/mem.h"
#include "tasks/unit/replay.h"
#include "tests/unit/unit_bench.h"

#define UNIT 3u

/* A project in its second round, all its blobs on disk. */
struct grid {
	char folder[64];
	struct blob_store blobs;
	struct project_row row;
	struct unit_bench b;
	struct replay whole;
};

static void put(struct grid *g, struct span bytes, struct digest *digest)
{
	assert_int_equal(blob_store_put(&g->blobs, digest, bytes, NULL), TK_OK);
}

static void put_shards(struct grid *g)
{
	const struct dataset_part *part = &g->b.tiny.recipe.data.train;

	for (uint32_t i = 0; i < part->shards; i++) {
		struct digest digest;
		struct span bytes;

		assert_int_equal(
			shard_cache_get(&g->b.tiny.cache, &part->digests[i], &bytes, NULL), TK_OK);
		put(g, bytes, &digest);
	}
}

static void grid_init(struct grid *g, enum model_type type, unsigned way)
{
	const struct compute c = {.engine = engine_best()};
	struct replay_input in = {.to = REPLAY_END};
	struct bytes encoded = {0};
	struct digest states[8] = {0};

	*g = (struct grid){0};
	snprintf(g->folder, sizeof(g->folder), "/tmp/talkoot-step-XXXXXX");
	assert_non_null(mkdtemp(g->folder));
	assert_int_equal(blob_store_init(&g->blobs, g->folder, NULL), TK_OK);
	assert_true(tiny_init(&g->b.tiny, type));
	unit_bench_way(&g->b.tiny.recipe.train, way);
	assert_int_equal(recipe_encode(&g->b.tiny.recipe, &encoded, NULL), TK_OK);
	put(g, bytes_span(&encoded), &g->b.tiny.recipe_digest);
	bytes_close(&encoded);
	unit_bench_prepare(&g->b, 1, UNIT);
	g->row = (struct project_row){.recipe = g->b.tiny.recipe_digest,
		.round = 1,
		.rounds = g->b.tiny.recipe.train.rounds,
		.units_per_round = g->b.tiny.recipe.train.units_per_round};
	put(g, bytes_span(&g->b.parameters), &g->row.parameters);
	put_shards(g);
	if (g->b.state.len > 0) {
		put(g, bytes_span(&g->b.state), &states[UNIT]);
		put(g, span_of(states, g->row.units_per_round * sizeof(*states)), &g->row.states);
	}
	in.parameters = g->b.input.parameters;
	in.slot = g->b.input.state;
	assert_int_equal(unit_replay(&g->b.tiny.recipe, &g->b.unit, &c, &in, &g->b.tiny.source,
				 &g->whole, NULL),
		TK_OK);
}

static void grid_close(struct grid *g)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", g->folder);
	assert_int_equal(system(command), 0);
	replay_close(&g->whole);
	unit_bench_close(&g->b);
}

/* The state after so many steps. */
static void state_after(struct grid *g, uint32_t steps, struct bytes *out)
{
	const struct compute c = {.engine = engine_best()};
	struct replay_input in = {.parameters = g->b.input.parameters,
		.slot = g->b.input.state,
		.to = steps,
		.keep = steps};
	struct replay r = {0};

	assert_int_equal(
		unit_replay(&g->b.tiny.recipe, &g->b.unit, &c, &in, &g->b.tiny.source, &r, NULL),
		TK_OK);
	*out = r.kept;
	r.kept = (struct bytes){0};
	replay_close(&r);
}

static struct step_request request_of(struct grid *g, uint32_t from, struct bytes *before)
{
	struct step_request q = {.unit = UNIT, .from = from};

	if (from == 0)
		return q;
	state_after(g, from, before);
	q.before = bytes_span(before);
	q.agreed = g->whole.leaves[from - 1];
	q.leaves = g->whole.result.leaves;
	q.leaf_count = trace_leaves(&g->b.tiny.recipe.train, from);
	return q;
}

static void check_grid(struct grid *g)
{
	uint32_t steps = g->b.tiny.recipe.train.inner_steps;

	for (uint32_t from = 0; from <= steps; from++) {
		struct bytes before = {0};
		struct step_request q = request_of(g, from, &before);
		struct step_output o = {0};

		assert_int_equal(job_step(&g->blobs, &g->row, &q, &o, NULL), TK_OK);
		assert_true(digest_equal(&o.after, &g->whole.leaves[from]));
		if (from == steps)
			assert_true(span_equal(
				bytes_span(&o.claim), bytes_span(&g->whole.result.claim)));
		else
			assert_int_equal(o.claim.len, 0);
		step_output_close(&o);
		bytes_close(&before);
	}
}

static void each_step_is_the_units_own(void **state)
{
	static const enum model_type types[] = {MODEL_MLP, MODEL_GPT};

	(void)state;
	for (size_t m = 0; m < 2; m++) {
		for (unsigned way = 0; way < WAYS; way++) {
			struct grid g;

			grid_init(&g, types[m], way);
			check_grid(&g);
			grid_close(&g);
		}
	}
}

static void a_state_that_nobody_agreed_on_is_refused(void **state)
{
	struct step_output o = {0};
	struct bytes before = {0};
	struct step_request q;
	struct grid g;

	(void)state;
	grid_init(&g, MODEL_MLP, 2);
	q = request_of(&g, 3, &before);
	before.data[8] ^= 1;
	assert_int_equal(job_step(&g.blobs, &g.row, &q, &o, NULL), TK_ECORRUPT);
	before.data[8] ^= 1;
	q.agreed.b[0] ^= 1;
	assert_int_equal(job_step(&g.blobs, &g.row, &q, &o, NULL), TK_ECORRUPT);
	q.agreed.b[0] ^= 1;
	q.before.len--;
	assert_int_equal(job_step(&g.blobs, &g.row, &q, &o, NULL), TK_ECORRUPT);
	q.before.len++;
	q.leaf_count--;
	assert_int_equal(job_step(&g.blobs, &g.row, &q, &o, NULL), TK_EINVAL);
	q.leaf_count++;
	q.from = g.b.tiny.recipe.train.inner_steps + 1;
	assert_int_equal(job_step(&g.blobs, &g.row, &q, &o, NULL), TK_EINVAL);
	q.from = 3;
	q.unit = g.row.units_per_round;
	assert_int_equal(job_step(&g.blobs, &g.row, &q, &o, NULL), TK_EINVAL);
	q.unit = UNIT;
	assert_int_equal(job_step(&g.blobs, &g.row, &q, &o, NULL), TK_OK);
	step_output_close(&o);
	bytes_close(&before);
	grid_close(&g);
}

static void every_allocation_of_a_step_fails_once(void **state)
{
	struct bytes before = {0};
	struct step_request q;
	struct grid g;
	int rc = TK_ENOMEM;

	(void)state;
	grid_init(&g, MODEL_MLP, 2);
	q = request_of(&g, g.b.tiny.recipe.train.inner_steps, &before);
	for (uint64_t after = 1; rc != TK_OK; after++) {
		struct step_output o = {0};

		assert_true(after < 1000);
		mem_fail(after, 0);
		rc = job_step(&g.blobs, &g.row, &q, &o, NULL);
		mem_fail(0, 0);
		assert_true(rc == TK_OK || rc == TK_ENOMEM);
		step_output_close(&o);
	}
	bytes_close(&before);
	grid_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_step_is_the_units_own),
		cmocka_unit_test(a_state_that_nobody_agreed_on_is_refused),
		cmocka_unit_test(every_allocation_of_a_step_fails_once),
	};

	if (crypto_start() != TK_OK || engine_enter_thread(NULL) != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("job_step", tests, NULL, NULL);
}
