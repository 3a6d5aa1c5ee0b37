/* talkoot-peer history [-n N] [--home HOME]: what became of each result, and why, the newest last. */
#include "peer/agent/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "peer/agent/history.h"

static int history(const char *home, uint64_t count)
{
	char path[AGENT_PATH_MAX];
	struct bytes lines = {0};
	struct errmsg msg = {{0}};

	if (peer_home(home, path, &msg) != TK_OK ||
		history_last(path, count, &lines, &msg) != TK_OK)
		return peer_failed(&msg);
	if (lines.len == 0)
		puts("nothing of this computer has been settled yet");
	else
		fwrite(lines.data, 1, lines.len, stdout);
	bytes_close(&lines);
	return PEER_OK;
}

int peer_history(int argc, char **argv)
{
	static const struct option options[] = {
		{"home", required_argument, NULL, 'H'},
		{"lines", required_argument, NULL, 'n'},
		{NULL, 0, NULL, 0},
	};
	const char *home = NULL;
	long count = 20;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "n:", options, NULL)) != -1) {
		if (c == 'H') {
			home = optarg;
		} else if (c == 'n') {
			count = strtol(optarg, &end, 10);
			if (*end != '\0' || count < 1 || count > 1000000)
				return peer_misused("-n wants a number from 1 to 1000000");
		} else {
			return PEER_USAGE;
		}
	}
	if (optind != argc)
		return peer_misused("history takes no \"%s\"", argv[optind]);
	return history(home, (uint64_t)count);
}
