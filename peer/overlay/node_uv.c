/* The node's shell on libuv; see node_uv.h. Carries events into the core and effects out of it.
 *
 * Effects are queued and carried out in order by drain(), never from within a step and never from
 * within a call of the application: what a call causes runs in the loop's next turn, what a callback
 * of the loop causes runs before that callback returns. So a handler may call anything here.
 * A connection's number also says where its channel is found: channels[conn % CHANNELS_MAX]. */
#include "peer/overlay/node_uv.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <uv.h>

#include "peer/overlay/address.h"
#include "peer/overlay/channel_uv.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

#define CHANNELS_MAX   (2 * NODE_CONNECTIONS_MAX) /* those that linger included */
#define LISTEN_BACKLOG 128
#define FILES_KEPT     64u /* descriptors that connections leave to the rest of the program */

struct listener {
	uv_tcp_t handle;
	struct node_uv *node;
	bool held; /* a connection waits for memory */
	struct listener *next;
};

struct node_uv {
	uv_loop_t *loop;
	struct node *core;
	const struct node_handler *handler;
	uv_timer_t tick;
	uv_idle_t wake; /* active while effects wait for the loop's next turn */
	struct listener *listeners;

	struct node_effects queue; /* what steps append to */
	struct node_effects batch; /* what drain is carrying out */
	bool draining;

	conn_id last;
	size_t alive;	  /* channels that were not freed */
	size_t alive_max; /* as many as the system's limit of open files allows */
	struct channel *channels[CHANNELS_MAX];
	struct channel_host host;
	int accept_error; /* libuv's, since the last tick */

	bool closing;
	unsigned handles; /* of tick and wake: open */
	void (*closed)(void *context);
	void *closed_context;
};

static struct channel *channel_find(const struct node_uv *n, conn_id conn)
{
	struct channel *c = n->channels[conn % CHANNELS_MAX];

	return c != NULL && c->conn == conn ? c : NULL;
}

/* A number for a new connection, never used before; 0: all places or descriptors are taken. */
static conn_id conn_new(struct node_uv *n)
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

static int step(struct node_uv *n, struct node_event *event)
{
	event->now_ms = uv_now(n->loop);
	event->now_s = (uint64_t)time(NULL);
	return node_step(n->core, event, &n->queue);
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
			c->up = true;
		h->up(h->context, e->conn, &e->key, e->role);
		break;
	case NODE_DOWN:
		if (e->reason != 0 && h->farewell != NULL)
			h->farewell(h->context, e->conn, e->reason, e->text);
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
	}
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct node_uv *n = handle->data;

	if (--n->handles == 0)
		n->closed(n->closed_context); /* n may be gone now */
}

/* Closing is done when nothing is left that could still say something. */
static void finish(struct node_uv *n)
{
	if (!n->closing || n->alive != 0 || n->listeners != NULL || n->queue.count != 0 ||
		uv_is_closing((uv_handle_t *)&n->tick))
		return;
	uv_close((uv_handle_t *)&n->tick, on_handle_closed);
	uv_close((uv_handle_t *)&n->wake, on_handle_closed);
}

/* Carries out all effects, also those that appear meanwhile. */
static void drain(struct node_uv *n)
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
}

static void on_wake(uv_idle_t *wake)
{
	struct node_uv *n = wake->data;

	uv_idle_stop(wake);
	drain(n);
	finish(n);
}

/* After a step that the application asked for. */
static void drain_later(struct node_uv *n)
{
	if (!n->draining && !uv_is_closing((uv_handle_t *)&n->wake))
		uv_idle_start(&n->wake, on_wake);
}

/* Channels */

/* The core hears of a transport that came up. */
static void channel_begin(struct node_uv *n, struct channel *c, enum node_event_type type)
{
	struct node_event event = {.type = type,
		.conn = c->conn,
		.expect = c->expects ? &c->expect : NULL,
		.remote = c->remote.family != 0 ? &c->remote : NULL};
	int rc;

	random_bytes(event.random, sizeof(event.random));
	rc = step(n, &event);
	secret_wipe(event.random, sizeof(event.random));
	if (rc != TK_OK)
		channel_end(c, error_text(rc));
	drain(n);
}

static void on_connected(void *context, struct channel *c)
{
	channel_begin(context, c, NODE_CONNECTED);
}

/* A step that runs out of memory ends its connection by itself, at the next tick at the latest. */
static void on_bytes(void *context, struct channel *c, struct span bytes)
{
	struct node_event event = {.type = NODE_BYTES, .conn = c->conn, .bytes = bytes};

	(void)!step(context, &event);
	drain(context);
}

static void on_written(void *context, struct channel *c, size_t count)
{
	struct node_event event = {.type = NODE_WRITTEN, .conn = c->conn, .count = count};

	(void)!step(context, &event);
	drain(context);
}

static void on_lost(void *context, struct channel *c, const char *why)
{
	struct node_event event = {.type = NODE_LOST, .conn = c->conn, .text = why};

	(void)!step(context, &event);
	drain(context);
}

/* The last of a channel. A dial that never came up has failed, however far it got. */
static void on_freed(void *context, struct channel *c)
{
	struct node_uv *n = context;

	drain(n);
	n->alive--;
	if (c->conn != 0)
		n->channels[c->conn % CHANNELS_MAX] = NULL;
	if (c->dialled && !c->up)
		n->handler->dial_failed(n->handler->context, c->conn, c->why);
	finish(n);
}

static void channel_keep(struct node_uv *n, struct channel *c)
{
	n->alive++;
	if (c->conn != 0)
		n->channels[c->conn % CHANNELS_MAX] = c;
}

/* Listening */

static void listener_accept(struct listener *l)
{
	struct node_uv *n = l->node;
	conn_id conn = conn_new(n);
	struct channel *c = channel_accept(&n->host, conn, (uv_stream_t *)&l->handle);

	l->held = c == NULL; /* until the next tick; libuv accepts no more meanwhile */
	if (c == NULL)
		return;
	channel_keep(n, c);
	if (conn == 0)
		channel_end(c, "too many connections are open");
	else if (c->open)
		channel_begin(n, c, NODE_ACCEPTED);
}

/* Out of descriptors, libuv accepts and closes what waits; we say so once a tick. */
static void on_incoming(uv_stream_t *stream, int status)
{
	struct listener *l = stream->data;

	if (status != 0)
		l->node->accept_error = status;
	else
		listener_accept(l);
}

static void on_listener_closed(uv_handle_t *handle)
{
	struct listener *l = handle->data;
	struct node_uv *n = l->node;
	struct listener **at = &n->listeners;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	mem_free(l);
	finish(n);
}

static int listen_failed(struct errmsg *msg, const char *address, int error)
{
	if (error == UV_EADDRINUSE)
		return errmsg_set(msg, TK_EBUSY,
			"cannot listen on %s: another program does; stop it or choose another port",
			address);
	return errmsg_set(msg, error == UV_ENOMEM ? TK_ENOMEM : TK_EIO, "cannot listen on %s: %s",
		address, uv_strerror(error));
}

/* Looks the address up, then binds and listens; *port gets the real one. 0 or libuv's error. */
static int listener_start(struct listener *l, const struct address *a, uint16_t *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
	struct sockaddr_storage name = {0};
	int size = sizeof(name);
	uv_getaddrinfo_t lookup;
	char service[8];
	int rc;

	snprintf(service, sizeof(service), "%u", a->port);
	rc = uv_getaddrinfo(l->node->loop, &lookup, NULL, a->host, service, &hints);
	if (rc != 0)
		return rc;
	rc = uv_tcp_bind(&l->handle, lookup.addrinfo->ai_addr, 0);
	uv_freeaddrinfo(lookup.addrinfo);
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&l->handle, LISTEN_BACKLOG, on_incoming);
	if (rc == 0)
		rc = uv_tcp_getsockname(&l->handle, (struct sockaddr *)&name, &size);
	if (rc == 0 && name.ss_family == AF_INET6)
		*port = ntohs(((struct sockaddr_in6 *)&name)->sin6_port);
	else if (rc == 0)
		*port = ntohs(((struct sockaddr_in *)&name)->sin_port);
	return rc;
}

int node_uv_listen(struct node_uv *n, const char *address, uint16_t *port, struct errmsg *msg)
{
	struct address a;
	struct listener *l;
	int rc = address_split(&a, address, msg);

	if (rc != TK_OK)
		return rc;
	if (n->closing)
		return errmsg_set(msg, TK_ECANCELED, "the node is closing");
	l = mem_calloc(1, sizeof(*l));
	if (l == NULL)
		return listen_failed(msg, address, UV_ENOMEM);
	rc = uv_tcp_init(n->loop, &l->handle);
	if (rc != 0) {
		mem_free(l);
		return listen_failed(msg, address, rc);
	}
	l->node = n;
	l->handle.data = l;
	l->next = n->listeners;
	n->listeners = l;
	rc = listener_start(l, &a, port);
	if (rc == 0)
		return TK_OK;
	uv_close((uv_handle_t *)&l->handle, on_listener_closed);
	return listen_failed(msg, address, rc);
}

/* Time */

static void on_tick(uv_timer_t *timer)
{
	struct node_uv *n = timer->data;
	struct node_event event = {.type = NODE_TICK};
	char line[TEXT_MAX];

	(void)!step(n, &event); /* what it could not do for want of memory, the next tick does */
	drain(n);
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
	for (struct listener *l = n->listeners; l != NULL; l = l->next) {
		if (l->held && !n->closing)
			listener_accept(l);
	}
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

	if (n == NULL)
		return NULL;
	n->core = node_new(id);
	if (n->core == NULL) {
		mem_free(n);
		return NULL;
	}
	/* A write to a connection that was reset fails, and that is all. */
	signal(SIGPIPE, SIG_IGN);
	n->alive_max = channels_allowed();
	n->loop = loop;
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
	n->handles = 2;
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
	node_free(n->core);
	mem_free(n);
}

void node_uv_close(struct node_uv *n, uint32_t reason, const char *text,
	void (*closed)(void *context), void *context)
{
	if (n->closing)
		return;
	n->closing = true;
	n->closed = closed;
	n->closed_context = context;
	for (struct listener *l = n->listeners; l != NULL; l = l->next) {
		if (!uv_is_closing((uv_handle_t *)&l->handle))
			uv_close((uv_handle_t *)&l->handle, on_listener_closed);
	}
	for (size_t i = 0; i < CHANNELS_MAX; i++) {
		if (n->channels[i] != NULL)
			node_uv_drop(n, n->channels[i]->conn, reason, text);
	}
	uv_idle_start(&n->wake, on_wake);
}

/* What the application asks for */

/* Is there room for one more connection? *conn gets its number. */
static int dial_begin(struct node_uv *n, conn_id *conn, struct errmsg *msg)
{
	if (n->closing)
		return errmsg_set(msg, TK_ECANCELED, "the node is closing");
	*conn = conn_new(n);
	return *conn != 0 ? TK_OK : errmsg_set(msg, TK_ELIMIT, "too many connections are open");
}

int node_uv_dial(struct node_uv *n, const char *address, const struct public_key *expect,
	conn_id *conn, struct errmsg *msg)
{
	struct address a;
	struct channel *c;
	conn_id id;
	int rc = address_split(&a, address, msg);

	if (rc == TK_OK && a.port == 0)
		rc = errmsg_set(msg, TK_EINVAL, "cannot dial %s: port 0 is none", address);
	if (rc == TK_OK)
		rc = dial_begin(n, &id, msg);
	if (rc == TK_OK)
		rc = channel_dial(&c, &n->host, id, &a, msg);
	if (rc != TK_OK)
		return rc;
	channel_keep(n, c);
	c->expects = expect != NULL;
	if (expect != NULL)
		c->expect = *expect;
	*conn = id;
	return TK_OK;
}

int node_uv_connect(
	struct node_uv *n, const struct record *record, conn_id *conn, struct errmsg *msg)
{
	struct channel *c;
	conn_id id;
	int rc = TK_OK;

	if (record->endpoint_count == 0)
		rc = errmsg_set(msg, TK_ENOENT, "the peer's record names no address");
	if (rc == TK_OK)
		rc = dial_begin(n, &id, msg);
	if (rc == TK_OK)
		rc = channel_dial_endpoints(
			&c, &n->host, id, record->endpoints, record->endpoint_count, msg);
	if (rc != TK_OK)
		return rc;
	channel_keep(n, c);
	c->expects = true;
	c->expect = record->key;
	*conn = id;
	return TK_OK;
}

int node_uv_send(struct node_uv *n, conn_id conn, const struct message *m)
{
	struct node_event event = {.type = NODE_SEND, .conn = conn, .message = m};
	int rc = step(n, &event);

	drain_later(n);
	return rc;
}

void node_uv_drop(struct node_uv *n, conn_id conn, uint32_t reason, const char *text)
{
	struct node_event event = {.type = NODE_DROP, .conn = conn, .reason = reason, .text = text};
	struct channel *c = channel_find(n, conn);

	if (c != NULL && !c->open)
		channel_end(c, text); /* still dialling: the core does not know it */
	else
		(void)!step(n, &event); /* over already, or ends with the next tick */
	drain_later(n);
}

size_t node_uv_sessions(const struct node_uv *n)
{
	return node_session_count(n->core);
}

size_t node_uv_waiting(const struct node_uv *n, conn_id conn)
{
	return node_waiting(n->core, conn);
}

uint32_t node_uv_rtt_ms(const struct node_uv *n, conn_id conn)
{
	return node_rtt_ms(n->core, conn);
}
