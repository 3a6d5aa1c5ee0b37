/* talkoot list, status, watch and stop. They read the store, so they work while nothing serves. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coordinator/checked.h"
#include "coordinator/cli/cli.h"
#include "coordinator/status.h"
#include "coordinator/status_teams.h"

#define FOLLOW_MS 300

static bool is_over(enum project_state state)
{
	return state == PROJECT_DONE || state == PROJECT_FAILED || state == PROJECT_STOPPED;
}

static int list_one(void *context, const void *row)
{
	const struct project_row *p = row;

	*(int *)context += 1;
	printf("%-24s %-8s round %" PRIu32 " of %" PRIu32 "%s%s\n", p->name,
		project_state_name(p->state), p->round, p->rounds, p->reason[0] != '\0' ? "  " : "",
		p->reason);
	return 0;
}

static int list_teams(struct store *s, struct errmsg *msg)
{
	struct status_teams teams = {0};
	int rc = status_teams_load(&teams, s, msg);

	if (rc == TK_OK && teams.count != 0)
		printf("\n%-32s %8s %10s %15s\n", "team", "members", "units", "credit");
	for (size_t i = 0; rc == TK_OK && i < teams.count && i < STATUS_TEAMS_MAX; i++) {
		const struct status_team *t = &teams.items[i];

		printf("%-32s %8" PRIu64 " %10" PRIu64 " %9.3g GFLOP\n", t->name, t->members,
			t->units, (double)t->credit_flops / 1e9);
	}
	if (rc == TK_OK && teams.count > STATUS_TEAMS_MAX)
		printf("and %zu teams more\n", teams.count - STATUS_TEAMS_MAX);
	status_teams_close(&teams);
	return rc;
}

static int list(const struct cli *cli, bool with_teams)
{
	struct errmsg msg = {""};
	struct home home;
	int count = 0;
	int rc;

	if (!cli_home(cli, &home))
		return EXIT_FAILED;
	rc = store_projects(home.store, list_one, &count, &msg);
	if (rc == TK_OK && count == 0)
		puts("no project yet: talkoot -C HOME submit FILE");
	if (rc == TK_OK && with_teams)
		rc = list_teams(home.store, &msg);
	home_close(&home);
	return rc == TK_OK ? EXIT_OK : cli_failed(&msg);
}

int command_list(const struct cli *cli)
{
	struct option_spec none[] = {{0}};

	return cli_arguments(cli, none, NULL, 0) ? list(cli, false) : EXIT_USAGE;
}

/* The last merged round in words; empty before there is one. */
static void losses(char *out, size_t size, const struct project_numbers *n)
{
	const struct evaluation validation = {
		n->last.validation_samples, n->last.validation_loss, n->last.validation_accuracy};

	out[0] = '\0';
	if (n->has_round)
		cli_losses(out, size, n->last.loss, &validation);
}

static void print_project(const struct project_row *p, const struct project_numbers *n,
	const struct status_live *live)
{
	char text[160], hex[DIGEST_HEX], checked[CHECKED_MAX];

	if (p->state == PROJECT_STOPPED && p->reason[0] != '\0')
		printf("%s: %s\n", p->name, p->reason); /* begins with the state */
	else
		printf("%s: %s%s%s\n", p->name, project_state_name(p->state),
			p->reason[0] != '\0' ? ", " : "", p->reason);
	printf("  %" PRIu32 " of %" PRIu32 " rounds merged", p->round, p->rounds);
	if (!is_over(p->state))
		printf(", %" PRIu32 " of %" PRIu32 " units of the next one done", n->units_done,
			p->units_per_round);
	putchar('\n');
	losses(text, sizeof(text), n);
	if (text[0] != '\0')
		printf("  %s\n", text);
	if (n->has_eta) {
		cli_duration(text, sizeof(text), n->eta_s);
		printf("  about %s left\n", text);
	}
	printf("  %" PRIu64 " peers connected; units accepted %" PRIu64
	       ", results rejected %" PRIu64 ", disputes %" PRIu64 "\n",
		live->peers_connected, p->units_accepted, p->units_rejected, p->disputes);
	if (p->state == PROJECT_DONE && p->policy == VERIFY_FULL)
		printf("  every unit was computed by %" PRIu32
		       " or more different peers and compared\n",
			p->quorum);
	if (p->policy == VERIFY_ADAPTIVE && p->round > 0) {
		project_checked(p, checked);
		printf("  %s\n", checked);
	}
	if (!live->serving && !is_over(p->state))
		printf("  nothing serves it right now, so nothing moves: talkoot serve HOME "
		       "--listen "
		       "ADDR:PORT\n");
	if (p->state == PROJECT_FAILED)
		return; /* as in talkoot train, there is no model to speak of */
	digest_hex(hex, &p->model);
	printf("model  %s\n", hex);
}

static int status_of(struct home *home, const char *name, bool json, struct errmsg *msg)
{
	struct project_numbers numbers;
	struct project_row row;
	struct status_live live;
	struct bytes text = {0};
	int rc = store_find_project(home->store, name, &row, msg);

	if (rc == TK_OK)
		rc = status_load_live(home->store, home_is_served(home), &live, msg);
	if (rc == TK_OK && json) {
		rc = status_project_json(home->store, &row, &live, &text, msg);
		if (rc == TK_OK)
			printf("%.*s\n", (int)text.len, (const char *)text.data);
		bytes_close(&text);
	} else if (rc == TK_OK) {
		rc = project_numbers(home->store, &row, &numbers, msg);
		if (rc == TK_OK)
			print_project(&row, &numbers, &live);
	}
	return rc;
}

static int page_json(struct home *home, struct errmsg *msg)
{
	struct status_live live;
	struct bytes text = {0};
	int rc = status_load_live(home->store, home_is_served(home), &live, msg);

	live.now_s = (uint64_t)time(NULL);
	if (rc == TK_OK)
		rc = status_page_json(home->store, &live, &text, msg);
	if (rc == TK_OK)
		printf("%.*s\n", (int)text.len, (const char *)text.data);
	bytes_close(&text);
	return rc;
}

int command_status(const struct cli *cli)
{
	struct option_spec options[] = {{0, "json", false, NULL}, {0}};
	struct errmsg msg = {""};
	struct home home;
	const char *name = NULL;
	bool named = false;
	int rc;

	for (int i = 1; i < cli->argc; i++)
		named = named || cli->argv[i][0] != '-';
	if (!cli_arguments(cli, options, &name, named ? 1 : 0))
		return EXIT_USAGE;
	if (!named && options[0].value == NULL)
		return list(cli, true);
	if (!cli_home(cli, &home))
		return EXIT_FAILED;
	rc = named ? status_of(&home, name, options[0].value != NULL, &msg)
		   : page_json(&home, &msg);
	home_close(&home);
	return rc == TK_OK ? EXIT_OK : cli_failed(&msg);
}

/* One look at a project that is being followed. */
static int follow_once(
	struct home *home, const char *name, struct project_row *row, struct errmsg *msg)
{
	struct project_numbers n;
	struct status_live live;
	char text[256], left[48] = "", units[40] = "";
	bool served = home_is_served(home);
	bool held;
	uint64_t key; /* without a terminal, every change of these is a line */
	int rc = store_find_project(home->store, name, row, msg);

	if (rc == TK_OK)
		rc = status_load_live(home->store, served, &live, msg);
	if (rc == TK_OK)
		rc = project_numbers(home->store, row, &n, msg);
	if (rc != TK_OK)
		return rc;
	/* Too few peers stop everything, so why comes before how well. */
	held = !is_over(row->state) && row->reason[0] != '\0' &&
	       (row->state != PROJECT_RUNNING || live.peers_connected < row->quorum);
	if (held)
		snprintf(text, sizeof(text), "%s", row->reason);
	else
		losses(text, sizeof(text), &n);
	if (n.has_eta) {
		char duration[32];

		cli_duration(duration, sizeof(duration), n.eta_s);
		snprintf(left, sizeof(left), " | %s left", duration);
	}
	if (!is_over(row->state))
		snprintf(units, sizeof(units), " | units %" PRIu32 "/%" PRIu32, n.units_done,
			row->units_per_round);
	key = row->round | (uint64_t)row->state << 32 | (uint64_t)held << 40 |
	      (uint64_t)served << 41;
	cli_progress(stdout, key,
		"%s %s | round %" PRIu32 "/%" PRIu32 "%s | %" PRIu64 " peer%s%s%s%s", row->name,
		served || is_over(row->state) ? project_state_name(row->state)
					      : "(nothing serves it)",
		row->round, row->rounds, units, live.peers_connected,
		live.peers_connected == 1 ? "" : "s", left, text[0] != '\0' ? " | " : "", text);
	return rc;
}

int cli_follow(struct home *home, const char *name)
{
	const struct timespec pause = {0, FOLLOW_MS * 1000000L};
	struct errmsg msg = {""};
	struct project_row row = {.state = PROJECT_QUEUED};
	int rc;

	/* Other processes write the store; a person's eye sets the pace of looking. */
	while ((rc = follow_once(home, name, &row, &msg)) == TK_OK && !is_over(row.state))
		nanosleep(&pause, NULL);
	cli_progress_end(stdout);
	if (rc == TK_OK)
		rc = status_of(home, name, false, &msg);
	if (rc != TK_OK)
		return cli_failed(&msg);
	return row.state == PROJECT_FAILED ? EXIT_FAILED : EXIT_OK;
}

int command_watch(const struct cli *cli)
{
	struct option_spec none[] = {{0}};
	struct home home;
	const char *name;
	int code;

	if (!cli_arguments(cli, none, &name, 1))
		return EXIT_USAGE;
	if (!cli_home(cli, &home))
		return EXIT_FAILED;
	code = cli_follow(&home, name);
	home_close(&home);
	return code;
}

/* Notes a wish for the server, and says what will come of it. */
static int ask(const struct cli *cli, enum wish wish)
{
	struct option_spec none[] = {{0}};
	struct project_row row;
	struct errmsg msg = {""};
	struct home home;
	const char *name;
	int rc;

	if (!cli_arguments(cli, none, &name, 1))
		return EXIT_USAGE;
	if (!cli_home(cli, &home))
		return EXIT_FAILED;
	rc = store_find_project(home.store, name, &row, &msg);
	if (rc == TK_OK &&
		(is_over(row.state) || (wish == WISH_RESUME && row.state != PROJECT_PAUSED))) {
		printf("%s is %s: there is nothing to %s\n", name, project_state_name(row.state),
			wish == WISH_STOP ? "stop" : "resume");
	} else if (rc == TK_OK) {
		rc = store_ask(home.store, row.id, wish, &msg);
		if (rc == TK_OK && wish == WISH_STOP)
			printf("%s will stop when its round %" PRIu32
			       " is complete, or at once if no result of that round has come "
			       "in yet\n",
				name, row.round + 1);
		else if (rc == TK_OK)
			printf("%s goes on when its coordinator hears of it\n", name);
	}
	home_close(&home);
	return rc == TK_OK ? EXIT_OK : cli_failed(&msg);
}

int command_stop(const struct cli *cli)
{
	return ask(cli, WISH_STOP);
}

int command_resume(const struct cli *cli)
{
	return ask(cli, WISH_RESUME);
}
