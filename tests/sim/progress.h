/* A line on stderr now and then, so that whoever waits for a long scenario sees that it goes on. */
#ifndef TESTS_SIM_PROGRESS_H
#define TESTS_SIM_PROGRESS_H

#include <stdint.h>

/* From here on lines speak of this scenario. Borrows the name; NULL: silence. */
void progress_begin(const char *scenario, uint32_t peers);
/* A world has come to now_ms of its virtual time: says so when the last line is 15 s of wall clock ago. Nothing
 * that is measured depends on it. */
void progress_tell(uint32_t now_ms);

#endif
