/* See blake2b.h. Chooses among the implementations by what this CPU has. */
#include "tasks/base/blake2b.h"

#include "tasks/base/cpu.h"

extern const struct blake2b blake2b_baseline;
#if defined(__x86_64__)
extern const struct blake2b blake2b_avx2;
extern const struct blake2b blake2b_avx512;
#endif

const struct blake2b *const *blake2b_all(void)
{
	static const struct blake2b *const one[] = {&blake2b_baseline, NULL};
#if defined(__x86_64__)
	static const struct blake2b *const two[] = {&blake2b_baseline, &blake2b_avx2, NULL};
	static const struct blake2b *const all[] = {
		&blake2b_baseline, &blake2b_avx2, &blake2b_avx512, NULL};

	if (cpu_has_avx512())
		return all;
	if (cpu_has_avx2())
		return two;
#endif
	return one;
}

const struct blake2b *blake2b_best(void)
{
	const struct blake2b *const *b = blake2b_all();

	while (b[1] != NULL)
		b++;
	return *b;
}
