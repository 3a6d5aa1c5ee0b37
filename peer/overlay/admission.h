/* Who may begin a handshake, and what is said of those that fail: what strangers cost is bounded before
 * the first Diffie-Hellman, and so is what they write into our log.
 *
 * Each prefix (endpoint_prefix) has a token bucket. A new one is full; when the table is full of prefixes
 * that have used up some of theirs, the least recently seen goes and its successor begins with one token:
 * under a flood from everywhere a stranger still gets one try, and the work stays bounded. No clock of its
 * own; a fixed amount of memory. */
#ifndef PEER_OVERLAY_ADMISSION_H
#define PEER_OVERLAY_ADMISSION_H

#include "peer/wire/messages.h"

#define ADMISSION_PREFIXES_MAX 1024u
#define ADMISSION_BURST	       64u /* handshakes that a prefix may begin at once */
#define ADMISSION_PER_S	       4u  /* and in each second after that */
/* Loopback, link-local and private addresses, and those that are not known: a LAN, a test, a proxy. */
#define ADMISSION_LOCAL_BURST 4096u
#define ADMISSION_LOCAL_PER_S 1024u
#define ADMISSION_LINES	      16u   /* failed handshakes of which each gets a line of its own */
#define ADMISSION_LINE_MS     4000u /* and one more after each such time; the others are summed up */
#define ADMISSION_SUM_MS      60000u /* at most one sum in such a time */

/* Tokens in thousandths, so that a refill of milliseconds loses nothing. */
struct admission_bucket {
	uint64_t prefix;
	uint64_t at_ms; /* when `milli` was right */
	uint32_t milli;
	bool local;
	uint16_t next;	       /* in its chain; here and below 0: none */
	uint16_t older, newer; /* by when it was last seen */
};

enum admission_fate {
	ADMISSION_RATE = 0,  /* refused: too many from one prefix */
	ADMISSION_FULL = 1,  /* refused: too many connections are open */
	ADMISSION_CROWD = 2, /* half open and closed to make room for others */
	ADMISSION_FAILED = 3,
	ADMISSION_HEAVY =
		4,	    /* sessions of the heaviest prefix, closed when all places were taken */
	ADMISSION_IDLE = 5, /* idle sessions, closed when all places were taken */
	ADMISSION_FATES = 6,
};

struct admission {
	uint16_t chains[ADMISSION_PREFIXES_MAX];
	struct admission_bucket buckets[ADMISSION_PREFIXES_MAX + 1]; /* 0 is none */
	uint16_t count, oldest, newest;

	uint64_t counts[ADMISSION_FATES]; /* that no line has told of yet */
	char last[TEXT_MAX];		  /* why the last one failed */
	uint32_t lines_milli;
	uint64_t lines_ms; /* when lines_milli was right */
	uint64_t sum_ms;   /* of the last sum */
	bool summed;	   /* there was one */
};

void admission_init(struct admission *a, uint64_t now_ms);

/* May somebody from there begin a handshake now? NULL: yes, and it took a token; otherwise why not, and it is
 * counted. from NULL: it is not known from where. */
const char *admission_refuse(struct admission *a, const struct endpoint *from, uint64_t now_ms);
/* The same for what comes through the circuits of one session, which have a bucket together: who is behind
 * a relay is not seen. */
const char *admission_refuse_carried(struct admission *a, uint64_t carrier, uint64_t now_ms);
/* There is no place for any more: counts that, and says so. */
const char *admission_refuse_full(struct admission *a);

/* The prefix whose half-open connections are counted together; 0: those of local addresses are not. */
uint64_t admission_prefix(const struct endpoint *from);
/* What stands for one: no address has this prefix. */
uint64_t admission_prefix_carried(uint64_t carrier);

/* Notes what became of a stranger; for FAILED, why says more. */
void admission_count(struct admission *a, enum admission_fate fate, const char *why);

/* True when a failed handshake may have a line of its own now; false: it was counted. */
bool admission_line(struct admission *a, const char *why, uint64_t now_ms);

/* True when a sum is due; it is written to out. */
bool admission_sum(struct admission *a, uint64_t now_ms, char out[TEXT_MAX]);

#endif
