/* Files, whole: read with a bound, replaced atomically and durably. Part of the shells. */
#ifndef TASKS_BASE_FILE_H
#define TASKS_BASE_FILE_H

#include "tasks/base/bytes.h"
#include "tasks/base/error.h"

/* Reads a whole regular file of at most max bytes. Gives *out (caller closes it) only on success.
 * Errors: TK_ENOENT, TK_ELIMIT, TK_EIO, TK_ENOMEM; msg names the file and what to do. */
int file_read(struct bytes *out, const char *path, size_t max, struct errmsg *msg) TK_CHECKED;

/* Writes data to "path.tmp-<random>", syncs, renames over path, syncs the folder: after a crash the
 * file is the old or the new one, whole. mode is the permission, e.g. 0600 for secrets.
 * Errors: TK_ENOSPC, TK_EIO; msg names the file. On failure the old file is as it was. */
int file_replace(const char *path, struct span data, unsigned mode, struct errmsg *msg) TK_CHECKED;

/* The same without the syncs: for files that may be lost in a crash, like a status page. */
int file_replace_unsynced(
	const char *path, struct span data, unsigned mode, struct errmsg *msg) TK_CHECKED;

/* The same for what is too long for memory: begin, add in parts, then end (which makes it the file) or drop
 * (which leaves the old one as it was). After an error only drop. */
struct file_writer {
	int fd;
	char *path, *temporary; /* owned */
	struct bytes buffer;
};
int file_writer_begin(struct file_writer *w, const char *path, struct errmsg *msg) TK_CHECKED;
int file_writer_add(struct file_writer *w, struct span data, struct errmsg *msg) TK_CHECKED;
int file_writer_end(struct file_writer *w, unsigned mode, struct errmsg *msg) TK_CHECKED;
void file_writer_drop(struct file_writer *w);

/* Makes a folder (0755 or 0700 when private) and its parents; one that exists is fine. */
int folder_make(const char *path, bool private, struct errmsg *msg) TK_CHECKED;

/* Joins "a/b"; TK_ELIMIT when it does not fit. */
int path_join(char *out, size_t size, const char *folder, const char *name) TK_CHECKED;

bool file_exists(const char *path);

#endif
