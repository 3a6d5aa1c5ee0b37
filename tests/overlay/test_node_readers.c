/* Those who read slowly, or not at all, of what a node has for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/overlay/node_bench.h"

static void slow_reader_is_closed_at_the_output_limit(void **state)
{
	static uint8_t data[BLOB_PART_MAX];
	struct bench *b = *state;
	conn_id conn = session_up(b, 1, 0);
	conn_id other = session_up(b, 2, 0);
	struct message m = upload_of(data, sizeof(data), 1);
	size_t sent = 0;

	net_wire_of(&b->net, conn)->stalled = true;
	while (net_count(&b->net, 0, NODE_DOWN, conn + 1) == 0) {
		assert_int_equal(net_send(&b->net, conn + 1, &m), TK_OK);
		assert_true(node_waiting(b->net.nodes[0].node, conn + 1) <= NODE_OUTPUT_MAX);
		assert_true(++sent <= NODE_OUTPUT_MAX / sizeof(data));
	}
	assert_true(sent > NODE_OUTPUT_MAX / sizeof(data) / 2);
	assert_ended(b, 0, conn + 1, "too slowly");
	assert_alive(b, other);
}

/* It talks on, so it is not silent; but what waits for it keeps memory and an upload slot. */
static void whoever_reads_nothing_is_closed_whatever_it_says(void **state)
{
	static uint8_t data[1000];
	struct bench *b = *state;
	conn_id conn = session_up(b, 1, 0);
	conn_id other = session_up(b, 2, 0);
	struct message m = upload_of(data, sizeof(data), 1);
	struct message talk = {.type = MESSAGE_UPLOADED};

	net_wire_of(&b->net, conn)->ends[0].untold = true;
	assert_int_equal(net_send(&b->net, conn + 1, &m), TK_OK);
	for (unsigned i = 0; i * 5000 < NODE_UNREAD_MS + 10000; i++) {
		(void)!net_send(&b->net, conn, &talk);
		net_pass(&b->net, 5000);
		if ((i + 2) * 5000 < NODE_UNREAD_MS)
			assert_int_equal(net_count(&b->net, 0, NODE_DOWN, conn + 1), 0);
	}
	assert_ended(b, 0, conn + 1, "has read nothing");
	assert_alive(b, other);
}

/* It takes a byte now and then, of what began to wait after a long silence: it is alive. */
static void whoever_reads_slowly_is_kept(void **state)
{
	static uint8_t data[1000];
	struct bench *b = *state;
	conn_id conn = session_up(b, 1, 0);
	struct message m = upload_of(data, sizeof(data), 1);
	struct message talk = {.type = MESSAGE_UPLOADED};
	struct node_event taken = {.type = NODE_WRITTEN, .conn = conn + 1, .count = 1};

	net_pass(&b->net, 2 * NODE_UNREAD_MS);
	net_wire_of(&b->net, conn)->ends[0].untold = true;
	assert_int_equal(net_send(&b->net, conn + 1, &m), TK_OK);
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned ms = 0; ms < NODE_UNREAD_MS / 2; ms += 5000) {
			(void)!net_send(&b->net, conn, &talk);
			net_pass(&b->net, 5000);
		}
		assert_int_equal(net_step(&b->net, 0, &taken), TK_OK);
	}
	assert_int_equal(net_count(&b->net, 0, NODE_DOWN, conn + 1), 0);
}

/* Two that read nothing stay within their own limits, but not within what is left for all; the third
 * has asked for little and is served all the same. */
static void slow_readers_are_closed_at_the_limit_of_all(void **state)
{
	static uint8_t data[BLOB_PART_MAX];
	struct bench *b = *state;
	conn_id slow = session_up(b, 1, 0);
	conn_id other = session_up(b, 2, 0);
	conn_id modest =
		session_up(b, net_add(&b->net, ROLE_PEER, &b->net.nodes[0].id.key.public), 0);
	struct message m = upload_of(data, sizeof(data), 1);

	node_limit_output(b->net.nodes[0].node, 48 * sizeof(data));
	net_wire_of(&b->net, slow)->stalled = true;
	net_wire_of(&b->net, other)->stalled = true;
	for (int i = 0; i < 30; i++) {
		(void)!net_send(&b->net, slow + 1, &m);
		(void)!net_send(&b->net, other + 1, &m);
		assert_true(node_waiting(b->net.nodes[0].node, slow + 1) +
				    node_waiting(b->net.nodes[0].node, other + 1) <=
			    49 * sizeof(data));
	}
	assert_int_equal(net_count(&b->net, 0, NODE_DOWN, 0), 1); /* then there was room again */
	assert_alive(b, modest);
	assert_int_equal(net_count(&b->net, 0, NODE_DOWN, modest + 1), 0);
}

static void sender_hears_when_it_may_go_on(void **state)
{
	static uint8_t data[BLOB_PART_MAX];
	struct bench *b = *state;
	conn_id conn = session_up(b, 1, 0);
	struct message m = upload_of(data, sizeof(data), 1);

	for (size_t i = 0; i < 20; i++)
		assert_int_equal(net_send(&b->net, conn, &m), TK_OK);
	assert_true(node_waiting(b->net.nodes[1].node, conn) > 20 * sizeof(data));
	assert_int_equal(net_count(&b->net, 1, NODE_WRITABLE, conn), 0);
	net_run(&b->net);
	assert_int_equal(net_count(&b->net, 1, NODE_WRITABLE, conn), 1);
	assert_int_equal(node_waiting(b->net.nodes[1].node, conn), 0);
	assert_int_equal(net_count(&b->net, 0, NODE_MESSAGE, conn + 1), 20);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)
	const struct CMUnitTest tests[] = {
		CLAIM(slow_reader_is_closed_at_the_output_limit),
		CLAIM(whoever_reads_nothing_is_closed_whatever_it_says),
		CLAIM(whoever_reads_slowly_is_kept),
		CLAIM(slow_readers_are_closed_at_the_limit_of_all),
		CLAIM(sender_hears_when_it_may_go_on),
	};

	if (crypto_start() != TK_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
