/* Blobs of the swarm, their pieces and parts; see swarm_state.h. A piece that was begun is open: its parts
 * are bits. */
#include <string.h>

#include "peer/swarm/swarm_state.h"
#include "tasks/base/mem.h"
#include "tasks/base/require.h"

struct swarm_blob *swarm_blob_new(struct swarm *s, blob_ref ref)
{
	struct swarm_blob *b = swarm_alloc(s, 1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->ref = ref;
	b->max = BLOB_BYTES_MAX;
	b->who_ms = b->flush_ms = b->nudge_ms = b->due_ms = NEVER;
	if (index_put(&s->blobs, ref, b) != TK_OK) {
		swarm_release(s, b, 1, sizeof(*b));
		s->error = TK_ENOMEM;
		return NULL;
	}
	b->next = s->blob_list;
	if (b->next != NULL)
		b->next->previous = b;
	s->blob_list = b;
	return b;
}

/* What only fetching needs. */
static void room_free(struct swarm *s, struct swarm_blob *b)
{
	swarm_release(s, b->opens, OPEN_MAX, sizeof(*b->opens));
	swarm_release(s, b->requests, b->request_room, sizeof(*b->requests));
	b->opens = NULL;
	b->requests = NULL;
	b->open_count = b->request_count = b->request_room = b->live = 0;
}

void swarm_blob_free(struct swarm *s, struct swarm_blob *b)
{
	REQUIRE(b->links == NULL);
	swarm_blob_set_busy(s, b, false);
	room_free(s, b);
	swarm_release(s, b->have, b->words, sizeof(*b->have));
	swarm_release(s, b->news, b->words, sizeof(*b->news));
	swarm_release(s, b->available, b->pieces, sizeof(*b->available));
	swarm_release(s, b->given, b->pieces, sizeof(*b->given));
	if (b->mercy_of != NULL)
		swarm_release(s, b->mercy_of, MERCY_LAST, sizeof(*b->mercy_of));
	if (b->previous != NULL)
		b->previous->next = b->next;
	else
		s->blob_list = b->next;
	if (b->next != NULL)
		b->next->previous = b->previous;
	index_remove(&s->blobs, b->ref);
	swarm_release(s, b, 1, sizeof(*b));
}

void swarm_blob_set_total(struct swarm *s, struct swarm_blob *b, uint64_t total)
{
	REQUIRE(total != 0 && total <= BLOB_BYTES_MAX && b->total == 0);
	b->total = total;
	b->pieces = (uint32_t)((total - 1) / BLOB_PIECE + 1);
	b->words = (b->pieces + 63) / 64;
	b->have = swarm_alloc(s, b->words, sizeof(*b->have));
	b->news = swarm_alloc(s, b->words, sizeof(*b->news));
	b->available = swarm_alloc(s, b->pieces, sizeof(*b->available));
	b->opens = swarm_alloc(s, OPEN_MAX, sizeof(*b->opens));
}

static uint64_t piece_bytes(const struct swarm_blob *b, uint32_t piece)
{
	uint64_t left = b->total - (uint64_t)piece * BLOB_PIECE;

	return left < BLOB_PIECE ? left : BLOB_PIECE;
}

uint32_t swarm_blob_piece_parts(const struct swarm *s, const struct swarm_blob *b, uint32_t piece)
{
	return (uint32_t)((piece_bytes(b, piece) - 1) / s->config.part_bytes + 1);
}

uint64_t swarm_blob_piece_mask(const struct swarm *s, const struct swarm_blob *b, uint32_t piece)
{
	return UINT64_MAX >> (64 - swarm_blob_piece_parts(s, b, piece));
}

uint32_t swarm_blob_part_length(
	const struct swarm *s, const struct swarm_blob *b, uint32_t piece, uint32_t part)
{
	uint64_t left = piece_bytes(b, piece) - (uint64_t)part * s->config.part_bytes;

	return left < s->config.part_bytes ? (uint32_t)left : s->config.part_bytes;
}

void swarm_blob_set_busy(struct swarm *s, struct swarm_blob *b, bool busy)
{
	if (b->busy == busy)
		return;
	b->busy = busy;
	if (busy) {
		b->busy_previous = NULL;
		b->busy_next = s->busy_list;
		if (b->busy_next != NULL)
			b->busy_next->busy_previous = b;
		s->busy_list = b;
		return;
	}
	if (b->busy_previous != NULL)
		b->busy_previous->busy_next = b->busy_next;
	else
		s->busy_list = b->busy_next;
	if (b->busy_next != NULL)
		b->busy_next->busy_previous = b->busy_previous;
}

struct swarm_open *swarm_blob_open(struct swarm_blob *b, uint32_t piece, bool make)
{
	for (uint32_t i = 0; i < b->open_count; i++)
		if (b->opens[i].piece == piece)
			return &b->opens[i];
	if (!make || b->open_count == OPEN_MAX)
		return NULL;
	b->opens[b->open_count] = (struct swarm_open){.piece = piece};
	return &b->opens[b->open_count++];
}

void swarm_blob_piece_whole(struct swarm_blob *b, struct swarm_open *o)
{
	bit_set(b->have, o->piece);
	bit_set(b->news, o->piece);
	b->have_count++;
	*o = b->opens[--b->open_count];
}

/* Bit i says that part i is on disk. Of pieces that were begun, no more than may be open are kept. */
void swarm_blob_load_parts(
	struct swarm *s, struct swarm_blob *b, const uint64_t *words, size_t count)
{
	for (uint32_t piece = 0; piece < b->pieces; piece++) {
		uint64_t mask = swarm_blob_piece_mask(s, b, piece);
		uint64_t done = 0;
		struct swarm_open *o;

		for (uint32_t i = 0; i < s->parts_per_piece; i++) {
			size_t part = (size_t)piece * s->parts_per_piece + i;

			if (part / 64 < count && words[part / 64] >> part % 64 & 1)
				done |= (uint64_t)1 << i;
		}
		done &= mask;
		o = done != 0 ? swarm_blob_open(b, piece, true) : NULL;
		if (o == NULL)
			continue;
		o->done = done;
		if (done == mask)
			swarm_blob_piece_whole(b, o);
	}
}

void swarm_blob_become_whole(struct swarm *s, struct swarm_blob *b)
{
	for (struct swarm_link *l = b->links; l != NULL; l = l->next)
		swarm_fetch_forget(s, l);
	room_free(s, b);
	for (uint32_t i = 0; i < b->pieces; i++)
		bit_set(b->have, i);
	b->whole = true;
	b->full_ms = 0;
	b->have_count = b->pieces;
	b->who_ms = NEVER;
	b->candidate_count = b->dial_count = 0;
	swarm_blob_set_busy(s, b, false);
}
