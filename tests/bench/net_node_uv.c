/* A node on real sockets of loopback, in a process of its own: the child answers each UPLOAD_REQUEST with
 * UPLOADED and measures itself; the parent floods it and then holds sessions open. See net_bench.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "peer/overlay/node_uv.h"
#include "tests/bench/net_bench.h"

#define WINDOW 256u /* questions that wait for an answer */

/* What the child tells of itself at the parent's word. */
struct report {
	double cpu_s;
	double mib;
	uint64_t answered;
};

static double wall_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double resident_mib(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size = 0, resident = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%ld %ld", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

/* What neither side of this bench minds. */
static void ignore_up(void *context, conn_id conn, const struct public_key *key, enum role role)
{
	(void)context;
	(void)conn;
	(void)key;
	(void)role;
}

static void ignore_text(void *context, conn_id conn, const char *why)
{
	(void)context;
	(void)conn;
	(void)why;
}

static void say_line(void *context, const char *line)
{
	(void)context;
	fprintf(stderr, "%s\n", line);
}

/* The child */

struct server {
	uv_loop_t loop;
	struct node_uv *node;
	uv_poll_t asked;
	uint64_t answered;
	int from, to; /* the parent's questions, our reports */
};

static void on_question(void *context, conn_id conn, const struct message *m)
{
	struct server *s = context;
	struct message answer = {.type = MESSAGE_UPLOADED};

	if (m->type != MESSAGE_UPLOAD_REQUEST)
		return;
	s->answered++;
	(void)!node_uv_send(s->node, conn, &answer);
}

/* One byte asks for a report; the end of the pipe ends us. */
static void on_asked(uv_poll_t *poll, int status, int events)
{
	struct server *s = poll->data;
	struct report r = {bench_cpu_seconds(), resident_mib(), s->answered};
	char byte;

	(void)status;
	(void)events;
	if (read(s->from, &byte, 1) != 1 || write(s->to, &r, sizeof(r)) != (ssize_t)sizeof(r))
		_Exit(0); /* a fork of a benchmark has nothing to put in order */
}

static void serve(int from, int to)
{
	static struct server s;
	struct node_handler handler = {.context = &s,
		.up = ignore_up,
		.down = ignore_text,
		.message = on_question,
		.dial_failed = ignore_text,
		.log = say_line};
	struct identity id;
	struct errmsg msg = {""};
	uint16_t port = 0;

	s.from = from;
	s.to = to;
	bench_identity(&id, 0);
	uv_loop_init(&s.loop);
	s.node = node_uv_new(&s.loop, &id, &handler);
	if (s.node == NULL || node_uv_listen(s.node, "127.0.0.1:0", &port, &msg) != TK_OK)
		fprintf(stderr, "the node does not listen: %s\n", msg.text);
	uv_poll_init(&s.loop, &s.asked, from);
	s.asked.data = &s;
	uv_poll_start(&s.asked, UV_READABLE, on_asked);
	if (write(to, &port, sizeof(port)) == sizeof(port))
		uv_run(&s.loop, UV_RUN_DEFAULT);
	_Exit(1);
}

/* The parent */

struct client {
	struct clients *all;
	struct identity id;
	struct node_handler handler;
	struct node_uv *node;
	conn_id conn;
};

struct clients {
	uv_loop_t loop;
	uv_timer_t timer;
	struct client *each;
	unsigned count, up, closed;
	uint64_t answers;
	bool flooding, failed;
};

static void ask(struct client *c)
{
	struct message m = {.type = MESSAGE_UPLOAD_REQUEST};

	(void)!node_uv_send(c->node, c->conn, &m);
}

static void on_up(void *context, conn_id conn, const struct public_key *key, enum role role)
{
	struct client *c = context;

	(void)key;
	(void)role;
	c->conn = conn;
	if (++c->all->up == c->all->count)
		uv_stop(&c->all->loop);
}

static void on_answer(void *context, conn_id conn, const struct message *m)
{
	struct client *c = context;

	(void)conn;
	(void)m;
	c->all->answers++;
	if (c->all->flooding)
		ask(c);
}

static void on_over(void *context, conn_id conn, const char *why)
{
	struct client *c = context;

	(void)conn;
	fprintf(stderr, "a session ended: %s\n", why);
	c->all->failed = true;
	uv_stop(&c->all->loop);
}

static bool clients_open(struct clients *all, unsigned count, uint16_t port)
{
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	uv_loop_init(&all->loop);
	uv_timer_init(&all->loop, &all->timer);
	all->each = calloc(count, sizeof(*all->each));
	if (all->each == NULL)
		return false;
	all->count = count;
	for (unsigned i = 0; i < count; i++) {
		struct client *c = &all->each[i];

		c->all = all;
		bench_identity(&c->id, 1 + i);
		c->handler = (struct node_handler){.context = c,
			.up = on_up,
			.down = on_over,
			.message = on_answer,
			.dial_failed = on_over,
			.log = say_line};
		c->node = node_uv_new(&all->loop, &c->id, &c->handler);
		if (c->node == NULL ||
			node_uv_dial(c->node, address, &c->id.network, &c->conn, NULL) != TK_OK)
			return false;
	}
	uv_run(&all->loop, UV_RUN_DEFAULT);
	return !all->failed;
}

static void on_time(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

static bool run_for(struct clients *all, double seconds)
{
	uv_update_time(&all->loop);
	uv_timer_start(&all->timer, on_time, (uint64_t)(1000 * seconds), 0);
	uv_run(&all->loop, UV_RUN_DEFAULT);
	return !all->failed;
}

static void on_node_closed(void *context)
{
	struct client *c = context;

	node_uv_free(c->node);
	if (++c->all->closed == c->all->count)
		uv_close((uv_handle_t *)&c->all->timer, NULL);
}

static void clients_close(struct clients *all)
{
	for (unsigned i = 0; i < all->count; i++) {
		struct client *c = &all->each[i];

		c->handler.down = ignore_text;
		node_uv_close(c->node, GOODBYE_SHUTDOWN, "measured", on_node_closed, c);
	}
	uv_run(&all->loop, UV_RUN_DEFAULT);
	uv_loop_close(&all->loop);
	free(all->each);
}

static bool report_get(int to, int from, struct report *out)
{
	return write(to, "?", 1) == 1 && read(from, out, sizeof(*out)) == (ssize_t)sizeof(*out);
}

static bool measure(
	struct clients *all, struct node_cost *out, int to, int from, double busy_s, double idle_s)
{
	struct report before, after;
	double start;

	if (!report_get(to, from, &before))
		return false;
	start = wall_seconds();
	all->flooding = true;
	for (unsigned i = 0; i < WINDOW; i++)
		ask(&all->each[i % all->count]);
	if (!run_for(all, busy_s))
		return false;
	all->flooding = false;
	if (!report_get(to, from, &after))
		return false;
	out->messages_per_s = (double)(after.answered - before.answered) / (wall_seconds() - start);
	out->messages_per_cpu_s =
		(double)(after.answered - before.answered) / (after.cpu_s - before.cpu_s);
	if (!run_for(all, 1) || !report_get(to, from, &before))
		return false;
	start = wall_seconds();
	if (!run_for(all, idle_s) || !report_get(to, from, &after))
		return false;
	out->idle_seconds = wall_seconds() - start;
	out->idle_cpu = (after.cpu_s - before.cpu_s) / out->idle_seconds;
	out->idle_mib = after.mib;
	return true;
}

bool node_cost_measure(struct node_cost *out, unsigned sessions, double busy_s, double idle_s)
{
	static struct clients all;
	int to[2], from[2];
	uint16_t port = 0;
	bool good;
	pid_t child;

	if (pipe(to) != 0 || pipe(from) != 0)
		return false;
	child = fork();
	if (child == 0) {
		close(to[1]);
		close(from[0]);
		serve(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	out->sessions = sessions;
	good = child > 0 && read(from[0], &port, sizeof(port)) == sizeof(port) && port != 0 &&
	       clients_open(&all, sessions, port) &&
	       measure(&all, out, to[1], from[0], busy_s, idle_s);
	if (all.each != NULL)
		clients_close(&all);
	close(to[1]); /* ends the child */
	close(from[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
	return good;
}
