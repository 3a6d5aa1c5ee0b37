/* See pulse.h. */
#include "peer/overlay/pulse.h"

#include <stddef.h>

static uint32_t clamp(uint64_t v, uint32_t low, uint32_t high)
{
	return v < low ? low : v > high ? high : (uint32_t)v;
}

/* Of n ≥ 1 numbers, which it sorts; of an even number the lower of the two in the middle. */
static uint32_t median(uint32_t *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		uint32_t x = v[i];
		size_t j = i;

		for (; j > 0 && v[j - 1] > x; j--)
			v[j] = v[j - 1];
		v[j] = x;
	}
	return v[(n - 1) / 2];
}

uint64_t pulse_ask(struct pulse *p, uint64_t token, uint64_t now_ms)
{
	if (p->token == 0) {
		p->token = token;
		p->asked_ms = now_ms;
	}
	return p->token;
}

static void estimate(struct pulse *p)
{
	uint32_t v[PULSE_SAMPLES];
	size_t n = p->count < PULSE_SAMPLES ? p->count : PULSE_SAMPLES;

	for (size_t i = 0; i < n; i++)
		v[i] = p->samples[i];
	p->rtt_ms = median(v, n);
	for (size_t i = 0; i < n; i++)
		v[i] = v[i] > p->rtt_ms ? v[i] - p->rtt_ms : p->rtt_ms - v[i];
	p->mad_ms = median(v, n);
}

void pulse_answer(struct pulse *p, uint64_t token, uint64_t now_ms)
{
	uint64_t rtt_ms = now_ms > p->asked_ms ? now_ms - p->asked_ms : 0;

	if (token == 0 || token != p->token)
		return;
	p->token = 0;
	p->samples[p->count % PULSE_SAMPLES] = clamp(rtt_ms, 0, PULSE_SILENCE_MAX_MS);
	p->count++;
	estimate(p);
}

uint32_t pulse_rtt_ms(const struct pulse *p)
{
	return p->count == 0 ? 0 : p->rtt_ms > 0 ? p->rtt_ms : 1;
}

uint32_t pulse_late_ms(const struct pulse *p)
{
	uint64_t late_ms = (uint64_t)p->rtt_ms + (uint64_t)PULSE_MADS * p->mad_ms;

	return p->count == 0 ? 0 : clamp(late_ms, 1, UINT32_MAX);
}

uint32_t pulse_answer_ms(const struct pulse *p)
{
	return p->count == 0 ? PULSE_ANSWER_FIRST_MS
			     : clamp(pulse_late_ms(p), PULSE_ANSWER_MIN_MS, PULSE_ANSWER_MAX_MS);
}

uint32_t pulse_quiet_ms(const struct pulse *p)
{
	return clamp(3ull * pulse_answer_ms(p), PULSE_QUIET_MIN_MS, PULSE_QUIET_MAX_MS);
}

uint32_t pulse_silence_ms(const struct pulse *p)
{
	return pulse_quiet_ms(p) + PULSE_ASKS * pulse_answer_ms(p);
}

bool pulse_due(const struct pulse *p, uint64_t silent_ms, uint64_t asked_ago_ms)
{
	uint32_t pause_ms = p->token != 0 ? pulse_answer_ms(p) : pulse_quiet_ms(p);

	if (p->token == 0 && asked_ago_ms >= PULSE_MEASURE_MS)
		return true;
	return silent_ms >= pulse_quiet_ms(p) && asked_ago_ms >= pause_ms;
}
