/* The recipe: everything a project's results depend on, in one canonical blob.
 *
 * The owner's project.yaml plus the prepared dataset become a recipe; its digest names the project
 * everywhere, and peers fetch it as a blob. The same bytes give the same model, digit for digit. */
#ifndef TASKS_PROJECT_RECIPE_H
#define TASKS_PROJECT_RECIPE_H

#include "tasks/data/dataset.h"

#define LAYERS_MAX	     1024u
#define LAYER_NAME_MAX	     56u
#define RESIDUAL_DEPTH_MAX   8u
#define WIDTH_MAX	     65536u
#define HEADS_MAX	     256u
#define WINDOW_MAX	     64u /* side of a convolution's or pool's kernel; also stride and padding */
#define MAX_POOL_KERNEL_MAX  16u /* a place within the window is one byte */
#define ROUNDS_MAX	     1000000u
#define UNITS_PER_ROUND_MAX  4096u
#define INNER_STEPS_MAX	     100000u
#define BATCH_MAX	     65536u
#define ACCUMULATE_MAX	     4096u
#define PARAMETERS_MAX	     (1ull << 28)
#define ACTIVATIONS_MAX	     (1ull << 29) /* floats: a batch times the widths of all layers */
#define RECIPE_BYTES_MAX     (4u << 20)
#define KRUM_UNITS_MAX	     256u /* multi_krum compares every unit with every other */
#define MERGE_ITERATIONS_MAX 16u
#define MERGE_RADIUS_MAX     1e9
#define PROJECT_NAME_MAX     64u

/* Limits of the recipe's real numbers; each also excludes NaN and −0. */
#define LEARNING_RATE_MIN 1e-9
#define LEARNING_RATE_MAX 1e3
#define BETA_MAX	  0.999999 /* AdamW's betas and every momentum: 0 … this */
#define EPSILON_MIN	  1e-20
#define EPSILON_MAX	  1.0
#define WEIGHT_DECAY_MAX  100.0
#define CLIP_MAX	  1e6
#define DROPOUT_MIN	  1e-6
#define DROPOUT_MAX	  0.999
#define INIT_SCALE_MIN	  1e-9
#define INIT_SCALE_MAX	  1e3

/* What a layer does to its input. Each sample is a matrix (positions, width); an image has one position
 * and width = channels·height·width, in that order. NUMERICS.md has the formulas. */
enum layer_type {
	LAYER_EMBEDDING = 1, /* first: tokens → (context, width) */
	LAYER_POSITION = 2,  /* adds a learned vector to each position */
	LAYER_FLATTEN = 3,   /* (positions, width) → (1, positions·width) */
	LAYER_LINEAR = 4,    /* width = outputs */
	LAYER_CONV2D = 5,    /* width = channels out; kernel, stride, padding */
	LAYER_MAX_POOL = 6,  /* kernel, stride, padding */
	LAYER_AVERAGE_POOL = 7,
	LAYER_LAYER_NORM = 8, /* over the width */
	LAYER_GROUP_NORM = 9, /* heads = groups of channels */
	LAYER_RELU = 10,
	LAYER_GELU = 11,
	LAYER_SILU = 12,
	LAYER_TANH = 13,
	LAYER_SIGMOID = 14,
	LAYER_DROPOUT = 15,   /* rate */
	LAYER_ATTENTION = 16, /* causal, heads; in (positions, 3·width) = queries, keys, values */
	LAYER_BRANCH = 17,    /* remembers its input … */
	LAYER_JOIN = 18, /* … which is added to this layer's: a residual connection; they nest */
};
#define LAYER_TYPE_LAST LAYER_JOIN

/* Fields that the type does not use are 0. */
struct layer {
	enum layer_type type;
	/* Of its tensors, NAME.weight and NAME.bias, as PyTorch's state_dict of the equivalent module has
	 * them (a name that ends in '_' is joined without the dot: in_proj_ → in_proj_weight); empty for
	 * types that have none. A tied layer keeps its name: its weight goes by both in PyTorch's files.
	 * [A-Za-z0-9_.], without empty parts between dots. */
	char name[LAYER_NAME_MAX];
	uint32_t width;
	uint32_t heads;
	uint32_t kernel, stride, padding;
	uint32_t
		tied; /* linear: 1 + the index of the embedding whose weight it shares; 0: its own */
	bool bias;    /* linear, conv2d, norms */
	float rate;   /* dropout */
	float init_scale; /* weights start with mean 0 and this deviation, biases at 0; 0: PyTorch's default */
};

enum loss_type {
	LOSS_CROSS_ENTROPY = 1,	       /* over classes, at every position of the last layer */
	LOSS_BINARY_CROSS_ENTROPY = 2, /* one logit, two classes */
	LOSS_SQUARED_ERROR = 3,	       /* regression: the label is a number */
};

/* What the owner called it; the layers say all that matters. */
enum model_type {
	MODEL_LOGISTIC = 1,
	MODEL_MLP = 2,
	MODEL_CHAR_MLP = 3,
	MODEL_CNN = 4,
	MODEL_GPT = 5,
	MODEL_LAYERS = 6,
};

struct model_spec {
	enum model_type type;
	enum loss_type loss;
	uint32_t image[3]; /* channels, height, width of the features; 0, 0, 0: a plain row */
	uint32_t layer_count;
	struct layer *layers; /* owned (model_spec_close) */
};

enum train_mode { MODE_LOCAL = 1, MODE_GRADIENT = 2 };
enum optimizer_type { OPTIMIZER_SGD = 1, OPTIMIZER_ADAMW = 2 };
enum inner_state { INNER_FRESH = 1, INNER_AVERAGE = 2 };
enum outer_type { OUTER_SGD = 1, OUTER_NESTEROV = 2, OUTER_ADAMW = 3 };
enum schedule_type { SCHEDULE_CONSTANT = 1, SCHEDULE_COSINE = 2, SCHEDULE_LINEAR = 3 };
enum compression {
	COMPRESSION_NONE = 1,
	COMPRESSION_INT8 = 2,
	COMPRESSION_FP16 = 3,
	COMPRESSION_BF16 = 4,
	COMPRESSION_SPARSELOCO = 5,
};
/* How a round's updates become one; all but the mean bound what a few arbitrary ones can do (merge.h). */
enum merge_rule {
	MERGE_MEAN = 1,
	MERGE_MEDIAN_NORM_CLIP = 2, /* no update counts with more than the median of the norms */
	MERGE_TRIMMED_MEAN =
		3, /* without the merge_byzantine largest and smallest of each number */
	MERGE_CENTERED_CLIP =
		4,	      /* merge_iterations steps towards the updates, each cut to a radius */
	MERGE_MULTI_KRUM = 5, /* the mean of those that have the nearest neighbours */
};

struct train_spec {
	/* local: a unit takes inner_steps steps of its optimizer. gradient: it returns the mean gradient of
	 * inner_steps micro-batches at θ_r; the inner optimizer's fields (optimizer, inner_state, betas,
	 * epsilon, momentum, nesterov, weight_decay, warmup_steps) are then unused, the learning rate and
	 * schedule drive the outer optimizer, one step a round. */
	enum train_mode mode;
	enum optimizer_type optimizer;
	enum inner_state inner_state;
	float learning_rate;
	float learning_rate_end; /* what cosine and linear end with, as a share of learning_rate: 0 … 1 */
	float beta1, beta2, epsilon; /* AdamW */
	float momentum;		     /* SGD */
	bool nesterov;		     /* SGD with momentum */
	float weight_decay;
	float clip; /* global norm of a step's gradient (gradient mode: of the round's); 0: off */
	enum schedule_type schedule;
	uint32_t warmup_steps; /* of every unit; default max(1, H/4) */
	uint32_t
		run_warmup_steps; /* of the run's global steps rH + h (gradient mode: r); 0: none */
	uint32_t batch_size;	  /* B */
	uint32_t accumulate;  /* a step's batch is worked through in this many parts; divides B */
	uint32_t inner_steps; /* H */
	uint32_t units_per_round; /* W */
	uint32_t rounds;
	uint32_t trace_every; /* steps between leaves of the trace: 1 … H */
	enum compression compression;
	enum outer_type outer;
	float outer_learning_rate;					   /* gradient mode: 1 */
	float outer_momentum;						   /* Nesterov */
	float outer_beta1, outer_beta2, outer_epsilon, outer_weight_decay; /* AdamW */
	enum merge_rule merge;
	uint32_t
		merge_byzantine; /* trimmed_mean, multi_krum: so many of a round's updates may be bad */
	uint32_t merge_iterations; /* centered_clip */
	float merge_radius;	   /* centered_clip; 0: the median of the distances */
};

struct recipe {
	uint32_t numerics; /* NUMERICS_VERSION */
	char name[PROJECT_NAME_MAX];
	uint64_t seed;
	struct model_spec model; /* owned */
	struct train_spec train;
	struct digest
		initial; /* blob: θ_0 as float32 LE, from the owner's file; zero: from the seed */
	struct dataset data; /* owned */
};

/* Appends the recipe's canonical bytes. Errors: TK_ENOMEM. */
int recipe_encode(const struct recipe *r, struct bytes *out, struct errmsg *msg) TK_CHECKED;

/* Reads and validates a recipe from untrusted bytes. Gives *out (recipe_close) only on success.
 * Errors: TK_EPROTO, TK_ELIMIT, TK_EUNSUPPORTED (another version of NUMERICS), TK_ENOMEM. */
int recipe_decode(struct recipe *out, struct span in, struct errmsg *msg) TK_CHECKED;

/* The fewest updates with which the rule holds what it promises while `byzantine` of them are bad; 1 for
 * the mean. */
uint32_t merge_units_min(enum merge_rule rule, uint32_t byzantine);

/* Checks that the parts fit together (model against data, limits, sizes that do not overflow): what
 * passes can be laid out by model_init. Settings that the chosen type does not use must be 0, so that
 * equal training has equal bytes. Used on what owners write and on what the network sends.
 * Errors: TK_EINVAL, TK_ELIMIT, TK_ENOMEM. */
int recipe_validate(const struct recipe *r, struct errmsg *msg) TK_CHECKED;

/* True for [a-z0-9][a-z0-9._-]{0,62}: a name that is safe as a file's name and on a terminal. */
bool project_name_valid(const char *name);

/* True when a layer looks at its input as an image; else model_spec.image is 0, 0, 0. */
bool model_uses_image(const struct model_spec *m);

void model_spec_close(struct model_spec *m);
void recipe_close(struct recipe *r);

/* "char-mlp", as project.yaml says it; never NULL. */
const char *model_type_name(enum model_type type);

#endif
