/* See status_classes.h; selftest.c says the same in the log when it happens. */
#include "coordinator/status_classes.h"

#include <stdio.h>
#include <string.h>

#define WRONG_MIN 2u

static struct status_class *class_of(struct status_classes *all, const struct peer_row *peer)
{
	struct status_class *c = all->items;

	for (; c < all->items + all->count; c++)
		if (strcmp(c->engine, peer->engine) == 0 && strcmp(c->build, peer->build) == 0)
			return c;
	if (all->count == STATUS_CLASSES_MAX)
		return NULL;
	all->count++;
	*c = (struct status_class){0};
	memcpy(c->engine, peer->engine, sizeof(c->engine));
	memcpy(c->build, peer->build, sizeof(c->build));
	return c;
}

void status_classes_add(struct status_classes *all, const struct peer_row *peer)
{
	struct status_class *c;

	if (peer->misfit[0] == '\0' && peer->tested_s == 0)
		return; /* never tested */
	c = class_of(all, peer);
	if (c == NULL)
		return;
	if (peer->misfit[0] == '\0') {
		c->right++;
		return;
	}
	if (c->misfit[0] == '\0')
		memcpy(c->misfit, peer->misfit, sizeof(c->misfit));
	c->wrong += strcmp(c->misfit, peer->misfit) == 0;
}

bool status_classes_alarm(const struct status_classes *all, uint32_t i, char out[256])
{
	const struct status_class *c = &all->items[i];
	uint32_t others = 0;

	for (uint32_t k = 0; k < all->count; k++)
		others += k != i ? all->items[k].right : 0;
	if (c->wrong < WRONG_MIN || c->right > 0 || others == 0)
		return false;
	snprintf(out, 256,
		"all peers with engine %s of build %s have \"%s\" wrong in the self-test, others "
		"have it right: no work for this class; report it",
		c->engine, c->build, c->misfit);
	return true;
}
