/* "HOST:PORT" taken apart. Looks nothing up. */
#ifndef PEER_OVERLAY_ADDRESS_H
#define PEER_OVERLAY_ADDRESS_H

#include <stdint.h>

#include "tasks/base/error.h"

#define HOST_SIZE 256u /* a DNS name has at most 253 bytes */

struct address {
	char host[HOST_SIZE]; /* without brackets */
	uint16_t port;
};

/* Splits "name:port", "1.2.3.4:port" or "[::1]:port". Errors with a sentence: TK_EINVAL. */
int address_split(struct address *out, const char *text, struct errmsg *msg) TK_CHECKED;

#endif
