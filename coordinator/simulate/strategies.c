/* Ways to cheat, and ways to be in the way without meaning to. A new one is a row of the table at the end and,
 * where it computes something else than what is right, a function. */
#include <string.h>

#include "coordinator/simulate/state.h"

#define AGREED 1u /* the variant of colluders: all that cheat together give equal results */

/* A fault that nobody else has. */
static uint64_t variant_own(struct world *w)
{
	return draw(w) | 1u << 8;
}

static void garbage(struct world *w, struct sim_peer *peer, struct sim_task *task)
{
	(void)peer;
	task->fault = (struct mishap){0, variant_own(w)};
}

static void lazy(struct world *w, struct sim_peer *peer, struct sim_task *task)
{
	double done = 1 - strategy_rate(w->options);
	uint32_t steps = w->recipe.train.inner_steps;
	uint32_t first = (uint32_t)(done * steps);

	(void)peer;
	task->fault = (struct mishap){first < steps ? first : steps - 1, variant_own(w)};
}

static void poisoner(struct world *w, struct sim_peer *peer, struct sim_task *task)
{
	(void)peer;
	task->fault = (struct mishap){w->recipe.train.inner_steps - 1, variant_own(w)};
}

static void sleeper(struct world *w, struct sim_peer *peer, struct sim_task *task)
{
	if (peer->finished >= SLEEPS)
		poisoner(w, peer, task);
}

static void flaky(struct world *w, struct sim_peer *peer, struct sim_task *task)
{
	uint64_t step = draw(w) % w->recipe.train.inner_steps;

	(void)peer;
	if (draw_unit(w) < strategy_rate(w->options))
		task->fault = (struct mishap){(uint32_t)step, variant_own(w)};
}

static void tell_friends(struct world *w, struct sim_peer *peer, struct sim_task *task)
{
	(void)peer;
	truth_of(w, task)->friends++;
}

/* They cheat on a unit when two of them have it before the first commits; then all who get it do. */
static void colluders(struct world *w, struct sim_peer *peer, struct sim_task *task)
{
	struct truth *t = truth_of(w, task);

	(void)peer;
	if (t->plan == 0)
		t->plan = t->friends >= 2 ? 2 : 1;
	if (t->plan == 2)
		task->fault = (struct mishap){w->recipe.train.inner_steps - 1, AGREED};
}

/* Whoever gets a unit first decides, and tells the others what to say when they get it, too. */
static void colluders_single(struct world *w, struct sim_peer *peer, struct sim_task *task)
{
	struct truth *t = truth_of(w, task);

	(void)peer;
	if (t->plan == 0)
		t->plan = draw_unit(w) < strategy_rate(w->options) ? 2 : 1;
	if (t->plan == 2)
		task->fault = (struct mishap){w->recipe.train.inner_steps - 1, AGREED};
}

static const struct strategy strategies[] = {
	{.name = "garbage",
		.summary = "computes nothing, sends random numbers",
		.seconds = 0.02,
		.compute = garbage},
	{.name = "lazy",
		.summary = "skips a share of the steps (--rate, 0.5)",
		.rate = 0.5,
		.seconds = 0.5,
		.compute = lazy},
	{.name = "plagiarist",
		.summary = "computes nothing, opens with what others have shown",
		.seconds = 0.02,
		.compute = garbage,
		.copies = true},
	{.name = "poisoner", .summary = "alters the last step of every unit", .compute = poisoner},
	{.name = "sleeper",
		.summary = "is honest for 1,000 units, then a poisoner",
		.compute = sleeper},
	{.name = "colluders",
		.summary = "talk; agree on a wrong result of what at least two of them hold",
		.leased = tell_friends,
		.compute = colluders},
	{.name = "colluders-single",
		.summary = "talk; agree on a wrong result of a share (--rate, 0.1) of all they get",
		.rate = 0.1,
		.compute = colluders_single},
	{.name = "sybils",
		.summary = "garbage, with a new identity after each retirement",
		.seconds = 0.02,
		.compute = garbage,
		.returns = true},
	{.name = "flood",
		.summary = "ten new identities for each honest peer, spread over the run; garbage",
		.seconds = 0.02,
		.compute = garbage,
		.flood = 10},
	{.name = "withholder",
		.summary = "commits and never opens its commitment",
		.seconds = 0.02,
		.withholds = true},
	{.name = "slow",
		.summary = "is right, and twenty times as slow",
		.seconds = 20,
		.innocent = true},
	{.name = "flaky",
		.summary = "means well; a share (--rate, 0.01) of its units has a flipped bit",
		.rate = 0.01,
		.compute = flaky,
		.innocent = true},
	{.name = "equivocator",
		.summary = "signs two commitments for each lease",
		.equivocates = true},
};

#define STRATEGY_COUNT (sizeof(strategies) / sizeof(strategies[0]))

const struct strategy *strategy_find(const char *name)
{
	for (size_t i = 0; i < STRATEGY_COUNT; i++)
		if (strcmp(strategies[i].name, name) == 0)
			return &strategies[i];
	return NULL;
}

const char *strategy_name(const struct strategy *s)
{
	return s != NULL ? s->name : "none";
}

double strategy_rate(const struct simulate_options *o)
{
	if (o->rate >= 0)
		return o->rate;
	return o->strategy != NULL ? o->strategy->rate : 0;
}

void strategy_list(FILE *out)
{
	for (size_t i = 0; i < STRATEGY_COUNT; i++)
		fprintf(out, "  %-17s %s\n", strategies[i].name, strategies[i].summary);
}
