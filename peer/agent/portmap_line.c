/* The lines between the agent and its port mapper; see portmap.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer/agent/portmap.h"

#define LIFETIME_MAX_S (30u * 24 * 3600)

/* A number up to max, in digits alone, ended by `end`. Moves *at behind it. */
static bool number_read(const char **at, uint32_t max, char end, uint32_t *out)
{
	const char *p = *at;
	uint64_t n = 0;

	while (*p >= '0' && *p <= '9' && n <= max)
		n = 10 * n + (uint64_t)(*p++ - '0');
	if (p == *at || *p != end || n > max)
		return false;
	*out = (uint32_t)n;
	*at = p + (end != '\0');
	return true;
}

void portmap_question(char line[PORTMAP_LINE_MAX], uint16_t port, uint32_t lifetime_s)
{
	snprintf(line, PORTMAP_LINE_MAX, "MAP %u %u", port, lifetime_s);
}

int portmap_question_read(const char *line, uint16_t *port, uint32_t *lifetime_s)
{
	uint32_t n, s;

	if (strncmp(line, "MAP ", 4) != 0)
		return TK_EPROTO;
	line += 4;
	if (!number_read(&line, UINT16_MAX, ' ', &n) || n == 0 ||
		!number_read(&line, LIFETIME_MAX_S, '\0', &s))
		return TK_EPROTO;
	*port = (uint16_t)n;
	*lifetime_s = s;
	return TK_OK;
}

void portmap_answer(char line[PORTMAP_LINE_MAX], const struct portmap *p)
{
	char at[ENDPOINT_TEXT_MAX];

	endpoint_text(at, &p->at);
	if (p->mapped)
		snprintf(line, PORTMAP_LINE_MAX, "MAPPED %s %s %u", p->how, at, p->lifetime_s);
	else
		snprintf(line, PORTMAP_LINE_MAX, "NONE %s", p->text);
	for (char *c = line; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?'; /* what a router said stays within its line */
	}
}

/* The word up to the next space. */
static bool word_read(const char **at, char *out, size_t size)
{
	size_t n = strcspn(*at, " ");

	if (n == 0 || n >= size || (*at)[n] != ' ')
		return false;
	memcpy(out, *at, n);
	out[n] = '\0';
	*at += n + 1;
	return true;
}

static bool mapped_read(const char *line, struct portmap *out)
{
	char at[ENDPOINT_TEXT_MAX];

	return word_read(&line, out->how, sizeof(out->how)) && word_read(&line, at, sizeof(at)) &&
	       (strcmp(out->how, "NAT-PMP") == 0 || strcmp(out->how, "UPnP") == 0) &&
	       endpoint_from_text(&out->at, at) == TK_OK &&
	       number_read(&line, LIFETIME_MAX_S, '\0', &out->lifetime_s);
}

int portmap_answer_read(const char *line, struct portmap *out)
{
	struct portmap p = {.mapped = strncmp(line, "MAPPED ", 7) == 0};

	if (p.mapped && !mapped_read(line + 7, &p))
		return TK_EPROTO;
	if (!p.mapped && strncmp(line, "NONE ", 5) != 0)
		return TK_EPROTO;
	if (!p.mapped)
		snprintf(p.text, sizeof(p.text), "%s", line + 5);
	for (char *c = p.text; *c != '\0'; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	*out = p;
	return TK_OK;
}
