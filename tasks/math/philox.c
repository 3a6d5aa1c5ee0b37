/* See philox.h. Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011):
 * ten rounds of two 32 × 32 → 64 bit products; the tests hold its published answers. */
#include "tasks/math/philox.h"

#define ROUNDS 10

void philox(uint32_t out[4], uint64_t seed, uint32_t stream, uint32_t lane, uint64_t counter)
{
	uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
	uint32_t x0 = (uint32_t)counter, x1 = (uint32_t)(counter >> 32), x2 = stream, x3 = lane;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t first = 0xd2511f53ull * x0;
		uint64_t second = 0xcd9e8d57ull * x2;

		x0 = (uint32_t)(second >> 32) ^ x1 ^ key0;
		x1 = (uint32_t)second;
		x2 = (uint32_t)(first >> 32) ^ x3 ^ key1;
		x3 = (uint32_t)first;
		key0 += 0x9e3779b9u;
		key1 += 0xbb67ae85u;
	}
	out[0] = x0;
	out[1] = x1;
	out[2] = x2;
	out[3] = x3;
}

float philox_uniform(uint64_t seed, uint32_t stream, uint32_t lane, uint64_t counter)
{
	uint32_t word[4];

	philox(word, seed, stream, lane, counter);
	return (float)(word[0] >> 8) * 0x1p-24f;
}

float philox_normal(uint64_t seed, uint32_t stream, uint64_t counter)
{
	int64_t sum = -6 * (int64_t)UINT32_MAX; /* twelve means */

	for (uint32_t lane = 0; lane < 3; lane++) {
		uint32_t word[4];

		philox(word, seed, stream, lane, counter);
		for (int i = 0; i < 4; i++)
			sum += word[i];
	}
	return (float)((double)sum * 0x1p-32); /* |sum| < 2^36: exact but for the last step */
}
