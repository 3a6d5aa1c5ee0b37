/* Building a node's list of effects without ever losing the effects that end a connection.
 *
 * Memory may be short at any moment, but every session that came up must be seen going down. So room
 * is reserved first, while nothing has changed yet; what is taken from reserved room cannot fail. */
#ifndef PEER_OVERLAY_NODE_EFFECTS_H
#define PEER_OVERLAY_NODE_EFFECTS_H

#include "peer/overlay/node.h"

/* Ending one connection takes at most WRITE, LOG, CLOSE and DOWN. */
#define EFFECTS_TO_END 4u

/* Makes room for n more effects. Errors: TK_ENOMEM. */
int node_effects_reserve(struct node_effects *e, size_t n) TK_CHECKED;

/* The next effect from reserved room, cleared. The pointer lives until the next reserve. */
struct node_effect *node_effects_take(
	struct node_effects *e, enum node_effect_type type, conn_id conn);

/* The same with a text, cut to fit. */
struct node_effect *node_effects_take_text(struct node_effects *e, enum node_effect_type type,
	conn_id conn, const char *format, ...) TK_PRINTF(4, 5);

/* Takes one effect and leaves EFFECTS_TO_END in reserve; NULL: out of memory. */
struct node_effect *node_effects_push(
	struct node_effects *e, enum node_effect_type type, conn_id conn);

/* Drops the effect that was taken last. */
void node_effects_pop(struct node_effects *e);

#endif
