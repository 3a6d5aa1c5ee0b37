/* See history.h. The file is replaced as a whole each time: it is small, and so a crash leaves the old one or
 * the new one. */
#include "peer/agent/history.h"

#include <string.h>

#include "peer/agent/agent_home.h"
#include "tasks/base/file.h"

static int history_read(
	const char *home, char path[AGENT_PATH_MAX], struct bytes *out, struct errmsg *msg)
{
	int rc;

	if (path_join(path, AGENT_PATH_MAX, home, "history") != TK_OK)
		return errmsg_set(msg, TK_ELIMIT, "the path %s is too long", home);
	rc = file_read(out, path, HISTORY_BYTES_MAX, msg);
	return rc == TK_ENOENT ? TK_OK : rc;
}

int history_add(const char *home, const char *line, struct errmsg *msg)
{
	char path[AGENT_PATH_MAX];
	struct bytes all = {0};
	size_t from, n = strlen(line);
	int rc = history_read(home, path, &all, msg);

	if (rc == TK_ELIMIT || rc == TK_EINVAL) /* nothing of ours: begin anew */
		rc = TK_OK;
	from = all.len;
	if (rc == TK_OK &&
		(bytes_append(&all, line, n) != TK_OK || bytes_append(&all, "\n", 1) != TK_OK))
		rc = errmsg_set(msg, TK_ENOMEM, "not enough memory for the history");
	for (; rc == TK_OK && from + 1 < all.len; from++)
		if (all.data[from] < ' ' || all.data[from] == 0x7f)
			all.data[from] = '?';
	while (rc == TK_OK && all.len > HISTORY_BYTES_MAX) {
		const uint8_t *end = memchr(all.data, '\n', all.len);

		bytes_consume(&all, (size_t)(end - all.data) + 1);
	}
	if (rc == TK_OK)
		rc = file_replace(path, bytes_span(&all), 0600, msg);
	bytes_close(&all);
	return rc;
}

int history_last(const char *home, uint64_t count, struct bytes *out, struct errmsg *msg)
{
	char path[AGENT_PATH_MAX];
	size_t at;
	int rc = history_read(home, path, out, msg);

	for (at = out->len; rc == TK_OK && at > 0; at--)
		if (out->data[at - 1] == '\n' && at != out->len && --count == 0)
			break;
	if (rc == TK_OK)
		bytes_consume(out, at);
	return rc;
}
