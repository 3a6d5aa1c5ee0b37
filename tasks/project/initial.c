/* Parameters that a project begins with when its owner has some: model.init, read through the safetensors
 * reader into the bytes that units and blobs have. Without a file there is nothing here to do: the seed
 * decides. */
#include <string.h>

#include "tasks/base/file.h"
#include "tasks/base/mem.h"
#include "tasks/model/safetensors.h"
#include "tasks/project/project.h"

/* Appends them as float32 LE. */
static int append_floats(struct bytes *out, const float *x, size_t n, struct errmsg *msg)
{
	if (bytes_reserve(out, 4 * n) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for %zu parameters", n);
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;

		memcpy(&bits, &x[i], sizeof(bits));
		store_le32(out->data + out->len, bits);
		out->len += 4;
	}
	return TK_OK;
}

static int load(const struct model *m, const char *path, float *parameters, struct errmsg *msg)
{
	struct bytes file = {0};
	int rc = file_read(&file, path, SAFETENSORS_BYTES_MAX, msg);

	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "model.init");
	rc = safetensors_load(m, bytes_span(&file), parameters, msg);
	bytes_close(&file);
	return rc == TK_OK ? TK_OK : errmsg_prefix(msg, rc, "model.init: %s", path);
}

int project_initial(
	struct bytes *out, const struct project *p, const struct recipe *recipe, struct errmsg *msg)
{
	float *parameters;
	struct model m;
	int rc;

	if (p->model.init[0] == '\0')
		return TK_OK;
	rc = model_init(&m, &recipe->model, &recipe->data, msg);
	if (rc != TK_OK)
		return rc;
	parameters = mem_floats(m.parameters);
	if (parameters == NULL) {
		rc = errmsg_set(
			msg, TK_ENOMEM, "not enough memory for %zu parameters", m.parameters);
	} else {
		rc = load(&m, p->model.init, parameters, msg);
		if (rc == TK_OK)
			rc = append_floats(out, parameters, m.parameters, msg);
	}
	mem_free(parameters);
	model_close(&m);
	return rc;
}
