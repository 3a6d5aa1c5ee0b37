/* The shell's part of a proof of fault: the statement with its blobs as HOME/faults/<digest>.fault. */
#ifndef COORDINATOR_FAULT_KEEP_H
#define COORDINATOR_FAULT_KEEP_H

#include "coordinator/home.h"

/* Writes the file, durably; one that is there already stays. A blob that is gone or corrupt is no error: then the
 * statement alone is kept, as <digest>.statement, and *msg says what it lacks. Errors: TK_ENOSPC, TK_EIO,
 * TK_ENOMEM. */
int fault_keep(const struct home *home, const struct digest *digest, struct span statement,
	struct errmsg *msg) TK_CHECKED;

#endif
