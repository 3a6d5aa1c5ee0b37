/* IDX, the format of the MNIST files (LeCun, Cortes, Burges): two zero bytes, the element's type, the
 * number of dimensions, each dimension as u32 big-endian, then the elements. Here: unsigned bytes,
 * images with 2 to 4 dimensions of which the first counts them, labels with 1.
 *
 * Samples keep the order of the file within each part. Memory: the files, whole. */
#include <stdio.h>

#include "tasks/base/file.h"
#include "tasks/base/mem.h"
#include "tasks/data/readers.h"
#include "tasks/data/split.h"
#include "tasks/data/writer.h"

#define IDX_DIMENSIONS_MAX 4
#define IDX_U8		   0x08

/* A file of unsigned bytes whose length agrees with its header. */
struct idx {
	const char *path;
	struct bytes file;
	unsigned dimensions;
	uint32_t dimension[IDX_DIMENSIONS_MAX];
	size_t each;	     /* elements per entry */
	const uint8_t *data; /* dimension[0] × each, inside file */
};

/* Images with their labels. */
struct pairs {
	struct idx images;
	struct idx labels;
};

static int check_magic(const struct idx *x, struct errmsg *msg)
{
	const uint8_t *p = x->file.data;

	if (x->file.len >= 2 && p[0] == 0x1f && p[1] == 0x8b)
		return errmsg_set(msg, TK_EINVAL, "%s is compressed; unpack it first: gunzip %s",
			x->path, x->path);
	if (x->file.len < 4)
		return errmsg_set(msg, TK_EINVAL,
			"%s has %zu bytes, which is too short for an IDX file", x->path,
			x->file.len);
	if (p[0] != 0 || p[1] != 0)
		return errmsg_set(msg, TK_EINVAL,
			"%s is not an IDX file: it begins with %02x %02x %02x %02x where 00 00 08 "
			"and "
			"the number of dimensions belong",
			x->path, p[0], p[1], p[2], p[3]);
	if (p[2] != IDX_U8)
		return errmsg_set(msg, TK_EUNSUPPORTED,
			"%s holds elements of type 0x%02x; only unsigned bytes (type 0x08) are "
			"read: "
			"convert it",
			x->path, p[2]);
	return TK_OK;
}

static int check_dimensions(const struct idx *x, bool labels, struct errmsg *msg)
{
	unsigned found = x->file.data[3];

	if (labels && found != 1)
		return errmsg_set(msg, TK_EINVAL,
			"%s has %u dimensions where labels have 1; data.labels must name the file "
			"of "
			"labels",
			x->path, found);
	if (!labels && (found < 2 || found > IDX_DIMENSIONS_MAX))
		return errmsg_set(msg, TK_EINVAL,
			"%s has %u dimension%s where images have 2 to %d%s", x->path, found,
			found == 1 ? "" : "s", IDX_DIMENSIONS_MAX,
			found == 1 ? "; is it the file of labels? data.path must name the images"
				   : "");
	return TK_OK;
}

/* Reads the dimensions and compares the length that they ask for with the file's. */
static int check_size(struct idx *x, struct errmsg *msg)
{
	size_t header = 4 + 4 * (size_t)x->dimensions;
	uint64_t each = 1;
	uint64_t want;

	if (x->file.len < header)
		return errmsg_set(msg, TK_EINVAL,
			"%s is cut off: its header takes %zu bytes, the file has %zu", x->path,
			header, x->file.len);
	for (unsigned i = 0; i < x->dimensions; i++) {
		const uint8_t *p = x->file.data + 4 + 4 * (size_t)i;

		x->dimension[i] =
			(uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
		if (i > 0 && each <= FEATURES_MAX)
			each *= x->dimension[i]; /* below 2^49: no overflow */
	}
	if (each == 0 || each > FEATURES_MAX)
		return errmsg_set(msg, TK_ELIMIT,
			"%s: each image has %s elements; 1 to %u are possible", x->path,
			each == 0 ? "no" : "too many", FEATURES_MAX);
	if (x->dimension[0] == 0)
		return errmsg_set(msg, TK_EINVAL, "%s holds no entries", x->path);
	want = header + x->dimension[0] * each;
	if (x->file.len != want)
		return errmsg_set(msg, TK_EINVAL,
			"%s: its header asks for %llu bytes, the file has %zu; it is %s: fetch it "
			"again",
			x->path, (unsigned long long)want, x->file.len,
			x->file.len < want ? "cut off" : "too long");
	x->each = (size_t)each;
	x->data = x->file.data + header;
	return TK_OK;
}

static int idx_open(struct idx *x, const char *path, bool labels, struct errmsg *msg)
{
	int rc;

	x->path = path;
	rc = file_read(&x->file, path, DATA_FILE_MAX, msg);
	if (rc == TK_OK)
		rc = check_magic(x, msg);
	if (rc == TK_OK)
		rc = check_dimensions(x, labels, msg);
	if (rc != TK_OK)
		return rc;
	x->dimensions = x->file.data[3];
	return check_size(x, msg);
}

static int pairs_open(struct pairs *p, const char *images, const char *labels, const char *field,
	struct errmsg *msg)
{
	int rc;

	if (labels[0] == '\0')
		return errmsg_set(msg, TK_EINVAL, "%s is missing; name the file of labels of %s",
			field, images);
	rc = idx_open(&p->images, images, false, msg);
	if (rc == TK_OK)
		rc = idx_open(&p->labels, labels, true, msg);
	if (rc != TK_OK)
		return rc;
	if (p->images.dimension[0] != p->labels.dimension[0])
		return errmsg_set(msg, TK_EINVAL,
			"%s holds %u images and %s holds %u labels; they must belong together",
			images, p->images.dimension[0], labels, p->labels.dimension[0]);
	return TK_OK;
}

static void pairs_close(struct pairs *p)
{
	bytes_close(&p->images.file);
	bytes_close(&p->labels.file);
}

/* Classes 0 to the largest label of the training part; every validation label must be one of them. */
static int classes_make(
	struct dataset *d, const struct idx *labels, const struct split *split, struct errmsg *msg)
{
	uint32_t largest = 0;

	for (uint64_t i = 0; i < split->rows; i++) {
		if (labels->data[i] > largest && !split_keeps(split, i))
			largest = labels->data[i];
	}
	if (largest == 0)
		return errmsg_set(msg, TK_EINVAL,
			"%s: every training label is 0; there is nothing to tell apart",
			labels->path);
	d->classes = largest + 1;
	d->class_names = mem_calloc(d->classes, sizeof(*d->class_names));
	if (d->class_names == NULL)
		return errmsg_set(msg, TK_ENOMEM, "not enough memory for the classes");
	for (uint32_t i = 0; i < d->classes; i++)
		snprintf(d->class_names[i], sizeof(d->class_names[i]), "%u", i);
	return TK_OK;
}

/* Writes the images of one part: those that the split keeps for validation, or the others. A split of
 * which every row is validation is a file of its own. */
static int part_write(struct dataset *d, struct dataset_part *part, const struct pairs *p,
	const struct split *split, bool validation, const struct shard_sink *sink,
	struct errmsg *msg)
{
	uint64_t count = validation ? split->validation : split->rows - split->validation;
	struct shard_writer w;
	int rc = writer_begin(&w, d, part, count, sink, msg);

	for (uint64_t i = 0; rc == TK_OK && i < split->rows; i++) {
		struct span image = span_of(p->images.data + i * d->features, d->features);
		uint8_t label = p->labels.data[i];

		if (split->validation != split->rows && split_keeps(split, i) != validation)
			continue;
		if (label >= d->classes)
			rc = errmsg_set(msg, TK_EINVAL,
				"%s: label %u of entry %llu (counting from 0) does not occur in "
				"the "
				"training part, whose largest is %u",
				p->labels.path, label, (unsigned long long)i, d->classes - 1);
		else
			rc = writer_sample(&w, image, label, msg);
	}
	if (rc == TK_OK)
		writer_end(&w);
	writer_close(&w);
	return rc;
}

static int same_shape(const struct idx *train, const struct idx *validation, struct errmsg *msg)
{
	bool same = train->dimensions == validation->dimensions;

	for (unsigned i = 1; same && i < train->dimensions; i++)
		same = train->dimension[i] == validation->dimension[i];
	if (same)
		return TK_OK;
	return errmsg_set(msg, TK_EINVAL,
		"%s has images of %zu elements and %s of %zu, or other dimensions; they must be "
		"alike",
		train->path, train->each, validation->path, validation->each);
}

/* Entries of height × width are images of one channel, those of 3 dimensions have channels first. */
static void image_describe(struct dataset *d, const struct idx *images)
{
	if (images->dimensions < 3)
		return;
	d->image[0] = images->dimensions == 4 ? images->dimension[1] : 1;
	d->image[1] = images->dimension[images->dimensions - 2];
	d->image[2] = images->dimension[images->dimensions - 1];
}

/* The training files, cut by the fraction unless the owner has files for validation. */
static int train_write(struct dataset *d, const struct data_spec *spec, const struct pairs *p,
	const struct shard_sink *sink, struct errmsg *msg)
{
	struct split split = {.rows = p->images.dimension[0], .seed = spec->seed};
	int rc;

	if (spec->validation_path[0] == '\0' && spec->validation_fraction > 0) {
		if (split.rows < 2)
			return errmsg_set(msg, TK_EINVAL,
				"%s holds 1 image; a validation fraction needs at least 2",
				p->images.path);
		split.validation = split_count(split.rows, spec->validation_fraction);
	}
	d->kind = SAMPLE_U8;
	d->features = (uint32_t)p->images.each;
	image_describe(d, &p->images);
	rc = classes_make(d, &p->labels, &split, msg);
	if (rc == TK_OK)
		rc = part_write(d, &d->train, p, &split, false, sink, msg);
	if (rc == TK_OK && split.validation != 0)
		rc = part_write(d, &d->validation, p, &split, true, sink, msg);
	return rc;
}

int idx_prepare(struct dataset *d, const struct data_spec *spec, const struct shard_sink *sink,
	struct errmsg *msg)
{
	struct pairs train = {0};
	struct pairs validation = {0};
	struct split all;
	bool other = spec->validation_path[0] != '\0';
	int rc = pairs_open(&train, spec->path, spec->labels, "data.labels", msg);

	if (rc == TK_OK && other)
		rc = pairs_open(&validation, spec->validation_path, spec->validation_labels,
			"data.validation_labels", msg);
	if (rc == TK_OK && other)
		rc = same_shape(&train.images, &validation.images, msg);
	if (rc == TK_OK)
		rc = train_write(d, spec, &train, sink, msg);
	if (rc == TK_OK && other) {
		all = (struct split){
			validation.images.dimension[0], validation.images.dimension[0], 0};
		rc = part_write(d, &d->validation, &validation, &all, true, sink, msg);
	}
	pairs_close(&train);
	pairs_close(&validation);
	return rc;
}
