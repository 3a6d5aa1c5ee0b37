/* See checkpoint.h; writes what run.h's run_checkpoint promises. */
#include "tasks/unit/checkpoint.h"

#include <string.h>

#define CHECKPOINT_FORMAT 1u
#define MAGIC_BYTES	  8u
#define HEAD_BYTES	  (MAGIC_BYTES + DIGEST_BYTES + 4u)

static const char magic[6] = "TKUNIT";

uint64_t checkpoint_bytes(const struct train_spec *t, uint64_t arrays, uint64_t n, uint32_t steps)
{
	return HEAD_BYTES + DIGEST_BYTES * (uint64_t)(trace_leaves(t, steps) - 1) +
	       4 * (arrays * n + steps) + DIGEST_BYTES;
}

static void write_head(const struct running *run, uint8_t out[HEAD_BYTES])
{
	memcpy(out, magic, sizeof(magic));
	store_le16(out + sizeof(magic), CHECKPOINT_FORMAT);
	memcpy(out + MAGIC_BYTES, run->header.b, DIGEST_BYTES);
	store_le32(out + MAGIC_BYTES + DIGEST_BYTES, run->done);
}

/* Bytes of the run's checkpoint when `steps` steps are done. */
static uint64_t whole_bytes(const struct running *run, uint32_t steps)
{
	return checkpoint_bytes(
		&run->recipe->train, run->array_count, run->model.parameters, steps);
}

int run_checkpoint(const struct running *run, struct bytes *out)
{
	size_t leaves = DIGEST_BYTES * (size_t)(trace_leaves(&run->recipe->train, run->done) - 1);
	size_t size = whole_bytes(run, run->done);
	struct digest digest;
	uint8_t *begin, *p;
	int rc = bytes_reserve(out, size);

	if (rc != TK_OK)
		return rc;
	begin = out->data + out->len;
	write_head(run, begin);
	p = begin + HEAD_BYTES;
	memcpy(p, run->leaves + 1, leaves);
	p += leaves;
	running_state_store(run, p);
	p += running_state_bytes(run, run->done);
	digest = running_digest(run, span_of(begin, size - DIGEST_BYTES));
	if (compute_stopped(run->compute))
		return TK_ECANCELED;
	memcpy(p, digest.b, DIGEST_BYTES);
	out->len += size;
	return TK_OK;
}

/* The steps that these bytes have done; 0: they are no checkpoint of this unit. */
static uint32_t steps_of(const struct running *run, struct span in)
{
	uint8_t head[HEAD_BYTES];
	struct digest digest;
	uint32_t steps;

	if (in.len < HEAD_BYTES + DIGEST_BYTES)
		return 0;
	write_head(run, head);
	steps = load_le32(in.data + MAGIC_BYTES + DIGEST_BYTES);
	if (memcmp(head, in.data, MAGIC_BYTES + DIGEST_BYTES) != 0 || steps < 1 ||
		steps > run->recipe->train.inner_steps || in.len != whole_bytes(run, steps))
		return 0;
	digest = running_digest(run, span_of(in.data, in.len - DIGEST_BYTES));
	return memcmp(digest.b, in.data + in.len - DIGEST_BYTES, DIGEST_BYTES) == 0 ? steps : 0;
}

int checkpoint_resume(struct running *run, struct span in, struct errmsg *msg)
{
	const uint8_t *p = in.data + HEAD_BYTES;
	uint32_t steps = steps_of(run, in);
	size_t leaves;

	if (steps == 0)
		return errmsg_set(msg, TK_ECORRUPT,
			"the checkpoint is torn, or not of this unit: start anew");
	leaves = DIGEST_BYTES * (size_t)(trace_leaves(&run->recipe->train, steps) - 1);
	memcpy(run->leaves + 1, p, leaves);
	running_state_load(run, steps, p + leaves);
	return TK_OK;
}
