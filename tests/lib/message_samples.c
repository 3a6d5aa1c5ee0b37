/* See message_samples.h. */
#include "tests/lib/message_samples.h"

#include <string.h>

uint8_t message_filler[BLOB_PART_MAX + DIGEST_BYTES];

struct digest message_digest(uint8_t b)
{
	struct digest d;

	memset(d.b, b, sizeof(d.b));
	return d;
}

static struct signature signature_of(uint8_t b)
{
	struct signature s;

	memset(s.b, b, sizeof(s.b));
	return s;
}

void message_text(char *out, size_t size)
{
	memset(out, 'x', size - 1);
	out[size - 1] = '\0';
}

static uint32_t fill_records(struct span *records, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		records[i] = span_of(message_filler, RECORD_BYTES_MAX);
	return count;
}

static struct endpoint endpoint_of(bool largest)
{
	struct endpoint e = {.family = largest ? 6 : 4, .ip = {1}, .port = largest ? 65535 : 1};

	return e;
}

static void fill_gossip(struct message *m, bool largest)
{
	struct span record = span_of(message_filler, largest ? RECORD_BYTES_MAX : 0);
	uint32_t ttl = largest ? GOSSIP_TTL_MAX : 0;

	switch (m->type) {
	case MESSAGE_JOIN:
		m->join.record = record;
		break;
	case MESSAGE_FORWARD_JOIN:
		m->forward_join = (struct message_forward_join){record, ttl};
		break;
	case MESSAGE_NEIGHBOR:
		m->neighbor = (struct message_neighbor){record, largest};
		break;
	case MESSAGE_NEIGHBOR_REPLY:
		m->neighbor_reply.accepted = largest;
		break;
	case MESSAGE_DISCONNECT:
		m->disconnect.leaving = largest;
		break;
	case MESSAGE_SHUFFLE:
		m->shuffle.origin = record;
		m->shuffle.ttl = ttl;
		m->shuffle.count = fill_records(m->shuffle.records, largest ? SHUFFLE_MAX : 0);
		break;
	case MESSAGE_SHUFFLE_REPLY:
		m->shuffle_reply.count =
			fill_records(m->shuffle_reply.records, largest ? SHUFFLE_MAX : 0);
		break;
	case MESSAGE_BROADCAST:
		m->broadcast = (struct message_broadcast){largest ? GOSSIP_HOPS_MAX : 0,
			span_of(message_filler, largest ? ANNOUNCEMENT_MAX : 0), signature_of(5)};
		break;
	case MESSAGE_IHAVE:
		m->ihave.count = largest ? GOSSIP_IDS_MAX : 1;
		for (uint32_t i = 0; i < m->ihave.count; i++)
			m->ihave.hops[i] = largest ? GOSSIP_HOPS_MAX : 0;
		break;
	case MESSAGE_GRAFT:
		m->graft.count = largest ? GOSSIP_IDS_MAX : 0;
		break;
	case MESSAGE_HEADS:
		m->heads.count = largest ? GOSSIP_TOPICS_MAX : 0;
		for (uint32_t i = 0; i < m->heads.count; i++)
			m->heads.heads[i] = (struct topic_head){
				ANNOUNCEMENT_KIND_LAST, message_digest(9), UINT64_MAX};
		break;
	case MESSAGE_PULL:
		m->pull.kind = largest ? ANNOUNCEMENT_KIND_LAST : 1;
		break;
	default:
		break;
	}
}

static void fill_reach(struct message *m, bool largest)
{
	uint64_t u64 = largest ? UINT64_MAX : 0;
	uint32_t u32 = largest ? UINT32_MAX : 0;
	uint32_t status = largest ? RELAY_STATUS_LAST : 1;

	switch (m->type) {
	case MESSAGE_OBSERVED:
		m->observed.from = endpoint_of(largest);
		break;
	case MESSAGE_HOST_CERTIFICATE:
		m->host_certificate = (struct message_host_certificate){u64, signature_of(11)};
		break;
	case MESSAGE_DIAL_BACK:
		m->dial_back = (struct message_dial_back){u64, endpoint_of(largest)};
		break;
	case MESSAGE_DIALLED_BACK:
		m->dialled_back.nonce = u64;
		m->dialled_back.reachable = largest;
		if (largest)
			message_text(m->dialled_back.text, TEXT_MAX);
		break;
	case MESSAGE_RELAY_RESERVE:
		m->relay_reserve.wanted = largest;
		break;
	case MESSAGE_RELAY_RESERVED:
		m->relay_reserved = (struct message_relay_reserved){status, u32, u64};
		break;
	case MESSAGE_RELAY_OPEN:
		m->relay_open.circuit = u32;
		break;
	case MESSAGE_RELAY_OPENED:
		m->relay_opened = (struct message_relay_opened){u32, status};
		break;
	case MESSAGE_RELAY_INCOMING:
		m->relay_incoming.circuit = u32;
		break;
	case MESSAGE_RELAY_DATA:
		m->relay_data = (struct message_relay_data){
			u32, span_of(message_filler, largest ? RELAY_DATA_MAX : 1)};
		break;
	case MESSAGE_RELAY_CLOSE:
		m->relay_close = (struct message_relay_close){u32, status};
		break;
	case MESSAGE_PUNCH:
		m->punch.nonce = u64;
		m->punch.count = largest ? PUNCH_ADDRESSES_MAX : 1;
		for (uint32_t i = 0; i < m->punch.count; i++)
			m->punch.at[i] = endpoint_of(largest);
		break;
	case MESSAGE_PUNCH_GO:
		m->punch_go.nonce = u64;
		break;
	case MESSAGE_RELAY_CREDIT:
		m->relay_credit = (struct message_relay_credit){u32, largest ? RELAY_WINDOW : 1};
		break;
	case MESSAGE_MOVED:
		m->moved.step = largest ? MOVED_STEP_LAST : 1;
		break;
	default:
		break;
	}
}

void fill_message(struct message *m, enum message_type type, bool largest)
{
	struct digest d = message_digest(largest ? 0xff : 0);
	uint64_t u64 = largest ? UINT64_MAX : 0;
	uint32_t u32 = largest ? UINT32_MAX : 0;

	*m = (struct message){.type = type};
	switch (type) {
	case MESSAGE_PING:
		m->ping.token = u64;
		break;
	case MESSAGE_PONG:
		m->pong.token = u64;
		break;
	case MESSAGE_GOODBYE:
		m->goodbye.reason = largest ? GOODBYE_REASON_LAST : 1;
		if (largest)
			message_text(m->goodbye.text, TEXT_MAX);
		break;
	case MESSAGE_BLOB_GET:
		m->blob_get = (struct message_blob_get){
			d, largest ? BLOB_BYTES_MAX : 0, largest ? BLOB_PART_MAX : 1};
		break;
	case MESSAGE_BLOB_PART:
		m->blob_part = (struct message_blob_part){d, largest ? BLOB_BYTES_MAX : 0,
			largest ? BLOB_BYTES_MAX - BLOB_PART_MAX : 0,
			span_of(message_filler, largest ? BLOB_PART_MAX : 0),
			largest ? BLOB_PATH_MAX : 0, {{{0}}}};
		break;
	case MESSAGE_BLOB_BUSY:
		m->blob_busy = (struct message_blob_busy){d, u32};
		break;
	case MESSAGE_BLOB_HAVE:
		m->blob_have = (struct message_blob_have){d, largest ? BLOB_BYTES_MAX : 0,
			span_of(message_filler, largest ? BLOB_PIECES_MAX / 8 : 0)};
		break;
	case MESSAGE_BLOB_WHO:
		m->blob_who = (struct message_blob_who){d, largest ? BLOB_SOURCES_MAX : 1};
		break;
	case MESSAGE_BLOB_SOURCES:
		m->blob_sources.digest = d;
		m->blob_sources.count =
			fill_records(m->blob_sources.records, largest ? BLOB_SOURCES_MAX : 0);
		break;
	case MESSAGE_BLOB_MISSING:
		m->blob_missing.digest = d;
		break;
	case MESSAGE_WORK_REQUEST:
		m->work_request.slots = largest ? 16 : 1;
		if (largest) {
			message_text(m->work_request.engine, sizeof(m->work_request.engine));
			memset(m->work_request.team, 'z', TEAM_MAX - 1);
		}
		break;
	case MESSAGE_NO_WORK:
		m->no_work.reason = largest ? NO_WORK_REASON_LAST : 1;
		m->no_work.retry_ms = u32;
		if (largest)
			message_text(m->no_work.text, TEXT_MAX);
		break;
	case MESSAGE_LEASE:
		m->lease.nonce = d;
		m->lease.deadline_ms = u32;
		m->lease.manifest = span_of(message_filler, largest ? ROUND_BYTES_MAX : 0);
		m->lease.signature = signature_of(7);
		m->lease.unit = span_of(message_filler, largest ? UNIT_BYTES_MAX : 0);
		m->lease.path_steps = largest ? MERKLE_STEPS_MAX : 0;
		for (uint32_t i = 0; i < m->lease.path_steps; i++)
			m->lease.path[i] = message_digest((uint8_t)i);
		break;
	case MESSAGE_TRACE_REQUEST:
		m->trace_request =
			(struct message_trace_request){d, largest ? TRACE_LEAVES_MAX : 0};
		break;
	case MESSAGE_TRACE:
		m->trace = (struct message_trace){d, largest ? TRACE_LEAVES_MAX : 2,
			largest ? TRACE_LEAVES_MAX - TRACE_PART_MAX : 0,
			span_of(message_filler, DIGEST_BYTES * (largest ? TRACE_PART_MAX : 1))};
		break;
	case MESSAGE_SEGMENT_REQUEST:
		m->segment_request =
			(struct message_segment_request){d, largest ? TRACE_LEAVES_MAX : 0};
		break;
	case MESSAGE_SEGMENT:
		m->segment = (struct message_segment){d, largest ? TRACE_LEAVES_MAX : 0,
			largest ? TRACE_LEAVES_MAX : 1,
			largest ? TRACE_LEAVES_MAX - TRACE_PART_MAX : 0,
			span_of(message_filler, DIGEST_BYTES * (largest ? TRACE_PART_MAX : 1)),
			signature_of(9)};
		break;
	case MESSAGE_STATE_REQUEST:
		m->state_request = (struct message_state_request){
			d, largest ? INNER_STEPS_MAX : 0, largest ? BLOB_BYTES_MAX : 0};
		break;
	case MESSAGE_STATE:
		m->state = (struct message_state){d, largest ? INNER_STEPS_MAX : 0,
			largest ? BLOB_BYTES_MAX : 1, largest ? BLOB_BYTES_MAX - BLOB_PART_MAX : 0,
			span_of(message_filler, largest ? BLOB_PART_MAX : 1)};
		break;
	case MESSAGE_SELFTEST_REQUEST:
		m->selftest_request.seed = largest ? UINT64_MAX : 1;
		break;
	case MESSAGE_SELFTEST:
		m->selftest = (struct message_selftest){.seed = largest ? UINT64_MAX : 1,
			.signature = signature_of(9),
			.digests = span_of(message_filler,
				DIGEST_BYTES * (largest ? SELFTEST_DIGESTS_MAX : 1))};
		if (largest) {
			message_text(m->selftest.engine, sizeof(m->selftest.engine));
			message_text(m->selftest.build, sizeof(m->selftest.build));
		}
		break;
	case MESSAGE_COMMIT:
		m->commit = (struct message_commit){d, message_digest(3), signature_of(9)};
		break;
	case MESSAGE_COMMITTED:
		m->committed.nonce = d;
		break;
	case MESSAGE_REVEAL_REQUEST:
		m->reveal_request.nonce = d;
		break;
	case MESSAGE_REVEAL:
		m->reveal = (struct message_reveal){d, message_digest(4),
			span_of(message_filler, largest ? CLAIM_BYTES_MAX : 0)};
		break;
	case MESSAGE_UPLOAD_REQUEST:
		m->upload_request =
			(struct message_upload_request){d, largest ? PAYLOAD_BYTES_MAX : 0};
		break;
	case MESSAGE_UPLOAD:
		m->upload =
			(struct message_upload){d, largest ? PAYLOAD_BYTES_MAX - BLOB_PART_MAX : 0,
				span_of(message_filler, largest ? BLOB_PART_MAX : 1)};
		break;
	case MESSAGE_UPLOADED:
		m->uploaded.nonce = d;
		break;
	case MESSAGE_SETTLED:
		m->settled.nonce = d;
		m->settled.verdict = largest ? VERDICT_LAST : 1;
		m->settled.credit_flops = u64;
		if (largest)
			message_text(m->settled.text, TEXT_MAX);
		break;
	case MESSAGE_ABANDON:
		m->abandon.nonce = d;
		if (largest)
			message_text(m->abandon.text, TEXT_MAX);
		break;
	default:
		fill_gossip(m, largest);
		fill_reach(m, largest);
		break;
	}
}
