/* exp, log, tanh, erf, sigmoid, silu and gelu against libm's double functions, and at the points where they
 * must be exact; the scalars in double. The bounds and shares are those of NUMERICS.md, which were measured
 * on all 2^32 inputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/math/engine.h"
#include "tasks/math/scalar.h"
#include "tests/math/inputs.h"

/* The distance of neighbouring floats around y. */
static double ulp(double y)
{
	int exponent;

	if (fabs(y) < 0x1p-126)
		return 0x1p-149;
	frexp(y, &exponent);
	return ldexp(1, exponent - 24);
}

struct errors {
	double worst;
	double share; /* of results that are not correctly rounded, in percent of all inputs */
};

/* Over every 4,099th float; NaN and infinity must be where libm has them. */
static struct errors errors_of(void (*f)(size_t, const float *, float *), double (*exact)(double))
{
	enum { CHUNK = 1024, STEP = 4099 };
	float x[CHUNK], y[CHUNK];
	double worst = 0, wrong = 0, all = 0;

	for (uint64_t u = 0; u < 1ull << 32;) {
		size_t n = 0;

		for (; n < CHUNK && u < 1ull << 32; n++, u += STEP) {
			uint32_t bits = (uint32_t)u;

			memcpy(&x[n], &bits, sizeof(bits));
		}
		f(n, x, y);
		all += (double)n;
		for (size_t i = 0; i < n; i++) {
			double want = exact(x[i]);

			wrong += !isnan(want) && y[i] != (float)want;
			if (!isfinite((float)want) || !isfinite(y[i]))
				assert_int_equal(float_bits(y[i]), float_bits((float)want));
			else if (fabs(y[i] - want) > worst * ulp(want))
				worst = fabs(y[i] - want) / ulp(want);
		}
	}
	return (struct errors){worst, 100 * wrong / all};
}

static double sigmoid(double x)
{
	return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double silu(double x)
{
	return x * sigmoid(x);
}

static double gelu(double x)
{
	return x * 0.5 * erfc(-x * 0.70710678118654752440);
}

static void errors_are_as_small_and_as_rare_as_specified(void **state)
{
	const struct engine *e = engine_best();
	const struct {
		const char *name;
		void (*f)(size_t, const float *, float *);
		double (*exact)(double);
		double worst, share;
	} table[] = {
		{"exp", e->exp, exp, 1.03, 0.40},
		{"log", e->log, log, 0.81, 0.31},
		{"tanh", e->tanh, tanh, 1.34, 0.12},
		{"erf", e->erf, erf, 1.80, 0.71},
		{"sigmoid", e->sigmoid, sigmoid, 2.41, 2.92},
		{"silu", e->silu, silu, 52.1, 4.19},
		{"gelu", e->gelu, gelu, 15.1, 4.75},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct errors got = errors_of(table[i].f, table[i].exact);

		if (!(got.worst <= table[i].worst) || fabs(got.share - table[i].share) > 0.04)
			fail_msg("%s: error %.3f, not within %.2f; %.3f %% not correctly rounded, "
				 "not about %.2f %%",
				table[i].name, got.worst, table[i].worst, got.share,
				table[i].share);
	}
}

static void special_values_are_exact(void **state)
{
	const float x[8] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1.0f, -1.0f, 0x1p-149f};
	const uint32_t exps[8] = {
		0x3f800000, 0x3f800000, 0x7f800000, 0, 0x7fc00000, 0, 0, 0x3f800000};
	const uint32_t logs[8] = {
		0xff800000, 0xff800000, 0x7f800000, 0x7fc00000, 0x7fc00000, 0, 0x7fc00000, 0};
	const uint32_t tanhs[8] = {
		0, 0x80000000, 0x3f800000, 0xbf800000, 0x7fc00000, 0, 0, 0x00000001};

	(void)state;
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		float y[3][8];

		(*e)->exp(8, x, y[0]);
		(*e)->log(8, x, y[1]);
		(*e)->tanh(8, x, y[2]);
		for (int i = 0; i < 8; i++) {
			if (i != 5 && i != 6)
				assert_int_equal(float_bits(y[0][i]), exps[i]);
			if (i != 7)
				assert_int_equal(float_bits(y[1][i]), logs[i]);
			if (i != 5 && i != 6)
				assert_int_equal(float_bits(y[2][i]), tanhs[i]);
		}
	}
}

static void activations_are_exact_at_zero_and_at_the_ends(void **state)
{
	const float x[5] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN};
	const uint32_t want[4][5] = {{0, 0x80000000, 0x3f800000, 0xbf800000, 0x7fc00000},
		{0x3f000000, 0x3f000000, 0x3f800000, 0, 0x7fc00000},
		{0, 0x80000000, 0x7f800000, 0x7fc00000, 0x7fc00000},
		{0, 0x80000000, 0x7f800000, 0x7fc00000, 0x7fc00000}};

	(void)state;
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		float y[4][5];

		(*e)->erf(5, x, y[0]);
		(*e)->sigmoid(5, x, y[1]);
		(*e)->silu(5, x, y[2]);
		(*e)->gelu(5, x, y[3]);
		for (int f = 0; f < 4; f++) {
			for (int i = 0; i < 5; i++)
				assert_int_equal(float_bits(y[f][i]), want[f][i]);
		}
	}
}

static void subnormals_are_kept(void **state)
{
	const float low[2] = {-103.0f, -90.0f};
	float y[2];

	(void)state;
	engine_best()->exp(2, low, y);
	assert_true(y[0] > 0 && y[0] < 0x1p-147f);
	assert_true(y[1] > 0 && y[1] < 0x1p-126f);
}

static void cosine_of_pi_is_right_to_the_last_digits(void **state)
{
	(void)state;
	for (int i = 0; i <= 10000; i++) {
		double t = i / 10000.0, want = (double)cosl(3.14159265358979323846264338L * t);

		assert_true(fabs(scalar_cos_pi(t) - want) <= 0x1p-52);
	}
	assert_true(scalar_cos_pi(0) == 1 && scalar_cos_pi(1) == -1 && scalar_cos_pi(0.5) == 0);
	assert_true(scalar_cos_pi(-3) == 1 && scalar_cos_pi(7) == -1);
}

static void powers_follow_the_bits_of_the_exponent(void **state)
{
	(void)state;
	assert_true(scalar_power(0.9, 0) == 1);
	assert_true(scalar_power(0.9, 1) == 0.9);
	assert_true(scalar_power(0.9, 5) == 0.9 * ((0.9 * 0.9) * (0.9 * 0.9)));
	assert_true(scalar_power(2, 1000) == 0x1p1000);
	assert_true(scalar_power(0.5, UINT64_MAX) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_are_as_small_and_as_rare_as_specified),
		cmocka_unit_test(special_values_are_exact),
		cmocka_unit_test(activations_are_exact_at_zero_and_at_the_ends),
		cmocka_unit_test(subnormals_are_kept),
		cmocka_unit_test(cosine_of_pi_is_right_to_the_last_digits),
		cmocka_unit_test(powers_follow_the_bits_of_the_exponent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
