/* The errors of one file, collected so that its owner sees all of them at once, in the file's order. */
#ifndef TASKS_PROJECT_FAULTS_H
#define TASKS_PROJECT_FAULTS_H

#include <stddef.h>
#include <stdint.h>

#include "tasks/base/bytes.h"
#include "tasks/base/error.h"

#define FAULTS_MAX     64u
#define FAULT_TEXT_MAX 480u

/* Where something stands in a file, from 1; columns count characters. Line 0: the file as a whole. */
struct place {
	uint32_t line, column;
};

struct fault {
	struct place at;
	int code;
	char text[FAULT_TEXT_MAX];
};

/* All zero is an empty list. It never allocates: what passes FAULTS_MAX is only counted. */
struct faults {
	uint32_t count;
	uint32_t dropped;
	struct fault list[FAULTS_MAX];
};

/* Adds one; code is what the file's reader will return when this is the worst of them. */
void fault_add(struct faults *f, struct place at, int code, const char *format, ...)
	TK_PRINTF(4, 5);

/* Sorts the errors by place and appends a line for each to out (may be NULL), which is NUL-terminated
 * beyond its len; the first goes to msg. Returns 0 when there are none; TK_EUNSUPPORTED when all are;
 * else the first other code; TK_ENOMEM when the lines found no room. */
int faults_report(
	struct faults *f, const char *file, struct bytes *out, struct errmsg *msg) TK_CHECKED;

#endif
