/* Asking the home router to lead a port to this computer: NAT-PMP (RFC 6886) and UPnP's Internet Gateway
 * Device, each behind the door of its library. Both talk to whatever answers in the local network, so all
 * of it runs in a process of its own, `talkoot-peer port-mapper`, which the agent kills and starts again
 * when it hangs (portmapper_uv.h); the two speak in lines. */
#ifndef PEER_AGENT_PORTMAP_H
#define PEER_AGENT_PORTMAP_H

#include "peer/wire/endpoint.h"

#define PORTMAP_LIFETIME_S 7200u /* asked for; renewed when half of it is over */
#define PORTMAP_LINE_MAX   256u
#define PORTMAP_ANSWER_MS  3000u /* how long a router is waited for */

struct portmap {
	bool mapped;
	struct endpoint at; /* where strangers find the port */
	uint32_t lifetime_s;
	char how[8];	/* "NAT-PMP", "UPnP" */
	char text[128]; /* not mapped: why */
};

/* Maps the port, or with lifetime_s 0 takes the mapping back. gateway: whom to ask, in host byte order; 0: the
 * default route's. Errors: TK_EIO with a sentence, where the router does not speak this protocol or refuses. */
int portmap_natpmp(struct portmap *out, uint16_t port, uint32_t lifetime_s, uint32_t gateway,
	struct errmsg *msg) TK_CHECKED;
int portmap_upnp(
	struct portmap *out, uint16_t port, uint32_t lifetime_s, struct errmsg *msg) TK_CHECKED;

/* The helper: questions on in, answers on out, until in ends; then it takes its mapping back. natpmp_only:
 * for tests, nobody is asked by multicast. Returns an exit code. */
int portmap_serve(int in, int out, uint32_t gateway, bool natpmp_only);

/* "MAP 7332 7200" */
void portmap_question(char line[PORTMAP_LINE_MAX], uint16_t port, uint32_t lifetime_s);
/* Errors: TK_EPROTO. */
int portmap_question_read(const char *line, uint16_t *port, uint32_t *lifetime_s) TK_CHECKED;
/* "MAPPED NAT-PMP 203.0.113.7:7332 7200", "NONE the router does not …" */
void portmap_answer(char line[PORTMAP_LINE_MAX], const struct portmap *p);
/* Believes nothing: a helper that was taken over can say anything. Errors: TK_EPROTO. */
int portmap_answer_read(const char *line, struct portmap *out) TK_CHECKED;

#endif
