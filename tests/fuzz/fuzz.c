/* The entry of libFuzzer; `make fuzz` builds it with clang and runs each target. FUZZ_TARGET names the one
 * that the bytes go to. On the first call the corpus folder that FUZZ_SEEDS names gets the valid inputs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/base/file.h"
#include "tasks/base/key.h"
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

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct fuzz_target *t = target();
	const char *folder = getenv("FUZZ_SEEDS");
	struct bytes seed = {0};
	char path[1024];

	(void)argc;
	(void)argv;
	if (crypto_start() != TK_OK)
		return 1;
	for (unsigned i = 0; folder != NULL && t->seed(i, &seed); i++) {
		snprintf(path, sizeof(path), "%s/seed-%u", folder, i);
		if (file_replace(path, bytes_span(&seed), 0644, NULL) != TK_OK)
			return 1;
		bytes_close(&seed);
	}
	bytes_close(&seed);
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
