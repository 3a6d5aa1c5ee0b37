/* What a saved model says about itself, as safetensors metadata. */
#ifndef COORDINATOR_CLI_METADATA_H
#define COORDINATOR_CLI_METADATA_H

#include "tasks/project/recipe.h"

/* Keys and values for safetensors_encode, NULL-terminated. */
struct metadata {
	const char *pairs[16];
	char digest[DIGEST_HEX];
	char progress[48];
	struct bytes classes; /* owned */
	char mean[32], deviation[32];
};

/* Fills m: the project's name, the model digest (NULL: its bits are one computer's own, and it has none
 * to compare), how far it was trained, how it was verified (a sentence, borrowed), and what its outputs
 * stand for: a text model's characters in order, or that its tokens are bytes; the names of classes, one
 * per line; or the mean and deviation with which a number becomes output·deviation + mean.
 * Errors: TK_ENOMEM. metadata_close in any case. */
int metadata_init(struct metadata *m, const struct recipe *recipe, const struct digest *model,
	uint32_t rounds_done, const char *verification) TK_CHECKED;
void metadata_close(struct metadata *m);

#endif
