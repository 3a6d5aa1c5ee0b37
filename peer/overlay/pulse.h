/* The pulse of one session: how long its answers take, and from that how long silence may last.
 *
 * PINGs are answered by PONGs with the same token. Of the last PULSE_SAMPLES round trips the median and the
 * median absolute deviation (MAD) say how long an answer may take: median + PULSE_MADS × MAD, between a
 * floor and a ceiling. (A median survives the odd long one; timeouts tuned by hand are what users of other
 * systems complain of.) No clock of its own. */
#ifndef PEER_OVERLAY_PULSE_H
#define PEER_OVERLAY_PULSE_H

#include <stdbool.h>
#include <stdint.h>

#define PULSE_SAMPLES	       16u
#define PULSE_MADS	       8u
#define PULSE_ANSWER_MIN_MS    5000u  /* the floor: a busy computer is no dead one */
#define PULSE_ANSWER_FIRST_MS  10000u /* as long as nothing was measured */
#define PULSE_ANSWER_MAX_MS    20000u
#define PULSE_QUIET_MIN_MS     15000u
#define PULSE_QUIET_MAX_MS     60000u
#define PULSE_ASKS	       3u     /* unanswered: the session is dead */
#define PULSE_MEASURE_MS       60000u /* a session that is never silent is measured so often */
#define PULSE_SILENCE_FIRST_MS (3 * PULSE_ANSWER_FIRST_MS + PULSE_ASKS * PULSE_ANSWER_FIRST_MS)
#define PULSE_SILENCE_MIN_MS   (PULSE_QUIET_MIN_MS + PULSE_ASKS * PULSE_ANSWER_MIN_MS)
#define PULSE_SILENCE_MAX_MS   (PULSE_QUIET_MAX_MS + PULSE_ASKS * PULSE_ANSWER_MAX_MS)

struct pulse {
	uint32_t samples[PULSE_SAMPLES]; /* ms, a ring */
	uint32_t count;			 /* taken so far */
	uint32_t rtt_ms, mad_ms;	 /* of the samples */
	uint64_t token;			 /* of the PING that is not answered yet; 0: none */
	uint64_t asked_ms;		 /* when it was first sent */
};

/* A PING goes out. While one is not answered, others carry its token: returns the token to send. */
uint64_t pulse_ask(struct pulse *p, uint64_t token, uint64_t now_ms);
/* A PONG came. One that nobody asked for changes nothing. */
void pulse_answer(struct pulse *p, uint64_t token, uint64_t now_ms);

/* The median, at least 1; 0: nothing was measured yet. */
uint32_t pulse_rtt_ms(const struct pulse *p);
/* Median + PULSE_MADS × MAD, as measured, at least 1; 0: nothing was measured yet. */
uint32_t pulse_late_ms(const struct pulse *p);
/* How long an answer may take: that, between floor and ceiling. */
uint32_t pulse_answer_ms(const struct pulse *p);
/* Silence after which we ask: three times as long. */
uint32_t pulse_quiet_ms(const struct pulse *p);
/* Silence after which the session is dead: asked PULSE_ASKS times in vain. */
uint32_t pulse_silence_ms(const struct pulse *p);
/* Is it time for a PING, after so much silence and so long after the last PING? */
bool pulse_due(const struct pulse *p, uint64_t silent_ms, uint64_t asked_ago_ms);

#endif
