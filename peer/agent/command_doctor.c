/* talkoot-peer doctor [LINK | -] [--home HOME] [--listen ADDR:PORT] [--no-port-mapping] [--misbehave MODE] [--json] */
#include "peer/agent/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "peer/agent/doctor.h"

/* Whom to be: the home's identity, unless its agent runs, whose session another one would end, nothing was joined, or
 * the link is another network's, which must not learn who we are in this one. Errors: TK_ENOENT (no home and
 * no link), link_parse's. */
static int choose(struct agent_home *h, enum doctor_home *is, const char *home, const char *link,
	struct errmsg *msg)
{
	char path[AGENT_PATH_MAX];
	struct public_key network;
	int rc = peer_home(home, path, msg);

	if (rc == TK_OK)
		rc = agent_home_load(h, path, msg);
	*is = rc == TK_OK ? DOCTOR_HOME_JOINED : DOCTOR_HOME_NONE;
	if (rc != TK_OK && link == NULL)
		return rc;
	network = h->link.network;
	if (link != NULL)
		rc = link_parse(&h->link, link, msg);
	if (rc == TK_OK && *is == DOCTOR_HOME_JOINED && !key_equal(&network, &h->link.network))
		*is = DOCTOR_HOME_ELSEWHERE;
	if (rc == TK_OK && (*is != DOCTOR_HOME_JOINED || agent_home_is_locked(h->path)))
		random_bytes(h->key, sizeof(h->key));
	return rc;
}

static int tell(const struct doctor *d, bool json)
{
	struct errmsg msg = {{0}};
	struct bytes text = {0};

	if (!json) {
		doctor_print(d);
	} else if (doctor_encode(d, &text) == TK_OK) {
		fwrite(text.data, 1, text.len, stdout);
		bytes_close(&text);
	} else {
		errmsg_set(&msg, TK_ENOMEM, "not enough memory to print what was found");
		return peer_failed(&msg);
	}
	return doctor_is_well(d) ? PEER_OK : PEER_FAILED;
}

static int examine(
	const char *home, const char *link, const struct doctor_options *options, bool json)
{
	struct doctor d = {.count = 0};
	struct agent_home h = {.path = ""};
	struct errmsg msg = {{0}};
	enum doctor_home is;
	int rc = choose(&h, &is, home, link, &msg);

	if (rc != TK_OK) {
		doctor_note(&d, link != NULL ? "link" : "home", DOCTOR_BAD,
			link != NULL ? "copy the whole link, and nothing else"
				     : "join first, or give the link: talkoot-peer doctor LINK",
			"%.500s", msg.text);
	} else {
		doctor_local(&d, &h, is, (uint64_t)time(NULL));
		doctor_worker(&d, options->misbehave);
		if (doctor_network(&d, &h, options, &msg) != TK_OK)
			doctor_note(&d, "network", DOCTOR_BAD, NULL, "%.500s", msg.text);
	}
	agent_home_wipe(&h);
	return tell(&d, json);
}

int peer_doctor(int argc, char **argv)
{
	static const struct option known[] = {
		{"home", required_argument, NULL, 'H'},
		{"listen", required_argument, NULL, 'l'},
		{"no-port-mapping", no_argument, NULL, 'n'},
		{"misbehave", required_argument, NULL, 'm'},
		{"json", no_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	struct doctor_options options = {.no_port_mapping = false};
	struct errmsg msg = {{0}};
	const char *home = NULL;
	const char *link;
	char line[PEER_LINK_MAX];
	bool json = false;
	int code;
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'H')
			home = optarg;
		else if (c == 'l')
			options.listen = optarg;
		else if (c == 'n')
			options.no_port_mapping = true;
		else if (c == 'j')
			json = true;
		else if (c == 'm' && misbehave_parse(&options.misbehave, optarg, &msg) != TK_OK)
			return peer_misused("%s", msg.text);
		else if (c != 'm')
			return PEER_USAGE;
	}
	if (argc - optind > 1)
		return peer_misused("doctor takes one link at most");
	link = optind < argc ? argv[optind] : NULL;
	if (link == NULL || strcmp(link, "-") != 0)
		return examine(home, link, &options, json);
	if (!peer_read_link(line))
		return peer_misused("doctor - wants a link as its input, and there is none");
	code = examine(home, line, &options, json);
	secret_wipe(line, sizeof(line));
	return code;
}
