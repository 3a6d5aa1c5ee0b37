/* The numbers of an optimizer's step: learning rates and bias corrections, in double and rounded to
 * float32 once, and the clip. NUMERICS.md, "Training step", is the specification. */
#ifndef TASKS_UNIT_RATE_H
#define TASKS_UNIT_RATE_H

#include "tasks/math/compute.h"
#include "tasks/project/recipe.h"

/* Of inner step `step` of round `round`; local mode. */
float rate_inner(const struct train_spec *t, uint32_t round, uint32_t step);

/* Of the outer optimizer's step that ends round `round`. */
float rate_outer(const struct train_spec *t, uint32_t round);

/* 1 − β^t; t counts from 1. */
float bias_correction(float beta, uint64_t t);

/* What a gradient of n numbers is multiplied with so that its norm is at most clip; 1 when clip is 0. */
float clip_factor(const struct compute *c, float clip, const float *gradient, size_t n);

#endif
