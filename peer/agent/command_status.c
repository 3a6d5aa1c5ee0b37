/* talkoot-peer status [--home HOME] [--json]: what the agent is doing, and why it is not. */
#include "peer/agent/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "peer/agent/status_file.h"

/* What a status file cannot say by itself: nobody has written it for a while. */
static void not_running(struct status_file *s, const char *path, const char *home)
{
	char before[TEXT_MAX + 384];
	bool retired = strcmp(s->state, "retired") == 0;

	snprintf(before, sizeof(before), "%s", s->reason);
	s->connected = false;
	s->project[0] = '\0';
	s->round = s->unit = s->percent = s->leases = s->neighbours = 0;
	s->beacon_s = s->host_until_s = 0;
	s->port = 0;
	s->reached[0] = '\0';
	if (retired) {
		snprintf(s->reason, sizeof(s->reason), "not running: %.500s", before);
		return;
	}
	snprintf(s->state, sizeof(s->state), "stopped");
	if (home != NULL)
		snprintf(s->reason, sizeof(s->reason),
			"not running: start it with `talkoot-peer run --home %.400s`", path);
	else
		snprintf(s->reason, sizeof(s->reason),
			"not running: start it with `talkoot-peer run`");
}

/* The coordinator sends one each 30 s, so an old one says since when it has been away. */
static void print_beacon(const struct status_file *s)
{
	uint64_t now_s = (uint64_t)time(NULL);

	if (s->beacon_s != 0)
		printf("news: the network's last beacon is %llu s old\n",
			(unsigned long long)(now_s > s->beacon_s ? now_s - s->beacon_s : 0));
	if (s->ledger[0] != '\0')
		printf("ledger: head %s (a later export is checked with `talkoot audit FILE "
		       "--head` and this)\n",
			s->ledger);
}

static void print_host(const struct status_file *s)
{
	time_t until = (time_t)s->host_until_s;
	struct tm tm;
	char day[16];

	if (s->host_until_s <= (uint64_t)time(NULL) || localtime_r(&until, &tm) == NULL)
		return;
	strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	printf("host: newcomers may join through this computer until %s\n", day);
}

static void print_human(const struct status_file *s)
{
	printf("%s\n", s->reason);
	printf("units: %llu valid, %llu invalid, %llu late, %u pending; credit %.3g GFLOP\n",
		(unsigned long long)s->totals.units_valid,
		(unsigned long long)s->totals.units_invalid,
		(unsigned long long)s->totals.units_late, (unsigned)s->pending,
		(double)s->totals.credit_flops / 1e9);
	if (s->team[0] != '\0')
		printf("team: %s\n", s->team);
	printf("data: %.1f MB from peers, %.1f MB from the coordinator, %.1f MB passed on\n",
		(double)s->blobs_from_peers / 1e6, (double)s->blobs_from_coordinator / 1e6,
		(double)s->blobs_served / 1e6);
	printf("disk: %.1f of %.1f GB for data\n", (double)s->cache_bytes / (1u << 30),
		(double)s->cache_bytes_max / (1u << 30));
	if (s->port != 0)
		printf("network: %u neighbours, port %u; others reach this computer %s\n",
			(unsigned)s->neighbours, s->port, s->reached);
	print_beacon(s);
	print_host(s);
	if (s->remark[0] != '\0')
		printf("%s\n", s->remark);
}

static int print_json(const struct status_file *s)
{
	struct bytes text = {0};
	struct errmsg msg = {{0}};
	int rc = status_file_encode(s, &text);

	if (rc == TK_OK)
		fwrite(text.data, 1, text.len, stdout);
	bytes_close(&text);
	if (rc == TK_OK)
		return PEER_OK;
	errmsg_set(&msg, rc, "not enough memory to print the status");
	return peer_failed(&msg);
}

static int status(const char *home, bool json)
{
	struct status_file file = {0};
	struct agent_home loaded;
	struct errmsg msg = {{0}};
	struct identity id;
	char path[AGENT_PATH_MAX];
	int rc;

	if (peer_home(home, path, &msg) != TK_OK || agent_home_load(&loaded, path, &msg) != TK_OK)
		return peer_failed(&msg);
	rc = status_file_read(&file, path, &msg);
	if (rc != TK_OK && rc != TK_ENOENT)
		return peer_failed(&msg);
	agent_home_identity(&loaded, &id);
	file.peer = id.key.public;
	identity_wipe(&id);
	if (file.coordinator[0] == '\0')
		snprintf(file.coordinator, sizeof(file.coordinator), "%s", loaded.link.hosts[0]);
	agent_home_wipe(&loaded);
	if (!agent_home_is_locked(path)) {
		not_running(&file, path, home);
	} else if (rc == TK_ENOENT) {
		snprintf(file.state, sizeof(file.state), "starting");
		snprintf(file.reason, sizeof(file.reason), "starting");
	}
	if (json)
		return print_json(&file);
	print_human(&file);
	return PEER_OK;
}

int peer_status(int argc, char **argv)
{
	static const struct option options[] = {
		{"home", required_argument, NULL, 'H'},
		{"json", no_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	const char *home = NULL;
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'H')
			home = optarg;
		else if (c == 'j')
			json = true;
		else
			return PEER_USAGE;
	}
	if (optind != argc)
		return peer_misused("status takes no \"%s\"", argv[optind]);
	return status(home, json);
}
