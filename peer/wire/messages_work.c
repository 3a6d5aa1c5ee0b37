/* Leases, commitments, reveals and uploads, as messages; see messages_codec.h. */
#include "peer/wire/messages_codec.h"

#include <string.h>

#include "tasks/base/require.h"

#define WORK_SLOTS_MAX 16u

bool team_name_valid(const char *name)
{
	size_t n = strnlen(name, TEAM_MAX);

	if (n == 0 || n == TEAM_MAX || strchr("._-", name[0]) != NULL)
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

void encode_work_request(struct packer *p, const struct message_work_request *m)
{
	message_begin(p, MESSAGE_WORK_REQUEST, 3);
	pack_u64(p, m->slots);
	message_put_text(p, m->engine, sizeof(m->engine));
	message_put_text(p, m->team, sizeof(m->team));
}

void decode_work_request(struct mp_reader *r, uint32_t have, struct message_work_request *m)
{
	message_want_fields(r, have, 3);
	m->slots = mp_u32(r, "slots", 1, WORK_SLOTS_MAX);
	message_get_text(r, "engine", m->engine, sizeof(m->engine));
	message_get_text(r, "team", m->team, sizeof(m->team));
	message_want(r, m->team[0] == '\0' || team_name_valid(m->team), "team");
}

void encode_no_work(struct packer *p, const struct message_no_work *m)
{
	message_begin(p, MESSAGE_NO_WORK, 3);
	pack_u64(p, m->reason);
	pack_u64(p, m->retry_ms);
	message_put_text(p, m->text, sizeof(m->text));
}

void decode_no_work(struct mp_reader *r, uint32_t have, struct message_no_work *m)
{
	message_want_fields(r, have, 3);
	m->reason = mp_u32(r, "reason", 1, NO_WORK_REASON_LAST);
	m->retry_ms = mp_u32(r, "retry_ms", 0, UINT32_MAX);
	message_get_text(r, "text", m->text, sizeof(m->text));
}

void encode_lease(struct packer *p, const struct message_lease *m)
{
	REQUIRE(m->path_steps <= MERKLE_STEPS_MAX);
	message_begin(p, MESSAGE_LEASE, 6);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->deadline_ms);
	pack_span(p, m->manifest);
	message_put_signature(p, &m->signature);
	pack_span(p, m->unit);
	pack_array(p, m->path_steps);
	for (uint32_t i = 0; i < m->path_steps; i++)
		pack_digest(p, &m->path[i]);
}

void decode_lease(struct mp_reader *r, uint32_t have, struct message_lease *m)
{
	message_want_fields(r, have, 6);
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

void encode_commit(struct packer *p, const struct message_commit *m)
{
	message_begin(p, MESSAGE_COMMIT, 3);
	pack_digest(p, &m->nonce);
	pack_digest(p, &m->commitment);
	message_put_signature(p, &m->signature);
}

void decode_commit(struct mp_reader *r, uint32_t have, struct message_commit *m)
{
	message_want_fields(r, have, 3);
	mp_digest(r, "nonce", &m->nonce);
	mp_digest(r, "commitment", &m->commitment);
	mp_signature(r, "signature", &m->signature);
}

void encode_committed(struct packer *p, const struct message_committed *m)
{
	message_begin(p, MESSAGE_COMMITTED, 1);
	pack_digest(p, &m->nonce);
}

void decode_committed(struct mp_reader *r, uint32_t have, struct message_committed *m)
{
	message_want_fields(r, have, 1);
	mp_digest(r, "nonce", &m->nonce);
}

void encode_reveal_request(struct packer *p, const struct message_reveal_request *m)
{
	message_begin(p, MESSAGE_REVEAL_REQUEST, 1);
	pack_digest(p, &m->nonce);
}

void decode_reveal_request(struct mp_reader *r, uint32_t have, struct message_reveal_request *m)
{
	message_want_fields(r, have, 1);
	mp_digest(r, "nonce", &m->nonce);
}

void encode_reveal(struct packer *p, const struct message_reveal *m)
{
	message_begin(p, MESSAGE_REVEAL, 3);
	pack_digest(p, &m->nonce);
	pack_digest(p, &m->salt);
	pack_span(p, m->claim);
}

void decode_reveal(struct mp_reader *r, uint32_t have, struct message_reveal *m)
{
	message_want_fields(r, have, 3);
	mp_digest(r, "nonce", &m->nonce);
	mp_digest(r, "salt", &m->salt);
	m->claim = mp_bin(r, "claim", CLAIM_BYTES_MAX);
}

void encode_upload_request(struct packer *p, const struct message_upload_request *m)
{
	message_begin(p, MESSAGE_UPLOAD_REQUEST, 2);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->offset);
}

void decode_upload_request(struct mp_reader *r, uint32_t have, struct message_upload_request *m)
{
	message_want_fields(r, have, 2);
	mp_digest(r, "nonce", &m->nonce);
	m->offset = mp_u64(r, "offset", 0, PAYLOAD_BYTES_MAX);
}

void encode_upload(struct packer *p, const struct message_upload *m)
{
	message_begin(p, MESSAGE_UPLOAD, 3);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->offset);
	pack_span(p, m->bytes);
}

void decode_upload(struct mp_reader *r, uint32_t have, struct message_upload *m)
{
	message_want_fields(r, have, 3);
	mp_digest(r, "nonce", &m->nonce);
	m->offset = mp_u64(r, "offset", 0, PAYLOAD_BYTES_MAX);
	m->bytes = mp_bin(r, "bytes", BLOB_PART_MAX);
	message_want(
		r, m->bytes.len != 0 && m->bytes.len <= PAYLOAD_BYTES_MAX - m->offset, "bytes");
}

void encode_uploaded(struct packer *p, const struct message_uploaded *m)
{
	message_begin(p, MESSAGE_UPLOADED, 1);
	pack_digest(p, &m->nonce);
}

void decode_uploaded(struct mp_reader *r, uint32_t have, struct message_uploaded *m)
{
	message_want_fields(r, have, 1);
	mp_digest(r, "nonce", &m->nonce);
}

void encode_settled(struct packer *p, const struct message_settled *m)
{
	message_begin(p, MESSAGE_SETTLED, 4);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->verdict);
	pack_u64(p, m->credit_flops);
	message_put_text(p, m->text, sizeof(m->text));
}

void decode_settled(struct mp_reader *r, uint32_t have, struct message_settled *m)
{
	message_want_fields(r, have, 4);
	mp_digest(r, "nonce", &m->nonce);
	m->verdict = mp_u32(r, "verdict", 1, VERDICT_LAST);
	m->credit_flops = mp_u64(r, "credit_flops", 0, UINT64_MAX);
	message_get_text(r, "text", m->text, sizeof(m->text));
}

void encode_abandon(struct packer *p, const struct message_abandon *m)
{
	message_begin(p, MESSAGE_ABANDON, 2);
	pack_digest(p, &m->nonce);
	message_put_text(p, m->text, sizeof(m->text));
}

void decode_abandon(struct mp_reader *r, uint32_t have, struct message_abandon *m)
{
	message_want_fields(r, have, 2);
	mp_digest(r, "nonce", &m->nonce);
	message_get_text(r, "text", m->text, sizeof(m->text));
}
