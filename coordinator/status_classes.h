/* What self-tests say of whole classes of peers: those of one engine and build. For status. */
#ifndef COORDINATOR_STATUS_CLASSES_H
#define COORDINATOR_STATUS_CLASSES_H

#include "coordinator/rows.h"

#define STATUS_CLASSES_MAX 64u /* seen first; classes are what peers say, so there is a limit */

struct status_class {
	char engine[sizeof(((struct peer_row *)0)->engine)];
	char build[sizeof(((struct peer_row *)0)->build)];
	char misfit[sizeof(
		((struct peer_row *)0)->misfit)]; /* the first wrong operation that was seen */
	uint32_t wrong, right;			  /* peers */
};

struct status_classes {
	struct status_class items[STATUS_CLASSES_MAX];
	uint32_t count;
};

void status_classes_add(struct status_classes *all, const struct peer_row *peer);

/* True when class i fails as a whole: at least two peers have one operation wrong, none passed, and peers of
 * other classes did. Writes the sentence. */
bool status_classes_alarm(const struct status_classes *all, uint32_t i, char out[256]);

#endif
