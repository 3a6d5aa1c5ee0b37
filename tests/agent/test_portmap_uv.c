/* Port mapping: the lines, NAT-PMP against a router of the test's own on loopback, a helper that hangs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <libgen.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "peer/agent/portmapper_uv.h"

#define GATEWAY	     "127.83.17.1"
#define NATPMP_PORT  5351 /* RFC 6886; nobody else has this loopback address */
#define OUTSIDE_PORT 40001

static char program[1024]; /* talkoot-peer */

/* The router. */
struct router {
	int socket;
	pthread_t thread;
	atomic_bool over;
	atomic_uint result; /* of RFC 6886, for mappings */
	atomic_uint mapped, unmapped;
	atomic_uint port; /* that was asked for last */
};

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static size_t router_answer(struct router *r, const uint8_t *in, size_t n, uint8_t *out)
{
	memset(out, 0, 16);
	out[1] = (uint8_t)(128 + in[1]);
	if (in[1] == 0) { /* the public address */
		memcpy(out + 8, (const uint8_t[]){203, 0, 113, 7}, 4);
		return 12;
	}
	if (n < 12)
		return 0;
	put16(out + 2, r->result);
	memcpy(out + 8, in + 4, 2);
	r->port = (unsigned)(in[4] << 8 | in[5]);
	put16(out + 10, OUTSIDE_PORT);
	memcpy(out + 12, in + 8, 4);
	if (memcmp(in + 8, "\0\0\0\0", 4) == 0)
		r->unmapped++;
	else
		r->mapped++;
	return 16;
}

static void *router_run(void *context)
{
	struct router *r = context;

	while (!r->over) {
		struct pollfd fd = {.fd = r->socket, .events = POLLIN};
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		uint8_t in[64], out[16];
		ssize_t n;

		if (poll(&fd, 1, 20) <= 0)
			continue;
		n = recvfrom(r->socket, in, sizeof(in), 0, (struct sockaddr *)&from, &size);
		if (n >= 2)
			(void)!sendto(r->socket, out, router_answer(r, in, (size_t)n, out), 0,
				(struct sockaddr *)&from, size);
	}
	return NULL;
}

/* False: something else has that port. */
static bool router_open(struct router *r)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(NATPMP_PORT)};

	*r = (struct router){.socket = socket(AF_INET, SOCK_DGRAM, 0)};
	inet_pton(AF_INET, GATEWAY, &at.sin_addr);
	if (r->socket < 0 || bind(r->socket, (struct sockaddr *)&at, sizeof(at)) != 0)
		return false;
	return pthread_create(&r->thread, NULL, router_run, r) == 0;
}

static void router_close(struct router *r)
{
	r->over = true;
	pthread_join(r->thread, NULL);
	close(r->socket);
}

static uint32_t gateway(void)
{
	struct in_addr a;

	inet_pton(AF_INET, GATEWAY, &a);
	return ntohl(a.s_addr);
}

static void lines_there_and_back(void **state)
{
	struct portmap p = {.mapped = true,
		.at = {.family = 4, .ip = {203, 0, 113, 7}, .port = 40001},
		.lifetime_s = 7200,
		.how = "NAT-PMP"};
	struct portmap q;
	char line[PORTMAP_LINE_MAX];
	uint32_t seconds;
	uint16_t port;

	(void)state;
	portmap_question(line, 7332, 7200);
	assert_string_equal(line, "MAP 7332 7200");
	assert_int_equal(portmap_question_read(line, &port, &seconds), TK_OK);
	assert_int_equal(port, 7332);
	assert_int_equal(seconds, 7200);
	portmap_answer(line, &p);
	assert_string_equal(line, "MAPPED NAT-PMP 203.0.113.7:40001 7200");
	assert_int_equal(portmap_answer_read(line, &q), TK_OK);
	assert_true(q.mapped && endpoint_equal(&q.at, &p.at) && q.lifetime_s == 7200);
	p = (struct portmap){.text = "no\nMAPPED NAT-PMP 1.2.3.4:5 6"};
	portmap_answer(line, &p);
	assert_null(strchr(line, '\n'));
	assert_int_equal(portmap_answer_read(line, &q), TK_OK);
	assert_false(q.mapped);
}

static void nonsense_is_refused(void **state)
{
	static const char *const questions[] = {"", "MAP", "MAP 0 1", "MAP 65536 1", "MAP 1",
		"MAP 1 -1", "MAP 1 99999999999", "MAP 1 1 1", "map 1 1"};
	static const char *const answers[] = {"", "MAPPED", "MAPPED NAT-PMP", "NONE",
		"MAPPED NAT-PMP 1.2.3.4:0 7", "MAPPED NAT-PMP 1.2.3.4 7", "MAPPED X 1.2.3.4:5 7",
		"MAPPED UPnP host:5 7", "MAPPED UPnP 1.2.3.4:5 7 ", "MAPPED UPnP 224.0.0.1:5 7",
		"MAPPED UPnP 1.2.3.4:5 9999999999"};
	struct portmap p;
	uint32_t seconds;
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		assert_int_equal(portmap_question_read(questions[i], &port, &seconds), TK_EPROTO);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		assert_int_equal(portmap_answer_read(answers[i], &p), TK_EPROTO);
}

static void a_router_that_speaks_natpmp_maps_and_unmaps(void **state)
{
	struct router r;
	struct errmsg msg = {""};
	struct portmap p;
	char at[ENDPOINT_TEXT_MAX];

	(void)state;
	if (!router_open(&r))
		skip();
	if (portmap_natpmp(&p, 7332, 600, gateway(), &msg) != TK_OK)
		fail_msg("%s", msg.text);
	endpoint_text(at, &p.at);
	assert_string_equal(at, "203.0.113.7:40001");
	assert_int_equal(p.lifetime_s, 600);
	assert_int_equal(r.port, 7332);
	assert_int_equal(portmap_natpmp(&p, 7332, 0, gateway(), &msg), TK_OK);
	assert_int_equal(r.mapped, 1);
	assert_int_equal(r.unmapped, 1);
	router_close(&r);
}

static void a_router_that_refuses_says_why(void **state)
{
	struct router r;
	struct errmsg msg = {""};
	struct portmap p;

	(void)state;
	if (!router_open(&r))
		skip();
	r.result = 2;
	assert_int_equal(portmap_natpmp(&p, 7332, 600, gateway(), &msg), TK_EIO);
	assert_non_null(strstr(msg.text, "switched off"));
	router_close(&r);
}

static void a_silent_router_is_given_up_soon(void **state)
{
	struct errmsg msg = {""};
	struct portmap p;

	(void)state;
	assert_int_equal(portmap_natpmp(&p, 7332, 600, gateway() + 9, &msg), TK_EIO);
	assert_non_null(strstr(msg.text, "does not answer"));
}

/* As the agent runs it: a process, a question, an answer, and the mapping goes with the agent. */
static void the_helper_maps_and_takes_back_when_its_agent_is_gone(void **state)
{
	static const char question[] = "MAP 7332 600\n";
	int to[2], from[2], status;
	char line[PORTMAP_LINE_MAX] = "";
	struct router r;
	pid_t pid;

	(void)state;
	if (!router_open(&r))
		skip();
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		close(to[1]);
		execl(program, "talkoot-peer", "port-mapper", GATEWAY, (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	assert_int_equal(write(to[1], question, sizeof(question) - 1), sizeof(question) - 1);
	assert_true(read(from[0], line, sizeof(line) - 1) > 0);
	assert_string_equal(line, "MAPPED NAT-PMP 203.0.113.7:40001 600\n");
	assert_int_equal(r.unmapped, 0);
	close(to[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(r.unmapped, 1);
	close(from[0]);
	router_close(&r);
}

/* The agent's side. */

struct listener {
	uv_loop_t loop;
	uv_timer_t over;
	struct portmapper_uv *mapper;
	struct portmap last;
	unsigned answers;
};

static void on_over(uv_timer_t *timer)
{
	struct listener *l = timer->data;

	portmapper_uv_close(l->mapper);
	uv_close((uv_handle_t *)timer, NULL);
}

static void on_answer(void *context, const struct portmap *p)
{
	struct listener *l = context;

	l->last = *p;
	l->answers++;
	uv_timer_start(&l->over, on_over, 0, 0);
}

/* What the mapper says first, when its helper is this program. */
static void ask_helper(struct listener *l, const char *helper, uint64_t patience_ms)
{
	struct portmapper_handler handler = {
		.context = l, .answer = on_answer, .patience_ms = patience_ms};

	*l = (struct listener){.answers = 0};
	assert_int_equal(uv_loop_init(&l->loop), 0);
	uv_timer_init(&l->loop, &l->over);
	l->over.data = l;
	l->mapper = portmapper_uv_new(&l->loop, helper, GATEWAY, 7332, &handler);
	assert_non_null(l->mapper);
	uv_run(&l->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&l->loop), 0);
	assert_int_equal(l->answers, 1);
}

static void the_agent_hears_what_the_router_said(void **state)
{
	struct listener l;
	struct router r;

	(void)state;
	if (!router_open(&r))
		skip();
	ask_helper(&l, program, 0);
	assert_true(l.last.mapped);
	assert_int_equal(l.last.at.port, OUTSIDE_PORT);
	for (int i = 0; i < 500 && r.unmapped == 0; i++)
		(void)poll(NULL, 0, 20);
	assert_int_equal(r.unmapped, 1); /* the helper was let go, and took it back */
	router_close(&r);
}

static void write_script(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, 0700), 0);
}

static void a_helper_that_hangs_dies_or_babbles_is_put_away(void **state)
{
	static const struct {
		const char *script, *why;
	} helpers[] = {
		{"#!/bin/sh\nexec sleep 1000\n", "does not answer"},
		{"#!/bin/sh\nexit 3\n", "has ended"},
		{"#!/bin/sh\nread line\necho MAPPED a lot\nexec sleep 1000\n", "makes no sense"},
		{"#!/bin/sh\nexec yes\n", "makes no sense"},
		{"#!/bin/sh\nexec cat /dev/zero\n", "makes no sense"},
	};
	char folder[] = "/tmp/talkoot-mapper-XXXXXX", path[64];
	struct listener l;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/helper", folder);
	for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++) {
		write_script(path, helpers[i].script);
		ask_helper(&l, path, 300);
		assert_false(l.last.mapped);
		if (strstr(l.last.text, helpers[i].why) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", l.last.text, helpers[i].why);
	}
	ask_helper(&l, "/nonexistent", 0);
	assert_non_null(strstr(l.last.text, "does not start"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

#define CLAIM(name) cmocka_unit_test(name)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CLAIM(lines_there_and_back),
		CLAIM(nonsense_is_refused),
		CLAIM(a_router_that_speaks_natpmp_maps_and_unmaps),
		CLAIM(a_router_that_refuses_says_why),
		CLAIM(a_silent_router_is_given_up_soon),
		CLAIM(the_helper_maps_and_takes_back_when_its_agent_is_gone),
		CLAIM(the_agent_hears_what_the_router_said),
		CLAIM(a_helper_that_hangs_dies_or_babbles_is_put_away),
	};
	char self[512];

	(void)argc;
	signal(SIGPIPE, SIG_IGN); /* as every program that has children does */
	snprintf(self, sizeof(self), "%s", argv[0]);
	snprintf(program, sizeof(program), "%s/../../talkoot-peer", dirname(self));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
