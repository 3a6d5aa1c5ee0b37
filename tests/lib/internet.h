/* A small internet in memory under virtual time: hosts, home routers of the kinds that matter, TCP as far as
 * hole punching needs it (a packet that opens a mapping, retries, both dialling at once), latency. Each host
 * runs struct ways, or, as a *puppet*, the bare node, whose part in relaying the test plays.
 *
 * Everything that a host says is kept in `seen`, in order. Uses malloc, never mem_alloc, so that mem_fail
 * hits the cores alone. */
#ifndef TESTS_LIB_INTERNET_H
#define TESTS_LIB_INTERNET_H

#include "peer/overlay/node_effects.h"
#include "peer/overlay/ways.h"

#define HOSTS_MAX    8u
#define MAPPINGS_MAX 256u
#define HOST_PORT    7332u /* where hosts listen */

enum nat_kind {
	NAT_KIND_NONE = 0,
	NAT_KIND_FULL_CONE,	     /* one mapping; who knows it may come in */
	NAT_KIND_PORT_RESTRICTED,    /* one mapping; only whom we spoke to may answer */
	NAT_KIND_SYMMETRIC,	     /* a mapping for each destination, only for it */
	NAT_KIND_ADDRESS_RESTRICTED, /* one mapping; whom we spoke to may come from any port */
	NAT_KIND_CLOSED, /* no router: a public address behind a firewall that lets nobody in */
	NAT_KINDS,
};

struct mapping {
	size_t host;
	uint16_t inner, outer;
	struct endpoint to; /* SYMMETRIC: for which destination */
};

struct host {
	struct identity id;
	struct ways *ways; /* NULL: a puppet */
	struct node *node; /* of ways, or the puppet's */
	enum nat_kind nat;
	struct endpoint inside, outside; /* its own address, and its router's */
	uint16_t next_port;
	bool stalled;		    /* reads nothing for the time being */
	bool dead;		    /* loses all power; nobody is told */
	const struct endpoint *lie; /* where it believes, and says, that everybody comes from */
	struct node_effects seen;
	size_t done;
};

/* One TCP connection, or the try for one. */
struct link_end {
	size_t host;
	bool told;   /* its core knows it */
	bool closed; /* by its core, or told LOST */
};
struct tcp_link {
	struct link_end ends[2]; /* 0 dialled */
	uint64_t token;
	struct endpoint from, to; /* as the network sees them */
	bool from_port, probe;
	bool up, over;
	unsigned tries;
};

struct happening; /* something that is due */

struct internet {
	struct host hosts[HOSTS_MAX];
	size_t host_count;
	struct tcp_link *links;
	size_t link_count;
	struct mapping mappings[MAPPINGS_MAX];
	size_t mapping_count;
	struct endpoint spoken[MAPPINGS_MAX][2]; /* outside address → whom it sent to */
	size_t spoken_count;
	struct happening *due;
	size_t due_count;
	uint64_t order;
	uint64_t now_ms, tick_ms;
	uint64_t seed;
	uint32_t latency_ms; /* each way */
	bool gossip;	     /* hosts that are added from now on take part in it */
};

void internet_open(struct internet *net, uint64_t seed);
void internet_close(struct internet *net);

/* Adds a host; it listens. Its outside address is 198.51.<number>.7, or for hosts that share a router 203…
 * network: NULL: it is the coordinator of its own. */
size_t internet_add(struct internet *net, enum role role, const struct public_key *network,
	enum nat_kind nat, bool puppet);

/* The shell's dial: gives the connection's number at once; UP follows or not. */
conn_id internet_dial(struct internet *net, size_t from, size_t to);
/* node_uv_connect; 0: it failed. */
conn_id internet_try(struct internet *net, size_t from, const struct record *record);
conn_id internet_connect(struct internet *net, size_t from, const struct record *record);
int internet_send(struct internet *net, size_t host, conn_id conn, const struct message *m);
void internet_drop(struct internet *net, size_t host, conn_id conn);
int internet_step(struct internet *net, size_t host, struct node_event *event);

/* Lets time pass. */
void internet_pass(struct internet *net, uint64_t ms);

size_t internet_count(
	const struct internet *net, size_t host, enum node_effect_type type, conn_id conn);
const struct node_effect *internet_last(
	const struct internet *net, size_t host, enum node_effect_type type, conn_id conn);
const struct public_key *internet_key(const struct internet *net, size_t host);
const struct record *internet_record(const struct internet *net, size_t host);

/* internet_routers.c */

/* Where host's packets from this port to that destination seem to come from. */
struct endpoint internet_go_out(
	struct internet *net, size_t host, uint16_t port, const struct endpoint *to);
/* The host that a packet between these addresses reaches, and at which port; HOSTS_MAX: none. */
size_t internet_come_in(const struct internet *net, const struct endpoint *from,
	const struct endpoint *to, uint16_t *port);

#endif
