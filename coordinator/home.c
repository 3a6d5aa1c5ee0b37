/* See home.h. */
#include "coordinator/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "coordinator/page.h"
#include "peer/wire/identity.h"
#include "tasks/base/file.h"
#include "tasks/base/require.h"

#define SEED_BYTES	   32u
#define KEY_FILE_BYTES	   (2 * SEED_BYTES)			  /* Ed25519 seed, X25519 secret */
#define SERVING_FILE_BYTES (KEY_FILE_BYTES + 8 + SIGNATURE_BYTES) /* and the certificate */

static int inside(char *out, size_t size, const char *home, const char *name, struct errmsg *msg)
{
	if (path_join(out, size, home, name) == TK_OK)
		return TK_OK;
	return errmsg_set(msg, TK_ELIMIT, "the path %s is too long", home);
}

static int write_random(const char *path, size_t n, struct errmsg *msg)
{
	uint8_t secret[KEY_FILE_BYTES];
	int rc;

	REQUIRE(n <= sizeof(secret));
	random_bytes(secret, n);
	rc = file_replace(path, span_of(secret, n), 0600, msg);
	secret_wipe(secret, sizeof(secret));
	return rc;
}

/* Reads a file of exactly n secret bytes. Errors: TK_ENOENT, TK_ECORRUPT, TK_EIO. */
static int read_secret(
	const struct home *h, const char *name, uint8_t *out, size_t n, struct errmsg *msg)
{
	struct bytes key = {0};
	char path[1024];
	int rc = inside(path, sizeof(path), h->path, name, msg);

	if (rc == TK_OK)
		rc = file_read(&key, path, n, msg);
	if (rc == TK_OK && key.len != n)
		rc = errmsg_set(msg, TK_ECORRUPT, "%s has %zu bytes; there should be %zu", path,
			key.len, n);
	if (rc == TK_OK)
		memcpy(out, key.data, n);
	if (key.data != NULL)
		secret_wipe(key.data, key.len);
	bytes_close(&key);
	return rc;
}

/* The serving key */

static int write_serving(
	const struct home *h, const struct identity *id, const uint8_t *seeds, struct errmsg *msg)
{
	uint8_t file[SERVING_FILE_BYTES];
	char path[1024];
	int rc = inside(path, sizeof(path), h->path, "serving", msg);

	memcpy(file, seeds, KEY_FILE_BYTES);
	store_le64(file + KEY_FILE_BYTES, id->certificate.expiry_s);
	memcpy(file + KEY_FILE_BYTES + 8, id->certificate.signature.b, SIGNATURE_BYTES);
	if (rc == TK_OK)
		rc = file_replace(path, span_of(file, sizeof(file)), 0600, msg);
	secret_wipe(file, sizeof(file));
	return rc;
}

/* An identity of these seeds that serves for root, with a fresh certificate. */
static void serving_init(
	struct identity *id, const uint8_t *seeds, const struct identity *root, uint64_t now_s)
{
	struct certificate certificate;

	identity_init(id, seeds, seeds + SEED_BYTES, ROLE_COORDINATOR, &root->network);
	serving_sign(&certificate, &root->key, &id->key.public, now_s);
	identity_set_certificate(id, &certificate);
	if (root->has_secret)
		identity_set_secret(id, root->secret);
}

static int make_serving(
	const struct home *h, const struct identity *root, uint64_t now_s, struct errmsg *msg)
{
	uint8_t seeds[KEY_FILE_BYTES];
	struct identity id;
	int rc;

	random_bytes(seeds, sizeof(seeds));
	serving_init(&id, seeds, root, now_s);
	rc = write_serving(h, &id, seeds, msg);
	identity_wipe(&id);
	secret_wipe(seeds, sizeof(seeds));
	return rc;
}

static bool is_fresh(const struct certificate *c, uint64_t now_s)
{
	return c->expiry_s > now_s + SERVING_LIFETIME_S / 2;
}

int home_serving_identity(const struct home *h, const struct identity *root, uint64_t now_s,
	struct identity *id, struct errmsg *msg)
{
	uint8_t file[SERVING_FILE_BYTES];
	struct certificate certificate;
	char path[1024];
	int rc = inside(path, sizeof(path), h->path, "serving", msg);

	if (rc != TK_OK)
		return rc;
	if (!file_exists(path)) {
		*id = *root;
		return TK_OK;
	}
	rc = read_secret(h, "serving", file, sizeof(file), msg);
	if (rc != TK_OK)
		return rc;
	serving_init(id, file, root, now_s);
	certificate.expiry_s = load_le64(file + KEY_FILE_BYTES);
	memcpy(certificate.signature.b, file + KEY_FILE_BYTES + 8, SIGNATURE_BYTES);
	if (is_fresh(&certificate, now_s) &&
		serving_check(&certificate, &root->network, &id->key.public, now_s, NULL) == TK_OK)
		identity_set_certificate(id, &certificate);
	else
		rc = write_serving(h, id, file, msg);
	if (rc != TK_OK)
		identity_wipe(id);
	secret_wipe(file, sizeof(file));
	return rc;
}

int home_serving_renew(const struct home *h, const struct identity *root, uint64_t now_s,
	struct identity *id, struct errmsg *msg)
{
	struct identity fresh;
	int rc;

	if (!id->has_certificate || is_fresh(&id->certificate, now_s))
		return TK_OK;
	rc = home_serving_identity(h, root, now_s, &fresh, msg);
	if (rc == TK_OK && fresh.has_certificate && key_equal(&fresh.key.public, &id->key.public))
		id->certificate = fresh.certificate;
	if (rc == TK_OK)
		identity_wipe(&fresh);
	return rc;
}

int home_create(
	const char *path, const char *name, bool private, uint64_t now_s, struct errmsg *msg)
{
	char secret[1024];
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
	rc = inside(secret, sizeof(secret), path, "secret", msg);
	if (rc == TK_OK && private)
		rc = write_random(secret, NETWORK_SECRET, msg);
	if (rc == TK_OK) /* last: a home without a key can be made again */
		rc = write_random(key, KEY_FILE_BYTES, msg);
	if (rc == TK_OK)
		rc = home_identity(&h, &id, msg);
	if (rc == TK_OK) {
		rc = make_serving(&h, &id, now_s, msg);
		hex_encode(hex, id.key.public.b, KEY_BYTES);
		if (rc == TK_OK)
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
	uint8_t seeds[KEY_FILE_BYTES], secret[NETWORK_SECRET];
	struct public_key network;
	struct key_pair pair;
	char path[1024];
	int rc = read_secret(h, "key", seeds, sizeof(seeds), msg);

	if (rc != TK_OK)
		return rc;
	key_from_seed(&pair, seeds);
	network = pair.public;
	identity_init(id, seeds, seeds + SEED_BYTES, ROLE_COORDINATOR, &network);
	key_wipe(&pair);
	secret_wipe(seeds, sizeof(seeds));
	rc = inside(path, sizeof(path), h->path, "secret", msg);
	if (rc == TK_OK && file_exists(path)) {
		rc = read_secret(h, "secret", secret, sizeof(secret), msg);
		if (rc == TK_OK)
			identity_set_secret(id, secret);
		secret_wipe(secret, sizeof(secret));
	}
	if (rc != TK_OK)
		identity_wipe(id);
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
