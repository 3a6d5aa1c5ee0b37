/* See worker_trial.h. */
#include "peer/agent/worker_trial.h"

#include <string.h>

#define SEED 1u

/* The result digest, by NUMERICS_VERSION 1. */
static const char result_hex[] = "43a96efd19624469d02ec80b528377ce581516575b26478be6d0c86150c48fb1";

int worker_trial_init(struct worker_trial *t, struct errmsg *msg)
{
	int rc;

	*t = (struct worker_trial){.messages = {{.type = WORKER_RECIPE}, {.type = WORKER_SHARD},
					   {.type = WORKER_RUN, .job = 1}}};
	rc = trial_init(&t->trial, SEED, msg);
	if (rc != TK_OK)
		return rc;
	t->messages[0].bytes = bytes_span(&t->trial.recipe);
	t->messages[1].digest = t->trial.shard_digest;
	t->messages[1].bytes = bytes_span(&t->trial.shard);
	t->messages[2].unit = bytes_span(&t->trial.unit);
	t->messages[2].bytes = bytes_span(&t->trial.parameters);
	return TK_OK;
}

void worker_trial_close(struct worker_trial *t)
{
	trial_close(&t->trial);
}

bool worker_trial_right(struct span claim)
{
	struct digest digest;
	char hex[2 * DIGEST_BYTES + 1];

	claim_digest(&digest, claim);
	hex_encode(hex, digest.b, DIGEST_BYTES);
	return strcmp(hex, result_hex) == 0;
}
