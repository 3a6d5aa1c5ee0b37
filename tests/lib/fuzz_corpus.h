/* Inputs that a fuzzer has found worth keeping, many in one file: le32 length and bytes, repeated. The files are
 * tests/fuzz/corpus/TARGET.corpus; scripts/fuzz fills them. */
#ifndef TESTS_LIB_FUZZ_CORPUS_H
#define TESTS_LIB_FUZZ_CORPUS_H

#include "tasks/base/bytes.h"

#define CORPUS_BYTES_MAX (150u << 10) /* of one file */

/* Reads one; a file that is not there is empty. False: it is malformed. */
bool corpus_read(struct bytes *out, const char *path);
/* Takes the next input off the rest; false: there is none. */
bool corpus_next(struct span *rest, struct span *input);

/* Writes each input of a file into a folder. */
bool corpus_unpack(const char *path, const char *folder);
/* Packs the files of a folder into one, smallest first, as many as there is room for. */
bool corpus_pack(const char *path, const char *folder);

/* Runs every kept input of every target, of slow targets one of `each`; the number of all. Aborts where a target
 * finds a fault. */
unsigned corpus_replay(unsigned each);

#endif
