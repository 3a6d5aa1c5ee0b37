/* What a step leaves behind. Rows that changed are marked and saved once, at the end of the step;
 * what is said waits in a second list and goes behind them, so that a shell that walks the effects
 * in order persists before it speaks. When memory is short the error sticks and the step is undone
 * as a whole: the shell forgets the core and loads it again. */
#include <stdio.h>
#include <string.h>

#include "coordinator/core_state.h"
#include "tasks/base/mem.h"

void effects_cut(struct core_effects *e, size_t count)
{
	while (e->count > count)
		bytes_close(&e->items[--e->count].bytes);
}

void core_effects_clear(struct core_effects *e)
{
	effects_cut(e, 0);
}

void core_effects_close(struct core_effects *e)
{
	core_effects_clear(e);
	mem_free(e->items);
	*e = (struct core_effects){0};
}

static int reserve(struct core_effects *e, size_t more)
{
	size_t want = e->capacity * 2;
	struct core_effect *grown;

	if (more <= e->capacity - e->count)
		return TK_OK;
	if (want < e->count + more)
		want = e->count + more;
	if (want < 16)
		want = 16;
	if (want > SIZE_MAX / sizeof(*grown))
		return TK_ENOMEM;
	grown = mem_realloc(e->items, want * sizeof(*grown));
	if (grown == NULL)
		return TK_ENOMEM;
	e->items = grown;
	e->capacity = want;
	return TK_OK;
}

/* A new effect at the end of the list; the spare one, with the error set, when there is
 * no memory. */
static struct core_effect *push(struct core *c, struct core_effects *e, enum core_effect_type type)
{
	struct core_effect *x = &c->spare;

	if (reserve(e, 1) == TK_OK)
		x = &e->items[e->count++];
	else
		c->error = TK_ENOMEM;
	memset(x, 0, sizeof(*x));
	x->type = type;
	return x;
}

/* Gives the effect its bytes; the spare effect owns nothing. */
static void push_bytes(struct core *c, struct core_effect *x, struct bytes *takes)
{
	if (x == &c->spare)
		bytes_close(takes);
	else
		x->bytes = *takes;
	*takes = (struct bytes){0};
}

#define MARK(thing, list)                                                                          \
	do {                                                                                       \
		if ((thing)->changed)                                                              \
			return;                                                                    \
		(thing)->changed = true;                                                           \
		(thing)->changed_next = (list);                                                    \
		(list) = (thing);                                                                  \
	} while (0)

void project_changed(struct core *c, struct core_project *p)
{
	MARK(p, c->changed_projects);
}

void unit_changed(struct core *c, struct core_unit *u)
{
	agenda_mark(u);
	MARK(u, c->changed_units);
}

void replica_changed(struct core *c, struct core_replica *r)
{
	agenda_mark(r->unit);
	MARK(r, c->changed_replicas);
}

void peer_changed(struct core *c, struct core_peer *peer)
{
	peer->known = true;
	MARK(peer, c->changed_peers);
}

#define FLUSH(thing_type, list, effect, member)                                                    \
	while (list != NULL) {                                                                     \
		thing_type *x = list;                                                              \
		list = x->changed_next;                                                            \
		x->changed = false;                                                                \
		push(c, c->out, effect)->member = x->row;                                          \
	}

void changes_flush(struct core *c)
{
	FLUSH(struct core_project, c->changed_projects, CORE_SAVE_PROJECT, project)
	FLUSH(struct core_unit, c->changed_units, CORE_SAVE_UNIT, unit)
	FLUSH(struct core_peer, c->changed_peers, CORE_SAVE_PEER, peer)
	FLUSH(struct core_replica, c->changed_replicas, CORE_SAVE_REPLICA, replica)
	announced_save(c);
}

void announced_push(struct core *c, uint64_t announced_ms)
{
	push(c, c->out, CORE_SAVE_ANNOUNCED)->announced_ms = announced_ms;
}

void ledger_push(struct core *c, const struct ledger_row *row, struct bytes *takes)
{
	struct core_effect *x = push(c, c->out, CORE_LEDGER);

	x->ledger = *row;
	push_bytes(c, x, takes);
}

void round_save(struct core *c, const struct round_row *row)
{
	push(c, c->out, CORE_SAVE_ROUND)->round = *row;
}

void blob_store(struct core *c, const struct digest *digest, struct bytes *takes)
{
	struct core_effect *x = push(c, c->out, CORE_STORE_BLOB);

	x->digest = *digest;
	push_bytes(c, x, takes);
}

/* A message to be filled in; what is said to somebody who is away is lost. takes (may be NULL):
 * bytes that the message's spans point into. */
struct message *say(
	struct core *c, struct core_peer *peer, enum message_type type, struct bytes *takes)
{
	struct core_effect *x = &c->spare;

	if (peer->conn != 0)
		x = push(c, &c->said, CORE_SEND);
	x->conn = peer->conn;
	x->message = (struct message){.type = type};
	if (takes != NULL)
		push_bytes(c, x, takes);
	return &x->message;
}

void say_settled(struct core *c, struct core_replica *r, enum verdict verdict, const char *text)
{
	struct message_settled *m = &say(c, r->peer, MESSAGE_SETTLED, NULL)->settled;

	m->nonce = r->row.nonce;
	m->verdict = verdict;
	m->credit_flops = verdict == VERDICT_VALID ? unit_credit(r->unit->project) : 0;
	snprintf(m->text, sizeof(m->text), "%s", text);
}

void say_unknown(struct core *c, struct core_peer *peer, const struct digest *nonce)
{
	struct message_settled *m;

	if (c->unreadable != 0)
		return; /* it may be a lease of a project that we cannot load now */
	m = &say(c, peer, MESSAGE_SETTLED, NULL)->settled;
	m->nonce = *nonce;
	m->verdict = VERDICT_UNKNOWN;
	snprintf(m->text, sizeof(m->text), "%s",
		"this lease is not known here: its round is over or its project has ended");
}

void drop_say(struct core *c, conn_id conn, uint32_t reason, const char *text)
{
	struct core_effect *x = push(c, &c->said, CORE_DROP);

	x->conn = conn;
	x->reason = reason;
	snprintf(x->text, sizeof(x->text), "%s", text);
}

void worth_say(struct core *c, conn_id conn, enum node_worth worth)
{
	struct core_effect *x = push(c, &c->said, CORE_WORTH);

	x->conn = conn;
	x->worth = worth;
}

void announce_say(struct core *c, struct bytes *takes)
{
	struct core_effect *x = push(c, &c->said, CORE_ANNOUNCE);

	announcement_sign(&x->signature, c->root, bytes_span(takes));
	push_bytes(c, x, takes);
}

void merge_ask(struct core *c, struct core_project *p)
{
	struct core_effect *x = push(c, &c->said, CORE_MERGE);

	x->job = p->merge_job = ++c->jobs;
	x->project_id = p->row.id;
	x->round_index = p->row.round;
}

void selftest_ask(struct core *c)
{
	struct core_effect *x = push(c, &c->said, CORE_SELFTEST);

	x->seed = c->challenge.next_seed;
}

void referee_ask(struct core *c, struct core_unit *u)
{
	struct core_effect *x = push(c, &c->said, CORE_REFEREE);

	x->job = u->job = ++c->jobs;
	x->digest = u->digest;
	x->project_id = u->row.project;
	x->round_index = u->row.round;
	x->unit_index = u->row.index;
}

void step_ask(struct core *c, struct core_unit *u)
{
	struct core_effect *x = push(c, &c->said, CORE_REFEREE_STEP);
	struct dispute *d = u->dispute;
	const struct digest *leaves = d->side[0].trace.at;
	size_t size = (size_t)(d->segment + 1) * sizeof(*leaves);

	d->job = ++c->jobs;
	x->project_id = u->row.project;
	x->round_index = u->row.round;
	x->unit_index = u->row.index;
	x->step = d->step;
	x->job = d->job;
	x->digest = d->state_blob;
	if (d->step > 0)
		x->state = d->at > 0 ? d->side[0].steps.at[d->at - 1] : leaves[d->segment];
	if (x != &c->spare && d->step > 0 && bytes_append(&x->bytes, leaves, size) != TK_OK)
		c->error = TK_ENOMEM;
}

void fault_say(struct core *c, const struct digest *digest, const struct digest *state,
	struct bytes *takes)
{
	struct core_effect *x = push(c, c->out, CORE_FAULT);

	x->digest = *digest;
	x->state = *state;
	push_bytes(c, x, takes);
}

void blob_remove(struct core *c, const struct digest *digest)
{
	push(c, &c->said, CORE_REMOVE_BLOB)->digest = *digest;
}

void core_log(struct core *c, const char *format, ...)
{
	struct core_effect *x = push(c, &c->said, CORE_LOG);
	va_list args;

	va_start(args, format);
	vsnprintf(x->text, sizeof(x->text), format, args);
	va_end(args);
}

void effects_join(struct core *c)
{
	if (c->error != TK_OK || c->said.count == 0)
		return;
	if (reserve(c->out, c->said.count) != TK_OK) {
		c->error = TK_ENOMEM;
		return;
	}
	memcpy(c->out->items + c->out->count, c->said.items,
		c->said.count * sizeof(*c->said.items));
	c->out->count += c->said.count;
	c->said.count = 0;
}
