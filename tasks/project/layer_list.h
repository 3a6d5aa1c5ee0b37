/* The list of layers that an owner composes: model.layers of the type layers. */
#ifndef TASKS_PROJECT_LAYER_LIST_H
#define TASKS_PROJECT_LAYER_LIST_H

#include <stdio.h>

#include "tasks/project/keys.h"
#include "tasks/project/tree.h"

/* Reads the list into out->layers (see there), and where each of them stands into places
 * (LIST_LAYERS_MAX); a residual's two ends both stand at its word. What is wrong is added to faults, each
 * where it stands; the layers are then untouched. */
void layer_list_read(struct model_settings *out, struct place *places, const struct tree *list,
	struct faults *faults);

/* For an error about the model that the list became: when it is about one layer, "layer N (…)", it is
 * put into the list's words. Gives the number of the layer in the list; UINT32_MAX: it is about none. */
uint32_t layer_list_blame(const struct model_settings *s, struct errmsg *msg);

/* The settings of all layers, about struct layer; only_values are types of layers, and a path's last word is
 * the setting. */
extern const struct key layer_settings[];

/* Prints the layers that there are, with the names of their settings. */
void layer_list_help(FILE *out);

#endif
