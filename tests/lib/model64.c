/* See model64.h. One sample at a time, one number at a time; nothing is fast here. */
#include "tests/lib/model64.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/require.h"
#include "tasks/math/philox.h"

#define VALUES_MAX 4096

/* A sample on its way through the layers. */
struct sample64 {
	const struct model *model;
	const double *p;
	const uint32_t *tokens;
	uint64_t row;
	bool training;
	uint64_t seed, step;
	double x[VALUES_MAX], y[VALUES_MAX];
	double branches[RESIDUAL_DEPTH_MAX][VALUES_MAX];
	uint32_t depth;
};

static void embedding64(struct sample64 *s, const struct placed_layer *l)
{
	uint32_t width = l->out.width;

	for (uint32_t i = 0; i < l->out.positions * width; i++)
		s->y[i] = s->p[l->weight + (size_t)s->tokens[i / width] * width + i % width];
}

static void linear64(struct sample64 *s, const struct placed_layer *l)
{
	for (uint32_t t = 0; t < l->in.positions; t++) {
		for (uint32_t o = 0; o < l->out.width; o++) {
			double sum = l->bias != NO_PARAMETERS ? s->p[l->bias + o] : 0;

			for (uint32_t i = 0; i < l->in.width; i++)
				sum += s->p[l->weight + (size_t)o * l->in.width + i] *
				       s->x[t * l->in.width + i];
			s->y[t * l->out.width + o] = sum;
		}
	}
}

static void attention64(struct sample64 *s, const struct placed_layer *l)
{
	uint32_t T = l->in.positions, C = l->out.width, D = C / l->spec->heads;

	for (uint32_t h = 0; h < l->spec->heads; h++) {
		for (uint32_t t = 0; t < T; t++) {
			const double *q = s->x + (size_t)t * 3 * C + h * D;
			double weight[VALUES_MAX], whole = 0;

			for (uint32_t u = 0; u <= t; u++) {
				const double *k = s->x + (size_t)u * 3 * C + C + h * D;
				double dot = 0;

				for (uint32_t d = 0; d < D; d++)
					dot += q[d] * k[d];
				weight[u] = exp(dot / sqrt(D));
				whole += weight[u];
			}
			for (uint32_t d = 0; d < D; d++) {
				double sum = 0;

				for (uint32_t u = 0; u <= t; u++)
					sum += weight[u] / whole *
					       s->x[(size_t)u * 3 * C + 2 * C + h * D + d];
				s->y[(size_t)t * C + h * D + d] = sum;
			}
		}
	}
}

/* rows of cols numbers, whose weights lie at `at` and, for images, belong to channels. */
static void norm64(struct sample64 *s, const struct placed_layer *l, uint32_t rows, uint32_t cols)
{
	uint32_t pixels = l->in.channels != 0 ? l->in.height * l->in.columns : 1;

	for (uint32_t r = 0; r < rows; r++) {
		double mean = 0, variance = 0;

		for (uint32_t c = 0; c < cols; c++)
			mean += s->x[r * cols + c] / cols;
		for (uint32_t c = 0; c < cols; c++)
			variance += pow(s->x[r * cols + c] - mean, 2) / cols;
		for (uint32_t c = 0; c < cols; c++) {
			uint32_t at = l->in.channels != 0 ? (r * cols + c) / pixels : c;
			double h = (s->x[r * cols + c] - mean) / sqrt(variance + 1e-5);

			s->y[r * cols + c] = h * s->p[l->weight + at] +
					     (l->bias != NO_PARAMETERS ? s->p[l->bias + at] : 0);
		}
	}
}

/* The element of the image at a window's place; outside (NaN for pools, which pass over it) beyond it. */
static double pixel64(const struct sample64 *s, const struct placed_layer *l, uint32_t channel,
	int64_t row, int64_t col, double outside)
{
	if (row < 0 || col < 0 || row >= l->in.height || col >= l->in.columns)
		return outside;
	return s->x[(channel * l->in.height + (size_t)row) * l->in.columns + (size_t)col];
}

static double convolve64(const struct sample64 *s, const struct placed_layer *l, uint32_t o,
	int64_t row, int64_t col)
{
	uint32_t k = l->spec->kernel;
	double sum = l->bias != NO_PARAMETERS ? s->p[l->bias + o] : 0;

	for (uint32_t c = 0; c < l->in.channels; c++)
		for (uint32_t u = 0; u < k; u++)
			for (uint32_t v = 0; v < k; v++)
				sum += s->p[l->weight + ((o * l->in.channels + c) * k + u) * k +
					       v] *
				       pixel64(s, l, c, row + u, col + v, 0);
	return sum;
}

static double pool64(const struct sample64 *s, const struct placed_layer *l, uint32_t o,
	int64_t row, int64_t col)
{
	bool max = l->spec->type == LAYER_MAX_POOL;
	uint32_t k = l->spec->kernel;
	double best = -INFINITY, sum = 0;

	for (uint32_t u = 0; u < k; u++) {
		for (uint32_t v = 0; v < k; v++) {
			best = fmax(best, pixel64(s, l, o, row + u, col + v, -INFINITY));
			sum += pixel64(s, l, o, row + u, col + v, 0);
		}
	}
	return max ? best : sum / (k * k);
}

static void window64(struct sample64 *s, const struct placed_layer *l)
{
	double *y = s->y;

	for (uint32_t o = 0; o < l->out.channels; o++) {
		for (uint32_t i = 0; i < l->out.height; i++) {
			for (uint32_t j = 0; j < l->out.columns; j++) {
				int64_t row = (int64_t)i * l->spec->stride - l->spec->padding;
				int64_t col = (int64_t)j * l->spec->stride - l->spec->padding;

				*y++ = l->spec->type == LAYER_CONV2D ? convolve64(s, l, o, row, col)
								     : pool64(s, l, o, row, col);
			}
		}
	}
}

static double activation64(enum layer_type type, double x)
{
	switch (type) {
	case LAYER_RELU:
		return fmax(x, 0);
	case LAYER_GELU:
		return x * 0.5 * (1 + erf(x / sqrt(2)));
	case LAYER_SILU:
		return x / (1 + exp(-x));
	case LAYER_TANH:
		return tanh(x);
	case LAYER_SIGMOID:
		return 1 / (1 + exp(-x));
	default:
		return x;
	}
}

/* Element i of the sample in dropout layer `lane`: kept, and then larger, or dropped. */
static double dropout64(const struct sample64 *s, const struct placed_layer *l, uint32_t i)
{
	uint32_t words[4];
	uint64_t key, element = s->row * l->in.positions * l->in.width + i;

	philox(words, s->seed, STREAM_DROPOUT, UINT32_MAX, s->step);
	key = (uint64_t)words[1] << 32 | words[0];
	philox(words, key, STREAM_DROPOUT, l->dropout_lane, element / 64 * 16 + element % 16);
	if ((double)(words[element / 16 % 4] >> 8) * 0x1p-24 < (double)l->spec->rate)
		return 0;
	return s->x[i] / (1 - (double)l->spec->rate);
}

static void elements64(struct sample64 *s, const struct placed_layer *l)
{
	for (uint32_t i = 0; i < l->in.positions * l->in.width; i++) {
		if (l->spec->type == LAYER_POSITION)
			s->y[i] = s->x[i] + s->p[l->weight + i];
		else if (l->spec->type == LAYER_DROPOUT && s->training)
			s->y[i] = dropout64(s, l, i);
		else if (l->spec->type == LAYER_JOIN)
			s->y[i] = s->x[i] + s->branches[s->depth - 1][i];
		else
			s->y[i] = activation64(l->spec->type, s->x[i]);
	}
}

static void layer64(struct sample64 *s, const struct placed_layer *l)
{
	uint32_t groups = l->spec->heads;

	switch (l->spec->type) {
	case LAYER_EMBEDDING:
		embedding64(s, l);
		break;
	case LAYER_LINEAR:
		linear64(s, l);
		break;
	case LAYER_CONV2D:
	case LAYER_MAX_POOL:
	case LAYER_AVERAGE_POOL:
		window64(s, l);
		break;
	case LAYER_LAYER_NORM:
		norm64(s, l, l->in.positions, l->in.width);
		break;
	case LAYER_GROUP_NORM:
		norm64(s, l, groups, l->in.width / groups);
		break;
	case LAYER_ATTENTION:
		attention64(s, l);
		break;
	case LAYER_BRANCH:
		memcpy(s->branches[s->depth++], s->x, sizeof(s->x));
		elements64(s, l);
		break;
	case LAYER_JOIN:
		elements64(s, l);
		s->depth--;
		break;
	default:
		elements64(s, l);
	}
	memcpy(s->x, s->y, sizeof(s->x));
}

static double cross_entropy64(const double *z, uint32_t classes, uint32_t label)
{
	double sum = 0;

	for (uint32_t c = 0; c < classes; c++)
		sum += exp(z[c]);
	return log(sum) - z[label];
}

/* The sum over the sample's labels. */
static double sample_loss64(const struct sample64 *s, const struct batch *b)
{
	const struct model *m = s->model;
	double sum = 0, z = s->x[0];

	if (m->spec->loss == LOSS_SQUARED_ERROR)
		return pow(z - (double)b->targets[s->row], 2);
	if (m->spec->loss == LOSS_BINARY_CROSS_ENTROPY)
		return log1p(exp(-fabs(z))) + fmax(z, 0) - z * b->labels[s->row];
	for (uint32_t t = 0; t < m->labels; t++)
		sum += cross_entropy64(s->x + t * m->output.width, m->output.width,
			b->labels[s->row * m->labels + t]);
	return sum;
}

double model64_loss(const struct model *m, const double *p, const struct batch *b, bool training,
	uint64_t seed, uint64_t step)
{
	struct sample64 *s = calloc(1, sizeof(*s));
	double sum = 0;

	REQUIRE(s != NULL);
	*s = (struct sample64){
		.model = m, .p = p, .training = training, .seed = seed, .step = step};
	for (s->row = 0; s->row < b->rows; s->row++) {
		s->tokens = b->tokens != NULL ? b->tokens + s->row * m->data->context : NULL;
		for (uint32_t i = 0; b->features != NULL && i < m->data->features; i++)
			s->x[i] = (double)b->features[s->row * m->data->features + i];
		for (uint32_t l = 0; l < m->layer_count; l++) {
			const struct placed_layer *placed = &m->layers[l];

			REQUIRE((uint64_t)placed->out.positions * placed->out.width <= VALUES_MAX);
			layer64(s, placed);
		}
		sum += sample_loss64(s, b);
	}
	free(s);
	return sum / (double)(b->rows * m->labels);
}
