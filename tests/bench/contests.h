/* The four models that the training steps of Talkoot and PyTorch are timed with. */
#ifndef TESTS_BENCH_CONTESTS_H
#define TESTS_BENCH_CONTESTS_H

#include <string.h>

#include "tasks/project/presets.h"

struct contest {
	const char *name;
	struct model_settings settings;
	size_t rows;
	uint32_t features; /* 0: text */
	uint32_t image[3];
	uint32_t context, classes;
};

static const struct contest contests[] = {
	{.name = "mlp-128",
		.settings = {.type = MODEL_MLP, .hidden = {1, {128}}, .activation = LAYER_RELU},
		.rows = 64,
		.features = 784,
		.classes = 10},
	{.name = "mlp-1024",
		.settings = {.type = MODEL_MLP,
			.hidden = {2, {1024, 1024}},
			.activation = LAYER_RELU},
		.rows = 256,
		.features = 784,
		.classes = 10},
	{.name = "cnn",
		.settings = {.type = MODEL_CNN,
			.channels = {2, {32, 64}},
			.kernel = 3,
			.hidden = {1, {128}},
			.activation = LAYER_RELU},
		.rows = 64,
		.features = 784,
		.image = {1, 28, 28},
		.classes = 10},
	{.name = "gpt",
		.settings =
			{.type = MODEL_GPT, .blocks = 4, .heads = 4, .width = 128, .bias = true},
		.rows = 12,
		.context = 64,
		.classes = 65},
};

/* What a contest's samples are like. */
static inline struct dataset contest_data(const struct contest *c)
{
	struct dataset d = {.kind = c->features != 0 ? SAMPLE_F32 : SAMPLE_TEXT,
		.features = c->features,
		.context = c->context,
		.classes = c->classes,
		.token = c->features != 0 ? 0 : TOKEN_CHARACTER,
		.label = LABEL_CLASS};

	memcpy(d.image, c->image, sizeof(d.image));
	return d;
}

#endif
