/* See column.h. The arithmetic is +, −, ×, ÷ and √ in double, in the order of the rows, so that every
 * machine prepares the same bits. */
#include "tasks/data/column.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "tasks/base/require.h"

/* A text among so many numbers, at most one in STRAY_RATIO, is a slip and not a category. */
#define STRAY_NUMBERS_MIN 40u
#define STRAY_RATIO	  20u

/* A text column with more rows than this, all different, identifies rows and teaches nothing. */
#define IDENTIFIER_ROWS 100u

/* More classes than this, all of them numbers, are a quantity; with fractions, fewer are. */
#define NUMBER_CLASSES_MAX   1000u
#define FRACTION_CLASSES_MAX 32u

/* A target's mean is kept as float32, whose steps must be small beside the deviation. */
#define TARGET_MEAN_MAX 1048576.0 /* deviations */

/* What tables write where a number is missing. */
static bool means_missing(const char *text)
{
	static const char *const marks[] = {
		"?", "-", "NA", "N/A", "n/a", "na", "NaN", "nan", "NAN", "null", "NULL", "None"};

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		if (strcmp(text, marks[i]) == 0)
			return true;
	}
	return false;
}

static int check_label(
	const struct column *c, const struct cell *cell, struct place at, struct errmsg *msg)
{
	char quoted[UTF8_QUOTED];

	if (cell->missing)
		return errmsg_set(msg, TK_EINVAL,
			"%s:%llu: the label (%s) is missing; remove the row or fill it in", at.path,
			(unsigned long long)at.line, c->title);
	if (c->kind == COLUMN_TARGET && !cell->number)
		return errmsg_set(msg, TK_EINVAL,
			"%s:%llu: the label %s (%s) is no number; correct it, remove the row, or "
			"say data.predict: class",
			at.path, (unsigned long long)at.line, utf8_quote(quoted, cell->text),
			c->title);
	return TK_OK;
}

int column_note(struct column *c, const struct cell *cell, struct place at, struct errmsg *msg)
{
	if (c->kind == COLUMN_CLASS || c->kind == COLUMN_TARGET) {
		int rc = check_label(c, cell, at, msg);

		if (rc != TK_OK)
			return rc;
	}
	if (cell->missing) {
		c->missing++;
	} else if (!cell->number) {
		c->words_apart |= !means_missing(cell->text);
		if (c->texts++ == 0) {
			utf8_quote(c->text, cell->text);
			c->text_line = at.line;
		}
	} else {
		double x = cell->value;

		if (c->numbers == 0 || x < c->least)
			c->least = x;
		if (c->numbers == 0 || x > c->largest)
			c->largest = x;
		c->sum += x;
		c->fractions |= x != floor(x);
		c->numbers++;
	}
	return TK_OK;
}

static int refuse_range(const struct column *c, const char *path, struct errmsg *msg)
{
	return errmsg_set(msg, TK_EINVAL,
		"%s: %s reaches from %g to %g, which is too wide to be standardised; rescale it",
		path, c->title, c->least, c->largest);
}

/* Says what a feature's column holds. */
static int settle_kind(struct column *c, const char *path, struct errmsg *msg)
{
	if (c->texts != 0 && c->numbers != 0 && !c->words_apart)
		return errmsg_set(msg, TK_EINVAL,
			"%s:%llu: %s holds %s among numbers, which usually means a missing one: "
			"say data.missing: %s (an empty field always means missing)",
			path, (unsigned long long)c->text_line, c->title, c->text, c->text);
	if (c->texts != 0 && c->numbers >= STRAY_NUMBERS_MIN &&
		c->texts <= c->numbers / STRAY_RATIO)
		return errmsg_set(msg, TK_EINVAL,
			"%s:%llu: %s holds %s among %llu numbers: correct it, or say data.missing: "
			"%s; if "
			"the column holds names that look like numbers, put a letter before each",
			path, (unsigned long long)c->text_line, c->title, c->text,
			(unsigned long long)c->numbers, c->text);
	if (c->texts != 0)
		c->kind = COLUMN_CATEGORIES;
	else if (c->numbers != 0)
		c->kind = COLUMN_NUMBERS;
	return TK_OK;
}

int column_settle(struct column *c, const char *path, struct errmsg *msg)
{
	int rc = c->kind == COLUMN_NOTHING ? settle_kind(c, path, msg) : TK_OK;

	if (rc != TK_OK || (c->kind != COLUMN_NUMBERS && c->kind != COLUMN_TARGET))
		return rc;
	c->mean = c->sum / (double)c->numbers;
	return isfinite(c->mean) ? TK_OK : refuse_range(c, path, msg);
}

static int gather_word(struct column *c, const char *text, struct place at, struct errmsg *msg)
{
	if (words_add(&c->words, text) != TK_OK)
		return errmsg_set(
			msg, TK_ENOMEM, "not enough memory for the values of %s", c->title);
	if (c->kind == COLUMN_CLASS && c->words.count > CLASSES_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"%s: the label (%s) has more than %u classes; is it the right column?",
			at.path, c->title, CLASSES_MAX);
	if (c->kind == COLUMN_CATEGORIES && c->words.count > FEATURES_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"%s: %s has more than %u different texts (the first is %s on line %llu), "
			"each "
			"of which would be a feature; remove the column, or name that text in "
			"data.missing if it means a missing number",
			at.path, c->title, FEATURES_MAX, c->text, (unsigned long long)c->text_line);
	return TK_OK;
}

static int check_class(
	const struct column *c, const char *name, struct place at, struct errmsg *msg)
{
	char quoted[UTF8_QUOTED];

	if (strlen(name) < LABEL_BYTES_MAX && utf8_valid(name))
		return TK_OK;
	return errmsg_set(msg, TK_EINVAL,
		"%s:%llu: the label %s (%s) is longer than %u bytes or not UTF-8; shorten or "
		"convert it",
		at.path, (unsigned long long)at.line, utf8_quote(quoted, name), c->title,
		LABEL_BYTES_MAX - 1);
}

int column_gather(struct column *c, const struct cell *cell, struct place at, struct errmsg *msg)
{
	double away;
	int rc;

	if (cell->missing)
		return TK_OK;
	switch (c->kind) {
	case COLUMN_NOTHING:
		break;
	case COLUMN_NUMBERS:
	case COLUMN_TARGET:
		away = cell->value - c->mean;
		c->squares += away * away;
		break;
	case COLUMN_CATEGORIES:
		return gather_word(c, cell->text, at, msg);
	case COLUMN_CLASS:
		rc = check_class(c, cell->text, at, msg);
		return rc == TK_OK ? gather_word(c, cell->text, at, msg) : rc;
	}
	return TK_OK;
}

static int finish_class(const struct column *c, const char *path, struct errmsg *msg)
{
	uint32_t classes = c->words.count;
	uint32_t most = c->fractions ? FRACTION_CLASSES_MAX : NUMBER_CLASSES_MAX;
	char quoted[UTF8_QUOTED];

	if (classes < 2)
		return errmsg_set(msg, TK_EINVAL,
			"%s: the label (%s) is %s in every training row; there is nothing to tell "
			"apart",
			path, c->title, utf8_quote(quoted, words_at(&c->words, 0)));
	if (c->texts == 0 && classes > most)
		return errmsg_set(msg, TK_EINVAL,
			"%s: the label (%s) has %u different numbers, so it is a quantity: say "
			"data.predict: number, put it into ranges, or choose another data.label",
			path, c->title, classes);
	if (classes == c->numbers + c->texts && classes > IDENTIFIER_ROWS)
		return errmsg_set(msg, TK_EINVAL,
			"%s: the label (%s) is different in each of %u training rows; is it the "
			"right "
			"column? data.label says which",
			path, c->title, classes);
	return TK_OK;
}

static int finish_target(struct column *c, const char *path, struct errmsg *msg)
{
	if (c->least == c->largest)
		return errmsg_set(msg, TK_EINVAL,
			"%s: the label (%s) is %g in every training row; there is nothing to "
			"predict: choose another data.label",
			path, c->title, c->least);
	if (fabs(c->mean) > TARGET_MEAN_MAX * c->deviation)
		return errmsg_set(msg, TK_EINVAL,
			"%s: the label (%s) hardly differs from its mean %.9g (by %g); subtract "
			"some constant from it",
			path, c->title, c->mean, c->deviation);
	if (!(fabs(c->mean) <= (double)FLT_MAX && c->deviation <= (double)FLT_MAX))
		return refuse_range(c, path, msg);
	if (c->deviation < (double)FLT_MIN)
		return errmsg_set(msg, TK_EINVAL,
			"%s: the label (%s) reaches from %g to %g only, which is too little to be "
			"standardised; multiply it by some constant",
			path, c->title, c->least, c->largest);
	c->mean = (double)((float)c->mean + 0.0f); /* no −0 */
	c->deviation = (double)(float)c->deviation;
	return TK_OK;
}

static int finish_deviation(struct column *c, const char *path, struct errmsg *msg)
{
	if (c->least != c->largest)
		c->deviation = sqrt(c->squares / (double)c->numbers);
	return isfinite(c->deviation) ? TK_OK : refuse_range(c, path, msg);
}

int column_finish(struct column *c, const char *path, struct errmsg *msg)
{
	int rc = TK_OK;

	switch (c->kind) {
	case COLUMN_NOTHING:
		break;
	case COLUMN_NUMBERS:
		rc = finish_deviation(c, path, msg);
		c->width = c->missing != 0 ? 2 : 1;
		break;
	case COLUMN_CATEGORIES:
		if (c->words.count == c->numbers + c->texts && c->words.count > IDENTIFIER_ROWS)
			return errmsg_set(msg, TK_EINVAL,
				"%s: %s holds a different text in each of %u training rows (the "
				"first "
				"is %s on line %llu); it tells rows apart and teaches nothing: "
				"remove "
				"the column, or name that text in data.missing if it means a "
				"missing "
				"number",
				path, c->title, c->words.count, c->text,
				(unsigned long long)c->text_line);
		c->width = c->words.count;
		break;
	case COLUMN_CLASS:
		return finish_class(c, path, msg);
	case COLUMN_TARGET:
		rc = finish_deviation(c, path, msg);
		return rc == TK_OK ? finish_target(c, path, msg) : rc;
	}
	return rc;
}

static void put_float(uint8_t *row, uint32_t feature, float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	store_le32(row + (size_t)feature * 4, bits);
}

static int standardise(const struct column *c, const struct cell *cell, struct place at,
	float *value, struct errmsg *msg)
{
	float v = (float)((cell->value - c->mean) / c->deviation);

	if (!isfinite(v))
		return errmsg_set(msg, TK_EINVAL,
			"%s:%llu: %s holds %g, which is too far from the training part's mean %g; "
			"correct it",
			at.path, (unsigned long long)at.line, c->title, cell->value, c->mean);
	*value = v;
	return TK_OK;
}

static int encode_number(const struct column *c, const struct cell *cell, struct place at,
	uint8_t *row, struct errmsg *msg)
{
	char quoted[UTF8_QUOTED];
	float value = 0;
	int rc;

	if (cell->missing) {
		if (c->width == 2)
			put_float(row, c->feature + 1, 1.0f);
		return TK_OK;
	}
	if (!cell->number)
		return errmsg_set(msg, TK_EINVAL,
			"%s:%llu: %s holds %s where the training part has only numbers; correct "
			"it, "
			"or name it in data.missing",
			at.path, (unsigned long long)at.line, c->title,
			utf8_quote(quoted, cell->text));
	if (c->deviation == 0)
		return TK_OK;
	rc = standardise(c, cell, at, &value, msg);
	if (rc == TK_OK)
		put_float(row, c->feature, value);
	return rc;
}

int column_encode(const struct column *c, const struct cell *cell, struct place at, uint8_t *row,
	struct errmsg *msg)
{
	uint32_t category;

	if (c->kind == COLUMN_NUMBERS)
		return encode_number(c, cell, at, row, msg);
	if (c->kind == COLUMN_CATEGORIES && !cell->missing &&
		words_find(&c->words, cell->text, &category))
		put_float(row, c->feature + category, 1.0f);
	return TK_OK;
}

int column_target(const struct column *c, const struct cell *cell, struct place at, float *label,
	struct errmsg *msg)
{
	int rc = check_label(c, cell, at, msg);

	REQUIRE(c->kind == COLUMN_TARGET && c->deviation > 0);
	return rc == TK_OK ? standardise(c, cell, at, label, msg) : rc;
}
