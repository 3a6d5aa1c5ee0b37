/* What a peer signs of a result: that it has one (the commitment), and what it got on the way (the step
 * leaves of a segment, trace.h). The first names the lease's nonce and the second the commitment, which binds it to one result of one unit. */
#ifndef TASKS_UNIT_SIGN_H
#define TASKS_UNIT_SIGN_H

#include "tasks/base/key.h"

/* Over fields("talkoot commit", commitment, nonce). */
void commit_sign(struct signature *out, const struct key_pair *peer,
	const struct digest *commitment, const struct digest *nonce);
bool commit_verify(const struct public_key *peer, const struct signature *s,
	const struct digest *commitment, const struct digest *nonce);

/* Over fields("talkoot segment", commitment, le32 of the segment's index, le32 count, merkle_root of the step
 * leaves). Errors of signing: none but a count of 0, which is our mistake. */
void segment_sign(struct signature *out, const struct key_pair *peer,
	const struct digest *commitment, uint32_t segment, const struct digest *leaves,
	size_t count);
bool segment_verify(const struct public_key *peer, const struct signature *s,
	const struct digest *commitment, uint32_t segment, const struct digest *leaves,
	size_t count);

#endif
