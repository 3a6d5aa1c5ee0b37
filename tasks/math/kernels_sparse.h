/* For kernels.c alone: SparseLoCo's packing of one block (Sarfi et al., "Communication Efficient LLM
 * Pre-training with SparseLoCo", 2025): the largest magnitudes of update plus error feedback, as an
 * index and two bits each.
 *
 * The selection is exact. Magnitudes are compared as integers; a bound from the maxima of groups leaves
 * a few candidates, among which a bisection over the bits finds the smallest magnitude that is kept.
 * NUMERICS.md, "Update compression", is the specification. */
#ifndef TASKS_MATH_KERNELS_SPARSE_H
#define TASKS_MATH_KERNELS_SPARSE_H

#include "tasks/math/engine.h"
#include "tasks/math/kernels_compress.h"
#include "tasks/math/kernels_sums.h"
#include "tasks/math/kernels_vector.h"

#define SPARSE_DECAY  0.95f
#define SPARSE_BEYOND 0x7b800000 /* the bits of 2^120, so that 64 magnitudes have a finite sum */
#define WORD_KEYS     64
#define KEY_GROUPS    256 /* four times as many as are kept, so that few groups hold two of them */

typedef int32_t keys __attribute__((vector_size(LANES * sizeof(int32_t))));

/* ---- Selection: a key is a magnitude's bits, or −1 where a vector is not full ---- */

INLINE size_t keys_pad(size_t n, int32_t *key, size_t multiple)
{
	while (n % multiple != 0)
		key[n++] = -1;
	return n;
}

/* Bit j of the result: key[j] > below, for 16 keys. */
INLINE uint32_t keys_above(const int32_t *key, int32_t below)
{
#if defined(__AVX512F__)
	return _mm512_cmpgt_epi32_mask(_mm512_loadu_si512(key), _mm512_set1_epi32(below));
#elif defined(__AVX2__)
	__m256i bound = _mm256_set1_epi32(below);
	__m256i low = _mm256_cmpgt_epi32(_mm256_loadu_si256((const __m256i *)key), bound);
	__m256i high = _mm256_cmpgt_epi32(_mm256_loadu_si256((const __m256i *)(key + 8)), bound);

	return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(low)) |
	       (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(high)) << 8;
#else
	uint32_t mask = 0;

	for (int j = 0; j < 16; j++)
		mask |= (uint32_t)(key[j] > below) << j;
	return mask;
#endif
}

/* How many of n keys are > below; n is a multiple of 16. */
INLINE size_t keys_count(size_t n, const int32_t *key, int32_t below)
{
	size_t count = 0;
#if defined(__POPCNT__)
	for (size_t i = 0; i < n; i += 16)
		count += (size_t)__builtin_popcount(keys_above(key + i, below));
#else
	keys lanes = {0};

	for (size_t i = 0; i < n; i += LANES) {
		keys k;

		memcpy(&k, key + i, sizeof(k));
		lanes -= k > below;
	}
	for (int j = 0; j < LANES; j++)
		count += (size_t)lanes[j];
#endif
	return count;
}

/* A bound that at least k of n keys reach and fewer than k exceed, or exactly k reach: bit by bit. */
INLINE int32_t keys_bound(size_t n, const int32_t *key, size_t k)
{
	int32_t bound = 0;

	for (int32_t bit = 1 << 30; bit != 0; bit >>= 1) {
		size_t count = keys_count(n, key, (bound | bit) - 1);

		if (count >= k)
			bound |= bit;
		if (count == k)
			break;
	}
	return bound;
}

/* A bound that at least k of n keys reach: k groups, of every 256th key, have a member that does. */
INLINE int32_t keys_group_bound(size_t n, const int32_t *key, size_t k)
{
	int32_t group[KEY_GROUPS];

	memcpy(group, key, sizeof(group));
	for (size_t i = KEY_GROUPS; i < n; i += KEY_GROUPS) {
		for (size_t j = 0; j < KEY_GROUPS; j++)
			group[j] = key[i + j] > group[j] ? key[i + j] : group[j];
	}
	return keys_bound(KEY_GROUPS, group, k);
}

/* at[] gets the indices, ascending, of the keys > below; returns how many. A word of bits usually has no
 * more than four, which are written whether there are that many or not, since a branch on it would
 * mostly be mispredicted; so at[] has room for four more than there are keys. */
INLINE size_t keys_collect(size_t n, const int32_t *key, int32_t below, uint16_t *at)
{
	uint16_t part[SPARSE_BLOCK / 16];
	uint16_t *next = at;

	for (size_t i = 0; i < n; i += 16)
		part[i / 16] = (uint16_t)keys_above(key + i, below);
	for (size_t i = 0; i < n; i += WORD_KEYS) {
		uint16_t *first = next;
		uint64_t word;

		memcpy(&word, part + i / 16, sizeof(word));
		next += __builtin_popcountll(word);
		do {
			UNROLL
			for (int j = 0; j < 4; j++) {
				*first++ =
					(uint16_t)(i + (size_t)__builtin_ctzll(word | 1ull << 63));
				word &= word - 1;
			}
		} while (word != 0);
	}
	return (size_t)(next - at);
}

/* kept[] gets the indices, ascending, of the k largest of n keys; of equal ones the first. key has
 * SPARSE_BLOCK elements, kept k + 1. */
static void keys_select(size_t n, int32_t *key, size_t k, uint16_t *kept)
{
	uint16_t at[SPARSE_BLOCK + 4];
	int32_t reached[SPARSE_BLOCK];
	int32_t bound = 0;
	size_t ties = k;
	size_t count = 0;

	if (n > 2 * KEY_GROUPS) {
		n = keys_pad(n, key, KEY_GROUPS);
		bound = keys_group_bound(n, key, k);
	}
	n = keys_collect(keys_pad(n, key, WORD_KEYS), key, bound - 1, at);
	for (size_t i = 0; i < n; i++)
		reached[i] = key[at[i]];
	bound = keys_bound(keys_pad(n, reached, 16), reached, k);
	for (size_t i = 0; i < n; i++)
		ties -= reached[i] > bound;
	for (size_t i = 0; i < n; i++) {
		bool tie = (reached[i] == bound) & (ties != 0);

		kept[count] = at[i]; /* overwritten by the next one, unless it counts */
		count += tie | (reached[i] > bound);
		ties -= tie;
	}
}

/* ---- Two levels ---- */

struct sparse_levels {
	float mean;	    /* larger magnitudes take the high level, when there is one */
	uint32_t low, high; /* bf16; high = 0: one level for all */
};

/* The means of the magnitudes above their mean, and of the others; magnitudes beyond `keep` are +0. */
static struct sparse_levels levels_of(size_t keep, const float magnitude[SPARSE_KEEP])
{
	struct sparse_levels l = {.mean = sum(SPARSE_KEEP, magnitude) / (float)keep};
	float above[SPARSE_KEEP], rest[SPARSE_KEEP];
	size_t count = 0;

	for (size_t i = 0; i < SPARSE_KEEP; i++) {
		bool is_above = magnitude[i] > l.mean;

		above[i] = is_above ? magnitude[i] : 0.0f;
		rest[i] = is_above ? 0.0f : magnitude[i];
		count += is_above;
	}
	if (count > 0)
		l.high = brain_from(sum(SPARSE_KEEP, above) / (float)count);
	if (count < keep)
		l.low = brain_from(sum(SPARSE_KEEP, rest) / (float)(keep - count));
	else
		l.low = l.high;
	if (l.high <= l.low)
		l.high = 0;
	return l;
}

/* ---- Packing ---- */

INLINE void index_store(uint8_t *out, size_t i, uint32_t index)
{
	uint8_t *p = out + i / 2 * 3;

	if (i % 2 == 0) {
		p[0] = (uint8_t)index;
		p[1] = (uint8_t)(index >> 8);
	} else {
		p[1] |= (uint8_t)(index << 4);
		p[2] = (uint8_t)(index >> 4);
	}
}

/* feedback ← 0.95·feedback + x, over a block; key gets the magnitudes, row after row, subnormal ones as
 * zero: then a mean of them is zero in bf16 only when all are. */
INLINE void block_accumulate(const size_t cols, const struct sparse_block *b, const float *x,
	float *feedback, int32_t *key)
{
	for (size_t r = 0; r < b->rows; r++) {
		INDEPENDENT
		for (size_t c = 0; c < cols; c++) {
			float v = SPARSE_DECAY * feedback[c] + x[c];
			int32_t a;

			feedback[c] = v;
			a = (int32_t)bits_of(v) & MAGNITUDE;
			key[c] = a < BITS_NORMAL ? 0 : a;
		}
		x += b->ld;
		feedback += b->ld;
		key += cols;
	}
}

/* Writes the codes and takes what they say from the feedback. */
static void codes_pack(size_t keep, float *const *element, const float *magnitude,
	const struct sparse_levels *l, uint8_t *codes)
{
	const uint32_t level[2] = {l->low << 16, l->high << 16};

	memset(codes, 0, (keep + 3) / 4);
	for (size_t i = 0; i < keep; i++) {
		uint32_t high = (l->high != 0) & (magnitude[i] > l->mean);
		uint32_t negative = bits_of(*element[i]) >> 31 & (level[high] != 0);

		codes[i / 4] |= (uint8_t)((negative << 1 | high) << i % 4 * 2);
		*element[i] -= from_bits(level[high] | negative << 31);
	}
}

static void sparse_pack(const struct sparse_block *b, const float *x, float *feedback, uint8_t *out)
{
	int32_t key[SPARSE_BLOCK];
	uint16_t kept[SPARSE_KEEP + 1];
	float magnitude[SPARSE_KEEP] = {0};
	float *element[SPARSE_KEEP];
	float *row = feedback;
	size_t row_first = 0;
	struct sparse_levels l;

	if (b->cols == SPARSE_SIDE)
		block_accumulate(SPARSE_SIDE, b, x, feedback, key);
	else
		block_accumulate(b->cols, b, x, feedback, key);
	keys_select(b->rows * b->cols, key, b->keep, kept);
	for (size_t i = 0; i < b->keep; i++) {
		for (; kept[i] >= row_first + b->cols; row_first += b->cols)
			row += b->ld;
		element[i] = row + (kept[i] - row_first);
		magnitude[i] = from_bits((uint32_t)key[kept[i]]);
		index_store(out + 4, i, kept[i]);
	}
	l = levels_of(b->keep, magnitude);
	out[0] = (uint8_t)l.low;
	out[1] = (uint8_t)(l.low >> 8);
	out[2] = (uint8_t)l.high;
	out[3] = (uint8_t)(l.high >> 8);
	codes_pack(b->keep, element, magnitude, &l, out + 4 + (3 * b->keep + 1) / 2);
}

static bool sparse_fits(size_t n, const float *x, const float *feedback)
{
	int32_t max = 0;

	for (size_t i = 0; i < n; i++) {
		float v = SPARSE_DECAY * feedback[i] + x[i];
		int32_t a = (int32_t)bits_of(v) & MAGNITUDE;

		max = a > max ? a : max;
	}
	return max < SPARSE_BEYOND;
}

#endif
