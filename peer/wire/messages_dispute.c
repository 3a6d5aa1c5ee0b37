/* Traces, segments and states, as messages; see messages_codec.h. */
#include "peer/wire/messages_codec.h"

#include "tasks/base/require.h"

/* `total` digests in all, of which these begin at `offset`. */
static void get_leaves(
	struct mp_reader *r, uint32_t least, uint32_t *total, uint32_t *offset, struct span *leaves)
{
	*total = mp_u32(r, "total", least, TRACE_LEAVES_MAX);
	*offset = mp_u32(r, "offset", 0, TRACE_LEAVES_MAX);
	*leaves = mp_bin(r, "leaves", TRACE_PART_MAX * DIGEST_BYTES);
	message_want(r,
		leaves->len != 0 && leaves->len % DIGEST_BYTES == 0 && *offset < *total &&
			leaves->len / DIGEST_BYTES <= *total - *offset,
		"leaves");
}

void encode_trace_request(struct packer *p, const struct message_trace_request *m)
{
	message_begin(p, MESSAGE_TRACE_REQUEST, 2);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->offset);
}

void decode_trace_request(struct mp_reader *r, uint32_t have, struct message_trace_request *m)
{
	message_want_fields(r, have, 2);
	mp_digest(r, "nonce", &m->nonce);
	m->offset = mp_u32(r, "offset", 0, TRACE_LEAVES_MAX);
}

void encode_trace(struct packer *p, const struct message_trace *m)
{
	message_begin(p, MESSAGE_TRACE, 4);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->total);
	pack_u64(p, m->offset);
	pack_span(p, m->leaves);
}

void decode_trace(struct mp_reader *r, uint32_t have, struct message_trace *m)
{
	message_want_fields(r, have, 4);
	mp_digest(r, "nonce", &m->nonce);
	get_leaves(r, 2, &m->total, &m->offset, &m->leaves);
}

void encode_segment_request(struct packer *p, const struct message_segment_request *m)
{
	message_begin(p, MESSAGE_SEGMENT_REQUEST, 2);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->segment);
}

void decode_segment_request(struct mp_reader *r, uint32_t have, struct message_segment_request *m)
{
	message_want_fields(r, have, 2);
	mp_digest(r, "nonce", &m->nonce);
	m->segment = mp_u32(r, "segment", 0, TRACE_LEAVES_MAX);
}

void encode_segment(struct packer *p, const struct message_segment *m)
{
	message_begin(p, MESSAGE_SEGMENT, 6);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->segment);
	pack_u64(p, m->total);
	pack_u64(p, m->offset);
	pack_span(p, m->leaves);
	message_put_signature(p, &m->signature);
}

void decode_segment(struct mp_reader *r, uint32_t have, struct message_segment *m)
{
	message_want_fields(r, have, 6);
	mp_digest(r, "nonce", &m->nonce);
	m->segment = mp_u32(r, "segment", 0, TRACE_LEAVES_MAX);
	get_leaves(r, 1, &m->total, &m->offset, &m->leaves);
	mp_signature(r, "signature", &m->signature);
}

void encode_state_request(struct packer *p, const struct message_state_request *m)
{
	message_begin(p, MESSAGE_STATE_REQUEST, 3);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->step);
	pack_u64(p, m->offset);
}

void decode_state_request(struct mp_reader *r, uint32_t have, struct message_state_request *m)
{
	message_want_fields(r, have, 3);
	mp_digest(r, "nonce", &m->nonce);
	m->step = mp_u32(r, "step", 0, INNER_STEPS_MAX);
	m->offset = mp_u64(r, "offset", 0, BLOB_BYTES_MAX);
}

void encode_state(struct packer *p, const struct message_state *m)
{
	message_begin(p, MESSAGE_STATE, 5);
	pack_digest(p, &m->nonce);
	pack_u64(p, m->step);
	pack_u64(p, m->total);
	pack_u64(p, m->offset);
	pack_span(p, m->bytes);
}

void decode_state(struct mp_reader *r, uint32_t have, struct message_state *m)
{
	message_want_fields(r, have, 5);
	mp_digest(r, "nonce", &m->nonce);
	m->step = mp_u32(r, "step", 0, INNER_STEPS_MAX);
	m->total = mp_u64(r, "total", 1, BLOB_BYTES_MAX);
	m->offset = mp_u64(r, "offset", 0, m->total);
	m->bytes = mp_bin(r, "bytes", BLOB_PART_MAX);
	message_want(r, m->bytes.len != 0 && m->bytes.len <= m->total - m->offset, "bytes");
}
