/* See sign.h. */
#include "tasks/unit/sign.h"

static const char commit_label[] = "talkoot commit";
static const char segment_label[] = "talkoot segment";

void commit_sign(struct signature *out, const struct key_pair *peer,
	const struct digest *commitment, const struct digest *nonce)
{
	const struct span fields[] = {{commitment->b, DIGEST_BYTES}, {nonce->b, DIGEST_BYTES}};

	key_sign(out, peer, commit_label, fields, 2);
}

bool commit_verify(const struct public_key *peer, const struct signature *s,
	const struct digest *commitment, const struct digest *nonce)
{
	const struct span fields[] = {{commitment->b, DIGEST_BYTES}, {nonce->b, DIGEST_BYTES}};

	return key_verify(peer, s, commit_label, fields, 2);
}

/* What a segment's signature covers. */
struct segment_fields {
	uint8_t segment[4], count[4];
	struct digest root;
	struct span fields[4];
};

static void segment_fields_init(struct segment_fields *f, const struct digest *commitment,
	uint32_t segment, const struct digest *leaves, size_t count)
{
	store_le32(f->segment, segment);
	f->fields[0] = span_of(commitment->b, DIGEST_BYTES);
	f->fields[1] = span_of(f->segment, sizeof(f->segment));
	store_le32(f->count, (uint32_t)count);
	merkle_root(&f->root, leaves, count);
	f->fields[2] = span_of(f->count, sizeof(f->count));
	f->fields[3] = span_of(f->root.b, DIGEST_BYTES);
}

void segment_sign(struct signature *out, const struct key_pair *peer,
	const struct digest *commitment, uint32_t segment, const struct digest *leaves,
	size_t count)
{
	struct segment_fields f;

	segment_fields_init(&f, commitment, segment, leaves, count);
	key_sign(out, peer, segment_label, f.fields, 4);
}

bool segment_verify(const struct public_key *peer, const struct signature *s,
	const struct digest *commitment, uint32_t segment, const struct digest *leaves,
	size_t count)
{
	struct segment_fields f;

	segment_fields_init(&f, commitment, segment, leaves, count);
	return key_verify(peer, s, segment_label, f.fields, 4);
}
