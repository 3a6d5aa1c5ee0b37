/* portmap.h: NAT-PMP, through libnatpmp. */
#include <natpmp.h>

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "peer/agent/portmap.h"

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for the answer to what was just asked; libnatpmp asks again by itself. */
static int wait_answer(natpmp_t *n, natpmpresp_t *answer, int64_t until_ms)
{
	int rc;

	while ((rc = readnatpmpresponseorretry(n, answer)) == NATPMP_TRYAGAIN &&
		now_ms() < until_ms) {
		struct pollfd fd = {.fd = n->s, .events = POLLIN};

		(void)poll(&fd, 1, 50);
	}
	return rc;
}

static int failed(struct errmsg *msg, int rc)
{
	switch (rc) {
	case NATPMP_ERR_CANNOTGETGATEWAY:
		return errmsg_set(msg, TK_EIO, "NAT-PMP: this computer has no router");
	case NATPMP_ERR_NOTAUTHORIZED:
		return errmsg_set(msg, TK_EIO,
			"NAT-PMP: the router refuses: it is switched off "
			"there");
	case NATPMP_ERR_NETWORKFAILURE:
		return errmsg_set(msg, TK_EIO, "NAT-PMP: the router has no address itself");
	case NATPMP_ERR_OUTOFRESOURCES:
		return errmsg_set(msg, TK_EIO, "NAT-PMP: the router has no port left");
	default:
		return errmsg_set(msg, TK_EIO, "NAT-PMP: the router does not answer");
	}
}

static int ask(natpmp_t *n, struct portmap *out, uint16_t port, uint32_t lifetime_s)
{
	int64_t until_ms = now_ms() + PORTMAP_ANSWER_MS;
	struct portmap p = {.mapped = lifetime_s != 0, .how = "NAT-PMP", .at = {.family = 4}};
	natpmpresp_t answer;
	int rc = sendpublicaddressrequest(n);

	if (rc >= 0)
		rc = wait_answer(n, &answer, until_ms);
	if (rc < 0)
		return rc;
	memcpy(p.at.ip, &answer.pnu.publicaddress.addr, 4);
	rc = sendnewportmappingrequest(
		n, NATPMP_PROTOCOL_TCP, port, lifetime_s != 0 ? port : 0, lifetime_s);
	if (rc >= 0)
		rc = wait_answer(n, &answer, until_ms + PORTMAP_ANSWER_MS);
	if (rc < 0)
		return rc;
	p.at.port = answer.pnu.newportmapping.mappedpublicport;
	p.lifetime_s = answer.pnu.newportmapping.lifetime;
	*out = p;
	return 0;
}

int portmap_natpmp(struct portmap *out, uint16_t port, uint32_t lifetime_s, uint32_t gateway,
	struct errmsg *msg)
{
	natpmp_t n;
	int rc = initnatpmp(&n, gateway != 0, htonl(gateway));

	if (rc < 0)
		return failed(msg, rc);
	rc = ask(&n, out, port, lifetime_s);
	closenatpmp(&n);
	return rc == 0 ? TK_OK : failed(msg, rc);
}
