/* What reading project.yaml carries from step to step: walk (project.c), defaults (settle.c), and what keys
 * mean for each other (together.c). Every step adds to one list of faults and goes on. */
#ifndef TASKS_PROJECT_READER_H
#define TASKS_PROJECT_READER_H

#include "tasks/project/keys.h"
#include "tasks/project/tree.h"

struct reader {
	char folder[DATA_PATH_MAX];
	struct project project;
	const struct tree *root;	   /* a map */
	const struct tree *keys[KEYS_MAX]; /* where the key stands; NULL: not in the file */
	struct faults faults;
};

/* Whether the file has the key. */
bool reader_given(const struct reader *r, const char *path);

/* Where to report something about a key: the key itself, or else its section. */
struct place reader_place(const struct reader *r, const char *path);

/* Fills in what the file leaves out, and refuses keys that are missing or that mean nothing with what
 * was chosen. */
void reader_settle(struct reader *r);

/* Refuses values that do not go together. */
void reader_check_together(struct reader *r);

#endif
