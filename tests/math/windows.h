/* Windows over images, place by place, and guarded results, for tests of convolutions and pools. */
#ifndef TESTS_MATH_WINDOWS_H
#define TESTS_MATH_WINDOWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/math/engine.h"
#include "tests/math/inputs.h"

#define WINDOWS_SEED 2103u
#define GUARD	     19 /* floats before and after each result; odd, so that results are unaligned */

static inline uint32_t pick(uint64_t *counter, uint32_t below)
{
	uint32_t word[4];

	philox(word, WINDOWS_SEED, 98, 0, (*counter)++);
	return word[0] % below;
}

static inline bool window_shape(struct window *w)
{
	if (w->height + 2 * w->padding < w->kernel || w->width + 2 * w->padding < w->kernel)
		return false;
	w->height_out = (w->height + 2 * w->padding - w->kernel) / w->stride + 1;
	w->width_out = (w->width + 2 * w->padding - w->kernel) / w->stride + 1;
	return true;
}

static inline size_t input_size(const struct window *w)
{
	return (size_t)w->channels * w->height * w->width;
}

static inline size_t output_size(const struct window *w)
{
	return (size_t)w->channels_out * w->height_out * w->width_out;
}

static inline size_t weight_size(const struct window *w)
{
	return (size_t)w->channels_out * w->channels * w->kernel * w->kernel;
}

/* One place of one window of sample n. */
struct place {
	size_t n, o, c, i, j, u, v;
};

static inline bool place_exists(const struct window *w, const struct place *p, size_t *at)
{
	long row = (long)(p->i * w->stride + p->u) - (long)w->padding;
	long col = (long)(p->j * w->stride + p->v) - (long)w->padding;

	if (row < 0 || col < 0 || row >= (long)w->height || col >= (long)w->width)
		return false;
	*at = ((p->n * w->channels + p->c) * w->height + (size_t)row) * w->width + (size_t)col;
	return true;
}

static inline size_t output_at(const struct window *w, const struct place *p)
{
	return ((p->n * w->channels_out + p->o) * w->height_out + p->i) * w->width_out + p->j;
}

/* The output element at index e. */
static inline struct place output_place(const struct window *w, size_t e)
{
	struct place p = {0};

	p.j = e % w->width_out;
	p.i = e / w->width_out % w->height_out;
	p.o = e / w->width_out / w->height_out % w->channels_out;
	p.n = e / w->width_out / w->height_out / w->channels_out;
	return p;
}

/* The k-th element of the window: channel, row and column ascending. */
/* A result between two guards, all of it filled with a value that no operation makes. */
struct guarded {
	float *all, *result;
	size_t size;
};

static inline struct guarded guarded_new(size_t size)
{
	struct guarded g = {mem_floats(size + 2 * GUARD), NULL, size};

	assert_non_null(g.all);
	g.result = g.all + GUARD;
	for (size_t i = 0; i < size + 2 * GUARD; i++)
		g.all[i] = 0x1.23456p-100f;
	return g;
}

static inline void guarded_check(struct guarded *g, const float *want, const char *what,
	const char *engine, const struct window *w)
{
	size_t bad = want == NULL ? g->size : floats_differ(want, g->result, g->size);

	for (size_t i = 0; i < GUARD; i++)
		assert_true(
			g->all[i] == 0x1.23456p-100f && g->result[g->size + i] == 0x1.23456p-100f);
	if (bad != g->size)
		fail_msg("%s of %s, %ux%ux%u to %u, kernel %u stride %u padding %u: float %zu is "
			 "%a, not %a",
			what, engine, w->channels, w->height, w->width, w->channels_out, w->kernel,
			w->stride, w->padding, bad, (double)g->result[bad], (double)want[bad]);
	mem_free(g->all);
}

#endif
