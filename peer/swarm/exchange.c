/* See exchange.h. This file steps the core: what an effect brings about at once waits in a queue until the
 * step that asked for it has been carried out. */
#include <stdarg.h>
#include <stdio.h>

#include "peer/swarm/exchange_state.h"
#include "tasks/base/file.h"
#include "tasks/base/mem.h"

void exchange_log(struct exchange *x, const char *format, ...)
{
	char line[TEXT_MAX + 512];
	va_list list;

	va_start(list, format);
	vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	x->handler->log(x->handler->context, line);
}

int exchange_new(struct exchange **out, const struct exchange_options *options,
	const struct exchange_handler *handler, struct errmsg *msg)
{
	struct exchange *x = mem_calloc(1, sizeof(*x));
	struct swarm_config config;
	int rc = TK_OK;

	if (x == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to exchange blobs");
	x->handler = handler;
	x->tracker = options->tracker;
	x->network = options->network;
	x->self = options->self;
	/* A peer's tracker is the coordinator, whose key is not known before it comes: number 1 is its. */
	swarm_config_default(&config, options->tracker ? 0 : EXCHANGE_TRACKER, BLOB_PART_MAX);
	x->core = swarm_new(&config);
	x->peers = mem_calloc(EXCHANGE_PEERS_MAX + 1, sizeof(struct exchange_peer *));
	x->blobs = mem_calloc(EXCHANGE_BLOBS_MAX + 1, sizeof(struct exchange_blob *));
	if (x->core == NULL || x->peers == NULL || x->blobs == NULL)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory to exchange blobs");
	x->room = options->room;
	if (rc == TK_OK && options->folder != NULL) {
		if (snprintf(x->folder, sizeof(x->folder), "%s", options->folder) >=
			(int)sizeof(x->folder))
			rc = errmsg_set(
				msg, TK_ELIMIT, "the path %.200s is too long", options->folder);
		else
			rc = folder_make(x->folder, true, msg);
	}
	x->peer_count = 1;
	if (rc == TK_OK)
		*out = x;
	else
		exchange_free(x);
	return rc;
}

void exchange_free(struct exchange *x)
{
	if (x == NULL)
		return;
	swarm_free(x->core);
	swarm_effects_close(&x->effects);
	if (x->peers != NULL)
		exchange_peers_free(x);
	if (x->blobs != NULL)
		exchange_blobs_free(x);
	mem_free(x->later);
	mem_free(x);
}

void exchange_now(struct exchange *x, uint64_t now_ms, uint64_t now_s, uint64_t random)
{
	x->now_ms = now_ms;
	x->now_s = now_s;
	x->random = random;
}

static uint64_t next_random(struct exchange *x)
{
	uint64_t z = x->random += 0x9e3779b97f4a7c15u; /* SplitMix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void exchange_leave(struct exchange *x, struct exchange_peer *p, const char *why)
{
	struct swarm_event down = {.type = SWARM_DOWN, .peer = p->ref};
	char name[2 * KEY_BYTES + 1];

	hex_encode(name, p->key.b, KEY_BYTES);
	exchange_log(x, "left peer %.16s: %s", name, why);
	if (p->conn != 0)
		x->handler->drop(x->handler->context, p->conn, GOODBYE_PROTOCOL, why);
	exchange_end_session(x, p);
	exchange_step(x, &down);
}

static void accuse(struct exchange *x, const struct swarm_effect *e)
{
	struct exchange_peer *p = exchange_peer_by_ref(x, e->peer);

	if (p != NULL)
		exchange_leave(x, p, e->why);
}

static void release(struct exchange *x, peer_ref ref)
{
	struct exchange_peer *p = exchange_peer_by_ref(x, ref);

	if (p == NULL)
		return;
	p->released = true;
	p->released_ms = x->now_ms;
}

static void carry_out(struct exchange *x, const struct swarm_effect *e)
{
	switch (e->type) {
	case SWARM_SEND:
		exchange_say(x, e);
		break;
	case SWARM_DIAL:
		exchange_dial(x, e->peer);
		break;
	case SWARM_RELEASE:
		release(x, e->peer);
		break;
	case SWARM_ACCUSE:
		accuse(x, e);
		break;
	case SWARM_STORE:
		exchange_store(x, e);
		break;
	case SWARM_COMPLETE:
		exchange_finish(x, e->blob);
		break;
	case SWARM_SERVE:
		exchange_serve(x, e);
		break;
	case SWARM_LACKING:
		exchange_lacking(x, e->blob);
		break;
	}
}

static bool queue(struct exchange *x, const struct swarm_event *event)
{
	if (x->later_count == x->later_room) {
		size_t room = x->later_room == 0 ? 64 : x->later_room * 2;
		struct swarm_event *bigger = mem_alloc(room * sizeof(*bigger));

		if (bigger == NULL)
			return false;
		for (size_t i = 0; i < x->later_count; i++)
			bigger[i] = x->later[(x->later_head + i) % x->later_room];
		mem_free(x->later);
		x->later = bigger;
		x->later_head = 0;
		x->later_room = room;
	}
	x->later[(x->later_head + x->later_count++) % x->later_room] = *event;
	return true;
}

static void step_one(struct exchange *x, struct swarm_event *event)
{
	event->now_ms = x->now_ms;
	event->random = next_random(x);
	x->effects.count = 0;
	if (swarm_step(x->core, event, &x->effects) != TK_OK)
		exchange_log(x, "not enough memory to exchange blobs");
	for (size_t i = 0; i < x->effects.count; i++)
		carry_out(x, &x->effects.items[i]);
}

void exchange_step(struct exchange *x, const struct swarm_event *event)
{
	struct swarm_event now = *event;

	if (x->stepping) {
		if (!queue(x, event))
			exchange_log(x, "not enough memory to exchange blobs");
		return;
	}
	x->stepping = true;
	step_one(x, &now);
	x->in_hand = NULL;
	while (x->later_count != 0) {
		now = x->later[x->later_head];
		x->later_head = (x->later_head + 1) % x->later_room;
		x->later_count--;
		step_one(x, &now);
	}
	x->stepping = false;
}

void exchange_totals(const struct exchange *x, struct swarm_totals *out)
{
	swarm_totals(x->core, out);
}
