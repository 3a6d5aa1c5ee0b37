/* See model.h. Layout, initial parameters and sizes; gradient.c has the passes. */
#include "tasks/model/model.h"

#include <math.h>
#include <stdio.h>

#include "tasks/base/require.h"
#include "tasks/math/philox.h"

static void add_tensor(
	struct model *m, uint32_t module, const char *what, uint32_t rows, uint32_t cols)
{
	struct tensor *t = &m->tensors[m->tensor_count++];

	REQUIRE(m->tensor_count <= TENSORS_MAX);
	snprintf(t->name, sizeof(t->name), "%u.%s", module, what);
	t->shape[0] = rows;
	t->shape[1] = cols;
	t->offset = m->parameters;
	t->count = (size_t)rows * (cols != 0 ? cols : 1);
	m->parameters += t->count;
}

static void add_linear(struct model *m, uint32_t module, uint32_t inputs, uint32_t outputs)
{
	struct linear *l = &m->linears[m->linear_count++];

	l->inputs = inputs;
	l->outputs = outputs;
	l->weight = m->parameters;
	add_tensor(m, module, "weight", outputs, inputs);
	l->bias = m->parameters;
	add_tensor(m, module, "bias", outputs, 0);
}

int model_init(struct model *m, const struct model_spec *spec, const struct dataset *data,
	struct errmsg *msg)
{
	uint32_t module = 0;
	uint32_t width;

	REQUIRE(spec->hidden_count <= HIDDEN_LAYERS_MAX);
	*m = (struct model){
		.activation = spec->activation,
		.kind = data->kind,
		.classes = data->classes,
		.inputs = data->features,
	};
	if (spec->type == MODEL_CHAR_MLP) {
		REQUIRE(data->kind == SAMPLE_TEXT);
		m->context = data->context;
		m->embedding = spec->embedding;
		m->vocabulary = data->classes;
		m->inputs = data->context * spec->embedding;
		add_tensor(m, module, "weight", m->vocabulary, m->embedding);
		module += 2; /* Embedding, Flatten */
	}
	width = m->inputs;
	for (uint32_t i = 0; i < spec->hidden_count; i++) {
		add_linear(m, module, width, spec->hidden[i]);
		module += 2; /* Linear, activation */
		width = spec->hidden[i];
	}
	add_linear(m, module, width, m->classes);
	if (m->parameters > PARAMETERS_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"the model has %zu parameters; at most %llu are supported: make its layers "
			"narrower",
			m->parameters, (unsigned long long)PARAMETERS_MAX);
	return TK_OK;
}

void model_initialize(const struct model *m, uint64_t seed, float *parameters)
{
	if (m->vocabulary != 0) {
		for (size_t i = 0; i < m->tensors[0].count; i++)
			parameters[i] = philox_normal(seed, STREAM_INIT, i);
	}
	for (uint32_t l = 0; l < m->linear_count; l++) {
		const struct linear *linear = &m->linears[l];
		size_t end = linear->bias + linear->outputs;
		float bound = 1.0f / sqrtf((float)linear->inputs);

		for (size_t i = linear->weight; i < end; i++) {
			float u = philox_uniform(seed, STREAM_INIT, 0, i);

			parameters[i] = (2.0f * u - 1.0f) * bound;
		}
	}
}

double model_step_flops(const struct model *m, size_t rows)
{
	double flops = 0;

	for (uint32_t l = 0; l < m->linear_count; l++) {
		double product = 2.0 * (double)rows * m->linears[l].inputs * m->linears[l].outputs;

		/* forward, gradient of the weights and, but for the first dense layer, of the input */
		flops += product * (l > 0 || m->vocabulary != 0 ? 3 : 2);
	}
	return flops + 16.0 * (double)m->parameters;
}
