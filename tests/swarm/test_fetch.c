/* Fetching a blob from an honest node and from several dishonest ones, all in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "peer/swarm/fetch.h"
#include "tasks/base/mem.h"

#define BLOB_BYTES (20 * BLOB_PART_MAX + 12345)

struct bench {
	uint8_t blob[BLOB_BYTES];
	struct digest digest;
	struct fetch fetch;
	struct errmsg msg;
};

static int bench_open(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	for (size_t i = 0; i < BLOB_BYTES; i++)
		b->blob[i] = (uint8_t)(i * 29 + i / 977);
	digest_blob(&b->digest, b->blob, BLOB_BYTES);
	fetch_begin(&b->fetch, &b->digest, BLOB_BYTES);
	*state = b;
	return 0;
}

static int bench_close(void **state)
{
	struct bench *b = *state;

	fetch_close(&b->fetch);
	free(b);
	return 0;
}

/* What an honest node that has the first n bytes as its blob answers. */
static struct message_blob_part answer(const struct bench *b, const struct message *m, size_t n)
{
	const struct message_blob_get *get = &m->blob_get;
	struct message_blob_part part = {.digest = get->digest, .total = n, .offset = get->offset};

	assert_int_equal(m->type, MESSAGE_BLOB_GET);
	assert_true(get->length >= 1 && get->length <= BLOB_PART_MAX);
	assert_true(get->offset <= n);
	part.bytes.data = b->blob + get->offset;
	part.bytes.len = n - get->offset < get->length ? n - get->offset : get->length;
	return part;
}

/* The first request, answered truthfully: from here on the length is known. */
static void fetch_first(struct bench *b)
{
	struct message m;
	struct message_blob_part part;

	assert_true(fetch_next_request(&b->fetch, &m));
	part = answer(b, &m, BLOB_BYTES);
	assert_int_equal(fetch_part(&b->fetch, &part, &b->msg), TK_OK);
}

/* Runs to the end; returns the last code. */
static int fetch_rest(struct bench *b, size_t n)
{
	struct message waiting[FETCH_PARTS_AHEAD];
	size_t count = 0;
	int rc = TK_OK;

	while (rc == TK_OK) {
		struct message_blob_part part;

		while (count < FETCH_PARTS_AHEAD && fetch_next_request(&b->fetch, &waiting[count]))
			count++;
		assert_true(count > 0);
		part = answer(b, &waiting[0], n);
		rc = fetch_part(&b->fetch, &part, &b->msg);
		memmove(waiting, waiting + 1, --count * sizeof(waiting[0]));
	}
	return rc;
}

static void honest_blob_arrives_whole(void **state)
{
	struct bench *b = *state;
	struct message m;

	assert_int_equal(fetch_rest(b, BLOB_BYTES), 1);
	assert_int_equal(b->fetch.got.len, BLOB_BYTES);
	assert_memory_equal(b->fetch.got.data, b->blob, BLOB_BYTES);
	assert_false(fetch_next_request(&b->fetch, &m));
}

static void blobs_of_every_awkward_length_arrive(void **state)
{
	static const size_t lengths[] = {0, 1, BLOB_PART_MAX - 1, BLOB_PART_MAX, BLOB_PART_MAX + 1,
		2 * BLOB_PART_MAX, 9 * BLOB_PART_MAX};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct digest d;

		digest_blob(&d, b->blob, lengths[i]);
		fetch_begin(&b->fetch, &d, lengths[i]);
		assert_int_equal(fetch_rest(b, lengths[i]), 1);
		assert_int_equal(b->fetch.got.len, lengths[i]);
		fetch_close(&b->fetch);
	}
}

static void no_more_than_the_promised_parts_are_ahead(void **state)
{
	struct bench *b = *state;
	struct message m;
	size_t ahead = 0;

	assert_true(fetch_next_request(&b->fetch, &m));
	assert_false(fetch_next_request(&b->fetch, &m));
	fetch_restart(&b->fetch);
	fetch_first(b);
	while (fetch_next_request(&b->fetch, &m)) {
		ahead++;
		assert_int_equal(m.blob_get.offset, ahead * BLOB_PART_MAX);
	}
	assert_int_equal(ahead, FETCH_PARTS_AHEAD);
}

static void wrong_digest_of_the_whole_is_corrupt_and_can_be_asked_anew(void **state)
{
	struct bench *b = *state;

	b->blob[BLOB_BYTES / 2] ^= 1;
	assert_int_equal(fetch_rest(b, BLOB_BYTES), TK_ECORRUPT);
	assert_int_equal(b->fetch.got.len, 0);
	b->blob[BLOB_BYTES / 2] ^= 1;
	assert_int_equal(fetch_rest(b, BLOB_BYTES), 1);
}

static void refused(struct bench *b, const struct message_blob_part *part, int code)
{
	struct fetch before = b->fetch;

	assert_int_equal(fetch_part(&b->fetch, part, &b->msg), code);
	assert_memory_equal(&before, &b->fetch, sizeof(before));
}

static void parts_that_were_not_asked_for_are_refused(void **state)
{
	struct bench *b = *state;
	struct message m;
	struct message_blob_part good;
	struct message_blob_part bad;

	fetch_first(b);
	good = (struct message_blob_part){.digest = b->digest,
		.total = BLOB_BYTES,
		.offset = BLOB_PART_MAX,
		.bytes = {b->blob + BLOB_PART_MAX, BLOB_PART_MAX}};
	refused(b, &good, TK_EPROTO); /* right, but too early */
	assert_true(fetch_next_request(&b->fetch, &m));
	bad = good;
	bad.digest.b[0] ^= 1;
	refused(b, &bad, TK_EPROTO);
	bad = good;
	bad.offset = 0;
	refused(b, &bad, TK_EPROTO);
	bad.offset = 2 * BLOB_PART_MAX;
	refused(b, &bad, TK_EPROTO);
	bad = good;
	bad.bytes.len--;
	refused(b, &bad, TK_EPROTO);
	bad.bytes.len = 0;
	refused(b, &bad, TK_EPROTO);
	bad = good;
	bad.total--;
	refused(b, &bad, TK_EPROTO);
	assert_int_equal(fetch_part(&b->fetch, &good, &b->msg), TK_OK);
	refused(b, &good, TK_EPROTO); /* the same again */
}

static void length_above_the_limit_is_refused(void **state)
{
	struct bench *b = *state;
	struct message m;
	struct message_blob_part part;

	assert_true(fetch_next_request(&b->fetch, &m));
	part = answer(b, &m, BLOB_BYTES);
	part.total = BLOB_BYTES + 1;
	refused(b, &part, TK_ELIMIT);
	part.total = UINT64_MAX;
	refused(b, &part, TK_ELIMIT);
	assert_non_null(strstr(b->msg.text, "18446744073709551615"));
}

static void huge_claim_allocates_only_what_arrived(void **state)
{
	struct bench *b = *state;
	struct message m;
	struct message_blob_part part;

	fetch_begin(&b->fetch, &b->digest, UINT64_MAX);
	assert_true(b->fetch.max <= BLOB_BYTES_MAX);
	assert_true(fetch_next_request(&b->fetch, &m));
	part = answer(b, &m, BLOB_BYTES);
	part.total = b->fetch.max;
	assert_int_equal(fetch_part(&b->fetch, &part, &b->msg), TK_OK);
	assert_int_equal(b->fetch.got.len, BLOB_PART_MAX);
	assert_true(b->fetch.got.capacity <= 2 * BLOB_PART_MAX);
}

static void restart_asks_again_for_what_was_not_answered(void **state)
{
	struct bench *b = *state;
	struct message m;

	fetch_first(b);
	assert_true(fetch_next_request(&b->fetch, &m));
	assert_true(fetch_next_request(&b->fetch, &m));
	fetch_restart(&b->fetch);
	assert_true(fetch_next_request(&b->fetch, &m));
	assert_int_equal(m.blob_get.offset, BLOB_PART_MAX);
	fetch_restart(&b->fetch);
	assert_int_equal(fetch_rest(b, BLOB_BYTES), 1);
	assert_memory_equal(b->fetch.got.data, b->blob, BLOB_BYTES);
}

static void short_memory_leaves_the_part_to_be_taken_again(void **state)
{
	struct bench *b = *state;
	struct message m;
	struct message_blob_part part;

	assert_true(fetch_next_request(&b->fetch, &m));
	part = answer(b, &m, BLOB_BYTES);
	mem_fail(1, 0);
	refused(b, &part, TK_ENOMEM);
	mem_fail(0, 0);
	assert_int_equal(fetch_part(&b->fetch, &part, &b->msg), TK_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)
		CLAIM(honest_blob_arrives_whole),
		CLAIM(blobs_of_every_awkward_length_arrive),
		CLAIM(no_more_than_the_promised_parts_are_ahead),
		CLAIM(wrong_digest_of_the_whole_is_corrupt_and_can_be_asked_anew),
		CLAIM(parts_that_were_not_asked_for_are_refused),
		CLAIM(length_above_the_limit_is_refused),
		CLAIM(huge_claim_allocates_only_what_arrived),
		CLAIM(restart_asks_again_for_what_was_not_answered),
		CLAIM(short_memory_leaves_the_part_to_be_taken_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
