/* See store_rows.h. */
#include "coordinator/store_rows.h"

#include "coordinator/rows.h"

#define NUMBER(s, field, kind)                                                                     \
	{                                                                                          \
#field, kind, offsetof(struct s, field), sizeof(((struct s *)0)->field), 0         \
	}
#define U64(s, field)  NUMBER(s, field, COLUMN_U64)
#define U32(s, field)  NUMBER(s, field, COLUMN_U32)
#define BOOL(s, field) NUMBER(s, field, COLUMN_BOOL)
#define F32(s, field)  NUMBER(s, field, COLUMN_F32)
#define F64(s, field)  NUMBER(s, field, COLUMN_F64)
#define TEXT(s, field) NUMBER(s, field, COLUMN_TEXT)
#define BIN(s, field)  NUMBER(s, field, COLUMN_BIN)
#define SIZED(s, field, length)                                                                    \
	{                                                                                          \
#field, COLUMN_BIN_SIZED, offsetof(struct s, field),                               \
			sizeof(((struct s *)0)->field), offsetof(struct s, length)                 \
	}
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct column project_columns[] = {
	U64(project_row, id),
	TEXT(project_row, name),
	U32(project_row, state),
	TEXT(project_row, reason),
	BOOL(project_row, stop_asked),
	BIN(project_row, recipe),
	U32(project_row, quorum),
	U32(project_row, policy),
	F64(project_row, audit_floor),
	U32(project_row, settle_rounds),
	U32(project_row, on_fraud),
	BIN(project_row, secret),
	U32(project_row, rounds),
	U32(project_row, units_per_round),
	TEXT(project_row, model_type),
	U64(project_row, samples),
	U32(project_row, classes),
	U64(project_row, parameter_count),
	F64(project_row, unit_flops),
	U32(project_row, round),
	BIN(project_row, parameters),
	BIN(project_row, outer_state),
	BIN(project_row, states),
	BIN(project_row, model),
	U64(project_row, units_accepted),
	U64(project_row, units_rejected),
	U64(project_row, replicas),
	U64(project_row, disputes),
	U64(project_row, recomputed),
	U64(project_row, drawn),
	U64(project_row, drawn_wrong),
	U32(project_row, rollbacks),
	U32(project_row, attempt),
	U64(project_row, discarded),
	U64(project_row, wrong_standing),
	TEXT(project_row, rollback_why),
	U64(project_row, created_s),
	U64(project_row, finished_s),
};

static const struct column round_columns[] = {
	U64(round_row, project),
	U32(round_row, round),
	F32(round_row, loss),
	U64(round_row, validation_samples),
	F32(round_row, validation_loss),
	F32(round_row, validation_accuracy),
	U32(round_row, merged),
	U32(round_row, skipped),
	U64(round_row, started_ms),
	U64(round_row, closed_ms),
	BIN(round_row, parameters),
	BIN(round_row, audit),
	BIN(round_row, seed),
	BIN(round_row, states),
	BIN(round_row, model),
	U32(round_row, attempt),
	BIN(round_row, start),
	BIN(round_row, start_outer),
	BIN(round_row, start_model),
	BOOL(round_row, seeded),
	BOOL(round_row, opened),
	U32(round_row, recomputed),
	U32(round_row, drawn),
	U32(round_row, drawn_wrong),
};

static const struct column unit_columns[] = {
	U64(unit_row, project),
	U32(unit_row, round),
	U32(unit_row, index),
	U32(unit_row, state),
	U32(unit_row, wanted),
	BIN(unit_row, result),
	BIN(unit_row, referee),
	BIN(unit_row, merged),
	SIZED(unit_row, claim, claim_bytes),
};

static const struct column replica_columns[] = {
	BIN(replica_row, nonce),
	U64(replica_row, project),
	U32(replica_row, round),
	U32(replica_row, unit),
	U32(replica_row, attempt),
	BIN(replica_row, peer),
	U32(replica_row, state),
	U64(replica_row, leased_ms),
	U64(replica_row, deadline_ms),
	U64(replica_row, committed_ms),
	BOOL(replica_row, late),
	BOOL(replica_row, repeats),
	BIN(replica_row, commitment),
	BIN(replica_row, commit_signature),
	BIN(replica_row, salt),
	BIN(replica_row, result),
	SIZED(replica_row, claim, claim_bytes),
};

static const struct column peer_columns[] = {
	BIN(peer_row, key),
	TEXT(peer_row, engine),
	TEXT(peer_row, team),
	U64(peer_row, first_seen_s),
	U64(peer_row, last_seen_s),
	U64(peer_row, valid),
	U64(peer_row, invalid),
	U64(peer_row, expired),
	U64(peer_row, abandoned),
	U64(peer_row, credit_flops),
	U64(peer_row, faults),
	U64(peer_row, trust),
	U64(peer_row, tested_s),
	TEXT(peer_row, build),
	TEXT(peer_row, misfit),
	BOOL(peer_row, retired),
	BOOL(peer_row, readmitted),
	BOOL(peer_row, convicted),
	TEXT(peer_row, reason),
};

static const struct column place_columns[] = {
	BIN(place_row, key),
	TEXT(place_row, address),
	U64(place_row, seen_s),
};

static const struct column host_columns[] = {
	BIN(host_row, key),
	TEXT(host_row, address),
	U64(host_row, expiry_s),
	BIN(host_row, signature),
};

const struct row_type project_type = {"project", "\"id\"", ", UNIQUE (\"name\")",
	sizeof(struct project_row), COUNT(project_columns), project_columns};
const struct row_type round_type = {"round", "\"project\", \"round\"", "", sizeof(struct round_row),
	COUNT(round_columns), round_columns};
const struct row_type unit_type = {"unit", "\"project\", \"round\", \"index\"", "",
	sizeof(struct unit_row), COUNT(unit_columns), unit_columns};
const struct row_type replica_type = {"replica", "\"nonce\"", "", sizeof(struct replica_row),
	COUNT(replica_columns), replica_columns};
const struct row_type peer_type = {
	"peer", "\"key\"", "", sizeof(struct peer_row), COUNT(peer_columns), peer_columns};

const struct row_type place_type = {
	"place", "\"key\"", "", sizeof(struct place_row), COUNT(place_columns), place_columns};
const struct row_type host_type = {
	"host", "\"key\"", "", sizeof(struct host_row), COUNT(host_columns), host_columns};

const struct row_type *const row_types[] = {&project_type, &round_type, &unit_type, &replica_type,
	&peer_type, &place_type, &host_type, NULL};
