/* A volunteer's home: HOME/key (0600), network (the link), host (the root's word that this peer is one), team (whom credit counts for, too), blobs/, parameters/, results/, leases,
 * status.json, lock. One home is one identity in one network. */
#ifndef PEER_AGENT_AGENT_HOME_H
#define PEER_AGENT_AGENT_HOME_H

#include "peer/wire/link.h"
#include "peer/wire/messages.h"
#include "peer/wire/session.h"

#define AGENT_PATH_MAX 900u

struct agent_home {
	char path[AGENT_PATH_MAX];
	struct link link;
	uint8_t key[64]; /* Ed25519 seed, X25519 secret */
	bool has_host;
	struct certificate host; /* not checked yet */
	char team[TEAM_MAX];	 /* a valid name, or "" */
};

/* $XDG_DATA_HOME/talkoot or ~/.local/share/talkoot. Errors: TK_ENOENT (neither variable is set). */
int agent_home_default(char out[AGENT_PATH_MAX], struct errmsg *msg) TK_CHECKED;

/* Makes the home (0700) with fresh keys when it is new, and notes the link. Joining the same network
 * again takes over the link's hosts and secret. Errors: TK_EEXIST (the home belongs to another network),
 * TK_EINVAL (that one is private, and the link lacks its secret), TK_EIO, TK_ENOSPC. */
int agent_home_join(const char *path, const struct link *link, struct errmsg *msg) TK_CHECKED;

/* Reads it; wipe it afterwards. Errors: TK_ENOENT (nothing was joined here), TK_ECORRUPT, TK_EIO. */
int agent_home_load(struct agent_home *h, const char *path, struct errmsg *msg) TK_CHECKED;
void agent_home_wipe(struct agent_home *h);

/* Keeps the root's word that this peer is a host, durably, 0600. Errors: TK_EIO, TK_ENOSPC. */
int agent_home_save_host(
	const char *path, const struct certificate *host, struct errmsg *msg) TK_CHECKED;

/* Can this be a team's name, or ""? Errors: TK_EINVAL, with a sentence. */
int agent_home_check_team(const char *team, struct errmsg *msg) TK_CHECKED;
/* Keeps the name of the volunteer's team for later runs, durably; "": none. Errors: TK_EINVAL (no such name can be),
 * TK_EIO, TK_ENOSPC. */
int agent_home_save_team(const char *path, const char *team, struct errmsg *msg) TK_CHECKED;

/* Who we are in this network, a host if the home has the root's word for it; identity_wipe it afterwards. */
void agent_home_identity(const struct agent_home *h, struct identity *id);

/* Takes the home for one process, until *fd is closed or the process ends. Errors: TK_EBUSY, TK_EIO. */
int agent_home_lock(const char *path, int *fd, struct errmsg *msg) TK_CHECKED;
/* True when another process holds it. */
bool agent_home_is_locked(const char *path);

#endif
