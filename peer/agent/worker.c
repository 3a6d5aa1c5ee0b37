/* See worker.h. Plain POSIX: a loop over one pipe. While a unit is computed a second thread listens to it,
 * so that the unit stops within an operation and not after a step, which may take minutes. */
#include "peer/agent/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "peer/agent/misbehave_unit.h"
#include "peer/agent/worker_protocol.h"
#include "peer/agent/worker_replay.h"
#include "tasks/math/engine.h"
#include "tasks/unit/selftest.h"
#include "tasks/unit/shard_cache.h"

#define READ_BYTES 65536u

/* A message with the bytes that its spans borrow: what arrives during a run may move the worker's buffer. */
struct frame {
	struct bytes bytes;
	struct worker_message m;
};

/* During a run the listener alone reads, and the two threads share nothing but the atomic fields. */
struct worker {
	int in, out;
	int over[2];	      /* a pipe whose end tells the listener that the run is over */
	atomic_bool ended;    /* no more input will come */
	atomic_bool broken;   /* and it is the agent's fault, or the pipe's */
	struct bytes arrived; /* not consumed yet */
	bool has_recipe;
	struct recipe recipe;
	struct digest recipe_digest;
	struct shard_cache shards;
	struct replay_memo replayed;
	struct frame state, checkpoint; /* for the next run; without bytes: none */
	const struct engine *engine;
	struct liar *liar; /* NULL: none, as everywhere but in tests */
	uint64_t job;	   /* being computed; 0: none */
	atomic_bool stop;  /* the job is cancelled, or nobody waits for it any more */
	atomic_bool save;  /* a checkpoint is asked for */
	uint32_t percent;  /* last told */
};

/* Should memory run out, the kernel ends this process before anything of the volunteer's. */
static void go_first(void)
{
#ifdef __linux__
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "1000", 4);
	close(fd);
#endif
}

void worker_confine(void)
{
	struct rlimit none = {0, 0};

	/* Each only makes the worker a better guest: it works as well where one is refused. */
	errno = 0;
	(void)!nice(19);
	go_first();
	(void)setrlimit(RLIMIT_CORE, &none);
	signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group; the agent decides */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error like a full disk */
#ifdef __linux__
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#endif
}

static void worker_break(struct worker *w, const char *why)
{
	fprintf(stderr, "worker: %s\n", why);
	w->broken = w->ended = true;
}

/* Waits up to timeout_ms (−1: for ever) for input. False: there is none, or the run is over. */
static bool worker_wait(const struct worker *w, int timeout_ms)
{
	struct pollfd fds[2] = {
		{.fd = w->in, .events = POLLIN}, {.fd = w->over[0], .events = POLLIN}};
	int ready;

	do
		ready = poll(fds, 2, timeout_ms);
	while (ready < 0 && errno == EINTR);
	return ready > 0 && fds[1].revents == 0;
}

/* Reads a piece of what is there. */
static void worker_read(struct worker *w)
{
	ssize_t n;

	if (bytes_reserve(&w->arrived, READ_BYTES) != TK_OK) {
		worker_break(w, "out of memory");
		return;
	}
	do
		n = read(w->in, w->arrived.data + w->arrived.len, READ_BYTES);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		w->arrived.len += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
		w->ended = true;
}

static void worker_write(struct worker *w, struct span data)
{
	struct pollfd fd = {.fd = w->out, .events = POLLOUT};

	for (size_t at = 0; at < data.len && !w->ended;) {
		ssize_t n = write(w->out, data.data + at, data.len - at);

		if (n > 0)
			at += (size_t)n;
		else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			(void)poll(&fd, 1, -1);
		else if (n == 0 || errno != EINTR)
			w->ended = true; /* the agent is gone */
	}
}

static void worker_say(struct worker *w, const struct worker_message *m)
{
	struct bytes frame = {0};

	if (worker_message_encode(m, &frame) == TK_OK)
		worker_write(w, bytes_span(&frame));
	else
		worker_break(w, "out of memory");
	bytes_close(&frame);
}

static void worker_say_failed(struct worker *w, uint64_t job, int code, const char *text)
{
	struct worker_message m = {.type = WORKER_FAILED, .job = job, .code = code};

	snprintf(m.text, sizeof(m.text), "%.250s", text[0] != '\0' ? text : error_text(code));
	worker_say(w, &m);
}

/* During a run only CANCEL and SAVE may come next; anything else is for after it. True while more of
 * them may come. */
static bool worker_hear(struct worker *w)
{
	struct worker_message m;
	size_t used;
	int rc;

	while ((rc = worker_message_decode(&m, bytes_span(&w->arrived), &used, NULL)) == TK_OK &&
		(m.type == WORKER_CANCEL || m.type == WORKER_SAVE)) {
		if (m.job == w->job)
			atomic_store(m.type == WORKER_CANCEL ? &w->stop : &w->save, true);
		bytes_consume(&w->arrived, used);
	}
	if (w->ended)
		w->stop = true;
	return rc == TK_ENOENT && !w->ended;
}

/* Hears what is said within the next timeout_ms (−1: until the run is over). */
static void worker_listen(struct worker *w, int timeout_ms)
{
	while (worker_hear(w) && worker_wait(w, timeout_ms))
		worker_read(w);
}

static void *listener(void *context)
{
	worker_listen(context, -1);
	return NULL;
}

/* When there is no memory for one, or it is too large for a frame, the unit goes on without. */
static void worker_save(struct worker *w, const struct running *run)
{
	struct worker_message m = {.type = WORKER_CHECKPOINT, .job = w->job};
	struct bytes checkpoint = {0};

	if (run_checkpoint(run, &checkpoint) == TK_OK && checkpoint.len <= WORKER_CHECKPOINT_MAX) {
		m.bytes = bytes_span(&checkpoint);
		worker_say(w, &m);
	}
	bytes_close(&checkpoint);
}

static int worker_step(void *context, const struct running *run, uint32_t done, uint32_t total)
{
	struct worker *w = context;
	uint32_t percent = total != 0 ? (uint32_t)((uint64_t)done * 100 / total) : 0;
	struct worker_message m = {
		.type = WORKER_PROGRESS, .job = w->job, .done = done, .total = total};

	if (atomic_exchange(&w->save, false) && !w->stop)
		worker_save(w, run);
	if (percent != w->percent) {
		w->percent = percent;
		worker_say(w, &m);
	}
	return w->stop || w->ended;
}

static void frame_close(struct frame *f)
{
	bytes_close(&f->bytes);
	*f = (struct frame){0};
}

/* Takes the buffer with its first message, of `used` bytes, and copies the rest: of the large messages
 * there is so only one copy. */
static bool frame_take(struct worker *w, size_t used, struct frame *out)
{
	struct frame got = {.bytes = w->arrived};
	size_t again;

	w->arrived = (struct bytes){0};
	if (bytes_append(&w->arrived, got.bytes.data + used, got.bytes.len - used) != TK_OK ||
		worker_message_decode(&got.m, bytes_span(&got.bytes), &again, NULL) != TK_OK) {
		worker_break(w, "out of memory");
		frame_close(&got);
		return false;
	}
	frame_close(out);
	*out = got;
	return true;
}

static void worker_forget(struct worker *w)
{
	shard_cache_close(&w->shards);
	if (w->has_recipe)
		recipe_close(&w->recipe);
	w->has_recipe = false;
}

static void take_recipe(struct worker *w, const struct worker_message *m)
{
	struct errmsg msg = {{0}};

	worker_forget(w);
	if (recipe_decode(&w->recipe, m->bytes, &msg) != TK_OK) {
		worker_break(w, msg.text);
		return;
	}
	digest_blob(&w->recipe_digest, m->bytes.data, m->bytes.len);
	w->has_recipe = true;
}

static void take_shard(struct worker *w, const struct worker_message *m)
{
	struct errmsg msg = {{0}};
	struct bytes copy = {0};
	int rc;

	if (!w->has_recipe) {
		worker_break(w, "a shard came before its recipe");
		return;
	}
	if (w->shards.bytes + m->bytes.len > WORKER_SHARDS_MAX) {
		worker_break(w, "more shards than a worker keeps");
		return;
	}
	rc = bytes_append(&copy, m->bytes.data, m->bytes.len);
	if (rc == TK_OK)
		rc = shard_cache_add(&w->shards, &w->recipe, &m->digest, &copy, &msg);
	bytes_close(&copy);
	if (rc != TK_OK)
		worker_break(w, msg.text[0] != '\0' ? msg.text : error_text(rc));
}

/* What is asked for, and what comes of it. */
struct order {
	const struct worker_message *m; /* RUN or REPLAY */
	struct unit unit;
	struct unit_result result;
	struct replay replay;
};

static int order_run(struct worker *w, struct order *o, struct errmsg *msg)
{
	struct shard_source source = {.context = &w->shards, .get = shard_cache_get};
	struct run_progress progress = {.context = w, .step = worker_step};
	const struct compute alone = {.engine = w->engine, .stop = &w->stop};
	const struct unit_input input = {.parameters = o->m->bytes,
		.state = w->state.m.bytes,
		.checkpoint = w->checkpoint.m.bytes};
	const struct replay_input part = {.parameters = o->m->bytes,
		.slot = w->state.m.bytes,
		.before = span_of("", 0),
		.first = o->m->first,
		.to = o->m->to,
		.keep = o->m->keep};

	if (!w->has_recipe || !digest_equal(&o->unit.recipe, &w->recipe_digest))
		return errmsg_set(msg, TK_EINVAL, "the unit is about another recipe");
	if (w->liar != NULL)
		return o->m->type == WORKER_REPLAY
			       ? liar_replay(w->liar, &w->recipe, &o->unit, &alone, &part, &source,
					 &o->replay, msg)
			       : liar_run(w->liar, &w->recipe, &o->unit, &alone, &input, &source,
					 &progress, &o->result, msg);
	if (o->m->type == WORKER_REPLAY)
		return replay_again(&w->replayed, &w->recipe, &o->unit, &alone, &part, &source,
			&o->replay, msg);
	return unit_run(&w->recipe, &o->unit, &alone, &input, &source, &progress, &o->result, msg);
}

/* The same, with somebody listening. What has been said already is heard before the first step. */
static int order_listening(struct worker *w, struct order *o, struct errmsg *msg)
{
	pthread_t thread;
	int rc;

	if (pipe2(w->over, O_CLOEXEC) != 0)
		return errmsg_set(msg, TK_ENOMEM, "cannot make a pipe: %s", strerror(errno));
	worker_listen(w, 0);
	if (pthread_create(&thread, NULL, listener, w) == 0) {
		rc = order_run(w, o, msg);
		close(w->over[1]);
		pthread_join(thread, NULL);
	} else {
		rc = errmsg_set(msg, TK_ENOMEM, "cannot start a thread");
		close(w->over[1]);
	}
	close(w->over[0]);
	w->over[0] = -1;
	return rc;
}

static void say_result(struct worker *w, uint64_t job, const struct unit_result *r)
{
	const struct worker_message trace = {.type = WORKER_TRACE,
		.job = job,
		.bytes = span_of(r->leaves, r->leaf_count * sizeof(*r->leaves))};
	const struct worker_message result = {.type = WORKER_RESULT,
		.job = job,
		.claim = bytes_span(&r->claim),
		.bytes = bytes_span(&r->payload)};

	worker_say(w, &trace);
	worker_say(w, &result);
}

static void say_replay(struct worker *w, uint64_t job, bool state, const struct replay *r)
{
	const struct worker_message m = {.type = WORKER_REPLAYED,
		.job = job,
		.bytes = state ? bytes_span(&r->kept)
			       : span_of(r->leaves, r->count * sizeof(*r->leaves))};

	worker_say(w, &m);
}

static void take_order(struct worker *w, const struct worker_message *m)
{
	struct order o = {.m = m};
	struct errmsg msg = {{0}};
	uint64_t job = m->job;
	int rc = unit_decode(&o.unit, m->unit, &msg);

	w->job = job;
	w->stop = w->save = false;
	w->percent = 0;
	if (rc == TK_OK)
		rc = order_listening(w, &o, &msg);
	w->job = 0;
	frame_close(&w->state);
	frame_close(&w->checkpoint);
	if (rc != TK_OK)
		worker_say_failed(w, job, rc, msg.text);
	else if (m->type == WORKER_REPLAY)
		say_replay(w, job, m->keep != 0, &o.replay);
	else
		say_result(w, job, &o.result);
	unit_result_close(&o.result);
	replay_close(&o.replay);
}

/* Short enough that nobody needs to listen meanwhile. */
static void take_selftest(struct worker *w, uint64_t seed)
{
	const struct compute alone = {.engine = w->engine};
	struct digest digests[SELFTEST_OPERATIONS];
	struct worker_message answer = {
		.type = WORKER_SELFTESTED, .job = seed, .bytes = span_of(digests, sizeof(digests))};
	struct errmsg msg = {{0}};
	int rc = selftest_run(&alone, seed, digests, &msg);

	if (rc == TK_OK)
		worker_say(w, &answer);
	else
		worker_say_failed(w, seed, rc, msg.text);
}

static bool take_large(struct worker *w, enum worker_message_type type, size_t used)
{
	struct frame run = {0};
	bool taken;

	if (type == WORKER_STATE)
		return frame_take(w, used, &w->state);
	if (type == WORKER_RESUME)
		return frame_take(w, used, &w->checkpoint);
	taken = frame_take(w, used, &run);
	if (taken)
		take_order(w, &run.m);
	frame_close(&run);
	return taken;
}

/* True when a whole message was there and has been dealt with. */
static bool worker_take(struct worker *w)
{
	struct worker_message m;
	struct errmsg msg = {{0}};
	size_t used;
	int rc = worker_message_decode(&m, bytes_span(&w->arrived), &used, &msg);

	if (rc == TK_ENOENT)
		return false;
	if (rc != TK_OK) {
		worker_break(w, msg.text);
		return false;
	}
	if (m.type == WORKER_RUN || m.type == WORKER_REPLAY || m.type == WORKER_STATE ||
		m.type == WORKER_RESUME)
		return take_large(w, m.type, used);
	if (m.type == WORKER_RECIPE)
		take_recipe(w, &m);
	else if (m.type == WORKER_SHARD)
		take_shard(w, &m);
	else if (m.type == WORKER_SELFTEST)
		take_selftest(w, m.job);
	else if (m.type != WORKER_CANCEL &&
		 m.type != WORKER_SAVE) /* of a job that has ended: nothing to do */
		worker_break(w, "the agent sent what only workers send");
	bytes_consume(&w->arrived, used);
	return true;
}

int worker_serve(int in, int out, const struct engine *engine, struct liar *liar)
{
	struct worker w = {.in = in, .out = out, .over = {-1, -1}, .engine = engine, .liar = liar};
	struct errmsg msg = {{0}};

	if (engine_enter_thread(&msg) != TK_OK) {
		fprintf(stderr, "worker: %s\n", msg.text);
		return 1;
	}
	while (!w.ended) {
		if (worker_wait(&w, -1))
			worker_read(&w);
		while (!w.ended && worker_take(&w))
			;
	}
	worker_forget(&w);
	replay_memo_close(&w.replayed);
	frame_close(&w.state);
	frame_close(&w.checkpoint);
	bytes_close(&w.arrived);
	return w.broken ? 1 : 0;
}
