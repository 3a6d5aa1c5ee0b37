/* talkoot ledger and explain: what the store's ledger says, as a file and as sentences. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/cli.h"
#include "coordinator/ledger_export.h"
#include "tasks/base/mem.h"

int command_ledger(const struct cli *cli)
{
	struct option_spec options[] = {{'o', "output", true, NULL}, {0}};
	struct ledger_summary sum;
	struct errmsg msg = {""};
	struct identity root;
	struct home home;
	const char *name;
	char hex[DIGEST_HEX], network[2 * KEY_BYTES + 1];
	int rc;

	if (!cli_arguments(cli, options, &name, 1))
		return EXIT_USAGE;
	if (options[0].value == NULL) {
		fputs("talkoot ledger: say where to: -o project.ledger\n", stderr);
		return EXIT_USAGE;
	}
	if (!cli_home(cli, &home))
		return EXIT_FAILED;
	rc = home_identity(&home, &root, &msg);
	if (rc == TK_OK) {
		rc = ledger_export(&home, &root.key, name, options[0].value, &sum, &msg);
		identity_wipe(&root);
	}
	home_close(&home);
	if (rc != TK_OK)
		return cli_failed(&msg);
	digest_hex(hex, &sum.head.digest);
	hex_encode(network, sum.network.b, KEY_BYTES);
	printf("%" PRIu64 " entries of %s, and the digests of %" PRIu64
	       " of other projects\nhead     %" PRIu64 " %s\nnetwork  %s\n",
		sum.entries, name, sum.links, sum.head.sequence, hex, network);
	return EXIT_OK;
}

/* The unit that is asked about, and what the ledger says of it last. */
struct explaining {
	uint32_t round, unit;
	uint64_t credit;
	uint64_t sequence; /* of its entry; 0: none */
	struct bytes content;
	struct proof {
		struct digest nonce, digest;
		bool twice; /* of two commitments */
	} * proofs;
	size_t proof_count;
	bool reopened;	       /* the unit is in dispute, or to be computed once more */
	uint64_t proved_wrong; /* entry that took its round back because of it; 0: none did */
	uint64_t discarded;    /* the last entry that discarded its round; 0: none did */
	struct errmsg *msg;
};

static bool unit_named(const char *text, uint32_t *round, uint32_t *unit)
{
	const char *dot = strchr(text, '.');
	char first[16];
	uint64_t r, u;

	if (dot == NULL || (size_t)(dot - text) >= sizeof(first))
		return false;
	memcpy(first, text, (size_t)(dot - text));
	first[dot - text] = '\0';
	if (!cli_number(first, 1, ROUNDS_MAX, &r) ||
		!cli_number(dot + 1, 1, UNITS_PER_ROUND_MAX, &u))
		return false;
	*round = (uint32_t)r - 1;
	*unit = (uint32_t)u - 1;
	return true;
}

/* Rounds were taken back: the unit's is discarded, or is merged anew, perhaps because of it. */
static void note_rollback(
	struct explaining *x, const struct ledger_row *row, const struct ledger_entry *e)
{
	const struct span units = e->rollback.units;

	if (e->rollback.round < x->round && x->sequence != 0) {
		x->discarded = row->head.sequence;
		x->sequence = 0; /* what was said of it is void */
	}
	for (size_t i = 0; e->rollback.round == x->round && i + 4 <= units.len; i += 4)
		if (load_le32(units.data + i) == x->unit)
			x->proved_wrong = row->head.sequence;
}

static int find_unit(void *context, const struct ledger_row *row, struct span content)
{
	struct explaining *x = context;
	struct ledger_entry e;
	int rc;

	if (row->kind != LEDGER_UNIT && row->kind != LEDGER_ROLLBACK)
		return TK_OK;
	rc = ledger_decode(&e, content, x->msg);
	if (rc == TK_OK && row->kind == LEDGER_ROLLBACK) {
		note_rollback(x, row, &e);
		return TK_OK;
	}
	if (rc != TK_OK || e.unit.round != x->round || e.unit.index != x->unit)
		return rc;
	x->content.len = 0;
	x->sequence = row->head.sequence;
	rc = bytes_append(&x->content, content.data, content.len);
	return rc == TK_OK ? rc : errmsg_set(x->msg, rc, "not enough memory for the entry");
}

static const char *ordinal(uint32_t n, char out[32])
{
	static const char *const small[] = {"first", "second", "third", "fourth", "fifth"};

	if (n < 5)
		return small[n];
	snprintf(out, 32, "as number %" PRIu32, n + 1);
	return out;
}

static const struct proof *proof_of(const struct explaining *x, const struct digest *nonce)
{
	for (size_t i = 0; i < x->proof_count; i++)
		if (digest_equal(&x->proofs[i].nonce, nonce))
			return &x->proofs[i];
	return NULL;
}

static const char *wrong_text(const struct ledger_replica *r, const struct proof *proof)
{
	if (proof == NULL)
		return "; opened, and differs from the canonical result, like all of its engine's: "
		       "its "
		       "arithmetic is tested again";
	if (!proof->twice)
		return "; opened, and differs from the canonical result: proven wrong, its "
		       "identity "
		       "retired";
	return r->opened ? "; opened, and it signed two different commitments: its identity is "
			   "retired"
			 : "; not opened before it had signed two different commitments: its "
			   "identity is "
			   "retired";
}

static void say_replica(const struct explaining *x, const struct ledger_entry *e, uint32_t n,
	const struct ledger_replica *r)
{
	bool equal = r->opened && span_equal(r->claim, e->unit.claim);
	const struct proof *proof = proof_of(x, &r->nonce);
	char key[17], number[32];

	hex_encode(key, r->key.b, 8);
	printf("  %s leased it and committed %s", key, ordinal(n, number));
	switch (r->verdict) {
	case LEDGER_VALID:
		printf("; opened, equal to the canonical result: credited %.3g GFLOP%s\n",
			(double)x->credit / 1e9,
			proof != NULL ? "; later it signed a second, different commitment: its "
					"identity is retired"
				      : "");
		break;
	case LEDGER_WRONG:
		puts(wrong_text(r, proof));
		break;
	case LEDGER_UNOPENED:
		puts(r->opened ? "; opened, and did not stand by it: it fell silent in a dispute, "
				 "or "
				 "never sent the payload; not accepted"
			       : "; never opened its commitment: not accepted");
		break;
	case LEDGER_LATE:
		printf("; %s: late, because %s; no credit\n",
			equal	    ? "opened, equal to the canonical result"
			: r->opened ? "opened, another result"
				    : "not opened",
			r->late ? "it committed after the unit's first reveal"
				: "the unit was decided without it");
		break;
	default:
		puts("; not judged yet");
		break;
	}
}

static void say_faults(
	struct home *home, const struct explaining *x, const struct ledger_replica *r)
{
	char hex[DIGEST_HEX];

	for (size_t i = 0; i < x->proof_count; i++) {
		if (!digest_equal(&x->proofs[i].nonce, &r->nonce))
			continue;
		digest_hex(hex, &x->proofs[i].digest);
		printf("    the proof: %s/faults/%s.fault\n", home->path, hex);
	}
}

static int find_fault(void *context, const struct ledger_row *row, struct span content)
{
	struct explaining *x = context;
	struct ledger_entry e;
	struct proof *grown;
	int rc;

	if (row->kind != LEDGER_FAULT)
		return TK_OK;
	rc = ledger_decode(&e, content, x->msg);
	if (rc != TK_OK)
		return rc;
	grown = mem_realloc(x->proofs, (x->proof_count + 1) * sizeof(*grown));
	if (grown == NULL)
		return errmsg_set(x->msg, TK_ENOMEM, "not enough memory for the proofs");
	x->proofs = grown;
	x->proofs[x->proof_count++] =
		(struct proof){e.fault.nonce, e.fault.proof, e.fault.kind == FAULT_EQUIVOCATION};
	return TK_OK;
}

static int say_unit(struct home *home, struct explaining *x, struct errmsg *msg)
{
	struct ledger_entry e;
	struct mp_reader reader;
	struct claim claim;
	int rc = ledger_decode(&e, bytes_span(&x->content), msg);

	if (rc == TK_OK)
		rc = claim_decode(&claim, e.unit.claim, msg);
	if (rc != TK_OK)
		return rc;
	printf("unit %" PRIu32 ".%" PRIu32 " %s (entry %" PRIu64 " of the ledger)", x->round + 1,
		x->unit + 1, x->reopened ? "was settled, and is looked at once more" : "is settled",
		x->sequence);
	if (claim.outcome == OUTCOME_UPDATE)
		printf(": loss %.4f", (double)claim.loss);
	else
		printf(": the numbers left the finite ones at step %" PRIu32 "; it is skipped",
			claim.failing_step + 1);
	puts(digest_is_zero(&e.unit.referee) ? "" : "; the coordinator recomputed it");
	mp_begin(&reader, e.unit.encoded);
	for (uint32_t i = 0; i < e.unit.replica_count; i++) {
		struct ledger_replica r;

		ledger_replica_next(&reader, e.unit.claim, &r);
		say_replica(x, &e, i, &r);
		say_faults(home, x, &r);
	}
	return TK_OK;
}

/* Leases without a commitment are in no ledger, for they decided nothing; the store knows them. */
static int say_lease(void *context, const void *row)
{
	const struct replica_row *r = row;
	const struct explaining *x = context;
	char key[17];

	if (r->unit != x->unit || r->committed_ms != 0)
		return TK_OK;
	hex_encode(key, r->peer.b, 8);
	printf("  %s leased it %s\n", key,
		r->state == REPLICA_ABANDONED ? "and gave it back: not an error"
		: r->state == REPLICA_EXPIRED ? "and did not commit in time, or was not needed any "
						"more: not an error"
					      : "and is computing");
	return TK_OK;
}

static int find_state(void *context, const void *row)
{
	const struct unit_row *u = row;
	struct explaining *x = context;

	if (u->index == x->unit)
		x->reopened = u->state != UNIT_SETTLED;
	return TK_OK;
}

static void say_rollbacks(const struct explaining *x)
{
	if (x->discarded != 0)
		printf("  its round was discarded (entry %" PRIu64
		       "): a unit of an earlier one proved wrong; what was computed before stays "
		       "credited\n",
			x->discarded);
	if (x->proved_wrong != 0)
		printf("  it was merged with another result, which proved wrong: its round was "
		       "taken back (entry %" PRIu64 ") and is merged anew\n",
			x->proved_wrong);
}

static int explain(struct home *home, const char *name, struct explaining *x, struct errmsg *msg)
{
	struct project_row row;
	int rc = store_find_project(home->store, name, &row, msg);

	if (rc != TK_OK)
		return rc;
	if (x->round >= row.rounds || x->unit >= row.units_per_round)
		return errmsg_set(msg, TK_ENOENT,
			"%s has %" PRIu32 " rounds of %" PRIu32 " units, counted from 1", name,
			row.rounds, row.units_per_round);
	x->credit = row.unit_flops > 0 && row.unit_flops < 0x1p63 ? (uint64_t)row.unit_flops : 0;
	x->msg = msg;
	rc = store_ledger(home->store, row.id, find_unit, x, msg);
	if (rc == TK_OK)
		rc = store_ledger(home->store, row.id, find_fault, x, msg);
	if (rc == TK_OK)
		rc = store_units(home->store, row.id, x->round, find_state, x, msg);
	if (rc == TK_OK && x->sequence == 0)
		printf("unit %" PRIu32 ".%" PRIu32
		       " is not settled yet; what its results are is told when it is\n",
			x->round + 1, x->unit + 1);
	else if (rc == TK_OK)
		rc = say_unit(home, x, msg);
	if (rc == TK_OK)
		say_rollbacks(x);
	if (rc == TK_OK && x->sequence != 0)
		rc = store_replicas(home->store, row.id, x->round, say_lease, x, msg);
	return rc;
}

int command_explain(const struct cli *cli)
{
	struct option_spec none[] = {{0}};
	struct explaining x = {0};
	const char *arguments[2];
	struct errmsg msg = {""};
	struct home home;
	int rc;

	if (!cli_arguments(cli, none, arguments, 2))
		return EXIT_USAGE;
	if (!unit_named(arguments[1], &x.round, &x.unit)) {
		fputs("talkoot explain: the unit is ROUND.UNIT, both counted from 1, like 3.2\n",
			stderr);
		return EXIT_USAGE;
	}
	if (!cli_home(cli, &home))
		return EXIT_FAILED;
	rc = explain(&home, arguments[0], &x, &msg);
	bytes_close(&x.content);
	mem_free(x.proofs);
	home_close(&home);
	return rc == TK_OK ? EXIT_OK : cli_failed(&msg);
}
