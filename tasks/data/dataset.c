/* See dataset.h: the choice of reader, the sizes of shards, the end of a dataset. */
#include "tasks/data/dataset.h"

#include "tasks/base/mem.h"
#include "tasks/base/require.h"
#include "tasks/data/readers.h"

static int spec_check(const struct data_spec *spec, struct errmsg *msg)
{
	if (spec->path[0] == '\0')
		return errmsg_set(msg, TK_EINVAL,
			"data.path is empty; name the file that holds the training data");
	if (!(spec->validation_fraction >= 0 && spec->validation_fraction < 1))
		return errmsg_set(msg, TK_EINVAL,
			"data.validation_fraction is %g; it must be at least 0 and less than 1",
			spec->validation_fraction);
	if (spec->task == LABEL_NUMBER && spec->format != DATA_CSV)
		return errmsg_set(msg, TK_EINVAL,
			"data.predict: number belongs to data.format: csv; images and texts have "
			"classes: remove the key");
	return TK_OK;
}

static int prepare(struct dataset *d, const struct data_spec *spec, const struct shard_sink *sink,
	struct errmsg *msg)
{
	switch (spec->format) {
	case DATA_CSV:
		return table_prepare(d, spec, sink, msg);
	case DATA_IDX:
		return idx_prepare(d, spec, sink, msg);
	case DATA_TEXT:
		return text_prepare(d, spec, sink, msg);
	}
	return errmsg_set(
		msg, TK_EINVAL, "data.format is unknown; it must be one of csv, idx and text");
}

int dataset_prepare(struct dataset *out, const struct data_spec *spec,
	const struct shard_sink *sink, struct errmsg *msg)
{
	struct dataset d = {.label = LABEL_CLASS};
	int rc = spec_check(spec, msg);

	if (rc == TK_OK)
		rc = prepare(&d, spec, sink, msg);
	if (rc == TK_OK)
		*out = d;
	else
		dataset_close(&d);
	return rc;
}

void dataset_close(struct dataset *d)
{
	mem_free(d->vocabulary);
	mem_free(d->class_names);
	mem_free(d->train.digests);
	mem_free(d->validation.digests);
	*d = (struct dataset){0};
}

size_t dataset_sample_bytes(const struct dataset *d)
{
	switch (d->kind) {
	case SAMPLE_F32:
		return (size_t)d->features * 4 + 4;
	case SAMPLE_U8:
		return (size_t)d->features + 4;
	case SAMPLE_TEXT:
		return 2;
	}
	REQUIRE(!"a kind of sample");
	return 0;
}

size_t dataset_shard_bytes(const struct dataset *d, const struct dataset_part *p, uint32_t shard)
{
	uint64_t before = (uint64_t)shard * p->shard_samples;
	uint64_t samples;

	REQUIRE(shard < p->shards && before < p->samples);
	samples = p->samples - before;
	if (samples > p->shard_samples)
		samples = p->shard_samples;
	if (d->kind == SAMPLE_TEXT)
		samples += d->context;
	return (size_t)samples * dataset_sample_bytes(d);
}
