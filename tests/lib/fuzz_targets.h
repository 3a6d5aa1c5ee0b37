/* Everything that reads what strangers, owners or a broken disk may have written, one function each, for
 * fuzzing: any bytes must be read or refused, and what a canonical decoder accepts must encode to the
 * same bytes. A target that finds a fault aborts. */
#ifndef TESTS_LIB_FUZZ_TARGETS_H
#define TESTS_LIB_FUZZ_TARGETS_H

#include "tasks/base/bytes.h"

/* Where tests/fuzz/clear_key_sodium.c stands in for signatures, a key whose first byte is at least this is anybody's. */
#define CLEAR_ANYBODY 0x80

struct fuzz_target {
	const char *name;
	void (*run)(struct span in);
	/* Appends a valid input; `which` counts from 0. False: there are no more. */
	bool (*seed)(unsigned which, struct bytes *out);
	bool slow; /* an input takes milliseconds */
};

/* Ended by one whose name is NULL. crypto_start() comes first. */
extern const struct fuzz_target fuzz_targets[];

/* The targets of fuzz_wire.c. */
void fuzz_message(struct span in);
bool fuzz_message_seed(unsigned which, struct bytes *out);
void fuzz_session(struct span in);
bool fuzz_session_seed(unsigned which, struct bytes *out);
void fuzz_identity(struct span in);
bool fuzz_identity_seed(unsigned which, struct bytes *out);

/* The target of fuzz_safetensors.c. */
void fuzz_safetensors(struct span in);
bool fuzz_safetensors_seed(unsigned which, struct bytes *out);

/* Those of fuzz_ledger.c. */
void fuzz_ledger(struct span in);
bool fuzz_ledger_seed(unsigned which, struct bytes *out);
void fuzz_ledger_file(struct span in);
bool fuzz_ledger_file_seed(unsigned which, struct bytes *out);

/* Those of fuzz_fault.c. */
void fuzz_fault(struct span in);
bool fuzz_fault_seed(unsigned which, struct bytes *out);
void fuzz_fault_file(struct span in);
bool fuzz_fault_file_seed(unsigned which, struct bytes *out);

/* Those of fuzz_overlay.c. */
void fuzz_announcement(struct span in);
bool fuzz_announcement_seed(unsigned which, struct bytes *out);
void fuzz_advert(struct span in);
bool fuzz_advert_seed(unsigned which, struct bytes *out);

/* Those of fuzz_node.c. */
void fuzz_node(struct span in);
bool fuzz_node_seed(unsigned which, struct bytes *out);
void fuzz_ways(struct span in);
bool fuzz_ways_seed(unsigned which, struct bytes *out);

/* That of fuzz_portmap.c. */
void fuzz_portmap(struct span in);
bool fuzz_portmap_seed(unsigned which, struct bytes *out);

/* That of fuzz_swarm.c. */
void fuzz_swarm(struct span in);
bool fuzz_swarm_seed(unsigned which, struct bytes *out);

/* That of fuzz_exchange.c. */
void fuzz_exchange(struct span in);
bool fuzz_exchange_seed(unsigned which, struct bytes *out);

/* Those of fuzz_disk.c. */
void fuzz_part_file(struct span in);
bool fuzz_part_file_seed(unsigned which, struct bytes *out);
void fuzz_peer_cache(struct span in);
bool fuzz_peer_cache_seed(unsigned which, struct bytes *out);

/* That of fuzz_gossip.c. */
void fuzz_gossip(struct span in);
bool fuzz_gossip_seed(unsigned which, struct bytes *out);

#endif
