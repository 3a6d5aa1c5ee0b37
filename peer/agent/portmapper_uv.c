/* See portmapper_uv.h. The mapper outlives its children: each child is a `struct child` of its own, freed when its
 * handles are closed, and knows its mapper only while it is the current one. */
#include "peer/agent/portmapper_uv.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "tasks/base/mem.h"

struct child {
	struct portmapper_uv *owner; /* NULL: nobody listens any more */
	uv_process_t process;
	uv_pipe_t to, from;
	unsigned handles;
	bool exited;
	char line[PORTMAP_LINE_MAX];
	size_t len;
	char part[PORTMAP_LINE_MAX];
	uv_write_t request;
	char question[PORTMAP_LINE_MAX];
};

struct portmapper_uv {
	uv_loop_t *loop;
	const char *program;
	const char *gateway;
	uint16_t port;
	const struct portmapper_handler *handler;
	uv_timer_t timer;
	struct child *child; /* NULL: none runs */
	bool asked;	     /* an answer is awaited */
	unsigned failures;   /* of helpers, in a row */
	bool closing;
};

static void on_handle_closed(uv_handle_t *handle)
{
	struct child *c = handle->data;

	if (--c->handles == 0)
		mem_free(c);
}

/* Lets it go: without its input it takes the mapping back and ends. */
static void child_leave(struct child *c, bool kill_it)
{
	if (c->owner != NULL)
		c->owner->child = NULL;
	c->owner = NULL;
	if (kill_it && !c->exited)
		(void)uv_process_kill(&c->process, SIGKILL);
	if (!uv_is_closing((uv_handle_t *)&c->to))
		uv_close((uv_handle_t *)&c->to, on_handle_closed);
	if (!uv_is_closing((uv_handle_t *)&c->from))
		uv_close((uv_handle_t *)&c->from, on_handle_closed);
	if (!uv_is_closing((uv_handle_t *)&c->process))
		uv_close((uv_handle_t *)&c->process, on_handle_closed);
}

static void on_timer(uv_timer_t *timer);

static void wait_ms(struct portmapper_uv *p, uint64_t ms)
{
	if (!p->closing)
		uv_timer_start(&p->timer, on_timer, ms, 0);
}

/* The helper hung, died or talked nonsense. */
static void helper_failed(struct portmapper_uv *p, const char *why)
{
	struct portmap none = {.mapped = false};
	uint64_t ms = PORTMAPPER_RESTART_MS;

	if (p->child != NULL)
		child_leave(p->child, true);
	p->asked = false;
	for (unsigned i = 0; i < p->failures && ms < PORTMAPPER_RESTART_MAX_MS; i++)
		ms *= 2;
	p->failures++;
	wait_ms(p, ms < PORTMAPPER_RESTART_MAX_MS ? ms : PORTMAPPER_RESTART_MAX_MS);
	snprintf(none.text, sizeof(none.text), "the port mapper %s", why);
	p->handler->answer(p->handler->context, &none);
}

static void on_line(struct child *c)
{
	struct portmapper_uv *p = c->owner;
	struct portmap answer;

	if (!p->asked || portmap_answer_read(c->line, &answer) != TK_OK) {
		helper_failed(p, "said what makes no sense");
		return;
	}
	p->asked = false;
	p->failures = 0;
	if (!answer.mapped)
		wait_ms(p, PORTMAPPER_AGAIN_MS);
	else if (answer.lifetime_s != 0 && answer.lifetime_s < PORTMAP_LIFETIME_S)
		wait_ms(p, answer.lifetime_s * 500ull + 1000);
	else
		wait_ms(p, PORTMAP_LIFETIME_S * 500ull);
	p->handler->answer(p->handler->context, &answer);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct child *c = handle->data;

	(void)suggested;
	*buf = uv_buf_init(c->part, sizeof(c->part));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct child *c = stream->data;

	if (n < 0 && c->owner != NULL)
		helper_failed(c->owner, "has ended");
	for (ssize_t i = 0; i < n && c->owner != NULL; i++) {
		if (buf->base[i] == '\n') {
			c->line[c->len] = '\0';
			c->len = 0;
			on_line(c);
		} else if (c->len + 1 < sizeof(c->line) && buf->base[i] != '\0') {
			c->line[c->len++] = buf->base[i];
		} else {
			helper_failed(c->owner, "said what makes no sense");
		}
	}
}

static void on_exit_of_child(uv_process_t *process, int64_t status, int signal_number)
{
	struct child *c = process->data;

	(void)status;
	(void)signal_number;
	c->exited = true;
	if (c->owner != NULL)
		helper_failed(c->owner, "has ended");
}

static int spawn(struct portmapper_uv *p, struct child *c)
{
	char name[] = "talkoot-peer", role[] = "port-mapper", gateway[32];
	char *argv[] = {name, role, p->gateway != NULL ? gateway : NULL, NULL};
	uv_stdio_container_t stdio[3] = {
		{.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&c->to},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
			.data.stream = (uv_stream_t *)&c->from},
		{.flags = UV_INHERIT_FD, .data.fd = 2},
	};
	uv_process_options_t options = {.file = p->program,
		.args = argv,
		.stdio = stdio,
		.stdio_count = 3,
		.exit_cb = on_exit_of_child};

	snprintf(gateway, sizeof(gateway), "%s", p->gateway != NULL ? p->gateway : "");
	return uv_spawn(p->loop, &c->process, &options);
}

/* NULL: it does not start. */
static struct child *child_start(struct portmapper_uv *p)
{
	struct child *c = mem_calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	uv_pipe_init(p->loop, &c->to, 0);
	uv_pipe_init(p->loop, &c->from, 0);
	c->process.data = c->to.data = c->from.data = c;
	c->handles = 3;
	if (spawn(p, c) == 0 && uv_read_start((uv_stream_t *)&c->from, on_alloc, on_read) == 0) {
		c->owner = p;
		return c;
	}
	c->exited = c->process.pid == 0;
	child_leave(c, true);
	return NULL;
}

static void on_written(uv_write_t *request, int status)
{
	(void)request;
	(void)status; /* a helper that cannot be written to ends, and that is seen */
}

static void ask(struct portmapper_uv *p)
{
	struct child *c = p->child;
	uv_buf_t buf;
	size_t n;

	portmap_question(c->question, p->port, PORTMAP_LIFETIME_S);
	n = strlen(c->question); /* a few words of a long line */
	c->question[n++] = '\n';
	buf = uv_buf_init(c->question, (unsigned)n);
	p->asked = true;
	wait_ms(p, p->handler->patience_ms != 0 ? p->handler->patience_ms : PORTMAPPER_PATIENCE_MS);
	if (uv_write(&c->request, (uv_stream_t *)&c->to, &buf, 1, on_written) != 0)
		helper_failed(p, "cannot be asked");
}

/* The time has come to ask, or to stop waiting. */
static void on_timer(uv_timer_t *timer)
{
	struct portmapper_uv *p = timer->data;

	if (p->asked) {
		helper_failed(p, "does not answer");
		return;
	}
	if (p->child == NULL)
		p->child = child_start(p);
	if (p->child == NULL)
		helper_failed(p, "does not start");
	else
		ask(p);
}

struct portmapper_uv *portmapper_uv_new(struct uv_loop_s *loop, const char *program,
	const char *gateway, uint16_t port, const struct portmapper_handler *handler)
{
	struct portmapper_uv *p = mem_calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->loop = loop;
	p->program = program;
	p->gateway = gateway;
	p->port = port;
	p->handler = handler;
	uv_timer_init(loop, &p->timer);
	p->timer.data = p;
	wait_ms(p, 0);
	return p;
}

static void on_timer_closed(uv_handle_t *handle)
{
	mem_free(handle->data);
}

void portmapper_uv_close(struct portmapper_uv *p)
{
	if (p == NULL || p->closing)
		return;
	p->closing = true;
	if (p->child != NULL)
		child_leave(p->child, false);
	uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}
