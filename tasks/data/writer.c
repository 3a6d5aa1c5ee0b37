/* See writer.h. Holds one shard at a time: at most SHARD_BYTES, whatever the size of the data. */
#include "tasks/data/writer.h"

#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"

static size_t samples_per_shard(const struct dataset *d)
{
	if (d->kind == SAMPLE_TEXT)
		return SHARD_BYTES / dataset_sample_bytes(d) - d->context;
	return SHARD_BYTES / dataset_sample_bytes(d);
}

int writer_begin(struct shard_writer *w, const struct dataset *d, struct dataset_part *part,
	uint64_t samples, const struct shard_sink *sink, struct errmsg *msg)
{
	size_t each = samples_per_shard(d);
	uint64_t shards;

	REQUIRE(samples >= 1 && part->digests == NULL);
	*w = (struct shard_writer){.dataset = d, .part = part, .sink = sink};
	if (each == 0)
		return errmsg_set(msg, TK_ELIMIT,
			"a sample of %zu bytes is larger than a shard (%u bytes); use fewer "
			"features",
			dataset_sample_bytes(d), SHARD_BYTES);
	shards = samples / each + (samples % each != 0);
	if (shards > SHARDS_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"%llu samples of %zu bytes make %llu shards; at most %u are possible: use "
			"fewer samples or features",
			(unsigned long long)samples, dataset_sample_bytes(d),
			(unsigned long long)shards, SHARDS_MAX);
	part->digests = mem_calloc(shards, sizeof(*part->digests));
	if (part->digests == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for the list of shards");
	part->samples = samples;
	part->shard_samples = (uint32_t)each;
	part->shards = (uint32_t)shards;
	if (d->kind == SAMPLE_TEXT)
		return TK_OK; /* whole shards come */
	if (bytes_reserve(&w->open, dataset_shard_bytes(d, part, 0)) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for a shard");
	return TK_OK;
}

int writer_shard(struct shard_writer *w, struct span bytes, struct errmsg *msg)
{
	struct digest *digest = &w->part->digests[w->made];

	REQUIRE(w->made < w->part->shards);
	REQUIRE(bytes.len == dataset_shard_bytes(w->dataset, w->part, w->made));
	digest_blob(digest, bytes.data, bytes.len);
	w->made++;
	if (w->sink == NULL)
		return TK_OK;
	return w->sink->take(w->sink->context, digest, bytes, msg);
}

int writer_sample(struct shard_writer *w, struct span features, uint32_t label, struct errmsg *msg)
{
	uint8_t end[4];
	int rc;

	REQUIRE(features.len + sizeof(end) == dataset_sample_bytes(w->dataset));
	REQUIRE(w->dataset->label == LABEL_NUMBER || label < w->dataset->classes);
	REQUIRE(w->made < w->part->shards);
	store_le32(end, label);
	if (bytes_append(&w->open, features.data, features.len) != TK_OK ||
		bytes_append(&w->open, end, sizeof(end)) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for a shard");
	if (w->open.len < dataset_shard_bytes(w->dataset, w->part, w->made))
		return TK_OK;
	rc = writer_shard(w, bytes_span(&w->open), msg);
	w->open.len = 0;
	return rc;
}

void writer_end(const struct shard_writer *w)
{
	REQUIRE(w->made == w->part->shards && w->open.len == 0);
}

void writer_close(struct shard_writer *w)
{
	bytes_close(&w->open);
}
