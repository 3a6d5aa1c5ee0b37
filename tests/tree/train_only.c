/* `talkoot train` and nothing else: its own objects and tasks/, linked without libuv and SQLite (the
 * Makefile says with what). That this program exists and gives the digest of the whole `talkoot` is what
 * test_doors.sh claims. */
#include <stdio.h>

#include "coordinator/cli/cli.h"
#include "tasks/base/key.h"

int main(int argc, char **argv)
{
	const struct cli cli = {.argc = argc, .argv = argv};

	if (crypto_start() != TK_OK) {
		fputs("train_only: the cryptography library does not start\n", stderr);
		return EXIT_FAILED;
	}
	return command_train(&cli);
}
