/* Writes a model's parameters as safetensors, with PyTorch's state_dict names. */
#ifndef TASKS_MODEL_SAFETENSORS_H
#define TASKS_MODEL_SAFETENSORS_H

#include "tasks/base/bytes.h"
#include "tasks/model/model.h"

/* metadata is pairs of NUL-terminated strings (key, value, …, NULL) or NULL. Appends the file's bytes.
 * Errors: TK_ENOMEM. */
int safetensors_encode(struct bytes *out, const struct model *m, const float *parameters,
	const char *const *metadata, struct errmsg *msg) TK_CHECKED;

#endif
