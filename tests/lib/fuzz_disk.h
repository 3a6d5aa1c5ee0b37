/* A folder for the files of fuzz targets, in memory where the system has such a place, gone when the program
 * ends. */
#ifndef TESTS_LIB_FUZZ_DISK_H
#define TESTS_LIB_FUZZ_DISK_H

/* Made on the first call; the same on every other. */
const char *fuzz_folder(void);

#endif
