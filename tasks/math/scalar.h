/* Scalars that decide bits, in double: only +, −, ×, ÷, √ (NUMERICS.md). */
#ifndef TASKS_MATH_SCALAR_H
#define TASKS_MATH_SCALAR_H

#include <stdint.h>

/* cos(π·t) for t in [0,1] (clamped). */
double scalar_cos_pi(double t);

/* x^n by binary powering from the lowest bit. */
double scalar_power(double x, uint64_t n);

#endif
