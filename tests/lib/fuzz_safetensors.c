/* Parameters from elsewhere, for fuzz_targets.c: read as any file, and as the parameters of one model. */
#include <math.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/model/safetensors.h"
#include "tests/lib/fuzz_targets.h"
#include "tests/lib/tiny.h"

static bool tiny_model(struct tiny *t, struct model *m)
{
	return tiny_init(t, MODEL_LOGISTIC) &&
	       model_init(m, &t->recipe.model, &t->recipe.data, NULL) == TK_OK;
}

/* Entries lie within the file, one after another in some order, and take all of what follows the header. */
static void check_entries(struct span in, const struct safetensors *s)
{
	size_t total = 0;

	for (size_t i = 0; i < s->count; i++) {
		const struct safetensors_entry *e = &s->entries[i];

		REQUIRE(e->bytes.data >= in.data && e->bytes.len <= in.len &&
			(size_t)(e->bytes.data - in.data) <= in.len - e->bytes.len);
		REQUIRE(safetensors_find(s, e->name) == e);
		total += e->bytes.len;
	}
	REQUIRE(total == in.len - 8 - load_le64(in.data));
}

void fuzz_safetensors(struct span in)
{
	static struct tiny tiny;
	static struct model model;
	struct errmsg msg = {{0}};
	struct safetensors s;
	float *parameters;

	if (model.layers == NULL)
		REQUIRE(tiny_model(&tiny, &model));
	if (safetensors_open(&s, in, &msg) != TK_OK) {
		REQUIRE(msg.text[0] != '\0');
		return;
	}
	check_entries(in, &s);
	safetensors_close(&s);
	parameters = mem_floats(model.parameters);
	REQUIRE(parameters != NULL);
	if (safetensors_load(&model, in, parameters, &msg) != TK_OK)
		REQUIRE(msg.text[0] != '\0');
	for (size_t i = 0; i < model.parameters; i++)
		REQUIRE(isfinite(parameters[i]));
	mem_free(parameters);
}

bool fuzz_safetensors_seed(unsigned which, struct bytes *out)
{
	static const char other[] =
		"{\"__metadata__\":{\"format\":\"pt\"},"
		"\"0.weight\":{\"dtype\":\"BF16\",\"shape\":[3,5],\"data_offsets\":[12,42]},"
		"\"0.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}";
	static const char *const metadata[] = {"project", "licences", NULL};
	static const uint8_t zeros[42];
	uint8_t length[8];
	float *parameters;
	struct tiny tiny;
	struct model m;
	bool good;

	if (which > 1)
		return false;
	if (which == 1) {
		store_le64(length, sizeof(other) - 1);
		return bytes_append(out, length, sizeof(length)) == TK_OK &&
		       bytes_append(out, other, sizeof(other) - 1) == TK_OK &&
		       bytes_append(out, zeros, sizeof(zeros)) == TK_OK;
	}
	REQUIRE(tiny_model(&tiny, &m));
	parameters = mem_floats(m.parameters);
	good = parameters != NULL &&
	       safetensors_encode(out, &m, parameters, metadata, NULL) == TK_OK;
	mem_free(parameters);
	model_close(&m);
	tiny_close(&tiny);
	return good;
}
