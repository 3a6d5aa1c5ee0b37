/* What a node knows of its own reachability, and what it therefore says about itself, as a core without I/O.
 *
 * Those whom we dialled tell us where we come from (OBSERVED); routers may map a port for us; the system
 * knows its own addresses. Each of these is a candidate until others have dialled it back: two of different
 * prefixes, or the coordinator alone. What stands is our record, which the node signs anew when it changes.
 * Until strangers are known to get in there (reach_record.c says when), places at two relays are reserved, at
 * peers first, at the coordinator when there is nobody else, and the record names them too.
 *
 * It also answers other peers' DIAL_BACK: only to the very address that the asker is connected from, only
 * to ports above the well-known ones, rarely, and few at once; so nobody is scanned or flooded through us.
 * It never dials: REACH's port has `probe` for that. */
#ifndef PEER_OVERLAY_REACH_H
#define PEER_OVERLAY_REACH_H

#include "peer/overlay/way_port.h"

#define REACH_CANDIDATES_MAX  8u
#define REACH_LOCALS_MAX      8u
#define REACH_ASK_MAX	      3u /* dial-backs asked at once for a candidate, of different prefixes */
#define REACH_QUORUM	      2u       /* of them say yes; or the coordinator */
#define REACH_ANSWER_MS	      20000u   /* an answer takes no longer */
#define REACH_RETRY_MS	      60000u   /* after a failure; doubled each time … */
#define REACH_RETRY_MAX_MS    3600000u /* … up to this */
#define REACH_AGAIN_MS	      1800000u /* what stands is tested again */
#define REACH_SETTLE_MS	      3000u    /* after the first session, before relays are looked for */
#define REACH_LAST_RESORT_MS  10000u   /* without a relay: then the coordinator is asked */
#define REACH_RELAY_RETRY_MS  600000u  /* a relay that refused is asked again */
#define REACH_RENEW_MS	      1200000u /* a reservation is renewed well before it ends */
#define REACH_MAPPING_MS      10000u   /* after the first session: then a router is worth asking */
#define REACH_PROBES_MAX      8u       /* dial-backs that we do at once for others */
#define REACH_PROBE_ASK_MS    10000u   /* one for each session in so long … */
#define REACH_PROBE_BURST     4u       /* … after so many */
#define REACH_PORT_MIN	      1024u    /* lower ports are never dialled on somebody's word */
#define REACH_PUNCH_ADDRESSES PUNCH_ADDRESSES_MAX

enum reach_nat {
	NAT_UNKNOWN = 0,
	NAT_NONE = 1,	     /* we are seen at an address of our own */
	NAT_INDEPENDENT = 2, /* one mapping for all: a punch works */
	NAT_DEPENDENT = 3,   /* another mapping for each destination: "symmetric" */
};
const char *reach_nat_text(enum reach_nat nat); /* in plain words; never NULL */

struct reach_port {
	const struct way_port *way;
	/* Dial `at` from a port of no importance and see whether our network answers: reach_probed with
	 * this token follows. */
	void (*probe)(void *context, uint64_t token, const struct endpoint *at);
	/* Our record is another one now: flags, endpoints and relays, for the node to sign. */
	void (*record)(void *context, const struct record *record);
	void *context;
};

struct reach_config {
	const struct identity *id; /* borrowed */
	bool relay;		   /* say that we relay, where we are public */
	bool coordinator;	   /* it has no relays of its own, and asks nobody */
};

struct reach;

/* Borrows port. NULL: out of memory. */
struct reach *reach_new(const struct reach_config *config, const struct reach_port *port);
void reach_free(struct reach *r);

/* We listen on this port; the addresses are the system's own, ports ignored. Again: when they change. */
void reach_listen(struct reach *r, uint16_t port, const struct endpoint *locals, size_t count);
/* A router maps `at` to our port; NULL: none does. */
void reach_mapped(struct reach *r, const struct endpoint *at);

/* A direct session is open. remote: with whom, NULL when not known. dialled: by us; from_port: from the port
 * on which we listen. Errors: TK_ENOMEM: it is not used. */
int reach_up(struct reach *r, uint64_t now_ms, conn_id conn, const struct public_key *key,
	enum role role, const struct endpoint *remote, bool dialled, bool from_port) TK_CHECKED;
void reach_down(struct reach *r, conn_id conn);
void reach_observed(struct reach *r, uint64_t now_ms, conn_id conn, const struct endpoint *at);

/* DIAL_BACK, DIALLED_BACK and RELAY_RESERVED of a direct session. */
void reach_message(struct reach *r, uint64_t now_ms, conn_id conn, const struct message *m);
/* Answers probe(): why is NULL when our network answered there. */
void reach_probed(struct reach *r, uint64_t token, const char *why);

void reach_tick(struct reach *r, uint64_t now_ms);

/* What our record says, but for its sequence and expiry. */
const struct record *reach_record(const struct reach *r);
bool reach_is_public(const struct reach *r);
enum reach_nat reach_nat(const struct reach *r);
/* Has anybody tried to dial us back yet? Why the last one failed, in their words; "" when none did. */
bool reach_is_tested(const struct reach *r);
const char *reach_why(const struct reach *r);
/* How strangers reach us, to go on from "others reach this computer": "at 192.0.2.1:7332". */
void reach_words(const struct reach *r, char out[TEXT_MAX]);
/* True when we have been known for a while and nobody gets through: a router's help is welcome. */
bool reach_wants_mapping(const struct reach *r, uint64_t now_ms);
/* True when a relay holds a place for us on this session: circuits may come in there. */
bool reach_has_place(const struct reach *r, conn_id conn);
/* Where a punch may find us, the best first. Returns how many. */
size_t reach_punch_addresses(const struct reach *r, struct endpoint out[REACH_PUNCH_ADDRESSES]);
/* May `at`, of which a stranger has told, be dialled at all? named: all addresses that he tells of himself.
 * Never a port below REACH_PORT_MIN, nor an address of our own. One that is not global: where nobody comes to
 * us from farther away than that; a private one also in a network of ours, when the stranger says that he
 * comes out of the same router. */
bool reach_may_dial(const struct reach *r, const struct endpoint *at, const struct endpoint *named,
	size_t count);

/* A direct session that is open: how it came about, for relays. */
struct reach_peer {
	conn_id conn;
	struct public_key key;
	bool dialled;
	uint64_t prefix; /* 0: not a global address */
};
/* By number; by key. False: there is none. */
bool reach_peer(const struct reach *r, conn_id conn, struct reach_peer *out);
bool reach_peer_by_key(const struct reach *r, const struct public_key *key, struct reach_peer *out);
/* With the coordinator, if there is one. */
bool reach_coordinator(const struct reach *r, struct reach_peer *out);

#endif
