/* What the application asks of the node's shell; see node_uv.h. */
#include <uv.h>

#include "peer/overlay/address.h"
#include "peer/overlay/node_uv_state.h"

/* Is there room for one more connection? *conn gets its number. */
static int dial_begin(struct node_uv *n, conn_id *conn, struct errmsg *msg)
{
	if (n->closing)
		return errmsg_set(msg, TK_ECANCELED, "the node is closing");
	*conn = conn_new(n);
	return *conn != 0 ? TK_OK : errmsg_set(msg, TK_ELIMIT, "too many connections are open");
}

int node_uv_dial(struct node_uv *n, const char *address, const struct public_key *expect,
	conn_id *conn, struct errmsg *msg)
{
	struct address a;
	struct channel *c = NULL;
	conn_id id = 0;
	int rc = address_split(&a, address, msg);

	if (rc == TK_OK && a.port == 0)
		rc = errmsg_set(msg, TK_EINVAL, "cannot dial %s: port 0 is none", address);
	if (rc == TK_OK)
		rc = dial_begin(n, &id, msg);
	if (rc == TK_OK)
		rc = channel_dial(&c, &n->host, id, &a, msg);
	if (rc != TK_OK)
		return rc;
	channel_keep(n, c);
	c->expects = expect != NULL;
	if (expect != NULL)
		c->expect = *expect;
	*conn = id;
	return TK_OK;
}

int node_uv_dial_link(struct node_uv *n, const char *address, const struct public_key *network,
	conn_id *conn, struct errmsg *msg)
{
	int rc = node_uv_dial(n, address, network, conn, msg);

	if (rc == TK_OK)
		channel_find(n, *conn)->hosts = true;
	return rc;
}

int node_uv_connect(
	struct node_uv *n, const struct record *record, conn_id *conn, struct errmsg *msg)
{
	int rc;

	if (record->endpoint_count + record->relay_count == 0)
		return errmsg_set(msg, TK_ENOENT, "the peer's record names no address");
	if (n->closing)
		return errmsg_set(msg, TK_ECANCELED, "the node is closing");
	rc = ways_connect(n->ways, uv_now(n->loop), record, conn, &n->queue);
	drain_later(n);
	return rc == TK_OK ? rc : errmsg_set(msg, rc, "cannot dial: %s", error_text(rc));
}

int node_uv_gossip(struct node_uv *n)
{
	struct node_event event = {.type = NODE_START};
	int rc;

	random_bytes(event.random, sizeof(event.random));
	rc = node_uv_step(n, &event);
	drain_later(n);
	return rc;
}

int node_uv_publish(struct node_uv *n, struct span encoded, const struct signature *signature)
{
	struct node_event event = {.type = NODE_PUBLISH, .bytes = encoded, .signature = signature};
	int rc = node_uv_step(n, &event);

	drain_later(n);
	return rc;
}

size_t node_uv_good_peers(const struct node_uv *n, struct span *records, size_t max)
{
	return node_good_peers(ways_node(n->ways), records, max);
}

bool node_uv_record(const struct node_uv *n, const struct public_key *key, struct span *encoded,
	struct record *record)
{
	return node_record(ways_node(n->ways), key, encoded, record);
}

size_t node_uv_neighbours(const struct node_uv *n)
{
	return node_neighbour_count(ways_node(n->ways));
}

int node_uv_send(struct node_uv *n, conn_id conn, const struct message *m)
{
	struct node_event event = {.type = NODE_SEND, .conn = conn, .message = m};
	int rc = node_uv_step(n, &event);

	drain_later(n);
	return rc;
}

void node_uv_drop(struct node_uv *n, conn_id conn, uint32_t reason, const char *text)
{
	struct node_event event = {.type = NODE_DROP, .conn = conn, .reason = reason, .text = text};
	struct channel *c = channel_find(n, conn);

	if (c != NULL && !c->open)
		channel_end(c, text); /* still dialling: the core does not know it */
	else
		(void)!node_uv_step(n, &event); /* over already, or ends with the next tick */
	drain_later(n);
}

void node_uv_value(struct node_uv *n, conn_id conn, enum node_worth worth)
{
	ways_value(n->ways, conn, worth);
}

void node_uv_limit(struct node_uv *n, size_t count)
{
	size_t most = n->alive_max - n->alive_max / 8;

	node_limit_connections(ways_node(n->ways), count < most ? count : most);
}

size_t node_uv_sessions(const struct node_uv *n)
{
	return node_session_count(ways_node(n->ways));
}

size_t node_uv_waiting(const struct node_uv *n, conn_id conn)
{
	return ways_waiting(n->ways, conn);
}

uint64_t node_uv_prefix(const struct node_uv *n, conn_id conn)
{
	return ways_prefix(n->ways, conn);
}

bool node_uv_remote(const struct node_uv *n, conn_id conn, struct endpoint *out)
{
	return ways_remote(n->ways, conn, out);
}

uint64_t node_uv_features(const struct node_uv *n, conn_id conn)
{
	return ways_features(n->ways, conn);
}

int64_t node_uv_skew_s(const struct node_uv *n, conn_id conn)
{
	return ways_skew_s(n->ways, conn);
}

uint32_t node_uv_rtt_ms(const struct node_uv *n, conn_id conn)
{
	return ways_rtt_ms(n->ways, conn);
}
