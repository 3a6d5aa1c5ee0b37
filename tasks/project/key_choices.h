/* The words that an owner chooses among; for key_table.c alone. */
#ifndef TASKS_PROJECT_KEY_CHOICES_H
#define TASKS_PROJECT_KEY_CHOICES_H

#include "tasks/project/keys.h"

static const struct key_choice models[] = {
	{"logistic", MODEL_LOGISTIC},
	{"mlp", MODEL_MLP},
	{"cnn", MODEL_CNN},
	{"char-mlp", MODEL_CHAR_MLP},
	{"gpt", MODEL_GPT},
	{"layers", MODEL_LAYERS},
	{NULL, 0},
};
static const struct key_choice activations[] = {
	{"relu", LAYER_RELU},
	{"gelu", LAYER_GELU},
	{"silu", LAYER_SILU},
	{"tanh", LAYER_TANH},
	{"sigmoid", LAYER_SIGMOID},
	{NULL, 0},
};
static const struct key_choice losses[] = {
	{"cross_entropy", LOSS_CROSS_ENTROPY},
	{"binary_cross_entropy", LOSS_BINARY_CROSS_ENTROPY},
	{"squared_error", LOSS_SQUARED_ERROR},
	{NULL, 0},
};
static const struct key_choice formats[] = {
	{"csv", DATA_CSV},
	{"idx", DATA_IDX},
	{"text", DATA_TEXT},
	{"npy", CHOICE_NOT_YET},
	{NULL, 0},
};
static const struct key_choice tokens[] = {
	{"characters", TOKEN_CHARACTER},
	{"bytes", TOKEN_BYTE},
	{NULL, 0},
};
static const struct key_choice predictions[] = {
	{"class", LABEL_CLASS},
	{"number", LABEL_NUMBER},
	{NULL, 0},
};
static const struct key_choice modes[] = {
	{"local", MODE_LOCAL},
	{"gradient", MODE_GRADIENT},
	{NULL, 0},
};
static const struct key_choice numerics[] = {
	{"canonical", NUMERICS_CANONICAL},
	{"blas", NUMERICS_BLAS},
	{NULL, 0},
};
static const struct key_choice inner_states[] = {
	{"fresh", INNER_FRESH},
	{"average", INNER_AVERAGE},
	{NULL, 0},
};
static const struct key_choice headers[] = {
	{"auto", HEADER_AUTO},
	{"true", HEADER_YES},
	{"false", HEADER_NO},
	{NULL, 0},
};
static const struct key_choice optimizers[] = {
	{"adamw", OPTIMIZER_ADAMW},
	{"sgd", OPTIMIZER_SGD},
	{NULL, 0},
};
static const struct key_choice schedules[] = {
	{"cosine", SCHEDULE_COSINE},
	{"linear", SCHEDULE_LINEAR},
	{"constant", SCHEDULE_CONSTANT},
	{NULL, 0},
};
static const struct key_choice compressions[] = {
	{"int8", COMPRESSION_INT8},
	{"fp16", COMPRESSION_FP16},
	{"bf16", COMPRESSION_BF16},
	{"sparseloco", COMPRESSION_SPARSELOCO},
	{"none", COMPRESSION_NONE},
	{"demo", CHOICE_NOT_YET},
	{"powersgd", CHOICE_NOT_YET},
	{NULL, 0},
};
static const struct key_choice merges[] = {
	{"mean", MERGE_MEAN},
	{"median_norm_clip", MERGE_MEDIAN_NORM_CLIP},
	{"trimmed_mean", MERGE_TRIMMED_MEAN},
	{"centered_clip", MERGE_CENTERED_CLIP},
	{"multi_krum", MERGE_MULTI_KRUM},
	{NULL, 0},
};
static const struct key_choice outers[] = {
	{"nesterov", OUTER_NESTEROV},
	{"sgd", OUTER_SGD},
	{"adamw", OUTER_ADAMW},
	{NULL, 0},
};
static const struct key_choice on_frauds[] = {
	{"rollback", FRAUD_ROLLBACK}, {"continue", FRAUD_CONTINUE}, {0}};
static const struct key_choice policies[] = {
	{"full", VERIFY_FULL},
	{"adaptive", VERIFY_ADAPTIVE},
	{NULL, 0},
};

#endif
