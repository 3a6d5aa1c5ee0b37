/* talkoot verify-fault: checks a proof of fault from anybody, with nothing but the file and, where it is a large one,
 * a folder of blobs. Needs no home and no network. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/cli/cli.h"
#include "peer/swarm/blob_store.h"
#include "peer/wire/link.h"
#include "tasks/base/file.h"
#include "tasks/unit/fault_file.h"

/* A blob by its digest: DIR/DIGEST, or as a home keeps it, DIR/ab/cdef…. */
static int folder_get(void *context, const struct digest *digest, size_t max, struct bytes *out,
	struct errmsg *msg)
{
	const struct blob_store *store = context;
	char path[sizeof(store->folder) + DIGEST_HEX + 1];
	char hex[DIGEST_HEX];

	digest_hex(hex, digest);
	if (path_join(path, sizeof(path), store->folder, hex) == TK_OK && file_exists(path))
		return file_read(out, path, max, msg);
	return blob_store_get(store, digest, max, out, msg);
}

/* A network's root key: 64 hex digits, or the link with which one joins it. */
static bool network_parse(struct public_key *out, const char *text)
{
	struct link link;

	if (hex_decode(out->b, KEY_BYTES, text) == TK_OK)
		return true;
	if (link_parse(&link, text, NULL) != TK_OK)
		return false;
	*out = link.network;
	secret_wipe(&link, sizeof(link));
	return true;
}

/* What the proof is about, in a few words. */
static void print_what(const struct fault_report *r)
{
	switch (r->kind) {
	case FAULT_STEP:
		if (r->step < r->steps)
			printf("  fault       step %u of %u\n", r->step + 1, r->steps);
		else
			printf("  fault       packing, after the last of %u steps\n", r->steps);
		break;
	case FAULT_SEGMENT:
		puts("  fault       the steps of a segment do not fit the commitment");
		break;
	case FAULT_TRACE:
		puts("  fault       claim and trace do not fit the unit");
		break;
	case FAULT_WHOLE:
		puts("  fault       the result of the whole unit");
		break;
	case FAULT_EQUIVOCATION:
		puts("  fault       two commitments for one lease");
		break;
	}
}

static void print_computed(const struct fault_report *r, const struct engine *engine)
{
	const char *what = r->kind == FAULT_WHOLE ? "the whole unit"
			   : r->step == 0	  ? "this step, from the unit's start"
			   : r->step < r->steps
				   ? "this step, from the state before it that the peer signed"
				   : "packing, from the last state that the peer signed";
	char hex[DIGEST_HEX];

	if (!r->computed) {
		puts("  recomputed  nothing: what the peer signed is enough");
		return;
	}
	printf("  recomputed  %s, %s with the engine %s\n", what,
		r->verdict == FAULT_PROVEN ? "twice" : "once", engine->name);
	digest_hex(hex, &r->said);
	printf("  the peer    %s\n", hex);
	digest_hex(hex, &r->found);
	printf("  here        %s\n", hex);
}

static void print_report(
	const struct fault_report *r, const struct engine *engine, bool network_given)
{
	char hex[DIGEST_HEX];

	digest_hex(hex, &r->statement);
	printf("proof of fault %s\n", hex);
	hex_encode(hex, r->peer.b, KEY_BYTES);
	printf("  who         the peer %s\n", hex);
	hex_encode(hex, r->network.b, KEY_BYTES);
	printf("  network     %s%s\n", hex,
		network_given ? "" : " (compare it with your own: --network KEY does)");
	digest_hex(hex, &r->recipe);
	printf("  project     %s\n", hex);
	printf("  work        unit %u of round %u\n", r->unit + 1, r->round + 1);
	print_what(r);
	print_computed(r, engine);
	printf("%s: %s\n", r->verdict == FAULT_PROVEN ? "proven" : "not proven", r->why);
}

/* Reads, checks and says. The network, when given, has to be the proof's. */
static int verify(const char *path, const struct blob_lookup *lookup,
	const struct public_key *network, struct fault_report *report, const struct engine **engine,
	struct errmsg *msg)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t threads = cores < 1 ? 1 : cores > 64 ? 64 : (uint32_t)cores;
	struct compute c = {0};
	struct bytes file = {0};
	int rc = engine_choose(engine, getenv("TALKOOT_ENGINE"), msg);

	if (rc == TK_OK)
		rc = engine_enter_thread(msg);
	if (rc == TK_OK)
		rc = file_read(&file, path, FAULT_FILE_BYTES_MAX, msg);
	if (rc == TK_OK)
		rc = pool_new(&c.pool, threads, msg);
	if (rc == TK_OK) {
		c.engine = *engine;
		rc = fault_verify(bytes_span(&file), lookup, &c, report, msg);
		pool_free(c.pool);
	}
	bytes_close(&file);
	if (rc == TK_OK && network != NULL && !key_equal(network, &report->network))
		rc = errmsg_set(msg, TK_EAUTH,
			"%s is a proof in another network than --network names", path);
	return rc;
}

int command_verify_fault(const struct cli *cli)
{
	struct option_spec options[] = {{0, "blobs", true, NULL}, {0, "network", true, NULL}, {0}};
	struct blob_store store = {""};
	const struct blob_lookup lookup = {&store, folder_get};
	const struct engine *engine = NULL;
	struct public_key network;
	struct fault_report report;
	struct errmsg msg = {""};
	const char *path;
	int rc;

	if (!cli_arguments(cli, options, &path, 1))
		return EXIT_USAGE;
	if (options[1].value != NULL && !network_parse(&network, options[1].value)) {
		fputs("talkoot verify-fault: --network wants the root key, 64 hexadecimal digits, "
		      "or the link with which volunteers join\n",
			stderr);
		return EXIT_USAGE;
	}
	if (options[0].value != NULL && (strlen(options[0].value) >= sizeof(store.folder) ||
						!file_exists(options[0].value))) {
		fprintf(stderr, "talkoot verify-fault: there is no folder %s\n", options[0].value);
		return EXIT_USAGE;
	}
	if (options[0].value != NULL)
		memcpy(store.folder, options[0].value, strlen(options[0].value) + 1);
	rc = verify(path, options[0].value != NULL ? &lookup : NULL,
		options[1].value != NULL ? &network : NULL, &report, &engine, &msg);
	if (rc != TK_OK) {
		puts("refused: this file proves nothing");
		return cli_failed(&msg);
	}
	print_report(&report, engine, options[1].value != NULL);
	return report.verdict == FAULT_PROVEN ? EXIT_OK : EXIT_FAILED;
}
