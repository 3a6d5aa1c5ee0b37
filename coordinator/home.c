/* See home.h. */
#include "coordinator/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "coordinator/page.h"
#include "tasks/base/file.h"

#define SEED_BYTES     32u
#define KEY_FILE_BYTES (2 * SEED_BYTES) /* Ed25519 seed, X25519 secret */

static int inside(char *out, size_t size, const char *home, const char *name, struct errmsg *msg)
{
	if (path_join(out, size, home, name) == TK_OK)
		return TK_OK;
	return errmsg_set(msg, TK_ELIMIT, "the path %s is too long", home);
}

static int write_key(const char *path, struct errmsg *msg)
{
	uint8_t secret[KEY_FILE_BYTES];
	int rc;

	random_bytes(secret, sizeof(secret));
	rc = file_replace(path, span_of(secret, sizeof(secret)), 0600, msg);
	secret_wipe(secret, sizeof(secret));
	return rc;
}

int home_create(const char *path, const char *name, struct errmsg *msg)
{
	struct identity id;
	struct home h;
	char key[1024];
	char hex[2 * KEY_BYTES + 1];
	int rc = inside(key, sizeof(key), path, "key", msg);

	if (rc != TK_OK)
		return rc;
	if (file_exists(key))
		return errmsg_set(msg, TK_EEXIST,
			"%s is a coordinator's home already; it is left as it is (next: talkoot "
			"serve %s "
			"--listen ADDR:PORT)",
			path, path);
	rc = folder_make(path, true, msg);
	if (rc != TK_OK)
		return rc;
	snprintf(h.path, sizeof(h.path), "%s", path);
	rc = store_open(&h.store, path, true, msg);
	if (rc != TK_OK)
		return rc;
	rc = write_key(key, msg); /* last: a home without a key can be made again */
	if (rc == TK_OK)
		rc = home_identity(&h, &id, msg);
	if (rc == TK_OK) {
		hex_encode(hex, id.key.public.b, KEY_BYTES);
		rc = store_set_text(h.store, "network", hex, msg);
		if (rc == TK_OK)
			rc = store_set_text(h.store, "name", name, msg);
		identity_wipe(&id);
	}
	store_close(h.store);
	return rc;
}

int home_open(struct home *h, const char *path, struct errmsg *msg)
{
	char name[1024];
	int rc;

	if (strlen(path) >= sizeof(h->path))
		return errmsg_set(msg, TK_ELIMIT, "the path %s is too long", path);
	snprintf(h->path, sizeof(h->path), "%s", path);
	rc = store_open(&h->store, path, false, msg);
	if (rc != TK_OK)
		return rc;
	rc = inside(name, sizeof(name), path, "blobs", msg);
	if (rc == TK_OK)
		rc = blob_store_init(&h->blobs, name, msg);
	if (rc != TK_OK)
		home_close(h);
	return rc;
}

void home_close(struct home *h)
{
	store_close(h->store);
	h->store = NULL;
}

int home_identity(const struct home *h, struct identity *id, struct errmsg *msg)
{
	struct public_key network;
	struct key_pair pair;
	struct bytes key = {0};
	char name[1024];
	int rc = inside(name, sizeof(name), h->path, "key", msg);

	if (rc == TK_OK)
		rc = file_read(&key, name, KEY_FILE_BYTES, msg);
	if (rc != TK_OK)
		return rc;
	if (key.len != KEY_FILE_BYTES) {
		rc = errmsg_set(msg, TK_ECORRUPT, "%s has %zu bytes; a key file has %u", name,
			key.len, KEY_FILE_BYTES);
	} else {
		key_from_seed(&pair, key.data);
		network = pair.public;
		identity_init(id, key.data, key.data + SEED_BYTES, ROLE_COORDINATOR, &network);
		key_wipe(&pair);
	}
	secret_wipe(key.data, key.len);
	bytes_close(&key);
	return rc;
}

static int open_lock(const struct home *h)
{
	char name[1024];

	if (path_join(name, sizeof(name), h->path, "lock") != TK_OK)
		return -1;
	return open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

int home_lock(const struct home *h, int *fd, struct errmsg *msg)
{
	int lock = open_lock(h);

	if (lock < 0)
		return errmsg_set(msg, TK_EIO, "cannot open %s/lock: %s", h->path, strerror(errno));
	if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
		close(lock);
		return errmsg_set(
			msg, TK_EBUSY, "%s is being served by another process already", h->path);
	}
	*fd = lock;
	return TK_OK;
}

bool home_is_served(const struct home *h)
{
	int lock = open_lock(h);
	bool served = lock >= 0 && flock(lock, LOCK_SH | LOCK_NB) != 0;

	if (lock >= 0)
		close(lock);
	return served;
}

int home_write_page(const char *folder, struct errmsg *msg)
{
	char name[1200];
	int rc = folder_make(folder, false, msg);

	for (const struct page_file *f = page_files; rc == TK_OK && f->name != NULL; f++) {
		size_t size = (size_t)(f->end - f->start);

		rc = inside(name, sizeof(name), folder, f->name, msg);
		if (rc == TK_OK)
			rc = file_replace_unsynced(name, span_of(f->start, size), 0644, msg);
	}
	return rc;
}
