/* How a project's merged units were checked, in a sentence: what `status` and `export` say beside its model. */
#ifndef COORDINATOR_CHECKED_H
#define COORDINATOR_CHECKED_H

#include "coordinator/rows.h"

#define CHECKED_MAX 768

/* Never ends with a full stop. */
void project_checked(const struct project_row *row, char out[CHECKED_MAX]);

/* The 95 % bound on the share of wrong units among those that were computed once; 0 under policy full, where a
 * sample says nothing: see audit_bound. */
double project_wrong_bound(const struct project_row *row);

#endif
