/* Ledgers that somebody has forged and whose chain is whole: by a stranger, who tells entries as another project's, or by the
 * root itself, which signs what contradicts itself. Each is refused, and the sentence says why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/coordinator/ledger_verify.h"
#include "tests/lib/core_sim.h"

#define HOUR_MS	    3600000u
#define ENTRIES_MAX 512u

static struct sim sim;

static struct {
	struct bytes content;
	bool hidden; /* told as another project's: only project and digest are there */
} entries[ENTRIES_MAX];
static size_t count;
static struct ledger_replica replicas[LEDGER_REPLICAS_MAX];

static void forget(void)
{
	for (size_t i = 0; i < count; i++)
		bytes_close(&entries[i].content);
	count = 0;
}

/* What the grid wrote. */
static void load(void)
{
	forget();
	for (; count < sim.entry_count; count++) {
		const struct bytes *from = &sim.entries[count].content;

		assert_true(count < ENTRIES_MAX);
		entries[count].hidden = false;
		assert_int_equal(
			bytes_append(&entries[count].content, from->data, from->len), TK_OK);
	}
}

static void drop(size_t at)
{
	bytes_close(&entries[at].content);
	memmove(&entries[at], &entries[at + 1], (count - at - 1) * sizeof(*entries));
	count--;
	entries[count].content = (struct bytes){0};
}

static void set(size_t at, const struct ledger_entry *e)
{
	struct bytes made = {0};

	assert_int_equal(ledger_encode(e, &made), TK_OK);
	bytes_close(&entries[at].content);
	entries[at].content = made;
}

static void insert(size_t at, const struct ledger_entry *e)
{
	assert_true(count < ENTRIES_MAX);
	memmove(&entries[at + 1], &entries[at], (count - at) * sizeof(*entries));
	count++;
	entries[at].content = (struct bytes){0};
	entries[at].hidden = false;
	set(at, e);
}

static struct ledger_entry get(size_t at)
{
	struct ledger_entry e;

	assert_int_equal(ledger_decode(&e, bytes_span(&entries[at].content), NULL), TK_OK);
	return e;
}

/* Ready to be encoded again. */
static struct ledger_entry get_unit(size_t at)
{
	struct ledger_entry e = get(at);
	struct mp_reader r;

	assert_int_equal(e.kind, LEDGER_UNIT);
	mp_begin(&r, e.unit.encoded);
	for (uint32_t k = 0; k < e.unit.replica_count; k++)
		ledger_replica_next(&r, e.unit.claim, &replicas[k]);
	e.unit.replicas = replicas;
	return e;
}

static size_t find(enum ledger_kind kind)
{
	for (size_t i = 0; i < count; i++)
		if (get(i).kind == kind)
			return i;
	fail();
	return 0;
}

static void drop_all(enum ledger_kind kind)
{
	for (size_t i = count; i-- > 0;)
		if (get(i).kind == kind)
			drop(i);
}

static bool is_signed(enum ledger_kind kind)
{
	return kind == LEDGER_MERGE || kind == LEDGER_ROLLBACK || kind == LEDGER_END;
}

static void file_make(struct bytes *out)
{
	struct ledger_record header = {.type = RECORD_HEADER,
		.network = sim.root.public,
		.recipe = bytes_span(&sim.recipe)};
	struct ledger_record last = {.type = RECORD_HEAD, .is_signed = true};
	struct ledger_head head = {0};

	assert_int_equal(bytes_append(out, LEDGER_MAGIC, sizeof(LEDGER_MAGIC) - 1), TK_OK);
	assert_int_equal(ledger_record_encode(&header, out), TK_OK);
	for (size_t i = 0; i < count; i++) {
		struct ledger_entry e = get(i);
		struct ledger_record r = {.type = entries[i].hidden ? RECORD_LINK : RECORD_ENTRY,
			.sequence = i + 1,
			.link = head.digest,
			.content = bytes_span(&entries[i].content),
			.project = e.project};

		ledger_content_digest(&r.digest, r.content);
		ledger_head_add(&head, &e.project, &r.digest);
		if (entries[i].hidden)
			r.project.b[0] ^= 1;
		r.is_signed = !entries[i].hidden && is_signed(e.kind);
		if (r.is_signed)
			ledger_head_sign(&r.signature, &sim.root, &head);
		assert_int_equal(ledger_record_encode(&r, out), TK_OK);
	}
	last.sequence = head.sequence;
	last.link = head.digest;
	ledger_head_sign(&last.signature, &sim.root, &head);
	assert_int_equal(ledger_record_encode(&last, out), TK_OK);
}

static int verify(struct errmsg *msg)
{
	struct bytes bytes = {0};
	int rc;

	file_make(&bytes);
	rc = ledger_verify(&bytes, msg);
	bytes_close(&bytes);
	return rc;
}

static void assert_refused(const char *why)
{
	struct errmsg msg;
	int rc = verify(&msg);

	if (rc == TK_OK || strstr(msg.text, why) == NULL) {
		print_error("wanted \"%s\", got %d \"%s\"\n", why, rc, msg.text);
		fail();
	}
}

static void assert_right(void)
{
	struct errmsg msg;

	if (verify(&msg) != TK_OK) {
		print_error("%s\n", msg.text);
		fail();
	}
}

/* floor 0: policy full, with somebody who lies. */
static void grid(double floor)
{
	sim_init(&sim, 5, 3, 4, 2, 64);
	if (floor > 0)
		sim_adaptive(&sim, floor);
	for (unsigned i = 0; i < 5; i++)
		sim_peer_add(&sim, SIM_HONEST, 1000 + 100 * i);
	sim_peer_add(&sim, floor > 0 ? SIM_HONEST : SIM_WRONG, 800);
	sim_peer_add(&sim, SIM_WITHHOLDS, 900);
	sim_submit(&sim);
	assert_true(sim_run(&sim, HOUR_MS));
	assert_int_equal(sim.project.state, PROJECT_DONE);
	load();
	assert_right();
}

static int grid_end(void **state)
{
	(void)state;
	forget();
	sim_close(&sim);
	return 0;
}

static void no_entry_can_be_told_as_another_projects(void **state)
{
	(void)state;
	grid(0);
	for (size_t i = 0; i < count; i++) {
		entries[i].hidden = true;
		assert_refused(i + 1 < count ? "is not the one that entry"
					     : "is not the one that the head names");
		entries[i].hidden = false;
	}
}

static void proofs_of_fault_and_verdicts_belong_together(void **state)
{
	struct ledger_entry f = {.kind = LEDGER_FAULT, .fault.kind = FAULT_STEP};
	struct ledger_entry e;
	size_t at;

	(void)state;
	grid(0);
	f.project = get(0).project;
	f.fault.proof.b[0] = 1;
	insert(1, &f);
	assert_refused("there is no such unit yet");
	load();
	insert(2, &f);
	assert_refused("against a result that no later UNIT has");
	load();
	at = find(LEDGER_UNIT);
	e = get_unit(at);
	for (uint32_t k = 0; k < e.unit.replica_count; k++)
		if (replicas[k].verdict == LEDGER_VALID) {
			f.fault.round = e.unit.round;
			f.fault.index = e.unit.index;
			f.fault.nonce = replicas[k].nonce;
			f.fault.key = replicas[k].key;
		}
	insert(at, &f);
	assert_refused("which is not what is said of it here");
	load();
	insert(at + 1, &f);
	assert_refused("against a result that no later UNIT has");
}

static void verdicts_that_contradict_what_was_opened_are_refused(void **state)
{
	struct ledger_entry e;
	bool found = false;

	(void)state;
	grid(0);
	e = get_unit(find(LEDGER_UNIT));
	claim_digest(&e.unit.referee, e.unit.claim);
	for (uint32_t k = 0; k < e.unit.replica_count; k++)
		if (replicas[k].verdict == LEDGER_VALID)
			replicas[k].verdict = LEDGER_WRONG;
	set(find(LEDGER_UNIT), &e);
	assert_refused("wrong, but its claim is the canonical one");

	load();
	drop_all(LEDGER_FAULT);
	for (size_t i = 0; i < count && !found; i++) {
		if (get(i).kind != LEDGER_UNIT)
			continue;
		e = get_unit(i);
		for (uint32_t k = 0; k < e.unit.replica_count; k++)
			if (replicas[k].opened && !span_equal(replicas[k].claim, e.unit.claim)) {
				replicas[k].verdict = LEDGER_PENDING;
				e.unit.referee = (struct digest){{0}};
				set(i, &e);
				found = true;
				break;
			}
	}
	assert_true(found);
	assert_refused("was not judged");
}

static void a_merged_unit_keeps_its_result(void **state)
{
	struct ledger_replica forged[2];
	struct bytes claimed = {0};
	struct ledger_entry e;
	struct claim claim;

	(void)state;
	grid(0);
	e = get_unit(find(LEDGER_UNIT));
	insert(find(LEDGER_MERGE) + 1, &e); /* the same once more: judged anew */
	assert_right();
	load();
	e = get_unit(find(LEDGER_UNIT));
	assert_int_equal(claim_decode(&claim, e.unit.claim, NULL), TK_OK);
	claim.payload.b[3] ^= 1;
	assert_int_equal(claim_encode(&claim, &claimed), TK_OK);
	for (uint32_t k = 0; k < 2; k++) {
		struct commitment x = {.network = sim.root.public,
			.unit = e.unit.header,
			.nonce.b[0] = (uint8_t)(k + 1),
			.peer = sim.peers[k].key.public,
			.trace = claim.trace};
		const struct span fields[2] = {
			{forged[k].commitment.b, DIGEST_BYTES}, {x.nonce.b, DIGEST_BYTES}};

		claim_digest(&x.result, bytes_span(&claimed));
		forged[k] = (struct ledger_replica){.nonce = x.nonce,
			.key = x.peer,
			.verdict = LEDGER_VALID,
			.opened = true,
			.claim = bytes_span(&claimed)};
		commitment_digest(&forged[k].commitment, &x);
		key_sign(&forged[k].signature, &sim.peers[k].key, "talkoot commit", fields, 2);
	}
	e.unit.claim = bytes_span(&claimed);
	e.unit.referee = (struct digest){{0}};
	e.unit.replica_count = 2;
	e.unit.replicas = forged;
	insert(find(LEDGER_MERGE) + 1, &e);
	bytes_close(&claimed);
	assert_refused("another result than was merged");
}

static void what_nobody_may_choose_is_refused(void **state)
{
	struct ledger_entry e;

	(void)state;
	grid(0);
	e = get(0);
	e.begin.policy = 3;
	set(0, &e);
	assert_refused("neither 1 (full) nor 2 (adaptive)");
	e.begin.policy = VERIFY_ADAPTIVE;
	set(0, &e);
	assert_refused("has one above zero");
	load();
	e = get(count - 1);
	assert_int_equal(e.kind, LEDGER_END);
	e.end.state = PROJECT_STOPPED;
	set(count - 1, &e);
	assert_refused("with no round left");
}

static void seeds_have_to_be_opened(void **state)
{
	struct ledger_entry e;

	(void)state;
	grid(0.5);
	drop_all(LEDGER_SEED);
	assert_refused("the seed of round 1 has not been opened");
	load();
	drop(find(LEDGER_SEED));
	assert_refused("the seed of round 1 has not been opened");
	load();
	for (size_t i = count; i-- > 0;)
		if (get(i).kind == LEDGER_SEED) { /* the last one */
			drop(i);
			break;
		}
	assert_refused("the seed of round 3 has not been opened");
	load();
	e = get_unit(find(LEDGER_UNIT));
	for (size_t i = 0; i < count; i++) { /* everything by one alone */
		if (get(i).kind != LEDGER_UNIT)
			continue;
		e = get_unit(i);
		for (uint32_t k = 0; k < e.unit.replica_count; k++)
			if (replicas[k].verdict == LEDGER_VALID)
				replicas[0] = replicas[k];
		e.unit.replica_count = 1;
		e.unit.referee = (struct digest){{0}};
		set(i, &e);
	}
	assert_refused("draws it, and it has 1 results where the quorum is 2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(no_entry_can_be_told_as_another_projects, grid_end),
		cmocka_unit_test_teardown(proofs_of_fault_and_verdicts_belong_together, grid_end),
		cmocka_unit_test_teardown(
			verdicts_that_contradict_what_was_opened_are_refused, grid_end),
		cmocka_unit_test_teardown(a_merged_unit_keeps_its_result, grid_end),
		cmocka_unit_test_teardown(what_nobody_may_choose_is_refused, grid_end),
		cmocka_unit_test_teardown(seeds_have_to_be_opened, grid_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
