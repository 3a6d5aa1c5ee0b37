/* talkoot-peer join LINK [--home HOME] [--yes] */
#include "peer/agent/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "peer/agent/agent_uv.h"

#define PROBE_MS 10000u

/* The volunteer is told before anything is stored. */
static void explain(const char *home, const struct link *link)
{
	char key[2 * KEY_BYTES + 1];

	hex_encode(key, link->network.b, KEY_BYTES);
	printf("This computer will work for the %snetwork %.16s…\n"
	       "  at %s%s\n"
	       "Peers compute at the lowest priority, on one core, while `talkoot-peer run` runs. "
	       "The network's\nowner decides what is trained and sees this peer's key, address, "
	       "kind of processor and results;\nno program of theirs ever runs here. If strangers "
	       "can dial this "
	       "computer, the network's links may\nname its address, so that newcomers get in "
	       "while "
	       "the coordinator is away; `run --no-host` forbids\nthat. Stored in %s: "
	       "a key, training data\nand models of the network, and results until they are "
	       "settled. Remove the folder to leave.\n",
		link->has_secret ? "private " : "", key, link->hosts[0],
		link->host_count > 1 ? " and other hosts" : "", home);
}

static bool agreed(void)
{
	char line[16];

	printf("Continue? [y/N] ");
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) == NULL)
		return false;
	return line[0] == 'y' || line[0] == 'Y';
}

/* Says whether the network answers; it may be asleep, so joining stands either way. */
static void probe(const char *path)
{
	struct agent_home home;
	struct errmsg msg = {{0}};

	/* With an agent running on this home, a second session would end the agent's. */
	if (agent_home_is_locked(path))
		return;
	if (agent_home_load(&home, path, &msg) != TK_OK) {
		(void)peer_failed(&msg);
		return;
	}
	if (agent_probe(&home, PROBE_MS, &msg) == TK_OK)
		printf("The network answers.\n");
	else
		fprintf(stderr,
			"talkoot-peer: warning: joined, but the network does not answer now (%s); "
			"`talkoot-peer run` keeps trying\n",
			msg.text);
	agent_home_wipe(&home);
}

static int join(const char *text, const char *home, bool yes)
{
	struct errmsg msg = {{0}};
	char path[AGENT_PATH_MAX];
	struct link link;
	int rc;

	if (peer_home(home, path, &msg) != TK_OK || link_parse(&link, text, &msg) != TK_OK)
		return peer_failed(&msg);
	explain(path, &link);
	if (!yes && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))) {
		errmsg_set(&msg, TK_EINVAL,
			"there is no terminal to ask on, so nothing was joined; add --yes to "
			"agree");
		return peer_failed(&msg);
	}
	if (!yes && !agreed()) {
		printf("Nothing was joined.\n");
		return PEER_FAILED;
	}
	rc = agent_home_join(path, &link, &msg);
	secret_wipe(&link, sizeof(link));
	if (rc != TK_OK)
		return peer_failed(&msg);
	printf("Joined. Start with: talkoot-peer run%s%s\n", home != NULL ? " --home " : "",
		home != NULL ? home : "");
	fflush(stdout);
	probe(path);
	return PEER_OK;
}

int peer_join(int argc, char **argv)
{
	static const struct option options[] = {
		{"home", required_argument, NULL, 'H'},
		{"yes", no_argument, NULL, 'y'},
		{NULL, 0, NULL, 0},
	};
	const char *home = NULL;
	char line[PEER_LINK_MAX];
	bool yes = false;
	int code;
	int c;

	while ((c = getopt_long(argc, argv, "y", options, NULL)) != -1) {
		if (c == 'H')
			home = optarg;
		else if (c == 'y')
			yes = true;
		else
			return PEER_USAGE;
	}
	if (optind + 1 != argc)
		return peer_misused(
			"join wants one link, talkoot://…, or - and the link as its input");
	if (strcmp(argv[optind], "-") != 0)
		return join(argv[optind], home, yes);
	if (!peer_read_link(line))
		return peer_misused("join - wants a link as its input, and there is none");
	code = join(line, home, yes);
	secret_wipe(line, sizeof(line));
	return code;
}
