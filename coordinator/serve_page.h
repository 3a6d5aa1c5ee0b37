/* Writes status.json and status.js beside the status page, atomically. */
#ifndef COORDINATOR_SERVE_PAGE_H
#define COORDINATOR_SERVE_PAGE_H

#include "coordinator/core.h"
#include "coordinator/home.h"

/* folder: where the page is. core may be NULL (nothing is served). *peers_saved is the number of connected peers that the store
 * was told last, so that it is only told of changes. Errors: those of the store and the files. */
int serve_write_page(const struct home *home, const char *folder, struct core *core, bool serving,
	uint64_t *peers_saved, struct errmsg *msg) TK_CHECKED;

#endif
