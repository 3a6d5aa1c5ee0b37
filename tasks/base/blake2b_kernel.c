/* BLAKE2b-256 over LANES messages of equal length side by side (see blake2b.h).
 *
 * After RFC 7693, sections 3.1 and 3.2, unkeyed; each of its 64-bit words is a vector here, with one
 * message per lane. The Makefile compiles this file once for each instruction set, with KERNEL_ENGINE
 * as its name. Nothing here allocates, and nothing looks at the CPU. */
#include "tasks/base/blake2b.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define BLOCK  128u

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES 8
#elif defined(__AVX2__)
#include <immintrin.h>
#define LANES 4
#else
#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif
#define LANES 2
#endif

typedef uint64_t vec __attribute__((vector_size(8 * LANES)));

static const uint64_t iv[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
	0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b,
	0x5be0cd19137e2179};

/* ---- Words of messages into lanes, and rotations: what differs between instruction sets ---- */

#if defined(__AVX512F__)
INLINE __m512i row(const uint8_t *p)
{
	return _mm512_loadu_si512(p);
}

/* From pairs of lanes (0 1, 2 3, 4 5, 6 7) of every second word: the words 0, 2, 4 and 6. */
INLINE void quarters(vec *m, __m512i t01, __m512i t23, __m512i t45, __m512i t67)
{
	__m512i a = _mm512_shuffle_i64x2(t01, t23, 0x88), b = _mm512_shuffle_i64x2(t01, t23, 0xdd);
	__m512i c = _mm512_shuffle_i64x2(t45, t67, 0x88), d = _mm512_shuffle_i64x2(t45, t67, 0xdd);

	m[0] = (vec)_mm512_shuffle_i64x2(a, c, 0x88);
	m[2] = (vec)_mm512_shuffle_i64x2(b, d, 0x88);
	m[4] = (vec)_mm512_shuffle_i64x2(a, c, 0xdd);
	m[6] = (vec)_mm512_shuffle_i64x2(b, d, 0xdd);
}

INLINE void transpose(vec m[16], const uint8_t *const p[LANES])
{
	for (size_t w = 0; w < 16; w += 8) {
		size_t at = 8 * w;
		__m512i r0 = row(p[0] + at), r1 = row(p[1] + at), r2 = row(p[2] + at);
		__m512i r3 = row(p[3] + at), r4 = row(p[4] + at), r5 = row(p[5] + at);
		__m512i r6 = row(p[6] + at), r7 = row(p[7] + at);

		quarters(m + w, _mm512_unpacklo_epi64(r0, r1), _mm512_unpacklo_epi64(r2, r3),
			_mm512_unpacklo_epi64(r4, r5), _mm512_unpacklo_epi64(r6, r7));
		quarters(m + w + 1, _mm512_unpackhi_epi64(r0, r1), _mm512_unpackhi_epi64(r2, r3),
			_mm512_unpackhi_epi64(r4, r5), _mm512_unpackhi_epi64(r6, r7));
	}
}
#elif defined(__AVX2__)
INLINE __m256i row(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)p);
}

INLINE void transpose(vec m[16], const uint8_t *const p[LANES])
{
	for (size_t w = 0; w < 16; w += 4) {
		size_t at = 8 * w;
		__m256i r0 = row(p[0] + at), r1 = row(p[1] + at);
		__m256i r2 = row(p[2] + at), r3 = row(p[3] + at);
		__m256i a = _mm256_unpacklo_epi64(r0, r1), b = _mm256_unpackhi_epi64(r0, r1);
		__m256i c = _mm256_unpacklo_epi64(r2, r3), d = _mm256_unpackhi_epi64(r2, r3);

		m[w] = (vec)_mm256_permute2x128_si256(a, c, 0x20);
		m[w + 1] = (vec)_mm256_permute2x128_si256(b, d, 0x20);
		m[w + 2] = (vec)_mm256_permute2x128_si256(a, c, 0x31);
		m[w + 3] = (vec)_mm256_permute2x128_si256(b, d, 0x31);
	}
}
#else
INLINE uint64_t word(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

INLINE void transpose(vec m[16], const uint8_t *const p[LANES])
{
	for (size_t w = 0; w < 16; w++)
		m[w] = (vec){word(p[0] + 8 * w), word(p[1] + 8 * w)};
}
#endif

/* To the right. AVX-512 has an instruction for it. Elsewhere whole bytes take a shuffle, the rest two
 * shifts (NEON's second one inserts), and 63 is a doubling. */
INLINE vec rotate(vec x, int bits)
{
#if defined(__AVX2__) && !defined(__AVX512F__)
	const __m256i by_16 = _mm256_setr_epi64x(
		0x0100070605040302, 0x09080f0e0d0c0b0a, 0x0100070605040302, 0x09080f0e0d0c0b0a);
	const __m256i by_24 = _mm256_setr_epi64x(
		0x0201000706050403, 0x0a09080f0e0d0c0b, 0x0201000706050403, 0x0a09080f0e0d0c0b);

	if (bits == 16)
		return (vec)_mm256_shuffle_epi8((__m256i)x, by_16);
	if (bits == 24)
		return (vec)_mm256_shuffle_epi8((__m256i)x, by_24);
	if (bits == 32)
		return (vec)_mm256_shuffle_epi32((__m256i)x, 0xb1);
	if (bits == 63)
		return x >> 63 | (x + x);
#elif defined(__SSE2__) && !defined(__AVX512F__)
	if (bits == 16)
		return (vec)_mm_shufflehi_epi16(_mm_shufflelo_epi16((__m128i)x, 0x39), 0x39);
	if (bits == 32)
		return (vec)_mm_shuffle_epi32((__m128i)x, 0xb1);
	if (bits == 63)
		return x >> 63 | (x + x);
#elif defined(__ARM_NEON) && defined(__aarch64__)
	if (bits == 16)
		return (vec)vsriq_n_u64((uint64x2_t)(x << 48), (uint64x2_t)x, 16);
	if (bits == 24)
		return (vec)vsriq_n_u64((uint64x2_t)(x << 40), (uint64x2_t)x, 24);
	if (bits == 32)
		return (vec)vrev64q_u32((uint32x4_t)x);
	if (bits == 63)
		return (vec)vsriq_n_u64((uint64x2_t)(x + x), (uint64x2_t)x, 63);
#endif
	return x >> bits | x << (64 - bits);
}

/* ---- The function itself ---- */

INLINE void mix(vec *a, vec *b, vec *c, vec *d, vec x, vec y)
{
	*a = (*a + x) + *b;
	*d = rotate(*d ^ *a, 32);
	*c += *d;
	*b = rotate(*b ^ *c, 24);
	*a = (*a + y) + *b;
	*d = rotate(*d ^ *a, 16);
	*c += *d;
	*b = rotate(*b ^ *c, 63);
}

/* One round; the arguments are the order in which it takes the message's words. */
#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15)                \
	do {                                                                                       \
		mix(&v0, &v4, &v8, &v12, m[s0], m[s1]);                                            \
		mix(&v1, &v5, &v9, &v13, m[s2], m[s3]);                                            \
		mix(&v2, &v6, &v10, &v14, m[s4], m[s5]);                                           \
		mix(&v3, &v7, &v11, &v15, m[s6], m[s7]);                                           \
		mix(&v0, &v5, &v10, &v15, m[s8], m[s9]);                                           \
		mix(&v1, &v6, &v11, &v12, m[s10], m[s11]);                                         \
		mix(&v2, &v7, &v8, &v13, m[s12], m[s13]);                                          \
		mix(&v3, &v4, &v9, &v14, m[s14], m[s15]);                                          \
	} while (0)

/* Takes one block of each message into its chain value; `taken` counts the bytes up to its end. */
INLINE void compress(vec h[8], const vec m[16], uint64_t taken, bool last)
{
	const vec zero = {0};
	vec v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3];
	vec v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7];
	vec v8 = zero + iv[0], v9 = zero + iv[1], v10 = zero + iv[2], v11 = zero + iv[3];
	vec v12 = zero + (iv[4] ^ taken), v13 = zero + iv[5];
	vec v14 = zero + (last ? ~iv[6] : iv[6]), v15 = zero + iv[7];

	ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
	ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
	ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
	ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
	ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
	ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
	ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
	ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
	ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
	ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
	h[0] ^= v0 ^ v8;
	h[1] ^= v1 ^ v9;
	h[2] ^= v2 ^ v10;
	h[3] ^= v3 ^ v11;
	h[4] ^= v4 ^ v12;
	h[5] ^= v5 ^ v13;
	h[6] ^= v6 ^ v14;
	h[7] ^= v7 ^ v15;
}

/* ---- Messages ---- */

static void store_digest(struct digest *out, const vec h[8], size_t lane)
{
	for (size_t i = 0; i < 4; i++)
		store_le64(out->b + 8 * i, h[i][lane]);
}

/* At most LANES messages. The tag moves all data by one byte, so only the first and the last block
 * are put together in a buffer; the others are read where they are. Idle lanes repeat the last
 * message. */
static void hash_group(struct digest *out, size_t count, uint8_t tag, const uint8_t *data, size_t n)
{
	const vec zero = {0};
	const size_t total = n + 1;
	uint8_t edge[LANES][BLOCK];
	const uint8_t *block[LANES];
	vec h[8], m[16];

	for (size_t i = 0; i < 8; i++)
		h[i] = zero + iv[i];
	h[0] ^= 0x01010000 ^ DIGEST_BYTES; /* no key, fanout 1, depth 1 */
	for (size_t at = 0; at < total; at += BLOCK) {
		bool last = total - at <= BLOCK;
		size_t end = last ? total : at + BLOCK;

		for (size_t lane = 0; lane < LANES; lane++) {
			const uint8_t *p = data + (lane < count ? lane : count - 1) * n;

			block[lane] = edge[lane];
			if (at == 0) {
				memset(edge[lane], 0, BLOCK);
				edge[lane][0] = tag;
				memcpy(edge[lane] + 1, p, end - 1);
			} else if (last) {
				memset(edge[lane], 0, BLOCK);
				memcpy(edge[lane], p + at - 1, end - at);
			} else {
				block[lane] = p + at - 1;
			}
		}
		transpose(m, block);
		compress(h, m, end, last);
	}
	for (size_t lane = 0; lane < count; lane++)
		store_digest(&out[lane], h, lane);
}

static void hash(struct digest *out, size_t count, uint8_t tag, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < count; i += LANES)
		hash_group(out + i, count - i < LANES ? count - i : LANES, tag, data + i * n, n);
}

static bool floats_are_canonical(const void *x, size_t n)
{
	const uint8_t *p = x;
	uint32_t other = 0;

	if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;

		memcpy(&bits, p + 4 * i, sizeof(bits));
		other |= ((bits & 0x7fffffffu) > 0x7f800000u) & (bits != 0x7fc00000u);
	}
	return other == 0;
}

#define PASTE(a, b)	a##b
#define BLAKE2B(name)	PASTE(blake2b_, name)
#define TEXT(name)	#name
#define NAME_TEXT(name) TEXT(name)

extern const struct blake2b BLAKE2B(KERNEL_ENGINE);
const struct blake2b BLAKE2B(KERNEL_ENGINE) = {
	.name = NAME_TEXT(KERNEL_ENGINE),
	.lanes = LANES,
	.hash = hash,
	.floats_are_canonical = floats_are_canonical,
};
