/* What announcements carry; see announcement.h. Each is an array that begins with its format's number. */
#include "peer/wire/announcement.h"
#include "tasks/base/mpread.h"
#include "tasks/base/pack.h"
#include "tasks/base/require.h"

#define FORMAT	      1u
#define BEACON_FORMAT 2u /* 2: the ledger's sequence */

/* Ends what was appended since `before`, or takes it back. */
static int finish(const struct packer *p, struct bytes *out, size_t before)
{
	int rc = pack_end(p);

	if (rc != TK_OK)
		out->len = before;
	return rc;
}

int beacon_encode(const struct beacon *b, struct bytes *out)
{
	size_t before = out->len;
	struct packer p;

	REQUIRE(b->head_count <= BEACON_HEADS_MAX);
	pack_begin(&p, out);
	pack_array(&p, 4);
	pack_u64(&p, BEACON_FORMAT);
	pack_digest(&p, &b->ledger);
	pack_u64(&p, b->ledger_sequence);
	pack_array(&p, b->head_count);
	for (uint32_t i = 0; i < b->head_count; i++) {
		pack_array(&p, 3);
		pack_u64(&p, b->heads[i].kind);
		pack_digest(&p, &b->heads[i].subject);
		pack_u64(&p, b->heads[i].sequence);
	}
	return finish(&p, out, before);
}

int beacon_decode(struct beacon *out, struct span in, struct errmsg *msg)
{
	struct beacon got = {0};
	struct mp_reader r;
	int rc;

	mp_begin(&r, in);
	mp_array(&r, "beacon", 4, 4);
	mp_u32(&r, "format", BEACON_FORMAT, BEACON_FORMAT);
	mp_digest(&r, "ledger", &got.ledger);
	got.ledger_sequence = mp_u64(&r, "ledger sequence", 0, UINT64_MAX);
	got.head_count = mp_array(&r, "heads", 0, BEACON_HEADS_MAX);
	for (uint32_t i = 0; i < got.head_count; i++) {
		mp_array(&r, "head", 3, 3);
		got.heads[i].kind = mp_u32(&r, "kind", 1, ANNOUNCEMENT_KIND_LAST);
		mp_digest(&r, "subject", &got.heads[i].subject);
		got.heads[i].sequence = mp_u64(&r, "sequence", 0, UINT64_MAX);
	}
	rc = mp_end(&r, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "a beacon");
	*out = got;
	return TK_OK;
}

int project_notice_encode(const struct project_notice *n, struct bytes *out)
{
	size_t before = out->len;
	struct packer p;

	pack_begin(&p, out);
	pack_array(&p, 5);
	pack_u64(&p, FORMAT);
	pack_text(&p, n->name);
	pack_u64(&p, n->rounds);
	pack_u64(&p, n->units_per_round);
	pack_u64(&p, n->parameters);
	return finish(&p, out, before);
}

int project_notice_decode(struct project_notice *out, struct span in, struct errmsg *msg)
{
	struct project_notice got = {0};
	struct mp_reader r;
	int rc;

	mp_begin(&r, in);
	mp_array(&r, "project notice", 5, 5);
	mp_u32(&r, "format", FORMAT, FORMAT);
	mp_text(&r, "name", got.name, sizeof(got.name));
	got.rounds = mp_u32(&r, "rounds", 1, UINT32_MAX);
	got.units_per_round = mp_u32(&r, "units", 1, UINT32_MAX);
	got.parameters = mp_u64(&r, "parameters", 0, UINT64_MAX);
	rc = mp_end(&r, msg);
	for (const char *at = got.name; rc == TK_OK && *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f) /* it will be shown in a terminal */
			rc = errmsg_set(msg, TK_EPROTO, "control characters in the name");
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "a project's notice");
	*out = got;
	return TK_OK;
}

int control_encode(enum control_state state, struct bytes *out)
{
	size_t before = out->len;
	struct packer p;

	pack_begin(&p, out);
	pack_array(&p, 2);
	pack_u64(&p, FORMAT);
	pack_u64(&p, state);
	return finish(&p, out, before);
}

int control_decode(enum control_state *out, struct span in, struct errmsg *msg)
{
	struct mp_reader r;
	uint32_t state;
	int rc;

	mp_begin(&r, in);
	mp_array(&r, "control", 2, 2);
	mp_u32(&r, "format", FORMAT, FORMAT);
	state = mp_u32(&r, "state", CONTROL_RUNNING, CONTROL_ENDED);
	rc = mp_end(&r, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "a project's control");
	*out = (enum control_state)state;
	return TK_OK;
}

int revocations_encode(const struct revocations *r, struct bytes *out)
{
	size_t before = out->len;
	struct packer p;

	REQUIRE(r->count <= REVOCATIONS_MAX);
	pack_begin(&p, out);
	pack_array(&p, 2);
	pack_u64(&p, FORMAT);
	pack_array(&p, r->count);
	for (uint32_t i = 0; i < r->count; i++)
		pack_bin(&p, r->keys[i].b, KEY_BYTES);
	return finish(&p, out, before);
}

int revocations_decode(struct revocations *out, struct span in, struct errmsg *msg)
{
	struct revocations got = {0};
	struct mp_reader r;
	int rc;

	mp_begin(&r, in);
	mp_array(&r, "revocations", 2, 2);
	mp_u32(&r, "format", FORMAT, FORMAT);
	got.count = mp_array(&r, "keys", 0, REVOCATIONS_MAX);
	for (uint32_t i = 0; i < got.count; i++)
		mp_public_key(&r, "key", &got.keys[i]);
	rc = mp_end(&r, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "revocations");
	*out = got;
	return TK_OK;
}
