/* See fuzz_stage.h. */
#include "tests/lib/fuzz_stage.h"

#include <string.h>

#include "peer/wire/identity.h"
#include "tasks/base/require.h"

#define START_MS  5000u
#define LEFT_MS	  150000u     /* of virtual time in one input */
#define HONEST	  1u	      /* the conn_id of its session, on both sides */
#define HEAP_MAX  (48u << 20) /* that one input may take */
#define TICKS_END 5u

/* Only a build with AddressSanitizer has it. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t heap_bytes(void)
{
	return __sanitizer_get_current_allocated_bytes != NULL
		       ? __sanitizer_get_current_allocated_bytes()
		       : 0;
}

void stage_random(struct stage *s, uint8_t out[32])
{
	memset(out, 0x80, 32); /* a key may come of it that anybody can sign for (fuzz_targets.h) */
	store_le64(out + 1, ++s->counter * UINT64_C(0x9e3779b97f4a7c15));
}

struct endpoint stage_endpoint(unsigned player)
{
	return (struct endpoint){.family = 4,
		.ip = {198, 51, (uint8_t)(100 + player), 7},
		.port = (uint16_t)(STAGE_PORT + player)};
}

bool stage_is_open(const struct stage *s, unsigned player)
{
	const struct player *p = &s->players[player];

	return p->session != NULL && !p->over && session_state(p->session) == SESSION_OPEN;
}

static struct player *player_of(struct stage *s, conn_id conn)
{
	for (unsigned i = 0; i < STAGE_PLAYERS; i++)
		if (s->players[i].session != NULL && s->players[i].conn == conn)
			return &s->players[i];
	return NULL;
}

bool stage_say(struct stage *s, unsigned player, const struct message *m)
{
	struct player *p = &s->players[player];

	return stage_is_open(s, player) && session_send(p->session, m, NULL) == TK_OK;
}

/* Sessions */

static void player_begin(struct stage *s, unsigned player, bool initiator)
{
	struct player *p = &s->players[player];
	uint8_t secret[32];

	stage_gone(s, player);
	stage_random(s, secret);
	session_free(p->session);
	p->session = session_new(&p->id, initiator, secret, STAGE_NOW_S + s->now_ms / 1000, NULL);
	REQUIRE(p->session != NULL);
	p->conn = HONEST + ++s->counter;
	p->over = p->muddled = p->logged = p->greets = false;
	p->written = 0;
}

void stage_come(struct stage *s, unsigned player, uint8_t prefix)
{
	struct node_event accepted = {.type = NODE_ACCEPTED};
	struct endpoint from = stage_endpoint(player);

	player_begin(s, player, true);
	from.ip[2] ^= prefix;
	accepted.conn = s->players[player].conn;
	accepted.remote = &from;
	stage_step(s, &accepted);
}

void stage_call(struct stage *s, unsigned player, struct node_event *connected)
{
	struct endpoint at = stage_endpoint(player);

	player_begin(s, player, connected->respond);
	connected->type = NODE_CONNECTED;
	connected->conn = s->players[player].conn;
	connected->remote = &at;
	connected->from_port = player % 2 == 0; /* to the others we are strangers */
	s->players[player].greets = true;
	stage_step(s, connected);
}

void stage_gone(struct stage *s, unsigned player)
{
	struct player *p = &s->players[player];
	struct node_event lost = {.type = NODE_LOST, .conn = p->conn};

	if (p->session == NULL || p->over)
		return;
	p->over = true;
	stage_step(s, &lost);
}

/* Effects */

static void dial(struct stage *s, const struct record *record)
{
	struct node_event unreached = {.type = NODE_UNREACHED, .expect = &record->key};
	struct node_event connected = {.expect = &record->key, .sought = true};

	for (unsigned i = 0; i < STAGE_PLAYERS; i++) {
		if (key_equal(&s->players[i].id.key.public, &record->key) && !stage_is_open(s, i)) {
			stage_call(s, i, &connected);
			return;
		}
	}
	stage_step(s, &unreached);
}

static void try_keep(struct stage *s, const struct node_effect *e)
{
	struct node_event failed = {.type = NODE_TRY_FAILED, .token = e->token, .text = "full"};

	if (e->type == NODE_PROBE)
		failed.type = NODE_PROBED;
	if (s->try_count == STAGE_TRIES)
		stage_step(s, &failed);
	else
		s->tries[s->try_count++] =
			(struct try_pending){e->token, e->at, e->type == NODE_PROBE};
}

static void carry_out(struct stage *s, const struct node_effect *e)
{
	struct player *p = player_of(s, e->conn);

	REQUIRE(e->conn != HONEST || (e->type != NODE_CLOSE && e->type != NODE_DOWN));
	switch (e->type) {
	case NODE_WRITE:
		if (p != NULL)
			stage_player_hear(s, p, bytes_span(&e->bytes));
		else if (e->conn == HONEST)
			REQUIRE(bytes_append(&s->to_honest, e->bytes.data, e->bytes.len) == TK_OK);
		break;
	case NODE_CLOSE:
		if (p != NULL)
			p->over = true;
		break;
	case NODE_LOG:
		if (p != NULL)
			p->logged = true;
		break;
	case NODE_DIAL:
		dial(s, &e->record);
		break;
	case NODE_TRY:
	case NODE_PROBE:
		try_keep(s, e);
		break;
	default:
		break;
	}
}

/* Steps within steps add to the same list, and the outermost call sees to the rest. */
void stage_step(struct stage *s, struct node_event *event)
{
	event->now_ms = s->now_ms;
	event->now_s = STAGE_NOW_S + s->now_ms / 1000;
	stage_random(s, event->random);
	if (s->ways != NULL)
		(void)!ways_step(s->ways, event, &s->out);
	else
		(void)!node_step(s->node, event, &s->out);
	stage_drain(s);
}

void stage_drain(struct stage *s)
{
	while (s->done < s->out.count) {
		struct node_effect e = s->out.items[s->done++];

		carry_out(s, &e);
	}
}

/* The honest peer has nothing to say against us, whatever we were told to tell it. */
static void honest_step(struct stage *s, struct node_event *event)
{
	event->now_ms = s->now_ms;
	event->now_s = STAGE_NOW_S + s->now_ms / 1000;
	stage_random(s, event->random);
	REQUIRE(node_step(s->honest, event, &s->honest_out) == TK_OK);
	for (size_t i = 0; i < s->honest_out.count; i++) {
		const struct node_effect *e = &s->honest_out.items[i];

		REQUIRE(e->type != NODE_CLOSE && e->type != NODE_DOWN);
		if (e->type == NODE_WRITE)
			REQUIRE(bytes_append(&s->to_us, e->bytes.data, e->bytes.len) == TK_OK);
	}
	node_effects_clear(&s->honest_out);
}

/* Bytes on their way. */
static bool pump_player(struct stage *s, struct player *p)
{
	struct node_event bytes = {.type = NODE_BYTES, .conn = p->conn};
	struct node_event written = {.type = NODE_WRITTEN, .conn = p->conn, .count = p->written};
	struct bytes taken = {0};

	if (p->session == NULL || p->over)
		return false;
	if (p->written != 0 && (p->manners & MANNERS_READ) != 0) {
		p->written = 0;
		stage_step(s, &written);
		return true;
	}
	if (session_output(p->session).len == 0)
		return false;
	session_take_output(p->session, &taken);
	bytes.bytes = bytes_span(&taken);
	stage_step(s, &bytes);
	bytes_close(&taken);
	return true;
}

static bool pump_honest(struct stage *s)
{
	struct bytes us = s->to_us, honest = s->to_honest;
	struct node_event to_us = {.type = NODE_BYTES, .conn = HONEST, .bytes = bytes_span(&us)};
	struct node_event to_honest = {
		.type = NODE_BYTES, .conn = HONEST, .bytes = bytes_span(&honest)};
	struct node_event written = {.type = NODE_WRITTEN, .conn = HONEST};
	bool moved = us.len + honest.len != 0;

	s->to_us = s->to_honest = (struct bytes){0};
	if (us.len != 0) {
		written.count = us.len;
		honest_step(s, &written);
		stage_step(s, &to_us);
	}
	if (honest.len != 0) {
		written.count = honest.len;
		stage_step(s, &written);
		honest_step(s, &to_honest);
	}
	bytes_close(&us);
	bytes_close(&honest);
	return moved;
}

static void pump_tries(struct stage *s)
{
	struct try_pending tries[STAGE_TRIES];
	unsigned count = s->try_count;

	memcpy(tries, s->tries, sizeof(tries));
	s->try_count = 0;
	for (unsigned i = 0; i < count; i++) {
		struct node_event answer = {.type = NODE_PROBED, .token = tries[i].token};
		unsigned player = tries[i].at.port - STAGE_PORT;

		answer.text = tries[i].at.port % 2 == 0 ? NULL : "nobody answers";
		if (!tries[i].probe && player < STAGE_PLAYERS) {
			stage_call(s, player, &answer);
			continue;
		}
		if (!tries[i].probe)
			answer.type = NODE_TRY_FAILED;
		stage_step(s, &answer);
	}
}

void stage_pump(struct stage *s)
{
	bool moved;

	do {
		moved = pump_honest(s);
		for (unsigned i = 0; i < STAGE_PLAYERS; i++)
			moved = pump_player(s, &s->players[i]) || moved;
	} while (moved);
	REQUIRE(s->done == s->out.count);
	node_effects_clear(&s->out);
	s->done = 0;
}

/* Time */

static uint64_t wake_ms(const struct stage *s)
{
	return s->ways != NULL ? ways_wake_ms(s->ways) : node_wake_ms(s->node);
}

static void stage_tick(struct stage *s)
{
	struct node_event tick = {.type = NODE_TICK}, wake = {.type = NODE_WAKE};

	if (wake_ms(s) <= s->now_ms)
		stage_step(s, &wake);
	stage_step(s, &tick);
	tick = (struct node_event){.type = NODE_TICK};
	wake = (struct node_event){.type = NODE_WAKE};
	if (node_wake_ms(s->honest) <= s->now_ms)
		honest_step(s, &wake);
	honest_step(s, &tick);
	pump_tries(s);
	stage_pump(s);
}

void stage_pass(struct stage *s, uint64_t ms)
{
	if (ms > s->left_ms)
		ms = s->left_ms;
	s->left_ms -= ms;
	do {
		uint64_t slice = ms < NODE_TICK_MS ? ms : NODE_TICK_MS;

		s->now_ms += slice;
		ms -= slice;
		stage_tick(s);
	} while (ms != 0);
}

/* Life */

static void identities_make(struct stage *s)
{
	uint8_t root_seed[32] = {3}, us_seed[32] = {1}, friend_seed[32] = {2}, seed[32] = {0};
	uint8_t secret[32] = {7};
	struct certificate word;
	struct key_pair root;

	key_from_seed(&root, root_seed);
	identity_init(&s->us, us_seed, secret, ROLE_PEER, &root.public);
	secret[0]++;
	identity_init(&s->friend, friend_seed, secret, ROLE_PEER, &root.public);
	for (unsigned i = 0; i < STAGE_PLAYERS; i++) {
		struct player *p = &s->players[i];

		seed[0] = (uint8_t)(0x80 + i); /* anybody's, where keys are clear */
		secret[0]++;
		identity_init(&p->id, i == STAGE_ROOT ? root_seed : seed, secret,
			i == STAGE_ROOT ? ROLE_COORDINATOR : ROLE_PEER, &root.public);
		p->manners = MANNERS_ALL;
	}
	host_sign(&word, &root, &s->players[STAGE_HOST].id.key.public, STAGE_NOW_S);
	identity_set_certificate(&s->players[STAGE_HOST].id, &word);
}

static void honest_comes(struct stage *s)
{
	struct endpoint from = {.family = 4, .ip = {203, 0, 113, 9}, .port = 40000};
	struct node_event connected = {.type = NODE_CONNECTED, .conn = HONEST};
	struct node_event accepted = {.type = NODE_ACCEPTED, .conn = HONEST, .remote = &from};

	connected.expect = &s->us.key.public;
	stage_step(s, &accepted);
	honest_step(s, &connected);
	stage_pump(s);
	REQUIRE(node_session_count(s->honest) == 1 && node_session_count(s->node) == 1);
}

static void cores_make(struct stage *s, bool ways)
{
	struct ways_config config;
	struct endpoint local = {.family = 4, .ip = {192, 168, 1, 2}, .port = 7332};
	uint8_t seed[32] = {0x80};

	s->honest = node_new(&s->friend);
	if (ways) {
		ways_config_default(&config, &s->us, seed);
		s->ways = ways_new(&config);
		REQUIRE(s->ways != NULL);
		ways_listen(s->ways, local.port, &local, 1);
		s->node = ways_node(s->ways);
	} else {
		s->node = node_new(&s->us);
	}
	REQUIRE(s->node != NULL && s->honest != NULL);
}

void stage_open(struct stage *s, bool ways)
{
	struct node_event start = {.type = NODE_START}, start_honest = start, called = {0};

	*s = (struct stage){.now_ms = START_MS, .left_ms = LEFT_MS, .heap_bytes = heap_bytes()};
	identities_make(s);
	cores_make(s, ways);
	stage_step(s, &start);
	honest_step(s, &start_honest);
	honest_comes(s);
	stage_come(s, 0, 0);
	stage_call(s, STAGE_ROOT, &called);
	stage_pump(s);
	REQUIRE(stage_is_open(s, 0) && stage_is_open(s, STAGE_ROOT));
}

void stage_close(struct stage *s)
{
	size_t waiting = 0;

	s->left_ms = TICKS_END * NODE_TICK_MS;
	stage_pass(s, s->left_ms);
	for (unsigned i = 0; i < STAGE_PLAYERS; i++)
		waiting += node_waiting(s->node, s->players[i].conn);
	REQUIRE(waiting <= STAGE_PLAYERS * (size_t)NODE_OUTPUT_MAX);
	REQUIRE(node_session_count(s->honest) == 1);
	REQUIRE(node_session_count(s->node) >= 1 &&
		node_session_count(s->node) <= 1 + STAGE_PLAYERS + WAYS_MAX);
	REQUIRE(node_neighbour_count(s->node) <= 1 + STAGE_PLAYERS);
	REQUIRE(heap_bytes() < s->heap_bytes + HEAP_MAX);
	if (s->ways != NULL)
		ways_free(s->ways);
	else
		node_free(s->node);
	node_free(s->honest);
	session_free(s->inner.session);
	for (unsigned i = 0; i < STAGE_PLAYERS; i++) {
		session_free(s->players[i].session);
		identity_wipe(&s->players[i].id);
	}
	node_effects_close(&s->out);
	node_effects_close(&s->honest_out);
	bytes_close(&s->to_us);
	bytes_close(&s->to_honest);
	identity_wipe(&s->us);
	identity_wipe(&s->friend);
}
