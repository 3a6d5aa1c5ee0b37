/* Places for connections: who may have one, and who gives one up. A crowd from one network, silent or with
 * sessions, keeps nobody out but its own. What is refused costs us no Diffie-Hellman. */
#include "peer/overlay/node_state.h"

/* An honest handshake is done in a moment, so the half-open connection that has had the most time makes room:
 * of its own prefix, if that has its share. */
static void make_room(struct node *n, uint64_t prefix, struct node_effects *out)
{
	struct connection *c = NULL;

	if (n->half_open >= NODE_PREFIX_MAX)
		c = connections_crowding(&n->table, prefix);
	if (c == NULL)
		return;
	admission_count(&n->admission, ADMISSION_CROWD, NULL);
	connection_goodbye(n, c, out, GOODBYE_OVERLOAD,
		"its handshake was slow, and others wait to begin theirs");
}

/* All places are taken: whoever has many gives one up for who has few. */
static bool make_place(struct node *n, uint64_t prefix, struct node_effects *out)
{
	struct connection *c = connections_heaviest(&n->table, prefix);

	if (c == NULL)
		return false;
	admission_count(&n->admission, ADMISSION_HEAVY, NULL);
	connection_goodbye(n, c, out, GOODBYE_OVERLOAD,
		"all places are taken, and its network has most of them");
	return true;
}

uint64_t places_prefix(const struct node_event *event)
{
	return event->type == NODE_ACCEPTED && event->carrier != 0
		       ? admission_prefix_carried(event->carrier)
		       : admission_prefix(event->remote);
}

const char *places_refuse(struct node *n, const struct node_event *event, struct node_effects *out)
{
	bool accepted = event->type == NODE_ACCEPTED;
	uint64_t prefix = places_prefix(event);
	const char *refused = NULL;

	if (accepted && event->carrier != 0)
		refused = admission_refuse_carried(&n->admission, event->carrier, event->now_ms);
	else if (accepted)
		refused = admission_refuse(&n->admission, event->remote, event->now_ms);
	if (refused == NULL && n->table.count >= n->connections_max &&
		!(accepted && make_place(n, prefix, out)))
		refused = admission_refuse_full(&n->admission);
	if (refused == NULL && accepted)
		make_room(n, prefix, out);
	return refused;
}
