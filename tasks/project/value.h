/* Values: the text that an owner wrote becomes a field of struct project, or an error with its place. */
#ifndef TASKS_PROJECT_VALUE_H
#define TASKS_PROJECT_VALUE_H

#include "tasks/project/keys.h"
#include "tasks/project/tree.h"

/* Reads the value of key k into its field of *about, the struct that the key's table is about. folder is
 * where relative paths begin ("" for here). What is wrong is added to faults, at the value or at `where`
 * (the key) when there is nothing to point at; the field is then untouched. */
void value_read(void *about, const struct key *k, const struct tree *value, struct place where,
	const char *folder, struct faults *faults);

/* Sets the field from text that we wrote ourselves: a default. Not for paths and lists. */
void value_default(void *about, const struct key *k, const char *text);

/* True for a scalar that YAML takes for nothing: empty, ~, null. */
bool value_null(const struct tree *t);

#endif
