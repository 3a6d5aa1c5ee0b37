/* A ledger as a file: what `talkoot ledger` writes and `talkoot audit` reads.
 *
 * FILE is the 16 bytes "talkoot ledger 1", then records, each le32(length) and so many bytes of a
 * MessagePack array:
 *   [1, network key, recipe]                                       first, once
 *   [2, sequence, link before, content, signature or empty]        an entry of the file's project
 *   [3, sequence, link before, project, digest of the content]     an entry of another one
 *   [4, sequence, link, signature]                                 last, once: the head
 * Sequences run from 1 without a gap. So the whole chain can be followed, and of other projects only
 * the digests are seen. */
#ifndef COORDINATOR_LEDGER_FILE_H
#define COORDINATOR_LEDGER_FILE_H

#include <stdio.h>

#include "coordinator/ledger.h"

#define LEDGER_MAGIC	  "talkoot ledger 1"
#define LEDGER_RECORD_MAX (RECIPE_BYTES_MAX + 256u)

enum ledger_record_type {
	RECORD_HEADER = 1,
	RECORD_ENTRY = 2,
	RECORD_LINK = 3,
	RECORD_HEAD = 4,
};

struct ledger_record {
	enum ledger_record_type type;
	struct public_key network;  /* HEADER */
	struct span recipe;	    /* HEADER; borrowed */
	uint64_t sequence;	    /* all others */
	struct digest link;	    /* ENTRY, LINK: of the one before; HEAD: of the last one */
	struct span content;	    /* ENTRY; borrowed */
	struct digest project;	    /* LINK */
	struct digest digest;	    /* LINK: of the content */
	bool is_signed;		    /* ENTRY */
	struct signature signature; /* ENTRY, of the head that it makes; HEAD */
};

/* Appends the record's bytes with their length. Errors: TK_ENOMEM. */
int ledger_record_encode(const struct ledger_record *r, struct bytes *out) TK_CHECKED;
/* Reads one without its length; spans borrow from in. Errors: TK_EPROTO, TK_ELIMIT. */
int ledger_record_decode(struct ledger_record *out, struct span in, struct errmsg *msg) TK_CHECKED;

/* Reads records one after the other. Borrows file, which can seek. */
struct ledger_reader {
	FILE *file;
	uint64_t at; /* of the next record */
	struct bytes buffer;
};
/* Checks the magic. Errors: TK_EPROTO, TK_EIO. */
int ledger_reader_begin(struct ledger_reader *r, FILE *file, struct errmsg *msg) TK_CHECKED;
void ledger_reader_close(struct ledger_reader *r);
/* The next record, or *end; the record's spans last until the next call. Errors: TK_EPROTO, TK_ELIMIT,
 * TK_EIO, TK_ENOMEM; msg says at which byte. */
int ledger_reader_next(struct ledger_reader *r, struct ledger_record *out, bool *end,
	struct errmsg *msg) TK_CHECKED;
/* Goes on with the record at this byte. Errors: TK_EIO. */
int ledger_reader_seek(struct ledger_reader *r, uint64_t at, struct errmsg *msg) TK_CHECKED;

/* What the whole file says of itself. */
struct ledger_summary {
	struct public_key network;
	struct digest recipe;
	struct ledger_head head;
	uint64_t entries, links,
		heads; /* heads: signatures of the root over heads, with the last */
};

/* "N:DIGEST", as beacons name it and `talkoot-peer status` shows it. False: it is none. */
bool ledger_head_parse(struct ledger_head *out, const char *text);

/* Follows the whole chain: format, order, links, the root's signatures; but not what entries mean (audit.h).
 * Whatever byte of a right file is changed, this or audit_take finds it. Errors: TK_ECORRUPT (msg names
 * the entry), those of ledger_reader_next. known: a head that somebody has kept, which the chain has to pass; or NULL. */
int ledger_file_check(FILE *file, const struct ledger_head *known, struct ledger_summary *out,
	struct errmsg *msg) TK_CHECKED;

#endif
