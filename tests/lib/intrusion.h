/* What hostile tests share: a coordinator that really runs, two honest peers with work for the whole test, a session
 * that does nothing wrong, and intruders beside it. */
#ifndef TESTS_LIB_INTRUSION_H
#define TESTS_LIB_INTRUSION_H

#include "tests/lib/intruder.h"
#include "tests/lib/served.h"

struct intrusion {
	struct served served;
	struct intruder calm; /* the session that does nothing wrong */
};

/* False when something of it cannot be had. */
bool intrusion_open(struct intrusion *i);
void intrusion_close(struct intrusion *i);

/* The intruder has a session of its own, like anybody. */
bool intrusion_enter(struct intrusion *i, struct intruder *in);

/* The intruder's session ended with this in the log, of which there were `before` such lines, and the calm one goes
 * on. Closes the intruder. */
bool intrusion_ended(struct intrusion *i, struct intruder *in, const char *why, size_t before);

#endif
