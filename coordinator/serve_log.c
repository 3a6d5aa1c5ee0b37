/* The server's log: a line on its standard output, with the time of day. */
#include <stdio.h>
#include <time.h>

#include "coordinator/serve_state.h"

void serve_log(struct serve *s, const char *line)
{
	time_t now = time(NULL);
	struct tm tm;
	char stamp[32] = "";

	(void)s;
	if (localtime_r(&now, &tm) != NULL)
		strftime(stamp, sizeof(stamp), "%H:%M:%S", &tm);
	printf("%s %s\n", stamp, line);
	fflush(stdout);
}
