/* Fetching one blob in order; see fetch.h. The other node is not trusted: every part must be the one
 * that was asked for, memory follows the bytes that arrived, and the whole must have its digest.
 *
 * Requests lie back to back from offset 0, each BLOB_PART_MAX long but the last. The blob's length is
 * unknown until the first part tells it, so that request goes alone and its answer may be shorter. */
#include "peer/swarm/fetch.h"

#include <string.h>

void fetch_begin(struct fetch *f, const struct digest *digest, uint64_t max)
{
	*f = (struct fetch){.digest = *digest, .max = max < BLOB_BYTES_MAX ? max : BLOB_BYTES_MAX};
}

void fetch_close(struct fetch *f)
{
	bytes_close(&f->got);
	f->total = 0;
	f->asked = 0;
}

bool fetch_next_request(struct fetch *f, struct message *out)
{
	uint64_t left = f->total - f->asked; /* meaningful once total is known */
	uint32_t length = BLOB_PART_MAX;

	if (f->total == 0) {
		if (f->asked != 0)
			return false;
	} else {
		if (left == 0 || f->asked - f->got.len >= FETCH_PARTS_AHEAD * BLOB_PART_MAX)
			return false;
		if (left < length)
			length = (uint32_t)left;
	}
	*out = (struct message){.type = MESSAGE_BLOB_GET,
		.blob_get = {.digest = f->digest, .offset = f->asked, .length = length}};
	f->asked += length;
	return true;
}

void fetch_restart(struct fetch *f)
{
	f->asked = f->got.len;
}

/* Is this the part that comes next? */
static int part_check(
	const struct fetch *f, const struct message_blob_part *part, struct errmsg *msg)
{
	uint64_t left;
	uint64_t expected;

	if (!digest_equal(&part->digest, &f->digest))
		return errmsg_set(msg, TK_EPROTO, "a part of another blob than the one asked for");
	if (part->total > f->max)
		return errmsg_set(msg, TK_ELIMIT,
			"the blob is said to have %llu bytes; at most %llu are accepted here",
			(unsigned long long)part->total, (unsigned long long)f->max);
	if (f->total != 0 && part->total != f->total)
		return errmsg_set(msg, TK_EPROTO, "the blob's length changed from %llu to %llu",
			(unsigned long long)f->total, (unsigned long long)part->total);
	if (part->offset != f->got.len || f->asked <= f->got.len)
		return errmsg_set(msg, TK_EPROTO,
			"a part at offset %llu that was not asked for; the next is %zu",
			(unsigned long long)part->offset, f->got.len);
	left = part->total - f->got.len;
	expected = left < BLOB_PART_MAX ? left : BLOB_PART_MAX;
	if (part->bytes.len != expected)
		return errmsg_set(msg, TK_EPROTO, "a part of %zu bytes where %llu were asked for",
			part->bytes.len, (unsigned long long)expected);
	return TK_OK;
}

int fetch_part(struct fetch *f, const struct message_blob_part *part, struct errmsg *msg)
{
	struct digest is;
	int rc = part_check(f, part, msg);

	if (rc != TK_OK)
		return rc;
	if (bytes_append(&f->got, part->bytes.data, part->bytes.len) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for %zu more bytes of a blob",
			part->bytes.len);
	f->total = part->total;
	if (f->asked > f->total)
		f->asked = f->total;
	if (f->got.len < f->total)
		return TK_OK;
	digest_blob(&is, f->got.data, f->got.len);
	if (!digest_equal(&is, &f->digest)) {
		fetch_close(f);
		return errmsg_set(msg, TK_ECORRUPT,
			"all bytes of the blob arrived but they do not have its digest; "
			"it has to come from another node");
	}
	return 1;
}
