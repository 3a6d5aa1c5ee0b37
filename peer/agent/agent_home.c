/* See agent_home.h. */
#include "peer/agent/agent_home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer/wire/identity.h"
#include "tasks/base/file.h"

#define LINK_TEXT_MAX 4096u
#define HOST_BYTES    (8u + SIGNATURE_BYTES)

static int inside(char *out, size_t size, const char *home, const char *name, struct errmsg *msg)
{
	if (strlen(home) >= AGENT_PATH_MAX - 100 || path_join(out, size, home, name) != TK_OK)
		return errmsg_set(msg, TK_ELIMIT, "the path %.200s… is too long for a home", home);
	return TK_OK;
}

int agent_home_default(char out[AGENT_PATH_MAX], struct errmsg *msg)
{
	const char *data = getenv("XDG_DATA_HOME");
	const char *user = getenv("HOME");
	int rc;

	if (data != NULL && data[0] == '/')
		rc = path_join(out, AGENT_PATH_MAX, data, "talkoot");
	else if (user != NULL && user[0] == '/')
		rc = path_join(out, AGENT_PATH_MAX, user, ".local/share/talkoot");
	else
		return errmsg_set(
			msg, TK_ENOENT, "neither XDG_DATA_HOME nor HOME is set; say --home HOME");
	return rc == TK_OK ? rc : errmsg_set(msg, rc, "the home's path is too long");
}

static int read_link(const char *home, struct link *link, struct errmsg *msg)
{
	struct bytes text = {0};
	char name[AGENT_PATH_MAX];
	int rc = inside(name, sizeof(name), home, "network", msg);

	if (rc != TK_OK)
		return rc;
	if (!file_exists(name))
		return errmsg_set(msg, TK_ENOENT,
			"no network was joined in %s; run `talkoot-peer join LINK --home %s` with "
			"the link that you were sent",
			home, home);
	rc = file_read(&text, name, LINK_TEXT_MAX, msg);
	if (rc == TK_OK && text.len > 0 && text.data[text.len - 1] == '\n')
		text.len--;
	if (rc == TK_OK)
		rc = bytes_append(&text, "", 1);
	if (rc == TK_OK && link_parse(link, (const char *)text.data, msg) != TK_OK)
		rc = errmsg_prefix(msg, TK_ECORRUPT, "%s", name);
	if (text.data != NULL)
		secret_wipe(text.data, text.len);
	bytes_close(&text);
	return rc;
}

static int write_link(const char *home, const struct link *link, struct errmsg *msg)
{
	struct bytes text = {0};
	char name[AGENT_PATH_MAX];
	int rc = inside(name, sizeof(name), home, "network", msg);

	if (rc == TK_OK)
		rc = link_format(link, &text, msg);
	if (rc == TK_OK)
		rc = bytes_append(&text, "\n", 1);
	if (rc == TK_OK)
		rc = file_replace(name, bytes_span(&text), 0600, msg);
	if (text.data != NULL)
		secret_wipe(text.data, text.len);
	bytes_close(&text);
	return rc;
}

/* Keys are made once and never replaced: they are who this volunteer is. */
static int make_key(const char *home, struct errmsg *msg)
{
	char name[AGENT_PATH_MAX];
	uint8_t key[64];
	int rc = inside(name, sizeof(name), home, "key", msg);

	if (rc != TK_OK || file_exists(name))
		return rc;
	random_bytes(key, sizeof(key));
	rc = file_replace(name, span_of(key, sizeof(key)), 0600, msg);
	secret_wipe(key, sizeof(key));
	return rc;
}

int agent_home_join(const char *path, const struct link *link, struct errmsg *msg)
{
	struct link old = {0};
	int rc = folder_make(path, true, msg);

	if (rc != TK_OK)
		return rc;
	rc = read_link(path, &old, msg);
	if (rc == TK_OK && !key_equal(&old.network, &link->network))
		return errmsg_set(msg, TK_EEXIST,
			"%s belongs to another network already; join this one in a home of its "
			"own: add --home FOLDER",
			path);
	if (rc == TK_OK && old.has_secret && !link->has_secret)
		rc = errmsg_set(msg, TK_EINVAL,
			"%s belongs to a private network, and this link lacks its secret; copy the "
			"whole line that `talkoot invite` printed",
			path);
	if (rc == TK_OK || rc == TK_ENOENT)
		rc = make_key(path, msg);
	if (rc == TK_OK)
		rc = write_link(path, link, msg);
	secret_wipe(&old, sizeof(old));
	return rc;
}

int agent_home_save_host(const char *path, const struct certificate *host, struct errmsg *msg)
{
	uint8_t file[HOST_BYTES];
	char name[AGENT_PATH_MAX];
	int rc = inside(name, sizeof(name), path, "host", msg);

	store_le64(file, host->expiry_s);
	memcpy(file + 8, host->signature.b, SIGNATURE_BYTES);
	return rc == TK_OK ? file_replace(name, span_of(file, sizeof(file)), 0600, msg) : rc;
}

/* What cannot be read is left out: the coordinator says it again. */
static void load_host(struct agent_home *h)
{
	struct bytes file = {0};
	char name[AGENT_PATH_MAX];

	h->has_host = inside(name, sizeof(name), h->path, "host", NULL) == TK_OK &&
		      file_read(&file, name, HOST_BYTES, NULL) == TK_OK && file.len == HOST_BYTES;
	if (h->has_host) {
		h->host.expiry_s = load_le64(file.data);
		memcpy(h->host.signature.b, file.data + 8, SIGNATURE_BYTES);
	}
	bytes_close(&file);
}

int agent_home_check_team(const char *team, struct errmsg *msg)
{
	if (team[0] == '\0' || team_name_valid(team))
		return TK_OK;
	return errmsg_set(msg, TK_EINVAL,
		"\"%.64s\" is no name for a team: it takes 1 to %u of a-z, 0-9, \".\", \"_\" and "
		"\"-\", the first a letter or a digit; '' leaves the team",
		team, TEAM_MAX - 1);
}

int agent_home_save_team(const char *path, const char *team, struct errmsg *msg)
{
	char name[AGENT_PATH_MAX], line[TEAM_MAX + 1];
	int rc = agent_home_check_team(team, msg);

	if (rc != TK_OK)
		return rc;
	snprintf(line, sizeof(line), "%s\n", team);
	rc = inside(name, sizeof(name), path, "team", msg);
	return rc == TK_OK ? file_replace(name, span_text(line), 0600, msg) : rc;
}

static int load_team(char team[TEAM_MAX], const char *home, struct errmsg *msg)
{
	struct bytes file = {0};
	char name[AGENT_PATH_MAX];
	int rc = inside(name, sizeof(name), home, "team", msg);

	team[0] = '\0';
	if (rc != TK_OK || !file_exists(name))
		return rc;
	rc = file_read(&file, name, TEAM_MAX, msg);
	if (rc == TK_OK && file.len > 0 && file.data[file.len - 1] == '\n')
		file.len--;
	if (rc == TK_OK && file.len > 0 && file.len < TEAM_MAX &&
		memchr(file.data, '\0', file.len) == NULL) {
		memcpy(team, file.data, file.len);
		team[file.len] = '\0';
	}
	if (rc == TK_ELIMIT || (rc == TK_OK && file.len != 0 && !team_name_valid(team)))
		rc = errmsg_set(msg, TK_ECORRUPT,
			"%s does not hold a team's name: remove it and name the team again with "
			"`talkoot-peer run --team NAME`",
			name);
	bytes_close(&file);
	return rc;
}

int agent_home_load(struct agent_home *h, const char *path, struct errmsg *msg)
{
	struct bytes key = {0};
	char name[AGENT_PATH_MAX], team[TEAM_MAX];
	struct link link;
	int rc = read_link(path, &link, msg);

	if (rc == TK_OK)
		rc = inside(name, sizeof(name), path, "key", msg);
	if (rc == TK_OK)
		rc = file_read(&key, name, sizeof(h->key), msg);
	if (rc == TK_OK && key.len != sizeof(h->key))
		rc = errmsg_set(msg, TK_ECORRUPT, "%s has %zu bytes; a key file has %zu", name,
			key.len, sizeof(h->key));
	if (rc == TK_OK)
		rc = load_team(team, path, msg);
	if (rc == TK_OK) {
		h->link = link;
		memcpy(h->team, team, sizeof(team));
		memcpy(h->key, key.data, sizeof(h->key));
		snprintf(h->path, sizeof(h->path), "%s", path);
		load_host(h);
	}
	secret_wipe(&link, sizeof(link));
	if (key.data != NULL)
		secret_wipe(key.data, key.len);
	bytes_close(&key);
	return rc;
}

void agent_home_wipe(struct agent_home *h)
{
	secret_wipe(h, sizeof(*h));
}

void agent_home_identity(const struct agent_home *h, struct identity *id)
{
	identity_init(id, h->key, h->key + 32, ROLE_PEER, &h->link.network);
	if (h->link.has_secret)
		identity_set_secret(id, h->link.secret);
	/* A wrong one would shut us out everywhere. When it ends is for later: an identity stops showing it. */
	if (h->has_host && host_check(&h->host, &id->network, &id->key.public, h->host.expiry_s,
				   NULL) == TK_OK)
		identity_set_certificate(id, &h->host);
}

/* A record lock: it goes with the process however that ends, and can be asked about without being
 * taken. */
static int open_lock(const char *path, int flags, struct errmsg *msg)
{
	char name[AGENT_PATH_MAX];
	int fd = -1;

	if (inside(name, sizeof(name), path, "lock", msg) == TK_OK) {
		fd = open(name, flags | O_CLOEXEC, 0600);
		if (fd < 0)
			errmsg_set(msg, TK_EIO, "cannot open %s: %s", name, strerror(errno));
	}
	return fd;
}

int agent_home_lock(const char *path, int *fd, struct errmsg *msg)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int file = open_lock(path, O_RDWR | O_CREAT, msg);

	if (file < 0)
		return TK_EIO;
	if (fcntl(file, F_SETLK, &lock) != 0) {
		int error = errno;

		close(file);
		if (error != EACCES && error != EAGAIN)
			return errmsg_set(msg, TK_EIO, "cannot lock %s: %s", path, strerror(error));
		return errmsg_set(msg, TK_EBUSY,
			"another talkoot-peer runs in %s already; a second one needs a home of its "
			"own (--home FOLDER)",
			path);
	}
	*fd = file;
	return TK_OK;
}

bool agent_home_is_locked(const char *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open_lock(path, O_RDWR, NULL);
	bool locked = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;

	if (fd >= 0)
		close(fd);
	return locked;
}
