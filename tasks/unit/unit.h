/* The work unit and its result: what they say, their limits and their bytes.
 *
 * A unit's header carries everything its result depends on, by digest. A result is claimed by one
 * digest: that of its claim, which names the header, the outcome, the metrics and the payload. */
#ifndef TASKS_UNIT_UNIT_H
#define TASKS_UNIT_UNIT_H

#include "tasks/base/key.h"
#include "tasks/math/engine.h"
#include "tasks/project/recipe.h"

#define UNIT_BYTES_MAX	  512u
#define CLAIM_BYTES_MAX	  512u
#define PAYLOAD_BYTES_MAX (UINT32_MAX - 65535u) /* with what frames it, its length has 32 bits */
#define ROUND_BYTES_MAX	  1024u

enum unit_kind { UNIT_TRAIN = 1 };

struct unit {
	enum unit_kind kind;
	uint32_t numerics;	  /* NUMERICS_VERSION */
	struct digest recipe;	  /* blob: the recipe; also the project's name on the wire */
	uint32_t round;		  /* r */
	uint32_t index;		  /* u < W */
	struct digest parameters; /* blob: θ_r as float32 LE */
	struct digest state;	  /* blob: what its slot carries (state.h); zero: all +0 */
};

enum outcome {
	OUTCOME_UPDATE = 1,    /* a payload follows */
	OUTCOME_NONFINITE = 2, /* the loss or the parameters left the finite numbers: no payload */
};

/* What a replica claims; its digest is the result digest. */
struct claim {
	struct digest unit; /* unit_digest of the header */
	enum outcome outcome;
	uint32_t failing_step;	/* NONFINITE: the first step whose loss is not finite, or H when
	                              * the final parameters or the update are not; else 0 */
	float loss;		/* mean of the steps' losses (canonical sum); 0 when non-finite */
	uint64_t payload_bytes; /* of update and state; 0 without payload */
	struct digest payload;	/* blob digest; zero without payload */
	struct digest trace;	/* Merkle root over the state digests */
};

/* One signature per round authorises all its units: they are leaves under `units`. */
struct round_manifest {
	struct public_key network; /* the coordinator's root key */
	struct digest recipe;
	uint32_t round;
	uint32_t unit_count;	  /* W */
	struct digest parameters; /* θ_r */
	struct digest units;	  /* merkle_root of the unit digests, in unit order */
	struct digest audit;	  /* H("talkoot audit seed", the round's secret seed); never zero */
};

int unit_encode(const struct unit *u, struct bytes *out) TK_CHECKED;
int unit_decode(struct unit *u, struct span in, struct errmsg *msg) TK_CHECKED;
void unit_digest(struct digest *out, struct span encoded);

int claim_encode(const struct claim *c, struct bytes *out) TK_CHECKED;
int claim_decode(struct claim *c, struct span in, struct errmsg *msg) TK_CHECKED;
void claim_digest(struct digest *out, struct span encoded);

int round_encode(const struct round_manifest *m, struct bytes *out) TK_CHECKED;
int round_decode(struct round_manifest *m, struct span in, struct errmsg *msg) TK_CHECKED;
void round_sign(struct signature *out, const struct key_pair *root, struct span encoded);
bool round_verify(const struct public_key *root, const struct signature *s, struct span encoded);

/* What the units of a round start from. Borrows states. */
struct round_start {
	struct digest parameters;    /* θ_r */
	const struct digest *states; /* (W), of each slot; NULL: all zero */
};

/* Fills unit `index` of round `round`, or the digests of all W units (leaves, W entries). Errors:
 * TK_ENOMEM. */
void unit_describe(struct unit *u, const struct digest *recipe, uint32_t round, uint32_t index,
	const struct round_start *start);
int round_leaves(struct digest *leaves, uint32_t count, const struct digest *recipe, uint32_t round,
	const struct round_start *start) TK_CHECKED;

/* The commitment H(network, unit digest, lease nonce, peer key, salt, result digest, trace root). */
struct commitment {
	struct public_key network;
	struct digest unit;
	struct digest nonce;
	struct public_key peer;
	struct digest salt;
	struct digest result;
	struct digest trace;
};
void commitment_digest(struct digest *out, const struct commitment *c);

#endif
