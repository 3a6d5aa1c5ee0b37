/* A blob on disk while it arrives: FOLDER/<digest>.part has its bytes where they belong, FOLDER/<digest>.tree
 * the digests that its proofs have shown, so that what is there can be checked when it is found again, and
 * be passed on with proofs before the blob is whole. Nothing is synced before the end: what a crash spoils
 * does not pass the check and is fetched again. */
#ifndef PEER_SWARM_PART_FILE_H
#define PEER_SWARM_PART_FILE_H

#include "peer/swarm/blob_store.h"

struct part_file {
	int data, tree;
	struct digest digest;
	uint64_t total;
	size_t parts;
	struct digest *nodes; /* owned: blob_tree_nodes(parts), zero where not known */
	uint64_t *words;      /* owned: the parts that are there, one bit each */
	char path[1100];      /* without its ending */
};

/* Removes what earlier runs have left: what nothing was added to for a week, and the oldest beyond so many
 * bytes. Before any is open. O(n²) for n of them. */
#define PART_FILES_LEFT_S (7 * 86400u)
void part_files_sweep(const char *folder, uint64_t now_s, uint64_t bytes);

/* The length that an earlier run has noted; 0: it left nothing. */
uint64_t part_file_total(const char *folder, const struct digest *digest);

/* Makes the files, or finds them and checks every part that should be there.
 * Errors: TK_ENOSPC, TK_EIO, TK_ENOMEM, TK_ELIMIT. */
int part_file_open(struct part_file *f, const char *folder, const struct digest *digest,
	uint64_t total, struct errmsg *msg) TK_CHECKED;
/* What is on disk stays there. */
void part_file_close(struct part_file *f);
/* Nothing stays. */
void part_file_remove(struct part_file *f);

/* Keeps a part whose proof has held. Errors: TK_ENOSPC, TK_EIO. */
int part_file_write(struct part_file *f, uint64_t offset, struct span bytes,
	const struct digest *path, size_t steps, struct errmsg *msg) TK_CHECKED;

/* Reads bytes that are there, for another node. Errors: TK_EIO. */
int part_file_read(const struct part_file *f, uint64_t offset, uint8_t *out, size_t length,
	struct errmsg *msg) TK_CHECKED;

/* All parts are there: the blob goes into the store, durably, and the files are gone. *nodes gets the
 * whole tree (the caller frees it). Errors: TK_ECORRUPT (the digest is another), TK_ENOSPC, TK_EIO. */
int part_file_finish(struct part_file *f, const struct blob_store *store, struct digest **nodes,
	struct errmsg *msg) TK_CHECKED;

#endif
