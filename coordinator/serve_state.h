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

/* For the jobs: where they live and which life of the core asked for them. */
struct uv_loop_s *serve_loop(struct serve *s);
const struct home *serve_home(const struct serve *s);
uint64_t serve_generation(const struct serve *s);
void serve_job_count(struct serve *s, int change);

#endif
