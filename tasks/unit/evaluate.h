/* How good a model is on the validation part: canonical, like all that decides anything. */
#ifndef TASKS_UNIT_EVALUATE_H
#define TASKS_UNIT_EVALUATE_H

#include "tasks/unit/run.h"

/* Canonical evaluation on the validation part: its first EVALUATE_MAX samples in the order of epoch 0. A
 * model with a label for each position reads texts instead as they stand, window after window, up to
 * EVALUATE_TOKENS of them. */
#define EVALUATE_MAX	16384u
#define EVALUATE_TOKENS (1u << 18)
struct evaluation {
	uint64_t samples; /* labels that were judged; 0: no validation part */
	float loss;	/* labels that are numbers: of standardised ones; 1 is guessing the mean */
	float accuracy; /* labels that are numbers: NaN, for there is none */
};
int evaluate(const struct recipe *recipe, const struct compute *c, const float *parameters,
	const struct shard_source *shards, struct evaluation *out, struct errmsg *msg) TK_CHECKED;

#endif
