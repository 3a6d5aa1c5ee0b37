/* The tables around gossip: numbers are stable, everything is verified before it gets one, and nobody can
 * fill a table for others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "peer/overlay/directory.h"
#include "tasks/base/mem.h"

#define NOW_MS 1000000u
#define NOW_S  1800000000u

struct bench {
	struct key_pair root, self;
	struct directory *d;
};

static void key_number(struct key_pair *pair, uint32_t number)
{
	uint8_t seed[32] = {0};

	store_le32(seed, number);
	key_from_seed(pair, seed);
}

static int bench_open(void **state)
{
	static struct bench b;

	if (crypto_start() != TK_OK)
		return -1;
	key_number(&b.root, 1);
	key_number(&b.self, 2);
	b.d = directory_new(&b.root.public, &b.self.public);
	*state = &b;
	return b.d != NULL ? 0 : -1;
}

static int bench_close(void **state)
{
	directory_free(((struct bench *)*state)->d);
	return 0;
}

static struct public_key some_key(uint32_t number)
{
	struct public_key key = {{0}};

	store_le32(key.b, number);
	return key;
}

static struct bytes record_of(const struct bench *b, uint32_t number, uint64_t sequence)
{
	struct record r = {.sequence = sequence, .expiry_s = NOW_S + 3600, .endpoint_count = 1};
	struct bytes out = {0};
	struct key_pair pair;

	key_number(&pair, number);
	r.key = pair.public;
	assert_int_equal(endpoint_from_text(&r.endpoints[0], "192.0.2.7:7332"), TK_OK);
	assert_int_equal(record_encode(&r, &pair, &b->root.public, &out), TK_OK);
	return out;
}

static int take(struct bench *b, struct span record, peer_ref told_by, peer_ref *peer)
{
	return directory_record_take(b->d, record, told_by, NOW_MS, NOW_S, peer, NULL);
}

static void peers_keep_their_numbers(void **state)
{
	struct bench *b = *state;
	struct public_key first = some_key(10);
	peer_ref peer = directory_peer(b->d, &first, 0, NOW_MS);

	assert_int_equal(directory_find(b->d, &b->self.public), DIRECTORY_SELF);
	for (uint32_t i = 11; i < 2000; i++) {
		struct public_key key = some_key(i);

		assert_int_not_equal(directory_peer(b->d, &key, 0, NOW_MS), peer);
	}
	assert_int_equal(directory_peer(b->d, &first, 0, NOW_MS + 9), peer);
	assert_true(key_equal(directory_key(b->d, peer), &first));
}

static void newer_record_takes_the_place_of_an_older_one_only(void **state)
{
	struct bench *b = *state;
	struct bytes old = record_of(b, 20, 5), new = record_of(b, 20, 6);
	peer_ref peer, again;

	assert_int_equal(take(b, bytes_span(&new), 0, &peer), TK_OK);
	assert_int_not_equal(peer, 0);
	assert_int_equal(take(b, bytes_span(&old), 0, &again), TK_OK);
	assert_int_equal(again, peer);
	assert_true(span_equal(directory_record_bytes(b->d, peer), bytes_span(&new)));
	assert_true(directory_tables(b->d)->peers[peer].prefix ==
		    endpoint_prefix(&directory_record(b->d, peer)->endpoints[0]));
	bytes_close(&old);
	bytes_close(&new);
}

static void forged_record_gets_no_number(void **state)
{
	struct bench *b = *state;
	struct bytes r = record_of(b, 21, 5);
	struct key_pair pair;
	peer_ref peer;

	r.data[r.len - 1] ^= 1;
	assert_int_equal(take(b, bytes_span(&r), 0, &peer), TK_EAUTH);
	key_number(&pair, 21);
	assert_int_equal(directory_find(b->d, &pair.public), 0);
	bytes_close(&r);
}

static void neighbour_that_tells_of_very_many_pushes_out_its_own_only(void **state)
{
	struct bench *b = *state;
	struct public_key honest = some_key(1), liar = some_key(2);
	peer_ref who = directory_peer(b->d, &liar, 0, NOW_MS);
	peer_ref kept = directory_peer(b->d, &honest, 0, NOW_MS);

	for (uint32_t i = 0; i < 3 * DIRECTORY_TOLD_MAX; i++) {
		struct public_key key = some_key(1000 + i);

		assert_int_not_equal(directory_peer(b->d, &key, who, NOW_MS + i), 0);
	}
	assert_int_equal(directory_find(b->d, &honest), kept);
	for (uint32_t i = 0; i < 3000; i++) {
		struct public_key key = some_key(100000 + i);

		assert_int_not_equal(directory_peer(b->d, &key, 0, NOW_MS), 0);
	}
}

static void mark_all(void *context, struct directory_marks *marks)
{
	(void)context;
	memset(marks, 1, sizeof(*marks));
}

static void full_table_gives_up_what_rests_and_nothing_in_use(void **state)
{
	struct bench *b = *state;
	struct public_key key;

	for (uint32_t i = 0; i < DIRECTORY_PEERS_MAX - 1; i++) {
		key = some_key(5000 + i);
		assert_int_not_equal(directory_peer(b->d, &key, 0, NOW_MS), 0);
	}
	key = some_key(4);
	assert_int_equal(directory_peer(b->d, &key, 0, NOW_MS + 1), 0); /* all fresh */
	directory_ask_used(b->d, mark_all, NULL);
	assert_int_equal(directory_peer(b->d, &key, 0, NOW_MS + DIRECTORY_REST_MS), 0);
	directory_ask_used(b->d, NULL, NULL);
	assert_int_not_equal(directory_peer(b->d, &key, 0, NOW_MS + DIRECTORY_REST_MS), 0);
	assert_int_equal(directory_find(b->d, &b->self.public), DIRECTORY_SELF);
}

static struct bytes body_of(const struct bench *b, uint64_t sequence, struct signature *signature)
{
	const struct announcement a = {
		.kind = ANNOUNCE_BEACON, .sequence = sequence, .issued_s = NOW_S};
	struct bytes out = {0};

	assert_int_equal(announcement_encode(&a, &out), TK_OK);
	announcement_sign(signature, &b->root, bytes_span(&out));
	return out;
}

static void body_fills_the_id_that_was_spoken_of(void **state)
{
	struct bench *b = *state;
	struct signature signature, kept;
	struct bytes body = body_of(b, 3, &signature);
	struct digest digest;
	struct gossip_id id;
	body_ref spoken, ref;
	struct span bytes;

	announcement_digest(&digest, bytes_span(&body));
	memcpy(id.b, digest.b, sizeof(id.b));
	spoken = directory_id(b->d, &id, NOW_MS);
	assert_false(directory_body(b->d, spoken, &bytes, &kept));
	assert_int_equal(
		directory_body_take(b->d, bytes_span(&body), &signature, NOW_MS, &ref, NULL),
		TK_OK);
	assert_int_equal(ref, spoken);
	assert_true(directory_body(b->d, ref, &bytes, &kept));
	assert_true(span_equal(bytes, bytes_span(&body)));
	assert_int_equal(directory_tables(b->d)->bodies[ref].sequence, 3);
	assert_true(directory_tables(b->d)->bodies[ref].beacon);
	directory_body_forget(b->d, ref);
	assert_false(directory_body(b->d, ref, &bytes, &kept));
	bytes_close(&body);
}

static void prefix_that_was_seen_counts_whatever_a_record_says(void **state)
{
	struct bench *b = *state;
	struct bytes r = record_of(b, 31, 1);
	peer_ref peer;

	assert_int_equal(take(b, bytes_span(&r), 0, &peer), TK_OK);
	directory_prefix(b->d, peer, 4711);
	bytes_close(&r);
	r = record_of(b, 31, 2);
	assert_int_equal(take(b, bytes_span(&r), 0, &peer), TK_OK);
	assert_true(directory_tables(b->d)->peers[peer].prefix == 4711);
	bytes_close(&r);
}

static void known_body_with_another_signature_is_refused(void **state)
{
	struct bench *b = *state;
	struct signature signature, forged, kept;
	struct bytes body = body_of(b, 3, &signature);
	struct span bytes;
	body_ref ref;

	assert_int_equal(
		directory_body_take(b->d, bytes_span(&body), &signature, NOW_MS, &ref, NULL),
		TK_OK);
	forged = signature;
	forged.b[3] ^= 1;
	assert_int_equal(directory_body_take(b->d, bytes_span(&body), &forged, NOW_MS, &ref, NULL),
		TK_EAUTH);
	assert_int_equal(
		directory_body_take(b->d, bytes_span(&body), &signature, NOW_MS, &ref, NULL),
		TK_OK);
	assert_true(directory_body(b->d, ref, &bytes, &kept));
	assert_int_equal(bytes.len, body.len);
	bytes_close(&body);
}

static void unsigned_body_is_refused(void **state)
{
	struct bench *b = *state;
	struct signature signature;
	struct bytes body = body_of(b, 3, &signature);
	body_ref ref;

	signature.b[0] ^= 1;
	assert_int_equal(
		directory_body_take(b->d, bytes_span(&body), &signature, NOW_MS, &ref, NULL),
		TK_EAUTH);
	bytes_close(&body);
}

static void ids_alone_push_out_ids_and_never_bodies(void **state)
{
	struct bench *b = *state;
	struct signature signature, kept;
	struct bytes body = body_of(b, 3, &signature);
	struct span bytes;
	body_ref ref;

	assert_int_equal(
		directory_body_take(b->d, bytes_span(&body), &signature, NOW_MS, &ref, NULL),
		TK_OK);
	for (uint32_t i = 0; i < 3 * DIRECTORY_BODIES_MAX; i++) {
		struct gossip_id id = {{0}};

		store_le32(id.b, i + 1);
		assert_int_not_equal(directory_id(b->d, &id, NOW_MS + i), 0);
	}
	assert_true(directory_body(b->d, ref, &bytes, &kept));
	bytes_close(&body);
}

static void topics_that_were_only_spoken_of_leave_room_for_real_ones(void **state)
{
	struct bench *b = *state;
	topic_ref first = directory_topic(b->d, 1, &(struct digest){{1}}, true, NOW_MS);
	struct digest subject = {{0}};
	uint32_t kind;

	for (uint32_t i = 0; i < 2 * DIRECTORY_TOPICS_MAX; i++) {
		store_le32(subject.b, 100 + i);
		(void)directory_topic(b->d, 2, &subject, false, NOW_MS);
	}
	for (uint32_t i = 1; i < DIRECTORY_TOPICS_MAX / 2; i++) {
		store_le32(subject.b, 9000 + i);
		assert_int_not_equal(directory_topic(b->d, 3, &subject, true, NOW_MS), 0);
	}
	assert_int_equal(directory_topic(b->d, 1, &(struct digest){{1}}, false, NOW_MS), first);
	assert_true(directory_topic_name(b->d, first, &kind, &subject));
	assert_int_equal(kind, 1);
}

static void mark_last(void *context, struct directory_marks *marks)
{
	marks->topics[*(const topic_ref *)context] = true;
}

static void topic_that_was_only_spoken_of_is_let_go_when_nobody_uses_it(void **state)
{
	struct bench *b = *state;
	struct digest used = {{1}}, subject = {{0}};
	topic_ref topic = directory_topic(b->d, 1, &used, false, NOW_MS);

	directory_ask_used(b->d, mark_last, &topic);
	for (uint32_t i = 0; i < 10 * DIRECTORY_TOPICS_MAX; i++) {
		store_le32(subject.b, 100 + i);
		assert_int_not_equal(directory_topic(b->d, 2, &subject, false, NOW_MS + 1 + i), 0);
	}
	assert_int_equal(directory_topic_find(b->d, 1, &used), topic);
	store_le32(subject.b, 100);
	assert_int_equal(directory_topic_find(b->d, 2, &subject), 0);
}

static void topic_that_ended_makes_room_for_a_new_one_and_none_in_use_does(void **state)
{
	struct bench *b = *state;
	struct digest subject = {{0}};

	for (uint32_t i = 0; i < DIRECTORY_TOPICS_MAX; i++) {
		store_le32(subject.b, i);
		assert_int_not_equal(directory_topic(b->d, 3, &subject, true, NOW_MS), 0);
	}
	store_le32(subject.b, 9999);
	directory_ask_used(b->d, mark_all, NULL);
	assert_int_equal(directory_topic(b->d, 3, &subject, true, NOW_MS), 0);
	directory_ask_used(b->d, NULL, NULL);
	assert_int_not_equal(directory_topic(b->d, 3, &subject, true, NOW_MS), 0);
}

static void every_allocation_may_fail(void **state)
{
	struct bench *b = *state;
	struct bytes r = record_of(b, 30, 1);
	struct signature signature;
	struct bytes body = body_of(b, 4, &signature);
	body_ref ref;
	peer_ref peer;

	mem_fail(1, 1);
	assert_int_equal(take(b, bytes_span(&r), 0, &peer), TK_ENOMEM);
	assert_int_equal(
		directory_body_take(b->d, bytes_span(&body), &signature, NOW_MS, &ref, NULL),
		TK_ENOMEM);
	assert_null(directory_new(&b->root.public, &b->self.public));
	mem_fail(0, 0);
	assert_int_equal(take(b, bytes_span(&r), 0, &peer), TK_OK);
	assert_int_not_equal(directory_record_bytes(b->d, peer).len, 0);
	bytes_close(&r);
	bytes_close(&body);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)
	const struct CMUnitTest tests[] = {
		TEST(peers_keep_their_numbers),
		TEST(newer_record_takes_the_place_of_an_older_one_only),
		TEST(forged_record_gets_no_number),
		TEST(neighbour_that_tells_of_very_many_pushes_out_its_own_only),
		TEST(full_table_gives_up_what_rests_and_nothing_in_use),
		TEST(body_fills_the_id_that_was_spoken_of),
		TEST(prefix_that_was_seen_counts_whatever_a_record_says),
		TEST(known_body_with_another_signature_is_refused),
		TEST(unsigned_body_is_refused),
		TEST(ids_alone_push_out_ids_and_never_bodies),
		TEST(topics_that_were_only_spoken_of_leave_room_for_real_ones),
		TEST(topic_that_was_only_spoken_of_is_let_go_when_nobody_uses_it),
		TEST(topic_that_ended_makes_room_for_a_new_one_and_none_in_use_does),
		TEST(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
