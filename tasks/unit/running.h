/* A unit on its way: what run.c computes in and checkpoint.c writes down. Private to them. */
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

/* The state after run->done steps. */
struct trace_state running_state(const struct running *run);

#endif
