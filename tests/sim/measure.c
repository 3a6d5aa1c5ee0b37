/* See measure.h. */
#include "tests/sim/measure.h"

#include "tasks/base/error.h"
#include "tasks/base/mem.h"

void histogram_init(struct histogram *h, uint32_t step)
{
	*h = (struct histogram){.step = step};
}

void histogram_add(struct histogram *h, uint32_t value)
{
	uint32_t bin = value / h->step;

	h->bins[bin < HISTOGRAM_BINS ? bin : HISTOGRAM_BINS - 1]++;
	h->count++;
	h->sum += value;
	if (value > h->max)
		h->max = value;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	for (uint32_t i = 0; i < HISTOGRAM_BINS; i++)
		to->bins[i] += from->bins[i];
	to->count += from->count;
	to->sum += from->sum;
	if (from->max > to->max)
		to->max = from->max;
}

uint32_t histogram_at(const struct histogram *h, uint32_t permille)
{
	uint64_t seen = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BINS - 1; i++) {
		seen += h->bins[i];
		if (seen * 1000 >= h->count * permille)
			return i * h->step;
	}
	return h->max;
}

double histogram_mean(const struct histogram *h)
{
	return h->count == 0 ? 0 : (double)h->sum / (double)h->count;
}

int spread_init(struct spread *s, uint32_t now_ms, uint32_t nodes, uint32_t publisher)
{
	*s = (struct spread){.published_ms = now_ms, .last_ms = now_ms};
	histogram_init(&s->hops, 1);
	histogram_init(&s->time_ms, 20);
	s->at = mem_calloc(nodes, 1);
	if (s->at == NULL)
		return TK_ENOMEM;
	s->at[publisher] = 1;
	return TK_OK;
}

void spread_close(struct spread *s)
{
	mem_free(s->at);
	s->at = NULL;
}

double spread_redundancy(const struct spread *s)
{
	return s->reached == 0 ? 0 : (double)s->copies / (double)s->reached - 1;
}

int forest_init(struct forest *f, uint32_t count)
{
	f->count = count;
	f->parent = mem_alloc(count * sizeof(*f->parent));
	if (f->parent == NULL)
		return TK_ENOMEM;
	forest_reset(f);
	return TK_OK;
}

void forest_close(struct forest *f)
{
	mem_free(f->parent);
}

void forest_reset(struct forest *f)
{
	for (uint32_t i = 0; i < f->count; i++)
		f->parent[i] = i;
}

uint32_t forest_root(struct forest *f, uint32_t node)
{
	while (f->parent[node] != node)
		node = f->parent[node] = f->parent[f->parent[node]];
	return node;
}

void forest_join(struct forest *f, uint32_t a, uint32_t b)
{
	a = forest_root(f, a);
	b = forest_root(f, b);
	if (a != b)
		f->parent[a > b ? a : b] = a < b ? a : b;
}
