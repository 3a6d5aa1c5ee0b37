/* Datasets as the training sees them: prepared once by the owner into shards of fixed-size samples.
 *
 * A shard is self-contained bytes, at most SHARD_BYTES long. Dense data: shard_samples samples, each
 * `features` elements (u8 or float32 LE) followed by the label as u32 LE. Text: tokens as u16 LE; a
 * shard with s samples holds s + context tokens, sample i is tokens i … i+context−1 and its label is
 * token i+context (windows of stride 1). u8 elements mean value/255. */
#ifndef TASKS_DATA_DATASET_H
#define TASKS_DATA_DATASET_H

#include "tasks/base/bytes.h"
#include "tasks/base/digest.h"
#include "tasks/base/error.h"

#define SHARD_BYTES	(4u << 20)
#define SHARDS_MAX	65536u
#define FEATURES_MAX	65536u
#define CLASSES_MAX	65536u
#define CONTEXT_MAX	4096u
#define LABEL_BYTES_MAX 64u
#define BYTE_CLASSES	256u /* of TOKEN_BYTE */

enum sample_kind {
	SAMPLE_F32 = 1,
	SAMPLE_U8 = 2,
	SAMPLE_TEXT = 3,
};

/* What a label is: a class (u32), or for regression a number (float32), standardised by its mean and
 * deviation over the training part. */
enum label_kind { LABEL_CLASS = 1, LABEL_NUMBER = 2 };

/* What a token of a text is: a character of the vocabulary, or a byte (256 classes, no vocabulary). */
enum token_kind { TOKEN_CHARACTER = 1, TOKEN_BYTE = 2 };

/* Training or validation samples. samples = 0: there is no such part. */
struct dataset_part {
	uint64_t samples;
	uint32_t shard_samples; /* in every shard but the last */
	uint32_t shards;	/* ceil(samples / shard_samples) */
	struct digest *digests; /* owned; one per shard (digest_blob) */
};

struct dataset {
	enum sample_kind kind;
	uint32_t features; /* dense: elements per sample; text: 0 */
	uint32_t context;  /* text: tokens per window; dense: 0 */
	uint32_t classes;  /* text: size of the vocabulary; LABEL_NUMBER: 0 */
	/* Channels, height and width, where the owner's files say so; else 0. Only dataset_prepare sets
	 * it: a recipe's model has its own. */
	uint32_t image[3];
	enum token_kind token; /* text; else 0 */
	enum label_kind label; /* LABEL_NUMBER only with dense data */
	float target_mean,
		target_deviation; /* LABEL_NUMBER: number = label·deviation + mean; else 0 */
	/* Characters: class i is the code point vocabulary[i], ascending. Else NULL. Owned. */
	uint32_t *vocabulary;
	/* Dense with classes: class i is called class_names[i], NUL-terminated UTF-8. Else NULL. Owned. */
	char (*class_names)[LABEL_BYTES_MAX];
	struct dataset_part train;
	struct dataset_part validation;
};

/* What the owner says about the data (the data: section of project.yaml). Paths are resolved. */
enum data_format { DATA_CSV = 1, DATA_IDX = 2, DATA_TEXT = 3 };
enum data_header { HEADER_AUTO = 0, HEADER_YES = 1, HEADER_NO = 2 };

#define DATA_PATH_MAX 1024
struct data_spec {
	enum data_format format;
	char path[DATA_PATH_MAX];
	char labels[DATA_PATH_MAX];	       /* IDX: the file of labels */
	char validation_path[DATA_PATH_MAX];   /* empty: a fraction instead */
	char validation_labels[DATA_PATH_MAX]; /* IDX, with validation_path */
	double validation_fraction;	       /* 0 ≤ f < 1, without validation_path; 0: none */
	enum data_header header;	       /* CSV */
	char label[256];       /* CSV: "last", a column's name, or its index from 0 */
	char missing[64];      /* CSV: the field that means missing; an empty field always does */
	char delimiter;	       /* CSV: ',' unless said */
	uint64_t seed;	       /* for the split */
	uint32_t context;      /* text: from the model */
	enum token_kind token; /* text; 0: characters */
	enum label_kind task;  /* CSV: predict a class or a number; 0: a class */
};

/* Receives each shard as it is made, in order: the training shards, then the validation ones.
 * Borrows bytes. digest is digest_blob of them. Returns 0 or an error that ends the preparation. */
struct shard_sink {
	void *context;
	int (*take)(
		void *context, const struct digest *digest, struct span bytes, struct errmsg *msg);
};

/* Reads the owner's files, makes the shards and describes them. Gives *out (dataset_close) only on
 * success. Errors carry file, line, field and remedy. Deterministic in the files and the spec.
 * sink may be NULL: then it only describes; after an error it may have received shards.
 * The rules of each format stand in source.h and column.h (CSV), idx.c and text.c. A fraction of a
 * table or of images is drawn by row (split.h), that of a text is its end. */
int dataset_prepare(struct dataset *out, const struct data_spec *spec,
	const struct shard_sink *sink, struct errmsg *msg) TK_CHECKED;

void dataset_close(struct dataset *d);

/* Bytes of a full sample's slot: dense, features × element + 4; text, 2. */
size_t dataset_sample_bytes(const struct dataset *d);

/* The exact byte length of shard s of a part. */
size_t dataset_shard_bytes(const struct dataset *d, const struct dataset_part *p, uint32_t shard);

#endif
