/* The worker process: computes units and nothing else. It reads stdin, writes stdout, and never opens a
 * file or a socket; it dies with its agent. What it is given is checked again here: the recipe, every
 * shard's digest and the parameters' digest, so a result is about exactly what its unit names. */
#ifndef PEER_AGENT_WORKER_H
#define PEER_AGENT_WORKER_H

/* Serves until `in` ends. Returns the process's exit code: 0 at the end of input, 1 when the agent
 * broke the protocol, memory ran out between units, or this machine's arithmetic is not canonical. */
int worker_serve(int in, int out);

/* Lowest priority, no privileges to gain, no core dumps, and killed when the agent goes. */
void worker_confine(void);

#endif
