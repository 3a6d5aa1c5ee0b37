/* What a session is worth to the coordinator, so that its node knows who goes first when all places are taken
 * (peer/overlay/node_places.c). Only leases and results count, never what a peer asks for: these are what a stranger
 * cannot have without work. */
#include "coordinator/core_state.h"

void worth_count(struct core *c, struct core_peer *peer, enum replica_state state, int change)
{
	switch (state) {
	case REPLICA_LEASED:
		peer->leases += (uint32_t)change;
		break;
	case REPLICA_COMMITTED:
	case REPLICA_REVEALED:
	case REPLICA_UPLOADING:
		peer->judged += (uint32_t)change;
		break;
	default:
		return;
	}
	worth_touch(c, peer);
}

void worth_touch(struct core *c, struct core_peer *peer)
{
	if (peer->worth_due)
		return;
	peer->worth_due = true;
	peer->worth_next = c->worth_due;
	c->worth_due = peer;
}

static enum node_worth worth_of(const struct core_peer *peer)
{
	if (peer->row.retired)
		return NODE_WORTH_NONE;
	if (peer->judged > 0)
		return NODE_WORTH_NOW;
	return peer->leases > 0 ? NODE_WORTH_LATER : NODE_WORTH_NONE;
}

void worth_flush(struct core *c)
{
	while (c->worth_due != NULL) {
		struct core_peer *peer = c->worth_due;
		enum node_worth worth = worth_of(peer);

		c->worth_due = peer->worth_next;
		peer->worth_due = false;
		if (peer->conn == 0 || worth == peer->worth)
			continue;
		peer->worth = worth;
		worth_say(c, peer->conn, worth);
	}
}
