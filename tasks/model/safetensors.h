/* safetensors (the format of huggingface/safetensors): parameters with PyTorch's state_dict names, written
 * and read. A file is an 8-byte little-endian length, a JSON header of that length, then the tensors'
 * bytes without a gap. */
#ifndef TASKS_MODEL_SAFETENSORS_H
#define TASKS_MODEL_SAFETENSORS_H

#include "tasks/base/bytes.h"
#include "tasks/model/model.h"

#define SAFETENSORS_HEADER_MAX	   (8u << 20)
#define SAFETENSORS_DIMENSIONS_MAX 8u
#define SAFETENSORS_BYTES_MAX	   (8 * PARAMETERS_MAX + SAFETENSORS_HEADER_MAX + 8)

/* Appends the file's bytes: the model's tensors, and a weight that layers share by each of their names, so
 * that load_state_dict(strict=True) finds all it asks for. metadata is pairs of NUL-terminated strings (key,
 * value, …, NULL) or NULL. Errors: TK_ENOMEM. */
int safetensors_encode(struct bytes *out, const struct model *m, const float *parameters,
	const char *const *metadata, struct errmsg *msg) TK_CHECKED;

enum safetensors_type {
	SAFETENSORS_F32 = 1,
	SAFETENSORS_F16,
	SAFETENSORS_BF16,
	SAFETENSORS_F64,
	SAFETENSORS_OTHER /* valid, but no floating-point numbers that can be read here */
};

struct safetensors_entry {
	const char *name; /* lives as long as the index */
	enum safetensors_type type;
	uint32_t dimensions;
	uint64_t shape[SAFETENSORS_DIMENSIONS_MAX];
	struct span bytes; /* within the file */
};

struct safetensors {
	struct safetensors_entry *entries; /* by name, ascending */
	size_t count;
	void *header; /* what the names live in */
};

/* Reads and checks a file's header against every rule of the format: the length, the object's shape,
 * duplicate names, known types, sizes that overflow, offsets out of bounds, overlaps and holes. Stricter
 * than the format where nobody writes what it allows: __metadata__ is an object and never null, and a
 * tensor has at most 8 dimensions. Borrows file. Gives *out (safetensors_close) only on success.
 * Errors: TK_ECORRUPT, TK_ELIMIT, TK_ENOMEM. */
int safetensors_open(struct safetensors *out, struct span file, struct errmsg *msg) TK_CHECKED;
void safetensors_close(struct safetensors *s);

/* The entry of that name, or NULL. */
const struct safetensors_entry *safetensors_find(const struct safetensors *s, const char *name);

/* Fills parameters (m->parameters) from a file that has exactly the model's tensors, by name and shape.
 * F16 and BF16 are widened exactly, F64 is rounded to nearest even. A shared weight may stand in the
 * file under the name of the embedding, of a layer tied to it, or under both, if they are equal.
 * Errors: those of safetensors_open, TK_EINVAL (what is missing, too many, of another shape, or not
 * finite). */
int safetensors_load(
	const struct model *m, struct span file, float *parameters, struct errmsg *msg) TK_CHECKED;

#endif
