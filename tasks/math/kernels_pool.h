/* For kernels.c alone: pools. Vectors run along a row of results whose windows lie within the image's
 * columns; the few windows that reach beyond are taken one by one. */
#ifndef TASKS_MATH_KERNELS_POOL_H
#define TASKS_MATH_KERNELS_POOL_H

#include "tasks/math/kernels_vector.h"

#define POOL_PLACES 256 /* kernel ≤ 16 */

/* What exists of the windows at row i (or column i) of the results: places [first, end). */
struct pool_span {
	size_t first, end;
};

INLINE struct pool_span pool_span(const struct window *w, size_t i, size_t size)
{
	size_t begin = i * w->stride; /* within the border */
	struct pool_span s = {begin < w->padding ? w->padding - begin : 0, w->kernel};

	if (begin + s.end > w->padding + size)
		s.end = w->padding + size - begin;
	return s;
}

/* The columns of results [first, end) whose windows lie between the left and the right border. */
INLINE struct pool_span pool_inside(const struct window *w)
{
	struct pool_span s = {((size_t)w->padding + w->stride - 1) / w->stride, 0};

	if (w->width + (size_t)w->padding >= w->kernel)
		s.end = (w->width + (size_t)w->padding - w->kernel) / w->stride + 1;
	if (s.end > w->width_out)
		s.end = w->width_out;
	if (s.first > s.end)
		s.first = s.end;
	return s;
}

/* from[0], from[stride] … in n lanes or more; nothing at or after `end` is read. */
INLINE vec strided_load(const size_t stride, const float *from, size_t n, const float *end)
{
	vec v = {0};

	if (stride == 1 && end - from >= LANES)
		return vec_load(from);
	if (stride == 2 && end - from >= 2 * LANES)
		return vec_even(vec_load(from), vec_load(from + LANES));
	for (size_t i = 0; i < n; i++)
		v[i] = from[i * stride];
	return v;
}

/* Windows at the same row of results, as far as they exist. */
struct pool_row {
	const float *end; /* of all that may be read */
	size_t rows, width;
	size_t first; /* the place that the first of these rows begins with */
};

/* LANES windows side by side, at least the first n of which exist, from their first places at x on. */
INLINE vec max_vector(const size_t kernel, const size_t stride, const struct pool_row *row,
	const float *x, size_t n, vec_int *place)
{
	vec best = vec_splat(-INFINITY);
	vec_int here = (vec_int){0} + (int32_t)row->first;

	*place = here;
	for (size_t u = 0; u < row->rows; u++, x += row->width) {
		for (size_t v = 0; v < kernel; v++, here += 1) {
			vec value = strided_load(stride, x + v, n, row->end);
			vec_int greater = value > best;

			best = (vec)(((vec_int)value & greater) | ((vec_int)best & ~greater));
			*place = (here & greater) | (*place & ~greater);
		}
	}
	return best;
}

INLINE vec mean_vector(const size_t kernel, const size_t stride, const struct pool_row *row,
	const float *x, size_t n)
{
	vec sum = {0};

	for (size_t u = 0; u < row->rows; u++, x += row->width) {
		for (size_t v = 0; v < kernel; v++)
			sum += strided_load(stride, x + v, n, row->end);
	}
	return sum / vec_splat((float)(kernel * kernel));
}

/* One window, of which the places within rows and cols exist; x is where (0, 0) would be. */
static void max_one(const struct window *w, struct pool_span rows, struct pool_span cols,
	const float *x, float *y, uint8_t *chosen)
{
	size_t place = rows.first * w->kernel + cols.first;
	float best = -INFINITY;

	for (size_t u = rows.first; u < rows.end; u++) {
		for (size_t v = cols.first; v < cols.end; v++) {
			float value = x[u * w->width + v];

			place = value > best ? u * w->kernel + v : place;
			best = value > best ? value : best;
		}
	}
	*y = best;
	*chosen = (uint8_t)place;
}

static float mean_one(
	const struct window *w, struct pool_span rows, struct pool_span cols, const float *x)
{
	float sum = 0.0f;

	for (size_t u = rows.first; u < rows.end; u++) {
		for (size_t v = cols.first; v < cols.end; v++)
			sum += x[u * w->width + v];
	}
	return sum / (float)(w->kernel * w->kernel);
}

/* The row's windows in columns [j, end), which reach beyond the left or right border. */
static void pool_edge(const struct window *w, struct pool_span rows, size_t j, size_t end,
	const float *x, float *y, uint8_t *chosen)
{
	for (; j < end; j++) {
		struct pool_span cols = pool_span(w, j, w->width);

		if (chosen != NULL)
			max_one(w, rows, cols, x + j * w->stride, y + j, chosen + j);
		else
			y[j] = mean_one(w, rows, cols, x + j * w->stride);
	}
}

/* Row i of the results for one plane; chosen is NULL for the mean. kernel and stride are those of w.
 * `rest` results lie from y to the end; where that allows it, vectors reach past the end of the row,
 * which the next row overwrites. */
INLINE void pool_row(const size_t kernel, const size_t stride, const struct window *w,
	struct pool_span inside, size_t i, const float *plane, const float *end, size_t rest,
	float *y, uint8_t *chosen)
{
	const struct pool_span rows = pool_span(w, i, w->height);
	const struct pool_row row = {end, rows.end - rows.first, w->width, rows.first * kernel};
	/* Where place (0, 0) of window (i, 0) would be. */
	const float *x = plane + (ptrdiff_t)(i * stride * w->width) -
			 (ptrdiff_t)((size_t)w->padding * w->width + w->padding);

	if (inside.first > 0)
		pool_edge(w, rows, 0, inside.first, x, y, chosen);
	for (size_t j = inside.first; j < inside.end; j += LANES) {
		size_t n = inside.end - j < LANES ? inside.end - j : LANES;
		const float *from = x + rows.first * w->width + j * stride;
		vec_int place;
		vec value;

		if (chosen != NULL)
			value = max_vector(kernel, stride, &row, from, n, &place);
		else
			value = mean_vector(kernel, stride, &row, from, n);
		if (rest - j >= LANES) {
			vec_store(y + j, value);
			if (chosen != NULL)
				bytes_store(chosen + j, place);
			continue;
		}
		memcpy(y + j, &value, n * sizeof(*y));
		for (size_t k = 0; chosen != NULL && k < n; k++)
			chosen[j + k] = (uint8_t)place[k];
	}
	if (inside.end < w->width_out)
		pool_edge(w, rows, inside.end, w->width_out, x, y, chosen);
}

INLINE void pool(const size_t kernel, const size_t stride, size_t batch, const struct window *w,
	const float *x, float *y, uint8_t *chosen)
{
	const size_t plane = (size_t)w->height * w->width;
	const float *end = x + batch * w->channels * plane;
	const struct pool_span inside = pool_inside(w);
	size_t rest = batch * w->channels * w->height_out * w->width_out;

	for (; x < end; x += plane) {
		for (size_t i = 0; i < w->height_out; i++) {
			pool_row(kernel, stride, w, inside, i, x, end, rest, y, chosen);
			y += w->width_out;
			chosen = chosen == NULL ? NULL : chosen + w->width_out;
			rest -= w->width_out;
		}
	}
}

static void max_pool(
	size_t batch, const struct window *w, const float *x, float *y, uint8_t *chosen)
{
	if (w->kernel == 2 && w->stride == 2)
		pool(2, 2, batch, w, x, y, chosen);
	else
		pool(w->kernel, w->stride, batch, w, x, y, chosen);
}

static void average_pool(size_t batch, const struct window *w, const float *x, float *y)
{
	if (w->kernel == 2 && w->stride == 2)
		pool(2, 2, batch, w, x, y, NULL);
	else
		pool(w->kernel, w->stride, batch, w, x, y, NULL);
}

/* Row u of the next LANES windows of kernel and stride 2. */
INLINE void halves_backward(int32_t u, const uint8_t *chosen, const float *dy, float *dx)
{
	vec_int value = (vec_int)(vec_load(dy) + vec_splat(0.0f));
	vec_int place = bytes_load(chosen) - 2 * u;
	vec out[2] = {(vec)(value & (place == 0)), (vec)(value & (place == 1))};

	vec_interleave(out);
	vec_store(dx, out[0]);
	vec_store(dx + LANES, out[1]);
}

/* dx for kernel and stride 2 without border, where each element belongs to one window at most. Vectors
 * reach past the end of a row as in pool_row. */
static void max_pool_halves(
	size_t planes, const struct window *w, const uint8_t *chosen, const float *dy, float *dx)
{
	const size_t cols = w->width_out;
	size_t rest = planes * w->height_out * cols;

	for (; planes > 0; planes--) {
		for (size_t i = 0; i < 2 * (size_t)w->height_out; i++, dx += w->width) {
			size_t j = 0;

			for (; j < cols && rest - j >= LANES; j += LANES)
				halves_backward(i % 2, chosen + j, dy + j, dx + 2 * j);
			for (; j < cols; j++) {
				dx[2 * j] = chosen[j] == i % 2 * 2 ? 0.0f + dy[j] : 0.0f;
				dx[2 * j + 1] = chosen[j] == i % 2 * 2 + 1 ? 0.0f + dy[j] : 0.0f;
			}
			if (2 * cols < w->width)
				dx[2 * cols] = 0.0f;
			if (i % 2 == 0)
				continue;
			chosen += cols;
			dy += cols;
			rest -= cols;
		}
		if (w->height % 2 != 0) {
			memset(dx, 0, w->width * sizeof(*dx));
			dx += w->width;
		}
	}
}

static void max_pool_backward(
	size_t batch, const struct window *w, const uint8_t *chosen, const float *dy, float *dx)
{
	ptrdiff_t place[POOL_PLACES]; /* from where place (0, 0) would be */

	if (w->kernel == 2 && w->stride == 2 && w->padding == 0) {
		max_pool_halves(batch * w->channels, w, chosen, dy, dx);
		return;
	}
	for (size_t k = 0; k < (size_t)w->kernel * w->kernel; k++)
		place[k] = (ptrdiff_t)(k / w->kernel * w->width + k % w->kernel) -
			   (ptrdiff_t)((size_t)w->padding * w->width + w->padding);
	for (size_t plane = batch * w->channels; plane > 0; plane--) {
		memset(dx, 0, (size_t)w->height * w->width * sizeof(*dx));
		for (size_t i = 0; i < w->height_out; i++) {
			float *row = dx + i * w->stride * w->width;

			for (size_t j = 0; j < w->width_out; j++)
				row[place[chosen[j]] + (ptrdiff_t)(j * w->stride)] += dy[j];
			chosen += w->width_out;
			dy += w->width_out;
		}
		dx += (size_t)w->height * w->width;
	}
}

static void average_pool_backward(size_t batch, const struct window *w, const float *dy, float *dx)
{
	const float count = (float)(w->kernel * w->kernel);

	for (size_t plane = batch * w->channels; plane > 0; plane--) {
		memset(dx, 0, (size_t)w->height * w->width * sizeof(*dx));
		for (size_t i = 0; i < w->height_out; i++, dy += w->width_out) {
			struct pool_span rows = pool_span(w, i, w->height);

			for (size_t j = 0; j < w->width_out; j++) {
				struct pool_span cols = pool_span(w, j, w->width);
				size_t row = i * w->stride + rows.first - w->padding;
				size_t col = j * w->stride + cols.first - w->padding;
				float share = dy[j] / count;

				for (size_t u = rows.first; u < rows.end; u++, row++) {
					for (size_t v = 0; v < cols.end - cols.first; v++)
						dx[row * w->width + col + v] += share;
				}
			}
		}
		dx += (size_t)w->height * w->width;
	}
}

#endif
