/* Checkpoints of a unit: between two steps, everything that the rest of its run needs.
 *
 *	8 bytes  "TKUNIT" and the format, le16
 *	32       the unit's digest
 *	4        steps done, le32: 1 … H
 *	32·k     the trace's leaves so far, without leaf 0
 *	4·…      the state as trace.h lays it out, float32 LE
 *	32       the blob digest of all before
 *
 * The length follows from the unit and the steps, so bytes that are cut, changed or somebody else's are
 * never gone on with. */
#ifndef TASKS_UNIT_CHECKPOINT_H
#define TASKS_UNIT_CHECKPOINT_H

#include "tasks/unit/running.h"

/* Bytes of a checkpoint after `steps` steps, with `arrays` arrays of n floats. */
uint64_t checkpoint_bytes(const struct train_spec *t, uint64_t arrays, uint64_t n, uint32_t steps);

/* Puts the run where the bytes say. Its arrays are there, and nothing is done yet.
 * Errors: TK_ECORRUPT; run is then as before. */
int checkpoint_resume(struct running *run, struct span in, struct errmsg *msg) TK_CHECKED;

#endif
