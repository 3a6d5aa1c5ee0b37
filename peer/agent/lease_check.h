/* Does the network's root key stand behind this lease? Asked before anything is fetched for it. */
#ifndef PEER_AGENT_LEASE_CHECK_H
#define PEER_AGENT_LEASE_CHECK_H

#include "peer/wire/messages.h"

/* Checks the manifest's signature by the root key, that the unit belongs to that very round, and its
 * Merkle path. Gives *unit and *round only on success. Errors: TK_EAUTH, TK_EPROTO, TK_ELIMIT: the
 * coordinator broke the protocol; TK_EUNSUPPORTED: the lease is sound, but its arithmetic is of
 * another version than ours. */
int lease_check(const struct message_lease *lease, const struct public_key *root, struct unit *unit,
	struct round_manifest *round, struct errmsg *msg) TK_CHECKED;

#endif
