/* The worker process: computes units and nothing else. It reads stdin, writes stdout, and never opens a
 * file or a socket; it dies with its agent. What it is given is checked again here: the recipe, every
 * shard's digest and the parameters' digest, so a result is about exactly what its unit names. A run ends within
 * an operation when it is cancelled or the agent goes. */
#ifndef PEER_AGENT_WORKER_H
#define PEER_AGENT_WORKER_H

#include "tasks/math/engine.h"

struct liar;

/* Serves until `in` ends, computing with this engine, or lying (liar not NULL; misbehave_unit.h). Returns the process's exit code: 0 at the end of input, 1 when the agent
 * broke the protocol, memory ran out between units, or this machine's arithmetic is not canonical. */
int worker_serve(int in, int out, const struct engine *engine, struct liar *liar);

/* Lowest priority, no privileges to gain, no core dumps, killed when the agent goes, and the first to go
 * when the computer runs out of memory. */
void worker_confine(void);

#endif
