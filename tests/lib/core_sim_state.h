/* What the simulation's own files share; tests use core_sim.h. */
#ifndef TESTS_LIB_CORE_SIM_STATE_H
#define TESTS_LIB_CORE_SIM_STATE_H

#include "tasks/unit/selftest.h"
#include "tests/lib/core_sim.h"

enum sim_item_type {
	SIM_TO_CORE = 1, /* bytes on conn */
	SIM_TO_PEER = 2,
	SIM_CONNECT = 3,
	SIM_COMPUTED = 4, /* nonce */
	SIM_RETRY = 5,
	SIM_MERGE = 6,
	SIM_REFEREE = 7,
	SIM_SELFTEST = 8, /* seed */
	SIM_ANSWER = 9,	  /* of a peer in a dispute: bytes, a request */
	SIM_STEP = 10,	  /* the referee's: bytes, leaves; blob, step, seed: its job */
};

struct sim_item {
	enum sim_item_type type;
	uint64_t at_ms, serial;
	uint32_t peer;
	conn_id conn;
	uint64_t generation;
	struct digest nonce;
	uint32_t round, unit;
	uint64_t seed, job;
	struct digest blob;
	uint32_t step;
	struct bytes bytes;
};

/* Prints the seed and what was broken, and ends the program. */
_Noreturn void sim_broken(const struct sim *s, const char *what);
#define SIM_CHECK(s, x) ((x) ? (void)0 : sim_broken(s, #x))

struct sim_item *sim_later(struct sim *s, enum sim_item_type type, uint64_t after_ms);

void sim_say(struct sim *s, uint32_t peer, const struct message *m);
uint32_t sim_peer_of_key(const struct sim *s, const struct public_key *key);
struct unit_row *sim_unit_row(struct sim *s, uint32_t round, uint32_t unit);

/* core_sim_store.c: applies and checks effects. */
/* The parameters that a round which stands, or is in progress, starts from. */
const struct digest *sim_start_of(const struct sim *s, uint32_t round);
void sim_save(struct sim *s, const struct core_effect *e);
void sim_check_said(struct sim *s, uint32_t peer, const struct message *m);
void sim_check_announced(struct sim *s, const struct core_effect *e);
void sim_check_merge(struct sim *s, uint32_t round);
void sim_load(struct sim *s);
bool sim_has_blob(const struct sim *s, const struct digest *digest);
void sim_blob_add(struct sim *s, const struct digest *digest);

/* core_sim_selftest.c: what every right self-test of this seed gives here; the shell's answer. */
void sim_selftest_answered(struct sim *s, uint64_t seed);
void sim_selftest_digests(struct digest *out, uint64_t seed);

/* core_sim_house.c: false: there is no place, and it comes again. */
bool sim_enter(struct sim *s, uint32_t peer);
void sim_worth(struct sim *s, const struct core_effect *e);

/* core_sim_jobs.c: the answer to CORE_MERGE. */
void sim_merge_answer(struct sim *s, const struct sim_item *item);

/* core_sim_trace.c: made-up traces, what peers say of them, and the referee's step. */
void sim_trace_claim(const struct sim *s, const struct digest *unit, uint32_t index,
	uint64_t variant, struct claim *claim, struct digest *pack);
void sim_dispute_hears(struct sim *s, uint32_t peer, const struct message *m);
void sim_dispute_answer(struct sim *s, struct sim_item *item);
void sim_step_ask(struct sim *s, const struct core_effect *e);
void sim_step_answer(struct sim *s, const struct sim_item *item);
void sim_state_keep(struct sim *s, const struct core_effect *e); /* STORE_BLOB, REMOVE_BLOB */
struct sim_task *sim_task_find(struct sim_peer *p, const struct digest *nonce);

/* core_sim_peer.c: what peers do; the result of a unit. variant 0 is the honest one. */
void sim_result(const struct sim *s, const struct digest *unit, uint32_t index, uint64_t variant,
	struct bytes *claim, struct bytes *payload);
void sim_payload(const struct sim *s, const struct digest *pack, struct bytes *out);
void sim_peer_hears(struct sim *s, uint32_t peer, const struct message *m);
void sim_peer_computed(struct sim *s, uint32_t peer, const struct digest *nonce);
void sim_peer_asks(struct sim *s, uint32_t peer);
void sim_task_close(struct sim_task *t);

#endif
