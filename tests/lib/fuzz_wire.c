/* What arrives on the wire: messages, sessions, identities; see fuzz_targets.h. */
#include <stdio.h>
#include <string.h>

#include "peer/wire/identity.h"
#include "tasks/base/require.h"
#include "tests/lib/fuzz_targets.h"

#define NOW_S 1800000000u

/* Messages */

void fuzz_message(struct span in)
{
	struct bytes again = {0};
	struct errmsg msg = {{0}};
	struct message m;

	if (message_decode(&m, in, &msg) != TK_OK) {
		REQUIRE(msg.text[0] != '\0');
		return;
	}
	/* equal bytes again, or whoever signs one form and whoever checks another disagree */
	REQUIRE(message_encode(&m, &again) == TK_OK && span_equal(bytes_span(&again), in));
	bytes_close(&again);
}

static const struct endpoint v4 = {.family = 4, .ip = {192, 0, 2, 1}, .port = 7331};
static const struct endpoint v6 = {.family = 6, .ip = {0x20, 1, 0xd, 0xb8, [15] = 1}, .port = 7331};

static void fill_gossip(struct message *m)
{
	struct span record = span_of("a record", 8);

	switch (m->type) {
	case MESSAGE_JOIN:
		m->join.record = record;
		break;
	case MESSAGE_FORWARD_JOIN:
		m->forward_join.record = record;
		m->forward_join.ttl = 6;
		break;
	case MESSAGE_NEIGHBOR:
		m->neighbor.record = record;
		m->neighbor.high = true;
		break;
	case MESSAGE_SHUFFLE:
		m->shuffle.origin = m->shuffle.records[0] = m->shuffle.records[1] = record;
		m->shuffle.count = 2;
		break;
	case MESSAGE_SHUFFLE_REPLY:
		m->shuffle_reply.records[0] = record;
		m->shuffle_reply.count = 1;
		break;
	case MESSAGE_BROADCAST:
		m->broadcast.body = span_of("a body", 6);
		m->broadcast.hops = 3;
		break;
	case MESSAGE_IHAVE:
		m->ihave.count = 3;
		break;
	case MESSAGE_GRAFT:
		m->graft.count = 2;
		break;
	case MESSAGE_HEADS:
		m->heads.count = 2;
		m->heads.heads[0].kind = m->heads.heads[1].kind = ANNOUNCE_BEACON;
		break;
	case MESSAGE_PULL:
		m->pull.kind = ANNOUNCE_ROUND;
		break;
	default:
		break;
	}
}

static void fill_reach(struct message *m)
{
	switch (m->type) {
	case MESSAGE_OBSERVED:
		m->observed.from = v4;
		break;
	case MESSAGE_DIAL_BACK:
		m->dial_back.at = v6;
		break;
	case MESSAGE_DIALLED_BACK:
		snprintf(m->dialled_back.text, sizeof(m->dialled_back.text), "nobody answers");
		break;
	case MESSAGE_RELAY_RESERVED:
		m->relay_reserved.status = RELAY_OK;
		break;
	case MESSAGE_RELAY_OPENED:
		m->relay_opened.status = RELAY_FULL;
		break;
	case MESSAGE_RELAY_DATA:
		m->relay_data.bytes = span_of("sealed", 6);
		break;
	case MESSAGE_RELAY_CLOSE:
		m->relay_close.status = RELAY_GONE;
		break;
	case MESSAGE_RELAY_CREDIT:
		m->relay_credit.bytes = RELAY_WINDOW;
		break;
	case MESSAGE_MOVED:
		m->moved.step = MOVED_HERE;
		break;
	case MESSAGE_PUNCH:
		m->punch.count = 2;
		m->punch.at[0] = v4;
		m->punch.at[1] = v6;
		break;
	default:
		break;
	}
}

static void fill_blobs(struct message *m)
{
	switch (m->type) {
	case MESSAGE_BLOB_GET:
		m->blob_get.length = 1;
		break;
	case MESSAGE_BLOB_PART:
		m->blob_part.total = 9;
		m->blob_part.bytes = span_of("123456789", 9);
		m->blob_part.path_steps = 2;
		break;
	case MESSAGE_BLOB_HAVE:
		m->blob_have.total = 9;
		m->blob_have.pieces = span_of("\1", 1);
		break;
	case MESSAGE_BLOB_WHO:
		m->blob_who.want = 4;
		break;
	case MESSAGE_BLOB_SOURCES:
		m->blob_sources.count = 1;
		m->blob_sources.records[0] = span_of("a record", 8);
		break;
	default:
		break;
	}
}

static void fill_work(struct message *m)
{
	static const uint8_t leaves[2 * DIGEST_BYTES];

	switch (m->type) {
	case MESSAGE_GOODBYE:
		m->goodbye.reason = GOODBYE_SHUTDOWN;
		snprintf(m->goodbye.text, sizeof(m->goodbye.text), "näkemiin");
		break;
	case MESSAGE_WORK_REQUEST:
		m->work_request.slots = 1;
		snprintf(m->work_request.engine, sizeof(m->work_request.engine), "avx2");
		snprintf(m->work_request.team, sizeof(m->work_request.team), "otaniemi");
		break;
	case MESSAGE_NO_WORK:
		m->no_work.reason = NO_WORK_IDLE;
		break;
	case MESSAGE_LEASE:
		m->lease.manifest = m->lease.unit = span_of("1234", 4);
		m->lease.path_steps = 2;
		break;
	case MESSAGE_REVEAL:
		m->reveal.claim = span_of("1234", 4);
		break;
	case MESSAGE_UPLOAD:
		m->upload.bytes = span_of("1234", 4);
		break;
	case MESSAGE_SETTLED:
		m->settled.verdict = VERDICT_VALID;
		break;
	case MESSAGE_TRACE:
		m->trace.total = 3;
		m->trace.leaves = span_of(leaves, 2 * DIGEST_BYTES);
		break;
	case MESSAGE_SEGMENT:
		m->segment.total = 2;
		m->segment.leaves = span_of(leaves, DIGEST_BYTES);
		break;
	case MESSAGE_STATE:
		m->state.total = 9;
		m->state.bytes = span_of("1234", 4);
		break;
	case MESSAGE_SELFTEST_REQUEST:
		m->selftest_request.seed = 1;
		break;
	case MESSAGE_SELFTEST:
		m->selftest.seed = 1;
		snprintf(m->selftest.engine, sizeof(m->selftest.engine), "avx2");
		m->selftest.digests = span_of(leaves, DIGEST_BYTES);
		break;
	default:
		break;
	}
}

bool fuzz_message_seed(unsigned which, struct bytes *out)
{
	static const enum message_type types[] = {
#define X(name, member, number) name,
		MESSAGES(X)
#undef X
	};
	struct message m = {0};
	struct message check;
	struct errmsg msg = {""};

	if (which >= sizeof(types) / sizeof(types[0]))
		return false;
	m.type = types[which];
	fill_work(&m);
	fill_blobs(&m);
	fill_gossip(&m);
	fill_reach(&m);
	REQUIRE(message_encode(&m, out) == TK_OK);
	if (message_decode(&check, bytes_span(out), &msg) != TK_OK) {
		fprintf(stderr, "fill in a valid one above: %s\n", msg.text);
		return false;
	}
	return true;
}

/* Sessions: the first byte says which side we are, in bit 1 whether the network is private, and how the
 * rest is cut. */

#define SIDE_DIALS   1u
#define SIDE_PRIVATE 2u

static const uint8_t seeds[64];

static void network_of(struct public_key *out)
{
	struct key_pair root;

	key_from_seed(&root, seeds);
	*out = root.public;
}

static void identity_of(struct identity *id, enum role role, bool private)
{
	struct public_key network;

	network_of(&network);
	identity_init(id, seeds, seeds + 32, role, &network);
	if (private)
		identity_set_secret(id, seeds);
}

void fuzz_session(struct span in)
{
	struct identity id;
	struct session *s;
	size_t chunk;

	if (in.len == 0)
		return;
	identity_of(&id, ROLE_COORDINATOR, (in.data[0] & SIDE_PRIVATE) != 0);
	s = session_new(&id, (in.data[0] & SIDE_DIALS) != 0, seeds, NOW_S, NULL);
	chunk = 1u + (in.data[0] >> 2);
	REQUIRE(s != NULL);
	for (size_t at = 1; at < in.len; at += chunk) {
		size_t n = in.len - at < chunk ? in.len - at : chunk;
		struct message m;

		if (session_receive(s, span_of(in.data + at, n), NULL) != TK_OK)
			break;
		while (session_next(s, &m, NULL) == TK_OK)
			;
	}
	REQUIRE(session_state(s) != SESSION_OPEN); /* nobody here has a key */
	session_free(s);
}

bool fuzz_session_seed(unsigned which, struct bytes *out)
{
	static const uint8_t first[] = {0xfc, 0x04, 0xfe, 0x06};
	struct identity id;
	struct session *s;
	int rc;

	if (which >= sizeof(first))
		return false;
	identity_of(&id, ROLE_PEER, (first[which] & SIDE_PRIVATE) != 0);
	s = session_new(&id, true, seeds, NOW_S, NULL);
	REQUIRE(s != NULL);
	rc = bytes_append(out, &first[which], 1);
	if (rc == TK_OK)
		rc = bytes_append(out, session_output(s).data, session_output(s).len);
	session_free(s);
	return rc == TK_OK;
}

/* Identities, as the handshake has decrypted them. One that is accepted is signed, so it is one of ours. */

void fuzz_identity(struct span in)
{
	struct identity_claim claim;
	struct errmsg msg = {{0}};
	struct public_key network;
	struct identity id;

	network_of(&network);
	identity_of(&id, ROLE_PEER, false);
	if (identity_check(&claim, in, id.x25519_public, &network, NOW_S, &msg) != TK_OK)
		REQUIRE(msg.text[0] != '\0');
	else
		REQUIRE(claim.role == ROLE_PEER || (claim.role == ROLE_COORDINATOR && !claim.host));
}

bool fuzz_identity_seed(unsigned which, struct bytes *out)
{
	uint8_t serving[32] = {1};
	struct certificate certificate;
	struct key_pair root;
	struct identity id;

	if (which > 3)
		return false;
	identity_of(&id, which == 0 || which == 3 ? ROLE_PEER : ROLE_COORDINATOR, false);
	key_from_seed(&root, seeds);
	if (which == 2) {
		identity_init(&id, serving, seeds + 32, ROLE_COORDINATOR, &root.public);
		serving_sign(&certificate, &root, &id.key.public, NOW_S);
	} else {
		host_sign(&certificate, &root, &id.key.public, NOW_S);
	}
	if (which >= 2)
		identity_set_certificate(&id, &certificate);
	return identity_encode(&id, NOW_S, out) == TK_OK;
}
