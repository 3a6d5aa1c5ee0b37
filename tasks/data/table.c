/* Tables with a label, a class or a number: CSV files become rows of float32 features. column.h says how values are encoded,
 * source.h which row is the header, csv.h what the files may look like.
 *
 * Everything that is learnt from the data (kinds, means, categories, classes) is learnt from the
 * training part only. The files are read in five passes: survey, kinds and means, deviations and
 * categories, training rows, validation rows. Memory: the files, the categories, a row, a shard. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/data/column.h"
#include "tasks/data/readers.h"
#include "tasks/data/split.h"
#include "tasks/data/writer.h"

struct table {
	const struct data_spec *spec;
	locale_t c;
	struct source train;
	struct source validation; /* when the owner has a file for it */
	bool separate;		  /* there is one */
	struct split split;
	uint32_t label;		/* its column */
	struct column *columns; /* owned; (train.columns) */
	bool full_stops;	/* see label_class */
	/* While a part is written. */
	struct shard_writer writer;
	uint8_t *row; /* owned; features × float32 LE */
	size_t row_bytes;
};

/* Called for each row of a part, which s->csv holds. */
typedef int (*row_visit)(struct table *t, const struct source *s, struct errmsg *msg);

static int walk(struct table *t, bool validation, row_visit visit, struct errmsg *msg)
{
	struct source *s = validation && t->separate ? &t->validation : &t->train;
	int rc = source_rewind(s, msg);

	for (uint64_t row = 0; rc == TK_OK && row < s->rows; row++) {
		bool got;

		rc = csv_next(&s->csv, &got, msg);
		if (rc != TK_OK)
			break;
		REQUIRE(got);
		if (t->separate || split_keeps(&t->split, row) == validation)
			rc = visit(t, s, msg);
	}
	return rc;
}

static struct cell cell_of(const struct table *t, const struct source *s, uint32_t column)
{
	return cell_read(csv_field(&s->csv, column), t->spec->missing, t->c);
}

static struct place place_of(const struct source *s)
{
	return (struct place){s->path, s->csv.line};
}

static int note_row(struct table *t, const struct source *s, struct errmsg *msg)
{
	int rc = TK_OK;

	for (uint32_t i = 0; rc == TK_OK && i < s->columns; i++) {
		struct cell cell = cell_of(t, s, i);

		rc = column_note(&t->columns[i], &cell, place_of(s), msg);
	}
	return rc;
}

static int gather_row(struct table *t, const struct source *s, struct errmsg *msg)
{
	int rc = TK_OK;

	for (uint32_t i = 0; rc == TK_OK && i < s->columns; i++) {
		struct cell cell = cell_of(t, s, i);

		rc = column_gather(&t->columns[i], &cell, place_of(s), msg);
	}
	return rc;
}

static bool ends_with_stop(const char *text)
{
	size_t n = strlen(text);

	return n > 1 && text[n - 1] == '.';
}

/* Ends full_stops at the first validation label without one. */
static int look_for_stop(struct table *t, const struct source *s, struct errmsg *msg)
{
	(void)msg;
	t->full_stops &= ends_with_stop(csv_field(&s->csv, t->label));
	return TK_OK;
}

/* Files of the UCI archive end each line of a test set in a full stop, which thereby sticks to the
 * label, the last field. So: where every label of the validation file ends in a full stop and no class
 * of the training part does, the full stop is not part of the label. */
static int find_full_stops(struct table *t, struct errmsg *msg)
{
	const struct words *classes = &t->columns[t->label].words;

	t->full_stops = t->separate && t->columns[t->label].kind == COLUMN_CLASS;
	for (uint32_t i = 0; i < classes->count; i++)
		t->full_stops &= !ends_with_stop(words_at(classes, i));
	return t->full_stops ? walk(t, true, look_for_stop, msg) : TK_OK;
}

static int label_class(
	const struct table *t, const struct source *s, uint32_t *class, struct errmsg *msg)
{
	const struct column *c = &t->columns[t->label];
	struct cell cell = cell_of(t, s, t->label);
	char name[LABEL_BYTES_MAX + 1];
	char quoted[UTF8_QUOTED];
	char first[UTF8_QUOTED];
	size_t length = strlen(cell.text);

	if (cell.missing)
		return errmsg_set(msg, TK_EINVAL,
			"%s:%llu: the label (%s) is missing; remove the row or fill it in", s->path,
			(unsigned long long)s->csv.line, c->title);
	if (s == &t->validation && t->full_stops)
		length--;
	if (length < sizeof(name)) {
		memcpy(name, cell.text, length);
		name[length] = '\0';
		if (words_find(&c->words, name, class))
			return TK_OK;
	}
	return errmsg_set(msg, TK_EINVAL,
		"%s:%llu: the label %s (%s) does not occur in the training part, whose %u classes "
		"begin "
		"with %s; correct it, or add such rows to the training part",
		s->path, (unsigned long long)s->csv.line, utf8_quote(quoted, cell.text), c->title,
		c->words.count, utf8_quote(first, words_at(&c->words, 0)));
}

/* The label as a sample has it: a class, or the bits of a number. */
static int label_of(
	const struct table *t, const struct source *s, uint32_t *label, struct errmsg *msg)
{
	const struct column *c = &t->columns[t->label];
	struct cell cell = cell_of(t, s, t->label);
	float number = 0;
	int rc;

	if (c->kind == COLUMN_CLASS)
		return label_class(t, s, label, msg);
	rc = column_target(c, &cell, place_of(s), &number, msg);
	if (rc == TK_OK)
		memcpy(label, &number, sizeof(*label));
	return rc;
}

static int write_row(struct table *t, const struct source *s, struct errmsg *msg)
{
	uint32_t label = 0;
	int rc = label_of(t, s, &label, msg);

	memset(t->row, 0, t->row_bytes);
	for (uint32_t i = 0; rc == TK_OK && i < s->columns; i++) {
		struct cell cell = cell_of(t, s, i);

		rc = column_encode(&t->columns[i], &cell, place_of(s), t->row, msg);
	}
	if (rc == TK_OK)
		rc = writer_sample(&t->writer, span_of(t->row, t->row_bytes), label, msg);
	return rc;
}

static int write_part(struct table *t, struct dataset *d, bool validation, uint64_t rows,
	const struct shard_sink *sink, struct errmsg *msg)
{
	struct dataset_part *part = validation ? &d->validation : &d->train;
	int rc = writer_begin(&t->writer, d, part, rows, sink, msg);

	if (rc == TK_OK)
		rc = walk(t, validation, write_row, msg);
	if (rc == TK_OK)
		writer_end(&t->writer);
	writer_close(&t->writer);
	return rc;
}

static int open_files(struct table *t, struct errmsg *msg)
{
	const struct data_spec *spec = t->spec;
	int rc = source_open(&t->train, spec->path, spec, t->c, NULL, msg);

	if (rc == TK_OK)
		rc = source_label(&t->train, spec, &t->label, msg);
	if (rc != TK_OK)
		return rc;
	t->split = (struct split){.rows = t->train.rows, .seed = spec->seed};
	if (t->separate)
		return source_open(
			&t->validation, spec->validation_path, spec, t->c, &t->train, msg);
	if (spec->validation_fraction > 0 && t->train.rows < 2)
		return errmsg_set(msg, TK_EINVAL,
			"%s has 1 row; a validation fraction needs at least 2", spec->path);
	if (spec->validation_fraction > 0)
		t->split.validation = split_count(t->train.rows, spec->validation_fraction);
	return TK_OK;
}

static int name_columns(struct table *t, struct errmsg *msg)
{
	char quoted[UTF8_QUOTED];

	t->columns = mem_calloc(t->train.columns, sizeof(*t->columns));
	if (t->columns == NULL)
		return errmsg_set(
			msg, TK_ENOMEM, "not enough memory for the columns of %s", t->train.path);
	for (uint32_t i = 0; i < t->train.columns; i++) {
		struct column *c = &t->columns[i];

		if (t->train.header)
			snprintf(c->title, sizeof(c->title), "column %s",
				utf8_quote(quoted, source_first(&t->train, i)));
		else
			snprintf(c->title, sizeof(c->title), "column %u", i);
	}
	t->columns[t->label].kind = t->spec->task == LABEL_NUMBER ? COLUMN_TARGET : COLUMN_CLASS;
	return TK_OK;
}

/* The two passes that learn from the training part. */
static int learn_columns(struct table *t, struct errmsg *msg)
{
	int rc = walk(t, false, note_row, msg);

	for (uint32_t i = 0; rc == TK_OK && i < t->train.columns; i++)
		rc = column_settle(&t->columns[i], t->train.path, msg);
	if (rc == TK_OK)
		rc = walk(t, false, gather_row, msg);
	for (uint32_t i = 0; rc == TK_OK && i < t->train.columns; i++)
		rc = column_finish(&t->columns[i], t->train.path, msg);
	return rc;
}

/* Gives each column its features, side by side. */
static int lay_features(struct table *t, struct dataset *d, struct errmsg *msg)
{
	const struct column *widest = &t->columns[0];
	uint64_t features = 0;

	for (uint32_t i = 0; i < t->train.columns; i++) {
		struct column *c = &t->columns[i];

		c->feature = (uint32_t)features; /* below 2^12 × 2^16 */
		features += c->width;
		if (c->width > widest->width)
			widest = c;
	}
	if (features == 0)
		return errmsg_set(msg, TK_EINVAL,
			"%s: no column but the label has a value in the training part",
			t->train.path);
	if (features > FEATURES_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"%s: the columns make %llu features, of which at most %u are possible; %s "
			"alone makes %u: remove it, or put its values into groups",
			t->train.path, (unsigned long long)features, FEATURES_MAX, widest->title,
			widest->width);
	d->kind = SAMPLE_F32;
	d->features = (uint32_t)features;
	t->row_bytes = (size_t)features * 4;
	t->row = mem_alloc(t->row_bytes);
	if (t->row == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for a row of features");
	return TK_OK;
}

/* What labels mean: the names of classes, or how a number is standardised. */
static int describe_label(const struct table *t, struct dataset *d, struct errmsg *msg)
{
	const struct column *c = &t->columns[t->label];
	const struct words *classes = &c->words;

	if (c->kind == COLUMN_TARGET) {
		d->label = LABEL_NUMBER;
		d->target_mean = (float)c->mean;
		d->target_deviation = (float)c->deviation;
		return TK_OK;
	}
	d->class_names = mem_calloc(classes->count, sizeof(*d->class_names));
	if (d->class_names == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for the classes");
	d->classes = classes->count;
	for (uint32_t i = 0; i < classes->count; i++)
		memcpy(d->class_names[i], words_at(classes, i), strlen(words_at(classes, i)));
	return TK_OK;
}

static void table_close(struct table *t)
{
	for (uint32_t i = 0; t->columns != NULL && i < t->train.columns; i++)
		words_close(&t->columns[i].words);
	mem_free(t->columns);
	mem_free(t->row);
	source_close(&t->train);
	source_close(&t->validation);
	freelocale(t->c);
}

int table_prepare(struct dataset *d, const struct data_spec *spec, const struct shard_sink *sink,
	struct errmsg *msg)
{
	struct table t = {.spec = spec, .separate = spec->validation_path[0] != '\0'};
	int rc;

	t.c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (t.c == (locale_t)0)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for the C locale");
	rc = open_files(&t, msg);
	if (rc == TK_OK)
		rc = name_columns(&t, msg);
	if (rc == TK_OK)
		rc = learn_columns(&t, msg);
	if (rc == TK_OK)
		rc = find_full_stops(&t, msg);
	if (rc == TK_OK)
		rc = lay_features(&t, d, msg);
	if (rc == TK_OK)
		rc = describe_label(&t, d, msg);
	if (rc == TK_OK)
		rc = write_part(&t, d, false, t.split.rows - t.split.validation, sink, msg);
	if (rc == TK_OK && t.separate)
		rc = write_part(&t, d, true, t.validation.rows, sink, msg);
	else if (rc == TK_OK && t.split.validation != 0)
		rc = write_part(&t, d, true, t.split.validation, sink, msg);
	table_close(&t);
	return rc;
}
