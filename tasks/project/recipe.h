/* The recipe: everything a project's results depend on, in one canonical blob.
 *
 * The owner's project.yaml plus the prepared dataset become a recipe; its digest names the project
 * everywhere, and peers fetch it as a blob. The same bytes give the same model, digit for digit. */
#ifndef TASKS_PROJECT_RECIPE_H
#define TASKS_PROJECT_RECIPE_H

#include "tasks/data/dataset.h"

#define HIDDEN_LAYERS_MAX   16u
#define HIDDEN_WIDTH_MAX    65536u
#define ROUNDS_MAX	    1000000u
#define UNITS_PER_ROUND_MAX 4096u
#define INNER_STEPS_MAX	    100000u
#define BATCH_MAX	    65536u
#define EMBEDDING_MAX	    4096u
#define PARAMETERS_MAX	    (1ull << 28)
#define ACTIVATIONS_MAX	    (1ull << 29) /* floats: a batch times the widths of all layers */
#define RECIPE_BYTES_MAX    (4u << 20)
#define PROJECT_NAME_MAX    64u

/* Limits of the recipe's real numbers; each also excludes NaN and −0. */
#define LEARNING_RATE_MIN 1e-9
#define LEARNING_RATE_MAX 1e3
#define BETA_MAX	  0.999999 /* AdamW's betas and every momentum: 0 … this */
#define EPSILON_MIN	  1e-20
#define EPSILON_MAX	  1.0
#define WEIGHT_DECAY_MAX  100.0
#define CLIP_MAX	  1e6

enum model_type { MODEL_LOGISTIC = 1, MODEL_MLP = 2, MODEL_CHAR_MLP = 3 };
enum activation { ACTIVATION_RELU = 1, ACTIVATION_TANH = 2 };
enum optimizer_type { OPTIMIZER_SGD = 1, OPTIMIZER_ADAMW = 2 };
enum outer_type { OUTER_SGD = 1, OUTER_NESTEROV = 2 };
enum schedule_type { SCHEDULE_CONSTANT = 1, SCHEDULE_COSINE = 2 };
enum compression {
	COMPRESSION_NONE = 1,
	COMPRESSION_INT8 = 2,
	COMPRESSION_FP16 = 3,
	COMPRESSION_BF16 = 4,
	COMPRESSION_SPARSELOCO = 5,
};

struct model_spec {
	enum model_type type;
	enum activation activation; /* relu for mlp, tanh for char-mlp unless said */
	uint32_t embedding;	    /* char-mlp: width of a token's vector; else 0 */
	uint32_t hidden_count;	    /* logistic: 0 */
	uint32_t hidden[HIDDEN_LAYERS_MAX];
};

struct train_spec {
	enum optimizer_type optimizer;
	float learning_rate;
	float beta1, beta2, epsilon; /* AdamW */
	float momentum;		     /* SGD */
	float weight_decay;
	float clip; /* global norm; 0: off */
	enum schedule_type schedule;
	uint32_t warmup_steps;	  /* of every unit; default max(1, H/4) */
	uint32_t batch_size;	  /* B */
	uint32_t inner_steps;	  /* H */
	uint32_t units_per_round; /* W */
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
 * Settings that the chosen type does not use must be 0 (an activation: relu), so that equal training
 * has equal bytes. Used on what owners write and on what the network sends.
 * Errors: TK_EINVAL, TK_ELIMIT. */
int recipe_validate(const struct recipe *r, struct errmsg *msg) TK_CHECKED;

/* True for [a-z0-9][a-z0-9._-]{0,62}: a name that is safe as a file's name and on a terminal. */
bool project_name_valid(const char *name);

/* The parameters of the model that spec and data describe, without laying it out; cannot overflow
 * within the limits above, which must hold. */
uint64_t recipe_parameters(const struct model_spec *spec, const struct dataset *data);

void recipe_close(struct recipe *r);

/* "char-mlp", as project.yaml says it; never NULL. */
const char *model_type_name(enum model_type type);

#endif
