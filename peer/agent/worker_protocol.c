/* See worker_protocol.h. */
#include "peer/agent/worker_protocol.h"

#include "tasks/base/mpread.h"
#include "tasks/base/pack.h"
#include "tasks/unit/unit.h"

#define HEAD_BYTES 4u
#define JOB_MAX	   UINT64_MAX

static void pack_fields(struct packer *p, const struct worker_message *m)
{
	switch (m->type) {
	case WORKER_RECIPE:
	case WORKER_STATE:
	case WORKER_RESUME:
		pack_array(p, 2);
		pack_u64(p, m->type);
		break;
	case WORKER_SHARD:
		pack_array(p, 3);
		pack_u64(p, m->type);
		pack_digest(p, &m->digest);
		break;
	case WORKER_RUN:
		pack_array(p, 4);
		pack_u64(p, m->type);
		pack_u64(p, m->job);
		pack_span(p, m->unit);
		break;
	case WORKER_CANCEL:
	case WORKER_SAVE:
	case WORKER_SELFTEST:
		pack_array(p, 2);
		pack_u64(p, m->type);
		pack_u64(p, m->job);
		return;
	case WORKER_REPLAY:
		pack_array(p, 7);
		pack_u64(p, m->type);
		pack_u64(p, m->job);
		pack_span(p, m->unit);
		pack_u64(p, m->first);
		pack_u64(p, m->to);
		pack_u64(p, m->keep);
		break;
	case WORKER_CHECKPOINT:
	case WORKER_SELFTESTED:
	case WORKER_TRACE:
	case WORKER_REPLAYED:
		pack_array(p, 3);
		pack_u64(p, m->type);
		pack_u64(p, m->job);
		break;
	case WORKER_PROGRESS:
		pack_array(p, 4);
		pack_u64(p, m->type);
		pack_u64(p, m->job);
		pack_u64(p, m->done);
		pack_u64(p, m->total);
		return;
	case WORKER_RESULT:
		pack_array(p, 4);
		pack_u64(p, m->type);
		pack_u64(p, m->job);
		pack_span(p, m->claim);
		break;
	case WORKER_FAILED:
		pack_array(p, 4);
		pack_u64(p, m->type);
		pack_u64(p, m->job);
		pack_u64(p, (uint64_t) - (int64_t)m->code);
		pack_text(p, m->text);
		return;
	}
	pack_span(p, m->bytes); /* last in all that have it */
}

int worker_message_encode(const struct worker_message *m, struct bytes *out)
{
	static const uint8_t head[HEAD_BYTES];
	size_t before = out->len;
	struct packer p;
	int rc = bytes_append(out, head, sizeof(head));

	if (rc == TK_OK) {
		pack_begin(&p, out);
		pack_fields(&p, m);
		rc = pack_end(&p);
	}
	if (rc != TK_OK) {
		out->len = before;
		return rc;
	}
	store_le32(out->data + before, (uint32_t)(out->len - before - HEAD_BYTES));
	return TK_OK;
}

/* How many elements a message has, its type included; 0: no such type. */
static uint32_t field_count(uint32_t type)
{
	static const uint32_t counts[] = {[WORKER_RECIPE] = 2,
		[WORKER_SHARD] = 3,
		[WORKER_STATE] = 2,
		[WORKER_RESUME] = 2,
		[WORKER_RUN] = 4,
		[WORKER_CANCEL] = 2,
		[WORKER_SAVE] = 2,
		[WORKER_PROGRESS] = 4,
		[WORKER_CHECKPOINT] = 3,
		[WORKER_RESULT] = 4,
		[WORKER_FAILED] = 4,
		[WORKER_SELFTEST] = 2,
		[WORKER_SELFTESTED] = 3,
		[WORKER_TRACE] = 3,
		[WORKER_REPLAY] = 7,
		[WORKER_REPLAYED] = 3};

	return type < sizeof(counts) / sizeof(counts[0]) ? counts[type] : 0;
}

static void read_fields(struct mp_reader *r, struct worker_message *m)
{
	if (m->type >= WORKER_RUN)
		m->job = mp_u64(r, "job", 1, JOB_MAX);
	switch (m->type) {
	case WORKER_RECIPE:
		m->bytes = mp_bin(r, "recipe", RECIPE_BYTES_MAX);
		break;
	case WORKER_SHARD:
		mp_digest(r, "digest", &m->digest);
		m->bytes = mp_bin(r, "shard", SHARD_BYTES);
		break;
	case WORKER_STATE:
		m->bytes = mp_bin(r, "state", BLOB_BYTES_MAX);
		break;
	case WORKER_RESUME:
	case WORKER_CHECKPOINT:
		m->bytes = mp_bin(r, "checkpoint", WORKER_CHECKPOINT_MAX);
		break;
	case WORKER_RUN:
		m->unit = mp_bin(r, "unit", UNIT_BYTES_MAX);
		m->bytes = mp_bin(r, "parameters", PARAMETERS_MAX * 4);
		break;
	case WORKER_CANCEL:
	case WORKER_SAVE:
	case WORKER_SELFTEST:
		break;
	case WORKER_SELFTESTED:
		m->bytes = mp_bin(r, "digests", (size_t)SELFTEST_DIGESTS_MAX * DIGEST_BYTES);
		break;
	case WORKER_TRACE:
		m->bytes = mp_bin(r, "leaves", (size_t)TRACE_LEAVES_MAX * DIGEST_BYTES);
		break;
	case WORKER_REPLAY:
		m->unit = mp_bin(r, "unit", UNIT_BYTES_MAX);
		m->first = mp_u32(r, "first", 0, INNER_STEPS_MAX);
		m->to = mp_u32(r, "to", 1, UINT32_MAX);
		m->keep = mp_u32(r, "keep", 0, INNER_STEPS_MAX);
		m->bytes = mp_bin(r, "parameters", PARAMETERS_MAX * 4);
		break;
	case WORKER_REPLAYED:
		m->bytes = mp_bin(r, "replayed", BLOB_BYTES_MAX);
		break;
	case WORKER_PROGRESS:
		m->done = mp_u32(r, "done", 0, INNER_STEPS_MAX);
		m->total = mp_u32(r, "total", 0, INNER_STEPS_MAX);
		break;
	case WORKER_RESULT:
		m->claim = mp_bin(r, "claim", CLAIM_BYTES_MAX);
		m->bytes = mp_bin(r, "payload", PAYLOAD_BYTES_MAX);
		break;
	case WORKER_FAILED:
		m->code = -(int)mp_u32(r, "code", 1, 255);
		mp_text(r, "text", m->text, sizeof(m->text));
		break;
	}
}

int worker_message_decode(
	struct worker_message *m, struct span in, size_t *used, struct errmsg *msg)
{
	struct worker_message got = {0};
	struct mp_reader r;
	uint32_t length;
	uint32_t count;
	int rc;

	if (in.len < HEAD_BYTES)
		return TK_ENOENT;
	length = load_le32(in.data);
	if (length > WORKER_FRAME_MAX)
		return errmsg_set(msg, TK_ELIMIT, "a frame of %u bytes between agent and worker",
			(unsigned)length);
	if (in.len - HEAD_BYTES < length)
		return TK_ENOENT;
	mp_begin(&r, span_of(in.data + HEAD_BYTES, length));
	count = mp_array(&r, "message", 2, 7);
	got.type = (enum worker_message_type)mp_u32(&r, "type", WORKER_RECIPE, WORKER_REPLAYED);
	if (r.error == TK_OK && count != field_count(got.type))
		return errmsg_set(msg, TK_EPROTO, "a message of type %u with %u fields",
			(unsigned)got.type, (unsigned)count);
	if (r.error == TK_OK)
		read_fields(&r, &got);
	rc = mp_end(&r, msg);
	if (rc != TK_OK)
		return errmsg_prefix(msg, rc, "between agent and worker");
	*m = got;
	*used = HEAD_BYTES + length;
	return TK_OK;
}
