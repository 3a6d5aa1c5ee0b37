/* See messages.h; PROTOCOL.md has the table. Encoders and decoders are in messages_*.c. */
#include "peer/wire/messages.h"

#include <stddef.h>
#include <string.h>

#include "peer/wire/messages_codec.h"
#include "tasks/base/require.h"

int message_encode(const struct message *m, struct bytes *out)
{
	size_t before = out->len;
	struct packer p;
	int rc;

	pack_begin(&p, out);
	switch (m->type) {
#define X(name, member, number)                                                                    \
	case name:                                                                                 \
		encode_##member(&p, &m->member);                                                   \
		break;
		MESSAGES(X)
#undef X
	default:
		REQUIRE(!"a type that messages.h does not list");
	}
	rc = pack_end(&p);
	if (rc != TK_OK)
		out->len = before;
	return rc;
}

/* The largest message is fifty times a short one: only its own part is cleared, and copied in the end. */
int message_decode(struct message *m, struct span in, struct errmsg *msg)
{
	struct message got;
	struct mp_reader r;
	size_t size = 0;
	uint32_t have, type;
	int rc;

	if (in.len > MESSAGE_BYTES_MAX)
		return errmsg_set(msg, TK_ELIMIT, "a message of %zu bytes; %u are allowed", in.len,
			MESSAGE_BYTES_MAX);
	mp_begin(&r, in);
	have = mp_array(&r, "message", 1, UINT32_MAX);
	type = mp_u32(&r, "type", 0, UINT32_MAX);
	if (r.error != TK_OK)
		return errmsg_prefix(msg, mp_end(&r, msg), "message");
	got.type = (enum message_type)type;
	switch (type) {
#define X(name, member, number)                                                                    \
	case name:                                                                                 \
		size = sizeof(got.member);                                                         \
		memset(&got.member, 0, size);                                                      \
		decode_##member(&r, have, &got.member);                                            \
		break;
		MESSAGES(X)
#undef X
	default:
		return errmsg_set(msg, TK_EPROTO, "message type %u is unknown", type);
	}
	rc = mp_end(&r, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "message %s", message_name(got.type));
	memcpy(m, &got, offsetof(struct message, ping) + size); /* all members begin there */
	return TK_OK;
}

const char *message_name(enum message_type type)
{
	switch (type) {
#define X(name, member, number)                                                                    \
	case name:                                                                                 \
		return &#name[sizeof("MESSAGE_") - 1];
		MESSAGES(X)
#undef X
	default:
		return "UNKNOWN";
	}
}
