/* The server's part of a second chance; see readmit.h. */
#include "coordinator/readmit.h"
#include "coordinator/serve_state.h"

/* What follows from the event is on disk by the next call, and the wish is forgotten only then. */
void serve_readmit(struct serve *s)
{
	struct store *store = serve_home(s)->store;
	struct public_key key;
	struct core_event event = {.type = CORE_PEER_READMIT, .key = &key};
	struct errmsg msg = {""};
	int rc = readmit_asked(store, &key, &msg);

	if (rc == TK_OK && core_peer_waits(serve_core(s), &key))
		serve_step(s, &event);
	else if (rc == TK_OK)
		rc = readmit_heard(store, &msg);
	if (rc != TK_OK && rc != TK_ENOENT)
		serve_stall(s, msg.text);
}
