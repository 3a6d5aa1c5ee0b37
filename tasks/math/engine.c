/* See engine.h. Chooses among the engines by what this CPU has, and puts a thread into the
 * floating-point mode that all of them need. */
#include "tasks/math/engine.h"

#include <fenv.h>
#include <stdio.h>
#include <string.h>

#include "tasks/base/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define MXCSR_CANONICAL 0x1f80u /* to nearest, subnormals kept, no exception traps */
#endif

extern const struct engine engine_baseline;
#if defined(__x86_64__)
extern const struct engine engine_avx2;
extern const struct engine engine_avx512;

const struct engine *const *engine_all(void)
{
	static const struct engine *const all[] = {
		&engine_baseline, &engine_avx2, &engine_avx512, NULL};
	static const struct engine *const two[] = {&engine_baseline, &engine_avx2, NULL};
	static const struct engine *const one[] = {&engine_baseline, NULL};

	return cpu_has_avx512() ? all : cpu_has_avx2() ? two : one;
}

bool engine_has_hardware_fma(void)
{
	return cpu_has_avx2();
}
#else
const struct engine *const *engine_all(void)
{
	static const struct engine *const one[] = {&engine_baseline, NULL};

	return one;
}

bool engine_has_hardware_fma(void)
{
#if defined(__FP_FAST_FMAF) || defined(__aarch64__)
	return true;
#else
	return false;
#endif
}
#endif

const char *engine_remark(bool (*has_fma)(void))
{
	if (has_fma())
		return NULL;
	return "this processor has no fused multiply-add that can be used here; it is computed in "
	       "software, to the same bits as everywhere, but many times slower";
}

const struct engine *engine_best(void)
{
	const struct engine *const *e = engine_all();

	while (e[1] != NULL)
		e++;
	return *e;
}

const struct engine *engine_find(const char *name)
{
	if (strcmp(name, "scalar") == 0)
		name = "baseline";
	for (const struct engine *const *e = engine_all(); *e != NULL; e++) {
		if (strcmp((*e)->name, name) == 0)
			return *e;
	}
	return NULL;
}

int engine_choose(const struct engine **out, const char *name, struct errmsg *msg)
{
	const struct engine *e =
		name == NULL || name[0] == '\0' ? engine_best() : engine_find(name);
	char names[64] = "";

	if (e != NULL) {
		*out = e;
		return TK_OK;
	}
	for (const struct engine *const *all = engine_all(); *all != NULL; all++) {
		size_t n = strlen(names);

		snprintf(names + n, sizeof(names) - n, "%s%s", n != 0 ? ", " : "", (*all)->name);
	}
	return errmsg_set(msg, TK_EUNSUPPORTED,
		"TALKOOT_ENGINE: there is no engine \"%.40s\" on this computer; choose from %s",
		name, names);
}

static void set_canonical_mode(void)
{
#if defined(__x86_64__)
	_mm_setcsr(MXCSR_CANONICAL);
#elif defined(__aarch64__)
	uint64_t zero = 0;

	__asm__ volatile("msr fpcr, %0" : : "r"(zero));
#endif
}

/* The samples are volatile, so that this thread's arithmetic answers and not the compiler's. */
static bool rounds_to_nearest_even(void)
{
	volatile float one = 1, half_ulp = 0x1p-24f;

	return one + half_ulp == 1.0f && one + 3 * half_ulp == 1 + 0x1p-22f &&
	       -one - half_ulp == -1.0f && -one - 3 * half_ulp == -1 - 0x1p-22f;
}

static bool keeps_subnormals(void)
{
	volatile float normal = 0x1p-126f, subnormal = 0x1p-149f, half = 0.5f, large = 0x1p+100f;

	return normal * half == 0x1p-127f && subnormal * large == 0x1p-49f;
}

/* (1 + 2^-23)² − (1 + 2^-22) is 2^-46 when fused and 0 when the product is rounded first. */
static bool fuses(const struct engine *e)
{
	const float a = 1 + 0x1p-23f;
	float c = -(1 + 0x1p-22f);

	e->gemm(false, false, 1, 1, 1, &a, 1, &a, 1, &c, 1, true);
	return c == 0x1p-46f;
}

int engine_enter_thread(struct errmsg *msg)
{
	const char *broken = NULL;

	if (fesetround(FE_TONEAREST) != 0)
		broken = "cannot be set to round to nearest";
	set_canonical_mode();
	if (broken == NULL && !rounds_to_nearest_even())
		broken = "does not round to nearest even";
	if (broken == NULL && !keeps_subnormals())
		broken = "flushes subnormal numbers to zero";
	if (broken == NULL && !fuses(engine_best()))
		broken = "rounds twice in a fused multiply-add";
	if (broken == NULL)
		return TK_OK;
	return errmsg_set(msg, TK_ENUMERICS,
		"this processor's arithmetic %s, so its results could not match other computers'; "
		"this computer cannot compute for the grid (check the emulator or virtual machine "
		"that it runs in, if any)",
		broken);
}
