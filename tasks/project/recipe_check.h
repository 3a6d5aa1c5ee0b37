/* Parts of recipe_validate that stand in files of their own; see recipe.h. */
#ifndef TASKS_PROJECT_RECIPE_CHECK_H
#define TASKS_PROJECT_RECIPE_CHECK_H

#include "tasks/project/recipe.h"

/* A field within its limits; max = 0 says that it is not used here. Errors: TK_EINVAL. */
int check_u32(
	const char *field, uint32_t v, uint32_t min, uint32_t max, struct errmsg *msg) TK_CHECKED;
/* The same; NaN and −0 are outside all limits. */
int check_f32(const char *field, float v, double min, double max, struct errmsg *msg) TK_CHECKED;

/* True for [A-Za-z0-9_.]+ without empty parts between dots; of any length. */
bool layer_name_valid(const char *name);

/* True for types that have a weight or a bias, and so a name. */
bool layer_type_named(enum layer_type type);

/* The layers one by one, that model_init can lay them out, and that a batch of `rows` has room. Errors: TK_EINVAL, TK_ELIMIT, TK_ENOMEM. */
int check_model(const struct model_spec *m, const struct dataset *d, uint32_t rows,
	struct errmsg *msg) TK_CHECKED;

int check_train(const struct train_spec *t, struct errmsg *msg) TK_CHECKED;

#endif
