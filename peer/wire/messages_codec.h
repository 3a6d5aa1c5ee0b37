/* What the files of the message codec share: fields that several messages have, and one encoder and one
 * decoder for each message, in messages_common.c, messages_blob.c, messages_work.c, messages_dispute.c, messages_selftest.c, messages_gossip.c and
 * messages_reach.c. Reading is mpread's: shortest forms only, a limit for each field, an exact number of
 * fields, nothing copied before it is checked. */
#ifndef PEER_WIRE_MESSAGES_CODEC_H
#define PEER_WIRE_MESSAGES_CODEC_H

#include "peer/wire/messages.h"
#include "tasks/base/mpread.h"
#include "tasks/base/pack.h"

/* Text is for people and ends in logs and terminals, so only printable UTF-8 travels: the encoder puts
 * '?' for anything else, the decoder refuses it. */
void message_put_text(struct packer *p, const char *text, size_t size);
void message_get_text(struct mp_reader *r, const char *field, char *out, size_t size);
void message_put_signature(struct packer *p, const struct signature *s);
void message_put_key(struct packer *p, const struct public_key *key);

/* Every message begins with its type; `fields` follow. */
void message_begin(struct packer *p, enum message_type type, uint32_t fields);
/* A decoder says how many fields it wants; have is what the array announced, the type included. */
void message_want_fields(struct mp_reader *r, uint32_t have, uint32_t fields);
/* A limit of its own: TK_ELIMIT unless it holds. */
void message_want(struct mp_reader *r, bool holds, const char *field);

#define X(name, member, number)                                                                    \
	void encode_##member(struct packer *p, const struct message_##member *m);                  \
	void decode_##member(struct mp_reader *r, uint32_t have, struct message_##member *m);
MESSAGES(X)
#undef X

#endif
