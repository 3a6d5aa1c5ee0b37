/* When the coordinator has no place for us (its GOODBYE(overload), or a dial that was turned away without a word),
 * others are at work there, and whoever has nothing to bring comes back in minutes, not in seconds: everything else of
 * this peer, its neighbours, the news and the blobs that it passes on, goes on meanwhile.
 *
 * Waits are decorrelated jitter like those after other trouble (agent_link.c), with bounds of their own; a lease ends
 * their growth. Who holds a result, or a lease that still lacks a blob, does not wait so. A new round may mean work
 * for everybody: it shortens the wait to a random part of an eighth of the last one. That has grown with the crowd that
 * we met, and so spreads the crowd that comes. */
#include <stdio.h>

#include "peer/agent/agent_state.h"

#define NEWS_PART 8u

uint64_t delay_next(uint64_t last_ms, uint64_t min_ms, uint64_t max_ms, const uint8_t random[32])
{
	uint64_t high = (last_ms > min_ms ? last_ms : min_ms) * 3;
	uint64_t delay = min_ms + load_le64(random) % (high - min_ms + 1);

	return delay < max_ms ? delay : max_ms;
}

bool patience_fits(struct agent *a)
{
	return a->full && a->result_count == 0 && prepare_next(a) == NULL;
}

uint64_t patience_next(struct agent *a, const uint8_t random[32])
{
	a->full_ms = delay_next(a->full_ms, AGENT_FULL_MIN_MS, AGENT_FULL_MAX_MS, random);
	return a->full_ms;
}

void patience_news(struct agent *a, const struct agent_event *event)
{
	const struct announcement *news = event->announcement;
	uint64_t at_ms = event->now_ms +
			 load_le64(event->random) % (a->full_ms / NEWS_PART + AGENT_BACKOFF_MIN_MS);

	if (a->link_state == LINK_DOWN && a->patient &&
		(news->kind == ANNOUNCE_ROUND || news->kind == ANNOUNCE_MANIFEST) &&
		at_ms < a->at_ms)
		a->at_ms = at_ms;
}

void patience_tick(struct agent *a, const struct agent_event *event)
{
	uint64_t at_ms;

	if (a->link_state != LINK_DOWN || !a->patient || patience_fits(a))
		return;
	a->patient = false;
	a->backoff_ms = delay_next(0, AGENT_BACKOFF_MIN_MS, AGENT_BACKOFF_MAX_MS, event->random);
	at_ms = event->now_ms + a->backoff_ms;
	if (at_ms < a->at_ms)
		a->at_ms = at_ms;
}

void patience_explain(const struct agent *a, uint64_t now_ms, char *out, size_t size)
{
	unsigned long long seconds = a->at_ms > now_ms ? (a->at_ms - now_ms + 999) / 1000 : 0;
	bool minutes = seconds >= 120;

	snprintf(out, size, "the coordinator %s is full; waiting for a place, %llu %s%s",
		a->link->hosts[a->full_host], minutes ? (seconds + 30) / 60 : seconds,
		minutes ? "min" : "s",
		a->result_count != 0 ? " (the results are kept until then)" : "");
}
