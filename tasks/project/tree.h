/* A YAML file as a tree of maps, lists and scalars, each with its place.
 *
 * Only what a project file needs: one document, no anchors, aliases or tags, and a few levels. */
#ifndef TASKS_PROJECT_TREE_H
#define TASKS_PROJECT_TREE_H

#include "tasks/project/faults.h"

#define TREE_DEPTH_MAX 24u /* residuals within residuals */
#define TREE_NODES_MAX 4096u

enum tree_kind {
	TREE_SCALAR,
	TREE_LIST,
	TREE_MAP,
	TREE_BAD, /* was reported already; readers pass over it in silence */
};

struct tree {
	enum tree_kind kind;
	bool quoted; /* a scalar in quotes or as a block: never empty or null by accident */
	struct place at;
	struct tree *next;  /* the next child of the same parent */
	struct tree *first; /* children of a list; of a map: key, value, key, value … */
	struct tree *last;
	char text[]; /* a scalar's text, NUL-terminated */
};

/* Reads the text. Gives *out (tree_free) unless the text is so malformed that reading it had to stop;
 * everything wrong is added to faults. *out may be NULL: a file without contents is a fault too.
 * Errors: TK_EINVAL (see faults), TK_ENOMEM. */
int tree_read(struct tree **out, struct span text, struct faults *faults) TK_CHECKED;

void tree_free(struct tree *t);

#endif
