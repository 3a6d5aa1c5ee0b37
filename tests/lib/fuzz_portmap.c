/* Fuzz target of the lines between the agent and the helper that asks routers for ports; see fuzz_targets.h. */
#include <string.h>

#include "peer/agent/portmap.h"
#include "tasks/base/require.h"
#include "tests/lib/fuzz_targets.h"

void fuzz_portmap(struct span in)
{
	char line[PORTMAP_LINE_MAX] = "", again[PORTMAP_LINE_MAX];
	struct portmap p;
	uint32_t lifetime_s;
	uint16_t port;

	memcpy(line, in.data, in.len < sizeof(line) ? in.len : sizeof(line) - 1);
	if (portmap_question_read(line, &port, &lifetime_s) == TK_OK)
		REQUIRE(port != 0);
	if (portmap_answer_read(line, &p) != TK_OK)
		return;
	portmap_answer(again, &p);
	REQUIRE(portmap_answer_read(again, &p) == TK_OK);
}

bool fuzz_portmap_seed(unsigned which, struct bytes *out)
{
	static const char *const lines[] = {"MAP 7332 7200",
		"MAPPED NAT-PMP 203.0.113.7:40001 7200", "MAPPED UPnP [2001:db8::1]:7332 0",
		"NONE NAT-PMP: the router does not answer"};

	return which < 4 && bytes_append(out, lines[which], strlen(lines[which])) == TK_OK;
}
