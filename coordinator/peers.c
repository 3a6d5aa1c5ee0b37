/* The table of identities: who is connected, who is hungry for work, who is retired; and the links
 * between replicas, their peers and their units. */
#include <stdio.h>

#include "coordinator/core_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

struct core_peer *peer_find(const struct core *c, const struct public_key *key)
{
	return lookup_find(&c->peers, key->b);
}

struct core_peer *peer_of_conn(const struct core *c, conn_id conn)
{
	return lookup_find(&c->conns, &conn);
}

struct core_peer *peer_ensure(struct core *c, const struct public_key *key)
{
	struct core_peer *peer = peer_find(c, key);

	if (peer != NULL)
		return peer;
	peer = mem_calloc(1, sizeof(*peer));
	if (peer == NULL)
		return NULL;
	peer->row.key = *key;
	peer->row.first_seen_s = peer->row.last_seen_s = c->now_ms / 1000;
	if (lookup_add(&c->peers, &peer->by_key, peer->row.key.b, peer) != TK_OK) {
		mem_free(peer);
		return NULL;
	}
	return peer;
}

/* "1f0c…", the first 16 digits of its key: how people tell peers apart. */
void peer_label(const struct core_peer *peer, char out[17])
{
	hex_encode(out, peer->row.key.b, 8);
}

/* True when the peer has been away for longer than patience_ms. After a restart of ours everybody
 * gets RESTART_AWAY_MS more (gone_ms lies in the future then). */
bool peer_absent(const struct core *c, const struct core_peer *peer, uint64_t for_ms)
{
	return peer->conn == 0 && c->now_ms >= peer->gone_ms + for_ms;
}

/* And whom we sent away ourselves has to find a place again. */
bool peer_gone(const struct core *c, const struct core_peer *peer, uint64_t patience_ms)
{
	return peer_absent(c, peer, patience_ms + (peer->released ? RELEASED_AWAY_MS : 0));
}

void peer_hungry(struct core *c, struct core_peer *peer, uint32_t wants)
{
	bool listed = peer->wants > 0;

	peer->wants = wants;
	if (wants > 0 && !listed) {
		peer->hungry_before = c->hungry_last;
		peer->hungry_after = NULL;
		if (c->hungry_last != NULL)
			c->hungry_last->hungry_after = peer;
		else
			c->hungry_first = peer;
		c->hungry_last = peer;
	} else if (wants == 0 && listed) {
		if (peer->hungry_before != NULL)
			peer->hungry_before->hungry_after = peer->hungry_after;
		else
			c->hungry_first = peer->hungry_after;
		if (peer->hungry_after != NULL)
			peer->hungry_after->hungry_before = peer->hungry_before;
		else
			c->hungry_last = peer->hungry_before;
		peer->hungry_before = peer->hungry_after = NULL;
	}
}

/* The session is over for us, whatever the shell still does with it. */
static void disconnect(struct core *c, struct core_peer *peer, bool released)
{
	lookup_remove(&c->conns, &peer->by_conn);
	prefixes_remove(&c->prefixes, peer->prefix);
	peer->conn = 0;
	peer->gone_ms = c->now_ms;
	peer->released = released;
	peer->worth = NODE_WORTH_NONE;
	peer->row.last_seen_s = c->now_ms / 1000;
	peer_hungry(c, peer, 0);
	for (struct core_replica *r = peer->replicas; r != NULL; r = r->peer_after)
		agenda_mark(r->unit);
	c->connected--;
	established_note(c, peer);
}

/* An identity that never asked for work leaves no trace, so strangers can't fill our memory. */
static void forget_if_unknown(struct core *c, struct core_peer *peer)
{
	if (peer->known || peer->replicas != NULL || peer->conn != 0)
		return;
	lookup_remove(&c->peers, &peer->by_key);
	mem_free(peer);
}

void peer_up(struct core *c, conn_id conn, const struct public_key *key, uint64_t prefix)
{
	struct core_peer *peer = peer_ensure(c, key);

	if (peer == NULL) {
		c->error = TK_ENOMEM;
		return;
	}
	if (peer->row.retired) {
		drop_say(c, conn, GOODBYE_RETIRED, peer->row.reason);
		return;
	}
	if (peer->conn != 0)
		peer_drop(c, peer, GOODBYE_REPLACED, "the same identity connected again");
	peer->conn = conn;
	if (lookup_add(&c->conns, &peer->by_conn, &peer->conn, peer) != TK_OK) {
		peer->conn = 0;
		c->error = TK_ENOMEM;
		return;
	}
	c->connected++;
	peer->prefix = prefix;
	prefixes_add(&c->prefixes, prefix);
	peer->released = false;
	worth_touch(c, peer);
	established_note(c, peer);
	peer->row.last_seen_s = c->now_ms / 1000;
	for (struct core_replica *r = peer->replicas; r != NULL; r = r->peer_after) {
		if (r->row.state == REPLICA_COMMITTED && r->asked_ms != 0)
			r->row.deadline_ms = c->now_ms + REVEAL_MS;
		unit_touch(c, r->unit); /* it may hold a payload that nobody else has */
	}
}

void peer_down(struct core *c, conn_id conn, bool released)
{
	struct core_peer *peer = peer_of_conn(c, conn);

	if (peer == NULL)
		return; /* we dropped it before */
	disconnect(c, peer, released);
	if (peer->known)
		peer_changed(c, peer);
	forget_if_unknown(c, peer);
}

void peer_drop(struct core *c, struct core_peer *peer, uint32_t reason, const char *text)
{
	if (peer->conn == 0)
		return;
	drop_say(c, peer->conn, reason, text);
	disconnect(c, peer, false);
	if (peer->dropped)
		return;
	peer->dropped = true; /* forgotten later: our caller may still look at it */
	peer->dropped_next = c->dropped_peers;
	c->dropped_peers = peer;
}

void peers_forget(struct core *c)
{
	while (c->dropped_peers != NULL) {
		struct core_peer *peer = c->dropped_peers;

		c->dropped_peers = peer->dropped_next;
		peer->dropped = false;
		forget_if_unknown(c, peer);
	}
}

void peer_protocol(struct core *c, struct core_peer *peer, const char *format, ...)
{
	char text[TEXT_MAX];
	char label[17];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	peer_label(peer, label);
	core_log(c, "peer %s broke the protocol: %s", label, text);
	peer_drop(c, peer, GOODBYE_PROTOCOL, text);
}

void leases_end(struct core *c, struct core_peer *peer, const char *why)
{
	for (struct core_replica *r = peer->replicas; r != NULL; r = r->peer_after) {
		if (r->row.state == REPLICA_LEASED)
			lease_cancel(c, r, VERDICT_EXPIRED, why);
		unit_touch(c, r->unit);
	}
}

/* No more work for this identity. What it leased goes to others at once; what it said about units
 * of rounds in progress no longer counts, so each of these units is looked at again. */
void peer_retire(struct core *c, struct core_peer *peer, const char *why)
{
	char label[17];

	if (peer->row.retired)
		return;
	peer->row.retired = true;
	peer->row.trust = 0;
	established_note(c, peer);
	snprintf(peer->row.reason, sizeof(peer->row.reason), "%s", why);
	peer_changed(c, peer);
	peer_label(peer, label);
	core_log(c, "peer %s is retired: %s", label, why);
	announce_revocation(c, &peer->row.key);
	leases_end(c, peer, "this identity gives no more work");
	peer_drop(c, peer, GOODBYE_RETIRED, why);
}

/* What an accident of hardware explains retires only; the same again after a second chance convicts. */
void peer_fault(struct core *c, struct core_peer *peer, bool accident, const char *why)
{
	peer->row.faults++;
	peer->row.convicted |= !accident || peer->row.readmitted;
	peer_changed(c, peer);
	peer_retire(c, peer, why);
}

static bool waits(const struct peer_row *row)
{
	return row->retired && !row->readmitted && !row->convicted;
}

bool core_peer_waits(const struct core *c, const struct public_key *key)
{
	const struct core_peer *peer = peer_find(c, key);

	return peer != NULL && waits(&peer->row);
}

/* Its second chance begins with the round after all in which it has had leases: nothing of before is judged, taken or
 * counted in it. */
void peer_readmit(struct core *c, struct core_peer *peer)
{
	char label[17];

	if (!waits(&peer->row) || peer->replicas != NULL)
		return;
	peer->row.retired = false;
	peer->row.readmitted = true;
	peer->row.reason[0] = '\0';
	selftest_void(peer);
	peer_changed(c, peer);
	announce_readmission(c, &peer->row.key);
	peer_label(peer, label);
	core_log(c, "peer %s may work again; %llu of its results were proven wrong", label,
		(unsigned long long)peer->row.faults);
}

int replica_attach(
	struct core *c, struct core_replica *r, struct core_unit *u, struct core_peer *peer)
{
	if (lookup_add(&c->replicas, &r->by_nonce, r->row.nonce.b, r) != TK_OK)
		return TK_ENOMEM;
	r->unit = u;
	r->unit_next = u->replicas;
	u->replicas = r;
	r->peer = peer;
	r->peer_before = NULL;
	r->peer_after = peer->replicas;
	if (peer->replicas != NULL)
		peer->replicas->peer_before = r;
	peer->replicas = r;
	agenda_mark(u);
	worth_count(c, peer, r->row.state, 1);
	return TK_OK;
}

/* Leaves the unit's list to the caller, who drops all of it. */
void replica_detach(struct core *c, struct core_replica *r)
{
	REQUIRE(!r->changed && r->row.state != REPLICA_LEASED);
	worth_count(c, r->peer, r->row.state, -1);
	lookup_remove(&c->replicas, &r->by_nonce);
	if (r->peer_before != NULL)
		r->peer_before->peer_after = r->peer_after;
	else
		r->peer->replicas = r->peer_after;
	if (r->peer_after != NULL)
		r->peer_after->peer_before = r->peer_before;
}

struct core_replica *replica_find(const struct core *c, const struct digest *nonce)
{
	return lookup_find(&c->replicas, nonce->b);
}

bool peer_held(const struct core *c, const struct core_peer *peer)
{
	return c->now_ms < peer->held_until_ms;
}

/* Who commits and does not open costs a unit REVEAL_MS each time, which no fault of hardware is likely
 * to do twice; so each further one costs its author twice the pause. A valid result wipes the slate. A
 * restart of the coordinator forgets pauses: they save time and decide nothing. */
void peer_hold(struct core *c, struct core_peer *peer)
{
	uint64_t pause_ms = HOLD_FIRST_MS;

	for (uint32_t i = 0; i < peer->unopened && pause_ms < HOLD_MAX_MS; i++)
		pause_ms *= 2;
	peer->unopened++;
	peer->held_until_ms = c->now_ms + (pause_ms < HOLD_MAX_MS ? pause_ms : HOLD_MAX_MS);
}
