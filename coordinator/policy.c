/* verify.policy adaptive: which units are computed by whom, and how often, when not all of them are by a quorum
 * (VERIFICATION.md, "The adaptive policy"; the idea is BOINC's adaptive replication, the secret draw is ours).
 *
 * The result of an established peer settles its unit alone. Only then the secret draw is applied: a unit that
 * it hits is AUDITED, which is SETTLED but for the replicas that it still wants; unit_row.wanted says how many
 * are to agree. Equal ones confirm it. One that differs sends it to the referee (dispute.c), like everything
 * that contradicts a settled unit. Which rounds may be merged while units are AUDITED, rollback.c says.
 *
 * Newcomers repeat what established peers have settled: that earns them trust and decides nothing, but a result
 * that differs counts against its author or the other's, whoever is wrong. While too few established peers are
 * here, units are settled by a quorum, as under policy full.
 *
 * Everything that decides is in rows (unit.wanted and state, replica.repeats, peer.trust); timing that raises
 * suspicion is lost in a crash, and its effect, which is in peer.trust, is not. */
#include "coordinator/core_state.h"
#include "coordinator/draw.h"
#include "tasks/base/require.h"

#define TRUST_MAX	(1ull << 40)
#define ESTABLISHED_MIN 2u     /* that are here, for one alone to settle a unit */
#define FEW_MS		60000u /* so long newcomers wait for established peers to come back */
#define AUDIT_MS	60000u /* then the referee takes what nobody else has taken */
#define REFEREED_REPEATS                                                                           \
	2u /* in a round: newcomers' contradictions that go to the referee at once */
#define NEWCOMER_LEASES 1u
#define HASTY_MIN	2u    /* in a row: then timing is odd */
#define HASTY_MS	2000u /* so much may come from anything */
#define AUDITS_LOST	2u    /* leases of a drawn unit, before the referee computes it */
#define LOST_MIN	2u    /* leases that did not come back, before their share counts */

bool policy_adaptive(const struct core_project *p)
{
	return p->row.policy == VERIFY_ADAPTIVE;
}

bool peer_established(const struct core_peer *peer)
{
	return peer->row.trust >= PEER_ESTABLISHED && !peer->row.retired;
}

void established_note(struct core *c, struct core_peer *peer)
{
	bool established = peer_established(peer);
	bool here = established && peer->conn != 0;
	bool enough = c->established_here >= ESTABLISHED_MIN;

	c->established_moved |= established != peer->established;
	c->established += established;
	c->established -= peer->established;
	c->established_here += here;
	c->established_here -= peer->here;
	peer->established = established;
	peer->here = here;
	if (enough && c->established_here < ESTABLISHED_MIN)
		c->few_since_ms = c->now_ms;
	c->established_moved |= enough != (c->established_here >= ESTABLISHED_MIN);
}

/* Too few established peers to rely on: never were there any, or they have been away for a while. */
static bool few(const struct core *c)
{
	if (c->established_here >= ESTABLISHED_MIN)
		return false;
	return c->established < ESTABLISHED_MIN || c->now_ms >= c->few_since_ms + FEW_MS;
}

bool policy_stirred(struct core *c)
{
	bool stirred = c->established_moved || c->few != few(c);

	c->established_moved = false;
	c->few = few(c);
	return stirred;
}

static void trust_add(struct core *c, struct core_peer *peer)
{
	if (peer->row.retired || peer->row.trust >= TRUST_MAX)
		return;
	peer->row.trust++;
	peer_changed(c, peer);
	established_note(c, peer);
	if (peer->row.trust == PEER_ESTABLISHED)
		c->dispatch = true; /* there is other work for it now */
}

void peer_suspect(struct core *c, struct core_peer *peer, const char *why)
{
	char label[17];

	if (peer->row.trust <= PEER_ESTABLISHED)
		return;
	peer->row.trust = PEER_ESTABLISHED;
	peer_changed(c, peer);
	peer_label(peer, label);
	core_log(c, "peer %s is trusted no more than at first: %s", label, why);
}

/* The results on which a unit rests. */
static bool supports(const struct core_replica *r)
{
	return r->row.state == REPLICA_VALID && !r->peer->row.retired && !r->row.repeats;
}

static uint32_t supporting(const struct core_unit *u, struct core_replica **one)
{
	uint32_t n = 0;

	for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		if (!supports(r))
			continue;
		n++;
		*one = r;
	}
	return n;
}

/* A newcomer that says the same as one identity alone may have it from a friend without computing: of its trust, each such
 * identity gives as much as falls to it when all who are established share in it. */
static bool vouches(
	const struct core *c, struct core_peer *newcomer, const struct core_peer *author)
{
	uint32_t many = c->established_here > 0 ? c->established_here : 1;
	uint64_t key = load_le64(author->row.key.b);
	uint32_t said = 0;

	for (uint32_t i = 0; i < newcomer->vouched; i++)
		said += newcomer->vouchers[i] == key;
	if (newcomer->vouched == PEER_ESTABLISHED || said >= (PEER_ESTABLISHED + many - 1) / many)
		return false;
	newcomer->vouchers[newcomer->vouched++] = key;
	return true;
}

/* Trust is for results that somebody else's equals, and never for what newcomers say of others. */
void trust_note(struct core *c, struct core_replica *r)
{
	bool refereed = !digest_is_zero(&r->unit->row.referee);
	struct core_replica *other = NULL;
	uint32_t others = 0;

	for (struct core_replica *x = r->unit->replicas; x != NULL; x = x->unit_next) {
		if (x == r || !supports(x))
			continue;
		others++;
		other = x;
	}
	if (others > 1 || refereed ||
		(others == 1 && (!r->row.repeats || vouches(c, r->peer, other->peer))))
		trust_add(c, r->peer);
	if (others == 1 && !refereed && !r->row.repeats)
		trust_add(c, other->peer);
}

/* Far less time than its units usually take it; twice in a row. What came with its session was ready before. */
void timing_note(struct core *c, struct core_replica *r)
{
	struct core_peer *peer = r->peer;
	uint64_t since =
		r->row.leased_ms > peer->committed_ms ? r->row.leased_ms : peer->committed_ms;
	uint64_t ms = c->now_ms > since ? c->now_ms - since : 0;

	peer->committed_ms = c->now_ms;
	if (!policy_adaptive(r->unit->project) || r->told != peer->conn)
		return;
	if (peer->usual_project != r->unit->project->row.id) {
		peer->usual_project = r->unit->project->row.id;
		peer->usual_ms = ms;
	}
	if (3 * ms + HASTY_MS < peer->usual_ms) {
		if (++peer->hasty >= HASTY_MIN)
			peer_suspect(c, peer, "its results come much faster than before");
		return;
	}
	if (ms > 2 * peer->usual_ms) /* it was paused */
		ms = 2 * peer->usual_ms;
	peer->hasty = 0;
	peer->usual_ms = (7 * peer->usual_ms + ms) / 8;
}

/* A result was proven wrong or taken back: what is left needs a quorum. */
static bool contested(const struct core_unit *u)
{
	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		if (!r->row.repeats &&
			(r->row.state == REPLICA_INVALID ||
				(r->row.state == REPLICA_UNOPENED && r->row.claim_bytes > 0)))
			return true;
	return false;
}

uint32_t policy_quorum(const struct core *c, const struct core_unit *u)
{
	const struct core_project *p = u->project;

	return !policy_adaptive(p) || few(c) || contested(u) ? p->row.quorum : 1;
}

uint32_t policy_wanted(const struct core *c, const struct core_unit *u)
{
	uint32_t quorum = policy_quorum(c, u);

	for (const struct core_replica *r = u->replicas; r != NULL && quorum == 1; r = r->unit_next)
		if (r->row.state <= REPLICA_VALID && replica_counts(r) &&
			!peer_established(r->peer))
			return u->project->row.quorum; /* from a time with too few */
	return quorum;
}

bool policy_newcomer(
	const struct core *c, const struct core_project *p, const struct core_peer *peer)
{
	return policy_adaptive(p) && !peer_established(peer) && !few(c);
}

/* For so long that nobody will take it who is asked first. */
static bool left_alone(const struct core *c, const struct core_unit *u)
{
	return u->alone_ms != 0 && c->now_ms >= u->alone_ms + AUDIT_MS &&
	       c->now_ms >= u->alone_ms + lease_ms(u->project);
}

bool policy_allows(const struct core *c, const struct core_unit *u, const struct core_peer *peer)
{
	if (!policy_adaptive(u->project))
		return true;
	if (u->row.state == UNIT_AUDITED)
		return peer_established(peer);
	return !policy_newcomer(c, u->project, peer) || left_alone(c, u);
}

/* More than a tenth of its leases did not come back. */
static bool unreliable(const struct core_peer *peer)
{
	const struct peer_row *row = &peer->row;
	uint64_t lost = row->expired + row->abandoned;

	return lost >= LOST_MIN && 10 * lost > lost + row->valid + row->invalid;
}

uint32_t policy_leases(
	const struct core *c, const struct core_project *p, const struct core_peer *peer)
{
	if (policy_newcomer(c, p, peer) || unreliable(peer))
		return NEWCOMER_LEASES;
	return LEASES_PER_PEER;
}

/* Newcomers cost next to nothing, and each can have a unit recomputed here: few at a time, and none in this round
 * after some have. */
bool policy_repeats(struct core_project *p)
{
	uint32_t w = p->row.units_per_round;
	struct core_round *now = p->now;

	if (now == NULL || !policy_adaptive(p) || p->merging || now->contradicted > w / 20)
		return false;
	agenda_update(&now->agenda);
	return now->agenda.repeats < w / 5 + 2 && now->agenda.in[AGENDA_REPEAT] > 0;
}

struct core_unit *policy_repeat(
	const struct core *c, struct core_project *p, const struct core_peer *peer)
{
	struct core_round *now = p->now;
	const struct agenda *a;

	if (!policy_newcomer(c, p, peer) || !policy_repeats(p))
		return NULL;
	a = &now->agenda;
	for (uint32_t i = 0; (i = agenda_next(a, AGENDA_REPEAT, AGENDA_SETS, i)) < a->count; i++)
		if (replica_of(&now->units[i], peer) == NULL &&
			neighbour_of(c, &now->units[i], peer) == NULL)
			return &now->units[i];
	return NULL;
}

bool policy_goes_on(struct core *c, struct core_replica *r)
{
	struct core_unit *u = r->unit;

	if (!policy_adaptive(u->project) || !digest_is_zero(&u->row.referee))
		return false;
	r->row.late = false;
	r->row.repeats = !peer_established(r->peer);
	replica_changed(c, r);
	return true;
}

/* The referee's word is somebody else's, too. */
void policy_refereed(struct core *c, struct core_unit *u)
{
	struct core_replica *one = NULL;

	if (!digest_is_zero(&u->row.referee) && supporting(u, &one) == 1 &&
		digest_equal(&one->row.result, &u->row.referee))
		trust_add(c, one->peer);
}

/* How likely the unit is to be audited: as its least trusted author's are. */
static double probability(const struct core_unit *u)
{
	double floor = u->project->row.audit_floor;
	double most = 0;

	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		double p;

		if (!supports(r) || !peer_established(r->peer))
			continue;
		p = unreliable(r->peer) ? 1 : draw_probability(r->peer->row.trust, floor);
		if (p > most)
			most = p;
	}
	return most;
}

/* What others are computing already is waited for; it takes no drawn audit's place, or an attacker would choose
 * his auditor by holding two leases of a unit. */
void policy_settled(struct core *c, struct core_unit *u)
{
	const struct project_row *p = &u->project->row;
	struct core_replica *one = NULL;
	uint32_t wanted = supporting(u, &one);
	double likely = probability(u);
	struct digest seed;
	uint32_t drawn;

	if (!digest_is_zero(&u->row.referee))
		return;
	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		wanted += r->row.state == REPLICA_LEASED && replica_counts(r);
	if (likely > 0) {
		draw_seed(&seed, &p->secret, u->row.round, u->round->row.attempt);
		drawn = draw_results(&seed, u->row.index, likely, p->audit_floor, p->quorum);
		if (drawn > p->quorum && wanted + drawn > c->established_here)
			drawn--; /* nobody is left who could audit the audit */
		wanted += drawn - 1;
	}
	u->row.wanted = wanted;
	unit_changed(c, u);
	unit_touch(c, u);
}

/* A newcomer's contradiction. Newcomers cost nothing, so only the first ones in a round have the unit recomputed
 * here; for others an established peer computes it again, and the referee follows if that one differs, too. */
static void doubt(struct core *c, struct core_unit *u, struct core_replica *r, uint32_t supports)
{
	if (u->round->contradicted++ < REFEREED_REPEATS) {
		audit_open(c, u, "is contradicted by a newcomer");
		return;
	}
	peer_hold(c, r->peer);
	replica_move(c, r, REPLICA_LATE);
	say_settled(c, r, VERDICT_LATE,
		"it differs from another's, and is looked at when a third does");
	if (u->row.wanted > supports)
		return;
	u->row.wanted = supports + 1;
	unit_changed(c, u);
}

void policy_judge(struct core *c, struct core_unit *u)
{
	bool refereed = !digest_is_zero(&u->row.referee);
	struct core_replica *differs = NULL;
	struct core_replica *one = NULL;
	uint32_t n;

	for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		if (r->row.state != REPLICA_REVEALED)
			continue;
		if (digest_equal(&r->row.result, &u->row.result))
			replica_right(c, r);
		else if (refereed || r->peer->row.retired)
			replica_dissents(c, r);
		else if (differs == NULL || differs->row.repeats)
			differs = r;
	}
	n = supporting(u, &one);
	if (differs != NULL && differs->row.repeats)
		doubt(c, u, differs, n);
	else if (differs != NULL)
		audit_open(c, u, "fails its audit");
	if (u->row.state == UNIT_DISPUTED) {
		u->project->row.disputes++;
	} else if (u->row.state == UNIT_AUDITED && n >= u->row.wanted) {
		unit_move(c, u, UNIT_SETTLED);
		ledger_unit(c, u);
	} else if (u->row.state == UNIT_SETTLED && n < u->row.wanted && !refereed) {
		unit_move(c, u, UNIT_AUDITED);
	}
}

/* Somebody began it, and now it waits for somebody else. */
static bool needs_another(const struct core_unit *u)
{
	return u->wanting && u->replicas != NULL;
}

static uint32_t leases_lost(const struct core_unit *u)
{
	uint32_t n = 0;

	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		n += r->row.state == REPLICA_EXPIRED || r->row.state == REPLICA_ABANDONED ||
		     r->row.state == REPLICA_UNOPENED;
	return n;
}

void policy_tick(struct core *c, struct core_unit *u)
{
	bool opened = false;

	if (!needs_another(u))
		u->alone_ms = 0;
	else if (u->alone_ms == 0)
		u->alone_ms = c->now_ms;
	agenda_mark(u);
	if (u->row.state == UNIT_AUDITED && u->alone_ms != 0 && leases_lost(u) >= AUDITS_LOST) {
		audit_open(c, u, "is drawn for an audit that those who took it did not do");
		return;
	}
	if (!left_alone(c, u) || u->row.state == UNIT_DISPUTED)
		return;
	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		opened |= replica_opened(r) && !r->peer->row.retired;
	if (u->row.state == UNIT_AUDITED)
		audit_open(c, u, "is drawn for an audit that nobody takes");
	else if (opened)
		audit_open(c, u, "wants one more result, and nobody is there who may give it");
}

uint64_t policy_credit(const struct core_unit *u)
{
	uint64_t least = UINT64_MAX;

	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		if (supports(r) && r->peer->row.credit_flops < least)
			least = r->peer->row.credit_flops;
	return least == UINT64_MAX ? 0 : least;
}

void policy_count(struct core_round *o)
{
	const struct core_project *p = o->project;
	struct core_replica *one = NULL;
	struct digest seed;

	o->row.recomputed = o->row.drawn = o->row.drawn_wrong = 0;
	draw_seed(&seed, &p->row.secret, o->row.round, o->row.attempt);
	for (uint32_t i = 0; i < p->row.units_per_round; i++) {
		const struct core_unit *u = &o->units[i];
		bool again = !digest_is_zero(&u->row.referee) || supporting(u, &one) > 1;
		bool drawn = policy_adaptive(p) &&
			     draw_hit(draw_number(&seed, i, 0), p->row.audit_floor);

		o->row.recomputed += again;
		o->row.drawn += drawn;
		o->row.drawn_wrong += drawn && contested(u);
	}
}
