/* talkoot audit: verifies a ledger offline, and recomputes as much of it as is asked for. It needs no
 * home: the file, and for recomputing the data. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/audit_run.h"
#include "coordinator/cli/cli.h"
#include "tasks/base/file.h"
#include "tasks/base/mem.h"
#include "tasks/project/project.h"

struct auditing {
	const char *path;
	uint64_t recompute; /* units; UINT64_MAX: all */
	FILE *file;
	struct ledger_head known; /* sequence 0: none is */
	struct ledger_summary sum;
	struct audit audit;
	/* The data. */
	struct blob_store blobs;
	bool has_blobs;
	struct shard_cache shards;
	struct bytes initial;
	uint64_t shown; /* wrong units */
};

static void show_entry(void *context, uint32_t round, uint64_t sequence)
{
	(void)context;
	cli_progress(
		stdout, round, "verifying: round %" PRIu32 ", entry %" PRIu64, round + 1, sequence);
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The shards as `talkoot train` prepares them; they have to make the recipe of the ledger. */
static int prepare(struct auditing *x, const char *path, struct errmsg *msg)
{
	struct shard_sink sink = {&x->shards, shard_cache_sink};
	struct bytes encoded = {0};
	struct project project;
	struct recipe recipe;
	struct digest digest;
	int rc = project_read(&project, path, NULL, msg);

	if (rc == TK_OK)
		rc = project_recipe(&recipe, &project, &sink, msg);
	if (rc != TK_OK)
		return rc;
	rc = recipe_encode(&recipe, &encoded, msg);
	if (rc == TK_OK) {
		digest_blob(&digest, encoded.data, encoded.len);
		if (!digest_equal(&digest, &x->sum.recipe))
			rc = errmsg_set(msg, TK_EINVAL,
				"%s and its data make another recipe than the ledger's: they are "
				"not what was trained on",
				path);
	}
	if (rc == TK_OK)
		rc = project_initial(&x->initial, &project, &recipe, msg);
	bytes_close(&encoded);
	recipe_close(&recipe);
	return rc;
}

/* DIR is a home, a folder of blobs, or a project's folder; or project.yaml itself. */
static int open_data(struct auditing *x, const char *dir, struct errmsg *msg)
{
	char path[1024];

	if (!file_exists(dir))
		return errmsg_set(msg, TK_ENOENT, "--data %s: there is nothing", dir);
	if (!is_folder(dir))
		return prepare(x, dir, msg);
	if (path_join(path, sizeof(path), dir, "project.yaml") == TK_OK && file_exists(path))
		return prepare(x, path, msg);
	if (path_join(path, sizeof(path), dir, "blobs") != TK_OK)
		return errmsg_set(msg, TK_ELIMIT, "--data: the path is too long");
	x->has_blobs = true;
	return blob_store_init(&x->blobs, is_folder(path) ? path : dir, msg);
}

static void show_unit(void *context, uint32_t round, uint64_t done, uint64_t total)
{
	(void)context;
	cli_progress(stdout, round, "recomputing: round %" PRIu32 ", unit %" PRIu64 " of %" PRIu64,
		round + 1, done, total);
}

static void show_wrong(void *context, uint32_t round, uint32_t index, const char *field)
{
	struct auditing *x = context;

	if (++x->shown > 20)
		return;
	cli_progress_end(stdout);
	printf("WRONG: unit %" PRIu32 " of round %" PRIu32 " (entry at byte %" PRIu64
	       "): recomputed, its %s is another\n",
		index + 1, round + 1, audit_unit(&x->audit, round, index)->at, field);
}

#define DOUBTFUL_NAMED 8u

static int show_doubtful(const struct audit *a, struct errmsg *msg)
{
	uint64_t units[DOUBTFUL_NAMED], count = 0;
	int rc = audit_doubtful(a, units, DOUBTFUL_NAMED, &count, msg);

	if (rc != TK_OK || count == 0)
		return rc;
	printf("  %" PRIu64 " units rest on the word of one peer alone that was found wrong "
	       "elsewhere; compute them again:",
		count);
	for (uint64_t i = 0; i < count && i < DOUBTFUL_NAMED; i++)
		printf(" %" PRIu64 ".%" PRIu64, units[i] / a->units_per_round + 1,
			units[i] % a->units_per_round + 1);
	puts(count > DOUBTFUL_NAMED ? " ..." : "");
	return TK_OK;
}

/* Under policy adaptive some units were computed once: what the secret draw says about them. */
static void show_drawn(const struct audit *a)
{
	size_t units = (size_t)(a->round + a->open) * a->units_per_round;
	uint64_t again = 0, drawn, wrong;

	audit_drawn(a, &drawn, &wrong);
	for (size_t i = 0; i < units; i++)
		again += a->units[i].refereed || a->units[i].verdicts[LEDGER_VALID] > 1;
	printf("  policy adaptive: %" PRIu64 " units were computed more than once; the floor of "
	       "%.3g %% drew %" PRIu64 ",\n  of which %" PRIu64
	       " had a wrong result. With 95 %% confidence at most %.3g %% of the others are "
	       "wrong\n",
		again, a->floor_ppm / 1e4, drawn, wrong,
		100 * audit_bound(audit_settled(a), drawn, wrong));
	if (a->counts.rollbacks != 0)
		printf("  %" PRIu64 " rollbacks took %" PRIu64
		       " merges back; what is audited here is what stands\n",
			a->counts.rollbacks, a->counts.discarded);
	if (a->on_fraud == FRAUD_CONTINUE)
		printf("  on_fraud is continue: units that prove wrong after their merge stay in "
		       "the "
		       "model, so it need not be\n  what one computer would have got; %" PRIu64
		       " did\n",
			a->counts.standing);
}

static void show_verified(const struct auditing *x)
{
	const struct audit *a = &x->audit;
	char network[2 * KEY_BYTES + 1], hex[DIGEST_HEX];
	uint64_t verdicts[LEDGER_VERDICT_LAST + 1] = {0};
	uint64_t refereed = 0;
	size_t units = (size_t)(a->round + a->open) * a->units_per_round;

	for (size_t i = 0; i < units; i++) {
		refereed += a->units[i].at != 0 && a->units[i].refereed;
		for (int v = 1; v <= (int)LEDGER_VERDICT_LAST; v++)
			verdicts[v] += a->units[i].verdicts[v];
	}
	hex_encode(network, x->sum.network.b, KEY_BYTES);
	digest_hex(hex, &x->sum.head.digest);
	printf("The ledger of %s is whole: %" PRIu64 " entries and %" PRIu64
	       " digests of other projects' in one chain,\nwhose head the network's key has "
	       "signed.\n",
		a->recipe.name, x->sum.entries, x->sum.links);
	printf("  network  %s\n  head     %" PRIu64 " %s\n", network, x->sum.head.sequence, hex);
	printf("  %" PRIu32 " of %" PRIu32 " rounds merged%s, %" PRIu64
	       " units settled (quorum %" PRIu32 "); the coordinator recomputed %" PRIu64
	       " of them\n",
		a->round, a->recipe.train.rounds,
		!a->ended		 ? ", not at its end"
		: a->end == PROJECT_DONE ? ", done"
					 : ", ended before",
		audit_settled(a), a->quorum, refereed);
	printf("  results: %" PRIu64 " credited, %" PRIu64 " wrong, %" PRIu64
	       " never opened, %" PRIu64 " late; proofs of fault: %zu\n",
		verdicts[LEDGER_VALID], verdicts[LEDGER_WRONG], verdicts[LEDGER_UNOPENED],
		verdicts[LEDGER_LATE], a->fault_count);
	if (a->policy == VERIFY_ADAPTIVE)
		show_drawn(a);
	if (a->round > 0) {
		digest_hex(hex, &a->model);
		printf("  model    %s\n", hex);
	}
}

/* False: something is wrong. */
static bool show_recomputed(const struct auditing *x, const struct audit_result *r)
{
	uint64_t settled = audit_settled(&x->audit);
	double bound = audit_bound(settled, r->recomputed, r->wrong);

	printf("%" PRIu64 " of %" PRIu64 " units were recomputed here: %" PRIu64 " wrong",
		r->recomputed, settled, r->wrong);
	if (r->recomputed == settled)
		puts("; that is all of them.");
	else
		printf(". With 95 %% confidence at most %.3g %% of all are wrong.\n", 100 * bound);
	if (r->payloads_gone != 0)
		printf("The payloads of %" PRIu64
		       " other units were gone and were made again by recomputing them.\n",
			r->payloads_gone);
	if (r->payloads_found != 0)
		printf("The payloads of %" PRIu64 " other units were there, with their digests.\n",
			r->payloads_found);
	if (r->merges != 0)
		printf("%" PRIu64 " merges were repeated, bit for bit.\n", r->merges);
	if (!r->model)
		puts("The merges were not all repeated; --recompute all does that.");
	if (r->model)
		puts("The parameters were followed from the initial ones to the model: it is what "
		     "this computer gets.");
	return r->wrong == 0;
}

static int recompute(struct auditing *x, struct audit_result *result, struct errmsg *msg)
{
	const struct audit_data data = {x->has_blobs ? &x->blobs : NULL, &x->shards, x->initial};
	const struct audit_watch watch = {x, show_unit, show_wrong};
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct compute compute = {0};
	int rc = engine_choose(&compute.engine, getenv("TALKOOT_ENGINE"), msg);

	if (x->recompute >= audit_settled(&x->audit))
		x->recompute = UINT64_MAX; /* all of them: with the merges */
	if (rc == TK_OK && cores > 1)
		rc = pool_new(&compute.pool,
			cores > COMPUTE_THREADS_MAX ? COMPUTE_THREADS_MAX : (uint32_t)cores, msg);
	if (rc == TK_OK)
		rc = audit_run(&x->audit, x->file, &x->sum.head.digest, x->recompute, &data,
			&compute, &watch, result, msg);
	cli_progress_end(stdout);
	pool_free(compute.pool);
	return rc;
}

static int audit(struct auditing *x, const char *dir, const char *network, struct errmsg *msg)
{
	struct audit_result result;
	char key[2 * KEY_BYTES + 1];
	bool right = true;
	int rc =
		ledger_file_check(x->file, x->known.sequence != 0 ? &x->known : NULL, &x->sum, msg);

	hex_encode(key, x->sum.network.b, KEY_BYTES);
	if (rc == TK_OK && network != NULL && strcmp(network, key) != 0)
		rc = errmsg_set(
			msg, TK_EAUTH, "header.network: this is the ledger of network %s", key);
	if (rc == TK_OK)
		rc = audit_load(&x->audit, x->file, show_entry, x, msg);
	cli_progress_end(stdout);
	if (rc != TK_OK)
		return rc;
	show_verified(x);
	rc = show_doubtful(&x->audit, msg);
	if (rc != TK_OK)
		return rc;
	if (x->recompute == 0) {
		puts("Nothing was recomputed: what agreed may still be wrong, if whole quorums "
		     "colluded.");
	} else {
		rc = open_data(x, dir, msg);
		if (rc == TK_OK)
			rc = recompute(x, &result, msg);
		if (rc == TK_OK)
			right = show_recomputed(x, &result);
	}
	if (rc == TK_OK && x->audit.counts.standing != 0)
		rc = errmsg_set(msg, TK_ECORRUPT,
			"%" PRIu64 " merged units proved wrong and stand in the model "
			"(on_fraud: continue)",
			x->audit.counts.standing);
	if (rc == TK_OK && !right)
		rc = errmsg_set(msg, TK_ECORRUPT, "the ledger tells of results that are not right");
	return rc;
}

/* Options that a command line can get wrong. */
static bool options_right(
	const struct option_spec *recompute, const char *dir, const char *network, uint64_t *count)
{
	uint8_t key[KEY_BYTES];

	*count = 0;
	if (recompute->value != NULL && strcmp(recompute->value, "all") == 0) {
		*count = UINT64_MAX;
	} else if (recompute->value != NULL &&
		   !cli_number(recompute->value, 1, UINT64_MAX - 1, count)) {
		fputs("talkoot audit: --recompute wants a number of units from 1 on, or all\n",
			stderr);
		return false;
	}
	if (*count != 0 && dir == NULL) {
		fputs("talkoot audit: to recompute, it needs the data: --data DIR, a coordinator's "
		      "home or the project's folder\n",
			stderr);
		return false;
	}
	if (network != NULL && hex_decode(key, sizeof(key), network) != TK_OK) {
		fputs("talkoot audit: --network wants the network's key: 64 hexadecimal digits\n",
			stderr);
		return false;
	}
	return true;
}

int command_audit(const struct cli *cli)
{
	struct option_spec options[] = {
		{'r', "recompute", true, NULL},
		{'d', "data", true, NULL},
		{'n', "network", true, NULL},
		{'H', "head", true, NULL},
		{0},
	};
	struct auditing x = {0};
	struct errmsg msg = {""};
	int rc;

	if (!cli_arguments(cli, options, &x.path, 1) ||
		!options_right(&options[0], options[1].value, options[2].value, &x.recompute))
		return EXIT_USAGE;
	if (options[3].value != NULL && !ledger_head_parse(&x.known, options[3].value)) {
		fputs("talkoot audit: --head wants ENTRIES:DIGEST, as `talkoot-peer status` shows "
		      "it\n",
			stderr);
		return EXIT_USAGE;
	}
	x.file = fopen(x.path, "rbe");
	if (x.file == NULL) {
		errmsg_set(&msg, TK_ENOENT, "cannot open %s: %s", x.path, strerror(errno));
		return cli_failed(&msg);
	}
	rc = audit(&x, options[1].value, options[2].value, &msg);
	fclose(x.file);
	audit_close(&x.audit);
	shard_cache_close(&x.shards);
	bytes_close(&x.initial);
	if (rc != TK_OK)
		errmsg_prefix(&msg, rc, "%s", x.path);
	else
		puts("All right.");
	return rc == TK_OK ? EXIT_OK : cli_failed(&msg);
}
