/* See utf8.h. The ranges of well-formed sequences are those of the Unicode Standard, table 3-7. */
#include "tasks/data/utf8.h"

#include <string.h>

size_t utf8_decode(const uint8_t *s, size_t len, uint32_t *code_point)
{
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n;
	uint32_t c;

	if (s[0] < 0x80) {
		*code_point = s[0];
		return 1;
	}
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (len < n)
		return 0;
	c = s[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*code_point = c;
	return n;
}

bool utf8_valid(const char *text)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t left = strlen(text);
	uint32_t c;

	while (left != 0) {
		size_t n = utf8_decode(s, left, &c);

		if (n == 0)
			return false;
		s += n;
		left -= n;
	}
	return true;
}

const char *utf8_quote(char out[UTF8_QUOTED], const char *text)
{
	const size_t room = UTF8_QUOTED - sizeof("\"…\"");
	const uint8_t *s = (const uint8_t *)text;
	size_t left = strlen(text);
	size_t used = 0;

	out[used++] = '"';
	while (left != 0) {
		uint32_t c = 0;
		size_t n = utf8_decode(s, left, &c);
		bool shown = n != 0 && c >= 0x20 && (c < 0x7f || c > 0x9f);

		if (n == 0)
			n = 1;
		if (used + n > room) {
			memcpy(out + used, "…", strlen("…"));
			used += strlen("…");
			break;
		}
		if (shown) {
			memcpy(out + used, s, n);
			used += n;
		} else {
			out[used++] = '?';
		}
		s += n;
		left -= n;
	}
	out[used++] = '"';
	out[used] = '\0';
	return out;
}

size_t utf8_encode(char out[4], uint32_t code_point)
{
	uint32_t c = code_point;

	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 63));
		out[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 63));
	out[2] = (char)(0x80 | (c >> 6 & 63));
	out[3] = (char)(0x80 | (c & 63));
	return 4;
}
