/* The port mapper, a process of its own; see portmap.h. It keeps no privileges and little of anything else: it
 * parses what whoever answers in the local network says. */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "peer/agent/portmap.h"

#define MEMORY_MAX (256u << 20)
#define FILES_MAX  32u

struct helper {
	int in, out;
	uint32_t gateway;
	bool natpmp_only;
	uint16_t port; /* mapped now; 0: none */
	bool by_upnp;
	char line[PORTMAP_LINE_MAX]; /* arriving */
	size_t len;
};

static void confine(void)
{
	const struct rlimit none = {0, 0}, memory = {MEMORY_MAX, MEMORY_MAX},
			    files = {FILES_MAX, FILES_MAX};

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)setrlimit(RLIMIT_FSIZE, &none);
	(void)setrlimit(RLIMIT_NOFILE, &files);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which map terabytes */
	(void)setrlimit(RLIMIT_AS, &memory);
#else
	(void)memory;
#endif
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* NAT-PMP first: it is one packet, and nobody is asked by multicast. */
static void map(struct helper *h, uint16_t port, uint32_t lifetime_s, struct portmap *out)
{
	struct errmsg first = {""}, second = {""};

	*out = (struct portmap){.mapped = false};
	h->port = port;
	h->by_upnp = false;
	if (portmap_natpmp(out, port, lifetime_s, h->gateway, &first) == TK_OK)
		return;
	h->by_upnp = true;
	if (!h->natpmp_only && portmap_upnp(out, port, lifetime_s, &second) == TK_OK)
		return;
	h->port = 0;
	snprintf(out->text, sizeof(out->text), "%.60s%s%.60s", first.text,
		second.text[0] != '\0' ? "; " : "", second.text);
}

static void unmap(struct helper *h)
{
	struct portmap p;

	if (h->port != 0 && h->by_upnp)
		(void)!portmap_upnp(&p, h->port, 0, NULL);
	else if (h->port != 0)
		(void)!portmap_natpmp(&p, h->port, 0, h->gateway, NULL);
}

/* False: the agent is gone, or says what agents don't. */
static bool answer(struct helper *h)
{
	char line[PORTMAP_LINE_MAX + 1];
	struct portmap p;
	uint32_t lifetime_s;
	uint16_t port;
	size_t n;

	if (portmap_question_read(h->line, &port, &lifetime_s) != TK_OK)
		return false;
	map(h, port, lifetime_s, &p);
	portmap_answer(line, &p);
	n = strlen(line);
	line[n++] = '\n';
	return write(h->out, line, n) == (ssize_t)n;
}

int portmap_serve(int in, int out, uint32_t gateway, bool natpmp_only)
{
	struct helper h = {.in = in, .out = out, .gateway = gateway, .natpmp_only = natpmp_only};
	char c;

	confine();
	while (read(h.in, &c, 1) == 1) {
		if (c != '\n' && h.len + 1 < sizeof(h.line)) {
			h.line[h.len++] = c;
			continue;
		}
		h.line[h.len] = '\0';
		h.len = 0;
		if (!answer(&h))
			break;
	}
	unmap(&h);
	return 0;
}
