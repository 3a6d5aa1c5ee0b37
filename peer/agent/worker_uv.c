/* See worker_uv.h. What a process was sent is noted, so that recipe and shards go to it once. */
#include "peer/agent/worker_uv.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "tasks/base/mem.h"

/* One child with its pipes. It is told of once both its exit and the end of its output were seen, and
 * freed when its three handles are closed. */
struct process {
	struct worker_uv *owner; /* NULL: nobody listens any more */
	uv_process_t child;
	uv_pipe_t to, from;
	unsigned open; /* handles */
	bool exited, ended;
	char why[TEXT_MAX];
	struct bytes arrived;
	uint8_t part[65536];
};

struct worker_uv {
	uv_loop_t *loop;
	const char *program;
	char lies[64];
	const struct agent_files *files;
	const struct worker_handler *handler;
	struct process *process; /* NULL: none runs */

	/* what the process has */
	bool has_recipe;
	struct digest recipe;
	struct bytes shards; /* digests */
	uint64_t shard_bytes;
};

struct outgoing {
	uv_write_t request;
	struct bytes frame;
};

struct worker_uv *worker_uv_new(struct uv_loop_s *loop, const char *program, const char *lies,
	const struct agent_files *files, const struct worker_handler *handler)
{
	struct worker_uv *w = mem_calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->loop = loop;
	w->program = program;
	snprintf(w->lies, sizeof(w->lies), "%s", lies);
	w->files = files;
	w->handler = handler;
	return w;
}

static void forget_sent(struct worker_uv *w)
{
	w->has_recipe = false;
	w->shards.len = 0;
	w->shard_bytes = 0;
}

/* The end of a process */

static void on_handle_closed(uv_handle_t *handle)
{
	struct process *p = handle->data;

	if (--p->open != 0)
		return;
	bytes_close(&p->arrived);
	mem_free(p);
}

static void close_handle(uv_handle_t *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, on_handle_closed);
}

static void process_close(struct process *p)
{
	close_handle((uv_handle_t *)&p->child);
	close_handle((uv_handle_t *)&p->to);
	close_handle((uv_handle_t *)&p->from);
}

/* Takes the process away from its owner: whatever it still does is of no interest. */
static void process_leave(struct process *p)
{
	if (p->owner != NULL) {
		p->owner->process = NULL;
		forget_sent(p->owner);
		p->owner = NULL;
	}
	if (!p->exited)
		(void)uv_process_kill(&p->child, SIGKILL);
	process_close(p);
}

static void process_over(struct process *p)
{
	struct worker_uv *w = p->owner;
	char why[TEXT_MAX];

	if (!p->exited || !p->ended)
		return;
	snprintf(why, sizeof(why), "%s", p->why);
	process_leave(p);
	if (w != NULL)
		w->handler->gone(w->handler->context, why);
}

static void on_exit_of_child(uv_process_t *child, int64_t status, int signal_number)
{
	struct process *p = child->data;

	p->exited = true;
	if (p->why[0] == '\0' && signal_number == SIGKILL)
		snprintf(p->why, sizeof(p->why),
			"it was killed (signal 9): did this computer run out of memory?");
	else if (p->why[0] == '\0' && signal_number != 0)
		snprintf(p->why, sizeof(p->why), "it was ended by signal %d", signal_number);
	else if (p->why[0] == '\0')
		snprintf(p->why, sizeof(p->why), "it ended with code %d", (int)status);
	process_over(p);
}

/* Reading */

static void process_break(struct process *p, const char *why)
{
	snprintf(p->why, sizeof(p->why), "%.250s", why);
	(void)uv_process_kill(&p->child, SIGKILL);
	p->ended = true;
	uv_read_stop((uv_stream_t *)&p->from);
	process_over(p);
}

static void take_messages(struct process *p)
{
	struct errmsg msg = {{0}};
	int rc = TK_OK;

	while (p->owner != NULL && !p->ended) {
		struct worker_message m;
		size_t used;

		rc = worker_message_decode(&m, bytes_span(&p->arrived), &used, &msg);
		if (rc != TK_OK)
			break;
		if (m.type < WORKER_PROGRESS || m.type == WORKER_SELFTEST ||
			m.type == WORKER_REPLAY) {
			rc = errmsg_set(&msg, TK_EPROTO, "it said what only agents say");
			break;
		}
		p->owner->handler->message(p->owner->handler->context, &m);
		bytes_consume(&p->arrived, used);
	}
	if (p->owner != NULL && rc != TK_OK && rc != TK_ENOENT)
		process_break(p, msg.text);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct process *p = handle->data;

	(void)suggested;
	*buf = uv_buf_init((char *)p->part, sizeof(p->part));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct process *p = stream->data;

	if (n == 0 || p->owner == NULL)
		return;
	if (n < 0) {
		p->ended = true;
		uv_read_stop(stream);
		process_over(p);
	} else if (bytes_append(&p->arrived, buf->base, (size_t)n) != TK_OK) {
		process_break(p, "not enough memory for what it computed");
	} else {
		take_messages(p);
	}
}

/* Starting */

static int spawn(struct worker_uv *w, struct process *p)
{
	char name[] = "talkoot-peer", role[] = "worker";
	char *argv[] = {name, role, w->lies[0] != '\0' ? w->lies : NULL, NULL};
	uv_stdio_container_t stdio[3] = {
		{.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&p->to},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
			.data.stream = (uv_stream_t *)&p->from},
		{.flags = UV_INHERIT_FD, .data.fd = 2},
	};
	uv_process_options_t options = {.file = w->program,
		.args = argv,
		.stdio = stdio,
		.stdio_count = 3,
		.exit_cb = on_exit_of_child};

	return uv_spawn(w->loop, &p->child, &options);
}

static int start(struct worker_uv *w, struct errmsg *msg)
{
	struct process *p;
	int rc;

	if (w->process != NULL)
		return TK_OK;
	p = mem_calloc(1, sizeof(*p));
	if (p == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to start a worker");
	uv_pipe_init(w->loop, &p->to, 0);
	uv_pipe_init(w->loop, &p->from, 0);
	p->child.data = p->to.data = p->from.data = p;
	p->open = 3;
	rc = spawn(w, p);
	if (rc != 0) {
		p->exited = true; /* uv_spawn has initialised the handle all the same */
		process_close(p);
		return errmsg_set(
			msg, TK_EIO, "the worker process does not start: %s", uv_strerror(rc));
	}
	p->owner = w;
	w->process = p;
	forget_sent(w);
	rc = uv_read_start((uv_stream_t *)&p->from, on_alloc, on_read);
	if (rc != 0) {
		process_leave(p);
		return errmsg_set(
			msg, TK_EIO, "the worker process cannot be heard: %s", uv_strerror(rc));
	}
	return TK_OK;
}

/* Sending */

static void on_written(uv_write_t *request, int status)
{
	struct outgoing *o = request->data;

	(void)status; /* a process that cannot be written to ends, and that is told */
	bytes_close(&o->frame);
	mem_free(o);
}

static int send_message(struct worker_uv *w, const struct worker_message *m, struct errmsg *msg)
{
	struct outgoing *o = mem_calloc(1, sizeof(*o));
	uv_buf_t buf;
	int rc;

	if (o == NULL || worker_message_encode(m, &o->frame) != TK_OK) {
		mem_free(o);
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to feed the worker");
	}
	o->request.data = o;
	buf = uv_buf_init((char *)o->frame.data, (unsigned)o->frame.len);
	rc = uv_write(&o->request, (uv_stream_t *)&w->process->to, &buf, 1, on_written);
	if (rc == 0)
		return TK_OK;
	bytes_close(&o->frame);
	mem_free(o);
	return errmsg_set(msg, TK_EIO, "the worker cannot be fed: %s", uv_strerror(rc));
}

/* Reads a blob; one that is corrupt is removed, so that it is fetched again. */
static int load(struct worker_uv *w, enum agent_blob kind, const struct digest *digest, size_t max,
	struct bytes *out, struct errmsg *msg)
{
	const struct blob_store *store = agent_files_store(w->files, kind);
	int rc = blob_store_get(store, digest, max, out, msg);

	if (rc != TK_ECORRUPT && rc != TK_ELIMIT)
		return rc;
	blob_store_remove(store, digest);
	return TK_ENOENT;
}

static bool has_shard(const struct worker_uv *w, const struct digest *digest)
{
	for (size_t at = 0; at < w->shards.len; at += DIGEST_BYTES)
		if (memcmp(w->shards.data + at, digest->b, DIGEST_BYTES) == 0)
			return true;
	return false;
}

static int send_recipe(struct worker_uv *w, const struct digest *recipe, struct errmsg *msg)
{
	struct worker_message m = {.type = WORKER_RECIPE};
	struct bytes data = {0};
	int rc = load(w, BLOB_RECIPE, recipe, RECIPE_BYTES_MAX, &data, msg);

	if (rc != TK_OK)
		return rc;
	m.bytes = bytes_span(&data);
	rc = send_message(w, &m, msg);
	bytes_close(&data);
	if (rc == TK_OK) {
		forget_sent(w);
		w->has_recipe = true;
		w->recipe = *recipe;
	}
	return rc;
}

static int send_shard(struct worker_uv *w, const struct digest *digest, struct errmsg *msg)
{
	struct worker_message m = {.type = WORKER_SHARD, .digest = *digest};
	struct bytes data = {0};
	int rc;

	if (has_shard(w, digest))
		return TK_OK;
	rc = load(w, BLOB_SHARD, digest, SHARD_BYTES, &data, msg);
	if (rc != TK_OK)
		return rc;
	m.bytes = bytes_span(&data);
	rc = send_message(w, &m, msg);
	if (rc == TK_OK)
		rc = bytes_append(&w->shards, digest->b, DIGEST_BYTES);
	if (rc == TK_OK)
		w->shard_bytes += data.len;
	bytes_close(&data);
	return rc;
}

/* The bytes of the order's shards that the worker does not have. */
static int missing_bytes(
	const struct worker_uv *w, const struct bytes *shards, uint64_t *all, uint64_t *missing)
{
	*all = *missing = 0;
	for (size_t at = 0; at < shards->len; at += DIGEST_BYTES) {
		struct digest digest;
		uint64_t size;

		memcpy(digest.b, shards->data + at, DIGEST_BYTES);
		if (blob_store_size(agent_files_store(w->files, BLOB_SHARD), &digest, &size) !=
			TK_OK)
			return TK_ENOENT;
		*all += size;
		*missing += has_shard(w, &digest) ? 0 : size;
	}
	return TK_OK;
}

static int send_project(struct worker_uv *w, const struct agent_effect *order, struct errmsg *msg)
{
	bool other = !w->has_recipe || !digest_equal(&w->recipe, &order->recipe);
	uint64_t all, missing;
	int rc = missing_bytes(w, &order->shards, &all, &missing);

	if (rc != TK_OK)
		return rc;
	if (all > WORKER_SHARDS_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"the unit reads %llu MB of data at once; a worker keeps %u MB",
			(unsigned long long)(all >> 20), WORKER_SHARDS_MAX >> 20);
	if (other || w->shard_bytes + missing > WORKER_SHARDS_MAX)
		rc = send_recipe(w, &order->recipe, msg);
	for (size_t at = 0; rc == TK_OK && at < order->shards.len; at += DIGEST_BYTES) {
		struct digest digest;

		memcpy(digest.b, order->shards.data + at, DIGEST_BYTES);
		rc = send_shard(w, &digest, msg);
	}
	return rc;
}

/* What the unit begins with besides its parameters. A checkpoint that cannot be read is done without. */
static int send_start(struct worker_uv *w, const struct agent_effect *order, struct errmsg *msg)
{
	struct worker_message m = {.type = WORKER_STATE};
	struct bytes data = {0};
	int rc = TK_OK;

	if (!digest_is_zero(&order->state)) {
		rc = load(w, BLOB_STATE, &order->state, BLOB_BYTES_MAX, &data, msg);
		m.bytes = bytes_span(&data);
		if (rc == TK_OK)
			rc = send_message(w, &m, msg);
		bytes_close(&data);
	}
	if (rc == TK_OK && order->resume &&
		agent_files_read_checkpoint(w->files, &order->digest, &data, NULL) == TK_OK) {
		m.type = WORKER_RESUME;
		m.bytes = bytes_span(&data);
		rc = send_message(w, &m, msg);
	}
	bytes_close(&data);
	return rc;
}

int worker_uv_compute(struct worker_uv *w, const struct agent_effect *order, struct errmsg *msg)
{
	struct worker_message m = {.type = order->type == AGENT_REPLAY ? WORKER_REPLAY : WORKER_RUN,
		.job = order->job,
		.unit = bytes_span(&order->bytes),
		.first = order->first,
		.to = order->to,
		.keep = order->keep};
	struct bytes parameters = {0};
	int rc = start(w, msg);

	if (rc == TK_OK)
		rc = send_project(w, order, msg);
	if (rc == TK_OK)
		rc = load(w, BLOB_PARAMETERS, &order->parameters, PARAMETERS_MAX * 4, &parameters,
			msg);
	if (rc == TK_OK)
		rc = send_start(w, order, msg);
	if (rc == TK_OK) {
		m.bytes = bytes_span(&parameters);
		rc = send_message(w, &m, msg);
	}
	bytes_close(&parameters);
	if (rc != TK_OK && rc != TK_ENOENT && w->process != NULL)
		process_leave(w->process); /* what it heard may be half of a unit */
	return rc;
}

int worker_uv_say(struct worker_uv *w, const struct worker_message *m, struct errmsg *msg)
{
	int rc = start(w, msg);

	return rc == TK_OK ? send_message(w, m, msg) : rc;
}

void worker_uv_save(struct worker_uv *w, uint64_t job)
{
	struct worker_message m = {.type = WORKER_SAVE, .job = job};

	if (w->process != NULL)
		(void)!send_message(w, &m, NULL); /* another time, then */
}

void worker_uv_cancel(struct worker_uv *w, uint64_t job)
{
	struct worker_message m = {.type = WORKER_CANCEL, .job = job};

	if (w->process != NULL && send_message(w, &m, NULL) != TK_OK)
		process_leave(w->process); /* then it is stopped this way */
}

void worker_uv_close(struct worker_uv *w)
{
	if (w->process != NULL)
		process_leave(w->process);
}

void worker_uv_free(struct worker_uv *w)
{
	if (w == NULL)
		return;
	bytes_close(&w->shards);
	mem_free(w);
}
