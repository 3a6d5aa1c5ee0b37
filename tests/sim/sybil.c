/* Nodes that are all one attacker's, who wants to be everybody's only neighbours: they accept whoever asks,
 * ask whoever they can find with high priority, tell newcomers and shuffles of nobody but themselves, and
 * swallow every body. They know all honest peers, and each other at once. */
#include "tests/sim/world_state.h"

#define ACT_MS	  2000u
#define LINKS_MAX 60u

static peer_ref accomplice(struct world *w)
{
	return w->last_honest + 1 + draw_below(&w->random, w->last - w->last_honest);
}

static peer_ref victim(struct world *w)
{
	uint32_t honest = w->last_honest - 1;

	if (w->config.sybil_victims != 0)
		honest = w->config.sybil_victims;
	return 2 + draw_below(&w->random, honest);
}

/* Fills a list with distinct names of ours, as a shuffle's must be. */
static void names(struct world *w, struct gossip_message *m, uint8_t count)
{
	for (uint8_t i = 0; i < count; i++) {
		peer_ref p = accomplice(w);
		bool twice = p == m->about;

		for (uint8_t k = 0; k < m->count; k++)
			twice |= m->refs[k] == p;
		if (!twice)
			m->refs[m->count++] = p;
	}
}

void sybil_up(struct world *w, peer_ref self, peer_ref peer)
{
	struct gossip_message ask = {.type = MESSAGE_NEIGHBOR, .about = self, .flag = true};
	struct gossip_message tell = {.type = MESSAGE_SHUFFLE, .about = self, .ttl = 3};

	if (w->nodes[peer].sybil)
		return;
	names(w, &tell, 7);
	link_send(w, self, peer, &ask);
	link_send(w, self, peer, &tell);
}

void sybil_hears(struct world *w, peer_ref self, peer_ref from, const struct gossip_message *m)
{
	struct gossip_message answer = {.type = MESSAGE_NEIGHBOR_REPLY, .flag = true};

	switch (m->type) {
	case MESSAGE_NEIGHBOR:
		link_send(w, self, from, &answer);
		break;
	case MESSAGE_SHUFFLE:
		answer = (struct gossip_message){.type = MESSAGE_SHUFFLE_REPLY};
		names(w, &answer, 8);
		link_send(w, self, from, &answer);
		break;
	case MESSAGE_JOIN:
	case MESSAGE_FORWARD_JOIN:
		if (m->about != self && link_find(&w->nodes[self], m->about) == NULL)
			link_dial(w, self, m->about);
		break;
	case MESSAGE_DISCONNECT:
		link_close(w, self, from);
		break;
	default:
		break; /* what was to be passed on ends here */
	}
}

void sybil_wake(struct world *w, peer_ref self)
{
	const struct node *n = &w->nodes[self];
	peer_ref v = victim(w);

	if (n->link_count < LINKS_MAX && world_is_up(w, v) && link_find(n, v) == NULL)
		link_dial(w, self, v);
	alarms_set(&w->alarms, self, w->wheel.now_ms, w->wheel.now_ms + ACT_MS);
}
