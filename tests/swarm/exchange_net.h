/* Whole exchanges, a coordinator's and peers', with real digests, proofs, records and files; messages pass
 * through the codec. The wire between them is a queue in this file. After cmocka.h. */
#ifndef TESTS_SWARM_EXCHANGE_NET_H
#define TESTS_SWARM_EXCHANGE_NET_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/swarm/exchange_state.h"
#include "tasks/base/mem.h"

#define NODES	  7u /* 0 is the coordinator */
#define NOW_S	  1800000000u
#define BLOB	  (2 * (size_t)BLOB_PIECE + 100001)
#define QUEUE_MAX 200000u

struct node {
	struct exchange *x;
	struct exchange_handler handler;
	struct net *net;
	uint32_t number;
	struct key_pair key;
	struct bytes record;
	struct blob_store store;
	char folder[128], arriving[160], blobs[160];
	uint32_t complete, failed, dropped;
	bool looks;		/* somebody looks for each blob that it does not know */
	uint32_t missing, busy; /* answers that it got */
	bool liar;		/* a bit of each part that it sends is wrong */
	bool sessions[NODES];
	bool needs_all;
	bool exchanging[NODES]; /* as it was told last */
	uint64_t received;
};

struct letter {
	uint32_t from, to;
	enum { LETTER_MESSAGE, LETTER_UP, LETTER_DOWN, LETTER_FAILED } what;
	struct bytes bytes;
};

struct net {
	char folder[64];
	struct public_key network;
	struct node nodes[NODES];
	struct letter *queue;
	size_t head, count;
	uint64_t now_ms;
	uint8_t *data;
	struct digest digest;
};

static inline conn_id conn_of(uint32_t with)
{
	return with + 1;
}

static inline void post(
	struct net *net, uint32_t from, uint32_t to, int what, const struct message *m)
{
	struct letter *l = &net->queue[(net->head + net->count++) % QUEUE_MAX];

	assert_true(net->count < QUEUE_MAX);
	*l = (struct letter){.from = from, .to = to, .what = what};
	if (m != NULL)
		assert_int_equal(message_encode(m, &l->bytes), TK_OK);
}

static inline int on_send(void *context, conn_id conn, const struct message *m)
{
	struct node *n = context;

	if (!n->sessions[conn - 1])
		return TK_ENOENT;
	post(n->net, n->number, (uint32_t)conn - 1, LETTER_MESSAGE, m);
	return TK_OK;
}

static inline void end_session(struct net *net, uint32_t a, uint32_t b)
{
	if (!net->nodes[a].sessions[b])
		return;
	net->nodes[a].sessions[b] = net->nodes[b].sessions[a] = false;
	post(net, a, b, LETTER_DOWN, NULL);
	post(net, b, a, LETTER_DOWN, NULL);
}

static inline void on_drop(void *context, conn_id conn, uint32_t reason, const char *text)
{
	struct node *n = context;

	(void)text;
	n->dropped += reason == GOODBYE_PROTOCOL;
	end_session(n->net, n->number, (uint32_t)conn - 1);
}

static inline void begin_session(struct net *net, uint32_t a, uint32_t b)
{
	net->nodes[a].sessions[b] = net->nodes[b].sessions[a] = true;
	post(net, a, b, LETTER_UP, NULL);
	post(net, b, a, LETTER_UP, NULL);
}

static inline int on_connect(void *context, const struct record *record, conn_id *conn)
{
	struct node *n = context;

	for (uint32_t i = 1; i < NODES; i++) {
		if (!key_equal(&n->net->nodes[i].key.public, &record->key))
			continue;
		*conn = conn_of(i);
		if (n->net->nodes[i].x == NULL)
			post(n->net, i, n->number, LETTER_FAILED, NULL);
		else if (!n->sessions[i])
			begin_session(n->net, n->number, i);
		return TK_OK;
	}
	return TK_ENOENT;
}

static inline bool on_record(
	void *context, const struct public_key *key, struct span *encoded, struct record *record)
{
	struct node *n = context;

	for (uint32_t i = 1; i < NODES; i++) {
		if (!key_equal(&n->net->nodes[i].key.public, key))
			continue;
		*encoded = bytes_span(&n->net->nodes[i].record);
		return record_decode(record, *encoded, &n->net->network, NOW_S, NULL) == TK_OK;
	}
	return false;
}

static inline size_t on_waiting(void *context, conn_id conn)
{
	(void)context;
	(void)conn;
	return 0;
}

static inline void on_complete(void *context, const struct digest *digest)
{
	(void)digest;
	((struct node *)context)->complete++;
}

static inline void on_failed(void *context, const struct digest *digest, const char *why)
{
	(void)digest;
	(void)why;
	((struct node *)context)->failed++;
}

static inline bool on_unknown(void *context, const struct digest *digest)
{
	(void)digest;
	return ((struct node *)context)->looks;
}

static inline bool on_needed(void *context, const struct digest *digest)
{
	(void)digest;
	return ((struct node *)context)->needs_all;
}

static inline void on_needs(void *context, conn_id conn, bool needed)
{
	struct node *n = context;

	n->exchanging[conn - 1] = needed;
}

static inline void on_log(void *context, const char *line)
{
	print_message("# %u: %s\n", ((struct node *)context)->number, line);
}

/* Life */

static inline void node_begin(struct net *net, uint32_t i)
{
	struct node *n = &net->nodes[i];
	struct exchange_options o = {.tracker = i == 0,
		.network = net->network,
		.self = n->key.public,
		.folder = n->arriving};

	n->handler = (struct exchange_handler){.context = n,
		.send = on_send,
		.drop = on_drop,
		.connect = on_connect,
		.record = on_record,
		.waiting = on_waiting,
		.complete = on_complete,
		.failed = on_failed,
		.unknown = on_unknown,
		.needed = on_needed,
		.needs = on_needs,
		.log = on_log};
	assert_int_equal(exchange_new(&n->x, &o, &n->handler, NULL), TK_OK);
}

static inline void record_make(struct net *net, struct node *n)
{
	struct record r = {.key = n->key.public,
		.flags = RECORD_PUBLIC,
		.sequence = 1,
		.expiry_s = NOW_S + 3600,
		.endpoint_count = 1};

	assert_int_equal(endpoint_from_text(&r.endpoints[0], "192.0.2.1:7332"), TK_OK);
	assert_int_equal(record_encode(&r, &n->key, &net->network, &n->record), TK_OK);
}

static inline int net_open(void **state)
{
	struct net *net = calloc(1, sizeof(*net));

	strcpy(net->folder, "/tmp/talkoot-exchange-XXXXXX");
	assert_non_null(mkdtemp(net->folder));
	net->queue = calloc(QUEUE_MAX, sizeof(*net->queue));
	net->now_ms = 1000;
	memset(net->network.b, 7, sizeof(net->network.b));
	net->data = malloc(BLOB);
	for (size_t i = 0; i < BLOB; i++)
		net->data[i] = (uint8_t)(i * 2654435761u >> 11);
	for (uint32_t i = 0; i < NODES; i++) {
		struct node *n = &net->nodes[i];
		uint8_t seed[32] = {(uint8_t)(i + 1)};

		n->net = net;
		n->number = i;
		key_from_seed(&n->key, seed);
		record_make(net, n);
		snprintf(n->folder, sizeof(n->folder), "%s/%u", net->folder, i);
		snprintf(n->arriving, sizeof(n->arriving), "%s/arriving", n->folder);
		snprintf(n->blobs, sizeof(n->blobs), "%s/blobs", n->folder);
		assert_int_equal(blob_store_init(&n->store, n->blobs, NULL), TK_OK);
		node_begin(net, i);
	}
	*state = net;
	return 0;
}

static inline int net_close(void **state)
{
	struct net *net = *state;
	char command[128];

	for (uint32_t i = 0; i < NODES; i++) {
		exchange_free(net->nodes[i].x);
		bytes_close(&net->nodes[i].record);
	}
	for (; net->count != 0; net->count--)
		bytes_close(&net->queue[net->head++ % QUEUE_MAX].bytes);
	snprintf(command, sizeof(command), "rm -rf %s", net->folder);
	assert_int_equal(system(command), 0);
	free(net->queue);
	free(net->data);
	free(net);
	return 0;
}

static inline void now(struct node *n)
{
	exchange_now(n->x, n->net->now_ms, NOW_S, n->net->now_ms * 31 + n->number);
}

static inline void deliver(struct net *net)
{
	struct letter l = net->queue[net->head];
	struct node *to = &net->nodes[l.to];
	struct message m;

	net->head = (net->head + 1) % QUEUE_MAX;
	net->count--;
	if (to->x == NULL) {
		bytes_close(&l.bytes);
		return;
	}
	now(to);
	if (l.what == LETTER_UP) {
		exchange_up(to->x, conn_of(l.from), &net->nodes[l.from].key.public, l.from == 0, 0);
	} else if (l.what == LETTER_DOWN) {
		exchange_down(to->x, conn_of(l.from));
	} else if (l.what == LETTER_FAILED) {
		exchange_dial_failed(to->x, conn_of(l.from));
	} else if (to->sessions[l.from]) {
		assert_int_equal(message_decode(&m, bytes_span(&l.bytes), NULL), TK_OK);
		if (m.type == MESSAGE_BLOB_PART && net->nodes[l.from].liar)
			((uint8_t *)m.blob_part.bytes.data)[5] ^= 4;
		to->missing += m.type == MESSAGE_BLOB_MISSING;
		to->busy += m.type == MESSAGE_BLOB_BUSY;
		to->received += m.type == MESSAGE_BLOB_PART ? m.blob_part.bytes.len : 0;
		assert_true(exchange_message(to->x, conn_of(l.from), &m));
	}
	bytes_close(&l.bytes);
}

/* Lets time pass, a tick every 200 ms, each with at most so many letters. */
static inline void run(struct net *net, uint32_t ticks, uint32_t letters)
{
	for (uint32_t i = 0; i < ticks; i++) {
		for (uint32_t k = 0; k < letters && net->count != 0; k++)
			deliver(net);
		net->now_ms += 200;
		for (uint32_t k = 0; k < NODES; k++) {
			if (net->nodes[k].x == NULL)
				continue;
			now(&net->nodes[k]);
			exchange_tick(net->nodes[k].x);
		}
	}
}

/* The coordinator has the blob, and the first `peers` peers come and want it. */
static inline void begin(struct net *net, uint32_t peers)
{
	struct node *c = &net->nodes[0];
	struct digest *nodes;
	uint64_t total;

	assert_int_equal(
		blob_store_put(&c->store, &net->digest, span_of(net->data, BLOB), NULL), TK_OK);
	assert_int_equal(
		blob_store_tree(&c->store, &net->digest, BLOB, &total, &nodes, NULL), TK_OK);
	now(c);
	exchange_hold(c->x, &net->digest, &c->store, total, nodes, NULL, EXCHANGE_OPEN);
	for (uint32_t i = 1; i <= peers; i++) {
		begin_session(net, 0, i);
		now(&net->nodes[i]);
		exchange_want(net->nodes[i].x, &net->digest, &net->nodes[i].store,
			i % 2 == 0 ? BLOB : 0, BLOB, EXCHANGE_OPEN);
	}
}

static inline void assert_whole(struct net *net, uint32_t i)
{
	struct node *n = &net->nodes[i];
	struct bytes got = {0};

	assert_int_equal(n->complete, 1);
	assert_int_equal(blob_store_get(&n->store, &net->digest, BLOB, &got, NULL), TK_OK);
	assert_memory_equal(got.data, net->data, BLOB);
	bytes_close(&got);
}

#endif
