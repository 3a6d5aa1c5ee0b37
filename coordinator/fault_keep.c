/* See fault_keep.h. Reads up to FAULT_BLOBS_BYTES_MAX of blobs where rows are written, which is rare: once for each
 * result that is proven wrong. */
#include "coordinator/fault_keep.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tasks/base/file.h"
#include "tasks/unit/fault_file.h"

static int get_blob(void *context, const struct digest *digest, size_t max, struct bytes *out,
	struct errmsg *msg)
{
	return blob_store_get(context, digest, max, out, msg);
}

static int fault_path(char *out, size_t size, const struct home *home, const struct digest *digest,
	const char *ending, struct errmsg *msg)
{
	char folder[960], hex[DIGEST_HEX], name[DIGEST_HEX + 16];
	int rc = path_join(folder, sizeof(folder), home->path, "faults");

	digest_hex(hex, digest);
	snprintf(name, sizeof(name), "%s.%s", hex, ending);
	if (rc == TK_OK)
		rc = path_join(out, size, folder, name);
	if (rc != TK_OK)
		return errmsg_set(msg, rc, "the path of %s is too long", home->path);
	return folder_make(folder, false, msg);
}

/* Bytes of the files in the folder that path lies in; 0 when it can't be read. */
static uint64_t folder_bytes(const char *path)
{
	char folder[1100];
	uint64_t total = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
	dir = opendir(folder);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		struct stat s;

		if (fstatat(dirfd(dir), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISREG(s.st_mode))
			total += (uint64_t)s.st_size;
	}
	if (dir != NULL)
		closedir(dir);
	return total;
}

int fault_keep(const struct home *home, const struct digest *digest, struct span statement,
	const struct digest *state, struct errmsg *msg)
{
	struct blob_store blobs = home->blobs;
	const struct blob_lookup lookup = {&blobs, get_blob};
	struct bytes file = {0};
	struct bytes before = {0};
	struct errmsg lacks = {""};
	char path[1100];
	bool whole;
	int rc = fault_path(path, sizeof(path), home, digest, "fault", msg);

	if (rc != TK_OK || file_exists(path))
		return rc;
	if (!digest_is_zero(state))
		rc = blob_store_get(&blobs, state, BLOB_BYTES_MAX, &before, &lacks);
	if (rc == TK_OK)
		rc = fault_file_encode(statement, bytes_span(&before), &lookup, &file, &lacks);
	bytes_close(&before);
	if (rc == TK_ENOMEM)
		return errmsg_set(msg, rc, "not enough memory for a proof of fault");
	if (rc == TK_OK && folder_bytes(path) + file.len > FAULTS_BYTES_MAX)
		rc = errmsg_set(&lacks, TK_ELIMIT, "its folder is full; move proofs elsewhere");
	whole = rc == TK_OK;
	if (!whole)
		rc = fault_path(path, sizeof(path), home, digest, "statement", msg);
	if (rc == TK_OK)
		rc = file_replace(path, whole ? bytes_span(&file) : statement, 0644, msg);
	if (rc == TK_OK && !whole)
		(void)errmsg_set(msg, rc, "%.160s is no whole proof: %.80s", path, lacks.text);
	bytes_close(&file);
	return rc;
}
