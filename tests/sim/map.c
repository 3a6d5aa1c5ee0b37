/* See map.h. */
#include "tests/sim/map.h"

#include <math.h>

#include "tests/sim/draw.h"

#define SLOT_MS                                                                                    \
	1024u /* jitter is a line between the slots' values; a stall stays within its slot */

/* Six regions on a globe whose poles are 130 ms apart, and how many of a hundred live there. */
static const struct {
	int16_t x, y, z;
	uint8_t share;
} regions[] = {
	{4110, 730, 4980, 34},	  /* Europe */
	{870, -4900, 4180, 20},	  /* eastern North America */
	{-2600, -4500, 3910, 12}, /* western North America */
	{3930, -4680, -2220, 8},  /* South America */
	{-3130, 4460, 3540, 16},  /* eastern Asia */
	{550, 6250, 1680, 10},	  /* southern Asia */
};

void place_draw(struct place *out, uint64_t *random, bool public)
{
	uint32_t one = draw_below(random, 100), r = 0;
	uint64_t scatter = draw_next(random);

	while (one >= regions[r].share) {
		one -= regions[r].share;
		r++;
	}
	out->x = (int16_t)(regions[r].x + (int)(scatter & 1023) - 512);
	out->y = (int16_t)(regions[r].y + (int)(scatter >> 10 & 1023) - 512);
	out->z = (int16_t)(regions[r].z + (int)(scatter >> 20 & 1023) - 512);
	out->access =
		(uint16_t)(public ? 50 + draw_below(random, 250) : 200 + draw_below(random, 1500));
}

enum nat nat_draw(uint64_t *random)
{
	uint32_t one = draw_below(random, 9);

	return one < 3 ? NAT_CONE : one < 7 ? NAT_RESTRICTED : NAT_SYMMETRIC;
}

bool nat_punches(enum nat a, enum nat b)
{
	return a == NAT_NONE || b == NAT_NONE || a == NAT_CONE || b == NAT_CONE ||
	       (a == NAT_RESTRICTED && b == NAT_RESTRICTED);
}

uint32_t map_latency_ms(const struct place *a, const struct place *b)
{
	float x = (float)(a->x - b->x), y = (float)(a->y - b->y), z = (float)(a->z - b->z);
	uint32_t way = (uint32_t)sqrtf(x * x + y * y + z * z) + a->access + b->access;

	return 1 + way / 100;
}

uint32_t map_arrival_ms(const struct map *m, uint32_t from, const struct place *a, uint32_t to,
	const struct place *b, uint32_t at_ms)
{
	uint64_t pair = (uint64_t)from << 32 | to;
	uint32_t slot = at_ms / SLOT_MS, in = at_ms % SLOT_MS;
	uint64_t here = draw_hash(m->seed, pair, slot), next = draw_hash(m->seed, pair, slot + 1);
	uint32_t jitter_here = (uint32_t)(here & 0xffff) * (m->jitter_ms + 1) >> 16;
	uint32_t jitter_next = (uint32_t)(next & 0xffff) * (m->jitter_ms + 1) >> 16;

	/* The share of slots with a stall is such that stalls take stall_ppm of all time. */
	if (m->stall_ppm != 0 &&
		(here >> 32) % 1000000u < (uint64_t)m->stall_ppm * SLOT_MS / m->stall_ms) {
		uint32_t begin = (uint32_t)(here >> 16 & 0xffff) * (SLOT_MS - m->stall_ms) >> 16;

		if (in >= begin && in < begin + m->stall_ms)
			in = begin + m->stall_ms; /* as if it were sent then */
	}
	return slot * SLOT_MS + in + map_latency_ms(a, b) +
	       (jitter_here * (SLOT_MS - in) + jitter_next * in) / SLOT_MS;
}
