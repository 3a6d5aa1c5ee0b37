/* What became of this volunteer's results, one line each, in HOME/history: the newest HISTORY_BYTES_MAX of them. */
#ifndef PEER_AGENT_HISTORY_H
#define PEER_AGENT_HISTORY_H

#include "tasks/base/bytes.h"
#include "tasks/base/error.h"

#define HISTORY_BYTES_MAX (128u << 10)

/* Adds a line, with what is not printable as '?', and lets the oldest ones go; durable on return. Errors: those
 * of file_replace, TK_ENOMEM. */
int history_add(const char *home, const char *line, struct errmsg *msg) TK_CHECKED;
/* The last `count` lines; empty when there is none yet. Errors: those of file_read. */
int history_last(
	const char *home, uint64_t count, struct bytes *out, struct errmsg *msg) TK_CHECKED;

#endif
