/* A unit that every computer computes in a moment, and whose result is known to the last bit: whoever gets another one
 * has a worker whose results would be taken for lies. A small GPT over bytes, so that most kernels have a part. */
#ifndef PEER_AGENT_WORKER_TRIAL_H
#define PEER_AGENT_WORKER_TRIAL_H

#include "peer/agent/worker_protocol.h"
#include "tasks/unit/trial.h"

#define WORKER_TRIAL_MESSAGES 3u

struct worker_trial {
	struct trial_unit trial;			       /* owned */
	struct worker_message messages[WORKER_TRIAL_MESSAGES]; /* to the worker, in this order */
};

/* Errors: TK_ENOMEM. */
int worker_trial_init(struct worker_trial *t, struct errmsg *msg) TK_CHECKED;
void worker_trial_close(struct worker_trial *t);

/* Is this the claim that every computer makes? */
bool worker_trial_right(struct span claim);

#endif
