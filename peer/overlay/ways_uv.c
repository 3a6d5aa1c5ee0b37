/* What the ways (ways.h) ask of the system: dials from our port, the system's own addresses, and looking
 * whether our network answers at an address that somebody claims to have. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "peer/overlay/address.h"
#include "peer/overlay/node_uv_state.h"
#include "tasks/base/mem.h"

#define PROBE_MS       5000u  /* for connecting and hearing the preamble */
#define LOOK_MS	       60000u /* between two looks at the system's addresses */
#define PREAMBLE_BYTES 17u

/* Addresses */

static bool endpoint_of(struct endpoint *out, const uv_interface_address_t *a)
{
	uint8_t packed[ENDPOINT_BYTES_MAX];
	size_t n = a->address.address4.sin_family == AF_INET6 ? 16 : 4;

	if (n == 16)
		memcpy(packed, &a->address.address6.sin6_addr, n);
	else
		memcpy(packed, &a->address.address4.sin_addr, n);
	packed[n] = packed[n + 1] = 1; /* a port, for the check */
	return endpoint_unpack(out, span_of(packed, n + 2)) == TK_OK &&
	       endpoint_scope(out) != SCOPE_LINK;
}

/* The system's addresses; loopback only when there is nothing else. Where we listen on one, that one. */
static void look(struct node_uv *n)
{
	struct endpoint locals[REACH_LOCALS_MAX];
	uv_interface_address_t *all = NULL;
	size_t count = 0;
	int total = 0;

	n->looked_ms = uv_now(n->loop);
	if (n->bound.family != 0) {
		ways_listen(n->ways, n->bound.port, &n->bound, 1);
		return;
	}
	if (uv_interface_addresses(&all, &total) != 0)
		return;
	for (int i = 0; i < total && count < REACH_LOCALS_MAX; i++) {
		if (!all[i].is_internal && endpoint_of(&locals[count], &all[i]))
			count++;
	}
	uv_free_interface_addresses(all, total);
	ways_listen(n->ways, n->bound.port, locals, count);
}

void ways_uv_listening(struct node_uv *n, const struct address *a, uint16_t port)
{
	char text[HOST_SIZE + 10];

	if (n->host.port != 0)
		return; /* the first one is where others find us */
	n->host.port = port;
	snprintf(text, sizeof(text), strchr(a->host, ':') != NULL ? "[%s]:%u" : "%s:%u", a->host,
		port);
	if (endpoint_from_text(&n->bound, text) != TK_OK)
		n->bound = (struct endpoint){.port = port}; /* everywhere, or by a name */
	look(n);
}

void ways_uv_tick(struct node_uv *n)
{
	if (!n->closing && (n->looked_ms == 0 || uv_now(n->loop) - n->looked_ms >= LOOK_MS))
		look(n);
}

/* Dials */

void ways_uv_try(struct node_uv *n, const struct node_effect *e)
{
	struct node_event failed = {
		.type = NODE_TRY_FAILED, .token = e->token, .text = "no connection could be begun"};
	conn_id conn = n->closing ? 0 : conn_new(n);
	struct channel *c;

	if (conn == 0 || channel_dial_endpoints(&c, &n->host, conn, &e->at, 1, NULL) != TK_OK) {
		(void)!node_uv_step(n, &failed);
		return;
	}
	channel_keep(n, c);
	c->token = e->token;
}

void ways_uv_cancel(struct node_uv *n, uint64_t token)
{
	for (size_t i = 0; i < CHANNELS_MAX; i++) {
		struct channel *c = n->channels[i];

		if (c != NULL && c->token == token && !c->open)
			channel_end(c, "another way was faster");
	}
}

/* Probes: what listens at an address says our network's preamble, or not. */

struct probe_uv {
	uv_tcp_t tcp; /* first: handles lead back to their probe */
	uv_timer_t timer;
	uv_connect_t connect;
	struct node_uv *node;
	uint64_t token;
	unsigned handles; /* not closed yet */
	bool over;
	uint8_t expected[PREAMBLE_BYTES];
	size_t heard;
	char buffer[PREAMBLE_BYTES];
	struct probe_uv *next;
};

/* What whoever belongs to our network says first. Errors: TK_ENOMEM. */
static int preamble(const struct node_uv *n, uint8_t out[PREAMBLE_BYTES])
{
	static const uint8_t unused[32];
	struct session *s = session_new(n->id, false, unused, (uint64_t)time(NULL), NULL);

	if (s == NULL)
		return TK_ENOMEM;
	memcpy(out, session_output(s).data, PREAMBLE_BYTES);
	session_free(s);
	return TK_OK;
}

static void on_probe_closed(uv_handle_t *handle)
{
	struct probe_uv *p = handle->data;
	struct node_uv *n = p->node;
	struct probe_uv **at = &n->probes;

	if (--p->handles != 0)
		return;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	mem_free(p);
	finish(n);
}

/* why NULL: our network answered. */
static void probe_end(struct probe_uv *p, const char *why)
{
	struct node_event event = {.type = NODE_PROBED, .token = p->token, .text = why};

	if (p->over)
		return;
	p->over = true;
	uv_close((uv_handle_t *)&p->tcp, on_probe_closed);
	uv_close((uv_handle_t *)&p->timer, on_probe_closed);
	(void)!node_uv_step(p->node, &event);
	node_uv_drain(p->node);
}

static void on_probe_timer(uv_timer_t *timer)
{
	probe_end(timer->data, "nobody answers there");
}

static void on_probe_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	struct probe_uv *p = handle->data;

	(void)suggested;
	*buffer = uv_buf_init(p->buffer, (unsigned)(PREAMBLE_BYTES - p->heard));
}

static void on_probe_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
	struct probe_uv *p = stream->data;

	if (n < 0) {
		probe_end(p, "the connection was closed before a word");
	} else if (memcmp(p->expected + p->heard, buffer->base, (size_t)n) != 0) {
		probe_end(p, "something else answers there");
	} else {
		p->heard += (size_t)n;
		if (p->heard == PREAMBLE_BYTES)
			probe_end(p, NULL);
	}
}

static void on_probe_connect(uv_connect_t *request, int status)
{
	struct probe_uv *p = request->data;

	if (status == 0 && !p->over)
		status = uv_read_start((uv_stream_t *)&p->tcp, on_probe_alloc, on_probe_read);
	if (status != 0)
		probe_end(p, uv_strerror(status));
}

static struct probe_uv *probe_new(struct node_uv *n, uint64_t token)
{
	struct probe_uv *p = n->closing ? NULL : mem_calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	if (preamble(n, p->expected) != TK_OK || uv_tcp_init(n->loop, &p->tcp) != 0) {
		mem_free(p);
		return NULL;
	}
	uv_timer_init(n->loop, &p->timer);
	p->node = n;
	p->token = token;
	p->handles = 2;
	p->tcp.data = p->timer.data = p->connect.data = p;
	p->next = n->probes;
	n->probes = p;
	return p;
}

void ways_uv_probe(struct node_uv *n, const struct node_effect *e)
{
	struct node_event failed = {
		.type = NODE_PROBED, .token = e->token, .text = "no connection could be begun"};
	struct probe_uv *p = probe_new(n, e->token);
	struct sockaddr_storage at;
	int rc;

	if (p == NULL) {
		(void)!node_uv_step(n, &failed);
		return;
	}
	endpoint_sockaddr(&at, &e->at);
	rc = uv_tcp_connect(&p->connect, &p->tcp, (const struct sockaddr *)&at, on_probe_connect);
	if (rc == 0)
		rc = uv_timer_start(&p->timer, on_probe_timer, PROBE_MS, 0);
	if (rc != 0)
		probe_end(p, uv_strerror(rc));
}

void ways_uv_close(struct node_uv *n)
{
	struct probe_uv *next;

	for (struct probe_uv *p = n->probes; p != NULL; p = next) {
		next = p->next;
		probe_end(p, "the node is closing");
	}
}

/* What the application asks */

bool node_uv_is_relayed(const struct node_uv *n, conn_id conn)
{
	return ways_is_relayed(n->ways, conn);
}

const struct reach *node_uv_reach(const struct node_uv *n)
{
	return ways_reach(n->ways);
}

void node_uv_ways(const struct node_uv *n, struct ways_stats *out)
{
	ways_stats(n->ways, out);
}

void node_uv_mapped(struct node_uv *n, const struct endpoint *at)
{
	ways_mapped(n->ways, at);
}
