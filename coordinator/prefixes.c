/* See prefixes.h. */
#include "coordinator/prefixes.h"

#include <string.h>

#include "tasks/base/mem.h"

void prefixes_close(struct prefixes *s)
{
	mem_free(s->list);
	*s = (struct prefixes){0};
}

/* Where it is, or belongs. */
static size_t place(const struct prefixes *s, uint64_t prefix)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (s->list[middle].prefix < prefix)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct prefixes *s, size_t i, uint64_t prefix)
{
	return i < s->count && s->list[i].prefix == prefix;
}

static bool make_room(struct prefixes *s)
{
	size_t want = s->capacity * 2 + 16;
	struct prefix_count *grown;

	if (s->count < s->capacity)
		return true;
	grown = mem_realloc(s->list, want * sizeof(*grown));
	if (grown == NULL)
		return false;
	s->list = grown;
	s->capacity = want;
	return true;
}

void prefixes_add(struct prefixes *s, uint64_t prefix)
{
	size_t i = place(s, prefix);

	if (prefix == 0 || (!is_at(s, i, prefix) && !make_room(s)))
		return;
	if (!is_at(s, i, prefix)) {
		memmove(&s->list[i + 1], &s->list[i], (s->count - i) * sizeof(*s->list));
		s->list[i] = (struct prefix_count){.prefix = prefix};
		s->count++;
	}
	s->list[i].peers++;
	s->total++;
}

void prefixes_remove(struct prefixes *s, uint64_t prefix)
{
	size_t i = place(s, prefix);

	if (!is_at(s, i, prefix))
		return;
	s->total--;
	if (--s->list[i].peers > 0)
		return;
	s->count--;
	memmove(&s->list[i], &s->list[i + 1], (s->count - i) * sizeof(*s->list));
}

bool prefixes_has_others(const struct prefixes *s, uint64_t prefix, uint32_t quorum)
{
	size_t i = place(s, prefix);

	return prefix != 0 && is_at(s, i, prefix) &&
	       (uint64_t)s->list[i].peers * quorum <= s->total;
}
