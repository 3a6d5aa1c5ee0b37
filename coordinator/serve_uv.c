/* See serve_uv.h. One turn of the loop: events step the core and their effects gather; before the loop
 * sleeps, flush() makes blobs durable, writes all rows in one transaction (so an fsync is shared), and
 * only then sends and starts jobs. */
#include "coordinator/serve_uv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "coordinator/jobs.h"
#include "coordinator/serve_load.h"
#include "coordinator/serve_page.h"
#include "coordinator/serve_persist.h"
#include "coordinator/serve_uv_state.h"
#include "tasks/base/mem.h"

#define POLL_MS		250u /* looking for what the command line wrote */
#define TICK_EVERY	4u   /* CORE_TICK each second */
#define STATUS_EVERY	4u   /* the page, when something changed */
#define HEARTBEAT_EVERY 40u  /* the page, anyway */
#define RETRY_MS	3000u
#define EFFECTS_MAX	1024u /* of one turn, then they are carried out: floods fill no memory */

struct uv_loop_s *serve_loop(struct serve *s)
{
	return &s->loop;
}

const struct home *serve_home(const struct serve *s)
{
	return &s->home;
}

uint64_t serve_generation(const struct serve *s)
{
	return s->generation;
}

struct serve_blobs *serve_blobs(struct serve *s)
{
	return &s->blobs;
}

const struct core *serve_core(const struct serve *s)
{
	return s->core;
}

struct node_uv *serve_node(const struct serve *s)
{
	return s->node;
}

bool serve_needs_blob(const struct serve *s, const struct digest *blob)
{
	return s->core != NULL && core_needs_blob(s->core, blob);
}

void serve_job_count(struct serve *s, int change)
{
	s->jobs += change;
}

static uint64_t wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void serve_step(struct serve *s, struct core_event *event)
{
	if (s->core == NULL)
		return;
	event->now_ms = wall_ms();
	random_bytes(event->random, sizeof(event->random));
	if (core_step(s->core, event, &s->effects) != TK_OK)
		serve_stall(s, "not enough memory");
}

/* The node's events. */

static void on_up(void *context, conn_id conn, const struct public_key *key, enum role role)
{
	struct serve *s = context;
	struct core_event event = {.type = CORE_PEER_UP,
		.conn = conn,
		.key = key,
		.prefix = node_uv_prefix(s->node, conn)};

	if (role != ROLE_PEER)
		node_uv_drop(s->node, conn, GOODBYE_PROTOCOL, "only peers connect here");
	else
		serve_step(s, &event);
	if (role == ROLE_PEER) {
		serve_blobs_up(s, conn, key);
		serve_hosts_up(s, conn, key);
	}
	s->changed = true;
}

static void on_released(void *context, conn_id conn)
{
	struct serve *s = context;

	s->released = conn; /* its down is next */
}

static void on_down(void *context, conn_id conn, const char *why)
{
	struct serve *s = context;
	struct core_event event = {
		.type = CORE_PEER_DOWN, .conn = conn, .released = conn == s->released, .text = why};

	serve_blobs_down(s, conn);
	serve_hosts_down(s, conn);
	serve_step(s, &event);
	s->changed = true;
}

static void flush(struct serve *s);

static void on_message(void *context, conn_id conn, const struct message *m)
{
	struct serve *s = context;
	struct core_event event = {.type = CORE_MESSAGE, .conn = conn, .message = m};

	if (!serve_blobs_message(s, conn, m))
		serve_step(s, &event);
	if (s->effects.count >= EFFECTS_MAX)
		flush(s);
}

static void on_dial_failed(void *context, conn_id conn, const char *why)
{
	(void)context, (void)conn, (void)why; /* a coordinator dials nobody */
}

static void on_log(void *context, const char *line)
{
	serve_log(context, line);
}

/* Effects. */

static void announce(struct serve *s, const struct core_effect *e)
{
	if (node_uv_publish(s->node, bytes_span(&e->bytes), &e->signature) != TK_OK)
		serve_log(s, "an announcement was not made for want of memory; peers hear of it "
			     "when they ask for work");
}

static void speak(struct serve *s, const struct core_effect *e)
{
	switch (e->type) {
	case CORE_SEND:
		(void)!node_uv_send(s->node, e->conn, &e->message); /* gone: it will ask again */
		break;
	case CORE_DROP:
		node_uv_drop(s->node, e->conn, e->reason, e->text);
		break;
	case CORE_WORTH:
		node_uv_value(s->node, e->conn, e->worth);
		break;
	case CORE_MERGE:
	case CORE_REFEREE:
	case CORE_REFEREE_STEP:
	case CORE_SELFTEST:
		serve_start_job(s, e);
		break;
	case CORE_REMOVE_BLOB:
		blob_store_remove(&s->home.blobs, &e->digest);
		break;
	case CORE_ANNOUNCE:
		announce(s, e);
		break;
	case CORE_LOG:
		if (!s->options->quiet)
			serve_log(s, e->text);
		break;
	default:
		break;
	}
}

/* Speaking may bring new events and so new effects: they wait in a list of their own for their turn. */
static void flush(struct serve *s)
{
	while (s->core != NULL && s->effects.count != 0) {
		struct core_effects now = s->effects;
		struct errmsg msg = {""};

		s->effects = (struct core_effects){0};
		s->changed = true;
		if (serve_persist(&s->home, &now, &msg) != TK_OK)
			serve_stall(s, msg.text);
		else if (msg.text[0] != '\0')
			serve_log(s, msg.text);
		for (size_t i = 0; i < now.count && s->core != NULL; i++)
			speak(s, &now.items[i]);
		if (s->core != NULL && serve_sweep(&s->home, &now, &msg) != TK_OK)
			serve_log(s, msg.text); /* room is wasted, nothing is lost */
		core_effects_close(&now);
	}
}

/* Beginning, stalling, beginning again. */

/* Listens, after a stall at the same place as before: with port 0 the system chooses one, but only
 * once, for that is where the peers look for us. Remembers the place for invitations. */
static int listen_for_peers(struct serve *s, struct errmsg *msg)
{
	const char *wanted = s->options->listen;
	int host = (int)(strrchr(wanted, ':') - wanted);
	int rc =
		node_uv_listen(s->node, s->address[0] != '\0' ? s->address : wanted, &s->port, msg);

	if (rc != TK_OK)
		return rc;
	snprintf(s->address, sizeof(s->address), "%.*s:%u", host, wanted, s->port);
	return store_set_text(s->home.store, "listen", s->address, msg);
}

static int start(struct serve *s, struct errmsg *msg)
{
	int rc;

	s->store_version = 0;
	s->generation++;
	rc = home_write_page(s->web, msg);
	if (rc == TK_OK)
		rc = serve_load_core(&s->home, &s->identity.key, &s->core, &s->newest_project, msg);

	if (rc != TK_OK)
		return rc;
	s->node = node_uv_new(&s->loop, &s->serving, &s->handler);
	if (s->node == NULL || node_uv_gossip(s->node) != TK_OK)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory");
	else
		rc = serve_blobs_open(s, msg);
	if (rc == TK_OK && s->options->connections != 0)
		node_uv_limit(s->node, s->options->connections);
	if (rc == TK_OK)
		rc = listen_for_peers(s, msg);
	s->changed = true;
	return rc;
}

static void forget_core(struct serve *s)
{
	core_free(s->core);
	s->core = NULL;
	s->generation++;
	core_effects_close(&s->effects);
	s->effects = (struct core_effects){0};
}

static void try_again(uv_timer_t *timer)
{
	struct serve *s = timer->data;
	struct errmsg msg = {""};

	if (s->ending)
		return;
	if (start(s, &msg) == TK_OK)
		serve_log(s, "serving again, from what is on disk");
	else
		serve_stall(s, msg.text);
}

static void end_now(struct serve *s);

static void node_closed(void *context)
{
	struct serve *s = context;

	serve_blobs_close(s);
	serve_hosts_close(s);
	node_uv_free(s->node);
	s->node = NULL;
	s->closing = false;
	if (s->ending)
		end_now(s);
	else
		uv_timer_start(&s->retry, try_again, RETRY_MS, 0);
}

static void close_node(struct serve *s, const char *why)
{
	if (s->closing)
		return; /* node_closed goes on from here */
	s->closing = s->node != NULL;
	if (s->closing)
		node_uv_close(s->node, GOODBYE_SHUTDOWN, why, node_closed, s);
	else if (s->ending)
		end_now(s);
	else
		uv_timer_start(&s->retry, try_again, RETRY_MS, 0);
}

/* Forgets everything in memory, and loads it from disk after a moment. */
static void begin_again(struct serve *s, const char *line)
{
	if (s->ending || s->closing)
		return;
	serve_log(s, line);
	forget_core(s);
	close_node(s, "the coordinator is in trouble and comes back");
}

void serve_stall(struct serve *s, const char *why)
{
	char line[900];

	snprintf(line, sizeof(line),
		"cannot go on: %s. Nothing that was acknowledged is lost; trying again every %u s",
		why, RETRY_MS / 1000);
	begin_again(s, line);
}

/* Looking for what the command line wrote. */

static bool project_can_stop(const struct project_row *p)
{
	return p->state == PROJECT_QUEUED || p->state == PROJECT_RUNNING ||
	       p->state == PROJECT_PAUSED;
}

struct noticing {
	struct serve *serve;
	uint64_t resumed; /* project to go on with, once all have been looked at; 0: none */
	struct errmsg *msg;
};

static int notice_new(struct serve *s, const struct project_row *p, struct errmsg *msg)
{
	struct core_event event = {.type = CORE_PROJECT_NEW, .project_row = p};
	struct bytes recipe = {0};
	int rc = job_recipe(&s->home.blobs, &p->recipe, NULL, &recipe, msg);

	if (rc == TK_ENOMEM)
		return rc;
	event.text = msg->text; /* the core fails this project and goes on with the others */
	event.recipe = bytes_span(&recipe);
	serve_step(s, &event);
	s->newest_project = p->id;
	bytes_close(&recipe);
	return TK_OK;
}

static int notice_project(void *context, const void *row)
{
	const struct project_row *p = row;
	struct noticing *l = context;
	struct serve *s = l->serve;
	struct core_event stop = {.type = CORE_PROJECT_STOP, .project = p->id};
	bool asked = false;
	int rc = TK_OK;

	if (p->id > s->newest_project && p->state == PROJECT_QUEUED)
		rc = notice_new(s, p, l->msg);
	if (rc == TK_OK && !p->stop_asked && project_can_stop(p))
		rc = store_asked(s->home.store, p->id, WISH_STOP, &asked, l->msg);
	if (rc == TK_OK && asked) {
		serve_step(s, &stop);
		return rc;
	}
	if (rc == TK_OK && p->state == PROJECT_PAUSED)
		rc = store_asked(s->home.store, p->id, WISH_RESUME, &asked, l->msg);
	if (rc == TK_OK && asked)
		l->resumed = p->id;
	return rc;
}

/* What kept the project from being loaded is gone. */
static int recipe_again(void *context, const void *row)
{
	const struct project_row *p = row;
	struct noticing *l = context;
	int rc;

	if (p->id != l->resumed)
		return TK_OK;
	rc = serve_load_again(&l->serve->home, p, l->msg);
	return rc == TK_OK ? rc : errmsg_prefix(l->msg, rc, "project %s", p->name);
}

/* What is asked for is forgotten only when what follows from it is on disk. */
static int resume(struct noticing *l)
{
	struct serve *s = l->serve;
	struct core_event event = {.type = CORE_PROJECT_RESUME, .project = l->resumed};

	if (s->core != NULL && core_project_unreadable(s->core, l->resumed)) {
		if (store_projects(s->home.store, recipe_again, l, l->msg) == TK_OK) {
			begin_again(s,
				"what a project needs can be read again: loading everything anew");
			return TK_OK; /* and then the wish is seen again */
		}
		serve_log(s, l->msg->text);
	} else {
		serve_check_again(s);
		serve_step(s, &event);
		flush(s);
	}
	if (s->core == NULL)
		return TK_OK;
	s->store_version = 0; /* there may be more to go on with */
	return store_heard(s->home.store, l->resumed, WISH_RESUME, l->msg);
}

static void notice_changes(struct serve *s)
{
	uint64_t version = store_version(s->home.store);
	struct errmsg msg = {""};
	struct noticing l = {.serve = s, .msg = &msg};
	int rc;

	if (version == s->store_version)
		return;
	s->store_version = version;
	rc = store_projects(s->home.store, notice_project, &l, &msg);
	if (rc == TK_OK && l.resumed != 0)
		rc = resume(&l);
	if (rc != TK_OK)
		serve_stall(s, msg.text);
}

static void on_timer(uv_timer_t *timer)
{
	struct serve *s = timer->data;
	struct core_event tick = {.type = CORE_TICK};
	struct errmsg msg = {""};

	s->ticks++;
	if (s->core == NULL)
		return;
	serve_blobs_tick(s);
	notice_changes(s);
	serve_hosts_tick(s);
	if (s->ticks % TICK_EVERY == 0) {
		serve_readmit(s);
		serve_step(s, &tick);
	}
	if ((s->changed && s->ticks % STATUS_EVERY == 0) || s->ticks % HEARTBEAT_EVERY == 0) {
		s->changed = false;
		if (serve_write_page(&s->home, s->web, s->core, true, &s->live_saved, &msg) !=
			TK_OK)
			serve_log(s, msg.text); /* the page is not worth stopping for */
	}
	if (s->ticks % HEARTBEAT_EVERY == 0 &&
		home_serving_renew(
			&s->home, &s->identity, (uint64_t)time(NULL), &s->serving, &msg) != TK_OK)
		serve_log(s, msg.text);
}

static void on_before_sleep(uv_prepare_t *handle)
{
	flush(handle->data);
}

/* Ending. */

static void end_now(struct serve *s)
{
	uv_handle_t *handles[] = {(uv_handle_t *)&s->timer, (uv_handle_t *)&s->retry,
		(uv_handle_t *)&s->before_sleep, (uv_handle_t *)&s->signals[0],
		(uv_handle_t *)&s->signals[1]};

	for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
		if (!uv_is_closing(handles[i]))
			uv_close(handles[i], NULL);
	}
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct serve *s = handle->data;

	(void)number;
	if (s->ending)
		return;
	s->ending = true;
	serve_log(s, "stopping; peers will come back when the coordinator does");
	flush(s);
	close_node(s, "the coordinator stops and comes back");
}

static void handles_init(struct serve *s)
{
	const int numbers[] = {SIGINT, SIGTERM};

	uv_timer_init(&s->loop, &s->timer);
	uv_timer_init(&s->loop, &s->retry);
	uv_prepare_init(&s->loop, &s->before_sleep);
	s->timer.data = s->retry.data = s->before_sleep.data = s;
	uv_timer_start(&s->timer, on_timer, 0, POLL_MS);
	uv_prepare_start(&s->before_sleep, on_before_sleep);
	for (size_t i = 0; i < 2; i++) {
		uv_signal_init(&s->loop, &s->signals[i]);
		s->signals[i].data = s;
		uv_signal_start(&s->signals[i], on_signal, numbers[i]);
	}
}

/* The loop, from the first start to the last handle. */
static int serve_loop_run(struct serve *s, struct errmsg *msg)
{
	char line[1200];
	int rc;

	if (uv_loop_init(&s->loop) != 0)
		return errmsg_set(msg, TK_EIO, "cannot start the event loop");
	handles_init(s);
	rc = start(s, msg);
	if (rc == TK_OK) {
		snprintf(line, sizeof(line),
			"serving %s on port %u; status page: %s/web/index.html", s->home.path,
			s->port, s->home.path);
		serve_log(s, line);
	} else if (rc == TK_ENOSPC) {
		serve_stall(s, msg->text); /* as it would be while serving */
		rc = TK_OK;
	} else {
		s->ending = true;
		forget_core(s);
		close_node(s, "");
	}
	uv_run(&s->loop, UV_RUN_DEFAULT);
	uv_loop_close(&s->loop);
	return rc;
}

int serve_run(const struct serve_options *options, struct errmsg *msg)
{
	struct serve *s;
	struct errmsg ignored;
	int lock = -1;
	int rc;

	if (strrchr(options->listen, ':') == NULL)
		return errmsg_set(msg, TK_EINVAL,
			"--listen wants ADDR:PORT, like 0.0.0.0:7331, not %s", options->listen);
	s = mem_calloc(1, sizeof(*s));
	if (s == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory");
	signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error like a full disk */
	s->options = options;
	s->live_saved = UINT64_MAX;
	s->handler = (struct node_handler){
		.context = s,
		.up = on_up,
		.down = on_down,
		.message = on_message,
		.dial_failed = on_dial_failed,
		.log = on_log,
		.writable = serve_blobs_writable,
		.released = on_released,
	};
	snprintf(s->web, sizeof(s->web), "%s%s",
		options->web != NULL ? options->web : options->home,
		options->web != NULL ? "" : "/web");
	rc = home_open(&s->home, options->home, msg);
	if (rc == TK_OK)
		rc = home_lock(&s->home, &lock, msg);
	if (rc == TK_OK)
		rc = home_identity(&s->home, &s->identity, msg);
	if (rc == TK_OK)
		rc = home_serving_identity(
			&s->home, &s->identity, (uint64_t)time(NULL), &s->serving, msg);
	if (rc == TK_OK) {
		rc = serve_loop_run(s, msg);
		forget_core(s);
		(void)!serve_write_page(&s->home, s->web, NULL, false, &s->live_saved, &ignored);
	}
	identity_wipe(&s->identity);
	identity_wipe(&s->serving);
	home_close(&s->home);
	if (lock >= 0)
		close(lock);
	mem_free(s);
	return rc;
}
