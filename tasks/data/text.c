/* Texts. By characters, plain text in UTF-8: every code point is a token, the vocabulary is the code
 * points that occur in the training or the validation text, ascending. A byte order mark at the start
 * is dropped; line ends are kept as they are. By bytes, any file: every byte is a token, as it stands.
 * Without a validation file the last fraction of the text is the validation.
 *
 * Memory: the files, 2 bytes for each of their tokens and, for characters, a table of 4.3 MiB over all
 * code points; a file's bytes go as soon as it is tokens. */
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
	uint64_t count;	 /* tokens */
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
		"%s:%llu: byte 0x%02x at offset %zu is not UTF-8 text; %s; or learn its bytes, "
		"with data.tokens: bytes",
		c->path, line, c->file.data[at], at, remedy);
}

/* Reads a file as far as its bytes, which are then as many tokens. */
static int corpus_read(struct corpus *c, const char *path, struct errmsg *msg)
{
	int rc = file_read(&c->file, path, DATA_FILE_MAX, msg);

	c->path = path;
	c->count = c->file.len;
	return rc;
}

/* Counts the code points and marks each in `seen` (CODE_POINTS). */
static int corpus_survey(struct corpus *c, uint32_t *seen, struct errmsg *msg)
{
	c->count = 0;
	if (c->file.len >= 3 && memcmp(c->file.data, "\xef\xbb\xbf", 3) == 0)
		c->start = 3;
	for (size_t at = c->start; at < c->file.len;) {
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

/* Turns the file's bytes into tokens and lets go of them. With ranks they have been surveyed. */
static int corpus_tokenize(struct corpus *c, const uint32_t *rank, struct errmsg *msg)
{
	uint8_t *token = mem_alloc(c->count * 2);

	if (token == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for the %llu tokens of %s",
			(unsigned long long)c->count, c->path);
	c->tokens = token;
	for (size_t at = c->start; at < c->file.len; token += 2) {
		uint32_t code_point = 0;

		if (rank == NULL) {
			store_le16(token, c->file.data[at++]);
			continue;
		}
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
		"%s: the %s text has %llu %s; a context of %u needs at least %u: use a longer "
		"text, a smaller model.context or another data.validation_fraction",
		path, part, (unsigned long long)tokens,
		d->token == TOKEN_BYTE ? "bytes" : "characters", d->context, d->context + 1);
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

/* Characters: the vocabulary of both texts, and their tokens. */
static int tokenize_characters(
	struct dataset *d, struct corpus *train, struct corpus *validation, struct errmsg *msg)
{
	uint32_t *ranks = mem_calloc(CODE_POINTS, sizeof(*ranks));
	int rc;

	if (ranks == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory to count characters");
	rc = corpus_survey(train, ranks, msg);
	if (rc == TK_OK && validation->path != NULL)
		rc = corpus_survey(validation, ranks, msg);
	if (rc == TK_OK)
		rc = vocabulary_make(d, ranks, train->path, msg);
	if (rc == TK_OK)
		rc = corpus_tokenize(train, ranks, msg);
	if (rc == TK_OK && validation->path != NULL)
		rc = corpus_tokenize(validation, ranks, msg);
	mem_free(ranks);
	return rc;
}

static int tokenize_bytes(
	struct dataset *d, struct corpus *train, struct corpus *validation, struct errmsg *msg)
{
	const uint8_t *data = train->file.data;
	size_t n = train->file.len;
	int rc;

	if (n == 0)
		return errmsg_set(msg, TK_EINVAL, "%s is empty; it must hold bytes to learn from",
			train->path);
	if (memcmp(data, data + 1, n - 1) == 0)
		return errmsg_set(msg, TK_EINVAL,
			"%s: the file is one byte, repeated; there is nothing to predict in it",
			train->path);
	d->classes = BYTE_CLASSES;
	rc = corpus_tokenize(train, NULL, msg);
	if (rc == TK_OK && validation->path != NULL)
		rc = corpus_tokenize(validation, NULL, msg);
	return rc;
}

int text_prepare(struct dataset *d, const struct data_spec *spec, const struct shard_sink *sink,
	struct errmsg *msg)
{
	struct corpus train = {0};
	struct corpus validation = {0};
	int rc;

	if (spec->context < 1 || spec->context > CONTEXT_MAX)
		return errmsg_set(msg, TK_EINVAL, "model.context is %u; text needs 1 to %u",
			spec->context, CONTEXT_MAX);
	d->kind = SAMPLE_TEXT;
	d->context = spec->context;
	d->token = spec->token == TOKEN_BYTE ? TOKEN_BYTE : TOKEN_CHARACTER;
	rc = corpus_read(&train, spec->path, msg);
	if (rc == TK_OK && spec->validation_path[0] != '\0')
		rc = corpus_read(&validation, spec->validation_path, msg);
	if (rc == TK_OK && d->token == TOKEN_BYTE)
		rc = tokenize_bytes(d, &train, &validation, msg);
	else if (rc == TK_OK)
		rc = tokenize_characters(d, &train, &validation, msg);
	if (rc == TK_OK)
		rc = parts_write(d, spec, &train, &validation, sink, msg);
	bytes_close(&train.file);
	bytes_close(&validation.file);
	mem_free(train.tokens);
	mem_free(validation.tokens);
	return rc;
}
