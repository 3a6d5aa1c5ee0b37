/* Removes what no later step reads: the payloads of rounds that are merged and past. */
#ifndef COORDINATOR_SWEEP_H
#define COORDINATOR_SWEEP_H

#include "coordinator/home.h"

/* Removes the payload blobs of a project's round. To be called when the round after it has been merged
 * and that is on disk. Does nothing while another project is in progress: equal contents are one blob,
 * and a twin of this project may still need it. O(units). Errors: those of the store; a payload that is
 * gone already is fine. */
int sweep_payloads(
	const struct home *home, uint64_t project, uint32_t round, struct errmsg *msg) TK_CHECKED;

#endif
