/* `talkoot-peer doctor`: every step of joining, tried one by one, and what to do where one fails. */
#ifndef PEER_AGENT_DOCTOR_H
#define PEER_AGENT_DOCTOR_H

#include "peer/agent/agent_home.h"
#include "peer/agent/misbehave.h"

#define DOCTOR_STEPS_MAX 48u /* three for each of a link's eight hosts, and the others */

enum doctor_result {
	DOCTOR_OK = 0,
	DOCTOR_WARNING = 1, /* it works, but less well than it could */
	DOCTOR_BAD = 2,	    /* joining does not work */
	DOCTOR_SKIPPED = 3, /* could not be tried; the text says why */
};

struct doctor_step {
	const char *name; /* a literal */
	enum doctor_result result;
	bool of_host;	    /* about one of the link's hosts, of which one is enough */
	char text[512];	    /* what was found */
	const char *advice; /* what to do; NULL: nothing */
};

struct doctor {
	struct doctor_step steps[DOCTOR_STEPS_MAX];
	size_t count;
};

struct doctor_options {
	const char *listen;   /* ADDR:PORT; NULL: the usual port, or any that is free */
	bool no_port_mapping; /* the router is not asked */
	enum misbehave misbehave;
};

/* Notes what was found. */
void doctor_note(struct doctor *d, const char *name, enum doctor_result result, const char *advice,
	const char *format, ...) TK_PRINTF(5, 6);
bool doctor_is_well(const struct doctor *d); /* no step is BAD */

enum doctor_home {
	DOCTOR_HOME_NONE = 1,	   /* there is only a link */
	DOCTOR_HOME_JOINED = 2,	   /* the network that is tried */
	DOCTOR_HOME_ELSEWHERE = 3, /* another one, which is none of that network's business */
};

/* Home, keys, disk, memory and clock: what needs no network. */
void doctor_local(
	struct doctor *d, const struct agent_home *h, enum doctor_home is, uint64_t now_s);
/* The engine that TALKOOT_ENGINE names, and a worker process: does it compute what every other computer does? A unit
 * whose result is known, then the self-test on a few seeds. For tests, with a worker that misbehaves. */
void doctor_worker(struct doctor *d, enum misbehave misbehave);
/* Is this engine's self-test on the seed that of the scalar engine? If not, it is noted which operation is wrong, and
 * what to report. */
bool doctor_selftest(struct doctor *d, const char *engine, uint64_t seed, struct span digests);
/* The network, for the identity that h holds (made up, when nothing was joined): hosts, handshake, clock,
 * reachability, router, relays. Takes up to two minutes. Errors: TK_EIO, TK_ENOMEM: it could not begin. */
int doctor_network(struct doctor *d, const struct agent_home *h,
	const struct doctor_options *options, struct errmsg *msg) TK_CHECKED;

/* A table for people, on stdout. */
void doctor_print(const struct doctor *d);
/* One JSON object and a newline. Errors: TK_ENOMEM. */
int doctor_encode(const struct doctor *d, struct bytes *out) TK_CHECKED;

#endif
