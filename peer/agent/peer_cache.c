/* See peer_cache.h. Each record stands behind its length, a le16. */
#include "peer/agent/peer_cache.h"

#include <stdio.h>

#include "peer/agent/agent_home.h"
#include "tasks/base/file.h"

#define LENGTH_BYTES 2u
#define FILE_MAX     (PEER_CACHE_MAX * (RECORD_BYTES_MAX + LENGTH_BYTES))

static void cache_path(char out[AGENT_PATH_MAX + 16], const char *home)
{
	snprintf(out, AGENT_PATH_MAX + 16, "%s/peers", home);
}

int peer_cache_save(const char *home, const struct span *records, size_t count, struct errmsg *msg)
{
	char path[AGENT_PATH_MAX + 16];
	struct bytes all = {0};
	uint8_t length[LENGTH_BYTES];
	int rc = TK_OK;

	cache_path(path, home);
	for (size_t i = 0; rc == TK_OK && i < count && i < PEER_CACHE_MAX; i++) {
		store_le16(length, (uint16_t)records[i].len);
		rc = bytes_append(&all, length, sizeof(length));
		if (rc == TK_OK)
			rc = bytes_append(&all, records[i].data, records[i].len);
	}
	if (rc == TK_OK)
		rc = file_replace(path, bytes_span(&all), 0600, msg);
	bytes_close(&all);
	return rc;
}

size_t peer_cache_load(
	const char *home, const struct public_key *network, struct record out[PEER_CACHE_MAX])
{
	char path[AGENT_PATH_MAX + 16];
	struct bytes all = {0};
	size_t count = 0;
	size_t at = 0;

	cache_path(path, home);
	if (file_read(&all, path, FILE_MAX, NULL) != TK_OK)
		return 0;
	while (count < PEER_CACHE_MAX && all.len - at >= LENGTH_BYTES) {
		size_t n = load_le16(all.data + at);

		at += LENGTH_BYTES;
		if (n > all.len - at)
			break;
		if (record_decode(&out[count], span_of(all.data + at, n), network, RECORD_ANY_AGE,
			    NULL) == TK_OK)
			count++;
		at += n;
	}
	bytes_close(&all);
	return count;
}
