/* See agent_uv.h. The loop: it turns what node, worker, clock and signals bring into events of the core;
 * agent_shell.c does the rest. */
#include "peer/agent/agent_uv.h"

#include <signal.h>
#include <unistd.h>
#include <uv.h>

#include "peer/agent/agent_shell.h"
#include "peer/agent/misbehave_unit.h"
#include "peer/agent/portmapper_uv.h"
#include "peer/overlay/reach.h"
#include "peer/agent/peer_cache.h"
#include "tasks/base/mem.h"
#include "tasks/math/engine.h"

#define SIGNALS		 3u
#define BOOTSTRAP_DIALS	 3u /* of cached peers at a time */
#define PEERS_SAVE_TICKS (120000u / AGENT_TICK_MS)
#define PEERS_LOOK_TICKS (5000u / AGENT_TICK_MS) /* are there more than were saved? */
#define STOP_MS		 60u /* for the last checkpoint: with it the worker is gone within 100 ms */

struct runner {
	struct shell shell; /* first: a shell's address is its runner's */
	uv_loop_t loop;
	uv_timer_t timer;
	uv_timer_t grace; /* for the last checkpoint */
	uv_signal_t signals[SIGNALS];
	struct node_handler node_handler;
	struct worker_handler worker_handler;
	struct portmapper_handler ports_handler;
	bool no_port_mapping;
	struct portmapper_uv *ports; /* NULL: the router was not asked yet */
	char program[4096];
	char lies[LIAR_NAME_SIZE]; /* the worker's; empty: none */
	uint64_t ticks;
	size_t peers_saved; /* how many the cache holds that this run has written */
	uint32_t bootstrap; /* of cached peers, who is dialled next */
};

uint64_t shell_now_ms(const struct shell *s)
{
	return uv_now(&((const struct runner *)s)->loop);
}

/* What the node says */

static void on_up(void *context, conn_id conn, const struct public_key *key, enum role role)
{
	struct shell *s = context;
	struct agent_event event = {.type = AGENT_UP, .role = role};

	blobs_up(s, conn, key, role);
	if (conn != s->conn)
		return;
	shell_clock(s, role); /* the node has demanded the network's key, or a host's */
	shell_event(s, &event);
}

static void connection_over(
	struct shell *s, conn_id conn, enum agent_event_type type, const char *why)
{
	struct agent_event event = {
		.type = type, .text = why, .turned_away = conn == s->turned_away};

	if (conn != s->conn)
		return; /* one that the core has left already */
	s->conn = 0;
	s->watching = false;
	shell_event(s, &event);
}

static void on_down(void *context, conn_id conn, const char *why)
{
	blobs_down(context, conn);
	connection_over(context, conn, AGENT_DOWN, why);
}

static void on_turned_away(void *context, conn_id conn)
{
	struct shell *s = context;

	s->turned_away = conn; /* its failure is next */
}

static void on_dial_failed(void *context, conn_id conn, const char *why)
{
	blobs_dial_failed(context, conn);
	connection_over(context, conn, AGENT_DIAL_FAILED, why);
}

static void on_message(void *context, conn_id conn, const struct message *m)
{
	struct shell *s = context;
	struct agent_event event = {.type = AGENT_MESSAGE, .message = m};

	/* Only the coordinator may speak of work. */
	if (!blobs_message(s, conn, m) && conn == s->conn)
		shell_event(s, &event);
}

/* The node has replaced a session that was old: the core hears of an UP while it is up. */
static void on_renewed(void *context, conn_id old, conn_id conn)
{
	struct shell *s = context;

	if (s->conn != old)
		return;
	s->conn = conn;
	s->watching = false;
}

static void on_farewell(void *context, conn_id conn, uint32_t reason, const char *text)
{
	struct message m = {.type = MESSAGE_GOODBYE, .goodbye = {.reason = reason}};

	snprintf(m.goodbye.text, sizeof(m.goodbye.text), "%s", text);
	on_message(context, conn, &m);
}

static void on_log(void *context, const char *line)
{
	shell_log(context, line);
}

static void on_writable(void *context, conn_id conn)
{
	struct shell *s = context;
	struct agent_event event = {.type = AGENT_SENT};

	blobs_writable(s, conn);
	if (conn != s->conn || !s->watching)
		return;
	s->watching = false;
	shell_event(s, &event);
}

/* The overlay */

/* Nobody brings news, or nobody is there at all. The core tries the hosts of the link, also those that it knows to be no
 * coordinator; who was a neighbour before may know more: some of them now, the next ones next time. */
static void on_isolated(void *context)
{
	struct agent_event isolated = {.type = AGENT_ISOLATED};
	struct record cached[PEER_CACHE_MAX];
	struct shell *s = context;
	struct runner *r = context;
	size_t count = peer_cache_load(s->home->path, &s->home->link.network, cached);
	conn_id conn;

	if (count != 0 && node_uv_neighbours(s->node) == 0)
		shell_log(s, "no neighbour; trying peers that were there before");
	for (size_t i = 0; i < count && i < BOOTSTRAP_DIALS; i++)
		(void)!node_uv_connect(s->node, &cached[r->bootstrap++ % count], &conn, NULL);
	isolated.total = (uint32_t)node_uv_neighbours(s->node);
	shell_event(s, &isolated);
}

static void on_announced(void *context, const struct announcement *a)
{
	shell_announced(context, a);
}

/* If there are more than `than`; an old cache is better than none. */
static void peers_save(struct runner *r, size_t than)
{
	struct span records[PEER_CACHE_MAX];
	size_t count = node_uv_good_peers(r->shell.node, records, PEER_CACHE_MAX);

	if (count > than && peer_cache_save(r->shell.home->path, records, count, NULL) == TK_OK)
		r->peers_saved = count;
}

/* Soon after there is somebody to remember, as a killed process saves nothing; then now and then. */
static void peers_tick(struct runner *r)
{
	r->ticks++;
	if (r->ticks % PEERS_SAVE_TICKS == 0)
		peers_save(r, 0);
	else if (r->ticks % PEERS_LOOK_TICKS == 0)
		peers_save(r, r->peers_saved);
}

/* What the worker says */

static void worker_trace(struct shell *s, const struct worker_message *m)
{
	s->leaves.len = 0;
	if (bytes_append(&s->leaves, m->bytes.data, m->bytes.len) != TK_OK)
		s->leaves.len = 0; /* without it the result is refused */
}

static void worker_result(struct shell *s, const struct worker_message *m)
{
	struct agent_event event = {.type = AGENT_WORKER_DONE,
		.job = m->job,
		.claim = m->claim,
		.leaves = bytes_span(&s->leaves),
		.bytes = m->bytes};

	shell_event(s, &event);
}

static void worker_selftested(struct shell *s, const struct worker_message *m)
{
	struct agent_event event = {.type = AGENT_SELFTESTED, .job = m->job};
	struct bytes digests = {0};

	event.code = bytes_append(&digests, m->bytes.data, m->bytes.len);
	if (event.code != TK_OK)
		event.text = error_text(event.code);
	else if (s->misbehave != MISBEHAVE_NOT)
		misbehave_selftest(s->misbehave, &digests);
	event.bytes = bytes_span(&digests);
	shell_event(s, &event);
	bytes_close(&digests);
}

static void on_worker_message(void *context, const struct worker_message *m)
{
	struct agent_event event = {.type = AGENT_WORKER_PROGRESS,
		.job = m->job,
		.done = m->done,
		.total = m->total,
		.code = m->code,
		.text = m->text};

	if (m->type == WORKER_RESULT) {
		worker_result(context, m);
		return;
	}
	if (m->type == WORKER_TRACE) {
		worker_trace(context, m);
		return;
	}
	if (m->type == WORKER_SELFTESTED) {
		worker_selftested(context, m);
		return;
	}
	if (m->type == WORKER_FAILED)
		event.type = AGENT_WORKER_FAILED;
	if (m->type == WORKER_CHECKPOINT)
		event.type = AGENT_WORKER_CHECKPOINT;
	if (m->type == WORKER_REPLAYED)
		event.type = AGENT_WORKER_REPLAYED;
	event.bytes = m->bytes;
	shell_event(context, &event);
}

static void on_worker_gone(void *context, const char *why)
{
	struct agent_event event = {.type = AGENT_WORKER_GONE, .text = why};

	shell_event(context, &event);
}

/* The router */

static void on_port_answer(void *context, const struct portmap *p)
{
	struct shell *s = context;
	char line[TEXT_MAX], at[ENDPOINT_TEXT_MAX];

	node_uv_mapped(s->node, p->mapped ? &p->at : NULL);
	endpoint_text(at, &p->at);
	if (p->mapped)
		snprintf(line, sizeof(line), "the router leads %s to this computer (%s)", at,
			p->how);
	else
		snprintf(line, sizeof(line), "no port of the router leads here: %s", p->text);
	shell_log(s, line);
}

/* The router is asked only once it is clear that strangers cannot dial us without it. */
static void ports_tick(struct runner *r)
{
	struct shell *s = &r->shell;

	if (r->no_port_mapping || r->ports != NULL || s->stopping ||
		!reach_wants_mapping(node_uv_reach(s->node), uv_now(&r->loop)))
		return;
	r->ports_handler = (struct portmapper_handler){.context = s, .answer = on_port_answer};
	r->ports = portmapper_uv_new(&r->loop, r->program, NULL, s->port, &r->ports_handler);
}

/* Time, signals, the end */

static void on_tick(uv_timer_t *timer)
{
	struct agent_event event = {.type = AGENT_TICK};
	struct runner *r = timer->data;

	peers_tick(r);
	ports_tick(r);
	blobs_tick(&r->shell);
	shell_event(&r->shell, &event);
}

static void on_grace_over(uv_timer_t *timer)
{
	shell_stop(timer->data, TK_OK);
}

/* The unit in progress is saved if its step ends soon; then the worker is killed, in the middle of
 * whatever it is doing. */
static void on_signal(uv_signal_t *handle, int number)
{
	struct shell *s = handle->data;
	struct agent_event event = {.type = AGENT_STOPPING};
	bool computing = s->told.state == AGENT_COMPUTING;

	(void)number;
	if (s->ending) { /* somebody has no patience */
		shell_stop(s, TK_OK);
		return;
	}
	shell_log(s, "stopping; results that are not settled yet are kept");
	s->ending = true;
	shell_event(s, &event);
	if (!computing ||
		uv_timer_start(&((struct runner *)s)->grace, on_grace_over, STOP_MS, 0) != 0)
		shell_stop(s, TK_OK);
}

static void on_node_closed(void *context)
{
	(void)context; /* the loop ends by itself once it holds nothing */
}

void shell_stop(struct shell *s, int code)
{
	struct runner *r = (struct runner *)s;

	if (s->stopping)
		return;
	s->stopping = true;
	s->code = code;
	peers_save(r, 0);
	uv_close((uv_handle_t *)&r->timer, NULL);
	uv_close((uv_handle_t *)&r->grace, NULL);
	for (size_t i = 0; i < SIGNALS; i++)
		uv_close((uv_handle_t *)&r->signals[i], NULL);
	portmapper_uv_close(r->ports);
	worker_uv_close(s->worker);
	node_uv_close(s->node, GOODBYE_SHUTDOWN, "the volunteer's agent stops", on_node_closed, s);
}

/* The beginning */

static int start_handles(struct runner *r, struct errmsg *msg)
{
	static const int numbers[SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
	int rc;

	uv_timer_init(&r->loop, &r->timer);
	uv_timer_init(&r->loop, &r->grace);
	r->timer.data = r->grace.data = r;
	rc = uv_timer_start(&r->timer, on_tick, AGENT_TICK_MS, AGENT_TICK_MS);
	for (size_t i = 0; i < SIGNALS; i++) {
		uv_signal_init(&r->loop, &r->signals[i]);
		r->signals[i].data = r;
		if (rc == 0)
			rc = uv_signal_start(&r->signals[i], on_signal, numbers[i]);
	}
	return rc == 0 ? TK_OK
		       : errmsg_set(
				 msg, TK_EIO, "the event loop does not start: %s", uv_strerror(rc));
}

static int find_program(struct runner *r, const char *given, struct errmsg *msg)
{
	size_t size = sizeof(r->program);
	int rc;

	if (given != NULL)
		return snprintf(r->program, size, "%s", given) < (int)size
			       ? TK_OK
			       : errmsg_set(msg, TK_ELIMIT, "the worker's path is too long");
	rc = uv_exepath(r->program, &size);
	return rc == 0 ? TK_OK
		       : errmsg_set(msg, TK_EIO, "cannot find this program's own file: %s",
				 uv_strerror(rc));
}

/* What earlier runs left in the home. */
static int load(struct shell *s, struct errmsg *msg)
{
	struct status_file old;
	int rc = agent_files_open(&s->files, s->home->path, msg);

	if (rc == TK_OK)
		rc = blobs_open(s, msg);
	if (rc == TK_OK)
		rc = agent_files_load(&s->files, s->core, on_log, s, msg);
	if (rc == TK_OK && status_file_read(&old, s->home->path, NULL) == TK_OK)
		agent_load_totals(s->core, &old.totals);
	return rc;
}

/* Half of what this computer, or the container around us, has. */
static uint64_t memory_lent(void)
{
	uint64_t all = uv_get_total_memory();
	uint64_t allowed = uv_get_constrained_memory(); /* 0: nobody says */

	return (allowed != 0 && allowed < all ? allowed : all) / 2;
}

static int prepare(struct runner *r, const struct agent_options *options, struct errmsg *msg)
{
	struct shell *s = &r->shell;
	const char *engine = options->engine->name;
	int rc = find_program(r, options->worker, msg);

	if (rc != TK_OK)
		return rc;
	r->node_handler = (struct node_handler){.context = s,
		.up = on_up,
		.down = on_down,
		.message = on_message,
		.dial_failed = on_dial_failed,
		.log = on_log,
		.writable = on_writable,
		.farewell = on_farewell,
		.turned_away = on_turned_away,
		.renewed = on_renewed,
		.announced = on_announced,
		.isolated = on_isolated};
	r->worker_handler = (struct worker_handler){
		.context = s, .message = on_worker_message, .gone = on_worker_gone};
	snprintf(s->status.engine, sizeof(s->status.engine), "%s", engine);
	if (options->remark != NULL) {
		snprintf(s->status.remark, sizeof(s->status.remark), "%s", options->remark);
		shell_log(s, options->remark);
	}
	s->status.peer = s->id.key.public;
	snprintf(s->status.team, sizeof(s->status.team), "%s",
		options->team != NULL ? options->team : s->home->team);
	s->core = agent_new(&s->id, &s->home->link, engine);
	if (s->core != NULL) {
		agent_limit_memory(s->core, memory_lent());
		agent_join_team(s->core, s->status.team);
	}
	if (s->core != NULL && options->checkpoint_ms != 0)
		agent_checkpoint_every(s->core, options->checkpoint_ms);
	liar_name(r->lies, s->misbehave, load_le64(s->id.key.public.b));
	s->worker = worker_uv_new(&r->loop, r->program, r->lies, &s->files, &r->worker_handler);
	if (s->core == NULL || s->worker == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to start the agent");
	return load(s, msg);
}

/* Where other peers find us: the usual port when it is free, so that a router can be told once and for
 * all, and both kinds of addresses where the system has both. */
static int listen_for_peers(struct shell *s, const char *wanted, struct errmsg *msg)
{
	char usual[3][24];
	char line[128];
	int rc = TK_EBUSY;

	snprintf(usual[0], sizeof(usual[0]), "[::]:%u", PEER_PORT);
	snprintf(usual[1], sizeof(usual[1]), "0.0.0.0:%u", PEER_PORT);
	snprintf(usual[2], sizeof(usual[2]), "0.0.0.0:0");
	if (wanted != NULL)
		rc = node_uv_listen(s->node, wanted, &s->port, msg);
	for (size_t i = 0; wanted == NULL && rc != TK_OK && rc != TK_ENOMEM && i < 3; i++)
		rc = node_uv_listen(s->node, usual[i], &s->port, msg);
	if (rc != TK_OK)
		return rc;
	snprintf(line, sizeof(line), "listening for peers on port %u%s", s->port,
		s->port < REACH_PORT_MIN ? ", which no peer dials, as it is below 1024" : "");
	shell_log(s, line);
	return TK_OK;
}

static int run(struct runner *r, const struct agent_options *options, struct errmsg *msg)
{
	struct shell *s = &r->shell;
	struct agent_event start = {.type = AGENT_START};
	int rc;

	s->node = node_uv_new(&r->loop, &s->id, &r->node_handler);
	if (s->node == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to start the agent");
	r->no_port_mapping = options->no_port_mapping;
	rc = start_handles(r, msg);
	if (rc == TK_OK)
		rc = node_uv_gossip(s->node);
	if (rc == TK_OK)
		rc = listen_for_peers(s, options->listen, msg);
	if (rc == TK_OK)
		shell_event(s, &start);
	else
		shell_stop(s, rc);
	uv_run(&r->loop, UV_RUN_DEFAULT);
	node_uv_free(s->node);
	return s->code;
}

static int with_loop(struct runner *r, const struct agent_options *options, struct errmsg *msg)
{
	struct shell *s = &r->shell;
	int rc = uv_loop_init(&r->loop);

	if (rc != 0)
		return errmsg_set(
			msg, TK_EIO, "the event loop does not start: %s", uv_strerror(rc));
	agent_home_identity(s->home, &s->id);
	if (options->no_host) {
		s->id.features &= ~(uint64_t)FEATURE_HOST;
		s->id.has_certificate = false;
	}
	rc = prepare(r, options, msg);
	if (rc == TK_OK)
		rc = run(r, options, msg);
	blobs_close(s);
	shell_close(s);
	agent_free(s->core);
	worker_uv_free(s->worker);
	identity_wipe(&s->id);
	uv_loop_close(&r->loop);
	return rc;
}

int agent_run(
	const struct agent_home *home, const struct agent_options *options, struct errmsg *msg)
{
	struct runner *r = mem_calloc(1, sizeof(*r));
	int lock;
	int rc;

	if (r == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to start the agent");
	random_bytes(&r->bootstrap, sizeof(r->bootstrap));
	r->shell.home = home;
	r->shell.misbehave = options->misbehave;
	r->shell.cache_bytes = options->cache_bytes != 0 ? options->cache_bytes : CACHE_BYTES;
	r->shell.log = options->log;
	r->shell.msg = msg;
	rc = agent_home_lock(home->path, &lock, msg);
	if (rc == TK_OK) {
		if (options->team != NULL)
			rc = agent_home_save_team(home->path, options->team, msg);
		if (rc == TK_OK)
			rc = with_loop(r, options, msg);
		close(lock);
	}
	mem_free(r);
	return rc;
}
