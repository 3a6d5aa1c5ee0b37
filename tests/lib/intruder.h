/* A client that may break every rule: a blocking socket that speaks the wire byte by byte, with the real
 * handshake's keys but none of the session's checks. For tests against a running coordinator. */
#ifndef TESTS_LIB_INTRUDER_H
#define TESTS_LIB_INTRUDER_H

#include "peer/wire/noise.h"
#include "peer/wire/session.h"

#define INTRUDER_PATIENCE_MS 60000 /* far beyond any real wait: a hang is a failure */

struct intruder {
	int fd; /* −1: not connected */
	struct identity id;
	struct noise_cipher send, receive;
	struct bytes arrived;
	struct message got; /* what intruder_hear gave last; borrows from plain */
	struct bytes plain;
};

/* What is wrong with the identity that a handshake shows. */
enum intruder_lie {
	LIE_NONE = 0,
	LIE_COORDINATOR = 1, /* the role, without the root key */
	LIE_EXPIRED = 2,
	LIE_FOREVER = 3,  /* holds for too long */
	LIE_STOLEN = 4,	  /* signed for another static key */
	LIE_SILENT = 5,	  /* no identity at all */
	LIE_NETWORK = 6,  /* preamble of another network */
	LIE_TAMPERED = 7, /* one bit of message 3 flipped */
	LIE_LAST = LIE_TAMPERED,
};

/* A new identity in this network; not connected. */
void intruder_init(struct intruder *in, const struct public_key *network);
void intruder_close(struct intruder *in); /* hangs up and frees */

/* All of these are false when the other side has closed the connection (or refused it). */
bool intruder_connect(struct intruder *in, uint16_t port);
bool intruder_raw(struct intruder *in, const void *data, size_t n);
/* Preamble and the three messages. True once message 3 was written, whatever becomes of it. */
bool intruder_handshake(struct intruder *in, enum intruder_lie lie);
/* One encrypted frame around n bytes of a message; flag as given. Appends to out when that is not NULL
 * and sends nothing then. */
bool intruder_frame(
	struct intruder *in, uint8_t flag, const void *data, size_t n, struct bytes *out);
/* One message in one frame or more, encoded as it is. */
bool intruder_say(struct intruder *in, const struct message *m);
/* The next message, PING and OBSERVED left out, and SELFTEST_REQUESTs answered rightly; false: closed, or nothing came within INTRUDER_PATIENCE_MS. */
bool intruder_hear(struct intruder *in);
/* True when the other side answers a PING: the session is alive. Forgets what else came before it. */
bool intruder_alive(struct intruder *in);
/* Reads until the other side has closed; false: it did not. */
bool intruder_is_closed(struct intruder *in);

#endif
