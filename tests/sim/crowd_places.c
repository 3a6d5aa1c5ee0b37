/* Sessions with the coordinator, of which there are only so many. The rule is that of the real one's places: who
 * has asked for nothing for longest goes, if that is long enough. */
#include "tests/sim/crowd_state.h"

#define QUIET_MS       10000u
#define KNOCK_MS       60000u /* until one comes again, doubling to: */
#define KNOCK_MAX_MS   900000u
#define HANDSHAKE_WAYS 3u

static void place_out(struct crowd *c, peer_ref peer)
{
	struct member *m = &c->members[peer];

	*(m->quieter != 0 ? &c->members[m->quieter].louder : &c->quietest) = m->louder;
	*(m->louder != 0 ? &c->members[m->louder].quieter : &c->loudest) = m->quieter;
	m->quieter = m->louder = 0;
}

static void place_in(struct crowd *c, peer_ref peer)
{
	struct member *m = &c->members[peer];

	m->asked_ms = c->wheel.now_ms;
	m->quieter = c->loudest;
	*(c->loudest != 0 ? &c->members[c->loudest].louder : &c->quietest) = peer;
	c->loudest = peer;
}

void crowd_asked(struct crowd *c, peer_ref peer)
{
	place_out(c, peer);
	place_in(c, peer);
}

/* The first arrival of a knock: three ways after it began. */
static void knock(struct crowd *c, peer_ref peer, uint32_t at_ms)
{
	for (uint32_t way = 0; way < HANDSHAKE_WAYS; way++)
		at_ms = way % 2 == 0 ? crowd_arrival(c, peer, CROWD_ROOT, at_ms)
				     : crowd_arrival(c, CROWD_ROOT, peer, at_ms);
	crowd_post(c, CROWD_KNOCK, peer, CROWD_ROOT, at_ms);
}

void crowd_places_begin(struct crowd *c, peer_ref peer, uint32_t at_ms)
{
	c->members[peer].knock_wait_ms = KNOCK_MS;
	knock(c, peer, at_ms);
}

/* The quietest makes place; false: nobody is quiet enough. */
static bool place_made(struct crowd *c)
{
	peer_ref peer = c->quietest;

	if (peer == 0 || c->wheel.now_ms < c->members[peer].asked_ms + QUIET_MS)
		return false;
	place_out(c, peer);
	c->places_taken--;
	c->totals.displaced++;
	c->totals.seed_said += c->wire.goodbye;
	crowd_end(c, CROWD_ROOT, peer);
	return true;
}

void crowd_knocked(struct crowd *c, peer_ref peer)
{
	uint32_t at_ms = crowd_arrival(c, CROWD_ROOT, peer, c->wheel.now_ms), event;

	c->totals.knocks++;
	c->totals.seed_said += c->wire.handshake;
	if (c->places_taken == c->config.places && !place_made(c)) {
		c->totals.refused++;
		c->totals.seed_said += c->wire.goodbye;
		crowd_post(c, CROWD_REFUSED, CROWD_ROOT, peer, at_ms);
		return;
	}
	c->places_taken++;
	place_in(c, peer);
	c->serial++;
	crowd_link(c, peer, CROWD_ROOT, c->serial, false);
	event = crowd_post(c, CROWD_UP, CROWD_ROOT, peer, at_ms);
	c->wheel.events[event].serial = c->serial;
	crowd_up(c, CROWD_ROOT, peer, CROWD_CAME, c->serial);
}

/* Refused, or sent away: later again, a quarter sooner or later than others. Who has the blob needs it no more. */
void crowd_turned_away(struct crowd *c, peer_ref peer)
{
	struct member *m = &c->members[peer];
	uint32_t wait = m->knock_wait_ms;

	if (m->done_ms != 0)
		return;
	m->knock_wait_ms = wait * 2 < KNOCK_MAX_MS ? wait * 2 : KNOCK_MAX_MS;
	knock(c, peer, c->wheel.now_ms + wait - wait / 4 + draw_below(&c->random, wait / 2));
}
