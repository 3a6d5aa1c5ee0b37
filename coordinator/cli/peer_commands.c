/* talkoot readmit: what an owner decides about a peer. */
#include <stdio.h>

#include "coordinator/cli/cli.h"
#include "coordinator/readmit.h"

int command_readmit(const struct cli *cli)
{
	struct option_spec none[] = {{0}};
	struct errmsg msg = {""};
	struct peer_row row;
	struct home home;
	const char *peer;
	int rc;

	if (!cli_arguments(cli, none, &peer, 1))
		return EXIT_USAGE;
	if (!cli_home(cli, &home))
		return EXIT_FAILED;
	rc = readmit_ask(home.store, peer, &row, &msg);
	home_close(&home);
	if (rc != TK_OK)
		return cli_failed(&msg);
	printf("retired because: %s\n"
	       "It may work again when its coordinator hears of it and the round in progress is "
	       "over, once it\n"
	       "has passed the self-test. Should a result of it be proven wrong again, it is "
	       "retired for good.\n",
		row.reason);
	return EXIT_OK;
}
