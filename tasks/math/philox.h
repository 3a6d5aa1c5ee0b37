/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011): random numbers as a function of
 * (seed, stream, counter), never of call order. */
#ifndef TASKS_MATH_PHILOX_H
#define TASKS_MATH_PHILOX_H

#include <stdint.h>

/* Streams keep uses apart. */
enum philox_stream {
	STREAM_INIT = 1,    /* initial parameters; counter = index of the element */
	STREAM_ORDER = 2,   /* bijections: order of samples, training / validation split */
	STREAM_SAMPLE = 4,  /* text sampled from a trained model */
	STREAM_DROPOUT = 5, /* its key is a step's; the lane tells layers apart */
	STREAM_SELFTEST =
		6, /* inputs of the self-test; the lane tells operations and arrays apart */
};

/* Key: (seed low, seed high); counter: (counter low, counter high, stream, lane). */
void philox(uint32_t out[4], uint64_t seed, uint32_t stream, uint32_t lane, uint64_t counter);

/* Uniform in [0,1): the top 24 bits of the first word, times 2^-24. */
float philox_uniform(uint64_t seed, uint32_t stream, uint32_t lane, uint64_t counter);

/* Mean 0, variance 1, from three blocks: the sum of twelve uniform 32-bit words, an exact integer,
 * scaled and shifted (Irwin–Hall); lanes 0, 1 and 2 of the counter. */
float philox_normal(uint64_t seed, uint32_t stream, uint64_t counter);

#endif
