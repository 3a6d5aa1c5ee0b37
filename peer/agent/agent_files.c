/* See agent_files.h. A result is one file, results/<nonce in hex>; its payload is the file's end. A
 * checkpoint is checkpoints/<unit in hex>. */
#include "peer/agent/agent_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peer/agent/worker_protocol.h"
#include "tasks/base/file.h"

#define LEASE_BYTES	 (2u * DIGEST_BYTES) /* nonce, unit */
#define LEASES_BYTES_MAX ((AGENT_JOBS_MAX + AGENT_RESULTS_MAX + AGENT_ABANDONED_MAX) * LEASE_BYTES)

static int under(char *out, size_t size, const char *folder, const char *name, struct errmsg *msg)
{
	int rc = path_join(out, size, folder, name);

	return rc == TK_OK ? rc : errmsg_set(msg, rc, "the path %.200s… is too long", folder);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	if (at->level > 0)
		(void)remove(path); /* what stays is removed at another start */
	return 0;
}

int agent_files_open(struct agent_files *f, const char *home, struct errmsg *msg)
{
	char name[AGENT_PATH_MAX];
	int rc = snprintf(f->home, sizeof(f->home), "%s", home) < (int)sizeof(f->home)
			 ? under(f->results, sizeof(f->results), home, "results", msg)
			 : errmsg_set(msg, TK_ELIMIT, "the home's path is too long");

	if (rc == TK_OK)
		rc = folder_make(f->results, true, msg);
	if (rc == TK_OK)
		rc = under(f->checkpoints, sizeof(f->checkpoints), home, "checkpoints", msg);
	if (rc == TK_OK)
		rc = folder_make(f->checkpoints, true, msg);
	if (rc == TK_OK)
		rc = under(f->arriving, sizeof(f->arriving), home, "arriving", msg);
	if (rc == TK_OK)
		rc = under(name, sizeof(name), home, "blobs", msg);
	if (rc == TK_OK)
		rc = blob_store_init(&f->blobs, name, msg);
	if (rc == TK_OK)
		rc = under(name, sizeof(name), home, "parameters", msg);
	if (rc == TK_OK) {
		(void)nftw(name, remove_one, 8, FTW_DEPTH | FTW_PHYS);
		rc = blob_store_init(&f->parameters, name, msg);
	}
	return rc;
}

const struct blob_store *agent_files_store(const struct agent_files *f, enum agent_blob kind)
{
	return kind == BLOB_PARAMETERS || kind == BLOB_STATE ? &f->parameters : &f->blobs;
}

static int file_path(
	const char *folder, const struct digest *name, char *out, size_t size, struct errmsg *msg)
{
	char hex[DIGEST_HEX];

	digest_hex(hex, name);
	return under(out, size, folder, hex, msg);
}

static int result_path(const struct agent_files *f, const struct digest *nonce, char *out,
	size_t size, struct errmsg *msg)
{
	return file_path(f->results, nonce, out, size, msg);
}

int agent_files_save_result(const struct agent_files *f, const struct digest *nonce,
	struct span record, struct errmsg *msg)
{
	char path[AGENT_PATH_MAX];
	int rc = result_path(f, nonce, path, sizeof(path), msg);

	return rc == TK_OK ? file_replace(path, record, 0600, msg) : rc;
}

void agent_files_remove_result(const struct agent_files *f, const struct digest *nonce)
{
	char path[AGENT_PATH_MAX];

	if (result_path(f, nonce, path, sizeof(path), NULL) == TK_OK)
		(void)unlink(path);
}

/* Reads exactly length bytes at an offset from the end. */
static int read_tail(
	int fd, uint64_t from_end, uint32_t length, struct bytes *out, struct errmsg *msg)
{
	struct stat st;
	size_t got = 0;
	off_t at;

	if (fstat(fd, &st) != 0 || (uint64_t)st.st_size < from_end)
		return errmsg_set(msg, TK_EIO, "a result on disk is shorter than what it holds");
	at = (off_t)((uint64_t)st.st_size - from_end);
	if (bytes_reserve(out, length) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to read a result");
	while (got < length) {
		ssize_t n = pread(fd, out->data + out->len + got, length - got, at + (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return errmsg_set(msg, TK_EIO, "a result cannot be read: %s",
				n < 0 ? strerror(errno) : "it was cut short");
		got += (size_t)n;
	}
	out->len += length;
	return TK_OK;
}

int agent_files_read_result(const struct agent_files *f, const struct digest *nonce, uint64_t total,
	uint64_t offset, uint32_t length, struct bytes *out, struct errmsg *msg)
{
	char path[AGENT_PATH_MAX];
	int rc = result_path(f, nonce, path, sizeof(path), msg);
	int fd;

	if (rc != TK_OK)
		return rc;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errmsg_set(msg, TK_EIO, "cannot open %s: %s", path, strerror(errno));
	rc = read_tail(fd, total - offset, length, out, msg);
	close(fd);
	return rc;
}

int agent_files_save_checkpoint(const struct agent_files *f, const struct digest *unit,
	struct span checkpoint, struct errmsg *msg)
{
	char path[AGENT_PATH_MAX];
	int rc = file_path(f->checkpoints, unit, path, sizeof(path), msg);

	return rc == TK_OK ? file_replace_unsynced(path, checkpoint, 0600, msg) : rc;
}

int agent_files_read_checkpoint(const struct agent_files *f, const struct digest *unit,
	struct bytes *out, struct errmsg *msg)
{
	char path[AGENT_PATH_MAX];
	int rc = file_path(f->checkpoints, unit, path, sizeof(path), msg);

	return rc == TK_OK ? file_read(out, path, WORKER_CHECKPOINT_MAX, msg) : rc;
}

void agent_files_remove_checkpoint(const struct agent_files *f, const struct digest *unit)
{
	char path[AGENT_PATH_MAX];

	if (file_path(f->checkpoints, unit, path, sizeof(path), NULL) == TK_OK)
		(void)unlink(path);
}

int agent_files_save_leases(const struct agent_files *f, struct span nonces, struct errmsg *msg)
{
	char path[AGENT_PATH_MAX];
	int rc = under(path, sizeof(path), f->home, "leases", msg);

	return rc == TK_OK ? file_replace_unsynced(path, nonces, 0600, msg) : rc;
}

static int load_result(
	const struct agent_files *f, struct agent *a, const char *name, struct errmsg *msg)
{
	struct result_record record;
	struct digest nonce;
	struct bytes data = {0};
	char path[AGENT_PATH_MAX];
	int rc = digest_from_hex(&nonce, name);

	if (rc == TK_OK)
		rc = result_path(f, &nonce, path, sizeof(path), msg);
	if (rc == TK_OK)
		rc = file_read(&data, path, RESULT_RECORD_BYTES_MAX, msg);
	if (rc != TK_OK)
		return rc;
	rc = result_record_decode(&record, bytes_span(&data), msg);
	if (rc == TK_OK && !digest_equal(&record.nonce, &nonce))
		rc = errmsg_set(msg, TK_ECORRUPT, "it is the result of another lease");
	if (rc == TK_OK)
		rc = agent_load_result(a, &record, msg);
	secret_wipe(&record, sizeof(record));
	bytes_close(&data);
	return rc == TK_OK ? rc : errmsg_prefix(msg, rc, "%s", path);
}

static int load_results(const struct agent_files *f, struct agent *a,
	void (*log)(void *context, const char *line), void *context, struct errmsg *msg)
{
	struct dirent *entry;
	struct errmsg why;
	DIR *folder = opendir(f->results);

	if (folder == NULL)
		return errmsg_set(msg, TK_EIO, "cannot read %s: %s", f->results, strerror(errno));
	while ((entry = readdir(folder)) != NULL) {
		char path[AGENT_PATH_MAX];
		size_t length = strlen(entry->d_name);

		if (length != DIGEST_HEX - 1) {
			/* half-written when the machine stopped: nothing was promised for it */
			if (strstr(entry->d_name, ".tmp-") != NULL &&
				under(path, sizeof(path), f->results, entry->d_name, NULL) == TK_OK)
				(void)unlink(path);
			continue;
		}
		why.text[0] = '\0';
		if (load_result(f, a, entry->d_name, &why) != TK_OK)
			log(context, why.text[0] != '\0' ? why.text : "a result cannot be read");
	}
	closedir(folder);
	return TK_OK;
}

/* What the agent does not want to hear of, like a file half written, leaves the disk. */
static int load_checkpoints(const struct agent_files *f, struct agent *a, struct errmsg *msg)
{
	struct dirent *entry;
	DIR *folder = opendir(f->checkpoints);

	if (folder == NULL)
		return errmsg_set(
			msg, TK_EIO, "cannot read %s: %s", f->checkpoints, strerror(errno));
	while ((entry = readdir(folder)) != NULL) {
		char path[AGENT_PATH_MAX];
		struct digest unit;

		if (entry->d_name[0] == '.' || (digest_from_hex(&unit, entry->d_name) == TK_OK &&
						       agent_load_checkpoint(a, &unit) == TK_OK))
			continue;
		if (under(path, sizeof(path), f->checkpoints, entry->d_name, NULL) == TK_OK)
			(void)unlink(path);
	}
	closedir(folder);
	return TK_OK;
}

int agent_files_load(const struct agent_files *f, struct agent *a,
	void (*log)(void *context, const char *line), void *context, struct errmsg *msg)
{
	struct bytes leases = {0};
	char path[AGENT_PATH_MAX];
	int rc = load_results(f, a, log, context, msg);

	if (rc == TK_OK)
		rc = load_checkpoints(f, a, msg);
	if (rc == TK_OK)
		rc = under(path, sizeof(path), f->home, "leases", msg);
	if (rc != TK_OK || !file_exists(path))
		return rc;
	if (file_read(&leases, path, LEASES_BYTES_MAX, NULL) != TK_OK)
		return TK_OK; /* a hint: the deadlines do without it */
	for (size_t at = 0; at + LEASE_BYTES <= leases.len; at += LEASE_BYTES) {
		struct digest nonce, unit;

		memcpy(nonce.b, leases.data + at, DIGEST_BYTES);
		memcpy(unit.b, leases.data + at + DIGEST_BYTES, DIGEST_BYTES);
		(void)!agent_load_lease(a, &nonce, &unit); /* one with a result is not given back */
	}
	bytes_close(&leases);
	return TK_OK;
}
