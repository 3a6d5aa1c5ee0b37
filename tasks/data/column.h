/* One column of a table: what its training values are, and how a value becomes features.
 *
 * Numbers: every training value that is not missing is a number. One feature, (x − mean) / deviation
 * over the training values that are not missing (population deviation, in double, in the order of the
 * rows); a missing value gives 0. Columns that miss values in training get a second feature: 1 where
 * the value is missing, else 0. A constant column gives zeros.
 * Refused: numbers, and no text but the usual marks of a missing number (NA, nan, ?, -), which
 * data.missing does not name: each number would become a category.
 * Categories: everything else. One feature for each category of the training part, ascending by bytes,
 * 1 for the value's own and 0 for the others; missing and unknown values give zeros only.
 * Nothing: no training value at all. No feature.
 * Class: the label's texts, ascending by bytes. Target: a label that is a number in every row, as
 * (x − mean) / deviation, where both come from the training part as they do for numbers, and are
 * rounded to float32 before, so that label·deviation + mean gives x back. No features. */
#ifndef TASKS_DATA_COLUMN_H
#define TASKS_DATA_COLUMN_H

#include "tasks/data/source.h"
#include "tasks/data/utf8.h"
#include "tasks/data/words.h"

enum column_kind {
	COLUMN_NOTHING = 0,
	COLUMN_NUMBERS,
	COLUMN_CATEGORIES,
	COLUMN_CLASS,
	COLUMN_TARGET,
};

struct column {
	char title[UTF8_QUOTED + 16]; /* as messages call it: column "age", column 3 */
	enum column_kind kind;
	uint64_t numbers, texts, missing; /* training values of each sort */
	char text[UTF8_QUOTED];		  /* the first that is not a number, and its line */
	uint64_t text_line;
	bool words_apart; /* some text is none of the marks that tables use for a missing number */
	bool fractions;	  /* some number is not an integer */
	double sum, least, largest;
	double mean, squares, deviation;
	struct words words; /* categories or classes */
	uint32_t feature;   /* the first of its features, */
	uint32_t width;	    /* and how many */
};

/* Where a value stands, for messages. */
struct place {
	const char *path;
	uint64_t line;
};

/* First pass over the training rows. Errors: TK_EINVAL (a label is missing, a target no number). */
int column_note(
	struct column *c, const struct cell *cell, struct place at, struct errmsg *msg) TK_CHECKED;

/* Between the passes: settles kind (unless it is a label's) and mean. Errors: TK_EINVAL. */
int column_settle(struct column *c, const char *path, struct errmsg *msg) TK_CHECKED;

/* Second pass: deviations, categories, classes. Errors: TK_EINVAL, TK_ELIMIT, TK_ENOMEM. */
int column_gather(
	struct column *c, const struct cell *cell, struct place at, struct errmsg *msg) TK_CHECKED;

/* After it: settles deviation and width. Errors: TK_EINVAL. */
int column_finish(struct column *c, const char *path, struct errmsg *msg) TK_CHECKED;

/* Writes the features of a value into a row of float32 LE that is all zero before.
 * Errors: TK_EINVAL, with place and column. */
int column_encode(const struct column *c, const struct cell *cell, struct place at, uint8_t *row,
	struct errmsg *msg) TK_CHECKED;

/* The label of a COLUMN_TARGET's value. Errors: TK_EINVAL, with place and column. */
int column_target(const struct column *c, const struct cell *cell, struct place at, float *label,
	struct errmsg *msg) TK_CHECKED;

#endif
