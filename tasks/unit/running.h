/* A unit on its way: what run.c and replay.c compute in and checkpoint.c writes down. Private
 * to them. */
#ifndef TASKS_UNIT_RUNNING_H
#define TASKS_UNIT_RUNNING_H

#include "tasks/unit/payload.h"
#include "tasks/unit/run.h"
#include "tasks/unit/sampler.h"
#include "tasks/unit/trace.h"

struct running {
	const struct recipe *recipe;
	const struct unit *unit;
	const struct compute *compute;
	struct span start;    /* θ_r as it came */
	struct digest header; /* unit_digest */
	struct model model;
	struct payload_layout layout;
	struct model_work *work;
	struct sampler sampler;
	float *theta;	       /* (n), n = model.parameters */
	float *gradient;       /* (n); gradient mode: the sum so far; at the end the update */
	float *moments[2];     /* (n) each: m and v, or the velocity; NULL: none */
	float *feedback;       /* (n); NULL: none */
	float *losses;	       /* (H) */
	struct digest *leaves; /* of the trace: those of the steps done, and room for all */
	struct digest *scratch;
	uint32_t done; /* steps */
	/* The arrays (n) of a state, in its order. Borrowed from above. */
	float *arrays[STATE_ARRAYS_MAX - 1];
	uint32_t array_count;
};

/* Arrays of n floats in a state. */
uint32_t running_arrays(const struct train_spec *t);

/* Bytes of the longer of what a run may give out, a checkpoint of all steps and the payload: nothing that
 * it hashes is longer. */
uint64_t running_bytes(
	const struct train_spec *t, uint64_t parameters, const struct payload_layout *l);

/* Digests that hashing so many bytes needs room for. */
size_t running_scratch(uint64_t bytes);

/* digest_blob of bytes that a run takes in or gives out, no more than running_bytes; undefined after a
 * stop. */
struct digest running_digest(const struct running *run, struct span bytes);

/* The first position of the unit in the sample order. */
uint64_t running_position(const struct recipe *recipe, const struct unit *unit);

/* Samples that are computed at once. */
size_t running_rows(const struct train_spec *t);

/* Everything but what it begins with: recipe, unit and compute are set, the rest is zero. Whatever the
 * answer, running_close frees it. Errors: TK_EUNSUPPORTED, TK_ELIMIT, TK_ENOMEM (as unit_run). */
int running_open(
	struct running *run, const struct shard_source *shards, struct errmsg *msg) TK_CHECKED;
void running_close(struct running *run);

/* θ and the slot's state as the unit finds them. Errors: TK_ECORRUPT. */
int running_begin(
	struct running *run, const struct unit_input *input, struct errmsg *msg) TK_CHECKED;

/* The parts of it: θ_r by which the update is measured (theta stays as it is); moments and feedback. */
int running_parameters(struct running *run, struct span in, struct errmsg *msg) TK_CHECKED;
int running_slot(struct running *run, struct span in, struct errmsg *msg) TK_CHECKED;

/* The next step. TK_EDIVERGED: its loss is not finite; it is not done and must not be tried again.
 * Errors: TK_ECANCELED, what the source returns. */
int running_step(struct running *run, struct errmsg *msg) TK_CHECKED;

/* The claim, with the trace's last leaf and its root, and the payload when all was finite, once all steps
 * are done or one has diverged. Errors: TK_ENOMEM; *out may then hold something to close. */
int running_conclude(struct running *run, struct unit_result *out) TK_CHECKED;

/* unit_shards for the steps [from, to) alone. */
int running_shards(const struct recipe *recipe, const struct unit *unit, uint32_t from, uint32_t to,
	uint32_t **shards, uint32_t *count) TK_CHECKED;

/* The state after run->done steps, its digest and its bytes; running_state_load puts the run there. */
struct trace_state running_state(const struct running *run);
void running_digest_state(const struct running *run, struct digest *out);
size_t running_state_bytes(const struct running *run, uint32_t steps);
void running_state_store(const struct running *run, uint8_t *out);
void running_state_load(struct running *run, uint32_t steps, const uint8_t *in);

#endif
