/* For kernels.c alone: convolutions of images, forwards and backwards, as plain loops over the chains
 * that NUMERICS.md specifies. */
#ifndef TASKS_MATH_KERNELS_CONV_H
#define TASKS_MATH_KERNELS_CONV_H

#include "tasks/math/kernels_vector.h"

/* x[channel][row][col] where the window at output (i, j) has its element (u, v); +0 beyond the border. */
INLINE float window_element(const struct window *w, const float *x, size_t channel, size_t i,
	size_t j, size_t u, size_t v)
{
	size_t row = i * w->stride + u - w->padding; /* wraps to a huge number above the border */
	size_t col = j * w->stride + v - w->padding;

	if (row >= w->height || col >= w->width)
		return 0.0f;
	return x[(channel * w->height + row) * w->width + col];
}

static size_t conv2d_workspace(const struct window *w)
{
	(void)w;
	return 0;
}

static void conv2d(size_t batch, const struct window *w, const float *x, const float *weight,
	const float *bias, float *y, float *workspace)
{
	const size_t kernel = w->kernel;

	(void)workspace;
	for (size_t n = 0; n < batch; n++, x += (size_t)w->channels * w->height * w->width) {
		for (size_t o = 0; o < w->channels_out; o++) {
			for (size_t i = 0; i < w->height_out; i++) {
				for (size_t j = 0; j < w->width_out; j++) {
					const float *a = weight + o * w->channels * kernel * kernel;
					float sum = bias == NULL ? 0.0f : bias[o];

					for (size_t c = 0; c < w->channels; c++)
						for (size_t u = 0; u < kernel; u++)
							for (size_t v = 0; v < kernel; v++)
								sum = fused(*a++,
									window_element(w, x, c, i,
										j, u, v),
									sum);
					*y++ = sum;
				}
			}
		}
	}
}

static void conv2d_backward_input(size_t batch, const struct window *w, const float *dy,
	const float *weight, float *dx, float *workspace)
{
	const size_t kernel = w->kernel, stride = w->stride;
	const size_t plane = (size_t)w->height_out * w->width_out;

	(void)workspace;
	for (size_t n = 0; n < batch; n++, dy += w->channels_out * plane) {
		for (size_t c = 0; c < w->channels; c++) {
			for (size_t i = w->padding; i < w->height + (size_t)w->padding; i++) {
				for (size_t j = w->padding; j < w->width + (size_t)w->padding;
					j++) {
					float sum = 0.0f;

					for (size_t o = 0; o < w->channels_out; o++)
						for (size_t u = i % stride; u < kernel; u += stride)
							for (size_t v = j % stride; v < kernel;
								v += stride) {
								size_t row = (i - u) / stride,
								       col = (j - v) / stride;
								bool inside = i >= u && j >= v &&
									      row < w->height_out &&
									      col < w->width_out;
								float a = weight
									[((o * w->channels + c) *
											 kernel +
										 u) * kernel +
										v];

								sum = fused(a,
									inside ? dy[o * plane +
											 row * w->width_out +
											 col]
									       : 0.0f,
									sum);
							}
					*dx++ = sum;
				}
			}
		}
	}
}

static void conv2d_backward_weight(size_t batch, const struct window *w, size_t first, size_t count,
	const float *x, const float *dy, float *dweight, float *dbias, float *workspace)
{
	const size_t kernel = w->kernel, image = (size_t)w->channels * w->height * w->width;
	const size_t plane = (size_t)w->height_out * w->width_out;
	const size_t taps = w->channels * kernel * kernel;

	(void)workspace;
	for (size_t o = first; o < first + count; o++) {
		for (size_t k = 0; k < taps; k++) {
			size_t c = k / (kernel * kernel), u = k / kernel % kernel, v = k % kernel;
			float sum = 0.0f;

			for (size_t n = 0; n < batch; n++)
				for (size_t i = 0; i < w->height_out; i++)
					for (size_t j = 0; j < w->width_out; j++)
						sum = fused(dy[(n * w->channels_out + o) * plane +
								    i * w->width_out + j],
							window_element(
								w, x + n * image, c, i, j, u, v),
							sum);
			dweight[o * taps + k] = sum;
		}
		if (dbias != NULL) {
			dbias[o] = 0.0f;
			for (size_t n = 0; n < batch; n++)
				for (size_t i = 0; i < plane; i++)
					dbias[o] += dy[(n * w->channels_out + o) * plane + i];
		}
	}
}

#endif
