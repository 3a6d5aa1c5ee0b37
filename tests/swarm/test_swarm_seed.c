/* What the first seed gives: to those who starve, not too much; to those whom few others help, enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/swarm/lone.h"

/* Pieces that the seed has shown: of each peer the last HAVE that it was sent counts. */
static void count_shown(const struct lone *l, uint32_t shown[], uint32_t peers)
{
	for (size_t i = 0; i < l->out.count; i++) {
		const struct swarm_effect *e = &l->out.items[i];

		if (e->type == SWARM_SEND && e->message.type == MESSAGE_BLOB_HAVE &&
			e->peer >= OTHER && e->peer < OTHER + peers)
			shown[e->peer - OTHER] =
				(uint32_t)__builtin_popcountll(e->message.pieces[0]);
	}
}

/* Starving peers go on asking for ten minutes and say that they got nothing. Of those two hundred `crowd` come from
 * one prefix, ask first and ask again before others do; the others' shares are counted apart. */
static void starve(uint64_t total, uint32_t crowd, uint32_t *all, uint32_t *others)
{
	const struct swarm_message who = {.type = MESSAGE_BLOB_WHO, .blob = BLOB, .length = 4};
	uint32_t shown[200] = {0};
	struct lone l;

	lone_begin(&l, 0);
	lone_step(&l, (struct swarm_event){.type = SWARM_HOLD, .blob = BLOB, .total = total});
	for (peer_ref i = 0; i < 200; i++)
		lone_step(&l, (struct swarm_event){.type = SWARM_UP,
				      .peer = OTHER + i,
				      .reach = SWARM_PUBLIC,
				      .prefix = i < crowd ? 1 : 100 + i});
	for (unsigned n = 0; n < 40; n++) {
		for (peer_ref i = 0; i < 200; i++) {
			lone_hear(&l, OTHER + i, who);
			count_shown(&l, shown, 200);
		}
		l.now_ms += 15000;
	}
	*all = *others = 0;
	for (unsigned i = 0; i < 200; i++) {
		*all += shown[i];
		*others += i < crowd ? 0 : shown[i];
	}
	lone_end(&l);
}

/* Beyond its three copies the seed gives 64 pieces, and a third of that again in ten minutes, and not 200 blobs. */
static void however_many_starve_the_seed_gives_little_more(void **state)
{
	const uint64_t totals[] = {300000, 4 * MB, 64 * MB, 200 * MB};
	uint32_t all, others;

	(void)state;
	for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
		uint32_t copies = 3 * (uint32_t)((totals[i] + BLOB_PIECE - 1) / BLOB_PIECE);

		starve(totals[i], 0, &all, &others);
		assert_in_range(all, copies + 64 + 64 / 4, copies + 64 + 64 / 3);
	}
}

/* A hundred and ninety Sybils of one prefix come first, and do not get the last fourth of the gifts. */
static void a_crowd_from_one_place_does_not_get_all_gifts(void **state)
{
	uint32_t all, others;

	(void)state;
	starve(200 * MB, 190, &all, &others);
	assert_in_range(others, 64 / 4, 20); /* two each, and more when these were taken */
	starve(300000, 190, &all, &others);
	assert_int_equal(others, 10);
}

/* Peers that have nobody but the seed */
struct few {
	struct lone l;
	uint32_t peers, pieces;
	uint64_t have[SWARM_PIECE_WORDS]; /* what one has, all have */
	uint64_t shown[16][SWARM_PIECE_WORDS];
};

static void few_look(struct few *f)
{
	for (size_t i = 0; i < f->l.out.count; i++) {
		const struct swarm_effect *e = &f->l.out.items[i];

		if (e->type == SWARM_SEND && e->message.type == MESSAGE_BLOB_HAVE &&
			e->peer >= OTHER && e->peer < OTHER + f->peers)
			memcpy(f->shown[e->peer - OTHER], e->message.pieces,
				(f->pieces + 63) / 64 * sizeof(uint64_t));
	}
}

/* Takes what it is shown and the others lack. */
static uint32_t few_take(struct few *f, uint32_t i)
{
	uint32_t taken = 0;

	for (uint32_t p = 0; p < f->pieces; p++) {
		struct swarm_event served = {.type = SWARM_SERVED,
			.peer = OTHER + i,
			.blob = BLOB,
			.offset = (uint64_t)(p + 1) * BLOB_PIECE - BLOB_PART_MAX,
			.length = BLOB_PART_MAX};

		if ((f->shown[i][p / 64] >> p % 64 & 1) == 0 ||
			(f->have[p / 64] >> p % 64 & 1) != 0)
			continue;
		lone_step(&f->l, served);
		few_look(f);
		f->have[p / 64] |= (uint64_t)1 << p % 64;
		taken++;
	}
	return taken;
}

static void few_hear(struct few *f, uint32_t i, enum message_type type)
{
	lone_hear(&f->l, OTHER + i,
		(struct swarm_message){.type = type,
			.blob = BLOB,
			.length = 4,
			.total = (uint64_t)f->pieces * BLOB_PIECE,
			.pieces = f->have});
	few_look(f);
}

/* One takes all that the seed shows freely and serves nobody; the others ask, and pass on what they get. Do they get
 * all within six hours? */
static void others_get_on(uint32_t pieces, uint32_t peers, uint32_t prefixes, bool leaves)
{
	struct few f = {.peers = peers + 1, .pieces = pieces};
	uint32_t got = 0;

	lone_begin(&f.l, 0);
	lone_step(&f.l, (struct swarm_event){.type = SWARM_DOWN, .peer = OTHER});
	lone_step(&f.l,
		(struct swarm_event){
			.type = SWARM_HOLD, .blob = BLOB, .total = (uint64_t)pieces * BLOB_PIECE});
	for (uint32_t i = 0; i <= peers; i++)
		lone_step(&f.l, (struct swarm_event){.type = SWARM_UP,
					.peer = OTHER + i,
					.reach = SWARM_PUBLIC,
					.prefix = i == peers ? 99 : 100 + i % prefixes});
	do {
		f.l.now_ms += 100;
		few_hear(&f, peers, MESSAGE_BLOB_WHO);
		got = few_take(&f, peers);
		few_hear(&f, peers, MESSAGE_BLOB_HAVE);
	} while (got != 0);
	if (leaves)
		lone_step(&f.l, (struct swarm_event){.type = SWARM_DOWN, .peer = OTHER + peers});
	memset(f.have, 0, sizeof(f.have));
	for (unsigned n = 0; n < 6 * 720 && got < pieces; n++) {
		for (uint32_t i = 0; i < peers; i++) {
			few_hear(&f, i, MESSAGE_BLOB_WHO);
			got += few_take(&f, i);
		}
		for (uint32_t i = 0; i < peers; i++)
			few_hear(&f, i, MESSAGE_BLOB_HAVE);
		f.l.now_ms += 5000;
	}
	if (got < pieces)
		fail_msg("%u peers of %u prefixes have %u of %u pieces", (unsigned)peers,
			(unsigned)prefixes, (unsigned)got, (unsigned)pieces);
	lone_end(&f.l);
}

static void who_serves_nobody_does_not_stop_the_few_others(void **state)
{
	const uint32_t grids[][3] = {{1, 3, 1}, {16, 3, 1}, {17, 3, 1}, {64, 3, 1}, {64, 3, 3},
		{256, 3, 3}, {256, 4, 4}, {256, 6, 6}, {256, 8, 1}, {1023, 3, 3}};

	(void)state;
	for (size_t i = 0; i < sizeof(grids) / sizeof(grids[0]); i++) {
		others_get_on(grids[i][0], grids[i][1], grids[i][2], false);
		others_get_on(grids[i][0], grids[i][1], grids[i][2], true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(however_many_starve_the_seed_gives_little_more),
		cmocka_unit_test(a_crowd_from_one_place_does_not_get_all_gifts),
		cmocka_unit_test(who_serves_nobody_does_not_stop_the_few_others),
	};

	return cmocka_run_group_tests_name("swarm seed", tests, NULL, NULL);
}
