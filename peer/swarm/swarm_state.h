/* What the swarm's core remembers; only its own files (swarm*.c) include this.
 *
 * mate: a peer with whom a session is open or being opened. blob: one that is wanted or held. link: the
 * exchange of one blob with one mate. request: one GET of ours that was not answered. slot: one mate being
 * served. Links that end in a step are freed in the next, because effects may borrow from them. */
#ifndef PEER_SWARM_SWARM_STATE_H
#define PEER_SWARM_SWARM_STATE_H

#include "peer/swarm/index.h"
#include "peer/swarm/swarm.h"
#include "peer/swarm/tracker.h"

#define SAMPLES	       8u  /* answers of a source that are remembered */
#define OPEN_MAX       32u /* pieces that are begun and not whole */
#define CANDIDATES_MAX 32u /* peers named to us and not tried */
#define DIALS_MAX      16u
#define TRIED_MAX      32u /* peers that were dialled last: who names them again brings nobody new */
#define SOURCES_FIRST  8u  /* that the tracker is asked for at first */
#define ASKED_AT_ONCE  4u  /* peers, while fewer than dials_max exchange a blob with us */
#define ANYBODY	       4u  /* one question in so many goes to any session */
#define TRIED_OF_ONE   2u  /* that are dialled at a time on the word of one peer */
#define BARREN_MAX                                                                                 \
	4u /* questions to peers that brought nobody new, then the tracker may be asked */
#define WHOS_MAX	16u /* answered at once for one peer, and then one in WHO_EACH_MS */
#define WHO_EACH_MS	500u
#define WAITERS_MAX	32u /* peers that were told BUSY and hear when their turn has come */
#define HUNGRY_MAX	64u
#define LIARS_MAX	64u /* that are remembered */
#define HUNGRY_TOLD	4u  /* of each new source */
#define TRACKER_WAITERS 4096u
#define LINKS_OF_MATE	1024u /* one more ends the one that was used longest ago */
#define REFUSED_MAX	2048u /* requests of one peer that are refused in REFUSED_MS */
#define REFUSED_MS	10000u
#define FAILS_MAX	3u /* timeouts in a row, then the source is left */
#define ENDGAME_PARTS	16u
#define SHOWN_AHEAD	2u /* pieces that the seed shows before the last ones were taken */
#define MERCY_PIECES	2u
/* Gifts: as many pieces as the blob has, or this many of a smaller one, and as many again in so long, however
 * many starve. When a fourth is left, a prefix that has a fourth of the last ones gets none. */
#define MERCY_LEAST	  64u
#define MERCY_AGAIN_MS	  1800000u
#define MERCY_LAST	  64u
#define PATIENCE_LEAST_MS 3000u /* config.patience_ms for the smallest of blobs; at most that */
#define RETRY_MS	  2000u
#define RETRY_MAX_MS	  15000u
#define BUSY_MAX_MS	  60000u /* the longest that we believe */
#define WHO_MAX_MS	  60000u
#define NAMED_TRIAL_MS	  60000u /* for whom a peer has named to give something */
#define FULL_MS		  1000u	 /* a full blob's links are not looked through again for so long */
#define UNTOLD_MAX	  16u	 /* pieces that a mate need not hear of, as it has them itself */
#define STALLED_MS	  4000u	 /* nothing has come for so long, and nothing is asked for */
#define TRACKER_WAIT_MS	  12000u /* between two questions to the tracker, doubling … */
#define TRACKER_MAX_MS	  240000u
#define TRACKER_TELL_MS	  15000u /* it hears of new pieces so often */
#define NEVER		  UINT64_MAX

struct swarm_mate {
	peer_ref peer;
	bool up;
	bool dialled; /* DIAL was ours */
	enum swarm_reach reach;
	uint64_t prefix;
	uint32_t asked;	  /* our requests to it that are under way, of all blobs */
	uint32_t owed;	  /* requests that were given up: an answer may come all the same */
	uint32_t untaken; /* parts that it was sent, did not take, and lost its slot for */
	uint32_t refused;
	uint64_t refused_ms; /* since when they are counted */
	uint64_t asked_ms;   /* when it was last asked for sources */
	uint32_t whos;	     /* questions of ours for sources that it has not answered */
	uint32_t whos_heard; /* questions of its own, a leaky bucket */
	uint64_t whos_heard_ms;
	struct swarm_link *first, *last; /* the last one used first */
	uint32_t links;
	struct swarm_mate *next, *previous;
};

/* Somebody who may have a blob, on whose word; 0: the tracker's. */
struct swarm_named {
	peer_ref peer, by;
};

struct swarm_link {
	struct swarm_mate *mate;
	struct swarm_blob *blob;
	struct swarm_link *next, *previous; /* of the blob */
	struct swarm_link *mate_next, *mate_previous;
	struct swarm_link *grave; /* the next one that is to be freed */
	size_t bytes;		  /* of one that is */
	bool counted;		  /* among the blob's dialled ones */
	bool lied;		  /* it has sent something wrong before: nothing is asked of it */
	bool probing;		  /* it was busy: one request at a time until it answers */
	peer_ref named_by;	  /* who led us to it; 0: the tracker, or it came by itself */
	bool told;		  /* it knows what we have, as of told_count pieces */
	uint32_t told_count;
	uint64_t told_ms;
	uint32_t theirs_count;

	/* as a source (swarm_fetch.c) */
	uint32_t window, asked, late, fails; /* late: answers that may come still */
	uint32_t refused;		     /* requests that a BUSY may have meant */
	uint64_t busy_ms;		     /* ask nothing before this */
	uint32_t samples[SAMPLES], sample_count;
	uint32_t base_ms; /* its quickest answers, slowly forgotten */

	/* as somebody whom the seed serves (swarm_seed.c) */
	uint32_t shown_count;
	uint64_t hungry_ms; /* since when it has gained nothing; 0: it has not asked */
	uint64_t gained_ms;
	uint32_t piece_ms; /* between two of its pieces, smoothed */
	bool listed;	   /* in the tracker's table */
	bool prospect;	   /* it will have something that others can fetch */

	uint64_t *theirs; /* the pieces that it says it has */
	uint64_t *shown;  /* seed: the pieces that we say we have, */
	uint64_t *sent;	  /* and those that it was sent to the end */
	uint64_t words[]; /* all three */
};

struct swarm_open {
	uint32_t piece;
	uint64_t done, asked; /* parts, one bit each */
};

struct swarm_request {
	struct swarm_link *link;
	uint32_t piece;
	uint8_t part;
	bool late; /* its answer is still good, but not waited for */
	uint64_t asked_ms;
	uint64_t order; /* of all requests of the blob */
};

struct swarm_blob {
	blob_ref ref, group;
	bool whole; /* all is on our disk */
	bool quiet, discreet;
	bool busy; /* in the list of those that need waking */
	uint64_t total, max;
	uint32_t pieces, words; /* words: of a bitmap. 0 until total is known, and then no links */
	uint32_t have_count;
	uint64_t *have, *news; /* news: of these, what mates have not heard of; see flush_ms */
	uint16_t *available;   /* mates that have each piece; stays at its most */
	struct swarm_open *opens;
	uint32_t open_count;
	struct swarm_request *requests;
	uint32_t request_count, request_room;
	uint64_t request_order;
	uint32_t live;		  /* requests that are waited for */
	struct swarm_link *links; /* newest first */
	uint32_t link_count, dialled_count;
	uint64_t full_ms; /* until then all links are taken and needed */

	/* finding sources (swarm_find.c) */
	struct swarm_named candidates[CANDIDATES_MAX];
	uint32_t candidate_count;
	struct swarm_named dials[DIALS_MAX];
	uint32_t dial_count;
	peer_ref tried[TRIED_MAX]; /* a ring */
	uint32_t tried_next;
	uint64_t who_ms; /* when to ask for sources; NEVER: not now */
	uint64_t asked_ms;
	uint32_t who_wait_ms;
	uint32_t barren;	  /* questions in a row that brought nobody new */
	uint64_t tracker_ms;	  /* when the tracker may be asked again */
	uint32_t tracker_wait_ms; /* 0: it was not asked yet */
	uint64_t gained_ms;	  /* when the last part came */
	bool tracker_missing;	  /* the tracker has said that it has nothing */
	bool lacking;		  /* said */
	uint64_t flush_ms;	  /* when news of pieces go out; NEVER: there are none */
	uint64_t nudge_ms;	  /* when a last part may be asked of a second source */
	uint64_t due_ms;	  /* no answer is late, and no busy source ready, before this */

	/* first seed (swarm_seed.c) */
	uint8_t *given;	    /* how often each piece was shown */
	uint32_t mercy;	    /* pieces that were given out of mercy and count still */
	uint64_t mercy_ms;  /* until when they were counted */
	uint64_t *mercy_of; /* the prefixes of the last MERCY_LAST, a ring; NULL: none was given */
	uint32_t mercy_next;
	uint32_t cursor;
	bool spent;		     /* each piece was shown often enough */
	uint32_t prospects;	     /* reachable mates that were shown something */
	peer_ref hungry[HUNGRY_MAX]; /* who hear of the next source that comes up; a ring */
	uint32_t hungry_head, hungry_count;

	struct swarm_blob *next, *previous;	      /* all */
	struct swarm_blob *busy_next, *busy_previous; /* wanted, or with news */
};

struct swarm_upload {
	blob_ref blob;
	uint32_t length;
	uint64_t offset;
};

struct swarm_slot {
	peer_ref peer;
	uint64_t prefix;	    /* of the peer; 0: none */
	blob_ref blob;		    /* the tracker's slots are of one blob; else 0 */
	struct swarm_upload *queue; /* a ring of queue_max */
	uint32_t head, queued, serving;
	uint64_t served; /* bytes in this turn */
	uint64_t used_ms;
	bool over; /* its turn is over: nothing new is taken */
};

struct swarm_waiter {
	peer_ref peer;
	blob_ref blob;
	uint64_t since_ms;
	uint64_t prefix; /* of the peer; 0: none */
};

struct swarm {
	struct swarm_config config;
	uint32_t parts_per_piece;
	uint64_t now_ms, random; /* of the step in progress */
	int error;
	struct index mates, blobs, links; /* links by blob and peer */
	struct swarm_mate *mate_list;
	struct swarm_blob *blob_list, *busy_list;
	struct swarm_link *graves;
	uint64_t *grave_words; /* the pieces of a blob that was dropped in the last step */
	uint32_t grave_count;
	struct swarm_slot slots[SWARM_SLOTS_MAX];
	uint32_t slot_count;
	struct swarm_upload *queues; /* SWARM_SLOTS_MAX, or config.slots, of queue_max */
	struct swarm_waiter *waiters;
	uint32_t waiter_count, waiter_max;
	struct tracker *tracker;   /* when we are it */
	peer_ref liars[LIARS_MAX]; /* a ring */
	uint32_t liar_count;
	struct swarm_totals totals;
	size_t memory;
};

static inline bool bit_get(const uint64_t *words, uint32_t i)
{
	return words[i / 64] >> i % 64 & 1;
}

static inline void bit_set(uint64_t *words, uint32_t i)
{
	words[i / 64] |= (uint64_t)1 << i % 64;
}

static inline void bit_clear(uint64_t *words, uint32_t i)
{
	words[i / 64] &= ~((uint64_t)1 << i % 64);
}

/* swarm.c */
struct swarm_effect *swarm_push(
	struct swarm *s, struct swarm_effects *out, enum swarm_effect_type type, peer_ref peer);
struct swarm_message *swarm_say(struct swarm *s, struct swarm_effects *out,
	const struct swarm_mate *to, enum message_type type, blob_ref blob);
void swarm_accuse(
	struct swarm *s, struct swarm_mate *m, const char *why, struct swarm_effects *out);
uint64_t swarm_random(struct swarm *s); /* the next of this step */
bool swarm_is_liar(const struct swarm *s, peer_ref peer);
struct swarm_blob *swarm_blob_find(const struct swarm *s, blob_ref ref);
struct swarm_mate *swarm_mate_find(const struct swarm *s, peer_ref peer);
bool swarm_is_seed(const struct swarm *s);
void *swarm_alloc(struct swarm *s, size_t count, size_t size); /* zeroed; error sticks */
void swarm_release(struct swarm *s, void *p, size_t count, size_t size);

/* swarm_blob.c: blobs and pieces */
struct swarm_blob *swarm_blob_new(struct swarm *s, blob_ref ref);
void swarm_blob_free(struct swarm *s, struct swarm_blob *b);
/* The length is known now. */
void swarm_blob_set_total(struct swarm *s, struct swarm_blob *b, uint64_t total);
uint32_t swarm_blob_piece_parts(const struct swarm *s, const struct swarm_blob *b, uint32_t piece);
uint64_t swarm_blob_piece_mask(const struct swarm *s, const struct swarm_blob *b, uint32_t piece);
uint32_t swarm_blob_part_length(
	const struct swarm *s, const struct swarm_blob *b, uint32_t piece, uint32_t part);
void swarm_blob_set_busy(struct swarm *s, struct swarm_blob *b, bool busy);
struct swarm_open *swarm_blob_open(struct swarm_blob *b, uint32_t piece, bool make);
/* A piece is whole; the open one leaves. */
void swarm_blob_piece_whole(struct swarm_blob *b, struct swarm_open *o);
void swarm_blob_load_parts(
	struct swarm *s, struct swarm_blob *b, const uint64_t *words, size_t count);
/* All pieces are there: what fetching needs is freed. */
void swarm_blob_become_whole(struct swarm *s, struct swarm_blob *b);

/* swarm_link.c: exchanging a blob with a mate */
struct swarm_link *swarm_link_find(
	const struct swarm *s, const struct swarm_blob *b, peer_ref peer);
/* The link, made when there is none; NULL: there is no room for it, or no memory (error). */
struct swarm_link *swarm_link_take(
	struct swarm *s, struct swarm_blob *b, struct swarm_mate *m, struct swarm_effects *out);
void swarm_link_close(struct swarm *s, struct swarm_link *l, struct swarm_effects *out);
/* Says what we have. */
void swarm_link_tell(struct swarm *s, struct swarm_link *l, struct swarm_effects *out);
/* News go to all who have not heard them. */
void swarm_link_flush(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out);
/* All who think that we have it hear that we have not. */
void swarm_link_farewell(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out);
bool swarm_link_is_tracker(const struct swarm *s, const struct swarm_link *l);
void swarm_link_have(struct swarm *s, struct swarm_mate *m, const struct swarm_message *h,
	struct swarm_effects *out);
void swarm_link_buried(struct swarm *s); /* frees those that ended in the step before */

/* swarm_fetch.c: whom to ask for what */
void swarm_fetch_fill(struct swarm *s, struct swarm_link *l, struct swarm_effects *out);
void swarm_fetch_fill_all(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out);
void swarm_fetch_part_came(struct swarm *s, struct swarm_mate *m, const struct swarm_message *p,
	struct swarm_effects *out);
void swarm_fetch_busy(struct swarm *s, struct swarm_mate *m, const struct swarm_message *p);
/* What the link was asked for is asked of others, its answers mean nothing any more. */
void swarm_fetch_forget(struct swarm *s, struct swarm_link *l);
void swarm_fetch_lost_pieces(struct swarm *s, struct swarm_link *l);
void swarm_fetch_tick(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out);
uint64_t swarm_fetch_wake_ms(const struct swarm_blob *b);

/* swarm_find.c: sources */
void swarm_find_begin(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out);
void swarm_find_up(struct swarm *s, struct swarm_mate *m, struct swarm_effects *out);
void swarm_find_failed(struct swarm *s, peer_ref peer, struct swarm_effects *out);
void swarm_find_sources(struct swarm *s, struct swarm_mate *m, const struct swarm_message *p,
	struct swarm_effects *out);
void swarm_find_missing(struct swarm *s, struct swarm_mate *m, const struct swarm_message *p,
	struct swarm_effects *out);
/* The tracker's blob is not the one that is wanted. */
void swarm_find_refused(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out);
void swarm_find_tick(struct swarm *s, struct swarm_blob *b, struct swarm_effects *out);
/* A source was lost, or all are busy: ask for others before long. */
void swarm_find_soon(struct swarm *s, struct swarm_blob *b);

/* The tracker shows more than before: it is worth asking again. */
void swarm_find_helped(struct swarm_blob *b);

/* swarm_name.c: answering a peer's question, where we are no tracker */
void swarm_name_sources(struct swarm *s, struct swarm_mate *m, const struct swarm_message *w,
	struct swarm_effects *out);

/* swarm_serve.c: upload slots */
void swarm_serve_get(struct swarm *s, struct swarm_mate *m, const struct swarm_message *g,
	struct swarm_effects *out);
void swarm_serve_served(
	struct swarm *s, const struct swarm_event *event, struct swarm_effects *out);
void swarm_serve_tick(struct swarm *s, struct swarm_effects *out);
/* It has all of the blob: its slot is free. */
void swarm_serve_satisfied(struct swarm *s, const struct swarm_link *l, struct swarm_effects *out);
/* Too many refusals end a session: false, and m is gone. */
bool swarm_serve_tolerates(struct swarm *s, struct swarm_mate *m, struct swarm_effects *out);
void swarm_serve_mate_gone(struct swarm *s, peer_ref peer, struct swarm_effects *out);
void swarm_serve_blob_gone(struct swarm *s, blob_ref blob, struct swarm_effects *out);
uint64_t swarm_serve_wake_ms(const struct swarm *s);

/* swarm_seed.c: the first seed and tracker */
void swarm_seed_who(struct swarm *s, struct swarm_mate *m, const struct swarm_message *w,
	struct swarm_effects *out);
/* A mate has said what it has: before is how many pieces that were. */
void swarm_seed_heard(
	struct swarm *s, struct swarm_link *l, uint32_t before, struct swarm_effects *out);
bool swarm_seed_admits(struct swarm *s, struct swarm_link *l, uint32_t piece);
/* These bytes have left: when a piece is through, it may see the next. */
void swarm_seed_sent(
	struct swarm *s, struct swarm_link *l, uint64_t end, struct swarm_effects *out);
/* Others reach its mate in another way than before. */
void swarm_seed_reach(struct swarm *s, struct swarm_link *l);
void swarm_seed_link_closed(struct swarm *s, struct swarm_link *l);

#endif
