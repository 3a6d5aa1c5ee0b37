/* See swarm_sim.h. Events lie in a heap; a node sends one thing after the other up its link. */
#include "tests/lib/swarm_sim.h"
#include "tests/lib/swarm_sim_heap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOB 1u

struct sim_node {
	struct swarm *core;
	enum sim_lie lie;
	enum swarm_reach reach;
	uint64_t rate;	  /* bytes a second */
	uint64_t free_us; /* when its uplink is free */
	uint32_t latency_ms;
	uint32_t life; /* counts restarts */
	bool up;
	uint64_t wake_ms; /* the WAKE that is under way */
	uint64_t whole_ms;
	uint32_t whole;	 /* blobs */
	uint64_t **disk; /* for each blob: parts, one bit each */
	struct sim_session {
		peer_ref with;
		uint64_t id;
	} * sessions;
	size_t session_count, session_room;
};

struct sim {
	const struct sim_options *o;
	struct sim_result *r;
	struct sim_node *nodes; /* by peer_ref */
	struct happenings heap;
	uint64_t now_ms, random, sessions;
	uint32_t parts, words;
	uint32_t left; /* honest peers that are not whole */
	bool broken;
};

static uint64_t dice(struct sim *m)
{
	uint64_t x = m->random += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void broke(struct sim *m, peer_ref peer, const char *what)
{
	if (!m->broken)
		printf("# at %llu ms, peer %u: %s (seed %llu)\n", (unsigned long long)m->now_ms,
			peer, what, (unsigned long long)m->o->seed);
	m->broken = true;
}

static struct happening *later(struct sim *m, uint64_t at_ms, enum occurrence what, peer_ref to)
{
	struct happening *h = happenings_add(&m->heap, at_ms);

	h->what = what;
	h->to = to;
	h->life = m->nodes[to].life;
	return h;
}

/* Sessions */

/* Its number; 0: none is open. */
static uint64_t session_id(const struct sim_node *n, peer_ref with)
{
	for (size_t i = 0; i < n->session_count; i++)
		if (n->sessions[i].with == with)
			return n->sessions[i].id;
	return 0;
}

static void session_add(struct sim_node *n, peer_ref with, uint64_t id)
{
	if (n->session_count == n->session_room) {
		n->session_room = n->session_room == 0 ? 8 : n->session_room * 2;
		n->sessions = realloc(n->sessions, n->session_room * sizeof(*n->sessions));
	}
	n->sessions[n->session_count++] = (struct sim_session){with, id};
}

static void session_remove(struct sim_node *n, peer_ref with)
{
	for (size_t i = 0; i < n->session_count; i++)
		if (n->sessions[i].with == with)
			n->sessions[i--] = n->sessions[--n->session_count];
}

/* Messages */

static size_t pieces_words(uint64_t total)
{
	return (size_t)(((total + BLOB_PIECE - 1) / BLOB_PIECE + 63) / 64);
}

static void post(
	struct sim *m, peer_ref from, peer_ref to, const struct swarm_message *p, uint32_t bytes)
{
	struct sim_node *n = &m->nodes[from];
	uint64_t start = n->free_us > m->now_ms * 1000 ? n->free_us : m->now_ms * 1000;
	uint64_t took = bytes == 0 ? 0 : (uint64_t)bytes * 1000000 / n->rate;
	uint64_t arrives;
	struct happening *h;

	if (bytes != 0)
		n->free_us = start + took;
	arrives = (bytes == 0 ? m->now_ms : (start + took) / 1000) + n->latency_ms +
		  m->nodes[to].latency_ms;
	h = later(m, arrives, ARRIVES, to);
	h->from = from;
	h->session = session_id(n, to);
	h->message = *p;
	if (p->pieces != NULL) {
		memcpy(h->pieces, p->pieces, pieces_words(p->total) * sizeof(uint64_t));
		h->message.pieces = h->pieces;
	}
}

static void step(struct sim *m, peer_ref peer, struct swarm_event *event);

static void serve(struct sim *m, peer_ref peer, const struct swarm_effect *e)
{
	struct sim_node *n = &m->nodes[peer];
	struct swarm_message p = {.type = MESSAGE_BLOB_PART,
		.good = n->lie != SIM_BAD_PARTS,
		.blob = e->blob,
		.offset = e->offset,
		.length = e->length,
		.total = m->o->total};
	struct happening *h;
	uint64_t part = e->offset / m->o->part_bytes;

	if (n->lie == SIM_HONEST && !(n->disk[e->blob][part / 64] >> part % 64 & 1))
		broke(m, peer, "serves what it has not");
	if (n->lie != SIM_EMPTY_HAVE)
		post(m, peer, e->peer, &p, e->length);
	*(peer == SIM_TRACKER ? &m->r->tracker_bytes : &m->r->peer_bytes) += e->length;
	h = later(m, n->free_us / 1000, SENT, peer);
	h->from = e->peer;
	h->message = p;
}

static void store(struct sim *m, peer_ref peer, const struct swarm_effect *e,
	const struct swarm_message *in_hand)
{
	uint64_t part = e->offset / m->o->part_bytes;
	uint64_t *word = &m->nodes[peer].disk[e->blob][part / 64];

	if (in_hand == NULL || !in_hand->good || in_hand->offset != e->offset ||
		in_hand->blob != e->blob)
		broke(m, peer, "stores what did not come");
	if (*word >> part % 64 & 1)
		broke(m, peer, "stores a part twice");
	*word |= (uint64_t)1 << part % 64;
}

static void complete(struct sim *m, peer_ref peer, blob_ref blob)
{
	struct sim_node *n = &m->nodes[peer];

	for (uint32_t i = 0; i < m->parts; i++)
		if (!(n->disk[blob][i / 64] >> i % 64 & 1))
			broke(m, peer, "says that a blob is whole which is not");
	if (++n->whole < m->o->blobs)
		return;
	if (n->whole_ms == 0 && n->lie == SIM_HONEST) {
		n->whole_ms = m->now_ms;
		m->left--;
	}
}

static void end_session(struct sim *m, peer_ref a, peer_ref b)
{
	struct swarm_event down = {.type = SWARM_DOWN};

	if (session_id(&m->nodes[a], b) == 0)
		return;
	session_remove(&m->nodes[a], b);
	session_remove(&m->nodes[b], a);
	down.peer = b;
	step(m, a, &down);
	down.peer = a;
	step(m, b, &down);
}

static void accuse(struct sim *m, peer_ref peer, const struct swarm_effect *e)
{
	if (m->nodes[e->peer].lie == SIM_HONEST && m->nodes[peer].lie == SIM_HONEST) {
		m->r->accused_honest++;
		broke(m, e->peer, e->why);
	} else {
		m->r->accused_liars++;
	}
	end_session(m, peer, e->peer);
}

/* What a liar says differs from what its core would say. */
static void send(struct sim *m, peer_ref peer, struct swarm_effect *e)
{
	static const uint64_t all[SWARM_PIECE_WORDS] = {[0 ... SWARM_PIECE_WORDS - 1] = UINT64_MAX};
	struct sim_node *n = &m->nodes[peer];
	uint64_t claim[SWARM_PIECE_WORDS];

	if (session_id(n, e->peer) == 0) {
		broke(m, peer, "speaks where no session is");
		return;
	}
	if (e->message.type == MESSAGE_BLOB_HAVE && n->lie != SIM_HONEST) {
		uint32_t pieces = (uint32_t)((m->o->total - 1) / BLOB_PIECE + 1);

		memcpy(claim, all, sizeof(claim));
		if (pieces % 64 != 0)
			claim[pieces / 64] = UINT64_MAX >> (64 - pieces % 64);
		e->message.pieces = claim;
		if (n->lie == SIM_BAD_TOTAL)
			e->message.total -= 1;
	}
	post(m, peer, e->peer, &e->message, 0);
}

static void dial(struct sim *m, peer_ref peer, peer_ref to)
{
	const struct sim_node *a = &m->nodes[peer];
	const struct sim_node *b = &m->nodes[to];
	struct happening *h =
		later(m, m->now_ms + 3u * (a->latency_ms + b->latency_ms), DIALS, peer);

	h->from = to;
}

static void carry_out(
	struct sim *m, peer_ref peer, struct swarm_effect *e, const struct swarm_message *in_hand)
{
	switch (e->type) {
	case SWARM_SEND:
		send(m, peer, e);
		break;
	case SWARM_DIAL:
		dial(m, peer, e->peer);
		break;
	case SWARM_RELEASE:
		break; /* see step */
	case SWARM_ACCUSE:
		accuse(m, peer, e);
		break;
	case SWARM_STORE:
		store(m, peer, e, in_hand);
		break;
	case SWARM_COMPLETE:
		complete(m, peer, e->blob);
		break;
	case SWARM_SERVE:
		serve(m, peer, e);
		break;
	case SWARM_LACKING:
		m->r->lacking++;
		break;
	}
}

static void plan_wake(struct sim *m, peer_ref peer)
{
	struct sim_node *n = &m->nodes[peer];
	uint64_t at = swarm_wake_ms(n->core);

	if (at == UINT64_MAX || at >= n->wake_ms)
		return;
	if (at < m->now_ms)
		at = m->now_ms;
	n->wake_ms = at;
	later(m, at, WAKES, peer);
}

static void step(struct sim *m, peer_ref peer, struct swarm_event *event)
{
	struct swarm_effects out = {0};
	struct sim_node *n = &m->nodes[peer];
	size_t memory;

	if (!n->up)
		return;
	event->now_ms = m->now_ms;
	event->random = dice(m);
	m->r->events++;
	if (swarm_step(n->core, event, &out) != TK_OK)
		broke(m, peer, "is out of memory");
	for (size_t i = 0; i < out.count && n->up; i++)
		carry_out(m, peer, &out.items[i], event->message);
	for (size_t i = 0; i < out.count && n->up; i++)
		if (out.items[i].type == SWARM_RELEASE &&
			!swarm_needs_peer(n->core, out.items[i].peer))
			end_session(m, peer, out.items[i].peer);
	swarm_effects_close(&out);
	memory = swarm_memory(n->core);
	if (peer != SIM_TRACKER && memory > m->r->memory)
		m->r->memory = memory;
	plan_wake(m, peer);
}

/* Coming and going */

/* Three homes share an address prefix. */
static uint64_t prefix_of(peer_ref peer)
{
	return 1 + peer / 3;
}

static void open_session(struct sim *m, peer_ref a, peer_ref b)
{
	struct swarm_event up = {.type = SWARM_UP};

	session_add(&m->nodes[a], b, ++m->sessions);
	session_add(&m->nodes[b], a, m->sessions);
	up.peer = a;
	up.reach = m->nodes[a].reach;
	up.prefix = prefix_of(a);
	step(m, b, &up);
	if (session_id(&m->nodes[a], b) == 0)
		return; /* it was no use to them */
	up.peer = b;
	up.reach = m->nodes[b].reach;
	up.prefix = prefix_of(b);
	step(m, a, &up);
}

static void core_begin(struct sim *m, peer_ref peer)
{
	struct sim_node *n = &m->nodes[peer];
	struct swarm_config config;

	swarm_config_default(&config, peer == SIM_TRACKER ? 0 : SIM_TRACKER, m->o->part_bytes);
	n->core = swarm_new(&config);
	n->up = true;
	n->whole = 0;
	n->wake_ms = UINT64_MAX;
}

/* A liar's mischief besides what it says. */
static void misbehave(struct sim *m, peer_ref peer, peer_ref to)
{
	struct swarm_message p = {.blob = FIRST_BLOB, .total = m->o->total, .good = true};

	if (m->nodes[peer].lie == SIM_UNASKED) {
		p.type = MESSAGE_BLOB_PART;
		p.length = m->o->part_bytes;
		post(m, peer, to, &p, 0);
	} else if (m->nodes[peer].lie == SIM_BEYOND) {
		p.type = MESSAGE_BLOB_GET;
		p.offset = m->o->total;
		p.length = 1;
		post(m, peer, to, &p, 0);
	} else if (m->nodes[peer].lie == SIM_FLOOD) {
		p.type = MESSAGE_BLOB_GET;
		p.length = BLOB_PART_MAX;
		for (uint32_t i = 0; i < 3000; i++) {
			p.offset = (uint64_t)i * BLOB_PART_MAX % m->o->total;
			post(m, peer, to, &p, 0);
		}
	}
}

static void join(struct sim *m, peer_ref peer)
{
	struct sim_node *n = &m->nodes[peer];

	core_begin(m, peer);
	open_session(m, peer, SIM_TRACKER);
	for (blob_ref b = FIRST_BLOB; b < FIRST_BLOB + m->o->blobs; b++) {
		struct swarm_event want = {.type = SWARM_WANT,
			.blob = b,
			.total = b % 2 == 0 ? m->o->total : 0,
			.max = m->o->total,
			.words = n->disk[b],
			.count = m->words,
			.quiet = m->o->quiet};

		if (n->life != 0)
			want.total = m->o->total; /* noted beside its parts */
		step(m, peer, &want);
	}
	misbehave(m, peer, SIM_TRACKER);
}

static void leave(struct sim *m, peer_ref peer)
{
	struct sim_node *n = &m->nodes[peer];

	n->up = false;
	n->life++;
	while (n->session_count != 0)
		end_session(m, peer, n->sessions[0].with);
	swarm_free(n->core);
	n->core = NULL;
	n->free_us = 0;
}

static void churn(struct sim *m)
{
	peer_ref peer = (peer_ref)(2 + dice(m) % m->o->peers);

	if (m->nodes[peer].up) {
		leave(m, peer);
		later(m, m->now_ms + 500 + dice(m) % 5000, JOINS, peer);
	}
	later(m, m->now_ms + m->o->churn_ms, CHURNS, SIM_TRACKER);
}

static void dialled(struct sim *m, const struct happening *h)
{
	struct sim_node *a = &m->nodes[h->to];
	struct sim_node *b = &m->nodes[h->from];
	struct swarm_event failed = {.type = SWARM_DIAL_FAILED, .peer = h->from};
	bool works = b->reach == SWARM_PUBLIC || (b->reach == SWARM_NATED && dice(m) % 10 < 7);

	if (session_id(a, h->from) != 0)
		return;
	if (!b->up || !works) {
		step(m, h->to, &failed);
		return;
	}
	open_session(m, h->to, h->from);
	misbehave(m, h->from, h->to);
}

static void arrives(struct sim *m, struct happening *h)
{
	struct swarm_event event = {.type = SWARM_MESSAGE, .peer = h->from, .message = &h->message};

	if (h->session == 0 || session_id(&m->nodes[h->to], h->from) != h->session)
		return; /* of a session that is over */
	step(m, h->to, &event);
}

static void happens(struct sim *m, struct happening *h)
{
	struct sim_node *n = &m->nodes[h->to];
	struct swarm_event event = {0};

	if (h->what == JOINS) {
		join(m, h->to);
		return;
	}
	if (h->what == CHURNS) {
		churn(m);
		return;
	}
	if (!n->up || h->life != n->life)
		return;
	switch (h->what) {
	case ARRIVES:
		arrives(m, h);
		break;
	case SENT:
		event.type = SWARM_SERVED;
		event.peer = h->from;
		event.blob = h->message.blob;
		event.offset = h->message.offset;
		event.length = h->message.length;
		step(m, h->to, &event);
		break;
	case WAKES:
		if (h->at_ms != n->wake_ms)
			break; /* an earlier one came between */
		n->wake_ms = UINT64_MAX;
		event.type = SWARM_WAKE;
		step(m, h->to, &event);
		break;
	default:
		dialled(m, h);
		break;
	}
}

/* The whole run */

static void node_draw(struct sim *m, peer_ref peer)
{
	const struct sim_options *o = m->o;
	struct sim_node *n = &m->nodes[peer];
	uint64_t kind = dice(m) % 100;

	n->reach = kind < o->public_percent			       ? SWARM_PUBLIC
		   : kind < o->public_percent + o->unreachable_percent ? SWARM_UNREACHABLE
								       : SWARM_NATED;
	n->rate = o->rate_min + dice(m) % (o->rate_max - o->rate_min + 1);
	if (dice(m) % 100 < o->slow_percent)
		n->rate = n->rate / 50 + 1;
	n->latency_ms = o->latency_min_ms +
			(uint32_t)(dice(m) % (o->latency_max_ms - o->latency_min_ms + 1));
	if (dice(m) % 100 < o->liar_percent)
		n->lie = o->lie != SIM_HONEST ? o->lie : (enum sim_lie)(1 + peer % 6);
	m->left += n->lie == SIM_HONEST;
}

static void begin(struct sim *m)
{
	const struct sim_options *o = m->o;

	m->parts = (uint32_t)((o->total - 1) / o->part_bytes + 1);
	m->words = (m->parts + 63) / 64;
	m->nodes = calloc(o->peers + 2, sizeof(*m->nodes));
	for (peer_ref peer = SIM_TRACKER; peer < o->peers + 2; peer++) {
		struct sim_node *n = &m->nodes[peer];

		n->disk = calloc(o->blobs + FIRST_BLOB, sizeof(*n->disk));
		for (uint32_t b = FIRST_BLOB; b < FIRST_BLOB + o->blobs; b++) {
			n->disk[b] = calloc(m->words, sizeof(**n->disk));
			if (peer == SIM_TRACKER)
				memset(n->disk[b], 0xff, m->words * sizeof(**n->disk));
		}
		if (peer != SIM_TRACKER) {
			node_draw(m, peer);
			later(m, dice(m) % (o->join_ms + 1), JOINS, peer);
		}
	}
	m->nodes[SIM_TRACKER].rate = o->seed_rate;
	m->nodes[SIM_TRACKER].latency_ms = o->latency_min_ms;
	m->nodes[SIM_TRACKER].reach = SWARM_PUBLIC;
	core_begin(m, SIM_TRACKER);
	for (blob_ref b = FIRST_BLOB; b < FIRST_BLOB + o->blobs; b++) {
		struct swarm_event hold = {
			.type = SWARM_HOLD, .blob = b, .total = o->total, .quiet = o->quiet};

		step(m, SIM_TRACKER, &hold);
	}
	if (o->churn_ms != 0)
		later(m, o->churn_ms, CHURNS, SIM_TRACKER);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void sum_up(struct sim *m)
{
	uint64_t *times = calloc(m->o->peers + 1, sizeof(*times));
	struct swarm_totals totals;

	for (peer_ref peer = SIM_TRACKER; peer < m->o->peers + 2; peer++) {
		struct sim_node *n = &m->nodes[peer];

		if (peer != SIM_TRACKER && n->lie == SIM_HONEST) {
			m->r->honest++;
			if (n->whole_ms != 0)
				times[m->r->complete++] = n->whole_ms;
		}
		if (n->core != NULL) {
			swarm_totals(n->core, &totals);
			m->r->wasted += totals.wasted;
		}
		swarm_free(n->core);
		for (uint32_t b = FIRST_BLOB; b < FIRST_BLOB + m->o->blobs; b++)
			free(n->disk[b]);
		free(n->disk);
		free(n->sessions);
	}
	qsort(times, m->r->complete, sizeof(*times), compare);
	if (m->r->complete != 0) {
		m->r->last_ms = times[m->r->complete - 1];
		m->r->p95_ms = times[(uint64_t)m->r->complete * 95 / 100];
	}
	free(times);
}

bool swarm_sim_run(const struct sim_options *options, uint64_t until_ms, struct sim_result *result)
{
	struct sim m = {.o = options, .r = result, .random = options->seed};

	memset(result, 0, sizeof(*result));
	begin(&m);
	while (m.heap.count != 0 && m.left != 0 && !m.broken &&
		m.heap.items[0]->at_ms <= until_ms) {
		struct happening *h = happenings_next(&m.heap);

		m.now_ms = h->at_ms;
		happens(&m, h);
		free(h);
	}
	sum_up(&m);
	happenings_close(&m.heap);
	free(m.nodes);
	return !m.broken;
}
