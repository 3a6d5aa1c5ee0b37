/* Messages at their limits: the smallest and the largest of each type. */
#ifndef TESTS_LIB_MESSAGE_SAMPLES_H
#define TESTS_LIB_MESSAGE_SAMPLES_H

#include "peer/wire/messages.h"

/* What spans borrow. */
extern uint8_t message_filler[BLOB_PART_MAX + DIGEST_BYTES];

struct digest message_digest(uint8_t b);   /* 32 times this byte */
void message_text(char *out, size_t size); /* as long as fits */

/* Fills *m with the smallest (largest = false) or largest contents that its type allows. */
void fill_message(struct message *m, enum message_type type, bool largest);

#endif
