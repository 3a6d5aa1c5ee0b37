/* A folder for one test program's project files, and random bytes from a seed. */
#ifndef TESTS_PROJECT_SCRATCH_H
#define TESTS_PROJECT_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tasks/base/bytes.h"

struct scratch {
	char folder[64];
	char path[96]; /* the project file */
};

static inline int scratch_open(struct scratch *s)
{
	strcpy(s->folder, "/tmp/talkoot-project-XXXXXX");
	if (mkdtemp(s->folder) == NULL)
		return -1;
	snprintf(s->path, sizeof(s->path), "%s/p.yaml", s->folder);
	return 0;
}

static inline void scratch_close(struct scratch *s)
{
	unlink(s->path);
	rmdir(s->folder);
}

static inline int scratch_write(const struct scratch *s, const void *text, size_t n)
{
	FILE *f = fopen(s->path, "wb");

	if (f == NULL)
		return -1;
	if (fwrite(text, 1, n, f) != n) {
		fclose(f);
		return -1;
	}
	return fclose(f);
}

/* SplitMix64: the next number from a seed. */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Changes, removes, doubles or inserts a few bytes; the text has room for `room` bytes. */
static inline size_t mutate(uint64_t *state, uint8_t *text, size_t n, size_t room)
{
	static const char likely[] = ":,{}[]\"'&*!#-~|> \n\t0x.e%@";
	unsigned changes = 1 + random_next(state) % 4;

	while (changes-- > 0 && n > 1) {
		size_t at = random_next(state) % n;
		uint8_t byte = random_next(state) % 4 != 0
				       ? (uint8_t)likely[random_next(state) % (sizeof(likely) - 1)]
				       : (uint8_t)random_next(state);

		switch (random_next(state) % 4) {
		case 0:
			text[at] = byte;
			break;
		case 1:
			memmove(text + at, text + at + 1, --n - at);
			break;
		case 2:
			text[at] ^= (uint8_t)(1u << random_next(state) % 8);
			break;
		default:
			if (n < room) {
				memmove(text + at + 1, text + at, n++ - at);
				text[at] = byte;
			}
		}
	}
	return n;
}

#endif
