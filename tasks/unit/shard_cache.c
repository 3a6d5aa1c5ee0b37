/* See shard_cache.h. */
#include "tasks/unit/shard_cache.h"

#include "tasks/base/mem.h"
#include "tasks/data/shard.h"

struct shard_entry {
	struct digest digest;
	struct bytes bytes;
};

static struct shard_entry *find(const struct shard_cache *c, const struct digest *digest)
{
	for (size_t i = 0; i < c->count; i++) {
		if (digest_equal(&c->entries[i].digest, digest))
			return &c->entries[i];
	}
	return NULL;
}

bool shard_cache_has(const struct shard_cache *c, const struct digest *digest)
{
	return find(c, digest) != NULL;
}

/* Room for one more entry. */
static int grow(struct shard_cache *c)
{
	size_t capacity = c->capacity != 0 ? c->capacity * 2 : 8;
	struct shard_entry *entries;

	if (c->count < c->capacity)
		return TK_OK;
	entries = mem_realloc(c->entries, capacity * sizeof(*entries));
	if (entries == NULL)
		return TK_ENOMEM;
	c->entries = entries;
	c->capacity = capacity;
	return TK_OK;
}

static int insert(
	struct shard_cache *c, const struct digest *digest, struct bytes *bytes, struct errmsg *msg)
{
	if (grow(c) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for another shard");
	c->entries[c->count].digest = *digest;
	c->entries[c->count].bytes = *bytes;
	c->count++;
	c->bytes += bytes->len;
	*bytes = (struct bytes){0};
	return TK_OK;
}

/* Which shard of which part has this digest. */
static const struct dataset_part *part_of(
	const struct dataset *d, const struct digest *digest, uint32_t *shard)
{
	const struct dataset_part *parts[] = {&d->train, &d->validation};

	for (size_t p = 0; p < 2; p++) {
		for (uint32_t i = 0; i < parts[p]->shards; i++) {
			if (digest_equal(&parts[p]->digests[i], digest)) {
				*shard = i;
				return parts[p];
			}
		}
	}
	return NULL;
}

int shard_cache_add(struct shard_cache *c, const struct recipe *recipe, const struct digest *digest,
	struct bytes *bytes, struct errmsg *msg)
{
	const struct dataset_part *part;
	struct digest found;
	uint32_t shard;
	int rc;

	if (shard_cache_has(c, digest)) {
		bytes_close(bytes);
		return TK_OK;
	}
	part = part_of(&recipe->data, digest, &shard);
	if (part == NULL)
		return errmsg_set(msg, TK_ENOENT, "the recipe names no such shard");
	digest_blob(&found, bytes->data, bytes->len);
	if (!digest_equal(&found, digest))
		return errmsg_set(msg, TK_ECORRUPT, "shard %u differs from its digest", shard);
	rc = shard_check(&recipe->data, part, shard, bytes_span(bytes), msg);
	return rc == TK_OK ? insert(c, digest, bytes, msg) : rc;
}

int shard_cache_sink(
	void *context, const struct digest *digest, struct span bytes, struct errmsg *msg)
{
	struct shard_cache *c = context;
	struct bytes copy = {0};
	int rc;

	if (shard_cache_has(c, digest))
		return TK_OK;
	if (bytes_append(&copy, bytes.data, bytes.len) != TK_OK)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for another shard");
	rc = insert(c, digest, &copy, msg);
	bytes_close(&copy);
	return rc;
}

int shard_cache_get(
	void *context, const struct digest *digest, struct span *out, struct errmsg *msg)
{
	struct shard_cache *c = context;
	struct shard_entry *e = find(c, digest);

	if (e == NULL)
		return errmsg_set(msg, TK_ENOENT, "a shard that the unit reads is not here");
	*out = bytes_span(&e->bytes);
	return TK_OK;
}

void shard_cache_close(struct shard_cache *c)
{
	for (size_t i = 0; i < c->count; i++)
		bytes_close(&c->entries[i].bytes);
	mem_free(c->entries);
	*c = (struct shard_cache){0};
}
