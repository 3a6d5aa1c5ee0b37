/* See agenda.h. Sets are bits: finding the next unit of a round of 4,000 costs at most 63 words, which is cheaper than
 * keeping anything sorted. */
#include "coordinator/agenda.h"

#include "coordinator/core_state.h"
#include "tasks/base/mem.h"

#define WORD_BITS 64u

int agenda_init(struct agenda *a, uint32_t count)
{
	size_t words = ((size_t)count + WORD_BITS - 1) / WORD_BITS;
	uint64_t *all = mem_calloc(AGENDA_SETS * words + 2 * (size_t)count, sizeof(*all));

	if (all == NULL)
		return TK_ENOMEM;
	*a = (struct agenda){.count = count};
	for (uint32_t set = 0; set < AGENDA_SETS; set++)
		a->bits[set] = all + set * words;
	a->due_ms = all + AGENDA_SETS * words;
	a->newest_ms = a->due_ms + count;
	for (uint32_t i = 0; i < count; i++)
		a->due_ms[i] = UINT64_MAX;
	return TK_OK;
}

void agenda_close(struct agenda *a)
{
	mem_free(a->bits[0]);
	*a = (struct agenda){0};
}

static struct agenda *agenda_of(struct core_unit *u)
{
	return &u->round->agenda;
}

void agenda_mark(struct core_unit *u)
{
	struct agenda *a = agenda_of(u);

	if (u->marked)
		return;
	u->marked = true;
	u->marked_next = a->marked;
	a->marked = u;
}

static void put(struct agenda *a, enum agenda_set set, uint32_t at, bool in)
{
	uint64_t *word = &a->bits[set][at / WORD_BITS];
	uint64_t bit = 1ull << at % WORD_BITS;

	a->in[set] += in;
	a->in[set] -= (*word & bit) != 0;
	*word = in ? *word | bit : *word & ~bit;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* From when on core.c's replica_tick has something to do. */
static uint64_t replica_due(const struct core_replica *r)
{
	enum replica_state s = r->row.state;
	bool open = s == REPLICA_LEASED || s == REPLICA_COMMITTED || s == REPLICA_UPLOADING;

	if (r->peer->conn == 0) /* how long it may be away depends on much */
		return open || r->unit->row.state != UNIT_SETTLED ? 0 : UINT64_MAX;
	if (s == REPLICA_LEASED)
		return r->row.deadline_ms;
	if (s == REPLICA_COMMITTED && r->asked_ms != 0)
		return least(r->row.deadline_ms, r->asked_ms + REVEAL_TOTAL_MS);
	if (s == REPLICA_UPLOADING)
		return least(r->row.deadline_ms, r->heard_ms + UPLOAD_IDLE_MS);
	return UINT64_MAX;
}

static uint64_t unit_due(const struct core_unit *u)
{
	bool adaptive = policy_adaptive(u->project);
	uint64_t due = UINT64_MAX;

	if ((u->row.state == UNIT_UPLOADING && u->uploader == NULL) ||
		u->row.state == UNIT_DISPUTED)
		return 0;
	if (adaptive && (u->alone_ms != 0 || (u->wanting && u->replicas != NULL)))
		return 0;
	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next)
		due = least(due, replica_due(r));
	/* What is wanted of it may change although nothing about it does: core.c's tick asks for that. */
	if (adaptive && u->replicas != NULL && u->row.state <= UNIT_IN_PROGRESS)
		due = least(due, UINT64_MAX - 1);
	return due;
}

static void look(struct agenda *a, struct core_unit *u)
{
	enum unit_state s = u->row.state;
	bool urgent = s == UNIT_DISPUTED || s == UNIT_AUDITED;
	uint32_t i = u->row.index, repeats = 0, repeated = 0;
	uint64_t newest_ms = 0;

	for (const struct core_replica *r = u->replicas; r != NULL; r = r->unit_next) {
		bool leased = r->row.state == REPLICA_LEASED;

		repeats += leased && r->row.repeats;
		repeated += r->row.repeats && r->row.state <= REPLICA_VALID;
		if (leased && replica_counts(r) && r->row.leased_ms > newest_ms)
			newest_ms = r->row.leased_ms;
	}
	a->repeats += repeats;
	a->repeats -= u->repeats;
	u->repeats = repeats;
	put(a, AGENDA_URGENT, i, u->wanting && urgent);
	put(a, AGENDA_BEGUN, i, u->wanting && !urgent && u->replicas != NULL);
	put(a, AGENDA_FRESH, i, u->wanting && !urgent && u->replicas == NULL);
	put(a, AGENDA_OUT, i,
		newest_ms != 0 && s == UNIT_IN_PROGRESS && !u->wanting &&
			u->row.wanted < REPLICAS_PER_UNIT);
	put(a, AGENDA_REPEAT, i,
		(s == UNIT_SETTLED || s == UNIT_AUDITED) && repeated < REPEATS_PER_UNIT &&
			digest_is_zero(&u->row.referee));
	put(a, AGENDA_ALONE, i, u->alone_ms != 0);
	put(a, AGENDA_REFEREE, i, u->referee == REFEREE_WAITING);
	a->newest_ms[i] = newest_ms;
	a->due_ms[i] = unit_due(u);
}

void agenda_update(struct agenda *a)
{
	while (a->marked != NULL) {
		struct core_unit *u = a->marked;

		a->marked = u->marked_next;
		u->marked = false;
		look(a, u);
	}
}

static bool sound(struct agenda *a, struct core_unit *units)
{
	bool right = true;

	agenda_update(a);
	for (uint32_t i = 0; i < a->count; i++) {
		uint64_t newest_ms = a->newest_ms[i], due_ms = a->due_ms[i];
		uint32_t repeats = a->repeats;
		uint64_t words[AGENDA_SETS];

		for (uint32_t set = 0; set < AGENDA_SETS; set++)
			words[set] = a->bits[set][i / WORD_BITS];
		look(a, &units[i]);
		for (uint32_t set = 0; set < AGENDA_SETS; set++)
			right &= words[set] == a->bits[set][i / WORD_BITS];
		right &= repeats == a->repeats && newest_ms == a->newest_ms[i] &&
			 due_ms <= a->due_ms[i];
	}
	return right;
}

bool core_knows_what_waits(struct core *c)
{
	bool right = true;

	for (struct core_project *p = c->projects; p != NULL; p = p->next)
		for (struct core_round *o = p->rounds; o != NULL; o = o->older)
			right &= sound(&o->agenda, o->units);
	return right;
}

uint32_t agenda_next(
	const struct agenda *a, enum agenda_set set, enum agenda_set other, uint32_t from)
{
	if (a->in[set] == 0 || (other != AGENDA_SETS && a->in[other] == 0))
		return a->count;
	for (uint32_t word = from / WORD_BITS; from < a->count; from = ++word * WORD_BITS) {
		uint64_t bits = a->bits[set][word];

		if (other != AGENDA_SETS)
			bits &= a->bits[other][word];
		bits &= UINT64_MAX << from % WORD_BITS;
		if (bits != 0)
			return word * WORD_BITS + (uint32_t)__builtin_ctzll(bits);
	}
	return a->count;
}
