/* The readers behind dataset_prepare, one for each format. Each fills *d, which before has
 * LABEL_CLASS and is zero otherwise, and is closed by the caller whether it succeeded or not. The spec
 * has passed dataset_prepare's checks. */
#ifndef TASKS_DATA_READERS_H
#define TASKS_DATA_READERS_H

#include "tasks/data/dataset.h"

/* The largest file a reader takes whole into memory. */
#define DATA_FILE_MAX ((size_t)8 << 30)

int table_prepare(struct dataset *d, const struct data_spec *spec, const struct shard_sink *sink,
	struct errmsg *msg) TK_CHECKED;
int idx_prepare(struct dataset *d, const struct data_spec *spec, const struct shard_sink *sink,
	struct errmsg *msg) TK_CHECKED;
int text_prepare(struct dataset *d, const struct data_spec *spec, const struct shard_sink *sink,
	struct errmsg *msg) TK_CHECKED;

#endif
