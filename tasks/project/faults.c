/* See faults.h. */
#include "tasks/project/faults.h"

#include <stdio.h>
#include <string.h>

void fault_add(struct faults *f, struct place at, int code, const char *format, ...)
{
	struct fault *fault;
	va_list args;

	if (f->count == FAULTS_MAX) {
		f->dropped++;
		return;
	}
	fault = &f->list[f->count++];
	fault->at = at;
	fault->code = code;
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
}

static bool place_after(struct place a, struct place b)
{
	return a.line > b.line || (a.line == b.line && a.column > b.column);
}

/* Insertion sort: few, nearly in order, and those of one place keep theirs. */
static void faults_sort(struct faults *f)
{
	for (uint32_t i = 1; i < f->count; i++) {
		struct fault moving = f->list[i];
		uint32_t at = i;

		for (; at > 0 && place_after(f->list[at - 1].at, moving.at); at--)
			f->list[at] = f->list[at - 1];
		f->list[at] = moving;
	}
}

/* "FILE:LINE:COLUMN: text", or "FILE: text" for the file as a whole. */
static void fault_line(struct errmsg *out, const struct fault *fault, const char *file)
{
	if (fault->at.line == 0)
		errmsg_set(out, fault->code, "%s: %s", file, fault->text);
	else
		errmsg_set(out, fault->code, "%s:%u:%u: %s", file, fault->at.line, fault->at.column,
			fault->text);
}

/* Appends the text and a newline, and a NUL that len does not count. */
static int line_append(struct bytes *out, const char *text)
{
	int rc = bytes_reserve(out, strlen(text) + 2);

	if (rc != TK_OK)
		return rc;
	memcpy(out->data + out->len, text, strlen(text));
	out->len += strlen(text);
	out->data[out->len++] = '\n';
	out->data[out->len] = '\0';
	return TK_OK;
}

static int faults_append(const struct faults *f, const char *file, struct bytes *out)
{
	struct errmsg line;
	int rc = TK_OK;

	for (uint32_t i = 0; rc == TK_OK && i < f->count; i++) {
		fault_line(&line, &f->list[i], file);
		rc = line_append(out, line.text);
	}
	if (rc == TK_OK && f->dropped > 0) {
		errmsg_set(&line, 0, "%s: and %u more errors; mend these first", file, f->dropped);
		rc = line_append(out, line.text);
	}
	return rc;
}

static int faults_code(const struct faults *f)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (f->list[i].code != TK_EUNSUPPORTED)
			return f->list[i].code;
	return TK_EUNSUPPORTED;
}

int faults_report(struct faults *f, const char *file, struct bytes *out, struct errmsg *msg)
{
	if (f->count == 0)
		return TK_OK;
	faults_sort(f);
	if (out != NULL && faults_append(f, file, out) != TK_OK)
		return errmsg_set(
			msg, TK_ENOMEM, "not enough memory to list the errors in %s", file);
	if (msg != NULL)
		fault_line(msg, &f->list[0], file);
	return faults_code(f);
}
