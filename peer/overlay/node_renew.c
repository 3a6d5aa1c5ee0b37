/* Sessions do not grow old: one that we dialled is replaced by a fresh one after about a day. The shell dials
 * the same address again; when the new session is up, the other side ends the old one by its rule of one
 * session for each identity, and until then both live, so a renewal that fails costs nothing. */
#include "peer/overlay/node_state.h"

/* By chance, so that what began together is not renewed together. The random bytes are also a secret, so
 * nothing of them may be seen as they are. */
static uint64_t due_ms(const struct node_event *event)
{
	struct span random = span_of(event->random, sizeof(event->random));
	struct digest d;

	digest_fields(&d, "talkoot renewal", &random, 1);
	return event->now_ms + NODE_RENEW_MS - NODE_RENEW_EARLY_MS +
	       load_le64(d.b) % (2 * NODE_RENEW_EARLY_MS + 1);
}

void renewal_begin(struct node *n, struct connection *c, const struct node_event *event)
{
	const struct connection *old =
		event->renews != 0 ? connections_find(&n->table, event->renews) : NULL;

	c->renew_ms = due_ms(event);
	if (old == NULL)
		return; /* none, or over already: it is a dial like any other */
	c->renews = old->id;
	c->sought = old->sought;
	c->used = old->used;
}

void renewal_tick(struct node *n, struct connection *c, struct node_effects *out)
{
	if (n->now_ms >= c->since_ms + NODE_AGE_MAX_MS) {
		connection_goodbye(n, c, out, GOODBYE_SHUTDOWN,
			"a session lasts two days at most: come again");
	} else if (c->dialled && n->now_ms >= c->renew_ms) {
		c->renew_ms = n->now_ms + NODE_RENEW_AGAIN_MS;
		(void)!node_effects_push(out, NODE_RENEW, c->id); /* or then */
	}
}
