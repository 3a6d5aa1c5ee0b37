/* Blobs on disk, by digest: FOLDER/ab/cdef…; written to a temporary name, synced, renamed, synced.
 * What is read is checked against its digest: a corrupt blob is an error, never data. */
#ifndef PEER_SWARM_BLOB_STORE_H
#define PEER_SWARM_BLOB_STORE_H

#include "tasks/base/bytes.h"
#include "tasks/base/digest.h"
#include "tasks/base/error.h"

struct blob_store {
	char folder[1024];
};

/* Makes the folder when missing. Errors: TK_EIO, TK_ENOSPC, TK_ELIMIT (its path is too long). */
int blob_store_init(struct blob_store *s, const char *folder, struct errmsg *msg) TK_CHECKED;

/* Stores bytes; *digest gets digest_blob of them. On return they are durable. One that is there
 * already and whole is left alone; one that is there and corrupt is replaced.
 * Errors: TK_ENOSPC, TK_EIO, TK_ENOMEM; msg names the file. */
int blob_store_put(const struct blob_store *s, struct digest *digest, struct span bytes,
	struct errmsg *msg) TK_CHECKED;

/* Takes a file that holds the blob, and was checked, into the store by renaming it; durable on return.
 * Errors: TK_ENOSPC, TK_EIO. */
int blob_store_adopt(const struct blob_store *s, const struct digest *digest, const char *path,
	struct errmsg *msg) TK_CHECKED;

/* Calls `see` for each blob that lies there (not checked). Errors: TK_EIO. */
int blob_store_list(const struct blob_store *s,
	void (*see)(void *context, const struct digest *digest), void *context,
	struct errmsg *msg) TK_CHECKED;

/* Reads a whole blob, checks it and gives *out.
 * Errors: TK_ENOENT, TK_ECORRUPT, TK_ELIMIT (> max), TK_EIO, TK_ENOMEM. */
int blob_store_get(const struct blob_store *s, const struct digest *digest, size_t max,
	struct bytes *out, struct errmsg *msg) TK_CHECKED;

/* Reads a whole blob part by part, checks it and gives the tree of its digest (digest.h), for its proofs.
 * Errors: TK_ENOENT, TK_ECORRUPT (also an empty one), TK_ELIMIT (> max), TK_EIO, TK_ENOMEM. */
int blob_store_tree(const struct blob_store *s, const struct digest *digest, uint64_t max,
	uint64_t *total, struct digest **nodes, struct errmsg *msg) TK_CHECKED;

/* Its length when there (not checked), or TK_ENOENT. */
int blob_store_size(
	const struct blob_store *s, const struct digest *digest, uint64_t *size) TK_CHECKED;

/* A number that changes when its file does (not what a failing disk does to it), or TK_ENOENT. */
int blob_store_version(
	const struct blob_store *s, const struct digest *digest, uint64_t *version) TK_CHECKED;

/* Reads length bytes from offset for another node (who checks the whole). *total: the blob's length.
 * Errors: TK_ENOENT, TK_EINVAL (beyond the end), TK_EIO. */
int blob_store_read(const struct blob_store *s, const struct digest *digest, uint64_t offset,
	uint8_t *out, size_t length, uint64_t *total, struct errmsg *msg) TK_CHECKED;

/* Notes that it was used now, and when that was last, seconds; 0 for one that is not there. In the file's time
 * of modification, which reading does not move; so its version (above) is another then. */
void blob_store_use(const struct blob_store *s, const struct digest *digest);
uint64_t blob_store_used_s(const struct blob_store *s, const struct digest *digest);

/* Removes it; one that is not there is fine. */
void blob_store_remove(const struct blob_store *s, const struct digest *digest);

#endif
