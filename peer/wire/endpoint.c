/* See endpoint.h. */
#include "peer/wire/endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IP4 4u
#define IP6 16u

static size_t ip_bytes(const struct endpoint *e)
{
	return e->family == 4 ? IP4 : IP6;
}

size_t endpoint_pack(uint8_t out[ENDPOINT_BYTES_MAX], const struct endpoint *e)
{
	size_t n = ip_bytes(e);

	memcpy(out, e->ip, n);
	out[n] = (uint8_t)(e->port >> 8);
	out[n + 1] = (uint8_t)e->port;
	return n + 2;
}

/* True for an address that one host can have. */
static bool is_unicast(const struct endpoint *e)
{
	static const uint8_t none[IP6] = {0};
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:0:0/96, RFC 4291 */

	if (memcmp(e->ip, none, ip_bytes(e)) == 0)
		return false;
	if (e->family == 4)
		return e->ip[0] != 0 &&
		       e->ip[0] < 224; /* multicast, reserved and broadcast beyond */
	return e->ip[0] != 0xff && memcmp(e->ip, mapped, sizeof(mapped)) != 0;
}

int endpoint_unpack(struct endpoint *out, struct span in)
{
	struct endpoint e = {.family = in.len == IP4 + 2 ? 4 : 6};
	size_t n = ip_bytes(&e);

	if (in.len != n + 2)
		return TK_EPROTO;
	memcpy(e.ip, in.data, n);
	e.port = (uint16_t)(in.data[n] << 8 | in.data[n + 1]);
	if (e.port == 0 || !is_unicast(&e))
		return TK_EPROTO;
	*out = e;
	return TK_OK;
}

void endpoint_put(struct packer *p, const struct endpoint *e)
{
	uint8_t packed[ENDPOINT_BYTES_MAX];

	pack_bin(p, packed, endpoint_pack(packed, e));
}

void endpoint_get(struct mp_reader *r, const char *field, struct endpoint *out)
{
	struct span packed = mp_bin(r, field, ENDPOINT_BYTES_MAX);

	if (r->error == TK_OK && endpoint_unpack(out, packed) != TK_OK) {
		r->error = TK_EPROTO;
		r->field = field;
	}
}

void endpoint_text(char out[ENDPOINT_TEXT_MAX], const struct endpoint *e)
{
	char ip[INET6_ADDRSTRLEN] = "?";

	inet_ntop(e->family == 4 ? AF_INET : AF_INET6, e->ip, ip, sizeof(ip));
	snprintf(out, ENDPOINT_TEXT_MAX, e->family == 4 ? "%s:%u" : "[%s]:%u", ip, e->port);
}

int endpoint_from_text(struct endpoint *out, const char *text)
{
	const char *colon = strrchr(text, ':');
	struct endpoint e = {.family = text[0] == '[' ? 6 : 4};
	char ip[INET6_ADDRSTRLEN] = "";
	size_t n = colon != NULL ? (size_t)(colon - text) : 0;
	unsigned long port;
	char *end;

	if (e.family == 6 && n >= 2 && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (n == 0 || n >= sizeof(ip) || colon[1] < '1' || colon[1] > '9')
		return TK_EINVAL;
	memcpy(ip, text, n);
	port = strtoul(colon + 1, &end, 10);
	if (*end != '\0' || port > UINT16_MAX ||
		inet_pton(e.family == 4 ? AF_INET : AF_INET6, ip, e.ip) != 1)
		return TK_EINVAL;
	e.port = (uint16_t)port;
	if (!is_unicast(&e))
		return TK_EINVAL;
	*out = e;
	return TK_OK;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->family == b->family && a->port == b->port &&
	       memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static enum endpoint_scope scope4(const uint8_t *ip)
{
	if (ip[0] == 127)
		return SCOPE_LOOPBACK;
	if (ip[0] == 169 && ip[1] == 254)
		return SCOPE_LINK;
	if (ip[0] == 10 || (ip[0] == 172 && ip[1] >> 4 == 1) || (ip[0] == 192 && ip[1] == 168) ||
		(ip[0] == 100 && ip[1] >> 6 == 1))
		return SCOPE_PRIVATE;
	return SCOPE_GLOBAL;
}

static enum endpoint_scope scope6(const uint8_t *ip)
{
	static const uint8_t loopback[IP6] = {[15] = 1};

	if (memcmp(ip, loopback, IP6) == 0)
		return SCOPE_LOOPBACK;
	if (ip[0] == 0xfe && ip[1] >> 6 == 2)
		return SCOPE_LINK;
	return ip[0] >> 1 == 0x7e ? SCOPE_PRIVATE : SCOPE_GLOBAL;
}

enum endpoint_scope endpoint_scope(const struct endpoint *e)
{
	return e->family == 4 ? scope4(e->ip) : scope6(e->ip);
}

uint64_t endpoint_prefix(const struct endpoint *e)
{
	uint64_t prefix = e->family;
	size_t n = e->family == 4 ? 3 : 6;

	for (size_t i = 0; i < n; i++)
		prefix = prefix << 8 | e->ip[i];
	return prefix;
}
