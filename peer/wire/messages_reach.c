/* Ways through NATs, as messages; see messages_codec.h. */
#include "peer/wire/messages_codec.h"

#include "tasks/base/require.h"

void encode_dial_back(struct packer *p, const struct message_dial_back *m)
{
	message_begin(p, MESSAGE_DIAL_BACK, 2);
	pack_u64(p, m->nonce);
	endpoint_put(p, &m->at);
}

void decode_dial_back(struct mp_reader *r, uint32_t have, struct message_dial_back *m)
{
	message_want_fields(r, have, 2);
	m->nonce = mp_u64(r, "nonce", 0, UINT64_MAX);
	endpoint_get(r, "at", &m->at);
}

void encode_dialled_back(struct packer *p, const struct message_dialled_back *m)
{
	message_begin(p, MESSAGE_DIALLED_BACK, 3);
	pack_u64(p, m->nonce);
	pack_bool(p, m->reachable);
	message_put_text(p, m->text, sizeof(m->text));
}

void decode_dialled_back(struct mp_reader *r, uint32_t have, struct message_dialled_back *m)
{
	message_want_fields(r, have, 3);
	m->nonce = mp_u64(r, "nonce", 0, UINT64_MAX);
	m->reachable = mp_bool(r, "reachable");
	message_get_text(r, "text", m->text, sizeof(m->text));
}

void encode_relay_reserve(struct packer *p, const struct message_relay_reserve *m)
{
	message_begin(p, MESSAGE_RELAY_RESERVE, 1);
	pack_bool(p, m->wanted);
}

void decode_relay_reserve(struct mp_reader *r, uint32_t have, struct message_relay_reserve *m)
{
	message_want_fields(r, have, 1);
	m->wanted = mp_bool(r, "wanted");
}

void encode_relay_reserved(struct packer *p, const struct message_relay_reserved *m)
{
	message_begin(p, MESSAGE_RELAY_RESERVED, 3);
	pack_u64(p, m->status);
	pack_u64(p, m->lifetime_s);
	pack_u64(p, m->bytes);
}

void decode_relay_reserved(struct mp_reader *r, uint32_t have, struct message_relay_reserved *m)
{
	message_want_fields(r, have, 3);
	m->status = mp_u32(r, "status", 1, RELAY_STATUS_LAST);
	m->lifetime_s = mp_u32(r, "lifetime_s", 0, UINT32_MAX);
	m->bytes = mp_u64(r, "bytes", 0, UINT64_MAX);
}

void encode_relay_open(struct packer *p, const struct message_relay_open *m)
{
	message_begin(p, MESSAGE_RELAY_OPEN, 2);
	pack_u64(p, m->circuit);
	message_put_key(p, &m->target);
}

void decode_relay_open(struct mp_reader *r, uint32_t have, struct message_relay_open *m)
{
	message_want_fields(r, have, 2);
	m->circuit = mp_u32(r, "circuit", 0, UINT32_MAX);
	mp_public_key(r, "target", &m->target);
}

void encode_relay_opened(struct packer *p, const struct message_relay_opened *m)
{
	message_begin(p, MESSAGE_RELAY_OPENED, 2);
	pack_u64(p, m->circuit);
	pack_u64(p, m->status);
}

void decode_relay_opened(struct mp_reader *r, uint32_t have, struct message_relay_opened *m)
{
	message_want_fields(r, have, 2);
	m->circuit = mp_u32(r, "circuit", 0, UINT32_MAX);
	m->status = mp_u32(r, "status", 1, RELAY_STATUS_LAST);
}

void encode_relay_incoming(struct packer *p, const struct message_relay_incoming *m)
{
	message_begin(p, MESSAGE_RELAY_INCOMING, 2);
	pack_u64(p, m->circuit);
	message_put_key(p, &m->from);
}

void decode_relay_incoming(struct mp_reader *r, uint32_t have, struct message_relay_incoming *m)
{
	message_want_fields(r, have, 2);
	m->circuit = mp_u32(r, "circuit", 0, UINT32_MAX);
	mp_public_key(r, "from", &m->from);
}

void encode_relay_data(struct packer *p, const struct message_relay_data *m)
{
	message_begin(p, MESSAGE_RELAY_DATA, 2);
	pack_u64(p, m->circuit);
	pack_span(p, m->bytes);
}

void decode_relay_data(struct mp_reader *r, uint32_t have, struct message_relay_data *m)
{
	message_want_fields(r, have, 2);
	m->circuit = mp_u32(r, "circuit", 0, UINT32_MAX);
	m->bytes = mp_bin(r, "bytes", RELAY_DATA_MAX);
	message_want(r, m->bytes.len != 0, "bytes");
}

void encode_relay_close(struct packer *p, const struct message_relay_close *m)
{
	message_begin(p, MESSAGE_RELAY_CLOSE, 2);
	pack_u64(p, m->circuit);
	pack_u64(p, m->status);
}

void decode_relay_close(struct mp_reader *r, uint32_t have, struct message_relay_close *m)
{
	message_want_fields(r, have, 2);
	m->circuit = mp_u32(r, "circuit", 0, UINT32_MAX);
	m->status = mp_u32(r, "status", 1, RELAY_STATUS_LAST);
}

void encode_punch(struct packer *p, const struct message_punch *m)
{
	REQUIRE(m->count >= 1 && m->count <= PUNCH_ADDRESSES_MAX);
	message_begin(p, MESSAGE_PUNCH, 2);
	pack_u64(p, m->nonce);
	pack_array(p, m->count);
	for (uint32_t i = 0; i < m->count; i++)
		endpoint_put(p, &m->at[i]);
}

void decode_punch(struct mp_reader *r, uint32_t have, struct message_punch *m)
{
	message_want_fields(r, have, 2);
	m->nonce = mp_u64(r, "nonce", 0, UINT64_MAX);
	m->count = mp_array(r, "at", 1, PUNCH_ADDRESSES_MAX);
	for (uint32_t i = 0; i < m->count; i++)
		endpoint_get(r, "at", &m->at[i]);
}

void encode_punch_go(struct packer *p, const struct message_punch_go *m)
{
	message_begin(p, MESSAGE_PUNCH_GO, 1);
	pack_u64(p, m->nonce);
}

void decode_punch_go(struct mp_reader *r, uint32_t have, struct message_punch_go *m)
{
	message_want_fields(r, have, 1);
	m->nonce = mp_u64(r, "nonce", 0, UINT64_MAX);
}

void encode_relay_credit(struct packer *p, const struct message_relay_credit *m)
{
	message_begin(p, MESSAGE_RELAY_CREDIT, 2);
	pack_u64(p, m->circuit);
	pack_u64(p, m->bytes);
}

void decode_relay_credit(struct mp_reader *r, uint32_t have, struct message_relay_credit *m)
{
	message_want_fields(r, have, 2);
	m->circuit = mp_u32(r, "circuit", 0, UINT32_MAX);
	m->bytes = mp_u32(r, "bytes", 1, RELAY_WINDOW);
}

void encode_moved(struct packer *p, const struct message_moved *m)
{
	message_begin(p, MESSAGE_MOVED, 1);
	pack_u64(p, m->step);
}

void decode_moved(struct mp_reader *r, uint32_t have, struct message_moved *m)
{
	message_want_fields(r, have, 1);
	m->step = mp_u32(r, "step", 1, MOVED_STEP_LAST);
}
