/* See progress.h. */
#include "tests/sim/progress.h"

#include <stdio.h>
#include <time.h>

#define EVERY_S 15

static struct {
	const char *scenario;
	uint32_t peers;
	time_t begin_s, told_s;
} progress;

static time_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

void progress_begin(const char *scenario, uint32_t peers)
{
	progress.scenario = scenario;
	progress.peers = peers;
	progress.begin_s = progress.told_s = now_s();
}

void progress_tell(uint32_t now_ms)
{
	time_t now = progress.scenario == NULL ? 0 : now_s();

	if (progress.scenario == NULL || now - progress.told_s < EVERY_S)
		return;
	progress.told_s = now;
	fprintf(stderr, "sim: %s, %u peers: %.1f s of virtual time, %lld s since it began\n",
		progress.scenario, progress.peers, now_ms / 1e3,
		(long long)(now - progress.begin_s));
}
