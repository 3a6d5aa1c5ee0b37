/* A real coordinator in a process of its own, on loopback, in a temporary folder; and real peers and
 * a project for it. For tests that a simulation cannot give. The programs are those beside the test. */
#ifndef TESTS_LIB_SERVED_H
#define TESTS_LIB_SERVED_H

#include <sys/types.h>

#include "peer/wire/link.h"

#define SERVED_PEERS_MAX 4u

struct served {
	char programs[1024]; /* the folder of talkoot and talkoot-peer */
	char folder[64];
	char log[128];
	pid_t coordinator;
	pid_t peers[SERVED_PEERS_MAX];
	size_t peer_count;
	struct public_key network;
	char link[256];
	uint16_t port;
};

/* Starts a coordinator that listens. files_max: its limit of open files, 0 for the usual one. All are
 * false on failure. */
bool served_open(struct served *s, unsigned files_max);
void served_close(struct served *s);

/* Joins with a home of its own and runs. */
bool served_add_peer(struct served *s);
/* A small project by this name, submitted. */
bool served_submit(struct served *s, const char *name, unsigned rounds);
/* True when that project ends as done, with the model that one process trains. */
bool served_finishes(struct served *s, const char *name);

bool served_is_running(const struct served *s);
/* How many lines of the log hold this text. */
size_t served_log_count(const struct served *s, const char *text);
/* Waits until the log has more than `before` such lines. */
bool served_log_gains(const struct served *s, const char *text, size_t before);
/* The most memory that the coordinator ever had, in KiB; 0: unknown. */
size_t served_memory_peak_kib(const struct served *s);
/* Open descriptors of the coordinator. */
size_t served_descriptors(const struct served *s);
/* Waits until it has at most so many: what has hung up is let go of when its turn comes. */
bool served_descriptors_fall(const struct served *s, size_t most);

#endif
