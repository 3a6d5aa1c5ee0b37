/* See fuzz_corpus.h. */
#include "tests/lib/fuzz_corpus.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/file.h"
#include "tasks/base/require.h"
#include "tests/lib/fuzz_targets.h"

#define LENGTH_BYTES 4u
#define FILES_MAX    65536u
#define CORPUS_PATH  "tests/fuzz/corpus/%s.corpus"

bool corpus_read(struct bytes *out, const char *path)
{
	struct span rest, input;
	int rc = file_read(out, path, CORPUS_BYTES_MAX, NULL);

	if (rc == TK_ENOENT)
		return true;
	if (rc != TK_OK)
		return false;
	rest = bytes_span(out);
	while (corpus_next(&rest, &input))
		;
	return rest.len == 0;
}

bool corpus_next(struct span *rest, struct span *input)
{
	size_t n;

	if (rest->len < LENGTH_BYTES)
		return false;
	n = load_le32(rest->data);
	if (n > rest->len - LENGTH_BYTES)
		return false;
	*input = span_of(rest->data + LENGTH_BYTES, n);
	*rest = span_of(input->data + n, rest->len - LENGTH_BYTES - n);
	return true;
}

bool corpus_unpack(const char *path, const char *folder)
{
	struct bytes all = {0};
	bool good = corpus_read(&all, path);
	struct span rest = bytes_span(&all), input;
	char name[1024];

	for (unsigned i = 0; good && corpus_next(&rest, &input); i++) {
		snprintf(name, sizeof(name), "%s/kept-%u", folder, i);
		good = file_replace_unsynced(name, input, 0644, NULL) == TK_OK;
	}
	bytes_close(&all);
	return good;
}

static int by_length(const void *a, const void *b)
{
	const struct bytes *x = a, *y = b;
	int order = (x->len > y->len) - (x->len < y->len);

	return order != 0 || x->len == 0 ? order : memcmp(x->data, y->data, x->len);
}

/* Every file of a folder; their number. */
static size_t folder_read(struct bytes *files, const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[1400];
	size_t count = 0;

	while (dir != NULL && count < FILES_MAX && (entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		count += entry->d_name[0] != '.' &&
			 file_read(&files[count], path, CORPUS_BYTES_MAX, NULL) == TK_OK;
	}
	if (dir != NULL)
		closedir(dir);
	qsort(files, count, sizeof(*files), by_length);
	return count;
}

bool corpus_pack(const char *path, const char *folder)
{
	struct bytes *files = calloc(FILES_MAX, sizeof(*files));
	size_t count = files != NULL ? folder_read(files, folder) : 0;
	struct bytes all = {0};
	uint8_t length[LENGTH_BYTES];
	bool good = count != 0;

	for (size_t i = 0; i < count; i++) {
		if (good && all.len + LENGTH_BYTES + files[i].len <= CORPUS_BYTES_MAX) {
			store_le32(length, (uint32_t)files[i].len);
			good = bytes_append(&all, length, sizeof(length)) == TK_OK &&
			       bytes_append(&all, files[i].data, files[i].len) == TK_OK;
		}
		bytes_close(&files[i]);
	}
	free(files);
	good = good && file_replace(path, bytes_span(&all), 0644, NULL) == TK_OK;
	bytes_close(&all);
	return good;
}

/* A copy of its own, so that reading past the end is seen. */
static void run_exactly(const struct fuzz_target *t, struct span input)
{
	uint8_t *exact = malloc(input.len != 0 ? input.len : 1);

	REQUIRE(exact != NULL);
	memcpy(exact, input.data, input.len);
	t->run(span_of(exact, input.len));
	free(exact);
}

unsigned corpus_replay(unsigned each)
{
	unsigned all = 0;

	for (const struct fuzz_target *t = fuzz_targets; t->name != NULL; t++) {
		struct bytes kept = {0};
		struct span rest, input;
		char path[128];
		unsigned count = 0;

		snprintf(path, sizeof(path), CORPUS_PATH, t->name);
		REQUIRE(corpus_read(&kept, path));
		rest = bytes_span(&kept);
		for (; corpus_next(&rest, &input); count++)
			if (!t->slow || count % each == 0)
				run_exactly(t, input);
		bytes_close(&kept);
		printf("# %s: %u inputs\n", t->name, count);
		all += count;
	}
	return all;
}
