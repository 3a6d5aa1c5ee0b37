/* talkoot init and serve: the life of a coordinator. */
#include <string.h>
#include <time.h>

#include "coordinator/cli/cli.h"
#include "coordinator/serve_uv.h"
#include "peer/overlay/node.h"
#include "tasks/data/utf8.h"

bool cli_home(const struct cli *cli, struct home *home)
{
	struct errmsg msg = {""};

	if (cli->home == NULL) {
		fprintf(stderr, "talkoot %s: which coordinator? Say talkoot -C HOME %s …\n",
			cli->argv[0], cli->argv[0]);
		return false;
	}
	if (home_open(home, cli->home, &msg) == TK_OK)
		return true;
	cli_failed(&msg);
	return false;
}

int command_init(const struct cli *cli)
{
	struct option_spec options[] = {
		{'n', "name", true, NULL},
		{'p', "private", false, NULL},
		{0},
	};
	struct errmsg msg = {""};
	const char *home, *name;
	bool private;

	if (!cli_arguments(cli, options, &home, 1))
		return EXIT_USAGE;
	name = options[0].value != NULL ? options[0].value : "";
	if (strlen(name) > 63 || !utf8_valid(name)) {
		fputs("talkoot init: --name wants at most 63 bytes of UTF-8\n", stderr);
		return EXIT_USAGE;
	}
	private = options[1].value != NULL;
	if (home_create(home, name, private, (uint64_t)time(NULL), &msg) != TK_OK)
		return cli_failed(&msg);
	printf("Made a coordinator in %s. Its key file is the network's identity: keep a copy of\n"
	       "%s/key in a safe place.\nNext: talkoot serve %s --listen 0.0.0.0:7331\n",
		home, home, home);
	if (private)
		printf("The network is private: its links carry a secret. Send them only to those "
		       "who may join,\nin ways that others cannot read.\n");
	return EXIT_OK;
}

int command_serve(const struct cli *cli)
{
	struct option_spec options[] = {
		{'l', "listen", true, NULL},
		{'q', "quiet", false, NULL},
		{'w', "web", true, NULL},
		{0, "connections", true, NULL},
		{0},
	};
	uint64_t connections = 0;
	struct serve_options serve = {0};
	struct errmsg msg = {""};

	if (!cli_arguments(cli, options, &serve.home, 1))
		return EXIT_USAGE;
	if (options[0].value == NULL) {
		fputs("talkoot serve: --listen ADDR:PORT is missing, like --listen 0.0.0.0:7331\n",
			stderr);
		return EXIT_USAGE;
	}
	if (options[3].value != NULL &&
		!cli_number(options[3].value, 2, NODE_CONNECTIONS_MAX, &connections)) {
		fprintf(stderr,
			"talkoot serve: --connections wants a number from 2 to %u, not %s\n",
			NODE_CONNECTIONS_MAX, options[3].value);
		return EXIT_USAGE;
	}
	serve.connections = (size_t)connections;
	serve.listen = options[0].value;
	serve.quiet = options[1].value != NULL;
	serve.web = options[2].value;
	return serve_run(&serve, &msg) == TK_OK ? EXIT_OK : cli_failed(&msg);
}
