/* The list of layers that an owner composes: model.layers of the type layers. */
#ifndef TASKS_PROJECT_LAYER_LIST_H
#define TASKS_PROJECT_LAYER_LIST_H

#include <stdio.h>

#include "tasks/project/presets.h"
#include "tasks/project/tree.h"

/* Reads the list into out->layers (see there). What is wrong is added to faults, each where it stands;
 * the layers are then untouched. */
void layer_list_read(struct model_settings *out, const struct tree *list, struct faults *faults);

/* Prints the layers that there are, with their settings. */
void layer_list_help(FILE *out);

#endif
