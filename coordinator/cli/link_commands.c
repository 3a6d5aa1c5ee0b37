/* talkoot invite and hosts: the link with which volunteers join, and the peers that stand in it beside the coordinator. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "coordinator/cli/cli.h"
#include "coordinator/hosts.h"
#include "peer/wire/identity.h"

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

/* Is the link for the world, and not for one computer or one house? A name is taken to be known everywhere. */
static bool is_for_the_world(const struct link *link)
{
	struct endpoint at;

	if (endpoint_from_text(&at, link->hosts[0]) == TK_OK)
		return endpoint_scope(&at) == SCOPE_GLOBAL;
	return !is_loopback(link->hosts[0]);
}

/* Where volunteers dial the coordinator: as the owner says, or as it listens. */
static int link_addresses(
	struct link *link, struct home *home, const char *told, struct errmsg *msg)
{
	bool known = told != NULL ? told_hosts(link, told, msg)
				  : own_host(home, link->hosts[0], sizeof(link->hosts[0]), msg);

	return known ? TK_OK : TK_ENOENT;
}

/* Peers beside the coordinator, named and signed for now. Fewer than were asked for are said to be fewer. */
static int add_hosts(struct link *link, struct home *home, const struct key_pair *root,
	uint32_t wanted, struct errmsg *msg)
{
	struct hosts_choice choice;
	char lacking[TEXT_MAX];
	int rc;

	if (link->host_count + wanted > LINK_HOSTS_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"a link has at most %u addresses, and %u are the coordinator's: --hosts "
			"takes at most %u",
			LINK_HOSTS_MAX, link->host_count, LINK_HOSTS_MAX - link->host_count);
	rc = hosts_choose(&choice, home->store, wanted, is_for_the_world(link), root,
		(uint64_t)time(NULL), msg);
	if (rc != TK_OK)
		return rc;
	for (uint32_t i = 0; i < choice.count; i++)
		snprintf(link->hosts[link->host_count++], LINK_ADDRESS_SIZE, "%s",
			choice.hosts[i].address);
	hosts_lacking(&choice, wanted, lacking);
	if (lacking[0] != '\0')
		fprintf(stderr, "talkoot: the link has %s\n", lacking);
	return TK_OK;
}

static int make_link(
	struct link *link, struct home *home, const char *told, uint32_t hosts, struct errmsg *msg)
{
	struct identity id;
	int rc = home_identity(home, &id, msg);

	if (rc != TK_OK)
		return rc;
	link->network = id.key.public;
	link->has_secret = id.has_secret;
	memcpy(link->secret, id.secret, sizeof(link->secret));
	rc = link_addresses(link, home, told, msg);
	if (rc == TK_OK && hosts != 0)
		rc = add_hosts(link, home, &id.key, hosts, msg);
	identity_wipe(&id);
	return rc;
}

static void explain(const struct link *link)
{
	if (is_loopback(link->hosts[0]))
		fputs("This link works on this computer alone: its coordinator listens on "
		      "loopback. "
		      "For others, serve\non 0.0.0.0:PORT, or say --host HOST:PORT.\n",
			stderr);
	if (link->has_secret)
		fputs("Whoever has this link can join: it holds the network's secret.\n", stderr);
}

int command_invite(const struct cli *cli)
{
	struct option_spec options[] = {{0, "host", true, NULL}, {0, "hosts", true, NULL}, {0}};
	struct link link = {.host_count = 1};
	struct errmsg msg = {""};
	struct bytes text = {0};
	uint64_t hosts = 0;
	struct home home;
	const char *path;
	int rc;

	if (!cli_arguments(cli, options, &path, 1))
		return EXIT_USAGE;
	if (options[1].value != NULL &&
		!cli_number(options[1].value, 1, LINK_HOSTS_MAX - 1, &hosts)) {
		fprintf(stderr, "talkoot invite: --hosts wants a number from 1 to %u, not %s\n",
			LINK_HOSTS_MAX - 1, options[1].value);
		return EXIT_USAGE;
	}
	rc = home_open(&home, path, &msg);
	if (rc != TK_OK)
		return cli_failed(&msg);
	rc = make_link(&link, &home, options[0].value, (uint32_t)hosts, &msg);
	if (rc == TK_OK)
		rc = link_format(&link, &text, &msg);
	home_close(&home);
	if (rc == TK_OK)
		printf("%.*s\n", (int)text.len, (const char *)text.data);
	if (rc == TK_OK && isatty(STDOUT_FILENO))
		explain(&link);
	if (text.data != NULL)
		secret_wipe(text.data, text.len);
	secret_wipe(&link, sizeof(link));
	bytes_close(&text);
	return rc == TK_OK ? EXIT_OK : cli_failed(&msg);
}

/* Hosts */

static void day(char out[16], uint64_t unix_s)
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	snprintf(out, 16, "?");
	if (localtime_r(&t, &tm) != NULL)
		strftime(out, 16, "%Y-%m-%d", &tm);
}

struct seen {
	const struct public_key *key;
	uint64_t seen_s;
};

static int find_seen(void *context, const void *row)
{
	const struct peer_row *peer = row;
	struct seen *s = context;

	if (key_equal(&peer->key, s->key))
		s->seen_s = peer->last_seen_s;
	return TK_OK;
}

static int list_hosts(
	struct home *home, const struct host_row *hosts, uint32_t count, struct errmsg *msg)
{
	int rc = TK_OK;

	if (count == 0)
		printf("The network's links name no hosts: talkoot invite HOME --hosts N chooses "
		       "some.\n");
	else
		printf("%-64s  %-24s %-11s %s\n", "KEY", "ADDRESS", "UNTIL", "LAST SEEN");
	for (uint32_t i = 0; rc == TK_OK && i < count; i++) {
		struct seen seen = {&hosts[i].key, 0};
		char hex[2 * KEY_BYTES + 1], until[16], last[16];

		rc = store_peers(home->store, find_seen, &seen, msg);
		hex_encode(hex, hosts[i].key.b, KEY_BYTES);
		day(until, hosts[i].expiry_s);
		day(last, seen.seen_s);
		printf("%s  %-24s %-11s %s\n", hex, hosts[i].address, until, last);
	}
	return rc;
}

/* By its key, or the first digits of it. */
static int remove_host(struct home *home, const struct host_row *hosts, uint32_t count,
	const char *key, struct errmsg *msg)
{
	const struct host_row *found = NULL;
	char hex[2 * KEY_BYTES + 1], until[16];
	int rc;

	if (key[0] == '\0')
		return errmsg_set(msg, TK_EINVAL,
			"--remove wants a host's key, or its first digits; talkoot -C HOME hosts "
			"lists them");
	for (uint32_t i = 0; i < count; i++) {
		hex_encode(hex, hosts[i].key.b, KEY_BYTES);
		if (strncmp(hex, key, strlen(key)) != 0)
			continue;
		if (found != NULL)
			return errmsg_set(msg, TK_EINVAL,
				"the keys of several hosts begin with %.64s: say more of it", key);
		found = &hosts[i];
	}
	if (found == NULL)
		return errmsg_set(msg, TK_ENOENT,
			"no host has the key %.64s; talkoot -C HOME hosts lists them", key);
	rc = store_remove_host(home->store, &found->key, msg);
	day(until, found->expiry_s);
	if (rc == TK_OK)
		printf("Removed: new links do not name it, and its certificate is not renewed. It "
		       "holds until %s\nfor those who have a link with %s.\n",
			until, found->address);
	return rc;
}

int command_hosts(const struct cli *cli)
{
	struct option_spec options[] = {{0, "remove", true, NULL}, {0}};
	struct host_row hosts[HOSTS_MAX];
	struct errmsg msg = {""};
	struct home home;
	uint32_t count;
	int rc;

	if (!cli_arguments(cli, options, NULL, 0))
		return EXIT_USAGE;
	if (!cli_home(cli, &home))
		return EXIT_FAILED;
	rc = hosts_load(hosts, &count, home.store, &msg);
	if (rc == TK_OK && options[0].value != NULL)
		rc = remove_host(&home, hosts, count, options[0].value, &msg);
	else if (rc == TK_OK)
		rc = list_hosts(&home, hosts, count, &msg);
	home_close(&home);
	return rc == TK_OK ? EXIT_OK : cli_failed(&msg);
}
