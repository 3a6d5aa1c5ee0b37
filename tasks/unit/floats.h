/* Floats as bytes: float32 LE, every NaN as 7fc00000 (NUMERICS.md, "Ground rules"). */
#ifndef TASKS_UNIT_FLOATS_H
#define TASKS_UNIT_FLOATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tasks/math/compute.h"

/* Writes 4·count bytes. */
void floats_store(uint8_t *out, const float *x, size_t count);

/* Reads 4·count bytes. */
void floats_load(float *out, const uint8_t *in, size_t count);

/* True when there is neither NaN nor infinity. */
bool floats_finite(const float *x, size_t count);

/* Operations, as compute_each counts them, for moving one float: most are the wait for memory, which may
 * be touched for the first time. */
#define FLOATS_COST 16.0

/* The same on c, in ranges of which none is begun after a stop; what is written or answered is then
 * undefined. */
void floats_store_on(const struct compute *c, uint8_t *out, const float *x, size_t count);
void floats_load_on(const struct compute *c, float *out, const uint8_t *in, size_t count);
bool floats_finite_on(const struct compute *c, const float *x, size_t count);

/* +0 in each. */
void floats_clear_on(const struct compute *c, float *x, size_t count);

#endif
