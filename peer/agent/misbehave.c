/* See misbehave.h. */
#include "peer/agent/misbehave.h"

#include <string.h>

#include "tasks/unit/sign.h"

static const char *const names[] = {[MISBEHAVE_CORRUPT] = "corrupt",
	[MISBEHAVE_GARBAGE] = "garbage",
	[MISBEHAVE_NONFINITE] = "nonfinite",
	[MISBEHAVE_TRUNCATE] = "truncate",
	[MISBEHAVE_HUGE] = "huge",
	[MISBEHAVE_WITHHOLDER] = "withholder",
	[MISBEHAVE_MUTE] = "mute",
	[MISBEHAVE_ARITHMETIC] = "arithmetic",
	[MISBEHAVE_LAZY] = "lazy",
	[MISBEHAVE_POISONER] = "poisoner",
	[MISBEHAVE_PLAGIARIST] = "plagiarist",
	[MISBEHAVE_EQUIVOCATOR] = "equivocator"};

const char *misbehave_name(enum misbehave mode)
{
	return names[mode];
}

int misbehave_parse(enum misbehave *out, const char *name, struct errmsg *msg)
{
	for (int i = MISBEHAVE_CORRUPT; i <= MISBEHAVE_LAST; i++)
		if (strcmp(names[i], name) == 0) {
			*out = (enum misbehave)i;
			return TK_OK;
		}
	return errmsg_set(msg, TK_EINVAL,
		"there is no misbehaviour \"%.40s\"; there are corrupt, garbage, nonfinite, "
		"truncate, "
		"huge, withholder, mute, arithmetic, lazy, poisoner, plagiarist and equivocator",
		name);
}

/* Different cheaters flip different bits, so they do not agree with each other. Within the first block:
 * never its scale, never a float's exponent, and never so that a value becomes −128: it looks sound. */
static void flip(struct bytes *payload, uint64_t random)
{
	size_t values = payload->len < 4100 ? payload->len : 4100;
	size_t at =
		values < 8 ? payload->len - 1 : 4 + (size_t)(random >> 8) % (values / 4 - 1) * 4;
	uint8_t bit = (uint8_t)(2u << (random % 3));

	payload->data[at] ^= bit;
	if (payload->data[at] == 0x80)
		payload->data[at] ^= bit ^ 1;
}

static void scramble(struct bytes *payload, uint64_t random)
{
	for (size_t i = 0; i < payload->len; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		payload->data[i] = (uint8_t)(random >> 56);
	}
}

void misbehave_payload(enum misbehave mode, uint64_t random, struct bytes *payload)
{
	if (payload->len == 0)
		return;
	if (mode == MISBEHAVE_CORRUPT)
		flip(payload, random);
	else if (mode == MISBEHAVE_GARBAGE)
		scramble(payload, random);
}

/* Adds zeros to a part, up to the most that a message holds. */
static void lengthen(struct message_upload *u, struct bytes *scratch)
{
	static const uint8_t zeros[4096];

	scratch->len = 0;
	if (bytes_append(scratch, u->bytes.data, u->bytes.len) != TK_OK)
		return;
	while (scratch->len + sizeof(zeros) <= BLOB_PART_MAX &&
		bytes_append(scratch, zeros, sizeof(zeros)) == TK_OK)
		;
	u->bytes = bytes_span(scratch);
}

/* Who fails the self-test gets no lease to be silent about. */
static bool gets_leases(const struct message *m)
{
	return m->type == MESSAGE_WORK_REQUEST || m->type == MESSAGE_SELFTEST ||
	       m->type == MESSAGE_BLOB_GET;
}

bool misbehave_message(enum misbehave mode, struct message *m, struct bytes *scratch)
{
	if (mode == MISBEHAVE_WITHHOLDER)
		return m->type != MESSAGE_REVEAL;
	if (mode == MISBEHAVE_MUTE)
		return gets_leases(m);
	if (m->type != MESSAGE_UPLOAD)
		return true;
	if (mode == MISBEHAVE_TRUNCATE && m->upload.bytes.len < BLOB_PART_MAX)
		m->upload.bytes.len -= m->upload.bytes.len / 2;
	else if (mode == MISBEHAVE_HUGE)
		lengthen(&m->upload, scratch);
	return true;
}

bool misbehave_again(enum misbehave mode, const struct key_pair *peer, struct message *m)
{
	if (mode != MISBEHAVE_EQUIVOCATOR || m->type != MESSAGE_COMMIT)
		return false;
	m->commit.commitment.b[0] ^= 1;
	commit_sign(&m->commit.signature, peer, &m->commit.commitment, &m->commit.nonce);
	return true;
}

/* One operation, "log", is off; a digest does not say by how much. */
void misbehave_selftest(enum misbehave mode, struct bytes *digests)
{
	size_t at = (size_t)7 * DIGEST_BYTES;

	if (mode == MISBEHAVE_ARITHMETIC && digests->len > at)
		digests->data[at] ^= 1;
}
