/* See model_cases.h. */
#include "tests/lib/model_cases.h"

#define LINEAR(n, w)                                                                               \
	{                                                                                          \
		.type = LAYER_LINEAR, .name = n, .width = w, .bias = true                          \
	}
#define PLAIN(t)                                                                                   \
	{                                                                                          \
		.type = t                                                                          \
	}
#define EMBEDDING(w)                                                                               \
	{                                                                                          \
		.type = LAYER_EMBEDDING, .name = "embedding", .width = w                           \
	}
#define POSITION                                                                                   \
	{                                                                                          \
		.type = LAYER_POSITION, .name = "position"                                         \
	}
#define NORM(n)                                                                                    \
	{                                                                                          \
		.type = LAYER_LAYER_NORM, .name = n, .bias = true                                  \
	}
#define ATTENTION(h)                                                                               \
	{                                                                                          \
		.type = LAYER_ATTENTION, .heads = h                                                \
	}
#define DROPOUT(r)                                                                                 \
	{                                                                                          \
		.type = LAYER_DROPOUT, .rate = r                                                   \
	}
#define BRANCH PLAIN(LAYER_BRANCH)
#define JOIN   PLAIN(LAYER_JOIN)
#define CONV(n, w, k, s, p)                                                                        \
	{                                                                                          \
		.type = LAYER_CONV2D, .name = n, .width = w, .kernel = k, .stride = s,             \
		.padding = p, .bias = true                                                         \
	}
#define POOL(t, k, s, p)                                                                           \
	{                                                                                          \
		.type = t, .kernel = k, .stride = s, .padding = p                                  \
	}

static struct layer one_linear[] = {LINEAR("0", 3)};
static struct layer linear_without_bias[] = {{.type = LAYER_LINEAR, .name = "0", .width = 3}};
static struct layer activations[] = {
	LINEAR("a", 7),
	PLAIN(LAYER_RELU),
	LINEAR("b", 7),
	PLAIN(LAYER_GELU),
	LINEAR("c", 7),
	PLAIN(LAYER_SILU),
	LINEAR("d", 7),
	PLAIN(LAYER_TANH),
	LINEAR("e", 7),
	PLAIN(LAYER_SIGMOID),
	LINEAR("f", 3),
};
/* Activations that follow each other: none may work in the place of what another one still reads. */
static struct layer chained[] = {
	LINEAR("a", 7),
	PLAIN(LAYER_TANH),
	PLAIN(LAYER_GELU),
	PLAIN(LAYER_SIGMOID),
	PLAIN(LAYER_RELU),
	PLAIN(LAYER_SILU),
	DROPOUT(0.25f),
	PLAIN(LAYER_TANH),
	LINEAR("b", 3),
};
static struct layer dropouts[] = {
	DROPOUT(0.2f),
	LINEAR("a", 9),
	DROPOUT(0.5f),
	PLAIN(LAYER_RELU),
	DROPOUT(0.3f),
	LINEAR("b", 3),
	DROPOUT(0.1f),
};
static struct layer binary[] = {LINEAR("a", 5), PLAIN(LAYER_TANH), LINEAR("b", 1)};
static struct layer regression[] = {LINEAR("a", 5), PLAIN(LAYER_GELU), LINEAR("b", 1)};
static struct layer norms[] = {
	NORM("a"),
	LINEAR("b", 8),
	{.type = LAYER_LAYER_NORM, .name = "c"},
	PLAIN(LAYER_RELU),
	LINEAR("d", 3),
};
static struct layer residuals[] = {
	BRANCH,
	LINEAR("a", 6),
	BRANCH,
	PLAIN(LAYER_TANH),
	BRANCH,
	JOIN,
	JOIN,
	JOIN,
	BRANCH,
	BRANCH,
	LINEAR("b", 6),
	JOIN,
	JOIN,
	PLAIN(LAYER_RELU),
	BRANCH,
	PLAIN(LAYER_GELU),
	LINEAR("c", 6),
	JOIN,
	LINEAR("d", 3),
};
static struct layer characters[] = {
	EMBEDDING(3),
	PLAIN(LAYER_FLATTEN),
	LINEAR("a", 7),
	PLAIN(LAYER_TANH),
	LINEAR("b", 5),
};
static struct layer transformer[] = {
	EMBEDDING(8),
	POSITION,
	DROPOUT(0.1f),
	BRANCH,
	NORM("a"),
	LINEAR("b", 24),
	ATTENTION(2),
	LINEAR("c", 8),
	JOIN,
	BRANCH,
	NORM("d"),
	LINEAR("e", 16),
	PLAIN(LAYER_GELU),
	LINEAR("f", 8),
	JOIN,
	NORM("g"),
	{.type = LAYER_LINEAR, .name = "h", .width = 5, .tied = 1},
};
/* Two layers share the embedding's weight, one of them with a bias of its own. */
static struct layer tied_twice[] = {
	EMBEDDING(4),
	{.type = LAYER_LINEAR, .name = "a", .width = 5, .tied = 1, .bias = true},
	PLAIN(LAYER_SIGMOID),
	LINEAR("b", 4),
	{.type = LAYER_LINEAR, .name = "c", .width = 5, .tied = 1},
};
static struct layer convolutions[] = {
	CONV("a", 4, 3, 1, 1),
	PLAIN(LAYER_RELU),
	POOL(LAYER_MAX_POOL, 2, 2, 0),
	CONV("b", 6, 2, 2, 1),
	{.type = LAYER_GROUP_NORM, .name = "c", .heads = 3, .bias = true},
	PLAIN(LAYER_SILU),
	POOL(LAYER_AVERAGE_POOL, 2, 1, 1),
	PLAIN(LAYER_FLATTEN),
	LINEAR("d", 3),
};
static struct layer image_residual[] = {
	{.type = LAYER_GROUP_NORM, .name = "a", .heads = 1},
	BRANCH,
	CONV("b", 2, 3, 1, 1),
	PLAIN(LAYER_TANH),
	JOIN,
	POOL(LAYER_MAX_POOL, 3, 2, 1),
	PLAIN(LAYER_FLATTEN),
	LINEAR("d", 3),
};
static struct layer wide_average[] = {
	CONV("a", 2, 3, 1, 1),
	PLAIN(LAYER_TANH),
	POOL(LAYER_AVERAGE_POOL, 17, 3, 2),
	PLAIN(LAYER_FLATTEN),
	LINEAR("d", 3),
};
static struct layer large_transformer[] = {
	EMBEDDING(48),
	POSITION,
	DROPOUT(0.1f),
	BRANCH,
	NORM("a"),
	LINEAR("b", 144),
	ATTENTION(3),
	LINEAR("c", 48),
	DROPOUT(0.2f),
	JOIN,
	BRANCH,
	NORM("d"),
	LINEAR("e", 192),
	PLAIN(LAYER_GELU),
	LINEAR("f", 48),
	JOIN,
	NORM("g"),
	{.type = LAYER_LINEAR, .name = "h", .width = 5, .tied = 1},
};
static struct layer large_convolutions[] = {
	CONV("a", 37, 3, 1, 1),
	{.type = LAYER_GROUP_NORM, .name = "n", .heads = 37, .bias = true},
	PLAIN(LAYER_RELU),
	POOL(LAYER_MAX_POOL, 2, 2, 0),
	CONV("b", 40, 3, 1, 1),
	PLAIN(LAYER_TANH),
	POOL(LAYER_AVERAGE_POOL, 2, 2, 0),
	PLAIN(LAYER_FLATTEN),
	LINEAR("d", 64),
	PLAIN(LAYER_SIGMOID),
	LINEAR("e", 3),
};

#define CASE(layers, loss, context, ...)                                                           \
	{                                                                                          \
#layers, layers, sizeof(layers) / sizeof((layers)[0]), loss, context, __VA_ARGS__  \
	}
#define ENTROPY LOSS_CROSS_ENTROPY

const struct model_case model_cases[] = {
	CASE(one_linear, ENTROPY, 0, {0}, 6),
	CASE(linear_without_bias, ENTROPY, 0, {0}, 6),
	CASE(activations, ENTROPY, 0, {0}, 6),
	CASE(chained, ENTROPY, 0, {0}, 6),
	CASE(dropouts, ENTROPY, 0, {0}, 6),
	CASE(binary, LOSS_BINARY_CROSS_ENTROPY, 0, {0}, 6),
	CASE(regression, LOSS_SQUARED_ERROR, 0, {0}, 6),
	CASE(norms, ENTROPY, 0, {0}, 6),
	CASE(residuals, ENTROPY, 0, {0}, 6),
	CASE(characters, ENTROPY, 4, {0}, 6),
	CASE(transformer, ENTROPY, 4, {0}, 6),
	CASE(tied_twice, ENTROPY, 4, {0}, 6),
	CASE(convolutions, ENTROPY, 0, {2, 6, 5}, 6),
	CASE(image_residual, ENTROPY, 0, {2, 5, 4}, 6),
	CASE(wide_average, ENTROPY, 0, {1, 18, 22}, 6),
};
const size_t model_case_count = sizeof(model_cases) / sizeof(model_cases[0]);

const struct model_case large_cases[] = {
	CASE(large_transformer, ENTROPY, 40, {0}, 26),
	CASE(large_convolutions, ENTROPY, 0, {3, 14, 12}, 26),
};
const size_t large_case_count = sizeof(large_cases) / sizeof(large_cases[0]);
