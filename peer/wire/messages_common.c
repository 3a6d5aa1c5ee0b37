/* The fields that several messages have, and the messages that every session has; see messages_codec.h. */
#include "peer/wire/messages_codec.h"

#include <string.h>

#include "tasks/base/require.h"

/* Text */

/* The length of the printable UTF-8 character at p (n ≥ 1 bytes are left), or 0 (RFC 3629). */
static size_t character_length(const uint8_t *p, size_t n)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t c;

	if (len == 1)
		return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
	if (len == 0 || len > n || p[0] > 0xf4)
		return 0;
	c = p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || c < 0xa0)
		return 0;
	return len;
}

void message_put_text(struct packer *p, const char *text, size_t size)
{
	char clean[TEXT_MAX];
	size_t n = strnlen(text, size);

	REQUIRE(n < size && size <= sizeof(clean));
	memcpy(clean, text, n + 1);
	for (size_t i = 0; i < n;) {
		size_t len = character_length((const uint8_t *)clean + i, n - i);

		if (len == 0)
			clean[i] = '?';
		i += len != 0 ? len : 1;
	}
	pack_text(p, clean);
}

void message_get_text(struct mp_reader *r, const char *field, char *out, size_t size)
{
	size_t n;

	mp_text(r, field, out, size);
	n = strlen(out);
	for (size_t i = 0; i < n && r->error == TK_OK;) {
		size_t len = character_length((const uint8_t *)out + i, n - i);

		if (len == 0) {
			r->error = TK_EPROTO;
			r->field = field;
		}
		i += len;
	}
}

void message_begin(struct packer *p, enum message_type type, uint32_t fields)
{
	pack_array(p, 1 + fields);
	pack_u64(p, type);
}

void message_want_fields(struct mp_reader *r, uint32_t have, uint32_t fields)
{
	if (r->error == TK_OK && have != 1 + fields) {
		r->error = TK_EPROTO;
		r->field = "number of fields";
	}
}

void message_want(struct mp_reader *r, bool holds, const char *field)
{
	if (r->error == TK_OK && !holds) {
		r->error = TK_ELIMIT;
		r->field = field;
	}
}

void message_put_signature(struct packer *p, const struct signature *s)
{
	pack_bin(p, s->b, SIGNATURE_BYTES);
}

void message_put_key(struct packer *p, const struct public_key *key)
{
	pack_bin(p, key->b, KEY_BYTES);
}

/* Either way */

void encode_ping(struct packer *p, const struct message_ping *m)
{
	message_begin(p, MESSAGE_PING, 1);
	pack_u64(p, m->token);
}

void decode_ping(struct mp_reader *r, uint32_t have, struct message_ping *m)
{
	message_want_fields(r, have, 1);
	m->token = mp_u64(r, "token", 0, UINT64_MAX);
}

void encode_pong(struct packer *p, const struct message_pong *m)
{
	message_begin(p, MESSAGE_PONG, 1);
	pack_u64(p, m->token);
}

void decode_pong(struct mp_reader *r, uint32_t have, struct message_pong *m)
{
	message_want_fields(r, have, 1);
	m->token = mp_u64(r, "token", 0, UINT64_MAX);
}

void encode_goodbye(struct packer *p, const struct message_goodbye *m)
{
	message_begin(p, MESSAGE_GOODBYE, 2);
	pack_u64(p, m->reason);
	message_put_text(p, m->text, sizeof(m->text));
}

void decode_goodbye(struct mp_reader *r, uint32_t have, struct message_goodbye *m)
{
	message_want_fields(r, have, 2);
	m->reason = mp_u32(r, "reason", 1, GOODBYE_REASON_LAST);
	message_get_text(r, "text", m->text, sizeof(m->text));
}

void encode_observed(struct packer *p, const struct message_observed *m)
{
	message_begin(p, MESSAGE_OBSERVED, 1);
	endpoint_put(p, &m->from);
}

void decode_observed(struct mp_reader *r, uint32_t have, struct message_observed *m)
{
	message_want_fields(r, have, 1);
	endpoint_get(r, "from", &m->from);
}

void encode_host_certificate(struct packer *p, const struct message_host_certificate *m)
{
	message_begin(p, MESSAGE_HOST_CERTIFICATE, 2);
	pack_u64(p, m->expiry_s);
	message_put_signature(p, &m->signature);
}

void decode_host_certificate(struct mp_reader *r, uint32_t have, struct message_host_certificate *m)
{
	message_want_fields(r, have, 2);
	m->expiry_s = mp_u64(r, "expiry", 0, UINT64_MAX);
	mp_signature(r, "signature", &m->signature);
}
