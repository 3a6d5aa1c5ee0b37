/* See targets.h. Tables of a hundred are searched from end to end: a dial costs far more. */
#include "peer/overlay/targets.h"

static struct target *find(struct target *table, const struct endpoint *at)
{
	for (size_t i = 0; i < TARGETS_MAX; i++) {
		if (table[i].at.family != 0 && endpoint_equal(&table[i].at, at))
			return &table[i];
	}
	return NULL;
}

/* A free one, or that which was seen longest ago. */
static struct target *room(struct target *table)
{
	struct target *oldest = &table[0];

	for (size_t i = 0; i < TARGETS_MAX; i++) {
		if (table[i].at.family == 0)
			return &table[i];
		if (table[i].seen_ms < oldest->seen_ms)
			oldest = &table[i];
	}
	return oldest;
}

static void refill(struct target *host, uint64_t now_ms)
{
	uint64_t back = (now_ms - host->since_ms) / TARGETS_DIAL_MS;

	host->since_ms += back * TARGETS_DIAL_MS;
	host->left =
		back >= TARGETS_BURST - host->left ? TARGETS_BURST : host->left + (uint32_t)back;
}

static struct target *host_of(struct targets *t, uint64_t now_ms, const struct endpoint *at)
{
	struct endpoint key = *at;
	struct target *host;
	bool surge;

	key.port = 0;
	host = find(t->hosts, &key);
	if (host == NULL) {
		host = room(t->hosts);
		if (host->at.family != 0)
			refill(host, now_ms);
		surge = host->at.family != 0 && host->left < TARGETS_BURST;
		*host = (struct target){
			.at = key, .since_ms = now_ms, .left = surge ? 1 : TARGETS_BURST};
	}
	host->seen_ms = now_ms;
	refill(host, now_ms);
	return host;
}

bool targets_take(struct targets *t, uint64_t now_ms, const struct endpoint *at)
{
	struct target *host;

	if (endpoint_scope(at) != SCOPE_GLOBAL)
		return true; /* nobody far away is meant, and a whole grid may live on one host */
	host = host_of(t, now_ms, at);
	if (host->left == 0) {
		t->held_back++;
		return false;
	}
	host->left--;
	return true;
}

bool targets_take_record(struct targets *t, uint64_t now_ms, const struct endpoint *at,
	const struct public_key *peer)
{
	struct target *a = find(t->addresses, at);

	if (a != NULL && a->failures == 0 && key_equal(&a->found, peer)) {
		a->seen_ms = now_ms;
		return true;
	}
	return (a == NULL || now_ms >= a->since_ms) && targets_take(t, now_ms, at);
}

static struct target *address_of(struct targets *t, uint64_t now_ms, const struct endpoint *at)
{
	struct target *a = find(t->addresses, at);

	if (a == NULL) {
		a = room(t->addresses);
		*a = (struct target){.at = *at};
	}
	a->seen_ms = now_ms;
	return a;
}

void targets_failed(struct targets *t, uint64_t now_ms, const struct endpoint *at)
{
	struct target *a = address_of(t, now_ms, at);
	uint64_t wait_ms = TARGETS_WAIT_MS;

	for (uint32_t i = 0; i < a->failures && wait_ms < TARGETS_WAIT_MAX_MS; i++)
		wait_ms *= 2;
	a->failures++;
	a->since_ms = now_ms + (wait_ms < TARGETS_WAIT_MAX_MS ? wait_ms : TARGETS_WAIT_MAX_MS);
}

void targets_good(struct targets *t, uint64_t now_ms, const struct endpoint *at,
	const struct public_key *peer)
{
	struct target *a = address_of(t, now_ms, at);

	a->failures = 0;
	a->since_ms = 0;
	a->found = *peer;
}
