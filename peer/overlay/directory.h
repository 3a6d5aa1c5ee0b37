/* The tables around the gossip core: peers with their records, announcements with their bytes, topics.
 * Gives each a 32-bit number, checks every signature before anything gets one, and passes on bytes as they
 * were signed.
 *
 * All tables are bounded. A full one lets go of what nobody uses: the caller says what is in use, and what
 * a neighbour has told us counts against that neighbour first, so that nobody can push out what others
 * told. Numbers of peers are not given anew before DIRECTORY_REST_MS. */
#ifndef PEER_OVERLAY_DIRECTORY_H
#define PEER_OVERLAY_DIRECTORY_H

#include "peer/overlay/gossip.h"
#include "peer/wire/record.h"

#ifndef DIRECTORY_PEERS_MAX /* fuzzers want smaller tables, which they can fill */
#define DIRECTORY_PEERS_MAX  4096u
#define DIRECTORY_TOLD_MAX   512u /* peers that one neighbour has told us of and nobody uses */
#define DIRECTORY_BODIES_MAX 1024u
#endif
#define DIRECTORY_TOPICS_MAX 160u /* more than twice what the core retains */
#define DIRECTORY_REST_MS    600000u

struct directory;

/* Borrows network. The first peer, number 1, is ourselves. NULL: out of memory. */
struct directory *directory_new(const struct public_key *network, const struct public_key *self);
void directory_free(struct directory *d);

/* For gossip_new; stays where it is. */
const struct gossip_tables *directory_tables(const struct directory *d);

#define DIRECTORY_SELF 1u

/* Sets peers[…] and topics[…] of those that are in use: asked before a number is given to another. */
struct directory_marks {
	bool peers[DIRECTORY_PEERS_MAX + 1];
	bool topics[DIRECTORY_TOPICS_MAX + 1];
};
typedef void directory_mark(void *context, struct directory_marks *marks);
void directory_ask_used(struct directory *d, directory_mark *mark, void *context);

/* The number of a peer, new ones included; 0: the table is full. told_by: who spoke of it, 0: it came
 * itself. */
peer_ref directory_peer(
	struct directory *d, const struct public_key *key, peer_ref told_by, uint64_t now_ms);
peer_ref directory_find(const struct directory *d, const struct public_key *key);
const struct public_key *directory_key(const struct directory *d, peer_ref peer);

/* Takes a record: one that is new or newer than what we hold is verified and kept. *peer gets its number,
 * 0 when the table is full. Errors: record_decode's. */
int directory_record_take(struct directory *d, struct span encoded, peer_ref told_by,
	uint64_t now_ms, uint64_t now_s, peer_ref *peer, struct errmsg *msg) TK_CHECKED;
/* True when these very bytes are held: taking them costs no verification. */
bool directory_record_held(const struct directory *d, struct span encoded);
/* Our own, as our own node has signed it. Errors: TK_ENOMEM. */
int directory_record_own(
	struct directory *d, const struct record *record, struct span encoded) TK_CHECKED;
/* Where a peer's session really comes from. For quota this counts, whatever its record says. */
void directory_prefix(struct directory *d, peer_ref peer, uint64_t prefix);
/* NULL and empty: we hold none, or it has expired. */
const struct record *directory_record(const struct directory *d, peer_ref peer);
struct span directory_record_bytes(const struct directory *d, peer_ref peer);

/* The number of a body or of an id that somebody spoke of; 0: the table is full. */
body_ref directory_id(struct directory *d, const struct gossip_id *id, uint64_t now_ms);
/* Takes an announcement; one whose bytes we hold is not verified again. *body gets its number, 0 when the
 * table is full. Errors: TK_EPROTO, TK_ELIMIT, TK_EAUTH (the signature is not the root's), TK_ENOMEM. */
int directory_body_take(struct directory *d, struct span encoded, const struct signature *signature,
	uint64_t now_ms, body_ref *body, struct errmsg *msg) TK_CHECKED;
/* False: only its id is known. The bytes are borrowed until the next change. */
bool directory_body(const struct directory *d, body_ref body, struct span *encoded,
	struct signature *signature);
void directory_body_id(const struct directory *d, body_ref body, struct gossip_id *id);
/* The core neither keeps nor remembers it any more. */
void directory_body_forget(struct directory *d, body_ref body);

/* verified: an announcement of the topic, or one that names it, was signed. Topics that were only spoken of take half
 * of the table at most, and leave it first, then each other: the one spoken of the longest ago that nobody uses. 0: all
 * that could make room are in use. */
topic_ref directory_topic(struct directory *d, uint32_t kind, const struct digest *subject,
	bool verified, uint64_t now_ms);
topic_ref directory_topic_find(
	const struct directory *d, uint32_t kind, const struct digest *subject); /* 0: not known */
bool directory_topic_name(
	const struct directory *d, topic_ref topic, uint32_t *kind, struct digest *subject);

#endif
