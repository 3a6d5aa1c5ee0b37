/* See ledger_file.h. */
#include "coordinator/ledger_file.h"

#include <inttypes.h>
#include <string.h>

#include "tasks/base/pack.h"

static uint32_t field_count(enum ledger_record_type type)
{
	return type == RECORD_HEADER ? 3 : type == RECORD_HEAD ? 4 : 5;
}

int ledger_record_encode(const struct ledger_record *r, struct bytes *out)
{
	uint8_t length[4] = {0};
	size_t before = out->len;
	struct packer p;
	int rc = bytes_append(out, length, sizeof(length));

	if (rc != TK_OK)
		return rc;
	pack_begin(&p, out);
	pack_array(&p, field_count(r->type));
	pack_u64(&p, r->type);
	if (r->type == RECORD_HEADER) {
		pack_bin(&p, r->network.b, KEY_BYTES);
		pack_span(&p, r->recipe);
	} else {
		pack_u64(&p, r->sequence);
		pack_digest(&p, &r->link);
	}
	if (r->type == RECORD_ENTRY)
		pack_span(&p, r->content);
	if (r->type == RECORD_LINK) {
		pack_digest(&p, &r->project);
		pack_digest(&p, &r->digest);
	}
	if (r->type == RECORD_ENTRY || r->type == RECORD_HEAD)
		pack_bin(&p, r->signature.b,
			r->type == RECORD_HEAD || r->is_signed ? SIGNATURE_BYTES : 0);
	rc = pack_end(&p);
	if (rc == TK_OK)
		store_le32(out->data + before, (uint32_t)(out->len - before - 4));
	else
		out->len = before;
	return rc;
}

/* A signature, or in an entry none. */
static void read_signature(struct mp_reader *r, struct ledger_record *got)
{
	struct span s = mp_bin(r, "record.signature", SIGNATURE_BYTES);

	if (r->error == TK_OK && s.len != SIGNATURE_BYTES &&
		(s.len != 0 || got->type == RECORD_HEAD)) {
		r->error = TK_EPROTO;
		r->field = "record.signature";
	}
	if (r->error != TK_OK || s.len == 0)
		return;
	got->is_signed = true;
	memcpy(got->signature.b, s.data, SIGNATURE_BYTES);
}

int ledger_record_decode(struct ledger_record *out, struct span in, struct errmsg *msg)
{
	struct ledger_record got;
	struct mp_reader r;
	uint32_t fields;
	int rc;

	memset(&got, 0, sizeof(got));
	mp_begin(&r, in);
	fields = mp_array(&r, "record", 3, 5);
	got.type = (enum ledger_record_type)mp_u32(&r, "record.type", RECORD_HEADER, RECORD_HEAD);
	if (r.error == TK_OK && fields != field_count(got.type)) {
		r.error = TK_EPROTO;
		r.field = "record.type";
	}
	if (got.type == RECORD_HEADER) {
		mp_public_key(&r, "record.network", &got.network);
		got.recipe = mp_bin(&r, "record.recipe", RECIPE_BYTES_MAX);
	} else {
		got.sequence = mp_u64(&r, "record.sequence", 0, UINT64_MAX - 1);
		mp_digest(&r, "record.link", &got.link);
	}
	if (got.type == RECORD_ENTRY)
		got.content = mp_bin(&r, "record.content", LEDGER_CONTENT_MAX);
	if (got.type == RECORD_LINK) {
		mp_digest(&r, "record.project", &got.project);
		mp_digest(&r, "record.digest", &got.digest);
	}
	if (got.type == RECORD_ENTRY || got.type == RECORD_HEAD)
		read_signature(&r, &got);
	rc = mp_end(&r, msg);
	if (rc == TK_OK)
		*out = got;
	return rc;
}

/* Exactly n bytes; *got says how many there were. */
static int read_bytes(struct ledger_reader *r, void *to, size_t n, size_t *got, struct errmsg *msg)
{
	*got = fread(to, 1, n, r->file);
	if (*got < n && ferror(r->file))
		return errmsg_set(msg, TK_EIO, "byte %" PRIu64 ": the file can't be read", r->at);
	return TK_OK;
}

int ledger_reader_begin(struct ledger_reader *r, FILE *file, struct errmsg *msg)
{
	char magic[sizeof(LEDGER_MAGIC) - 1];
	size_t got;
	int rc;

	*r = (struct ledger_reader){.file = file};
	rc = ledger_reader_seek(r, 0, msg);
	if (rc == TK_OK)
		rc = read_bytes(r, magic, sizeof(magic), &got, msg);
	if (rc != TK_OK)
		return rc;
	if (got != sizeof(magic) || memcmp(magic, LEDGER_MAGIC, sizeof(magic)) != 0)
		return errmsg_set(msg, TK_EPROTO,
			"bytes 0 to 15: this is not a ledger, for it does not begin with \"%s\"",
			LEDGER_MAGIC);
	r->at = sizeof(magic);
	return TK_OK;
}

void ledger_reader_close(struct ledger_reader *r)
{
	bytes_close(&r->buffer);
}

int ledger_reader_seek(struct ledger_reader *r, uint64_t at, struct errmsg *msg)
{
	clearerr(r->file);
	if (at > INT64_MAX || fseeko(r->file, (off_t)at, SEEK_SET) != 0)
		return errmsg_set(msg, TK_EIO, "byte %" PRIu64 ": the file can't be read", at);
	r->at = at;
	return TK_OK;
}

/* As much of the record as is there, by and by: a length is not believed before its bytes have come. */
static int read_record(struct ledger_reader *r, uint32_t length, struct errmsg *msg)
{
	int rc = TK_OK;

	r->buffer.len = 0;
	while (rc == TK_OK && r->buffer.len < length) {
		size_t want = length - r->buffer.len < 65536 ? length - r->buffer.len : 65536;
		size_t got;

		rc = bytes_reserve(&r->buffer, want);
		if (rc != TK_OK)
			return errmsg_set(msg, rc, "not enough memory for a record");
		rc = read_bytes(r, r->buffer.data + r->buffer.len, want, &got, msg);
		r->buffer.len += got;
		if (rc == TK_OK && got < want)
			rc = errmsg_set(msg, TK_EPROTO,
				"byte %" PRIu64 ": a record of %" PRIu32
				" bytes, and only %zu are left: the file is cut off, or this "
				"length was changed",
				r->at, length, r->buffer.len);
	}
	return rc;
}

int ledger_reader_next(
	struct ledger_reader *r, struct ledger_record *out, bool *end, struct errmsg *msg)
{
	uint8_t header[4];
	uint32_t length;
	size_t got;
	int rc = read_bytes(r, header, sizeof(header), &got, msg);

	*end = rc == TK_OK && got == 0;
	if (rc != TK_OK || *end)
		return rc;
	if (got < sizeof(header))
		return errmsg_set(msg, TK_EPROTO,
			"byte %" PRIu64 ": the file is cut off within a record's length", r->at);
	length = load_le32(header);
	if (length > LEDGER_RECORD_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"byte %" PRIu64 ": a record of %" PRIu32 " bytes; at most %u are allowed",
			r->at, length, LEDGER_RECORD_MAX);
	rc = read_record(r, length, msg);
	if (rc == TK_OK && (rc = ledger_record_decode(out, bytes_span(&r->buffer), msg)) != TK_OK)
		errmsg_prefix(msg, rc, "the record at byte %" PRIu64, r->at);
	if (rc == TK_OK)
		r->at += sizeof(header) + length;
	return rc;
}

/* Following the chain. */
struct chain {
	struct ledger_summary sum;
	const struct ledger_head *known; /* that it has to pass; or NULL */
	enum ledger_kind last;		 /* the kind of the last entry; 0: another project's */
	bool headed;			 /* the head record has come */
};

static const char *kind_of(const struct chain *c)
{
	return c->last != 0 ? ledger_kind_name(c->last) : "of another project";
}

static int take_header(struct chain *c, const struct ledger_record *r, struct errmsg *msg)
{
	struct recipe recipe;
	int rc = recipe_decode(&recipe, r->recipe, msg);

	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "the header's recipe");
	recipe_close(&recipe);
	c->sum.network = r->network;
	digest_blob(&c->sum.recipe, r->recipe.data, r->recipe.len);
	return TK_OK;
}

static int take_content(struct chain *c, const struct ledger_record *r, struct errmsg *msg)
{
	struct ledger_entry e;
	struct digest digest;
	bool wants;
	int rc = ledger_decode(&e, r->content, msg);

	if (rc != TK_OK)
		return rc;
	if (!digest_equal(&e.project, &c->sum.recipe))
		return errmsg_set(msg, TK_ECORRUPT,
			"it names another recipe than the one in the header: one of them was "
			"changed");
	wants = e.kind == LEDGER_MERGE || e.kind == LEDGER_ROLLBACK || e.kind == LEDGER_END;
	if (wants != r->is_signed)
		return errmsg_set(msg, TK_ECORRUPT, "a %s has %s", ledger_kind_name(e.kind),
			wants ? "to be signed" : "no signature");
	ledger_content_digest(&digest, r->content);
	ledger_head_add(&c->sum.head, &e.project, &digest);
	if (r->is_signed && !ledger_head_verify(&c->sum.network, &r->signature, &c->sum.head))
		return errmsg_set(msg, TK_ECORRUPT,
			"the signature of this %s is not that of the network's key: the entry, "
			"its signature or the key in the header was changed",
			ledger_kind_name(e.kind));
	c->last = e.kind;
	c->sum.entries++;
	c->sum.heads += r->is_signed;
	return TK_OK;
}

static int take_link(struct chain *c, const struct ledger_record *r, struct errmsg *msg)
{
	if (digest_equal(&r->project, &c->sum.recipe))
		return errmsg_set(msg, TK_ECORRUPT,
			"an entry of this project is kept back: only its digest is here");
	ledger_head_add(&c->sum.head, &r->project, &r->digest);
	c->last = (enum ledger_kind)0;
	c->sum.links++;
	return TK_OK;
}

/* An entry, or another project's digest. */
static int take_entry(struct chain *c, const struct ledger_record *r, struct errmsg *msg)
{
	uint64_t n = c->sum.head.sequence;
	int rc = TK_OK;

	if (r->sequence != n + 1)
		return errmsg_set(msg, TK_ECORRUPT,
			"entry %" PRIu64 " stands where entry %" PRIu64
			" belongs: entries are missing, double or swapped",
			r->sequence, n + 1);
	if (!digest_equal(&r->link, &c->sum.head.digest) && n == 0)
		return errmsg_set(
			msg, TK_ECORRUPT, "entry 1: the link before the first entry is not zero");
	if (!digest_equal(&r->link, &c->sum.head.digest))
		return errmsg_set(msg, TK_ECORRUPT,
			"entry %" PRIu64 " (%s) is not the one that entry %" PRIu64
			" follows: one of the two was changed",
			n, kind_of(c), n + 1);
	rc = r->type == RECORD_ENTRY ? take_content(c, r, msg) : take_link(c, r, msg);
	if (rc == TK_OK && c->known != NULL && c->known->sequence == n + 1 &&
		!digest_equal(&c->known->digest, &c->sum.head.digest))
		rc = errmsg_set(msg, TK_ECORRUPT,
			"this is not the head that is known: the network's key has signed two "
			"different "
			"ledgers");
	return rc == TK_OK ? rc : errmsg_prefix(msg, rc, "entry %" PRIu64, n + 1);
}

static int take_head(struct chain *c, const struct ledger_record *r, struct errmsg *msg)
{
	uint64_t n = c->sum.head.sequence;

	if (r->sequence != n)
		return errmsg_set(msg, TK_ECORRUPT,
			"the head is that of %" PRIu64 " entries, and there are %" PRIu64
			": entries are missing, or it is an older head",
			r->sequence, n);
	if (!digest_equal(&r->link, &c->sum.head.digest))
		return errmsg_set(msg, TK_ECORRUPT,
			"entry %" PRIu64 " (%s) is not the one that the head names: one of the "
			"two was changed",
			n, kind_of(c));
	if (!ledger_head_verify(&c->sum.network, &r->signature, &c->sum.head))
		return errmsg_set(msg, TK_ECORRUPT,
			"the head's signature is not that of the network's key: one of the two "
			"was changed");
	if (c->known != NULL && c->known->sequence > n)
		return errmsg_set(msg, TK_ECORRUPT,
			"the ledger ends behind entry %" PRIu64
			", and the head that is known is that of %" PRIu64
			": it is an older export, or something is held back",
			n, c->known->sequence);
	c->sum.heads++;
	c->headed = true;
	return TK_OK;
}

static int take_record(
	struct chain *c, const struct ledger_record *r, bool first, struct errmsg *msg)
{
	if (c->headed)
		return errmsg_set(msg, TK_ECORRUPT, "there is something behind the head");
	if (first != (r->type == RECORD_HEADER))
		return errmsg_set(msg, TK_ECORRUPT,
			first ? "the first record is not the header" : "a second header");
	if (first)
		return take_header(c, r, msg);
	return r->type == RECORD_HEAD ? take_head(c, r, msg) : take_entry(c, r, msg);
}

bool ledger_head_parse(struct ledger_head *out, const char *text)
{
	struct ledger_head got = {0};
	size_t digits = 0;

	for (; text[digits] >= '0' && text[digits] <= '9' && digits < 19; digits++)
		got.sequence = got.sequence * 10 + (uint64_t)(text[digits] - '0');
	if (got.sequence == 0 || text[digits] != ':' ||
		hex_decode(got.digest.b, DIGEST_BYTES, text + digits + 1) != TK_OK)
		return false;
	*out = got;
	return true;
}

int ledger_file_check(
	FILE *file, const struct ledger_head *known, struct ledger_summary *out, struct errmsg *msg)
{
	struct ledger_reader reader = {0};
	struct ledger_record record = {0};
	struct chain c = {.known = known};
	bool first = true;
	bool end = false;
	int rc = ledger_reader_begin(&reader, file, msg);

	while (rc == TK_OK && !end) {
		uint64_t at = reader.at;

		rc = ledger_reader_next(&reader, &record, &end, msg);
		if (rc != TK_OK || end)
			break;
		rc = take_record(&c, &record, first, msg);
		if (rc != TK_OK)
			errmsg_prefix(msg, rc, "the record at byte %" PRIu64, at);
		first = false;
	}
	if (rc == TK_OK && !c.headed)
		rc = errmsg_set(msg, TK_ECORRUPT,
			"the file is cut off behind entry %" PRIu64 ": the signed head is missing",
			c.sum.head.sequence);
	ledger_reader_close(&reader);
	if (rc == TK_OK)
		*out = c.sum;
	return rc;
}
