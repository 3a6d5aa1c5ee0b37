/* The status page's files, carried inside the program (the Makefile links web/ in as they are). */
#ifndef COORDINATOR_PAGE_H
#define COORDINATOR_PAGE_H

#include <stdint.h>

struct page_file {
	const char *name; /* NULL ends the list */
	const uint8_t *start, *end;
};

extern const struct page_file page_files[];

#endif
