/* The self-test, as messages; see messages_codec.h. */
#include "peer/wire/messages_codec.h"

void encode_selftest_request(struct packer *p, const struct message_selftest_request *m)
{
	message_begin(p, MESSAGE_SELFTEST_REQUEST, 1);
	pack_u64(p, m->seed);
}

void decode_selftest_request(struct mp_reader *r, uint32_t have, struct message_selftest_request *m)
{
	message_want_fields(r, have, 1);
	m->seed = mp_u64(r, "seed", 1, UINT64_MAX);
}

void encode_selftest(struct packer *p, const struct message_selftest *m)
{
	message_begin(p, MESSAGE_SELFTEST, 5);
	pack_u64(p, m->seed);
	message_put_text(p, m->engine, sizeof(m->engine));
	message_put_text(p, m->build, sizeof(m->build));
	message_put_signature(p, &m->signature);
	pack_span(p, m->digests);
}

void decode_selftest(struct mp_reader *r, uint32_t have, struct message_selftest *m)
{
	message_want_fields(r, have, 5);
	m->seed = mp_u64(r, "seed", 1, UINT64_MAX);
	message_get_text(r, "engine", m->engine, sizeof(m->engine));
	message_get_text(r, "build", m->build, sizeof(m->build));
	mp_signature(r, "signature", &m->signature);
	m->digests = mp_bin(r, "digests", (size_t)SELFTEST_DIGESTS_MAX * DIGEST_BYTES);
	message_want(r, m->digests.len != 0 && m->digests.len % DIGEST_BYTES == 0, "digests");
}
