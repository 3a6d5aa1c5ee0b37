/* The canonical payload's way in: one holder is asked, its parts must come in order, the whole must
 * have the claimed digest. Whoever fails has not opened what he committed to, and the next is
 * asked.
 *
 * Memory: a payload's buffer grows as its bytes arrive; all payloads that are arriving together may
 * claim UPLOAD_BUFFER_MAX bytes (one alone may be longer), and further units wait for a
 * later tick. */
#include "coordinator/core_state.h"
#include "tasks/base/require.h"
#include "tasks/unit/payload.h"

static bool holds(const struct core_unit *u, const struct core_replica *r)
{
	if (r->row.state != REPLICA_REVEALED || r->peer->row.retired)
		return false;
	return u->row.state != UNIT_UPLOADING || digest_equal(&r->row.result, &u->row.result);
}

/* Who can be asked for the payload: somebody connected, else somebody who may yet come back. For a
 * unit on whose result all who revealed agree. */
struct core_replica *upload_holder(const struct core *c, const struct core_unit *u)
{
	struct core_replica *away = NULL;

	for (struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		if (!holds(u, r))
			continue;
		if (r->peer->conn != 0)
			return r;
		if (!peer_gone(c, r->peer, COMMIT_AWAY_MS))
			away = r;
	}
	return away;
}

static void request(struct core *c, struct core_replica *r)
{
	struct message_upload_request *m =
		&say(c, r->peer, MESSAGE_UPLOAD_REQUEST, NULL)->upload_request;

	m->nonce = r->row.nonce;
	m->offset = r->unit->payload.len;
	r->told = r->peer->conn;
	r->heard_ms = c->now_ms;
}

void upload_seek(struct core *c, struct core_unit *u)
{
	uint64_t bytes = u->project->payload_bytes;
	struct core_replica *r;

	if (u->uploader != NULL)
		return;
	r = upload_holder(c, u);
	if (r == NULL || r->peer->conn == 0)
		return;
	if (c->uploading_bytes != 0 && c->uploading_bytes + bytes > UPLOAD_BUFFER_MAX)
		return;
	c->uploading_bytes += bytes;
	u->payload_reserved = bytes;
	r->row.deadline_ms = c->now_ms + UPLOAD_MS + bytes * 1000 / UPLOAD_RATE_MIN;
	replica_move(c, r, REPLICA_UPLOADING);
	u->uploader = r;
	request(c, r);
}

void upload_close(struct core *c, struct core_unit *u)
{
	c->uploading_bytes -= u->payload_reserved;
	u->payload_reserved = 0;
	u->uploader = NULL;
	bytes_close(&u->payload);
}

void upload_release(struct core *c, struct core_unit *u)
{
	struct core_replica *r = u->uploader;

	if (r == NULL)
		return;
	upload_close(c, u);
	r->row.deadline_ms = 0;
	replica_move(c, r, REPLICA_REVEALED);
}

void upload_fail(struct core *c, struct core_unit *u, const char *why)
{
	struct core_replica *r = u->uploader;

	REQUIRE(r != NULL);
	upload_close(c, u);
	replica_reject(c, r, REPLICA_UNOPENED, why);
}

/* The peer reconnected in the middle: it goes on where the bytes ended, unless it was
 * told already. */
void upload_again(struct core *c, struct core_replica *r)
{
	if (r->told != r->peer->conn)
		request(c, r);
}

/* All bytes are here. */
static void upload_judge(struct core *c, struct core_unit *u)
{
	struct core_replica *r = u->uploader;
	struct claim claim;
	struct digest digest;
	struct errmsg msg = {""};
	struct bytes payload;

	if (claim_decode(&claim, span_of(u->row.claim, u->row.claim_bytes), NULL) != TK_OK)
		REQUIRE(!"a unit's claim was checked when it was set");
	digest_blob(&digest, u->payload.data, u->payload.len);
	if (!digest_equal(&digest, &claim.payload)) {
		upload_fail(c, u, "the payload differs from its claimed digest");
		return;
	}
	if (result_check(&u->project->recipe, &claim, bytes_span(&u->payload), &msg) != TK_OK) {
		/* Everybody claims it and it can't be: only recomputing tells what is right. */
		core_log(c, "unit %u of round %u of %s: %.150s", u->row.index + 1, u->row.round + 1,
			u->project->row.name, msg.text);
		audit_open(c, u, "has an impossible payload");
		return;
	}
	payload = u->payload;
	u->payload = (struct bytes){0};
	upload_release(c, u);
	blob_store(c, &digest, &payload);
	say(c, r->peer, MESSAGE_UPLOADED, NULL)->uploaded.nonce = r->row.nonce;
	unit_settle(c, u);
}

void upload_take(struct core *c, struct core_peer *peer, const struct message_upload *m)
{
	struct core_replica *r = replica_find(c, &m->nonce);
	struct core_unit *u;

	if (r == NULL || r->peer != peer || r->row.state != REPLICA_UPLOADING)
		return; /* parts on their way when we had turned to another holder */
	u = r->unit;
	r->heard_ms = c->now_ms;
	REQUIRE(u->uploader == r);
	if (m->offset != u->payload.len || m->bytes.len == 0 ||
		m->bytes.len > u->project->payload_bytes - u->payload.len) {
		upload_fail(c, u, "the payload came out of order or is too long");
		peer_protocol(c, peer, "an UPLOAD is out of order or too long");
		return;
	}
	if (bytes_append(&u->payload, m->bytes.data, m->bytes.len) != TK_OK)
		c->error = TK_ENOMEM;
	else if (u->payload.len == u->project->payload_bytes)
		upload_judge(c, u);
}
