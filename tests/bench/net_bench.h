/* What the files of bench_net share. */
#ifndef TESTS_BENCH_NET_BENCH_H
#define TESTS_BENCH_NET_BENCH_H

#include "peer/overlay/node.h"

/* A node's identity; number 0 is the coordinator, whose network all others join. */
void bench_identity(struct identity *id, unsigned number);

/* Of this process: what other programs do meanwhile does not count. */
double bench_cpu_seconds(void);

/* Bytes per second of libsodium's ChaCha20-Poly1305 alone: each of `count` buffers of n bytes is sealed
 * and opened again, where it lies. net_raw_sodium.c. */
double raw_bytes_per_s(size_t n, size_t count);

/* What a node on real sockets costs. net_node_uv.c. */
struct node_cost {
	double messages_per_s;	   /* answered, by the clock */
	double messages_per_cpu_s; /* answered, by the node's own processor time */
	double idle_cpu;	   /* share of one core while nothing happens */
	double idle_seconds;	   /* for so long */
	double idle_mib;	   /* resident, in the end */
	unsigned sessions;
};

/* Forks a node that answers every message, on a free port of loopback, and floods it for `busy_s`, then
 * leaves `sessions` sessions idle with it for `idle_s`. false: something went wrong, which stderr says. */
bool node_cost_measure(struct node_cost *out, unsigned sessions, double busy_s, double idle_s);

#endif
