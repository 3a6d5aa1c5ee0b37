/* For kernels.c alone: pools. A row of results is carried as a whole from one element of the window to
 * the next, so that vectors run along the row. */
#ifndef TASKS_MATH_KERNELS_POOL_H
#define TASKS_MATH_KERNELS_POOL_H

#include "tasks/math/kernels_vector.h"

/* The outputs [first, end) along one side whose windows have their element `tap` within `size`. */
struct pool_range {
	size_t first, end;
};

INLINE struct pool_range pool_range(const struct window *w, size_t tap, size_t size, size_t count)
{
	size_t before = w->padding > tap ? w->padding - tap : 0;
	size_t last = size + w->padding > tap ? size + w->padding - tap : 0; /* i·stride < last */
	struct pool_range r = {
		(before + w->stride - 1) / w->stride, (last + w->stride - 1) / w->stride};

	if (r.end > count)
		r.end = count;
	if (r.first > r.end)
		r.first = r.end;
	return r;
}

/* The first element that each of the windows of a row has within the image; the smallest index. */
INLINE void max_begin(const struct window *w, size_t i, float *y, uint8_t *chosen)
{
	size_t top = i * w->stride < w->padding ? w->padding - i * w->stride : 0;

	for (size_t j = 0; j < w->width_out; j++) {
		size_t left = j * w->stride < w->padding ? w->padding - j * w->stride : 0;

		y[j] = -INFINITY;
		chosen[j] = (uint8_t)(top * w->kernel + left);
	}
}

INLINE void max_row(
	const size_t n, const size_t stride, const float *x, uint8_t tap, float *y, uint8_t *chosen)
{
	INDEPENDENT
	for (size_t j = 0; j < n; j++) {
		float value = x[j * stride];
		bool greater = value > y[j];

		y[j] = greater ? value : y[j];
		chosen[j] = greater ? tap : chosen[j];
	}
}

static void max_pool(
	size_t batch, const struct window *w, const float *x, float *y, uint8_t *chosen)
{
	for (size_t plane = batch * w->channels; plane > 0; plane--) {
		for (size_t i = 0; i < w->height_out;
			i++, y += w->width_out, chosen += w->width_out) {
			max_begin(w, i, y, chosen);
			for (size_t tap = 0; tap < (size_t)w->kernel * w->kernel; tap++) {
				size_t row = i * w->stride + tap / w->kernel - w->padding;
				size_t v = tap % w->kernel;
				struct pool_range r = pool_range(w, v, w->width, w->width_out);
				const float *from =
					x + row * w->width + r.first * w->stride + v - w->padding;

				if (row >= w->height || r.first == r.end)
					continue;
				if (w->stride == 2)
					max_row(r.end - r.first, 2, from, (uint8_t)tap, y + r.first,
						chosen + r.first);
				else
					max_row(r.end - r.first, w->stride, from, (uint8_t)tap,
						y + r.first, chosen + r.first);
			}
		}
		x += (size_t)w->height * w->width;
	}
}

static void max_pool_backward(
	size_t batch, const struct window *w, const uint8_t *chosen, const float *dy, float *dx)
{
	for (size_t plane = batch * w->channels; plane > 0; plane--) {
		memset(dx, 0, (size_t)w->height * w->width * sizeof(*dx));
		for (size_t i = 0; i < w->height_out; i++) {
			for (size_t j = 0; j < w->width_out; j++) {
				size_t row = i * w->stride + *chosen / w->kernel - w->padding;
				size_t col = j * w->stride + *chosen++ % w->kernel - w->padding;

				dx[row * w->width + col] += *dy++;
			}
		}
		dx += (size_t)w->height * w->width;
	}
}

static void average_pool(size_t batch, const struct window *w, const float *x, float *y)
{
	const float count = (float)(w->kernel * w->kernel);

	for (size_t plane = batch * w->channels; plane > 0; plane--) {
		for (size_t i = 0; i < w->height_out; i++, y += w->width_out) {
			memset(y, 0, w->width_out * sizeof(*y));
			for (size_t tap = 0; tap < (size_t)w->kernel * w->kernel; tap++) {
				size_t row = i * w->stride + tap / w->kernel - w->padding;
				size_t v = tap % w->kernel;
				struct pool_range r = pool_range(w, v, w->width, w->width_out);

				if (row >= w->height)
					continue;
				for (size_t j = r.first; j < r.end; j++)
					y[j] += x[row * w->width + j * w->stride + v - w->padding];
			}
			for (size_t j = 0; j < w->width_out; j++)
				y[j] /= count;
		}
		x += (size_t)w->height * w->width;
	}
}

static void average_pool_backward(size_t batch, const struct window *w, const float *dy, float *dx)
{
	const float count = (float)(w->kernel * w->kernel);

	for (size_t plane = batch * w->channels; plane > 0; plane--) {
		memset(dx, 0, (size_t)w->height * w->width * sizeof(*dx));
		for (size_t i = 0; i < w->height_out; i++, dy += w->width_out) {
			for (size_t j = 0; j < w->width_out; j++) {
				float share = dy[j] / count;

				for (size_t tap = 0; tap < (size_t)w->kernel * w->kernel; tap++) {
					size_t row = i * w->stride + tap / w->kernel - w->padding;
					size_t col = j * w->stride + tap % w->kernel - w->padding;

					if (row < w->height && col < w->width)
						dx[row * w->width + col] += share;
				}
			}
		}
		dx += (size_t)w->height * w->width;
	}
}

#endif
