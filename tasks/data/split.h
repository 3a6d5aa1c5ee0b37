/* Which rows of a table or images of a file are kept for validation: a function of the seed, the
 * number of rows and the row alone (NUMERICS.md, "Order of samples"). */
#ifndef TASKS_DATA_SPLIT_H
#define TASKS_DATA_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

#define SPLIT_TWEAK 3u /* of the bijection that draws the rows (order.h) */

struct split {
	uint64_t rows;
	uint64_t validation; /* how many of them; 0: none */
	uint64_t seed;
};

/* How many of n ≥ 2 fall to a validation fraction f: f·n rounded half up, at least 1 and at most
 * n − 1; 0 when f is 0. */
uint64_t split_count(uint64_t n, double fraction);

/* True when the row (< rows) belongs to the validation part. */
bool split_keeps(const struct split *s, uint64_t row);

#endif
