/* See channel_uv.h.
 *
 * The moves: RESOLVING → CONNECTING → OPEN → ENDING → CLOSING, with CONNECTING → BETWEEN → CONNECTING
 * for the next address (libuv wants a fresh handle for each). Every state may move to CLOSING, where
 * only the handle's last callback is waited for. ENDING sends FIN and reads on until the other side
 * has closed: closing with unread input would make the kernel reset the connection, and the farewell
 * that we just wrote could be lost on its way. */
#include "peer/overlay/channel_uv.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

enum channel_state {
	CHANNEL_RESOLVING = 1,
	CHANNEL_CONNECTING,
	CHANNEL_BETWEEN,
	CHANNEL_OPEN,
	CHANNEL_ENDING,
	CHANNEL_CLOSING,
};

struct tcp {
	struct channel head; /* first: a channel is a tcp */
	struct channel_host *host;
	enum channel_state state;
	uint64_t since_ms; /* when the state began */
	bool wrote;
	bool plain; /* this address is to be dialled from any port */
	uv_tcp_t handle;
	uv_getaddrinfo_t resolve;
	uv_connect_t connect;
	uv_shutdown_t shutdown;
	struct sockaddr_storage addresses[CHANNEL_ADDRESSES_MAX];
	size_t address_count, next; /* next: the one to try next */
	char name[HOST_SIZE + 10];  /* as dialled, for sentences */
};

struct write {
	uv_write_t request;
	struct tcp *tcp;
	struct bytes bytes;
};

static struct tcp *tcp_of(struct channel *c)
{
	return (struct tcp *)(void *)c; /* head comes first */
}

static void tcp_move(struct tcp *t, enum channel_state state)
{
	REQUIRE(t->state != CHANNEL_CLOSING);
	t->state = state;
	t->since_ms = uv_now(t->host->loop);
}

static struct tcp *tcp_new(struct channel_host *host, conn_id conn)
{
	struct tcp *t = mem_calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->head.conn = conn;
	t->host = host;
	t->handle.data = t;
	t->resolve.data = t;
	return t;
}

static void tcp_free(struct tcp *t)
{
	t->host->freed(t->host->context, &t->head);
	mem_free(t);
}

static void on_closed(uv_handle_t *handle)
{
	tcp_free(handle->data);
}

/* The first reason stays. */
static void tcp_explain(struct tcp *t, const char *why)
{
	if (t->head.why[0] == '\0')
		snprintf(t->head.why, sizeof(t->head.why), "%s", why);
}

static void tcp_close(struct tcp *t, const char *why)
{
	tcp_explain(t, why);
	tcp_move(t, CHANNEL_CLOSING);
	uv_close((uv_handle_t *)&t->handle, on_closed);
}

/* The transport broke under an open channel. */
static void tcp_lost(struct tcp *t, const char *why)
{
	bool ours = t->state == CHANNEL_OPEN;

	t->head.lost |= ours;
	tcp_close(t, why);
	if (ours)
		t->host->lost(t->host->context, &t->head, why);
}

/* Reading */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	struct tcp *t = handle->data;

	(void)suggested;
	*buffer = uv_buf_init(t->host->buffer, sizeof(t->host->buffer));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
	struct tcp *t = stream->data;

	if (n < 0)
		tcp_lost(t,
			n == UV_EOF ? "the other side closed the connection" : uv_strerror((int)n));
	else if (n > 0 && t->state == CHANNEL_OPEN) {
		t->head.heard = true;
		t->host->bytes(t->host->context, &t->head, span_of(buffer->base, (size_t)n));
	}
}

/* The transport is up: small messages go out at once, and reading begins. 0 or libuv's error. */
static int tcp_open(struct tcp *t)
{
	int rc = uv_tcp_nodelay(&t->handle, 1);

	if (rc == 0)
		rc = uv_read_start((uv_stream_t *)&t->handle, on_alloc, on_read);
	if (rc == 0) {
		tcp_move(t, CHANNEL_OPEN);
		t->head.open = true;
	}
	return rc;
}

/* The other end. An IPv4 address dressed as IPv6 (RFC 4291, section 2.5.5.2),
 * as a socket that listens for both gives it, is undressed. */
static void remote_read(struct endpoint *out, const uv_tcp_t *handle)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct sockaddr_storage name = {0};
	const struct sockaddr_in *v4 = (const void *)&name;
	const struct sockaddr_in6 *v6 = (const void *)&name;
	int size = sizeof(name);

	if (uv_tcp_getpeername(handle, (struct sockaddr *)&name, &size) != 0)
		return;
	if (name.ss_family == AF_INET) {
		*out = (struct endpoint){.family = 4, .port = ntohs(v4->sin_port)};
		memcpy(out->ip, &v4->sin_addr, 4);
	} else if (name.ss_family == AF_INET6) {
		bool dressed = memcmp(&v6->sin6_addr, mapped, sizeof(mapped)) == 0;

		*out = (struct endpoint){.family = dressed ? 4 : 6, .port = ntohs(v6->sin6_port)};
		memcpy(out->ip, (const uint8_t *)&v6->sin6_addr + (dressed ? 12 : 0),
			dressed ? 4 : 16);
	}
}

/* Dialling */

static void on_connect(uv_connect_t *request, int status);
static void on_between(uv_handle_t *handle);

/* One address did not work: closes its handle, then the next one is tried. */
static void dial_next(struct tcp *t, int error, const char *text)
{
	snprintf(t->head.why, sizeof(t->head.why), "cannot connect to %.200s: %s", t->name,
		error != 0 ? uv_strerror(error) : text);
	tcp_move(t, CHANNEL_BETWEEN);
	uv_close((uv_handle_t *)&t->handle, on_between);
}

/* Dials from the port on which we listen: so a router's mapping of it is the one that others see, and may be
 * met by their dials. False: another port serves as well, but for that. */
static bool dial_from_port(struct tcp *t, const struct sockaddr *to)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(t->host->port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(t->host->port)};
	bool is_six = to->sa_family == AF_INET6;
	const int on = 1;
	uv_os_fd_t fd;

	if (t->host->port == 0 || t->plain || uv_fileno((uv_handle_t *)&t->handle, &fd) != 0)
		return false;
	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	       setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
	       bind(fd, is_six ? (const struct sockaddr *)&six : (const struct sockaddr *)&four,
		       is_six ? sizeof(six) : sizeof(four)) == 0;
}

/* Tries the next address. 0, or libuv's error: there is no handle. */
static int dial_try(struct tcp *t)
{
	const struct sockaddr *address = (const struct sockaddr *)&t->addresses[t->next];
	int rc = uv_tcp_init_ex(t->host->loop, &t->handle, address->sa_family);

	if (rc != 0)
		return rc;
	t->head.from_port = dial_from_port(t, address);
	tcp_move(t, CHANNEL_CONNECTING);
	rc = uv_tcp_connect(&t->connect, &t->handle, address, on_connect);
	t->plain = rc == UV_EADDRNOTAVAIL && t->head.from_port; /* a connection between the two
								 * ports exists, or did lately */
	if (!t->plain)
		t->next++;
	if (rc != 0)
		dial_next(t, rc, NULL);
	return 0;
}

/* From a callback of the loop. */
static void dial_try_or_free(struct tcp *t)
{
	int rc = dial_try(t);

	if (rc == 0)
		return;
	snprintf(t->head.why, sizeof(t->head.why), "%s", uv_strerror(rc));
	tcp_free(t);
}

static void on_between(uv_handle_t *handle)
{
	struct tcp *t = handle->data;

	if (t->state == CHANNEL_BETWEEN && t->next < t->address_count)
		dial_try_or_free(t);
	else
		tcp_free(t);
}

static void on_connect(uv_connect_t *request, int status)
{
	struct tcp *t = request->handle->data;

	if (t->state != CHANNEL_CONNECTING)
		return; /* given up; the handle is closing */
	if (status == 0)
		status = tcp_open(t);
	if (status != 0) {
		dial_next(t, status, NULL);
		return;
	}
	t->head.why[0] = '\0'; /* what other addresses did is past */
	remote_read(&t->head.remote, &t->handle);
	t->host->connected(t->host->context, &t->head);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
	struct tcp *t = request->data;

	for (const struct addrinfo *a = addresses;
		a != NULL && t->address_count < CHANNEL_ADDRESSES_MAX; a = a->ai_next)
		memcpy(&t->addresses[t->address_count++], a->ai_addr, a->ai_addrlen);
	uv_freeaddrinfo(addresses);
	if (t->state == CHANNEL_RESOLVING && status == 0 && t->address_count != 0) {
		dial_try_or_free(t);
		return;
	}
	if (t->head.why[0] == '\0')
		snprintf(t->head.why, sizeof(t->head.why), "cannot find the host of %.200s: %s",
			t->name, status != 0 ? uv_strerror(status) : "it has no address");
	tcp_free(t);
}

int channel_dial(struct channel **out, struct channel_host *host, conn_id conn,
	const struct address *address, struct errmsg *msg)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
	struct tcp *t = tcp_new(host, conn);
	char port[8];
	int rc;

	if (t == NULL)
		return errmsg_set(msg, TK_ENOMEM, "out of memory");
	t->head.dialled = true;
	tcp_move(t, CHANNEL_RESOLVING);
	snprintf(port, sizeof(port), "%u", address->port);
	snprintf(t->name, sizeof(t->name), "%s:%s", address->host, port);
	rc = uv_getaddrinfo(host->loop, &t->resolve, on_resolved, address->host, port, &hints);
	if (rc != 0) {
		mem_free(t);
		return errmsg_set(msg, rc == UV_ENOMEM ? TK_ENOMEM : TK_EINVAL,
			"cannot look up the host %s: %s", address->host, uv_strerror(rc));
	}
	*out = &t->head;
	return TK_OK;
}

void endpoint_sockaddr(struct sockaddr_storage *out, const struct endpoint *e)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
	struct sockaddr_in *four = (struct sockaddr_in *)out;

	*out = (struct sockaddr_storage){0};
	if (e->family == 6) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(e->port);
		memcpy(&six->sin6_addr, e->ip, 16);
	} else {
		four->sin_family = AF_INET;
		four->sin_port = htons(e->port);
		memcpy(&four->sin_addr, e->ip, 4);
	}
}

int channel_dial_endpoints(struct channel **out, struct channel_host *host, conn_id conn,
	const struct endpoint *endpoints, size_t count, struct errmsg *msg)
{
	struct tcp *t = tcp_new(host, conn);
	int rc;

	REQUIRE(count != 0);
	if (t == NULL)
		return errmsg_set(msg, TK_ENOMEM, "out of memory");
	t->head.dialled = true;
	for (; t->address_count < count && t->address_count < CHANNEL_ADDRESSES_MAX;
		t->address_count++)
		endpoint_sockaddr(&t->addresses[t->address_count], &endpoints[t->address_count]);
	endpoint_text(t->name, &endpoints[0]);
	rc = dial_try(t);
	if (rc != 0) {
		mem_free(t);
		return errmsg_set(msg, rc == UV_ENOMEM ? TK_ENOMEM : TK_ELIMIT, "cannot dial: %s",
			uv_strerror(rc));
	}
	*out = &t->head;
	return TK_OK;
}

int channel_dial_again(
	struct channel **out, struct channel_host *host, conn_id conn, const struct channel *c)
{
	const struct tcp *old = (const struct tcp *)(const void *)c;
	struct tcp *t;
	int rc;

	REQUIRE(c->dialled && c->open && old->next > 0);
	t = tcp_new(host, conn);
	if (t == NULL)
		return TK_ENOMEM;
	t->head.dialled = true;
	t->addresses[0] = old->addresses[old->next - 1];
	t->address_count = 1;
	memcpy(t->name, old->name, sizeof(t->name));
	rc = dial_try(t);
	if (rc != 0) {
		mem_free(t);
		return rc == UV_ENOMEM ? TK_ENOMEM : TK_ELIMIT;
	}
	*out = &t->head;
	return TK_OK;
}

struct channel *channel_accept(
	struct channel_host *host, conn_id conn, struct uv_stream_s *listener)
{
	struct tcp *t = tcp_new(host, conn);
	int rc;

	if (t == NULL)
		return NULL;
	if (uv_tcp_init(host->loop, &t->handle) != 0) {
		mem_free(t);
		return NULL;
	}
	rc = uv_accept(listener, (uv_stream_t *)&t->handle);
	if (rc == 0) {
		remote_read(&t->head.remote, &t->handle);
		rc = tcp_open(t);
	}
	if (rc != 0)
		tcp_close(t, uv_strerror(rc)); /* `freed` follows */
	return &t->head;
}

/* Writing */

static void on_written(uv_write_t *request, int status)
{
	struct write *w = request->data;
	struct tcp *t = w->tcp;
	size_t count = w->bytes.len;

	bytes_close(&w->bytes);
	mem_free(w);
	if (t->state != CHANNEL_OPEN)
		return;
	if (status != 0)
		tcp_lost(t, uv_strerror(status));
	else
		t->host->written(t->host->context, &t->head, count);
}

void channel_write(struct channel *c, struct bytes *bytes)
{
	struct tcp *t = tcp_of(c);
	struct write *w;
	uv_buf_t buffer;
	int rc;

	if (t->state != CHANNEL_OPEN) {
		bytes_close(bytes);
		return;
	}
	w = mem_calloc(1, sizeof(*w));
	if (w == NULL) {
		bytes_close(bytes);
		tcp_lost(t, "out of memory");
		return;
	}
	w->tcp = t;
	w->bytes = *bytes;
	w->request.data = w;
	*bytes = (struct bytes){0};
	buffer = uv_buf_init((char *)w->bytes.data, (unsigned)w->bytes.len);
	t->wrote = true;
	rc = uv_write(&w->request, (uv_stream_t *)&t->handle, &buffer, 1, on_written);
	if (rc == 0)
		return;
	bytes_close(&w->bytes);
	mem_free(w);
	tcp_lost(t, uv_strerror(rc));
}

/* Ending */

static void on_shutdown(uv_shutdown_t *request, int status)
{
	(void)request;
	(void)status; /* the end of the input or the deadline closes the handle */
}

void channel_end(struct channel *c, const char *why)
{
	struct tcp *t = tcp_of(c);

	if (t->state == CHANNEL_ENDING || t->state == CHANNEL_CLOSING)
		return;
	if (t->state == CHANNEL_RESOLVING || t->state == CHANNEL_BETWEEN) {
		/* A callback is on its way; it will find the state changed. */
		snprintf(c->why, sizeof(c->why), "%s", why);
		if (t->state == CHANNEL_RESOLVING)
			uv_cancel((uv_req_t *)&t->resolve);
		tcp_move(t, CHANNEL_CLOSING);
		return;
	}
	if (t->state == CHANNEL_CONNECTING || !t->wrote ||
		uv_shutdown(&t->shutdown, (uv_stream_t *)&t->handle, on_shutdown) != 0) {
		c->why[0] = '\0';
		tcp_close(t, why);
		return;
	}
	tcp_explain(t, why);
	tcp_move(t, CHANNEL_ENDING);
}

void channel_tick(struct channel *c)
{
	struct tcp *t = tcp_of(c);
	uint64_t age_ms = uv_now(t->host->loop) - t->since_ms;

	if (t->state == CHANNEL_CONNECTING && age_ms >= NODE_HANDSHAKE_MS)
		dial_next(t, 0, "nobody answers");
	else if (t->state == CHANNEL_ENDING && age_ms >= CHANNEL_LINGER_MS)
		tcp_close(t, "");
}
