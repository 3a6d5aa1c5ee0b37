/* How long a lease lasts.
 *
 * Deadlines follow the project's own durations, from lease to commitment: median + 4·MAD, never below three medians.
 * Durations are those of results that proved right: what is promised at once and is garbage shortens nobody's time.
 *
 * Before there are any, the recipe's floating point operations at FIRST_FLOPS tell how long a slow computer may take.
 * Two things correct what is guessed too low, or a project whose units outlast every lease would never end: as long
 * as no duration is known, a lease that nobody could keep doubles the project's next ones; and a peer that was here all
 * the time and did not make it has twice as long the next time, up to STRETCH_MAX doublings, one less with each result
 * that takes less than a quarter of that. What silence gains by it is small: units that wait for long get a backup, of
 * drawn ones the referee takes care (policy.c), and whoever loses more than a tenth of its leases has one at a time. */
#include "coordinator/core_state.h"

#define FIRST_FLOPS 1e9 /* a second: an old laptop's core without vector instructions */
#define STRETCH_MAX 4u

static size_t kept(const struct core_project *p)
{
	return p->durations_count < DURATIONS_KEPT ? p->durations_count : DURATIONS_KEPT;
}

static uint64_t median(const struct core_project *p)
{
	return p->ascending[kept(p) / 2];
}

/* The median of the distances from the median: the nearest ones lie around it. */
static uint64_t median_distance(const struct core_project *p)
{
	const uint64_t *x = p->ascending;
	size_t n = kept(p), low = n / 2, high = n / 2;
	uint64_t middle = x[n / 2], distance = 0;

	for (size_t i = 0; i < n / 2; i++) {
		bool below =
			low > 0 && (high + 1 >= n || middle - x[low - 1] <= x[high + 1] - middle);

		distance = below ? middle - x[--low] : x[++high] - middle;
	}
	return distance;
}

static uint64_t within(uint64_t ms, uint64_t least, uint64_t most)
{
	return ms < least ? least : ms > most ? most : ms;
}

/* The newest takes the oldest's place, in the ring and in order: leases and ticks ask for medians all the time. */
static void keep(struct core_project *p, uint64_t ms)
{
	uint64_t *oldest = &p->durations[p->durations_count % DURATIONS_KEPT];
	uint64_t *x = p->ascending;
	size_t n = kept(p);
	size_t at = n;
	uint64_t middle, spread;

	if (n == DURATIONS_KEPT) {
		for (at = 0; x[at] != *oldest;)
			at++;
		for (; at + 1 < n; at++)
			x[at] = x[at + 1];
	}
	for (; at > 0 && x[at - 1] > ms; at--)
		x[at] = x[at - 1];
	x[at] = ms;
	*oldest = ms;
	p->durations_count++;
	middle = median(p);
	spread = 4 * median_distance(p);
	p->lasts_ms = within(
		middle + (spread > 2 * middle ? spread : 2 * middle), LEASE_MIN_MS, LEASE_MAX_MS);
}

static uint64_t duration(const struct replica_row *row)
{
	return row->committed_ms > row->leased_ms ? row->committed_ms - row->leased_ms : 0;
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
	return p->durations_count == 0 ? first_ms(p) : p->lasts_ms;
}

uint64_t lease_ms_for(const struct core_project *p, const struct core_peer *peer)
{
	return within(lease_ms(p) << peer->stretch, LEASE_MIN_MS, LEASE_MAX_MS);
}

uint64_t backup_ms(const struct core_project *p)
{
	return p->durations_count == 0 ? UINT64_MAX
				       : within(3 * median(p), BACKUP_MIN_MS, UINT64_MAX);
}

void deadline_met(struct core_replica *r)
{
	struct core_project *p = r->unit->project;

	keep(p, duration(&r->row));
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
		keep(p, duration(row));
	else if (row->state == REPLICA_LEASED && row->deadline_ms > row->leased_ms &&
		 row->deadline_ms - row->leased_ms > p->first_ms)
		p->first_ms = within(row->deadline_ms - row->leased_ms, 0, LEASE_MAX_MS);
}
