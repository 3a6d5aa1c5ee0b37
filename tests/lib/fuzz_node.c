/* Fuzz targets of a whole node that hears arbitrary messages, in any order and at any time, from several peers:
 * the bare node, and the node with its ways through NATs. See fuzz_stage.h. */
#include "tasks/base/require.h"
#include "tests/lib/fuzz_stage.h"
#include "tests/lib/fuzz_targets.h"
#include "tests/lib/message_samples.h"

static void play(bool ways, struct span in)
{
	struct stage s;

	stage_open(&s, ways);
	stage_play(&s, in);
	stage_close(&s);
}

void fuzz_node(struct span in)
{
	play(false, in);
}

void fuzz_ways(struct span in)
{
	play(true, in);
}

static const enum message_type types[] = {
#define X(name, member, number) name,
	MESSAGES(X)
#undef X
};
#define TYPES (sizeof(types) / sizeof(types[0]))

static void put_type(struct bytes *out, unsigned which)
{
	struct message m;

	fill_message(&m, types[which], false);
	stage_put_message(out, OP_SAY, 0, &m);
}

static void put_bytes(
	struct bytes *out, unsigned op, unsigned player, uint8_t time, const char *bytes, size_t n)
{
	stage_put(out, op, player, time, span_of(bytes, n));
}
#define PUT(op, player, time, bytes) put_bytes(out, op, player, time, bytes, sizeof(bytes) - 1)

/* A life in which everybody comes, makes friends, and hears of news. */
static void put_life(struct bytes *out)
{
	PUT(OP_COME, 1, 1, "\0");
	PUT(OP_CALL, 2, 1, "\0");
	PUT(OP_PEOPLE, 0, 20, "\0\0\1\1");
	PUT(OP_PEOPLE, 1, 20, "\1\0\1\1");
	PUT(OP_PEOPLE, 2, 20, "\2\3\5\1\0\7");
	PUT(OP_PEOPLE, 1, 20, "\3\2\6\1\0\7\7\1\0\7\7\2\7\7");
	PUT(OP_PEOPLE, 1, 200, "\4\2\6\1\0\7\x9\1\0\7\x9\2\x18\7");
	PUT(OP_ANNOUNCE, 0, 20, "\1\3\1\1\0news");
	PUT(OP_ANNOUNCE, 1, 20, "\2\3\1\1\0news");
	PUT(OP_ANNOUNCE, 1, 20, "\1\3\1\2\0more");
	PUT(OP_ANNOUNCE, 1, 210, "\0\3\1\1\0news");
	PUT(OP_ANNOUNCE, 2, 20, "\x81\3\1\3\0lie");
	PUT(OP_OURS, 0, 230, "\0\x10");
	PUT(OP_CROWD, 0, 5, "\x0c\3talkoot");
	PUT(OP_MANNERS, 1, 5, "\0");
	PUT(OP_RAW, 1, 5, "\0\0");
	PUT(OP_GONE, 0, 250, "");
	PUT(OP_COME, 0, 250, "\1");
}

bool fuzz_node_seed(unsigned which, struct bytes *out)
{
	if (which < TYPES)
		put_type(out, which);
	else if (which == TYPES)
		for (unsigned i = 0; i < TYPES; i++)
			if (types[i] != MESSAGE_GOODBYE)
				put_type(out, i);
	if (which == TYPES + 1)
		put_life(out);
	return which <= TYPES + 1;
}

/* We reach the ghost through a relay, and directly after a punch. */
static void put_outward(struct bytes *out)
{
	struct message m = {.type = MESSAGE_PING, .ping = {7}};

	PUT(OP_OURS, 0, 210, "\0\7");
	PUT(OP_OURS, 0, 1, "\0\0");
	PUT(OP_OURS, 0, 100, "\0\3");
	stage_put_message(out, OP_INNER, 0, &m);
	PUT(OP_GONE, 0, 205, "");
}

static void put_said(struct bytes *out, enum message_type type)
{
	struct message m;
	struct bytes inside = {0};

	fill_message(&m, type, false);
	if (type == MESSAGE_PUNCH) {
		m.punch.count = 1;
		m.punch.at[0] = stage_endpoint(STAGE_GHOST);
	}
	REQUIRE(bytes_append(&inside, "\2", 1) == TK_OK && message_encode(&m, &inside) == TK_OK);
	stage_put(out, OP_INNER, 0, 100, bytes_span(&inside));
	bytes_close(&inside);
}

/* The ghost calls us through a relay, wants to punch, and moves. */
static void put_inward(struct bytes *out)
{
	PUT(OP_CALL, 0, 20, "\0");
	PUT(OP_INNER, 0, 210, "\0\3");
	put_said(out, MESSAGE_PING);
	put_said(out, MESSAGE_PUNCH);
	put_said(out, MESSAGE_PUNCH_GO);
	PUT(OP_COME, STAGE_GHOST, 30, "\0");
	put_said(out, MESSAGE_MOVED);
	PUT(OP_INNER, 0, 30, "\1garbage");
}

/* We relay for others. */
static void put_relaying(struct bytes *out)
{
	struct message m = {.type = MESSAGE_RELAY_RESERVE, .relay_reserve = {true}};

	PUT(OP_OURS, 0, 210, "\0\2");
	PUT(OP_COME, 1, 20, "\0");
	PUT(OP_COME, STAGE_GHOST, 250, "\0");
	stage_put_message(out, OP_SAY, 1, &m);
	m = (struct message){.type = MESSAGE_RELAY_OPEN, .relay_open = {0, {{0x81}}}};
	stage_put_message(out, OP_SAY, 0, &m);
	for (uint32_t circuit = 0; circuit < 4; circuit++) {
		m = (struct message){
			.type = MESSAGE_RELAY_OPENED, .relay_opened = {circuit, RELAY_OK}};
		stage_put_message(out, OP_SAY, 1, &m);
	}
	m = (struct message){.type = MESSAGE_RELAY_DATA, .relay_data = {0, span_of("talk", 4)}};
	stage_put_message(out, OP_SAY, 0, &m);
	m = (struct message){.type = MESSAGE_RELAY_CREDIT, .relay_credit = {0, 10}};
	stage_put_message(out, OP_SAY, 0, &m);
	m = (struct message){.type = MESSAGE_DIAL_BACK, .dial_back = {.nonce = 5}};
	m.dial_back.at = stage_endpoint(1);
	stage_put_message(out, OP_SAY, 1, &m);
	m = (struct message){.type = MESSAGE_RELAY_CLOSE, .relay_close = {0, RELAY_QUOTA}};
	stage_put_message(out, OP_SAY, 0, &m);
}

bool fuzz_ways_seed(unsigned which, struct bytes *out)
{
	if (which == 0)
		put_outward(out);
	else if (which == 1)
		put_inward(out);
	else if (which == 2)
		put_relaying(out);
	else
		return fuzz_node_seed(which - 3, out);
	return true;
}
