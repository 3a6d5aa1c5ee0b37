/* See punch.h. */
#include "peer/overlay/punch.h"

#include <string.h>

static void move(struct punch *p, enum punch_state state, uint64_t now_ms)
{
	p->state = state;
	p->since_ms = now_ms;
}

void punch_begin(struct punch *p, bool leads, uint64_t now_ms)
{
	*p = (struct punch){.leads = leads};
	move(p, leads ? PUNCH_PAUSED : PUNCH_IDLE, now_ms);
}

static void remember(struct punch *p, const struct message_punch *m)
{
	p->came = false;
	p->count = m->count;
	memcpy(p->at, m->at, m->count * sizeof(m->at[0]));
}

/* The side that follows answers each PUNCH, a few times. */
static enum punch_act follow(struct punch *p, uint64_t now_ms, const struct message_punch *m)
{
	if (p->state == PUNCH_DONE)
		return PUNCH_NOTHING; /* it crossed the last try's success */
	if (p->state == PUNCH_ASKED || p->state == PUNCH_OVER || p->tries == PUNCH_TRIES)
		return PUNCH_BROKEN;
	p->tries++;
	p->nonce = m->nonce;
	remember(p, m);
	move(p, PUNCH_ASKED, now_ms);
	return PUNCH_ASK;
}

enum punch_act punch_on_punch(struct punch *p, uint64_t now_ms, const struct message_punch *m)
{
	if (!p->leads)
		return follow(p, now_ms, m);
	if (m->nonce != p->nonce || p->tries == 0)
		return PUNCH_BROKEN;
	if (p->state != PUNCH_ASKED)
		return PUNCH_NOTHING; /* too late for its try */
	remember(p, m);
	p->go_ms = now_ms + (now_ms - p->since_ms) / 2;
	move(p, PUNCH_WAITING, now_ms);
	return PUNCH_START;
}

enum punch_act punch_on_go(struct punch *p, uint64_t now_ms, const struct message_punch_go *m)
{
	if (p->leads || m->nonce != p->nonce || p->tries == 0)
		return PUNCH_BROKEN;
	if (p->state != PUNCH_ASKED)
		return PUNCH_NOTHING;
	move(p, PUNCH_DIALLING, now_ms);
	return PUNCH_DIAL;
}

/* A try has failed. */
static enum punch_act give_up(struct punch *p, uint64_t now_ms)
{
	bool dialled = p->state == PUNCH_DIALLING;

	if (p->leads)
		move(p, p->tries == PUNCH_TRIES ? PUNCH_OVER : PUNCH_PAUSED, now_ms);
	else
		move(p, PUNCH_IDLE, now_ms);
	return dialled ? PUNCH_CANCEL : PUNCH_NOTHING;
}

enum punch_act punch_tick(struct punch *p, uint64_t now_ms)
{
	if (now_ms < punch_wake_ms(p))
		return PUNCH_NOTHING;
	switch (p->state) {
	case PUNCH_PAUSED:
		p->tries++;
		p->nonce++;
		move(p, PUNCH_ASKED, now_ms);
		return PUNCH_ASK;
	case PUNCH_WAITING:
		move(p, PUNCH_DIALLING, now_ms);
		return PUNCH_DIAL;
	default:
		return give_up(p, now_ms);
	}
}

uint64_t punch_wake_ms(const struct punch *p)
{
	switch (p->state) {
	case PUNCH_PAUSED:
		return p->since_ms + (p->tries != 0 ? PUNCH_PAUSE_MS : 0);
	case PUNCH_ASKED:
		return p->since_ms + (p->answer_ms != 0 ? p->answer_ms : PUNCH_ANSWER_MS);
	case PUNCH_WAITING:
		return p->go_ms;
	case PUNCH_DIALLING:
		return p->since_ms + PUNCH_DIAL_MS;
	default:
		return UINT64_MAX;
	}
}

void punch_done(struct punch *p)
{
	p->state = PUNCH_DONE;
}

void punch_came(struct punch *p)
{
	p->came = true;
}

bool punch_expects(const struct punch *p, const struct endpoint *from)
{
	bool open = p->state == PUNCH_WAITING || p->state == PUNCH_DIALLING ||
		    (p->state == PUNCH_ASKED && !p->leads);

	if (!open || p->came)
		return false;
	for (uint32_t i = 0; i < p->count; i++) {
		if (p->at[i].family == from->family &&
			memcmp(p->at[i].ip, from->ip, sizeof(from->ip)) == 0)
			return true;
	}
	return false;
}
