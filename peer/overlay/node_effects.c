/* See node_effects.h and node.h. */
#include "peer/overlay/node_effects.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

int node_effects_reserve(struct node_effects *e, size_t n)
{
	struct node_effect *grown;
	size_t capacity = e->capacity != 0 ? e->capacity : 8;

	while (capacity - e->count < n)
		capacity *= 2;
	if (capacity == e->capacity)
		return TK_OK;
	if (capacity > SIZE_MAX / sizeof(*grown))
		return TK_ENOMEM;
	grown = mem_realloc(e->items, capacity * sizeof(*grown));
	if (grown == NULL)
		return TK_ENOMEM;
	e->items = grown;
	e->capacity = capacity;
	return TK_OK;
}

struct node_effect *node_effects_take(
	struct node_effects *e, enum node_effect_type type, conn_id conn)
{
	struct node_effect *item;

	REQUIRE(e->count < e->capacity);
	item = &e->items[e->count++];
	memset(item, 0, sizeof(*item));
	item->type = type;
	item->conn = conn;
	return item;
}

struct node_effect *node_effects_take_text(
	struct node_effects *e, enum node_effect_type type, conn_id conn, const char *format, ...)
{
	struct node_effect *item = node_effects_take(e, type, conn);
	va_list args;

	va_start(args, format);
	vsnprintf(item->text, sizeof(item->text), format, args);
	va_end(args);
	return item;
}

struct node_effect *node_effects_push(
	struct node_effects *e, enum node_effect_type type, conn_id conn)
{
	if (node_effects_reserve(e, 1 + EFFECTS_TO_END) != TK_OK)
		return NULL;
	return node_effects_take(e, type, conn);
}

void node_effects_pop(struct node_effects *e)
{
	REQUIRE(e->count > 0);
	bytes_close(&e->items[--e->count].bytes);
}

void node_effects_clear(struct node_effects *e)
{
	while (e->count > 0)
		node_effects_pop(e);
}

void node_effects_close(struct node_effects *e)
{
	node_effects_clear(e);
	mem_free(e->items);
	*e = (struct node_effects){0};
}
