/* The agent's side of port mapping: a helper process (portmap.h) that is asked, asked again before the mapping
 * ends, and killed and started anew when it does not answer. Nothing else ever waits for it. */
#ifndef PEER_AGENT_PORTMAPPER_UV_H
#define PEER_AGENT_PORTMAPPER_UV_H

#include "peer/agent/portmap.h"

#define PORTMAPPER_PATIENCE_MS	  30000u   /* for one answer; then the helper hangs */
#define PORTMAPPER_AGAIN_MS	  600000u  /* after "no": the router may have been replaced */
#define PORTMAPPER_RESTART_MS	  60000u   /* after it hung or died; doubled each time … */
#define PORTMAPPER_RESTART_MAX_MS 3600000u /* … up to this */

struct uv_loop_s;
struct portmapper_uv;

struct portmapper_handler {
	void *context;
	/* Each answer, and each failure of the helper (not mapped, text says why). */
	void (*answer)(void *context, const struct portmap *p);
	uint64_t patience_ms; /* 0: PORTMAPPER_PATIENCE_MS */
};

/* Starts it for a port. program has the subcommand port-mapper; gateway NULL: the default route's, otherwise
 * for tests an IPv4 address that alone is asked. Borrows loop, program and handler until it is closed. NULL:
 * out of memory; a helper that does not start is an answer. */
struct portmapper_uv *portmapper_uv_new(struct uv_loop_s *loop, const char *program,
	const char *gateway, uint16_t port, const struct portmapper_handler *handler);
/* The helper takes its mapping back and ends, in its own time; no more answers come. NULL is fine. */
void portmapper_uv_close(struct portmapper_uv *p);

#endif
