/* See sockets.h. */
#include "tests/lab/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

bool endpoint_read(struct sockaddr_in *out, const char *text, uint16_t port)
{
	char host[ENDPOINT_SIZE];
	const char *colon = strchr(text, ':');
	size_t n = colon != NULL ? (size_t)(colon - text) : strlen(text);

	if (n >= sizeof(host))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	*out = (struct sockaddr_in){.sin_family = AF_INET};
	out->sin_port = htons(colon != NULL ? (uint16_t)strtoul(colon + 1, NULL, 10) : port);
	return inet_pton(AF_INET, host, &out->sin_addr) == 1 && out->sin_port != 0;
}

void endpoint_write(char out[ENDPOINT_SIZE], const struct sockaddr_in *e)
{
	char host[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &e->sin_addr, host, sizeof(host));
	snprintf(out, ENDPOINT_SIZE, "%s:%u", host, (unsigned)ntohs(e->sin_port));
}

int tcp_bound(uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct linger none = {.l_onoff = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	close(fd);
	return -1;
}

int tcp_listening(uint16_t port)
{
	int fd = tcp_bound(port);

	if (fd >= 0 && listen(fd, 16) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

bool tcp_connects(int fd, const struct sockaddr_in *to, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t n = sizeof(error);

	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0)
		return true;
	if (errno != EINPROGRESS || poll(&p, 1, ms) <= 0)
		return false;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == 0;
}

int tcp_open(uint16_t port, const struct sockaddr_in *to, int ms)
{
	int fd = tcp_bound(port);

	if (fd < 0 || tcp_connects(fd, to, ms))
		return fd;
	close(fd);
	return -1;
}

bool is_readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) > 0;
}

bool line_get(int fd, char out[LINE_SIZE], int ms)
{
	int64_t end = now_us() + (int64_t)ms * 1000;

	for (size_t n = 0; n < LINE_SIZE; n++) {
		int left = (int)((end - now_us()) / 1000);

		if (left < 0 || !is_readable(fd, left) || read(fd, out + n, 1) != 1)
			return false;
		if (out[n] == '\n') {
			out[n] = '\0';
			return true;
		}
	}
	return false;
}

bool line_put(int fd, const char *text)
{
	char line[LINE_SIZE];
	int n = snprintf(line, sizeof(line), "%s\n", text);

	return n > 0 && n < (int)sizeof(line) && write(fd, line, (size_t)n) == n;
}
