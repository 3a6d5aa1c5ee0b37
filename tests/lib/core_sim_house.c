/* A coordinator with fewer places than peers: the door, after the rules of peer/overlay/node_places.c (who has least
 * worth and was idle longest makes place; an eighth is for strangers; work keeps a place for a turn), and peers that
 * come again as the agent does. */
#include "tests/lib/core_sim_state.h"

static bool brings(const struct sim_peer *p)
{
	for (uint32_t i = 0; i < SIM_TASKS_MAX; i++)
		if (p->tasks[i].used && p->tasks[i].done)
			return true;
	return false;
}

static void come_again(struct sim *s, uint32_t peer)
{
	uint64_t wait_ms =
		brings(&s->peers[peer]) ? 500 + sim_random(s, 25000) : 15000 + sim_random(s, 30000);

	sim_later(s, SIM_CONNECT, wait_ms)->peer = peer;
}

void sim_release(struct sim *s, uint32_t peer)
{
	struct core_event down = {
		.type = CORE_PEER_DOWN, .conn = s->peers[peer].conn, .released = true};

	if (down.conn == 0)
		return;
	s->peers[peer].conn = 0;
	s->releases++;
	sim_event(s, &down);
	come_again(s, peer);
}

void sim_worth(struct sim *s, const struct core_effect *e)
{
	for (uint32_t i = 0; i < s->peer_count; i++) {
		struct sim_peer *p = &s->peers[i];

		if (p->conn != e->conn)
			continue;
		if (e->worth == NODE_WORTH_NONE || p->worth == NODE_WORTH_NONE ||
			s->now_ms < p->since_ms + NODE_TURN_MS)
			p->idle_ms = s->now_ms;
		p->worth = e->worth;
	}
}

static bool make_place(struct sim *s)
{
	uint32_t strangers = 0;

	for (uint32_t i = 0; i < s->peer_count; i++)
		strangers += s->peers[i].conn != 0 && s->peers[i].worth == NODE_WORTH_NONE;
	for (unsigned worth = 0; worth < NODE_WORTHS; worth++) {
		uint32_t victim = s->peer_count;

		if (worth != 0 && strangers * NODE_PLACES_NEW >= s->places)
			return false;
		for (uint32_t i = 0; i < s->peer_count; i++) {
			const struct sim_peer *p = &s->peers[i];

			if (p->conn != 0 && p->worth == worth &&
				s->now_ms >= p->idle_ms + NODE_PLACE_MS &&
				(victim == s->peer_count || p->idle_ms < s->peers[victim].idle_ms))
				victim = i;
		}
		if (victim < s->peer_count) {
			sim_release(s, victim);
			return true;
		}
	}
	return false;
}

bool sim_enter(struct sim *s, uint32_t peer)
{
	struct sim_peer *p = &s->peers[peer];
	uint32_t taken = 0;

	for (uint32_t i = 0; i < s->peer_count; i++)
		taken += s->peers[i].conn != 0;
	if (s->places != 0 && p->conn == 0 && taken >= s->places && !make_place(s)) {
		come_again(s, peer);
		return false;
	}
	p->since_ms = p->idle_ms = s->now_ms;
	p->worth = NODE_WORTH_NONE;
	p->visits += p->conn == 0;
	return true;
}
