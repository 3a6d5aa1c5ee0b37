/* See announcement.h. */
#include "peer/wire/announcement.h"

#include "tasks/base/mpread.h"
#include "tasks/base/pack.h"

#define FORMAT 1u
#define LABEL  "talkoot announcement"

int announcement_encode(const struct announcement *a, struct bytes *out)
{
	size_t before = out->len;
	struct packer p;
	int rc;

	if (a->payload.len > ANNOUNCEMENT_PAYLOAD_MAX)
		return TK_ELIMIT;
	pack_begin(&p, out);
	pack_array(&p, 6);
	pack_u64(&p, FORMAT);
	pack_u64(&p, a->kind);
	pack_digest(&p, &a->subject);
	pack_u64(&p, a->sequence);
	pack_u64(&p, a->issued_s);
	pack_span(&p, a->payload);
	rc = pack_end(&p);
	if (rc != TK_OK)
		out->len = before;
	return rc;
}

int announcement_decode(struct announcement *out, struct span in, struct errmsg *msg)
{
	struct announcement got = {0};
	struct mp_reader r;
	int rc;

	if (in.len > ANNOUNCEMENT_MAX)
		return errmsg_set(msg, TK_ELIMIT, "an announcement of %zu bytes; %u are allowed",
			in.len, ANNOUNCEMENT_MAX);
	mp_begin(&r, in);
	mp_array(&r, "announcement", 6, 6);
	mp_u32(&r, "format", FORMAT, FORMAT);
	got.kind = mp_u32(&r, "kind", 1, ANNOUNCEMENT_KIND_LAST);
	mp_digest(&r, "subject", &got.subject);
	got.sequence = mp_u64(&r, "sequence", 0, UINT64_MAX);
	got.issued_s = mp_u64(&r, "issued", 0, UINT64_MAX);
	got.payload = mp_bin(&r, "payload", ANNOUNCEMENT_PAYLOAD_MAX);
	rc = mp_end(&r, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "an announcement");
	*out = got;
	return TK_OK;
}

void announcement_sign(struct signature *out, const struct key_pair *root, struct span encoded)
{
	const struct span fields[] = {{root->public.b, KEY_BYTES}, encoded};

	key_sign(out, root, LABEL, fields, 2);
}

bool announcement_verify(
	const struct public_key *network, struct span encoded, const struct signature *signature)
{
	const struct span fields[] = {{network->b, KEY_BYTES}, encoded};

	return key_verify(network, signature, LABEL, fields, 2);
}

void announcement_digest(struct digest *out, struct span encoded)
{
	digest_fields(out, LABEL, &encoded, 1);
}
