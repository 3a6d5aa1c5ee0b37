/* REQUIRE is for our own mistakes, never for input; it stays in release builds. */
#ifndef TASKS_BASE_REQUIRE_H
#define TASKS_BASE_REQUIRE_H

/* Prints the broken expectation and aborts. */
_Noreturn void require_failed(const char *expression, const char *file, int line);

#define REQUIRE(x) ((x) ? (void)0 : require_failed(#x, __FILE__, __LINE__))

#endif
