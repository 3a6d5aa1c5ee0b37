/* talkoot-peer run [--home HOME] [--misbehave MODE] */
#include "peer/agent/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/agent/agent_uv.h"

static int run(const char *home, const char *mode)
{
	struct agent_options options = {.log = stdout};
	struct agent_home loaded;
	struct errmsg msg = {{0}};
	char path[AGENT_PATH_MAX];
	int rc;

	if (mode != NULL && misbehave_parse(&options.misbehave, mode, &msg) != TK_OK)
		return peer_misused("%s", msg.text);
	if (engine_choose(&options.engine, getenv("TALKOOT_ENGINE"), &msg) != TK_OK)
		return peer_failed(&msg);
	if (peer_home(home, path, &msg) != TK_OK || agent_home_load(&loaded, path, &msg) != TK_OK)
		return peer_failed(&msg);
	rc = agent_run(&loaded, &options, &msg);
	agent_home_wipe(&loaded);
	return rc == TK_OK ? PEER_OK : peer_failed(&msg);
}

int peer_run(int argc, char **argv)
{
	static const struct option options[] = {
		{"home", required_argument, NULL, 'H'},
		{"misbehave", required_argument, NULL, 'm'},
		{NULL, 0, NULL, 0},
	};
	const char *home = NULL;
	const char *mode = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'H')
			home = optarg;
		else if (c == 'm')
			mode = optarg;
		else
			return PEER_USAGE;
	}
	if (optind != argc)
		return peer_misused("run takes no \"%s\"", argv[optind]);
	return run(home, mode);
}
