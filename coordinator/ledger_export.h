/* Writes one project's ledger to a file (ledger_file.h), from the store of a home that may be served. */
#ifndef COORDINATOR_LEDGER_EXPORT_H
#define COORDINATOR_LEDGER_EXPORT_H

#include "coordinator/home.h"
#include "coordinator/ledger_file.h"

/* All entries up to now, those of other projects as digests; signed by root. The file at path is replaced
 * only when all of it is there. Gives *out. Errors: TK_ENOENT (the project), TK_ECORRUPT (the store's
 * chain is broken), TK_ENOSPC, TK_EIO, TK_ENOMEM. */
int ledger_export(const struct home *home, const struct key_pair *root, const char *name,
	const char *path, struct ledger_summary *out, struct errmsg *msg) TK_CHECKED;

#endif
