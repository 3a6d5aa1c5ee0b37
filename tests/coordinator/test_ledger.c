/* Ledgers as files: one that the simulated grid wrote is right; whatever is changed in it is refused with a
 * sentence that names the place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/coordinator/ledger_verify.h"
#include "tests/lib/core_sim.h"

#define HOUR_MS 3600000u
#define CHANGES 10000u

static struct sim sim; /* large */

/* Where each record begins, and the end. */
struct file {
	struct bytes bytes;
	size_t at[4096];
	size_t count;
};

static void put(struct file *f, const struct ledger_record *record)
{
	f->at[f->count++] = f->bytes.len;
	assert_int_equal(ledger_record_encode(record, &f->bytes), TK_OK);
	f->at[f->count] = f->bytes.len;
}

/* The first entries of the simulated ledger, as their coordinator would export them then. other: entries of
 * which only the digest is told. */
static void file_make(struct file *f, size_t entries)
{
	struct ledger_record header = {.type = RECORD_HEADER,
		.network = sim.root.public,
		.recipe = bytes_span(&sim.recipe)};
	struct ledger_record head = {.type = RECORD_HEAD, .is_signed = true};

	memset(f, 0, sizeof(*f));
	assert_int_equal(bytes_append(&f->bytes, LEDGER_MAGIC, sizeof(LEDGER_MAGIC) - 1), TK_OK);
	put(f, &header);
	for (size_t i = 0; i < entries; i++) {
		const struct sim_entry *e = &sim.entries[i];
		struct ledger_record record = {.type = RECORD_ENTRY,
			.sequence = i + 1,
			.link = head.link,
			.content = bytes_span(&e->content),
			.is_signed = e->row.is_signed,
			.signature = e->row.signature};

		put(f, &record);
		head.link = e->row.head.digest;
	}
	head.sequence = entries;
	ledger_head_sign(&head.signature, &sim.root,
		&(struct ledger_head){.sequence = entries, .digest = head.link});
	put(f, &head);
}

static bool names_a_place(const struct errmsg *msg)
{
	return strstr(msg->text, "byte") != NULL || strstr(msg->text, "entry") != NULL;
}

static void assert_refused(const struct bytes *bytes, const char *what, size_t where)
{
	struct errmsg msg;

	if (ledger_verify(bytes, &msg) == TK_OK || !names_a_place(&msg)) {
		print_error("%s at %zu: \"%s\"\n", what, where, msg.text);
		fail();
	}
}

/* A grid with cheaters, so that all kinds of verdicts are in its ledger. */
static int grid_train(void **state)
{
	(void)state;
	sim_init(&sim, 5, 3, 4, 2, 64);
	sim_peer_add(&sim, SIM_HONEST, 1000);
	sim_peer_add(&sim, SIM_HONEST, 1500);
	sim_peer_add(&sim, SIM_HONEST, 1200);
	sim_peer_add(&sim, SIM_WRONG, 800);
	sim_peer_add(&sim, SIM_WITHHOLDS, 900);
	sim_peer_add(&sim, SIM_EQUIVOCATES, 900);
	sim_submit(&sim);
	return sim_run(&sim, HOUR_MS) && sim.project.state == PROJECT_DONE ? 0 : -1;
}

static int grid_end(void **state)
{
	(void)state;
	sim_close(&sim);
	return 0;
}

static void a_ledger_and_each_of_its_beginnings_are_right(void **state)
{
	struct file f;
	struct errmsg msg;

	(void)state;
	assert_true(sim.entry_count > 12);
	for (size_t n = 1; n <= sim.entry_count; n++) {
		file_make(&f, n);
		if (ledger_verify(&f.bytes, &msg) != TK_OK)
			fail_msg("%zu entries: %s", n, msg.text);
		bytes_close(&f.bytes);
	}
}

static void any_changed_byte_is_refused_and_its_place_named(void **state)
{
	struct file f;

	(void)state;
	file_make(&f, sim.entry_count);
	for (uint32_t i = 0; i < CHANGES; i++) {
		size_t at = (size_t)sim_random(&sim, f.bytes.len);
		uint8_t change = (uint8_t)(1 + sim_random(&sim, 255));

		f.bytes.data[at] ^= change;
		assert_refused(&f.bytes, "a change", at);
		f.bytes.data[at] ^= change;
	}
	bytes_close(&f.bytes);
}

static void a_ledger_cut_off_anywhere_is_refused(void **state)
{
	struct file f;
	size_t whole;

	(void)state;
	file_make(&f, sim.entry_count);
	whole = f.bytes.len;
	for (size_t n = 1; n < whole; n += n < 64 || n + 64 > whole ? 1 : 37) {
		f.bytes.len = n;
		assert_refused(&f.bytes, "a cut", n);
	}
	for (size_t i = 0; i < f.count; i++) {
		f.bytes.len = f.at[i];
		assert_refused(&f.bytes, "a cut between records", i);
	}
	f.bytes.len = whole;
	bytes_close(&f.bytes);
}

/* The file's records in another order; n of them. */
static void reorder(const struct file *f, const size_t *order, size_t n, struct bytes *out)
{
	out->len = 0;
	assert_int_equal(bytes_append(out, f->bytes.data, f->at[0]), TK_OK);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(bytes_append(out, f->bytes.data + f->at[order[i]],
					 f->at[order[i] + 1] - f->at[order[i]]),
			TK_OK);
}

static void dropped_swapped_and_doubled_entries_are_refused(void **state)
{
	struct bytes other = {0};
	size_t order[4097];
	struct file f;

	(void)state;
	file_make(&f, sim.entry_count);
	for (size_t i = 0; i < f.count; i++) {
		size_t n = 0;

		for (size_t k = 0; k < f.count; k++)
			if (k != i)
				order[n++] = k;
		reorder(&f, order, n, &other);
		assert_refused(&other, "a dropped record", i);
		n = 0;
		for (size_t k = 0; k < f.count; k++) {
			order[n++] = k;
			if (k == i)
				order[n++] = k;
		}
		reorder(&f, order, n, &other);
		assert_refused(&other, "a doubled record", i);
		for (size_t k = 0; k < f.count; k++)
			order[k] = k == i ? i + 1 : k == i + 1 ? i : k;
		if (i + 1 == f.count)
			continue;
		reorder(&f, order, f.count, &other);
		assert_refused(&other, "two swapped records", i);
	}
	bytes_close(&other);
	bytes_close(&f.bytes);
}

static void an_older_head_under_a_longer_ledger_is_refused(void **state)
{
	struct file f, older;

	(void)state;
	file_make(&f, sim.entry_count);
	for (size_t n = 1; n < sim.entry_count; n++) {
		size_t head = f.at[f.count - 1];

		file_make(&older, n);
		f.bytes.len = head;
		assert_int_equal(
			bytes_append(&f.bytes, older.bytes.data + older.at[older.count - 1],
				older.bytes.len - older.at[older.count - 1]),
			TK_OK);
		assert_refused(&f.bytes, "an older head", n);
		bytes_close(&older.bytes);
	}
	bytes_close(&f.bytes);
}

/* What the root itself signs wrongly is found, too: a chain that is whole, of entries that lie. */
static void a_whole_chain_of_entries_that_contradict_each_other_is_refused(void **state)
{
	struct bytes content = {0};
	struct ledger_entry e;
	struct file f;
	size_t merges = 0;
	size_t last = sim.entry_count;

	(void)state;
	do /* behind the last merge nothing rests on it */
		last--;
	while (sim.entries[last].row.kind != LEDGER_MERGE);
	for (size_t i = 0; i < sim.entry_count; i++) {
		struct sim_entry saved = sim.entries[i];

		if (saved.row.kind != LEDGER_MERGE)
			continue;
		assert_int_equal(ledger_decode(&e, bytes_span(&saved.content), NULL), TK_OK);
		e.merge.parameters.b[0] ^= 1;
		content.len = 0;
		assert_int_equal(ledger_encode(&e, &content), TK_OK);
		sim.entries[i].content = content;
		/* The chain is made anew from here. */
		struct ledger_head head =
			i > 0 ? sim.entries[i - 1].row.head : (struct ledger_head){0};
		struct ledger_row *rows = calloc(sim.entry_count, sizeof(*rows));

		assert_non_null(rows);
		for (size_t k = i; k < sim.entry_count; k++) {
			struct digest digest;

			rows[k] = sim.entries[k].row;
			ledger_content_digest(&digest, bytes_span(&sim.entries[k].content));
			ledger_head_add(&head, &e.project, &digest);
			sim.entries[k].row.head = head;
			ledger_head_sign(&sim.entries[k].row.signature, &sim.root, &head);
		}
		file_make(&f, sim.entry_count);
		if (i != last)
			assert_refused(&f.bytes, "a false merge", i);
		bytes_close(&f.bytes);
		for (size_t k = i; k < sim.entry_count; k++)
			sim.entries[k].row = rows[k];
		sim.entries[i].content = saved.content;
		free(rows);
		merges++;
	}
	bytes_close(&content);
	assert_int_equal(merges, 3);
}

static void the_bound_on_wrong_units_is_the_exact_binomial_one(void **state)
{
	(void)state;
	assert_true(fabs(audit_bound(1000, 100, 0) - (1 - pow(0.05, 0.01))) < 1e-12);
	assert_true(fabs(audit_bound(1000, 1, 0) - 0.95) < 1e-12);
	assert_true(audit_bound(100, 100, 0) == 0 && audit_bound(100, 100, 7) == 0.07);
	assert_true(audit_bound(100, 0, 0) == 1);
	/* One of 20: (1-p)^20 + 20 p (1-p)^19 = 0.05 at p = 0.2161… */
	assert_true(fabs(audit_bound(1000, 20, 1) - 0.2161) < 1e-4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ledger_and_each_of_its_beginnings_are_right),
		cmocka_unit_test(any_changed_byte_is_refused_and_its_place_named),
		cmocka_unit_test(a_ledger_cut_off_anywhere_is_refused),
		cmocka_unit_test(dropped_swapped_and_doubled_entries_are_refused),
		cmocka_unit_test(an_older_head_under_a_longer_ledger_is_refused),
		cmocka_unit_test(a_whole_chain_of_entries_that_contradict_each_other_is_refused),
		cmocka_unit_test(the_bound_on_wrong_units_is_the_exact_binomial_one),
	};

	return cmocka_run_group_tests(tests, grid_train, grid_end);
}
