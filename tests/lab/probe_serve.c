/* The public side of the lab's probe; see probe.h. One process for each connection: nobody waits for another. */
#include "tests/lab/probe.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lab/sockets.h"

static void call(int fd, const char *endpoint)
{
	struct sockaddr_in to;
	int out = endpoint_read(&to, endpoint, 0) ? tcp_open(PROBE_PORT + 2, &to, CALL_MS) : -1;

	line_put(fd, out >= 0 ? "yes" : "no");
	if (out >= 0)
		close(out);
}

static void send_bytes(int fd, long left)
{
	static char block[65536];
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	while (left > 0 && poll(&p, 1, PATIENCE_MS) > 0) {
		ssize_t n =
			write(fd, block, left < (long)sizeof(block) ? (size_t)left : sizeof(block));

		if (n <= 0)
			return;
		left -= n;
	}
}

static void answer(int fd, const struct sockaddr_in *from)
{
	char line[LINE_SIZE];

	endpoint_write(line, from);
	if (!line_put(fd, line))
		return;
	while (line_get(fd, line, 30000)) {
		if (strncmp(line, "call ", 5) == 0)
			call(fd, line + 5);
		if (strncmp(line, "send ", 5) == 0)
			send_bytes(fd, strtol(line + 5, NULL, 10));
	}
}

static void take_connection(int listening)
{
	struct sockaddr_in from;
	socklen_t n = sizeof(from);
	int fd = accept4(listening, (struct sockaddr *)&from, &n, SOCK_NONBLOCK);

	if (fd >= 0 && fork() == 0) {
		answer(fd, &from);
		_exit(EXIT_SUCCESS);
	}
	if (fd >= 0)
		close(fd);
}

static void echo(int fd)
{
	char block[2048];
	struct sockaddr_in from;
	socklen_t n = sizeof(from);
	ssize_t got = recvfrom(fd, block, sizeof(block), 0, (struct sockaddr *)&from, &n);

	if (got > 0 && sendto(fd, block, (size_t)got, 0, (struct sockaddr *)&from, n) < 0)
		perror("probe: an echo is lost");
}

int serve(void)
{
	struct sockaddr_in at;
	struct pollfd ends[3] = {
		{.fd = tcp_listening(PROBE_PORT), .events = POLLIN},
		{.fd = tcp_listening(PROBE_PORT + 1), .events = POLLIN},
		{.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), .events = POLLIN},
	};

	signal(SIGCHLD, SIG_IGN);
	if (!endpoint_read(&at, "0.0.0.0", PROBE_PORT) || ends[0].fd < 0 || ends[1].fd < 0 ||
		bind(ends[2].fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		return EXIT_FAILURE;
	puts("ready");
	fflush(stdout);
	while (poll(ends, 3, -1) > 0) {
		for (int i = 0; i < 2; i++)
			if (ends[i].revents != 0)
				take_connection(ends[i].fd);
		if (ends[2].revents != 0)
			echo(ends[2].fd);
	}
	return EXIT_FAILURE;
}
