/* Fuzz targets of what a disk gives back: blobs that had not arrived whole, and the cache of good peers. */
#include "tests/lib/fuzz_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer/agent/peer_cache.h"
#include "peer/swarm/part_file.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tests/lib/fuzz_targets.h"

static char folder[64];

static void folder_remove(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	if (system(command) != 0)
		fprintf(stderr, "%s is left\n", folder);
}

const char *fuzz_folder(void)
{
	const char *parent = getenv("FUZZ_FOLDER");

	if (folder[0] != '\0')
		return folder;
	if (parent == NULL || strlen(parent) > 40)
		parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(folder, sizeof(folder), "%s/talkoot-fuzz-XXXXXX", parent);
	REQUIRE(mkdtemp(folder) != NULL && atexit(folder_remove) == 0);
	return folder;
}

static void file_write(const char *name, const void *data, size_t n)
{
	FILE *f;
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", fuzz_folder(), name);
	f = fopen(path, "wb");
	REQUIRE(f != NULL && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

/* Blobs that arrive: the first byte says which parts had come, then come damages of both files, each a byte that
 * says what, le16 where and a byte. Whatever the disk has done to them, no part is taken for good that
 * is not, and with the missing ones fetched again the blob is whole. */

#define PARTS	   3u
#define TOTAL	   (2 * (size_t)BLOB_PART + 700)
#define TREE_BYTES 300u
#define DAMAGE	   4u

static struct parts {
	bool made;
	uint8_t bytes[TOTAL];
	struct digest digest, nodes[8];
	struct blob_store store;
} parts;

static size_t part_length(size_t i)
{
	return i < PARTS - 1 ? BLOB_PART : TOTAL % BLOB_PART;
}

static void parts_make(void)
{
	char path[96];

	if (parts.made)
		return;
	snprintf(path, sizeof(path), "%s/blobs", fuzz_folder());
	REQUIRE(blob_store_init(&parts.store, path, NULL) == TK_OK);
	for (size_t i = 0; i < TOTAL; i++)
		parts.bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	for (size_t i = 0; i < PARTS; i++)
		blob_part_top(&parts.nodes[i], parts.bytes + i * BLOB_PART, part_length(i));
	REQUIRE(blob_tree_nodes(PARTS) <= 8);
	blob_tree_build(&parts.digest, parts.nodes, PARTS, TOTAL);
	parts.made = true;
}

static void put_part(struct part_file *f, size_t i)
{
	struct span bytes = span_of(parts.bytes + i * BLOB_PART, part_length(i));
	struct digest path[64];
	size_t steps = blob_part_path(path, parts.nodes, PARTS, i);

	REQUIRE(part_file_write(f, i * BLOB_PART, bytes, path, steps, NULL) == TK_OK);
}

static void open_parts(struct part_file *f)
{
	REQUIRE(part_file_open(f, fuzz_folder(), &parts.digest, TOTAL, NULL) == TK_OK);
}

static void damage(const uint8_t *p, uint8_t *data, size_t *n)
{
	size_t at = load_le16(p + 1) * (p[0] >= 128 ? 3u : 1u);

	if (at >= *n)
		return;
	if ((p[0] & 2) != 0)
		*n = at;
	else
		data[at] = p[3];
}

/* Reads a file, damages it, and writes it back. */
static void damage_file(const char *ending, struct span in, unsigned which)
{
	static uint8_t data[TOTAL + TREE_BYTES];
	char hex[DIGEST_HEX], path[200], name[DIGEST_HEX + 8];
	size_t n;
	FILE *f;

	digest_hex(hex, &parts.digest);
	snprintf(name, sizeof(name), "%s.%s", hex, ending);
	snprintf(path, sizeof(path), "%s/%s", fuzz_folder(), name);
	f = fopen(path, "rb");
	REQUIRE(f != NULL);
	n = fread(data, 1, sizeof(data), f);
	REQUIRE(fclose(f) == 0);
	for (size_t at = 0; at + DAMAGE <= in.len; at += DAMAGE)
		if ((in.data[at] & 1) == which)
			damage(in.data + at, data, &n);
	file_write(name, data, n);
}

static void check_part(const struct part_file *f, size_t i)
{
	static uint8_t bytes[BLOB_PART];

	REQUIRE(part_file_read(f, i * BLOB_PART, bytes, part_length(i), NULL) == TK_OK);
	REQUIRE(memcmp(bytes, parts.bytes + i * BLOB_PART, part_length(i)) == 0);
}

void fuzz_part_file(struct span in)
{
	struct digest *nodes;
	struct part_file f;

	if (in.len == 0)
		return;
	parts_make();
	open_parts(&f);
	for (size_t i = 0; i < PARTS; i++)
		if ((in.data[0] >> i & 1) != 0)
			put_part(&f, i);
	part_file_close(&f);
	in = span_of(in.data + 1, in.len - 1);
	damage_file("part", in, 0);
	damage_file("tree", in, 1);
	(void)part_file_total(fuzz_folder(), &parts.digest);
	open_parts(&f);
	for (size_t i = 0; i < PARTS; i++) {
		if ((f.words[0] >> i & 1) != 0)
			check_part(&f, i);
		else
			put_part(&f, i);
	}
	REQUIRE(part_file_finish(&f, &parts.store, &nodes, NULL) == TK_OK);
	REQUIRE(memcmp(nodes, parts.nodes, blob_tree_nodes(PARTS) * sizeof(*nodes)) == 0);
	mem_free(nodes);
	blob_store_remove(&parts.store, &parts.digest);
}

bool fuzz_part_file_seed(unsigned which, struct bytes *out)
{
	static const uint8_t seeds[][9] = {{7}, {5, 0, 1, 0, 9}, {7, 1, 2, 0, 9, 1, 0, 0, 1},
		{3, 2, 0, 3, 0, 3, 70, 0, 0}, {7, 1, 9, 0, 1, 128, 0, 90, 1}};

	return which < 5 && bytes_append(out, seeds[which], sizeof(seeds[which])) == TK_OK;
}

/* The cache of good peers: the input is the file. */

static const struct public_key network = {{9}};

void fuzz_peer_cache(struct span in)
{
	static struct record records[PEER_CACHE_MAX];
	size_t count;

	file_write("peers", in.data, in.len);
	count = peer_cache_load(fuzz_folder(), &network, records);
	REQUIRE(count <= PEER_CACHE_MAX);
	for (size_t i = 0; i < count; i++)
		REQUIRE(records[i].endpoint_count <= RECORD_ENDPOINTS_MAX &&
			records[i].relay_count <= RECORD_RELAYS_MAX);
}

bool fuzz_peer_cache_seed(unsigned which, struct bytes *out)
{
	struct record r = {.flags = RECORD_PUBLIC, .sequence = 7, .expiry_s = 1800000000u};
	uint8_t seed[32] = {CLEAR_ANYBODY}, length[2];
	struct bytes one = {0};
	struct key_pair pair;
	bool good = which < 3;

	for (unsigned i = 0; good && i <= which; i++) {
		seed[1] = (uint8_t)i;
		key_from_seed(&pair, seed);
		r.key = pair.public;
		r.endpoint_count = i;
		r.endpoints[i] = (struct endpoint){.family = 4, .ip = {192, 0, 2, 1}, .port = 7332};
		if (i > 0)
			r.endpoints[0] = r.endpoints[i];
		good = record_encode(&r, &pair, &network, &one) == TK_OK;
		store_le16(length, (uint16_t)one.len);
		good = good && bytes_append(out, length, 2) == TK_OK &&
		       bytes_append(out, one.data, one.len) == TK_OK;
		bytes_close(&one);
	}
	return good;
}
