/* The node's listening sockets; see node_uv.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "peer/overlay/address.h"
#include "peer/overlay/node_uv_state.h"
#include "tasks/base/mem.h"

#define LISTEN_BACKLOG 128

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

/* Lets dials go out from this port, too. Only now: before, another program's listening would go unseen. */
static int share_port(const uv_tcp_t *handle)
{
	const int on = 1;
	uv_os_fd_t fd;
	int rc = uv_fileno((const uv_handle_t *)handle, &fd);

	if (rc == 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
		rc = uv_translate_sys_error(errno);
	return rc;
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
		rc = share_port(&l->handle);
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
	if (rc == 0) {
		ways_uv_listening(n, &a, *port);
		return TK_OK;
	}
	uv_close((uv_handle_t *)&l->handle, on_listener_closed);
	return listen_failed(msg, address, rc);
}

void listeners_retry(struct node_uv *n)
{
	for (struct listener *l = n->listeners; l != NULL; l = l->next) {
		if (l->held && !n->closing)
			listener_accept(l);
	}
}

void listeners_close(struct node_uv *n)
{
	for (struct listener *l = n->listeners; l != NULL; l = l->next) {
		if (!uv_is_closing((uv_handle_t *)&l->handle))
			uv_close((uv_handle_t *)&l->handle, on_listener_closed);
	}
}
