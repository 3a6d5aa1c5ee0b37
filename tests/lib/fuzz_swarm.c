/* The fuzz target of the swarm's core: any sequence of events, whatever peers say, in whichever role. What
 * it wants done must make sense: it stores only what is in hand, once, and speaks only where a session is. */
#include "tests/lib/fuzz_targets.h"

#include <string.h>

#include "peer/swarm/swarm.h"
#include "tasks/base/require.h"

#define EVENT_BYTES 12u
#define PEERS	    5u
#define BLOBS	    3u
#define TOTAL_MAX   (9u << 20)

struct bench {
	struct swarm *core;
	struct swarm_effects out;
	bool tracker;
	bool up[PEERS + 1];
	bool wanted[BLOBS + 1], whole[BLOBS + 1], discreet[BLOBS + 1];
	uint8_t stored[BLOBS + 1][TOTAL_MAX / BLOB_PART_MAX + 1];
	uint64_t now_ms;
	const struct swarm_message *in_hand;
};

static uint64_t total_of(blob_ref blob)
{
	static const uint64_t totals[BLOBS + 1] = {0, TOTAL_MAX, 300000, 4u << 20};

	return totals[blob];
}

/* A peer names a few with whom it has sessions, not the asker, and of a shard nobody. */
static void look_at_sources(const struct bench *b, const struct swarm_effect *e)
{
	const struct swarm_message *m = &e->message;

	REQUIRE(b->tracker || (m->count <= SWARM_SOURCES_FEW && !b->discreet[m->blob]));
	for (uint32_t i = 0; i < m->count; i++)
		REQUIRE(b->up[m->peers[i]] && m->peers[i] != e->peer);
}

static void look_at(struct bench *b, const struct swarm_effect *e)
{
	uint8_t *stored;

	switch (e->type) {
	case SWARM_SEND:
		REQUIRE(b->up[e->peer] && e->message.blob <= BLOBS + 1);
		if (e->message.type == MESSAGE_BLOB_SOURCES)
			look_at_sources(b, e);
		break;
	case SWARM_ACCUSE:
		REQUIRE(b->up[e->peer]);
		b->up[e->peer] = false;
		break;
	case SWARM_STORE:
		stored = &b->stored[e->blob][e->offset / BLOB_PART_MAX];
		REQUIRE(b->in_hand != NULL && b->in_hand->good && b->in_hand->blob == e->blob &&
			b->in_hand->offset == e->offset && b->wanted[e->blob] && *stored == 0);
		*stored = 1;
		break;
	case SWARM_COMPLETE:
		REQUIRE(b->wanted[e->blob]);
		for (uint64_t at = 0; at < total_of(e->blob); at += BLOB_PART_MAX)
			REQUIRE(b->stored[e->blob][at / BLOB_PART_MAX]);
		b->whole[e->blob] = true;
		break;
	case SWARM_SERVE:
		REQUIRE(b->up[e->peer] && e->offset + e->length <= total_of(e->blob));
		break;
	default:
		break;
	}
}

static void step(struct bench *b, struct swarm_event *event)
{
	event->now_ms = b->now_ms;
	event->random = b->now_ms * 0x9e3779b97f4a7c15u;
	b->out.count = 0;
	b->in_hand = event->message;
	REQUIRE(swarm_step(b->core, event, &b->out) == TK_OK);
	for (size_t i = 0; i < b->out.count; i++)
		look_at(b, &b->out.items[i]);
	(void)swarm_wake_ms(b->core);
}

static void want_or_hold(struct bench *b, struct swarm_event *event, uint8_t how)
{
	event->type = b->tracker || how % 2 == 0 ? SWARM_HOLD : SWARM_WANT;
	event->quiet = how % 8 == 7;
	event->discreet = how % 8 == 5 || how % 8 == 6;
	if (!b->wanted[event->blob] && !b->whole[event->blob])
		b->discreet[event->blob] = event->discreet;
	event->max = TOTAL_MAX;
	if (event->type == SWARM_HOLD || how % 4 != 3)
		event->total = total_of(event->blob);
	if (event->type == SWARM_WANT && !b->whole[event->blob])
		b->wanted[event->blob] = true;
	if (event->type == SWARM_HOLD && !b->wanted[event->blob])
		b->whole[event->blob] = true;
	else if (event->type == SWARM_HOLD)
		return; /* the shell does not hold what it fetches */
	step(b, event);
}

static void hear(struct bench *b, struct swarm_event *event, const uint8_t *p)
{
	static const uint8_t types[] = {MESSAGE_BLOB_GET, MESSAGE_BLOB_PART, MESSAGE_BLOB_PART,
		MESSAGE_BLOB_MISSING, MESSAGE_BLOB_BUSY, MESSAGE_BLOB_HAVE, MESSAGE_BLOB_HAVE,
		MESSAGE_BLOB_WHO, MESSAGE_BLOB_SOURCES, MESSAGE_PING};
	uint64_t pieces[SWARM_PIECE_WORDS] = {p[6] & 7u};
	struct swarm_message m = {.type = types[p[3] % sizeof(types)],
		.blob = event->blob,
		.good = p[4] % 8 != 0,
		.offset = (uint64_t)p[5] * (p[4] % 16 == 1 ? 10007 : BLOB_PART_MAX),
		.total = total_of(event->blob) + (p[7] == 1),
		.pieces = pieces,
		.count = p[8] % 4,
		.retry_ms = p[9] * 100u};
	uint64_t left = m.offset < m.total ? m.total - m.offset : 0;

	if (m.total <= 2u * BLOB_PIECE)
		pieces[0] &= m.total <= BLOB_PIECE ? 1 : 3;
	m.length = p[10] == 1 ? 1 : (uint32_t)(left < BLOB_PART_MAX ? left : BLOB_PART_MAX);
	m.peers[0] = p[9] % PEERS + 1;
	m.peers[1] = p[10] % PEERS + 1;
	m.peers[2] = p[11] % PEERS + 1;
	event->type = SWARM_MESSAGE;
	event->message = &m;
	step(b, event);
}

static void happens(struct bench *b, const uint8_t *p)
{
	struct swarm_event event = {.peer = p[1] % PEERS + 1, .blob = p[2] % BLOBS + 1};

	b->now_ms += (uint64_t)p[11] * (p[0] >= 200 ? 500 : 1);
	switch (p[0] % 16) {
	case 0:
		event.type = SWARM_UP;
		event.reach = (enum swarm_reach)(p[3] % 3);
		b->up[event.peer] = true;
		step(b, &event);
		break;
	case 1:
		event.type = SWARM_DOWN;
		b->up[event.peer] = false;
		step(b, &event);
		break;
	case 2:
		event.type = SWARM_DIAL_FAILED;
		step(b, &event);
		break;
	case 3:
	case 4:
		want_or_hold(b, &event, p[3]);
		break;
	case 5:
		event.type = SWARM_DROP;
		step(b, &event);
		b->wanted[event.blob] = b->whole[event.blob] = false;
		memset(b->stored[event.blob], 0, sizeof(b->stored[event.blob]));
		break;
	case 6:
		event.type = SWARM_SERVED;
		event.offset = (uint64_t)p[5] * BLOB_PART_MAX;
		event.length = BLOB_PART_MAX;
		step(b, &event);
		break;
	case 7:
		event.type = SWARM_WAKE;
		step(b, &event);
		break;
	default:
		hear(b, &event, p);
		break;
	}
}

void fuzz_swarm(struct span in)
{
	static struct bench bench;
	struct swarm_config config;

	if (in.len < 1)
		return;
	bench = (struct bench){.tracker = in.data[0] % 2 == 0, .now_ms = 1000};
	swarm_config_default(&config, bench.tracker ? 0 : 1, BLOB_PART_MAX);
	config.links_max = 3;
	bench.core = swarm_new(&config);
	REQUIRE(bench.core != NULL);
	for (size_t at = 1; at + EVENT_BYTES <= in.len; at += EVENT_BYTES)
		happens(&bench, in.data + at);
	swarm_free(bench.core);
	swarm_effects_close(&bench.out);
}

/* A fetch from the tracker and another, and a tracker that serves. */
bool fuzz_swarm_seed(unsigned which, struct bytes *out)
{
	static const uint8_t events[][EVENT_BYTES] = {{0, 0}, {0, 1, 0, 2}, {3, 0, 1, 1},
		{9, 0, 1, 5, 1, 0, 1}, {9, 1, 1, 5, 1, 0, 1}, {9, 1, 1, 1, 1, 0},
		{9, 0, 1, 1, 1, 1}, {9, 1, 1, 0, 0, 1}, {6, 1, 1}, {9, 1, 1, 7},
		{7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255}, {5, 0, 1}, {1, 1}};
	uint8_t role = (uint8_t)(1 - which);

	return which < 2 && bytes_append(out, &role, 1) == TK_OK &&
	       bytes_append(out, events, sizeof(events)) == TK_OK;
}
