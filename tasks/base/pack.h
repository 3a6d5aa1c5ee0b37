/* Writes MessagePack, in shortest forms (msgpack-c's packer does), onto the end of a byte string.
 * Errors stick in the packer; ask pack_end once. */
#ifndef TASKS_BASE_PACK_H
#define TASKS_BASE_PACK_H

#include "tasks/base/bytes.h"
#include "tasks/base/digest.h"
#include "tasks/base/error.h"

struct packer {
	struct bytes *out; /* borrows */
	int error;
};

void pack_begin(struct packer *p, struct bytes *out);
void pack_array(struct packer *p, uint32_t count);
void pack_u64(struct packer *p, uint64_t v);
void pack_bool(struct packer *p, bool v);
void pack_f32(struct packer *p, float v);
void pack_f64(struct packer *p, double v);
void pack_bin(struct packer *p, const void *data, size_t n); /* n < 2^32 */
void pack_span(struct packer *p, struct span s);	     /* as bin */
void pack_text(struct packer *p, const char *text);	     /* as str */
void pack_digest(struct packer *p, const struct digest *d);  /* as bin */

/* TK_OK or TK_ENOMEM; on failure what was appended must be thrown away by the caller. */
int pack_end(const struct packer *p) TK_CHECKED;

#endif
