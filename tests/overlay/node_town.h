/* What the tests of gossip in whole nodes share: a coordinator and peers that know nobody but it, in session and
 * settled. Included after cmocka.h. */
#ifndef TESTS_OVERLAY_NODE_TOWN_H
#define TESTS_OVERLAY_NODE_TOWN_H

#include <stdlib.h>
#include <string.h>

#include "peer/overlay/gossip.h"
#include "tests/lib/net.h"

#define PEERS 24u
#define ROOT  0u

static inline int bench_open(void **state)
{
	struct net *net = calloc(1, sizeof(*net));
	const struct public_key *network;

	if (net == NULL || crypto_start() != TK_OK)
		return -1;
	net_open(net, 7);
	net_add(net, ROLE_COORDINATOR, NULL);
	network = &net->nodes[ROOT].id.key.public;
	for (size_t i = 1; i <= PEERS; i++)
		net_add(net, ROLE_PEER, network);
	for (size_t i = 0; i <= PEERS; i++) {
		net_gossip(net, i);
		net_advertise(net, i);
	}
	for (size_t i = 1; i <= PEERS; i++) {
		net_dial(net, i, ROOT, network);
		net_run(net);
	}
	net_pass(net, 20000);
	*state = net;
	return 0;
}

static inline int bench_close(void **state)
{
	net_close(*state);
	free(*state);
	return 0;
}

static inline int publish(struct net *net, size_t node, enum announcement_kind kind,
	uint64_t sequence, struct span payload)
{
	const struct announcement a = {.kind = kind,
		.sequence = sequence,
		.issued_s = 1800000000u + net->now_ms / 1000,
		.payload = payload};
	struct node_event event = {.type = NODE_PUBLISH};
	struct signature signature;
	struct bytes encoded = {0};
	int rc;

	assert_int_equal(announcement_encode(&a, &encoded), TK_OK);
	announcement_sign(&signature, &net->nodes[node].id.key, bytes_span(&encoded));
	event.bytes = bytes_span(&encoded);
	event.signature = &signature;
	rc = net_step(net, node, &event);
	bytes_close(&encoded);
	net_run(net);
	return rc;
}

/* A session that a peer has with another, or 0. */
static inline conn_id session_between(struct net *net, size_t a, size_t b)
{
	for (size_t i = 0; i < net->wire_count; i++) {
		struct net_wire *w = &net->wires[i];

		for (int end = 0; end < 2; end++)
			if (w->ends[end].node == a && w->ends[1 - end].node == b &&
				!w->ends[end].closed)
				return 2 * i + 1 + (conn_id)end;
	}
	return 0;
}

static inline bool logged(const struct net *net, size_t node, const char *text)
{
	for (size_t i = 0; i < net->nodes[node].seen.count; i++) {
		if (net->nodes[node].seen.items[i].type == NODE_LOG &&
			strstr(net->nodes[node].seen.items[i].text, text) != NULL)
			return true;
	}
	return false;
}

#endif
