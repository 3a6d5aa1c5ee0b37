/* doctor_network (doctor.h): joins as an agent does, but for work, and watches how far it gets. One stage after the
 * other, each with its own patience; what a stage found is noted when it is over. Where nobody lets us in, what can be
 * tried alone is, and the rest is skipped by name. */
#include <stdio.h>
#include <uv.h>

#include "peer/agent/agent_uv.h"
#include "peer/agent/doctor_exam.h"
#include "peer/agent/portmapper_uv.h"
#include "peer/overlay/reach.h"
#include "tasks/base/mem.h"

#define TICK_MS	    100u
#define DIALBACK_MS 30000u
#define MAPPER_MS   35000u
#define RELAY_MS    30000u
#define NEWS_MS	    40000u /* a beacon comes every 30 s */

/* first: an exam's address is its runner's */
struct runner {
	struct exam exam;
	uv_loop_t loop;
	uv_timer_t timer;
	struct node_handler handler;
	uint16_t port;
	bool listens;
	struct portmapper_handler mapper_handler;
	struct portmapper_uv *mapper;
	bool mapper_answered;
	struct portmap mapped;
	char program[4096];
};

static struct runner *runner_of(struct exam *x)
{
	return (struct runner *)x;
}

static void on_node_closed(void *context)
{
	(void)context; /* the loop ends by itself once it holds nothing */
}

static void exam_end(struct exam *x)
{
	struct runner *r = runner_of(x);

	if (x->closing)
		return;
	x->closing = true;
	uv_close((uv_handle_t *)&r->timer, NULL);
	portmapper_uv_close(r->mapper);
	node_uv_close(x->node, GOODBYE_SHUTDOWN, "the doctor is done", on_node_closed, x);
}

void exam_go(struct exam *x, enum stage stage)
{
	x->stage = stage;
	x->since_ms = uv_now(x->loop);
}

/* Nobody is there to be asked. */
static bool exam_alone(const struct exam *x)
{
	return node_uv_sessions(x->node) == 0;
}

static void on_message(void *context, conn_id conn, const struct message *m)
{
	(void)context;
	(void)conn;
	(void)m;
}

static void on_log(void *context, const char *line)
{
	(void)context;
	(void)line;
}

static void on_announced(void *context, const struct announcement *a)
{
	struct exam *x = context;

	x->heard_beacon |= a->kind == ANNOUNCE_BEACON;
}

/* Reachability */

static void note_router(struct exam *x, const struct reach *r)
{
	if (reach_nat(r) != NAT_UNKNOWN)
		doctor_note(x->d, "router", DOCTOR_OK,
			reach_nat(r) == NAT_DEPENDENT
				? "direct connections to other peers behind routers will not work; "
				  "relays carry them"
				: NULL,
			"its kind: %s", reach_nat_text(reach_nat(r)));
	else
		doctor_note(x->d, "router", DOCTOR_SKIPPED, NULL,
			"its kind shows only when two others see this computer; %s",
			exam_alone(x) ? "nobody did" : "one did");
}

static void note_reachability(struct exam *x)
{
	const struct reach *r = node_uv_reach(x->node);
	char at[ENDPOINT_TEXT_MAX];

	if (!runner_of(x)->listens) {
		doctor_note(
			x->d, "reachable", DOCTOR_SKIPPED, NULL, "this computer does not listen");
	} else if (reach_is_public(r)) {
		endpoint_text(at, &reach_record(r)->endpoints[0]);
		doctor_note(x->d, "reachable", DOCTOR_OK, NULL, "others dialled %s and got through",
			at);
	} else if (reach_is_tested(r)) {
		doctor_note(x->d, "reachable", DOCTOR_WARNING,
			"it works all the same, through relays or hole punching. Better: let the "
			"router lead a port to this computer (UPnP or NAT-PMP, or by hand), or "
			"open the firewall",
			"others could not dial this computer's port %u: %s", runner_of(x)->port,
			reach_why(r));
	} else {
		doctor_note(x->d, "reachable", DOCTOR_SKIPPED, NULL,
			"nobody could be asked to dial this computer");
	}
	note_router(x, r);
}

static void on_port_answer(void *context, const struct portmap *p)
{
	struct runner *r = context;

	r->mapped = *p;
	r->mapper_answered = true;
	node_uv_mapped(r->exam.node, p->mapped ? &p->at : NULL);
}

static void start_mapper(struct runner *r)
{
	r->mapper_handler = (struct portmapper_handler){.context = r, .answer = on_port_answer};
	r->mapper = portmapper_uv_new(&r->loop, r->program, NULL, r->port, &r->mapper_handler);
	exam_go(&r->exam, STAGE_MAPPER);
}

static void note_mapping(struct exam *x)
{
	struct runner *r = runner_of(x);
	bool works = reach_is_public(node_uv_reach(x->node));
	char at[ENDPOINT_TEXT_MAX];

	endpoint_text(at, &r->mapped.at);
	if (!r->mapped.mapped)
		doctor_note(x->d, "port mapping", DOCTOR_WARNING,
			"switch UPnP or NAT-PMP on in the router, or do without", "%s",
			r->mapper_answered ? r->mapped.text : "the router was not asked in time");
	else if (!works && exam_alone(x))
		doctor_note(x->d, "port mapping", DOCTOR_OK, NULL,
			"the router leads %s here (%s); nobody could be asked to try it", at,
			r->mapped.how);
	else
		doctor_note(x->d, "port mapping", works ? DOCTOR_OK : DOCTOR_WARNING,
			works ? NULL
			      : "there may be a second router, or the provider shares its "
				"addresses",
			"the router leads %s here (%s)%s", at, r->mapped.how,
			works ? ", and others got through" : ", but nobody gets through");
}

/* Where it goes on when it is known whether others get through. */
static void after_dialback(struct exam *x)
{
	bool is_public = reach_is_public(node_uv_reach(x->node));

	if (x->stage == STAGE_DIALBACK) {
		note_reachability(x);
		if (!is_public && runner_of(x)->listens && !x->options->no_port_mapping) {
			start_mapper(runner_of(x));
			return;
		}
		doctor_note(x->d, "port mapping", DOCTOR_SKIPPED, NULL, "%s",
			is_public ? "not needed" : "not wanted");
	} else {
		note_mapping(x);
	}
	exam_go(x, is_public ? STAGE_NEWS : STAGE_RELAY);
	if (is_public)
		doctor_note(x->d, "relay", DOCTOR_SKIPPED, NULL, "not needed");
}

static void note_relay(struct exam *x)
{
	const struct record *r = reach_record(node_uv_reach(x->node));
	char at[ENDPOINT_TEXT_MAX];

	if (r->relay_count != 0) {
		endpoint_text(at, &r->relays[0].at);
		doctor_note(
			x->d, "relay", DOCTOR_OK, NULL, "%s holds a place for this computer", at);
	} else if (exam_alone(x)) {
		doctor_note(x->d, "relay", DOCTOR_SKIPPED, NULL, "nobody could be asked");
	} else {
		doctor_note(x->d, "relay", DOCTOR_WARNING, "try again later",
			"no relay had a place; work comes all the same, but not from other peers");
	}
}

static void note_news(struct exam *x)
{
	if (x->heard_beacon)
		doctor_note(x->d, "news", DOCTOR_OK, NULL, "the network's announcements come");
	else if (x->unheard)
		doctor_note(x->d, "news", DOCTOR_SKIPPED, NULL,
			"none comes to whose clock is so far off");
	else if (exam_alone(x))
		doctor_note(x->d, "news", DOCTOR_SKIPPED, NULL, "nobody brings any");
	else
		doctor_note(x->d, "news", DOCTOR_WARNING, "try again later",
			"no announcement of the network came within %u s", NEWS_MS / 1000);
}

/* One look at where things are. */
static void on_tick(uv_timer_t *timer)
{
	struct runner *runner = timer->data;
	struct exam *x = &runner->exam;
	const struct reach *r = node_uv_reach(x->node);
	uint64_t age_ms = uv_now(&runner->loop) - x->since_ms;

	switch (x->stage) {
	case STAGE_HOSTS:
	case STAGE_KNOWN:
		hosts_tick(x);
		break;
	case STAGE_DIALBACK:
		if (!runner->listens || reach_is_public(r) || reach_is_tested(r) || exam_alone(x) ||
			age_ms >= DIALBACK_MS)
			after_dialback(x);
		break;
	case STAGE_MAPPER:
		if (runner->mapper_answered || age_ms >= MAPPER_MS)
			exam_go(x, STAGE_MAPPED);
		break;
	case STAGE_MAPPED:
		if (!runner->mapped.mapped || reach_is_public(r) || exam_alone(x) ||
			age_ms >= DIALBACK_MS)
			after_dialback(x);
		break;
	case STAGE_RELAY:
		if (reach_record(r)->relay_count == 0 && !exam_alone(x) && age_ms < RELAY_MS)
			break;
		note_relay(x);
		exam_go(x, STAGE_NEWS);
		break;
	case STAGE_NEWS:
		if (!x->heard_beacon && !x->unheard && !exam_alone(x) && age_ms < NEWS_MS)
			break;
		note_news(x);
		exam_go(x, STAGE_OVER);
		break;
	case STAGE_OVER:
		exam_end(x);
		break;
	}
}

static void listen_somewhere(struct runner *r)
{
	const char *wanted = r->exam.options->listen;
	struct doctor *d = r->exam.d;
	struct errmsg msg = {""};
	char usual[24];
	int rc;

	snprintf(usual, sizeof(usual), "[::]:%u", PEER_PORT);
	rc = node_uv_listen(r->exam.node, wanted != NULL ? wanted : usual, &r->port, &msg);
	if (rc != TK_OK && wanted == NULL)
		rc = node_uv_listen(r->exam.node, "0.0.0.0:0", &r->port, &msg);
	r->listens = rc == TK_OK;
	if (!r->listens)
		doctor_note(
			d, "port", DOCTOR_WARNING, "choose another with --listen", "%s", msg.text);
	else if (r->port != PEER_PORT && wanted == NULL)
		doctor_note(d, "port", DOCTOR_OK, NULL,
			"%u is in use, by a running agent perhaps; %u was tried instead", PEER_PORT,
			r->port);
	else
		doctor_note(d, "port", DOCTOR_OK, NULL, "listening on %u", r->port);
}

static int examine(struct runner *r, const struct identity *id, struct errmsg *msg)
{
	size_t size = sizeof(r->program);

	r->exam.node = node_uv_new(&r->loop, id, &r->handler);
	if (r->exam.node == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to connect");
	if (uv_exepath(r->program, &size) != 0)
		r->program[0] = '\0'; /* no helper will start, and that is noted */
	uv_timer_init(&r->loop, &r->timer);
	r->timer.data = r;
	uv_timer_start(&r->timer, on_tick, TICK_MS, TICK_MS);
	(void)!node_uv_gossip(r->exam.node); /* without it no beacon comes, and that is noted */
	listen_somewhere(r);
	hosts_begin(&r->exam);
	uv_run(&r->loop, UV_RUN_DEFAULT);
	node_uv_free(r->exam.node);
	return TK_OK;
}

int doctor_network(struct doctor *d, const struct agent_home *h,
	const struct doctor_options *options, struct errmsg *msg)
{
	struct runner *r = mem_calloc(1, sizeof(*r));
	struct identity id;
	int rc;

	if (r == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to connect");
	r->exam = (struct exam){.d = d, .home = h, .options = options, .loop = &r->loop};
	r->handler = (struct node_handler){.context = &r->exam,
		.up = hosts_up,
		.down = hosts_down,
		.message = on_message,
		.turned_away = hosts_turned_away,
		.dial_failed = hosts_dial_failed,
		.log = on_log,
		.announced = on_announced};
	if (uv_loop_init(&r->loop) != 0) {
		mem_free(r);
		return errmsg_set(msg, TK_EIO, "the event loop does not start");
	}
	agent_home_identity(h, &id);
	rc = examine(r, &id, msg);
	identity_wipe(&id);
	uv_loop_close(&r->loop);
	mem_free(r);
	return rc;
}
