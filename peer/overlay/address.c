/* See address.h. */
#include "peer/overlay/address.h"

#include <string.h>

static int bad(struct errmsg *msg, const char *text, const char *why)
{
	return errmsg_set(msg, TK_EINVAL,
		"\"%.300s\" is not an address: %s; write HOST:PORT, or [ADDRESS]:PORT for IPv6",
		text, why);
}

/* 1 to 5 digits, at most 65535; −1 for anything else. */
static long port_read(const char *text)
{
	long port = 0;
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 5 || text[n] != '\0')
		return -1;
	for (size_t i = 0; i < n; i++)
		port = 10 * port + (text[i] - '0');
	return port <= UINT16_MAX ? port : -1;
}

int address_split(struct address *out, const char *text, struct errmsg *msg)
{
	const char *host = text;
	const char *colon = strrchr(text, ':');
	size_t n;
	long port;

	if (colon == NULL)
		return bad(msg, text, "the port is missing");
	n = (size_t)(colon - text);
	if (text[0] == '[') {
		if (n < 2 || text[n - 1] != ']')
			return bad(msg, text, "the closing bracket is missing");
		host++;
		n -= 2;
	} else if (memchr(text, ':', n) != NULL) {
		return bad(msg, text, "it has more than one colon");
	}
	port = port_read(colon + 1);
	if (port < 0)
		return bad(msg, text, "the port is not a number from 0 to 65535");
	if (n == 0)
		return bad(msg, text, "the host is missing");
	if (n >= HOST_SIZE)
		return bad(msg, text, "the host is too long");
	memcpy(out->host, host, n);
	out->host[n] = '\0';
	out->port = (uint16_t)port;
	return TK_OK;
}
