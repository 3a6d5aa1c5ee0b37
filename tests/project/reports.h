/* The whole report about a project file that is wrong, compared with what is expected. Include cmocka.h first. */
#ifndef TESTS_PROJECT_REPORTS_H
#define TESTS_PROJECT_REPORTS_H

#include "tasks/project/project.h"
#include "tests/project/scratch.h"

#define HEAD  "project: {name: a}\nmodel: {type: mlp}\ndata: {path: a.csv}\n"
#define TEXTS "project: {name: a}\nmodel: {type: char-mlp}\ndata: {path: a.txt}\n"

/* The file, and every line of the report without the file's name. */
struct wrong {
	const char *yaml;
	const char *report;
};

/* Compares the whole report: what is expected, no more and no less, in order. */
static inline void check_report(void **state, const struct wrong *w, int code)
{
	struct scratch *s = *state;
	struct bytes errors = {0};
	struct errmsg msg = {{0}};
	char got[8192] = "";
	struct project p;
	size_t name = strlen(s->path) + 1;
	int rc;

	assert_int_equal(scratch_write(s, w->yaml, strlen(w->yaml)), 0);
	rc = project_read(&p, s->path, &errors, &msg);
	assert_int_not_equal(rc, TK_OK);
	assert_memory_equal(errors.data, msg.text, strlen(msg.text));
	for (char *line = strtok((char *)errors.data, "\n"); line != NULL;
		line = strtok(NULL, "\n")) {
		assert_memory_equal(line, s->path, name - 1);
		strcat(got, line + name);
		strcat(got, "\n");
	}
	assert_string_equal(got, w->report);
	assert_int_equal(rc, code);
	bytes_close(&errors);
}

static inline void check_reports(void **state, const struct wrong *list, size_t count, int code)
{
	for (size_t i = 0; i < count; i++)
		check_report(state, &list[i], code);
}

#define CHECK(list)	     CHECK_AS(list, TK_EINVAL)
#define CHECK_AS(list, code) check_reports(state, list, sizeof(list) / sizeof((list)[0]), code)

/* A folder for the files, the state of each test. */
static inline int reports_setup(void **state)
{
	static struct scratch s;

	*state = &s;
	return scratch_open(&s);
}

static inline int reports_teardown(void **state)
{
	scratch_close(*state);
	return 0;
}

#endif
