/* Fuzz targets of the ledger: entries, and whole files up to the audit of what they say. */
#include <stdio.h>
#include <string.h>

#include "coordinator/audit_run.h"
#include "tasks/base/require.h"
#include "tests/lib/fuzz_targets.h"
#include "tests/lib/tiny.h"

#define REPLICAS 8u

/* What was decoded encodes to the same bytes, replicas and all. */
void fuzz_ledger(struct span in)
{
	struct ledger_replica replicas[REPLICAS];
	struct ledger_entry e;
	struct mp_reader reader;
	struct bytes again = {0};
	int rc;

	if (ledger_decode(&e, in, NULL) != TK_OK)
		return;
	if (e.kind == LEDGER_UNIT) {
		if (e.unit.replica_count > REPLICAS)
			return;
		mp_begin(&reader, e.unit.encoded);
		for (uint32_t i = 0; i < e.unit.replica_count; i++)
			ledger_replica_next(&reader, e.unit.claim, &replicas[i]);
		REQUIRE(mp_end(&reader, NULL) == TK_OK);
		e.unit.replicas = replicas;
	}
	rc = ledger_encode(&e, &again);
	REQUIRE(rc == TK_OK && span_equal(bytes_span(&again), in));
	bytes_close(&again);
}

static bool seed_entry(unsigned which, struct bytes *out)
{
	static const char claims[2][6] = {"claim", "other"};
	const struct ledger_replica replicas[] = {
		{.nonce = {{1}},
			.verdict = LEDGER_VALID,
			.opened = true,
			.claim = span_of(claims[0], 5)},
		{.nonce = {{2}},
			.verdict = LEDGER_WRONG,
			.opened = true,
			.claim = span_of(claims[1], 5)},
		{.nonce = {{3}}, .verdict = LEDGER_UNOPENED, .late = true},
	};
	struct ledger_entry e = {.project = {{9}}, .kind = (enum ledger_kind)(which + 1)};

	switch (e.kind) {
	case LEDGER_PROJECT:
		e.begin.quorum = 2;
		e.begin.policy = 1;
		break;
	case LEDGER_ROUND:
		e.round.manifest = span_of(claims[0], 5);
		break;
	case LEDGER_UNIT:
		e.unit.index = 300;
		e.unit.claim = span_of(claims[0], 5);
		e.unit.replica_count = 3;
		e.unit.replicas = replicas;
		break;
	case LEDGER_END:
		e.end.state = PROJECT_DONE;
		break;
	default:
		break;
	}
	return ledger_encode(&e, out) == TK_OK;
}

bool fuzz_ledger_seed(unsigned which, struct bytes *out)
{
	return which < (unsigned)LEDGER_KIND_LAST && seed_entry(which, out);
}

void fuzz_ledger_file(struct span in)
{
	FILE *file = in.len != 0 ? fmemopen((void *)(uintptr_t)in.data, in.len, "rb") : NULL;
	struct ledger_summary sum;
	struct audit audit;

	if (file == NULL)
		return;
	if (ledger_file_check(file, NULL, &sum, NULL) == TK_OK) {
		REQUIRE(sum.head.sequence == sum.entries + sum.links);
		if (audit_load(&audit, file, NULL, NULL, NULL) == TK_OK)
			audit_close(&audit);
	}
	fclose(file);
}

/* A project that begins, beside another one's entry. */
bool fuzz_ledger_file_seed(unsigned which, struct bytes *out)
{
	struct ledger_entry begin = {
		.kind = LEDGER_PROJECT, .begin = {.quorum = 2, .policy = VERIFY_FULL}};
	struct ledger_record r = {.type = RECORD_HEADER, .is_signed = false};
	struct bytes recipe = {0}, content = {0};
	struct ledger_head head = {0};
	uint8_t secret[32] = {1};
	struct key_pair root;
	struct tiny t;
	int rc = TK_ENOMEM;

	if (which != 0 || !tiny_init(&t, MODEL_LOGISTIC))
		return false;
	key_from_seed(&root, secret);
	if (recipe_encode(&t.recipe, &recipe, NULL) == TK_OK)
		rc = bytes_append(out, LEDGER_MAGIC, sizeof(LEDGER_MAGIC) - 1);
	r.network = root.public;
	r.recipe = bytes_span(&recipe);
	if (rc == TK_OK)
		rc = ledger_record_encode(&r, out);
	begin.project = t.recipe_digest;
	if (rc == TK_OK)
		rc = ledger_encode(&begin, &content);
	r = (struct ledger_record){
		.type = RECORD_ENTRY, .sequence = 1, .content = bytes_span(&content)};
	if (rc == TK_OK)
		rc = ledger_record_encode(&r, out);
	ledger_content_digest(&r.digest, bytes_span(&content));
	ledger_head_add(&head, &begin.project, &r.digest);
	r = (struct ledger_record){.type = RECORD_LINK, .sequence = 2, .link = head.digest};
	if (rc == TK_OK)
		rc = ledger_record_encode(&r, out);
	ledger_head_add(&head, &r.project, &r.digest);
	r = (struct ledger_record){.type = RECORD_HEAD, .sequence = 2, .link = head.digest};
	ledger_head_sign(&r.signature, &root, &head);
	if (rc == TK_OK)
		rc = ledger_record_encode(&r, out);
	bytes_close(&recipe);
	bytes_close(&content);
	tiny_close(&t);
	return rc == TK_OK;
}
