/* Error codes and the sentence that a person reads.
 *
 * Every fallible function returns 0 or one of the negative codes below. The codes are for programs;
 * struct errmsg carries the sentence for the volunteer or owner: what is wrong, where (file, line,
 * field) and what to do about it. Nothing here prints or exits. */
#ifndef TASKS_BASE_ERROR_H
#define TASKS_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

#define TK_ERRORS(X)                                                                               \
	X(TK_EINVAL, -1, "invalid argument or input")                                              \
	X(TK_ENOMEM, -2, "out of memory")                                                          \
	X(TK_ENOENT, -3, "not found")                                                              \
	X(TK_EEXIST, -4, "exists already")                                                         \
	X(TK_EIO, -5, "input/output error")                                                        \
	X(TK_ENOSPC, -6, "no space left")                                                          \
	X(TK_ECORRUPT, -7, "contents differ from their digest or format")                          \
	X(TK_ELIMIT, -8, "a limit was exceeded")                                                   \
	X(TK_EPROTO, -9, "the other side broke the protocol")                                      \
	X(TK_EAUTH, -10, "a signature or identity is wrong")                                       \
	X(TK_EBUSY, -11, "in use by another process")                                              \
	X(TK_EUNSUPPORTED, -12, "not supported by this version")                                   \
	X(TK_EDIVERGED, -13, "the training diverged")                                              \
	X(TK_ECANCELED, -14, "stopped on request")                                                 \
	X(TK_ENUMERICS, -15, "this machine's arithmetic is not canonical")

enum tk_error {
	TK_OK = 0,
#define X(name, number, text) name = number,
	TK_ERRORS(X)
#undef X
};

/* What a person reads. Always NUL-terminated; empty when nothing was said. */
struct errmsg {
	char text[768];
};

#define TK_CHECKED	__attribute__((warn_unused_result))
#define TK_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Writes the sentence (msg may be NULL) and returns code, so that callers can
 * `return errmsg_set(msg, TK_EINVAL, "…")`. */
int errmsg_set(struct errmsg *msg, int code, const char *format, ...) TK_PRINTF(3, 4);

/* Puts "prefix: " before a sentence that is already there. Returns code. */
int errmsg_prefix(struct errmsg *msg, int code, const char *format, ...) TK_PRINTF(3, 4);

/* "TK_EINVAL" and "invalid argument or input"; never NULL. */
const char *error_name(int code);
const char *error_text(int code);

#endif
