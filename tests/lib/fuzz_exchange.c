/* The fuzz target of the exchange of blobs (peer/swarm/exchange.h): whatever four hostile peers say, in any order
 * and at any time, beside a coordinator and a peer who are honest (fuzz_fair.h). Whoever asks beyond
 * the end of a blob is left, with a line in the log.
 *
 * An input is a byte for our role and a list of steps: an op (low bits) with a player (high bits), a time, a
 * length, bytes. */
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tests/lib/fuzz_fair.h"
#include "tests/lib/fuzz_targets.h"

#define HEADER	   3u
#define STEPS_MAX  100u
#define SECONDS_OF 200u

static uint8_t take(struct span *in)
{
	uint8_t byte = in->len != 0 ? in->data[0] : 0;

	*in = span_of(in->data + (in->len != 0), in->len - (in->len != 0));
	return byte;
}

static uint64_t odd_number(uint8_t byte, uint64_t total)
{
	static const uint64_t numbers[] = {0, 1, BLOB_PART, BLOB_LEAF, BLOB_PIECE, 4096,
		BLOB_BYTES_MAX, BLOB_BYTES_MAX - 1, UINT64_MAX, 1ull << 32, 65535};
	unsigned i = byte / 2 % 16;

	if (i < sizeof(numbers) / sizeof(numbers[0]))
		return numbers[i];
	return total + i - 13;
}

static void about_part(struct message *m, unsigned which, struct span *in)
{
	static uint8_t spoiled[BLOB_PART_MAX];
	uint8_t how = take(in);
	uint64_t offset = how % 2 * (uint64_t)BLOB_PART;

	fair_part(m, which, offset, BLOB_PART_MAX);
	if ((how & 2) != 0) {
		memcpy(spoiled, m->blob_part.bytes.data, m->blob_part.bytes.len);
		spoiled[take(in)] ^= 1;
		m->blob_part.bytes.data = spoiled;
	}
	if ((how & 4) != 0)
		m->blob_part.total = odd_number(take(in), fair_world.total[which]);
	if ((how & 8) != 0)
		m->blob_part.offset = odd_number(take(in), fair_world.total[which]);
	if ((how & 16) != 0)
		m->blob_part.bytes.len = take(in);
	if ((how & 32) != 0)
		m->blob_part.path_steps = take(in) % (BLOB_PATH_MAX + 1);
}

static void about(struct message *m, const struct fair *f, struct span *in)
{
	static uint8_t pieces[BLOB_PIECES_MAX / 8];
	static struct bytes record;
	uint8_t type = take(in);
	unsigned which = take(in) % FAIR_BLOBS;
	uint64_t total;

	*m = (struct message){.type = MESSAGE_BLOB_GET + type % 7};
	m->blob_get.digest = fair_world.digest[which]; /* it comes first in all of them */
	total = odd_number(take(in), fair_world.total[which]);
	switch (m->type) {
	case MESSAGE_BLOB_GET:
		m->blob_get.offset = total;
		m->blob_get.length = take(in) * 257u + take(in);
		break;
	case MESSAGE_BLOB_PART:
		about_part(m, which, in);
		break;
	case MESSAGE_BLOB_BUSY:
		m->blob_busy.retry_ms = take(in) * 1000u;
		break;
	case MESSAGE_BLOB_HAVE:
		pieces[0] = take(in);
		m->blob_have.total = total;
		total = (total + BLOB_PIECE - 1) / BLOB_PIECE;
		m->blob_have.pieces = span_of(pieces, (total + 7) / 8 % (sizeof(pieces) + 1));
		break;
	case MESSAGE_BLOB_WHO:
		m->blob_who.want = take(in);
		break;
	case MESSAGE_BLOB_SOURCES:
		record.len = 0;
		fair_record(f, take(in) % FAIR_HOSTILE, &record);
		m->blob_sources.count = take(in) % 3;
		m->blob_sources.records[0] = m->blob_sources.records[1] = bytes_span(&record);
		break;
	default:
		break;
	}
}

static bool asks_beyond(const struct message *m)
{
	return m->type == MESSAGE_BLOB_GET &&
	       digest_equal(&m->blob_get.digest, &fair_world.digest[FAIR_HELD]) &&
	       m->blob_get.offset >= FAIR_HELD_BYTES;
}

/* Only what a decoder lets through reaches the exchange. */
static void hear(struct fair *f, struct hostile *h, const struct message *said)
{
	struct bytes encoded = {0};
	uint64_t lines = f->lines;
	struct message m;
	conn_id conn = h->conn;

	if (conn == 0 || h->dialled)
		return;
	REQUIRE(message_encode(said, &encoded) == TK_OK);
	if (message_decode(&m, bytes_span(&encoded), NULL) == TK_OK) {
		(void)exchange_message(f->x, conn, &m);
		REQUIRE(!asks_beyond(&m) || (h->conn == 0 && f->lines > lines));
	}
	bytes_close(&encoded);
}

static void hear_raw(struct fair *f, struct hostile *h, struct span in)
{
	struct message m;

	if (h->conn != 0 && !h->dialled && message_decode(&m, in, NULL) == TK_OK)
		(void)exchange_message(f->x, h->conn, &m);
}

static void down(struct fair *f, struct hostile *h)
{
	conn_id conn = h->conn;

	h->conn = 0;
	if (conn != 0 && h->dialled)
		exchange_dial_failed(f->x, conn);
	else if (conn != 0)
		exchange_down(f->x, conn);
	h->dialled = false;
}

static void stall(struct fair *f, struct hostile *h, struct span in)
{
	h->stalled = (take(&in) & 1) != 0;
	if (h->conn != 0 && !h->stalled)
		exchange_writable(f->x, h->conn);
}

static void ours(struct fair *f, struct span in)
{
	struct digest *nodes;

	switch (take(&in) % 8) {
	case 0:
		exchange_want(f->x, &fair_world.digest[FAIR_NOBODYS], &fair_world.store, 0,
			BLOB_BYTES_MAX, EXCHANGE_OPEN);
		break;
	case 1:
		exchange_forget(f->x, &fair_world.digest[FAIR_NOBODYS]);
		break;
	case 2:
		exchange_absent(f->x, &fair_world.digest[FAIR_NOBODYS]);
		break;
	case 3: /* though its file is not there */
		nodes = mem_dup(
			fair_world.nodes[FAIR_NOBODYS], sizeof(fair_world.nodes[FAIR_NOBODYS]));
		REQUIRE(nodes != NULL);
		exchange_hold(f->x, &fair_world.digest[FAIR_NOBODYS], &fair_world.store,
			fair_world.total[FAIR_NOBODYS], nodes, NULL,
			(enum exchange_share)(take(&in) % 3));
		break;
	case 4:
		if (!f->complete)
			exchange_make_room(f->x, take(&in) * 1000u);
		break;
	case 5:
		exchange_used(f->x, &fair_world.digest[FAIR_WANTED]);
		break;
	default:
		f->busy = (take(&in) & 1) != 0;
		f->names_hostile = (take(&in) & 1) != 0;
		break;
	}
}

static void act(struct fair *f, unsigned op, struct hostile *h, struct span in)
{
	struct message m;

	fair_now(f);
	switch (op) {
	case 7:
		hear_raw(f, h, in);
		break;
	case 8:
	case 14:
		fair_up(f, h);
		break;
	case 9:
		down(f, h);
		break;
	case 11:
		stall(f, h, in);
		break;
	case 12:
		ours(f, in);
		break;
	default:
		about(&m, f, &in);
		hear(f, h, &m);
		break;
	}
	fair_pump(f);
}

void fuzz_exchange(struct span in)
{
	static struct fair fair;
	struct fair *f = &fair;

	if (in.len == 0)
		return;
	fair_open(f, in.data[0]);
	in = span_of(in.data + 1, in.len - 1);
	for (unsigned steps = 0; steps < STEPS_MAX && in.len >= HEADER; steps++) {
		uint8_t op = in.data[0], time = in.data[1];
		size_t n = in.data[2];

		in = span_of(in.data + HEADER, in.len - HEADER);
		if (n > in.len)
			n = in.len;
		if (time != 0)
			fair_pass(f, time < SECONDS_OF ? time : (time - SECONDS_OF + 1) * 1000u);
		act(f, op % 16, &f->hostile[op / 16 % FAIR_HOSTILE], span_of(in.data, n));
		in = span_of(in.data + n, in.len - n);
	}
	fair_close(f);
}

/* A life in our two roles: lies, floods, and a hostile source that the coordinator names. */
bool fuzz_exchange_seed(unsigned which, struct bytes *out)
{
	static const uint8_t steps[] = {
		12, 0, 3, 6, 1, 1, /* the coordinator is busy, and names hostile ones */
		0, 5, 5, 0, FAIR_HELD, 0, 255, 255,   /* GET */
		16, 5, 5, 5, FAIR_HELD, 26, 1, 0,     /* HAVE */
		0, 5, 4, 6, FAIR_HELD, 0, 2,	      /* WHO */
		16, 200, 5, 5, FAIR_WANTED, 26, 1, 0, /* HAVE */
		40, 203, 0,			      /* up */
		32, 3, 5, 1, FAIR_WANTED, 0, 0, 0,    /* PART */
		32, 3, 5, 1, FAIR_WANTED, 0, 2, 9,    /* PART, spoiled */
		48, 3, 4, 2, FAIR_WANTED, 0, 0,	      /* MISSING */
		27, 1, 1, 1,			      /* stalls */
		16, 5, 5, 0, FAIR_HELD, 4, 255, 255,  /* GET */
		12, 5, 1, 0,			      /* we want what nobody has */
		16, 5, 4, 3, FAIR_NOBODYS, 0, 3,      /* BUSY */
		12, 5, 1, 3, 12, 5, 1, 2,	      /* we hold it; it is absent */
		0, 5, 5, 0, FAIR_NOBODYS, 0, 9, 9,    /* GET */
		25, 5, 0, 24, 5, 0,		      /* down, up */
		12, 5, 2, 4, 1,			      /* room is made */
		0, 5, 5, 0, FAIR_HELD, 26, 1, 1,      /* GET beyond the end */
		0, 5, 6, 6, FAIR_WANTED, 0, 4, 2, 0,  /* SOURCES */
		7, 200, 5, 0x93, 1, 2, 3, 4,	      /* anything */
	};
	static const uint8_t roles[] = {0, 1, 2, 4, 9, 10};
	uint8_t role = roles[which % 6];

	return which < 6 && bytes_append(out, &role, 1) == TK_OK &&
	       bytes_append(out, steps, sizeof(steps)) == TK_OK;
}
