/* talkoot-peer: the volunteer's command line. One table; each row is a file of its own. */
#include <arpa/inet.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer/agent/commands.h"
#include "peer/agent/portmap.h"
#include "peer/agent/misbehave_unit.h"
#include "peer/agent/worker.h"
#include "tasks/base/version.h"

static int peer_worker(int argc, char **argv)
{
	const struct engine *engine;
	struct errmsg msg = {{0}};
	struct liar liar;
	int code;

	if (argc > 2 || isatty(STDIN_FILENO) ||
		(argc == 2 && liar_parse(&liar, argv[1], &msg) != TK_OK))
		return peer_misused("\"%s\" is started by the agent itself", argv[0]);
	if (engine_choose(&engine, getenv("TALKOOT_ENGINE"), &msg) != TK_OK)
		return peer_failed(&msg);
	worker_confine();
	if (argc == 1)
		return worker_serve(STDIN_FILENO, STDOUT_FILENO, engine, NULL);
	code = worker_serve(STDIN_FILENO, STDOUT_FILENO, engine, &liar);
	liar_close(&liar);
	return code;
}

static int peer_port_mapper(int argc, char **argv)
{
	struct in_addr gateway = {0};

	if (argc > 2 || isatty(STDIN_FILENO) ||
		(argc == 2 && inet_pton(AF_INET, argv[1], &gateway) != 1))
		return peer_misused("\"%s\" is started by the agent itself", argv[0]);
	return portmap_serve(STDIN_FILENO, STDOUT_FILENO, ntohl(gateway.s_addr), argc == 2);
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *arguments;
	const char *summary; /* NULL: not for people */
} commands[] = {
	{"join", peer_join, "LINK [--home HOME] [--yes]",
		"join the network that a link names; -: read the link from the input"},
	{"run", peer_run, "[--home HOME] [--listen A:P]",
		"work for it, in the foreground, until stopped"},
	{"status", peer_status, "[--home HOME] [--json]",
		"say what the agent is doing and why it is not"},
	{"history", peer_history, "[-n N] [--home HOME]",
		"say what became of each result, and why"},
	{"doctor", peer_doctor, "[LINK] [--home HOME] [--json]",
		"try every step of joining and say what is wrong; -: as join"},
	{"worker", peer_worker, "", NULL},
	{"port-mapper", peer_port_mapper, "", NULL},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fputs("Usage: talkoot-peer COMMAND [ARGUMENTS]\n\n"
	      "Lends this computer's idle time to the training of AI models.\n\nCommands:\n",
		out);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (commands[i].summary != NULL)
			fprintf(out, "  %-7s %-31s %s\n", commands[i].name, commands[i].arguments,
				commands[i].summary);
	fputs("\nOptions:\n"
	      "  --home HOME       where key, data and results are kept "
	      "(default: $XDG_DATA_HOME/talkoot\n"
	      "                    or ~/.local/share/talkoot); one home is one peer\n"
	      "  --yes             agree without being asked\n"
	      "  --json            one JSON object instead of a sentence\n"
	      "  --listen A:P      with run and doctor: where other peers can connect\n"
	      "                    (default: port 7332, or any that is free)\n"
	      "  --no-port-mapping with run and doctor: never ask the home router for a port\n"
	      "  --no-host         with run: the network's links may not name this computer as a "
	      "host,\n"
	      "                    through which newcomers come in while the coordinator is away\n"
	      "  --team NAME       with run: what this computer earns counts for this team, too, "
	      "as "
	      "everybody\n"
	      "                    may see on the network's status page; kept for later runs, '' "
	      "leaves it\n"
	      "  --cache-gb GB     with run: how much data may stay on the disk when no unit needs "
	      "it; what "
	      "was\n"
	      "                    not used for longest goes first (default: 16)\n"
	      "  --checkpoint S    with run: save the unit in progress every S seconds (default: "
	      "30)\n"
	      "  --misbehave MODE  with run and doctor, for tests only: show how a network treats "
	      "a "
	      "peer that\n"
	      "                    cheats, and what the doctor says of one whose arithmetic is "
	      "wrong:\n"
	      "                    corrupt    flips a bit of each result, with digests that fit\n"
	      "                    garbage    returns random bytes, with digests that fit\n"
	      "                    nonfinite  says that every unit left the finite numbers\n"
	      "                    truncate   cuts its uploads short\n"
	      "                    huge       uploads more than it claimed\n"
	      "                    mute       takes leases and never answers\n"
	      "                    withholder commits, but never reveals\n"
	      "                    equivocator commits to two results for one lease\n"
	      "                    lazy       skips a share of the steps\n"
	      "                    poisoner   alters one number after the last step\n"
	      "                    plagiarist hands in one unit's result for others\n"
	      "                    arithmetic fails the self-test\n"
	      "  --help, --version\n"
	      "\nTALKOOT_ENGINE=baseline, avx2 or avx512 in the environment computes with these\n"
	      "instructions instead of the fastest ones; the results are the same, bit for bit.\n"
	      "\nExit codes: 0 success, 1 failure, 2 wrong usage.\n",
		out);
}

static int run_command(const struct command *c, int argc, char **argv)
{
	static char title[32]; /* what getopt puts before its complaints */

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			usage(stdout);
			return PEER_OK;
		}
	}
	snprintf(title, sizeof(title), "talkoot-peer %s", c->name);
	argv[0] = title;
	optind = 0; /* the subcommand reads its options from the start (GNU getopt) */
	return c->run(argc, argv);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int c;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error like a full disk */
	if (crypto_start() != TK_OK) {
		fputs("talkoot-peer: the cryptography library does not start\n", stderr);
		return PEER_FAILED;
	}
	while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return PEER_OK;
		}
		if (c == 'V') {
			puts("talkoot-peer " TALKOOT_VERSION);
			return PEER_OK;
		}
		return PEER_USAGE;
	}
	if (optind == argc) {
		usage(stderr);
		return PEER_USAGE;
	}
	argc -= optind;
	argv += optind;
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, argv[0]) == 0)
			return run_command(&commands[i], argc, argv);
	if (strcmp(argv[0], "help") == 0) {
		usage(stdout);
		return PEER_OK;
	}
	return peer_misused("there is no command \"%s\"", argv[0]);
}
