/* The entry of libFuzzer; scripts/fuzz runs it. FUZZ_TARGET names the target that the bytes go to. On the first
 * call the folder that FUZZ_SEEDS names gets the valid inputs, and those that the file FUZZ_CORPUS keeps. With
 * FUZZ_PACK the folder is packed into that file, and nothing is run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/file.h"
#include "tasks/base/key.h"
#include "tests/lib/fuzz_corpus.h"
#include "tests/lib/fuzz_targets.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct fuzz_target *target(void)
{
	const char *name = getenv("FUZZ_TARGET");

	for (const struct fuzz_target *t = fuzz_targets; name != NULL && t->name != NULL; t++)
		if (strcmp(t->name, name) == 0)
			return t;
	fprintf(stderr, "FUZZ_TARGET must be one of:");
	for (const struct fuzz_target *t = fuzz_targets; t->name != NULL; t++)
		fprintf(stderr, " %s", t->name);
	fprintf(stderr, "\n");
	exit(2);
}

static bool write_seeds(const struct fuzz_target *t, const char *folder)
{
	struct bytes seed = {0};
	char path[1024];
	bool good = true;

	for (unsigned i = 0; good && t->seed(i, &seed); i++) {
		snprintf(path, sizeof(path), "%s/seed-%u", folder, i);
		good = file_replace_unsynced(path, bytes_span(&seed), 0644, NULL) == TK_OK;
		bytes_close(&seed);
	}
	bytes_close(&seed);
	return good;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct fuzz_target *t = target();
	const char *folder = getenv("FUZZ_SEEDS");
	const char *corpus = getenv("FUZZ_CORPUS");
	const char *pack = getenv("FUZZ_PACK");

	(void)argc;
	(void)argv;
	if (crypto_start() != TK_OK)
		exit(1);
	if (folder != NULL && pack != NULL)
		exit(corpus_pack(pack, folder) ? 0 : 1);
	if (folder != NULL && !write_seeds(t, folder))
		exit(1);
	if (folder != NULL && corpus != NULL && !corpus_unpack(corpus, folder))
		exit(1);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct fuzz_target *t;

	if (t == NULL)
		t = target();
	t->run(span_of(data, n));
	return 0;
}
