/* Spans (borrowed bytes), growing byte strings, little-endian loads and stores, hexadecimal. */
#ifndef TASKS_BASE_BYTES_H
#define TASKS_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasks/base/error.h"

/* Borrowed bytes: somebody else owns them. */
struct span {
	const uint8_t *data;
	size_t len;
};

/* Owned, growing bytes. All zero is an empty one. */
struct bytes {
	uint8_t *data;
	size_t len;
	size_t capacity;
};

/* Appends n bytes; on failure b is as before. Errors: TK_ENOMEM. */
int bytes_append(struct bytes *b, const void *data, size_t n) TK_CHECKED;

/* Makes room for n more bytes without changing len. Errors: TK_ENOMEM. */
int bytes_reserve(struct bytes *b, size_t n) TK_CHECKED;

/* Drops the first n bytes (n ≤ len). */
void bytes_consume(struct bytes *b, size_t n);

/* Frees the contents; b is empty afterwards and can be used again. */
void bytes_close(struct bytes *b);

struct span bytes_span(const struct bytes *b);
struct span span_of(const void *data, size_t len);
struct span span_text(const char *text);
bool span_equal(struct span a, struct span b);

uint16_t load_le16(const uint8_t *p);
uint32_t load_le32(const uint8_t *p);
uint64_t load_le64(const uint8_t *p);
void store_le16(uint8_t *p, uint16_t v);
void store_le32(uint8_t *p, uint32_t v);
void store_le64(uint8_t *p, uint64_t v);

/* Writes 2n hex digits and a NUL into out. */
void hex_encode(char *out, const uint8_t *data, size_t n);

/* Reads exactly 2n hex digits followed by NUL. Errors: TK_EINVAL. */
int hex_decode(uint8_t *out, size_t n, const char *text) TK_CHECKED;

#endif
