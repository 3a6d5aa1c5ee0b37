/* What peers pass on about each other and what the root tells all: endpoints, records, announcements.
 * There and back, every limit, every byte changed once, and nothing believed without its signature. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "peer/wire/announcement.h"
#include "peer/wire/record.h"
#include "tasks/base/mem.h"

#define NOW_S 1800000000u

static struct key_pair root, somebody;

static int open_keys(void **state)
{
	uint8_t seed[32] = {1};

	(void)state;
	if (crypto_start() != TK_OK)
		return -1;
	key_from_seed(&root, seed);
	seed[0] = 2;
	key_from_seed(&somebody, seed);
	return 0;
}

/* Endpoints */

static void assert_text(const char *text)
{
	char again[ENDPOINT_TEXT_MAX];
	uint8_t packed[ENDPOINT_BYTES_MAX];
	struct endpoint e, back;
	size_t n;

	assert_int_equal(endpoint_from_text(&e, text), TK_OK);
	endpoint_text(again, &e);
	assert_string_equal(again, text);
	n = endpoint_pack(packed, &e);
	assert_int_equal(n, e.family == 4 ? 6 : 18);
	assert_int_equal(endpoint_unpack(&back, span_of(packed, n)), TK_OK);
	assert_true(endpoint_equal(&e, &back));
}

static void endpoints_go_to_text_and_to_bytes_and_back(void **state)
{
	(void)state;
	assert_text("192.0.2.1:7331");
	assert_text("[2001:db8::1]:65535");
	assert_text("127.0.0.1:1");
}

static void what_no_host_can_have_is_no_endpoint(void **state)
{
	static const char *const texts[] = {"", ":1", "192.0.2.1", "192.0.2.1:0", "192.0.2.1:65536",
		"192.0.2.1:1x", "192.0.2:1", "0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1",
		"[::]:1", "[ff02::1]:1", "[::ffff:192.0.2.1]:1", "2001:db8::1:1", "[2001:db8::1:1",
		"example.org:1", "[]:1", "192.0.2.1:-1", "192.0.2.1: 1"};
	static const uint8_t packed[][18] = {
		{0, 0, 0, 0, 0, 1}, {192, 0, 2, 1, 0, 0}, {240, 0, 0, 1, 0, 1}};
	struct endpoint e;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (endpoint_from_text(&e, texts[i]) != TK_EINVAL)
			fail_msg("\"%s\" was taken", texts[i]);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(endpoint_unpack(&e, span_of(packed[i], 6)), TK_EPROTO);
	for (size_t n = 0; n <= 18; n++)
		if (n != 6 && n != 18)
			assert_int_equal(
				endpoint_unpack(
					&e, span_of("\1\2\3\4\5\6\7\1\1\1\1\1\1\1\1\1\1\1", n)),
				TK_EPROTO);
}

static struct endpoint endpoint(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_from_text(&e, text), TK_OK);
	return e;
}

static void assert_scope(const char *text, enum endpoint_scope scope)
{
	struct endpoint e = endpoint(text);

	assert_int_equal(endpoint_scope(&e), scope);
}

static void scopes_follow_the_registries(void **state)
{
	(void)state;
	assert_scope("127.9.9.9:1", SCOPE_LOOPBACK);
	assert_scope("[::1]:1", SCOPE_LOOPBACK);
	assert_scope("169.254.1.1:1", SCOPE_LINK);
	assert_scope("[fe80::1]:1", SCOPE_LINK);
	assert_scope("10.0.0.1:1", SCOPE_PRIVATE);
	assert_scope("172.16.0.1:1", SCOPE_PRIVATE);
	assert_scope("172.31.0.1:1", SCOPE_PRIVATE);
	assert_scope("172.32.0.1:1", SCOPE_GLOBAL);
	assert_scope("192.168.0.1:1", SCOPE_PRIVATE);
	assert_scope("100.64.0.1:1", SCOPE_PRIVATE);
	assert_scope("100.128.0.1:1", SCOPE_GLOBAL);
	assert_scope("[fd00::1]:1", SCOPE_PRIVATE);
	assert_scope("[2001:db8::1]:1", SCOPE_GLOBAL);
}

static uint64_t prefix(const char *text)
{
	struct endpoint e = endpoint(text);

	return endpoint_prefix(&e);
}

static void prefixes_are_what_one_stranger_may_hold(void **state)
{
	(void)state;
	assert_true(prefix("192.0.2.1:1") == prefix("192.0.2.255:9"));
	assert_true(prefix("192.0.2.1:1") != prefix("192.0.3.1:1"));
	assert_true(prefix("[2001:db8:1::1]:1") == prefix("[2001:db8:1:ffff::9]:1"));
	assert_true(prefix("[2001:db8:1::1]:1") != prefix("[2001:db8:2::1]:1"));
	assert_true(prefix("192.0.2.1:1") != 0);
}

/* Records */

static void fill_record(struct record *r, bool largest)
{
	*r = (struct record){.key = somebody.public, .sequence = 7, .expiry_s = NOW_S + 60};
	if (!largest)
		return;
	r->flags = RECORD_FLAGS_ALL;
	r->sequence = UINT64_MAX;
	r->endpoint_count = RECORD_ENDPOINTS_MAX;
	for (uint32_t i = 0; i < RECORD_ENDPOINTS_MAX; i++)
		r->endpoints[i] = endpoint("[2001:db8::1]:65535");
	r->relay_count = RECORD_RELAYS_MAX;
	for (uint32_t i = 0; i < RECORD_RELAYS_MAX; i++)
		r->relays[i] = (struct record_relay){root.public, endpoint("[2001:db8::1]:65535")};
}

static struct bytes encoded_record(bool largest)
{
	struct bytes b = {0};
	struct record r;

	fill_record(&r, largest);
	assert_int_equal(record_encode(&r, &somebody, &root.public, &b), TK_OK);
	return b;
}

static int decode_record(struct span in, uint64_t now_s)
{
	struct record r;

	return record_decode(&r, in, &root.public, now_s, NULL);
}

static void records_go_there_and_back(void **state)
{
	(void)state;
	for (int largest = 0; largest < 2; largest++) {
		struct bytes b = encoded_record(largest);
		struct bytes again = {0};
		struct record r;

		assert_true(b.len <= RECORD_BYTES_MAX);
		assert_int_equal(
			record_decode(&r, bytes_span(&b), &root.public, NOW_S, NULL), TK_OK);
		assert_int_equal(record_encode(&r, &somebody, &root.public, &again), TK_OK);
		assert_true(span_equal(bytes_span(&b), bytes_span(&again)));
		bytes_close(&again);
		bytes_close(&b);
	}
}

static void no_byte_of_a_record_can_be_changed(void **state)
{
	struct bytes b = encoded_record(true);

	(void)state;
	for (size_t i = 0; i < b.len; i++)
		for (int bit = 0; bit < 8; bit++) {
			b.data[i] ^= (uint8_t)(1 << bit);
			assert_int_not_equal(decode_record(bytes_span(&b), NOW_S), TK_OK);
			b.data[i] ^= (uint8_t)(1 << bit);
		}
	for (size_t n = 0; n < b.len; n++)
		assert_int_not_equal(decode_record(span_of(b.data, n), NOW_S), TK_OK);
	bytes_close(&b);
}

static void records_are_of_one_network(void **state)
{
	struct bytes b = encoded_record(true);
	struct record r;

	(void)state;
	assert_int_equal(
		record_decode(&r, bytes_span(&b), &somebody.public, NOW_S, NULL), TK_EAUTH);
	bytes_close(&b);
}

static void records_expire_and_none_lasts_absurdly_long(void **state)
{
	struct bytes b = encoded_record(false);
	const uint64_t expiry = NOW_S + 60;

	(void)state;
	assert_int_equal(decode_record(bytes_span(&b), expiry + RECORD_SKEW_S), TK_OK);
	assert_int_equal(decode_record(bytes_span(&b), expiry + RECORD_SKEW_S + 1), TK_EINVAL);
	assert_int_equal(decode_record(bytes_span(&b), expiry - RECORD_KEPT_AHEAD_S), TK_OK);
	assert_int_equal(
		decode_record(bytes_span(&b), expiry - RECORD_KEPT_AHEAD_S - 1), TK_EINVAL);
	assert_int_equal(decode_record(bytes_span(&b), expiry - RECORD_AHEAD_MAX_S), TK_EINVAL);
	assert_int_equal(decode_record(bytes_span(&b), expiry - RECORD_AHEAD_MAX_S - 1), TK_ELIMIT);
	assert_int_equal(decode_record(bytes_span(&b), RECORD_ANY_AGE), TK_OK);
	bytes_close(&b);
}

static void encoding_a_record_without_memory_leaves_the_output(void **state)
{
	struct bytes b = {0};
	struct record r;
	int rc = TK_ENOMEM;

	(void)state;
	fill_record(&r, true);
	for (uint64_t after = 1; rc != TK_OK; after++) {
		mem_fail(after, 0);
		rc = record_encode(&r, &somebody, &root.public, &b);
		mem_fail(0, 0);
		assert_true(rc == TK_OK || (rc == TK_ENOMEM && b.len == 0));
	}
	bytes_close(&b);
}

/* Announcements */

static struct bytes announcement(size_t payload, struct signature *signature)
{
	static uint8_t filler[ANNOUNCEMENT_PAYLOAD_MAX + 1];
	const struct announcement a = {.kind = ANNOUNCEMENT_KIND_LAST,
		.subject = {{9}},
		.sequence = UINT64_MAX,
		.issued_s = NOW_S,
		.payload = span_of(filler, payload)};
	struct bytes b = {0};

	assert_int_equal(announcement_encode(&a, &b), TK_OK);
	announcement_sign(signature, &root, bytes_span(&b));
	return b;
}

static void announcements_go_there_and_back_signed(void **state)
{
	struct signature signature;
	struct bytes b = announcement(ANNOUNCEMENT_PAYLOAD_MAX, &signature);
	struct announcement a;
	struct bytes again = {0};

	(void)state;
	assert_true(b.len <= ANNOUNCEMENT_MAX);
	assert_int_equal(announcement_decode(&a, bytes_span(&b), NULL), TK_OK);
	assert_int_equal(announcement_encode(&a, &again), TK_OK);
	assert_true(span_equal(bytes_span(&b), bytes_span(&again)));
	assert_true(announcement_verify(&root.public, bytes_span(&b), &signature));
	assert_false(announcement_verify(&somebody.public, bytes_span(&b), &signature));
	for (size_t i = 0; i < 200; i++) {
		b.data[i] ^= 1;
		assert_false(announcement_verify(&root.public, bytes_span(&b), &signature));
		b.data[i] ^= 1;
	}
	bytes_close(&again);
	bytes_close(&b);
}

static void announcement_too_large_is_an_error_where_it_is_made(void **state)
{
	static uint8_t filler[ANNOUNCEMENT_PAYLOAD_MAX + 1];
	struct announcement a = {.kind = 1, .payload = span_of(filler, sizeof(filler))};
	struct bytes b = {0};

	(void)state;
	assert_int_equal(announcement_encode(&a, &b), TK_ELIMIT);
	assert_int_equal(b.len, 0);
}

static void unknown_kinds_and_formats_are_refused(void **state)
{
	struct signature signature;
	struct bytes b = announcement(3, &signature);
	struct announcement a;

	(void)state;
	b.data[1] = 2; /* format */
	assert_int_not_equal(announcement_decode(&a, bytes_span(&b), NULL), TK_OK);
	b.data[1] = 1;
	b.data[2] = ANNOUNCEMENT_KIND_LAST + 1;
	assert_int_not_equal(announcement_decode(&a, bytes_span(&b), NULL), TK_OK);
	b.data[2] = 0;
	assert_int_not_equal(announcement_decode(&a, bytes_span(&b), NULL), TK_OK);
	bytes_close(&b);
}

/* What they carry */

static void payloads_at_their_largest_fit_and_come_back(void **state)
{
	struct beacon beacon = {.ledger = {{3}},
			      .ledger_sequence = UINT64_MAX,
			      .head_count = BEACON_HEADS_MAX},
		      beacon_back;
	struct revocations revoked = {.count = REVOCATIONS_MAX}, revoked_back;
	struct project_notice notice = {"", UINT32_MAX, 1, UINT64_MAX}, notice_back;
	enum control_state control;
	struct bytes b = {0};

	(void)state;
	for (size_t i = 0; i < BEACON_HEADS_MAX; i++)
		beacon.heads[i] =
			(struct topic_head){ANNOUNCEMENT_KIND_LAST, {{(uint8_t)i}}, UINT64_MAX - i};
	for (size_t i = 0; i < REVOCATIONS_MAX; i++)
		revoked.keys[i].b[0] = (uint8_t)i;
	memset(notice.name, 'n', sizeof(notice.name) - 1);
	assert_int_equal(beacon_encode(&beacon, &b), TK_OK);
	assert_true(b.len <= ANNOUNCEMENT_PAYLOAD_MAX);
	assert_int_equal(beacon_decode(&beacon_back, bytes_span(&b), NULL), TK_OK);
	assert_true(beacon_back.heads[31].sequence == UINT64_MAX - 31);
	b.len = 0;
	assert_int_equal(revocations_encode(&revoked, &b), TK_OK);
	assert_true(b.len <= ANNOUNCEMENT_PAYLOAD_MAX);
	assert_int_equal(revocations_decode(&revoked_back, bytes_span(&b), NULL), TK_OK);
	assert_int_equal(revoked_back.count, REVOCATIONS_MAX);
	assert_int_equal(revoked_back.keys[47].b[0], 47);
	b.len = 0;
	assert_int_equal(project_notice_encode(&notice, &b), TK_OK);
	assert_int_equal(project_notice_decode(&notice_back, bytes_span(&b), NULL), TK_OK);
	assert_string_equal(notice_back.name, notice.name);
	b.len = 0;
	assert_int_equal(control_encode(CONTROL_PAUSED, &b), TK_OK);
	assert_int_equal(control_decode(&control, bytes_span(&b), NULL), TK_OK);
	assert_int_equal(control, CONTROL_PAUSED);
	bytes_close(&b);
}

static void name_that_would_steer_a_terminal_is_refused(void **state)
{
	struct project_notice notice = {"a\033[2J", 1, 1, 1}, back;
	struct bytes b = {0};

	(void)state;
	assert_int_equal(project_notice_encode(&notice, &b), TK_OK);
	assert_int_equal(project_notice_decode(&back, bytes_span(&b), NULL), TK_EPROTO);
	bytes_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(endpoints_go_to_text_and_to_bytes_and_back),
		cmocka_unit_test(what_no_host_can_have_is_no_endpoint),
		cmocka_unit_test(scopes_follow_the_registries),
		cmocka_unit_test(prefixes_are_what_one_stranger_may_hold),
		cmocka_unit_test(records_go_there_and_back),
		cmocka_unit_test(no_byte_of_a_record_can_be_changed),
		cmocka_unit_test(records_are_of_one_network),
		cmocka_unit_test(records_expire_and_none_lasts_absurdly_long),
		cmocka_unit_test(encoding_a_record_without_memory_leaves_the_output),
		cmocka_unit_test(announcements_go_there_and_back_signed),
		cmocka_unit_test(announcement_too_large_is_an_error_where_it_is_made),
		cmocka_unit_test(unknown_kinds_and_formats_are_refused),
		cmocka_unit_test(payloads_at_their_largest_fit_and_come_back),
		cmocka_unit_test(name_that_would_steer_a_terminal_is_refused),
	};

	return cmocka_run_group_tests(tests, open_keys, NULL);
}
