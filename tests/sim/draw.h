/* Seeded numbers: a stream (splitmix64) for what happens once, and a hash for what must come out the same
 * whenever it is asked, such as the latency between two nodes. */
#ifndef TESTS_SIM_DRAW_H
#define TESTS_SIM_DRAW_H

#include <stdint.h>

static inline uint64_t draw_mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline uint64_t draw_next(uint64_t *state)
{
	return draw_mix(*state += 0x9e3779b97f4a7c15u);
}

/* A number below `below` (> 0), as good as unbiased for what is far below 2^32. */
static inline uint32_t draw_below(uint64_t *state, uint32_t below)
{
	return (uint32_t)((draw_next(state) >> 32) * below >> 32);
}

static inline uint64_t draw_hash(uint64_t seed, uint64_t a, uint64_t b)
{
	return draw_mix(seed + a * 0x9e3779b97f4a7c15u + b * 0xd1342543de82ef95u);
}

#endif
