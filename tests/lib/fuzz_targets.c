/* See fuzz_targets.h. */
#include "tests/lib/fuzz_targets.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer/agent/result_record.h"
#include "peer/agent/worker_protocol.h"
#include "peer/wire/link.h"
#include "tasks/base/require.h"
#include "tasks/project/project.h"
#include "tasks/unit/compress.h"
#include "tests/lib/tiny.h"

#define FILE_BYTES_MAX 65536u

/* Equal bytes again, or whoever signs one form and whoever checks another disagree. */
static void require_same(struct span in, int rc, struct bytes *again)
{
	REQUIRE(rc == TK_OK && span_equal(bytes_span(again), in));
	bytes_close(again);
}

/* Units, claims, manifests */

static void run_unit(struct span in)
{
	struct bytes again = {0};
	struct unit u;

	if (unit_decode(&u, in, NULL) == TK_OK)
		require_same(in, unit_encode(&u, &again), &again);
}

static bool seed_unit(unsigned which, struct bytes *out)
{
	struct digest d = {{1}};
	struct unit u;

	unit_describe(&u, &d, 3, 200, &(struct round_start){.parameters = d});
	return which == 0 && unit_encode(&u, out) == TK_OK;
}

static void run_claim(struct span in)
{
	struct bytes again = {0};
	struct claim c;

	if (claim_decode(&c, in, NULL) == TK_OK)
		require_same(in, claim_encode(&c, &again), &again);
}

static bool seed_claim(unsigned which, struct bytes *out)
{
	const struct claim claims[] = {
		{.outcome = OUTCOME_UPDATE, .loss = 2.5f, .payload_bytes = 70000, .payload = {{7}}},
		{.outcome = OUTCOME_NONFINITE, .failing_step = 3},
	};

	return which < 2 && claim_encode(&claims[which], out) == TK_OK;
}

static void run_round(struct span in)
{
	struct bytes again = {0};
	struct round_manifest m;

	if (round_decode(&m, in, NULL) == TK_OK)
		require_same(in, round_encode(&m, &again), &again);
}

static bool seed_round(unsigned which, struct bytes *out)
{
	const struct round_manifest m = {.round = 70000, .unit_count = 8, .audit = {{1}}};

	return which == 0 && round_encode(&m, out) == TK_OK;
}

/* Recipes */

static void run_recipe(struct span in)
{
	struct bytes again = {0};
	struct recipe r;

	if (recipe_decode(&r, in, NULL) != TK_OK)
		return;
	require_same(in, recipe_encode(&r, &again, NULL), &again);
	recipe_close(&r);
}

static bool seed_recipe(unsigned which, struct bytes *out)
{
	static const enum model_type types[] = {
		MODEL_LOGISTIC, MODEL_MLP, MODEL_CHAR_MLP, MODEL_CNN, MODEL_GPT};
	struct tiny t;
	int rc;

	if (which > 4 || !tiny_init(&t, types[which]))
		return false;
	rc = recipe_encode(&t.recipe, out, NULL);
	tiny_close(&t);
	return rc == TK_OK;
}

/* Packed updates: the first three bytes say how many columns a matrix has and how many values there are,
 * those that fill no row being a vector. Enough of them for blocks of int8 and of SparseLoCo that are
 * not the first, and for sides of every length. */

enum { PAYLOAD_VALUES = COMPRESS_BLOCK + 512, PAYLOAD_HEAD = 3 };

struct payload_layout {
	struct compress_plane planes[2];
	struct compress_layout all;
};

static void payload_layout(struct payload_layout *l, size_t columns, size_t count)
{
	size_t rows = count / columns;

	l->planes[0] = (struct compress_plane){0, rows, columns};
	l->planes[1] = (struct compress_plane){rows * columns, 1, count - rows * columns};
	l->all = (struct compress_layout){count, 2, l->planes};
}

/* SparseLoCo passes over subnormal magnitudes when it packs, though a level may be one. */
static bool packs_again(enum compression how, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (how == COMPRESSION_SPARSELOCO && x[i] != 0 && fabsf(x[i]) < FLT_MIN)
			return false;
	}
	return true;
}

/* Whatever is accepted is what a packer would have written. */
static void run_payload_as(enum compression how, struct span in, const struct compress_layout *l)
{
	const struct engine *e = engine_best();
	const struct compute alone = {.engine = e};
	float sum[PAYLOAD_VALUES] = {0};
	float feedback[PAYLOAD_VALUES] = {0};
	struct bytes again = {0};

	if (compress_check(e, how, l, in, NULL) != TK_OK) {
		REQUIRE(compress_add(e, how, l, in, sum, NULL) == TK_ECORRUPT);
		return;
	}
	REQUIRE(in.len == compress_bytes(how, l));
	REQUIRE(compress_add(e, how, l, in, sum, NULL) == TK_OK);
	if (packs_again(how, sum, l->count))
		require_same(in,
			compress_pack(&alone, how, l, sum,
				how == COMPRESSION_SPARSELOCO ? feedback : NULL, &again),
			&again);
}

static void run_payload(struct span in)
{
	struct payload_layout l;
	size_t n;

	if (in.len < PAYLOAD_HEAD)
		return;
	n = load_le16(in.data + 1) % PAYLOAD_VALUES;
	if (n == 0 || in.data[0] == 0)
		return;
	payload_layout(&l, in.data[0], n);
	in = span_of(in.data + PAYLOAD_HEAD, in.len - PAYLOAD_HEAD);
	for (int how = COMPRESSION_NONE; how <= COMPRESSION_SPARSELOCO; how++)
		run_payload_as((enum compression)how, in, &l.all);
}

static bool seed_payload(unsigned which, struct bytes *out)
{
	static const struct {
		enum compression how;
		uint8_t columns;
		uint16_t values;
	} seeds[] = {
		{COMPRESSION_NONE, 8, 190},
		{COMPRESSION_INT8, 8, 190},
		{COMPRESSION_FP16, 8, 190},
		{COMPRESSION_BF16, 8, 190},
		{COMPRESSION_SPARSELOCO, 8, 190},
		{COMPRESSION_INT8, 70, COMPRESS_BLOCK + 200},
		{COMPRESSION_SPARSELOCO, 130, COMPRESS_BLOCK + 200},
		{COMPRESSION_SPARSELOCO, 3, 600},
	};
	float feedback[PAYLOAD_VALUES] = {0};
	float update[PAYLOAD_VALUES];
	uint8_t head[PAYLOAD_HEAD];
	const struct compute alone = {.engine = engine_best()};
	struct payload_layout l;

	if (which >= sizeof(seeds) / sizeof(seeds[0]))
		return false;
	head[0] = seeds[which].columns;
	store_le16(head + 1, seeds[which].values);
	payload_layout(&l, seeds[which].columns, seeds[which].values);
	for (size_t i = 0; i < l.all.count; i++)
		update[i] = (float)((i * 37) % 101) - 7.5f;
	return bytes_append(out, head, sizeof(head)) == TK_OK &&
	       compress_pack(&alone, seeds[which].how, &l.all, update,
		       seeds[which].how == COMPRESSION_SPARSELOCO ? feedback : NULL, out) == TK_OK;
}

/* Results on disk, frames of the worker's pipe, links */

static void run_record(struct span in)
{
	struct result_record r;

	(void)!result_record_decode(&r, in, NULL);
}

static bool seed_record(unsigned which, struct bytes *out)
{
	struct claim claim = {.outcome = OUTCOME_NONFINITE, .failing_step = 1};
	const struct digest zero = {{0}};
	const struct digest leaves[2] = {{{1}}, {{2}}};
	struct bytes unit = {0};
	struct bytes encoded = {0};
	struct result_record r;
	bool good;

	if (which != 0 || !seed_unit(0, &unit))
		return false;
	unit_digest(&claim.unit, bytes_span(&unit));
	merkle_root(&claim.trace, leaves, 2);
	good = claim_encode(&claim, &encoded) == TK_OK &&
	       result_record_init(&r, &zero, &zero, bytes_span(&unit), bytes_span(&encoded),
		       span_of(leaves, sizeof(leaves)), 0, NULL) == TK_OK &&
	       result_record_encode(&r, span_of(leaves, sizeof(leaves)), span_of("", 0), out) ==
		       TK_OK;
	bytes_close(&unit);
	bytes_close(&encoded);
	return good;
}

static void run_worker(struct span in)
{
	struct worker_message m;
	size_t used;

	while (worker_message_decode(&m, in, &used, NULL) == TK_OK) {
		REQUIRE(used > 0 && used <= in.len);
		in = span_of(in.data + used, in.len - used);
	}
}

static bool seed_worker(unsigned which, struct bytes *out)
{
	struct worker_message m = {.type = (enum worker_message_type)(which + 1),
		.job = 1,
		.done = 1,
		.total = 2,
		.to = 1,
		.code = TK_EIO,
		.text = "why"};

	m.unit = m.claim = m.bytes = span_of("123", 3);
	return which < WORKER_REPLAYED && worker_message_encode(&m, out) == TK_OK;
}

static void run_link(struct span in)
{
	char text[4096];
	struct bytes again = {0};
	struct errmsg msg = {{0}};
	struct link link;

	snprintf(text, sizeof(text), "%.*s", (int)in.len, (const char *)in.data);
	if (link_parse(&link, text, &msg) != TK_OK) {
		REQUIRE(msg.text[0] != '\0');
		return;
	}
	REQUIRE(link_format(&link, &again, NULL) == TK_OK);
	bytes_close(&again);
}

static bool seed_link(unsigned which, struct bytes *out)
{
	static const char text[] =
		"talkoot://"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		"@host.example:7331,[2001:db8::1]:80,192.0.2.1:65535";

	return which == 0 && bytes_append(out, text, sizeof(text) - 1) == TK_OK;
}

/* Files of owners */

static void write_file(const char *path, struct span in)
{
	FILE *f = fopen(path, "wb");

	REQUIRE(f != NULL && fwrite(in.data, 1, in.len, f) == in.len && fclose(f) == 0);
}

/* A folder for the files of one input. */
static void make_folder(char folder[64])
{
	snprintf(folder, 64, "/tmp/talkoot-fuzz-XXXXXX");
	REQUIRE(mkdtemp(folder) != NULL);
}

static void run_project(struct span in)
{
	char folder[64], path[96];
	struct bytes errors = {0};
	struct errmsg msg = {{0}};
	struct project p;
	int rc;

	if (in.len > FILE_BYTES_MAX)
		return;
	make_folder(folder);
	snprintf(path, sizeof(path), "%s/project.yaml", folder);
	write_file(path, in);
	rc = project_read(&p, path, &errors, &msg);
	REQUIRE(rc == TK_OK || (msg.text[0] != '\0' && errors.len != 0));
	bytes_close(&errors);
	REQUIRE(unlink(path) == 0 && rmdir(folder) == 0);
}

static bool seed_project(unsigned which, struct bytes *out)
{
	static const char *const texts[] = {
		"project: {name: licences, seed: 1337}\n"
		"model:   {type: char-mlp, context: 16, embedding: 24, hidden: [256]}\n"
		"data:    {path: corpus.txt, format: text, validation_fraction: 0.1}\n"
		"train:   {optimizer: adamw, learning_rate: 4.0e-3, batch_size: 64, rounds: 20,\n"
		"          outer: {optimizer: nesterov, learning_rate: 1.0, momentum: 0.5}}\n"
		"verify:  {policy: full, quorum: 2}\n",
		"project: {name: own}\n"
		"model:\n"
		"  type: layers\n"
		"  layers:\n"
		"  - {embedding: {width: 8}, name: wte}\n"
		"  - position\n"
		"  - residual: [layer_norm, {attention: {heads: 2}}, {dropout: {rate: 0.1}}]\n"
		"  - {residual: [{linear: {width: 8}}, {residual: [gelu]}], name: mlp}\n"
		"  - {linear: {tie: true, bias: false}}\n"
		"data: {path: a.txt}\n"
		"train: {mode: gradient, accumulate: 4, outer: {beta2: 0.95}}\n",
	};

	return which < 2 && bytes_append(out, texts[which], strlen(texts[which])) == TK_OK;
}

static void prepare(struct span in, struct span labels, enum data_format format)
{
	struct data_spec spec = {.format = format,
		.delimiter = ',',
		.label = "last",
		.missing = "?",
		.context = format == DATA_TEXT ? 4 : 0,
		.validation_fraction = 0.25};
	struct errmsg msg = {{0}};
	struct dataset d;
	char folder[64];

	if (in.len > FILE_BYTES_MAX)
		return;
	make_folder(folder);
	snprintf(spec.path, sizeof(spec.path), "%s/data", folder);
	snprintf(spec.labels, sizeof(spec.labels), "%s/labels", folder);
	write_file(spec.path, in);
	write_file(spec.labels, labels);
	if (dataset_prepare(&d, &spec, NULL, &msg) == TK_OK)
		dataset_close(&d);
	else
		REQUIRE(msg.text[0] != '\0');
	REQUIRE(unlink(spec.path) == 0 && unlink(spec.labels) == 0 && rmdir(folder) == 0);
}

static void run_csv(struct span in)
{
	prepare(in, span_of("", 0), DATA_CSV);
}

static bool seed_csv(unsigned which, struct bytes *out)
{
	static const char text[] =
		"age,\"na\"\"me\",who\r\n1,red,x\n-2.5e3,blue,y\n?,\"a,\n b\",x\n"
		"4,red,y\n7,,x\n";

	return which == 0 && bytes_append(out, text, sizeof(text) - 1) == TK_OK;
}

/* The first byte says how many bytes the labels have; the images follow them. */
static void run_idx(struct span in)
{
	size_t n = in.len != 0 ? in.data[0] : 0;

	if (in.len == 0 || in.len - 1 < n)
		return;
	prepare(span_of(in.data + 1 + n, in.len - 1 - n), span_of(in.data + 1, n), DATA_IDX);
}

static bool seed_idx(unsigned which, struct bytes *out)
{
	static const char bytes[] = "\x0e\0\0\x08\x01\0\0\0\x06\0\1\2\0\1\2"
				    "\0\0\x08\x03\0\0\0\x06\0\0\0\x01\0\0\0\x02zyxwvutsrqpo";

	return which == 0 && bytes_append(out, bytes, sizeof(bytes) - 1) == TK_OK;
}

static void run_text(struct span in)
{
	prepare(in, span_of("", 0), DATA_TEXT);
}

static bool seed_text(unsigned which, struct bytes *out)
{
	static const char text[] = "Once upon a time — né à Łódź — 𝛼 and 𝛽 met.\r\n";

	return which == 0 && bytes_append(out, text, sizeof(text) - 1) == TK_OK;
}

const struct fuzz_target fuzz_targets[] = {
	{"message", fuzz_message, fuzz_message_seed, false},
	{"session", fuzz_session, fuzz_session_seed, false},
	{"identity", fuzz_identity, fuzz_identity_seed, false},
	{"announcement", fuzz_announcement, fuzz_announcement_seed, false},
	{"advert", fuzz_advert, fuzz_advert_seed, false},
	{"node", fuzz_node, fuzz_node_seed, true},
	{"gossip", fuzz_gossip, fuzz_gossip_seed, false},
	{"handshake", fuzz_node, fuzz_node_seed, true},
	{"ways", fuzz_ways, fuzz_ways_seed, true},
	{"portmap", fuzz_portmap, fuzz_portmap_seed, false},
	{"swarm", fuzz_swarm, fuzz_swarm_seed, false},
	{"exchange", fuzz_exchange, fuzz_exchange_seed, true},
	{"part_file", fuzz_part_file, fuzz_part_file_seed, true},
	{"peer_cache", fuzz_peer_cache, fuzz_peer_cache_seed, false},
	{"unit", run_unit, seed_unit, false},
	{"claim", run_claim, seed_claim, false},
	{"round", run_round, seed_round, false},
	{"fault", fuzz_fault, fuzz_fault_seed, false},
	{"fault_file", fuzz_fault_file, fuzz_fault_file_seed, false},
	{"ledger", fuzz_ledger, fuzz_ledger_seed, false},
	{"ledger_file", fuzz_ledger_file, fuzz_ledger_file_seed, false},
	{"recipe", run_recipe, seed_recipe, false},
	{"payload", run_payload, seed_payload, false},
	{"safetensors", fuzz_safetensors, fuzz_safetensors_seed, false},
	{"record", run_record, seed_record, false},
	{"worker", run_worker, seed_worker, false},
	{"link", run_link, seed_link, false},
	{"project", run_project, seed_project, false},
	{"csv", run_csv, seed_csv, false},
	{"idx", run_idx, seed_idx, false},
	{"text", run_text, seed_text, false},
	{NULL, NULL, NULL, false},
};
