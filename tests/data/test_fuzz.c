/* Damaged files of every format: preparation ends in a dataset that holds together or in a sentence.
 * TALKOOT_SEED replays a failure. */
#include "tests/data/fixture.h"

#include "tasks/math/philox.h"

#define RUNS 1500

struct dice {
	uint64_t seed;
	uint64_t counter;
};

static uint32_t roll(struct dice *d, uint32_t sides)
{
	uint32_t out[4];

	philox(out, d->seed, 1000, 0, d->counter++);
	return out[0] % sides;
}

/* Changes, removes or doubles a few bytes; `spice` are bytes that mean something to the format. */
static size_t damage(struct dice *dice, uint8_t *data, size_t n, const char *spice, size_t spices)
{
	for (uint32_t k = roll(dice, 4) + 1; k > 0 && n > 1; k--) {
		size_t at = roll(dice, (uint32_t)n);

		switch (roll(dice, 5)) {
		case 0:
			data[at] = (uint8_t)roll(dice, 256);
			break;
		case 1:
			data[at] = (uint8_t)spice[roll(dice, (uint32_t)spices)];
			break;
		case 2:
			memmove(data + at, data + at + 1, --n - at);
			break;
		case 3:
			memmove(data + at + 1, data + at, n - at);
			n++;
			break;
		default:
			n = roll(dice, 8) == 0 ? at + 1 : n;
		}
	}
	return n;
}

static void run(struct fixture *f, const char *good, size_t size, const char *spice, size_t spices)
{
	const char *given = getenv("TALKOOT_SEED");
	struct dice dice = {.seed = given != NULL ? strtoull(given, NULL, 10) : 20240607};
	uint32_t accepted = 0;

	for (int i = 0; i < RUNS; i++) {
		uint8_t data[512];
		size_t n;
		int rc;

		memcpy(data, good, size);
		n = damage(&dice, data, size, spice, spices);
		fixture_bytes(f, f->spec.path, "a", data, n);
		rc = fixture_prepare(f);
		if (rc != TK_OK && (f->msg.text[0] == '\0' || f->d.train.digests != NULL))
			fail_msg("run %d: TALKOOT_SEED=%llu replays it", i,
				(unsigned long long)dice.seed);
		if (rc != TK_OK)
			continue;
		accepted++;
		rc = shard_check(&f->d, &f->d.train, 0, bytes_span(&f->shards[0]), &f->msg);
		if (rc != TK_OK)
			fail_msg("run %d: %s; TALKOOT_SEED=%llu replays it", i, f->msg.text,
				(unsigned long long)dice.seed);
	}
	assert_true(accepted > 0 && accepted < RUNS);
}

static void a_damaged_table_is_read_or_refused(void **state)
{
	static const char good[] =
		"age,\"na\"\"me\",who\r\n1,red,x\n-2.5e3,blue,y\n?,\"a,\n b\",x\n"
		"4,red,y\n7,,x\n";
	struct fixture *f = *state;

	f->spec.format = DATA_CSV;
	f->spec.validation_fraction = 0.2;
	strcpy(f->spec.missing, "?");
	run(f, good, sizeof(good) - 1, "\",\n\r\t ?e.-", 10);
}

static void a_damaged_table_of_numbers_is_read_or_refused(void **state)
{
	static const char good[] = "age,who,price\n1,red,2\n-2.5e3,blue,-1.5\n3,,7e3\n4,red,0\n";
	struct fixture *f = *state;

	f->spec.format = DATA_CSV;
	f->spec.task = LABEL_NUMBER;
	f->spec.validation_fraction = 0.2;
	run(f, good, sizeof(good) - 1, "\",\n\r ?e.-9", 10);
}

static void a_damaged_image_file_is_read_or_refused(void **state)
{
	static const char good[] = "\0\0\x08\x03\0\0\0\x03\0\0\0\x01\0\0\0\x02zyxwvu";
	static const char labels[] = "\0\0\x08\x01\0\0\0\x03\x01\0\x02";
	struct fixture *f = *state;

	f->spec.format = DATA_IDX;
	fixture_bytes(f, f->spec.labels, "b", labels, sizeof(labels) - 1);
	run(f, good, sizeof(good) - 1, "\0\x01\x02\x04\x08\xff", 6);
}

static void a_damaged_text_is_read_or_refused(void **state)
{
	static const char good[] = "Once upon a time — né à Łódź — 𝛼 and 𝛽 met.\n";
	struct fixture *f = *state;

	f->spec.format = DATA_TEXT;
	f->spec.context = 4;
	f->spec.validation_fraction = 0.3;
	run(f, good, sizeof(good) - 1, "\0\xc3\x80\xef\xf0\xed", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(a_damaged_table_is_read_or_refused),
		FIXTURE_TEST(a_damaged_table_of_numbers_is_read_or_refused),
		FIXTURE_TEST(a_damaged_image_file_is_read_or_refused),
		FIXTURE_TEST(a_damaged_text_is_read_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
