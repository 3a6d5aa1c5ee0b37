/* Two nodes over real sockets of the loopback interface. The loop runs until something has happened,
 * never for a time; a watchdog far beyond any real wait turns a hang into a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

#include "peer/overlay/node_uv.h"
#include "tasks/base/mem.h"

#define WATCHDOG_MS   60000u
#define MESSAGE_COUNT 1000u
#define LARGE_EVERY   100u

struct side {
	struct bench *bench;
	struct identity id;
	struct node_uv *node;
	struct node_handler handler;
	conn_id conn; /* the last one up */
	size_t ups, downs, messages, dials_failed, logs, writables;
	bool echo;     /* send back what arrives */
	bool drop;     /* say goodbye to whoever comes up */
	bool in_order; /* of the messages' offsets */
	bool inside;   /* a call of ours is on the stack: no callback may run */
	bool closed;
	char why[1024];
	uint32_t farewell; /* the last one's reason */
	uint64_t next_offset;
};

struct bench {
	uv_loop_t loop;
	uv_timer_t watchdog;
	struct side server, client;
	uint16_t port;
	char address[32];
	uint8_t data[BLOB_PART_MAX];
	struct errmsg msg;
};

static void heard(struct side *s)
{
	assert_false(s->inside);
}

static struct message upload_number(const struct bench *b, uint64_t i)
{
	struct message m = {.type = MESSAGE_UPLOAD};

	m.upload.offset = i;
	m.upload.bytes = span_of(b->data, i % LARGE_EVERY == 0 ? BLOB_PART_MAX : 1 + i % 777);
	return m;
}

static void send_checked(struct side *s, const struct message *m)
{
	bool was = s->inside;

	s->inside = true;
	assert_int_equal(node_uv_send(s->node, s->conn, m), TK_OK);
	s->inside = was;
}

static void on_up(void *context, conn_id conn, const struct public_key *key, enum role role)
{
	struct side *s = context;
	struct side *other = s == &s->bench->server ? &s->bench->client : &s->bench->server;

	heard(s);
	assert_true(key_equal(key, &other->id.key.public));
	assert_int_equal(role, other->id.role);
	s->conn = conn;
	s->ups++;
	if (s->drop)
		node_uv_drop(s->node, conn, GOODBYE_OVERLOAD, "come back tomorrow");
}

static void on_down(void *context, conn_id conn, const char *why)
{
	struct side *s = context;

	heard(s);
	assert_true(conn != 0);
	s->downs++;
	snprintf(s->why, sizeof(s->why), "%s", why);
}

static void on_message(void *context, conn_id conn, const struct message *m)
{
	struct side *s = context;
	struct message expected;

	heard(s);
	assert_int_equal(conn, s->conn);
	s->messages++;
	if (m->type != MESSAGE_UPLOAD)
		return;
	expected = upload_number(s->bench, m->upload.offset);
	if (m->upload.offset != s->next_offset++ ||
		!span_equal(m->upload.bytes, expected.upload.bytes))
		s->in_order = false;
	if (s->echo)
		send_checked(s, m);
}

static void on_dial_failed(void *context, conn_id conn, const char *why)
{
	struct side *s = context;

	heard(s);
	assert_true(conn != 0);
	s->dials_failed++;
	snprintf(s->why, sizeof(s->why), "%s", why);
}

static void on_log(void *context, const char *line)
{
	struct side *s = context;

	heard(s);
	assert_true(line[0] != '\0');
	s->logs++;
}

static void on_writable(void *context, conn_id conn)
{
	struct side *s = context;

	heard(s);
	assert_int_equal(conn, s->conn);
	s->writables++;
}

static void on_farewell(void *context, conn_id conn, uint32_t reason, const char *text)
{
	struct side *s = context;

	heard(s);
	assert_true(conn != 0);
	assert_true(text[0] != '\0');
	s->farewell = reason;
}

static void on_closed(void *context)
{
	struct side *s = context;

	node_uv_free(s->node);
	s->node = NULL;
	s->closed = true;
}

static void on_watchdog(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("nothing happened for %u s", WATCHDOG_MS / 1000);
}

/* Runs the loop until the condition holds. */
#define RUN_UNTIL(b, condition)                                                                    \
	while (!(condition))                                                                       \
	uv_run(&(b)->loop, UV_RUN_ONCE)

static void side_start(struct bench *b, struct side *s, uint8_t fill, enum role role,
	const struct public_key *root)
{
	struct key_pair key;
	uint8_t seed[32];
	uint8_t secret[32];

	memset(seed, fill, sizeof(seed));
	memset(secret, fill + 1, sizeof(secret));
	key_from_seed(&key, seed);
	identity_init(&s->id, seed, secret, role, root != NULL ? root : &key.public);
	s->bench = b;
	s->in_order = true;
	s->handler = (struct node_handler){.context = s,
		.up = on_up,
		.down = on_down,
		.message = on_message,
		.dial_failed = on_dial_failed,
		.log = on_log,
		.writable = on_writable,
		.farewell = on_farewell};
	s->node = node_uv_new(&b->loop, &s->id, &s->handler);
	assert_non_null(s->node);
}

static int bench_open(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	for (size_t i = 0; i < sizeof(b->data); i++)
		b->data[i] = (uint8_t)(i * 11 + i / 256);
	assert_int_equal(uv_loop_init(&b->loop), 0);
	uv_timer_init(&b->loop, &b->watchdog);
	uv_timer_start(&b->watchdog, on_watchdog, WATCHDOG_MS, 0);
	side_start(b, &b->server, 20, ROLE_COORDINATOR, NULL);
	side_start(b, &b->client, 30, ROLE_PEER, &b->server.id.key.public);
	assert_int_equal(node_uv_listen(b->server.node, "127.0.0.1:0", &b->port, &b->msg), TK_OK);
	assert_int_not_equal(b->port, 0);
	snprintf(b->address, sizeof(b->address), "127.0.0.1:%u", b->port);
	*state = b;
	return 0;
}

static void side_end(struct side *s)
{
	if (s->node == NULL)
		return;
	s->inside = true;
	node_uv_close(s->node, GOODBYE_SHUTDOWN, "the test is over", on_closed, s);
	s->inside = false;
	RUN_UNTIL(s->bench, s->closed);
}

/* Every handle is gone and every dial and session was answered. */
static int bench_close(void **state)
{
	struct bench *b = *state;

	side_end(&b->client);
	side_end(&b->server);
	uv_close((uv_handle_t *)&b->watchdog, NULL);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	assert_int_equal(b->client.ups, b->client.downs);
	assert_int_equal(b->server.ups, b->server.downs);
	assert_true(b->client.in_order && b->server.in_order);
	free(b);
	return 0;
}

static conn_id client_dials(struct bench *b, const char *address, const struct public_key *expect)
{
	conn_id conn = 0;

	b->client.inside = true;
	assert_int_equal(node_uv_dial(b->client.node, address, expect, &conn, &b->msg), TK_OK);
	b->client.inside = false;
	assert_true(conn != 0);
	return conn;
}

static void both_up(struct bench *b)
{
	conn_id conn = client_dials(b, b->address, &b->server.id.key.public);

	RUN_UNTIL(b, b->client.ups == 1 && b->server.ups == 1);
	assert_int_equal(b->client.conn, conn);
	assert_int_equal(node_uv_sessions(b->client.node), 1);
	assert_int_equal(node_uv_sessions(b->server.node), 1);
}

static void both_still_talk(struct bench *b)
{
	struct message m = upload_number(b, b->server.next_offset);
	size_t before = b->server.messages;

	send_checked(&b->client, &m);
	RUN_UNTIL(b, b->server.messages == before + 1);
	assert_int_equal(b->server.downs, 0);
}

static void thousand_messages_pass_both_ways(void **state)
{
	struct bench *b = *state;

	both_up(b);
	b->server.echo = true;
	for (uint64_t i = 0; i < MESSAGE_COUNT; i++) {
		struct message m = upload_number(b, i);

		send_checked(&b->client, &m);
	}
	assert_true(node_uv_waiting(b->client.node, b->client.conn) > NODE_OUTPUT_LOW);
	RUN_UNTIL(b, b->client.messages == MESSAGE_COUNT);
	assert_int_equal(b->server.messages, MESSAGE_COUNT);
	assert_true(b->client.writables > 0);
	assert_int_equal(node_uv_waiting(b->client.node, b->client.conn), 0);
}

static void dropping_says_goodbye_with_its_text(void **state)
{
	struct bench *b = *state;
	struct message m;

	both_up(b);
	m = upload_number(b, 0);
	send_checked(&b->server, &m); /* and what was sent before still arrives */
	b->server.inside = true;
	node_uv_drop(b->server.node, b->server.conn, GOODBYE_RETIRED, "thank you");
	assert_int_equal(node_uv_send(b->server.node, b->server.conn, &m), TK_ENOENT);
	b->server.inside = false;
	RUN_UNTIL(b, b->client.downs == 1 && b->server.downs == 1);
	assert_int_equal(b->client.messages, 1);
	assert_int_equal(b->client.farewell, GOODBYE_RETIRED);
	assert_int_equal(b->server.farewell, 0);
	assert_non_null(strstr(b->client.why, "thank you"));
	assert_non_null(strstr(b->server.why, "thank you"));
}

static void farewell_waits_for_what_was_sent_and_survives_unread_input(void **state)
{
	struct bench *b = *state;

	both_up(b);
	for (uint64_t i = 0; i < 100; i++) {
		struct message m = upload_number(b, i * LARGE_EVERY);

		send_checked(&b->client, &m);
		send_checked(&b->server, &m);
	}
	RUN_UNTIL(b, b->server.messages > 0); /* megabytes are on their way in both directions */
	node_uv_drop(b->server.node, b->server.conn, GOODBYE_OVERLOAD, "that is enough");
	RUN_UNTIL(b, b->client.downs == 1 && b->server.downs == 1);
	assert_int_equal(b->client.messages, 100);
	assert_non_null(strstr(b->client.why, "that is enough"));
	b->server.in_order = b->client.in_order = true; /* the numbers were not consecutive */
}

static void handler_may_drop_from_within_its_callback(void **state)
{
	struct bench *b = *state;

	b->server.drop = true;
	b->client.drop = true;
	client_dials(b, b->address, NULL);
	RUN_UNTIL(b, b->client.downs == 1);
	/* whichever side said it first */
	assert_non_null(strstr(b->client.why, "come back tomorrow"));
}

static void closed_port_fails_the_dial_with_its_name(void **state)
{
	struct bench *b = *state;
	struct side *s = &b->server;

	node_uv_close(s->node, GOODBYE_SHUTDOWN, "gone", on_closed, s);
	RUN_UNTIL(b, s->closed);
	client_dials(b, b->address, NULL); /* nobody listens there any more */
	RUN_UNTIL(b, b->client.dials_failed == 1);
	assert_non_null(strstr(b->client.why, "connection refused"));
	assert_non_null(strstr(b->client.why, b->address));
}

static void name_is_resolved_and_each_address_tried(void **state)
{
	struct bench *b = *state;
	struct addrinfo *found;
	char address[40];

	if (getaddrinfo("localhost", NULL, NULL, &found) != 0)
		skip(); /* a bare system may have no /etc/hosts */
	freeaddrinfo(found);
	/* Where localhost is ::1 first, that refuses and 127.0.0.1 answers. */
	snprintf(address, sizeof(address), "localhost:%u", b->port);
	client_dials(b, address, NULL);
	RUN_UNTIL(b, b->client.ups == 1 && b->server.ups == 1);
}

static void name_that_cannot_exist_fails_the_dial(void **state)
{
	struct bench *b = *state;
	char address[100];

	/* No label has more than 63 characters, so no name server is asked. */
	memset(address, 'x', 70);
	snprintf(address + 70, sizeof(address) - 70, ".invalid:7000");
	client_dials(b, address, NULL);
	RUN_UNTIL(b, b->client.dials_failed == 1);
	assert_non_null(strstr(b->client.why, "cannot find the host"));
	assert_non_null(strstr(b->client.why, address));
}

static void wrong_network_fails_the_dial_with_the_reason(void **state)
{
	struct bench *b = *state;

	side_end(&b->client);
	b->client.closed = false;
	side_start(b, &b->client, 50, ROLE_COORDINATOR, NULL);
	client_dials(b, b->address, NULL);
	RUN_UNTIL(b, b->client.dials_failed == 1 && b->server.logs == 1);
	assert_non_null(strstr(b->client.why, "another network"));
	assert_int_equal(b->server.ups, 0);
}

static void wrong_identity_fails_the_dial_with_the_reason(void **state)
{
	struct bench *b = *state;

	client_dials(b, b->address, &b->client.id.key.public);
	RUN_UNTIL(b, b->client.dials_failed == 1);
	assert_non_null(strstr(b->client.why, "identity"));
	assert_int_equal(b->client.ups, 0);
}

static void dial_that_is_dropped_fails_with_its_text(void **state)
{
	struct bench *b = *state;
	conn_id early = client_dials(b, b->address, NULL);
	conn_id late;

	b->client.inside = true;
	node_uv_drop(b->client.node, early, GOODBYE_SHUTDOWN, "changed my mind");
	b->client.inside = false;
	RUN_UNTIL(b, b->client.dials_failed == 1);
	assert_string_equal(b->client.why, "changed my mind");
	late = client_dials(b, b->address, NULL);
	assert_true(late > early); /* numbers are never used again */
	RUN_UNTIL(b, b->client.ups == 1 && b->server.ups == 1);
}

static void on_garbage_sent(uv_write_t *write, int status)
{
	(void)write;
	(void)status;
}

static void on_garbage_connected(uv_connect_t *connect, int status)
{
	static uv_write_t write;
	uv_buf_t buffer = uv_buf_init((char *)"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);

	assert_int_equal(status, 0);
	assert_int_equal(uv_write(&write, connect->handle, &buffer, 1, on_garbage_sent), 0);
}

static void stranger_that_speaks_something_else_is_closed(void **state)
{
	struct bench *b = *state;
	struct sockaddr_in to;
	uv_connect_t connect;
	uv_tcp_t tcp;

	both_up(b);
	uv_tcp_init(&b->loop, &tcp);
	assert_int_equal(uv_ip4_addr("127.0.0.1", b->port, &to), 0);
	assert_int_equal(
		uv_tcp_connect(&connect, &tcp, (struct sockaddr *)&to, on_garbage_connected), 0);
	RUN_UNTIL(b, b->server.logs == 1);
	both_still_talk(b);
	uv_close((uv_handle_t *)&tcp, NULL);
	uv_run(&b->loop, UV_RUN_NOWAIT);
}

/* Writes to a connection that the other side has reset raise SIGPIPE, which would end the process. */
static void connection_that_is_reset_ends_nothing_but_itself(void **state)
{
	struct bench *b = *state;

	both_up(b);
	assert_int_equal(raise(SIGPIPE), 0);
	both_still_talk(b);
}

static void same_identity_again_replaces_the_older_session(void **state)
{
	struct bench *b = *state;
	conn_id older;

	both_up(b);
	older = b->client.conn;
	client_dials(b, b->address, NULL);
	RUN_UNTIL(b, b->client.ups == 2 && b->client.downs == 1 && b->server.downs == 1);
	assert_true(b->client.conn != older);
	assert_int_equal(node_uv_sessions(b->server.node), 1);
}

static void out_of_descriptors_refuses_but_never_stops(void **state)
{
	struct bench *b = *state;
	struct rlimit old;
	struct rlimit few;
	size_t asked = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (; asked < 100; asked++)
		client_dials(b, b->address, NULL);
	RUN_UNTIL(b, b->client.dials_failed + b->client.ups == asked &&
			     node_uv_sessions(b->client.node) <= 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_true(b->client.dials_failed > 0);
	client_dials(b, b->address, NULL);
	asked = b->client.ups;
	RUN_UNTIL(b, b->client.ups == asked + 1);
}

/* The setup's end asserts that every up had its down and that nothing was left open. */
static void every_allocation_that_fails_leaves_the_node_working(void **state)
{
	struct bench *b = *state;
	struct message m = upload_number(b, 0);

	for (uint64_t after = 1; after <= 60; after++) {
		conn_id conn = 0;
		int rc;

		mem_fail(after, 0);
		rc = node_uv_dial(b->client.node, b->address, NULL, &conn, &b->msg);
		if (rc == TK_OK)
			RUN_UNTIL(b, b->client.ups + b->client.dials_failed == after);
		if (rc == TK_OK && b->client.ups > b->client.downs) {
			(void)!node_uv_send(b->client.node, conn, &m);
			node_uv_drop(b->client.node, conn, GOODBYE_SHUTDOWN, "done");
			RUN_UNTIL(b, b->client.ups == b->client.downs);
		}
		mem_fail(0, 0);
		if (rc != TK_OK)
			b->client.dials_failed++; /* it said so at once */
	}
	assert_true(b->client.dials_failed > 0 && b->client.ups > 0);
	b->client.ups = b->client.downs = 0;
	RUN_UNTIL(b, b->server.ups == b->server.downs);
	b->server.ups = b->server.downs = 0;
	b->server.next_offset = 0;
	b->server.in_order = true; /* it was sent the same number again and again */
	both_up(b);
}

static void addresses_in_use_and_nonsense_are_refused_with_a_sentence(void **state)
{
	struct bench *b = *state;
	uint16_t port = 0;
	conn_id conn = 0;

	assert_int_equal(node_uv_listen(b->client.node, b->address, &port, &b->msg), TK_EBUSY);
	assert_non_null(strstr(b->msg.text, b->address));
	assert_int_equal(node_uv_listen(b->client.node, "192.0.2.1:0", &port, &b->msg), TK_EIO);
	assert_int_equal(
		node_uv_dial(b->client.node, "127.0.0.1", NULL, &conn, &b->msg), TK_EINVAL);
	assert_int_equal(
		node_uv_dial(b->client.node, "127.0.0.1:0", NULL, &conn, &b->msg), TK_EINVAL);
	assert_int_equal(conn, 0);
}

static void closing_says_goodbye_to_all_and_ends_dials(void **state)
{
	struct bench *b = *state;
	conn_id conn = 0;

	both_up(b);
	client_dials(b, b->address, NULL);
	b->client.inside = true;
	node_uv_close(b->client.node, GOODBYE_SHUTDOWN, "good night", on_closed, &b->client);
	node_uv_close(b->client.node, GOODBYE_SHUTDOWN, "again", on_closed, &b->client);
	assert_int_equal(
		node_uv_dial(b->client.node, b->address, NULL, &conn, &b->msg), TK_ECANCELED);
	b->client.inside = false;
	RUN_UNTIL(b, b->client.closed && b->server.downs == 1);
	assert_int_equal(b->client.downs, 1);
	assert_int_equal(b->client.dials_failed, 1);
	assert_non_null(strstr(b->server.why, "good night"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)
		CLAIM(thousand_messages_pass_both_ways),
		CLAIM(dropping_says_goodbye_with_its_text),
		CLAIM(farewell_waits_for_what_was_sent_and_survives_unread_input),
		CLAIM(handler_may_drop_from_within_its_callback),
		CLAIM(closed_port_fails_the_dial_with_its_name),
		CLAIM(name_is_resolved_and_each_address_tried),
		CLAIM(name_that_cannot_exist_fails_the_dial),
		CLAIM(wrong_network_fails_the_dial_with_the_reason),
		CLAIM(wrong_identity_fails_the_dial_with_the_reason),
		CLAIM(dial_that_is_dropped_fails_with_its_text),
		CLAIM(stranger_that_speaks_something_else_is_closed),
		CLAIM(connection_that_is_reset_ends_nothing_but_itself),
		CLAIM(same_identity_again_replaces_the_older_session),
		CLAIM(out_of_descriptors_refuses_but_never_stops),
		CLAIM(every_allocation_that_fails_leaves_the_node_working),
		CLAIM(addresses_in_use_and_nonsense_are_refused_with_a_sentence),
		CLAIM(closing_says_goodbye_to_all_and_ends_dials),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
