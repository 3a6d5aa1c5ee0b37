/* See draw.h. */
#include "coordinator/draw.h"

#include <math.h>

#include "tasks/base/bytes.h"

void draw_secret(struct digest *out, const uint8_t random[32])
{
	struct span field = span_of(random, 32);

	digest_fields(out, "talkoot audit secret", &field, 1);
}

void draw_seed(struct digest *out, const struct digest *secret, uint32_t round, uint32_t attempt)
{
	uint8_t le[8];
	struct span fields[2] = {span_of(secret->b, DIGEST_BYTES), span_of(le, sizeof(le))};

	store_le32(le, round);
	store_le32(le + 4, attempt);
	digest_fields(out, "talkoot audit round", fields, 2);
}

void draw_commitment(struct digest *out, const struct digest *seed)
{
	struct span field = span_of(seed->b, DIGEST_BYTES);

	digest_fields(out, "talkoot audit seed", &field, 1);
}

uint64_t draw_number(const struct digest *seed, uint32_t unit, uint32_t k)
{
	uint8_t le[2][4];
	struct span fields[3] = {
		span_of(seed->b, DIGEST_BYTES), span_of(le[0], 4), span_of(le[1], 4)};
	struct digest digest;

	store_le32(le[0], unit);
	store_le32(le[1], k);
	digest_fields(&digest, "talkoot draw", fields, 3);
	return load_le64(digest.b);
}

bool draw_hit(uint64_t number, double probability)
{
	if (!(probability > 0))
		return false;
	return probability >= 1 || number < (uint64_t)ldexp(probability, 64);
}

double draw_probability(uint64_t trust, double floor)
{
	double p = trust > PEER_ESTABLISHED ? (double)PEER_ESTABLISHED / (double)trust : 1;

	return p > floor ? p : floor;
}

uint32_t draw_results(
	const struct digest *seed, uint32_t unit, double probability, double floor, uint32_t quorum)
{
	double again = floor > AUDIT_AGAIN ? floor : AUDIT_AGAIN;

	if (!draw_hit(draw_number(seed, unit, 0), probability))
		return 1;
	return quorum + draw_hit(draw_number(seed, unit, 1), again);
}
