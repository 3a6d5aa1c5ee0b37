/* The swarm of one node, with everything around the core of swarm.h but the network: it numbers peers and
 * blobs, translates messages, checks every part by its proof before the core hears of it, and keeps parts
 * on disk as they come. The agent and the coordinator each have one; whatever speaks of blobs goes through
 * it. It opens no socket and no thread: the handler sends, dials and drops. */
#ifndef PEER_SWARM_EXCHANGE_H
#define PEER_SWARM_EXCHANGE_H

#include "peer/overlay/node.h"
#include "peer/swarm/blob_store.h"
#include "peer/swarm/swarm.h"

#ifndef EXCHANGE_BLOBS_MAX /* fuzzers want smaller tables, which they can fill */
#define EXCHANGE_BLOBS_MAX    65536u
#define EXCHANGE_PEERS_MAX    8192u
#define EXCHANGE_WAITING_MAX  1024u /* requests that wait for a blob to be checked */
#define EXCHANGE_WAITING_EACH 256u  /* … of one session */
#endif
#define EXCHANGE_LINGER_MS 60000u /* an idle session that we opened is kept so long */

struct exchange_handler {
	void *context;
	/* As in node_uv.h. */
	int (*send)(void *context, conn_id conn, const struct message *m);
	void (*drop)(void *context, conn_id conn, uint32_t reason, const char *text);
	int (*connect)(void *context, const struct record *record, conn_id *conn);
	bool (*record)(void *context, const struct public_key *key, struct span *encoded,
		struct record *record);
	size_t (*waiting)(void *context, conn_id conn);
	/* A wanted blob is whole and in its store; or it cannot be had. */
	void (*complete)(void *context, const struct digest *digest);
	void (*failed)(void *context, const struct digest *digest, const char *why);
	/* Somebody asks for a blob that the exchange does not know. True: exchange_hold or
	 * exchange_absent will answer. NULL: never. */
	bool (*unknown)(void *context, const struct digest *digest);
	/* A blob that is held could not be read for somebody. */
	void (*unreadable)(void *context, const struct digest *digest, const char *why);
	/* Must it stay when room is needed? NULL: nothing is ever removed. */
	bool (*needed)(void *context, const struct digest *digest);
	/* Blobs are exchanged through that session from now on, or no more. NULL: nobody wants to know. */
	void (*needs)(void *context, conn_id conn, bool needed);
	void (*log)(void *context, const char *line);
};

struct exchange_options {
	bool tracker;		   /* we are the coordinator */
	struct public_key network; /* whose records are good */
	struct public_key self;
	const char *folder; /* for what is not whole; made when missing. NULL: nothing is fetched */
	uint64_t room;	    /* bytes of disk: exchange_make_room before more arrives. 0: no limit */
};

/* Who hears of a blob: all; those with whom we exchange it, and of these the tracker alone tells; the tracker. */
enum exchange_share { EXCHANGE_OPEN = 0, EXCHANGE_DISCREET = 1, EXCHANGE_QUIET = 2 };

struct exchange;

/* Borrows handler. Errors: TK_ENOMEM, TK_EIO, TK_ENOSPC, TK_ELIMIT. */
int exchange_new(struct exchange **out, const struct exchange_options *options,
	const struct exchange_handler *handler, struct errmsg *msg) TK_CHECKED;
void exchange_free(struct exchange *x);

/* Time and randomness for what follows; before every call below. */
void exchange_now(struct exchange *x, uint64_t now_ms, uint64_t now_s, uint64_t random);

/* Sessions, as the node tells of them; prefix as node_prefix says. */
void exchange_up(struct exchange *x, conn_id conn, const struct public_key *key, bool coordinator,
	uint64_t prefix);
void exchange_down(struct exchange *x, conn_id conn);
void exchange_dial_failed(struct exchange *x, conn_id conn);
void exchange_writable(struct exchange *x, conn_id conn);
/* False: the message is not about blobs. */
bool exchange_message(struct exchange *x, conn_id conn, const struct message *m);
/* Every quarter of a second or so. */
void exchange_tick(struct exchange *x);

/* Fetches a blob into the store (borrowed for good): complete or failed follows, perhaps from within.
 * total: its length when known, else 0. */
void exchange_want(struct exchange *x, const struct digest *digest, const struct blob_store *store,
	uint64_t total, uint64_t max, enum exchange_share share);
/* It is whole in the store and was checked; takes nodes (digest.h: the blob's tree). group: the first
 * blob of its group of shards, or NULL. */
void exchange_hold(struct exchange *x, const struct digest *digest, const struct blob_store *store,
	uint64_t total, struct digest *nodes, const struct digest *group,
	enum exchange_share share);
/* It has left its store, or is not wanted any more; what had come of it is removed. */
void exchange_forget(struct exchange *x, const struct digest *digest);
/* Answers `unknown`: we have no such blob. */
void exchange_absent(struct exchange *x, const struct digest *digest);
bool exchange_holds(const struct exchange *x, const struct digest *digest);

/* Removes blobs, those that were not used for longest first and none that is needed, until those that are held,
 * in whichever store, or arrive, have no more than so many bytes. */
void exchange_make_room(struct exchange *x, uint64_t bytes);
uint64_t exchange_bytes(const struct exchange *x); /* of those that are held or arrive */
/* It was used now, and is the last to make room, also after a restart. */
void exchange_used(struct exchange *x, const struct digest *digest);

void exchange_totals(const struct exchange *x, struct swarm_totals *out);

#endif
