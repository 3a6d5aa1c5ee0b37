/* Reads MessagePack from untrusted bytes: a limit for each field, nothing allocated, nothing copied.
 *
 * Errors stick: after the first one every read gives zero and the reader's code stays, so a decoder
 * reads all its fields and asks once, with mp_end. Only the shortest form of each number and length is
 * accepted, so equal values have equal bytes. */
#ifndef TASKS_BASE_MPREAD_H
#define TASKS_BASE_MPREAD_H

#include "tasks/base/bytes.h"
#include "tasks/base/digest.h"
#include "tasks/base/error.h"
#include "tasks/base/key.h"

struct mp_reader {
	const uint8_t *at;
	const uint8_t *end;
	int error;
	const char *field; /* the field whose read failed; a literal */
};

void mp_begin(struct mp_reader *r, struct span in);

/* Each names the field it reads (a string literal, for the error sentence). */
uint64_t mp_u64(struct mp_reader *r, const char *field, uint64_t min, uint64_t max);
uint32_t mp_u32(struct mp_reader *r, const char *field, uint32_t min, uint32_t max);
bool mp_bool(struct mp_reader *r, const char *field);
float mp_f32(struct mp_reader *r, const char *field);  /* any float32, msgpack "ca" */
double mp_f64(struct mp_reader *r, const char *field); /* any float64, msgpack "cb" */
struct span mp_bin(struct mp_reader *r, const char *field, size_t max);
struct span mp_str(struct mp_reader *r, const char *field, size_t max); /* bytes as they come */
/* A str of at most size-1 bytes without NULs, copied and terminated. */
void mp_text(struct mp_reader *r, const char *field, char *out, size_t size);
/* The number of elements; each of them takes at least one byte, so it is ≤ the bytes left. */
uint32_t mp_array(struct mp_reader *r, const char *field, uint32_t min, uint32_t max);
void mp_digest(struct mp_reader *r, const char *field, struct digest *out);	    /* bin 32 */
void mp_public_key(struct mp_reader *r, const char *field, struct public_key *out); /* bin 32 */
void mp_signature(struct mp_reader *r, const char *field, struct signature *out);   /* bin 64 */

/* The first error, or TK_EPROTO with a sentence when bytes are left over; TK_OK otherwise. */
int mp_end(struct mp_reader *r, struct errmsg *msg) TK_CHECKED;

#endif
