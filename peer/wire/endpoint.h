/* Where a node can be dialled: an IP address and a port. Names never travel between peers, so no stranger
 * makes us look one up. */
#ifndef PEER_WIRE_ENDPOINT_H
#define PEER_WIRE_ENDPOINT_H

#include "tasks/base/mpread.h"
#include "tasks/base/pack.h"

#define ENDPOINT_BYTES_MAX 18u
#define ENDPOINT_TEXT_MAX  56u /* "[IPv6]:port" and a NUL */

struct endpoint {
	uint8_t family; /* 4 or 6; 0: none */
	uint8_t ip[16]; /* 4 of them for IPv4, the rest zero */
	uint16_t port;
};

/* On the wire: the address's 4 or 16 bytes, then the port, big-endian as in sockaddr. Returns 6 or 18. */
size_t endpoint_pack(uint8_t out[ENDPOINT_BYTES_MAX], const struct endpoint *e);
/* Errors: TK_EPROTO: another length, port 0, the address of nobody (0.0.0.0, ::), an IPv4 address dressed
 * as IPv6, multicast or broadcast. */
int endpoint_unpack(struct endpoint *out, struct span in) TK_CHECKED;
/* The same as a field of a message or a record. */
void endpoint_put(struct packer *p, const struct endpoint *e);
void endpoint_get(struct mp_reader *r, const char *field, struct endpoint *out);

/* "192.0.2.1:7331", "[2001:db8::1]:7331". */
void endpoint_text(char out[ENDPOINT_TEXT_MAX], const struct endpoint *e);
/* Reads what endpoint_text writes; no names. Errors: TK_EINVAL. */
int endpoint_from_text(struct endpoint *out, const char *text) TK_CHECKED;

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

enum endpoint_scope {
	SCOPE_LOOPBACK = 1, /* 127/8, ::1 */
	SCOPE_LINK = 2,	    /* 169.254/16, fe80::/10 */
	SCOPE_PRIVATE = 3,  /* RFC 1918, RFC 6598 (carrier NAT), fc00::/7 */
	SCOPE_GLOBAL = 4,
};
enum endpoint_scope endpoint_scope(const struct endpoint *e);

/* What one stranger is thought to hold at least: the /24 of an IPv4 address, the /48 of an IPv6 one, as a
 * number that is equal for equal prefixes and never 0. Quota and rate limits go by it. */
uint64_t endpoint_prefix(const struct endpoint *e);

#endif
