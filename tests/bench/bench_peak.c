/* The most that one core can do: fused multiply-adds on registers alone, in independent chains. Prints
 * instruction set and GFLOP/s, the best of several short runs; the widest that this CPU has. */
#include <stdio.h>
#include <time.h>

#include "tasks/base/cpu.h"

#define RUNS   20
#define ROUNDS 400000
#define CHAINS 24

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The compiler may not see what the registers hold, so that nothing can be left out. */
#define CHAINS_OF(name, type, isa, fma)                                                            \
	isa static double name(void)                                                               \
	{                                                                                          \
		type sum[CHAINS] = {{0}}, a = {0}, b = {0};                                        \
		double start = seconds();                                                          \
                                                                                                   \
		for (int round = 0; round < ROUNDS; round++) {                                     \
			_Pragma("GCC unroll 24") for (int i = 0; i < CHAINS;                       \
						      i++) __asm__ volatile(fma :                  \
				OPERANDS(sum[i], a, b));                                           \
		}                                                                                  \
		return 2.0 * (double)(sizeof(type) / sizeof(float)) * CHAINS * ROUNDS /            \
		       (seconds() - start) * 1e-9;                                                 \
	}

#if defined(__x86_64__)
#define OPERANDS(c, x, y) "+v"(c) : "v"(x), "v"(y)
typedef float wide __attribute__((vector_size(64)));
typedef float half __attribute__((vector_size(32)));
CHAINS_OF(peak_avx512, wide, __attribute__((target("avx512f"))), "vfmadd231ps %1, %2, %0")
CHAINS_OF(peak_avx2, half, __attribute__((target("avx2,fma"))), "vfmadd231ps %1, %2, %0")
#elif defined(__aarch64__)
#define OPERANDS(c, x, y) "+w"(c) : "w"(x), "w"(y)
typedef float quarter __attribute__((vector_size(16)));
CHAINS_OF(peak_neon, quarter, , "fmla %0.4s, %1.4s, %2.4s")
#endif

int main(void)
{
	const char *name = NULL;
	double (*peak)(void) = NULL;
	double best = 0;

#if defined(__x86_64__)
	if (cpu_has_avx512()) {
		name = "avx512";
		peak = peak_avx512;
	} else if (cpu_has_avx2()) {
		name = "avx2";
		peak = peak_avx2;
	}
#elif defined(__aarch64__)
	name = "neon";
	peak = peak_neon;
#endif
	if (peak == NULL) {
		fputs("bench_peak: no fused multiply-add in vectors here\n", stderr);
		return 1;
	}
	for (int i = 0; i < RUNS; i++) {
		double now = peak();

		best = now > best ? now : best;
	}
	printf("%s,%.1f\n", name, best);
	return 0;
}
