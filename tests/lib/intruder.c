/* See intruder.h. */
#include "tests/lib/intruder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "peer/wire/identity.h"
#include "tasks/unit/selftest.h"

#define PREAMBLE_BYTES 17u
#define CHUNK_MAX      (FRAME_BYTES_MAX - NOISE_TAG_BYTES - 1u)

void intruder_init(struct intruder *in, const struct public_key *network)
{
	uint8_t seeds[64];

	*in = (struct intruder){.fd = -1};
	random_bytes(seeds, sizeof(seeds));
	identity_init(&in->id, seeds, seeds + 32, ROLE_PEER, network);
}

void intruder_close(struct intruder *in)
{
	if (in->fd >= 0)
		close(in->fd);
	in->fd = -1;
	bytes_close(&in->arrived);
	bytes_close(&in->plain);
}

bool intruder_connect(struct intruder *in, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (in->fd >= 0)
		close(in->fd);
	in->arrived.len = 0;
	in->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (in->fd < 0)
		return false;
	(void)setsockopt(in->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return connect(in->fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

bool intruder_raw(struct intruder *in, const void *data, size_t n)
{
	const uint8_t *at = data;

	while (n > 0) {
		ssize_t sent = send(in->fd, at, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		at += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* Reads once what is there, after waiting for it. */
static bool read_some(struct intruder *in)
{
	struct pollfd fd = {.fd = in->fd, .events = POLLIN};
	ssize_t n;

	if (poll(&fd, 1, INTRUDER_PATIENCE_MS) != 1 || bytes_reserve(&in->arrived, 65536) != TK_OK)
		return false;
	n = recv(in->fd, in->arrived.data + in->arrived.len, 65536, 0);
	if (n <= 0)
		return false;
	in->arrived.len += (size_t)n;
	return true;
}

static bool read_until(struct intruder *in, size_t n)
{
	while (in->arrived.len < n)
		if (!read_some(in))
			return false;
	return true;
}

static void preamble(uint8_t out[PREAMBLE_BYTES], const struct public_key *network)
{
	memcpy(out, "talkoot", 8);
	out[8] = WIRE_MAJOR;
	network_tag(out + 9, network, NULL);
}

static bool send_framed(struct intruder *in, const uint8_t *data, size_t n)
{
	uint8_t length[2];

	store_le16(length, (uint16_t)n);
	return intruder_raw(in, length, 2) && intruder_raw(in, data, n);
}

/* Message 3's payload, with the lie in it. */
static bool identity_write(struct intruder *in, enum intruder_lie lie, struct bytes *out)
{
	struct identity id = in->id;
	uint64_t now_s = (uint64_t)time(NULL);

	if (lie == LIE_SILENT)
		return true;
	if (lie == LIE_COORDINATOR)
		id.role = ROLE_COORDINATOR;
	if (lie == LIE_EXPIRED)
		now_s -= IDENTITY_LIFETIME_S + IDENTITY_SKEW_S + 60;
	if (lie == LIE_FOREVER)
		now_s += IDENTITY_AHEAD_MAX_S;
	if (lie == LIE_STOLEN)
		id.x25519_public[0] ^= 1;
	return identity_encode(&id, now_s, out) == TK_OK;
}

static bool handshake_finish(
	struct intruder *in, struct noise_handshake *h, enum intruder_lie lie, struct bytes *claim)
{
	uint8_t frame[HANDSHAKE_FRAME_MAX + NOISE_OVERHEAD_MAX];
	uint8_t payload[65536];
	size_t length;
	size_t n;

	if (!read_until(in, PREAMBLE_BYTES + 2))
		return false;
	length = load_le16(in->arrived.data + PREAMBLE_BYTES);
	if (!read_until(in, PREAMBLE_BYTES + 2 + length))
		return false;
	if (noise_handshake_read(h, span_of(in->arrived.data + PREAMBLE_BYTES + 2, length), payload,
		    sizeof(payload), &n) != TK_OK)
		return false;
	bytes_consume(&in->arrived, PREAMBLE_BYTES + 2 + length);
	if (!identity_write(in, lie, claim) ||
		noise_handshake_write(h, bytes_span(claim), frame, sizeof(frame), &n) != TK_OK)
		return false;
	if (lie == LIE_TAMPERED)
		frame[n - 1] ^= 1;
	if (!send_framed(in, frame, n))
		return false;
	noise_split(h, &in->send, &in->receive);
	return true;
}

bool intruder_handshake(struct intruder *in, enum intruder_lie lie)
{
	uint8_t both[2 * PREAMBLE_BYTES], first[128], ephemeral[32];
	struct public_key network = in->id.network;
	struct noise_handshake h;
	struct bytes claim = {0};
	size_t n;
	bool good;

	network.b[0] ^= lie == LIE_NETWORK;
	preamble(both, &network);
	preamble(both + PREAMBLE_BYTES, &in->id.network);
	random_bytes(ephemeral, sizeof(ephemeral));
	noise_handshake_init(
		&h, true, span_of(both, sizeof(both)), in->id.x25519_secret, ephemeral);
	good = intruder_raw(in, both, PREAMBLE_BYTES) &&
	       noise_handshake_write(&h, span_of("", 0), first, sizeof(first), &n) == TK_OK &&
	       send_framed(in, first, n) && handshake_finish(in, &h, lie, &claim);
	bytes_close(&claim);
	noise_handshake_wipe(&h);
	return good;
}

bool intruder_frame(
	struct intruder *in, uint8_t flag, const void *data, size_t n, struct bytes *out)
{
	uint8_t frame[2 + FRAME_BYTES_MAX];

	if (n > CHUNK_MAX)
		return false;
	frame[2] = flag;
	memcpy(frame + 3, data, n);
	if (noise_encrypt(&in->send, span_of("", 0), span_of(frame + 2, 1 + n), frame + 2) != TK_OK)
		return false;
	if (in->send.n % REKEY_FRAMES == 0)
		noise_rekey(&in->send);
	store_le16(frame, (uint16_t)(1 + n + NOISE_TAG_BYTES));
	if (out != NULL)
		return bytes_append(out, frame, 3 + n + NOISE_TAG_BYTES) == TK_OK;
	return intruder_raw(in, frame, 3 + n + NOISE_TAG_BYTES);
}

bool intruder_say(struct intruder *in, const struct message *m)
{
	struct bytes encoded = {0};
	bool good = message_encode(m, &encoded) == TK_OK;

	for (size_t at = 0; good && at < encoded.len;) {
		size_t n = encoded.len - at < CHUNK_MAX ? encoded.len - at : CHUNK_MAX;

		good = intruder_frame(in, at + n < encoded.len, encoded.data + at, n, NULL);
		at += n;
	}
	bytes_close(&encoded);
	return good;
}

/* One message, whatever it is. */
static bool hear_any(struct intruder *in)
{
	bool more = true;

	in->plain.len = 0;
	while (more) {
		size_t length;
		uint8_t *frame;

		if (!read_until(in, 2))
			return false;
		length = load_le16(in->arrived.data);
		if (!read_until(in, 2 + length))
			return false;
		frame = in->arrived.data + 2;
		if (noise_decrypt(&in->receive, span_of("", 0), span_of(frame, length), frame) !=
			TK_OK)
			return false;
		if (in->receive.n % REKEY_FRAMES == 0)
			noise_rekey(&in->receive);
		more = frame[0] == 1;
		if (bytes_append(&in->plain, frame + 1, length - 1 - NOISE_TAG_BYTES) != TK_OK)
			return false;
		bytes_consume(&in->arrived, 2 + length);
	}
	return message_decode(&in->got, bytes_span(&in->plain), NULL) == TK_OK;
}

/* Whoever wants leases must compute well, whatever else it does. */
static bool pass_selftest(struct intruder *in, uint64_t seed)
{
	const struct compute alone = {.engine = engine_best()};
	struct message m = {.type = MESSAGE_SELFTEST, .selftest = {.seed = seed}};
	struct digest digests[SELFTEST_OPERATIONS];
	uint8_t le[8];
	struct span fields[5] = {span_of(in->id.network.b, KEY_BYTES), span_of(le, sizeof(le)),
		span_of("", 0), span_of("", 0), span_of(digests, sizeof(digests))};

	if (selftest_run(&alone, seed, digests, NULL) != TK_OK)
		return false;
	store_le64(le, seed);
	m.selftest.digests = fields[4];
	key_sign(&m.selftest.signature, &in->id.key, "talkoot selftest", fields, 5);
	return intruder_say(in, &m);
}

bool intruder_hear(struct intruder *in)
{
	for (;;) {
		if (!hear_any(in))
			return false;
		if (in->got.type == MESSAGE_SELFTEST_REQUEST) {
			if (!pass_selftest(in, in->got.selftest_request.seed))
				return false;
		} else if (in->got.type != MESSAGE_PING && in->got.type != MESSAGE_OBSERVED) {
			return true;
		}
	}
}

bool intruder_alive(struct intruder *in)
{
	struct message ping = {.type = MESSAGE_PING, .ping = {.token = 4711}};

	if (!intruder_say(in, &ping))
		return false;
	do {
		if (!intruder_hear(in))
			return false;
	} while (in->got.type != MESSAGE_PONG);
	return true;
}

bool intruder_is_closed(struct intruder *in)
{
	struct pollfd fd = {.fd = in->fd, .events = POLLIN};
	char rest[4096];

	for (;;) {
		ssize_t n;

		if (poll(&fd, 1, INTRUDER_PATIENCE_MS) != 1)
			return false;
		n = recv(in->fd, rest, sizeof(rest), 0);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
}
