/* See mem.h. */
#include "tasks/base/mem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local uint64_t fail_after;
static _Thread_local int fail_forever;

void mem_fail(uint64_t after, int forever)
{
	fail_after = after;
	fail_forever = forever;
}

static bool fails_now(void)
{
	if (fail_after == 0)
		return false;
	if (fail_after > 1) {
		fail_after--;
		return false;
	}
	if (!fail_forever)
		fail_after = 0;
	return true;
}

void *mem_alloc(size_t size)
{
	return fails_now() ? NULL : malloc(size != 0 ? size : 1);
}

void *mem_calloc(size_t count, size_t size)
{
	if (count == 0 || size == 0)
		count = size = 1;
	return fails_now() ? NULL : calloc(count, size);
}

void *mem_realloc(void *old, size_t size)
{
	return fails_now() ? NULL : realloc(old, size != 0 ? size : 1);
}

void *mem_dup(const void *data, size_t size)
{
	void *copy = mem_alloc(size);

	if (copy != NULL && size != 0)
		memcpy(copy, data, size);
	return copy;
}

char *mem_strdup(const char *text)
{
	return mem_dup(text, strlen(text) + 1);
}

void mem_free(void *p)
{
	free(p);
}

/* Bytes of an array of count floats, to whole lines of 64 bytes; 0: more than there can be. */
static size_t floats_size(size_t count)
{
	if (count > SIZE_MAX / sizeof(float) - 64)
		return 0;
	return count == 0 ? 64 : (count * sizeof(float) + 63) / 64 * 64;
}

float *mem_floats_raw(size_t count)
{
	size_t size = floats_size(count);

	return size == 0 || fails_now() ? NULL : aligned_alloc(64, size);
}

float *mem_floats(size_t count)
{
	float *x = mem_floats_raw(count);

	if (x != NULL)
		memset(x, 0, floats_size(count));
	return x;
}
