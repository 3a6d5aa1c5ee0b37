/* See flow.h. */
#include "tests/sim/flow.h"

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

void flows_init(struct flows *f, uint32_t nodes, uint32_t flows_max)
{
	*f = (struct flows){.count = 1, .capacity = flows_max + 1};
	f->flows = mem_calloc(f->capacity, sizeof(*f->flows));
	f->ends = mem_calloc(nodes, sizeof(*f->ends));
	REQUIRE(f->flows != NULL && f->ends != NULL);
	alarms_init(&f->alarms, f->capacity);
}

void flows_close(struct flows *f)
{
	mem_free(f->flows);
	mem_free(f->ends);
	alarms_close(&f->alarms);
}

/* What has flowed until now, and when the rest will have. */
static void flow_set(struct flows *f, uint32_t flow, uint32_t rate, uint32_t now_ms)
{
	struct flow *x = &f->flows[flow];
	uint64_t flowed = (uint64_t)x->rate * (now_ms - x->since_ms), rest_ms;

	if (rate == x->rate)
		return;
	x->left -= flowed < x->left ? flowed : x->left;
	x->since_ms = now_ms;
	x->rate = rate;
	rest_ms = (x->left + rate - 1) / rate;
	alarms_set(&f->alarms, flow, now_ms,
		now_ms + 1 + (rest_ms < 1u << 30 ? (uint32_t)rest_ms : 1u << 30));
}

/* Shares a sender's rate: who can take less than an equal part gets what it can take, and the others share
 * the rest. */
static void share(struct flows *f, uint32_t from, uint32_t now_ms)
{
	const struct flow_end *e = &f->ends[from];
	uint32_t ids[FLOWS_MAX], caps[FLOWS_MAX], n = 0, left = e->up;

	for (uint32_t i = e->first_out; i != 0 && n < FLOWS_MAX; i = f->flows[i].next_out) {
		const struct flow_end *to = &f->ends[f->flows[i].to];
		uint32_t cap = to->down / to->in, at = n++;

		for (; at > 0 && caps[at - 1] > cap; at--) {
			caps[at] = caps[at - 1];
			ids[at] = ids[at - 1];
		}
		caps[at] = cap;
		ids[at] = i;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t even = left / (n - i), rate = caps[i] < even ? caps[i] : even;

		left -= rate;
		flow_set(f, ids[i], rate == 0 ? 1 : rate, now_ms);
	}
}

static void share_around(struct flows *f, uint32_t from, uint32_t to, uint32_t now_ms)
{
	share(f, from, now_ms);
	for (uint32_t i = f->ends[to].first_in; i != 0; i = f->flows[i].next_in)
		if (f->flows[i].from != from)
			share(f, f->flows[i].from, now_ms);
}

uint32_t flow_begin(struct flows *f, uint32_t from, uint32_t to, uint64_t bytes, uint32_t now_ms)
{
	struct flow_end *a = &f->ends[from], *b = &f->ends[to];
	uint32_t flow = f->free;

	if (flow != 0)
		f->free = f->flows[flow].next_out;
	else
		flow = f->count++;
	REQUIRE(flow < f->capacity && a->out < FLOWS_MAX);
	f->flows[flow] = (struct flow){.from = from,
		.to = to,
		.since_ms = now_ms,
		.left = bytes,
		.next_out = a->first_out,
		.next_in = b->first_in};
	a->first_out = b->first_in = flow;
	a->out++;
	b->in++;
	a->sent += bytes;
	b->got += bytes;
	share_around(f, from, to, now_ms);
	return flow;
}

void flow_end(struct flows *f, uint32_t flow, uint32_t now_ms)
{
	struct flow *x = &f->flows[flow];
	uint64_t flowed = (uint64_t)x->rate * (now_ms - x->since_ms);
	uint32_t from = x->from, to = x->to, *at;

	for (at = &f->ends[from].first_out; *at != flow; at = &f->flows[*at].next_out)
		;
	*at = x->next_out;
	for (at = &f->ends[to].first_in; *at != flow; at = &f->flows[*at].next_in)
		;
	*at = x->next_in;
	f->ends[from].out--;
	f->ends[to].in--;
	x->left -= flowed < x->left ? flowed : x->left;
	f->ends[from].sent -= x->left;
	f->ends[to].got -= x->left;
	alarms_clear(&f->alarms, flow);
	x->next_out = f->free;
	f->free = flow;
	share_around(f, from, to, now_ms);
}

uint32_t flow_done(struct flows *f, uint32_t now_ms)
{
	uint32_t flow;

	while ((flow = alarms_take(&f->alarms, now_ms)) != 0) {
		struct flow *x = &f->flows[flow];
		uint64_t flowed = (uint64_t)x->rate * (now_ms - x->since_ms);

		if (flowed >= x->left) {
			x->left = 0;
			return flow;
		}
		alarms_set(&f->alarms, flow, now_ms,
			now_ms + 1 + (uint32_t)((x->left - flowed) / x->rate));
	}
	return 0;
}
