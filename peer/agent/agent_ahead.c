/* The news of the network's root, and what is done before a lease asks for it: the parameters of a new round are
 * fetched as soon as the round is announced, so that they have come from other peers when its leases do.
 *
 * Bounded: only for the project whose recipe is in hand, only the newest round, one at a time, never while a
 * lease waits for a blob, and nothing that would not be computed here anyhow. LEASEs come by themselves:
 * nobody asks for work because of news, or a whole network would ask at once. */
#include "peer/agent/agent_state.h"
#include "tasks/unit/run.h"

/* One that has not come is not wanted any more when another round is the newest, unless a lease needs it. */
static void ahead_end(struct agent *a, struct agent_effects *out)
{
	struct agent_effect *e;

	if (a->ahead.phase == AHEAD_FETCHING && !prepare_needs(a, &a->ahead.parameters)) {
		e = effect_push(out, AGENT_REMOVE_BLOB);
		if (e != NULL) {
			e->kind = BLOB_PARAMETERS;
			e->digest = a->ahead.parameters;
		}
	}
	a->ahead.phase = AHEAD_NOTHING;
}

/* Do we work for it, and could we? Its bytes, or 0. */
static uint64_t worth_fetching(const struct agent *a, const struct round_manifest *round)
{
	size_t parameters;

	if (!a->has_recipe || !digest_equal(&a->recipe_digest, &round->recipe) ||
		!key_equal(&round->network, &a->id->network) ||
		round->round >= a->recipe.train.rounds ||
		round->unit_count != a->recipe.train.units_per_round ||
		unit_memory(&a->recipe) > a->memory_max ||
		unit_parameters(&a->recipe, &parameters, NULL) != TK_OK)
		return 0;
	return (uint64_t)parameters * 4;
}

static void round_news(struct agent *a, const struct announcement *news, struct agent_effects *out)
{
	struct ahead *ahead = &a->ahead;
	struct round_manifest round;
	uint64_t bytes;

	if (round_decode(&round, news->payload, NULL) != TK_OK)
		return; /* of a later format */
	bytes = worth_fetching(a, &round);
	if (bytes == 0)
		return;
	/* A round may come again, after a rollback: not its number says what is newer. */
	if (digest_equal(&ahead->recipe, &round.recipe) && news->sequence < ahead->sequence)
		return; /* older news that came late */
	ahead_end(a, out);
	*ahead = (struct ahead){.recipe = round.recipe,
		.round = (uint64_t)round.round + 1,
		.sequence = news->sequence,
		.parameters = round.parameters,
		.bytes = bytes};
	if (!prepare_has_parameters(a, &round.parameters) && !prepare_needs(a, &round.parameters))
		ahead->phase = AHEAD_WAITING;
}

void ahead_news(struct agent *a, const struct announcement *news, struct agent_effects *out)
{
	struct project_notice notice;

	if (news->kind == ANNOUNCE_ROUND)
		round_news(a, news, out);
	else if (news->kind == ANNOUNCE_MANIFEST &&
		 project_notice_decode(&notice, news->payload, NULL) == TK_OK)
		effect_log(out, "the network has a project: %s, %u rounds of %u units", notice.name,
			(unsigned)notice.rounds, (unsigned)notice.units_per_round);
}

void ahead_blob(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	struct ahead *ahead = &a->ahead;

	if (ahead->phase != AHEAD_FETCHING || !digest_equal(&event->digest, &ahead->parameters))
		return;
	ahead->phase = AHEAD_NOTHING; /* one that cannot be had is asked for again by a lease */
	if (event->type != AGENT_BLOB_STORED)
		return;
	prepare_keep_parameters(a, &ahead->parameters, out);
	if (!prepare_needs(a, &ahead->parameters))
		effect_log(out, "the parameters of round %llu are here before a lease",
			(unsigned long long)ahead->round);
}

void ahead_advance(struct agent *a, struct agent_effects *out)
{
	struct ahead *ahead = &a->ahead;
	struct agent_effect *e;

	if (ahead->phase != AHEAD_WAITING || a->link_state == LINK_RETIRED ||
		prepare_next(a) != NULL)
		return;
	ahead->phase = AHEAD_NOTHING;
	if (prepare_needs(a, &ahead->parameters) || prepare_has_parameters(a, &ahead->parameters))
		return; /* a lease was faster */
	e = effect_push(out, AGENT_FETCH_BLOB);
	if (e == NULL)
		return;
	ahead->phase = AHEAD_FETCHING;
	e->kind = BLOB_PARAMETERS;
	e->digest = ahead->parameters;
	e->total = e->max = ahead->bytes;
	e->ahead = true;
}
