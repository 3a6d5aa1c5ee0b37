/* What the two sides of the lab's probe agree on. */
#ifndef TESTS_LAB_PROBE_H
#define TESTS_LAB_PROBE_H

#define PROBE_PORT     7000 /* a server listens here and one above, and calls back from two above */
#define CALL_MS	       1000
#define PATIENCE_MS    8000
#define PUNCH_MS       10000
#define LINK_COUNT_MAX 100000

/* Answers, for ever: "ADDRESS:PORT" to whoever connects; then "call ENDPOINT" with yes or no and
 * "send BYTES" with as many bytes; datagrams with themselves. Returns only in distress. */
int serve(void);

#endif
