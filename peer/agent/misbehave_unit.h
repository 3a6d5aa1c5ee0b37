/* Units computed by a liar (misbehave.h): what its worker runs in place of unit_run and unit_replay. Each kind of
 * lie is a function of the liar's key and the unit, so that a liar who is asked again says the same again: its
 * trace, its steps, its states and its result fit each other, and only computing shows that they are wrong. */
#ifndef PEER_AGENT_MISBEHAVE_UNIT_H
#define PEER_AGENT_MISBEHAVE_UNIT_H

#include "peer/agent/misbehave.h"
#include "tasks/unit/replay.h"

struct liar {
	enum misbehave mode;
	uint64_t seed; /* liars of one kind do not agree with each other */
	/* The plagiarist's first result of a round, which it hands in for all of them. */
	bool has_source;
	struct unit source;
	struct unit_result copied;
};
void liar_close(struct liar *l);

/* "poisoner:123", as liar_name writes it. Errors: TK_EINVAL. */
int liar_parse(struct liar *l, const char *text, struct errmsg *msg) TK_CHECKED;
#define LIAR_NAME_SIZE 48u
/* Empty when this kind of misbehaviour is not about units. */
void liar_name(char out[LIAR_NAME_SIZE], enum misbehave mode, uint64_t seed);

/* As unit_run and unit_replay, from the unit's start. */
int liar_run(struct liar *l, const struct recipe *recipe, const struct unit *unit,
	const struct compute *c, const struct unit_input *input, const struct shard_source *shards,
	const struct run_progress *progress, struct unit_result *out,
	struct errmsg *msg) TK_CHECKED;
int liar_replay(struct liar *l, const struct recipe *recipe, const struct unit *unit,
	const struct compute *c, const struct replay_input *input,
	const struct shard_source *shards, struct replay *out, struct errmsg *msg) TK_CHECKED;

#endif
