/* What the shell's files share; see serve_uv.h. */
#ifndef COORDINATOR_SERVE_STATE_H
#define COORDINATOR_SERVE_STATE_H

#include "coordinator/core.h"
#include "coordinator/home.h"
#include "peer/overlay/node_uv.h"

struct serve;

/* One event into the core; its effects wait for the next flush. */
void serve_step(struct serve *s, struct core_event *event);

/* The store or the core failed: say so, forget the core, drop all sessions, try again later. */
void serve_stall(struct serve *s, const char *why);

void serve_log(struct serve *s, const char *line);

/* Begins the job that the effect asks for, on libuv's thread pool; its answer comes as an event. */
void serve_start_job(struct serve *s, const struct core_effect *effect);

/* The blobs that were read and checked, by file version; see serve_blobs_uv.c. */
#define BLOB_CHECKS 256u
struct blob_seen {
	struct digest blob;
	uint64_t version;
	bool bad;
};
struct blob_checks {
	struct blob_seen seen[BLOB_CHECKS]; /* a ring */
	size_t next;
	bool busy;
};
struct blob_checks *serve_blob_checks(struct serve *s);
bool serve_needs_blob(const struct serve *s, const struct digest *blob);

/* What was found bad may have been put right. */
void serve_check_again(struct serve *s);

/* The answer to a request for part of a blob; its bytes last until the next call. The asker checks the
 * whole. Errors: TK_EINVAL: beyond the blob's end. */
int serve_blob_part(
	struct serve *s, const struct message_blob_get *get, struct message *answer) TK_CHECKED;

/* For the jobs: where they live and which life of the core asked for them. */
struct uv_loop_s *serve_loop(struct serve *s);
const struct home *serve_home(const struct serve *s);
uint64_t serve_generation(const struct serve *s);
void serve_job_count(struct serve *s, int change);

#endif
