/* See readmit.h. */
#include "coordinator/readmit.h"

#include <stdio.h>
#include <string.h>

#define WISH	   "readmit" /* the text: a key in hex; empty: none */
#define DIGITS_MIN 8u
#define KEY_HEX	   (2u * KEY_BYTES + 1u)

struct search {
	const char *digits;
	size_t length;
	struct peer_row *row;
	uint32_t found;
};

static int look(void *context, const void *row)
{
	const struct peer_row *p = row;
	struct search *x = context;
	char hex[KEY_HEX];

	hex_encode(hex, p->key.b, KEY_BYTES);
	if (strncmp(hex, x->digits, x->length) != 0)
		return TK_OK;
	*x->row = *p;
	x->found++;
	return TK_OK;
}

static int search(struct store *s, const char *peer, struct peer_row *row, struct errmsg *msg)
{
	struct search x = {.digits = peer, .length = strlen(peer), .row = row};
	int rc;

	if (x.length < DIGITS_MIN || x.length >= KEY_HEX ||
		strspn(peer, "0123456789abcdef") != x.length)
		return errmsg_set(msg, TK_EINVAL,
			"\"%.70s\" is no peer: say at least %u of the hex digits that "
			"\"talkoot status\" and the page show",
			peer, DIGITS_MIN);
	rc = store_peers(s, look, &x, msg);
	if (rc == TK_OK && x.found != 1)
		rc = errmsg_set(msg, TK_ENOENT,
			x.found == 0 ? "no peer is called %s"
				     : "more than one peer is called %s: say more digits",
			peer);
	return rc;
}

static int standing(const struct peer_row *row, struct errmsg *msg)
{
	if (!row->retired)
		return errmsg_set(msg, TK_EAUTH, "this peer is not retired");
	if (row->convicted)
		return errmsg_set(msg, TK_EAUTH,
			"this peer was found to cheat, not to err (%.180s): it is retired for good",
			row->reason);
	if (row->readmitted)
		return errmsg_set(msg, TK_EAUTH,
			"this peer had its second chance, and was wrong again (%.180s)",
			row->reason);
	return TK_OK;
}

int readmit_ask(struct store *s, const char *peer, struct peer_row *row, struct errmsg *msg)
{
	char pending[KEY_HEX] = "", hex[KEY_HEX];
	struct peer_row found = {.retired = false};
	int rc = search(s, peer, &found, msg);

	if (rc == TK_OK)
		rc = standing(&found, msg);
	if (rc == TK_OK)
		rc = store_text(s, WISH, pending, sizeof(pending), msg);
	if (rc != TK_OK)
		return rc;
	hex_encode(hex, found.key.b, KEY_BYTES);
	if (pending[0] != '\0' && strcmp(pending, hex) != 0)
		return errmsg_set(msg, TK_EBUSY,
			"peer %.16s is still waiting to be let back: a coordinator has to serve, "
			"and the round in progress to end; try again after that",
			pending);
	rc = store_set_text(s, WISH, hex, msg);
	if (rc == TK_OK)
		*row = found;
	return rc;
}

int readmit_asked(struct store *s, struct public_key *out, struct errmsg *msg)
{
	char hex[KEY_HEX] = "";
	int rc = store_text(s, WISH, hex, sizeof(hex), msg);

	if (rc != TK_OK)
		return rc;
	return hex_decode(out->b, KEY_BYTES, hex) == TK_OK ? TK_OK : TK_ENOENT;
}

int readmit_heard(struct store *s, struct errmsg *msg)
{
	return store_set_text(s, WISH, "", msg);
}
