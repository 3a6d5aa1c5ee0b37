/* For kernels.c alone: what is computed element by element, forward and backward. */
#ifndef TASKS_MATH_KERNELS_ACTIVATION_H
#define TASKS_MATH_KERNELS_ACTIVATION_H

#include "tasks/math/kernels_functions.h"
#include "tasks/math/kernels_lanes.h"

INLINE vec vec_relu(vec x)
{
	return vec_most(x, (vec){0});
}

INLINE vec vec_relu_backward(vec y, vec dy)
{
	return vec_if_greater(y, (vec){0}, dy, (vec){0});
}

INLINE vec vec_tanh_backward(vec y, vec dy)
{
	return dy * vec_fma(-y, y, vec_splat(1.0f));
}

INLINE vec vec_sigmoid_backward(vec y, vec dy)
{
	return dy * vec_fma(-y, y, y);
}

INLINE vec vec_gelu_backward(vec x, vec dy)
{
	return dy * vec_gelu_slope(x);
}

INLINE vec vec_silu_backward(vec x, vec dy)
{
	return dy * vec_silu_slope(x);
}

INLINE vec vec_add(vec x, vec y)
{
	return y + x;
}

#define EACH(name)                                                                                 \
	static void each_##name(size_t n, const float *x, float *y)                                \
	{                                                                                          \
		map(n, x, y, vec_##name);                                                          \
	}
EACH(exp)
EACH(log)
EACH(tanh)
EACH(relu)
EACH(erf)
EACH(sigmoid)
EACH(gelu)
EACH(silu)
#undef EACH

#define EACH(name)                                                                                 \
	static void name##_backward(size_t n, const float *x, const float *dy, float *dx)          \
	{                                                                                          \
		map_two(n, x, dy, dx, vec_##name##_backward);                                      \
	}
EACH(tanh)
EACH(relu)
EACH(sigmoid)
EACH(gelu)
EACH(silu)
#undef EACH

static void add(size_t n, const float *x, float *y)
{
	map_two(n, x, y, y, vec_add);
}

#endif
