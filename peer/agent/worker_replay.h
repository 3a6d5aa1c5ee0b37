/* Replays for disputes. First a segment is asked for, then a state within it: where the segment began is remembered,
 * so the second replay is of the segment alone and not of all that is before it. */
#ifndef PEER_AGENT_WORKER_REPLAY_H
#define PEER_AGENT_WORKER_REPLAY_H

#include "tasks/unit/replay.h"

#define REPLAY_MEMO_MAX                                                                            \
	(64u << 20) /* bytes; a larger state is not remembered, but computed again */

struct replay_memo {
	struct digest unit;
	uint32_t from; /* steps; 0: nothing is remembered */
	struct bytes state;
};
void replay_memo_close(struct replay_memo *m);

/* As unit_replay from the unit's start (input->from is 0), with the same bits. */
int replay_again(struct replay_memo *m, const struct recipe *recipe, const struct unit *unit,
	const struct compute *c, const struct replay_input *input,
	const struct shard_source *shards, struct replay *out, struct errmsg *msg) TK_CHECKED;

#endif
