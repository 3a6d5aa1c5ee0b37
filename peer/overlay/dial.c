/* See dial.h. */
#include "peer/overlay/dial.h"

#include "tasks/base/require.h"

static void take(struct dial *d, const struct record *record, const bool *may, bool global)
{
	for (uint32_t i = 0; i < record->endpoint_count; i++) {
		const struct endpoint *at = &record->endpoints[i];

		if (may[i] && (endpoint_scope(at) == SCOPE_GLOBAL) == global)
			d->direct[d->direct_count++] = *at;
	}
}

void dial_begin(struct dial *d, uint64_t now_ms, const struct record *record,
	const bool may[RECORD_ENDPOINTS_MAX])
{
	*d = (struct dial){.begun_ms = now_ms, .next_ms = now_ms};
	take(d, record, may, true);
	take(d, record, may, false);
	for (uint32_t i = 0; i < record->relay_count; i++)
		d->relays[d->relay_count++] = record->relays[i];
}

/* How long the next one waits for those that are under way. */
static uint64_t pause_ms(const struct dial *d)
{
	if (d->next < d->direct_count)
		return DIAL_STEP_MS;
	return d->next == d->direct_count ? DIAL_RELAY_MS : DIAL_LAST_MS;
}

enum dial_step dial_next(struct dial *d, uint64_t now_ms, uint32_t *index)
{
	uint32_t total = d->direct_count + d->relay_count + 1;
	uint32_t i = d->next;

	if (now_ms - d->begun_ms >= DIAL_TOTAL_MS || (i == total && d->pending == 0))
		return DIAL_OVER;
	if (i == total || (d->pending != 0 && now_ms < d->next_ms))
		return DIAL_WAIT;
	d->next++;
	d->pending++;
	d->next_ms = now_ms + pause_ms(d);
	*index = i < d->direct_count ? i : i - d->direct_count;
	if (i < d->direct_count)
		return DIAL_DIRECT;
	return i + 1 < total ? DIAL_RELAY : DIAL_LAST;
}

void dial_lost(struct dial *d)
{
	REQUIRE(d->pending != 0);
	d->pending--;
}

uint64_t dial_wake_ms(const struct dial *d)
{
	uint64_t end_ms = d->begun_ms + DIAL_TOTAL_MS;

	if (d->next == d->direct_count + d->relay_count + 1)
		return end_ms;
	return d->next_ms < end_ms ? d->next_ms : end_ms;
}
