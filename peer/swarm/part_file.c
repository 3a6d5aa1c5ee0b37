/* See part_file.h. The tree's file: le64 total, then all nodes of the tree. */
#include "peer/swarm/part_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tasks/base/mem.h"

#define HEADER_BYTES 8u

static int failed(const struct part_file *f, const char *what, struct errmsg *msg)
{
	return errmsg_set(msg, errno == ENOSPC ? TK_ENOSPC : TK_EIO, "cannot %s %s: %s", what,
		f->path, strerror(errno));
}

static bool read_all(int fd, void *out, size_t n, uint64_t offset)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(fd, (uint8_t *)out + done, n - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

static bool write_all(int fd, const void *data, size_t n, uint64_t offset)
{
	size_t done = 0;

	while (done < n) {
		ssize_t put =
			pwrite(fd, (const uint8_t *)data + done, n - done, (off_t)(offset + done));

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return false;
		done += (size_t)put;
	}
	return true;
}

static bool path_of(char out[1100], const char *folder, const struct digest *digest)
{
	char hex[DIGEST_HEX];

	digest_hex(hex, digest);
	return snprintf(out, 1100, "%s/%s", folder, hex) < 1100 - 8;
}

static int open_one(const char *path, const char *ending, int flags)
{
	char name[1120];

	snprintf(name, sizeof(name), "%s.%s", path, ending);
	return open(name, flags | O_CLOEXEC, 0644);
}

static void unlink_one(const char *path, const char *ending)
{
	char name[1120];

	snprintf(name, sizeof(name), "%s.%s", path, ending);
	(void)unlink(name);
}

static size_t part_length(const struct part_file *f, size_t index)
{
	uint64_t left = f->total - (uint64_t)index * BLOB_PART;

	return left < BLOB_PART ? (size_t)left : BLOB_PART;
}

uint64_t part_file_total(const char *folder, const struct digest *digest)
{
	uint8_t header[HEADER_BYTES] = {0};
	char path[1100];
	int fd;

	if (!path_of(path, folder, digest))
		return 0;
	fd = open_one(path, "tree", O_RDONLY);
	if (fd < 0 || !read_all(fd, header, sizeof(header), 0))
		memset(header, 0, sizeof(header));
	if (fd >= 0)
		close(fd);
	return load_le64(header);
}

/* What an earlier run has left, part by part. */
static void check_parts(struct part_file *f)
{
	uint8_t *bytes = mem_alloc(BLOB_PART);
	struct digest path[64];

	for (size_t i = 0; bytes != NULL && i < f->parts; i++) {
		size_t n = part_length(f, i);
		size_t steps = blob_part_path(path, f->nodes, f->parts, i);

		if (digest_is_zero(&f->nodes[i]) ||
			!read_all(f->data, bytes, n, (uint64_t)i * BLOB_PART) ||
			!blob_part_verify(&f->digest, f->total, (uint64_t)i * BLOB_PART,
				span_of(bytes, n), path, steps))
			continue;
		blob_part_top(&f->nodes[i], bytes, n);
		f->words[i / 64] |= (uint64_t)1 << i % 64;
	}
	mem_free(bytes);
}

static int files_open(struct part_file *f, bool found, struct errmsg *msg)
{
	size_t bytes = blob_tree_nodes(f->parts) * sizeof(*f->nodes);
	uint8_t header[HEADER_BYTES];

	f->data = open_one(f->path, "part", O_RDWR | O_CREAT);
	f->tree = open_one(f->path, "tree", O_RDWR | O_CREAT);
	if (f->data < 0 || f->tree < 0)
		return failed(f, "open", msg);
	if (found && read_all(f->tree, f->nodes, bytes, HEADER_BYTES)) {
		check_parts(f);
		return TK_OK;
	}
	memset(f->nodes, 0, bytes);
	store_le64(header, f->total);
	if (ftruncate(f->tree, 0) != 0 || !write_all(f->tree, header, sizeof(header), 0) ||
		ftruncate(f->tree, (off_t)(HEADER_BYTES + bytes)) != 0)
		return failed(f, "write", msg);
	return TK_OK;
}

int part_file_open(struct part_file *f, const char *folder, const struct digest *digest,
	uint64_t total, struct errmsg *msg)
{
	bool found = part_file_total(folder, digest) == total;
	int rc;

	*f = (struct part_file){.data = -1,
		.tree = -1,
		.digest = *digest,
		.total = total,
		.parts = blob_part_count(total)};
	if (!path_of(f->path, folder, digest))
		return errmsg_set(msg, TK_ELIMIT, "the path %.200s is too long", folder);
	f->nodes = mem_calloc(blob_tree_nodes(f->parts), sizeof(*f->nodes));
	f->words = mem_calloc((f->parts + 63) / 64, sizeof(*f->words));
	if (f->nodes == NULL || f->words == NULL)
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory to fetch a blob");
	else
		rc = files_open(f, found, msg);
	if (rc != TK_OK)
		part_file_close(f);
	return rc;
}

void part_file_close(struct part_file *f)
{
	if (f->data >= 0)
		close(f->data);
	if (f->tree >= 0)
		close(f->tree);
	f->data = f->tree = -1;
	mem_free(f->nodes);
	mem_free(f->words);
	f->nodes = NULL;
	f->words = NULL;
}

void part_file_remove(struct part_file *f)
{
	unlink_one(f->path, "part");
	unlink_one(f->path, "tree");
	part_file_close(f);
}

/* Writes the nodes that this proof has brought. */
static bool nodes_write(struct part_file *f, size_t index)
{
	size_t parts = f->parts, at = 0;
	bool ok = true;

	for (;;) {
		size_t first = index & ~(size_t)1;
		size_t count = first + 1 < parts ? 2 : 1;

		ok = ok && write_all(f->tree, &f->nodes[at + first], count * sizeof(*f->nodes),
				   HEADER_BYTES + (at + first) * sizeof(*f->nodes));
		if (parts == 1)
			return ok;
		at += parts;
		parts = (parts + 1) / 2;
		index /= 2;
	}
}

int part_file_write(struct part_file *f, uint64_t offset, struct span bytes,
	const struct digest *path, size_t steps, struct errmsg *msg)
{
	size_t index = (size_t)(offset / BLOB_PART);
	struct digest top;

	if (!write_all(f->data, bytes.data, bytes.len, offset))
		return failed(f, "write", msg);
	blob_part_top(&top, bytes.data, bytes.len);
	blob_tree_learn(f->nodes, f->parts, index, &top, path, steps);
	if (!nodes_write(f, index))
		return failed(f, "write", msg);
	f->words[index / 64] |= (uint64_t)1 << index % 64;
	return TK_OK;
}

int part_file_read(
	const struct part_file *f, uint64_t offset, uint8_t *out, size_t length, struct errmsg *msg)
{
	return read_all(f->data, out, length, offset) ? TK_OK : failed(f, "read", msg);
}

int part_file_finish(struct part_file *f, const struct blob_store *store, struct digest **nodes,
	struct errmsg *msg)
{
	char name[1120];
	struct digest root;
	int rc;

	blob_tree_build(&root, f->nodes, f->parts, f->total);
	if (!digest_equal(&root, &f->digest))
		return errmsg_set(msg, TK_ECORRUPT,
			"all bytes of a blob arrived but they do not have its digest");
	if (fsync(f->data) != 0)
		return failed(f, "sync", msg);
	snprintf(name, sizeof(name), "%s.part", f->path);
	rc = blob_store_adopt(store, &f->digest, name, msg);
	if (rc != TK_OK)
		return rc;
	unlink_one(f->path, "tree");
	*nodes = f->nodes;
	f->nodes = NULL;
	part_file_close(f);
	return TK_OK;
}
