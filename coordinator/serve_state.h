/* What the shell's files share; see serve_uv.h. */
#ifndef COORDINATOR_SERVE_STATE_H
#define COORDINATOR_SERVE_STATE_H

#include "coordinator/core.h"
#include "coordinator/home.h"
#include "peer/overlay/node_uv.h"
#include "peer/swarm/exchange.h"

struct serve;

/* One event into the core; its effects wait for the next flush. */
void serve_step(struct serve *s, struct core_event *event);

/* The store or the core failed: say so, forget the core, drop all sessions, try again later. */
void serve_stall(struct serve *s, const char *why);

void serve_log(struct serve *s, const char *line);

/* Every second, with a core: follows the owner's wish to let somebody back (serve_readmit.c). */
void serve_readmit(struct serve *s);

/* Begins the job that the effect asks for, on libuv's thread pool; its answer comes as an event. */
void serve_start_job(struct serve *s, const struct core_effect *effect);

/* serve_blobs_uv.c: what peers fetch from us, and from each other by our word. */
#define BLOB_CHECKS   256u
#define BLOB_CHECKING 4u /* at a time, on the thread pool */
struct blob_seen {
	struct digest blob;
	uint64_t version; /* of its file */
	bool bad, checking;
};
struct serve_blobs {
	struct exchange *exchange; /* NULL while stalled */
	struct exchange_handler handler;
	struct blob_seen seen[BLOB_CHECKS]; /* a ring */
	size_t next;
	struct digest wanted[BLOB_CHECKS]; /* that wait for their check; a ring */
	size_t wanted_head, wanted_count;
	uint32_t checking;
	uint64_t sent_before; /* bytes, by earlier exchanges and runs */
	uint64_t sent_saved;  /* as the store knows it */
	uint64_t ticks;
	bool loaded;
};
struct serve_blobs *serve_blobs(struct serve *s);
bool serve_needs_blob(const struct serve *s, const struct digest *blob);
const struct core *serve_core(const struct serve *s);
struct node_uv *serve_node(const struct serve *s);

int serve_blobs_open(struct serve *s, struct errmsg *msg) TK_CHECKED;
void serve_blobs_close(struct serve *s);
void serve_blobs_up(struct serve *s, conn_id conn, const struct public_key *key);
void serve_blobs_down(struct serve *s, conn_id conn);
/* False: the message is not about blobs. */
bool serve_blobs_message(struct serve *s, conn_id conn, const struct message *m);
void serve_blobs_writable(void *context, conn_id conn);
void serve_blobs_tick(struct serve *s);
/* What was found bad may have been put right. */
void serve_check_again(struct serve *s);

/* For the jobs: where they live and which life of the core asked for them. */
struct uv_loop_s *serve_loop(struct serve *s);
const struct home *serve_home(const struct serve *s);
uint64_t serve_generation(const struct serve *s);
void serve_job_count(struct serve *s, int change);

#endif
