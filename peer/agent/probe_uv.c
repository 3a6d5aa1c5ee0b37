/* agent_probe (agent_uv.h): is the network there? One handshake, then a goodbye. */
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "peer/agent/agent_uv.h"
#include "peer/overlay/node_uv.h"

struct probe {
	const struct link *link;
	struct node_uv *node;
	uv_loop_t loop;
	uv_timer_t timer;
	uint32_t host;
	conn_id conn;
	bool answered, closing;
	char why[512]; /* what each host said */
};

static void on_closed(void *context)
{
	(void)context; /* the loop ends by itself once it holds nothing */
}

static void probe_end(struct probe *p)
{
	if (p->closing)
		return;
	p->closing = true;
	uv_close((uv_handle_t *)&p->timer, NULL);
	node_uv_close(p->node, GOODBYE_SHUTDOWN, "only asking whether you are there", on_closed, p);
}

static void note(struct probe *p, const char *host, const char *why)
{
	size_t at = 0;

	while (p->why[at] != '\0')
		at++;
	if (strstr(why, host) != NULL) /* it says itself where */
		snprintf(p->why + at, sizeof(p->why) - at, "%s%s", at != 0 ? "; " : "", why);
	else
		snprintf(p->why + at, sizeof(p->why) - at, "%s%s: %s", at != 0 ? "; " : "", host,
			why);
}

/* Dials the next host; with none left the probe is over. */
static void probe_next(struct probe *p)
{
	struct errmsg msg = {{0}};

	for (; p->host < p->link->host_count; p->host++) {
		const char *host = p->link->hosts[p->host];

		if (node_uv_dial_link(p->node, host, &p->link->network, &p->conn, &msg) == TK_OK)
			return;
		note(p, host, msg.text);
	}
	probe_end(p);
}

static void on_up(void *context, conn_id conn, const struct public_key *key, enum role role)
{
	struct probe *p = context;

	(void)conn;
	(void)key;
	(void)role; /* the coordinator, or a host: either is the network */
	p->answered = true;
	probe_end(p);
}

static void on_down(void *context, conn_id conn, const char *why)
{
	(void)context;
	(void)conn;
	(void)why;
}

static void on_dial_failed(void *context, conn_id conn, const char *why)
{
	struct probe *p = context;

	(void)conn;
	if (p->closing)
		return;
	note(p, p->link->hosts[p->host], why);
	p->host++;
	probe_next(p);
}

static void on_message(void *context, conn_id conn, const struct message *m)
{
	(void)context;
	(void)conn;
	(void)m;
}

static void on_log(void *context, const char *line)
{
	(void)context;
	(void)line;
}

static void on_timeout(uv_timer_t *timer)
{
	struct probe *p = timer->data;

	note(p, p->link->hosts[p->host], "no answer in time");
	probe_end(p);
}

int agent_probe(const struct agent_home *home, uint64_t timeout_ms, struct errmsg *msg)
{
	struct probe p = {.link = &home->link};
	struct node_handler handler = {.context = &p,
		.up = on_up,
		.down = on_down,
		.message = on_message,
		.dial_failed = on_dial_failed,
		.log = on_log};
	struct identity id;
	int rc;

	if (uv_loop_init(&p.loop) != 0)
		return errmsg_set(msg, TK_EIO, "the event loop does not start");
	agent_home_identity(home, &id);
	p.node = node_uv_new(&p.loop, &id, &handler);
	if (p.node == NULL) {
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory to connect");
	} else {
		uv_timer_init(&p.loop, &p.timer);
		p.timer.data = &p;
		uv_timer_start(&p.timer, on_timeout, timeout_ms, 0);
		probe_next(&p);
		uv_run(&p.loop, UV_RUN_DEFAULT);
		node_uv_free(p.node);
		rc = p.answered ? TK_OK : errmsg_set(msg, TK_EIO, "%s", p.why);
	}
	identity_wipe(&id);
	uv_loop_close(&p.loop);
	return rc;
}
