/* talkoot init, serve and invite: the life of a coordinator. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "coordinator/cli/cli.h"
#include "coordinator/serve_uv.h"
#include "peer/wire/link.h"
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
		{0},
	};
	struct serve_options serve = {0};
	struct errmsg msg = {""};

	if (!cli_arguments(cli, options, &serve.home, 1))
		return EXIT_USAGE;
	if (options[0].value == NULL) {
		fputs("talkoot serve: --listen ADDR:PORT is missing, like --listen 0.0.0.0:7331\n",
			stderr);
		return EXIT_USAGE;
	}
	serve.listen = options[0].value;
	serve.quiet = options[1].value != NULL;
	serve.web = options[2].value;
	return serve_run(&serve, &msg) == TK_OK ? EXIT_OK : cli_failed(&msg);
}

/* This computer's first IPv4 address that others may reach; loopback when there is none. */
static void own_address(char *out, socklen_t size)
{
	struct ifaddrs *list = NULL;

	snprintf(out, size, "127.0.0.1");
	if (getifaddrs(&list) != 0)
		return;
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
		const struct sockaddr_in *in = (const void *)i->ifa_addr;

		if (in == NULL || in->sin_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK) != 0)
			continue;
		inet_ntop(AF_INET, &in->sin_addr, out, size);
		break;
	}
	freeifaddrs(list);
}

/* HOST:PORT[,HOST:PORT…], as the owner says it. */
static bool told_hosts(struct link *link, const char *told, struct errmsg *msg)
{
	link->host_count = 0;
	for (;;) {
		size_t n = strcspn(told, ",");

		if (link->host_count == LINK_HOSTS_MAX || n >= LINK_ADDRESS_SIZE) {
			errmsg_set(msg, TK_ELIMIT,
				"--host takes at most %u hosts, of at most %u characters each",
				LINK_HOSTS_MAX, LINK_ADDRESS_SIZE - 1);
			return false;
		}
		memcpy(link->hosts[link->host_count], told, n);
		link->hosts[link->host_count++][n] = '\0';
		if (told[n] == '\0')
			return true;
		told += n + 1;
	}
}

/* Where the coordinator listens, as volunteers would dial it. */
static bool own_host(struct home *home, char *out, size_t size, struct errmsg *msg)
{
	char listen[200], own[64];
	const char *colon;

	if (store_text(home->store, "listen", listen, sizeof(listen), msg) != TK_OK)
		return false;
	colon = strrchr(listen, ':');
	if (colon == NULL) {
		errmsg_set(msg, TK_ENOENT,
			"%s has not been served yet, so its address is unknown: run talkoot serve "
			"first, "
			"or say --host HOST:PORT",
			home->path);
		return false;
	}
	if (strncmp(listen, "0.0.0.0:", 8) == 0 || strncmp(listen, "[::]:", 5) == 0) {
		own_address(own, sizeof(own));
		snprintf(out, size, "%s%s", own, colon);
	} else {
		snprintf(out, size, "%s", listen);
	}
	return true;
}

static bool is_loopback(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]:", 6) == 0 ||
	       strncmp(host, "localhost:", 10) == 0;
}

int command_invite(const struct cli *cli)
{
	struct option_spec options[] = {{0, "host", true, NULL}, {0}};
	struct errmsg msg = {""};
	struct bytes text = {0};
	struct link link = {.host_count = 1};
	struct identity id;
	struct home home;
	const char *path;
	int rc;

	if (!cli_arguments(cli, options, &path, 1))
		return EXIT_USAGE;
	rc = home_open(&home, path, &msg);
	if (rc != TK_OK)
		return cli_failed(&msg);
	rc = home_identity(&home, &id, &msg);
	if (rc == TK_OK) {
		link.network = id.key.public;
		link.has_secret = id.has_secret;
		memcpy(link.secret, id.secret, sizeof(link.secret));
		identity_wipe(&id);
		if (options[0].value != NULL
				? told_hosts(&link, options[0].value, &msg)
				: own_host(&home, link.hosts[0], sizeof(link.hosts[0]), &msg))
			rc = link_format(&link, &text, &msg);
		else
			rc = TK_ENOENT;
	}
	home_close(&home);
	if (rc == TK_OK)
		printf("%.*s\n", (int)text.len, (const char *)text.data);
	if (rc == TK_OK && isatty(STDOUT_FILENO) && is_loopback(link.hosts[0]))
		fputs("This link works on this computer alone: its coordinator listens on "
		      "loopback. "
		      "For others, serve\non 0.0.0.0:PORT, or say --host HOST:PORT.\n",
			stderr);
	if (rc == TK_OK && isatty(STDOUT_FILENO) && link.has_secret)
		fputs("Whoever has this link can join: it holds the network's secret.\n", stderr);
	if (text.data != NULL)
		secret_wipe(text.data, text.len);
	secret_wipe(&link, sizeof(link));
	bytes_close(&text);
	return rc == TK_OK ? EXIT_OK : cli_failed(&msg);
}
