/* How the cores that find ways through NATs act on sessions: effects that leave at once, through functions of
 * whoever drives them (ways.c; a test). None of them calls back into the core that uses it. */
#ifndef PEER_OVERLAY_WAY_PORT_H
#define PEER_OVERLAY_WAY_PORT_H

#include "peer/overlay/node.h"

struct way_port {
	void *context;
	/* Queues m on an open session; bytes that m borrows are copied. A session that ended meanwhile, or
	 * that runs out of memory, is seen going down later. */
	void (*send)(void *context, conn_id conn, const struct message *m);
	/* Bytes that wait for that session's reader. */
	size_t (*waiting)(void *context, conn_id conn);
	/* The other side broke a rule: its session ends. why is for the log. */
	void (*accuse)(void *context, conn_id conn, const char *why);
	void (*log)(void *context, const char *line);
};

#endif
