/* One core of the swarm on a bench: events by hand, effects of the last one kept for a look. After cmocka.h. */
#ifndef TESTS_SWARM_LONE_H
#define TESTS_SWARM_LONE_H

#include "tests/lib/swarm_sim.h"

#define MB (1u << 20)

#define US    7u
#define OTHER 8u
#define BLOB  5u

struct lone {
	struct swarm *core;
	struct swarm_effects out;
	uint64_t now_ms;
};

static inline void lone_step(struct lone *l, struct swarm_event event)
{
	l->out.count = 0;
	event.now_ms = l->now_ms;
	event.random = l->now_ms * 77;
	assert_int_equal(swarm_step(l->core, &event, &l->out), TK_OK);
}

static inline void lone_hear(struct lone *l, peer_ref from, struct swarm_message message)
{
	lone_step(
		l, (struct swarm_event){.type = SWARM_MESSAGE, .peer = from, .message = &message});
}

static inline uint32_t lone_count(const struct lone *l, enum swarm_effect_type type)
{
	uint32_t count = 0;

	for (size_t i = 0; i < l->out.count; i++)
		count += l->out.items[i].type == type;
	return count;
}

static inline void lone_begin(struct lone *l, peer_ref tracker)
{
	struct swarm_config config;

	swarm_config_default(&config, tracker, BLOB_PART_MAX);
	*l = (struct lone){.core = swarm_new(&config), .now_ms = 1000};
	assert_non_null(l->core);
	lone_step(l, (struct swarm_event){.type = SWARM_UP, .peer = SIM_TRACKER});
	lone_step(l, (struct swarm_event){.type = SWARM_UP, .peer = OTHER, .reach = SWARM_PUBLIC});
}

static inline void lone_end(struct lone *l)
{
	swarm_free(l->core);
	swarm_effects_close(&l->out);
}

#endif
