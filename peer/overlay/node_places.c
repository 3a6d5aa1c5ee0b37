/* Places for connections: who may have one, and who gives one up. A crowd from one network, silent or with
 * sessions, keeps nobody out but its own; idle sessions keep nobody out for long, wherever they come from. What is
 * refused costs us no Diffie-Hellman.
 *
 * Sessions that we accepted stand in a list for each worth (node.h), who has been silent longest first. How long is
 * counted so that nobody gains a place by talk that costs nothing: of a session that is worth nothing from its
 * beginning, whatever it says; of others from the last message that is work, since only the application, gossip
 * and circuits make a session worth something, for what they have given or got. That work keeps a place for a turn of
 * NODE_TURN_MS; after it the clock stands, so that those who always work make place, too, and come again. Whoever is new
 * has an eighth of the places, those whose handshake is not done included, and only while fewer than that are such do
 * the others make place: a flood of newcomers turns over that eighth and touches nobody else. */
#include "peer/overlay/node_state.h"

#define RELIED_MS (2u * NODE_TICK_MS)
#define HALF_OPEN                                                                                  \
	NODE_WORTHS /* the list of those whose handshake is not done, in the order in which they came */

#define CROWD_LOOKED_AT 64u /* of the largest crowd's connections, the newest first */

/* The lists */

static void list_out(struct node *n, struct connection *c)
{
	struct places *p = &n->places;

	*(c->place_before != NULL ? &c->place_before->place_after : &p->first[c->worth]) =
		c->place_after;
	*(c->place_after != NULL ? &c->place_after->place_before : &p->last[c->worth]) =
		c->place_before;
	p->count[c->worth]--;
}

/* Has it had its turn? One that is worth nothing has none. */
static bool is_served(const struct node *n, const struct connection *c, enum node_worth worth)
{
	return worth != NODE_WORTH_NONE && c->worth != NODE_WORTH_NONE &&
	       n->now_ms >= c->turn_ms + NODE_TURN_MS;
}

/* To the end: it is the last to go, of those that are worth as much; or to the beginning, as silent as it was, when its
 * turn is over. */
static void list_in(struct node *n, struct connection *c, enum node_worth worth)
{
	struct places *p = &n->places;
	bool first = is_served(n, c, worth);

	if (!first)
		c->place_ms = n->now_ms;
	c->worth = worth;
	c->place_before = first ? NULL : p->last[worth];
	c->place_after = first ? p->first[worth] : NULL;
	*(c->place_before != NULL ? &c->place_before->place_after : &p->first[worth]) = c;
	*(c->place_after != NULL ? &c->place_after->place_before : &p->last[worth]) = c;
	p->count[worth]++;
}

void places_begin(struct node *n, struct connection *c)
{
	c->placed = true;
	list_in(n, c, HALF_OPEN);
}

void places_enter(struct node *n, struct connection *c)
{
	if (!c->placed)
		return;
	list_out(n, c);
	c->turn_ms = n->now_ms;
	list_in(n, c, NODE_WORTH_NONE);
}

void places_leave(struct node *n, struct connection *c)
{
	if (c->placed)
		list_out(n, c);
	c->placed = false;
}

void places_tick(struct node *n, struct connection *c)
{
	enum node_worth worth = c->wanted;

	if (!c->placed || !c->up)
		return;
	if (gossip_is_neighbour(n, c) ||
		(c->relied_ms != 0 && n->now_ms < c->relied_ms + RELIED_MS))
		worth = NODE_WORTH_NOW;
	if (worth == c->worth)
		return;
	list_out(n, c);
	list_in(n, c, worth);
}

/* Work, and what is served. Questions and small talk are not: they cost nothing. */
static bool is_work(enum message_type type)
{
	switch (type) {
	case MESSAGE_BLOB_PART:
	case MESSAGE_LEASE:
	case MESSAGE_COMMIT:
	case MESSAGE_REVEAL:
	case MESSAGE_UPLOAD:
	case MESSAGE_TRACE:
	case MESSAGE_SEGMENT:
	case MESSAGE_STATE:
	case MESSAGE_RELAY_DATA:
		return true;
	default:
		return false;
	}
}

void places_heard(struct node *n, struct connection *c, enum message_type type)
{
	if (!c->placed || c->worth == NODE_WORTH_NONE || is_served(n, c, c->worth) ||
		!is_work(type))
		return;
	list_out(n, c);
	list_in(n, c, c->worth);
}

void node_value(struct node *n, conn_id conn, enum node_worth worth)
{
	struct connection *c = connections_find(&n->table, conn);

	if (c == NULL)
		return;
	c->wanted = worth;
	places_tick(n, c);
}

void node_rely(struct node *n, conn_id conn)
{
	struct connection *c = connections_find(&n->table, conn);

	if (c == NULL)
		return;
	c->relied_ms = n->now_ms;
	places_tick(n, c);
}

/* Who comes */

/* The half-open connection that goes when one more of this prefix comes: of those of the prefix when they are
 * NODE_PREFIX_MAX (0: of no prefix), of all when they are NODE_HALF_OPEN_MAX, the one that has had the most time. NULL:
 * there is room. Looks at NODE_HALF_OPEN_MAX connections at most. */
static struct connection *crowding(const struct node *n, uint64_t prefix)
{
	struct connection *first = n->places.first[HALF_OPEN], *first_of_prefix = NULL;
	size_t of_prefix = 0;

	for (struct connection *c = first; c != NULL; c = c->place_after) {
		if (prefix != 0 && c->prefix == prefix && of_prefix++ == 0)
			first_of_prefix = c;
	}
	if (of_prefix >= NODE_PREFIX_MAX)
		return first_of_prefix;
	return n->half_open >= NODE_HALF_OPEN_MAX ? first : NULL;
}

/* An honest handshake is done in a moment, so the half-open connection that has had the most time makes room:
 * of its own prefix, if that has its share. */
static void make_room(struct node *n, uint64_t prefix, struct node_effects *out)
{
	struct connection *c = NULL;

	if (n->half_open >= NODE_PREFIX_MAX)
		c = crowding(n, prefix);
	if (c == NULL)
		return;
	admission_count(&n->admission, ADMISSION_CROWD, NULL);
	connection_goodbye(n, c, out, GOODBYE_OVERLOAD,
		"its handshake was slow, and others wait to begin theirs");
}

/* The session that has been idle longest, of those that are worth least. NULL: all have been here for a moment
 * only, or are worth more than one more stranger. */
static struct connection *idle_longest(const struct node *n)
{
	size_t strangers = n->places.count[NODE_WORTH_NONE] + n->half_open;
	unsigned worths = strangers * NODE_PLACES_NEW < n->connections_max ? NODE_WORTHS : 1;

	for (unsigned worth = 0; worth < worths; worth++) {
		struct connection *c = n->places.first[worth];

		if (c != NULL && n->now_ms >= c->place_ms + NODE_PLACE_MS)
			return c;
	}
	return NULL;
}

/* All places are taken: whoever has many gives one up for who has few, or else who is idle. */
static bool make_place(struct node *n, uint64_t prefix, struct node_effects *out)
{
	struct connection *c = crowds_heaviest(&n->table.crowds, prefix);
	bool heavy;

	/* Of a crowd only strangers: whoever works keeps its place, however many come from where it lives. */
	for (unsigned i = 0; c != NULL && c->worth != NODE_WORTH_NONE && c->worth != HALF_OPEN; i++)
		c = i < CROWD_LOOKED_AT ? c->crowd_older : NULL;
	heavy = c != NULL;

	if (!heavy)
		c = idle_longest(n);
	if (c == NULL)
		return false;
	admission_count(&n->admission, heavy ? ADMISSION_HEAVY : ADMISSION_IDLE, NULL);
	c->released = true;
	connection_goodbye(n, c, out, GOODBYE_OVERLOAD,
		heavy ? "all places are taken, and its network has most of them"
		      : "all places are taken, and it was idle longest");
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
	if (refused == NULL && n->table.count >= n->connections_max && !make_place(n, prefix, out))
		refused = admission_refuse_full(&n->admission);
	if (refused == NULL && accepted)
		make_room(n, prefix, out);
	return refused;
}
