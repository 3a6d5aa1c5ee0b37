/* Handing out work: which unit a peer gets, for how long, and what happens when it does not come
 * back.
 *
 * An identity gives one result for a unit, ever. When its lease ended without a commitment and
 * nothing else is left for it, it may try again under a new nonce, and the old one is dead from
 * then on: a small grid with a peer that restarts would otherwise run out of different identities.
 *
 * For how long is said in deadline.c. A unit whose replicas are all out for longer than three usual durations gets a
 * backup when a peer has nothing else to do. A deadline only says when others may try: late results are still judged, unless their peer
 * was connected and has been told to forget them. */
#include <stdio.h>
#include <string.h>

#include "coordinator/core_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define RETRY_MS 10000u /* a peer without work asks again so often, up to half as much more */

/* All its open leases are older than after_ms. */
static bool straggles(
	const struct core *c, const struct agenda *a, uint32_t unit, uint64_t after_ms)
{
	return c->now_ms >= a->newest_ms[unit] && c->now_ms - a->newest_ms[unit] > after_ms;
}

void stragglers_count(const struct core *c, struct core_round *o)
{
	const struct agenda *a = &o->agenda;
	uint64_t after_ms = backup_ms(o->project);

	o->stragglers = 0;
	for (uint32_t i = 0; (i = agenda_next(a, AGENDA_OUT, AGENDA_SETS, i)) < a->count; i++)
		o->stragglers += straggles(c, a, i, after_ms);
}

struct core_replica *replica_of(const struct core_unit *u, const struct core_peer *peer)
{
	struct core_replica *newest = NULL;

	for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		if (r->peer == peer && (newest == NULL || r->row.leased_ms > newest->row.leased_ms))
			newest = r;
	return newest;
}

const struct core_replica *neighbour_of(
	const struct core *c, const struct core_unit *u, const struct core_peer *peer)
{
	const struct core_replica *newest = NULL;

	if (!prefixes_has_others(&c->prefixes, peer->prefix, u->project->row.quorum))
		return NULL;
	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		if (r->peer != peer && r->peer->prefix == peer->prefix &&
			(r->row.state == REPLICA_LEASED || r->row.state == REPLICA_COMMITTED ||
				replica_opened(r)) &&
			(newest == NULL || r->row.leased_ms > newest->row.leased_ms))
			newest = r;
	return newest;
}

/* The identity that had this lease may try again. */
static bool renewable(const struct core *c, const struct core_replica *r)
{
	return (r->row.state == REPLICA_EXPIRED || r->row.state == REPLICA_ABANDONED) &&
	       c->now_ms >= r->row.deadline_ms + LEASE_RENEW_MS;
}

/* A unit that a neighbour of this peer has is left for others, but not for ever. */
static bool too_near(const struct core *c, const struct core_unit *u, const struct core_peer *peer)
{
	const struct core_replica *r = neighbour_of(c, u, peer);
	uint64_t since =
		r != NULL && r->row.leased_ms > u->alone_ms ? r->row.leased_ms : u->alone_ms;

	return r != NULL && c->now_ms < since + NEAR_MS;
}

/* Disputes first, then units that others have begun, then new ones, each by index. A unit shows
 * that its results differ only when its last replica is in, and a dispute then takes a whole
 * computation more; so units begun are finished first, and the end of a round is not the time when
 * its troubles start. */
static const enum agenda_set urgency[] = {AGENDA_URGENT, AGENDA_BEGUN, AGENDA_FRESH};

/* Newcomers get only what has been left alone (policy_allows). */
static enum agenda_set open_to(
	const struct core *c, const struct core_project *p, const struct core_peer *peer)
{
	return policy_newcomer(c, p, peer) ? AGENDA_ALONE : AGENDA_SETS;
}

static struct core_unit *choose_of(
	const struct core *c, struct core_round *o, const struct core_peer *peer)
{
	const struct agenda *a = &o->agenda;
	enum agenda_set open = open_to(c, o->project, peer);
	struct core_unit *again = NULL;

	agenda_update(&o->agenda);
	for (uint32_t s = 0; s < 3; s++)
		for (uint32_t i = 0; (i = agenda_next(a, urgency[s], open, i)) < a->count; i++) {
			struct core_unit *u = &o->units[i];
			const struct core_replica *mine;

			if (!policy_allows(c, u, peer) || too_near(c, u, peer))
				continue;
			mine = replica_of(u, peer);
			if (mine == NULL)
				return u;
			if (renewable(c, mine) && (again == NULL || i < again->row.index))
				again = u;
		}
	return again;
}

/* What is open in rounds that are merged comes first: the rounds behind them may be in vain. */
static struct core_unit *choose(
	const struct core *c, struct core_project *p, const struct core_peer *peer)
{
	struct core_unit *best = NULL;

	for (struct core_round *o = p->rounds; o != NULL; o = o->older) {
		struct core_unit *u = choose_of(c, o, peer);

		best = u != NULL ? u : best;
	}
	return best != NULL ? best : policy_repeat(c, p, peer);
}

/* A unit whose replicas all take too long; one more is wanted from now on. */
static struct core_unit *choose_backup(
	struct core *c, struct core_round *o, const struct core_peer *peer)
{
	const struct agenda *a = &o->agenda;
	enum agenda_set open = open_to(c, o->project, peer);
	uint64_t after_ms = backup_ms(o->project);

	if (o->stragglers == 0)
		return NULL;
	agenda_update(&o->agenda);
	for (uint32_t i = 0; (i = agenda_next(a, AGENDA_OUT, open, i)) < a->count; i++) {
		struct core_unit *u = &o->units[i];

		if (!straggles(c, a, i, after_ms) || replica_of(u, peer) != NULL ||
			!policy_allows(c, u, peer) || too_near(c, u, peer))
			continue;
		o->stragglers--;
		u->row.wanted++;
		unit_changed(c, u);
		return u;
	}
	return NULL;
}

static int lease_fill(struct message_lease *m, struct bytes *out, const struct core_replica *r)
{
	const struct core_project *p = r->unit->project;
	const struct core_round *o = r->unit->round;
	const struct round_start start = round_start_of(o);
	struct digest path[64];
	struct unit unit;
	int rc;

	unit_describe(&unit, &p->row.recipe, o->row.round, r->row.unit, &start);
	rc = bytes_append(out, o->manifest.data, o->manifest.len);
	if (rc == TK_OK)
		rc = unit_encode(&unit, out);
	if (rc != TK_OK)
		return rc;
	m->nonce = r->row.nonce;
	m->manifest = span_of(out->data, o->manifest.len);
	m->unit = span_of(out->data + o->manifest.len, out->len - o->manifest.len);
	m->signature = o->signature;
	m->path_steps =
		(uint32_t)merkle_tree_path(path, o->tree, p->row.units_per_round, r->row.unit);
	REQUIRE(m->path_steps <= MERKLE_STEPS_MAX);
	memcpy(m->path, path, m->path_steps * sizeof(*path));
	return TK_OK;
}

static void lease_send(struct core *c, struct core_replica *r)
{
	struct message_lease lease = {.deadline_ms = 1};
	struct bytes bytes = {0};

	if (r->row.deadline_ms > c->now_ms)
		lease.deadline_ms = (uint32_t)(r->row.deadline_ms - c->now_ms);
	if (lease_fill(&lease, &bytes, r) != TK_OK) {
		bytes_close(&bytes);
		c->error = TK_ENOMEM;
		return;
	}
	say(c, r->peer, MESSAGE_LEASE, &bytes)->lease = lease;
	r->told = r->peer->conn;
}

static void nonce_draw(struct core *c, struct digest *out)
{
	uint8_t count[8];
	struct span fields[2] = {span_of(c->random, sizeof(c->random)), span_of(count, 8)};

	store_le64(count, c->nonces++);
	digest_fields(out, "talkoot nonce", fields, 2);
}

static struct core_replica *replica_new(struct core *c, struct core_unit *u, struct core_peer *peer)
{
	struct core_replica *r = mem_calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->row.project = u->row.project;
	r->row.round = u->row.round;
	r->row.unit = u->row.index;
	r->row.attempt = u->round->row.attempt;
	r->row.peer = peer->row.key;
	r->row.state = REPLICA_LEASED;
	nonce_draw(c, &r->row.nonce);
	if (replica_attach(c, r, u, peer) != TK_OK) {
		mem_free(r);
		return NULL;
	}
	return r;
}

static void lease_grant(struct core *c, struct core_unit *u, struct core_peer *peer)
{
	struct core_replica *r;

	if (u->replicas == NULL)
		unit_refresh(c, u); /* its policy may want less of it than when it was made */
	r = replica_new(c, u, peer);
	if (r == NULL) {
		c->error = TK_ENOMEM;
		return;
	}
	r->row.leased_ms = c->now_ms;
	r->row.deadline_ms =
		c->now_ms + (u->row.state == UNIT_AUDITED ? lease_ms(u->project)
							  : lease_ms_for(u->project, peer));
	r->row.repeats = policy_newcomer(c, u->project, peer) &&
			 (u->row.state == UNIT_SETTLED || u->row.state == UNIT_AUDITED);
	replica_changed(c, r);
	unit_refresh(c, u);
	lease_send(c, r);
}

/* The oldest project that has work for the peer; a backup only when there is nothing else. */
static struct core_unit *choose_anywhere(struct core *c, const struct core_peer *peer)
{
	struct core_unit *u = NULL;

	for (struct core_project *p = c->projects; p != NULL && u == NULL; p = p->next)
		if (p->row.state == PROJECT_RUNNING && peer->leases < policy_leases(c, p, peer))
			u = choose(c, p, peer);
	for (struct core_project *p = c->projects; p != NULL && u == NULL; p = p->next)
		for (struct core_round *o = p->rounds; o != NULL && u == NULL; o = o->older)
			if (p->row.state == PROJECT_RUNNING &&
				peer->leases < policy_leases(c, p, peer))
				u = choose_backup(c, o, peer);
	return u;
}

/* Gives a hungry peer what it may have; returns how many leases that was. */
static uint32_t feed(struct core *c, struct core_peer *peer)
{
	uint32_t given = 0;

	while (peer->wants > 0 && peer->leases < LEASES_PER_PEER && !peer_held(c, peer) &&
		!selftest_due(c, peer) && c->error == TK_OK) {
		struct core_unit *u = choose_anywhere(c, peer);

		if (u == NULL)
			break;
		lease_grant(c, u, peer);
		peer_hungry(c, peer, peer->wants - 1);
		given++;
	}
	return given;
}

static bool work_anywhere(const struct core *c)
{
	for (struct core_project *p = c->projects; p != NULL; p = p->next) {
		if (p->row.state != PROJECT_RUNNING)
			continue;
		for (const struct core_round *o = p->rounds; o != NULL; o = o->older)
			if (o->wanting > 0 || o->stragglers > 0)
				return true;
		if (policy_repeats(p))
			return true;
	}
	return false;
}

/* Offers new work to those who asked before, longest waiting first. Whoever gets nothing although
 * there is some has had a replica of each unit that is left, so few are passed over. */
void lease_dispatch(struct core *c)
{
	struct core_peer *next;

	c->dispatch = false;
	for (struct core_peer *peer = c->hungry_first; peer != NULL; peer = next) {
		next = peer->hungry_after;
		if (c->error != TK_OK || !work_anywhere(c))
			return;
		feed(c, peer);
		if (peer->leases >= LEASES_PER_PEER)
			peer_hungry(c, peer, 0);
	}
}

static void no_work(struct core *c, struct core_peer *peer)
{
	struct message_no_work *m = &say(c, peer, MESSAGE_NO_WORK, NULL)->no_work;
	bool running = false;

	for (const struct core_project *p = c->projects; p != NULL; p = p->next)
		running |= p->row.state == PROJECT_RUNNING;
	m->retry_ms = RETRY_MS + load_le32(c->random) % (RETRY_MS / 2); /* no herds */
	if (selftest_due(c, peer)) {
		m->reason = peer->row.misfit[0] != '\0' ? NO_WORK_MISFIT : NO_WORK_WAITING;
		selftest_explain(c, peer, m->text);
	} else if (peer_held(c, peer)) {
		m->reason = NO_WORK_LIMIT;
		snprintf(m->text, sizeof(m->text),
			"the last result of this identity was promised and not shown; it gets work "
			"again in %u s",
			(unsigned)((peer->held_until_ms - c->now_ms + 999) / 1000));
	} else if (peer->leases >= LEASES_PER_PEER) {
		m->reason = NO_WORK_LIMIT;
		snprintf(m->text, sizeof(m->text),
			"this identity holds %u leases, as many as it may", peer->leases);
	} else if (!running) {
		m->reason = NO_WORK_IDLE;
		snprintf(m->text, sizeof(m->text),
			"no project is running; work will be sent when one is");
	} else {
		m->reason = NO_WORK_WAITING;
		snprintf(m->text, sizeof(m->text),
			"all units that are left are with others or need another peer; "
			"work will be sent when there is some");
	}
}

static void engine_note(struct core_peer *peer, const char *engine)
{
	char before[sizeof(peer->row.engine)];
	size_t n = 0;

	memcpy(before, peer->row.engine, sizeof(before));
	for (; engine[n] != '\0' && n + 1 < sizeof(peer->row.engine); n++)
		peer->row.engine[n] = engine[n] > ' ' && engine[n] < 127 ? engine[n] : '?';
	peer->row.engine[n] = '\0';
	if (strcmp(before, peer->row.engine) != 0)
		selftest_void(peer);
}

/* A session has one team, so that nobody makes the store write at each message. */
static bool team_note(struct core *c, struct core_peer *peer, const char *team)
{
	bool same = strcmp(peer->row.team, team) == 0;

	if (!same && peer->team_conn == peer->conn)
		return false;
	peer->team_conn = peer->conn;
	if (!same) {
		snprintf(peer->row.team, sizeof(peer->row.team), "%s", team);
		peer_changed(c, peer);
	}
	return true;
}

/* A peer that has reconnected asks for work after it has repeated its COMMITs. Leases of it that
 * are still open are sent again then: it may have lost them in a crash. If it has not, it knows the
 * nonce. */
static uint32_t leases_repeat(struct core *c, struct core_peer *peer)
{
	uint32_t sent = 0;

	if (peer->repeated == peer->conn)
		return 0; /* what it was given since then was sent on this session */
	peer->repeated = peer->conn;
	for (struct core_replica *r = peer->replicas; r != NULL; r = r->peer_after) {
		if (r->row.state != REPLICA_LEASED || r->told == peer->conn)
			continue;
		lease_send(c, r);
		sent++;
	}
	return sent;
}

void work_request(struct core *c, struct core_peer *peer, const struct message_work_request *m)
{
	uint32_t sent;

	if (!team_note(c, peer, m->team)) {
		peer_protocol(c, peer, "its team changed within a session");
		return;
	}
	engine_note(peer, m->engine);
	peer->row.last_seen_s = c->now_ms / 1000;
	if (!peer->known)
		peer_changed(c, peer);
	sent = leases_repeat(c, peer);
	peer_hungry(c, peer, m->slots);
	sent += feed(c, peer);
	if (sent == 0)
		no_work(c, peer);
	if (peer->leases >= LEASES_PER_PEER)
		peer_hungry(c, peer, 0);
}

/* Ends a lease without blame. */
void lease_cancel(struct core *c, struct core_replica *r, enum verdict verdict, const char *why)
{
	r->row.deadline_ms = c->now_ms;
	r->forgotten = r->peer->conn;
	replica_move(c, r, REPLICA_EXPIRED);
	say_settled(c, r, verdict, why);
}

/* The deadline has passed or the peer has been away for too long: others may try. */
void lease_expire(struct core *c, struct core_replica *r)
{
	deadline_missed(c, r);
	r->peer->row.expired++;
	peer_changed(c, r->peer);
	lease_cancel(c, r, VERDICT_EXPIRED, "the deadline passed and the unit went to others");
}
