/* The shell's part of a proof of fault: the statement with its blobs as HOME/faults/<digest>.fault. */
#ifndef COORDINATOR_FAULT_KEEP_H
#define COORDINATOR_FAULT_KEEP_H

#include "coordinator/home.h"

#define FAULTS_BYTES_MAX                                                                           \
	(1ull << 30) /* of files with blobs: identities are cheap, and each may have one made */

/* Writes the file, durably; state: the blob of the state before the step, or zero. one that is there already stays. A blob that is gone or corrupt, or a folder
 * that is full, is no error: then the statement alone is kept, as <digest>.statement, and *msg says why. Errors: TK_ENOSPC, TK_EIO,
 * TK_ENOMEM. */
int fault_keep(const struct home *home, const struct digest *digest, struct span statement,
	const struct digest *state, struct errmsg *msg) TK_CHECKED;

#endif
