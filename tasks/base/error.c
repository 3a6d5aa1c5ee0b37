/* See error.h. */
#include "tasks/base/error.h"

#include <stdio.h>
#include <string.h>

int errmsg_set(struct errmsg *msg, int code, const char *format, ...)
{
	va_list args;

	if (msg == NULL)
		return code;
	va_start(args, format);
	vsnprintf(msg->text, sizeof(msg->text), format, args);
	va_end(args);
	return code;
}

int errmsg_prefix(struct errmsg *msg, int code, const char *format, ...)
{
	struct errmsg before;
	va_list args;
	size_t used;

	if (msg == NULL)
		return code;
	before = *msg;
	va_start(args, format);
	vsnprintf(msg->text, sizeof(msg->text), format, args);
	va_end(args);
	used = strlen(msg->text);
	snprintf(msg->text + used, sizeof(msg->text) - used, ": %s",
		before.text[0] != '\0' ? before.text : error_text(code));
	return code;
}

const char *error_name(int code)
{
	switch (code) {
	case TK_OK:
		return "TK_OK";
#define X(name, number, text)                                                                      \
	case name:                                                                                 \
		return #name;
		TK_ERRORS(X)
#undef X
	default:
		return "TK_UNKNOWN";
	}
}

const char *error_text(int code)
{
	switch (code) {
	case TK_OK:
		return "no error";
#define X(name, number, text)                                                                      \
	case name:                                                                                 \
		return text;
		TK_ERRORS(X)
#undef X
	default:
		return "unknown error";
	}
}
