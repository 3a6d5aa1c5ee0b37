/* Gossip in the node: sessions come and go, and the core of gossip.h is stepped; see node_state.h. What it wants done
 * is node_gossip_effects.c's, translating messages node_gossip_messages.c's. */
#include <string.h>

#include "peer/overlay/node_overlay.h"
#include "tasks/base/mem.h"

#define ASK_OLD_S    300ull
#define ASK_AGAIN_MS 600000u /* ± a fifth */
#define ALONE_MS     10000u  /* without a neighbour, before other addresses are asked for … */
#define ALONE_AGAIN  5000u   /* … and again, */
#define ALONE_TRIES  24u     /* so often, */
#define ALONE_LATER  60000u  /* then more rarely; ± a fifth */
#define ENTRY_MS     60000u  /* a session with a host that is no neighbour by then ends */

static uint64_t random_next(struct overlay *o)
{
	uint64_t z = o->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

int overlay_step(struct node *n, struct gossip_event *event)
{
	event->now_ms = n->now_ms;
	event->now_s = n->now_s;
	event->random = random_next(n->overlay);
	return gossip_step(n->overlay->core, event, &n->overlay->pending);
}

/* Life */

static void mark_used(void *context, struct directory_marks *marks)
{
	const struct overlay *o = context;
	peer_ref peers[GOSSIP_ACTIVE_MAX + GOSSIP_PASSIVE_MAX];
	size_t count = gossip_active(o->core, peers);

	count += gossip_passive(o->core, peers + count);
	while (count-- > 0)
		marks->peers[peers[count]] = true;
	for (peer_ref i = 1; i <= DIRECTORY_PEERS_MAX; i++)
		marks->peers[i] |= o->sessions[i] != 0 || o->owed[i] || o->root[i];
	for (topic_ref i = 1; i <= DIRECTORY_TOPICS_MAX; i++)
		marks->topics[i] = gossip_keeps_topic(o->core, i);
}

static void overlay_free(struct overlay *o)
{
	if (o == NULL)
		return;
	gossip_free(o->core);
	directory_free(o->directory);
	gossip_effects_close(&o->pending);
	gossip_effects_close(&o->batch);
	mem_free(o);
}

void gossip_stop(struct node *n)
{
	overlay_free(n->overlay);
	n->overlay = NULL;
}

/* Signs what we say of ourselves anew. Sequences are Unix seconds, so they rise over restarts too. */
static int record_sign(struct node *n)
{
	struct record *r = &n->overlay->record;
	struct bytes encoded = {0};
	int rc;

	r->key = n->id->key.public;
	r->sequence = n->now_s > r->sequence ? n->now_s : r->sequence + 1;
	r->expiry_s = n->now_s + RECORD_LIFETIME_S;
	rc = record_encode(r, &n->id->key, &n->id->network, &encoded);
	if (rc == TK_OK)
		rc = directory_record_own(n->overlay->directory, r, bytes_span(&encoded));
	bytes_close(&encoded);
	return rc;
}

int gossip_start(struct node *n, const struct node_event *event)
{
	bool root = n->id->role == ROLE_COORDINATOR;
	struct gossip_event start = {.type = GOSSIP_START};
	struct gossip_config config;
	struct overlay *o;
	int rc;

	if (n->overlay != NULL)
		return TK_OK;
	o = mem_calloc(1, sizeof(*o));
	if (o == NULL)
		return TK_ENOMEM;
	n->overlay = o;
	memcpy(&o->random, event->random, sizeof(o->random));
	gossip_config_default(&config, DIRECTORY_SELF, root);
	config.root = root;
	o->directory = directory_new(&n->id->network, &n->id->key.public);
	if (o->directory != NULL)
		o->core = gossip_new(&config, directory_tables(o->directory));
	rc = o->core != NULL ? record_sign(n) : TK_ENOMEM;
	if (rc == TK_OK &&
		!root) /* whom to join through comes later; the watch for beacons begins */
		rc = overlay_step(n, &start);
	if (rc == TK_OK)
		directory_ask_used(o->directory, mark_used, o);
	else
		gossip_stop(n);
	return rc;
}

/* Sessions */

/* Where the other side is found, whatever its record says: its own prefix, or its relay's; 0: not known, or a local
 * address. */
static uint64_t prefix_found(const struct node *n, const struct connection *c)
{
	const struct connection *carrier =
		c->carrier != 0 ? connections_find(&n->table, c->carrier) : NULL;

	if (carrier != NULL)
		c = carrier;
	return c->remote.family != 0 ? c->prefix : 0;
}

void gossip_session_up(struct node *n, struct connection *c)
{
	struct gossip_event up = {.type = GOSSIP_UP, .flag = c->dialled};
	struct gossip_event start = {.type = GOSSIP_START, .refs = &up.peer, .count = 1};
	struct gossip_event ask = {.type = GOSSIP_ASK};
	struct overlay *o = n->overlay;

	if (o == NULL || (session_features(c->session) & FEATURE_GOSSIP) == 0)
		return;
	up.peer = directory_peer(o->directory, &c->key, 0, n->now_ms);
	if (up.peer == 0 || up.peer == DIRECTORY_SELF || o->owed[up.peer])
		return; /* a session without gossip */
	if (prefix_found(n, c) != 0)
		directory_prefix(o->directory, up.peer, prefix_found(n, c));
	if (o->sessions[up.peer] == 0 && overlay_step(n, &up) != TK_OK)
		return;
	c->peer = ask.peer = up.peer;
	o->root[up.peer] = session_peer_role(c->session) == ROLE_COORDINATOR;
	if (o->sessions[up.peer]++ == 0 || c->renews != 0)
		o->conns[up.peer] = c->id; /* what it renews is to end */
	/* The coordinator is a way in, as is a host of the link, and, for who has no neighbour, whomever its application
	 * dials. */
	if (c->dialled && !c->sought && c->renews == 0 &&
		(o->root[up.peer] || session_met_host(c->session) || node_neighbour_count(n) == 0))
		(void)!overlay_step(n, &start); /* the next session, or the core's own timer */
	if (c->dialled && o->root[up.peer])
		(void)!overlay_step(n, &ask);	   /* the clock asks again */
	c->sought |= session_met_host(c->session); /* nobody else wants it for long */
}

static conn_id another_session(const struct node *n, const struct connection *gone)
{
	for (const struct connection *c = n->table.first; c != NULL; c = c->next) {
		if (c != gone && c->up && c->peer == gone->peer)
			return c->id;
	}
	return 0;
}

static void tell_down(struct node *n, peer_ref peer, bool guilty)
{
	struct gossip_event down = {.type = GOSSIP_DOWN, .peer = peer, .flag = guilty};
	struct overlay *o = n->overlay;

	o->owed[peer] = overlay_step(n, &down) != TK_OK;
	o->owing |= o->owed[peer];
}

void gossip_session_down(struct node *n, struct connection *c)
{
	struct overlay *o = n->overlay;

	if (o == NULL || c->peer == 0)
		return;
	if (o->conns[c->peer] == c->id)
		o->conns[c->peer] = another_session(n, c);
	if (--o->sessions[c->peer] == 0)
		tell_down(n, c->peer, c->guilty && !o->root[c->peer]);
	c->peer = 0;
}

static void pay_what_is_owed(struct node *n)
{
	struct overlay *o = n->overlay;

	if (!o->owing)
		return;
	o->owing = false;
	for (peer_ref i = 1; i <= DIRECTORY_PEERS_MAX; i++) {
		if (o->owed[i])
			tell_down(n, i, false);
	}
}

bool gossip_is_neighbour(const struct node *n, const struct connection *c)
{
	return n->overlay != NULL && c->peer != 0 && n->overlay->conns[c->peer] == c->id &&
	       gossip_is_active(n->overlay->core, c->peer);
}

/* Messages */

bool gossip_wants(const struct node *n, const struct connection *c, enum message_type type)
{
	return n->overlay != NULL && c->peer != 0 && type >= MESSAGE_JOIN && type <= MESSAGE_PULL;
}

int gossip_hear(struct node *n, struct connection *c, const struct message *m, struct errmsg *msg)
{
	int rc;

	n->overlay->speaker = c->peer;
	rc = overlay_message_in(n, c, m, msg);
	n->overlay->speaker = 0;
	return rc;
}

/* Events of their own */

static int publish(struct node *n, const struct node_event *event)
{
	struct gossip_event publish = {.type = GOSSIP_PUBLISH};
	int rc = directory_body_take(n->overlay->directory, event->bytes, event->signature,
		n->now_ms, &publish.body, NULL);

	if (rc == TK_OK && publish.body == 0)
		rc = TK_ELIMIT;
	return rc == TK_OK ? overlay_step(n, &publish) : rc;
}

/* Public peers look for more neighbours and let more come. */
static void gossip_configure(struct node *n, bool public)
{
	struct gossip_config config;

	gossip_config_default(&config, DIRECTORY_SELF, public);
	config.root = n->id->role == ROLE_COORDINATOR;
	gossip_reconfigure(n->overlay->core, &config);
}

static int advertise(struct node *n, const struct record *record)
{
	struct record *own = &n->overlay->record;
	uint64_t sequence = own->sequence;

	if (n->id->role != ROLE_COORDINATOR && ((own->flags ^ record->flags) & RECORD_PUBLIC) != 0)
		gossip_configure(n, record->flags & RECORD_PUBLIC);
	*own = *record;
	own->sequence = sequence;
	return record_sign(n);
}

static int unreached(struct node *n, const struct public_key *key)
{
	struct gossip_event failed = {.type = GOSSIP_DIAL_FAILED};

	failed.peer = directory_find(n->overlay->directory, key);
	return failed.peer != 0 ? overlay_step(n, &failed) : TK_OK;
}

static int wake(struct node *n)
{
	struct gossip_event event = {.type = GOSSIP_WAKE};
	int rc = TK_OK;

	pay_what_is_owed(n);
	if (n->overlay->record.expiry_s < n->now_s + RECORD_LIFETIME_S / 2)
		rc = record_sign(n);
	return rc == TK_OK ? overlay_step(n, &event) : rc;
}

int gossip_event(struct node *n, const struct node_event *event)
{
	struct gossip_event leave = {.type = GOSSIP_LEAVE};

	if (n->overlay == NULL)
		return TK_OK;
	switch (event->type) {
	case NODE_PUBLISH:
		return publish(n, event);
	case NODE_ADVERTISE:
		return advertise(n, event->record);
	case NODE_UNREACHED:
		return unreached(n, event->expect);
	case NODE_LEAVE:
		return overlay_step(n, &leave);
	default:
		return wake(n);
	}
}

static uint64_t about(struct overlay *o, uint32_t ms)
{
	return ms - ms / 5 + random_next(o) % (ms / 5 * 2);
}

/* Nobody answers where we look first, as when the coordinator is away: the shell knows others. */
static void alone_tick(struct node *n, struct node_effects *out)
{
	struct overlay *o = n->overlay;

	if (o->alone_ms == 0 || node_neighbour_count(n) != 0) {
		o->alone_ms = n->now_ms + ALONE_MS;
		o->alone_tries = 0;
	}
	if (n->now_ms < o->alone_ms || n->id->role == ROLE_COORDINATOR)
		return;
	o->alone_ms =
		n->now_ms + about(o, o->alone_tries < ALONE_TRIES ? ALONE_AGAIN : ALONE_LATER);
	o->alone_tries += o->alone_tries < ALONE_TRIES;
	(void)!node_effects_push(out, NODE_ISOLATED, 0);
}

/* By our own clock, which nobody else must trust, the newest beacon is old: a host of the link knows whether it is.
 * With none at hand the shell looks for one. */
static void old_beacon_tick(struct node *n, struct node_effects *out)
{
	struct overlay *o = n->overlay;
	struct gossip_event ask = {.type = GOSSIP_ASK};
	body_ref body = gossip_beacon(o->core);

	if (body == 0 || n->id->role == ROLE_COORDINATOR || n->now_ms < o->ask_ms ||
		n->now_s <= directory_tables(o->directory)->bodies[body].issued_s + ASK_OLD_S)
		return;
	o->ask_ms = n->now_ms + about(o, ASK_AGAIN_MS);
	for (peer_ref i = 1; i <= DIRECTORY_PEERS_MAX && ask.peer == 0; i++)
		ask.peer = o->root[i] && o->conns[i] != 0 ? i : 0;
	if (ask.peer != 0)
		(void)!overlay_step(n, &ask);
	else
		(void)!node_effects_push(out, NODE_ISOLATED, 0);
}

static bool is_neighbour(const struct overlay *o, peer_ref peer)
{
	peer_ref peers[GOSSIP_ACTIVE_MAX];
	size_t count = gossip_active(o->core, peers);

	while (count-- > 0) {
		if (peers[count] == peer)
			return true;
	}
	return false;
}

/* Hosts of the link are there for those who need a way in: who has one goes, and makes room. */
static void leave_hosts(struct node *n, struct node_effects *out)
{
	struct connection *next;

	for (struct connection *c = n->table.first; c != NULL; c = next) {
		next = c->next;
		if (!c->up || c->used || !session_met_host(c->session) ||
			n->now_ms < c->since_ms + ENTRY_MS || node_neighbour_count(n) == 0 ||
			is_neighbour(n->overlay, c->peer) ||
			node_effects_reserve(out, EFFECTS_TO_END) != TK_OK)
			continue;
		connection_goodbye(n, c, out, GOODBYE_SHUTDOWN, "others are neighbours now");
	}
}

void gossip_tick(struct node *n, struct node_effects *out)
{
	if (n->overlay == NULL)
		return;
	alone_tick(n, out);
	old_beacon_tick(n, out);
	leave_hosts(n, out);
}

/* What others ask */

uint64_t node_wake_ms(const struct node *n)
{
	if (n->overlay == NULL)
		return UINT64_MAX;
	return n->overlay->owing ? n->now_ms + NODE_TICK_MS : gossip_wake_ms(n->overlay->core);
}

bool node_record(const struct node *n, const struct public_key *key, struct span *encoded,
	struct record *record)
{
	const struct overlay *o = n->overlay;
	peer_ref peer = o != NULL ? directory_find(o->directory, key) : 0;
	const struct record *r = peer != 0 ? directory_record(o->directory, peer) : NULL;

	if (r == NULL)
		return false;
	*record = *r;
	*encoded = directory_record_bytes(o->directory, peer);
	return encoded->len != 0;
}

size_t node_good_peers(const struct node *n, struct span *records, size_t max)
{
	const struct overlay *o = n->overlay;
	peer_ref peers[GOSSIP_ACTIVE_MAX + GOSSIP_PASSIVE_MAX];
	size_t count, found = 0;

	if (o == NULL)
		return 0;
	count = gossip_active(o->core, peers);
	count += gossip_passive(o->core, peers + count);
	for (size_t i = 0; i < count && found < max; i++) {
		const struct record *r = directory_record(o->directory, peers[i]);

		if (o->root[peers[i]])
			continue; /* the link leads there */
		if (r == NULL || r->endpoint_count + r->relay_count == 0)
			continue; /* nobody could call it: newcomers' first records say no place yet */
		records[found] = directory_record_bytes(o->directory, peers[i]);
		found += records[found].len != 0;
	}
	return found;
}

size_t node_neighbour_count(const struct node *n)
{
	peer_ref peers[GOSSIP_ACTIVE_MAX];

	return n->overlay != NULL ? gossip_active(n->overlay->core, peers) : 0;
}
