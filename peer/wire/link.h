/* The invitation link: talkoot://KEY[.SECRET]@host:port[,host:port…], KEY and SECRET 64 hex digits each
 *
 * It names a network by the coordinator's root key and says where its hosts answer. A private network's
 * link also carries the secret that lets in; no sentence about a link repeats that. */
#ifndef PEER_WIRE_LINK_H
#define PEER_WIRE_LINK_H

#include "tasks/base/key.h"

#define LINK_HOSTS_MAX	  8u
#define LINK_SECRET	  32u  /* bytes */
#define LINK_ADDRESS_SIZE 264u /* "name:port" with its NUL: 253 + 1 + 5, brackets included */

struct link {
	struct public_key network;
	bool has_secret; /* the network is private; wipe the link when it is done */
	uint8_t secret[LINK_SECRET];
	uint32_t host_count;			       /* 1 … LINK_HOSTS_MAX */
	char hosts[LINK_HOSTS_MAX][LINK_ADDRESS_SIZE]; /* as node_uv_dial takes them */
};

/* Reads a link strictly: nothing before, between or after its parts. Errors: TK_EINVAL, TK_ELIMIT
 * (more than LINK_HOSTS_MAX hosts); msg says which part and what it should be. */
int link_parse(struct link *out, const char *text, struct errmsg *msg) TK_CHECKED;

/* Appends the link's text (no NUL). Errors: TK_EINVAL (a host that link_parse would refuse),
 * TK_ENOMEM; out is then as before. */
int link_format(const struct link *l, struct bytes *out, struct errmsg *msg) TK_CHECKED;

/* Checks one "host:port": a name, an IPv4 address or an IPv6 address in brackets, and a port from 1
 * to 65535. Errors: TK_EINVAL. */
int link_address_check(struct span address, struct errmsg *msg) TK_CHECKED;

#endif
