/* Trouble from outside, at random. See core_sim.h. */
#include "tests/lib/core_sim.h"

void sim_stir(struct sim *s, uint64_t seconds)
{
	for (uint64_t i = 0; i < seconds && s->project.state == PROJECT_RUNNING; i++) {
		uint32_t peer = (uint32_t)sim_random(s, s->peer_count);

		sim_wait(s, 1000);
		switch (sim_random(s, 12)) {
		case 0:
			sim_disconnect(s, peer, 100 + sim_random(s, 40000));
			break;
		case 1:
			sim_restart_peer(s, peer, 100 + sim_random(s, 20000));
			break;
		case 2:
			if (sim_random(s, 4) == 0)
				sim_kill_core(s);
			break;
		default:
			break;
		}
	}
}
