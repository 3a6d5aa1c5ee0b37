/* See session.h. Three layers in one machine: the preamble, the handshake (noise.h, identity.h) and
 * transport frames. No socket, clock or randomness; what arrives is hostile until it authenticates. */
#include "peer/wire/session.h"

#include <string.h>

#include "peer/wire/identity.h"
#include "peer/wire/noise.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define LENGTH_BYTES	  2u
#define FLAG_BYTES	  1u
#define CHUNK_MAX	  (FRAME_BYTES_MAX - NOISE_TAG_BYTES - FLAG_BYTES)
#define FRAME_HEADER	  (LENGTH_BYTES + FLAG_BYTES)
#define FRAME_MEMORY	  (FRAME_HEADER + CHUNK_MAX + NOISE_TAG_BYTES)
#define QUEUE_HEADER	  4u
#define IDLE_CAPACITY_MAX 4096u

enum frame_flag { FRAME_LAST = 0, FRAME_MORE = 1 };

static const uint8_t magic[8] = "talkoot";

struct preamble {
	uint8_t magic[8];
	uint8_t version; /* major; WIRE_PRIVATE */
	uint8_t network[NETWORK_TAG_BYTES];
};

struct session {
	const struct identity *id;
	bool initiator;
	enum session_state state;
	uint64_t now_s;
	bool takes_hosts; /* in place of the root's key */
	bool expects;
	struct public_key expect;
	struct preamble preamble; /* ours; the other side's must be equal */

	struct noise_handshake noise;
	struct noise_cipher send, receive;
	bool has_peer;
	struct identity_claim peer;

	struct bytes input; /* the frame (or preamble) that is arriving: never more than one */
	struct bytes output;
	struct bytes
		queue; /* messages as le32 length and bytes, the last one perhaps still growing */
	size_t queue_next;  /* the first message that session_next has not given out */
	size_t queue_whole; /* where the messages that are complete end */

	int code; /* why the session closed */
	struct errmsg reason;
};

_Static_assert(sizeof(struct preamble) == 17, "the preamble has no padding");

/* An idle session keeps no large buffers: there may be thousands. */
static void buffer_rest(struct bytes *b)
{
	if (b->len == 0 && b->capacity > IDLE_CAPACITY_MAX)
		bytes_close(b);
}

static void buffer_wipe(struct bytes *b)
{
	if (b->data != NULL)
		secret_wipe(b->data, b->capacity);
	bytes_close(b);
}

static void session_wipe(struct session *s)
{
	noise_handshake_wipe(&s->noise);
	secret_wipe(&s->send, sizeof(s->send));
	secret_wipe(&s->receive, sizeof(s->receive));
	buffer_wipe(&s->input);
	buffer_wipe(&s->queue);
	s->queue_next = s->queue_whole = 0;
}

/* Closes for good; the reason stays. Returns rc. */
static int session_close(struct session *s, int rc, struct errmsg *msg)
{
	session_wipe(s);
	s->state = SESSION_CLOSED;
	s->code = rc;
	if (s->reason.text[0] == '\0')
		errmsg_set(&s->reason, rc, "%s", error_text(rc));
	return errmsg_set(msg, rc, "%s", s->reason.text);
}

static int session_refuse(const struct session *s, struct errmsg *msg)
{
	return errmsg_set(msg, s->code, "the session is closed: %s", s->reason.text);
}

/* Handshake */

/* Puts a handshake message around payload, framed, onto the output. */
static int handshake_write(struct session *s, struct span payload)
{
	uint8_t frame[LENGTH_BYTES + HANDSHAKE_FRAME_MAX];
	size_t len;
	int rc = noise_handshake_write(
		&s->noise, payload, frame + LENGTH_BYTES, HANDSHAKE_FRAME_MAX, &len);

	if (rc != TK_OK)
		return errmsg_set(
			&s->reason, rc, "the other side's handshake key is a point of low order");
	store_le16(frame, (uint16_t)len);
	return bytes_append(&s->output, frame, LENGTH_BYTES + len);
}

static int handshake_write_identity(struct session *s)
{
	struct bytes claim = {0};
	int rc = identity_encode(s->id, s->now_s, &claim);

	if (rc == TK_OK)
		rc = handshake_write(s, bytes_span(&claim));
	bytes_close(&claim);
	return rc;
}

/* Who demands the root key also takes whoever the root key has signed for: to serve, and where hosts will do, to be
 * one. */
static bool is_expected(const struct session *s)
{
	return !s->expects || key_equal(&s->peer.key, &s->expect) ||
	       (key_equal(&s->expect, &s->id->network) &&
		       (s->peer.role == ROLE_COORDINATOR || (s->takes_hosts && s->peer.host)));
}

static int handshake_check_identity(struct session *s, struct span payload)
{
	int rc = identity_check(
		&s->peer, payload, s->noise.rs, &s->id->network, s->now_s, &s->reason);

	if (rc == TK_OK && !is_expected(s))
		rc = errmsg_set(&s->reason, TK_EAUTH,
			"another node answers at this address: its identity is not the expected "
			"one");
	return rc;
}

static int handshake_frame(struct session *s, struct span frame)
{
	uint8_t payload[HANDSHAKE_FRAME_MAX];
	bool first = s->noise.messages == 0;
	size_t len;
	int rc = noise_handshake_read(&s->noise, frame, payload, sizeof(payload), &len);

	if (rc != TK_OK)
		return errmsg_set(&s->reason, rc,
			"handshake message %u is cut short or does not authenticate",
			s->noise.messages + 1);
	if (!first)
		rc = handshake_check_identity(s, span_of(payload, len));
	if (rc == TK_OK && noise_handshake_writes(&s->noise))
		rc = handshake_write_identity(s);
	if (rc == TK_OK && noise_handshake_done(&s->noise)) {
		noise_split(&s->noise, &s->send, &s->receive);
		s->has_peer = true;
		s->state = SESSION_OPEN;
	}
	return rc;
}

/* Start and end */

static int session_start(struct session *s, const uint8_t ephemeral_secret[32])
{
	const uint8_t *secret = s->id->has_secret ? s->id->secret : NULL;
	struct preamble both[2];
	struct noise_pair pair;
	int rc;

	memcpy(s->preamble.magic, magic, sizeof(magic));
	s->preamble.version = WIRE_MAJOR | (secret != NULL ? WIRE_PRIVATE : 0);
	network_tag(s->preamble.network, &s->id->network, secret);
	both[0] = both[1] = s->preamble;
	memcpy(pair.secret, s->id->x25519_secret, sizeof(pair.secret));
	memcpy(pair.public, s->id->x25519_public, sizeof(pair.public));
	noise_handshake_init_psk(&s->noise, s->initiator, span_of(both, sizeof(both)), &pair,
		ephemeral_secret, secret);
	secret_wipe(&pair, sizeof(pair));
	rc = bytes_append(&s->output, &s->preamble, sizeof(s->preamble));
	if (rc == TK_OK && s->initiator)
		rc = handshake_write(s, span_of("", 0));
	return rc;
}

struct session *session_new(const struct identity *id, bool initiator,
	const uint8_t ephemeral_secret[32], uint64_t now_s, const struct public_key *expect)
{
	struct session *s = mem_calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->id = id;
	s->initiator = initiator;
	s->state = SESSION_PREAMBLE;
	s->now_s = now_s;
	s->expects = expect != NULL;
	if (expect != NULL)
		s->expect = *expect;
	if (session_start(s, ephemeral_secret) == TK_OK)
		return s;
	session_free(s);
	return NULL;
}

void session_free(struct session *s)
{
	if (s == NULL)
		return;
	session_wipe(s);
	bytes_close(&s->output);
	secret_wipe(s, sizeof(*s));
	mem_free(s);
}

/* Receiving */

/* Moves bytes from in to the input until that holds `want`; false when in ran out before. */
static bool input_fill(struct session *s, struct span *in, size_t want, int *rc)
{
	size_t n = want - s->input.len < in->len ? want - s->input.len : in->len;

	*rc = bytes_append(&s->input, in->data, n);
	if (*rc != TK_OK)
		return false;
	*in = span_of(in->data + n, in->len - n);
	return s->input.len == want;
}

static int check_version(struct session *s, uint8_t version)
{
	bool private = (version & WIRE_PRIVATE) != 0;

	if ((version & ~WIRE_PRIVATE) != WIRE_MAJOR)
		return errmsg_set(&s->reason, TK_EUNSUPPORTED,
			"the other side speaks version %u, we speak %u: the older one must be "
			"updated",
			version & ~WIRE_PRIVATE, WIRE_MAJOR);
	if (private == s->id->has_secret)
		return TK_OK;
	return errmsg_set(&s->reason, TK_EAUTH,
		private ? "that network is private: join with its whole link, in which a secret "
			  "follows the key"
			: "ours is a private network, and the other side does not know its secret: "
			  "it must join with the whole link");
}

/* Judges what has arrived of the preamble as early as it can: a stranger is not waited for. */
static int receive_preamble(struct session *s, struct span *in)
{
	const uint8_t *got;
	size_t len;
	int rc;
	bool whole = input_fill(s, in, sizeof(s->preamble), &rc);

	if (rc != TK_OK)
		return rc;
	got = s->input.data;
	len = s->input.len;
	if (memcmp(got, magic, len < sizeof(magic) ? len : sizeof(magic)) != 0)
		return errmsg_set(&s->reason, TK_EPROTO, "the other side does not speak Talkoot");
	if (len > sizeof(magic))
		rc = check_version(s, got[sizeof(magic)]);
	if (rc != TK_OK || !whole)
		return rc;
	if (memcmp(got + sizeof(magic) + 1, s->preamble.network, NETWORK_TAG_BYTES) != 0)
		return errmsg_set(&s->reason, TK_EAUTH,
			"that is another network: its root key%s is not the one we joined",
			s->id->has_secret ? " or its secret" : "");
	s->input.len = 0;
	s->state = SESSION_HANDSHAKE;
	return TK_OK;
}

/* Adds a frame's contents to the message that is arriving. */
static int queue_chunk(struct session *s, struct span chunk, bool more)
{
	static const uint8_t header[QUEUE_HEADER];
	size_t start = s->queue_whole, have;
	int rc = TK_OK;

	if (s->queue.len == start)
		rc = bytes_append(&s->queue, header, sizeof(header));
	if (rc != TK_OK)
		return rc;
	have = s->queue.len - start - QUEUE_HEADER;
	if (chunk.len > MESSAGE_BYTES_MAX - have)
		return errmsg_set(&s->reason, TK_ELIMIT, "a message is longer than %u bytes",
			MESSAGE_BYTES_MAX);
	rc = bytes_append(&s->queue, chunk.data, chunk.len);
	if (rc != TK_OK || more)
		return rc;
	store_le32(s->queue.data + start, (uint32_t)(have + chunk.len));
	s->queue_whole = s->queue.len;
	return TK_OK;
}

/* Both directions rekey after the same frames: the cipher's own count says when. */
static void frame_counted(struct noise_cipher *c)
{
	if (c->n % REKEY_FRAMES == 0)
		noise_rekey(c);
}

/* Decrypts a frame to `plain`, which may be where it lies. */
static int transport_frame(struct session *s, struct span frame, uint8_t *plain)
{
	int rc = noise_decrypt(&s->receive, span_of("", 0), frame, plain);

	if (rc != TK_OK)
		return errmsg_set(&s->reason, rc,
			"a frame does not authenticate: altered, repeated or out of order");
	frame_counted(&s->receive);
	if (plain[0] != FRAME_LAST && plain[0] != FRAME_MORE)
		return errmsg_set(
			&s->reason, TK_EPROTO, "a frame has the unknown flag %u", plain[0]);
	return queue_chunk(s, span_of(plain + FLAG_BYTES, frame.len - NOISE_TAG_BYTES - FLAG_BYTES),
		plain[0] == FRAME_MORE);
}

/* The first handshake message is one key, with a tag in private networks; a transport frame holds a flag, at least one byte of a
 * message and a tag. */
static int check_length(struct session *s, size_t length)
{
	size_t first = NOISE_KEY_BYTES + (s->id->has_secret ? NOISE_TAG_BYTES : 0);
	size_t min = first, max = HANDSHAKE_FRAME_MAX;

	if (s->state == SESSION_OPEN) {
		min = FLAG_BYTES + 1 + NOISE_TAG_BYTES;
		max = FRAME_BYTES_MAX;
	} else if (s->noise.messages == 0) {
		max = first;
	}
	if (length >= min && length <= max)
		return TK_OK;
	return errmsg_set(&s->reason, length < min ? TK_EPROTO : TK_ELIMIT,
		"a frame of %zu bytes; %zu to %zu are allowed here", length, min, max);
}

/* A frame that arrived whole needs no copy before it is decrypted. False: it did not. */
static bool receive_whole(struct session *s, struct span *in, int *rc)
{
	size_t length;

	if (s->state != SESSION_OPEN || s->input.len != 0 || in->len < LENGTH_BYTES)
		return false;
	length = load_le16(in->data);
	if (in->len - LENGTH_BYTES < length)
		return false;
	*rc = check_length(s, length);
	if (*rc == TK_OK)
		*rc = bytes_reserve(&s->input, length);
	if (*rc == TK_OK)
		*rc = transport_frame(s, span_of(in->data + LENGTH_BYTES, length), s->input.data);
	*in = span_of(in->data + LENGTH_BYTES + length, in->len - LENGTH_BYTES - length);
	return true;
}

static int receive_frame(struct session *s, struct span *in)
{
	uint8_t *frame;
	size_t length;
	int rc = TK_OK;

	if (receive_whole(s, in, &rc))
		return rc;
	if (s->input.len < LENGTH_BYTES && !input_fill(s, in, LENGTH_BYTES, &rc))
		return rc;
	length = load_le16(s->input.data);
	rc = check_length(s, length);
	if (rc != TK_OK || !input_fill(s, in, LENGTH_BYTES + length, &rc))
		return rc;
	frame = s->input.data + LENGTH_BYTES;
	if (s->state == SESSION_OPEN)
		rc = transport_frame(s, span_of(frame, length), frame);
	else
		rc = handshake_frame(s, span_of(frame, length));
	s->input.len = 0;
	return rc;
}

/* Forgets the messages that were given out. */
static void queue_compact(struct session *s)
{
	bytes_consume(&s->queue, s->queue_next);
	s->queue_whole -= s->queue_next;
	s->queue_next = 0;
}

int session_receive(struct session *s, struct span in, struct errmsg *msg)
{
	int rc = TK_OK;

	if (s->state == SESSION_CLOSED)
		return session_refuse(s, msg);
	queue_compact(s);
	while (rc == TK_OK && in.len != 0)
		rc = s->state == SESSION_PREAMBLE ? receive_preamble(s, &in)
						  : receive_frame(s, &in);
	if (rc != TK_OK)
		return session_close(s, rc, msg);
	buffer_rest(&s->input);
	buffer_rest(&s->queue);
	return TK_OK;
}

int session_next(struct session *s, struct message *out, struct errmsg *msg)
{
	struct span body;
	int rc;

	if (s->state == SESSION_CLOSED)
		return session_refuse(s, msg);
	if (s->queue_next == s->queue_whole)
		return TK_ENOENT;
	body = span_of(s->queue.data + s->queue_next + QUEUE_HEADER,
		load_le32(s->queue.data + s->queue_next));
	rc = message_decode(out, body, &s->reason);
	if (rc != TK_OK)
		return session_close(s, rc, msg);
	s->queue_next += QUEUE_HEADER + body.len;
	return TK_OK;
}

/* Sending */

/* Encrypts a frame where it lies: behind FRAME_HEADER bytes of room its chunk, then room for the tag. */
static int frame_seal(struct session *s, uint8_t *at, size_t chunk, bool more)
{
	size_t plain = FLAG_BYTES + chunk;
	int rc;

	store_le16(at, (uint16_t)(plain + NOISE_TAG_BYTES));
	at[LENGTH_BYTES] = more ? FRAME_MORE : FRAME_LAST;
	rc = noise_encrypt(
		&s->send, span_of("", 0), span_of(at + LENGTH_BYTES, plain), at + LENGTH_BYTES);
	if (rc == TK_OK)
		frame_counted(&s->send);
	return rc;
}

/* The message lies at the output's end, behind the header of its first frame: its other chunks make room
 * for what is around each, then all are sealed. */
static int frames_seal(struct session *s, size_t start, size_t len)
{
	size_t frames = (len + CHUNK_MAX - 1) / CHUNK_MAX;
	size_t last = len - (frames - 1) * CHUNK_MAX;
	size_t all = len + frames * (FRAME_HEADER + NOISE_TAG_BYTES);
	int rc = bytes_reserve(&s->output, all - (s->output.len - start));
	uint8_t *at = s->output.data + start;

	if (rc != TK_OK)
		return rc;
	for (size_t i = frames - 1; i > 0; i--)
		memmove(at + i * FRAME_MEMORY + FRAME_HEADER, at + i * CHUNK_MAX + FRAME_HEADER,
			i == frames - 1 ? last : CHUNK_MAX);
	for (size_t i = 0; rc == TK_OK && i < frames; i++)
		rc = frame_seal(s, at + i * FRAME_MEMORY, i == frames - 1 ? last : CHUNK_MAX,
			i < frames - 1);
	s->output.len = start + all;
	return rc;
}

/* The feature that a message belongs to; 0: everybody knows it. */
static uint64_t feature_of(enum message_type type)
{
	if (type == MESSAGE_OBSERVED || type >= MESSAGE_DIAL_BACK)
		return FEATURE_RELAY;
	if (type == MESSAGE_HOST_CERTIFICATE)
		return FEATURE_HOST;
	if (type >= MESSAGE_JOIN && type <= MESSAGE_PULL)
		return FEATURE_GOSSIP;
	return type >= MESSAGE_BLOB_BUSY && type <= MESSAGE_BLOB_SOURCES ? FEATURE_SWARM : 0;
}

/* The message as the other side will read it, onto the output behind room for a frame's header. */
static int send_encode(struct session *s, const struct message *m, struct errmsg *msg)
{
	static const uint8_t header[FRAME_HEADER];
	size_t start = s->output.len + FRAME_HEADER;
	struct message check;
	int rc = bytes_append(&s->output, header, FRAME_HEADER);

	if (rc == TK_OK)
		rc = message_encode(m, &s->output);
	if (rc != TK_OK)
		return errmsg_set(msg, rc, "%s", error_text(rc));
	rc = message_decode(&check, span_of(s->output.data + start, s->output.len - start), msg);
	if (rc == TK_OK)
		return TK_OK;
	return errmsg_prefix(msg, rc == TK_ELIMIT ? rc : TK_EINVAL, "not sent");
}

int session_send(struct session *s, const struct message *m, struct errmsg *msg)
{
	size_t start = s->output.len;
	int rc;

	if (s->state == SESSION_CLOSED)
		return errmsg_set(msg, TK_EINVAL, "the session is closed: %s", s->reason.text);
	if (s->state != SESSION_OPEN)
		return errmsg_set(msg, TK_EINVAL, "the session is not open yet");
	if ((feature_of(m->type) & ~session_features(s)) != 0)
		return errmsg_set(msg, TK_EINVAL, "not sent: the other side does not know %s",
			message_name(m->type));
	rc = send_encode(s, m, msg);
	if (rc == TK_OK) {
		rc = frames_seal(s, start, s->output.len - start - FRAME_HEADER);
		if (rc != TK_OK)
			errmsg_set(msg, rc, "%s", error_text(rc));
	}
	if (rc != TK_OK)
		s->output.len = start;
	return rc;
}

struct span session_output(const struct session *s)
{
	return bytes_span(&s->output);
}

void session_consume(struct session *s, size_t n)
{
	bytes_consume(&s->output, n);
	buffer_rest(&s->output);
}

void session_take_output(struct session *s, struct bytes *out)
{
	*out = s->output;
	s->output = (struct bytes){0};
}

enum session_state session_state(const struct session *s)
{
	return s->state;
}

const struct public_key *session_peer(const struct session *s)
{
	return s->has_peer ? &s->peer.key : NULL;
}

void session_take_hosts(struct session *s)
{
	s->takes_hosts = true;
}

bool session_met_host(const struct session *s)
{
	return s->has_peer && s->takes_hosts && s->peer.host;
}

enum role session_peer_role(const struct session *s)
{
	return s->has_peer ? s->peer.role : (enum role)0;
}

int64_t session_skew_s(const struct session *s)
{
	return s->has_peer ? (int64_t)s->peer.expiry_s - (int64_t)(s->now_s + IDENTITY_LIFETIME_S)
			   : 0;
}

uint64_t session_features(const struct session *s)
{
	return s->has_peer ? s->peer.features & s->id->features & WIRE_FEATURES : 0;
}
