/* Two sessions and the wire between them, which a test may bend. The peer dials, the coordinator
 * answers; keys and ephemerals are those of noise_reference.py. Every message that is sent or arrives
 * is kept as bytes, so that "nothing wrong was delivered" is a comparison. */
#ifndef TESTS_WIRE_PAIR_H
#define TESTS_WIRE_PAIR_H

#include <string.h>

#include "peer/wire/session.h"

#define PAIR_NOW_S 1700000000u

struct side {
	struct identity id;
	struct session *session;
	struct bytes sent, received; /* messages, encoded one after the other */
};

struct pair {
	struct side peer, root;
};

/* What a wire does to the bytes of one direction. */
struct bend {
	size_t passed;	/* bytes so far */
	size_t flip_at; /* SIZE_MAX: never */
	uint8_t mask;
	size_t chunk; /* 0: all at once */
};

static inline void side_init(struct side *s, uint8_t seed, uint8_t secret, enum role role,
	const struct public_key *network)
{
	uint8_t ed25519[32], x25519[32];

	memset(ed25519, seed, sizeof(ed25519));
	memset(x25519, secret, sizeof(x25519));
	*s = (struct side){0};
	identity_init(&s->id, ed25519, x25519, role, network);
}

/* The identities, without sessions. */
static inline void pair_identities(struct pair *p)
{
	struct key_pair root;
	uint8_t seed[32];

	memset(seed, 2, sizeof(seed));
	key_from_seed(&root, seed);
	side_init(&p->peer, 1, 3, ROLE_PEER, &root.public);
	side_init(&p->root, 2, 4, ROLE_COORDINATOR, &root.public);
}

static inline void side_start(struct side *s, bool initiator, const struct public_key *expect)
{
	uint8_t ephemeral[32];

	memset(ephemeral, initiator ? 5 : 6, sizeof(ephemeral));
	s->session = session_new(&s->id, initiator, ephemeral, PAIR_NOW_S, expect);
}

static inline void pair_start(struct pair *p)
{
	pair_identities(p);
	side_start(&p->peer, true, &p->root.id.network);
	side_start(&p->root, false, NULL);
}

static inline void side_close(struct side *s)
{
	session_free(s->session);
	bytes_close(&s->sent);
	bytes_close(&s->received);
	identity_wipe(&s->id);
}

static inline void pair_close(struct pair *p)
{
	side_close(&p->peer);
	side_close(&p->root);
}

/* Takes out every message that has arrived. */
static inline int side_drain(struct side *s, struct errmsg *msg)
{
	struct message m;
	int rc;

	while ((rc = session_next(s->session, &m, msg)) == TK_OK) {
		rc = message_encode(&m, &s->received);
		if (rc != TK_OK)
			return rc;
	}
	return rc == TK_ENOENT ? TK_OK : rc;
}

static inline int side_receive(struct side *s, struct span in, size_t chunk, struct errmsg *msg)
{
	while (in.len != 0) {
		size_t n = chunk != 0 && chunk < in.len ? chunk : in.len;
		int rc = session_receive(s->session, span_of(in.data, n), msg);

		if (rc == TK_OK)
			rc = side_drain(s, msg);
		if (rc != TK_OK)
			return rc;
		in = span_of(in.data + n, in.len - n);
	}
	return TK_OK;
}

/* Carries what one side has to say to the other. bend may be NULL. */
static inline int carry(struct side *from, struct side *to, struct bend *bend, struct errmsg *msg)
{
	struct span out = session_output(from->session);
	struct bytes wire = {0};
	int rc = bytes_append(&wire, out.data, out.len);

	if (rc != TK_OK)
		return rc;
	session_consume(from->session, wire.len);
	if (bend != NULL) {
		if (bend->flip_at >= bend->passed && bend->flip_at - bend->passed < wire.len)
			wire.data[bend->flip_at - bend->passed] ^= bend->mask;
		bend->passed += wire.len;
	}
	rc = side_receive(to, bytes_span(&wire), bend != NULL ? bend->chunk : 0, msg);
	bytes_close(&wire);
	return rc;
}

/* Carries both ways until nobody has anything to say. */
static inline int settle(struct pair *p, struct bend *up, struct bend *down, struct errmsg *msg)
{
	while (session_output(p->peer.session).len != 0 ||
		session_output(p->root.session).len != 0) {
		int rc = carry(&p->peer, &p->root, up, msg);

		if (rc == TK_OK)
			rc = carry(&p->root, &p->peer, down, msg);
		if (rc != TK_OK)
			return rc;
	}
	return TK_OK;
}

static inline int say(struct side *s, const struct message *m, struct errmsg *msg)
{
	size_t before = s->sent.len;
	int rc = message_encode(m, &s->sent);

	if (rc == TK_OK)
		rc = session_send(s->session, m, msg);
	if (rc != TK_OK)
		s->sent.len = before;
	return rc;
}

static inline bool is_open(const struct side *s)
{
	return session_state(s->session) == SESSION_OPEN;
}

static inline bool is_closed(const struct side *s)
{
	return session_state(s->session) == SESSION_CLOSED;
}

/* What arrived is the beginning of what was sent. */
static inline bool honest(const struct side *from, const struct side *to)
{
	return to->received.len <= from->sent.len &&
	       (to->received.len == 0 ||
		       memcmp(to->received.data, from->sent.data, to->received.len) == 0);
}

static inline bool complete(const struct side *from, const struct side *to)
{
	return honest(from, to) && from->sent.len == to->received.len;
}

/* xorshift64; *seed ≠ 0. */
static inline uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static inline struct message message_ping(uint64_t token)
{
	return (struct message){.type = MESSAGE_PING, .ping = {.token = token}};
}

/* An UPLOAD of n bytes, which must live as long as the message. */
static inline struct message message_upload(const uint8_t *bytes, size_t n)
{
	return (struct message){.type = MESSAGE_UPLOAD, .upload = {.bytes = {bytes, n}}};
}

/* A short talk, both ways, in which messages of several kinds pass. */
static inline int talk(struct pair *p, struct bend *up, struct bend *down, struct errmsg *msg)
{
	struct message request = {
		.type = MESSAGE_WORK_REQUEST, .work_request = {.slots = 2, .engine = "baseline"}};
	struct message none = {.type = MESSAGE_NO_WORK,
		.no_work = {.reason = NO_WORK_IDLE, .retry_ms = 5000, .text = "no project"}};
	struct message ping = message_ping(7);
	struct message bye = {.type = MESSAGE_GOODBYE,
		.goodbye = {.reason = GOODBYE_SHUTDOWN, .text = "until tomorrow"}};
	int rc = settle(p, up, down, msg);

	if (rc == TK_OK)
		rc = say(&p->peer, &request, msg);
	if (rc == TK_OK)
		rc = say(&p->peer, &ping, msg);
	if (rc == TK_OK)
		rc = say(&p->root, &none, msg);
	if (rc == TK_OK)
		rc = settle(p, up, down, msg);
	if (rc == TK_OK)
		rc = say(&p->root, &bye, msg);
	if (rc == TK_OK)
		rc = say(&p->peer, &bye, msg);
	if (rc == TK_OK)
		rc = settle(p, up, down, msg);
	return rc;
}

#endif
