/* The agent's one connection, to the coordinator: dialling, backoff, goodbyes, and asking for work.
 *
 * The delays between tries are "decorrelated jitter" (M. Brooker, "Exponential Backoff and Jitter",
 * 2015): each is drawn between the minimum and three times the last one, so that peers which lost
 * the same coordinator together do not come back together. Addresses of the link are tried in turn. Where a host
 * answers, a peer by the root's word, the overlay gets the session as its way in, and the coordinator is looked for at
 * the others; that address is left alone until nobody brings news, or for ten minutes. */
#include "peer/agent/agent_state.h"

#include <stdio.h>
#include <string.h>

#include "peer/wire/identity.h"

static const char *host_name(const struct agent *a)
{
	return a->link->hosts[a->host];
}

static void note(char out[TEXT_MAX], const char *why)
{
	snprintf(out, TEXT_MAX, "%s", why);
}

/* Our own copy before it is shown: what a stranger wrote must not steer the terminal. */
static void note_foreign(char out[TEXT_MAX], const char *text)
{
	note(out, text);
	for (char *p = out; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static void dial(struct agent *a, uint64_t now_ms, struct agent_effects *out)
{
	struct agent_effect *e = effect_push(out, AGENT_DIAL);

	if (e != NULL)
		e->host = a->host;
	a->link_state = LINK_DIALLING;
	a->was_full = a->full;
	a->full = false;
	a->at_ms = now_ms + AGENT_CONNECT_MS;
}

void link_start(struct agent *a, uint64_t now_ms, struct agent_effects *out)
{
	effect_log(out, "connecting to %s", host_name(a));
	dial(a, now_ms, out);
}

bool link_is_up(const struct agent *a)
{
	return a->link_state == LINK_UP;
}

void link_proved(struct agent *a)
{
	a->backoff_ms = 0;
}

/* The session or the try is over; the next one follows, with the next host. */
static void wait_then_dial(struct agent *a, const struct agent_event *event, const char *why)
{
	if (why != a->trouble)
		note(a->trouble, why);
	a->backoff_ms = delay_next(
		a->backoff_ms, AGENT_BACKOFF_MIN_MS, AGENT_BACKOFF_MAX_MS, event->random);
	a->link_state = LINK_DOWN;
	a->patient = patience_fits(a);
	a->at_ms = event->now_ms + (a->patient ? patience_next(a, event->random) : a->backoff_ms);
	if (a->replaced)
		a->at_ms += AGENT_REPLACED_MS;
	a->told = 0;
	a->ask_ms = 0;
	a->selftest_seed = 0; /* it is asked for again */
	result_disconnected(a);
}

/* What a host lacks, or that it is away, says nothing of the coordinator. */
static void note_full(struct agent *a, bool was_up, bool turned_away)
{
	if (!was_up && a->is_host[a->host]) {
		a->full = a->was_full;
		return;
	}
	a->full |= turned_away;
	if (a->full)
		a->full_host = a->host;
}

void link_lost(struct agent *a, const struct agent_event *event, const char *why,
	struct agent_effects *out)
{
	bool was_up = a->link_state == LINK_UP;
	char text[TEXT_MAX];

	if (a->link_state == LINK_RETIRED || a->link_state == LINK_DOWN)
		return;
	note_foreign(text, why);
	if (a->replaced)
		note(text, a->trouble);
	note_full(a, was_up, event->turned_away);
	wait_then_dial(a, event, text);
	if (a->full) {
		patience_explain(a, event->now_ms, text, sizeof(text));
		effect_log(out, "%s", text);
	} else if (strstr(text, host_name(a)) != NULL) /* it says itself where */
		effect_log(out, "%s; trying again in %.1f s", text,
			(double)(a->at_ms - event->now_ms) / 1000);
	else
		effect_log(out, "%s %s: %s; trying again in %.1f s",
			was_up ? "lost" : "cannot reach", host_name(a), text,
			(double)(a->at_ms - event->now_ms) / 1000);
}

void link_drop(struct agent *a, const struct agent_event *event, enum goodbye_reason reason,
	const char *why, struct agent_effects *out)
{
	struct agent_effect *e;

	if (a->link_state != LINK_UP && a->link_state != LINK_DIALLING)
		return;
	e = effect_push(out, AGENT_DROP);
	if (e != NULL) {
		e->reason = reason;
		note(e->text, why);
	}
	link_lost(a, event, why, out);
}

/* Another session in place of the one that was up: what was on its way is asked for and said again, as after
 * any reconnect. */
static void link_renewed(struct agent *a, struct agent_effects *out)
{
	a->told = 0;
	a->ask_ms = 0;
	result_disconnected(a);
	result_reconnected(a, out);
}

/* It proved to be a host, or the dial would have failed. It is no part of us: whether it lasts is the overlay's. */
static void enter(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	effect_push(out, AGENT_RELEASE);
	a->full = a->was_full;
	a->is_host[a->host] = true;
	a->host_ms[a->host] = event->now_ms + AGENT_HOST_AGAIN_MS;
	a->entered = true;
	a->entry = a->host;
	wait_then_dial(a, event, a->trouble);
	effect_log(out,
		a->full ? "in the network by %s, a host of the link; the coordinator is full, and "
			  "work comes when it has a place"
			: "in the network by %s, a host of the link; the coordinator is away, and "
			  "work comes when it is back",
		host_name(a));
}

void link_isolated(struct agent *a, const struct agent_event *event)
{
	a->entered = a->entered && event->total != 0;
	memset(a->host_ms, 0, sizeof(a->host_ms));
}

void link_up(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	if (a->link_state == LINK_UP && event->role == ROLE_COORDINATOR)
		link_renewed(a, out);
	if (a->link_state != LINK_DIALLING)
		return;
	if (event->role != ROLE_COORDINATOR) {
		enter(a, event, out);
		return;
	}
	a->link_state = LINK_UP;
	a->is_host[a->host] = a->entered = false;
	a->replaced = false;
	a->trouble[0] = '\0';
	effect_log(out, "connected to %s", host_name(a));
	for (uint32_t i = 0; i < a->abandoned_count; i++)
		effect_abandon(
			out, &a->abandoned[i].nonce, "the lease was lost while we were away");
	if (a->abandoned_count != 0) {
		a->abandoned_count = 0;
		job_save_leases(a, out);
	}
	result_reconnected(a, out);
}

static void retire(struct agent *a, const char *text, struct agent_effects *out)
{
	struct agent_effect *e;

	note_foreign(a->trouble, text[0] != '\0' ? text : "the coordinator did not say why");
	a->link_state = LINK_RETIRED;
	for (uint32_t i = 0; i < AGENT_JOBS_MAX; i++)
		if (a->jobs[i].id != 0)
			job_end(a, &a->jobs[i], out);
	dispute_forget(a, NULL, out);
	result_disconnected(a);
	e = effect_push(out, AGENT_STOP);
	if (e != NULL)
		note(e->text, a->trouble);
}

void link_goodbye(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	const struct message_goodbye *g = &event->message->goodbye;

	if (g->reason == GOODBYE_RETIRED) {
		retire(a, g->text, out);
		return;
	}
	a->full = g->reason == GOODBYE_OVERLOAD;
	if (g->reason == GOODBYE_REPLACED) {
		a->replaced = true;
		note(a->trouble,
			"another process connected with this home's key: does a copy of "
			"this home run elsewhere? join again there with a home of its own");
	}
}

void link_no_work(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	const struct message_no_work *n = &event->message->no_work;
	uint64_t retry = n->retry_ms;

	if (n->reason == NO_WORK_RETIRED) {
		retire(a, n->text, out);
		return;
	}
	link_proved(a);
	if (retry < AGENT_BACKOFF_MIN_MS)
		retry = AGENT_BACKOFF_MIN_MS;
	if (retry > 20 * AGENT_ASK_AGAIN_MS)
		retry = 20 * AGENT_ASK_AGAIN_MS;
	a->ask_ms = event->now_ms + retry;
	note_foreign(a->trouble, n->text);
}

/* How many leases could we take now? */
static uint32_t room(const struct agent *a, uint64_t now_ms)
{
	uint32_t jobs = job_count(a);

	if (!link_is_up(a) || now_ms < a->pause_ms || now_ms < a->rest_ms)
		return 0;
	if (a->result_count + AGENT_JOBS_MAX > AGENT_RESULTS_MAX)
		return 0;
	return jobs < AGENT_SLOTS ? AGENT_SLOTS - jobs : 0;
}

void link_ask(struct agent *a, uint64_t now_ms, struct agent_effects *out)
{
	struct message m = {.type = MESSAGE_WORK_REQUEST};
	uint32_t slots = room(a, now_ms);

	if (slots == 0 || (slots <= a->told && now_ms < a->ask_ms))
		return;
	m.work_request.slots = slots;
	memcpy(m.work_request.engine, a->engine, sizeof(m.work_request.engine));
	memcpy(m.work_request.team, a->team, sizeof(m.work_request.team));
	effect_send(out, &m);
	a->told = slots;
	a->ask_ms = now_ms + AGENT_ASK_AGAIN_MS;
}

/* Where only hosts have answered, the first that may be asked again is waited for. */
static void dial_next(struct agent *a, uint64_t now_ms, struct agent_effects *out)
{
	uint64_t soonest_ms = UINT64_MAX;

	for (uint32_t i = 1; i <= a->link->host_count; i++) {
		uint32_t host = (a->host + i) % a->link->host_count;

		if (now_ms >= a->host_ms[host]) {
			a->host = host;
			dial(a, now_ms, out);
			return;
		}
		if (a->host_ms[host] < soonest_ms)
			soonest_ms = a->host_ms[host];
	}
	a->at_ms = soonest_ms;
}

void link_host(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	const struct message_host_certificate *m = &event->message->host_certificate;
	struct certificate c = {m->expiry_s, m->signature};
	struct agent_effect *e;
	struct errmsg msg;

	if (host_check(&c, &a->id->network, &a->id->key.public, event->now_s, &msg) != TK_OK) {
		effect_log(out, "this computer is not made a host of the link: %s", msg.text);
		return;
	}
	e = effect_push(out, AGENT_SAVE_HOST);
	if (e != NULL)
		e->certificate = c;
}

void link_tick(struct agent *a, const struct agent_event *event, struct agent_effects *out)
{
	patience_tick(a, event);
	if (a->link_state == LINK_DIALLING && event->now_ms >= a->at_ms)
		link_drop(a, event, GOODBYE_SHUTDOWN, "no answer", out);
	else if (a->link_state == LINK_DOWN && event->now_ms >= a->at_ms)
		dial_next(a, event->now_ms, out);
}
