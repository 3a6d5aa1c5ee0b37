/* The subcommands of talkoot-peer: one function in one file each; main.c has the table. */
#ifndef PEER_AGENT_COMMANDS_H
#define PEER_AGENT_COMMANDS_H

#include "peer/agent/agent_home.h"

enum peer_exit { PEER_OK = 0, PEER_FAILED = 1, PEER_USAGE = 2 };

/* argv[0] is the subcommand's name. Each gives an enum peer_exit. */
int peer_join(int argc, char **argv);
int peer_run(int argc, char **argv);
int peer_status(int argc, char **argv);
int peer_history(int argc, char **argv);
int peer_doctor(int argc, char **argv);

/* Prints "talkoot-peer: sentence" on stderr and gives PEER_FAILED. */
int peer_failed(const struct errmsg *msg);
/* The same for a mistake on the command line: gives PEER_USAGE. */
int peer_misused(const char *format, ...) TK_PRINTF(1, 2);
/* The home that --home says (made absolute), or the default one. */
int peer_home(const char *option, char out[AGENT_PATH_MAX], struct errmsg *msg) TK_CHECKED;

#define PEER_LINK_MAX 4096u /* bytes of text */
/* A link from a line of the standard input: there it shows neither in the list of processes nor in a shell's
 * history. Wipe it afterwards. False: there was none. */
bool peer_read_link(char out[PEER_LINK_MAX]);

#endif
