/* A coordinator's home: HOME/key (the root key), serving (a key that the root has signed: what `serve`
 * shows to peers) and, of a private network, secret, all 0600; store.sqlite, blobs/, faults/ (proofs of
 * fault), web/ (the status page), lock. */
#ifndef COORDINATOR_HOME_H
#define COORDINATOR_HOME_H

#include "coordinator/store.h"
#include "peer/swarm/blob_store.h"
#include "peer/wire/session.h"

struct home {
	char path[900];
	struct store *store;
	struct blob_store blobs;
};

/* Makes a new home with fresh keys and an empty store, for a network that people call `name` (may be
 * ""; at most 63 bytes of UTF-8 count); private: with a secret that its links carry. now_s: when the serving
 * key is signed. Errors: TK_EEXIST (there is one already: it is left alone), TK_EIO, TK_ENOSPC. */
int home_create(const char *path, const char *name, bool private, uint64_t now_s,
	struct errmsg *msg) TK_CHECKED;

/* Opens the store and blobs of an existing home; home_close afterwards. Errors: TK_ENOENT. */
int home_open(struct home *h, const char *path, struct errmsg *msg) TK_CHECKED;
void home_close(struct home *h);

/* The network's root identity, with the secret of a private network; wipe it with identity_wipe. Errors:
 * TK_ENOENT, TK_ECORRUPT. */
int home_identity(const struct home *h, struct identity *id, struct errmsg *msg) TK_CHECKED;

/* Whom peers meet: the serving key with its certificate, which is renewed when less than half of its time
 * is left. A home without a serving key is served with the root's. Wipe it with identity_wipe. Errors:
 * TK_ECORRUPT, TK_EIO. */
int home_serving_identity(const struct home *h, const struct identity *root, uint64_t now_s,
	struct identity *id, struct errmsg *msg) TK_CHECKED;

/* The same while it serves: renews the certificate of id when its time has come, which costs nothing before. */
int home_serving_renew(const struct home *h, const struct identity *root, uint64_t now_s,
	struct identity *id, struct errmsg *msg) TK_CHECKED;

/* Takes the home for serving; the lock lasts as long as *fd is open. Errors: TK_EBUSY. */
int home_lock(const struct home *h, int *fd, struct errmsg *msg) TK_CHECKED;

/* True when some process serves this home now. */
bool home_is_served(const struct home *h);

/* Writes the page's files into a folder, where status.json and status.js will stand beside them. */
int home_write_page(const char *folder, struct errmsg *msg) TK_CHECKED;

#endif
