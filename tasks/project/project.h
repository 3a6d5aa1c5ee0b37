/* A project as its owner writes it: project.yaml, read through one table of keys. */
#ifndef TASKS_PROJECT_PROJECT_H
#define TASKS_PROJECT_PROJECT_H

#include <stdio.h>

#include "tasks/project/faults.h"
#include "tasks/project/presets.h"

enum verify_policy { VERIFY_FULL = 1, VERIFY_ADAPTIVE = 2 };
enum on_fraud { FRAUD_ROLLBACK = 1, FRAUD_CONTINUE = 2 };
enum numerics { NUMERICS_CANONICAL = 1, NUMERICS_BLAS };

#define QUORUM_MIN	  2u
#define QUORUM_MAX	  8u /* REPLICAS_PER_UNIT of the coordinator */
#define AUDIT_FLOOR_MIN	  1e-3
#define SETTLE_ROUNDS_MAX 8u
#define PROJECT_FILE_MAX  (1u << 20)

struct project {
	char name[PROJECT_NAME_MAX];
	uint64_t seed;
	struct model_settings model;
	struct data_spec data; /* paths are relative to the project file's folder: resolved here */
	struct train_spec train; /* trace_every 0: project_recipe decides */
	enum numerics numerics;	 /* blas: for one process alone (project_check_grid) */
	enum verify_policy policy;
	uint32_t quorum;
	double audit_floor; /* adaptive alone, as the two below */
	uint32_t settle_rounds;
	enum on_fraud on_fraud;
	/* Where to report what only the data, or the file of model.init, show to be wrong. */
	char file[DATA_PATH_MAX];
	struct place data_at, model_at, init_at, numerics_at;
	struct place labels_at, validation_at, validation_labels_at;
	struct place layers_at[LIST_LAYERS_MAX]; /* of model.layers */
};

/* Reads and checks project.yaml. All errors are reported, one line each and in the file's order, as
 * "FILE:LINE:COLUMN: section.key: what is wrong; remedy (nearest valid key)". They go to `errors`
 * (a growing text, NUL-terminated on return beyond its len; may be NULL) and the first one to msg.
 * A file that cannot be read gives one line too. *out is set only on success.
 * Errors: TK_ENOENT, TK_EIO, TK_EINVAL, TK_EUNSUPPORTED (when nothing else is wrong than a setting
 * that this version does not have), TK_ELIMIT, TK_ENOMEM. */
int project_read(
	struct project *out, const char *path, struct bytes *errors, struct errmsg *msg) TK_CHECKED;

/* Prepares the data, lays the model out over them and puts the recipe together. Gives *out (recipe_close)
 * only on success. msg begins with the place in project.yaml that the error is about,
 * unless it is about this computer. */
int project_recipe(struct recipe *out, const struct project *p, const struct shard_sink *sink,
	struct errmsg *msg) TK_CHECKED;

/* Appends the parameters that recipe->initial names, as float32 LE: those of the file model.init. Nothing is
 * appended when there is no such file and the seed decides. Errors: those of file_read and safetensors_load,
 * TK_ENOMEM. */
int project_initial(struct bytes *out, const struct project *p, const struct recipe *recipe,
	struct errmsg *msg) TK_CHECKED;

/* Refuses a project that one process can train and strangers cannot: there is nothing to compare in bits
 * that are one computer's own. Errors: TK_EUNSUPPORTED; msg begins with the place in project.yaml. */
int project_check_grid(const struct project *p, struct errmsg *msg) TK_CHECKED;

/* Prints what `check` shows a person: parameters, samples, classes, steps, FLOPs per unit, bytes per
 * round, memory of a worker. */
void project_describe(const struct project *p, const struct recipe *r, FILE *out);

/* Prints the table of keys with types, limits, defaults and help. */
void project_help(FILE *out);

#endif
