/* What makes a recipe's training sound: limits, and settings that mean something together. */
#include "tasks/project/recipe_check.h"

static int check_choice(const char *field, int v, int last, struct errmsg *msg)
{
	if (v >= 1 && v <= last)
		return TK_OK;
	return errmsg_set(msg, TK_EINVAL, "%s %d is unknown", field, v);
}

/* The fields of AdamW, inner or outer. */
static int check_adamw(const char *fields[3], float beta1, float beta2, float epsilon, bool used,
	struct errmsg *msg)
{
	int rc = check_f32(fields[0], beta1, 0, used ? BETA_MAX : 0, msg);

	if (rc == TK_OK)
		rc = check_f32(fields[1], beta2, 0, used ? BETA_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_f32(
			fields[2], epsilon, used ? EPSILON_MIN : 0, used ? EPSILON_MAX : 0, msg);
	return rc;
}

/* What may be carried from unit to unit. */
static int check_state(const struct train_spec *t, bool local, struct errmsg *msg)
{
	if (!local)
		return check_u32("train.inner_state", t->inner_state, 0, 0, msg);
	if (t->inner_state == INNER_AVERAGE && t->optimizer == OPTIMIZER_SGD && t->momentum == 0)
		return errmsg_set(msg, TK_EINVAL,
			"train.inner_state: average wants an optimizer with a state: adamw, or sgd "
			"with momentum");
	return check_choice("train.inner_state", (int)t->inner_state, INNER_AVERAGE, msg);
}

static int check_inner(const struct train_spec *t, struct errmsg *msg)
{
	const char *fields[3] = {"train.beta1", "train.beta2", "train.epsilon"};
	bool local = t->mode == MODE_LOCAL;
	bool adamw = local && t->optimizer == OPTIMIZER_ADAMW;
	bool sgd = local && !adamw;
	int rc = local ? check_choice("train.optimizer", (int)t->optimizer, OPTIMIZER_ADAMW, msg)
		       : check_u32("train.optimizer", t->optimizer, 0, 0, msg);

	if (rc == TK_OK)
		rc = check_state(t, local, msg);
	if (rc == TK_OK)
		rc = check_adamw(fields, t->beta1, t->beta2, t->epsilon, adamw, msg);
	if (rc == TK_OK)
		rc = check_f32("train.momentum", t->momentum, 0, sgd ? BETA_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_u32("train.nesterov", t->nesterov, 0, sgd && t->momentum > 0, msg);
	if (rc == TK_OK)
		rc = check_f32("train.weight_decay", t->weight_decay, 0,
			local ? WEIGHT_DECAY_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_u32(
			"train.warmup_steps", t->warmup_steps, 0, local ? t->inner_steps : 0, msg);
	return rc;
}

static int check_outer(const struct train_spec *t, struct errmsg *msg)
{
	const char *fields[3] = {"train.outer.beta1", "train.outer.beta2", "train.outer.epsilon"};
	bool local = t->mode == MODE_LOCAL;
	bool adamw = t->outer == OUTER_ADAMW;
	int rc = check_choice("train.outer.optimizer", (int)t->outer, OUTER_ADAMW, msg);

	if (rc == TK_OK && adamw && local)
		rc = errmsg_set(msg, TK_EINVAL,
			"train.outer.optimizer: adamw belongs to mode: gradient; use nesterov or "
			"sgd");
	if (rc == TK_OK)
		rc = check_f32("train.outer.learning_rate", t->outer_learning_rate,
			local ? LEARNING_RATE_MIN : 1, local ? LEARNING_RATE_MAX : 1, msg);
	if (rc == TK_OK)
		rc = check_f32("train.outer.momentum", t->outer_momentum, 0,
			t->outer == OUTER_NESTEROV ? BETA_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_adamw(
			fields, t->outer_beta1, t->outer_beta2, t->outer_epsilon, adamw, msg);
	if (rc == TK_OK)
		rc = check_f32("train.outer.weight_decay", t->outer_weight_decay, 0,
			adamw ? WEIGHT_DECAY_MAX : 0, msg);
	return rc;
}

static int check_rate(const struct train_spec *t, struct errmsg *msg)
{
	bool constant = t->schedule == SCHEDULE_CONSTANT;
	uint64_t steps = (uint64_t)t->rounds * (t->mode == MODE_LOCAL ? t->inner_steps : 1);
	int rc = check_choice("train.schedule", (int)t->schedule, SCHEDULE_LINEAR, msg);

	if (rc == TK_OK)
		rc = check_f32("train.learning_rate", t->learning_rate, LEARNING_RATE_MIN,
			LEARNING_RATE_MAX, msg);
	if (rc == TK_OK)
		rc = check_f32(
			"train.learning_rate_end", t->learning_rate_end, 0, constant ? 0 : 1, msg);
	if (rc == TK_OK)
		rc = check_f32("train.clip", t->clip, 0, CLIP_MAX, msg);
	if (rc == TK_OK && t->run_warmup_steps > steps)
		rc = errmsg_set(msg, TK_EINVAL,
			"train.run_warmup_steps is %u, more than the run's %llu steps",
			t->run_warmup_steps, (unsigned long long)steps);
	return rc;
}

static int check_amounts(const struct train_spec *t, struct errmsg *msg)
{
	int rc = check_u32("train.batch_size", t->batch_size, 1, BATCH_MAX, msg);

	if (rc == TK_OK)
		rc = check_u32("train.inner_steps", t->inner_steps, 1, INNER_STEPS_MAX, msg);
	if (rc == TK_OK)
		rc = check_u32(
			"train.units_per_round", t->units_per_round, 1, UNITS_PER_ROUND_MAX, msg);
	if (rc == TK_OK)
		rc = check_u32("train.rounds", t->rounds, 1, ROUNDS_MAX, msg);
	if (rc == TK_OK)
		rc = check_u32("train.accumulate", t->accumulate, 1, ACCUMULATE_MAX, msg);
	if (rc == TK_OK && t->batch_size % t->accumulate != 0)
		rc = errmsg_set(msg, TK_EINVAL,
			"train.accumulate is %u, which does not divide batch_size, %u",
			t->accumulate, t->batch_size);
	if (rc == TK_OK)
		rc = check_u32("verify.trace_every", t->trace_every, 1, t->inner_steps, msg);
	if (rc == TK_OK && (uint64_t)t->rounds * t->units_per_round >
				   INT64_MAX / ((uint64_t)t->inner_steps * t->batch_size))
		rc = errmsg_set(msg, TK_ELIMIT,
			"rounds × units_per_round × inner_steps × batch_size pass 2^63 samples");
	return rc;
}

uint32_t merge_units_min(enum merge_rule rule, uint32_t byzantine)
{
	switch (rule) {
	case MERGE_MEAN:
		return 1;
	case MERGE_TRIMMED_MEAN:
		return 2 * byzantine + 1;
	case MERGE_MULTI_KRUM:
		return 2 * byzantine + 3;
	default:
		return 3;
	}
}

static int check_merge(const struct train_spec *t, struct errmsg *msg)
{
	uint32_t units = t->units_per_round;
	bool bounded = t->merge == MERGE_TRIMMED_MEAN || t->merge == MERGE_MULTI_KRUM;
	bool centered = t->merge == MERGE_CENTERED_CLIP;
	int rc = check_choice("train.merge", (int)t->merge, MERGE_MULTI_KRUM, msg);

	if (rc == TK_OK)
		rc = check_u32("train.merge_byzantine", t->merge_byzantine, bounded,
			bounded ? UNITS_PER_ROUND_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_u32("train.merge_iterations", t->merge_iterations, centered,
			centered ? MERGE_ITERATIONS_MAX : 0, msg);
	if (rc == TK_OK)
		rc = check_f32("train.merge_radius", t->merge_radius, 0,
			centered ? MERGE_RADIUS_MAX : 0, msg);
	if (rc == TK_OK && units < merge_units_min(t->merge, t->merge_byzantine))
		return errmsg_set(msg, TK_EINVAL,
			"train.units_per_round is %u, too few for this train.merge, which wants %u",
			units, merge_units_min(t->merge, t->merge_byzantine));
	if (rc == TK_OK && t->merge == MERGE_MULTI_KRUM && units > KRUM_UNITS_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"train.units_per_round is %u; multi_krum, which compares all pairs, takes "
			"%u at most",
			units, KRUM_UNITS_MAX);
	return rc;
}

int check_train(const struct train_spec *t, struct errmsg *msg)
{
	int rc = check_choice("train.mode", (int)t->mode, MODE_GRADIENT, msg);

	if (rc == TK_OK)
		rc = check_amounts(t, msg);
	if (rc == TK_OK)
		rc = check_inner(t, msg);
	if (rc == TK_OK)
		rc = check_outer(t, msg);
	if (rc == TK_OK)
		rc = check_rate(t, msg);
	if (rc == TK_OK)
		rc = check_choice(
			"train.compression", (int)t->compression, COMPRESSION_SPARSELOCO, msg);
	if (rc == TK_OK)
		rc = check_merge(t, msg);
	return rc;
}
