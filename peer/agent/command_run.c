/* talkoot-peer run [--home HOME] [--listen ADDR:PORT] [--no-port-mapping] [--no-host] [--team NAME]
 * [--cache-gb GB] [--checkpoint SECONDS] [--misbehave MODE] */
#include "peer/agent/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/agent/agent_uv.h"

static int run(const char *home, const char *mode, struct agent_options *options)
{
	struct agent_home loaded;
	struct errmsg msg = {{0}};
	char path[AGENT_PATH_MAX];
	int rc;

	if (mode != NULL && misbehave_parse(&options->misbehave, mode, &msg) != TK_OK)
		return peer_misused("%s", msg.text);
	if (options->team != NULL && agent_home_check_team(options->team, &msg) != TK_OK)
		return peer_misused("%s", msg.text);
	if (engine_choose(&options->engine, getenv("TALKOOT_ENGINE"), &msg) != TK_OK)
		return peer_failed(&msg);
	options->remark = engine_remark(engine_has_hardware_fma);
	if (peer_home(home, path, &msg) != TK_OK || agent_home_load(&loaded, path, &msg) != TK_OK)
		return peer_failed(&msg);
	rc = agent_run(&loaded, options, &msg);
	agent_home_wipe(&loaded);
	return rc == TK_OK ? PEER_OK : peer_failed(&msg);
}

/* The milliseconds of 0.2 to 86400 seconds; 0: something else. */
static uint32_t milliseconds(const char *text)
{
	char *end;
	double s = strtod(text, &end);

	return *text != '\0' && *end == '\0' && s >= 0.2 && s <= 86400 ? (uint32_t)(s * 1000) : 0;
}

/* The bytes of 0.1 to 100000 GB (of 2^30); 0: something else. */
static uint64_t gigabytes(const char *text)
{
	char *end;
	double gb = strtod(text, &end);

	return *text != '\0' && *end == '\0' && gb >= 0.1 && gb <= 100000
		       ? (uint64_t)(gb * (double)(1u << 30))
		       : 0;
}

int peer_run(int argc, char **argv)
{
	static const struct option known[] = {
		{"home", required_argument, NULL, 'H'},
		{"listen", required_argument, NULL, 'l'},
		{"checkpoint", required_argument, NULL, 'c'},
		{"cache-gb", required_argument, NULL, 'g'},
		{"no-port-mapping", no_argument, NULL, 'n'},
		{"no-host", no_argument, NULL, 'N'},
		{"team", required_argument, NULL, 't'},
		{"misbehave", required_argument, NULL, 'm'},
		{NULL, 0, NULL, 0},
	};
	const char *home = NULL;
	const char *mode = NULL;
	struct agent_options options = {.log = stdout};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'H')
			home = optarg;
		else if (c == 'm')
			mode = optarg;
		else if (c == 'l')
			options.listen = optarg;
		else if (c == 't')
			options.team = optarg;
		else if (c == 'n')
			options.no_port_mapping = true;
		else if (c == 'N')
			options.no_host = true;
		else if (c == 'c' && (options.checkpoint_ms = milliseconds(optarg)) == 0)
			return peer_misused(
				"--checkpoint wants seconds, 0.2 to 86400, not \"%s\"", optarg);
		else if (c == 'g' && (options.cache_bytes = gigabytes(optarg)) == 0)
			return peer_misused(
				"--cache-gb wants gigabytes of disk, 0.1 to 100000, not \"%s\"",
				optarg);
		else if (c == 'c' || c == 'g')
			continue;
		else
			return PEER_USAGE;
	}
	if (optind != argc)
		return peer_misused("run takes no \"%s\"", argv[optind]);
	return run(home, mode, &options);
}
