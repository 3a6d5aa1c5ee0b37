/* reach.h: the dial-backs that others ask of us. Whatever they ask, nobody but themselves is dialled. */
#include <stdio.h>

#include "peer/overlay/reach_state.h"

static void answer(const struct reach *r, conn_id conn, uint64_t nonce, const char *why)
{
	struct message m = {.type = MESSAGE_DIALLED_BACK,
		.dialled_back = {.nonce = nonce, .reachable = why == NULL}};

	snprintf(m.dialled_back.text, sizeof(m.dialled_back.text), "%s", why != NULL ? why : "");
	reach_say(r, conn, &m);
}

static bool may_ask(struct reach_session *s, uint64_t now_ms)
{
	uint64_t came = (now_ms - s->probe_ms) / REACH_PROBE_ASK_MS;

	s->probe_ms += came * REACH_PROBE_ASK_MS;
	s->probe_tokens = came >= REACH_PROBE_BURST - s->probe_tokens
				  ? REACH_PROBE_BURST
				  : s->probe_tokens + (uint32_t)came;
	if (s->probe_tokens == 0)
		return false;
	s->probe_tokens--;
	return true;
}

static struct probe *probe_place(struct reach *r)
{
	for (size_t i = 0; i < REACH_PROBES_MAX; i++) {
		if (r->probes[i].token == 0)
			return &r->probes[i];
	}
	return NULL;
}

void reach_serve(struct reach *r, uint64_t now_ms, struct reach_session *s,
	const struct message_dial_back *m)
{
	struct probe *p = probe_place(r);
	const char *refused = NULL;

	if (s->remote.family == 0 || !reach_same_host(&s->remote, &m->at))
		refused = "refused: only the address that you are connected from is dialled";
	else if (m->at.port < REACH_PORT_MIN)
		refused = "refused: ports below 1024 are not dialled";
	else if (!may_ask(s, now_ms))
		refused = "refused: you ask too often";
	else if (p == NULL)
		refused = "refused: too many others ask";
	if (refused != NULL) {
		answer(r, s->conn, m->nonce, refused);
		return;
	}
	*p = (struct probe){++r->token, s->conn, m->nonce};
	r->port->probe(r->port->context, p->token, &m->at);
}

void reach_probed(struct reach *r, uint64_t token, const char *why)
{
	for (size_t i = 0; i < REACH_PROBES_MAX; i++) {
		struct probe *p = &r->probes[i];

		if (p->token != token)
			continue;
		if (p->conn != 0)
			answer(r, p->conn, p->nonce, why);
		*p = (struct probe){0};
		return;
	}
}

/* The probe goes on, for nobody. */
void reach_serve_down(struct reach *r, conn_id conn)
{
	for (size_t i = 0; i < REACH_PROBES_MAX; i++) {
		if (r->probes[i].conn == conn)
			r->probes[i].conn = 0;
	}
}
