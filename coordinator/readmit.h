/* A retired identity may work again, when the owner asks for it: the wish lies in the store until the core has
 * followed it, which it does once nothing of the identity's earlier work is judged any more. */
#ifndef COORDINATOR_READMIT_H
#define COORDINATOR_READMIT_H

#include "coordinator/store.h"

/* Notes the wish. peer: the first 8 or more hex digits of its key, as status shows them. Gives its row. Errors:
 * TK_EINVAL (no such digits), TK_ENOENT (nobody, or more than one, is called so), TK_EAUTH (it is not retired, or for
 * good), TK_EBUSY (another wish is not followed yet), TK_EIO. */
int readmit_ask(
	struct store *s, const char *peer, struct peer_row *row, struct errmsg *msg) TK_CHECKED;

/* The identity of the wish. TK_ENOENT: there is none. */
int readmit_asked(struct store *s, struct public_key *out, struct errmsg *msg) TK_CHECKED;
int readmit_heard(struct store *s, struct errmsg *msg) TK_CHECKED;

#endif
