/* Some nodes on a wire of the test's own, with real sessions. After cmocka.h. */
#ifndef TESTS_OVERLAY_NODE_BENCH_H
#define TESTS_OVERLAY_NODE_BENCH_H

#include <stdlib.h>
#include <string.h>

#include "tests/lib/net.h"

/* Node 0 is the coordinator, 1 and 2 are peers of its network. */
struct bench {
	struct net net;
};

static inline void bench_start(struct bench *b, uint64_t seed)
{
	const struct public_key *network = &b->net.nodes[0].id.key.public;

	net_open(&b->net, seed);
	net_add(&b->net, ROLE_COORDINATOR, NULL);
	net_add(&b->net, ROLE_PEER, network);
	net_add(&b->net, ROLE_PEER, network);
}

static inline int bench_open(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	bench_start(b, 1);
	*state = b;
	return 0;
}

static inline int bench_close(void **state)
{
	struct bench *b = *state;

	net_close(&b->net);
	free(b);
	return 0;
}

/* An open session from one node to another. */
static inline conn_id session_up(struct bench *b, size_t from, size_t to)
{
	conn_id conn = net_dial(&b->net, from, to, NULL);

	net_run(&b->net);
	assert_int_equal(net_count(&b->net, from, NODE_UP, conn), 1);
	assert_int_equal(net_count(&b->net, to, NODE_UP, conn + 1), 1);
	return conn;
}

static inline struct message upload_of(const uint8_t *data, size_t n, uint8_t name)
{
	struct message m = {.type = MESSAGE_UPLOAD};

	memset(&m.upload.nonce, name, sizeof(m.upload.nonce));
	m.upload.offset = name;
	m.upload.bytes = span_of(data, n);
	return m;
}

static inline void assert_ended(const struct bench *b, size_t node, conn_id conn, const char *why)
{
	const struct node_effect *down = net_last(&b->net, node, NODE_DOWN, conn);

	assert_non_null(down);
	assert_int_equal(net_count(&b->net, node, NODE_DOWN, conn), 1);
	if (strstr(down->text, why) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", down->text, why);
}

static inline void assert_alive(struct bench *b, conn_id conn)
{
	struct message m = {.type = MESSAGE_UPLOADED};
	size_t to = net_wire_of(&b->net, conn)->ends[1].node;
	size_t before = net_count(&b->net, to, NODE_MESSAGE, conn + 1);

	memset(&m.uploaded.nonce, 9, sizeof(m.uploaded.nonce));
	assert_int_equal(net_send(&b->net, conn, &m), TK_OK);
	net_run(&b->net);
	assert_int_equal(net_count(&b->net, to, NODE_MESSAGE, conn + 1), before + 1);
}

#endif
