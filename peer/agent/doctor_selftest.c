/* doctor_selftest (doctor.h): the operations that the network asks for before it gives work, compared with the scalar
 * engine, which is compiled from the plainest of code and is the same everywhere. */
#include <inttypes.h>
#include <string.h>

#include "peer/agent/doctor.h"
#include "tasks/base/version.h"
#include "tasks/math/engine.h"
#include "tasks/unit/selftest.h"

static int reference(uint64_t seed, struct digest digests[SELFTEST_OPERATIONS], struct errmsg *msg)
{
	const struct compute scalar = {.engine = engine_find("scalar")};
	int rc = engine_enter_thread(msg);

	return rc == TK_OK ? selftest_run(&scalar, seed, digests, msg) : rc;
}

static void note_wrong(struct doctor *d, const char *engine, uint64_t seed, uint32_t wrong)
{
	bool plain = strcmp(engine, engine_find("scalar")->name) == 0;

	doctor_note(d, "self-test", DOCTOR_BAD,
		plain ? "is the processor overclocked or the memory faulty? If not, report this "
			"line "
			"and the processor's name to Talkoot's makers"
		      : "report this line and the processor's name to Talkoot's makers; until it "
			"is "
			"mended, set TALKOOT_ENGINE=baseline in the environment",
		"\"%s\" comes out wrong (engine %s, build %s, seed %" PRIu64
		"; the scalar engine is right): the network would give this computer no work",
		selftest_name(wrong), engine, TALKOOT_VERSION, seed);
}

bool doctor_selftest(struct doctor *d, const char *engine, uint64_t seed, struct span digests)
{
	struct digest want[SELFTEST_OPERATIONS], got[SELFTEST_OPERATIONS];
	struct errmsg msg = {"not enough memory"};
	uint32_t wrong;

	if (digests.len != sizeof(got)) {
		doctor_note(d, "self-test", DOCTOR_BAD,
			"reinstall Talkoot: the program was replaced while it ran, or is damaged",
			"the worker tells of %zu operations, and there are %u",
			digests.len / DIGEST_BYTES, SELFTEST_OPERATIONS);
		return false;
	}
	if (reference(seed, want, &msg) != TK_OK) {
		doctor_note(d, "self-test", DOCTOR_SKIPPED, NULL,
			"there is nothing to compare it with: %.400s", msg.text);
		return false;
	}
	memcpy(got, digests.data, sizeof(got));
	wrong = selftest_compare(want, got);
	if (wrong < SELFTEST_OPERATIONS)
		note_wrong(d, engine, seed, wrong);
	return wrong == SELFTEST_OPERATIONS;
}
