/* See cli.h. */
#include "coordinator/cli/cli.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int cli_failed(const struct errmsg *msg)
{
	fprintf(stderr, "talkoot: %s\n", msg->text);
	return EXIT_FAILED;
}

bool cli_project(const char *file, struct project *project)
{
	struct bytes errors = {0};
	struct errmsg msg = {""};
	int rc = project_read(project, file, &errors, &msg);

	if (rc != TK_OK && errors.len != 0)
		fprintf(stderr, "%s", (const char *)errors.data);
	else if (rc != TK_OK)
		cli_failed(&msg);
	bytes_close(&errors);
	return rc == TK_OK;
}

static struct option_spec *find_option(struct option_spec *options, const char *arg, size_t length)
{
	for (struct option_spec *o = options; o->name != NULL; o++) {
		if (arg[1] == '-' && strlen(o->name) == length - 2 &&
			strncmp(o->name, arg + 2, length - 2) == 0)
			return o;
		if (arg[1] != '-' && o->letter != 0 && arg[1] == o->letter)
			return o;
	}
	return NULL;
}

/* Takes the option at argv[*i], and its value from behind '=', the letter, or the next argument. */
static bool take_option(const struct cli *cli, struct option_spec *options, int *i)
{
	const char *arg = cli->argv[*i];
	const char *equals = arg[1] == '-' ? strchr(arg, '=') : NULL;
	size_t length = equals != NULL ? (size_t)(equals - arg) : strlen(arg);
	struct option_spec *o = find_option(options, arg, length);

	if (o == NULL) {
		fprintf(stderr,
			"talkoot %s: there is no option %s; `talkoot %s --help` shows which are\n",
			cli->argv[0], arg, cli->argv[0]);
		return false;
	}
	if (!o->takes_value) {
		o->value = "";
		if (equals == NULL && (arg[1] == '-' || arg[2] == '\0'))
			return true;
		fprintf(stderr, "talkoot %s: %s takes no value\n", cli->argv[0], arg);
		return false;
	}
	if (equals != NULL)
		o->value = equals + 1;
	else if (arg[1] != '-' && arg[2] != '\0')
		o->value = arg + 2;
	else if (*i + 1 < cli->argc)
		o->value = cli->argv[++*i];
	if (o->value == NULL)
		fprintf(stderr, "talkoot %s: %s wants a value\n", cli->argv[0], arg);
	return o->value != NULL;
}

bool cli_arguments(
	const struct cli *cli, struct option_spec *options, const char **positional, int wanted)
{
	bool only_positional = false;
	int found = 0;

	for (int i = 1; i < cli->argc; i++) {
		const char *arg = cli->argv[i];

		if (!only_positional && strcmp(arg, "--") == 0) {
			only_positional = true;
		} else if (!only_positional && arg[0] == '-' && arg[1] != '\0') {
			if (!take_option(cli, options, &i))
				return false;
		} else if (found < wanted) {
			positional[found++] = arg;
		} else {
			fprintf(stderr, "talkoot %s: \"%s\" is one argument too many\n",
				cli->argv[0], arg);
			return false;
		}
	}
	if (found == wanted)
		return true;
	fprintf(stderr, "talkoot %s: an argument is missing; `talkoot %s --help` shows which\n",
		cli->argv[0], cli->argv[0]);
	return false;
}

bool cli_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;
	unsigned long long v;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || v < min || v > max)
		return false;
	*out = v;
	return true;
}

/* The terminal's columns; what nobody knows is 80. */
static size_t columns(FILE *out)
{
	struct winsize size;

	if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return 80;
	return size.ws_col;
}

void cli_progress(FILE *out, uint64_t key, const char *format, ...)
{
	static uint64_t printed = UINT64_MAX; /* one program has one progress line */
	va_list args;
	bool terminal = isatty(fileno(out)) != 0;
	char line[512];

	if (!terminal && key == printed)
		return;
	printed = key;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	/* A line that wraps could not be written over. */
	if (terminal && columns(out) <= strlen(line))
		line[columns(out) - 1] = '\0';
	fprintf(out, terminal ? "\r\033[K%s" : "%s\n", line);
	fflush(out);
}

void cli_progress_end(FILE *out)
{
	if (isatty(fileno(out)) != 0)
		fputc('\n', out);
}

void cli_duration(char *out, size_t size, uint64_t seconds)
{
	unsigned long long s = seconds;

	if (s >= 3600)
		snprintf(out, size, "%llu h %02llu min", s / 3600, s / 60 % 60);
	else if (s >= 60)
		snprintf(out, size, "%llu min %02llu s", s / 60, s % 60);
	else
		snprintf(out, size, "%llu s", s);
}

void cli_losses(char *out, size_t size, float loss, const struct evaluation *validation)
{
	size_t used = (size_t)snprintf(out, size, "loss %.4f", (double)loss);

	if (validation->samples != 0 && used < size)
		used += (size_t)snprintf(out + used, size - used, ", validation loss %.4f",
			(double)validation->loss);
	if (validation->samples != 0 && !isnan(validation->accuracy) && used < size)
		snprintf(out + used, size - used, ", accuracy %.2f %%",
			100.0 * (double)validation->accuracy);
}
