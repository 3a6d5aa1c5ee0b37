/* Which vector instructions may be used here. The compiler's flags for a kernel (Makefile) and these
 * questions name the same instruction sets. */
#ifndef TASKS_BASE_CPU_H
#define TASKS_BASE_CPU_H

#include <stdbool.h>

/* AVX2 and FMA. False where the operating system does not save the registers, or on other CPUs. */
bool cpu_has_avx2(void);

/* AVX2, FMA and AVX-512 F, DQ, BW and VL. */
bool cpu_has_avx512(void);

#endif
