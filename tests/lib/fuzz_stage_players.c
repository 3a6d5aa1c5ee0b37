/* What the players of fuzz_stage.h do by themselves: they answer pings, give places, open circuits to the ghost,
 * whose own sessions run inside them. */
#include "tests/lib/fuzz_stage.h"

#include "tasks/base/require.h"

/* The ghost, inside a circuit */

void stage_inner_begin(struct stage *s, unsigned player, uint32_t circuit, bool initiator)
{
	uint8_t secret[32];

	session_free(s->inner.session);
	stage_random(s, secret);
	s->inner = (struct inner){.via = player, .circuit = circuit};
	s->inner.session = session_new(&s->players[STAGE_GHOST].id, initiator, secret,
		STAGE_NOW_S + s->now_ms / 1000, NULL);
	REQUIRE(s->inner.session != NULL);
}

void stage_inner_flush(struct stage *s)
{
	struct message data = {.type = MESSAGE_RELAY_DATA};
	struct span output;

	while (s->inner.session != NULL && (output = session_output(s->inner.session)).len != 0) {
		if (output.len > RELAY_DATA_MAX)
			output.len = RELAY_DATA_MAX;
		data.relay_data.circuit = s->inner.circuit;
		data.relay_data.bytes = output;
		if (!stage_say(s, s->inner.via, &data)) {
			session_free(s->inner.session);
			s->inner.session = NULL;
			return;
		}
		session_consume(s->inner.session, output.len);
	}
}

/* What the ghost answers of itself: to a ping, and to a punch that leads to its own address. */
static void inner_answer(struct stage *s, const struct message *m)
{
	struct message answer = {.type = MESSAGE_PONG};

	if (m->type == MESSAGE_PING) {
		answer.pong.token = m->ping.token;
	} else if (m->type == MESSAGE_PUNCH) {
		answer = (struct message){.type = MESSAGE_PUNCH, .punch = {.count = 1}};
		answer.punch.nonce = m->punch.nonce;
		answer.punch.at[0] = stage_endpoint(STAGE_GHOST);
	} else if (m->type == MESSAGE_MOVED) {
		answer = (struct message){.type = MESSAGE_MOVED, .moved = {MOVED_END}};
	} else {
		return;
	}
	(void)!session_send(s->inner.session, &answer, NULL);
}

static void inner_hear(struct stage *s, struct span bytes)
{
	struct message m;

	if (session_receive(s->inner.session, bytes, NULL) != TK_OK)
		return; /* the relay has put in what the ghost never said */
	while (session_next(s->inner.session, &m, NULL) == TK_OK)
		inner_answer(s, &m);
	stage_inner_flush(s);
}

/* Players */

static void answer_relaying(struct stage *s, unsigned player, const struct message *m)
{
	struct message answer = {
		.type = MESSAGE_RELAY_RESERVED, .relay_reserved = {RELAY_OK, 3600, 1u << 20}};

	if (m->type == MESSAGE_RELAY_OPEN) {
		answer = (struct message){.type = MESSAGE_RELAY_OPENED,
			.relay_opened = {m->relay_open.circuit, RELAY_OK}};
		stage_inner_begin(s, player, m->relay_open.circuit, false);
	}
	(void)!stage_say(s, player, &answer);
	stage_inner_flush(s);
}

static void answer(struct stage *s, unsigned player, const struct message *m)
{
	struct player *p = &s->players[player];
	struct message out = {.type = MESSAGE_PONG};

	if (m->type == MESSAGE_PING && (p->manners & MANNERS_PONG) != 0) {
		out.pong.token = m->ping.token;
	} else if (m->type == MESSAGE_NEIGHBOR && (p->manners & MANNERS_NEIGHBOR) != 0) {
		out = (struct message){.type = MESSAGE_NEIGHBOR_REPLY, .neighbor_reply = {true}};
	} else if (m->type == MESSAGE_DIAL_BACK && (p->manners & MANNERS_DIAL_BACK) != 0) {
		out = (struct message){.type = MESSAGE_DIALLED_BACK,
			.dialled_back = {m->dial_back.nonce, true, ""}};
	} else if ((m->type == MESSAGE_RELAY_RESERVE || m->type == MESSAGE_RELAY_OPEN) &&
		   (p->manners & MANNERS_RELAY) != 0) {
		answer_relaying(s, player, m);
		return;
	} else if (m->type == MESSAGE_RELAY_DATA && s->inner.session != NULL &&
		   s->inner.via == player && s->inner.circuit == m->relay_data.circuit) {
		inner_hear(s, m->relay_data.bytes);
		return;
	} else if (m->type != MESSAGE_MOVED || player != STAGE_GHOST) {
		return;
	} else {
		out = (struct message){.type = MESSAGE_MOVED, .moved = {MOVED_READ}};
	}
	(void)!stage_say(s, player, &out);
}

/* All who see us see the same address, so that it becomes a public one. */
static void greet(struct stage *s, unsigned player)
{
	struct player *p = &s->players[player];
	struct message m = {.type = MESSAGE_OBSERVED, .observed = {stage_endpoint(STAGE_SEEN)}};

	if (!p->greets || !stage_is_open(s, player) || (p->manners & MANNERS_OBSERVE) == 0)
		return;
	p->greets = false;
	(void)!stage_say(s, player, &m);
}

/* Our own node says nothing that its own decoder refuses. */
void stage_player_hear(struct stage *s, struct player *p, struct span bytes)
{
	struct message m;
	int rc;

	p->written += bytes.len;
	if (session_state(p->session) == SESSION_CLOSED)
		return;
	rc = session_receive(p->session, bytes, NULL);
	while (rc == TK_OK && (rc = session_next(p->session, &m, NULL)) == TK_OK)
		answer(s, (unsigned)(p - s->players), &m);
	REQUIRE(rc == TK_OK || rc == TK_ENOENT || p->muddled);
	greet(s, (unsigned)(p - s->players));
}
