/* The part of the audit that looks at units. Private to audit.c. */
#ifndef COORDINATOR_AUDIT_UNIT_H
#define COORDINATOR_AUDIT_UNIT_H

#include "coordinator/audit.h"

/* A unit is settled, or settled anew. */
int audit_take_unit(
	struct audit *a, uint64_t at, const struct ledger_entry *e, struct errmsg *msg) TK_CHECKED;

/* Where faults of this lease are, or belong. */
size_t audit_fault_place(const struct audit *a, const struct digest *nonce);

/* The round's seed is open: it is what the manifest committed to, and every unit has as many replicas as
 * it demands. */
int audit_draw_check(struct audit *a, uint32_t round, struct errmsg *msg) TK_CHECKED;

#endif
