/* See fuzz_fair.h. */
#include "tests/lib/fuzz_fair.h"

#include <stdio.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tests/lib/fuzz_disk.h"
#include "tests/lib/fuzz_targets.h"

#define NOW_S	    1800000000u
#define COORDINATOR 1u /* numbers of connections: these two, and hostile ones from FAIR_FIRST on */
#define HONEST	    2u
#define LEFT_MS	    400000u
#define PATIENCE_MS 300000u /* of virtual time, until both must have their blob */
#define TICK_MS	    500u

struct fair_world fair_world;

static void blob_make(unsigned which, size_t total)
{
	struct digest root;

	for (size_t i = 0; i < total; i++)
		fair_world.bytes[which][i] = (uint8_t)((i + which) * 2654435761u >> 11);
	fair_world.total[which] = total;
	blob_part_top(&fair_world.nodes[which][0], fair_world.bytes[which], BLOB_PART);
	blob_part_top(&fair_world.nodes[which][1], fair_world.bytes[which] + BLOB_PART,
		total - BLOB_PART);
	blob_tree_build(&root, fair_world.nodes[which], FAIR_PARTS, total);
	fair_world.digest[which] = root;
}

static void world_make(void)
{
	char folder[200];
	struct digest d;

	if (fair_world.made)
		return;
	snprintf(folder, sizeof(folder), "%s/blobs", fuzz_folder());
	snprintf(fair_world.arriving, sizeof(fair_world.arriving), "%s/arriving", fuzz_folder());
	REQUIRE(blob_store_init(&fair_world.store, folder, NULL) == TK_OK);
	blob_make(FAIR_HELD, FAIR_HELD_BYTES);
	blob_make(FAIR_WANTED, FAIR_WANT_BYTES);
	blob_make(FAIR_NOBODYS, FAIR_WANT_BYTES - 1);
	REQUIRE(blob_store_put(&fair_world.store, &d,
			span_of(fair_world.bytes[FAIR_HELD], FAIR_HELD_BYTES), NULL) == TK_OK);
	REQUIRE(digest_equal(&d, &fair_world.digest[FAIR_HELD]));
	fair_world.made = true;
}

static struct hostile *hostile_of(struct fair *f, conn_id conn)
{
	for (unsigned i = 0; i < FAIR_HOSTILE; i++)
		if (conn >= FAIR_FIRST && f->hostile[i].conn == conn)
			return &f->hostile[i];
	return NULL;
}

/* What the honest peer does */

static void honest_hear(struct fair *f, const struct message *m)
{
	const struct message_blob_part *p = &m->blob_part;

	if (m->type == MESSAGE_BLOB_BUSY)
		f->again_ms = f->now_ms + m->blob_busy.retry_ms;
	if (m->type != MESSAGE_BLOB_PART) {
		REQUIRE(m->type != MESSAGE_BLOB_MISSING);
		return;
	}
	if (f->part == FAIR_PARTS || p->offset != f->part * (uint64_t)BLOB_PART)
		return;
	REQUIRE(blob_part_verify(&fair_world.digest[FAIR_HELD], p->total, p->offset, p->bytes,
		p->path, p->path_steps));
	f->part++;
	f->again_ms = f->now_ms;
}

static void honest_ask(struct fair *f)
{
	struct message get = {.type = MESSAGE_BLOB_GET,
		.blob_get = {fair_world.digest[FAIR_HELD], f->part * (uint64_t)BLOB_PART,
			BLOB_PART_MAX}};
	struct message who = {
		.type = MESSAGE_BLOB_WHO, .blob_who = {fair_world.digest[FAIR_HELD], 4}};

	if (f->part == FAIR_PARTS || f->now_ms < f->again_ms)
		return;
	f->again_ms = f->now_ms + 15000;
	if (f->now_ms >= f->who_ms) {
		f->who_ms = f->now_ms + 5000;
		REQUIRE(exchange_message(f->x, HONEST, &who));
	}
	REQUIRE(exchange_message(f->x, HONEST, &get));
}

/* What the coordinator does */

void fair_part(struct message *m, unsigned which, uint64_t offset, uint64_t length)
{
	struct message_blob_part *p = &m->blob_part;
	uint64_t left = fair_world.total[which] - offset;
	struct digest path[64];

	*m = (struct message){.type = MESSAGE_BLOB_PART,
		.blob_part = {.digest = fair_world.digest[which],
			.total = fair_world.total[which],
			.offset = offset}};
	p->bytes = span_of(fair_world.bytes[which] + offset, length < left ? length : left);
	if (offset % BLOB_PART != 0 || p->bytes.len != (left < BLOB_PART ? left : BLOB_PART))
		return;
	p->path_steps = (uint32_t)blob_part_path(
		path, fair_world.nodes[which], FAIR_PARTS, (size_t)(offset / BLOB_PART));
	memcpy(p->path, path, p->path_steps * sizeof(*path));
}

void fair_record(const struct fair *f, unsigned i, struct bytes *out)
{
	struct record r = {.key = f->hostile[i].key.public,
		.flags = RECORD_PUBLIC,
		.sequence = 1,
		.expiry_s = NOW_S + 3600,
		.endpoint_count = 1,
		.endpoints = {{.family = 4, .ip = {192, 0, 2, 1}, .port = 7332}}};

	REQUIRE(record_encode(&r, &f->hostile[i].key, &f->network, out) == TK_OK);
}

static void say_sources(struct fair *f, const struct digest *digest)
{
	struct message m = {.type = MESSAGE_BLOB_SOURCES, .blob_sources.digest = *digest};
	struct bytes records[FAIR_HOSTILE] = {{0}};

	for (unsigned i = 0; f->names_hostile && i < FAIR_HOSTILE; i++) {
		fair_record(f, i, &records[i]);
		m.blob_sources.records[m.blob_sources.count++] = bytes_span(&records[i]);
	}
	REQUIRE(exchange_message(f->x, COORDINATOR, &m));
	for (unsigned i = 0; i < FAIR_HOSTILE; i++)
		bytes_close(&records[i]);
}

static void coordinator_answer(struct fair *f, const struct message *asked)
{
	const struct digest *digest = &asked->blob_get.digest;
	struct message m = {.type = MESSAGE_BLOB_MISSING, .blob_missing.digest = *digest};

	if (asked->type == MESSAGE_BLOB_WHO &&
		digest_equal(digest, &fair_world.digest[FAIR_WANTED])) {
		say_sources(f, digest);
		m = (struct message){.type = MESSAGE_BLOB_HAVE,
			.blob_have = {*digest, FAIR_WANT_BYTES, span_of("\1", 1)}};
		REQUIRE(exchange_message(f->x, COORDINATOR, &m));
		return;
	}
	if (asked->type == MESSAGE_BLOB_GET &&
		digest_equal(digest, &fair_world.digest[FAIR_WANTED])) {
		REQUIRE(asked->blob_get.offset < FAIR_WANT_BYTES);
		fair_part(&m, FAIR_WANTED, asked->blob_get.offset, asked->blob_get.length);
	}
	if (f->busy && asked->type == MESSAGE_BLOB_GET)
		m = (struct message){.type = MESSAGE_BLOB_BUSY, .blob_busy = {*digest, 700}};
	f->busy = false;
	REQUIRE(exchange_message(f->x, COORDINATOR, &m));
}

/* The handler */

/* Nothing is sent that a decoder refuses. */
static void check_message(const struct message *m)
{
	struct bytes encoded = {0};
	struct message again;

	REQUIRE(message_encode(m, &encoded) == TK_OK &&
		message_decode(&again, bytes_span(&encoded), NULL) == TK_OK);
	bytes_close(&encoded);
}

static int on_send(void *context, conn_id conn, const struct message *m)
{
	struct fair *f = context;

	if (m->type != MESSAGE_BLOB_PART)
		check_message(m);
	else
		REQUIRE(m->blob_part.offset + m->blob_part.bytes.len <= m->blob_part.total);
	if (conn == HONEST)
		honest_hear(f, m);
	else if (conn == COORDINATOR && f->asked_count < FAIR_ASKED &&
		 (m->type == MESSAGE_BLOB_GET || m->type == MESSAGE_BLOB_WHO))
		f->asked[f->asked_count++] = *m;
	else if (conn >= FAIR_FIRST && hostile_of(f, conn) == NULL)
		return TK_ENOENT;
	return TK_OK;
}

static void on_drop(void *context, conn_id conn, uint32_t reason, const char *text)
{
	struct fair *f = context;
	struct hostile *h = hostile_of(f, conn);

	(void)text;
	REQUIRE(reason == GOODBYE_SHUTDOWN || h != NULL); /* nobody honest is accused */
	if (h != NULL)
		h->conn = 0;
}

static int on_connect(void *context, const struct record *record, conn_id *conn)
{
	struct fair *f = context;

	for (unsigned i = 0; i < FAIR_HOSTILE; i++) {
		if (!key_equal(&f->hostile[i].key.public, &record->key) || f->hostile[i].conn != 0)
			continue;
		f->hostile[i].conn = *conn = FAIR_FIRST + ++f->conns;
		f->hostile[i].dialled = true;
		return TK_OK;
	}
	return TK_ENOENT;
}

static bool on_record(
	void *context, const struct public_key *key, struct span *encoded, struct record *record)
{
	static struct bytes kept; /* borrowed until the next call */
	struct fair *f = context;

	for (unsigned i = 0; i < FAIR_HOSTILE; i++) {
		if (!key_equal(&f->hostile[i].key.public, key) || i == FAIR_HOSTILE - 1)
			continue; /* the last one can be reached by nobody */
		kept.len = 0;
		fair_record(f, i, &kept);
		*encoded = bytes_span(&kept);
		return record_decode(record, *encoded, &f->network, NOW_S, NULL) == TK_OK;
	}
	return false;
}

static size_t on_waiting(void *context, conn_id conn)
{
	const struct hostile *h = hostile_of(context, conn);

	return h != NULL && h->stalled ? NODE_OUTPUT_LOW + 1 : 0;
}

static void on_complete(void *context, const struct digest *digest)
{
	struct fair *f = context;

	f->complete |= digest_equal(digest, &fair_world.digest[FAIR_WANTED]);
}

/* The coordinator has the one that it was asked for. */
static void on_failed(void *context, const struct digest *digest, const char *why)
{
	(void)context;
	(void)why;
	REQUIRE(!digest_equal(digest, &fair_world.digest[FAIR_WANTED]));
}

static bool on_unknown(void *context, const struct digest *digest)
{
	(void)context;
	return digest_equal(digest, &fair_world.digest[FAIR_NOBODYS]);
}

static bool on_needed(void *context, const struct digest *digest)
{
	(void)context;
	return digest_equal(digest, &fair_world.digest[FAIR_HELD]);
}

static void on_log(void *context, const char *line)
{
	(void)line;
	((struct fair *)context)->lines++;
}

/* Time */

void fair_now(struct fair *f)
{
	exchange_now(f->x, f->now_ms, NOW_S, f->now_ms * 31 + ++f->numbers);
}

void fair_pump(struct fair *f)
{
	struct message asked[FAIR_ASKED];
	unsigned count = f->asked_count;

	memcpy(asked, f->asked, count * sizeof(*asked));
	f->asked_count = 0;
	for (unsigned i = 0; i < count; i++)
		coordinator_answer(f, &asked[i]);
	honest_ask(f);
}

void fair_pass(struct fair *f, uint64_t ms)
{
	if (ms > f->left_ms)
		ms = f->left_ms;
	f->left_ms -= ms;
	do {
		uint64_t slice = ms < TICK_MS ? ms : TICK_MS;

		f->now_ms += slice;
		ms -= slice;
		fair_now(f);
		fair_pump(f);
		exchange_tick(f->x);
	} while (ms != 0);
}

/* Life */

void fair_up(struct fair *f, struct hostile *h)
{
	if (h->conn == 0 || !h->dialled)
		h->conn = FAIR_FIRST + ++f->conns;
	h->dialled = false;
	/* they come from two places */
	exchange_up(f->x, h->conn, &h->key.public, false, 77 + (uint64_t)(h - f->hostile) / 2);
}

static void everybody_make(struct fair *f)
{
	uint8_t seed[32] = {0};

	memset(f->network.b, 7, sizeof(f->network.b));
	memset(f->self.b, 8, sizeof(f->self.b));
	memset(f->honest.b, 9, sizeof(f->honest.b));
	for (unsigned i = 0; i < FAIR_HOSTILE; i++) {
		seed[0] = (uint8_t)(CLEAR_ANYBODY + i);
		key_from_seed(&f->hostile[i].key, seed);
	}
}

/* Two of the hostile peers are there from the beginning. */
static void sessions_begin(struct fair *f)
{
	if (!f->tracker)
		exchange_up(f->x, COORDINATOR, &f->network, true, 1);
	exchange_up(f->x, HONEST, &f->honest, false, 2);
	for (unsigned i = 0; i < 2; i++)
		fair_up(f, &f->hostile[i]);
}

static void exchange_make(struct fair *f)
{
	struct exchange_options o = {.tracker = f->tracker,
		.folder = fair_world.arriving,
		.network = f->network,
		.self = f->self};

	f->handler = (struct exchange_handler){f, on_send, on_drop, on_connect, on_record,
		on_waiting, on_complete, on_failed, on_unknown, NULL, on_needed, NULL, on_log};
	REQUIRE(exchange_new(&f->x, &o, &f->handler, NULL) == TK_OK);
	fair_now(f);
}

void fair_open(struct fair *f, unsigned role)
{
	struct digest *nodes;

	world_make();
	*f = (struct fair){.now_ms = 1000,
		.left_ms = LEFT_MS,
		.tracker = (role & FAIR_COORDINATOR) != 0,
		.complete = (role & FAIR_COORDINATOR) != 0,
		.again_ms = (role & FAIR_AT_ONCE) != 0 ? 0 : UINT64_MAX};
	everybody_make(f);
	exchange_make(f);
	nodes = mem_dup(fair_world.nodes[FAIR_HELD], sizeof(fair_world.nodes[FAIR_HELD]));
	REQUIRE(nodes != NULL);
	exchange_hold(f->x, &fair_world.digest[FAIR_HELD], &fair_world.store, FAIR_HELD_BYTES,
		nodes, NULL, EXCHANGE_OPEN);
	sessions_begin(f);
	if (!f->tracker)
		exchange_want(f->x, &fair_world.digest[FAIR_WANTED], &fair_world.store,
			(role & FAIR_KNOWS_LENGTH) != 0 ? FAIR_WANT_BYTES : 0, BLOB_BYTES_MAX,
			(role & FAIR_QUIET) != 0);
}

void fair_close(struct fair *f)
{
	struct swarm_totals totals;

	if (f->part == 0 && f->again_ms == UINT64_MAX)
		f->again_ms = 0;
	f->left_ms = PATIENCE_MS;
	while (f->left_ms != 0 && !(f->complete && f->part == FAIR_PARTS))
		fair_pass(f, TICK_MS);
	REQUIRE(f->complete && f->part == FAIR_PARTS);
	exchange_totals(f->x, &totals);
	fair_now(f);
	for (unsigned i = FAIR_WANTED; i < FAIR_BLOBS; i++)
		exchange_forget(f->x, &fair_world.digest[i]);
	exchange_free(f->x);
	blob_store_remove(&fair_world.store, &fair_world.digest[FAIR_WANTED]);
}
