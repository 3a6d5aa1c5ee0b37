/* A session over real sockets is renewed while both sides talk: the shell dials where it had dialled, the
 * application hears which session stands for which, and nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "peer/overlay/node_uv.h"

#define WATCHDOG_MS 60000u

struct side {
	struct identity id;
	struct node_uv *node;
	struct node_handler handler;
	conn_id conn, renewed_old, renewed_new;
	size_t ups, downs, failed;
	uint64_t heard; /* messages, whose numbers rise by one */
	uint32_t farewell;
	bool closed;
};

struct bench {
	uv_loop_t loop;
	uv_timer_t watchdog;
	struct side server, client;
};

static void on_up(void *context, conn_id conn, const struct public_key *key, enum role role)
{
	struct side *s = context;

	(void)key;
	(void)role;
	/* told before, and only by the side that has renewed */
	assert_int_equal(s->renewed_new, s->ups > 0 && s->handler.renewed != NULL ? conn : 0);
	s->conn = conn;
	s->ups++;
}

static void on_down(void *context, conn_id conn, const char *why)
{
	struct side *s = context;

	(void)conn;
	(void)why;
	s->downs++;
}

static void on_message(void *context, conn_id conn, const struct message *m)
{
	struct side *s = context;

	(void)conn;
	assert_int_equal(m->upload_request.offset, s->heard);
	s->heard++;
}

static void on_dial_failed(void *context, conn_id conn, const char *why)
{
	struct side *s = context;

	(void)conn;
	(void)why;
	s->failed++;
}

static void on_log(void *context, const char *line)
{
	(void)context;
	(void)line;
}

static void on_farewell(void *context, conn_id conn, uint32_t reason, const char *text)
{
	struct side *s = context;

	(void)conn;
	(void)text;
	s->farewell = reason;
}

static void on_renewed(void *context, conn_id old, conn_id conn)
{
	struct side *s = context;

	s->renewed_old = old;
	s->renewed_new = conn;
}

static void on_closed(void *context)
{
	struct side *s = context;

	node_uv_free(s->node);
	s->closed = true;
}

static void on_watchdog(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("nothing happened for %u s", WATCHDOG_MS / 1000);
}

#define RUN_UNTIL(b, condition)                                                                    \
	while (!(condition))                                                                       \
	uv_run(&(b)->loop, UV_RUN_ONCE)

static void side_start(struct bench *b, struct side *s, uint8_t fill, enum role role,
	const struct public_key *root)
{
	struct key_pair key;
	uint8_t seed[32], secret[32];

	memset(seed, fill, sizeof(seed));
	memset(secret, fill + 1, sizeof(secret));
	key_from_seed(&key, seed);
	identity_init(&s->id, seed, secret, role, root != NULL ? root : &key.public);
	s->handler = (struct node_handler){.context = s,
		.up = on_up,
		.down = on_down,
		.message = on_message,
		.dial_failed = on_dial_failed,
		.log = on_log,
		.farewell = on_farewell,
		.renewed = role == ROLE_PEER ? on_renewed : NULL};
	s->node = node_uv_new(&b->loop, &s->id, &s->handler);
	assert_non_null(s->node);
}

static int bench_open(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct errmsg msg = {""};
	char address[32];
	uint16_t port;

	assert_non_null(b);
	assert_int_equal(uv_loop_init(&b->loop), 0);
	uv_timer_init(&b->loop, &b->watchdog);
	uv_timer_start(&b->watchdog, on_watchdog, WATCHDOG_MS, 0);
	side_start(b, &b->server, 20, ROLE_COORDINATOR, NULL);
	side_start(b, &b->client, 30, ROLE_PEER, &b->server.id.key.public);
	assert_int_equal(node_uv_listen(b->server.node, "127.0.0.1:0", &port, &msg), TK_OK);
	snprintf(address, sizeof(address), "localhost:%u",
		port); /* ::1 is tried and refused first */
	assert_int_equal(
		node_uv_dial(b->client.node, address, &b->client.id.network, &b->client.conn, &msg),
		TK_OK);
	RUN_UNTIL(b, b->client.ups == 1 && b->server.ups == 1);
	*state = b;
	return 0;
}

static int bench_close(void **state)
{
	struct bench *b = *state;

	node_uv_close(b->client.node, GOODBYE_SHUTDOWN, "over", on_closed, &b->client);
	node_uv_close(b->server.node, GOODBYE_SHUTDOWN, "over", on_closed, &b->server);
	RUN_UNTIL(b, b->client.closed && b->server.closed);
	uv_close((uv_handle_t *)&b->watchdog, NULL);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	assert_int_equal(b->client.ups, b->client.downs);
	assert_int_equal(b->server.ups, b->server.downs);
	free(b);
	return 0;
}

static void say(struct side *s, uint64_t number)
{
	struct message m = {.type = MESSAGE_UPLOAD_REQUEST, .upload_request.offset = number};

	assert_int_equal(node_uv_send(s->node, s->conn, &m), TK_OK);
}

static void renewed_session_goes_on_where_the_old_one_was(void **state)
{
	struct bench *b = *state;
	conn_id old = b->client.conn;

	for (uint64_t i = 0; i < 50; i++)
		say(&b->server,
			i); /* written before the other side comes anew: all of it arrives */
	node_uv_renew(b->client.node, old);
	RUN_UNTIL(b, b->client.ups == 2 && b->client.downs == 1 && b->server.downs == 1);
	assert_int_equal(b->client.renewed_old, old);
	assert_int_equal(b->client.renewed_new, b->client.conn);
	assert_int_equal(b->client.farewell, GOODBYE_REPLACED);
	assert_int_equal(b->client.heard, 50);
	say(&b->client, 0);
	say(&b->server, 50);
	RUN_UNTIL(b, b->server.heard == 1 && b->client.heard == 51);
	assert_int_equal(node_uv_sessions(b->client.node), 1);
	assert_int_equal(node_uv_sessions(b->server.node), 1);
}

static void only_a_session_that_was_dialled_is_renewed(void **state)
{
	struct bench *b = *state;

	node_uv_renew(b->server.node, b->server.conn);
	node_uv_renew(b->client.node, b->client.conn + 1000);
	say(&b->server, 0);
	RUN_UNTIL(b, b->client.heard == 1);
	assert_int_equal(b->client.ups, 1);
	assert_int_equal(b->server.ups, 1);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)
	const struct CMUnitTest tests[] = {
		CLAIM(renewed_session_goes_on_where_the_old_one_was),
		CLAIM(only_a_session_that_was_dialled_is_renewed),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
