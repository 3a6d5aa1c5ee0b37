/* Fuzzing the ways through NATs (peer/overlay/ways.h), and the lines of the port mapper; see fuzz_targets.h.
 *
 * An input is a list of messages, each after a byte that says on which of two sessions (bit 0) and after how
 * much time (bits 1 to 3) it comes, and its length as le16. They come from a puppet that has authenticated:
 * it relays for the peer that is tried, has a place at it, and has been asked for a circuit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/agent/portmap.h"
#include "tasks/base/require.h"
#include "tests/lib/fuzz_targets.h"
#include "tests/lib/internet.h"

enum { COORDINATOR, PEER, PUPPET };

#define HEADER	     3u
#define MESSAGES_MAX 64u

/* The puppet's sessions: that it dialled, that it accepted. */
static void world_open(struct internet *net, conn_id conns[2])
{
	struct message place = {
		.type = MESSAGE_RELAY_RESERVED, .relay_reserved = {RELAY_OK, 3600, 1u << 20}};
	struct record target = {.key = {{7}}, .relay_count = 1};
	const struct public_key *network;

	internet_open(net, 1);
	internet_add(net, ROLE_COORDINATOR, NULL, NAT_KIND_NONE, false);
	network = internet_key(net, COORDINATOR);
	internet_add(net, ROLE_PEER, network, NAT_KIND_CLOSED, false);
	internet_add(net, ROLE_PEER, network, NAT_KIND_NONE, true);
	internet_dial(net, PEER, PUPPET);
	internet_pass(net, 30000);
	conns[0] = internet_last(net, PUPPET, NODE_UP, 0)->conn;
	(void)!internet_send(net, PUPPET, conns[0], &place);
	internet_pass(net, 2000);
	net->hosts[PEER].nat = NAT_KIND_NONE;
	conns[1] = internet_dial(net, PUPPET, PEER);
	internet_pass(net, 500);
	target.relays[0] =
		(struct record_relay){*internet_key(net, PUPPET), net->hosts[PUPPET].outside};
	target.relays[0].at.port = HOST_PORT;
	(void)internet_try(net, PEER, &target);
	internet_pass(net, 100);
}

void fuzz_ways(struct span in)
{
	struct internet net;
	conn_id conns[2];
	struct message m;

	world_open(&net, conns);
	for (size_t i = 0; i < MESSAGES_MAX && in.len > HEADER; i++) {
		uint8_t how = in.data[0];
		size_t n = load_le16(in.data + 1);

		in = span_of(in.data + HEADER, in.len - HEADER);
		if (n > in.len)
			n = in.len;
		if (message_decode(&m, span_of(in.data, n), NULL) == TK_OK)
			(void)!internet_send(&net, PUPPET, conns[how & 1], &m);
		in = span_of(in.data + n, in.len - n);
		internet_pass(&net, 1u << (how >> 1 & 7) << 2);
	}
	internet_pass(&net, 3000);
	REQUIRE(node_session_count(net.hosts[PEER].node) <= 2 + 64);
	internet_close(&net);
}

static void put(struct bytes *out, uint8_t how, const struct message *m)
{
	struct bytes b = {0};
	uint8_t header[HEADER] = {how};

	REQUIRE(message_encode(m, &b) == TK_OK);
	store_le16(header + 1, (uint16_t)b.len);
	REQUIRE(bytes_append(out, header, HEADER) == TK_OK &&
		bytes_append(out, b.data, b.len) == TK_OK);
	bytes_close(&b);
}

/* The circuit that the peer asked for has the number 4: it dialled. */
static void seed_circuit(struct bytes *out)
{
	struct message m = {.type = MESSAGE_RELAY_OPENED, .relay_opened = {4, RELAY_OK}};

	put(out, 0, &m);
	m = (struct message){.type = MESSAGE_RELAY_DATA, .relay_data = {4, span_of("talk", 4)}};
	put(out, 0, &m);
	m = (struct message){.type = MESSAGE_RELAY_CREDIT, .relay_credit = {4, 10}};
	put(out, 2, &m);
	m = (struct message){.type = MESSAGE_RELAY_CLOSE, .relay_close = {4, RELAY_QUOTA}};
	put(out, 4, &m);
}

static void seed_incoming(struct bytes *out)
{
	struct message m = {.type = MESSAGE_RELAY_INCOMING, .relay_incoming = {3, {{9}}}};

	put(out, 0, &m);
	m = (struct message){.type = MESSAGE_RELAY_DATA, .relay_data = {3, span_of("talkoot", 8)}};
	put(out, 2, &m);
	m = (struct message){.type = MESSAGE_PUNCH, .punch = {.nonce = 1, .count = 1}};
	m.punch.at[0] = (struct endpoint){.family = 4, .ip = {198, 51, 3, 7}, .port = 4000};
	put(out, 2, &m);
	m = (struct message){.type = MESSAGE_PUNCH_GO, .punch_go = {1}};
	put(out, 2, &m);
	m = (struct message){.type = MESSAGE_MOVED, .moved = {MOVED_END}};
	put(out, 2, &m);
}

static void seed_questions(struct bytes *out)
{
	struct message m = {.type = MESSAGE_RELAY_RESERVE, .relay_reserve = {true}};

	put(out, 1, &m);
	m = (struct message){.type = MESSAGE_RELAY_OPEN, .relay_open = {0, {{9}}}};
	put(out, 1, &m);
	m = (struct message){.type = MESSAGE_DIAL_BACK, .dial_back = {.nonce = 5}};
	m.dial_back.at = (struct endpoint){.family = 4, .ip = {198, 51, 3, 7}, .port = HOST_PORT};
	put(out, 1, &m);
	m = (struct message){.type = MESSAGE_DIALLED_BACK, .dialled_back = {1, true, ""}};
	put(out, 8, &m);
}

bool fuzz_ways_seed(unsigned which, struct bytes *out)
{
	switch (which) {
	case 0:
		seed_circuit(out);
		return true;
	case 1:
		seed_incoming(out);
		return true;
	case 2:
		seed_questions(out);
		return true;
	default:
		return false;
	}
}

void fuzz_portmap(struct span in)
{
	char line[PORTMAP_LINE_MAX] = "", again[PORTMAP_LINE_MAX];
	struct portmap p;
	uint32_t lifetime_s;
	uint16_t port;

	memcpy(line, in.data, in.len < sizeof(line) ? in.len : sizeof(line) - 1);
	if (portmap_question_read(line, &port, &lifetime_s) == TK_OK)
		REQUIRE(port != 0);
	if (portmap_answer_read(line, &p) != TK_OK)
		return;
	portmap_answer(again, &p);
	REQUIRE(portmap_answer_read(again, &p) == TK_OK);
}

bool fuzz_portmap_seed(unsigned which, struct bytes *out)
{
	static const char *const lines[] = {"MAP 7332 7200",
		"MAPPED NAT-PMP 203.0.113.7:40001 7200", "MAPPED UPnP [2001:db8::1]:7332 0",
		"NONE NAT-PMP: the router does not answer"};

	return which < 4 && bytes_append(out, lines[which], strlen(lines[which])) == TK_OK;
}
