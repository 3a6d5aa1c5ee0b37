/* Plain text, UTF-8: every code point is a token, the vocabulary is the code points that occur in the
 * training or the validation text, ascending. A byte order mark at the start is dropped; line ends
 * are kept as they are. Without a validation file the last fraction of the text is the validation.
 *
 * Memory: the files, 2 bytes for each of their code points, and a table of 4.3 MiB over all code
 * points; a file's bytes go as soon as it is tokens. */
#include <string.h>

#include "tasks/base/file.h"
#include "tasks/base/mem.h"
#include "tasks/data/readers.h"
#include "tasks/data/split.h"
#include "tasks/data/utf8.h"
#include "tasks/data/writer.h"

#define CODE_POINTS 0x110000u

/* One text, first as the file's bytes, then as tokens. */
struct corpus {
	const char *path;
	struct bytes file;
	size_t start;	 /* past the byte order mark */
	uint64_t count;	 /* code points */
	uint8_t *tokens; /* owned; count × u16 LE */
};

static int refuse_bytes(const struct corpus *c, size_t at, struct errmsg *msg)
{
	unsigned long long line = 1;
	const char *remedy = "if it is in another encoding, convert it: iconv -f LATIN1 -t UTF-8";

	if (c->file.data[at] == 0 || c->file.data[at] >= 0xfe)
		remedy = "if it is UTF-16, convert it: iconv -f UTF-16 -t UTF-8";
	for (size_t i = 0; i < at; i++)
		line += c->file.data[i] == '\n';
	return errmsg_set(msg, TK_EINVAL,
		"%s:%llu: byte 0x%02x at offset %zu is not UTF-8 text; %s", c->path, line,
		c->file.data[at], at, remedy);
}

/* Reads the file, counts its code points and marks each in `seen` (CODE_POINTS). */
static int corpus_read(struct corpus *c, const char *path, uint32_t *seen, struct errmsg *msg)
{
	size_t at;
	int rc;

	c->path = path;
	rc = file_read(&c->file, path, DATA_FILE_MAX, msg);
	if (rc != TK_OK)
		return rc;
	if (c->file.len >= 3 && memcmp(c->file.data, "\xef\xbb\xbf", 3) == 0)
		c->start = 3;
	for (at = c->start; at < c->file.len;) {
		uint32_t code_point;
		size_t n = utf8_decode(c->file.data + at, c->file.len - at, &code_point);

		if (n == 0 || code_point == 0)
			return refuse_bytes(c, at, msg);
		seen[code_point] = 1;
		c->count++;
		at += n;
	}
	return TK_OK;
}

/* Makes the vocabulary of what was seen; seen[code point] becomes its rank. */
static int vocabulary_make(struct dataset *d, uint32_t *seen, const char *path, struct errmsg *msg)
{
	uint32_t classes = 0;

	for (uint32_t c = 0; c < CODE_POINTS; c++)
		classes += seen[c];
	if (classes > CLASSES_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"%s: the text has %u different characters; at most %u are possible", path,
			classes, CLASSES_MAX);
	if (classes < 2)
		return errmsg_set(msg, TK_EINVAL,
			classes == 0 ? "%s is empty; it must hold a text to learn from"
				     : "%s: the text is one character, repeated; there is nothing "
				       "to predict in it",
			path);
	d->vocabulary = mem_calloc(classes, sizeof(*d->vocabulary));
	if (d->vocabulary == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for the vocabulary");
	for (uint32_t c = 0; c < CODE_POINTS; c++) {
		if (!seen[c])
			continue;
		seen[c] = d->classes;
		d->vocabulary[d->classes++] = c;
	}
	return TK_OK;
}

/* Turns the bytes, already found well-formed, into tokens and lets go of them. */
static int corpus_tokenize(struct corpus *c, const uint32_t *rank, struct errmsg *msg)
{
	uint8_t *token = mem_alloc(c->count * 2);

	if (token == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for the %llu tokens of %s",
			(unsigned long long)c->count, c->path);
	c->tokens = token;
	for (size_t at = c->start; at < c->file.len; token += 2) {
		uint32_t code_point = 0;

		at += utf8_decode(c->file.data + at, c->file.len - at, &code_point);
		store_le16(token, (uint16_t)rank[code_point]);
	}
	bytes_close(&c->file);
	return TK_OK;
}

/* Shards of a part: neighbours share `context` tokens, so that every window is whole in one of them. */
static int part_write(struct dataset *d, struct dataset_part *part, const uint8_t *tokens,
	uint64_t count, const struct shard_sink *sink, struct errmsg *msg)
{
	struct shard_writer w;
	int rc = writer_begin(&w, d, part, count - d->context, sink, msg);

	for (uint32_t s = 0; rc == TK_OK && s < part->shards; s++) {
		const uint8_t *from = tokens + (size_t)s * part->shard_samples * 2;

		rc = writer_shard(&w, span_of(from, dataset_shard_bytes(d, part, s)), msg);
	}
	if (rc == TK_OK)
		writer_end(&w);
	writer_close(&w);
	return rc;
}

static int length_check(const struct dataset *d, const char *path, const char *part,
	uint64_t tokens, struct errmsg *msg)
{
	if (tokens > d->context)
		return TK_OK;
	return errmsg_set(msg, TK_EINVAL,
		"%s: the %s text has %llu characters; a context of %u needs at least %u: use a "
		"longer "
		"text, a smaller model.context or another data.validation_fraction",
		path, part, (unsigned long long)tokens, d->context, d->context + 1);
}

static int parts_write(struct dataset *d, const struct data_spec *spec, const struct corpus *train,
	const struct corpus *other, const struct shard_sink *sink, struct errmsg *msg)
{
	const struct corpus *c = other->path != NULL ? other : train;
	uint64_t trained = train->count;
	uint64_t validated = other->count;
	const uint8_t *from = other->tokens;
	int rc;

	if (other->path == NULL && train->count >= 2) {
		validated = split_count(train->count, spec->validation_fraction);
		trained -= validated;
		from = train->tokens + trained * 2;
	}
	rc = length_check(d, train->path, "training", trained, msg);
	if (rc == TK_OK && (other->path != NULL || validated != 0))
		rc = length_check(d, c->path, "validation", validated, msg);
	if (rc == TK_OK)
		rc = part_write(d, &d->train, train->tokens, trained, sink, msg);
	if (rc == TK_OK && validated != 0)
		rc = part_write(d, &d->validation, from, validated, sink, msg);
	return rc;
}

int text_prepare(struct dataset *d, const struct data_spec *spec, const struct shard_sink *sink,
	struct errmsg *msg)
{
	struct corpus train = {0};
	struct corpus validation = {0};
	uint32_t *ranks = NULL;
	int rc;

	if (spec->context < 1 || spec->context > CONTEXT_MAX)
		return errmsg_set(msg, TK_EINVAL, "model.context is %u; text needs 1 to %u",
			spec->context, CONTEXT_MAX);
	d->kind = SAMPLE_TEXT;
	d->context = spec->context;
	ranks = mem_calloc(CODE_POINTS, sizeof(*ranks));
	if (ranks == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to count characters");
	rc = corpus_read(&train, spec->path, ranks, msg);
	if (rc == TK_OK && spec->validation_path[0] != '\0')
		rc = corpus_read(&validation, spec->validation_path, ranks, msg);
	if (rc == TK_OK)
		rc = vocabulary_make(d, ranks, spec->path, msg);
	if (rc == TK_OK)
		rc = corpus_tokenize(&train, ranks, msg);
	if (rc == TK_OK && validation.path != NULL)
		rc = corpus_tokenize(&validation, ranks, msg);
	if (rc == TK_OK)
		rc = parts_write(d, spec, &train, &validation, sink, msg);
	mem_free(ranks);
	bytes_close(&train.file);
	bytes_close(&validation.file);
	mem_free(train.tokens);
	mem_free(validation.tokens);
	return rc;
}
