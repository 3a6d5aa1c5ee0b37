/* Floats as bytes: float32 LE, every NaN as 7fc00000 (NUMERICS.md, "Ground rules"). */
#ifndef TASKS_UNIT_FLOATS_H
#define TASKS_UNIT_FLOATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 4·count bytes. */
void floats_store(uint8_t *out, const float *x, size_t count);

/* Reads 4·count bytes. */
void floats_load(float *out, const uint8_t *in, size_t count);

/* True when there is neither NaN nor infinity. */
bool floats_finite(const float *x, size_t count);

#endif
