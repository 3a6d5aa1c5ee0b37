/* See rate.h. */
#include "tasks/unit/rate.h"

#include <math.h>

#include "tasks/math/scalar.h"

/* The rate of step `at` of `all`, with the run's warm-up and the schedule. */
static double scheduled(const struct train_spec *t, double rate, uint64_t at, uint64_t all)
{
	double end = t->learning_rate_end;
	double part = (double)at / (double)all;

	if (at < t->run_warmup_steps)
		rate = rate * (double)(at + 1) / (double)t->run_warmup_steps;
	if (t->schedule == SCHEDULE_COSINE)
		rate = rate * (end + (1.0 - end) * (0.5 * (1.0 + scalar_cos_pi(part))));
	if (t->schedule == SCHEDULE_LINEAR)
		rate = rate * (end + (1.0 - end) * (1.0 - part));
	return rate;
}

float rate_inner(const struct train_spec *t, uint32_t round, uint32_t step)
{
	double rate = t->learning_rate;

	if (step < t->warmup_steps)
		rate = rate * (double)(step + 1) / (double)t->warmup_steps;
	return (float)scheduled(t, rate, (uint64_t)round * t->inner_steps + step,
		(uint64_t)t->rounds * t->inner_steps);
}

float rate_outer(const struct train_spec *t, uint32_t round)
{
	if (t->mode == MODE_LOCAL)
		return t->outer_learning_rate;
	return (float)scheduled(t, t->learning_rate, round, t->rounds);
}

float bias_correction(float beta, uint64_t t)
{
	return (float)(1.0 - scalar_power(beta, t));
}

float clip_factor(const struct compute *c, float clip, const float *gradient, size_t n)
{
	float norm;

	if (clip == 0)
		return 1;
	norm = sqrtf(compute_sum_squares(c, n, gradient));
	return norm > clip ? clip / norm : 1;
}
