/* HOME/peers: records of peers that were good neighbours, so that neither one dead host of the link nor the
 * coordinator's absence keeps us out when we come back. */
#ifndef PEER_AGENT_PEER_CACHE_H
#define PEER_AGENT_PEER_CACHE_H

#include "peer/wire/record.h"

#define PEER_CACHE_MAX 64u

/* Writes the records, encoded, in place of what was there. Errors: TK_EIO, TK_ENOSPC, TK_ENOMEM. */
int peer_cache_save(
	const char *home, const struct span *records, size_t count, struct errmsg *msg) TK_CHECKED;

/* Reads at most PEER_CACHE_MAX of them, however old; what is damaged or of another network is left out.
 * Returns how many; a cache that is not there has none. */
size_t peer_cache_load(
	const char *home, const struct public_key *network, struct record out[PEER_CACHE_MAX]);

#endif
