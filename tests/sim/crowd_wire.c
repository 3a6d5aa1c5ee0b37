/* What the coordinator's words take on the wire: real messages, encoded, with frames around them; see PROTOCOL.md. */
#include "tasks/base/mem.h"
#include "tests/sim/crowd_state.h"

#include "peer/wire/record.h"

#define FRAME_TEXT  65518u /* of a message in one frame, and around it: */
#define FRAME_BYTES (2 + 16 + 1)
/* What a responder sends before the session is open: preamble, `e, ee, s, es` and an identity with certificate. */
#define HANDSHAKE_BYTES (17 + 2 + 32 + 48 + 230 + 16)

static uint32_t framed(uint32_t bytes)
{
	return bytes + ((bytes - 1) / FRAME_TEXT + 1) * FRAME_BYTES;
}

static uint32_t length_of(const struct crowd *c, const struct message *m)
{
	struct bytes encoded = {0};
	uint32_t length;

	CROWD_CHECK(c, message_encode(m, &encoded) == TK_OK);
	length = (uint32_t)encoded.len;
	bytes_close(&encoded);
	return length;
}

/* A record as most have it: an address, or two relays. */
static void record_make(struct crowd *c, struct bytes *out)
{
	static const uint8_t seed[32] = {1};
	struct record r = {.sequence = 1800000000,
		.expiry_s = 1800007200,
		.relay_count = 2,
		.endpoint_count = 1};
	struct public_key network = {{7}};
	struct key_pair pair;

	key_from_seed(&pair, seed);
	r.key = r.relays[0].key = r.relays[1].key = pair.public;
	r.endpoints[0] = r.relays[0].at = r.relays[1].at =
		(struct endpoint){.family = 4, .ip = {192, 0, 2, 1}, .port = 7332};
	CROWD_CHECK(c, record_encode(&r, &pair, &network, out) == TK_OK);
}

void crowd_wire_measure(struct crowd *c)
{
	static uint8_t pieces[BLOB_PIECES_MAX / 8], part[BLOB_PART_MAX];
	uint64_t leaves = (c->config.bytes - 1) / BLOB_PART_MAX + 1;
	struct crowd_wire *w = &c->wire;
	struct message m = {.type = MESSAGE_BLOB_SOURCES, .blob_sources.count = 1};
	struct bytes record = {0};

	w->sources = framed(length_of(c, &(struct message){.type = MESSAGE_BLOB_SOURCES}));
	record_make(c, &record);
	m.blob_sources.records[0] = bytes_span(&record);
	w->record = framed(length_of(c, &m)) - w->sources;
	bytes_close(&record);
	m = (struct message){.type = MESSAGE_BLOB_BUSY, .blob_busy.retry_ms = 15000};
	w->busy = framed(length_of(c, &m));
	w->missing = framed(length_of(c, &(struct message){.type = MESSAGE_BLOB_MISSING}));
	m = (struct message){.type = MESSAGE_BLOB_HAVE, .blob_have.total = c->config.bytes};
	m.blob_have.pieces = span_of(
		pieces, (size_t)(((c->config.bytes + BLOB_PIECE - 1) / BLOB_PIECE + 7) / 8));
	w->have = framed(length_of(c, &m));
	m = (struct message){.type = MESSAGE_BLOB_PART, .blob_part.total = c->config.bytes};
	m.blob_part.bytes = span_of(part, BLOB_PART_MAX);
	m.blob_part.total = leaves * BLOB_PART_MAX;
	while (1ull << m.blob_part.path_steps < leaves)
		m.blob_part.path_steps++;
	w->part = framed(length_of(c, &m));
	m = (struct message){.type = MESSAGE_GOODBYE, .goodbye.reason = GOODBYE_OVERLOAD};
	w->goodbye = framed(length_of(c, &m) + 60);
	m = (struct message){.type = MESSAGE_OBSERVED};
	m.observed.from = (struct endpoint){.family = 6, .ip = {32, 1}, .port = 7332};
	w->handshake = HANDSHAKE_BYTES + framed(length_of(c, &m));
}

uint32_t crowd_wire_bytes(const struct crowd *c, const struct swarm_message *m)
{
	switch (m->type) {
	case MESSAGE_BLOB_SOURCES:
		return c->wire.sources + m->count * c->wire.record;
	case MESSAGE_BLOB_BUSY:
		return c->wire.busy;
	case MESSAGE_BLOB_HAVE:
		return c->wire.have;
	case MESSAGE_BLOB_MISSING:
		return c->wire.missing;
	case MESSAGE_BLOB_PART:
		return 0; /* flows */
	default:
		crowd_broken(c, "the coordinator asks for something");
	}
}

double crowd_wire_pieces(const struct crowd *c, uint64_t bytes)
{
	return (double)bytes / BLOB_PART_MAX * c->wire.part;
}
