/* UTF-8, strictly: one code point at a time, and texts made safe to show. */
#ifndef TASKS_DATA_UTF8_H
#define TASKS_DATA_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_QUOTED 64 /* room for utf8_quote */

/* Decodes the code point at s[0], of len ≥ 1 bytes. Returns how many bytes it takes (1–4), or 0 when
 * they are ill-formed: overlong forms, surrogates, values past U+10FFFF, cut-off sequences. */
size_t utf8_decode(const uint8_t *s, size_t len, uint32_t *code_point);

/* Writes a code point (≤ U+10FFFF, no surrogate) as 1–4 bytes without NUL; returns how many. */
size_t utf8_encode(char out[4], uint32_t code_point);

/* True when the NUL-terminated text is well-formed. */
bool utf8_valid(const char *text);

/* Writes "text" between quotes for a message: shortened with "…" where it is long, and '?' for what a
 * terminal should not be sent (controls, ill-formed bytes). Returns out. */
const char *utf8_quote(char out[UTF8_QUOTED], const char *text);

#endif
