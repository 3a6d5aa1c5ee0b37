/* Membership and broadcast, as messages; see messages_codec.h. */
#include "peer/wire/messages_codec.h"

#include <string.h>

#include "tasks/base/require.h"

static void put_records(struct packer *p, const struct span *records, uint32_t count)
{
	REQUIRE(count <= SHUFFLE_MAX);
	pack_array(p, count);
	for (uint32_t i = 0; i < count; i++)
		pack_span(p, records[i]);
}

static uint32_t get_records(struct mp_reader *r, struct span *records)
{
	uint32_t count = mp_array(r, "records", 0, SHUFFLE_MAX);

	for (uint32_t i = 0; i < count; i++)
		records[i] = mp_bin(r, "records", RECORD_BYTES_MAX);
	return count;
}

static void put_ids(struct packer *p, const struct gossip_id *ids, uint32_t count)
{
	REQUIRE(count <= GOSSIP_IDS_MAX);
	pack_array(p, count);
	for (uint32_t i = 0; i < count; i++)
		pack_bin(p, ids[i].b, sizeof(ids[i].b));
}

static void get_id(struct mp_reader *r, const char *field, struct gossip_id *out)
{
	struct span id = mp_bin(r, field, sizeof(out->b));

	message_want(r, id.len == sizeof(out->b), field);
	if (r->error == TK_OK)
		memcpy(out->b, id.data, sizeof(out->b));
}

static uint32_t get_ids(struct mp_reader *r, struct gossip_id *ids, uint32_t min)
{
	uint32_t count = mp_array(r, "ids", min, GOSSIP_IDS_MAX);

	for (uint32_t i = 0; i < count; i++)
		get_id(r, "ids", &ids[i]);
	return count;
}

void encode_join(struct packer *p, const struct message_join *m)
{
	message_begin(p, MESSAGE_JOIN, 1);
	pack_span(p, m->record);
}

void decode_join(struct mp_reader *r, uint32_t have, struct message_join *m)
{
	message_want_fields(r, have, 1);
	m->record = mp_bin(r, "record", RECORD_BYTES_MAX);
}

void encode_forward_join(struct packer *p, const struct message_forward_join *m)
{
	message_begin(p, MESSAGE_FORWARD_JOIN, 2);
	pack_span(p, m->record);
	pack_u64(p, m->ttl);
}

void decode_forward_join(struct mp_reader *r, uint32_t have, struct message_forward_join *m)
{
	message_want_fields(r, have, 2);
	m->record = mp_bin(r, "record", RECORD_BYTES_MAX);
	m->ttl = mp_u32(r, "ttl", 0, GOSSIP_TTL_MAX);
}

void encode_neighbor(struct packer *p, const struct message_neighbor *m)
{
	message_begin(p, MESSAGE_NEIGHBOR, 2);
	pack_span(p, m->record);
	pack_bool(p, m->high);
}

void decode_neighbor(struct mp_reader *r, uint32_t have, struct message_neighbor *m)
{
	message_want_fields(r, have, 2);
	m->record = mp_bin(r, "record", RECORD_BYTES_MAX);
	m->high = mp_bool(r, "high");
}

void encode_neighbor_reply(struct packer *p, const struct message_neighbor_reply *m)
{
	message_begin(p, MESSAGE_NEIGHBOR_REPLY, 1);
	pack_bool(p, m->accepted);
}

void decode_neighbor_reply(struct mp_reader *r, uint32_t have, struct message_neighbor_reply *m)
{
	message_want_fields(r, have, 1);
	m->accepted = mp_bool(r, "accepted");
}

void encode_disconnect(struct packer *p, const struct message_disconnect *m)
{
	message_begin(p, MESSAGE_DISCONNECT, 1);
	pack_bool(p, m->leaving);
}

void decode_disconnect(struct mp_reader *r, uint32_t have, struct message_disconnect *m)
{
	message_want_fields(r, have, 1);
	m->leaving = mp_bool(r, "leaving");
}

void encode_shuffle(struct packer *p, const struct message_shuffle *m)
{
	message_begin(p, MESSAGE_SHUFFLE, 3);
	pack_span(p, m->origin);
	pack_u64(p, m->ttl);
	put_records(p, m->records, m->count);
}

void decode_shuffle(struct mp_reader *r, uint32_t have, struct message_shuffle *m)
{
	message_want_fields(r, have, 3);
	m->origin = mp_bin(r, "origin", RECORD_BYTES_MAX);
	m->ttl = mp_u32(r, "ttl", 0, GOSSIP_TTL_MAX);
	m->count = get_records(r, m->records);
}

void encode_shuffle_reply(struct packer *p, const struct message_shuffle_reply *m)
{
	message_begin(p, MESSAGE_SHUFFLE_REPLY, 1);
	put_records(p, m->records, m->count);
}

void decode_shuffle_reply(struct mp_reader *r, uint32_t have, struct message_shuffle_reply *m)
{
	message_want_fields(r, have, 1);
	m->count = get_records(r, m->records);
}

void encode_broadcast(struct packer *p, const struct message_broadcast *m)
{
	message_begin(p, MESSAGE_BROADCAST, 3);
	pack_u64(p, m->hops);
	pack_span(p, m->body);
	message_put_signature(p, &m->signature);
}

void decode_broadcast(struct mp_reader *r, uint32_t have, struct message_broadcast *m)
{
	message_want_fields(r, have, 3);
	m->hops = mp_u32(r, "hops", 0, GOSSIP_HOPS_MAX);
	m->body = mp_bin(r, "body", ANNOUNCEMENT_MAX);
	mp_signature(r, "signature", &m->signature);
}

void encode_ihave(struct packer *p, const struct message_ihave *m)
{
	message_begin(p, MESSAGE_IHAVE, 2);
	put_ids(p, m->ids, m->count);
	pack_bin(p, m->hops, m->count);
}

void decode_ihave(struct mp_reader *r, uint32_t have, struct message_ihave *m)
{
	struct span hops;

	message_want_fields(r, have, 2);
	m->count = get_ids(r, m->ids, 1);
	hops = mp_bin(r, "hops", GOSSIP_IDS_MAX);
	message_want(r, hops.len == m->count, "hops");
	for (uint32_t i = 0; r->error == TK_OK && i < m->count; i++) {
		message_want(r, hops.data[i] <= GOSSIP_HOPS_MAX, "hops");
		m->hops[i] = hops.data[i];
	}
}

void encode_graft(struct packer *p, const struct message_graft *m)
{
	message_begin(p, MESSAGE_GRAFT, 1);
	put_ids(p, m->ids, m->count);
}

void decode_graft(struct mp_reader *r, uint32_t have, struct message_graft *m)
{
	message_want_fields(r, have, 1);
	m->count = get_ids(r, m->ids, 0);
}

void encode_prune(struct packer *p, const struct message_prune *m)
{
	message_begin(p, MESSAGE_PRUNE, 1);
	pack_bin(p, m->id.b, sizeof(m->id.b));
}

void decode_prune(struct mp_reader *r, uint32_t have, struct message_prune *m)
{
	message_want_fields(r, have, 1);
	get_id(r, "id", &m->id);
}

void encode_heads(struct packer *p, const struct message_heads *m)
{
	REQUIRE(m->count <= GOSSIP_TOPICS_MAX);
	message_begin(p, MESSAGE_HEADS, 1);
	pack_array(p, m->count);
	for (uint32_t i = 0; i < m->count; i++) {
		pack_array(p, 3);
		pack_u64(p, m->heads[i].kind);
		pack_digest(p, &m->heads[i].subject);
		pack_u64(p, m->heads[i].sequence);
	}
}

void decode_heads(struct mp_reader *r, uint32_t have, struct message_heads *m)
{
	message_want_fields(r, have, 1);
	m->count = mp_array(r, "heads", 0, GOSSIP_TOPICS_MAX);
	for (uint32_t i = 0; i < m->count; i++) {
		mp_array(r, "heads", 3, 3);
		m->heads[i].kind = mp_u32(r, "kind", 1, ANNOUNCEMENT_KIND_LAST);
		mp_digest(r, "subject", &m->heads[i].subject);
		m->heads[i].sequence = mp_u64(r, "sequence", 0, UINT64_MAX);
	}
}

void encode_pull(struct packer *p, const struct message_pull *m)
{
	message_begin(p, MESSAGE_PULL, 2);
	pack_u64(p, m->kind);
	pack_digest(p, &m->subject);
}

void decode_pull(struct mp_reader *r, uint32_t have, struct message_pull *m)
{
	message_want_fields(r, have, 2);
	m->kind = mp_u32(r, "kind", 1, ANNOUNCEMENT_KIND_LAST);
	mp_digest(r, "subject", &m->subject);
}
