/* See file.h. */
#include "tasks/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tasks/base/mem.h"

static int code_of(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return TK_ENOENT;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return TK_ENOSPC;
	case ENOMEM:
		return TK_ENOMEM;
	default:
		return TK_EIO;
	}
}

static int failed(struct errmsg *msg, const char *doing, const char *path)
{
	int error = errno;

	return errmsg_set(msg, code_of(error), "cannot %s %s: %s", doing, path, strerror(error));
}

static int read_all(int fd, struct bytes *out, size_t size)
{
	while (out->len < size) {
		ssize_t n = read(fd, out->data + out->len, size - out->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return TK_EIO;
		if (n == 0)
			break; /* it shrank while we read */
		out->len += (size_t)n;
	}
	return TK_OK;
}

int file_read(struct bytes *out, const char *path, size_t max, struct errmsg *msg)
{
	struct bytes in = {0};
	struct stat st;
	int rc;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return failed(msg, "open", path);
	if (fstat(fd, &st) != 0) {
		rc = failed(msg, "read", path);
	} else if (!S_ISREG(st.st_mode)) {
		rc = errmsg_set(msg, TK_EINVAL, "%s is not a regular file", path);
	} else if ((uintmax_t)st.st_size > max) {
		rc = errmsg_set(msg, TK_ELIMIT, "%s has %jd bytes; at most %zu are accepted here",
			path, (intmax_t)st.st_size, max);
	} else {
		rc = bytes_reserve(&in, (size_t)st.st_size + 1);
		if (rc != TK_OK)
			errmsg_set(msg, rc, "not enough memory to read %s", path);
		else if ((rc = read_all(fd, &in, (size_t)st.st_size)) != TK_OK)
			failed(msg, "read", path);
	}
	close(fd);
	if (rc == TK_OK)
		*out = in;
	else
		bytes_close(&in);
	return rc;
}

static int write_all(int fd, struct span data)
{
	for (size_t at = 0; at < data.len;) {
		ssize_t n = write(fd, data.data + at, data.len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += (size_t)n;
	}
	return 0;
}

static int sync_folder_of(const char *path)
{
	char folder[PATH_MAX];
	char *slash;
	int fd;
	int rc;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash == NULL)
		strcpy(folder, ".");
	else if (slash == folder)
		folder[1] = '\0';
	else
		*slash = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

/* A new file beside path, with a name that nobody can foresee; its descriptor, or an error. By open() and not by
 * mkostemp(), which ThreadSanitizer does not watch: it would take the file for the descriptor that another thread
 * had under this number before. */
static int temporary_open(char temporary[PATH_MAX], const char *path, struct errmsg *msg)
{
	uint32_t name;
	int fd;

	if (getrandom(&name, sizeof(name), 0) != (ssize_t)sizeof(name))
		return failed(msg, "draw a name beside", path);
	if (snprintf(temporary, PATH_MAX, "%s.tmp-%06" PRIx32, path, name & 0xffffff) >= PATH_MAX)
		return errmsg_set(msg, TK_ELIMIT, "the path %s is too long", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : failed(msg, "write", path);
}

static int replace(
	const char *path, struct span data, unsigned mode, bool synced, struct errmsg *msg)
{
	char temporary[PATH_MAX];
	int fd = temporary_open(temporary, path, msg);
	int rc = TK_OK;

	if (fd < 0)
		return fd;
	if (fchmod(fd, mode) != 0 || write_all(fd, data) != 0 || (synced && fsync(fd) != 0))
		rc = failed(msg, "write", path);
	if (close(fd) != 0 && rc == TK_OK)
		rc = failed(msg, "write", path);
	if (rc == TK_OK && rename(temporary, path) != 0)
		rc = failed(msg, "rename to", path);
	if (rc != TK_OK)
		unlink(temporary);
	else if (synced && sync_folder_of(path) != 0)
		rc = failed(msg, "sync the folder of", path);
	return rc;
}

int file_replace(const char *path, struct span data, unsigned mode, struct errmsg *msg)
{
	return replace(path, data, mode, true, msg);
}

int file_replace_unsynced(const char *path, struct span data, unsigned mode, struct errmsg *msg)
{
	return replace(path, data, mode, false, msg);
}

static void writer_close(struct file_writer *w)
{
	mem_free(w->path);
	mem_free(w->temporary);
	bytes_close(&w->buffer);
	*w = (struct file_writer){.fd = -1};
}

int file_writer_begin(struct file_writer *w, const char *path, struct errmsg *msg)
{
	char temporary[PATH_MAX];
	int fd = temporary_open(temporary, path, msg);

	if (fd < 0)
		return fd;
	*w = (struct file_writer){.fd = fd,
		.path = mem_dup(path, strlen(path) + 1),
		.temporary = mem_dup(temporary, strlen(temporary) + 1)};
	if (w->path != NULL && w->temporary != NULL)
		return TK_OK;
	close(fd);
	unlink(temporary);
	writer_close(w);
	return errmsg_set(msg, TK_ENOMEM, "not enough memory to write %s", path);
}

static int writer_flush(struct file_writer *w, struct errmsg *msg)
{
	if (write_all(w->fd, bytes_span(&w->buffer)) != 0)
		return failed(msg, "write", w->path);
	w->buffer.len = 0;
	return TK_OK;
}

int file_writer_add(struct file_writer *w, struct span data, struct errmsg *msg)
{
	int rc = bytes_append(&w->buffer, data.data, data.len);

	if (rc != TK_OK)
		return errmsg_set(msg, rc, "not enough memory to write %s", w->path);
	return w->buffer.len < 65536 ? TK_OK : writer_flush(w, msg);
}

int file_writer_end(struct file_writer *w, unsigned mode, struct errmsg *msg)
{
	int rc = writer_flush(w, msg);

	if (rc == TK_OK && (fchmod(w->fd, mode) != 0 || fsync(w->fd) != 0))
		rc = failed(msg, "write", w->path);
	if (rc == TK_OK && rename(w->temporary, w->path) != 0)
		rc = failed(msg, "rename to", w->path);
	if (rc == TK_OK && sync_folder_of(w->path) != 0)
		rc = failed(msg, "sync the folder of", w->path);
	if (rc == TK_OK) {
		close(w->fd);
		writer_close(w);
	}
	return rc;
}

void file_writer_drop(struct file_writer *w)
{
	if (w->fd < 0)
		return;
	close(w->fd);
	unlink(w->temporary);
	writer_close(w);
}

int folder_make(const char *path, bool private, struct errmsg *msg)
{
	mode_t mode = private ? 0700 : 0755;
	char part[PATH_MAX];
	struct stat st;

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return errmsg_set(msg, TK_ELIMIT, "the path %s is too long", path);
	for (char *p = part + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(part, mode) != 0 && errno != EEXIST)
			return failed(msg, "make the folder", part);
		*p = '/';
	}
	if (mkdir(part, mode) != 0 && errno != EEXIST)
		return failed(msg, "make the folder", path);
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return errmsg_set(msg, TK_EEXIST, "%s exists and is not a folder", path);
	return TK_OK;
}

int path_join(char *out, size_t size, const char *folder, const char *name)
{
	return snprintf(out, size, "%s/%s", folder, name) < (int)size ? TK_OK : TK_ELIMIT;
}

bool file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}
