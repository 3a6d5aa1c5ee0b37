/* What an owner says about the model, and the layers that it stands for. */
#ifndef TASKS_PROJECT_PRESETS_H
#define TASKS_PROJECT_PRESETS_H

#include "tasks/project/recipe.h"

#define WIDTHS_MAX	16u
#define LIST_LAYERS_MAX 256u
#define GPT_LAYERS_MAX	64u
#define GPT_WIDTH_MAX	16384u /* its mlp is four times as wide, which is WIDTH_MAX */

struct widths {
	uint32_t count;
	uint32_t of[WIDTHS_MAX];
};

/* The model: section of project.yaml; what the type does not use is 0. */
struct model_settings {
	enum model_type type;
	enum loss_type loss;	    /* 0: what the data suggest */
	struct widths image;	    /* channels, height, width; empty: as the data say */
	struct widths hidden;	    /* mlp, char-mlp, cnn */
	enum layer_type activation; /* of the same */
	uint32_t embedding;	    /* char-mlp */
	struct widths channels;	    /* cnn: of each convolution */
	uint32_t kernel;	    /* cnn */
	uint32_t blocks;	    /* gpt, and what follows */
	uint32_t heads, width;
	float dropout;
	bool tie, bias;
	/* layers: as written. A linear layer of width 0 is as wide as the loss wants; tied is 1 for a layer
	 * that shares the embedding's weight; attention stands for its projections too; branch … join is
	 * one residual module. Names are the owner's, or empty. */
	uint32_t layer_count;
	struct layer layers[LIST_LAYERS_MAX];
	char init[DATA_PATH_MAX];
};

/* Writes the settings out as layers over prepared data. Gives *out (model_spec_close) only on success.
 * Whether the layers fit together is recipe_validate's to say. Errors: TK_EINVAL, TK_ENOMEM. */
int model_expand(struct model_spec *out, const struct model_settings *settings,
	const struct dataset *data, struct errmsg *msg) TK_CHECKED;

#endif
