/* What the fuzz target of the exchange of blobs (fuzz_exchange.c) plays with (fuzz_fair.c): an exchange of ours, a
 * coordinator and a peer who are honest, and four hostile peers, over a wire that is function calls.
 *
 * We fetch a blob from the coordinator, or are the coordinator; the honest peer fetches one from us. Both must have
 * theirs in the end, nobody honest is ever left, and nothing is sent that a decoder refuses. */
#ifndef TESTS_LIB_FUZZ_FAIR_H
#define TESTS_LIB_FUZZ_FAIR_H

#include "peer/swarm/exchange.h"

#define FAIR_HELD_BYTES (BLOB_PART + 500)  /* we have it, and the honest peer wants it */
#define FAIR_WANT_BYTES (BLOB_PART + 1000) /* the coordinator has it, and we want it */
#define FAIR_PARTS	2u
#define FAIR_HOSTILE	4u
#define FAIR_FIRST	10u /* the number of the first connection of a hostile peer */
#define FAIR_ASKED	64u

enum { FAIR_HELD, FAIR_WANTED, FAIR_NOBODYS, FAIR_BLOBS };

struct hostile {
	struct key_pair key;
	conn_id conn; /* of its session; 0: none */
	bool dialled; /* we wait for it to come up */
	bool stalled; /* takes nothing of what we send */
};

struct fair {
	struct exchange *x;
	struct exchange_handler handler;
	struct hostile hostile[FAIR_HOSTILE];
	struct public_key network, self, honest;
	bool tracker, busy, names_hostile;
	conn_id conns;
	uint64_t now_ms, left_ms, lines, numbers;
	bool complete;
	struct message asked[FAIR_ASKED]; /* of the coordinator */
	unsigned asked_count;
	unsigned part;	   /* that the honest peer wants next */
	uint64_t again_ms; /* when it asks for it */
	uint64_t who_ms;
};

/* What is the same for all inputs. */
struct fair_world {
	bool made;
	uint8_t bytes[FAIR_BLOBS][FAIR_WANT_BYTES];
	size_t total[FAIR_BLOBS];
	struct digest digest[FAIR_BLOBS], nodes[FAIR_BLOBS][3];
	struct blob_store store;
	char arriving[256];
};
extern struct fair_world fair_world;

enum fair_role {
	FAIR_COORDINATOR = 1, /* we are it */
	FAIR_KNOWS_LENGTH = 2,
	FAIR_QUIET = 4,
	FAIR_AT_ONCE = 8, /* the honest peer asks from the beginning, not after the others */
};
void fair_open(struct fair *f, unsigned role);
/* Everybody honest gets what it wants, or the program ends. */
void fair_close(struct fair *f);

/* Before each call of the exchange. */
void fair_now(struct fair *f);
/* Whoever is honest answers and asks. */
void fair_pump(struct fair *f);
void fair_pass(struct fair *f, uint64_t ms);
/* A PART of a blob with its proof, as it should be. */
void fair_part(struct message *m, unsigned which, uint64_t offset, uint64_t length);
/* Appends the record of a hostile peer. */
void fair_record(const struct fair *f, unsigned hostile, struct bytes *out);
/* Its session begins. */
void fair_up(struct fair *f, struct hostile *h);

#endif
