/* Measures the network: handshakes, sessions beside libsodium alone, messages through a node, and what a
 * node costs that only keeps its sessions. Per second of one core's time, where nothing else is said.
 * Contenders take turns, and what is printed is each one's best: chance only ever makes things slower.
 *   build/tests/bench/bench_net [--csv FILE] [--idle SECONDS]    SECONDS: 60 */
#include "tests/bench/net_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tasks/base/require.h"

#define TURNS	      7
#define PART	      BLOB_PART_MAX
#define FRAME_PLAIN   (FRAME_BYTES_MAX - 16u)
#define IDLE_SESSIONS 64u
#define LINES_MAX     16

double bench_cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void bench_identity(struct identity *id, unsigned number)
{
	uint8_t seed[32] = {1}, secret[32] = {2};
	struct key_pair root;

	key_from_seed(&root, seed);
	store_le32(seed + 4, number);
	store_le32(secret + 4, number);
	identity_init(id, seed, secret, number == 0 ? ROLE_COORDINATOR : ROLE_PEER, &root.public);
}

/* The table */

struct line {
	const char *what, *unit;
	double value, ratio; /* ratio 0: there is nothing to compare with */
	const char *wanted;
};

struct table {
	struct line lines[LINES_MAX];
	size_t count;
};

static void say(struct table *t, const char *what, double value, const char *unit, double ratio,
	const char *wanted)
{
	REQUIRE(t->count < LINES_MAX);
	t->lines[t->count++] = (struct line){what, unit, value, ratio, wanted};
}

static void table_print(const struct table *t)
{
	printf("| | | ratio | wanted |\n|---|--:|--:|--:|\n");
	for (size_t i = 0; i < t->count; i++) {
		const struct line *l = &t->lines[i];

		printf("| %s | %.*f %s | ", l->what, l->value < 100 ? 2 : 0, l->value, l->unit);
		if (l->ratio > 0)
			printf("%.2f", l->ratio);
		printf(" | %s |\n", l->wanted);
	}
}

static bool table_write(const struct table *t, const char *path)
{
	FILE *f = fopen(path, "w");

	if (f == NULL) {
		perror(path);
		return false;
	}
	fprintf(f, "what,value,unit,ratio,wanted\n");
	for (size_t i = 0; i < t->count; i++) {
		const struct line *l = &t->lines[i];

		fprintf(f, "\"%s\",%g,%s,%g,\"%s\"\n", l->what, l->value, l->unit, l->ratio,
			l->wanted);
	}
	return fclose(f) == 0;
}

/* Sessions in memory */

struct two {
	struct identity ids[2];
	struct session *sides[2]; /* 0 dials, 1 answers */
};

static void carry(struct session *from, struct session *to)
{
	struct span out = session_output(from);

	REQUIRE(session_receive(to, out, NULL) == TK_OK);
	session_consume(from, out.len);
}

static void two_open(struct two *t)
{
	for (unsigned i = 0; i < 2; i++) {
		uint8_t ephemeral[32];

		random_bytes(ephemeral, sizeof(ephemeral));
		t->sides[i] = session_new(&t->ids[i], i == 0, ephemeral, 1800000000,
			i == 0 ? &t->ids[0].network : NULL);
		REQUIRE(t->sides[i] != NULL);
	}
	carry(t->sides[0], t->sides[1]);
	carry(t->sides[1], t->sides[0]);
	carry(t->sides[0], t->sides[1]);
	REQUIRE(session_state(t->sides[1]) == SESSION_OPEN);
}

static void two_close(struct two *t)
{
	session_free(t->sides[0]);
	session_free(t->sides[1]);
}

/* Handshakes per second, both ends on this core. */
static double handshakes(struct two *t, unsigned count)
{
	double start = bench_cpu_seconds();

	for (unsigned i = 0; i < count; i++) {
		two_open(t);
		two_close(t);
	}
	return count / (bench_cpu_seconds() - start);
}

/* Bytes per second of messages that carry n bytes each, sealed, carried and opened on this core. */
static double session_bytes(struct two *t, size_t n, unsigned count)
{
	static uint8_t data[PART];
	struct message m = {.type = MESSAGE_UPLOAD, .upload.bytes = span_of(data, n)};
	struct message got;
	double start = bench_cpu_seconds();

	for (unsigned i = 0; i < count; i++) {
		REQUIRE(session_send(t->sides[0], &m, NULL) == TK_OK);
		carry(t->sides[0], t->sides[1]);
		REQUIRE(session_next(t->sides[1], &got, NULL) == TK_OK);
		REQUIRE(got.upload.bytes.len == n);
		REQUIRE(session_next(t->sides[1], &got, NULL) == TK_ENOENT);
	}
	return (double)n * count / (bench_cpu_seconds() - start);
}

/* A node in memory: peers' messages come in, and each is passed on to another. */

#define NODE_PEERS 16u

struct hub {
	struct identity ids[NODE_PEERS + 1];
	struct node *node;
	struct node_effects effects;
	struct session *peers[NODE_PEERS + 1]; /* [i] is the far end of connection i */
	uint64_t now_ms;
};

/* What the node writes reaches the peers; what they have to say comes with the next step. */
static size_t hub_effects(struct hub *h, bool forward);

static size_t hub_step(struct hub *h, struct node_event *event, bool forward)
{
	event->now_ms = h->now_ms;
	event->now_s = 1800000000;
	REQUIRE(node_step(h->node, event, &h->effects) == TK_OK);
	return hub_effects(h, forward);
}

static size_t hub_effects(struct hub *h, bool forward)
{
	struct node_effects batch = h->effects;
	size_t messages = 0;

	h->effects = (struct node_effects){0};
	for (size_t i = 0; i < batch.count; i++) {
		struct node_effect *e = &batch.items[i];
		struct node_event event = {.type = NODE_WRITTEN, .conn = e->conn};

		if (e->type == NODE_WRITE && !forward) {
			REQUIRE(session_receive(h->peers[e->conn], bytes_span(&e->bytes), NULL) ==
				TK_OK);
		} else if (e->type == NODE_MESSAGE) {
			messages++;
			event.type = NODE_SEND;
			event.conn = 1 + e->conn % NODE_PEERS;
			event.message = &e->message;
			hub_step(h, &event, true);
			continue;
		}
		if (e->type == NODE_WRITE) {
			event.count = e->bytes.len;
			hub_step(h, &event, forward);
		}
	}
	node_effects_close(&batch);
	return messages;
}

static void hub_hear(struct hub *h, conn_id conn)
{
	struct span out = session_output(h->peers[conn]);
	struct node_event event = {.type = NODE_BYTES, .conn = conn, .bytes = out};
	size_t n = out.len;

	if (n != 0)
		hub_step(h, &event, false);
	session_consume(h->peers[conn], n);
}

static void hub_open(struct hub *h)
{
	bench_identity(&h->ids[0], 0);
	h->node = node_new(&h->ids[0]);
	REQUIRE(h->node != NULL);
	for (unsigned i = 1; i <= NODE_PEERS; i++) {
		struct node_event event = {.type = NODE_ACCEPTED, .conn = i};
		uint8_t ephemeral[32];

		bench_identity(&h->ids[i], i);
		random_bytes(ephemeral, sizeof(ephemeral));
		random_bytes(event.random, sizeof(event.random));
		h->peers[i] =
			session_new(&h->ids[i], true, ephemeral, 1800000000, &h->ids[0].network);
		REQUIRE(h->peers[i] != NULL);
		hub_step(h, &event, false);
		while (session_output(h->peers[i]).len != 0)
			hub_hear(h, i);
	}
	REQUIRE(node_session_count(h->node) == NODE_PEERS);
}

static void hub_close(struct hub *h)
{
	for (unsigned i = 1; i <= NODE_PEERS; i++)
		session_free(h->peers[i]);
	node_effects_close(&h->effects);
	node_free(h->node);
}

/* Messages per second through the node: opened, decoded, told to the application, sent on to another. What
 * the senders do is not counted. */
static double hub_messages(struct hub *h, const struct message *m, unsigned rounds, unsigned each)
{
	size_t messages = 0;
	double spent = 0;

	for (unsigned i = 0; i < rounds; i++) {
		conn_id conn = 1 + i % NODE_PEERS;
		struct node_event event = {.type = NODE_BYTES, .conn = conn};
		double start;

		for (unsigned j = 0; j < each; j++)
			REQUIRE(session_send(h->peers[conn], m, NULL) == TK_OK);
		event.bytes = session_output(h->peers[conn]);
		start = bench_cpu_seconds();
		messages += hub_step(h, &event, true);
		spent += bench_cpu_seconds() - start;
		session_consume(h->peers[conn], session_output(h->peers[conn]).len);
	}
	REQUIRE(messages == (size_t)each * rounds);
	return (double)messages / spent;
}

/* All of it */

static double best(double a, double b)
{
	return a > b ? a : b;
}

static void measure_sessions(struct table *out)
{
	double shaken = 0, raw = 0, large = 0, raw_small = 0, small = 0;
	struct two t;

	bench_identity(&t.ids[0], 1);
	bench_identity(&t.ids[1], 0);
	for (int turn = 0; turn < TURNS; turn++) {
		shaken = best(shaken, handshakes(&t, 200));
		two_open(&t);
		raw = best(raw, raw_bytes_per_s(FRAME_PLAIN, 1500));
		large = best(large, session_bytes(&t, PART, 1500));
		raw_small = best(raw_small, raw_bytes_per_s(1024, 50000));
		small = best(small, session_bytes(&t, 1024, 50000));
		two_close(&t);
	}
	say(out, "handshakes, both ends", shaken, "/s", 0, "");
	say(out, "handshakes, one end", 2 * shaken, "/s", 0, "");
	say(out, "libsodium alone, seal and open 64 KiB", raw * 1e-6, "MB/s", 1, "");
	say(out, "a session, messages of 64 KiB", large * 1e-6, "MB/s", large / raw,
		"at least 0.8");
	say(out, "libsodium alone, seal and open 1 KiB", raw_small * 1e-6, "MB/s", 1, "");
	say(out, "a session, messages of 1 KiB", small * 1e-6, "MB/s", small / raw_small,
		"at least 0.8");
}

static void measure_hub(struct table *out)
{
	static uint8_t data[PART];
	struct message large = {.type = MESSAGE_UPLOAD, .upload.bytes = span_of(data, PART)};
	struct message small = {.type = MESSAGE_COMMITTED};
	double raw = 0, bytes = 0, through = 0;
	struct hub h = {0};

	hub_open(&h);
	for (int turn = 0; turn < TURNS; turn++) {
		raw = best(raw, raw_bytes_per_s(FRAME_PLAIN, 1500));
		bytes = best(bytes, PART * hub_messages(&h, &large, 1500, 1));
		through = best(through, hub_messages(&h, &small, 500, 64));
	}
	hub_close(&h);
	say(out, "messages of 64 KiB through a node's core, without sockets, in and on",
		bytes * 1e-6, "MB/s", bytes / raw, "");
	say(out, "messages of 32 bytes through a node's core, without sockets, in and on", through,
		"/s", 0, "");
}

static bool measure_node(struct table *out, double idle_s)
{
	struct node_cost cost;

	if (!node_cost_measure(&cost, IDLE_SESSIONS, 3, idle_s))
		return false;
	say(out, "messages of 32 bytes answered by a node on loopback, by the clock",
		cost.messages_per_s, "/s", 0, "");
	say(out, "the same, by its own processor time", cost.messages_per_cpu_s, "/s", 0, "");
	say(out, "processor of an idle node with 64 sessions", 100 * cost.idle_cpu, "%", 0,
		"at most 0.2 %");
	say(out, "memory of an idle node with 64 sessions", cost.idle_mib * 1.048576, "MB", 0,
		"at most 20 MB");
	return true;
}

int main(int argc, char **argv)
{
	const char *csv = NULL;
	double idle_s = 60;
	struct table t = {0};

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && strcmp(argv[i], "--csv") == 0)
			csv = argv[i + 1];
		else if (i + 1 < argc && strcmp(argv[i], "--idle") == 0)
			idle_s = strtod(argv[i + 1], NULL);
		else
			return fprintf(stderr, "bench_net [--csv FILE] [--idle SECONDS]\n"), 2;
	}
	if (crypto_start() != TK_OK)
		return 1;
	measure_sessions(&t);
	measure_hub(&t);
	if (!measure_node(&t, idle_s))
		return 1;
	table_print(&t);
	return csv == NULL || table_write(&t, csv) ? 0 : 1;
}
