/* See words.h. A sorted array: sets stay below 65,536 texts, and are searched far more often than they
 * grow. */
#include "tasks/data/words.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

const char *words_at(const struct words *w, uint32_t index)
{
	REQUIRE(index < w->count);
	return (const char *)w->text.data + w->starts[index];
}

/* The first place whose text is not below this one. */
static uint32_t place(const struct words *w, const char *text)
{
	uint32_t low = 0;
	uint32_t high = w->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (strcmp(words_at(w, middle), text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool words_find(const struct words *w, const char *text, uint32_t *index)
{
	uint32_t at = place(w, text);

	if (at == w->count || strcmp(words_at(w, at), text) != 0)
		return false;
	*index = at;
	return true;
}

int words_add(struct words *w, const char *text)
{
	uint32_t at = place(w, text);
	size_t start = w->text.len;

	if (at < w->count && strcmp(words_at(w, at), text) == 0)
		return TK_OK;
	if (w->count == w->capacity) {
		uint32_t capacity = w->capacity != 0 ? w->capacity * 2 : 8;
		size_t *starts = mem_realloc(w->starts, capacity * sizeof(*starts));

		if (starts == NULL)
			return TK_ENOMEM;
		w->starts = starts;
		w->capacity = capacity;
	}
	if (bytes_append(&w->text, text, strlen(text) + 1) != TK_OK)
		return TK_ENOMEM;
	memmove(w->starts + at + 1, w->starts + at, (w->count - at) * sizeof(*w->starts));
	w->starts[at] = start;
	w->count++;
	return TK_OK;
}

void words_close(struct words *w)
{
	bytes_close(&w->text);
	mem_free(w->starts);
	*w = (struct words){0};
}
