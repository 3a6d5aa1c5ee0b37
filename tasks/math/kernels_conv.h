/* For kernels.c alone: convolutions of images, forwards and backwards, by the products of
 * kernels_gather.h. An image gets its border of zeros in a copy; from there the windows are gathered
 * directly, without writing out the matrix of all windows (im2col). Vectors run along the channels of
 * the result, whose blocks are transposed into the layout of images in the end. */
#ifndef TASKS_MATH_KERNELS_CONV_H
#define TASKS_MATH_KERNELS_CONV_H

#include "tasks/math/kernels_gather.h"

#define CONV_WIDTH_MAX                                                                             \
	32 /* GATHER_WIDTH of the widest engine, so that all need the same workspace */

/* Part of a result's image: where its windows begin in the image they read, and where results go. */
struct lattice {
	size_t rows, cols;
	size_t from, from_row, from_col;
	size_t to, to_row, to_col;
};

/* What lies in a call's workspace; factor is the packed right factor, or the sums so far. */
struct conv_space {
	float *bordered, *factor, *start, *block;
	uint32_t *step;
};

struct image {
	size_t channels, rows, cols; /* as stored */
	size_t border;		     /* zeros above and to the left */
	size_t height, width;	     /* with all borders */
};

INLINE size_t round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

INLINE struct image conv_input(const struct window *w)
{
	return (struct image){w->channels, w->height, w->width, w->padding,
		w->height + 2 * (size_t)w->padding, w->width + 2 * (size_t)w->padding};
}

/* dy with as many zeros around it as the windows of dx reach; rows that none reaches are left out. */
INLINE struct image conv_gradient(const struct window *w)
{
	size_t border = (w->kernel - 1) / w->stride;
	size_t height = (w->height - 1 + w->padding) / w->stride + 1;
	size_t width = (w->width - 1 + w->padding) / w->stride + 1;

	return (struct image){w->channels_out, height < w->height_out ? height : w->height_out,
		width < w->width_out ? width : w->width_out, border, border + height,
		border + width};
}

static size_t conv_space_floats(struct image image, size_t depth, size_t columns)
{
	return round_up(image.channels * image.height * image.width, 16) +
	       (depth + 1) * round_up(columns, CONV_WIDTH_MAX) + round_up(depth, 16) +
	       GATHER_BLOCK * CONV_WIDTH_MAX + 16;
}

static size_t conv2d_workspace(const struct window *w)
{
	size_t square = (size_t)w->kernel * w->kernel;
	size_t forward = conv_space_floats(conv_input(w), w->channels * square, w->channels_out);
	size_t backward =
		conv_space_floats(conv_gradient(w), w->channels_out * square, w->channels);

	return forward > backward ? forward : backward;
}

/* Divides the workspace, from an address that vectors like, and clears what is read as zero. */
static struct conv_space conv_space(
	struct image image, size_t depth, size_t columns, float *workspace)
{
	size_t bordered = round_up(image.channels * image.height * image.width, 16);
	size_t padded = round_up(columns, CONV_WIDTH_MAX);
	float *aligned = workspace + (64 - (uintptr_t)workspace % 64) / sizeof(float) % 16;
	struct conv_space space = {.bordered = aligned, .factor = aligned + bordered};

	space.start = space.factor + depth * padded;
	space.block = space.start + padded;
	space.step = (uint32_t *)(space.block + (size_t)GATHER_BLOCK * CONV_WIDTH_MAX);
	memset(aligned, 0, (size_t)((float *)space.step - aligned) * sizeof(float));
	return space;
}

/* memcpy of a short row, without a call. */
INLINE void row_copy(size_t n, const float *from, float *to)
{
	for (; n >= 8; n -= 8, from += 8, to += 8)
		memcpy(to, from, 8 * sizeof(*to));
	if (n & 4) {
		memcpy(to, from, 4 * sizeof(*to));
		from += 4;
		to += 4;
	}
	for (n &= 3; n > 0; n--)
		*to++ = *from++;
}

/* One sample within its border, which is zero already. `rows` and `cols` of the sample are `height`
 * and `width` apart where it has more than the windows reach. Returns x itself if it has no border. */
static const float *image_border(
	struct image image, size_t height, size_t width, const float *x, float *bordered)
{
	if (image.border == 0 && image.height == height && image.width == width)
		return x;
	for (size_t c = 0; c < image.channels; c++) {
		const float *from = x + c * height * width;
		float *to =
			bordered + (c * image.height + image.border) * image.width + image.border;

		for (size_t r = 0; r < image.rows; r++)
			row_copy(image.cols, from + r * width, to + r * image.width);
	}
	return bordered;
}

/* Positions [first, first + count) of the lattice: where they read and, unless NULL, write. */
static void lattice_list(
	const struct lattice *l, size_t first, size_t count, uint32_t *from, uint32_t *to)
{
	size_t row = first / l->cols, col = first % l->cols;

	for (size_t i = 0; i < count; i++) {
		from[i] = (uint32_t)(l->from + row * l->from_row + col * l->from_col);
		if (to != NULL)
			to[i] = (uint32_t)(l->to + row * l->to_row + col * l->to_col);
		if (++col == l->cols) {
			col = 0;
			row++;
		}
	}
}

/* The results of a block of positions into the planes of their channels. */
static void block_store(size_t count, size_t channels, const float *block, const uint32_t *to,
	float *y, size_t plane)
{
	if (to[count - 1] - to[0] == count - 1) {
		transpose(count, channels, block, GATHER_WIDTH, y + to[0], plane);
		return;
	}
	for (size_t c = 0; c < channels; c++) {
		for (size_t i = 0; i < count; i++)
			y[c * plane + to[i]] = block[i * GATHER_WIDTH + c];
	}
}

/* y(channels, plane) at the positions of the lattice, from one bordered image and depth weights for each
 * channel, packed as kernels_gather.h wants them. */
static void image_convolve(const struct lattice *l, size_t channels, size_t plane, size_t depth,
	const struct conv_space *space, const float *factor, const uint32_t *step, const float *x,
	float *y)
{
	size_t positions = l->rows * l->cols;
	uint32_t from[GATHER_BLOCK], to[GATHER_BLOCK];

	for (size_t i = 0, count; i < positions; i += count) {
		size_t blocks = (positions - i + GATHER_BLOCK - 1) / GATHER_BLOCK;

		count = (positions - i + blocks - 1) / blocks;
		lattice_list(l, i, count, from, to);
		for (size_t c = 0; c < channels; c += GATHER_WIDTH) {
			size_t width = channels - c < GATHER_WIDTH ? channels - c : GATHER_WIDTH;

			gather_multiply(count, width,
				(struct gather){x, from, step, depth, factor + c * depth,
					space->start + c, 0, space->block});
			block_store(count, width, space->block, to, y + c * plane, plane);
		}
	}
}

/* step[k] = where place k of a window, channels, rows and columns ascending, lies from its beginning. */
static void window_steps(const struct window *w, struct image image, uint32_t *step)
{
	for (size_t c = 0; c < image.channels; c++) {
		for (size_t u = 0; u < w->kernel; u++) {
			for (size_t v = 0; v < w->kernel; v++)
				*step++ = (uint32_t)((c * image.height + u) * image.width + v);
		}
	}
}

static void conv2d(size_t batch, const struct window *w, const float *x, const float *weight,
	const float *bias, float *y, float *workspace)
{
	const size_t depth = (size_t)w->channels * w->kernel * w->kernel;
	const size_t plane = (size_t)w->height_out * w->width_out, channels = w->channels_out;
	const struct image image = conv_input(w);
	const struct conv_space space = conv_space(image, depth, channels, workspace);
	const struct lattice l = {w->height_out, w->width_out, 0, w->stride * image.width,
		w->stride, 0, w->width_out, 1};

	for (size_t o = 0; o < channels; o += GATHER_WIDTH) {
		size_t width = channels - o < GATHER_WIDTH ? channels - o : GATHER_WIDTH;

		pack_transposed(width, depth, weight + o * depth, depth, space.factor + o * depth,
			round_up(width, LANES));
	}
	if (bias != NULL)
		memcpy(space.start, bias, channels * sizeof(*bias));
	window_steps(w, image, space.step);
	for (size_t n = 0; n < batch; n++) {
		const float *inside = image_border(image, w->height, w->width, x, space.bordered);

		image_convolve(
			&l, channels, plane, depth, &space, space.factor, space.step, inside, y);
		x += (size_t)w->channels * w->height * w->width;
		y += channels * plane;
	}
}

/* One of the stride² parts of dx, whose elements meet the same places of the windows: rows and columns
 * a, b with the same remainders. */
struct phase {
	struct lattice lattice;
	size_t u, v;	   /* the first place, and the remainders */
	size_t rows, cols; /* places */
};

/* The phase at remainders (u, v); its lattice is empty when no element has them. */
INLINE struct phase phase_at(const struct window *w, struct image image, size_t u, size_t v)
{
	const size_t s = w->stride, p = w->padding;
	size_t a = p + (u + s - p % s) % s, b = p + (v + s - p % s) % s; /* the first ≥ p */
	struct phase phase = {.u = u, .v = v};

	phase.rows = u < w->kernel ? (w->kernel - u - 1) / s + 1 : 0;
	phase.cols = v < w->kernel ? (w->kernel - v - 1) / s + 1 : 0;
	phase.lattice = (struct lattice){
		.rows = a < p + w->height ? (p + w->height - a - 1) / s + 1 : 0,
		.cols = b < p + w->width ? (p + w->width - b - 1) / s + 1 : 0,
		.from = a / s * image.width + b / s,
		.from_row = image.width,
		.from_col = 1,
		.to = (a - p) * w->width + b - p,
		.to_row = s * w->width,
		.to_col = s,
	};
	return phase;
}

/* The phase's weights and steps in the order of its chains: output channel, row, column. */
static void phase_pack(const struct window *w, struct image image, const struct phase *phase,
	const float *weight, float *factor, uint32_t *step)
{
	const size_t square = (size_t)w->kernel * w->kernel, taps = phase->rows * phase->cols;
	const size_t depth = w->channels_out * taps;

	for (size_t k = 0; k < depth; k++) {
		size_t o = k / taps, row = k % taps / phase->cols, col = k % phase->cols;
		size_t u = phase->u + row * w->stride, v = phase->v + col * w->stride;
		const float *from = weight + o * w->channels * square + u * w->kernel + v;

		step[k] = (uint32_t)((o * image.height + image.border - row) * image.width +
				     image.border - col);
		for (size_t c = 0; c < w->channels; c += GATHER_WIDTH) {
			size_t width =
				w->channels - c < GATHER_WIDTH ? w->channels - c : GATHER_WIDTH;
			float *to = factor + c * depth + k * round_up(width, LANES);

			for (size_t j = 0; j < width; j++)
				to[j] = from[(c + j) * square];
		}
	}
}

static void conv2d_backward_input(size_t batch, const struct window *w, const float *dy,
	const float *weight, float *dx, float *workspace)
{
	const size_t plane_out = (size_t)w->height_out * w->width_out;
	const size_t plane = (size_t)w->height * w->width;
	const size_t depth_all = (size_t)w->channels_out * w->kernel * w->kernel;
	const struct image image = conv_gradient(w);
	const struct conv_space space = conv_space(image, depth_all, w->channels, workspace);

	for (size_t n = 0; n < batch; n++) {
		const float *inside = image_border(image, w->height_out, w->width_out,
			dy + n * w->channels_out * plane_out, space.bordered);
		float *factor = space.factor;
		uint32_t *step = space.step;

		for (size_t part = 0; part < (size_t)w->stride * w->stride; part++) {
			struct phase phase = phase_at(w, image, part / w->stride, part % w->stride);
			size_t depth = w->channels_out * phase.rows * phase.cols;

			if (n == 0)
				phase_pack(w, image, &phase, weight, factor, step);
			image_convolve(&phase.lattice, w->channels, plane, depth, &space, factor,
				step, inside, dx + n * w->channels * plane);
			factor += depth * round_up(w->channels, LANES);
			step += depth;
		}
	}
}

/* sums[o] += dy at the block's positions in order. */
static void block_add(size_t count, size_t vectors, const float *block, float *sums)
{
	vec sum[2] = {vec_load(sums), vec_load(sums + (vectors - 1) * LANES)};

	for (size_t i = 0; i < count; i++, block += vectors * LANES) {
		sum[0] += vec_load(block);
		sum[1] += vec_load(block + (vectors - 1) * LANES);
	}
	vec_store(sums, sum[0]);
	vec_store(sums + (vectors - 1) * LANES, sum[1]);
}

/* The terms of one sample: dweight, transposed, in space.factor and dbias in space.start go on. */
static void image_gradient(const struct lattice *l, size_t depth, size_t channels,
	const struct conv_space *space, const float *x, const float *dy)
{
	size_t positions = l->rows * l->cols;
	uint32_t from[GATHER_BLOCK];

	for (size_t i = 0, count; i < positions; i += count) {
		count = positions - i < GATHER_BLOCK ? positions - i : GATHER_BLOCK;
		lattice_list(l, i, count, from, NULL);
		for (size_t o = 0; o < channels; o += GATHER_WIDTH) {
			size_t width = channels - o < GATHER_WIDTH ? channels - o : GATHER_WIDTH;
			size_t padded = round_up(width, LANES);
			float *sums = space->factor + o * depth;

			pack_transposed(width, count, dy + o * positions + i, positions,
				space->block, padded);
			block_add(count, padded / LANES, space->block, space->start + o);
			gather_multiply(depth, width,
				(struct gather){x, space->step, from, count, space->block, sums,
					GATHER_WIDTH, sums});
		}
	}
}

/* The sums so far, from where conv2d_backward_weight leaves them. */
static void gradient_load(size_t depth, size_t count, const float *dweight, const float *dbias,
	const struct conv_space *space)
{
	for (size_t o = 0; o < count; o += GATHER_WIDTH) {
		size_t width = count - o < GATHER_WIDTH ? count - o : GATHER_WIDTH;

		pack_transposed(width, depth, dweight + o * depth, depth, space->factor + o * depth,
			GATHER_WIDTH);
	}
	if (dbias != NULL)
		memcpy(space->start, dbias, count * sizeof(*dbias));
}

static void conv2d_backward_weight(size_t batch, const struct window *w, size_t first, size_t count,
	const float *x, const float *dy, bool accumulate, float *dweight, float *dbias,
	float *workspace)
{
	const size_t depth = (size_t)w->channels * w->kernel * w->kernel;
	const size_t plane = (size_t)w->height_out * w->width_out;
	const struct image image = conv_input(w);
	const struct conv_space space = conv_space(image, depth, count, workspace);
	const struct lattice l = {
		w->height_out, w->width_out, 0, w->stride * image.width, w->stride, 0, 0, 0};

	if (accumulate)
		gradient_load(depth, count, dweight + first * depth,
			dbias == NULL ? NULL : dbias + first, &space);
	window_steps(w, image, space.step);
	for (size_t n = 0; n < batch; n++) {
		const float *inside = image_border(image, w->height, w->width, x, space.bordered);

		image_gradient(&l, depth, count, &space, inside,
			dy + (n * w->channels_out + first) * plane);
		x += (size_t)w->channels * w->height * w->width;
	}
	for (size_t o = 0; o < count; o += GATHER_WIDTH) {
		size_t width = count - o < GATHER_WIDTH ? count - o : GATHER_WIDTH;

		transpose(depth, width, space.factor + o * depth, GATHER_WIDTH,
			dweight + (first + o) * depth, depth);
	}
	if (dbias != NULL)
		memcpy(dbias + first, space.start, count * sizeof(*dbias));
}

#endif
