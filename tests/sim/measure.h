/* What a simulation counts: histograms, how a body spread, what hangs together. */
#ifndef TESTS_SIM_MEASURE_H
#define TESTS_SIM_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Counts of 0, 1, 2, … in steps of `step`; the last takes all above. */
#define HISTOGRAM_BINS 512u
struct histogram {
	uint32_t step;
	uint32_t max; /* the largest value itself */
	uint64_t count, sum;
	uint64_t bins[HISTOGRAM_BINS];
};
void histogram_init(struct histogram *h, uint32_t step);
void histogram_add(struct histogram *h, uint32_t value);
void histogram_merge(struct histogram *to, const struct histogram *from); /* of one step */
/* The smallest bin's lower end below which at least `permille` of the values are or in which they end. */
uint32_t histogram_at(const struct histogram *h, uint32_t permille);
double histogram_mean(const struct histogram *h);

/* How one body went through the network. */
struct spread {
	uint32_t published_ms;
	uint32_t last_ms; /* when the last who got it did */
	uint64_t copies;  /* BROADCASTs of it that arrived */
	uint64_t reached; /* who got it, the publisher not counted */
	struct histogram hops, time_ms;
	uint8_t *at; /* for each node: 1 + hops when it got the body, 0 before */
};
int spread_init(struct spread *s, uint32_t now_ms, uint32_t nodes, uint32_t publisher);
void spread_close(struct spread *s);
/* Copies beyond the one that each needs. */
double spread_redundancy(const struct spread *s);

struct components {
	uint32_t nodes, count, largest;
	uint32_t islands; /* of one node */
};
/* Union-find with path halving. */
struct forest {
	uint32_t *parent;
	uint32_t count;
};
int forest_init(struct forest *f, uint32_t count);
void forest_close(struct forest *f);
void forest_reset(struct forest *f);
uint32_t forest_root(struct forest *f, uint32_t node);
void forest_join(struct forest *f, uint32_t a, uint32_t b);

#endif
