/* How long a lease lasts.
 *
 * Deadlines follow the project's own durations, from lease to commitment: median + 4·MAD, never below three medians.
 * Durations are those of results that proved right: what is promised at once and is garbage shortens nobody's time.
 *
 * Before there are any, the recipe's floating point operations at FIRST_FLOPS tell how long a slow computer may take.
 * Two things correct what is guessed too low, or a project whose units outlast every lease would never end: as long as no duration is
 * known, a lease that nobody could keep doubles the project's next ones; and a peer that was here all the time and
 * did not make it has twice as long the next time, up to STRETCH_MAX doublings, until it is twice as fast as it
 * has to be. What silence gains by that is small: units that wait for long get a backup, and whoever loses more than a tenth
 * of its leases has one at a time. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/core_state.h"

#define FIRST_FLOPS 1e9 /* a second: an old laptop's core without vector instructions */
#define STRETCH_MAX 4u

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t median(uint64_t *x, size_t n)
{
	qsort(x, n, sizeof(*x), compare_u64);
	return x[n / 2];
}

static size_t durations_copy(const struct core_project *p, uint64_t out[DURATIONS_KEPT])
{
	size_t n = p->durations_count < DURATIONS_KEPT ? p->durations_count : DURATIONS_KEPT;

	memcpy(out, p->durations, n * sizeof(*out));
	return n;
}

static uint64_t duration(const struct replica_row *row)
{
	return row->committed_ms > row->leased_ms ? row->committed_ms - row->leased_ms : 0;
}

static uint64_t within(uint64_t ms, uint64_t least, uint64_t most)
{
	return ms < least ? least : ms > most ? most : ms;
}

/* While no duration is known. */
static uint64_t first_ms(const struct core_project *p)
{
	double guess = 3e3 * (double)unit_credit(p) / FIRST_FLOPS;
	uint64_t ms = guess < LEASE_MAX_MS ? (uint64_t)guess : LEASE_MAX_MS;

	return within(
		ms, p->first_ms > LEASE_FIRST_MS ? p->first_ms : LEASE_FIRST_MS, LEASE_MAX_MS);
}

uint64_t lease_ms(const struct core_project *p)
{
	uint64_t x[DURATIONS_KEPT];
	size_t n = durations_copy(p, x);
	uint64_t middle;
	uint64_t spread;

	if (n == 0)
		return first_ms(p);
	middle = median(x, n);
	for (size_t i = 0; i < n; i++)
		x[i] = x[i] > middle ? x[i] - middle : middle - x[i];
	spread = 4 * median(x, n);
	return within(
		middle + (spread > 2 * middle ? spread : 2 * middle), LEASE_MIN_MS, LEASE_MAX_MS);
}

uint64_t lease_ms_for(const struct core_project *p, const struct core_peer *peer)
{
	return within(lease_ms(p) << peer->stretch, LEASE_MIN_MS, LEASE_MAX_MS);
}

uint64_t backup_ms(const struct core_project *p)
{
	uint64_t x[DURATIONS_KEPT];
	size_t n = durations_copy(p, x);

	return n == 0 ? UINT64_MAX : within(3 * median(x, n), BACKUP_MIN_MS, UINT64_MAX);
}

void deadline_met(struct core_replica *r)
{
	struct core_project *p = r->unit->project;

	p->durations[p->durations_count++ % DURATIONS_KEPT] = duration(&r->row);
	if (r->peer->stretch > 0 && 4 * duration(&r->row) < lease_ms_for(p, r->peer))
		r->peer->stretch--;
}

void deadline_missed(const struct core *c, struct core_replica *r)
{
	struct core_project *p = r->unit->project;
	uint64_t ms =
		r->row.deadline_ms > r->row.leased_ms ? r->row.deadline_ms - r->row.leased_ms : 0;

	if (c->now_ms < r->row.deadline_ms)
		return; /* it went away */
	if (p->durations_count == 0 && 2 * ms > p->first_ms)
		p->first_ms = within(2 * ms, 0, LEASE_MAX_MS);
	if (r->peer->conn != 0 && r->peer->stretch < STRETCH_MAX && ms >= lease_ms_for(p, r->peer))
		r->peer->stretch++;
}

void lease_known(struct core_replica *r)
{
	struct core_project *p = r->unit->project;
	const struct replica_row *row = &r->row;

	if (row->state == REPLICA_VALID)
		p->durations[p->durations_count++ % DURATIONS_KEPT] = duration(row);
	else if (row->state == REPLICA_LEASED && row->deadline_ms > row->leased_ms &&
		 row->deadline_ms - row->leased_ms > p->first_ms)
		p->first_ms = within(row->deadline_ms - row->leased_ms, 0, LEASE_MAX_MS);
}
