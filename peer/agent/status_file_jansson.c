/* See status_file.h. */
#include "peer/agent/status_file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/agent/agent_home.h"
#include "tasks/base/file.h"

void status_file_fill(struct status_file *s, const struct agent_status *status)
{
	bool computing = status->state == AGENT_COMPUTING;

	snprintf(s->state, sizeof(s->state), "%s", agent_state_name(status->state));
	snprintf(s->reason, sizeof(s->reason), "%s", status->reason);
	snprintf(s->coordinator, sizeof(s->coordinator), "%s", status->coordinator);
	snprintf(s->project, sizeof(s->project), "%s", computing ? status->project : "");
	s->connected = status->connected;
	s->round = computing ? status->round : 0;
	s->unit = computing ? status->unit : 0;
	s->percent = computing ? status->percent : 0;
	s->leases = status->leases;
	s->pending = status->pending;
	s->totals = status->totals;
	s->blobs_from_peers = status->blobs_from_peers;
	s->blobs_from_coordinator = status->blobs_from_coordinator;
	s->blobs_served = status->blobs_served;
	s->cache_bytes = status->cache_bytes;
	s->cache_bytes_max = status->cache_bytes_max;
	s->neighbours = status->neighbours;
	s->beacon_s = status->beacon_s;
	snprintf(s->ledger, sizeof(s->ledger), "%s", status->ledger);
	s->port = status->port;
	snprintf(s->reached, sizeof(s->reached), "%s", status->reached);
}

/* Texts from the network may be no UTF-8, which JSON cannot hold: such bytes become '?'. */
static json_t *text_value(const char *text)
{
	char clean[TEXT_MAX + 384];
	json_t *value = json_string(text);

	if (value != NULL)
		return value;
	snprintf(clean, sizeof(clean), "%s", text);
	for (char *p = clean; *p != '\0'; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return json_string(clean);
}

static json_t *computing_object(const struct status_file *s)
{
	if (s->unit == 0)
		return json_null();
	return json_pack("{s:o, s:I, s:I, s:I}", "project", text_value(s->project), "round",
		(json_int_t)s->round, "unit", (json_int_t)s->unit, "percent",
		(json_int_t)s->percent);
}

static bool number_add(json_t *root, const char *key, uint64_t value)
{
	return json_object_set_new(root, key, json_integer((json_int_t)value)) == 0;
}

static bool overlay_add(json_t *root, const struct status_file *s)
{
	return number_add(root, "blob_bytes_from_peers", s->blobs_from_peers) &&
	       number_add(root, "blob_bytes_from_coordinator", s->blobs_from_coordinator) &&
	       number_add(root, "blob_bytes_served", s->blobs_served) &&
	       number_add(root, "cache_bytes", s->cache_bytes) &&
	       number_add(root, "cache_bytes_max", s->cache_bytes_max) &&
	       number_add(root, "neighbours", s->neighbours) &&
	       number_add(root, "host_until", s->host_until_s) &&
	       number_add(root, "beacon", s->beacon_s) && number_add(root, "port", s->port) &&
	       json_object_set_new(root, "team", text_value(s->team)) == 0 &&
	       json_object_set_new(root, "ledger", text_value(s->ledger)) == 0 &&
	       json_object_set_new(root, "reached", text_value(s->reached)) == 0;
}

int status_file_encode(const struct status_file *s, struct bytes *out)
{
	char peer[2 * KEY_BYTES + 1];
	json_t *root;
	char *text = NULL;
	int rc = TK_ENOMEM;

	hex_encode(peer, s->peer.b, KEY_BYTES);
	root = json_pack(
		"{s:s, s:o, s:o, s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:o, s:I}",
		"state", s->state, "reason", text_value(s->reason), "coordinator",
		text_value(s->coordinator), "connected", (int)s->connected, "computing",
		computing_object(s), "leases", (json_int_t)s->leases, "pending",
		(json_int_t)s->pending, "units_valid", (json_int_t)s->totals.units_valid,
		"units_invalid", (json_int_t)s->totals.units_invalid, "units_late",
		(json_int_t)s->totals.units_late, "credit_flops",
		(json_int_t)s->totals.credit_flops, "peer", peer, "engine", s->engine, "remark",
		text_value(s->remark), "updated", (json_int_t)s->updated_s);
	if (root != NULL && !overlay_add(root, s)) {
		json_decref(root);
		root = NULL;
	}
	if (root != NULL)
		text = json_dumps(root, JSON_INDENT(2));
	if (text != NULL)
		rc = bytes_append(out, text, strlen(text));
	if (rc == TK_OK)
		rc = bytes_append(out, "\n", 1);
	free(text);
	json_decref(root);
	return rc;
}

static void read_text(const json_t *root, const char *key, char *out, size_t size)
{
	const char *text = json_string_value(json_object_get(root, key));

	snprintf(out, size, "%s", text != NULL ? text : "");
}

static uint64_t read_number(const json_t *root, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(root, key));

	return v > 0 ? (uint64_t)v : 0;
}

static void read_object(struct status_file *s, const json_t *root)
{
	const json_t *computing = json_object_get(root, "computing");
	const char *peer = json_string_value(json_object_get(root, "peer"));

	*s = (struct status_file){0};
	read_text(root, "state", s->state, sizeof(s->state));
	read_text(root, "reason", s->reason, sizeof(s->reason));
	read_text(root, "coordinator", s->coordinator, sizeof(s->coordinator));
	read_text(root, "engine", s->engine, sizeof(s->engine));
	read_text(root, "team", s->team, sizeof(s->team));
	read_text(root, "remark", s->remark, sizeof(s->remark));
	read_text(computing, "project", s->project, sizeof(s->project));
	s->connected = json_is_true(json_object_get(root, "connected"));
	s->round = (uint32_t)read_number(computing, "round");
	s->unit = (uint32_t)read_number(computing, "unit");
	s->percent = (uint32_t)read_number(computing, "percent");
	s->leases = (uint32_t)read_number(root, "leases");
	s->pending = (uint32_t)read_number(root, "pending");
	s->totals.units_valid = read_number(root, "units_valid");
	s->totals.units_invalid = read_number(root, "units_invalid");
	s->totals.units_late = read_number(root, "units_late");
	s->totals.credit_flops = read_number(root, "credit_flops");
	s->updated_s = read_number(root, "updated");
	s->blobs_from_peers = read_number(root, "blob_bytes_from_peers");
	s->blobs_from_coordinator = read_number(root, "blob_bytes_from_coordinator");
	s->blobs_served = read_number(root, "blob_bytes_served");
	s->cache_bytes = read_number(root, "cache_bytes");
	s->cache_bytes_max = read_number(root, "cache_bytes_max");
	s->neighbours = (uint32_t)read_number(root, "neighbours");
	s->host_until_s = read_number(root, "host_until");
	s->beacon_s = read_number(root, "beacon");
	s->port = (uint16_t)read_number(root, "port");
	read_text(root, "ledger", s->ledger, sizeof(s->ledger));
	read_text(root, "reached", s->reached, sizeof(s->reached));
	if (peer == NULL || hex_decode(s->peer.b, KEY_BYTES, peer) != TK_OK)
		memset(s->peer.b, 0, KEY_BYTES);
}

int status_file_read(struct status_file *s, const char *home, struct errmsg *msg)
{
	char path[AGENT_PATH_MAX];
	struct bytes text = {0};
	json_error_t error;
	json_t *root;
	int rc = path_join(path, sizeof(path), home, "status.json");

	if (rc != TK_OK)
		return errmsg_set(msg, rc, "the home's path is too long");
	rc = file_read(&text, path, STATUS_FILE_BYTES_MAX, msg);
	if (rc != TK_OK)
		return rc;
	root = json_loadb((const char *)text.data, text.len, 0, &error);
	if (json_is_object(root))
		read_object(s, root);
	else
		rc = errmsg_set(msg, TK_ECORRUPT, "%s is no status: %s", path,
			root == NULL ? error.text : "not an object");
	json_decref(root);
	bytes_close(&text);
	return rc;
}

int status_file_write(const struct status_file *s, const char *home, struct errmsg *msg)
{
	char path[AGENT_PATH_MAX];
	struct bytes text = {0};
	int rc = path_join(path, sizeof(path), home, "status.json");

	if (rc != TK_OK)
		return errmsg_set(msg, rc, "the home's path is too long");
	rc = status_file_encode(s, &text);
	if (rc == TK_OK)
		rc = file_replace_unsynced(path, bytes_span(&text), 0644, msg);
	bytes_close(&text);
	return rc;
}
