/* The store: rows come back as they were saved, transactions hold, errors say what to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/readmit.h"
#include "coordinator/home.h"
#include "coordinator/status.h"
#include "coordinator/status_teams.h"
#include "coordinator/sweep.h"

#define NOW_S 1800000000u

static int begin(void **state)
{
	char *home = strdup("/tmp/talkoot-store-XXXXXX");

	*state = home;
	return mkdtemp(home) != NULL && crypto_start() == TK_OK ? 0 : -1;
}

static int end(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", (char *)*state);
	free(*state);
	return system(command);
}

static struct store *open_store(const char *home, bool create)
{
	struct errmsg msg = {""};
	struct store *s = NULL;

	if (store_open(&s, home, create, &msg) != TK_OK)
		fail_msg("%s", msg.text);
	return s;
}

/* Every byte of the row different, within what a row may hold. */
static struct replica_row some_replica(uint8_t fill)
{
	struct replica_row r = {0};

	memset(r.nonce.b, fill, 32);
	memset(r.peer.b, fill + 1, 32);
	memset(r.commitment.b, fill + 2, 32);
	memset(r.commit_signature.b, fill + 3, 64);
	memset(r.salt.b, fill + 4, 32);
	memset(r.result.b, fill + 5, 32);
	memset(r.claim, fill + 6, 100);
	r.claim_bytes = 100;
	r.project = 3;
	r.round = 2;
	r.unit = fill;
	r.state = REPLICA_REVEALED;
	r.leased_ms = (uint64_t)1 << 60 | fill;
	r.deadline_ms = 5;
	r.committed_ms = 6;
	r.late = true;
	return r;
}

struct collected {
	size_t count;
	struct replica_row rows[8];
};

static int collect(void *context, const void *row)
{
	struct collected *c = context;

	c->rows[c->count++] = *(const struct replica_row *)row;
	return 0;
}

static void rows_come_back_bit_for_bit_after_reopening(void **state)
{
	struct store *s = open_store(*state, true);
	struct collected got = {0};

	assert_int_equal(store_begin(s, NULL), TK_OK);
	for (uint8_t i = 0; i < 3; i++) {
		struct replica_row r = some_replica(i);

		assert_int_equal(store_save_replica(s, &r, NULL), TK_OK);
	}
	assert_int_equal(store_commit(s, NULL), TK_OK);
	store_close(s);
	s = open_store(*state, false);
	assert_int_equal(store_replicas(s, 3, 2, collect, &got, NULL), TK_OK);
	assert_int_equal(got.count, 3);
	for (uint8_t i = 0; i < 3; i++) {
		struct replica_row r = some_replica(i);

		assert_memory_equal(got.rows[i].claim, r.claim, r.claim_bytes);
		assert_memory_equal(got.rows[i].commit_signature.b, r.commit_signature.b, 64);
		assert_true(digest_equal(&got.rows[i].result, &r.result));
		assert_true(got.rows[i].leased_ms == r.leased_ms && got.rows[i].late);
		assert_int_equal(got.rows[i].state, REPLICA_REVEALED);
	}
	got.count = 0;
	assert_int_equal(store_replicas(s, 3, 1, collect, &got, NULL), TK_OK);
	assert_int_equal(got.count, 0);
	store_close(s);
}

static void rolled_back_rows_are_gone_and_saving_again_replaces(void **state)
{
	struct store *s = open_store(*state, true);
	struct replica_row r = some_replica(9);
	struct collected got = {0};

	assert_int_equal(store_begin(s, NULL), TK_OK);
	assert_int_equal(store_save_replica(s, &r, NULL), TK_OK);
	store_rollback(s);
	assert_int_equal(store_replicas(s, 3, 2, collect, &got, NULL), TK_OK);
	assert_int_equal(got.count, 0);
	assert_int_equal(store_save_replica(s, &r, NULL), TK_OK);
	r.state = REPLICA_VALID;
	r.claim_bytes = 0;
	assert_int_equal(store_save_replica(s, &r, NULL), TK_OK);
	assert_int_equal(store_replicas(s, 3, 2, collect, &got, NULL), TK_OK);
	assert_int_equal(got.count, 1);
	assert_int_equal(got.rows[0].state, REPLICA_VALID);
	assert_int_equal(got.rows[0].claim_bytes, 0);
	store_close(s);
}

static struct project_row some_project(const char *name)
{
	struct project_row p = {
		.state = PROJECT_QUEUED, .quorum = 2, .rounds = 4, .unit_flops = 1e9};

	snprintf(p.name, sizeof(p.name), "%s", name);
	return p;
}

static void taken_name_is_refused_and_ids_ascend(void **state)
{
	struct store *s = open_store(*state, true);
	struct project_row a = some_project("a"), b = some_project("b"), again = some_project("a");
	struct errmsg msg = {""};

	assert_int_equal(store_add_project(s, &a, &msg), TK_OK);
	assert_int_equal(store_add_project(s, &b, &msg), TK_OK);
	assert_true(a.id == 1 && b.id == 2);
	assert_int_equal(store_add_project(s, &again, &msg), TK_EEXIST);
	assert_non_null(strstr(msg.text, "exists already"));
	assert_int_equal(store_find_project(s, "c", &again, &msg), TK_ENOENT);
	assert_string_equal(msg.text, "there is no project c; there are: a, b");
	assert_int_equal(store_find_project(s, "b", &again, &msg), TK_OK);
	assert_true(again.id == 2 && again.unit_flops == 1e9);
	store_close(s);
}

static int keep_round(void *context, const void *row)
{
	*(struct round_row *)context = *(const struct round_row *)row;
	return 0;
}

static void loss_that_is_no_number_stays_none(void **state)
{
	struct store *s = open_store(*state, true);
	struct round_row r = {.project = 1, .loss = NAN, .validation_loss = 0.1f}, back = {0};

	assert_int_equal(store_save_round(s, &r, NULL), TK_OK);
	assert_int_equal(store_rounds(s, 1, keep_round, &back, NULL), TK_OK);
	assert_true(isnan(back.loss));
	assert_true(back.validation_loss == 0.1f);
	store_close(s);
}

static void wish_made_elsewhere_is_heard_by_the_server(void **state)
{
	struct store *server = open_store(*state, true);
	struct store *owner = open_store(*state, false);
	uint64_t before = store_version(server);
	bool asked = true;

	assert_int_equal(store_asked(server, 1, WISH_STOP, &asked, NULL), TK_OK);
	assert_false(asked);
	assert_int_equal(store_ask(owner, 1, WISH_STOP, NULL), TK_OK);
	assert_int_equal(store_ask(owner, 1, WISH_STOP, NULL), TK_OK);
	assert_true(store_version(server) != before);
	assert_int_equal(store_asked(server, 1, WISH_STOP, &asked, NULL), TK_OK);
	assert_true(asked);
	assert_int_equal(store_heard(server, 1, WISH_STOP, NULL), TK_OK);
	assert_int_equal(store_asked(server, 1, WISH_STOP, &asked, NULL), TK_OK);
	assert_false(asked);
	store_close(owner);
	store_close(server);
}

static void peer_saved(
	struct store *s, uint8_t first, bool retired, bool convicted, bool readmitted)
{
	struct peer_row p = {.retired = retired, .convicted = convicted, .readmitted = readmitted};

	p.key.b[0] = first;
	p.key.b[31] = 1;
	assert_int_equal(store_save_peer(s, &p, NULL), TK_OK);
}

static void who_may_come_back_is_found_by_some_digits_and_asked_for_once(void **state)
{
	struct store *s = open_store(*state, true);
	struct errmsg msg = {""};
	struct peer_row row = {.retired = false};
	struct public_key key;

	peer_saved(s, 0x11, true, false, false);
	peer_saved(s, 0x12, false, false, false);
	peer_saved(s, 0x13, true, true, false);
	peer_saved(s, 0x14, true, false, true);
	peer_saved(s, 0x15, true, false, false);
	assert_int_equal(readmit_asked(s, &key, NULL), TK_ENOENT);
	assert_int_equal(readmit_ask(s, "1100", &row, &msg), TK_EINVAL);
	assert_int_equal(readmit_ask(s, "1100000g", &row, &msg), TK_EINVAL);
	assert_int_equal(readmit_ask(s, "16000000", &row, &msg), TK_ENOENT);
	assert_int_equal(readmit_ask(s, "12000000", &row, &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "not retired"));
	assert_int_equal(readmit_ask(s, "13000000", &row, &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "for good"));
	assert_int_equal(readmit_ask(s, "14000000", &row, &msg), TK_EAUTH);
	assert_non_null(strstr(msg.text, "second chance"));
	assert_int_equal(readmit_ask(s, "11000000", &row, &msg), TK_OK);
	assert_int_equal(row.key.b[0], 0x11);
	assert_int_equal(readmit_ask(s, "1100000000000000", &row, &msg), TK_OK);
	assert_int_equal(readmit_ask(s, "15000000", &row, &msg), TK_EBUSY);
	assert_int_equal(readmit_asked(s, &key, NULL), TK_OK);
	assert_true(key_equal(&key, &row.key));
	assert_int_equal(readmit_heard(s, NULL), TK_OK);
	assert_int_equal(readmit_asked(s, &key, NULL), TK_ENOENT);
	store_close(s);
}

static void missing_and_broken_homes_are_told_apart(void **state)
{
	struct errmsg msg = {""};
	struct store *s = NULL;
	char path[128];
	FILE *f;

	assert_int_equal(store_open(&s, *state, false, &msg), TK_ENOENT);
	assert_non_null(strstr(msg.text, "talkoot init"));
	snprintf(path, sizeof(path), "%s/store.sqlite", (char *)*state);
	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 1000; i++)
		fputs("this is no database ", f);
	fclose(f);
	assert_int_equal(store_open(&s, *state, false, &msg), TK_ECORRUPT);
	assert_non_null(strstr(msg.text, path));
	assert_null(s);
}

static void home_keeps_its_identity_and_one_server(void **state)
{
	struct identity a, b;
	struct errmsg msg = {""};
	struct home h;
	char path[128];
	int lock = -1, second = -1;

	snprintf(path, sizeof(path), "%s/home", (char *)*state);
	assert_int_equal(home_create(path, "", false, NOW_S, &msg), TK_OK);
	assert_int_equal(home_create(path, "", false, NOW_S, &msg), TK_EEXIST);
	assert_int_equal(home_open(&h, path, &msg), TK_OK);
	assert_int_equal(home_identity(&h, &a, &msg), TK_OK);
	assert_int_equal(home_identity(&h, &b, &msg), TK_OK);
	assert_true(key_equal(&a.key.public, &b.key.public));
	assert_true(key_equal(&a.network, &a.key.public));
	assert_false(home_is_served(&h));
	assert_int_equal(home_lock(&h, &lock, &msg), TK_OK);
	assert_true(home_is_served(&h));
	assert_int_equal(home_lock(&h, &second, &msg), TK_EBUSY);
	close(lock);
	assert_false(home_is_served(&h));
	identity_wipe(&a);
	identity_wipe(&b);
	home_close(&h);
}

/* One settled unit whose payload is stored; its blob's digest. */
static void settled_unit(
	struct home *h, uint64_t project, uint32_t round, const char *payload, struct digest *blob)
{
	struct claim claim = {.outcome = OUTCOME_UPDATE, .payload_bytes = strlen(payload)};
	struct unit_row u = {.project = project, .round = round, .state = UNIT_SETTLED};
	struct bytes encoded = {0};

	assert_int_equal(blob_store_put(&h->blobs, blob, span_text(payload), NULL), TK_OK);
	claim.payload = *blob;
	assert_int_equal(claim_encode(&claim, &encoded), TK_OK);
	memcpy(u.claim, encoded.data, encoded.len);
	u.claim_bytes = (uint32_t)encoded.len;
	assert_int_equal(store_save_unit(h->store, &u, NULL), TK_OK);
	bytes_close(&encoded);
}

static void past_payloads_go_unless_another_project_may_need_them(void **state)
{
	struct project_row a = some_project("a"), twin = some_project("twin");
	struct digest blob, other;
	struct home h;
	char path[128];
	uint64_t size;

	snprintf(path, sizeof(path), "%s/home", (char *)*state);
	assert_int_equal(home_create(path, "", false, NOW_S, NULL), TK_OK);
	assert_int_equal(home_open(&h, path, NULL), TK_OK);
	assert_int_equal(store_add_project(h.store, &a, NULL), TK_OK);
	assert_int_equal(store_add_project(h.store, &twin, NULL), TK_OK);
	settled_unit(&h, a.id, 3, "payload", &blob);
	assert_int_equal(sweep_payloads(&h, a.id, 3, NULL), TK_OK);
	assert_int_equal(blob_store_size(&h.blobs, &blob, &size), TK_OK);
	twin.state = PROJECT_DONE;
	assert_int_equal(store_save_project(h.store, &twin, NULL), TK_OK);
	assert_int_equal(sweep_payloads(&h, a.id, 2, NULL), TK_OK); /* another round */
	assert_int_equal(blob_store_size(&h.blobs, &blob, &size), TK_OK);
	settled_unit(&h, a.id, 5, "payload", &blob);
	settled_unit(&h, a.id, 6, "another", &other);
	a.round = 6;
	assert_int_equal(store_save_project(h.store, &a, NULL), TK_OK);
	assert_int_equal(sweep_payloads(&h, a.id, 3, NULL), TK_OK);
	assert_int_equal(blob_store_size(&h.blobs, &blob, &size), TK_OK); /* as round 5 has it */
	assert_int_equal(sweep_payloads(&h, a.id, 5, NULL), TK_OK);
	assert_int_equal(blob_store_size(&h.blobs, &blob, &size), TK_ENOENT);
	assert_int_equal(blob_store_size(&h.blobs, &other, &size), TK_OK);
	assert_int_equal(sweep_payloads(&h, a.id, 3, NULL), TK_OK);
	home_close(&h);
}

/* A list of two states, stored with what they name. */
static void store_states(struct home *h, const char *first, const char *second,
	struct digest states[2], struct digest *list)
{
	assert_int_equal(blob_store_put(&h->blobs, &states[0], span_text(first), NULL), TK_OK);
	assert_int_equal(blob_store_put(&h->blobs, &states[1], span_text(second), NULL), TK_OK);
	assert_int_equal(
		blob_store_put(&h->blobs, list, span_of(states, 2 * sizeof(*states)), NULL), TK_OK);
}

static bool stored(const struct home *h, const struct digest *blob)
{
	uint64_t size;

	return blob_store_size(&h->blobs, blob, &size) == TK_OK;
}

static void past_states_go_unless_they_are_in_use(void **state)
{
	struct project_row a = some_project("a"), twin = some_project("twin");
	struct digest past[2], now[2], list;
	struct round_row merged = {.round = 3};
	struct home h;
	char path[128];

	snprintf(path, sizeof(path), "%s/home", (char *)*state);
	assert_int_equal(home_create(path, "", false, NOW_S, NULL), TK_OK);
	assert_int_equal(home_open(&h, path, NULL), TK_OK);
	store_states(&h, "one", "kept", past, &merged.states);
	store_states(&h, "kept", "next", now, &list);
	a.units_per_round = 2;
	a.round = merged.round + 1;
	a.states = list;
	assert_int_equal(store_add_project(h.store, &a, NULL), TK_OK);
	assert_int_equal(store_add_project(h.store, &twin, NULL), TK_OK);
	merged.project = a.id;
	assert_int_equal(sweep_states(&h, &merged, NULL), TK_OK);
	assert_true(stored(&h, &past[0])); /* its twin may need it */
	twin.state = PROJECT_DONE;
	assert_int_equal(store_save_project(h.store, &twin, NULL), TK_OK);
	assert_int_equal(sweep_states(&h, &merged, NULL), TK_OK);
	assert_false(stored(&h, &past[0]));
	assert_false(stored(&h, &merged.states));
	assert_true(stored(&h, &past[1]) && stored(&h, &now[1]) && stored(&h, &list));
	merged.states = list; /* the row's own are never past */
	assert_int_equal(sweep_states(&h, &merged, NULL), TK_OK);
	assert_true(stored(&h, &list));
	merged.states = (struct digest){{0}};
	assert_int_equal(sweep_states(&h, &merged, NULL), TK_OK);
	home_close(&h);
}

static void teams_are_kept_and_the_status_ranks_them(void **state)
{
	static const char *const names[] = {"otaniemi", "", "kallio", "kallio"};
	struct store *s = open_store(*state, true);
	const struct status_live live = {.now_s = 1};
	struct status_teams teams = {0};
	struct bytes json = {0};

	for (uint8_t i = 0; i < 4; i++) {
		struct peer_row row = {.valid = i, .credit_flops = 100 + i};

		row.key.b[0] = i;
		snprintf(row.team, sizeof(row.team), "%s", names[i]);
		assert_int_equal(store_save_peer(s, &row, NULL), TK_OK);
	}
	store_close(s);
	s = open_store(*state, false);
	assert_int_equal(status_teams_load(&teams, s, NULL), TK_OK);
	assert_int_equal(teams.count, 2);
	assert_string_equal(teams.items[0].name, "kallio");
	assert_int_equal(teams.items[0].members, 2);
	assert_int_equal(teams.items[0].credit_flops, 205);
	status_teams_close(&teams);
	assert_int_equal(status_page_json(s, &live, &json, NULL), TK_OK);
	assert_int_equal(bytes_append(&json, "", 1), TK_OK);
	assert_non_null(strstr((const char *)json.data,
		"\"teams\":[{\"name\":\"kallio\",\"members\":2,\"units_valid\":5,"
		"\"credit_flops\":205},{\"name\":\"otaniemi\","));
	assert_non_null(strstr((const char *)json.data, "\"credit_flops\":103}"));
	bytes_close(&json);
	store_close(s);
}

static void a_home_of_an_older_schema_is_refused_with_what_to_do(void **state)
{
	struct store *s = open_store(*state, true);

	assert_int_equal(store_set_text(s, "schema", "1", NULL), TK_OK);
	store_close(s);
	for (int create = 0; create < 2; create++) {
		struct errmsg msg = {""};

		assert_int_equal(store_open(&s, *state, create != 0, &msg), TK_EUNSUPPORTED);
		assert_non_null(strstr(msg.text, "schema 1"));
		assert_non_null(strstr(msg.text, "talkoot init"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			rows_come_back_bit_for_bit_after_reopening, begin, end),
		cmocka_unit_test_setup_teardown(
			rolled_back_rows_are_gone_and_saving_again_replaces, begin, end),
		cmocka_unit_test_setup_teardown(taken_name_is_refused_and_ids_ascend, begin, end),
		cmocka_unit_test_setup_teardown(loss_that_is_no_number_stays_none, begin, end),
		cmocka_unit_test_setup_teardown(
			wish_made_elsewhere_is_heard_by_the_server, begin, end),
		cmocka_unit_test_setup_teardown(
			who_may_come_back_is_found_by_some_digits_and_asked_for_once, begin, end),
		cmocka_unit_test_setup_teardown(
			missing_and_broken_homes_are_told_apart, begin, end),
		cmocka_unit_test_setup_teardown(home_keeps_its_identity_and_one_server, begin, end),
		cmocka_unit_test_setup_teardown(
			past_payloads_go_unless_another_project_may_need_them, begin, end),
		cmocka_unit_test_setup_teardown(
			teams_are_kept_and_the_status_ranks_them, begin, end),
		cmocka_unit_test_setup_teardown(past_states_go_unless_they_are_in_use, begin, end),
		cmocka_unit_test_setup_teardown(
			a_home_of_an_older_schema_is_refused_with_what_to_do, begin, end),
	};

	return cmocka_run_group_tests_name("coordinator: store", tests, NULL, NULL);
}
