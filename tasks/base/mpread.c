/* See mpread.h. Format: the MessagePack specification (github.com/msgpack/msgpack, spec.md). */
#include "tasks/base/mpread.h"

#include <string.h>

void mp_begin(struct mp_reader *r, struct span in)
{
	/* nothing may lie nowhere: a null pointer has no end to be computed */
	*r = (struct mp_reader){.at = in.data, .end = in.len != 0 ? in.data + in.len : in.data};
}

static void fail(struct mp_reader *r, int code, const char *field)
{
	if (r->error != TK_OK)
		return;
	r->error = code;
	r->field = field;
	r->at = r->end;
}

/* The next n bytes, or NULL with the error set. */
static const uint8_t *take(struct mp_reader *r, size_t n, const char *field)
{
	const uint8_t *p = r->at;

	if (r->error != TK_OK)
		return NULL;
	if ((size_t)(r->end - r->at) < n) {
		fail(r, TK_EPROTO, field);
		return NULL;
	}
	r->at += n;
	return p;
}

static uint64_t big_endian(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* Reads an n-byte big-endian number that must exceed `above`, or a shorter form would have done. */
static uint64_t shortest(struct mp_reader *r, size_t n, uint64_t above, const char *field)
{
	const uint8_t *p = take(r, n, field);
	uint64_t v;

	if (p == NULL)
		return 0;
	v = big_endian(p, n);
	if (v <= above)
		fail(r, TK_EPROTO, field);
	return v;
}

static uint64_t unsigned_after(struct mp_reader *r, uint8_t tag, const char *field)
{
	if (tag < 0x80)
		return tag;
	switch (tag) {
	case 0xcc:
		return shortest(r, 1, 0x7f, field);
	case 0xcd:
		return shortest(r, 2, 0xff, field);
	case 0xce:
		return shortest(r, 4, 0xffff, field);
	case 0xcf:
		return shortest(r, 8, 0xffffffff, field);
	default:
		fail(r, TK_EPROTO, field);
		return 0;
	}
}

uint64_t mp_u64(struct mp_reader *r, const char *field, uint64_t min, uint64_t max)
{
	const uint8_t *tag = take(r, 1, field);
	uint64_t v;

	if (tag == NULL)
		return 0;
	v = unsigned_after(r, *tag, field);
	if (r->error == TK_OK && (v < min || v > max))
		fail(r, TK_ELIMIT, field);
	return r->error == TK_OK ? v : 0;
}

uint32_t mp_u32(struct mp_reader *r, const char *field, uint32_t min, uint32_t max)
{
	return (uint32_t)mp_u64(r, field, min, max);
}

bool mp_bool(struct mp_reader *r, const char *field)
{
	const uint8_t *tag = take(r, 1, field);

	if (tag != NULL && *tag != 0xc2 && *tag != 0xc3)
		fail(r, TK_EPROTO, field);
	return r->error == TK_OK && tag != NULL && *tag == 0xc3;
}

/* A float of n bytes as its bits. */
static uint64_t float_bits(struct mp_reader *r, uint8_t want, size_t n, const char *field)
{
	const uint8_t *tag = take(r, 1, field);
	const uint8_t *p;

	if (tag == NULL)
		return 0;
	if (*tag != want) {
		fail(r, TK_EPROTO, field);
		return 0;
	}
	p = take(r, n, field);
	return p != NULL ? big_endian(p, n) : 0;
}

float mp_f32(struct mp_reader *r, const char *field)
{
	uint32_t bits = (uint32_t)float_bits(r, 0xca, 4, field);
	float v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

double mp_f64(struct mp_reader *r, const char *field)
{
	uint64_t bits = float_bits(r, 0xcb, 8, field);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* Takes n bytes of contents after checking the field's limit. */
static struct span contents(struct mp_reader *r, uint64_t n, size_t max, const char *field)
{
	const uint8_t *p;

	if (r->error == TK_OK && n > max)
		fail(r, TK_ELIMIT, field);
	p = take(r, (size_t)n, field);
	return p != NULL ? span_of(p, (size_t)n) : span_of("", 0);
}

struct span mp_bin(struct mp_reader *r, const char *field, size_t max)
{
	const uint8_t *tag = take(r, 1, field);
	uint64_t n = 0;

	if (tag == NULL)
		return span_of("", 0);
	if (*tag == 0xc4) {
		const uint8_t *p = take(r, 1, field);

		n = p != NULL ? *p : 0;
	} else if (*tag == 0xc5) {
		n = shortest(r, 2, 0xff, field);
	} else if (*tag == 0xc6) {
		n = shortest(r, 4, 0xffff, field);
	} else {
		fail(r, TK_EPROTO, field);
	}
	return contents(r, n, max, field);
}

struct span mp_str(struct mp_reader *r, const char *field, size_t max)
{
	const uint8_t *tag = take(r, 1, field);
	uint64_t n = 0;

	if (tag == NULL)
		return span_of("", 0);
	if ((*tag & 0xe0) == 0xa0)
		n = *tag & 31;
	else if (*tag == 0xd9)
		n = shortest(r, 1, 31, field);
	else if (*tag == 0xda)
		n = shortest(r, 2, 0xff, field);
	else if (*tag == 0xdb)
		n = shortest(r, 4, 0xffff, field);
	else
		fail(r, TK_EPROTO, field);
	return contents(r, n, max, field);
}

void mp_text(struct mp_reader *r, const char *field, char *out, size_t size)
{
	struct span s = mp_str(r, field, size - 1);

	out[0] = '\0';
	if (r->error != TK_OK)
		return;
	if (memchr(s.data, 0, s.len) != NULL) {
		fail(r, TK_EPROTO, field);
		return;
	}
	memcpy(out, s.data, s.len);
	out[s.len] = '\0';
}

uint32_t mp_array(struct mp_reader *r, const char *field, uint32_t min, uint32_t max)
{
	const uint8_t *tag = take(r, 1, field);
	uint64_t n = 0;

	if (tag == NULL)
		return 0;
	if ((*tag & 0xf0) == 0x90)
		n = *tag & 15;
	else if (*tag == 0xdc)
		n = shortest(r, 2, 15, field);
	else if (*tag == 0xdd)
		n = shortest(r, 4, 0xffff, field);
	else
		fail(r, TK_EPROTO, field);
	if (r->error == TK_OK && (n < min || n > max || n > (uint64_t)(r->end - r->at)))
		fail(r, TK_ELIMIT, field);
	return r->error == TK_OK ? (uint32_t)n : 0;
}

static void fixed_bin(struct mp_reader *r, const char *field, uint8_t *out, size_t n)
{
	struct span s = mp_bin(r, field, n);

	if (r->error == TK_OK && s.len != n)
		fail(r, TK_EPROTO, field);
	if (r->error == TK_OK)
		memcpy(out, s.data, n);
	else
		memset(out, 0, n);
}

void mp_digest(struct mp_reader *r, const char *field, struct digest *out)
{
	fixed_bin(r, field, out->b, DIGEST_BYTES);
}

void mp_public_key(struct mp_reader *r, const char *field, struct public_key *out)
{
	fixed_bin(r, field, out->b, KEY_BYTES);
}

void mp_signature(struct mp_reader *r, const char *field, struct signature *out)
{
	fixed_bin(r, field, out->b, SIGNATURE_BYTES);
}

int mp_end(struct mp_reader *r, struct errmsg *msg)
{
	if (r->error == TK_ELIMIT)
		return errmsg_set(msg, TK_ELIMIT, "field \"%s\" is outside its limits", r->field);
	if (r->error != TK_OK)
		return errmsg_set(
			msg, r->error, "field \"%s\" is malformed or cut short", r->field);
	if (r->at != r->end)
		return errmsg_set(msg, TK_EPROTO, "%zu bytes follow the last field",
			(size_t)(r->end - r->at));
	return TK_OK;
}
