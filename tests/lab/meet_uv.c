/* A node of the overlay and nothing else, for the lab's matrix: it learns how it can be reached, says so, and opens
 * sessions with whom it is told to. It computes nothing and asks for no work; everything under it is what
 * talkoot-peer and the coordinator run.
 *
 *   meet NUMBER PORT [CONTACT...]      NUMBER is its key; 0: the coordinator
 *
 * It listens on PORT and dials each CONTACT, ADDRESS:PORT. Prints lines:
 *   record HEX FLAGS ENDPOINTS RELAYS NAT      what it says of itself, whenever that changes
 *   met NAME WAY MS                            WAY: direct, punched (relayed at first) or relayed (after PATIENCE_MS)
 *   unmet NAME WHY
 * and reads lines:
 *   meet NAME HEX                              HEX: the other's record
 *   mapped ADDRESS:PORT                        a router sends that port to ours */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "peer/overlay/node_uv.h"
#include "peer/overlay/reach.h"

#define TICK_MS	     100
#define PATIENCE_MS  25000
#define MEETINGS_MAX 64
#define ORDER_MAX    2048
#define CONTACTS_MAX 8

struct meeting {
	char name[32];
	conn_id conn;
	uint64_t begun_ms;
	uint64_t up_ms; /* 0: not yet */
	bool relayed;	/* at first */
	bool told;
};

struct contact {
	const char *address;
	conn_id conn;
	bool up;
	uint64_t again_ms;
};

struct meet {
	uv_loop_t loop;
	uv_timer_t tick;
	struct identity id;
	struct node_handler handler;
	struct node_uv *node;
	struct record record; /* as last printed */
	enum reach_nat nat;
	struct meeting meetings[MEETINGS_MAX];
	size_t meeting_count;
	struct contact contacts[CONTACTS_MAX];
	size_t contact_count;
	char line[ORDER_MAX];
	size_t line_bytes;
};

static struct meet lab;

static struct meeting *meeting_of(conn_id conn)
{
	for (size_t i = 0; i < lab.meeting_count; i++)
		if (lab.meetings[i].conn == conn)
			return &lab.meetings[i];
	return NULL;
}

static struct contact *contact_of(conn_id conn)
{
	for (size_t i = 0; i < lab.contact_count; i++)
		if (lab.contacts[i].conn == conn)
			return &lab.contacts[i];
	return NULL;
}

static void tell(struct meeting *m, const char *way)
{
	m->told = true;
	printf("met %s %s %u\n", m->name, way, (unsigned)(uv_now(&lab.loop) - m->begun_ms));
}

static void on_up(void *context, conn_id conn, const struct public_key *key, enum role role)
{
	struct meeting *m = meeting_of(conn);
	struct contact *c = contact_of(conn);

	(void)context, (void)key, (void)role;
	if (c != NULL)
		c->up = true;
	if (m == NULL)
		return;
	m->up_ms = uv_now(&lab.loop);
	m->relayed = node_uv_is_relayed(lab.node, conn);
	if (!m->relayed)
		tell(m, "direct");
}

static void unmet(conn_id conn, const char *why)
{
	struct meeting *m = meeting_of(conn);
	struct contact *c = contact_of(conn);

	if (c != NULL) {
		c->up = false;
		c->conn = 0;
		c->again_ms = uv_now(&lab.loop) + 2000;
	}
	if (m != NULL && !m->told) {
		m->told = true;
		printf("unmet %s %s\n", m->name, why);
	}
}

static void on_down(void *context, conn_id conn, const char *why)
{
	(void)context;
	unmet(conn, why);
}

static void on_dial_failed(void *context, conn_id conn, const char *why)
{
	(void)context;
	unmet(conn, why);
}

static void on_message(void *context, conn_id conn, const struct message *m)
{
	(void)context, (void)conn, (void)m;
}

static void on_log(void *context, const char *line)
{
	(void)context;
	fprintf(stderr, "%s\n", line);
}

static bool same_record(const struct record *a, const struct record *b)
{
	if (a->flags != b->flags || a->endpoint_count != b->endpoint_count ||
		a->relay_count != b->relay_count)
		return false;
	for (uint32_t i = 0; i < a->endpoint_count; i++)
		if (!endpoint_equal(&a->endpoints[i], &b->endpoints[i]))
			return false;
	for (uint32_t i = 0; i < a->relay_count; i++)
		if (!key_equal(&a->relays[i].key, &b->relays[i].key))
			return false;
	return true;
}

static void print_record(struct record r)
{
	static uint64_t sequence;
	char hex[2 * RECORD_BYTES_MAX + 1];
	struct bytes out = {0};

	r.key = lab.id.key.public;
	r.sequence = ++sequence;
	r.expiry_s = (uint64_t)time(NULL) + RECORD_LIFETIME_S;
	if (record_encode(&r, &lab.id.key, &lab.id.network, &out) != TK_OK)
		return;
	hex_encode(hex, out.data, out.len);
	bytes_close(&out);
	printf("record %s %u %u %u %s\n", hex, (unsigned)r.flags, (unsigned)r.endpoint_count,
		(unsigned)r.relay_count, reach_nat_text(lab.nat));
}

/* Says what has changed since the last tick. */
static void report(void)
{
	const struct reach *reach = node_uv_reach(lab.node);
	const struct record *now = reach_record(reach);

	if (!same_record(now, &lab.record) || lab.nat != reach_nat(reach)) {
		lab.record = *now;
		lab.nat = reach_nat(reach);
		print_record(lab.record);
	}
	for (size_t i = 0; i < lab.meeting_count; i++) {
		struct meeting *m = &lab.meetings[i];

		if (m->told || m->up_ms == 0)
			continue;
		if (!node_uv_is_relayed(lab.node, m->conn))
			tell(m, "punched");
		else if (uv_now(&lab.loop) - m->up_ms >= PATIENCE_MS)
			tell(m, "relayed");
	}
}

static void begin_meeting(const char *name, const char *hex)
{
	struct meeting *m = &lab.meetings[lab.meeting_count];
	uint8_t packed[RECORD_BYTES_MAX];
	size_t n = strlen(hex) / 2;
	struct errmsg msg = {{0}};
	struct record r;
	if (lab.meeting_count == MEETINGS_MAX || n > sizeof(packed))
		return;
	if (hex_decode(packed, n, hex) != TK_OK ||
		record_decode(&r, span_of(packed, n), &lab.id.network, (uint64_t)time(NULL),
			&msg) != TK_OK) {
		printf("unmet %s its record is wrong: %s\n", name, msg.text);
		return;
	}
	*m = (struct meeting){.begun_ms = uv_now(&lab.loop)};
	snprintf(m->name, sizeof(m->name), "%s", name);
	if (node_uv_connect(lab.node, &r, &m->conn, &msg) == TK_OK)
		lab.meeting_count++;
	else
		printf("unmet %s %s\n", name, msg.text);
}

static void obey(char *line)
{
	char *word = strtok(line, " ");
	char *first = strtok(NULL, " ");
	char *second = strtok(NULL, " ");
	struct endpoint at;

	if (word == NULL || first == NULL)
		return;
	if (strcmp(word, "meet") == 0 && second != NULL)
		begin_meeting(first, second);
	if (strcmp(word, "mapped") == 0 && endpoint_from_text(&at, first) == TK_OK)
		node_uv_mapped(lab.node, &at);
}

static void listen_to_orders(void)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) == 1) {
		if (c != '\n' && lab.line_bytes < sizeof(lab.line) - 1) {
			lab.line[lab.line_bytes++] = c;
			continue;
		}
		lab.line[lab.line_bytes] = '\0';
		lab.line_bytes = 0;
		obey(lab.line);
	}
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
	for (size_t i = 0; i < lab.contact_count; i++) {
		struct contact *c = &lab.contacts[i];

		if (c->conn == 0 && uv_now(&lab.loop) >= c->again_ms)
			(void)!node_uv_dial(lab.node, c->address, NULL, &c->conn, NULL);
	}
	listen_to_orders();
	report();
}

static void identity_of(struct identity *out, uint8_t number)
{
	uint8_t seed[32], secret[32];
	struct key_pair root;

	memset(seed, 1, sizeof(seed));
	key_from_seed(&root, seed);
	memset(seed, 1 + number, sizeof(seed));
	memset(secret, 101 + number, sizeof(secret));
	identity_init(out, seed, secret, number == 0 ? ROLE_COORDINATOR : ROLE_PEER, &root.public);
}

int main(int argc, char **argv)
{
	struct errmsg msg = {{0}};
	char address[32];
	uint16_t port;

	if (argc < 3 || argc > 3 + CONTACTS_MAX || crypto_start() != TK_OK ||
		uv_loop_init(&lab.loop) != 0) {
		fputs("Usage: meet NUMBER PORT [CONTACT...]\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	identity_of(&lab.id, (uint8_t)strtoul(argv[1], NULL, 10));
	for (int i = 3; i < argc; i++)
		lab.contacts[lab.contact_count++].address = argv[i];
	lab.handler = (struct node_handler){.up = on_up,
		.down = on_down,
		.message = on_message,
		.dial_failed = on_dial_failed,
		.log = on_log};
	lab.node = node_uv_new(&lab.loop, &lab.id, &lab.handler);
	snprintf(address, sizeof(address), "0.0.0.0:%.8s", argv[2]);
	if (lab.node == NULL || node_uv_listen(lab.node, address, &port, &msg) != TK_OK) {
		fprintf(stderr, "meet: %s\n", msg.text);
		return EXIT_FAILURE;
	}
	uv_timer_init(&lab.loop, &lab.tick);
	uv_timer_start(&lab.tick, on_tick, 0, TICK_MS);
	return uv_run(&lab.loop, UV_RUN_DEFAULT);
}
