/* See serve_page.h. */
#include "coordinator/serve_page.h"

#include <stdio.h>
#include <time.h>

#include "coordinator/status.h"
#include "tasks/base/file.h"

static size_t peer_leases(void *context, const struct public_key *key, bool *connected)
{
	return core_peer_leases(context, key, connected);
}

int serve_write_page(const struct home *home, const char *folder, struct core *core, bool serving,
	uint64_t *peers_saved, struct errmsg *msg)
{
	struct status_live live = {
		.serving = serving,
		.now_s = (uint64_t)time(NULL),
		.peers_connected = core != NULL ? core_peers_connected(core) : 0,
		.context = core,
		.leases = core != NULL ? peer_leases : NULL,
	};
	struct bytes json = {0}, script = {0};
	char path[1100];
	int rc;

	if (live.peers_connected != *peers_saved) {
		rc = status_save_live(home->store, live.peers_connected, msg);
		if (rc != TK_OK)
			return rc;
		*peers_saved = live.peers_connected;
	}
	rc = status_page_json(home->store, &live, &json, msg);
	if (rc == TK_OK && (bytes_append(&script, "talkootStatus(", 14) != TK_OK ||
				   bytes_append(&script, json.data, json.len) != TK_OK ||
				   bytes_append(&script, ");\n", 3) != TK_OK))
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for the status page");
	snprintf(path, sizeof(path), "%s/status.json", folder);
	if (rc == TK_OK)
		rc = file_replace_unsynced(path, bytes_span(&json), 0644, msg);
	snprintf(path, sizeof(path), "%s/status.js", folder);
	if (rc == TK_OK)
		rc = file_replace_unsynced(path, bytes_span(&script), 0644, msg);
	bytes_close(&json);
	bytes_close(&script);
	return rc;
}
