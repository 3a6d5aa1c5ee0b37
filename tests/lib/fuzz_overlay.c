/* Fuzz targets of what the overlay passes on: what the root announces, and the records of peers. */
#include "peer/wire/announcement.h"
#include "peer/wire/record.h"
#include "tasks/base/require.h"
#include "tests/lib/fuzz_targets.h"

#define NOW_S 1800000000u

/* Announcements and what they carry: what is read must encode to the same bytes. */

static void same(struct span in, int rc, struct bytes *again)
{
	REQUIRE(rc == TK_OK && span_equal(in, bytes_span(again)));
	bytes_close(again);
}

void fuzz_announcement(struct span in)
{
	struct project_notice notice;
	struct revocations revoked;
	enum control_state control;
	struct announcement a;
	struct bytes again = {0};
	struct beacon beacon;

	if (announcement_decode(&a, in, NULL) == TK_OK)
		same(in, announcement_encode(&a, &again), &again);
	if (beacon_decode(&beacon, in, NULL) == TK_OK)
		same(in, beacon_encode(&beacon, &again), &again);
	if (project_notice_decode(&notice, in, NULL) == TK_OK)
		same(in, project_notice_encode(&notice, &again), &again);
	if (control_decode(&control, in, NULL) == TK_OK)
		same(in, control_encode(control, &again), &again);
	if (revocations_decode(&revoked, in, NULL) == TK_OK)
		same(in, revocations_encode(&revoked, &again), &again);
}

bool fuzz_announcement_seed(unsigned which, struct bytes *out)
{
	const struct announcement a = {.kind = ANNOUNCE_ROUND, .sequence = 300, .issued_s = NOW_S};
	const struct beacon beacon = {.head_count = 2, .heads = {{3, {{1}}, 9}, {4, {{2}}, 70000}}};
	const struct project_notice notice = {"shakespeare", 20, 8, 800000};
	const struct revocations revoked = {.count = 1, .keys = {{{5}}}};

	switch (which) {
	case 0:
		return announcement_encode(&a, out) == TK_OK;
	case 1:
		return beacon_encode(&beacon, out) == TK_OK;
	case 2:
		return project_notice_encode(&notice, out) == TK_OK;
	case 3:
		return control_encode(CONTROL_PAUSED, out) == TK_OK;
	case 4:
		return revocations_encode(&revoked, out) == TK_OK;
	default:
		return false;
	}
}

/* Peer records: parsed before their signature is looked at. */

void fuzz_advert(struct span in)
{
	static const struct public_key network = {{9}};
	struct key_pair pair = {{{0}}, {0}};
	struct bytes again = {0};
	struct record r;

	if (record_decode(&r, in, &network, NOW_S, NULL) != TK_OK)
		return;
	pair.public = r.key;
	REQUIRE(record_encode(&r, &pair, &network, &again) == TK_OK && again.len == in.len);
	again.len -= SIGNATURE_BYTES; /* it comes last, and is not ours to make */
	same(span_of(in.data, again.len), TK_OK, &again);
}

bool fuzz_advert_seed(unsigned which, struct bytes *out)
{
	struct record r = {.flags = RECORD_PUBLIC, .sequence = 7, .expiry_s = NOW_S + 60};
	struct public_key network = {{9}};
	uint8_t seed[32] = {CLEAR_ANYBODY};
	struct key_pair pair;

	key_from_seed(&pair, seed);
	r.key = pair.public;
	if (which == 1) {
		r.endpoint_count = 1;
		r.endpoints[0] = (struct endpoint){4, {192, 0, 2, 1}, 7332};
		r.relay_count = 1;
		r.relays[0] = (struct record_relay){network, r.endpoints[0]};
	}
	return which < 2 && record_encode(&r, &pair, &network, out) == TK_OK;
}
