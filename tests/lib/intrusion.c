/* See intrusion.h. */
#include "tests/lib/intrusion.h"
#include "tests/lib/slice.h"

#include <stdio.h>

bool intrusion_open(struct intrusion *i)
{
	if (crypto_start() != TK_OK || !served_open(&i->served, 0) ||
		!served_submit(&i->served, "honest", slice(60, 20)))
		return false;
	intruder_init(&i->calm, &i->served.network);
	return intruder_connect(&i->calm, i->served.port) &&
	       intruder_handshake(&i->calm, LIE_NONE) && intruder_alive(&i->calm);
}

void intrusion_close(struct intrusion *i)
{
	intruder_close(&i->calm);
	served_close(&i->served);
}

bool intrusion_enter(struct intrusion *i, struct intruder *in)
{
	intruder_init(in, &i->served.network);
	return intruder_connect(in, i->served.port) && intruder_handshake(in, LIE_NONE) &&
	       intruder_alive(in);
}

bool intrusion_ended(struct intrusion *i, struct intruder *in, const char *why, size_t before)
{
	bool closed = intruder_is_closed(in);
	bool logged = served_log_gains(&i->served, why, before);

	if (!closed)
		fprintf(stderr, "# the intruder's session goes on\n");
	if (!logged)
		fprintf(stderr, "# the log does not say \"%s\"\n", why);
	intruder_close(in);
	return closed && logged && intruder_alive(&i->calm);
}
