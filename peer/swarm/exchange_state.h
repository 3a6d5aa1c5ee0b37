/* What the exchange remembers; only its own files (exchange*.c) include this. */
#ifndef PEER_SWARM_EXCHANGE_STATE_H
#define PEER_SWARM_EXCHANGE_STATE_H

#include "peer/swarm/exchange.h"
#include "peer/swarm/index.h"
#include "peer/swarm/part_file.h"

#define SERVED_MAX	 64u
#define EXCHANGE_TRACKER 1u /* the number of a peer's coordinator */

/* What was sent and waits for room on its connection to be called so. */
struct exchange_served {
	blob_ref blob;
	uint32_t length;
	uint64_t offset;
};

/* Where a peer is to be found, as it has signed. */
struct exchange_record {
	struct record record;
	size_t length;
	uint8_t encoded[];
};

/* A peer keeps its number as long as it is known; numbers of those that are gone are given anew. */
struct exchange_peer {
	peer_ref ref;
	struct public_key key;
	conn_id conn; /* 0: none */
	bool up, dialling;
	bool opened;   /* the session is one that we dialled for blobs */
	bool released; /* the core does not need it any more */
	bool needed;   /* as the handler was told */
	uint64_t released_ms;
	uint64_t prefix; /* of the session; 0: none */
	enum swarm_reach reach;
	struct exchange_record *record; /* owned; NULL: nobody has named it */
	struct exchange_served served[SERVED_MAX];
	uint32_t served_count;
};

struct exchange_blob {
	blob_ref ref;
	struct digest digest;
	const struct blob_store *store;
	uint64_t total, max;
	bool whole;
	struct part_file *file; /* owned, while it arrives and once its length is known */
	struct digest *nodes;	/* owned, once whole */
	uint64_t used_ms;
};

struct exchange_request {
	conn_id conn;
	struct message message; /* BLOB_GET or BLOB_WHO */
};

struct exchange {
	const struct exchange_handler *handler;
	bool tracker;
	struct public_key network, self;
	char folder[1024];
	uint64_t room; /* bytes; 0: no limit */
	struct swarm *core;
	struct swarm_effects effects;
	struct swarm_event *later; /* a ring of what happens after the step in progress */
	size_t later_head, later_count, later_room;
	bool stepping;
	uint64_t now_ms, now_s, random;

	struct exchange_peer **peers; /* by number */
	uint32_t peer_count;
	struct index peers_by_key, peers_by_conn;
	struct exchange_blob **blobs;
	uint32_t blob_count, looked_at;
	struct index blobs_by_digest;

	const struct message_blob_part *in_hand;
	struct exchange_request waiting[EXCHANGE_WAITING_MAX];
	uint32_t waiting_count;
};

/* exchange.c */
/* Steps the core, now or after the step in progress, and carries out what it wants. */
void exchange_step(struct exchange *x, const struct swarm_event *event);
/* Ends the session of a peer that broke a rule, and says so. */
void exchange_leave(struct exchange *x, struct exchange_peer *p, const char *why);
void exchange_log(struct exchange *x, const char *format, ...) TK_PRINTF(2, 3);

/* exchange_peers.c */
struct exchange_peer *exchange_peer_find(const struct exchange *x, const struct public_key *key);
/* The one with that key, made when there is none; NULL: no room. */
struct exchange_peer *exchange_peer_take(struct exchange *x, const struct public_key *key);
struct exchange_peer *exchange_peer_by_conn(const struct exchange *x, conn_id conn);
struct exchange_peer *exchange_peer_by_ref(const struct exchange *x, peer_ref ref);
void exchange_dial(struct exchange *x, peer_ref ref);
void exchange_end_session(struct exchange *x, struct exchange_peer *p);
/* What it has signed of itself, the newest that is known here; false: nothing is. Borrowed until the next call. */
bool exchange_record_of(const struct exchange *x, const struct exchange_peer *p,
	struct span *encoded, struct record *record);
/* Somebody has named it. */
void exchange_record_keep(
	struct exchange_peer *p, const struct record *record, struct span encoded);
void exchange_look_at_record(struct exchange *x, struct exchange_peer *p);
void exchange_serve_done(
	struct exchange *x, struct exchange_peer *p, const struct swarm_effect *served);
void exchange_peers_free(struct exchange *x);

/* exchange_blobs.c */
struct exchange_blob *exchange_blob_find(const struct exchange *x, const struct digest *digest);
struct exchange_blob *exchange_blob_by_ref(const struct exchange *x, blob_ref ref);
void exchange_store(struct exchange *x, const struct swarm_effect *e);
void exchange_finish(struct exchange *x, blob_ref ref);
void exchange_serve(struct exchange *x, const struct swarm_effect *e);
void exchange_lacking(struct exchange *x, blob_ref ref);
/* One held blob after the other: has its file gone away? */
void exchange_look_at_one(struct exchange *x);
void exchange_blobs_free(struct exchange *x);

/* exchange_messages.c */
void exchange_say(struct exchange *x, const struct swarm_effect *e);
/* Those who asked for it hear of it. */
void exchange_replay(struct exchange *x, const struct digest *digest, bool held);

#endif
