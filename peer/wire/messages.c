/* See messages.h; PROTOCOL.md has the table. One encoder and one decoder for each message, side by
 * side. Reading is mpread's: shortest forms only, a limit for each field, an exact number of fields,
 * nothing copied before it is checked.
 *
 * Text is for people and ends in logs and terminals, so only printable UTF-8 travels: the encoder
 * puts '?' for anything else, the decoder refuses it. */
#include "peer/wire/messages.h"

#include <string.h>

#include "tasks/base/mpread.h"
#include "tasks/base/pack.h"
#include "tasks/base/require.h"

#define SLOTS_MAX 16u

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

static void put_text(struct packer *p, const char *text, size_t size)
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

static void get_text(struct mp_reader *r, const char *field, char *out, size_t size)
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

/* Common parts */

/* Every message begins with its type; `fields` follow. */
static void begin(struct packer *p, enum message_type type, uint32_t fields)
{
	pack_array(p, 1 + fields);
	pack_u64(p, type);
}

/* A decoder says how many fields it wants; have is what the array announced, the type included. */
static void want_fields(struct mp_reader *r, uint32_t have, uint32_t fields)
{
	if (r->error == TK_OK && have != 1 + fields) {
		r->error = TK_EPROTO;
		r->field = "number of fields";
	}
}

static void want(struct mp_reader *r, bool holds, const char *field)
{
	if (r->error == TK_OK && !holds) {
		r->error = TK_ELIMIT;
		r->field = field;
	}
}

static void put_signature(struct packer *p, const struct signature *s)
{
	pack_bin(p, s->b, SIGNATURE_BYTES);
}

/* Either way */

static void encode_ping(struct packer *p, const struct message_ping *m)
{
	begin(p, MESSAGE_PING, 1);
	pack_u64(p, m->token);
}

static void decode_ping(struct mp_reader *r, uint32_t have, struct message_ping *m)
{
	want_fields(r, have, 1);
	m->token = mp_u64(r, "token", 0, UINT64_MAX);
}

static void encode_pong(struct packer *p, const struct message_pong *m)
{
	begin(p, MESSAGE_PONG, 1);
	pack_u64(p, m->token);
}

static void decode_pong(struct mp_reader *r, uint32_t have, struct message_pong *m)
{
	want_fields(r, have, 1);
	m->token = mp_u64(r, "token", 0, UINT64_MAX);
}

static void encode_goodbye(struct packer *p, const struct message_goodbye *m)
{
	begin(p, MESSAGE_GOODBYE, 2);
	pack_u64(p, m->reason);
	put_text(p, m->text, sizeof(m->text));
}

static void decode_goodbye(struct mp_reader *r, uint32_t have, struct message_goodbye *m)
{
	want_fields(r, have, 2);
	m->reason = mp_u32(r, "reason", 1, GOODBYE_REASON_LAST);
	get_text(r, "text", m->text, sizeof(m->text));
}

/* Blobs */

static void encode_blob_get(struct packer *p, const struct message_blob_get *m)
{
	begin(p, MESSAGE_BLOB_GET, 3);
	pack_digest(p, &m->digest);
	pack_u64(p, m->offset);
	pack_u64(p, m->length);
}

static void decode_blob_get(struct mp_reader *r, uint32_t have, struct message_blob_get *m)
{
	want_fields(r, have, 3);
	mp_digest(r, "digest", &m->digest);
	m->offset = mp_u64(r, "offset", 0, BLOB_BYTES_MAX);
	m->length = mp_u32(r, "length", 1, BLOB_PART_MAX);
}

static void encode_blob_part(struct packer *p, const struct message_blob_part *m)
{
	begin(p, MESSAGE_BLOB_PART, 4);
	pack_digest(p, &m->digest);
	pack_u64(p, m->total);
	pack_u64(p, m->offset);
	pack_span(p, m->bytes);
}

/* The part lies within the blob; only one at its very end may be empty. */
static void decode_blob_part(struct mp_reader *r, uint32_t have, struct message_blob_part *m)
{
	want_fields(r, have, 4);
	mp_digest(r, "digest", &m->digest);
	m->total = mp_u64(r, "total", 0, BLOB_BYTES_MAX);
	m->offset = mp_u64(r, "offset", 0, m->total);
	m->bytes = mp_bin(r, "bytes", BLOB_PART_MAX);
	want(r, m->bytes.len <= m->total - m->offset, "bytes");
	want(r, m->bytes.len != 0 || m->offset == m->total, "bytes");
}

static void encode_blob_missing(struct packer *p, const struct message_blob_missing *m)
{
	begin(p, MESSAGE_BLOB_MISSING, 1);
	pack_digest(p, &m->digest);
}

static void decode_blob_missing(struct mp_reader *r, uint32_t have, struct message_blob_missing *m)
{
	want_fields(r, have, 1);
	mp_digest(r, "digest", &m->digest);
}

/* Work */

static void encode_work_request(struct packer *p, const struct message_work_request *m)
{
	begin(p, MESSAGE_WORK_REQUEST, 2);
	pack_u64(p, m->slots);
	put_text(p, m->engine, sizeof(m->engine));
}

static void decode_work_request(struct mp_reader *r, uint32_t have, struct message_work_request *m)
{
	want_fields(r, have, 2);
	m->slots = mp_u32(r, "slots", 1, SLOTS_MAX);
	get_text(r, "engine", m->engine, sizeof(m->engine));
}

static void encode_no_work(struct packer *p, const struct message_no_work *m)
{
	begin(p, MESSAGE_NO_WORK, 3);
	pack_u64(p, m->reason);
	pack_u64(p, m->retry_ms);
	put_text(p, m->text, sizeof(m->text));
}

static void decode_no_work(struct mp_reader *r, uint32_t have, struct message_no_work *m)
{
	want_fields(r, have, 3);
	m->reason = mp_u32(r, "reason", 1, NO_WORK_REASON_LAST);
	m->retry_ms = mp_u32(r, "retry_ms", 0, UINT32_MAX);
	get_text(r, "text", m->text, sizeof(m->text));
}

static void encode_lease(struct packer *p, const struct message_lease *m)
{
	REQUIRE(m->path_steps <= MERKLE_STEPS_MAX);
	begin(p, MESSAGE_LEASE, 6);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->deadline_ms);
	pack_span(p, m->manifest);
	put_signature(p, &m->signature);
	pack_span(p, m->unit);
	pack_array(p, m->path_steps);
	for (uint32_t i = 0; i < m->path_steps; i++)
		pack_digest(p, &m->path[i]);
}

static void decode_lease(struct mp_reader *r, uint32_t have, struct message_lease *m)
{
	want_fields(r, have, 6);
	mp_digest(r, "nonce", &m->nonce);
	m->deadline_ms = mp_u32(r, "deadline_ms", 0, UINT32_MAX);
	m->manifest = mp_bin(r, "manifest", ROUND_BYTES_MAX);
	mp_signature(r, "signature", &m->signature);
	m->unit = mp_bin(r, "unit", UNIT_BYTES_MAX);
	m->path_steps = mp_array(r, "path", 0, MERKLE_STEPS_MAX);
	for (uint32_t i = 0; i < m->path_steps; i++)
		mp_digest(r, "path", &m->path[i]);
}

/* Commit, reveal, upload */

static void encode_commit(struct packer *p, const struct message_commit *m)
{
	begin(p, MESSAGE_COMMIT, 3);
	pack_digest(p, &m->nonce);
	pack_digest(p, &m->commitment);
	put_signature(p, &m->signature);
}

static void decode_commit(struct mp_reader *r, uint32_t have, struct message_commit *m)
{
	want_fields(r, have, 3);
	mp_digest(r, "nonce", &m->nonce);
	mp_digest(r, "commitment", &m->commitment);
	mp_signature(r, "signature", &m->signature);
}

static void encode_committed(struct packer *p, const struct message_committed *m)
{
	begin(p, MESSAGE_COMMITTED, 1);
	pack_digest(p, &m->nonce);
}

static void decode_committed(struct mp_reader *r, uint32_t have, struct message_committed *m)
{
	want_fields(r, have, 1);
	mp_digest(r, "nonce", &m->nonce);
}

static void encode_reveal_request(struct packer *p, const struct message_reveal_request *m)
{
	begin(p, MESSAGE_REVEAL_REQUEST, 1);
	pack_digest(p, &m->nonce);
}

static void decode_reveal_request(
	struct mp_reader *r, uint32_t have, struct message_reveal_request *m)
{
	want_fields(r, have, 1);
	mp_digest(r, "nonce", &m->nonce);
}

static void encode_reveal(struct packer *p, const struct message_reveal *m)
{
	begin(p, MESSAGE_REVEAL, 3);
	pack_digest(p, &m->nonce);
	pack_digest(p, &m->salt);
	pack_span(p, m->claim);
}

static void decode_reveal(struct mp_reader *r, uint32_t have, struct message_reveal *m)
{
	want_fields(r, have, 3);
	mp_digest(r, "nonce", &m->nonce);
	mp_digest(r, "salt", &m->salt);
	m->claim = mp_bin(r, "claim", CLAIM_BYTES_MAX);
}

static void encode_upload_request(struct packer *p, const struct message_upload_request *m)
{
	begin(p, MESSAGE_UPLOAD_REQUEST, 2);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->offset);
}

static void decode_upload_request(
	struct mp_reader *r, uint32_t have, struct message_upload_request *m)
{
	want_fields(r, have, 2);
	mp_digest(r, "nonce", &m->nonce);
	m->offset = mp_u64(r, "offset", 0, PAYLOAD_BYTES_MAX);
}

static void encode_upload(struct packer *p, const struct message_upload *m)
{
	begin(p, MESSAGE_UPLOAD, 3);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->offset);
	pack_span(p, m->bytes);
}

static void decode_upload(struct mp_reader *r, uint32_t have, struct message_upload *m)
{
	want_fields(r, have, 3);
	mp_digest(r, "nonce", &m->nonce);
	m->offset = mp_u64(r, "offset", 0, PAYLOAD_BYTES_MAX);
	m->bytes = mp_bin(r, "bytes", BLOB_PART_MAX);
	want(r, m->bytes.len != 0 && m->bytes.len <= PAYLOAD_BYTES_MAX - m->offset, "bytes");
}

static void encode_uploaded(struct packer *p, const struct message_uploaded *m)
{
	begin(p, MESSAGE_UPLOADED, 1);
	pack_digest(p, &m->nonce);
}

static void decode_uploaded(struct mp_reader *r, uint32_t have, struct message_uploaded *m)
{
	want_fields(r, have, 1);
	mp_digest(r, "nonce", &m->nonce);
}

static void encode_settled(struct packer *p, const struct message_settled *m)
{
	begin(p, MESSAGE_SETTLED, 4);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->verdict);
	pack_u64(p, m->credit_flops);
	put_text(p, m->text, sizeof(m->text));
}

static void decode_settled(struct mp_reader *r, uint32_t have, struct message_settled *m)
{
	want_fields(r, have, 4);
	mp_digest(r, "nonce", &m->nonce);
	m->verdict = mp_u32(r, "verdict", 1, VERDICT_LAST);
	m->credit_flops = mp_u64(r, "credit_flops", 0, UINT64_MAX);
	get_text(r, "text", m->text, sizeof(m->text));
}

static void encode_abandon(struct packer *p, const struct message_abandon *m)
{
	begin(p, MESSAGE_ABANDON, 2);
	pack_digest(p, &m->nonce);
	put_text(p, m->text, sizeof(m->text));
}

static void decode_abandon(struct mp_reader *r, uint32_t have, struct message_abandon *m)
{
	want_fields(r, have, 2);
	mp_digest(r, "nonce", &m->nonce);
	get_text(r, "text", m->text, sizeof(m->text));
}

/* All of them */

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

int message_decode(struct message *m, struct span in, struct errmsg *msg)
{
	struct message got = {0};
	struct mp_reader r;
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
	*m = got;
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
