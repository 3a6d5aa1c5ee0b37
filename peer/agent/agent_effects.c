/* The list of effects. */
#include "peer/agent/agent_state.h"

#include <stdio.h>

#include "tasks/base/mem.h"

void agent_effects_clear(struct agent_effects *e)
{
	for (size_t i = 0; i < e->count; i++) {
		bytes_close(&e->items[i].bytes);
		bytes_close(&e->items[i].shards);
	}
	e->count = 0;
	e->error = TK_OK;
}

void agent_effects_close(struct agent_effects *e)
{
	agent_effects_clear(e);
	mem_free(e->items);
	*e = (struct agent_effects){0};
}

struct agent_effect *effect_push(struct agent_effects *out, enum agent_effect_type type)
{
	struct agent_effect *e;

	if (out->error != TK_OK)
		return NULL;
	if (out->count == out->capacity) {
		size_t capacity = out->capacity != 0 ? out->capacity * 2 : 16;
		struct agent_effect *grown =
			mem_realloc(out->items, capacity * sizeof(*out->items));

		if (grown == NULL) {
			out->error = TK_ENOMEM;
			return NULL;
		}
		out->items = grown;
		out->capacity = capacity;
	}
	e = &out->items[out->count++];
	*e = (struct agent_effect){.type = type};
	return e;
}

void effect_fill(struct agent_effects *out, struct agent_effect *e, const void *data, size_t n)
{
	if (e != NULL && bytes_append(&e->bytes, data, n) != TK_OK)
		out->error = TK_ENOMEM;
}

struct agent_effect *effect_compute(
	struct agent_effects *out, enum agent_effect_type type, struct job *j)
{
	struct agent_effect *e = effect_push(out, type);

	j->stage = JOB_COMPUTING;
	effect_fill(out, e, j->encoded, j->encoded_bytes);
	if (e == NULL)
		return NULL;
	e->job = j->id;
	e->recipe = j->unit.recipe;
	e->parameters = j->unit.parameters;
	e->state = j->unit.state;
	if (bytes_append(&e->shards, j->shards, j->shard_count * sizeof(*j->shards)) != TK_OK)
		out->error = TK_ENOMEM;
	return e;
}

/* The span of a message that has one, so that the effect can own its bytes. */
static struct span *message_span(struct message *m)
{
	switch (m->type) {
	case MESSAGE_REVEAL:
		return &m->reveal.claim;
	case MESSAGE_SELFTEST:
		return &m->selftest.digests;
	case MESSAGE_UPLOAD:
		return &m->upload.bytes;
	case MESSAGE_TRACE:
		return &m->trace.leaves;
	case MESSAGE_SEGMENT:
		return &m->segment.leaves;
	case MESSAGE_STATE:
		return &m->state.bytes;
	default:
		return NULL;
	}
}

void effect_send(struct agent_effects *out, const struct message *m)
{
	struct agent_effect *e = effect_push(out, AGENT_SEND);
	struct span *s;

	if (e == NULL)
		return;
	e->message = *m;
	s = message_span(&e->message);
	if (s == NULL)
		return;
	effect_fill(out, e, s->data, s->len);
	*s = bytes_span(&e->bytes);
}

void effect_abandon(struct agent_effects *out, const struct digest *nonce, const char *why)
{
	struct message m = {.type = MESSAGE_ABANDON, .abandon = {.nonce = *nonce}};

	snprintf(m.abandon.text, sizeof(m.abandon.text), "%s", why);
	effect_send(out, &m);
}

void effect_log(struct agent_effects *out, const char *format, ...)
{
	struct agent_effect *e = effect_push(out, AGENT_LOG);
	va_list list;

	if (e == NULL)
		return;
	va_start(list, format);
	vsnprintf(e->text, sizeof(e->text), format, list);
	va_end(list);
}
