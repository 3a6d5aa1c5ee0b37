/* A slow link between two network namespaces, for kernels without netem: a TUN interface in each, and this
 * process between them, which holds every packet for a while. Packets never overtake each other.
 *
 *   tun_link NAMESPACE INTERFACE NAMESPACE INTERFACE DELAY_US
 *
 * The delay is one way, so a round trip takes twice as long. A queue is bounded by packets, and one that is
 * full drops what comes, as a router's does. It never loses anything by chance and limits no rate: nft and
 * tbf do that. Prints "ready" once both interfaces exist; they vanish with the process. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MAX   1500
#define QUEUE_MAX    4096u /* packets on the way in one direction: 490 Mbit/s at 50 ms */
#define DELAY_US_MAX 10000000
#define NS_PER_S     1000000000u

struct packet {
	uint64_t due_ns;
	ssize_t bytes;
	uint8_t data[PACKET_MAX];
};

/* One direction: what was read and is not due yet, oldest first. */
struct direction {
	int from, to;
	uint32_t first, count;
	struct packet queue[QUEUE_MAX];
};

static struct direction ways[2];

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* A TUN interface belongs to the namespace in which /dev/net/tun was opened. −1 after a complaint. */
static int tun_open(const char *namespace, const char *interface)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", namespace);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
		fprintf(stderr, "tun_link: cannot enter the namespace %s: %s\n", namespace,
			strerror(errno));
		return -1;
	}
	close(fd);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0) {
		fprintf(stderr, "tun_link: cannot make the interface %s: %s\n", interface,
			strerror(errno));
		return -1;
	}
	return fd;
}

/* Reads all that is there; what finds the queue full is dropped. */
static void take(struct direction *d, uint64_t delay_ns)
{
	static struct packet surplus;

	for (uint32_t i = 0; i < QUEUE_MAX; i++) {
		bool full = d->count == QUEUE_MAX;
		struct packet *p = full ? &surplus : &d->queue[(d->first + d->count) % QUEUE_MAX];

		p->bytes = read(d->from, p->data, sizeof(p->data));
		if (p->bytes <= 0)
			return;
		p->due_ns = now_ns() + delay_ns;
		d->count += !full;
	}
}

/* Writes what is due. An interface that is down refuses; the packet is then lost, as on a wire. */
static void deliver(struct direction *d)
{
	while (d->count != 0 && d->queue[d->first].due_ns <= now_ns()) {
		const struct packet *p = &d->queue[d->first];
		ssize_t written = write(d->to, p->data, (size_t)p->bytes);

		(void)written;
		d->first = (d->first + 1) % QUEUE_MAX;
		d->count--;
	}
}

/* How long nothing will be due; NULL: for ever. */
static const struct timespec *rest(struct timespec *out)
{
	uint64_t due = UINT64_MAX;
	uint64_t now = now_ns();

	for (int i = 0; i < 2; i++)
		if (ways[i].count != 0 && ways[i].queue[ways[i].first].due_ns < due)
			due = ways[i].queue[ways[i].first].due_ns;
	if (due == UINT64_MAX)
		return NULL;
	due = due > now ? due - now : 0;
	*out = (struct timespec){(time_t)(due / NS_PER_S), (long)(due % NS_PER_S)};
	return out;
}

static int serve(uint64_t delay_ns)
{
	for (;;) {
		struct pollfd ends[2] = {
			{.fd = ways[0].from, .events = POLLIN},
			{.fd = ways[1].from, .events = POLLIN},
		};
		struct timespec t;

		if (ppoll(ends, 2, rest(&t), NULL) < 0 && errno != EINTR)
			return EXIT_FAILURE;
		for (int i = 0; i < 2; i++) {
			if (ends[i].revents & ~POLLIN) /* the interface was taken away */
				return EXIT_SUCCESS;
			take(&ways[i], delay_ns);
			deliver(&ways[i]);
		}
	}
}

int main(int argc, char **argv)
{
	long delay_us = argc == 6 ? strtol(argv[5], NULL, 10) : -1;
	int a, b;

	if (delay_us < 0 || delay_us > DELAY_US_MAX) {
		fputs("Usage: tun_link NAMESPACE INTERFACE NAMESPACE INTERFACE DELAY_US\n", stderr);
		return 2;
	}
	a = tun_open(argv[1], argv[2]);
	b = a < 0 ? -1 : tun_open(argv[3], argv[4]);
	if (b < 0)
		return EXIT_FAILURE;
	ways[0].from = ways[1].to = a;
	ways[0].to = ways[1].from = b;
	puts("ready");
	fflush(stdout);
	return serve((uint64_t)delay_us * 1000);
}
