/* Self-tests in the simulation: digests that stand for operations, and who gets which of them wrong. */
#include <stdio.h>
#include <string.h>

#include "tests/lib/core_sim_state.h"

void sim_require_selftest(struct sim *s)
{
	s->selftest = true;
	core_require_selftest(s->core);
}

void sim_selftest_digests(struct digest *out, uint64_t seed)
{
	for (uint32_t i = 0; i < SELFTEST_OPERATIONS; i++) {
		uint64_t pair[2] = {seed, i};

		digest_bytes(&out[i], pair, sizeof(pair));
	}
}

void sim_selftest_answered(struct sim *s, uint64_t seed)
{
	struct digest digests[SELFTEST_OPERATIONS];
	struct core_event event = {.type = CORE_SELFTESTED,
		.seed = seed,
		.code = s->selftest_code,
		.text = "as the test wants",
		.selftest = digests};

	s->selftests++;
	s->selftest_code = 0;
	sim_selftest_digests(digests, seed);
	sim_event(s, &event);
}

void sim_selftest(struct sim *s, uint32_t peer, uint64_t seed)
{
	struct sim_peer *p = &s->peers[peer];
	struct digest digests[SELFTEST_OPERATIONS];
	struct message m = {.type = MESSAGE_SELFTEST};
	uint8_t le[8];
	struct span fields[5];

	sim_selftest_digests(digests, seed);
	if (p->wrong > 0)
		digests[p->wrong - 1].b[0] ^= 1;
	m.selftest.seed = seed;
	snprintf(m.selftest.engine, sizeof(m.selftest.engine), "%s",
		p->engine != NULL ? p->engine : "baseline");
	snprintf(m.selftest.build, sizeof(m.selftest.build), "1");
	m.selftest.digests = span_of(digests, sizeof(digests));
	store_le64(le, seed);
	fields[0] = span_of(s->root.public.b, KEY_BYTES);
	fields[1] = span_of(le, sizeof(le));
	fields[2] = span_of(m.selftest.engine, strlen(m.selftest.engine));
	fields[3] = span_of(m.selftest.build, 1);
	fields[4] = m.selftest.digests;
	key_sign(&m.selftest.signature, &p->key, "talkoot selftest", fields, 5);
	sim_say(s, peer, &m);
}
