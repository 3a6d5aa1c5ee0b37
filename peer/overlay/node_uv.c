/* The node's shell on libuv; see node_uv.h. Carries events into the core and effects out of it.
 *
 * Effects are queued and carried out in order by node_uv_drain(), never from within a step and never from
 * within a call of the application: what a call causes runs in the loop's next turn, what a callback
 * of the loop causes runs before that callback returns. So a handler may call anything here.
 * A connection's number also says where its channel is found: channels[conn % CHANNELS_MAX]. */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <uv.h>

#include "peer/overlay/node_uv_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define FILES_KEPT 64u /* descriptors that connections leave to the rest of the program */

struct channel *channel_find(const struct node_uv *n, conn_id conn)
{
	struct channel *c = n->channels[conn % CHANNELS_MAX];

	return c != NULL && c->conn == conn ? c : NULL;
}

conn_id conn_new(struct node_uv *n)
{
	if (n->alive >= n->alive_max)
		return 0;
	for (size_t i = 0; i < CHANNELS_MAX; i++) {
		if (n->channels[++n->last % CHANNELS_MAX] == NULL)
			return n->last;
	}
	return 0;
}

/* Steps and effects */

int node_uv_step(struct node_uv *n, struct node_event *event)
{
	event->now_ms = uv_now(n->loop);
	event->now_s = (uint64_t)time(NULL);
	return ways_step(n->ways, event, &n->queue);
}

/* A session is old; c NULL: it is none that we can dial. When it fails, the core asks again. */
static void renew(struct node_uv *n, const struct channel *c)
{
	struct channel *fresh;
	conn_id conn;

	if (c == NULL || !c->dialled || !c->up || n->closing || n->handler->renewed == NULL)
		return;
	conn = conn_new(n);
	if (conn == 0 || channel_dial_again(&fresh, &n->host, conn, c) != TK_OK)
		return;
	channel_keep(n, fresh);
	fresh->renews = c->conn;
	fresh->expects = c->expects; /* a host is no coordinator's successor */
	fresh->expect = c->expect;
}

static void announce(struct node_uv *n, struct span encoded)
{
	struct announcement a;

	if (n->handler->announced != NULL && announcement_decode(&a, encoded, NULL) == TK_OK)
		n->handler->announced(n->handler->context, &a);
}

/* A host was met where the coordinator was looked for: a renewal wants the same one. */
static void note_up(struct channel *c, const struct node_effect *e)
{
	c->up = true;
	if (c->hosts && e->role == ROLE_PEER)
		c->expect = e->key;
}

static void apply(struct node_uv *n, struct node_effect *e)
{
	const struct node_handler *h = n->handler;
	struct channel *c = channel_find(n, e->conn);

	switch (e->type) {
	case NODE_WRITE:
		if (c != NULL)
			channel_write(c, &e->bytes);
		break;
	case NODE_CLOSE:
		if (c != NULL)
			channel_end(c, e->text);
		break;
	case NODE_UP:
		if (c != NULL)
			note_up(c, e);
		if (e->renews != 0 && h->renewed != NULL)
			h->renewed(h->context, e->renews, e->conn);
		h->up(h->context, e->conn, &e->key, e->role);
		break;
	case NODE_DOWN:
		if (e->reason != 0 && h->farewell != NULL)
			h->farewell(h->context, e->conn, e->reason, e->text);
		if (e->released && h->released != NULL)
			h->released(h->context, e->conn);
		h->down(h->context, e->conn, e->text);
		break;
	case NODE_MESSAGE:
		h->message(h->context, e->conn, &e->message);
		break;
	case NODE_LOG:
		h->log(h->context, e->text);
		break;
	case NODE_WRITABLE:
		if (h->writable != NULL)
			h->writable(h->context, e->conn);
		break;
	case NODE_OBSERVED:
		if (h->observed != NULL)
			h->observed(h->context, e->conn, &e->at);
		break;
	case NODE_RENEW:
		renew(n, c);
		break;
	case NODE_ANNOUNCED:
		announce(n, bytes_span(&e->bytes));
		break;
	case NODE_ISOLATED:
		if (h->isolated != NULL)
			h->isolated(h->context);
		break;
	case NODE_TRY:
		ways_uv_try(n, e);
		break;
	case NODE_CANCEL:
		ways_uv_cancel(n, e->token);
		break;
	case NODE_PROBE:
		ways_uv_probe(n, e);
		break;
	case NODE_UNREACHABLE:
		h->dial_failed(h->context, e->conn, e->text);
		break;
	case NODE_DIAL: /* the ways see to it */
		break;
	}
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct node_uv *n = handle->data;

	if (--n->handles == 0)
		n->closed(n->closed_context); /* n may be gone now */
}

void finish(struct node_uv *n)
{
	if (!n->closing || n->alive != 0 || n->listeners != NULL || n->probes != NULL ||
		n->queue.count != 0 || uv_is_closing((uv_handle_t *)&n->tick))
		return;
	uv_close((uv_handle_t *)&n->tick, on_handle_closed);
	uv_close((uv_handle_t *)&n->wake, on_handle_closed);
	uv_close((uv_handle_t *)&n->alarm, on_handle_closed);
}

static void on_alarm(uv_timer_t *alarm);

/* Wakes the core when it wants to be woken. */
static void alarm_set(struct node_uv *n)
{
	uint64_t due_ms = ways_wake_ms(n->ways);
	uint64_t now_ms = uv_now(n->loop);

	if (due_ms == n->alarm_ms || uv_is_closing((uv_handle_t *)&n->alarm))
		return;
	n->alarm_ms = due_ms;
	if (due_ms == UINT64_MAX)
		uv_timer_stop(&n->alarm);
	else
		uv_timer_start(&n->alarm, on_alarm, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

/* Carries out all effects, also those that appear meanwhile. */
void node_uv_drain(struct node_uv *n)
{
	struct node_effects batch;

	if (n->draining)
		return;
	n->draining = true;
	while (n->queue.count != 0) {
		batch = n->queue;
		n->queue = n->batch;
		n->batch = batch;
		for (size_t i = 0; i < batch.count; i++)
			apply(n, &n->batch.items[i]);
		node_effects_clear(&n->batch);
	}
	n->draining = false;
	alarm_set(n);
}

static void on_alarm(uv_timer_t *alarm)
{
	struct node_uv *n = alarm->data;
	struct node_event event = {.type = NODE_WAKE};

	n->alarm_ms = UINT64_MAX;
	(void)!node_uv_step(n, &event); /* for want of memory: the next tick sets the alarm again */
	node_uv_drain(n);
}

static void on_wake(uv_idle_t *wake)
{
	struct node_uv *n = wake->data;

	uv_idle_stop(wake);
	node_uv_drain(n);
	finish(n);
}

void drain_later(struct node_uv *n)
{
	if (!n->draining && !uv_is_closing((uv_handle_t *)&n->wake))
		uv_idle_start(&n->wake, on_wake);
}

/* Channels */

void channel_begin(struct node_uv *n, struct channel *c, enum node_event_type type)
{
	struct node_event event = {.type = type,
		.conn = c->conn,
		.expect = c->expects ? &c->expect : NULL,
		.hosts = c->hosts,
		.token = c->token,
		.from_port = c->from_port,
		.renews = c->renews,
		.remote = c->remote.family != 0 ? &c->remote : NULL};
	int rc;

	random_bytes(event.random, sizeof(event.random));
	rc = node_uv_step(n, &event);
	secret_wipe(event.random, sizeof(event.random));
	if (rc != TK_OK)
		channel_end(c, error_text(rc));
	node_uv_drain(n);
}

static void on_connected(void *context, struct channel *c)
{
	struct node_uv *n = context;

	if (c->renews != 0 && channel_find(n, c->renews) == NULL)
		channel_end(c, "what it was to renew is over");
	else
		channel_begin(n, c, NODE_CONNECTED);
}

/* A step that runs out of memory ends its connection by itself, at the next tick at the latest. */
static void on_bytes(void *context, struct channel *c, struct span bytes)
{
	struct node_event event = {.type = NODE_BYTES, .conn = c->conn, .bytes = bytes};

	(void)!node_uv_step(context, &event);
	node_uv_drain(context);
}

static void on_written(void *context, struct channel *c, size_t count)
{
	struct node_event event = {.type = NODE_WRITTEN, .conn = c->conn, .count = count};

	(void)!node_uv_step(context, &event);
	node_uv_drain(context);
}

static void on_lost(void *context, struct channel *c, const char *why)
{
	struct node_event event = {.type = NODE_LOST, .conn = c->conn, .text = why};

	(void)!node_uv_step(context, &event);
	node_uv_drain(context);
}

static void dial_failed(struct node_uv *n, const struct channel *c)
{
	const struct node_handler *h = n->handler;

	if (c->lost && !c->heard && h->turned_away != NULL)
		h->turned_away(h->context, c->conn);
	h->dial_failed(h->context, c->conn, c->why);
}

/* The last of a channel. A dial that never came up has failed, however far it got. */
static void on_freed(void *context, struct channel *c)
{
	struct node_uv *n = context;
	struct node_event failed = {.type = NODE_TRY_FAILED, .token = c->token, .text = c->why};

	node_uv_drain(n);
	n->alive--;
	if (c->conn != 0)
		n->channels[c->conn % CHANNELS_MAX] = NULL;
	if (c->token != 0 && !c->open)
		(void)!node_uv_step(n, &failed);
	else if (c->dialled && !c->up && c->renews == 0 && c->token == 0)
		dial_failed(n, c);
	node_uv_drain(n);
	finish(n);
}

void channel_keep(struct node_uv *n, struct channel *c)
{
	n->alive++;
	if (c->conn != 0)
		n->channels[c->conn % CHANNELS_MAX] = c;
}

/* Time */

static void on_tick(uv_timer_t *timer)
{
	struct node_uv *n = timer->data;
	struct node_event event = {.type = NODE_TICK};
	char line[TEXT_MAX];

	(void)!node_uv_step(
		n, &event); /* what it could not do for want of memory, the next tick does */
	node_uv_drain(n);
	for (size_t i = 0; i < CHANNELS_MAX; i++) {
		if (n->channels[i] != NULL)
			channel_tick(n->channels[i]);
	}
	if (n->accept_error != 0) {
		snprintf(line, sizeof(line), "cannot accept connections: %s",
			uv_strerror(n->accept_error));
		n->accept_error = 0;
		n->handler->log(n->handler->context, line);
	}
	listeners_retry(n);
	ways_uv_tick(n);
}

/* Life */

/* Takes as many descriptors as the system gives, and keeps some for files: connections of strangers
 * must never be the reason why the store cannot write. */
static size_t channels_allowed(void)
{
	struct rlimit files;
	size_t kept;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return CHANNELS_MAX / 8;
	if (files.rlim_cur < files.rlim_max && files.rlim_cur < CHANNELS_MAX + FILES_KEPT) {
		files.rlim_cur = files.rlim_max < CHANNELS_MAX + FILES_KEPT
					 ? files.rlim_max
					 : CHANNELS_MAX + FILES_KEPT;
		if (setrlimit(RLIMIT_NOFILE, &files) != 0)
			(void)getrlimit(RLIMIT_NOFILE, &files);
	}
	if (files.rlim_cur >= CHANNELS_MAX + FILES_KEPT)
		return CHANNELS_MAX;
	kept = files.rlim_cur > 2 * FILES_KEPT ? FILES_KEPT : files.rlim_cur / 2;
	return files.rlim_cur - kept;
}

struct node_uv *node_uv_new(
	struct uv_loop_s *loop, const struct identity *id, const struct node_handler *handler)
{
	struct node_uv *n = mem_calloc(1, sizeof(*n));
	struct ways_config config;
	uint8_t seed[32];

	if (n == NULL)
		return NULL;
	random_bytes(seed, sizeof(seed));
	ways_config_default(&config, id, seed);
	n->ways = ways_new(&config);
	secret_wipe(&config, sizeof(config));
	if (n->ways == NULL) {
		mem_free(n);
		return NULL;
	}
	/* A write to a connection that was reset fails, and that is all. */
	signal(SIGPIPE, SIG_IGN);
	n->alive_max = channels_allowed();
	/* an eighth is for those that linger, so that the core can put one in another's place */
	node_uv_limit(n, NODE_CONNECTIONS_MAX);
	n->loop = loop;
	n->id = id;
	n->handler = handler;
	n->host.loop = loop;
	n->host.context = n;
	n->host.connected = on_connected;
	n->host.bytes = on_bytes;
	n->host.written = on_written;
	n->host.lost = on_lost;
	n->host.freed = on_freed;
	uv_timer_init(loop, &n->tick);
	uv_idle_init(loop, &n->wake);
	uv_timer_init(loop, &n->alarm);
	n->alarm.data = n;
	n->alarm_ms = UINT64_MAX;
	n->handles = 3;
	n->tick.data = n;
	n->wake.data = n;
	uv_timer_start(&n->tick, on_tick, NODE_TICK_MS, NODE_TICK_MS);
	return n;
}

void node_uv_free(struct node_uv *n)
{
	if (n == NULL)
		return;
	REQUIRE(n->handles == 0); /* node_uv_close is done */
	node_effects_close(&n->queue);
	node_effects_close(&n->batch);
	ways_free(n->ways);
	mem_free(n);
}

void node_uv_close(struct node_uv *n, uint32_t reason, const char *text,
	void (*closed)(void *context), void *context)
{
	struct node_event leave = {.type = NODE_LEAVE};

	if (n->closing)
		return;
	n->closing = true;
	n->closed = closed;
	n->closed_context = context;
	listeners_close(n);
	ways_uv_close(n);
	(void)!node_uv_step(n, &leave); /* unsaid, they notice */
	for (size_t i = 0; i < CHANNELS_MAX; i++) {
		if (n->channels[i] != NULL)
			node_uv_drop(n, n->channels[i]->conn, reason, text);
	}
	uv_idle_start(&n->wake, on_wake);
}

void node_uv_renew(struct node_uv *n, conn_id conn)
{
	renew(n, channel_find(n, conn));
}
