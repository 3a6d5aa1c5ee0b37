/* talkoot: the owner's command line. One table; each row is a file of its own. */
#include <getopt.h>
#include <signal.h>
#include <string.h>

#include "coordinator/cli/cli.h"
#include "tasks/base/key.h"
#include "tasks/project/project.h"
#include "tasks/base/version.h"

static const struct command commands[] = {
	{"init", "HOME [--name NAME] [--private]",
		"make a coordinator's home: keys and an empty store", command_init},
	{"serve", "HOME --listen ADDR:PORT [--connections N] [--web DIR] [--quiet]",
		"run the coordinator; its status page goes to HOME/web", command_serve},
	{"invite", "HOME [--host HOST:PORT[,HOST:PORT…]] [--hosts N]",
		"print the link with which volunteers join", command_invite},
	{"hosts", "[--remove KEY]", "list the peers through which newcomers may join (-C HOME)",
		command_hosts},
	{"check", "FILE", "read a project and its data, say what it will cost", command_check},
	{"submit", "FILE [--watch]", "hand a project to the coordinator (-C HOME)", command_submit},
	{"list", "", "list the projects (-C HOME)", command_list},
	{"status", "[NAME] [--json]", "say how a project is doing, or all and the teams (-C HOME)",
		command_status},
	{"watch", "NAME", "follow a project until it is over (-C HOME)", command_watch},
	{"stop", "NAME", "end a project at its next round (-C HOME)", command_stop},
	{"resume", "NAME", "go on with a paused project (-C HOME)", command_resume},
	{"readmit", "PEER", "let a retired peer work again, once (-C HOME)", command_readmit},
	{"export", "NAME -o FILE", "write the model as safetensors (-C HOME)", command_export},
	{"sample", "NAME [--length N] [--temperature T] [--seed N]",
		"print text drawn from a text model (-C HOME)", command_sample},
	{"explain", "NAME ROUND.UNIT",
		"say what became of each result of a unit, and why (-C HOME)", command_explain},
	{"ledger", "NAME -o FILE", "write the project's signed ledger (-C HOME)", command_ledger},
	{"audit", "FILE [--recompute N|all] [--data DIR] [--network KEY] [--head HEAD]",
		"verify a ledger, and recompute its units from the data", command_audit},
	{"train", "FILE [-o FILE] [--threads N] [--numerics canonical|blas]",
		"train the same project in this one process", command_train},
	{"verify-fault", "FILE [--blobs DIR] [--network KEY]",
		"check a proof that a peer's result was wrong", command_verify_fault},
	{"simulate", "FILE [OPTIONS]",
		"say what a project would take, and what cheaters would get away with",
		command_simulate},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fputs("Usage: talkoot [-C HOME] COMMAND [ARGUMENTS]\n\n"
	      "Trains a model on strangers' computers and gets, bit for bit, the model that this\n"
	      "computer would have produced.\n\nCommands:\n",
		out);
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const struct command *c = &commands[i];
		bool fits = strlen(c->arguments) <= 30;

		fprintf(out, "  %-12s %-30s%s%s\n", c->name, c->arguments,
			fits ? " " : "\n                                              ",
			c->summary);
	}
	fputs("\nOptions:\n"
	      "  -C, --home HOME   the coordinator's home\n"
	      "  -h, --help        this text; `talkoot COMMAND --help`: that of one command; "
	      "`talkoot\n"
	      "                    check --help` lists the keys of project.yaml\n"
	      "      --version     the version\n",
		out);
}

static bool asks_for_help(const struct cli *cli)
{
	for (int i = 1; i < cli->argc && strcmp(cli->argv[i], "--") != 0; i++) {
		if (strcmp(cli->argv[i], "--help") == 0 || strcmp(cli->argv[i], "-h") == 0)
			return true;
	}
	return false;
}

static int help_command(const struct command *c)
{
	bool needs_home = strstr(c->summary, "(-C HOME)") != NULL;

	printf("Usage: talkoot %s%s%s%s\n\n%s\n", needs_home ? "-C HOME " : "", c->name,
		c->arguments[0] != '\0' ? " " : "", c->arguments, c->summary);
	if (c->run == command_check || c->run == command_submit || c->run == command_train) {
		puts("\nThe keys of FILE, a project.yaml:\n");
		project_help(stdout);
	}
	return EXIT_OK;
}

/* What was written, is it written? Nobody should take half a status for the whole. */
static int finish_output(int code)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return code;
	fputs("talkoot: the output could not be written\n", stderr);
	return code == EXIT_OK ? EXIT_FAILED : code;
}

static int run_command(struct cli *cli)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const struct command *c = &commands[i];

		if (strcmp(c->name, cli->argv[0]) == 0)
			return finish_output(asks_for_help(cli) ? help_command(c) : c->run(cli));
	}
	if (strcmp(cli->argv[0], "help") == 0) {
		usage(stdout);
		return finish_output(EXIT_OK);
	}
	fprintf(stderr, "talkoot: there is no command \"%s\"; `talkoot --help` lists them\n",
		cli->argv[0]);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"home", required_argument, NULL, 'C'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	struct cli cli = {0};
	int c;

	signal(SIGPIPE, SIG_IGN);
	if (crypto_start() != TK_OK) {
		fputs("talkoot: the cryptography library does not start\n", stderr);
		return EXIT_FAILED;
	}
	while ((c = getopt_long(argc, argv, "+C:h", options, NULL)) != -1) {
		switch (c) {
		case 'C':
			cli.home = optarg;
			break;
		case 'h':
			usage(stdout);
			return EXIT_OK;
		case 'V':
			puts("talkoot " TALKOOT_VERSION);
			return EXIT_OK;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	cli.argc = argc - optind;
	cli.argv = argv + optind;
	return run_command(&cli);
}
