/* Hosts of the network's links: which peers newcomers may come in through while the coordinator is away.
 *
 * The owner decides that there are some; which, follows from what the store knows: peers with accepted results whom
 * strangers reach, hosts of earlier links first, then whoever has been known the longest, of each address prefix one.
 * The root signs each for HOST_LIFETIME_S; the server brings it to them and renews it. */
#ifndef COORDINATOR_HOSTS_H
#define COORDINATOR_HOSTS_H

#include "coordinator/store.h"
#include "peer/wire/link.h"
#include "peer/wire/messages.h"

#define HOSTS_MAX     64u /* of one network, in all its links */
#define PLACE_FRESH_S (3u * 24 * 3600)

/* Whom a link may name, and why they are not more. */
struct hosts_choice {
	struct host_row hosts[LINK_HOSTS_MAX];
	uint32_t count;
	uint32_t credited; /* peers with accepted results … */
	uint32_t unplaced; /* … of whom so many were not seen to be public, or do not want to, */
	uint32_t
		near; /* … so many only by those in their house, while the link is for the world, */
	uint32_t gone;	  /* … so many not lately, */
	uint32_t crowded; /* … and so many share another host's prefix */
	bool full;	  /* HOSTS_MAX are named */
};

/* Chooses up to `wanted` (at most LINK_HOSTS_MAX; world: of global addresses only), signs those that are new or have less than half of their time left,
 * and saves all, in one transaction. Errors: the store's, TK_ENOMEM. */
int hosts_choose(struct hosts_choice *out, struct store *s, uint32_t wanted, bool world,
	const struct key_pair *root, uint64_t now_s, struct errmsg *msg) TK_CHECKED;

/* Why a choice has fewer than were wanted, as a sentence; nothing when it has not. */
void hosts_lacking(const struct hosts_choice *c, uint32_t wanted, char out[TEXT_MAX]);

/* Has it less than half of its time left? */
bool host_is_due(const struct host_row *h, uint64_t now_s);
/* Signs it anew. */
void host_renew(struct host_row *h, const struct key_pair *root, uint64_t now_s);

/* All hosts, at most HOSTS_MAX; what ended long ago is included. Errors: the store's. */
int hosts_load(struct host_row out[HOSTS_MAX], uint32_t *count, struct store *s,
	struct errmsg *msg) TK_CHECKED;

#endif
