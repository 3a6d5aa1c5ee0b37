/* The stage on which a node, bare or with its ways, hears whatever an input says (fuzz_node.c, fuzz_ways.c).
 *
 * Around the node that is tried stand players, whose sessions are real and whose words are the input's: three
 * hostile peers, the coordinator, and a ghost who lives behind relays; they answer pings and questions by
 * themselves unless told not to. Beside them an honest peer, a node of its own that takes part in gossip. What
 * must hold is checked all the while: the honest session goes on, neither side of it accuses the other, the
 * node says nothing that its own decoder refuses, whoever sends what is malformed is dropped with a line in the
 * log, and tables and memory stay within bounds. */
#ifndef TESTS_LIB_FUZZ_STAGE_H
#define TESTS_LIB_FUZZ_STAGE_H

#include "peer/overlay/ways.h"

#define STAGE_NOW_S   1800000000u
#define STAGE_PEERS   3u /* hostile; below STAGE_PLAYERS also: */
#define STAGE_HOST    2u /* of them, a host of the link */
#define STAGE_ROOT    3u /* the coordinator */
#define STAGE_GHOST   4u /* behind relays */
#define STAGE_PLAYERS 5u
#define STAGE_PORT    7400u /* and the player's number: where its record says that it listens */
#define STAGE_SEEN    20u   /* the number of the address at which others see us */
#define STAGE_TRIES   8u

/* What players do by themselves. */
enum stage_manners {
	MANNERS_PONG = 1,
	MANNERS_NEIGHBOR = 2, /* agrees to be a neighbour */
	MANNERS_RELAY = 4,    /* gives places and opens circuits to the ghost */
	MANNERS_DIAL_BACK = 8,
	MANNERS_READ = 16,    /* takes what is written to it */
	MANNERS_OBSERVE = 32, /* tells who dials it where that comes from */
	MANNERS_ALL = 63,
};

struct player {
	struct identity id;
	struct session *session; /* NULL: none */
	conn_id conn;
	bool over;    /* the node has ended it */
	bool muddled; /* raw bytes went in: what follows may be misread */
	bool logged;  /* the node's log has a line about it */
	bool greets;  /* we have dialled it, and it has not said OBSERVED yet */
	uint8_t manners;
	size_t written; /* that its transport is to take */
};

/* The ghost's end of a circuit. */
struct inner {
	struct session *session; /* NULL: none */
	unsigned via;		 /* player */
	uint32_t circuit;
};

struct try_pending {
	uint64_t token;
	struct endpoint at;
	bool probe;
};

struct stage {
	struct identity us, friend;
	struct node *node, *honest;
	struct ways *ways; /* NULL: the bare node is tried */
	struct player players[STAGE_PLAYERS];
	struct inner inner;
	struct try_pending tries[STAGE_TRIES];
	unsigned try_count;
	struct node_effects out, honest_out;
	size_t done;		       /* of out: carried out */
	struct bytes to_us, to_honest; /* on the honest session's wire */
	size_t written_us, written_honest;
	uint64_t now_ms, left_ms; /* how much time may still pass */
	uint64_t counter;	  /* of connections, and where randomness comes from */
	size_t heap_bytes;	  /* at the beginning */
};

void stage_open(struct stage *s, bool ways);
/* Everything must be as it ought to be. */
void stage_close(struct stage *s);

/* Runs an input: steps of an op (low bits: enum stage_op; high bits: the player), a time, le16 length and
 * that many bytes. */
enum stage_op {
	OP_SAY = 0, /* 0 to 3: bytes are a message, or what is taken for one */
	OP_RAW = 4, /* bytes on the connection as they are */
	OP_COME = 5,
	OP_CALL = 6, /* we dial the player */
	OP_GONE = 7,
	OP_APP_SEND = 8, /* our application sends the message to it */
	OP_APP_DROP = 9,
	OP_CROWD = 10,	  /* how many, prefix, bytes: accepted connections that shake no hands */
	OP_ANNOUNCE = 11, /* the root signs it, the player broadcasts it */
	OP_PEOPLE = 12,	  /* made-up peers of whom the player tells */
	OP_MANNERS = 13,
	OP_INNER = 14, /* the ghost calls through the player, or says something inside */
	OP_OURS = 15,  /* we: advertise, leave, look for the ghost */
	STAGE_OPS = 16,
};
void stage_play(struct stage *s, struct span in);

/* Appends a step to an input. */
void stage_put(struct bytes *out, unsigned op, unsigned player, uint8_t time, struct span bytes);
void stage_put_message(struct bytes *out, unsigned op, unsigned player, const struct message *m);

/* fuzz_stage.c, for the others */
void stage_step(struct stage *s, struct node_event *event);
/* Carries out the effects that are there. */
void stage_drain(struct stage *s);
/* Everything that is under way arrives. */
void stage_pump(struct stage *s);
void stage_pass(struct stage *s, uint64_t ms);
/* The player dials us, or we it. */
void stage_come(struct stage *s, unsigned player, uint8_t prefix);
void stage_call(struct stage *s, unsigned player, struct node_event *connected);
void stage_gone(struct stage *s, unsigned player);
bool stage_is_open(const struct stage *s, unsigned player);
/* False: the session refuses to send that. */
bool stage_say(struct stage *s, unsigned player, const struct message *m);
void stage_random(struct stage *s, uint8_t out[32]);
struct endpoint stage_endpoint(unsigned player);

/* fuzz_stage_players.c */
/* Bytes that we have written to the player's session; it may answer. */
void stage_player_hear(struct stage *s, struct player *p, struct span bytes);
/* The ghost begins a session through a circuit of the player. */
void stage_inner_begin(struct stage *s, unsigned player, uint32_t circuit, bool initiator);
void stage_inner_flush(struct stage *s);

#endif
