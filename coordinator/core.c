/* One step of the coordinator: an event in, effects out. Here are the dispatch, the clock's tick
 * and the order in which the parts look at what an event changed; core_state.h is the map of the
 * parts. */
#include <string.h>

#include "coordinator/core_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/unit/sign.h"

static bool signed_well(const void *context, const struct public_key *peer,
	const struct signature *s, const struct digest *commitment, const struct digest *nonce)
{
	(void)context;
	return commit_verify(peer, s, commitment, nonce);
}

struct core *core_new(const struct key_pair *root)
{
	struct core *c = mem_calloc(1, sizeof(*c));
	struct span secret = span_of(root->secret, sizeof(root->secret));
	struct digest seed;

	if (c == NULL)
		return NULL;
	c->root = root;
	c->commits.good = signed_well;
	digest_fields(&seed, "talkoot core lookup", &secret, 1);
	lookup_init(&c->peers, KEY_BYTES, load_le64(seed.b));
	lookup_init(&c->conns, sizeof(conn_id), load_le64(seed.b + 8));
	lookup_init(&c->replicas, DIGEST_BYTES, load_le64(seed.b + 16));
	return c;
}

void core_check_commits(struct core *c, const struct commit_check *check)
{
	c->commits = *check;
}

static void peer_free(void *owner, void *context)
{
	(void)context;
	mem_free(owner);
}

static void replica_unmark(void *owner, void *context)
{
	struct core_replica *r = owner;

	(void)context;
	r->changed = false;
	r->row.state = REPLICA_EXPIRED; /* whatever it was, it is forgotten and not changed */
}

void core_free(struct core *c)
{
	if (c == NULL)
		return;
	lookup_each(&c->replicas, replica_unmark, NULL);
	while (c->projects != NULL) {
		struct core_project *p = c->projects;

		c->projects = p->next;
		project_free(c, p);
	}
	lookup_each(&c->peers, peer_free, NULL);
	lookup_close(&c->peers);
	lookup_close(&c->conns);
	lookup_close(&c->replicas);
	core_effects_close(&c->said);
	prefixes_close(&c->prefixes);
	mem_free(c);
}

static bool replica_tick(struct core *c, struct core_replica *r)
{
	struct core_peer *peer = r->peer;
	uint64_t now = c->now_ms;

	switch (r->row.state) {
	case REPLICA_LEASED:
		if (peer->released ? now >= r->row.deadline_ms && peer_gone(c, peer, LEASE_AWAY_MS)
				   : now >= r->row.deadline_ms || peer_gone(c, peer, LEASE_AWAY_MS))
			lease_expire(c, r);
		break;
	case REPLICA_COMMITTED:
		if (r->asked_ms != 0 && ((peer->conn != 0 && now >= r->row.deadline_ms) ||
						now >= r->asked_ms + REVEAL_TOTAL_MS))
			replica_reject(
				c, r, REPLICA_UNOPENED, "the commitment was not opened in time");
		break;
	case REPLICA_UPLOADING:
		if (now >= r->row.deadline_ms ||
			(peer->conn != 0 && now >= r->heard_ms + UPLOAD_IDLE_MS))
			upload_fail(c, r->unit, "the payload did not come in time");
		else if (peer_absent(c, peer, LEASE_AWAY_MS))
			upload_release(c, r->unit);
		break;
	default:
		break;
	}
	return peer->conn == 0;
}

/* stirred: who is established has changed since the last tick, so begun units may want more or less. */
static void unit_tick(struct core *c, struct core_unit *u, bool stirred)
{
	bool away = u->row.state == UNIT_UPLOADING && u->uploader == NULL;

	for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		away |= replica_tick(c, r);
	if (u->row.state == UNIT_DISPUTED && u->referee == REFEREE_NONE)
		dispute_tick(c, u);
	if (policy_adaptive(u->project))
		policy_tick(c, u);
	if ((away && u->row.state != UNIT_SETTLED) ||
		(stirred && u->replicas != NULL && u->row.state <= UNIT_IN_PROGRESS &&
			policy_adaptive(u->project)))
		unit_touch(c, u); /* who is gone for too long is replaced */
}

/* Only units for which it is time. What one unit's tick changes is known before the next one's. */
static void units_tick(struct core *c, struct core_round *o, bool stirred)
{
	struct agenda *a = &o->agenda;

	agenda_update(a);
	for (uint32_t i = 0; i < a->count; i++) {
		if (a->due_ms[i] > c->now_ms && (!stirred || a->due_ms[i] == UINT64_MAX))
			continue;
		unit_tick(c, &o->units[i], stirred);
		agenda_mark(&o->units[i]);
		agenda_update(a);
	}
}

static void tick(struct core *c)
{
	bool stirred = policy_stirred(c);

	for (struct core_project *p = c->projects; p != NULL; p = p->next)
		for (struct core_round *o = p->rounds; o != NULL; o = o->older) {
			units_tick(c, o, stirred);
			stragglers_count(c, o);
		}
	c->dispatch = true;
	announce_tick(c);
}

static void message_take(struct core *c, struct core_peer *peer, const struct message *m)
{
	switch (m->type) {
	case MESSAGE_WORK_REQUEST:
		work_request(c, peer, &m->work_request);
		break;
	case MESSAGE_COMMIT:
		commit_take(c, peer, &m->commit);
		break;
	case MESSAGE_REVEAL:
		reveal_take(c, peer, &m->reveal);
		break;
	case MESSAGE_UPLOAD:
		upload_take(c, peer, &m->upload);
		break;
	case MESSAGE_SELFTEST:
		selftest_take(c, peer, &m->selftest);
		break;
	case MESSAGE_TRACE:
		trace_take(c, peer, &m->trace);
		break;
	case MESSAGE_SEGMENT:
		segment_take(c, peer, &m->segment);
		break;
	case MESSAGE_STATE:
		state_take(c, peer, &m->state);
		break;
	case MESSAGE_ABANDON:
		abandon_take(c, peer, &m->abandon);
		break;
	case MESSAGE_PING: /* the node's */
	case MESSAGE_PONG:
	case MESSAGE_GOODBYE:
	case MESSAGE_BLOB_GET: /* the shell's */
		break;
	default:
		peer_protocol(
			c, peer, "a peer may not send %s to a coordinator", message_name(m->type));
		break;
	}
}

/* The first step after loading: queued projects start, and everybody is away for a
 * moment longer. */
static void peer_away(void *owner, void *context)
{
	struct core_peer *peer = owner;
	struct core *c = context;

	peer->gone_ms = c->now_ms + RESTART_AWAY_MS;
}

static void round_start(struct core *c, struct core_round *o)
{
	if (o->row.started_ms == 0)
		o->row.started_ms = c->now_ms;
	for (uint32_t i = 0; i < o->project->row.units_per_round; i++) {
		struct core_unit *u = &o->units[i];

		for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
			if (r->row.state == REPLICA_COMMITTED && r->row.deadline_ms != 0)
				r->asked_ms = c->now_ms;
		unit_touch(c, u);
	}
}

static void start(struct core *c)
{
	struct core_project *next;

	c->started = true;
	c->few_since_ms = c->now_ms;
	lookup_each(&c->peers, peer_away, c);
	for (struct core_project *p = c->projects; p != NULL; p = next) {
		next = p->next;
		for (struct core_round *o = p->rounds; o != NULL; o = o->older)
			round_start(c, o);
		if (p->row.state == PROJECT_QUEUED)
			project_start(c, p);
	}
	(void)rollbacks_make(c); /* before anything of what it takes back is leased */
	announce_start(c);
}

static void event_take(struct core *c, const struct core_event *event)
{
	struct core_peer *peer;

	switch (event->type) {
	case CORE_PEER_UP:
		peer_up(c, event->conn, event->key, event->prefix);
		break;
	case CORE_PEER_DOWN:
		peer_down(c, event->conn, event->released);
		break;
	case CORE_MESSAGE:
		peer = peer_of_conn(c, event->conn);
		if (peer != NULL) /* or it was dropped and this was on its way */
			message_take(c, peer, event->message);
		break;
	case CORE_TICK:
		tick(c);
		break;
	case CORE_SELFTESTED:
		selftest_answer(c, event);
		break;
	case CORE_PROJECT_NEW:
		project_new(c, event);
		break;
	case CORE_PROJECT_STOP:
		project_stop(c, event->project);
		break;
	case CORE_PROJECT_RESUME:
		project_resume(c, event->project);
		break;
	case CORE_MERGED:
		project_merged(c, event);
		break;
	case CORE_REFEREED:
		referee_answer(c, event);
		break;
	case CORE_STEPPED:
		step_answer(c, event);
		break;
	case CORE_PEER_READMIT:
		peer = peer_find(c, event->key);
		if (peer != NULL)
			peer_readmit(c, peer);
		break;
	case CORE_BLOB_BAD:
		blob_bad(c, &event->blob, event->text);
		break;
	}
}

/* Draws the conclusions from what an event changed. */
static void conclude(struct core *c, bool ticked)
{
	units_judge(c);
	while (c->error == TK_OK && rollbacks_make(c))
		units_judge(c);
	if (c->error == TK_OK && c->dispatch)
		lease_dispatch(c);
	units_judge(c);
	if (c->error != TK_OK)
		return;
	referees_start(c);
	rounds_close(c);
	if (ticked)
		projects_explain(c);
}

int core_step(struct core *c, const struct core_event *event, struct core_effects *out)
{
	size_t before = out->count;

	REQUIRE(c->error == TK_OK && c->touched == NULL && c->said.count == 0);
	c->out = out;
	c->now_ms = event->now_ms;
	memcpy(c->random, event->random, sizeof(c->random));
	c->nonces = 0;
	if (!c->started)
		start(c);
	if (c->error == TK_OK)
		event_take(c, event);
	if (c->error == TK_OK)
		conclude(c, event->type == CORE_TICK);
	ledger_flush(c);
	changes_flush(c);
	worth_flush(c);
	peers_forget(c);
	effects_join(c);
	if (c->error != TK_OK)
		effects_cut(out, before);
	c->out = NULL;
	return c->error;
}

size_t core_peers_connected(const struct core *c)
{
	return c->connected;
}

size_t core_identities(const struct core *c)
{
	return c->peers.count;
}

bool core_peer_established(const struct core *c, const struct public_key *key)
{
	const struct core_peer *peer = peer_find(c, key);

	return peer != NULL && peer->row.valid != 0 && !peer->row.retired;
}

size_t core_peer_leases(const struct core *c, const struct public_key *key, bool *connected)
{
	const struct core_peer *peer = peer_find(c, key);

	*connected = peer != NULL && peer->conn != 0;
	return peer != NULL ? peer->leases : 0;
}
