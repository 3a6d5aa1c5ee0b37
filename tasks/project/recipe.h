/* The recipe: everything a project's results depend on, in one canonical blob.
 *
 * The owner's project.yaml plus the prepared dataset become a recipe; its digest names the project
 * everywhere, and peers fetch it as a blob. The same bytes give the same model, digit for digit. */
#ifndef TASKS_PROJECT_RECIPE_H
#define TASKS_PROJECT_RECIPE_H

#include "tasks/data/dataset.h"

#define HIDDEN_LAYERS_MAX    16u
#define HIDDEN_WIDTH_MAX     65536u
#define ROUNDS_MAX           1000000u
#define UNITS_PER_ROUND_MAX  4096u
#define INNER_STEPS_MAX      100000u
#define BATCH_MAX            65536u
#define PARAMETERS_MAX       (1ull << 28)
#define RECIPE_BYTES_MAX     (4u << 20)
#define PROJECT_NAME_MAX     64u

enum model_type { MODEL_LOGISTIC = 1, MODEL_MLP = 2, MODEL_CHAR_MLP = 3 };
enum activation { ACTIVATION_RELU = 1, ACTIVATION_TANH = 2 };
enum optimizer_type { OPTIMIZER_SGD = 1, OPTIMIZER_ADAMW = 2 };
enum outer_type { OUTER_SGD = 1, OUTER_NESTEROV = 2 };
enum schedule_type { SCHEDULE_CONSTANT = 1, SCHEDULE_COSINE = 2 };
enum compression { COMPRESSION_NONE = 1, COMPRESSION_INT8 = 2 };

struct model_spec {
	enum model_type type;
	enum activation activation; /* relu for mlp, tanh for char-mlp unless said */
	uint32_t embedding;         /* char-mlp: width of a token's vector; else 0 */
	uint32_t hidden_count;      /* logistic: 0 */
	uint32_t hidden[HIDDEN_LAYERS_MAX];
};

struct train_spec {
	enum optimizer_type optimizer;
	float learning_rate;
	float beta1, beta2, epsilon; /* AdamW */
	float momentum;              /* SGD */
	float weight_decay;
	float clip;                  /* global norm; 0: off */
	enum schedule_type schedule;
	uint32_t warmup_steps;       /* of every unit; default max(1, H/4) */
	uint32_t batch_size;         /* B */
	uint32_t inner_steps;        /* H */
	uint32_t units_per_round;    /* W */
	uint32_t rounds;
	enum compression compression;
	enum outer_type outer;
	float outer_learning_rate;
	float outer_momentum;
};

struct recipe {
	uint32_t numerics; /* NUMERICS_VERSION */
	char name[PROJECT_NAME_MAX];
	uint64_t seed;
	struct model_spec model;
	struct train_spec train;
	struct dataset data; /* owned */
};

/* Appends the recipe's canonical bytes. Errors: TK_ENOMEM. */
int recipe_encode(const struct recipe *r, struct bytes *out, struct errmsg *msg) TK_CHECKED;

/* Reads and validates a recipe from untrusted bytes. Gives *out (recipe_close) only on success.
 * Errors: TK_EPROTO, TK_ELIMIT, TK_EUNSUPPORTED (another version of NUMERICS), TK_ENOMEM. */
int recipe_decode(struct recipe *out, struct span in, struct errmsg *msg) TK_CHECKED;

/* Checks that the parts fit together (model against data, limits, sizes that do not overflow).
 * Used on what owners write and on what the network sends. Errors: TK_EINVAL, TK_ELIMIT. */
int recipe_validate(const struct recipe *r, struct errmsg *msg) TK_CHECKED;

void recipe_close(struct recipe *r);

#endif
