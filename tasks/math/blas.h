/* OpenBLAS behind the interface of an engine: the second engine, for work whose bits nobody compares.
 *
 * Its products differ in the last bits between processors, versions and shapes, so nothing that
 * influences a model digest may use it: `talkoot train` with numerics blas shows and saves none. Only
 * programs that call engine_blas() link and load OpenBLAS; talkoot-peer does not. */
#ifndef TASKS_MATH_BLAS_H
#define TASKS_MATH_BLAS_H

#include "tasks/math/engine.h"

/* The engine "blas": engine_best() with gemm by OpenBLAS on the calling thread alone. Each element c of
 * a product satisfies |c − exact| ≤ γ·(Σ|a[k]·b[k]| + |c before|) with γ = (K + 2)·u / (1 − (K + 2)·u),
 * u = 2^-24, unless something overflows or underflows (Higham, "Accuracy and Stability of Numerical
 * Algorithms", 2nd edition, §3.1: true of any order of summation). Never fails; the first call sets
 * OpenBLAS to one thread for the whole process. M, N, K and the ld… stay below 2^31. */
const struct engine *engine_blas(void);

#endif
