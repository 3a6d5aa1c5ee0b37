/* See bytes.h. */
#include "tasks/base/bytes.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

int bytes_reserve(struct bytes *b, size_t n)
{
	size_t want;
	uint8_t *grown;

	if (n <= b->capacity - b->len)
		return TK_OK;
	if (n > SIZE_MAX / 4 || b->len > SIZE_MAX / 4)
		return TK_ENOMEM;
	want = b->len + n;
	if (want < b->capacity * 2)
		want = b->capacity * 2;
	if (want < 64)
		want = 64;
	grown = mem_realloc(b->data, want);
	if (grown == NULL)
		return TK_ENOMEM;
	b->data = grown;
	b->capacity = want;
	return TK_OK;
}

int bytes_append(struct bytes *b, const void *data, size_t n)
{
	int rc = bytes_reserve(b, n);

	if (rc == TK_OK && n != 0) {
		memcpy(b->data + b->len, data, n);
		b->len += n;
	}
	return rc;
}

void bytes_consume(struct bytes *b, size_t n)
{
	REQUIRE(n <= b->len);
	b->len -= n;
	if (b->len != 0)
		memmove(b->data, b->data + n, b->len);
}

void bytes_close(struct bytes *b)
{
	mem_free(b->data);
	*b = (struct bytes){0};
}

struct span bytes_span(const struct bytes *b)
{
	return (struct span){b->data, b->len};
}

struct span span_of(const void *data, size_t len)
{
	return (struct span){data, len};
}

struct span span_text(const char *text)
{
	return (struct span){(const uint8_t *)text, strlen(text)};
}

bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

uint16_t load_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t load_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t load_le64(const uint8_t *p)
{
	return load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

void store_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

void store_le32(uint8_t *p, uint32_t v)
{
	store_le16(p, (uint16_t)v);
	store_le16(p + 2, (uint16_t)(v >> 16));
}

void store_le64(uint8_t *p, uint64_t v)
{
	store_le32(p, (uint32_t)v);
	store_le32(p + 4, (uint32_t)(v >> 32));
}

void hex_encode(char *out, const uint8_t *data, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[data[i] >> 4];
		out[2 * i + 1] = digits[data[i] & 15];
	}
	out[2 * n] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hex_decode(uint8_t *out, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(text[2 * i]);
		int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

		if (low < 0)
			return TK_EINVAL;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return text[2 * n] == '\0' ? TK_OK : TK_EINVAL;
}
