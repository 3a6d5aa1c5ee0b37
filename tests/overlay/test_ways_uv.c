/* The ways on real sockets of loopback: a session through the coordinator, and the direct one that replaces it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "peer/overlay/node_uv.h"
#include "peer/overlay/reach.h"
#include "peer/overlay/ways.h"

#define PATIENCE_MS 120000u
#define LOOK_MS	    5u
#define NUMBERS	    200u

enum { COORDINATOR, LISTENER, HIDDEN, NODES };

struct world;

struct peer {
	struct world *world;
	struct identity id;
	struct node_handler handler;
	struct node_uv *node;
	uint16_t port;
	conn_id coordinator, other; /* sessions; 0: none */
	unsigned ups, downs, failures;
	uint64_t heard; /* numbered messages, in order */
	bool disorder;
};

struct world {
	uv_loop_t loop;
	uv_timer_t look;
	struct peer peers[NODES];
	bool (*until)(struct world *w);
	uint64_t since_ms;
	uint64_t sent;
	unsigned closing;
};

static struct peer *peer_with(struct world *w, const struct public_key *key)
{
	for (size_t i = 0; i < NODES; i++) {
		if (key_equal(&w->peers[i].id.key.public, key))
			return &w->peers[i];
	}
	return NULL;
}

static void on_up(void *context, conn_id conn, const struct public_key *key, enum role role)
{
	struct peer *p = context;

	assert_non_null(peer_with(p->world, key));
	p->ups++;
	if (role == ROLE_COORDINATOR)
		p->coordinator = conn;
	else
		p->other = conn;
}

static void on_down(void *context, conn_id conn, const char *why)
{
	struct peer *p = context;

	(void)why;
	p->downs++;
	if (conn == p->other)
		p->other = 0;
}

static void on_message(void *context, conn_id conn, const struct message *m)
{
	struct peer *p = context;

	if (m->type != MESSAGE_UPLOADED || conn != p->other)
		return;
	p->disorder = p->disorder || load_le64(m->uploaded.nonce.b) != p->heard + 1;
	p->heard++;
}

static void on_dial_failed(void *context, conn_id conn, const char *why)
{
	(void)conn;
	(void)why;
	((struct peer *)context)->failures++;
}

static void on_log(void *context, const char *line)
{
	(void)context;
	(void)line;
}

static void on_look(uv_timer_t *timer)
{
	struct world *w = timer->data;

	if (w->until(w) || uv_now(&w->loop) - w->since_ms > PATIENCE_MS)
		uv_stop(&w->loop);
}

/* Runs until it holds; false: it did not, for far longer than it takes. */
static bool wait_until(struct world *w, bool (*until)(struct world *w))
{
	w->until = until;
	uv_update_time(&w->loop);
	w->since_ms = uv_now(&w->loop);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	return until(w);
}

static void peer_open(struct world *w, size_t i)
{
	struct peer *p = &w->peers[i];
	const struct public_key *network = &w->peers[COORDINATOR].id.key.public;
	uint8_t seed[32], secret[32];

	memset(seed, 1 + (int)i, sizeof(seed));
	memset(secret, 100 + (int)i, sizeof(secret));
	if (i == COORDINATOR) {
		struct key_pair root;

		key_from_seed(&root, seed);
		identity_init(&p->id, seed, secret, ROLE_COORDINATOR, &root.public);
	} else {
		identity_init(&p->id, seed, secret, ROLE_PEER, network);
	}
	p->world = w;
	p->handler = (struct node_handler){.context = p,
		.up = on_up,
		.down = on_down,
		.message = on_message,
		.dial_failed = on_dial_failed,
		.log = on_log};
	p->node = node_uv_new(&w->loop, &p->id, &p->handler);
	assert_non_null(p->node);
	if (i != HIDDEN)
		assert_int_equal(node_uv_listen(p->node, "127.0.0.1:0", &p->port, NULL), TK_OK);
}

static void world_open(struct world *w)
{
	char at[32];
	conn_id conn;

	*w = (struct world){.sent = 0};
	assert_int_equal(uv_loop_init(&w->loop), 0);
	uv_timer_init(&w->loop, &w->look);
	w->look.data = w;
	uv_timer_start(&w->look, on_look, LOOK_MS, LOOK_MS);
	for (size_t i = 0; i < NODES; i++)
		peer_open(w, i);
	snprintf(at, sizeof(at), "127.0.0.1:%u", w->peers[COORDINATOR].port);
	for (size_t i = LISTENER; i < NODES; i++)
		assert_int_equal(node_uv_dial(w->peers[i].node, at, NULL, &conn, NULL), TK_OK);
}

static void on_closed(void *context)
{
	struct world *w = context;

	if (--w->closing == 0)
		uv_close((uv_handle_t *)&w->look, NULL);
}

static void world_close(struct world *w)
{
	w->closing = NODES;
	uv_timer_stop(&w->look);
	for (size_t i = 0; i < NODES; i++)
		node_uv_close(w->peers[i].node, GOODBYE_SHUTDOWN, "done", on_closed, w);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	for (size_t i = 0; i < NODES; i++)
		node_uv_free(w->peers[i].node);
	assert_int_equal(uv_loop_close(&w->loop), 0);
}

static const struct reach *reach_of(const struct world *w, size_t i)
{
	return node_uv_reach(w->peers[i].node);
}

static bool both_known(struct world *w)
{
	return reach_is_public(reach_of(w, LISTENER)) &&
	       reach_record(reach_of(w, HIDDEN))->relay_count == 1;
}

static bool both_up(struct world *w)
{
	return (w->peers[LISTENER].other != 0 && w->peers[HIDDEN].other != 0) ||
	       w->peers[LISTENER].failures != 0;
}

/* Numbered messages both ways, all the while. */
static bool moved(struct world *w)
{
	struct message m = {.type = MESSAGE_UPLOADED};

	if (w->sent < NUMBERS) {
		store_le64(m.uploaded.nonce.b, ++w->sent);
		for (size_t i = LISTENER; i < NODES; i++)
			assert_int_equal(
				node_uv_send(w->peers[i].node, w->peers[i].other, &m), TK_OK);
	}
	return w->sent == NUMBERS && w->peers[LISTENER].heard == NUMBERS &&
	       w->peers[HIDDEN].heard == NUMBERS &&
	       !node_uv_is_relayed(w->peers[LISTENER].node, w->peers[LISTENER].other) &&
	       !node_uv_is_relayed(w->peers[HIDDEN].node, w->peers[HIDDEN].other);
}

static void a_relayed_session_becomes_direct_and_loses_nothing(void **state)
{
	struct world w;
	struct ways_stats stats;
	conn_id conn;

	(void)state;
	world_open(&w);
	assert_true(wait_until(&w, both_known));
	assert_int_equal(reach_record(reach_of(&w, HIDDEN))->endpoint_count, 0);
	assert_int_equal(node_uv_connect(w.peers[LISTENER].node, reach_record(reach_of(&w, HIDDEN)),
				 &conn, NULL),
		TK_OK);
	assert_true(wait_until(&w, both_up));
	assert_int_equal(w.peers[LISTENER].other, conn);
	assert_true(wait_until(&w, moved));
	for (size_t i = LISTENER; i < NODES; i++) {
		assert_false(w.peers[i].disorder);
		assert_int_equal(w.peers[i].ups, 2);
		assert_int_equal(w.peers[i].downs, 0);
		node_uv_ways(w.peers[i].node, &stats);
		assert_int_equal(stats.punched, 1);
	}
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_relayed_session_becomes_direct_and_loses_nothing),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
