/* The allocation seam: every heap allocation of Talkoot goes through here, so that tests can make
 * each one fail. Memory comes from mem_*, and goes back with mem_free. */
#ifndef TASKS_BASE_MEM_H
#define TASKS_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

/* All return NULL when memory is short or count × size overflows. Zero bytes give a valid pointer. */
void *mem_alloc(size_t size);
void *mem_calloc(size_t count, size_t size);
void *mem_realloc(void *old, size_t size);
void *mem_dup(const void *data, size_t size);
char *mem_strdup(const char *text);
void mem_free(void *p);

/* An array of count floats on a 64-byte boundary, zeroed. Goes back with mem_free. */
float *mem_floats(size_t count);

/* The same with whatever the memory held, for who writes all of it before reading any: it takes no time,
 * however long the array is. */
float *mem_floats_raw(size_t count);

/* Test seam: the allocation number `after` (1 = the next) fails; with forever every later one too.
 * after = 0 switches it off. One setting per thread. */
void mem_fail(uint64_t after, int forever);

#endif
