/* Blobs as files named by their digest; see blob_store.h.
 *
 * Everything that returns bytes to be used checks them first; blob_store_read alone does not, because
 * its reader is another node, which checks the whole. A name that is on disk may still be lost in a
 * power failure until its folder is synced, so each put syncs both folders, found or written. */
#include "peer/swarm/blob_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tasks/base/file.h"
#include "tasks/base/mem.h"

#define COMPARE_BYTES 65536u

/* Writes FOLDER/ab and FOLDER/ab/cdef… ; both fit, because init checked the folder's length. */
static void blob_paths(const struct blob_store *s, const struct digest *digest,
	char folder[PATH_MAX], char path[PATH_MAX])
{
	char hex[DIGEST_HEX];

	digest_hex(hex, digest);
	snprintf(folder, PATH_MAX, "%s/%.2s", s->folder, hex);
	snprintf(path, PATH_MAX, "%s/%.2s/%s", s->folder, hex, hex + 2);
}

static int folder_sync(const char *path, struct errmsg *msg)
{
	int rc = TK_OK;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) != 0)
		rc = errmsg_set(
			msg, TK_EIO, "cannot sync the folder %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

int blob_store_init(struct blob_store *s, const char *folder, struct errmsg *msg)
{
	int rc;

	if (strlen(folder) >= sizeof(s->folder))
		return errmsg_set(
			msg, TK_ELIMIT, "the path of the blob folder is too long: %s", folder);
	rc = folder_make(folder, false, msg);
	if (rc != TK_OK)
		return rc == TK_ENOSPC ? rc : TK_EIO;
	snprintf(s->folder, sizeof(s->folder), "%s", folder);
	return TK_OK;
}

/* Reads up to n bytes at offset; fewer only at the end of the file. −1: errno says why. */
static ssize_t read_at(int fd, uint8_t *out, size_t n, uint64_t offset)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(fd, out + done, n - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

/* True when the file holds exactly these bytes. */
static bool file_holds(const char *path, struct span bytes)
{
	uint8_t part[COMPARE_BYTES];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t at = 0;
	bool same;

	if (fd < 0)
		return false;
	same = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == bytes.len;
	while (same && at < bytes.len) {
		size_t n = bytes.len - at < sizeof(part) ? bytes.len - at : sizeof(part);

		same = read_at(fd, part, n, at) == (ssize_t)n &&
		       memcmp(part, bytes.data + at, n) == 0;
		at += n;
	}
	close(fd);
	return same;
}

int blob_store_put(
	const struct blob_store *s, struct digest *digest, struct span bytes, struct errmsg *msg)
{
	char folder[PATH_MAX];
	char path[PATH_MAX];
	struct digest d;
	int rc;

	digest_blob(&d, bytes.data, bytes.len);
	blob_paths(s, &d, folder, path);
	rc = folder_make(folder, false, msg);
	if (rc == TK_OK && file_holds(path, bytes))
		rc = folder_sync(folder, msg);
	else if (rc == TK_OK)
		rc = file_replace(path, bytes, 0644, msg);
	if (rc == TK_OK)
		rc = folder_sync(s->folder, msg);
	if (rc == TK_ENOSPC)
		return errmsg_prefix(msg, rc, "the blob was not stored; make room and try again");
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc == TK_ENOMEM ? rc : TK_EIO, "the blob was not stored");
	*digest = d;
	return TK_OK;
}

int blob_store_adopt(const struct blob_store *s, const struct digest *digest, const char *path,
	struct errmsg *msg)
{
	char folder[PATH_MAX];
	char to[PATH_MAX];
	int rc;

	blob_paths(s, digest, folder, to);
	rc = folder_make(folder, false, msg);
	if (rc == TK_OK && rename(path, to) != 0)
		rc = errmsg_set(msg, errno == ENOSPC ? TK_ENOSPC : TK_EIO,
			"cannot move %s to %s: %s", path, to, strerror(errno));
	if (rc == TK_OK)
		rc = folder_sync(folder, msg);
	if (rc == TK_OK)
		rc = folder_sync(s->folder, msg);
	return rc == TK_OK || rc == TK_ENOSPC ? rc : TK_EIO;
}

/* The blobs of one folder, FOLDER/ab. */
static void list_folder(const struct blob_store *s, const char *first,
	void (*see)(void *context, const struct digest *digest), void *context)
{
	char path[PATH_MAX];
	char hex[PATH_MAX];
	struct dirent *entry;
	struct digest digest;
	DIR *folder;

	snprintf(path, sizeof(path), "%s/%.2s", s->folder, first);
	folder = opendir(path);
	while (folder != NULL && (entry = readdir(folder)) != NULL) {
		snprintf(hex, sizeof(hex), "%.2s%s", first, entry->d_name);
		if (digest_from_hex(&digest, hex) == TK_OK)
			see(context, &digest);
	}
	if (folder != NULL)
		closedir(folder);
}

int blob_store_list(const struct blob_store *s,
	void (*see)(void *context, const struct digest *digest), void *context, struct errmsg *msg)
{
	struct dirent *entry;
	DIR *folder = opendir(s->folder);

	if (folder == NULL)
		return errmsg_set(msg, TK_EIO, "cannot read %s: %s", s->folder, strerror(errno));
	while ((entry = readdir(folder)) != NULL)
		if (strlen(entry->d_name) == 2 && entry->d_name[0] != '.')
			list_folder(s, entry->d_name, see, context);
	closedir(folder);
	return TK_OK;
}

int blob_store_get(const struct blob_store *s, const struct digest *digest, size_t max,
	struct bytes *out, struct errmsg *msg)
{
	char folder[PATH_MAX];
	char path[PATH_MAX];
	struct bytes in = {0};
	struct digest is;
	int rc;

	blob_paths(s, digest, folder, path);
	rc = file_read(&in, path, max, msg);
	if (rc == TK_EINVAL) /* something that is not a file has taken its name */
		return TK_EIO;
	if (rc != TK_OK)
		return rc;
	digest_blob(&is, in.data, in.len);
	if (!digest_equal(&is, digest)) {
		bytes_close(&in);
		return errmsg_set(msg, TK_ECORRUPT,
			"the blob in %s is corrupt: its bytes do not have the digest in its name; "
			"check the disk and fetch it again",
			path);
	}
	*out = in;
	return TK_OK;
}

static int tops_read(
	const char *path, int fd, uint64_t total, struct digest *nodes, struct errmsg *msg)
{
	uint8_t *part = mem_alloc(BLOB_PART);
	int rc = part != NULL ? TK_OK
			      : errmsg_set(msg, TK_ENOMEM, "not enough memory to check a blob");

	for (size_t i = 0; rc == TK_OK && i < blob_part_count(total); i++) {
		uint64_t left = total - (uint64_t)i * BLOB_PART;
		size_t n = left < BLOB_PART ? (size_t)left : BLOB_PART;

		if (read_at(fd, part, n, (uint64_t)i * BLOB_PART) != (ssize_t)n)
			rc = errmsg_set(msg, TK_EIO, "cannot read %s", path);
		else
			blob_part_top(&nodes[i], part, n);
	}
	mem_free(part);
	return rc;
}

static int tree_read(const char *path, int fd, const struct digest *digest, uint64_t total,
	struct digest **out, struct errmsg *msg)
{
	size_t parts = blob_part_count(total);
	struct digest *nodes = mem_calloc(blob_tree_nodes(parts), sizeof(*nodes));
	struct digest root;
	int rc = nodes != NULL ? tops_read(path, fd, total, nodes, msg)
			       : errmsg_set(msg, TK_ENOMEM, "not enough memory to check a blob");

	if (rc == TK_OK) {
		blob_tree_build(&root, nodes, parts, total);
		if (!digest_equal(&root, digest))
			rc = errmsg_set(msg, TK_ECORRUPT,
				"the blob in %s is corrupt: its bytes do not have the digest in "
				"its name; check the disk and fetch it again",
				path);
	}
	if (rc == TK_OK)
		*out = nodes;
	else
		mem_free(nodes);
	return rc;
}

int blob_store_tree(const struct blob_store *s, const struct digest *digest, uint64_t max,
	uint64_t *total, struct digest **nodes, struct errmsg *msg)
{
	char folder[PATH_MAX];
	char path[PATH_MAX];
	struct stat st;
	int rc;
	int fd;

	blob_paths(s, digest, folder, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errmsg_set(msg, errno == ENOENT ? TK_ENOENT : TK_EIO, "cannot open %s: %s",
			path, strerror(errno));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		rc = errmsg_set(msg, TK_EIO, "%s is not a readable file", path);
	else if (st.st_size == 0)
		rc = errmsg_set(msg, TK_ECORRUPT, "the blob in %s is empty", path);
	else if ((uint64_t)st.st_size > max)
		rc = errmsg_set(msg, TK_ELIMIT, "the blob in %s is too long", path);
	else
		rc = tree_read(path, fd, digest, (uint64_t)st.st_size, nodes, msg);
	if (rc == TK_OK)
		*total = (uint64_t)st.st_size;
	close(fd);
	return rc;
}

int blob_store_size(const struct blob_store *s, const struct digest *digest, uint64_t *size)
{
	char folder[PATH_MAX];
	char path[PATH_MAX];
	struct stat st;

	blob_paths(s, digest, folder, path);
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return TK_ENOENT;
	*size = (uint64_t)st.st_size;
	return TK_OK;
}

int blob_store_version(const struct blob_store *s, const struct digest *digest, uint64_t *version)
{
	char folder[PATH_MAX];
	char path[PATH_MAX];
	struct stat st;

	blob_paths(s, digest, folder, path);
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return TK_ENOENT;
	*version = (uint64_t)st.st_ino * 0x9e3779b97f4a7c15u ^ (uint64_t)st.st_size << 40 ^
		   (uint64_t)st.st_mtim.tv_sec * 1000000000u ^ (uint64_t)st.st_mtim.tv_nsec;
	return TK_OK;
}

void blob_store_use(const struct blob_store *s, const struct digest *digest)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
	char folder[PATH_MAX];
	char path[PATH_MAX];

	blob_paths(s, digest, folder, path);
	(void)utimensat(AT_FDCWD, path, times, 0); /* at worst it leaves sooner */
}

uint64_t blob_store_used_s(const struct blob_store *s, const struct digest *digest)
{
	char folder[PATH_MAX];
	char path[PATH_MAX];
	struct stat st;

	blob_paths(s, digest, folder, path);
	return stat(path, &st) == 0 ? (uint64_t)st.st_mtim.tv_sec : 0;
}

int blob_store_read(const struct blob_store *s, const struct digest *digest, uint64_t offset,
	uint8_t *out, size_t length, uint64_t *total, struct errmsg *msg)
{
	char folder[PATH_MAX];
	char path[PATH_MAX];
	struct stat st;
	int rc = TK_OK;
	int fd;

	blob_paths(s, digest, folder, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return errmsg_set(msg, errno == ENOENT ? TK_ENOENT : TK_EIO, "cannot open %s: %s",
			path, strerror(errno));
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		rc = errmsg_set(msg, TK_EIO, "%s is not a readable file", path);
	} else if (offset > (uint64_t)st.st_size || length > (uint64_t)st.st_size - offset) {
		rc = errmsg_set(msg, TK_EINVAL,
			"bytes %llu to %llu were asked of a blob of %lld bytes",
			(unsigned long long)offset, (unsigned long long)offset + length,
			(long long)st.st_size);
	} else if (read_at(fd, out, length, offset) != (ssize_t)length) {
		rc = errmsg_set(msg, TK_EIO, "cannot read %s", path);
	} else {
		*total = (uint64_t)st.st_size;
	}
	close(fd);
	return rc;
}

void blob_store_remove(const struct blob_store *s, const struct digest *digest)
{
	char folder[PATH_MAX];
	char path[PATH_MAX];

	blob_paths(s, digest, folder, path);
	unlink(path);
}
