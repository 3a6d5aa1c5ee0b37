/* Bulk transfers as fluids: every node has a rate up and a rate down. A transfer's share of its receiver is
 * the rate down divided by what comes in; a sender's rate up is filled like water into what its transfers
 * can take. When one begins or ends, those that share an end with it are reckoned anew, which is O(slots).
 * Rates are bytes a millisecond (1 Mbit/s is 125). */
#ifndef TESTS_SIM_FLOW_H
#define TESTS_SIM_FLOW_H

#include "tests/sim/wheel.h"

#define FLOWS_MAX 64u /* at once, of one sender or one receiver; more wait as long as that lasts */

struct flow {
	uint32_t from, to;
	uint32_t rate, since_ms; /* rate and left as of since_ms */
	uint64_t left;
	uint32_t next_out, next_in; /* of from's and of to's lists */
	uint32_t tag, serial;	    /* the caller's */
};

struct flow_end {
	uint32_t up, down; /* rates */
	uint32_t first_out, first_in, out, in;
	uint64_t sent, got; /* bytes */
};

struct flows {
	struct flow *flows;
	uint32_t count, capacity, free;
	struct flow_end *ends;
	struct alarms alarms;
};

void flows_init(struct flows *f, uint32_t nodes, uint32_t flows_max);
void flows_close(struct flows *f);
/* Begins one; gives its number. */
uint32_t flow_begin(struct flows *f, uint32_t from, uint32_t to, uint64_t bytes, uint32_t now_ms);
/* Ends one, done or not. */
void flow_end(struct flows *f, uint32_t flow, uint32_t now_ms);
/* One that is done at now_ms and must be ended by the caller; 0: no more. */
uint32_t flow_done(struct flows *f, uint32_t now_ms);

#endif
