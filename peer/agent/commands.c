/* What the subcommands share. */
#include "peer/agent/commands.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tasks/base/file.h"

int peer_failed(const struct errmsg *msg)
{
	fprintf(stderr, "talkoot-peer: %s\n",
		msg->text[0] != '\0' ? msg->text : "it failed without saying why");
	return PEER_FAILED;
}

int peer_misused(const char *format, ...)
{
	va_list list;

	fputs("talkoot-peer: ", stderr);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputs("; `talkoot-peer --help` explains\n", stderr);
	return PEER_USAGE;
}

int peer_home(const char *option, char out[AGENT_PATH_MAX], struct errmsg *msg)
{
	char folder[AGENT_PATH_MAX];
	int rc;

	if (option == NULL)
		return agent_home_default(out, msg);
	if (option[0] == '\0')
		return errmsg_set(msg, TK_EINVAL, "--home wants a folder");
	if (option[0] == '/')
		rc = snprintf(out, AGENT_PATH_MAX, "%s", option) < (int)AGENT_PATH_MAX ? TK_OK
										       : TK_ELIMIT;
	else if (getcwd(folder, sizeof(folder)) == NULL)
		rc = TK_ELIMIT;
	else
		rc = path_join(out, AGENT_PATH_MAX, folder, option);
	return rc == TK_OK ? rc : errmsg_set(msg, rc, "the home's path is too long");
}

bool peer_read_link(char out[PEER_LINK_MAX])
{
	if (fgets(out, PEER_LINK_MAX, stdin) == NULL)
		return false;
	out[strcspn(out, "\n")] = '\0';
	return out[0] != '\0';
}
