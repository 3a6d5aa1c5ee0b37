/* doctor_network (doctor.h): joins as an agent does, but for work, and watches how far it gets. One stage after the
 * other, each with its own patience; what a stage found is noted when it is over. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "peer/agent/agent_uv.h"
#include "peer/agent/doctor.h"
#include "peer/agent/portmapper_uv.h"
#include "peer/overlay/node_uv.h"
#include "peer/overlay/reach.h"
#include "tasks/base/mem.h"

#define TICK_MS	    100u
#define HOST_MS	    15000u
#define DIALBACK_MS 30000u
#define MAPPER_MS   35000u
#define RELAY_MS    30000u
#define BEACON_MS   40000u /* from the session on: one comes every 30 s */
#define SKEW_BEACON 30u	   /* the last beacon may be so old */
#define SKEW_WARN_S 60
#define SKEW_BAD_S  600 /* then handshakes fail */

enum stage {
	STAGE_HOSTS,
	STAGE_DIALBACK,
	STAGE_MAPPER,
	STAGE_MAPPED,
	STAGE_RELAY,
	STAGE_BEACON,
	STAGE_OVER
};

struct exam {
	struct doctor *d;
	const struct agent_home *home;
	const struct doctor_options *options;
	uv_loop_t loop;
	uv_timer_t timer;
	struct node_uv *node;
	struct node_handler handler;
	enum stage stage;
	uint64_t since_ms; /* when the stage began */
	uint64_t up_ms;	   /* when the session with the coordinator opened; 0: none did */
	uint32_t host;	   /* that is tried */
	uint64_t host_ms;
	bool dialling;
	uint16_t port;
	bool listens, heard_beacon;
	int64_t skew_s;
	struct portmapper_handler mapper_handler;
	struct portmapper_uv *mapper;
	bool mapper_answered;
	struct portmap mapped;
	char program[4096];
	bool closing;
};

static void on_node_closed(void *context)
{
	(void)context; /* the loop ends by itself once it holds nothing */
}

static void exam_end(struct exam *x)
{
	if (x->closing)
		return;
	x->closing = true;
	uv_close((uv_handle_t *)&x->timer, NULL);
	portmapper_uv_close(x->mapper);
	node_uv_close(x->node, GOODBYE_SHUTDOWN, "the doctor is done", on_node_closed, x);
}

static void go_to(struct exam *x, enum stage stage)
{
	x->stage = stage;
	x->since_ms = uv_now(&x->loop);
}

/* Hosts */

static const char *host_name(const struct exam *x)
{
	return x->home->link.hosts[x->host];
}

/* Resolves the host by itself, so that a name that leads nowhere is told from a host that is silent. */
static bool resolve(struct exam *x)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
	char host[LINK_ADDRESS_SIZE], *colon;
	uv_getaddrinfo_t lookup;
	size_t count = 0;
	int rc;

	snprintf(host, sizeof(host), "%s", host_name(x));
	colon = strrchr(host, ':');
	*colon = '\0';
	if (host[0] == '[') {
		memmove(host, host + 1, strlen(host));
		host[strlen(host) - 1] = '\0';
	}
	rc = uv_getaddrinfo(&x->loop, &lookup, NULL, host, colon + 1, &hints);
	if (rc != 0) {
		doctor_note(x->d, "name", DOCTOR_BAD,
			"is this computer online, and does its DNS work? If so the link is wrong "
			"or old: "
			"ask for a new one",
			"%s: %s", host, uv_strerror(rc));
		return false;
	}
	for (const struct addrinfo *a = lookup.addrinfo; a != NULL; a = a->ai_next)
		count++;
	uv_freeaddrinfo(lookup.addrinfo);
	doctor_note(x->d, "name", DOCTOR_OK, NULL, "%s leads to %zu address%s", host, count,
		count != 1 ? "es" : "");
	return true;
}

/* Dials the next host that has an address; with none left this stage is over. */
static void host_next(struct exam *x)
{
	struct errmsg msg = {""};
	conn_id conn;

	for (; x->host < x->home->link.host_count; x->host++) {
		if (!resolve(x))
			continue;
		x->host_ms = uv_hrtime();
		x->dialling = node_uv_dial(x->node, host_name(x), &x->home->link.network, &conn,
				      &msg) == TK_OK;
		if (x->dialling)
			return;
		doctor_note(x->d, "connection", DOCTOR_BAD, NULL, "%s: %s", host_name(x), msg.text);
	}
	if (x->up_ms == 0) {
		exam_end(x);
		return;
	}
	/* One way in is enough: what the other hosts lack stops nobody. */
	for (size_t i = 0; i < x->d->count; i++) {
		if (x->d->steps[i].result == DOCTOR_BAD && x->d->steps[i].of_host)
			x->d->steps[i].result = DOCTOR_WARNING;
	}
	go_to(x, STAGE_DIALBACK);
}

static void on_up(void *context, conn_id conn, const struct public_key *key, enum role role)
{
	struct exam *x = context;
	unsigned ms = (unsigned)((uv_hrtime() - x->host_ms) / 1000000);

	(void)conn;
	(void)key;
	if (!x->dialling || x->stage != STAGE_HOSTS)
		return; /* another peer's */
	x->dialling = false;
	doctor_note(x->d, "connection", DOCTOR_OK, NULL, "%s answers, %u ms with the handshake",
		host_name(x), ms);
	if (role == ROLE_COORDINATOR)
		doctor_note(x->d, "identity", DOCTOR_OK, NULL,
			"it proved to be the network's coordinator");
	else
		doctor_note(x->d, "identity", DOCTOR_BAD, "the link is wrong: ask for a new one",
			"it is in the network, but not its coordinator");
	if (x->up_ms == 0 && role == ROLE_COORDINATOR)
		x->up_ms = uv_now(&x->loop);
	x->host++;
	host_next(x);
}

static const char *dial_advice(const char *why)
{
	if (strstr(why, "cannot connect") != NULL)
		return "is the coordinator running, and does a firewall let this port out? Another "
		       "host of the link may do";
	if (strstr(why, "that network is private") != NULL)
		return "copy the whole link, KEY.SECRET@HOST:PORT: a private network's has a "
		       "secret after the key";
	if (strstr(why, "ours is a private network") != NULL)
		return "the link has a secret that this host's network does not know: ask the "
		       "network's owner for its link anew";
	if (strstr(why, "expire") != NULL || strstr(why, "clock") != NULL)
		return "set this computer's date and time";
	if (strstr(why, "another network") != NULL || strstr(why, "identity") != NULL)
		return "the link is wrong or old: ask the network's owner for a new one";
	if (strstr(why, "speaks version") != NULL)
		return "install the newer version of Talkoot on the older side";
	if (strstr(why, "does not speak Talkoot") != NULL)
		return "something else answers at that port: ask the network's owner";
	return "try again later; if it stays, send these lines to the network's owner";
}

static void on_dial_failed(void *context, conn_id conn, const char *why)
{
	struct exam *x = context;
	bool tcp = strstr(why, "cannot connect") != NULL;

	(void)conn;
	if (!x->dialling || x->closing || x->stage != STAGE_HOSTS)
		return;
	x->dialling = false;
	if (!tcp)
		doctor_note(x->d, "connection", DOCTOR_OK, NULL, "%s answers", host_name(x));
	doctor_note(x->d, tcp ? "connection" : "handshake", DOCTOR_BAD, dial_advice(why), "%s: %s",
		host_name(x), why);
	x->host++;
	host_next(x);
}

static void on_down(void *context, conn_id conn, const char *why)
{
	(void)context;
	(void)conn;
	(void)why;
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

	if (a->kind != ANNOUNCE_BEACON)
		return;
	x->heard_beacon = true;
	x->skew_s = (int64_t)time(NULL) - (int64_t)a->issued_s;
}

/* Reachability */

static void note_reachability(struct exam *x)
{
	const struct reach *r = node_uv_reach(x->node);
	char at[ENDPOINT_TEXT_MAX];

	if (!x->listens) {
		doctor_note(
			x->d, "reachable", DOCTOR_SKIPPED, NULL, "this computer does not listen");
	} else if (reach_is_public(r)) {
		endpoint_text(at, &reach_record(r)->endpoints[0]);
		doctor_note(x->d, "reachable", DOCTOR_OK, NULL, "others dialled %s and got through",
			at);
	} else if (reach_is_tested(r)) {
		doctor_note(x->d, "reachable", DOCTOR_WARNING,
			"it works all the same, through relays or hole punching. Better: let the "
			"router "
			"lead a port to this computer (UPnP or NAT-PMP, or by hand), or open the "
			"firewall",
			"others could not dial this computer's port %u: %s", x->port, reach_why(r));
	} else {
		doctor_note(x->d, "reachable", DOCTOR_SKIPPED, NULL,
			"nobody could be asked to dial this computer");
	}
	if (reach_nat(r) != NAT_UNKNOWN)
		doctor_note(x->d, "router", DOCTOR_OK,
			reach_nat(r) == NAT_DEPENDENT
				? "direct connections to other peers behind routers will not work; "
				  "relays carry them"
				: NULL,
			"its kind: %s", reach_nat_text(reach_nat(r)));
	else
		doctor_note(x->d, "router", DOCTOR_SKIPPED, NULL,
			"its kind shows only when two others see this computer; one did");
}

static void on_port_answer(void *context, const struct portmap *p)
{
	struct exam *x = context;

	x->mapped = *p;
	x->mapper_answered = true;
	node_uv_mapped(x->node, p->mapped ? &p->at : NULL);
}

static void start_mapper(struct exam *x)
{
	x->mapper_handler = (struct portmapper_handler){.context = x, .answer = on_port_answer};
	x->mapper = portmapper_uv_new(&x->loop, x->program, NULL, x->port, &x->mapper_handler);
	go_to(x, STAGE_MAPPER);
}

static void note_mapping(struct exam *x)
{
	char at[ENDPOINT_TEXT_MAX];
	bool works = reach_is_public(node_uv_reach(x->node));

	endpoint_text(at, &x->mapped.at);
	if (x->mapped.mapped)
		doctor_note(x->d, "port mapping", works ? DOCTOR_OK : DOCTOR_WARNING,
			works ? NULL
			      : "there may be a second router, or the provider shares its "
				"addresses",
			"the router leads %s here (%s)%s", at, x->mapped.how,
			works ? ", and others got through" : ", but nobody gets through");
	else
		doctor_note(x->d, "port mapping", DOCTOR_WARNING,
			"switch UPnP or NAT-PMP on in the router, or do without", "%s",
			x->mapper_answered ? x->mapped.text : "the router was not asked in time");
}

/* Where it goes on when it is known whether others get through. */
static void after_dialback(struct exam *x)
{
	bool is_public = reach_is_public(node_uv_reach(x->node));

	if (x->stage == STAGE_DIALBACK) {
		note_reachability(x);
		if (!is_public && x->listens && !x->options->no_port_mapping) {
			start_mapper(x);
			return;
		}
		doctor_note(x->d, "port mapping", DOCTOR_SKIPPED, NULL, "%s",
			is_public ? "not needed" : "not wanted");
	} else {
		note_mapping(x);
	}
	go_to(x, is_public ? STAGE_BEACON : STAGE_RELAY);
	if (is_public)
		doctor_note(x->d, "relay", DOCTOR_SKIPPED, NULL, "not needed");
}

static void note_relay(struct exam *x)
{
	const struct record *r = reach_record(node_uv_reach(x->node));
	char at[ENDPOINT_TEXT_MAX];

	if (r->relay_count == 0) {
		doctor_note(x->d, "relay", DOCTOR_WARNING, "try again later",
			"no relay had a place; work comes all the same, but not from other peers");
		return;
	}
	endpoint_text(at, &r->relays[0].at);
	doctor_note(x->d, "relay", DOCTOR_OK, NULL, "%s holds a place for this computer", at);
}

static void note_clock(struct exam *x)
{
	int64_t off = x->skew_s > (int64_t)SKEW_BEACON ? x->skew_s - (int64_t)SKEW_BEACON
		      : x->skew_s < 0		       ? -x->skew_s
						       : 0;

	if (!x->heard_beacon)
		doctor_note(x->d, "clock", DOCTOR_SKIPPED, NULL,
			"the coordinator said nothing that has a time");
	else
		doctor_note(x->d, "clock",
			off >= SKEW_BAD_S    ? DOCTOR_BAD
			: off >= SKEW_WARN_S ? DOCTOR_WARNING
					     : DOCTOR_OK,
			off >= SKEW_WARN_S ? "set this computer's date and time" : NULL,
			off == 0 ? "agrees with the coordinator's within half a minute"
				 : "is %lld s off the coordinator's",
			(long long)off);
}

/* One look at where things are. */
static void on_tick(uv_timer_t *timer)
{
	struct exam *x = timer->data;
	const struct reach *r = node_uv_reach(x->node);
	uint64_t now_ms = uv_now(&x->loop), age_ms = now_ms - x->since_ms;

	switch (x->stage) {
	case STAGE_HOSTS:
		if (x->dialling && (uv_hrtime() - x->host_ms) / 1000000 >= HOST_MS)
			on_dial_failed(x, 0, "the handshake is not done in time");
		break;
	case STAGE_DIALBACK:
		if (!x->listens || reach_is_public(r) || reach_is_tested(r) ||
			age_ms >= DIALBACK_MS)
			after_dialback(x);
		break;
	case STAGE_MAPPER:
		if (x->mapper_answered || age_ms >= MAPPER_MS)
			go_to(x, STAGE_MAPPED);
		break;
	case STAGE_MAPPED:
		if (!x->mapped.mapped || reach_is_public(r) || age_ms >= DIALBACK_MS)
			after_dialback(x);
		break;
	case STAGE_RELAY:
		if (reach_record(r)->relay_count == 0 && age_ms < RELAY_MS)
			break;
		note_relay(x);
		go_to(x, STAGE_BEACON);
		break;
	case STAGE_BEACON:
		if (!x->heard_beacon && now_ms - x->up_ms < BEACON_MS)
			break;
		note_clock(x);
		go_to(x, STAGE_OVER);
		break;
	case STAGE_OVER:
		exam_end(x);
		break;
	}
}

static void listen_somewhere(struct exam *x)
{
	struct errmsg msg = {""};
	char usual[24];
	int rc;

	snprintf(usual, sizeof(usual), "[::]:%u", PEER_PORT);
	rc = node_uv_listen(
		x->node, x->options->listen != NULL ? x->options->listen : usual, &x->port, &msg);
	if (rc != TK_OK && x->options->listen == NULL)
		rc = node_uv_listen(x->node, "0.0.0.0:0", &x->port, &msg);
	x->listens = rc == TK_OK;
	if (!x->listens)
		doctor_note(x->d, "port", DOCTOR_WARNING, "choose another with --listen", "%s",
			msg.text);
	else if (x->port != PEER_PORT && x->options->listen == NULL)
		doctor_note(x->d, "port", DOCTOR_OK, NULL,
			"%u is in use, by a running agent perhaps; %u was tried instead", PEER_PORT,
			x->port);
	else
		doctor_note(x->d, "port", DOCTOR_OK, NULL, "listening on %u", x->port);
}

static int examine(struct exam *x, const struct identity *id, struct errmsg *msg)
{
	size_t size = sizeof(x->program);

	x->node = node_uv_new(&x->loop, id, &x->handler);
	if (x->node == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to connect");
	if (uv_exepath(x->program, &size) != 0)
		x->program[0] = '\0'; /* no helper will start, and that is noted */
	uv_timer_init(&x->loop, &x->timer);
	x->timer.data = x;
	uv_timer_start(&x->timer, on_tick, TICK_MS, TICK_MS);
	(void)!node_uv_gossip(x->node); /* without it no beacon comes, and that is noted */
	listen_somewhere(x);
	host_next(x);
	uv_run(&x->loop, UV_RUN_DEFAULT);
	node_uv_free(x->node);
	return TK_OK;
}

int doctor_network(struct doctor *d, const struct agent_home *h,
	const struct doctor_options *options, struct errmsg *msg)
{
	struct exam *x = mem_calloc(1, sizeof(*x));
	struct identity id;
	int rc;

	if (x == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to connect");
	x->d = d;
	x->home = h;
	x->options = options;
	x->handler = (struct node_handler){.context = x,
		.up = on_up,
		.down = on_down,
		.message = on_message,
		.dial_failed = on_dial_failed,
		.log = on_log,
		.announced = on_announced};
	if (uv_loop_init(&x->loop) != 0) {
		mem_free(x);
		return errmsg_set(msg, TK_EIO, "the event loop does not start");
	}
	agent_home_identity(h, &id);
	rc = examine(x, &id, msg);
	identity_wipe(&id);
	uv_loop_close(&x->loop);
	mem_free(x);
	return rc;
}
