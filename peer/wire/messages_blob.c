/* Blobs and who has them, as messages; see messages_codec.h. */
#include "peer/wire/messages_codec.h"

#include "tasks/base/require.h"

void encode_blob_get(struct packer *p, const struct message_blob_get *m)
{
	message_begin(p, MESSAGE_BLOB_GET, 3);
	pack_digest(p, &m->digest);
	pack_u64(p, m->offset);
	pack_u64(p, m->length);
}

void decode_blob_get(struct mp_reader *r, uint32_t have, struct message_blob_get *m)
{
	message_want_fields(r, have, 3);
	mp_digest(r, "digest", &m->digest);
	m->offset = mp_u64(r, "offset", 0, BLOB_BYTES_MAX);
	m->length = mp_u32(r, "length", 1, BLOB_PART_MAX);
}

void encode_blob_part(struct packer *p, const struct message_blob_part *m)
{
	REQUIRE(m->path_steps <= BLOB_PATH_MAX);
	message_begin(p, MESSAGE_BLOB_PART, 5);
	pack_digest(p, &m->digest);
	pack_u64(p, m->total);
	pack_u64(p, m->offset);
	pack_span(p, m->bytes);
	pack_array(p, m->path_steps);
	for (uint32_t i = 0; i < m->path_steps; i++)
		pack_digest(p, &m->path[i]);
}

/* The part lies within the blob; only one at its very end may be empty. */
void decode_blob_part(struct mp_reader *r, uint32_t have, struct message_blob_part *m)
{
	message_want_fields(r, have, 5);
	mp_digest(r, "digest", &m->digest);
	m->total = mp_u64(r, "total", 0, BLOB_BYTES_MAX);
	m->offset = mp_u64(r, "offset", 0, m->total);
	m->bytes = mp_bin(r, "bytes", BLOB_PART_MAX);
	message_want(r, m->bytes.len <= m->total - m->offset, "bytes");
	message_want(r, m->bytes.len != 0 || m->offset == m->total, "bytes");
	m->path_steps = mp_array(r, "path", 0, BLOB_PATH_MAX);
	for (uint32_t i = 0; i < m->path_steps; i++)
		mp_digest(r, "path", &m->path[i]);
}

void encode_blob_missing(struct packer *p, const struct message_blob_missing *m)
{
	message_begin(p, MESSAGE_BLOB_MISSING, 1);
	pack_digest(p, &m->digest);
}

void decode_blob_missing(struct mp_reader *r, uint32_t have, struct message_blob_missing *m)
{
	message_want_fields(r, have, 1);
	mp_digest(r, "digest", &m->digest);
}

void encode_blob_busy(struct packer *p, const struct message_blob_busy *m)
{
	message_begin(p, MESSAGE_BLOB_BUSY, 2);
	pack_digest(p, &m->digest);
	pack_u64(p, m->retry_ms);
}

void decode_blob_busy(struct mp_reader *r, uint32_t have, struct message_blob_busy *m)
{
	message_want_fields(r, have, 2);
	mp_digest(r, "digest", &m->digest);
	m->retry_ms = mp_u32(r, "retry_ms", 0, UINT32_MAX);
}

void encode_blob_have(struct packer *p, const struct message_blob_have *m)
{
	message_begin(p, MESSAGE_BLOB_HAVE, 3);
	pack_digest(p, &m->digest);
	pack_u64(p, m->total);
	pack_span(p, m->pieces);
}

/* As many bits as the blob has pieces, and no more: equal sets have equal bytes. */
void decode_blob_have(struct mp_reader *r, uint32_t have, struct message_blob_have *m)
{
	uint64_t pieces;

	message_want_fields(r, have, 3);
	mp_digest(r, "digest", &m->digest);
	m->total = mp_u64(r, "total", 0, BLOB_BYTES_MAX);
	m->pieces = mp_bin(r, "pieces", BLOB_PIECES_MAX / 8);
	pieces = (m->total + BLOB_PIECE - 1) / BLOB_PIECE;
	message_want(r, m->pieces.len == (pieces + 7) / 8, "pieces");
	if (r->error == TK_OK && pieces % 8 != 0)
		message_want(r, m->pieces.data[m->pieces.len - 1] >> pieces % 8 == 0, "pieces");
}

void encode_blob_who(struct packer *p, const struct message_blob_who *m)
{
	message_begin(p, MESSAGE_BLOB_WHO, 2);
	pack_digest(p, &m->digest);
	pack_u64(p, m->want);
}

void decode_blob_who(struct mp_reader *r, uint32_t have, struct message_blob_who *m)
{
	message_want_fields(r, have, 2);
	mp_digest(r, "digest", &m->digest);
	m->want = mp_u32(r, "want", 1, BLOB_SOURCES_MAX);
}

void encode_blob_sources(struct packer *p, const struct message_blob_sources *m)
{
	REQUIRE(m->count <= BLOB_SOURCES_MAX);
	message_begin(p, MESSAGE_BLOB_SOURCES, 2);
	pack_digest(p, &m->digest);
	pack_array(p, m->count);
	for (uint32_t i = 0; i < m->count; i++)
		pack_span(p, m->records[i]);
}

void decode_blob_sources(struct mp_reader *r, uint32_t have, struct message_blob_sources *m)
{
	message_want_fields(r, have, 2);
	mp_digest(r, "digest", &m->digest);
	m->count = mp_array(r, "records", 0, BLOB_SOURCES_MAX);
	for (uint32_t i = 0; i < m->count; i++)
		m->records[i] = mp_bin(r, "records", RECORD_BYTES_MAX);
}
