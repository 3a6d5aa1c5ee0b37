/* What the subcommands of `talkoot` share. Each is one function in one file; main.c has the table. */
#ifndef COORDINATOR_CLI_CLI_H
#define COORDINATOR_CLI_CLI_H

#include <stdio.h>

#include "coordinator/home.h"
#include "tasks/unit/evaluate.h"

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct cli {
	const char *home; /* -C HOME; NULL: not said */
	int argc;	  /* the subcommand's own arguments: argv[0] is its name */
	char **argv;
};

struct command {
	const char *name;
	const char *arguments;
	const char *summary;
	int (*run)(const struct cli *cli); /* gives an enum exit_code */
};

int command_init(const struct cli *cli);
int command_serve(const struct cli *cli);
int command_invite(const struct cli *cli);
int command_hosts(const struct cli *cli);
int command_check(const struct cli *cli);
int command_submit(const struct cli *cli);
int command_list(const struct cli *cli);
int command_status(const struct cli *cli);
int command_watch(const struct cli *cli);
int command_stop(const struct cli *cli);
int command_resume(const struct cli *cli);
int command_readmit(const struct cli *cli);
int command_export(const struct cli *cli);
int command_sample(const struct cli *cli);
int command_ledger(const struct cli *cli);
int command_audit(const struct cli *cli);
int command_explain(const struct cli *cli);
int command_train(const struct cli *cli);
int command_verify_fault(const struct cli *cli);
int command_simulate(const struct cli *cli);
/* simulate --rates: one run for each rate of the list, a line each, and a curve over them in svg (NULL: none). */
struct project;
struct simulate_options;
int simulate_rates(
	const struct project *p, struct simulate_options *o, const char *rates, const char *svg);

/* One option of a subcommand: --name VALUE or, without value, --name. */
struct option_spec {
	char letter; /* 'o' for -o; 0: none */
	const char *name;
	bool takes_value;
	const char *value; /* gets the argument, or "" when given without one; NULL: absent */
};

/* Reads options (ended by one whose name is NULL) and exactly `wanted` positional arguments, in any
 * order. Says on stderr what is wrong. */
bool cli_arguments(
	const struct cli *cli, struct option_spec *options, const char **positional, int wanted);

/* Prints "talkoot: sentence" on stderr and gives EXIT_FAILED. */
int cli_failed(const struct errmsg *msg);

/* Opens the home of -C HOME; says what is missing. True on success. */
bool cli_home(const struct cli *cli, struct home *home);

/* Reads a project file; prints every error that it has. True on success. */
bool cli_project(const char *file, struct project *project);

/* A whole number from text. False: not one, or outside [min, max]. */
bool cli_number(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* A line of ASCII that is rewritten on a terminal, cut to its width, and printed once per `key`
 * otherwise (each new key is a new line). cli_progress_end leaves the terminal on a fresh line. */
void cli_progress(FILE *out, uint64_t key, const char *format, ...) TK_PRINTF(3, 4);
void cli_progress_end(FILE *out);

/* "1 h 04 min", "2 min 05 s", "12 s". */
void cli_duration(char *out, size_t size, uint64_t seconds);

/* A round in words: "loss 1.2345, validation loss 1.3456, accuracy 61.20 %", as far as there is a
 * validation part and, with labels that are classes, an accuracy. */
void cli_losses(char *out, size_t size, float loss, const struct evaluation *validation);

/* Follows a project until it is over, with a live line. EXIT_OK when done or stopped. */
int cli_follow(struct home *home, const char *name);

#endif
