/* Replays: any step, alone or with others, from the state before it gives what the whole unit gave, on every
 * engine; and states that nobody ever had do no harm. */
#include "tests/unit/unit_bench.h"

#include "tasks/unit/replay.h"

static const enum model_type models[] = {
	MODEL_LOGISTIC, MODEL_MLP, MODEL_CHAR_MLP, MODEL_CNN, MODEL_GPT};
#define MODELS (sizeof(models) / sizeof(models[0]))

static struct compute best(void)
{
	return (struct compute){.engine = engine_best()};
}

static int replay_on(struct unit_bench *b, const struct compute *c, const struct replay_input *in,
	struct replay *out)
{
	struct errmsg msg = {""};
	int rc = unit_replay(&b->tiny.recipe, &b->unit, c, in, &b->tiny.source, out, &msg);

	if (rc != TK_OK && msg.text[0] == '\0')
		fail_msg("no sentence for %s", error_name(rc));
	return rc;
}

static int replay(struct unit_bench *b, const struct replay_input *in, struct replay *out)
{
	const struct compute c = best();

	return replay_on(b, &c, in, out);
}

/* Only what replay_needs asks for. */
static struct replay_input input_of(struct unit_bench *b, uint32_t from, uint32_t to)
{
	struct replay_input in = {.from = from, .first = from, .to = to};
	struct replay_needs needs;

	assert_int_equal(replay_needs(&needs, &b->tiny.recipe, &b->unit, from, to), TK_OK);
	if (needs.parameters)
		in.parameters = bytes_span(&b->parameters);
	if (needs.slot)
		in.slot = bytes_span(&b->state);
	mem_free(needs.shards);
	return in;
}

/* A unit, computed as a whole and replayed as a whole. */
struct whole {
	struct unit_bench b;
	struct unit_result result;
	struct replay replay;
};

static void whole_run(struct whole *w)
{
	const struct compute c = best();
	struct replay_input in;

	unit_bench_prepare(&w->b, 1, 3);
	in = input_of(&w->b, 0, REPLAY_END);
	assert_int_equal(unit_bench_run(&w->b, &c, NULL, &w->result), TK_OK);
	assert_int_equal(replay(&w->b, &in, &w->replay), TK_OK);
}

static void whole_init(struct whole *w, enum model_type type, unsigned way, uint32_t every)
{
	*w = (struct whole){0};
	assert_true(tiny_init(&w->b.tiny, type));
	unit_bench_way(&w->b.tiny.recipe.train, way);
	w->b.tiny.recipe.train.trace_every = every;
}

static void whole_close(struct whole *w)
{
	unit_result_close(&w->result);
	replay_close(&w->replay);
	unit_bench_close(&w->b);
}

static void assert_same_result(const struct unit_result *a, const struct unit_result *b)
{
	assert_true(span_equal(bytes_span(&a->claim), bytes_span(&b->claim)));
	assert_true(span_equal(bytes_span(&a->payload), bytes_span(&b->payload)));
	assert_int_equal(a->leaf_count, b->leaf_count);
	assert_memory_equal(a->leaves, b->leaves, a->leaf_count * sizeof(struct digest));
}

static void set_before(
	struct whole *w, struct replay_input *in, const struct bytes *state, uint32_t from)
{
	if (from == 0)
		return;
	in->before = bytes_span(state);
	in->leaves = w->result.leaves;
	in->leaf_count = trace_leaves(&w->b.tiny.recipe.train, from);
}

/* Steps one by one, each from the state that the one before gave, up to where the unit ends. */
static void check_steps(struct whole *w, const struct compute *c)
{
	uint32_t states = w->replay.count - 1;
	struct bytes state = {0};
	struct digest digest;

	for (uint32_t j = 0; j <= states; j++) {
		uint32_t to = j < w->b.tiny.recipe.train.inner_steps ? j + 1 : REPLAY_END;
		struct replay_input in = input_of(&w->b, j, to);
		struct replay r = {0};

		set_before(w, &in, &state, j);
		in.keep = to == REPLAY_END ? 0 : to;
		assert_int_equal(replay_on(&w->b, c, &in, &r), TK_OK);
		assert_int_equal(r.count, 1);
		assert_int_equal(r.ended, j == states);
		assert_true(digest_equal(&r.leaves[0], &w->replay.leaves[j]));
		bytes_close(&state);
		if (j == states) {
			assert_same_result(&r.result, &w->result);
		} else {
			state = r.kept;
			r.kept = (struct bytes){0};
			assert_int_equal(replay_state_digest(&w->b.tiny.recipe, j + 1,
						 bytes_span(&state), &digest, NULL),
				TK_OK);
			assert_true(digest_equal(&digest, &w->replay.leaves[j]));
		}
		replay_close(&r);
	}
}

static void a_replay_of_all_steps_is_the_unit(void **state)
{
	(void)state;
	for (size_t m = 0; m < MODELS; m++) {
		for (unsigned way = 0; way < WAYS; way++) {
			struct whole w;
			uint32_t steps;

			whole_init(&w, models[m], way, 2);
			whole_run(&w);
			steps = w.b.tiny.recipe.train.inner_steps;
			assert_true(w.replay.ended);
			assert_int_equal(w.replay.count, steps + 1);
			assert_same_result(&w.replay.result, &w.result);
			for (uint32_t k = 1; 2 * k < steps; k++)
				assert_true(digest_equal(
					&w.result.leaves[k], &w.replay.leaves[2 * k - 1]));
			whole_close(&w);
		}
	}
}

static void each_step_alone_is_the_step_of_the_whole(void **state)
{
	const struct compute c = best();

	(void)state;
	for (size_t m = 0; m < MODELS; m++) {
		for (unsigned way = 0; way < WAYS; way++) {
			struct whole w;

			whole_init(&w, models[m], way, 1 + (uint32_t)m);
			whole_run(&w);
			check_steps(&w, &c);
			whole_close(&w);
		}
	}
}

static void each_compression_is_packed_from_the_last_state(void **state)
{
	const struct compute c = best();

	(void)state;
	for (int how = COMPRESSION_NONE; how <= COMPRESSION_SPARSELOCO; how++) {
		for (unsigned way = 0; way < WAYS; way++) {
			struct whole w;

			whole_init(&w, MODEL_MLP, way, 3);
			w.b.tiny.recipe.train.compression = (enum compression)how;
			whole_run(&w);
			check_steps(&w, &c);
			whole_close(&w);
		}
	}
}

static void every_engine_replays_every_step_alike(void **state)
{
	struct pool *pool = NULL;

	(void)state;
	assert_int_equal(pool_new(&pool, 2, NULL), TK_OK);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		for (unsigned way = 0; way < WAYS; way++) {
			const struct compute c = {.engine = *e, .pool = way % 2 == 0 ? pool : NULL};
			struct whole w;

			whole_init(&w, MODEL_GPT, way, 2);
			whole_run(&w);
			check_steps(&w, &c);
			whole_close(&w);
		}
	}
	pool_free(pool);
}

/* Segments from the unit's start, as a peer makes them who keeps no states. */
static void check_segments(struct whole *w)
{
	const struct train_spec *t = &w->b.tiny.recipe.train;
	struct trace_segment s;
	struct claim claim;
	uint32_t steps, k = 0;

	assert_int_equal(claim_decode(&claim, bytes_span(&w->result.claim), NULL), TK_OK);
	steps = trace_steps(t, &claim);
	for (; trace_segment(&s, t, steps, k); k++) {
		struct replay_input in =
			input_of(&w->b, 0, s.last ? REPLAY_END : s.first + s.count);
		struct replay r = {0};

		in.first = s.first;
		assert_int_equal(replay(&w->b, &in, &r), TK_OK);
		assert_int_equal(r.count, s.count);
		assert_int_equal(r.ended, s.last);
		assert_memory_equal(
			r.leaves, w->replay.leaves + s.first, s.count * sizeof(struct digest));
		if (!s.last)
			assert_true(digest_equal(&r.leaves[s.count - 1], &w->result.leaves[k + 1]));
		replay_close(&r);
	}
	assert_int_equal(k + 1, w->result.leaf_count);
}

static void segments_cover_the_unit(void **state)
{
	(void)state;
	for (unsigned way = 0; way < WAYS; way++) {
		for (uint32_t every = 1; every <= 5; every++) {
			struct whole w;

			whole_init(&w, MODEL_MLP, way, every);
			whole_run(&w);
			check_segments(&w);
			whole_close(&w);
		}
	}
}

static void a_unit_that_leaves_the_numbers_ends_alike_in_a_replay(void **state)
{
	const struct compute c = best();

	(void)state;
	for (uint32_t every = 1; every <= 5; every++) {
		struct whole w;
		struct train_spec *t = &w.b.tiny.recipe.train;
		struct claim claim;

		whole_init(&w, MODEL_MLP, 3, every);
		t->learning_rate = 1000;
		t->clip = 0;
		t->weight_decay = 100;
		t->inner_steps = 40;
		whole_run(&w);
		assert_int_equal(claim_decode(&claim, bytes_span(&w.result.claim), NULL), TK_OK);
		assert_int_equal(claim.outcome, OUTCOME_NONFINITE);
		assert_true(claim.failing_step > 0 && claim.failing_step < 40);
		assert_int_equal(w.replay.count, claim.failing_step + 1);
		check_steps(&w, &c);
		check_segments(&w);
		whole_close(&w);
	}
}

static void a_replay_of_what_there_is_not_is_refused(void **state)
{
	static const struct {
		uint32_t from, first, to, keep;
	} wrong[] = {
		{0, 0, 0, 0},
		{0, 0, 7, 0},
		{0, 5, 5, 0},
		{0, 3, 2, 0},
		{3, 3, 3, 0},
		{3, 2, 5, 0},
		{6, 6, REPLAY_END, 0},
		{0, 0, 3, 4},
		{3, 3, 5, 3},
		{5, 5, REPLAY_END, 6},
		{UINT32_MAX, UINT32_MAX, REPLAY_END, 0},
	};
	struct whole w;
	struct bytes five = {0};
	struct replay r = {0};
	struct replay_input in;

	(void)state;
	whole_init(&w, MODEL_MLP, 1, 2);
	whole_run(&w);
	in = input_of(&w.b, 0, 5);
	in.keep = 5;
	assert_int_equal(replay(&w.b, &in, &r), TK_OK);
	five = r.kept;
	r.kept = (struct bytes){0};
	replay_close(&r);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		in = (struct replay_input){.from = wrong[i].from,
			.first = wrong[i].first,
			.to = wrong[i].to,
			.keep = wrong[i].keep,
			.parameters = bytes_span(&w.b.parameters),
			.slot = bytes_span(&w.b.state)};
		if (wrong[i].from > 0)
			set_before(&w, &in, &five, wrong[i].from > 5 ? 5 : wrong[i].from);
		assert_int_equal(replay(&w.b, &in, &r), TK_EINVAL);
	}
	in = input_of(&w.b, 5, REPLAY_END);
	set_before(&w, &in, &five, 5);
	in.leaf_count--;
	assert_int_equal(replay(&w.b, &in, &r), TK_EINVAL);
	in.leaf_count++;
	in.leaves++;
	assert_int_equal(replay(&w.b, &in, &r), TK_ECORRUPT);
	in.leaves--;
	in.parameters.len -= 4;
	assert_int_equal(replay(&w.b, &in, &r), TK_ECORRUPT);
	in.parameters.len += 4;
	assert_int_equal(replay(&w.b, &in, &r), TK_OK);
	replay_close(&r);
	in = input_of(&w.b, 0, 5);
	in.before = bytes_span(&five);
	assert_int_equal(replay(&w.b, &in, &r), TK_EINVAL);
	bytes_close(&five);
	whole_close(&w);
}

static void a_pre_state_of_another_length_or_with_a_strange_nan_is_refused(void **state)
{
	static const uint32_t strange[] = {0x7fc00001, 0x7f800001, 0xffc00000, 0xffffffff};
	struct whole w;
	struct replay r = {0};
	struct replay_input in;
	struct bytes three = {0};
	struct digest digest;
	uint64_t size;
	size_t end;

	(void)state;
	whole_init(&w, MODEL_CHAR_MLP, 2, 2);
	whole_run(&w);
	in = input_of(&w.b, 0, 3);
	in.keep = 3;
	assert_int_equal(replay(&w.b, &in, &r), TK_OK);
	three = r.kept;
	r.kept = (struct bytes){0};
	replay_close(&r);
	assert_int_equal(replay_state_bytes(&w.b.tiny.recipe, 3, &size, NULL), TK_OK);
	assert_int_equal(size, three.len);
	in = input_of(&w.b, 3, REPLAY_END);
	set_before(&w, &in, &three, 3);
	for (size_t by = 1; by <= 4; by++) {
		in.before = span_of(three.data, three.len - by);
		assert_int_equal(replay(&w.b, &in, &r), TK_ECORRUPT);
	}
	in.before = span_of("", 0);
	assert_int_equal(replay(&w.b, &in, &r), TK_ECORRUPT);
	assert_int_equal(
		replay_state_digest(&w.b.tiny.recipe, 4, bytes_span(&three), &digest, NULL),
		TK_ECORRUPT); /* a state after four steps is longer */
	in.before = bytes_span(&three);
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		end = i % 2 == 0 ? 0 : three.len - 4;
		size = load_le32(three.data + end);
		store_le32(three.data + end, strange[i]);
		assert_int_equal(replay(&w.b, &in, &r), TK_ECORRUPT);
		assert_int_equal(
			replay_state_digest(&w.b.tiny.recipe, 3, bytes_span(&three), &digest, NULL),
			TK_ECORRUPT);
		store_le32(three.data + end, (uint32_t)size);
	}
	assert_int_equal(
		replay_state_digest(&w.b.tiny.recipe, 0, bytes_span(&three), &digest, NULL),
		TK_EINVAL);
	assert_int_equal(
		replay_state_digest(&w.b.tiny.recipe, 6, bytes_span(&three), &digest, NULL),
		TK_EINVAL);
	bytes_close(&three);
	whole_close(&w);
}

/* A state that no honest step leaves: bits of any kind, all of them numbers, infinities or 7fc00000. */
static void fill_wildly(struct bytes *state, uint32_t seed)
{
	static const uint32_t odd[] = {0x7fc00000, 0x7f800000, 0xff800000, 0x80000000, 0x00000001,
		0x807fffff, 0x7f7fffff, 0xff7fffff, 0x00800000};

	for (size_t i = 0; i < state->len; i += 4) {
		uint32_t x = (uint32_t)i * 2654435761u ^ seed * 40503u;

		x ^= x >> 15;
		x *= 2246822519u;
		x ^= x >> 13;
		if (seed % 3 == 0 || x % 11 == 0)
			x = odd[x % (sizeof(odd) / sizeof(odd[0]))];
		if (seed % 3 == 1) /* all finite, of moderate size */
			x = (x & 0x807fffffu) | 0x3e000000u;
		if ((x & 0x7fffffffu) > 0x7f800000u)
			x = 0x7fc00000;
		store_le32(state->data + i, x);
	}
}

static void replay_wild(struct whole *w, const struct bytes *wild, uint32_t from, uint32_t to)
{
	struct replay_input in = input_of(&w->b, from, to);
	struct replay first = {0};

	set_before(w, &in, wild, from);
	assert_int_equal(replay(&w->b, &in, &first), TK_OK);
	assert_true(first.count > 0);
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		const struct compute c = {.engine = *e};
		struct replay again = {0};

		assert_int_equal(replay_on(&w->b, &c, &in, &again), TK_OK);
		assert_int_equal(again.count, first.count);
		assert_memory_equal(
			again.leaves, first.leaves, first.count * sizeof(struct digest));
		replay_close(&again);
	}
	replay_close(&first);
}

static void a_wild_pre_state_gives_the_same_bits_on_every_engine(void **state)
{
	(void)state;
	for (size_t m = 0; m < MODELS; m++) {
		for (unsigned way = 0; way < WAYS; way++) {
			struct bytes wild = {0};
			struct whole w;
			uint64_t size;

			whole_init(&w, models[m], way, 1);
			whole_run(&w);
			for (uint32_t from = 1; from <= 5; from += 2) {
				assert_int_equal(
					replay_state_bytes(&w.b.tiny.recipe, from, &size, NULL),
					TK_OK);
				bytes_close(&wild);
				assert_int_equal(bytes_reserve(&wild, size), TK_OK);
				wild.len = size;
				for (uint32_t seed = 0; seed < 6; seed++) {
					fill_wildly(&wild, seed);
					replay_wild(
						&w, &wild, from, from < 5 ? from + 1 : REPLAY_END);
					replay_wild(&w, &wild, from, REPLAY_END);
				}
			}
			bytes_close(&wild);
			whole_close(&w);
		}
	}
}

static void every_allocation_of_a_replay_fails_once(void **state)
{
	(void)state;
	for (unsigned way = 0; way < WAYS; way++) {
		struct bytes kept = {0};
		struct whole w;

		whole_init(&w, MODEL_MLP, way, 2);
		whole_run(&w);
		for (int pass = 0; pass < 2; pass++) {
			uint32_t from = pass == 0 ? 0 : 4;
			struct replay_input in = input_of(&w.b, from, REPLAY_END);
			int rc = TK_ENOMEM;

			in.keep = pass == 0 ? 4 : 0;
			set_before(&w, &in, &kept, from);
			for (uint64_t after = 1; rc != TK_OK; after++) {
				struct replay r = {0};

				assert_true(after < 1000);
				mem_fail(after, 0);
				rc = replay(&w.b, &in, &r);
				mem_fail(0, 0);
				if (rc != TK_OK) {
					assert_int_equal(rc, TK_ENOMEM);
					assert_null(r.leaves);
					continue;
				}
				assert_same_result(&r.result, &w.result);
				if (pass == 0) {
					kept = r.kept;
					r.kept = (struct bytes){0};
				}
				replay_close(&r);
			}
		}
		bytes_close(&kept);
		whole_close(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_replay_of_all_steps_is_the_unit),
		cmocka_unit_test(each_step_alone_is_the_step_of_the_whole),
		cmocka_unit_test(each_compression_is_packed_from_the_last_state),
		cmocka_unit_test(every_engine_replays_every_step_alike),
		cmocka_unit_test(segments_cover_the_unit),
		cmocka_unit_test(a_unit_that_leaves_the_numbers_ends_alike_in_a_replay),
		cmocka_unit_test(a_replay_of_what_there_is_not_is_refused),
		cmocka_unit_test(a_pre_state_of_another_length_or_with_a_strange_nan_is_refused),
		cmocka_unit_test(a_wild_pre_state_gives_the_same_bits_on_every_engine),
		cmocka_unit_test(every_allocation_of_a_replay_fails_once),
	};

	if (crypto_start() != TK_OK || engine_enter_thread(NULL) != TK_OK)
		return 1;
	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
