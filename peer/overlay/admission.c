/* See admission.h: a chained hash table over a fixed array, and a list from the prefix that was seen
 * longest ago to the newest. Strangers can choose prefixes that share a chain, but no more of them than the
 * table holds, and each costs them a connection. */
#include "peer/overlay/admission.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MILLI	1000u
#define CARRIED (1ull << 63) /* prefixes of addresses have at most 56 bits */

static uint32_t burst(bool local)
{
	return MILLI * (local ? ADMISSION_LOCAL_BURST : ADMISSION_BURST);
}

/* What a bucket that held milli at then_ms holds now. */
static uint32_t refill(
	uint32_t milli, uint64_t then_ms, uint64_t now_ms, uint32_t per_s, uint32_t full)
{
	uint64_t passed = now_ms > then_ms ? now_ms - then_ms : 0;

	return passed >= full / per_s || milli + passed * per_s >= full
		       ? full
		       : milli + (uint32_t)(passed * per_s);
}

static uint32_t bucket_now(const struct admission_bucket *b, uint64_t now_ms)
{
	return refill(b->milli, b->at_ms, now_ms,
		b->local ? ADMISSION_LOCAL_PER_S : ADMISSION_PER_S, burst(b->local));
}

void admission_init(struct admission *a, uint64_t now_ms)
{
	memset(a, 0, sizeof(*a));
	a->lines_milli = MILLI * ADMISSION_LINES;
	a->lines_ms = now_ms;
}

/* The table */

static uint16_t *chain_of(struct admission *a, uint64_t prefix)
{
	uint64_t mixed = prefix * 0x9e3779b97f4a7c15u; /* 2^64 / golden ratio: Fibonacci hashing */

	return &a->chains[(mixed >> 32) % ADMISSION_PREFIXES_MAX];
}

static void chain_out(struct admission *a, uint16_t i)
{
	uint16_t *link = chain_of(a, a->buckets[i].prefix);

	while (*link != i)
		link = &a->buckets[*link].next;
	*link = a->buckets[i].next;
}

static void list_out(struct admission *a, uint16_t i)
{
	const struct admission_bucket *b = &a->buckets[i];

	*(b->older != 0 ? &a->buckets[b->older].newer : &a->oldest) = b->newer;
	*(b->newer != 0 ? &a->buckets[b->newer].older : &a->newest) = b->older;
}

static void list_in(struct admission *a, uint16_t i)
{
	a->buckets[i].older = a->newest;
	a->buckets[i].newer = 0;
	*(a->newest != 0 ? &a->buckets[a->newest].newer : &a->oldest) = i;
	a->newest = i;
}

/* A place for a new prefix. One that has all its tokens is as good as one never seen, so nothing is lost
 * when it goes; otherwise there are more prefixes than we can watch, and the new one starts with little. */
static uint16_t place_take(struct admission *a, uint64_t now_ms, bool *surge)
{
	uint16_t i;

	*surge = false;
	if (a->count < ADMISSION_PREFIXES_MAX)
		return ++a->count;
	i = a->oldest;
	*surge = bucket_now(&a->buckets[i], now_ms) < burst(a->buckets[i].local);
	chain_out(a, i);
	list_out(a, i);
	return i;
}

static struct admission_bucket *bucket_of(
	struct admission *a, uint64_t prefix, bool local, uint64_t now_ms)
{
	uint16_t *chain = chain_of(a, prefix);
	uint16_t i = *chain;
	bool surge;

	while (i != 0 && a->buckets[i].prefix != prefix)
		i = a->buckets[i].next;
	if (i != 0) {
		list_out(a, i);
		list_in(a, i);
		return &a->buckets[i];
	}
	i = place_take(a, now_ms, &surge);
	a->buckets[i] = (struct admission_bucket){.prefix = prefix,
		.at_ms = now_ms,
		.milli = surge ? MILLI : burst(local),
		.local = local,
		.next = *chain};
	*chain = i;
	list_in(a, i);
	return &a->buckets[i];
}

static const char *take(struct admission *a, uint64_t prefix, bool local, uint64_t now_ms)
{
	struct admission_bucket *b = bucket_of(a, prefix, local, now_ms);

	b->milli = bucket_now(b, now_ms);
	b->at_ms = now_ms;
	if (b->milli < MILLI) {
		admission_count(a, ADMISSION_RATE, NULL);
		return "too many connections come from its network";
	}
	b->milli -= MILLI;
	return NULL;
}

const char *admission_refuse(struct admission *a, const struct endpoint *from, uint64_t now_ms)
{
	bool local = from == NULL || endpoint_scope(from) != SCOPE_GLOBAL;

	return take(a, from != NULL ? endpoint_prefix(from) : 0, local, now_ms);
}

const char *admission_refuse_carried(struct admission *a, uint64_t carrier, uint64_t now_ms)
{
	return take(a, admission_prefix_carried(carrier), false, now_ms);
}

const char *admission_refuse_full(struct admission *a)
{
	admission_count(a, ADMISSION_FULL, NULL);
	return "too many connections are open";
}

uint64_t admission_prefix(const struct endpoint *from)
{
	return from != NULL && endpoint_scope(from) == SCOPE_GLOBAL ? endpoint_prefix(from) : 0;
}

uint64_t admission_prefix_carried(uint64_t carrier)
{
	return CARRIED | carrier;
}

/* The log */

void admission_count(struct admission *a, enum admission_fate fate, const char *why)
{
	a->counts[fate]++;
	if (why != NULL)
		snprintf(a->last, sizeof(a->last), "%s", why);
}

bool admission_line(struct admission *a, const char *why, uint64_t now_ms)
{
	uint64_t passed = now_ms > a->lines_ms ? now_ms - a->lines_ms : 0;
	uint64_t milli = a->lines_milli + passed * MILLI / ADMISSION_LINE_MS;
	uint32_t full = MILLI * ADMISSION_LINES;

	a->lines_milli = milli < full ? (uint32_t)milli : full;
	a->lines_ms = now_ms;
	if (a->lines_milli < MILLI) {
		admission_count(a, ADMISSION_FAILED, why);
		return false;
	}
	a->lines_milli -= MILLI;
	return true;
}

bool admission_sum(struct admission *a, uint64_t now_ms, char out[TEXT_MAX])
{
	static const char *const said[ADMISSION_FATES] = {
		[ADMISSION_RATE] = "connections were refused: too many from one network",
		[ADMISSION_FULL] = "connections were refused: too many are open",
		[ADMISSION_CROWD] = "handshakes were closed to make room for others",
		[ADMISSION_FAILED] = "more handshakes failed",
		[ADMISSION_HEAVY] =
			"connections were closed: their network had most, and others waited",
		[ADMISSION_IDLE] = "idle sessions made place for others",
	};
	size_t n = 0;

	if (a->summed && now_ms < a->sum_ms + ADMISSION_SUM_MS)
		return false;
	for (size_t i = 0; i < ADMISSION_FATES && n < TEXT_MAX; i++) {
		if (a->counts[i] != 0)
			n += (size_t)snprintf(out + n, TEXT_MAX - n, "%s%" PRIu64 " %s",
				n != 0 ? "; " : "", a->counts[i], said[i]);
	}
	if (n == 0)
		return false;
	if (a->counts[ADMISSION_FAILED] != 0 && n < TEXT_MAX)
		snprintf(out + n, TEXT_MAX - n, "; the last failed because: %.120s", a->last);
	memset(a->counts, 0, sizeof(a->counts));
	a->sum_ms = now_ms;
	a->summed = true;
	return true;
}
