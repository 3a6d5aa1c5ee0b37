/* Serves blobs to peers straight from disk, and looks after what it serves: a blob that is asked for is
 * read and checked once on the thread pool (again when its file has changed), while its parts are on
 * their way already. One that is missing or corrupt goes to the core as CORE_BLOB_BAD, and whoever asks
 * for it is told that it is missing, gives its lease back and has time for other projects. Only blobs
 * that a running project needs are checked, one at a time, so asking costs us no more than it should. */
#include <stdio.h>
#include <uv.h>

#include "coordinator/serve_state.h"
#include "tasks/base/mem.h"

/* One blob on its way through the thread pool. */
struct check {
	uv_work_t work;
	struct serve *serve;
	struct blob_store blobs;
	struct blob_seen *seen;
	struct digest blob;
	int rc;
	struct errmsg msg;
};

static void check_work(uv_work_t *w)
{
	struct check *k = w->data;
	struct bytes bytes = {0};

	k->rc = blob_store_get(&k->blobs, &k->blob, BLOB_BYTES_MAX, &bytes, &k->msg);
	bytes_close(&bytes);
}

static void blob_is_bad(struct serve *s, const struct digest *blob, const char *why)
{
	struct core_event event = {.type = CORE_BLOB_BAD, .blob = *blob, .text = why};

	serve_step(s, &event);
}

static void check_done(uv_work_t *w, int status)
{
	struct check *k = w->data;
	struct blob_checks *checks = serve_blob_checks(k->serve);

	(void)status;
	checks->busy = false;
	if (k->rc != TK_OK && k->rc != TK_ENOMEM) {
		k->seen->bad = true;
		blob_is_bad(k->serve, &k->blob, k->msg.text);
	}
	mem_free(k);
}

static struct blob_seen *seen_find(struct blob_checks *checks, const struct blob_seen *now)
{
	for (size_t i = 0; i < BLOB_CHECKS; i++)
		if (digest_equal(&checks->seen[i].blob, &now->blob) &&
			checks->seen[i].version == now->version)
			return &checks->seen[i];
	return NULL;
}

void serve_check_again(struct serve *s)
{
	struct blob_checks *checks = serve_blob_checks(s);

	for (size_t i = 0; i < BLOB_CHECKS; i++)
		if (checks->seen[i].bad)
			checks->seen[i] = (struct blob_seen){0};
}

static void check_begin(struct serve *s, const struct blob_seen *now)
{
	struct blob_checks *checks = serve_blob_checks(s);
	struct check *k = mem_calloc(1, sizeof(*k));

	if (k == NULL)
		return; /* another asker will bring it about */
	k->work.data = k;
	k->serve = s;
	k->blobs = serve_home(s)->blobs;
	k->blob = now->blob;
	k->seen = &checks->seen[checks->next]; /* ours until it is done: one check at a time */
	if (uv_queue_work(serve_loop(s), &k->work, check_work, check_done) != 0) {
		mem_free(k);
		return;
	}
	checks->busy = true;
	*k->seen = *now;
	checks->next = (checks->next + 1) % BLOB_CHECKS;
}

/* False when the blob, as it is on disk now, has been found bad. */
static bool look_after(struct serve *s, const struct digest *blob)
{
	struct blob_checks *checks = serve_blob_checks(s);
	struct blob_seen now = {.blob = *blob};
	struct blob_seen *seen;

	if (blob_store_version(&serve_home(s)->blobs, blob, &now.version) != TK_OK)
		return true; /* reading will tell */
	seen = seen_find(checks, &now);
	if (seen == NULL && !checks->busy && serve_needs_blob(s, blob))
		check_begin(s, &now);
	return seen == NULL || !seen->bad;
}

/* Reads what was asked for. TK_EINVAL: it lies beyond the blob's end. */
static int part_read(struct serve *s, const struct message_blob_get *get, uint8_t *out,
	size_t *length, uint64_t *total, struct errmsg *msg)
{
	const struct blob_store *blobs = &serve_home(s)->blobs;
	int rc = blob_store_size(blobs, &get->digest, total);

	if (rc != TK_OK)
		return errmsg_set(msg, rc, "a blob is missing on the coordinator's disk");
	if (get->offset >= *total && *total != 0)
		return TK_EINVAL;
	*length = get->length;
	if (*total - get->offset < *length)
		*length = (size_t)(*total - get->offset);
	return blob_store_read(blobs, &get->digest, get->offset, out, *length, total, msg);
}

static void missing_say(struct serve *s, const struct digest *blob, int rc)
{
	struct errmsg msg = {""};
	char hex[DIGEST_HEX];

	digest_hex(hex, blob);
	errmsg_set(&msg, rc,
		"the blob %s cannot be read from %s; put it back from a backup, then resume", hex,
		serve_home(s)->blobs.folder);
	blob_is_bad(s, blob, msg.text);
}

int serve_blob_part(struct serve *s, const struct message_blob_get *get, struct message *answer)
{
	static uint8_t buffer[BLOB_PART_MAX]; /* one thread, until the next call */
	struct errmsg msg = {""};
	uint64_t total = 0;
	size_t length = 0;
	int rc;

	*answer =
		(struct message){.type = MESSAGE_BLOB_MISSING, .blob_missing.digest = get->digest};
	if (get->offset == 0 && !look_after(s, &get->digest))
		return TK_OK;
	rc = part_read(s, get, buffer, &length, &total, &msg);
	if (rc == TK_EINVAL)
		return rc;
	if (rc == TK_OK)
		*answer = (struct message){.type = MESSAGE_BLOB_PART,
			.blob_part = {get->digest, total, get->offset, {buffer, length}}};
	else if (serve_needs_blob(s, &get->digest))
		missing_say(s, &get->digest, rc);
	return TK_OK;
}
