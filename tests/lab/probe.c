/* Says what a network between two namespaces really does, before anything is tested through it: how a NAT
 * maps and filters TCP (the words are RFC 5382's and RFC 4787's), whether two hosts behind NATs can meet by
 * a simultaneous open, and what delay, loss and rate a link has. It speaks to nobody but itself.
 *
 *   probe serve                          on public hosts, for ever
 *   probe nat A B PORT                   from inside a NAT, with servers on A and B: prints
 *                                        "MAPPING FILTERING ADDRESS PORTS", see nat()
 *   probe punch A PORT                   prints where it is seen, reads where the other is, and says yes or no
 *   probe listen PORT                    listens, and takes nothing in
 *   probe call ENDPOINT                  succeeds when somebody takes the connection
 *   probe link A COUNT                   prints "LOST MEDIAN_MS" of COUNT datagrams there and back
 *   probe rate A BYTES                   prints Mbit/s of as many bytes by TCP */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lab/probe.h"
#include "tests/lab/sockets.h"

static bool seen_as(int fd, char out[LINE_SIZE])
{
	return line_get(fd, out, PATIENCE_MS);
}

/* From port to a server's port; what the server sees is in seen. −1: no such server. */
static int ask(uint16_t port, const char *server, uint16_t at, char seen[LINE_SIZE])
{
	struct sockaddr_in to;
	int fd;

	if (!endpoint_read(&to, server, at))
		return -1;
	fd = tcp_open(port, &to, PATIENCE_MS);
	if (fd < 0 || seen_as(fd, seen))
		return fd;
	close(fd);
	return -1;
}

/* Asks the server behind fd to dial endpoint from its third port; true: somebody answered. */
static bool is_called(int fd, const char *endpoint)
{
	char line[LINE_SIZE];

	return snprintf(line, sizeof(line), "call %s", endpoint) > 0 && line_put(fd, line) &&
	       line_get(fd, line, 2 * CALL_MS) && strcmp(line, "yes") == 0;
}

static const char *mapping_name(const char *first, const char *port, const char *address)
{
	if (strcmp(first, address) == 0 && strcmp(first, port) == 0)
		return "endpoint-independent";
	return strcmp(first, port) == 0 ? "address-dependent" : "address-and-port-dependent";
}

/* MAPPING: does one local endpoint look the same to A, to another port of A, and to B?
 * FILTERING: who may answer, once A was called: open (anybody, even before), endpoint-independent (anybody),
 * address-dependent (A from another port), address-and-port-dependent (only A's port itself).
 * PORTS: preserved or changed. The order matters: no server is called before its answer is judged. */
static int nat(const char *a, const char *b, uint16_t port)
{
	char control[LINE_SIZE], first[LINE_SIZE], other_port[LINE_SIZE], other_address[LINE_SIZE];
	char unasked[ENDPOINT_SIZE];
	struct sockaddr_in public;
	int listening = tcp_listening(port);
	int judge = ask(
		0, b, PROBE_PORT, control); /* from a port of its own, so the mapping is another */
	bool open, any, same;

	if (listening < 0 || judge < 0 || !endpoint_read(&public, control, 0))
		return EXIT_FAILURE;
	public.sin_port = htons(port);
	endpoint_write(unasked, &public);
	open = is_called(judge, unasked);
	int subject = ask(port, a, PROBE_PORT, first);

	if (subject < 0)
		return EXIT_FAILURE;
	same = is_called(subject, first);
	any = is_called(judge, first);
	if (ask(port, a, PROBE_PORT + 1, other_port) < 0 ||
		ask(port, b, PROBE_PORT + 1, other_address) < 0)
		return EXIT_FAILURE;
	endpoint_read(&public, first, 0);
	printf("%s %s %s %s\n", mapping_name(first, other_port, other_address),
		open   ? "open"
		: any  ? "endpoint-independent"
		: same ? "address-dependent"
		       : "address-and-port-dependent",
		inet_ntoa(public.sin_addr),
		ntohs(public.sin_port) == port ? "preserved" : "changed");
	return EXIT_SUCCESS;
}

/* Both ends must get a line through, or it was somebody else who answered. */
static bool is_talkative(int fd)
{
	char line[LINE_SIZE];

	return line_put(fd, "punch") && line_get(fd, line, CALL_MS) && strcmp(line, "punch") == 0;
}

/* Dials from port and listens on it, again and again: a SYN that comes too early is dropped by the other NAT.
 * The two sides take unequal times for a try, so that they cannot miss each other in step. */
static bool punches(uint16_t port, int listening, const struct sockaddr_in *to)
{
	int64_t end = now_us() + PUNCH_MS * 1000;

	while (now_us() < end) {
		int fd = tcp_open(port, to, 300 + getpid() % 7 * 50);

		if (fd < 0 && is_readable(listening, 50))
			fd = accept(listening, NULL, NULL);
		if (fd >= 0 && is_talkative(fd))
			return true;
		if (fd >= 0)
			close(fd);
	}
	return false;
}

static int punch(const char *server, uint16_t port)
{
	char line[LINE_SIZE];
	struct sockaddr_in to;
	int listening = tcp_listening(port);
	int fd = ask(port, server, PROBE_PORT, line);

	if (listening < 0 || fd < 0)
		return EXIT_FAILURE;
	puts(line);
	fflush(stdout);
	if (!line_get(STDIN_FILENO, line, PATIENCE_MS) || !endpoint_read(&to, line, 0))
		return EXIT_FAILURE;
	puts(punches(port, listening, &to) ? "yes" : "no");
	return EXIT_SUCCESS;
}

/* Leaves it to the caller to close: a reset from here could come before the caller knows that it got through. */
static int listen_on(uint16_t port)
{
	int fd = tcp_listening(port);

	while (fd >= 0 && is_readable(fd, -1))
		if (accept(fd, NULL, NULL) < 0)
			break;
	return EXIT_FAILURE;
}

static int call(const char *endpoint)
{
	struct sockaddr_in to;

	return endpoint_read(&to, endpoint, 0) && tcp_open(0, &to, CALL_MS) >= 0 ? EXIT_SUCCESS
										 : EXIT_FAILURE;
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Datagrams carry when they left; they come back, or not. */
static int link_quality(const char *server, long count)
{
	static int64_t times[LINK_COUNT_MAX];
	struct sockaddr_in to;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	long back = 0;
	int64_t sent;

	if (count < 1 || count > LINK_COUNT_MAX || !endpoint_read(&to, server, PROBE_PORT) ||
		connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		return EXIT_FAILURE;
	for (long i = 0; i <= count; i++) {
		if (i < count) {
			sent = now_us();
			if (send(fd, &sent, sizeof(sent), 0) < 0)
				return EXIT_FAILURE;
		}
		while (back < count && is_readable(fd, i < count ? 1 : 1000) &&
			recv(fd, &sent, sizeof(sent), 0) == sizeof(sent))
			times[back++] = now_us() - sent;
	}
	if (back == 0)
		return EXIT_FAILURE;
	qsort(times, (size_t)back, sizeof(times[0]), by_size);
	printf("%ld %.1f\n", count - back, (double)times[back / 2] / 1000);
	return EXIT_SUCCESS;
}

static int rate(const char *server, long bytes)
{
	static char block[65536];
	char line[LINE_SIZE];
	int fd = ask(0, server, PROBE_PORT, line);
	int64_t start = now_us();
	long left = bytes;

	snprintf(line, sizeof(line), "send %ld", bytes);
	if (fd < 0 || bytes < 1 || !line_put(fd, line))
		return EXIT_FAILURE;
	while (left > 0 && is_readable(fd, PATIENCE_MS)) {
		ssize_t n = read(fd, block, sizeof(block));

		if (n <= 0)
			return EXIT_FAILURE;
		left -= n;
	}
	if (left > 0)
		return EXIT_FAILURE;
	printf("%.2f\n", (double)bytes * 8 / (double)(now_us() - start));
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	long last = argc > 2 ? strtol(argv[argc - 1], NULL, 10) : 0;

	if (strcmp(what, "serve") == 0 && argc == 2)
		return serve();
	if (strcmp(what, "nat") == 0 && argc == 5)
		return nat(argv[2], argv[3], (uint16_t)last);
	if (strcmp(what, "punch") == 0 && argc == 4)
		return punch(argv[2], (uint16_t)last);
	if (strcmp(what, "listen") == 0 && argc == 3)
		return listen_on((uint16_t)last);
	if (strcmp(what, "call") == 0 && argc == 3)
		return call(argv[2]);
	if (strcmp(what, "link") == 0 && argc == 4)
		return link_quality(argv[2], last);
	if (strcmp(what, "rate") == 0 && argc == 4)
		return rate(argv[2], last);
	fputs("Usage: probe serve | nat A B PORT | punch A PORT | link A COUNT | rate A BYTES\n",
		stderr);
	return 2;
}
